# The same key, the same endpoint: a Maglev table.

from libc.stdint cimport uint16_t, uint32_t, uint64_t

from weir.plane.balance cimport Balancer, RoundRobin
from weir.plane.pool cimport Pool

cdef enum:
    MAGLEV_SLOTS = 65537        # a prime; a hundred for each of some 650 endpoints

cdef class Hash(Balancer):
    cdef RoundRobin rest                # for requests without a key
    cdef uint32_t bound_percent         # how much more than its part of the requests an endpoint may have; 0: any
    cdef list members                   # of Pool: all that the table knows, by name
    cdef list weights
    cdef uint16_t* slots                # places in members; NULL: there are none
    cdef int _fill(self) except -1
    cdef bint _takes(self, Pool pool, uint64_t key, uint32_t stamp) noexcept
