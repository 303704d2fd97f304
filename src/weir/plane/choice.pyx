"""Who of a cluster may be chosen, how often, and from which level.

Levels are endpoints of one priority; where weir has a zone, those of its zone are a level before the others. A level
whose usable weight is at least `overflow_at` of all its weight gets every request. Below that it gets a part in
proportion, and the next level what is left: the rest of it is not asked to carry what all of it carried.
"""

from libc.stdint cimport uint32_t, uint64_t

from weir.plane.balance cimport Balancer, RoundRobin, mix
from weir.plane.chance cimport LeastRequests, LeastTime, Random
from weir.plane.maglev cimport Hash
from weir.plane.pool cimport Pool
from weir.plane.roster cimport HEALTH_UNHEALTHY, ORDER_DRAIN
from weir.plane.upstream cimport UpstreamUser

cdef enum:
    RAMP_FIRST = 10             # percent of its weight that a new endpoint gets
    RAMP_STEP = 5
    RAMP_STEPS = 18             # from there to all of it
    GOLDEN = 40503              # of 65536: multiples of it are spread evenly, however few they are

_POLICIES = {
    "round_robin": RoundRobin, "random": Random, "least_requests": LeastRequests, "least_time": LeastTime,
}


cdef Balancer make_policy(plan, uint64_t seed):
    """The policy of a `weir.config.plan.ClusterPlan`."""
    cdef Hash made
    if plan.policy == "hash":
        made = Hash(seed)
        made.bound_percent = plan.hash_balance_percent
        return made
    return _POLICIES[plan.policy](seed)


cdef uint32_t weight_of(Pool pool) noexcept:
    if pool.entry.standing.weight:
        return pool.entry.standing.weight
    return pool.entry.standing.source_weight if pool.entry.standing.source_weight else pool.base_weight


cdef bint is_usable(Pool pool, uint64_t now_us) noexcept:
    return (
        pool.entry.standing.order <= ORDER_DRAIN
        and pool.entry.standing.health != HEALTH_UNHEALTHY
        and pool.entry.standing.ejected_until_us <= now_us
    )


cdef uint32_t level_of(Pool pool) noexcept:
    cdef uint32_t level = pool.entry.standing.priority if pool.entry.standing.priority else pool.base_priority
    return 2 * min(level, <uint32_t>1 << 30) + (not pool.near)


cdef class Level:
    """Endpoints that are equally welcome."""


cdef class Overflow(Balancer):
    """Chooses a level, and lets its policy choose. A level that has nobody left is passed over, in order."""

    def __cinit__(self, uint64_t seed=0):
        self.levels = []

    cdef int share_out(self, list levels, list loads) except -1:
        cdef Level level
        self.levels = levels
        self.pools = []
        self.stamp = 0
        for level, load in zip(levels, loads, strict=True):
            level.load = load
            self.pools += level.policy.pools
        return 0

    cdef Pool pick(self, UpstreamUser user, uint32_t stamp):
        cdef uint32_t count = <uint32_t>len(self.levels)
        cdef uint32_t below = 0
        cdef uint32_t i
        cdef Pool pool
        if count == 0:
            return None
        if self.stamp != stamp:
            self.stamp = stamp
            self.tried = 0
            if self.by_key and user.keyed:
                # Not the bits that choose in a level.
                self.point = <uint32_t>(mix(~user.key) >> 48)
            else:
                self.point = (self.point + GOLDEN) % ALL_OF_IT
            self.first = 0
            for i in range(count):
                below += (<Level>self.levels[i]).load
                if self.point < below:
                    self.first = i
                    break
        while self.tried <= count:
            if self.tried == 0:
                i = self.first
            else:
                i = self.tried - 1
            if self.tried == 0 or i != self.first:
                pool = (<Level>self.levels[i]).policy.pick(user, stamp)
                if pool is not None:
                    return pool
            self.tried += 1
        return None


