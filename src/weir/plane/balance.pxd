# Which endpoint of a cluster is next.

from libc.stdint cimport uint32_t, uint64_t

from weir.plane.pool cimport Pool
from weir.plane.upstream cimport UpstreamUser

# A policy. Whoever has a connection to wish for asks once for each endpoint that it would try; those that were found
# wanting in this choice have its `stamp` as their mark and are passed over.
cdef class Balancer:
    cdef list pools                     # of Pool: those that may get requests now
    # They have changed: members, weights, or who may get requests.
    cdef int rebuild(self, list pools) except -1
    # The next one, or None when all have the mark.
    cdef Pool pick(self, UpstreamUser user, uint32_t stamp)

cdef class RoundRobin(Balancer):
    cdef uint32_t turn

cdef Balancer make_balancer(plan)
