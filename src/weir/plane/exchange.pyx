"""One request and its response: from a connection to the endpoint to the entry in the log.

What is hard here: both directions run at once and either may end first. The rules:

- The response decides. When it is complete the exchange is over; if the request is not complete by then,
  neither connection is used again (the client's is closed with a lingering close).
- An endpoint that stops taking the request may already have answered: a failed write is no verdict until
  the answer was looked for.
- A request is sent again only with proof that nothing was lost by it: the connection had been used before,
  no byte of a response has come, and the method is idempotent or no byte was accepted.
- After its head was sent to the client a response can only be finished or visibly cut.
"""

from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.string cimport memcpy, memmove, memset

from weir.plane.account cimport account
from weir.plane.accesslog cimport LogRecord
from weir.plane.buffer cimport Buffer
from weir.plane.codes cimport (
    DONE,
    FAILED,
    NEED_MORE,
    R_BAD_CHUNK,
    R_BAD_RESPONSE,
    R_BAD_RESPONSE_FRAMING,
    R_BODY_TIMEOUT,
    R_CLIENT_CLOSED,
    R_CLIENT_STALLED,
    R_INTERNAL,
    R_NONE,
    R_QUEUE_FULL,
    R_QUEUE_TIMEOUT,
    R_RESPONSE_TIMEOUT,
    R_STREAM_TIMEOUT,
    R_UPSTREAM_CLOSED,
    R_UPSTREAM_RESET,
    R_UPSTREAM_TRUNCATED,
    WOULD_BLOCK,
    Reason,
    Step,
)
from weir.plane.columns cimport K_RESPONSE_BODY_BYTES
from weir.plane.fields cimport (
    RequestPolicy,
    ResponsePolicy,
    check_request,
    request_head_bound,
    response_head_bound,
    write_request_head,
    write_response_head,
)
from weir.plane.framing cimport (
    B_CHUNKED,
    B_CLOSE,
    B_LENGTH,
    B_NONE,
    B_TUNNEL,
    Framing,
    frame_request,
    frame_response,
)
from weir.plane.head cimport (
    F_HOST,
    F_REFERER,
    F_USER_AGENT,
    M_DELETE,
    M_GET,
    M_HEAD,
    M_OPTIONS,
    M_PUT,
    Head,
    HeadLimits,
    scan_request,
    scan_response,
)
from weir.plane.options cimport ListenerOptions, Route
from weir.plane.pool cimport A_CONNECTING, A_FAILED, A_QUEUED, A_TAKEN, A_WAIT_IDLE, Acquired
from weir.plane.relay cimport RELAY_TAILROOM, Relay
from weir.plane.stream cimport (
    IO_BLOCKED,
    IO_FAILED,
    STREAM_AGAIN,
    STREAM_DOWN,
    STREAM_PEER_DONE,
    STREAM_READ,
    STREAM_WRITE,
)
from weir.plane.syscalls cimport ECONNRESET, ssize_t
from weir.plane.upstream cimport W_NOT, W_POOL, W_QUEUE, Upstream, UpstreamHome
from weir.plane.workspace cimport COMPOSE_BYTES, Workspace

cdef enum:
    SPARE_EXCHANGES = 1024      # finished exchanges kept to be used again


cdef Exchange take_exchange(Workspace workspace):
    """A new or used exchange: it and its two relays are the only objects of a request."""
    cdef Exchange exchange
    if workspace.spare_exchange is not None:
        exchange = <Exchange>workspace.spare_exchange
        workspace.spare_exchange = exchange.next_free
        workspace.spare_exchanges -= 1
        exchange.next_free = None
        return exchange
    exchange = Exchange.__new__(Exchange)
    exchange.workspace = workspace
    exchange.request = Relay.__new__(Relay)
    exchange.response = Relay.__new__(Relay)
    exchange.request.workspace = workspace
    exchange.response.workspace = workspace
    return exchange


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

    cdef Step send_small(self, const char* p, uint32_t n) except *:
        raise NotImplementedError(f"{type(self).__name__}.send_small")


