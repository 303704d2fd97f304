"""Connections to an endpoint that is told by a PROXY header who the client is.

What is hard here: the header stands at the beginning of a connection, and holds for all that comes on it. "Such proxies
MUST NOT implement this protocol on multiplexed connections" (the specification, section 2): a connection that has said
who it speaks for is nobody else's. So it is lent to its client's connection, for the next request there, and is closed
when that ends, when it has rested too long, or when its place is needed. One that has said nothing yet, because whoever
it was dialled for has got another, may be anybody's.
"""

from libc.stdint cimport int64_t, uint32_t, uint64_t

from weir.plane.columns cimport EF_RETIRED, EF_REUSES
from weir.plane.debug cimport invariant
from weir.plane.pool cimport Acquired, Pool
from weir.plane.roster cimport HEALTH_UNHEALTHY, ORDER_READY
from weir.plane.states cimport MACHINE_UPSTREAM, U_KEPT
from weir.plane.upstream cimport Upstream, UpstreamUser
from weir.plane.workspace cimport move


cdef class PrivatePool(Pool):
    """A pool whose connections speak for one client each."""

    def __cinit__(self, *_):
        self.wait_idle_ms = 0       # nothing is ever given back for others

    cdef bint retake(self, Upstream upstream, UpstreamUser user) except -1:
        cdef int64_t now_ms, rest_ms
        if upstream.state != U_KEPT:
            return False
        self._unkeep(upstream)
        now_ms = self.workspace.clock.tick() // 1000
        rest_ms = now_ms - upstream.idle_since_ms
        if self.learner.batch or self.learner.shorts:
            self.learner.settle(now_ms)
        if (
            self.closed
            # Who may not be chosen gets no more requests this way either.
            or self.entry.standing.order != ORDER_READY
            or self.entry.standing.health == HEALTH_UNHEALTHY
            or self.entry.standing.ejected_until_us > <uint64_t>self.workspace.clock.now_us
            or upstream.requests >= self.max_requests
            or now_ms - upstream.born_ms >= self.max_age_ms
            or rest_ms > self.learner.limit_ms
            or (not user.repeatable and rest_ms + upstream.doubt_ms > self.learner.safe_ms)
        ):
            self._close(upstream)
            return False
        if upstream.stream.is_spoiled():
            self._found_closed(upstream, now_ms)
            return False
        upstream.rested_ms = rest_ms
        self.entry.figures[EF_REUSES] += 1
        upstream.reused = True
        self._hand_over(upstream, user)
        return True

    cdef int drop(self, Upstream upstream) except -1:
        if upstream.state == U_KEPT:
            self._unkeep(upstream)
            return self._close(upstream)
        return 0

    cdef Acquired dial_for(self, UpstreamUser user) except *:
        if self.open >= self.max_connections and self.kept_last is not None:
            self.drop(self.kept_last)
        return Pool.dial_for(self, user)

    cdef int give(self, Upstream upstream, bint reusable) except -1:
        self.giver = upstream.user
        try:
            return Pool.give(self, upstream, reusable)
        finally:
            self.giver = None

    cdef int _settle(self, Upstream upstream) except -1:
        cdef UpstreamUser giver = self.giver
        if upstream.requests == 0:
            return Pool._settle(self, upstream)
        # Whoever is queued is better served by the place than this client, who may never come again.
        if giver is None or self.closed or self.owner.queue.length or not giver.keep(upstream):
            return self._close(upstream)
        upstream.state = move(self.workspace, MACHINE_UPSTREAM, upstream.state, U_KEPT)
        upstream.idle_since_ms = self.workspace.clock.now_us // 1000
        upstream.doubt_ms = upstream.idle_since_ms - upstream.answered_ms
        upstream.next = self.kept_first
        if self.kept_first is None:
            self.kept_last = upstream
        else:
            self.kept_first.previous = upstream
        self.kept_first = upstream
        self.kept += 1
        self.workspace.wheel.arm(upstream, max(self.learner.limit_ms, <int64_t>1))
        return 0

    cdef void _unkeep(self, Upstream upstream) noexcept:
        invariant(upstream.state == U_KEPT and self.kept > 0)
        if upstream.previous is None:
            self.kept_first = upstream.next
        else:
            upstream.previous.next = upstream.next
        if upstream.next is None:
            self.kept_last = upstream.previous
        else:
            upstream.next.previous = upstream.previous
        upstream.next = None
        upstream.previous = None
        self.kept -= 1

    cdef int on_idle_event(self, Upstream upstream) except -1:
        if upstream.state != U_KEPT:
            return Pool.on_idle_event(self, upstream)
        self._unkeep(upstream)
        return self._found_closed(upstream, self.workspace.clock.now_us // 1000)

    cdef int on_upstream_timeout(self, Upstream upstream) except -1:
        if upstream.state != U_KEPT:
            return Pool.on_upstream_timeout(self, upstream)
        self.entry.figures[EF_RETIRED] += 1
        return self.drop(upstream)

    cdef uint32_t active(self) noexcept:
        return Pool.active(self) - self.kept

    cdef int retire(self) except -1:
        while self.kept_last is not None:
            self.drop(self.kept_last)
        return Pool.retire(self)

    cdef int close_all(self) except -1:
        self.closed = True
        while self.kept_last is not None:
            self.drop(self.kept_last)
        return Pool.close_all(self)
