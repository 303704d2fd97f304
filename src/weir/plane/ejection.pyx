"""Ejection by what one worker sees: attempts, or answers, that fail one after the other.

What is hard here: several workers may find so at the same moment, of several endpoints, and together they must not
eject more than may be. So who ejects holds a lock for as long as it takes to count those that are ejected and to write
(`weir.stats.ejection.eject`). That is rare; what can be found out before is found out here.
"""

from libc.stdint cimport int64_t, uint32_t, uint64_t

from weir.plane.pool cimport Pool
from weir.plane.roster cimport ORDER_READY
from weir.plane.workspace cimport Workspace

from weir.stats import ejection


cdef class Ejector:
    """The settings are those of `weir.config.plan.EjectionPlan`."""

    def __cinit__(self, Workspace workspace not None, memory, plan):
        self.workspace = workspace
        self.memory = memory
        self.failures = plan.failures if plan.max_ejected_percent else 0
        self.errors_5xx = plan.errors_5xx if plan.max_ejected_percent else 0
        self.percent = plan.max_ejected_percent
        self.time_us = <int64_t>plan.time_ms * 1000
        self.max_time_us = <int64_t>plan.max_time_ms * 1000

    cdef bint eject(self, list pools, Pool pool, uint32_t why) except -1:
        cdef uint64_t now_us = <uint64_t>self.workspace.clock.now_us
        cdef uint32_t ejected = 0
        cdef Pool other
        cdef list members
        if pool.entry.number < 0 or pool.entry.standing.ejected_until_us > now_us:
            return False
        for other in pools:
            ejected += other.entry.standing.ejected_until_us > now_us
        members = [(<Pool>other).entry.number for other in pools if (<Pool>other).entry.standing.order == ORDER_READY]
        if ejected >= <uint32_t>ejection.most_ejected(len(members), self.percent):
            # Not before as many have failed again: counting all members at each failure would be work without end.
            pool.failing = pool.failing_5xx = 0
            return False
        return ejection.eject(
            self.memory, pool.entry.number, members, why, percent=self.percent, time_us=self.time_us,
            max_time_us=self.max_time_us, now_us=now_us,
        )
