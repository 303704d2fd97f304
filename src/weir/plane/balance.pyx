"""Policies of balancing: which endpoint of a cluster is next. In turn, by weight."""

from libc.stdint cimport uint32_t, uint64_t

from weir.plane.pool cimport Pool
from weir.plane.turns cimport NOBODY, Turns
from weir.plane.upstream cimport UpstreamUser


cdef class Balancer:
    """A policy; what it chooses from is told by rebuild(). `seed` begins its random numbers."""

    def __cinit__(self, uint64_t seed=0):
        self.pools = []
        self.random_state = seed
        self.equal = True

    cdef int rebuild(self, list pools, list members) except -1:
        cdef Pool pool
        self.pools = pools
        self.total = 0
        self.equal = True
        self.swept = 0
        for pool in pools:
            self.total += pool.share
            if pool.share != (<Pool>pools[0]).share:
                self.equal = False
        return 0

    cdef Pool pick(self, UpstreamUser user, uint32_t stamp):
        raise NotImplementedError(f"{type(self).__name__}.pick")

    cdef Pool sweep(self, uint32_t first, uint32_t stamp):
        cdef uint32_t count = <uint32_t>len(self.pools)
        cdef Pool pool
        if self.swept_stamp != stamp:
            self.swept_stamp = stamp
            self.swept = 0
        # In one choice it goes round once, however often it is called.
        while self.swept < count:
            pool = <Pool>self.pools[(first + self.swept) % count]
            if pool.mark != stamp:
                return pool
            self.swept += 1
        return None

    cdef uint64_t random(self) noexcept:
        self.random_state += <uint64_t>0x9E3779B97F4A7C15
        return mix(self.random_state)


cdef class RoundRobin(Balancer):
    """One after the other, each as often as its weight says."""

    cdef int rebuild(self, list pools, list members) except -1:
        cdef uint32_t i
        cdef Pool pool
        cdef Turns turns
        if self.turns is not None:
            # Whoever was ahead stays ahead: else a change every few requests would begin with the heaviest each time.
            for i in range(<uint32_t>len(self.pools)):
                (<Pool>self.pools[i]).lag = self.turns.lag(i)
        self.turns = None
        Balancer.rebuild(self, pools, members)
        if self.equal:
            for pool in pools:
                pool.lag = 0
            return 0
        turns = Turns.__new__(Turns)
        turns.begin(<uint32_t>len(pools), self.total)
        for i in range(<uint32_t>len(pools)):
            pool = <Pool>pools[i]
            turns.add(i, pool.share, pool.lag)
        self.turns = turns
        return 0

    cdef Pool pick(self, UpstreamUser user, uint32_t stamp):
        cdef uint32_t count = <uint32_t>len(self.pools)
        cdef uint32_t i, _i
        cdef Pool pool
        if self.turns is None:
            for _i in range(count):
                if self.turn >= count:
                    self.turn = 0
                pool = <Pool>self.pools[self.turn]
                self.turn += 1
                if pool.mark != stamp:
                    return pool
            return None
        if self.held_stamp != stamp:
            self.held_stamp = stamp
            self.turns.release()
        while True:
            i = self.turns.take()
            if i == NOBODY:
                return None
            pool = <Pool>self.pools[i]
            if pool.mark != stamp:
                self.turns.serve(i)
                return pool
            self.turns.hold(i)
