"""A named group of endpoints: who of them may get requests, and the bounded queue."""

from libc.stdint cimport int64_t, uint16_t, uint32_t, uint64_t

from weir.plane.breaker cimport Breaker
from weir.plane.choice cimport Choice, is_usable, weight_of
from weir.plane.codes cimport R_CIRCUIT_OPEN, R_NO_ENDPOINT, R_QUEUE_FULL, R_RESPONSE_TIMEOUT, Reason
from weir.plane.columns cimport (
    CF_BREAKER_OPENINGS, CF_HASH_FALLBACKS, CF_HASH_KEYLESS, CF_OVERFLOWS, CF_STICKY_BOUND, CF_STICKY_LOST,
)
from weir.plane.ejection cimport Ejector
from weir.plane.head cimport Head
from weir.plane.keys cimport KeyRule
from weir.plane.limiter cimport Limiter
from weir.plane.outcome cimport Outcomes, PoolOwner
from weir.plane.pool cimport (
    A_FAILED,
    A_FULL,
    A_QUEUED,
    A_TAKEN,
    Acquired,
    Pool,
)
from weir.plane.private cimport PrivatePool
from weir.plane.proxyproto cimport PROXY_OFF, PROXY_V1, PROXY_V2
from weir.plane.retry cimport ON_CONNECT, HedgeDelay, Retries
from weir.plane.retrywords cimport RW_CONNECT
from weir.plane.roster cimport HEALTH_UNHEALTHY, HEALTH_UNKNOWN, ORDER_READY, Roster
from weir.plane.states cimport CB_OPEN
from weir.plane.sticky cimport Sticky
from weir.plane.upstream cimport W_QUEUE, Line, UpstreamHome, UpstreamUser
from weir.plane.workspace cimport Workspace

from weir.config.plan import ADAPTIVE

cdef enum:
    RATE_SPAN_MS = 10_000  # over how long the queue's rate is taken, about
    RETRY_AFTER_MOST_S = 60

_PROXY_HEADER = {"off": PROXY_OFF, "v1": PROXY_V1, "v2": PROXY_V2}


cdef inline bint is_last_resort(Pool pool) noexcept:
    """Whether it may be asked when nobody else is left: also while it is ejected, or kept in reserve."""
    return (
        pool.weight and pool.entry.standing.order == ORDER_READY and pool.entry.standing.health != HEALTH_UNHEALTHY
    )


cdef bint may_take(Cluster cluster, Pool pool) noexcept:
    """Whether the policy may choose it now: a connection of any other is for nobody who waits."""
    if cluster.is_stale():
        try:
            cluster.look()
        except MemoryError:
            pass                # as it was: the next choice looks again
    return pool.share != 0 and not pool.closed


