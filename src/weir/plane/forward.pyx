"""A request's way to an endpoint: a connection, the composed head, the body, and once more with proof.

What is hard here: the endpoint may close a connection just as a request is written to it.

- An endpoint that stops taking the request may already have answered: a failed write is no verdict until
  the answer was looked for.
- A request may have to be sent again (attempts). The body of one that may be repeated is kept in copy, up to a
  limit, unless all of it came with the head and still stands there.
"""

from libc.stdint cimport int64_t, uint32_t
from libc.string cimport memcpy

from weir.plane.action cimport Action
from weir.plane.attempts cimport Trying
from weir.plane.bodied cimport send_body
from weir.plane.buffer cimport Buffer
from weir.plane.codes cimport (
    DONE, FAILED, NEED_MORE, R_BAD_CHUNK, R_BAD_DEADLINE, R_CIRCUIT_OPEN, R_CLIENT_CLOSED, R_CLIENT_STALLED,
    R_CLIENT_TOO_SLOW, R_DEADLINE_PASSED, R_HOOK_TIMEOUT, R_INTERNAL, R_NONE, R_QUEUE_FULL, R_QUEUE_TIMEOUT,
    R_STREAM_TIMEOUT, R_UPSTREAM_CLOSED, Reason, Step,
)
from weir.plane.deadline cimport DEADLINE_BAD, TIME_FIELDS_BYTES, drop_named, put_deadline, put_request_start
from weir.plane.edits cimport Edits
from weir.plane.exchange cimport Exchange, ExchangeOwner
from weir.plane.facts cimport append_lines, apply_target, identity_left, settle_target
from weir.plane.fields cimport RequestPolicy, check_request, request_head_bound, write_request_head
from weir.plane.framing cimport Framing, frame_request
from weir.plane.head cimport F_HOST, Head, scan_request
from weir.plane.ids cimport Identity
from weir.plane.hold cimport let_go
from weir.plane.hooks cimport PHASE_UPSTREAM
from weir.plane.meeting cimport MEET_GO, hook_overdue, meet_attempt
from weir.plane.options cimport ListenerOptions
from weir.plane.origin cimport CLIENT_TEXT
from weir.plane.pace cimport pace_start
from weir.plane.patience cimport await_request, await_response, request_verdict, response_verdict
from weir.plane.passage cimport Passage
from weir.plane.pool cimport A_CONNECTING, A_FAILED, A_QUEUED, A_TAKEN, A_WAIT_IDLE, Acquired, Pool
from weir.plane.proxyproto cimport PROXY_SENT_BYTES
from weir.plane.relay cimport RELAY_TAILROOM, Relay
from weir.plane.response cimport pump_response, read_response, resume_response
from weir.plane.retry cimport ON_CONNECT
from weir.plane.retrywords cimport RW_CONNECT, RW_NO_ENDPOINT, RW_NOT_CHOSEN, RW_RESPONSE_BEGUN
from weir.plane.states cimport E_BODY, E_HELD, E_PAUSE, E_SENT, E_TUNNEL, E_WAITING, MACHINE_EXCHANGE
from weir.plane.stream cimport STREAM_DOWN, STREAM_PEER_DONE, STREAM_WRITE
from weir.plane.text cimport put_bytes
from weir.plane.tunnel cimport pump_tunnel
from weir.plane.upstream cimport W_POOL, W_QUEUE, Upstream, UpstreamHome
from weir.plane.vouch cimport believe, drop_kept, introduce, take_kept
from weir.plane.workspace cimport COMPOSE_BYTES, Workspace, move


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


