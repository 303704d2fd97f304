"""A request's way to an endpoint: a connection, the composed head, the body, and once more with proof.

What is hard here: the endpoint may close a connection just as a request is written to it.

- An endpoint that stops taking the request may already have answered: a failed write is no verdict until
  the answer was looked for.
- A request is sent again only if that is safe, wanted, possible and paid for. The decision is retry's; here is
  what it needs to know, and what is done then. The body of a request that may be repeated is kept in copy, up to
  a limit, unless all of it came with the head and still stands there.
- All attempts together have the time that one would have.
"""

from libc.stdint cimport int64_t, uint16_t, uint32_t
from libc.string cimport memcpy

from weir.plane.buffer cimport Buffer
from weir.plane.cluster cimport Cluster
from weir.plane.codes cimport (
    DONE,
    FAILED,
    NEED_MORE,
    R_BAD_CHUNK,
    R_BODY_TIMEOUT,
    R_CLIENT_CLOSED,
    R_CLIENT_STALLED,
    R_INTERNAL,
    R_QUEUE_FULL,
    R_QUEUE_TIMEOUT,
    R_RESPONSE_TIMEOUT,
    R_STREAM_TIMEOUT,
    R_UPSTREAM_CLOSED,
    Reason,
    Step,
)
from weir.plane.exchange cimport Exchange, ExchangeOwner
from weir.plane.fields cimport RequestPolicy, check_request, request_head_bound, write_request_head
from weir.plane.framing cimport B_NONE, Framing, frame_request
from weir.plane.head cimport M_GET, M_HEAD, M_OPTIONS, Head, HeadLimits, scan_request, scan_response
from weir.plane.hedge cimport Hedge
from weir.plane.options cimport ListenerOptions
from weir.plane.pool cimport A_CONNECTING, A_FAILED, A_QUEUED, A_TAKEN, A_WAIT_IDLE, Acquired, Pool
from weir.plane.relay cimport RELAY_TAILROOM, Relay
from weir.plane.response cimport on_response_head, pump_response, pump_tunnel, read_response
from weir.plane.retry cimport (
    ON_BAD_RESPONSE, ON_CONNECT, ON_RESET, ON_REUSED, ON_TIMEOUT, Attempt, Retries,
)
from weir.plane.retrywords cimport (
    RETRIED_MASK, RW_CONNECT, RW_DEADLINE, RW_NO_ENDPOINT, RW_NOT_CHOSEN, RW_RESPONSE_BEGUN,
)
from weir.plane.states cimport E_BODY, E_PAUSE, E_SENT, E_TUNNEL, E_WAITING, MACHINE_EXCHANGE
from weir.plane.stream cimport STREAM_DOWN, STREAM_PEER_DONE, STREAM_WRITE
from weir.plane.upstream cimport W_POOL, W_QUEUE, Upstream, UpstreamHome
from weir.plane.workspace cimport COMPOSE_BYTES, Workspace, move

cdef int64_t NEVER_MS = <int64_t>1 << 62    # of hedge_at_ms: it was hedged, or nobody knows yet when


cdef Exchange take_exchange(Workspace workspace):
    cdef Exchange exchange
    if workspace.spare_exchange is not None:
        exchange = <Exchange>workspace.spare_exchange
        workspace.spare_exchange = exchange.next_free
        workspace.spare_exchanges -= 1
        exchange.next_free = None
        return exchange
    exchange = Forward.__new__(Forward)
    exchange.workspace = workspace
    exchange.request = Relay.__new__(Relay)
    exchange.response = Relay.__new__(Relay)
    exchange.request.workspace = workspace
    exchange.response.workspace = workspace
    return exchange


