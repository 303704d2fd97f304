"""Policies that draw: at random by weight, and of two drawn the one with less to do or the quicker one.

Two are enough: with one look each the fullest of n endpoints has log n / log log n requests, with two log log n, and no
worker sends all its requests to the one endpoint that looked best, as those do that look for the best of all.
"""

from libc.stdint cimport int64_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free

from weir.plane.balance cimport Balancer
from weir.plane.peak cimport PEAK_FAILED_US, peak_now
from weir.plane.pool cimport Pool
from weir.plane.upstream cimport UpstreamUser

cdef enum:
    DRAWS = 4           # then the rest is looked through


cdef class Random(Balancer):
    """At random, by weight."""

    def __dealloc__(self):
        free(self.draws)

    cdef int rebuild(self, list pools, list members) except -1:
        Balancer.rebuild(self, pools, members)
        free(self.draws)
        self.draws = NULL
        if not self.equal:
            self.draws = <Draw*>calloc(len(pools), sizeof(Draw))
            if self.draws == NULL:
                raise MemoryError
            self._fill()
        return 0

    def _fill(self):
        # Vose, 1991. Shares are scaled to a mean of 2**32; who has less shares its place with one who has more.
        cdef uint64_t count = len(self.pools)
        cdef uint64_t rest
        cdef Pool pool
        scaled = []
        for pool in self.pools:
            scaled.append((<uint64_t>pool.share << 32) * count // self.total)
        small = [place for place in range(count) if scaled[place] < 1 << 32]
        large = [place for place in range(count) if scaled[place] >= 1 << 32]
        while small and large:
            less, more = small.pop(), large.pop()
            self.draws[<uint32_t>less].limit = scaled[less]
            self.draws[<uint32_t>less].other = more
            rest = scaled[more] + scaled[less] - (1 << 32)
            scaled[more] = rest
            (small if rest < <uint64_t>1 << 32 else large).append(more)
        for place in small + large:     # all that is left is whole, but for what was rounded
            self.draws[<uint32_t>place].limit = 0xFFFFFFFF
            self.draws[<uint32_t>place].other = place

    cdef uint32_t draw(self) noexcept:
        cdef uint64_t number = self.random()
        cdef uint32_t place = <uint32_t>((number >> 32) * <uint64_t>len(self.pools) >> 32)
        if self.draws != NULL and <uint32_t>number >= self.draws[place].limit:
            return self.draws[place].other
        return place

    cdef Pool draw_good(self, uint32_t stamp):
        cdef Pool pool
        cdef int _i
        if not self.pools:
            return None
        for _i in range(DRAWS):
            pool = <Pool>self.pools[self.draw()]
            if pool.mark != stamp:
                return pool
        return self.sweep(<uint32_t>(self.total % <uint64_t>len(self.pools)), stamp)

    cdef Pool pick(self, UpstreamUser user, uint32_t stamp):
        return self.draw_good(stamp)


cdef class BestOfTwo(Random):
    """Two are drawn by weight; the second gets the request only if it is really better."""

    cdef bint better(self, Pool one, Pool other) noexcept:
        return False

    cdef Pool pick(self, UpstreamUser user, uint32_t stamp):
        cdef Pool first = self.draw_good(stamp)
        cdef Pool second
        cdef uint32_t count = <uint32_t>len(self.pools)
        cdef uint32_t place
        if first is None or count == 1:
            return first
        place = self.draw()
        second = <Pool>self.pools[place]
        if second is first:
            # With few endpoints, or a heavy one, it often is: any other will do.
            place = place + 1 if place + 1 < count else 0
            second = <Pool>self.pools[place]
        if second.mark != stamp and self.better(second, first):
            return second
        return first


cdef class LeastRequests(BestOfTwo):
    """Fewest requests of this worker in progress, for its weight."""

    cdef bint better(self, Pool one, Pool other) noexcept:
        return <uint64_t>one.load() * other.share < <uint64_t>other.load() * one.share


cdef class LeastTime(BestOfTwo):
    """Shortest response time, times the requests in progress and this one, for its weight."""

    cdef double cost(self, Pool pool, int64_t now_us) noexcept:
        cdef uint32_t load = pool.load()
        if pool.peak.at_us == 0:
            # Nothing is known: one request finds out. Until it is answered there is no second one, if there is another
            # to take it.
            return <double>PEAK_FAILED_US * load / pool.share
        return (peak_now(&pool.peak, now_us) + 1) * (load + 1) / pool.share

    cdef bint better(self, Pool one, Pool other) noexcept:
        cdef int64_t now_us = one.workspace.clock.now_us
        return self.cost(one, now_us) < self.cost(other, now_us)