cdef class Forward(Trying):
    """An exchange that an endpoint answers."""

    # -- finding a connection -----------------------------------------------------------------------------

    cdef int _acquire(self) except -1:
        cdef Acquired how
        self.state = move(self.workspace, MACHINE_EXCHANGE, self.state, E_WAITING)
        cdef Upstream kept
        if self.gives_up_ms and self._is_late():
            return self._too_late()
        if self.cluster.admits and not self.admitted:
            how = self.cluster.admit(self)
            if how == A_QUEUED and self.owner.kept is not None:
                drop_kept(self)     # its place is of use before its turn comes
            if how != A_TAKEN:
                return self._acquired(how)
        if self.owner.kept is not None:
            kept = take_kept(self)
            if kept is not None:
                return self.on_upstream(kept)
        return self._acquired(self.cluster.acquire(self, False))

    # -- the client's deadline ----------------------------------------------------------------------------

    cdef bint _is_late(self) noexcept:
        return self.gives_up_ms <= self.workspace.clock.now_us // 1000

    cdef int _too_late(self) except -1:
        return self.fail(R_BAD_DEADLINE if self.gives_up_ms == DEADLINE_BAD else R_DEADLINE_PASSED)

    cdef void _wait(self, int64_t ms) noexcept:
        """As arm(), but no longer than the client waits."""
        if self.gives_up_ms:
            ms = max(min(ms, self.gives_up_ms - self.workspace.clock.now_us // 1000), <int64_t>0)
        self.workspace.wheel.arm(self, ms)

    # -- the connection that it finds ---------------------------------------------------------------------

    cdef int _acquired(self, Acquired how) except -1:
        if how == A_TAKEN:
            self.pool = self.cluster.chosen
            return self.on_upstream(self.pool.taken)
        if how == A_QUEUED:
            self.connecting_us = 0
            self.pool = None
            self._wait(self.cluster.wait_ms())
            return 0
        if how == A_WAIT_IDLE:
            self.connecting_us = 0
            self.pool = self.cluster.chosen
            self._wait(self.pool.wait_idle_ms)
            return 0
        if how == A_CONNECTING:
            return self.on_line(self.cluster.chosen)
        if self.retries and self.cluster.retry.same_endpoint and not self.forgiven:
            # The others could not be reached: one of those that were is better than none.
            self.forgiven = True
            self.tried = None
            return self._pause(self.cluster.retry.pause_ms(self.retries, True))
        if self.cluster.failure not in (R_QUEUE_FULL, R_CIRCUIT_OPEN):
            self.cluster.retry.count(RW_NO_ENDPOINT if self.cluster.retry.on & ON_CONNECT else RW_NOT_CHOSEN)
        return self.fail(self.cluster.failure)

    cdef int on_line(self, UpstreamHome home) except -1:
        # The dials of the pool have deadlines of their own; one of them answers.
        self.pool = <Pool>home
        self.connecting_us = self.workspace.clock.now_us
        if self.gives_up_ms:
            self._wait(self.gives_up_ms)
        else:
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

    cdef bint restore_head(self) noexcept:
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

    cdef uint32_t _add_times(self, uint32_t n) noexcept:
        """Into the head of `n` bytes that was composed, before the empty line that ends it."""
        cdef char* start = self.workspace.compose
        cdef char* out = start + n - 2
        cdef int64_t now_us = self.workspace.clock.now_us
        cdef ListenerOptions options = self.owner.options
        if self.gives_up_ms:
            out = put_deadline(out, options.deadline, options.deadline_length, self.gives_up_ms - now_us // 1000)
        if self.cluster.request_start:
            out = put_request_start(out, self.workspace.clock.wall_us() - (now_us - self.started_us))
        out = put_bytes(out, b"\r\n", 2)
        return <uint32_t>(out - start)

    cdef uint32_t compose_request(self) noexcept:
        cdef Workspace workspace = self.workspace
        cdef ExchangeOwner owner = self.owner
        cdef ListenerOptions options = owner.options
        cdef Head* head = &workspace.request_head
        cdef RequestPolicy policy
        cdef char hop[CLIENT_TEXT]
        cdef Identity identity
        cdef Pool pool
        cdef Edits edits = self.request_edits
        cdef Action action = None if self.filled else self.route.action
        cdef uint32_t more = 0
        cdef uint32_t n = 0
        if workspace.request_owner is not self and not self.restore_head():
            return 0
        policy.forwarded = options.forwarded
        policy.via = options.via_request
        policy.host = self.cluster.host
        policy.host_length = <uint32_t>len(self.cluster.host)
        policy.target_length = 0
        if action is not None:
            more = apply_target(self, &policy)
        if (options.router is not None or self.route.hooks is not None) and policy.target_length == 0:
            more += settle_target(self, &policy)
        if edits is not None:
            if edits.host is not None:
                policy.host = edits.host
                policy.host_length = <uint32_t>len(edits.host)
            if edits.target is not None:
                policy.target = edits.target
                policy.target_length = <uint32_t>len(edits.target)
            more += edits.bound()
        if policy.host_length == 0 and head.count[<int>F_HOST] == 0 and head.authority_length == 0:
            # HTTP/1.0 need not name a host, HTTP/1.1 has to, and servers refuse an empty one: they are called by the
            # name that weir knows them by (RFC 9112 section 3.3). Of a mirror's none is chosen yet: by the first one's.
            pool = self.pool
            if pool is None and self.cluster.pools:
                pool = <Pool>self.cluster.pools[0]
            if pool is not None:
                policy.host = pool.host_text
                policy.host_length = <uint32_t>len(pool.host_text)
        policy.client = owner.client
        policy.client_length = owner.client_length
        policy.proto = b"https" if owner.tls else b"http"
        policy.proto_length = 5 if owner.tls else 4
        policy.keep_proto = policy.keep_host = 0
        if options.trusted is not None:
            believe(owner, head, &policy, owner.inbuf.data + self.head.at, hop)
        policy.identity = &self.identity if options.identifies else NULL
        if options.identifies and (edits is not None or action is not None):
            policy.identity = identity_left(self, edits, None if action is None else action.request, &identity)
        if request_head_bound(head, &policy) + more + PROXY_SENT_BYTES + TIME_FIELDS_BYTES > COMPOSE_BYTES:
            return 0
        if options.deadline_length:
            drop_named(owner.inbuf.data + self.head.at, head, options.deadline, options.deadline_length)
        if self.cluster.request_start:
            drop_named(owner.inbuf.data + self.head.at, head, b"X-Request-Start", 15)
        if self.cluster.sticky is not None and self.cluster.sticky.removes:
            self.cluster.sticky.drop(owner.inbuf.data + self.head.at, head)
        if action is not None and action.request is not None:
            action.request.mark(owner.inbuf.data + self.head.at, head)
        if edits is not None:
            edits.mark(owner.inbuf.data + self.head.at, head)
        if self.cluster.proxy_header and self.upstream.requests == 1:
            n = introduce(self, workspace.compose)
        n += write_request_head(
            owner.inbuf.data + self.head.at, head, &self.framing, &policy, self.upgrade, self.te_trailers,
            workspace.compose + n,
        )
        if self.gives_up_ms or self.cluster.request_start:
            n = self._add_times(n)
        if self.cluster.sticky is not None and self.cluster.sticky.removes:
            n = self.cluster.sticky.put_others(owner.inbuf.data + self.head.at, head, workspace.compose, n)
        if action is not None and action.request is not None:
            n = append_lines(self, action.request, n)
        if edits is not None and n:
            n = edits.put(workspace.compose, n)
        return n

    cdef Step _prepare_body(self) except *:
        """Makes what is there of the body ready to be written, from its beginning."""
        cdef Workspace workspace = self.workspace
        cdef ExchangeOwner owner = self.owner
        cdef Relay relay = self.request
        cdef Buffer body
        if self.request_passage is not None:
            return send_body(self)
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
        relay.scanner.no_trailers = workspace.request_head.nominates
        if self.body_in_inbuf:
            body = workspace.buffers.take(self.body_in_inbuf + RELAY_TAILROOM)
            memcpy(body.data, owner.inbuf.data + self.head.at + self.head.length, self.body_in_inbuf)
            if relay.adopt(body, 0, self.body_in_inbuf) == FAILED:
                return FAILED
        self.request_whole = relay.source_done
        if not relay.source_done and self.may_repeat and self.cluster.retry.max_replay_body:
            if self.attempts < self.cluster.retry.attempts:
                relay.keep_copy(self.cluster.retry.max_replay_body)
        return DONE

    cdef int _send_request(self) except -1:
        cdef Workspace workspace = self.workspace
        cdef Relay relay = self.request
        cdef uint32_t n
        cdef Step step
        if self.gives_up_ms and self._is_late():
            return self._too_late()
        if workspace.request_owner is not self and not self.restore_head():
            return self.fail(R_INTERNAL)
        if self._prepare_body() == FAILED:
            return self.fail(relay.reason)
        # (After that: what a body's change says of its head holds for all attempts.)
        if self.hooked and self.hooked & self.route.hooks.masks[<int>PHASE_UPSTREAM] and meet_attempt(self) != MEET_GO:
            return 0
        n = self.compose_request()
        if n == 0:
            return self.fail(R_INTERNAL)
        self.state = move(self.workspace, MACHINE_EXCHANGE, self.state, E_SENT)
        step = relay.send_first(workspace.compose, n)
        if step == FAILED:
            return self.lost(R_UPSTREAM_CLOSED)
        self.accepted = relay.moved
        if relay.done:
            self._await_head()
            return 0
        relay.moved = True
        await_request(self, step)
        return self._pump_request()

    cdef int _pump_request(self) except -1:
        cdef Relay relay = self.request
        cdef Passage passage = self.request_passage
        cdef bint reads
        cdef Step step
        if relay.done or self.upload_broken:
            return 0 if passage is None else passage.drain()
        reads = not relay.source_done and (passage is None or not passage.whole)
        step = relay.pump() if passage is None else passage.pump(relay)
        if relay.moved:
            # Also when it only read: it reads no more before all that it had was taken.
            self.accepted = True
            self.body_read = self.body_read or reads
        if step == FAILED:
            return self._request_broken()
        if self.state == E_SENT and self.head_held:
            pass            # what is waited for is the beginning of the response's body, for a moment
        elif relay.done:
            if self.state == E_SENT:
                pace_start(&self.pace)
                self._await_head()
        elif self.state == E_SENT:
            await_request(self, step)
        elif relay.moved:
            # The endpoint answers already: the two have something to say to each other, at whatever pace.
            self.idle_us = self.workspace.clock.now_us + 1000 * self.cluster.stream_idle_timeout_ms
            self.response.moved = False
            await_response(self)
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

    cdef int body_moved(self, Passage passage) except -1:
        if self.calling:
            return 0        # go_on comes back to it
        if passage is self.request_passage:
            return self._pump_request() if self.state in (E_SENT, E_BODY) else 0
        return pump_response(self) if self.state == E_BODY else 0

    # -- events -------------------------------------------------------------------------------------------

    cdef int on_upstream_event(self, Upstream upstream, uint32_t what) except -1:
        if self.state == E_TUNNEL:
            return pump_tunnel(self)
        if self.calling:
            # What has come is read when the hook has spoken, or by itself.
            return 0 if self.response_passage is None else self.response_passage.read_on()
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
        if self.calling and self.request_passage is not None and not self.request_taken():
            # A hook reads the body, whose end may come together with that of all that the client sends.
            self.request_passage.read_on()
            if self.request_taken() and not self.owner.options.half_close_aborts:
                return 0
        if what & STREAM_PEER_DONE and (
            self.owner.options.half_close_aborts or self.waiting == W_QUEUE or self.state == E_HELD
        ):
            # It sends no more. One that is queued has most likely given up: it makes room for others.
            if self.state in (E_WAITING, E_PAUSE, E_HELD) or self.request.source_done:
                return self.abort(R_CLIENT_CLOSED)
        if self.state in (E_WAITING, E_PAUSE, E_HELD) or self.calling:
            return 0 if self.request_passage is None else self.request_passage.read_on()
        if what & STREAM_WRITE and self.state == E_BODY and self.response.wants_write():
            pump_response(self)
            if self.state != E_BODY:
                return 0
        # The same event may tell of bytes, too: there is no other one for them.
        return self._pump_request()

    cdef int on_timeout(self) except -1:
        cdef Acquired how
        cdef Reason reason
        if (
            self.gives_up_ms and self.state != E_BODY and self.state != E_TUNNEL and not self.head_held
            and self._is_late()
        ):
            return self._too_late()
        if self.calling:
            return hook_overdue(self)
        if self.state == E_WAITING:
            if self.waiting == W_POOL and self.pool is not None:
                how = self.pool.dial_for(self)
                if how == A_TAKEN:
                    return self.on_upstream(self.pool.taken)
                if how == A_CONNECTING:
                    return self.on_line(self.pool)
                if how == A_FAILED:
                    return self.on_no_upstream(self.pool, self.pool.failure)
                return self._acquired(self.cluster.acquire(self, True))
            return self.fail(R_QUEUE_TIMEOUT)
        if self.state == E_PAUSE:
            return self._acquire()
        if self.state == E_HELD:
            return self._go_on() if let_go(self) else 0
        if self.state == E_TUNNEL:
            self.reason = R_STREAM_TIMEOUT
            return self.finish(False, False)
        if self.state == E_BODY:
            if self.response.paced:
                return resume_response(self)
            reason = response_verdict(self)
            if reason == R_CLIENT_STALLED or reason == R_CLIENT_TOO_SLOW:
                return self.abort(reason)
            if reason == R_NONE:
                return 0
            if reason != R_HOOK_TIMEOUT:
                self.cluster.retry.count(RW_RESPONSE_BEGUN)
            return self.fail(reason)
        if self.head_held:
            return read_response(self)
        if self.request.done:
            return self._overdue()
        if self.upload_broken:
            return self.fail(R_STREAM_TIMEOUT)
        if not self.request.wants_write():
            # What has come while weir was busy elsewhere has come in time.
            self.owner.stream.may_read = True
            self._pump_request()
            if self.state != E_SENT or self.request.done:
                return 0
        reason = request_verdict(self)
        return self.fail(reason) if reason != R_NONE else 0