cdef class Choice:
    """The policy of a cluster, and what it chooses from: `weir.config.plan.ClusterPlan`."""

    def __cinit__(self, plan, uint64_t seed):
        self.plan = plan
        self.settings = {entry.text: entry for entry in plan.endpoints if hasattr(entry, "weight")}
        self.seed = seed
        self.slow_start_us = plan.slow_start_ms * 1000
        self.members = []
        self.levels = {}
        self.overflow = Overflow(seed)
        self.overflow.by_key = plan.policy == "hash"
        self.balancer = make_policy(plan, seed)

    cdef int settle(self, Pool pool, str name) except -1:
        settings = self.settings.get(name)
        if settings is not None:
            pool.base_weight = settings.weight
            pool.base_priority = settings.priority
            pool.near = settings.near
        return 0

    cdef uint32_t _ramp(self, Pool pool, uint64_t now_us) noexcept:
        cdef uint64_t since, step_us, step
        if self.slow_start_us == 0:
            return 100
        # An ejection ends by time alone, and nobody notes it.
        since = pool.entry.standing.joined_us
        if since < pool.entry.standing.ejected_until_us <= now_us:
            since = pool.entry.standing.ejected_until_us
        if since == 0 or since > now_us or now_us - since >= self.slow_start_us:
            return 100
        step_us = self.slow_start_us // RAMP_STEPS
        step = (now_us - since) // step_us
        if step >= RAMP_STEPS:
            return 100
        if self.again_us == 0 or since + (step + 1) * step_us < self.again_us:
            self.again_us = since + (step + 1) * step_us
        return RAMP_FIRST + RAMP_STEP * <uint32_t>step

    cdef uint64_t update(self, list usable, list members, uint64_t now_us) except? 1:
        cdef Pool pool
        cdef uint32_t weight, ramp, level
        cdef bint changed = len(members) != len(self.members)
        cdef uint32_t i
        self.again_us = 0
        for pool in usable:
            pool.wanted = True
        for i in range(<uint32_t>len(members)):
            pool = <Pool>members[i]
            weight = weight_of(pool)
            ramp = self._ramp(pool, now_us) if pool.wanted and weight else 0
            pool.wanted = False
            level = level_of(pool)
            if not changed and pool is not <Pool>self.members[i]:
                changed = True
            if weight != pool.weight or ramp != pool.ramp or level != pool.level:
                changed = True
                pool.weight = weight
                pool.ramp = ramp
                pool.level = level
                pool.share = weight * ramp
        # Checks of health write what they have seen every few seconds; most often it is the same.
        if changed:
            self.members = list(members)
            try:
                self._rebuild()
            except BaseException:
                self.members = []       # no memory: the next look tries again
                raise
        return self.again_us

    cdef bint carry(self, list usable, list members) except -1:
        cdef Pool pool
        cdef double all_together = 0
        whole, good = {}, {}
        for pool in members:
            whole[level_of(pool)] = whole.get(level_of(pool), 0) + weight_of(pool)
        if len(whole) == 1:
            return False
        for pool in usable:
            good[level_of(pool)] = good.get(level_of(pool), 0) + weight_of(pool)
        for number, weight in good.items():
            all_together += min(1.0, 100.0 * weight / whole[number] / self.plan.overflow_at_percent)
        return all_together >= 1

    cdef int _rebuild(self) except -1:
        cdef Pool pool
        cdef Level level
        cdef uint64_t weight, good
        cdef double carried, left = 1
        of_level = {}
        for pool in self.members:
            of_level.setdefault(pool.level, []).append(pool)
        levels = {}
        self.first_level = min(of_level, default=0)
        for number in sorted(of_level):
            level = self.levels.get(number)
            if level is None:
                level = Level.__new__(Level)
                level.number = number
                level.policy = make_policy(self.plan, self.seed + level.number)
            levels[number] = level
        self.levels = levels
        carries = []
        for level in levels.values():
            members = of_level[level.number]
            weight = good = 0
            pools = []
            for pool in members:
                weight += pool.weight
                if pool.share:
                    good += pool.weight
                    pools.append(pool)
            level.policy.rebuild(pools, members)
            carried = 0
            if weight:
                carried = min(1.0, <double>good / weight * 100 / self.plan.overflow_at_percent)
            carries.append(min(carried, left))
            left -= min(carried, left)
        if len(levels) == 1:
            level = next(iter(levels.values()))
            self.balancer = level.policy
            return 0
        # All levels together may carry less than all: then each gets its part all the same.
        whole = sum(carries) or 1
        loads = [round(ALL_OF_IT * part / whole) for part in carries]
        self.overflow.share_out(list(levels.values()), loads)
        self.balancer = self.overflow
        return 0
