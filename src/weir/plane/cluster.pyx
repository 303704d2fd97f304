"""A named group of endpoints: round robin, the bounded queue and the retry budget."""

from libc.stdint cimport int64_t, uint32_t, uint64_t

from weir.plane.codes cimport R_NO_ENDPOINT, R_QUEUE_FULL
from weir.plane.pool cimport (
    A_FAILED,
    A_FULL,
    A_QUEUED,
    A_TAKEN,
    Acquired,
    Pool,
    PoolOwner,
)
from weir.plane.private cimport PrivatePool
from weir.plane.proxyproto cimport PROXY_OFF, PROXY_V1, PROXY_V2
from weir.plane.upstream cimport W_QUEUE, Line, UpstreamUser
from weir.plane.workspace cimport Workspace

cdef enum:
    BUDGET_BURST = 100      # retries saved up at most

_PROXY_HEADER = {"off": PROXY_OFF, "v1": PROXY_V1, "v2": PROXY_V2}


cdef class Cluster(PoolOwner):
    """A cluster; the settings are those of `weir.config.plan.ClusterPlan`."""

    def __cinit__(self, Workspace workspace not None, plan):
        self.workspace = workspace
        self.name = plan.name
        self.queue = Line()
        self.host = plan.host.encode()
        self.queue_size = plan.queue.size
        self.queue_timeout_ms = plan.queue.timeout_ms
        self.response_header_timeout_ms = plan.response_header_timeout_ms
        self.stream_idle_timeout_ms = plan.stream_idle_timeout_ms
        self.max_response_head_bytes = plan.max_response_head_bytes
        self.max_response_fields = plan.max_response_fields
        self.attempts = plan.retry.attempts
        self.budget_ratio = plan.retry.ratio_percent
        self.budget_per_second = plan.retry.min_per_second * 100
        self.budget_limit = BUDGET_BURST * 100
        self.budget = min(self.budget_limit, self.budget_per_second * 10)
        self.budget_filled_ms = workspace.clock.now_us // 1000
        self.failure = R_NO_ENDPOINT
        self.proxy_header = _PROXY_HEADER[plan.proxy_protocol]
        make_pool = PrivatePool if self.proxy_header != PROXY_OFF else Pool
        self.pools = [
            make_pool(workspace, self, number, address.text, plan.pool, plan.connect_timeout_ms)
            for number, address in enumerate(plan.endpoints)
        ]

    cdef Acquired acquire(self, UpstreamUser user, bint now) except *:
        cdef uint32_t count = <uint32_t>len(self.pools)
        cdef uint32_t first = self.turn
        cdef uint32_t i
        cdef bint full = False
        cdef Pool pool
        cdef Acquired result
        self.turn = first + 1 if first + 1 < count else 0
        for i in range(count):
            pool = <Pool>self.pools[(first + i) % count]
            if user.tried >> (pool.number & 63) & 1:
                continue
            result = pool.acquire(user, now)
            if result == A_FULL:
                full = True
            elif result == A_FAILED:
                user.tried |= <uint64_t>1 << (pool.number & 63)
                self.failure = pool.failure
            else:
                self.chosen = pool
                return result
        if not full:
            if count == 0:
                self.failure = R_NO_ENDPOINT
            return A_FAILED
        if self.queue.length >= self.queue_size:
            self.failure = R_QUEUE_FULL
            return A_FAILED
        self.queue.join(user, W_QUEUE)
        return A_QUEUED

    cdef void forget(self, UpstreamUser user, Pool pool) noexcept:
        if user.waiting == W_QUEUE:
            self.queue.leave(user)
        elif pool is not None:
            pool.forget(user)

    cdef int on_ready(self, uint32_t events) except -1:
        # A connection was closed while exchanges are queued: there is room to dial for the first of them.
        cdef UpstreamUser user
        cdef Acquired result
        cdef uint32_t rounds = self.queue.length
        while rounds > 0 and self.queue.length > 0:
            rounds -= 1
            user = self.queue.take()
            try:
                result = self._dial_for(user)
            except Exception as error:
                self.workspace.engine.failed(user, error)
                continue
            if result == A_QUEUED:
                break
        return 0

    cdef Acquired _dial_for(self, UpstreamUser user) except *:
        cdef Acquired result = self.acquire(user, True)
        if result == A_TAKEN:
            user.on_upstream(self.chosen.taken)
        elif result == A_FAILED:
            user.on_no_upstream(None, self.failure)
        elif result == A_QUEUED:
            # No room after all. It keeps its place: first, where the line has put it last.
            self.queue.leave(user)
            self.queue.join_first(user, W_QUEUE)
        else:
            user.on_line(self.chosen)
        return result

    # -- the retry budget ---------------------------------------------------------------------------------

    cdef void count_request(self) noexcept:
        self.budget += self.budget_ratio
        if self.budget > self.budget_limit:
            self.budget = self.budget_limit

    cdef bint may_retry(self) noexcept:
        cdef int64_t now_ms = self.workspace.clock.now_us // 1000
        cdef int64_t earned = (now_ms - self.budget_filled_ms) * self.budget_per_second // 1000
        if earned > 0:
            self.budget_filled_ms = now_ms
            self.budget += earned
            if self.budget > self.budget_limit:
                self.budget = self.budget_limit
        if self.budget < 100:
            self.retries_denied += 1
            return False
        self.budget -= 100
        self.retries += 1
        return True

    cdef int64_t retry_after_s(self) noexcept:
        return self.queue_timeout_ms // 1000 + 1
