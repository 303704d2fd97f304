"""One request and its response: its state, and all the ways in which it ends.

How it is sent is forward's part, how its answer comes back is response's. The rules of the end:

- The response decides. When it is complete the exchange is over; if the request is not complete by then,
  neither connection is used again (the client's is closed with a lingering close).
- After its head was sent to the client a response can only be finished or visibly cut.
- Whatever the end, it is counted once, logged once, and gives everything back.
"""

from libc.stdint cimport int64_t, uint16_t, uint32_t
from libc.string cimport memcpy

from weir.plane.accesslog cimport L_CONNECT, L_DATA, L_QUEUE, L_REQUEST_HEAD, L_RESPONSE_HEAD, LogRecord
from weir.plane.account cimport account
from weir.plane.buffer cimport Buffer
from weir.plane.codes cimport (
    R_BAD_RESPONSE,
    R_BAD_RESPONSE_FRAMING,
    R_CIRCUIT_OPEN,
    R_CLIENT_STALLED,
    R_CLIENT_TOO_SLOW,
    R_FAULT_INJECTED,
    R_NONE,
    R_QUEUE_FULL,
    R_QUEUE_TIMEOUT,
    R_RESPONSE_HEAD_TOO_LARGE,
    R_RESPONSE_TIMEOUT,
    R_UPSTREAM_CLOSED,
    R_UPSTREAM_RESET,
    R_UPSTREAM_TRUNCATED,
    Reason,
    Step,
)
from weir.plane.cluster cimport Cluster
from weir.plane.deadline cimport DEADLINE_BAD, DEADLINE_NONE, read_deadline
from weir.plane.fields cimport ties_connection
from weir.plane.framing cimport B_CHUNKED, B_CLOSE, B_LENGTH, B_NONE, Framing
from weir.plane.head cimport (
    F_AUTHORIZATION, F_HOST, F_REFERER, F_USER_AGENT, M_DELETE, M_GET, M_HEAD, M_OPTIONS, M_PUT, Head,
)
from weir.plane.ids cimport identify
from weir.plane.options cimport Route
from weir.plane.pace cimport pace_start
from weir.plane.passage cimport Passage
from weir.plane.pool cimport Pool
from weir.plane.relay cimport Relay
from weir.plane.retry cimport ON_REUSED, Retries, carries_key
from weir.plane.states cimport E_BODY, E_HELD, E_OVER, E_SENT, E_TUNNEL, E_WAITING, MACHINE_EXCHANGE
from weir.plane.stream cimport StreamOwner
from weir.plane.upstream cimport W_NOT, Upstream, UpstreamUser
from weir.plane.workspace cimport move

cdef enum:
    SPARE_EXCHANGES = 1024      # finished exchanges kept to be used again
    VIEW_HOLDERS = 1            # of its view, when finish() ends it: itself


cdef inline Part field_part(const Head* head, int field, uint32_t base) noexcept:
    cdef Part part
    part.at = 0
    part.length = 0
    if head.first[field]:
        part.at = base + head.fields[head.first[field] - 1].value
        part.length = head.fields[head.first[field] - 1].value_length
    return part


cdef class ExchangeOwner(StreamOwner):
    """The client's side, as an exchange sees it."""

    cdef int exchange_done(self, Exchange exchange, bint keep) except -1:
        raise NotImplementedError(f"{type(self).__name__}.exchange_done")

    cdef int answer_error(self, Exchange exchange, Reason reason, bint keep, int64_t retry_after_s) except -1:
        raise NotImplementedError(f"{type(self).__name__}.answer_error")

    cdef int answer_own(self, Exchange exchange, object answer, bint keep) except -1:
        raise NotImplementedError(f"{type(self).__name__}.answer_own")

    cdef int answer_pieces(self, Exchange exchange, object answer) except -1:
        raise NotImplementedError(f"{type(self).__name__}.answer_pieces")

    cdef int answer_action(self, Exchange exchange, bint keep) except -1:
        raise NotImplementedError(f"{type(self).__name__}.answer_action")

    cdef Step send_small(self, const char* p, uint32_t n) except *:
        raise NotImplementedError(f"{type(self).__name__}.send_small")