cdef class Exchange(UpstreamUser):
    """One request and its response."""

    # -- beginning ----------------------------------------------------------------------------------------

    cdef int begin(self, ExchangeOwner owner, Route route, const Framing* framing, int64_t started_us) except -1:
        cdef Head* head = &self.workspace.request_head
        cdef uint32_t base = owner.inbuf.start
        cdef uint32_t held = owner.inbuf.end - base - head.length
        self.owner = owner
        self.route = route
        self.cluster = route.cluster
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
        self.idempotent = head.method in (M_GET, M_HEAD, M_PUT, M_DELETE, M_OPTIONS)
        self.started_us = started_us
        if framing.kind == B_LENGTH:
            self.body_in_inbuf = held if held < framing.length else <uint32_t>framing.length
        else:
            self.body_in_inbuf = held if framing.kind == B_CHUNKED else 0
        self.request.start(framing.kind, framing.length, False, False)
        self.response.payload = 0
        self.row = self.workspace.counters.find(route.number, owner.inbuf.data + self.path.at, self.path.length)
        self.workspace.exchanges += 1
        self.cluster.count_request()
        return self._acquire()

    cdef int _acquire(self) except -1:
        self.state = E_WAITING
        return self._acquired(self.cluster.acquire(self, False))

    cdef int _acquired(self, Acquired how) except -1:
        if how == A_TAKEN:
            self.pool = self.cluster.chosen
            return self.on_upstream(self.pool.taken)
        if how == A_QUEUED:
            self.pool = None
            self.workspace.wheel.arm(self, self.cluster.queue_timeout_ms)
            return 0
        if how == A_WAIT_IDLE:
            self.pool = self.cluster.chosen
            self.workspace.wheel.arm(self, self.pool.wait_idle_ms)
            return 0
        if how == A_CONNECTING:
            return self.on_line(self.cluster.chosen)
        return self._fail(self.cluster.failure)

    cdef int on_line(self, UpstreamHome home) except -1:
        # The dials of the pool have deadlines of their own; one of them answers.
        self.pool = <Pool>home
        self.workspace.wheel.disarm(self)
        return 0

    cdef int on_no_upstream(self, UpstreamHome home, Reason reason) except -1:
        if home is not None:
            self.tried |= <uint64_t>1 << (home.number & 63)
        self.cluster.failure = reason
        return self._acquired(self.cluster.acquire(self, True))

    cdef int on_upstream(self, Upstream upstream) except -1:
        self.pool = <Pool>upstream.home
        self.upstream = upstream
        self.attempts += 1
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

    cdef int _send_request(self) except -1:
        cdef Workspace workspace = self.workspace
        cdef ExchangeOwner owner = self.owner
        cdef ListenerOptions options = owner.options
        cdef Head* head = &workspace.request_head
        cdef Relay relay = self.request
        cdef RequestPolicy policy
        cdef Buffer body
        cdef uint32_t n
        cdef Step step
        if workspace.request_owner is not self and not self._restore_head():
            return self._fail(R_INTERNAL)
        policy.forwarded = options.forwarded
        policy.via = options.via_request
        policy.host = self.cluster.host
        policy.host_length = <uint32_t>len(self.cluster.host)
        policy.client = owner.client
        policy.client_length = owner.client_length
        policy.proto = b"http"
        policy.proto_length = 4
        if request_head_bound(head, &policy) > COMPOSE_BYTES:
            return self._fail(R_INTERNAL)
        n = write_request_head(
            owner.inbuf.data + self.head.at, head, &self.framing, &policy, self.upgrade, self.te_trailers,
            workspace.compose,
        )
        relay.source = owner.stream
        relay.destination = self.upstream.stream
        relay.end_reason = R_CLIENT_CLOSED
        relay.chunk_reason = R_BAD_CHUNK
        relay.limit = self.route.max_body_bytes
        relay.limits = options.limits
        relay.start(self.framing.kind, self.framing.length, False, False)
        if self.body_in_inbuf:
            body = workspace.buffers.take(self.body_in_inbuf + RELAY_TAILROOM)
            memcpy(body.data, owner.inbuf.data + self.head.at + self.head.length, self.body_in_inbuf)
            if relay.adopt(body, 0, self.body_in_inbuf) == FAILED:
                return self._fail(relay.reason)
        self.request_whole = relay.source_done
        self.state = E_SENT
        step = relay.send_first(workspace.compose, n)
        if step == FAILED:
            return self._lost(R_UPSTREAM_CLOSED)
        self.accepted = True
        if relay.done:
            workspace.wheel.arm(self, self.cluster.response_header_timeout_ms)
            return 0
        workspace.wheel.arm(self, self.cluster.stream_idle_timeout_ms)
        return self._pump_request()

    cdef int _pump_request(self) except -1:
        cdef Relay relay = self.request
        cdef Step step
        if relay.done or self.upload_broken:
            return 0
        step = relay.pump()
        if step == FAILED:
            return self._request_broken()
        if relay.done:
            if self.state == E_SENT:
                self.workspace.wheel.arm(self, self.cluster.response_header_timeout_ms)
        elif relay.moved:
            self.workspace.wheel.arm(self, self.cluster.stream_idle_timeout_ms)
        if step == NEED_MORE:
            self.workspace.engine.put_ready(self.owner.stream)
        return 0

    cdef int _request_broken(self) except -1:
        if self.request.failed_source:
            return self._fail(self.request.reason)
        # The endpoint takes no more. It may have answered before it closed.
        self.upload_broken = True
        if self.state == E_SENT:
            self.upstream.stream.may_read = True
            self.upstream.stream.peer_done = True
            return self._read_response()
        return 0

    # -- the response head --------------------------------------------------------------------------------

    cdef int on_upstream_event(self, Upstream upstream, uint32_t what) except -1:
        if self.state == E_TUNNEL:
            return self._pump_tunnel()
        if what & STREAM_WRITE and self.request.wants_write() and not self.upload_broken:
            self._pump_request()
            if self.upstream is not upstream:
                return 0
        if self.state == E_SENT:
            if upstream.stream.may_read:
                return self._read_response()
        elif self.state == E_BODY:
            return self._pump_response()
        return 0

    cdef int _read_response(self) except -1:
        """Reads until a final response head is there."""
        cdef Stream stream = self.upstream.stream
        cdef Head* head = &self.workspace.response_head
        cdef Buffer buf = self.head_buf
        cdef HeadLimits limits
        cdef ssize_t got
        cdef Step step
        limits.head_bytes = self.cluster.max_response_head_bytes
        limits.fields = self.cluster.max_response_fields
        limits.target_bytes = 0
        self.head_buf = None
        if buf is None:
            buf = self.workspace.buffers.take_for_read()
        elif buf.size - RELAY_TAILROOM < limits.head_bytes:
            buf = self.workspace.buffers.regrow(buf, limits.head_bytes + RELAY_TAILROOM)
        while True:
            got = stream.read_some(buf.data + buf.end, buf.size - RELAY_TAILROOM - buf.end)
            if got <= 0:
                break
            self.response_begun = True
            buf.end += <uint32_t>got
            head.scanned = self.response_scanned
            self.response_scanned = 0
            step = scan_response(buf.data + buf.start, buf.end - buf.start, &limits, head)
            while step == DONE and head.status < 200 and head.status != 101:
                if self._pass_interim(buf) < 0:     # the exchange has ended in there
                    return 0
                head.scanned = 0
                step = scan_response(buf.data + buf.start, buf.end - buf.start, &limits, head)
            if step == DONE:
                return self._on_response_head(buf)
            if step == FAILED:
                self.workspace.buffers.give(buf)
                return self._fail(head.reason)
            if not stream.may_read:
                break
        if got == IO_BLOCKED or got > 0:
            if buf.start == buf.end:
                self.workspace.buffers.give(buf)
            else:
                self.response_scanned = head.scanned
                self.head_buf = self.workspace.buffers.regrow(buf, buf.end - buf.start)
            return 0
        self.workspace.buffers.give(buf)
        return self._lost(R_UPSTREAM_RESET if got == IO_FAILED and stream.error == ECONNRESET else R_UPSTREAM_CLOSED)

    cdef int _pass_interim(self, Buffer buf) except -2:
        """Passes a 1xx head on; -1 if that ended the exchange."""
        cdef Head* head = &self.workspace.response_head
        cdef ResponsePolicy policy
        cdef Framing framing
        cdef uint32_t n
        cdef const char* p = buf.data + buf.start
        self.interim += 1
        if self.interim > MAX_INTERIM or frame_response(p, head, self.method, self.upgrade, &framing) == FAILED:
            self.workspace.buffers.give(buf)
            self._fail(R_BAD_RESPONSE)
            return -1
        buf.start += head.length
        # HTTP/1.0 has no interim responses (RFC 9110 section 15.2).
        if self.version_minor == 0:
            return 0
        memset(&policy, 0, sizeof(policy))
        policy.interim = 1
        policy.via = self.owner.options.via_response
        n = write_response_head(p, head, &policy, self.workspace.compose)
        if head.status == 100:
            self.continued = True
        if self.owner.send_small(self.workspace.compose, n) == FAILED:
            self.workspace.buffers.give(buf)
            self.abort(R_CLIENT_CLOSED)
            return -1
        return 0

    cdef int _on_response_head(self, Buffer buf) except -1:
        cdef Head* head = &self.workspace.response_head
        cdef Framing framing
        if frame_response(buf.data + buf.start, head, self.method, self.upgrade, &framing) == FAILED:
            self.workspace.buffers.give(buf)
            return self._fail(framing.reason)
        self.first_byte_us = self.workspace.clock.tick()
        self.status = head.status
        if framing.kind == B_TUNNEL:
            return self._start_tunnel(buf)
        return self._start_response(buf, &framing)

    cdef int _start_response(self, Buffer buf, const Framing* framing) except -1:
        cdef Workspace workspace = self.workspace
        cdef ExchangeOwner owner = self.owner
        cdef Head* head = &workspace.response_head
        cdef Relay relay = self.response
        cdef uint32_t n, begin = buf.start
        cdef bint old_client = self.version_minor == 0
        cdef bint wrap = framing.kind == B_CLOSE and not old_client
        cdef Step step
        self.upstream_keep_alive = framing.keep_alive
        self.keep_client = (
            self.keep_alive
            and not workspace.draining
            and not (old_client and (framing.kind == B_CHUNKED or framing.kind == B_CLOSE))
        )
        relay.source = self.upstream.stream
        relay.destination = owner.stream
        relay.end_reason = R_UPSTREAM_TRUNCATED
        relay.chunk_reason = R_BAD_RESPONSE_FRAMING
        relay.limit = 0
        relay.limits.head_bytes = self.cluster.max_response_head_bytes
        relay.limits.fields = self.cluster.max_response_fields
        relay.start(framing.kind, framing.length, wrap, old_client)
        # A chunk's header goes over the end of the head: such a body is taken over after the head was composed.
        if wrap:
            relay.buf = buf
        elif relay.adopt(buf, begin + head.length, buf.end) == FAILED and relay.unsent() == 0:
            return self._fail(relay.reason)
        if not self.request.done and (
            self.upload_broken or relay.source_done or not framing.keep_alive or (self.expect and not self.continued)
        ):
            # The rest of the request will not be wanted: say so while there is a head to say it in.
            self.keep_client = False
        n = self._compose_response(buf.data + begin, framing)
        if n == 0:
            return self._fail(R_INTERNAL)
        if wrap:
            relay.adopt(buf, begin + head.length, buf.end)
        if owner.out is not None:
            # An interim head still stands in the way (it takes a full socket): this one goes behind it.
            n = self._prepend_out(n)
        self.state = E_BODY
        step = relay.send_first(workspace.compose, n)
        if relay.reason != R_NONE and step != FAILED:
            step = FAILED       # what came with the head was cut off: told after what was good
        relay.moved = True
        if step == NEED_MORE:
            step = relay.pump()
            relay.moved = True
        return self._after_pump(step)

    cdef uint32_t _compose_response(self, const char* p, const Framing* framing) noexcept:
        """Writes the head for the client to the workspace's compose buffer; 0: there is no room for it."""
        cdef Workspace workspace = self.workspace
        cdef ListenerOptions options = self.owner.options
        cdef Head* head = &workspace.response_head
        cdef ResponsePolicy policy
        memset(&policy, 0, sizeof(policy))
        policy.via = options.via_response
        policy.close = not self.keep_client
        policy.keep_alive = self.keep_client and self.version_minor == 0
        policy.chunked = self.version_minor != 0 and (framing.kind == B_CHUNKED or framing.kind == B_CLOSE)
        policy.counter = options.counter
        policy.counter_length = <uint32_t>len(options.counter)
        if policy.counter_length:
            policy.counter_value = workspace.counters.total(self.row, K_RESPONSE_BODY_BYTES)
            if framing.kind == B_LENGTH:
                policy.counter_value += framing.length
        if response_head_bound(head, &policy) > COMPOSE_BYTES >> 1:
            return 0
        return write_response_head(p, head, &policy, workspace.compose)

    cdef uint32_t _prepend_out(self, uint32_t n) noexcept:
        cdef Buffer out = self.owner.out
        cdef uint32_t before = out.end - out.start
        memmove(self.workspace.compose + before, self.workspace.compose, n)
        memcpy(self.workspace.compose, out.data + out.start, before)
        self.workspace.buffers.give(out)
        self.owner.out = None
        return n + before

    # -- the response body --------------------------------------------------------------------------------

    cdef int _pump_response(self) except -1:
        return self._after_pump(self.response.pump())

    cdef int _after_pump(self, Step step) except -1:
        cdef Relay relay = self.response
        if step == DONE:
            return self._finish(
                self.upstream_keep_alive
                and self.request.done
                and relay.kind != B_CLOSE
                and (relay.buf is None or relay.raw_end == relay.buf.end),
                self.keep_client and self.request.done,
            )
        if step == FAILED:
            if relay.failed_source:
                return self._fail(relay.reason)
            return self.abort(R_CLIENT_CLOSED)
        if step == NEED_MORE:
            self.workspace.engine.put_ready(self.upstream.stream)
        if relay.moved:
            self.workspace.wheel.arm(
                self,
                self.owner.options.send_timeout_ms if relay.wants_write() else self.cluster.stream_idle_timeout_ms,
            )
        return 0

    # -- the tunnel ---------------------------------------------------------------------------------------

    cdef int _start_tunnel(self, Buffer buf) except -1:
        cdef Workspace workspace = self.workspace
        cdef ExchangeOwner owner = self.owner
        cdef Head* head = &workspace.response_head
        cdef ResponsePolicy policy
        cdef uint32_t n, held, begin = buf.start
        cdef Buffer early
        cdef Step step
        memset(&policy, 0, sizeof(policy))
        policy.upgrade = 1
        policy.via = owner.options.via_response
        n = write_response_head(buf.data + begin, head, &policy, workspace.compose)
        if owner.out is not None:
            n = self._prepend_out(n)
        self.keep_client = False
        self.state = E_TUNNEL
        self.response.source = self.upstream.stream
        self.response.destination = owner.stream
        self.response.end_reason = R_UPSTREAM_RESET
        self.response.limit = 0
        self.response.start(B_TUNNEL, 0, False, False)
        self.response.adopt(buf, begin + head.length, buf.end)
        step = self.response.send_first(workspace.compose, n)
        if step == FAILED:
            return self.abort(R_CLIENT_CLOSED)
        # What the client sent behind its request is the tunnel's first bytes.
        held = owner.inbuf.end - self.head.at - self.head.length
        self.body_in_inbuf = held
        self.request.release()
        self.request.source = owner.stream
        self.request.destination = self.upstream.stream
        self.request.end_reason = R_CLIENT_CLOSED
        self.request.start(B_TUNNEL, 0, False, False)
        if held:
            early = workspace.buffers.take(held + RELAY_TAILROOM)
            memcpy(early.data, owner.inbuf.data + self.head.at + self.head.length, held)
            self.request.adopt(early, 0, held)
        owner.stream.may_read = True
        return self._pump_tunnel()

    cdef int _pump_tunnel(self) except -1:
        cdef Step there = self.request.pump()
        cdef Step back = self.response.pump()
        if there == FAILED or back == FAILED:
            # Broken on one side is broken on both.
            if there == FAILED:
                self.reason = R_CLIENT_CLOSED if self.request.failed_source else R_UPSTREAM_RESET
            else:
                self.reason = R_UPSTREAM_RESET if self.response.failed_source else R_CLIENT_CLOSED
            return self._finish(False, False)
        if self.request.done and self.response.done:
            return self._finish(False, False)
        if there == NEED_MORE or back == NEED_MORE:
            self.workspace.engine.put_ready(self.owner.stream)
        self.workspace.wheel.arm(self, self.cluster.stream_idle_timeout_ms)
        return 0

    # -- the client's events ------------------------------------------------------------------------------

    cdef int on_client_event(self, uint32_t what) except -1:
        if self.state == E_TUNNEL:
            return self._pump_tunnel()
        if what & STREAM_DOWN:
            return self.abort(R_CLIENT_CLOSED)
        if what & STREAM_PEER_DONE and (self.owner.options.half_close_aborts or self.waiting == W_QUEUE):
            # It sends no more. One that is queued has most likely given up: it makes room for others.
            if self.state == E_WAITING or self.request.source_done:
                return self.abort(R_CLIENT_CLOSED)
        if self.state == E_WAITING:
            return 0
        if what & STREAM_WRITE and self.state == E_BODY and self.response.wants_write():
            return self._pump_response()
        return self._pump_request()

    cdef int on_timeout(self) except -1:
        cdef Acquired how
        if self.state == E_WAITING:
            if self.waiting == W_POOL and self.pool is not None:
                how = self.pool.dial_for(self)
                if how == A_TAKEN:
                    return self.on_upstream(self.pool.taken)
                if how == A_CONNECTING:
                    return 0
                if how == A_FAILED:
                    return self.on_no_upstream(self.pool, self.pool.failure)
                return self._acquired(self.cluster.acquire(self, True))
            return self._fail(R_QUEUE_TIMEOUT)
        if self.state == E_TUNNEL:
            self.reason = R_STREAM_TIMEOUT
            return self._finish(False, False)
        if self.state == E_BODY:
            if self.response.wants_write():
                return self.abort(R_CLIENT_STALLED)
            return self._fail(R_STREAM_TIMEOUT)
        if self.request.done:
            return self._fail(R_RESPONSE_TIMEOUT)
        return self._fail(R_STREAM_TIMEOUT if self.request.wants_write() else R_BODY_TIMEOUT)

    # -- ending -------------------------------------------------------------------------------------------

    cdef int _lost(self, Reason reason) except -1:
        """The endpoint is gone before a response: once more with proof, or an error."""
        cdef bint proof = (
            self.upstream.reused
            and not self.response_begun
            and self.attempts < self.cluster.attempts
            and ((self.idempotent and self.request_whole) or not self.accepted)
        )
        if not (proof and self.cluster.may_retry()):
            return self._fail(reason)
        self.pool.give(self.upstream, False)
        self.upstream = None
        self.request.release()
        self.upload_broken = False
        self.accepted = False
        self.fresh = True
        self.retries += 1
        return self._acquire()

    cdef int _fail(self, Reason reason) except -1:
        """Ends it with an error: answered if that is still possible, else visibly cut."""
        cdef ExchangeOwner owner = self.owner
        cdef bint keep
        cdef int64_t retry_after_s = 0
        if self.state == E_BODY or self.state == E_TUNNEL:
            return self.abort(reason)
        self.reason = reason
        if reason == R_QUEUE_FULL or reason == R_QUEUE_TIMEOUT:
            retry_after_s = self.cluster.retry_after_s()
        # The connection goes on only if the request was taken in whole: what follows is the next one then.
        if self.state == E_WAITING and self.retries == 0:
            keep = self.framing.kind == B_NONE
        else:
            keep = self.request.done
        keep = keep and self.keep_alive and not self.workspace.draining
        self.status = owner.answer_error(self, reason, keep, retry_after_s)
        return self._finish(False, keep and self.status != 0)

    cdef int abort(self, Reason reason) except -1:
        """Ends it without another word to the client."""
        self.reason = reason
        if self.state == E_BODY and self.response.kind == B_CLOSE and not self.response.wrap:
            # Only the end of the connection ends this body: a clean end would be a lie.
            self.owner.stream.reset()
        return self._finish(False, False)

    cdef int _finish(self, bint keep_upstream, bint keep_client) except -1:
        cdef ExchangeOwner owner = self.owner
        cdef Upstream upstream = self.upstream
        cdef Pool pool = self.pool
        if self.waiting != W_NOT:
            self.cluster.forget(self, pool)
        self.workspace.wheel.disarm(self)
        self.workspace.exchanges -= 1
        self._account()
        self._return_leftover()
        self.state = E_OVER
        self.upstream = None
        self.request.release()
        self.response.release()
        if self.head_buf is not None:
            self.workspace.buffers.give(self.head_buf)
            self.head_buf = None
        if self.workspace.request_owner is self:
            self.workspace.request_owner = None
        if upstream is not None:
            pool.give(upstream, keep_upstream)
        owner.exchange_done(self, keep_client)
        self._reset()
        return 0

    cdef void _account(self) noexcept:
        cdef LogRecord record
        cdef const char* base = self.owner.inbuf.data
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
        record.response_body_bytes = self.response.payload
        if self.response.unsent() < record.response_body_bytes:
            record.response_body_bytes -= self.response.unsent()
        record.request_body_bytes = self.request.payload
        record.host = base + self.host.at
        record.host_length = self.host.length
        record.referer = base + self.referer.at
        record.referer_length = self.referer.length
        record.user_agent = base + self.user_agent.at
        record.user_agent_length = self.user_agent.length
        record.endpoint = NULL
        record.endpoint_length = 0
        if self.pool is not None:
            record.endpoint = self.pool.endpoint_text
            record.endpoint_length = <uint32_t>len(self.pool.endpoint_text)
        record.total_us = self.workspace.clock.tick() - self.started_us
        record.first_byte_us = self.first_byte_us - self.started_us if self.first_byte_us else -1
        record.retries = self.retries
        account(self.workspace, self.row, &record)

    cdef uint32_t consumed(self) noexcept:
        return self.head.length + self.body_in_inbuf

    cdef int _return_leftover(self) except -1:
        """Bytes of the next request that the request's relay holds go back to the owner's inbuf."""
        cdef Relay relay = self.request
        cdef Buffer inbuf = self.owner.inbuf
        cdef uint32_t left
        if not relay.done or relay.buf is None or self.state == E_TUNNEL:
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
        self.tried = 0
        self.fresh = False
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
        self.continued = False
        self.interim = 0
        self.attempts = 0
        self.retries = 0
        self.reason = R_NONE
        self.first_byte_us = 0
        if self.workspace.spare_exchanges < SPARE_EXCHANGES:
            self.next_free = <Exchange>self.workspace.spare_exchange
            self.workspace.spare_exchange = self
            self.workspace.spare_exchanges += 1
