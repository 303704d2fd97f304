"""Policies of balancing: which endpoint of a cluster is next."""

from libc.stdint cimport uint32_t

from weir.plane.pool cimport Pool
from weir.plane.upstream cimport UpstreamUser


cdef class Balancer:
    """A policy; what it chooses from is told by rebuild()."""

    def __cinit__(self):
        self.pools = []

    cdef int rebuild(self, list pools) except -1:
        self.pools = pools
        return 0

    cdef Pool pick(self, UpstreamUser user, uint32_t stamp):
        raise NotImplementedError(f"{type(self).__name__}.pick")


cdef class RoundRobin(Balancer):
    """One after the other."""

    cdef Pool pick(self, UpstreamUser user, uint32_t stamp):
        cdef uint32_t count = <uint32_t>len(self.pools)
        cdef uint32_t _i
        cdef Pool pool
        for _i in range(count):
            if self.turn >= count:
                self.turn = 0
            pool = <Pool>self.pools[self.turn]
            self.turn += 1
            if pool.mark != stamp:
                return pool
        return None


cdef Balancer make_balancer(plan):
    """The policy of a `weir.config.plan.ClusterPlan`."""
    return RoundRobin()
