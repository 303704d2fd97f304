# Which endpoint of a cluster is next: what all policies have in common, and the one that goes round.

from libc.stdint cimport uint32_t, uint64_t

from weir.plane.pool cimport Pool
from weir.plane.turns cimport Turns
from weir.plane.upstream cimport UpstreamUser

# A policy. Whoever has a connection to wish for asks once for each endpoint that it would try; those that were found
# wanting in this choice have its `stamp` as their mark and are passed over.
cdef class Balancer:
    cdef list pools                     # of Pool: those that may get requests now; the share of each is above 0
    cdef bint equal                     # all shares are the same
    cdef uint64_t total                 # of the shares
    cdef uint64_t random_state
    cdef uint32_t swept_stamp
    cdef uint32_t swept
    # They have changed: members, weights, or who may get requests. `members`: all, also those that may not.
    cdef int rebuild(self, list pools, list members) except -1
    # The next one, or None when all have the mark.
    cdef Pool pick(self, UpstreamUser user, uint32_t stamp)
    # The next without the mark from place `first` on, each once in a choice: for when choosing well has failed.
    cdef Pool sweep(self, uint32_t first, uint32_t stamp)
    cdef uint64_t random(self) noexcept

cdef class RoundRobin(Balancer):
    cdef uint32_t turn
    cdef Turns turns                    # when shares differ
    cdef uint32_t held_stamp

cdef inline uint64_t mix(uint64_t x) noexcept nogil:
    # The last steps of SplitMix64 (Steele and others, 2014): every bit of x changes half of the bits.
    x = (x ^ x >> 30) * <uint64_t>0xBF58476D1CE4E5B9
    x = (x ^ x >> 27) * <uint64_t>0x94D049BB133111EB
    return x ^ x >> 31
