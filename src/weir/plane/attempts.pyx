"""From an attempt at a request to the next one, or to two at a time.

What is hard here: a request is sent again only if that is safe, wanted, possible and paid for. The decision is
retry's; here is what it needs to know, and what is done then. All attempts together have the time that one would
have had, and what was read of the request stays where it is until there is no attempt to come.
"""

from libc.stdint cimport int64_t, uint16_t

from weir.plane.action cimport Action
from weir.plane.buffer cimport Buffer
from weir.plane.cluster cimport Cluster
from weir.plane.codes cimport DONE, R_INTERNAL, R_NO_ROUTE, R_RESPONSE_TIMEOUT, Reason
from weir.plane.exchange cimport Exchange, SecondTry, is_of_endpoint
from weir.plane.facts cimport fill_edits
from weir.plane.framing cimport B_NONE
from weir.plane.head cimport M_GET, M_HEAD, M_OPTIONS, Head, HeadLimits, scan_response
from weir.plane.hedge cimport Hedge
from weir.plane.hold cimport let_in
from weir.plane.hooks cimport PHASE_LOG, PHASE_REQUEST
from weir.plane.meeting cimport MEET_GO, choose_hooks, meet, meet_log, meet_request_body
from weir.plane.mirror cimport mirror
from weir.plane.pool cimport Pool
from weir.plane.response cimport on_response_head, read_response
from weir.plane.retry cimport ON_BAD_RESPONSE, ON_CONNECT, ON_RESET, ON_REUSED, ON_TIMEOUT, Attempt, Retries
from weir.plane.retrywords cimport RETRIED_MASK, RW_DEADLINE
from weir.plane.states cimport E_HELD, E_OVER, E_PAUSE, MACHINE_EXCHANGE
from weir.plane.upstream cimport Upstream
from weir.plane.workspace cimport move

cdef enum:
    # A used connection that breaks so soon was being closed when the request was sent; later, it broke over it.
    RACE_US = 1_000_000

cdef int64_t NEVER_MS = <int64_t>1 << 62    # of hedge_at_ms: it was hedged, or nobody knows yet when