cdef class ExchangeView:
    """What Python may hold of an exchange."""

    cdef bint end(self, Py_ssize_t holders) except -1:
        self.exchange = None
        return False


cdef class SecondTry(UpstreamUser):
    """A second request, as the exchange sees it."""

    cdef int cancel(self) except -1:
        raise NotImplementedError(f"{type(self).__name__}.cancel")

    cdef bint promote(self) except -1:
        raise NotImplementedError(f"{type(self).__name__}.promote")


cdef bint is_of_endpoint(Reason reason) noexcept:
    return reason in (
        R_UPSTREAM_CLOSED, R_UPSTREAM_RESET, R_UPSTREAM_TRUNCATED, R_BAD_RESPONSE, R_BAD_RESPONSE_FRAMING,
        R_RESPONSE_HEAD_TOO_LARGE, R_RESPONSE_TIMEOUT,
    )


cdef class Exchange(UpstreamUser):
    """One request and its response: what is known of it, and how it ends."""

    cdef int record(self, ExchangeOwner owner, Route route, const Framing* framing, int64_t started_us) except -1:
        cdef Head* head = &self.workspace.request_head
        cdef uint32_t base = owner.inbuf.start
        cdef uint32_t held = owner.inbuf.end - base - head.length
        self.owner = owner
        self.route = route
        self.head.at = base
        self.head.length = head.length
        self.method_text.at = base + head.method_at
        self.method_text.length = head.method_length
        self.target.at = base + head.target_at
        self.target.length = head.target_length
        self.path.at = base + head.path_at
        self.path.length = head.path_length
        self.host = field_part(head, F_HOST, base)
        self.referer = field_part(head, F_REFERER, base)
        self.user_agent = field_part(head, F_USER_AGENT, base)
        self.method = head.method
        self.version_minor = head.version_minor
        self.framing = framing[0]
        self.keep_alive = framing.keep_alive
        self.tied = ties_connection(owner.inbuf.data + base, head, F_AUTHORIZATION)
        self.idempotent = head.method in (M_GET, M_HEAD, M_PUT, M_DELETE, M_OPTIONS)
        self.started_us = started_us
        if owner.options.deadline_length:
            self.gives_up_ms = read_deadline(
                owner.inbuf.data + base, head, owner.options.deadline, owner.options.deadline_length
            )
            if self.gives_up_ms != DEADLINE_BAD:
                self.gives_up_ms = 0 if self.gives_up_ms == DEADLINE_NONE else started_us // 1000 + self.gives_up_ms
        # The read that brought the end of the head has asked the clock.
        self.head_us = self.waits_us = self.workspace.clock.now_us
        if framing.kind == B_LENGTH:
            self.body_in_inbuf = held if held < framing.length else <uint32_t>framing.length
        else:
            self.body_in_inbuf = held if framing.kind == B_CHUNKED else 0
        self.request.start(framing.kind, framing.length, False, False)
        self.response.payload = 0
        if owner.options.identifies:
            identify(
                owner.inbuf.data + base, head, owner.options.request_id, owner.options.trace,
                owner.options.trace_sample, &self.workspace.id_state, &self.identity,
            )
        self.row = route.series.find(
            self.workspace.counters, route.number, owner.inbuf.data + self.path.at, self.path.length
        )
        self.use_cluster(route.cluster)
        self.workspace.exchanges += 1
        return 0

    cdef int use_cluster(self, Cluster cluster) except -1:
        cdef ExchangeOwner owner = self.owner
        cdef Head* head = &self.workspace.request_head
        cdef const char* p = owner.inbuf.data + self.head.at
        cdef Retries retry = cluster.retry
        if self.cluster is not cluster:
            self.wanted = None
        self.cluster = cluster
        self.may_repeat = self.idempotent or (retry.takes_keys and carries_key(p, head))
        self.repeatable = (
            self.may_repeat and retry.attempts > 1 and retry.on & ON_REUSED
            and (self.framing.kind == B_NONE or (self.framing.kind == B_LENGTH and (
                self.body_in_inbuf == self.framing.length or self.framing.length <= retry.max_replay_body
            )))
        )
        if cluster.binds:
            cluster.bind(p, head, owner.client, owner.client_length, self)
        return 0

    cdef bint restore_head(self) noexcept:
        return False

    cdef int go_on(self, int phase) except -1:
        raise NotImplementedError(f"{type(self).__name__}.go_on")

    cdef int meet_end(self) except -1:
        raise NotImplementedError(f"{type(self).__name__}.meet_end")

    cdef int body_moved(self, Passage passage) except -1:
        raise NotImplementedError(f"{type(self).__name__}.body_moved")

    cdef bint request_taken(self) noexcept:
        return self.request.done if self.request_passage is None else self.request_passage.feed.source_done

    cdef bint state_is_sent(self) noexcept:
        return self.state not in (E_OVER, E_HELD, E_WAITING)

    cdef uint32_t consumed(self) noexcept:
        return self.head.length + self.body_in_inbuf

    cdef int start(self) except -1:
        raise NotImplementedError(f"{type(self).__name__}.start")

    cdef int on_client_event(self, uint32_t what) except -1:
        raise NotImplementedError(f"{type(self).__name__}.on_client_event")

    cdef int refuse(self, Reason reason) except -1:
        self.state = move(self.workspace, MACHINE_EXCHANGE, self.state, E_WAITING)
        return self.fail(reason)

    cdef bint keep(self, Upstream upstream) except -1:
        self.owner.kept = upstream
        return True

    cdef int lost(self, Reason reason) except -1:
        raise NotImplementedError(f"{type(self).__name__}.lost")

    cdef int try_again(self, uint16_t failure, Reason reason) except -1:
        raise NotImplementedError(f"{type(self).__name__}.try_again")

    cdef bint tries_again(self, uint16_t failure, Reason reason) except -1:
        raise NotImplementedError(f"{type(self).__name__}.tries_again")

    cdef uint32_t compose_request(self) noexcept:
        return 0

    cdef int take_over(self, Upstream upstream, Buffer buf) except -1:
        raise NotImplementedError(f"{type(self).__name__}.take_over")

    cdef int on_failure(self, Reason reason) except -1:
        if self.state == E_OVER:
            return 0
        return self.fail(reason)

    # -- ending -------------------------------------------------------------------------------------------

    cdef int fail(self, Reason reason) except -1:
        """Ends it with an error: answered if that is still possible, else visibly cut."""
        cdef ExchangeOwner owner = self.owner
        cdef bint keep
        cdef int64_t retry_after_s = self.retry_after_s
        if self.upstream is not None and is_of_endpoint(reason):
            self.pool.failed(reason)
            # A response that is cut short comes from an endpoint that answers: streams would sum up to a verdict.
            if self.state == E_SENT and not self._may_be_race(reason):
                self.pool.suspect(reason)
        if self.state == E_BODY or self.state == E_TUNNEL:
            return self.abort(reason)
        self.reason = reason
        if reason == R_QUEUE_FULL or reason == R_QUEUE_TIMEOUT:
            retry_after_s = self.cluster.retry_after_s()
        elif reason == R_CIRCUIT_OPEN:
            retry_after_s = self.cluster.breaker.retry_after_s()
        keep = self.may_keep()
        self.status = owner.answer_error(self, reason, keep, retry_after_s)
        return self.finish(False, keep and self.status != 0)

    cdef bint may_keep(self) noexcept:
        # The connection goes on only if the request was taken in whole: what follows is the next one then.
        cdef bint whole = self.request_taken()
        if self.request_passage is None and (self.state == E_HELD or (self.state == E_WAITING and self.retries == 0)):
            whole = self.framing.kind == B_NONE or (
                self.framing.kind == B_LENGTH and self.body_in_inbuf == self.framing.length
            )
        return whole and self.keep_alive and not self.workspace.draining

    cdef bint _may_be_race(self, Reason reason) noexcept:
        """Whether the endpoint may just have closed a connection that had rested."""
        return (
            self.upstream is not None and self.upstream.reused and not self.response_begun
            and reason in (R_UPSTREAM_CLOSED, R_UPSTREAM_RESET)
        )

    cdef int abort(self, Reason reason) except -1:
        """Ends it without another word to the client."""
        self.reason = reason
        if reason == R_CLIENT_STALLED or reason == R_CLIENT_TOO_SLOW:
            self.owner.stream.reset()       # what the kernel holds for it is let go, too
        elif self.state == E_BODY and self.version_minor == 0 and self.response.kind in (B_CHUNKED, B_CLOSE):
            # Only the end of the connection ends such a body for HTTP/1.0: a clean end would be a lie.
            self.owner.stream.reset()
        return self.finish(False, False)

    cdef int finish(self, bint keep_upstream, bint keep_client) except -1:
        cdef ExchangeOwner owner = self.owner
        cdef Upstream upstream = self.upstream
        cdef Pool pool = self.pool
        cdef SecondTry second = self.second     # held: it lets go of itself
        if self.waiting != W_NOT:
            self.cluster.forget(self, pool)
        if self.admitted or self.tries:
            self.cluster.let_go(self)
        self.workspace.wheel.disarm(self)
        if second is not None:
            second.cancel()
        self.workspace.exchanges -= 1
        self._account()
        if self.hooked:
            self.meet_end()
        if self.view is not None and not self.view.end(VIEW_HOLDERS):
            self.view = None
        try:
            self._return_leftover()
        except MemoryError:
            keep_client = False         # the first bytes of the next request are lost
        self.state = move(self.workspace, MACHINE_EXCHANGE, self.state, E_OVER)
        self.upstream = None
        self.request.release()
        self.response.release()
        if self.request_passage is not None:
            self.request_passage.end()
        if self.response_passage is not None:
            self.response_passage.end()
        if self.head_buf is not None:
            self.workspace.buffers.give(self.head_buf)
            self.head_buf = None
        if self.workspace.request_owner is self:
            self.workspace.request_owner = None
        try:
            if upstream is not None:
                pool.give(upstream, keep_upstream)
        except Exception as error:
            self.workspace.engine.failed(pool, error)
        try:
            owner.exchange_done(self, keep_client)
        except Exception as error:
            self.workspace.engine.failed(owner, error)
        self._reset()
        return 0

    cdef void split(self, int64_t* parts_us, int64_t end_us) noexcept:
        """The parts of the time from the first byte to `end_us`; what has not begun by then is 0.

        One that ends early gives the time to the part in which it ends: to the connect, if it ends in one, or by one.
        """
        cdef int64_t waited_us = (self.connected_us if self.connected_us else end_us) - self.head_us
        cdef int64_t connect_us = self.connect_us
        if self.connected_us == 0 and self.connecting_us:
            connect_us = end_us - self.connecting_us
        parts_us[<int>L_REQUEST_HEAD] = self.head_us - self.started_us
        parts_us[<int>L_QUEUE] = waited_us - connect_us
        parts_us[<int>L_CONNECT] = connect_us
        parts_us[<int>L_RESPONSE_HEAD] = 0
        parts_us[<int>L_DATA] = 0
        if self.first_byte_us:
            parts_us[<int>L_RESPONSE_HEAD] = self.first_byte_us - self.connected_us
            parts_us[<int>L_DATA] = end_us - self.first_byte_us
        elif self.connected_us:
            parts_us[<int>L_RESPONSE_HEAD] = end_us - self.connected_us

    cdef void _account(self) noexcept:
        cdef LogRecord record
        cdef int64_t end_us
        cdef const char* base = self.owner.inbuf.data
        record.route = self.route.number
        record.client = self.owner.client
        record.client_length = self.owner.client_length
        record.method = base + self.method_text.at
        record.method_length = self.method_text.length
        record.target = base + self.target.at
        record.target_length = self.target.length
        record.path = base + self.path.at
        record.path_length = self.path.length
        record.version_minor = self.version_minor
        record.has_head = 1
        record.status = self.status
        record.reason = self.reason
        if self.injected and self.reason == R_NONE:
            record.reason = R_FAULT_INJECTED
        record.response_body_bytes = self.response.payload
        if self.response.unsent() < record.response_body_bytes:
            record.response_body_bytes -= self.response.unsent()
        record.request_body_bytes = self.request.payload
        if self.request_passage is not None:
            record.request_body_bytes = self.request_passage.feed.payload
        record.host = base + self.host.at
        record.host_length = self.host.length
        record.referer = base + self.referer.at
        record.referer_length = self.referer.length
        record.user_agent = base + self.user_agent.at
        record.user_agent_length = self.user_agent.length
        record.id = self.identity.id
        record.id_length = self.identity.id_length
        record.trace_id = self.identity.trace_id if self.identity.traced else NULL
        record.span_id = self.identity.span_id if self.identity.traced else NULL
        record.parent_id = self.identity.parent_id if self.identity.joined else NULL
        record.endpoint = NULL
        record.endpoint_length = 0
        if self.pool is not None:
            record.endpoint = self.pool.endpoint_text
            record.endpoint_length = <uint32_t>len(self.pool.endpoint_text)
        end_us = self.workspace.clock.tick()
        record.total_us = end_us - self.started_us
        self.split(record.parts_us, end_us)
        record.first_byte_us = self.first_byte_us - self.started_us if self.first_byte_us else -1
        record.retries = self.retries
        account(self.workspace, self.row, &record)

    cdef int _return_leftover(self) except -1:
        """Bytes of the next request that the request's relay holds go back to the owner's inbuf."""
        cdef Relay relay = self.request if self.request_passage is None else self.request_passage.feed
        cdef Buffer inbuf = self.owner.inbuf
        cdef uint32_t left
        if not self.request_taken() or relay.buf is None or self.state == E_TUNNEL:
            return 0
        left = relay.raw_end - relay.buf.end
        if left == 0 or inbuf is None:
            return 0
        if self.request_whole:
            # They never left: what was adopted was a copy.
            self.body_in_inbuf -= left
            return 0
        if inbuf.size - inbuf.end < left:
            inbuf = self.workspace.buffers.regrow(inbuf, inbuf.end - inbuf.start + left)
            self.owner.inbuf = inbuf
        memcpy(inbuf.data + inbuf.end, relay.buf.data + relay.buf.end, left)
        inbuf.end += left
        return 0

    cdef void _reset(self) noexcept:
        self.owner = None
        self.route = None
        self.cluster = None
        self.pool = None
        self.state = E_OVER
        self.tried = None
        self.fresh = False
        self.forgiven = False
        self.body_read = False
        self.deadline_ms = 0
        self.attempt_ends_ms = 0
        self.hedge_at_ms = 0
        self.raced = None
        self.upgrade = False
        self.te_trailers = False
        self.expect = False
        self.request_whole = False
        self.body_in_inbuf = 0
        self.status = 0
        self.keep_client = False
        self.upstream_keep_alive = False
        self.response_begun = False
        self.upload_broken = False
        self.accepted = False
        self.response_scanned = 0
        self.head_held = False
        self.continued = False
        self.interim = 0
        self.interim_bytes = 0
        self.attempts = 0
        self.retries = 0
        self.wanted = None
        self.reason = R_NONE
        self.identity.id_length = 0
        self.identity.traced = False
        self.identity.joined = False
        self.hooked = 0
        self.calling = False
        self.meets_response = False
        self.response_met = False
        self.filled = False
        self.request_edits = None
        self.response_edits = None
        self.request_passage = None
        self.response_passage = None
        self.injected = False
        self.variant = 0
        self.retry_after_s = 0
        self.bytes_per_s = 0
        self.gives_up_ms = 0
        self.first_byte_us = 0
        self.connecting_us = 0
        self.connected_us = 0
        self.connect_us = 0
        pace_start(&self.pace)
        if self.workspace.spare_exchanges < SPARE_EXCHANGES:
            self.next_free = <Exchange>self.workspace.spare_exchange
            self.workspace.spare_exchange = self
            self.workspace.spare_exchanges += 1