cdef class Cluster(PoolOwner):
    """A cluster; the settings are those of `weir.config.plan.ClusterPlan`."""

    def __cinit__(self, Workspace workspace not None, Roster roster not None, plan):
        self.workspace = workspace
        self.roster = roster
        self.name = plan.name
        self.text = plan.name.encode()
        self.plan = plan
        self.group = roster.group(plan.name)
        self.queue = Line()
        self.host = plan.host.encode()
        self.queue_size = plan.queue.size
        self.queue_timeout_ms = plan.queue.timeout_ms
        self.newest_first = plan.queue.order == "adaptive"
        self.overloaded_after_us = plan.queue.timeout_ms * 1000 // 2
        if plan.limit.max_requests == ADAPTIVE:
            self.limiter = Limiter(plan.limit.max, plan.limit.min)
        elif plan.limit.max_requests:
            self.limiter = Limiter(plan.limit.max_requests)
        if plan.breaker.failures_percent:
            self.breaker = Breaker(workspace, plan.breaker)
        self.admits = self.limiter is not None or self.breaker is not None
        self.observes = self.breaker is not None or plan.limit.max_requests == ADAPTIVE
        self.response_header_timeout_ms = plan.response_header_timeout_ms
        self.stream_idle_timeout_ms = plan.stream_idle_timeout_ms
        self.request_start = plan.request_start == "on"
        self.max_response_head_bytes = plan.max_response_head_bytes
        self.max_response_fields = plan.max_response_fields
        self.retry = Retries(workspace.clock, plan.retry, self.group)
        self.proxy_header = _PROXY_HEADER[plan.proxy_protocol]
        self.hedge = None
        # A connection that speaks for one client is not for a race of two attempts.
        if self.proxy_header == PROXY_OFF and (plan.hedge.after_ms or plan.hedge.after_permille):
            self.hedge = HedgeDelay(plan.hedge)
        self.failure = R_NO_ENDPOINT
        self.choice = Choice(plan, workspace.id_state)
        self.balancer = self.choice.balancer
        if plan.policy == "hash":
            self.keys = KeyRule(plan.hash_by)
        if plan.sticky.cookie:
            self.sticky = Sticky(plan.sticky, plan.name, roster.seed())
        self.binds = self.keys is not None or self.sticky is not None
        self.panic_below = plan.panic_below_percent
        self.trusts_new = plan.health.type == "off" or plan.health.first == "healthy"
        self.ejector = Ejector(workspace, roster.counters.memory(), plan.ejection)
        self.pools = []
        self.members = {}
        for name in plan.members():
            self.add(name, name)
        self.look()

    # -- members ------------------------------------------------------------------------------------------

    cdef Pool member(self, str endpoint):
        return <Pool>self.members.get(endpoint)

    cdef Pool add(self, str endpoint, str name):
        cdef Pool pool = self.member(endpoint)
        if pool is None:
            pool = (Pool if self.proxy_header == PROXY_OFF else PrivatePool)(
                self.workspace, self, self.roster.entry(self.name, endpoint), endpoint, self.plan.pool,
                self.plan.connect_timeout_ms,
            )
            pool.eject_failures = self.ejector.failures
            pool.eject_5xx = self.ejector.errors_5xx
            pool.timed = self.plan.policy == "least_time"
            self.choice.settle(pool, name)
            self.pools.append(pool)
            self.members[endpoint] = pool
            self.look_again_us = 1
            if self.sticky is not None:
                self.sticky.count = 0
        return pool

    cdef int remove(self, str endpoint) except -1:
        cdef Pool pool = self.member(endpoint)
        if pool is not None:
            self.pools.remove(pool)
            del self.members[endpoint]
            if self.sticky is not None:
                self.sticky.count = 0
            self.look()
            pool.retire()
        return 0

    cdef int look(self) except -1:
        cdef uint64_t now_us = <uint64_t>self.workspace.clock.now_us
        cdef uint64_t next_us = 0
        cdef uint64_t until_us
        cdef list ready = []
        cdef list usable = []
        cdef Pool pool
        # First: what changes from here on is looked at again.
        self.seen = self.roster.changed()
        for pool in self.pools:
            if pool.entry.standing.order != ORDER_READY or weight_of(pool) == 0:
                continue
            ready.append(pool)
            until_us = pool.entry.standing.ejected_until_us
            if until_us > now_us:
                next_us = min(next_us, until_us) if next_us else until_us
                # When it comes back one failure will do, unless it has answered before.
                pool.failing = max(pool.eject_failures, 1) - 1
                pool.failing_5xx = max(pool.eject_5xx, 1) - 1
            elif pool.entry.standing.health == HEALTH_UNHEALTHY:
                continue
            elif self.trusts_new or pool.entry.standing.health != HEALTH_UNKNOWN:
                usable.append(pool)
        # So few left, or nobody, is more likely a mistake of those who judge than the truth, and the few would not
        # stand it: then all are asked.
        self.panics = len(ready) > 0 and (
            not usable
            or (
                <uint64_t>len(usable) * 100 < self.panic_below * <uint64_t>len(ready)
                and not self.choice.carry(usable, self.pools)
            )
        )
        until_us = self.choice.update(ready if self.panics else usable, self.pools, now_us)
        if until_us and (next_us == 0 or until_us < next_us):
            next_us = until_us
        self.look_again_us = <int64_t>next_us
        self.balancer = self.choice.balancer
        if self.sticky is not None and self.sticky.count != <uint32_t>len(self.pools):
            self.sticky.rebuild(self.pools)
        if self.queue.length:
            # There may be room where there was none, or nobody to wait for any more.
            self.workspace.engine.put_ready(self)
        return 0

    cdef bint is_stale(self) noexcept:
        return self.seen != self.roster.changed() or (
            self.look_again_us != 0 and self.workspace.clock.now_us >= self.look_again_us
        )

    cdef int on_failing(self, Outcomes pool, uint32_t why) except -1:
        if self.ejector.eject(self.pools, <Pool>pool, why):
            self.look()
        return 0

    cdef void bind(
        self, const char* p, const Head* head, const char* client, uint32_t client_length, UpstreamUser user
    ) noexcept:
        user.keyed = False
        user.bound = 0
        user.strays = False
        if self.keys is not None:
            self.keys.take(p, head, client, client_length, user)
        if self.sticky is not None:
            self.sticky.read(p, head, user)

    # -- connections --------------------------------------------------------------------------------------

    cdef Acquired acquire(self, UpstreamUser user, bint now) except *:
        cdef Acquired result = self._choose(user, now)
        return self._enqueue(user) if result == A_FULL else result

    cdef Acquired admit(self, UpstreamUser user) except *:
        if self.breaker is not None and not self.breaker.admit(user):
            self.failure = R_CIRCUIT_OPEN
            return A_FAILED
        # Whoever waits goes first.
        if self.limiter is not None and (self.queue.length or not self.limiter.admit(self.workspace.clock.now_us)):
            if self.queue.length and self.limiter.has_room(self.workspace.clock.now_us):
                self.workspace.engine.put_ready(self)
            return self._enqueue(user)
        user.admitted = True
        return A_TAKEN

    cdef Acquired _enqueue(self, UpstreamUser user) except *:
        if self.queue.length >= self.queue_size:
            if self.limiter is not None:
                self.limiter.overflows(self.workspace.clock.now_us)
            self.failure = R_QUEUE_FULL
            return A_FAILED
        if self.queue.length == 0:
            self.filled_us = self.workspace.clock.now_us
            self.rate_since_ms = self.filled_us // 1000
            self.rate_taken = self.queue.taken
        self._put_back(user)
        self.queue.join(user, W_QUEUE)
        return A_QUEUED

    cdef void _put_back(self, UpstreamUser user) noexcept:
        # Nobody keeps a place among those in progress while it waits: others could use it.
        if user.admitted and self.limiter is not None:
            user.admitted = False
            self.limiter.let_go(self.workspace.clock.now_us)

    cdef UpstreamUser next_waiting(self, UpstreamHome home):
        if (self.limiter is not None and self.binds) or not may_take(self, <Pool>home):
            # It waits for its turn, not for any connection: its own endpoint may have room. And one that is drained,
            # or ill, would else be kept busy by the queue for as long as there is one.
            self.workspace.engine.put_ready(self)
            return None
        return self._take_next(home)

    cdef UpstreamUser _take_next(self, UpstreamHome home):
        cdef UpstreamUser user = None
        if self.limiter is not None and not self.limiter.admit(self.workspace.clock.now_us):
            return None
        user = self.queue.take_for(home, self.is_overloaded())
        if user is not None:
            user.admitted = True
        elif self.limiter is not None:
            self.limiter.let_go(self.workspace.clock.now_us)
        return user

    cdef void let_go(self, UpstreamUser user) noexcept:
        if user.admitted:
            user.admitted = False
            if self.limiter is not None:
                self.limiter.let_go(self.workspace.clock.now_us)
                if self.queue.length:
                    self.workspace.engine.put_ready(self)
        if user.tries:
            user.tries = False
            self.breaker.let_go()

    cdef bint is_overloaded(self) noexcept:
        return (
            self.newest_first and self.queue.length > 0
            and self.workspace.clock.now_us - self.filled_us >= self.overloaded_after_us
        )

    cdef int64_t wait_ms(self) noexcept:
        # Newest first, a request has its turn soon or never.
        return max(self.queue_timeout_ms // 4, <int64_t>1) if self.is_overloaded() else self.queue_timeout_ms

    cdef int observe(self, uint16_t status, Reason reason, int64_t us) except -1:
        cdef bint dropped = status == 503 or status == 429 or reason == R_RESPONSE_TIMEOUT
        if self.limiter is not None and (dropped or 200 <= status < 500):
            self.limiter.observe(us, dropped, self.workspace.clock.now_us)
        if self.breaker is not None and self.breaker.observe(status == 0 or status >= 500):
            self.group.figures[CF_BREAKER_OPENINGS] += 1
            if self.queue.length:
                self.workspace.engine.put_ready(self)
        return 0

    cdef Acquired _choose(self, UpstreamUser user, bint now) except *:
        """As acquire(), but who finds no room is in no line: A_FULL."""
        cdef bint full = False
        cdef bint failed = False
        cdef Pool pool, bound
        cdef Acquired result
        if self.is_stale():
            self.look()
        self.stamp += 1
        if self.stamp == 0:
            # Round once: a mark of long ago, or none, is not one of now.
            self.stamp = 1
            for pool in self.pools:
                pool.mark = 0
        if user.tried is not None:
            for pool in user.tried:
                pool.mark = self.stamp
        bound = None
        if user.wanted is not None or (self.sticky is not None and user.bound):
            bound = self._bound(user)
        while True:
            pool = bound if bound is not None else self.balancer.pick(user, self.stamp)
            if pool is None and not full:
                pool = self._last_resort()
                user.rehashed = True
            if pool is None:
                break
            if failed:
                self.retry.count(RW_CONNECT)
            result = pool.acquire(user, now)
            if result == A_FULL:
                full = True
                user.strays = bound is not None or user.strays
                pool.mark = self.stamp
            elif result == A_FAILED:
                failed = True
                self.avoid(user, pool)
                pool.mark = self.stamp
                self.failure = pool.failure
                if self.retry.on & ON_CONNECT == 0:
                    return A_FAILED
            else:
                self.chosen = pool
                self._count_way(pool, user)
                return result
            bound = None
        if full:
            return A_FULL
        if not self.balancer.pools:
            self.failure = R_NO_ENDPOINT
        return A_FAILED

    cdef void _count_way(self, Pool pool, UpstreamUser user) noexcept:
        if pool.level > self.choice.first_level:
            self.group.figures[CF_OVERFLOWS] += 1
        if not self.binds:
            return
        if self.sticky is not None and user.bound:
            if self.is_bound(user, pool):
                self.group.figures[CF_STICKY_BOUND] += 1
                return
            self.group.figures[CF_STICKY_LOST] += 1
        if self.keys is not None and not user.keyed:
            self.group.figures[CF_HASH_KEYLESS] += 1
        elif self.keys is not None and user.rehashed:
            self.group.figures[CF_HASH_FALLBACKS] += 1

    cdef Pool _last_resort(self):
        """One that is ejected, or that the policy keeps in reserve, when all others have failed: it may be back."""
        cdef Pool pool
        for pool in self.pools:
            if pool.mark != self.stamp and is_last_resort(pool):
                return pool
        return None

    cdef Pool _bound(self, UpstreamUser user):
        cdef Pool pool = <Pool>user.wanted
        user.strays = False
        if pool is None:
            pool = self.sticky.find(user.bound)
        elif pool not in self.pools:
            return None
        if pool is None or pool.mark == self.stamp:
            return None
        if pool.share:
            return pool
        # Also one that is drained, or has no weight: for these clients it is there until they have gone.
        if pool.entry.standing.order == ORDER_READY and pool.weight:
            return None
        return pool if is_usable(pool, <uint64_t>self.workspace.clock.now_us) else None

    cdef bint is_bound(self, UpstreamUser user, Pool pool) noexcept:
        if user.wanted is not None:
            return user.wanted is pool
        return self.sticky is not None and user.bound != 0 and pool.mark_of_sticky == user.bound

    cdef int want(self, UpstreamUser user, str name) except -1:
        cdef Pool pool
        if self.is_stale():
            self.look()
        for pool in self.pools:
            if pool.name == name:
                user.wanted = pool
                return 0
        raise ValueError(f"cluster {self.name!r} has no endpoint {name!r}")

    cdef int avoid(self, UpstreamUser user, UpstreamHome home) except -1:
        if user.tried is None:
            user.tried = set()
        user.tried.add(home)
        return 0

    cdef bint has_other(self, UpstreamUser user) except -1:
        cdef Pool pool
        for pool in self.balancer.pools:
            if user.tried is None or pool not in user.tried:
                return True
        for pool in self.pools:
            if is_last_resort(pool) and pool not in user.tried:
                return True
        return False

    cdef void forget(self, UpstreamUser user, Pool pool) noexcept:
        if user.waiting == W_QUEUE:
            self.queue.leave(user)
        elif pool is not None:
            pool.forget(user)

    cdef int on_ready(self, uint32_t events) except -1:
        # A connection was closed, or an exchange has ended, while others are queued: there is room for the next.
        cdef UpstreamUser user
        cdef Acquired result
        cdef uint32_t rounds = self.queue.length
        cdef list aside = []
        while rounds > 0 and self.queue.length > 0:
            rounds -= 1
            if self.breaker is not None and self.breaker.state == CB_OPEN:
                user = self.queue.take()
                try:
                    user.on_no_upstream(None, R_CIRCUIT_OPEN)
                except Exception as error:
                    self.workspace.engine.failed(user, error)
                continue
            user = self._take_next(None)
            if user is None:
                break
            try:
                result = self._dial_for(user, aside)
            except Exception as error:
                self.workspace.engine.failed(user, error)
                continue
            if result == A_QUEUED and user.tried is None:
                break
        for user in reversed(aside):
            self.queue.join_again(user, W_QUEUE)
        return 0

    cdef Acquired _dial_for(self, UpstreamUser user, list aside) except *:
        cdef Acquired result = self._choose(user, True)
        if result == A_TAKEN:
            user.on_upstream(self.chosen.taken)
        elif result == A_FAILED:
            user.on_no_upstream(None, self.failure)
        elif result == A_FULL:
            # No room after all. It keeps its place: the one that it was taken from.
            self._put_back(user)
            if user.tried is None:
                self.queue.join_again(user, W_QUEUE)
            else:
                # Those behind it may use the room that it avoids.
                aside.append(user)
            return A_QUEUED
        else:
            user.on_line(self.chosen)
        return result

    cdef int64_t retry_after_s(self) noexcept:
        # By then the queue will be empty, if as many get their turn as did since it was empty last.
        cdef int64_t spent_ms = self.workspace.clock.now_us // 1000 - self.rate_since_ms
        cdef int64_t taken = <int64_t>(self.queue.taken - self.rate_taken)
        cdef int64_t wait_s = self.queue_timeout_ms // 1000 + 1     # nobody had a turn yet: the rate is not known
        if taken > 0:
            wait_s = <int64_t>self.queue.length * spent_ms // (taken * 1000) + 1
        if spent_ms > RATE_SPAN_MS:
            # What was long ago says little: half of it is forgotten, at the rate that it had.
            self.rate_since_ms += spent_ms // 2
            self.rate_taken += <uint64_t>(taken // 2)
        return min(wait_s, <int64_t>RETRY_AFTER_MOST_S)