cdef class Trying(Exchange):
    """An exchange, as far as it may take more than one attempt."""

    # -- the way in ---------------------------------------------------------------------------------------

    cdef int start(self) except -1:
        if self.owner.options.admission is not None and not let_in(self):
            return 0
        return self._go_on()

    cdef int _go_on(self) except -1:
        if self.route.hooks is not None:
            if self.workspace.request_owner is not self and not self.restore_head():
                return self.fail(R_INTERNAL)
            choose_hooks(self)
            if self.hooked and self.route.action is not None and fill_edits(self):
                return self.refuse(R_INTERNAL)
            if self.hooked & self.route.hooks.masks[<int>PHASE_REQUEST] and meet(self, PHASE_REQUEST) != MEET_GO:
                return 0
        return self._begin()

    cdef int go_on(self, int phase) except -1:
        if phase == PHASE_REQUEST:
            return self._begin()
        self.response_met = True
        # What came of the request while the hook was awaited was left where it was, and is not told again.
        if self.request_passage is not None or not self.request.done:
            self.workspace.engine.put_ready(self.owner.stream)
        # The whole head stands in head_buf, whatever else has come meanwhile.
        self.head_held = True
        return read_response(self)

    cdef int meet_end(self) except -1:
        return meet_log(self) if self.hooked & self.route.hooks.masks[<int>PHASE_LOG] else 0

    cdef int _begin(self) except -1:
        if self.hooked and meet_request_body(self) != MEET_GO:
            return 0
        if self.cluster.nowhere:
            return self._answer()
        if self.route.mirrors is not None:
            mirror(self)
        # What was refused is no reason to send others more often.
        self.cluster.retry.count_request()
        return self._acquire()

    cdef int _answer(self) except -1:
        """Its route sends nothing on: it answers, or there is none."""
        cdef Action action = self.route.action
        cdef bint keep
        if action is None or action.status == 0:
            return self.refuse(R_NO_ROUTE)
        if self.state == E_OVER:
            self.state = move(self.workspace, MACHINE_EXCHANGE, self.state, E_HELD)
        keep = self.may_keep()
        self.status = self.owner.answer_action(self, keep)
        return self.finish(False, keep and self.status != 0)

    cdef int _acquire(self) except -1:
        raise NotImplementedError(f"{type(self).__name__}._acquire")

    # -- what is waited for -------------------------------------------------------------------------------

    cdef void _await_head(self) noexcept:
        """The request is sent: what there is to wait for now, and how long."""
        cdef Cluster cluster = self.cluster
        cdef int64_t now_ms = self.workspace.clock.now_us // 1000
        if self.deadline_ms == 0:
            self.deadline_ms = now_ms + cluster.response_header_timeout_ms
            if self.gives_up_ms:
                self.deadline_ms = min(self.deadline_ms, self.gives_up_ms)
        if cluster.retry.attempt_timeout_ms and self.may_repeat and cluster.retry.on & ON_TIMEOUT:
            self.attempt_ends_ms = now_ms + cluster.retry.attempt_timeout_ms
        # Safe methods alone: of two DELETEs at the same time, the one that finds nothing left could be the faster.
        if (
            cluster.hedge is not None and self.hedge_at_ms == 0
            and self.method in (M_GET, M_HEAD, M_OPTIONS) and self.framing.kind == B_NONE and not self.upgrade
        ):
            self.hedge_at_ms = cluster.hedge.delay_ms()
            self.hedge_at_ms = NEVER_MS if self.hedge_at_ms < 0 else now_ms + self.hedge_at_ms
        self._wait_on(now_ms)

    cdef void _wait_on(self, int64_t now_ms) noexcept:
        cdef int64_t until_ms = self.deadline_ms
        if self.attempt_ends_ms:
            until_ms = min(until_ms, self.attempt_ends_ms)
        if self.hedge_at_ms:
            until_ms = min(until_ms, self.hedge_at_ms)
        self.workspace.wheel.arm(self, until_ms - now_ms if until_ms > now_ms else 0)

    cdef int _overdue(self) except -1:
        """The request is sent, there is no response head, and the time for something is over."""
        cdef int64_t now_ms = self.workspace.clock.now_us // 1000
        if now_ms >= self.deadline_ms:
            self.cluster.retry.count(RW_DEADLINE)
            return self.fail(R_RESPONSE_TIMEOUT)
        if self.attempt_ends_ms and now_ms >= self.attempt_ends_ms:
            return self.try_again(ON_TIMEOUT, R_RESPONSE_TIMEOUT)
        if self.hedge_at_ms and now_ms >= self.hedge_at_ms:
            self.hedge_at_ms = NEVER_MS
            self._wait_on(now_ms)
            # One that has begun to answer, or a worker that is told to stop, needs no help.
            if not self.response_begun and not self.workspace.draining:
                return (<Hedge>Hedge.__new__(Hedge)).start(self)
            return 0
        self._wait_on(now_ms)
        return 0

    # -- the next attempt ---------------------------------------------------------------------------------

    cdef int lost(self, Reason reason) except -1:
        """The endpoint is gone before a response."""
        cdef uint16_t failure = ON_RESET
        if not self.accepted and self.cluster.retry.on & ON_CONNECT:
            failure = ON_CONNECT
        elif self.response_begun:
            failure = ON_BAD_RESPONSE
        elif self.upstream.reused:
            failure = ON_REUSED
        if self.upstream.reused and not self.response_begun and (
            self.workspace.clock.tick() - self.connected_us < RACE_US
        ):
            self.pool.lost_race(self.upstream)
            self.raced = self.pool
        return self.try_again(failure, reason)

    cdef int try_again(self, uint16_t failure, Reason reason) except -1:
        return 0 if self.tries_again(failure, reason) else self.fail(reason)

    cdef bint tries_again(self, uint16_t failure, Reason reason) except -1:
        cdef Retries retry = self.cluster.retry
        cdef Attempt attempt
        cdef bint innocent = failure == ON_CONNECT or failure == ON_REUSED
        cdef bint again
        cdef int64_t pause_ms
        cdef SecondTry second = self.second     # held: it may let go of itself
        cdef Pool pool = self.pool
        # Found out first: the second request brings a connection of its own.
        cdef bint suspicious = is_of_endpoint(reason) and not self._may_be_race(reason)
        if second is not None and second.promote():
            # The second request is under way already: it has taken the place of this one.
            if is_of_endpoint(reason):
                pool.failed(reason)
            if suspicious:
                pool.suspect(reason)
            return True
        if not innocent:
            self.cluster.avoid(self, pool)
        attempt.elsewhere = innocent or self.cluster.has_other(self)
        again = not attempt.elsewhere
        pause_ms = retry.pause_ms(self.retries, again)
        attempt.failure = failure
        attempt.repeatable = self.may_repeat
        attempt.body_here = not self.body_read or self.request.kept is not None
        attempt.in_time = (
            self.deadline_ms == 0 or self.workspace.clock.now_us // 1000 + pause_ms < self.deadline_ms
        )
        attempt.made = self.attempts
        if RETRIED_MASK >> <int>retry.decide(&attempt) & 1 == 0:
            return False
        if not innocent and is_of_endpoint(reason):
            pool.failed(reason)
            if suspicious:
                pool.suspect(reason)
        if again:
            self.tried = None
            self.forgiven = True
        self._drop_attempt()
        self.retries += 1
        self._pause(pause_ms)
        return True

    cdef int _pause(self, int64_t pause_ms) except -1:
        if pause_ms == 0:
            return self._acquire()
        self.state = move(self.workspace, MACHINE_EXCHANGE, self.state, E_PAUSE)
        self.workspace.wheel.arm(self, pause_ms)
        return 0

    cdef int _drop_attempt(self) except -1:
        cdef Upstream upstream = self.upstream
        cdef Pool pool = self.pool
        self.workspace.wheel.disarm(self)
        self.upstream = None
        self.request.destination = None     # its buffers stay: what was read has to be sent again
        self.response.release()
        if self.head_buf is not None:
            self.workspace.buffers.give(self.head_buf)
            self.head_buf = None
        self.upload_broken = False
        self.accepted = False
        self.response_begun = False
        self.response_scanned = 0
        self.head_held = False
        # What hooks have seen and changed was this attempt's response; the next one is another.
        self.meets_response = False
        self.response_met = False
        self.response_edits = None
        self.attempt_ends_ms = 0
        self.hedge_at_ms = 0
        self.fresh = True
        self.first_byte_us = 0
        self.status = 0
        self.waits_us = self.workspace.clock.tick()
        self.connecting_us = 0
        self.connected_us = 0
        self.connect_us = 0
        pool.give(upstream, False)
        return 0

    # -- the other one ------------------------------------------------------------------------------------

    cdef int take_over(self, Upstream upstream, Buffer buf) except -1:
        cdef Head* head = &self.workspace.response_head
        cdef Upstream old = self.upstream
        cdef Pool old_pool = self.pool
        cdef HeadLimits limits
        upstream.user = self
        self.upstream = upstream
        self.pool = <Pool>upstream.home
        self.request.destination = upstream.stream
        if self.head_buf is not None:
            self.workspace.buffers.give(self.head_buf)
        self.head_buf = buf
        self.response_begun = buf is not None
        self.response_scanned = 0
        self.head_held = False
        self.first_byte_us = 0
        old_pool.give(old, False)
        self._await_head()
        self.hedge_at_ms = 0        # how long it took was observed, as far as it says something
        if buf is None:
            return 0
        limits.head_bytes = self.cluster.max_response_head_bytes
        limits.fields = self.cluster.max_response_fields
        limits.target_bytes = 0
        self.workspace.response_owner = None
        head.scanned = 0
        if scan_response(buf.data + buf.start, buf.end - buf.start, &limits, head) == DONE:
            return on_response_head(self, buf, False)
        return 0