cdef class Forward(Exchange):
    """An exchange that an endpoint answers."""

    # -- finding a connection -----------------------------------------------------------------------------

    cdef int start(self) except -1:
        return self._acquire()

    cdef int _acquire(self) except -1:
        self.state = move(self.workspace, MACHINE_EXCHANGE, self.state, E_WAITING)
        return self._acquired(self.cluster.acquire(self, False))

    cdef int _acquired(self, Acquired how) except -1:
        if how == A_TAKEN:
            self.pool = self.cluster.chosen
            return self.on_upstream(self.pool.taken)
        if how == A_QUEUED:
            self.connecting_us = 0
            self.pool = None
            self.workspace.wheel.arm(self, self.cluster.queue_timeout_ms)
            return 0
        if how == A_WAIT_IDLE:
            self.connecting_us = 0
            self.pool = self.cluster.chosen
            self.workspace.wheel.arm(self, self.pool.wait_idle_ms)
            return 0
        if how == A_CONNECTING:
            return self.on_line(self.cluster.chosen)
        if self.retries and self.cluster.retry.same_endpoint and not self.forgiven:
            # The others could not be reached: one of those that were is better than none.
            self.forgiven = True
            self.cluster.forgive(self)
            return self._pause(self.cluster.retry.pause_ms(self.retries, True))
        if self.cluster.failure != R_QUEUE_FULL:
            self.cluster.retry.count(RW_NO_ENDPOINT if self.cluster.retry.on & ON_CONNECT else RW_NOT_CHOSEN)
        return self.fail(self.cluster.failure)

    cdef int on_line(self, UpstreamHome home) except -1:
        # The dials of the pool have deadlines of their own; one of them answers.
        self.pool = <Pool>home
        self.connecting_us = self.workspace.clock.now_us
        self.workspace.wheel.disarm(self)
        return 0

    cdef int on_no_upstream(self, UpstreamHome home, Reason reason) except -1:
        cdef Acquired how
        self.cluster.failure = reason
        if home is None:        # the cluster has looked at all of them
            return self._acquired(A_FAILED)
        self.cluster.avoid(self, home)
        if self.cluster.retry.on & ON_CONNECT == 0:
            return self._acquired(A_FAILED)
        how = self.cluster.acquire(self, True)
        if how != A_FAILED:
            self.cluster.retry.count(RW_CONNECT)
        return self._acquired(how)

    cdef int on_upstream(self, Upstream upstream) except -1:
        self.pool = <Pool>upstream.home
        self.upstream = upstream
        self.attempts += 1
        self.connected_us = self.workspace.clock.now_us
        if upstream.requests == 1 and not upstream.reused:
            self.connected_us = self.workspace.clock.tick()
            # It may have been dialled for somebody else, before this exchange was there.
            self.connect_us = self.connected_us - max(upstream.dialled_us, self.waits_us)
        return self._send_request()

    # -- the request --------------------------------------------------------------------------------------

    cdef bint _restore_head(self) noexcept:
        """Puts this request's parsed head into the workspace again, after others were parsed there."""
        cdef Head* head = &self.workspace.request_head
        cdef const char* p = self.owner.inbuf.data + self.head.at
        cdef Framing framing
        cdef bint upgrade, te_trailers, expect
        head.scanned = 0
        if scan_request(p, self.head.length, &self.owner.options.limits, head) != DONE:
            return False
        if frame_request(p, head, &framing) != DONE:
            return False
        if check_request(p, head, &framing, &upgrade, &te_trailers, &expect) != DONE:
            return False
        self.workspace.request_owner = self
        return True

    cdef uint32_t compose_request(self) noexcept:
        cdef Workspace workspace = self.workspace
        cdef ExchangeOwner owner = self.owner
        cdef ListenerOptions options = owner.options
        cdef Head* head = &workspace.request_head
        cdef RequestPolicy policy
        if workspace.request_owner is not self and not self._restore_head():
            return 0
        policy.forwarded = options.forwarded
        policy.via = options.via_request
        policy.host = self.cluster.host
        policy.host_length = <uint32_t>len(self.cluster.host)
        policy.client = owner.client
        policy.client_length = owner.client_length
        policy.proto = b"http"
        policy.proto_length = 4
        policy.identity = &self.identity if options.identifies else NULL
        if request_head_bound(head, &policy) > COMPOSE_BYTES:
            return 0
        return write_request_head(
            owner.inbuf.data + self.head.at, head, &self.framing, &policy, self.upgrade, self.te_trailers,
            workspace.compose,
        )

    cdef Step _prepare_body(self) except *:
        """Makes what is there of the body ready to be written, from its beginning."""
        cdef Workspace workspace = self.workspace
        cdef ExchangeOwner owner = self.owner
        cdef Relay relay = self.request
        cdef Buffer body
        if self.body_read:
            relay.rewind()
            relay.destination = self.upstream.stream
            return DONE
        if self.attempts > 1:
            relay.release()
        relay.source = owner.stream
        relay.destination = self.upstream.stream
        relay.end_reason = R_CLIENT_CLOSED
        relay.chunk_reason = R_BAD_CHUNK
        relay.limit = self.route.max_body_bytes
        relay.limits = owner.options.limits
        relay.start(self.framing.kind, self.framing.length, False, False)
        if self.body_in_inbuf:
            body = workspace.buffers.take(self.body_in_inbuf + RELAY_TAILROOM)
            memcpy(body.data, owner.inbuf.data + self.head.at + self.head.length, self.body_in_inbuf)
            if relay.adopt(body, 0, self.body_in_inbuf) == FAILED:
                return FAILED
        self.request_whole = relay.source_done
        if not relay.source_done and self.repeatable and self.cluster.retry.max_replay_body:
            if self.attempts < self.cluster.retry.attempts:
                relay.keep_copy(self.cluster.retry.max_replay_body)
        return DONE

    cdef int _send_request(self) except -1:
        cdef Workspace workspace = self.workspace
        cdef Relay relay = self.request
        cdef uint32_t n
        if self._prepare_body() == FAILED:
            return self.fail(relay.reason)
        n = self.compose_request()
        if n == 0:
            return self.fail(R_INTERNAL)
        self.state = move(self.workspace, MACHINE_EXCHANGE, self.state, E_SENT)
        if relay.send_first(workspace.compose, n) == FAILED:
            return self.lost(R_UPSTREAM_CLOSED)
        self.accepted = True
        if relay.done:
            self._await_head()
            return 0
        workspace.wheel.arm(self, self.cluster.stream_idle_timeout_ms)
        return self._pump_request()

    cdef void _await_head(self) noexcept:
        """The request is sent: what there is to wait for now, and how long."""
        cdef Cluster cluster = self.cluster
        cdef int64_t now_ms = self.workspace.clock.now_us // 1000
        if self.deadline_ms == 0:
            self.deadline_ms = now_ms + cluster.response_header_timeout_ms
        if cluster.retry.attempt_timeout_ms and self.repeatable and cluster.retry.on & ON_TIMEOUT:
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

    cdef int _pump_request(self) except -1:
        cdef Relay relay = self.request
        cdef Step step
        if relay.done or self.upload_broken:
            return 0
        if not relay.source_done:
            self.body_read = True
        step = relay.pump()
        if step == FAILED:
            return self._request_broken()
        if relay.done:
            if self.state == E_SENT:
                self._await_head()
        elif relay.moved:
            self.workspace.wheel.arm(self, self.cluster.stream_idle_timeout_ms)
        if step == NEED_MORE:
            self.workspace.engine.put_ready(self.owner.stream)
        return 0

    cdef int _request_broken(self) except -1:
        if self.request.failed_source:
            return self.fail(self.request.reason)
        # The endpoint takes no more. It may have answered before it closed.
        self.upload_broken = True
        if self.state == E_SENT:
            self.upstream.stream.may_read = True
            self.upstream.stream.peer_done = True
            return read_response(self)
        return 0

    # -- events -------------------------------------------------------------------------------------------

    cdef int on_upstream_event(self, Upstream upstream, uint32_t what) except -1:
        if self.state == E_TUNNEL:
            return pump_tunnel(self)
        if what & STREAM_WRITE and self.request.wants_write() and not self.upload_broken:
            self._pump_request()
            if self.upstream is not upstream:
                return 0
        if self.state == E_SENT:
            if upstream.stream.may_read:
                return read_response(self)
        elif self.state == E_BODY:
            return pump_response(self)
        return 0

    cdef int on_client_event(self, uint32_t what) except -1:
        if self.state == E_TUNNEL:
            return pump_tunnel(self)
        if what & STREAM_DOWN:
            return self.abort(R_CLIENT_CLOSED)
        if what & STREAM_PEER_DONE and (self.owner.options.half_close_aborts or self.waiting == W_QUEUE):
            # It sends no more. One that is queued has most likely given up: it makes room for others.
            if self.state == E_WAITING or self.state == E_PAUSE or self.request.source_done:
                return self.abort(R_CLIENT_CLOSED)
        if self.state == E_WAITING or self.state == E_PAUSE:
            return 0
        if what & STREAM_WRITE and self.state == E_BODY and self.response.wants_write():
            pump_response(self)
            if self.state != E_BODY:
                return 0
        # The same event may tell of bytes, too: there is no other one for them.
        return self._pump_request()

    cdef int on_timeout(self) except -1:
        cdef Acquired how
        if self.state == E_WAITING:
            if self.waiting == W_POOL and self.pool is not None:
                how = self.pool.dial_for(self)
                if how == A_TAKEN:
                    return self.on_upstream(self.pool.taken)
                if how == A_CONNECTING:
                    self.connecting_us = self.workspace.clock.now_us
                    return 0
                if how == A_FAILED:
                    return self.on_no_upstream(self.pool, self.pool.failure)
                return self._acquired(self.cluster.acquire(self, True))
            return self.fail(R_QUEUE_TIMEOUT)
        if self.state == E_PAUSE:
            return self._acquire()
        if self.state == E_TUNNEL:
            self.reason = R_STREAM_TIMEOUT
            return self.finish(False, False)
        if self.state == E_BODY:
            if self.response.wants_write():
                return self.abort(R_CLIENT_STALLED)
            self.cluster.retry.count(RW_RESPONSE_BEGUN)
            return self.fail(R_STREAM_TIMEOUT)
        if self.head_held:
            return read_response(self)
        if self.request.done:
            return self._overdue()
        return self.fail(R_STREAM_TIMEOUT if self.request.wants_write() else R_BODY_TIMEOUT)

    # -- the next attempt ---------------------------------------------------------------------------------

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

    cdef int lost(self, Reason reason) except -1:
        """The endpoint is gone before a response."""
        cdef uint16_t failure = ON_RESET
        if not self.accepted and self.cluster.retry.on & ON_CONNECT:
            failure = ON_CONNECT
        elif self.response_begun:
            failure = ON_BAD_RESPONSE
        elif self.upstream.reused:
            failure = ON_REUSED
        return self.try_again(failure, reason)

    cdef int try_again(self, uint16_t failure, Reason reason) except -1:
        return 0 if self.tries_again(failure) else self.fail(reason)

    cdef bint tries_again(self, uint16_t failure) except -1:
        cdef Retries retry = self.cluster.retry
        cdef Attempt attempt
        cdef bint innocent = failure == ON_CONNECT or failure == ON_REUSED
        cdef bint again
        cdef int64_t pause_ms
        if self.second is not None and self.second.promote():
            return True         # the second request is under way already: it takes the place of this one
        if not innocent:
            self.cluster.avoid(self, self.pool)
        attempt.elsewhere = innocent or self.cluster.has_other(self)
        again = not attempt.elsewhere
        pause_ms = retry.pause_ms(self.retries, again)
        attempt.failure = failure
        attempt.repeatable = self.repeatable
        attempt.body_here = not self.body_read or self.request.kept is not None
        attempt.in_time = (
            self.deadline_ms == 0 or self.workspace.clock.now_us // 1000 + pause_ms < self.deadline_ms
        )
        attempt.made = self.attempts
        if RETRIED_MASK >> <int>retry.decide(&attempt) & 1 == 0:
            return False
        if again:
            self.cluster.forgive(self)
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
        old_pool.give(old, False)
        self._await_head()
        if buf is None:
            return 0
        limits.head_bytes = self.cluster.max_response_head_bytes
        limits.fields = self.cluster.max_response_fields
        limits.target_bytes = 0
        head.scanned = 0
        if scan_response(buf.data + buf.start, buf.end - buf.start, &limits, head) == DONE:
            return on_response_head(self, buf)
        return 0
