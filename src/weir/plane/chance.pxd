# Policies that draw: at random, and the better of two.

from libc.stdint cimport int64_t, uint32_t

from weir.plane.balance cimport Balancer
from weir.plane.pool cimport Pool

# A place of the alias table (Walker, 1977): itself if a fraction of 2**32 is below `limit`, else `other`.
cdef struct Draw:
    uint32_t limit
    uint32_t other

cdef class Random(Balancer):
    cdef Draw* draws                    # when shares differ
    # One by weight, marked or not; the place of it. There is at least one.
    cdef uint32_t draw(self) noexcept
    # One without the mark, drawn a few times, then swept for; None: all have it.
    cdef Pool draw_good(self, uint32_t stamp)

# Power of two choices (Mitzenmacher, 2001): two are drawn, the better one gets the request.
cdef class BestOfTwo(Random):
    cdef bint better(self, Pool one, Pool other) noexcept       # whether `one` is really better

cdef class LeastRequests(BestOfTwo):
    pass

cdef class LeastTime(BestOfTwo):
    cdef double cost(self, Pool pool, int64_t now_us) noexcept
