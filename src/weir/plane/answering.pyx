"""Answers that weir gives itself, on a client's connection: errors, refusals and the statistics page."""

from libc.stdint cimport int64_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcmp, memcpy, memmove, memset

from weir.plane.accept cimport ANSWER_TEXT, AnswerKind, preferred_answer
from weir.plane.accesslog cimport L_REQUEST_HEAD, LEDGER_PARTS, LogRecord
from weir.plane.account cimport account
from weir.plane.action cimport BODY_MOST, LINES_MOST, Action
from weir.plane.answer cimport Answer
from weir.plane.answers cimport (
    AnswerPolicy, answer_status, finish_own_head, write_error, write_own_head, write_page_head,
)
from weir.plane.buffer cimport Buffer
from weir.plane.codes cimport (
    DONE, FAILED, R_BAD_HOST, R_CLIENT_CLOSED, R_FAULT_INJECTED, R_HOOK_FAILED, R_INTERNAL, R_NONE, R_RATE_LIMITED,
    WOULD_BLOCK, Reason, Step,
)
from weir.plane.columns cimport K_RESPONSE_BODY_BYTES
from weir.plane.exchange cimport Exchange, ExchangeOwner
from weir.plane.facts cimport gather
from weir.plane.framing cimport B_CLOSE, B_LENGTH, B_NONE, Framing
from weir.plane.head cimport M_GET, M_HEAD, Head, scan_request
from weir.plane.ids cimport TRACE_PASS, Identity, identify, make_id
from weir.plane.options cimport Route
from weir.plane.pace cimport pace_start
from weir.plane.patience cimport await_response
from weir.plane.phrase cimport PHRASE_TOO_LONG, V_HOST, Facts
from weir.plane.relay cimport Relay
from weir.plane.response cimport pump_response
from weir.plane.states cimport E_BODY, MACHINE_EXCHANGE
from weir.plane.stream cimport IO_FAILED
from weir.plane.syscalls cimport ssize_t
from weir.plane.text cimport put_bytes
from weir.plane.tunnel cimport prepend_out
from weir.plane.workspace cimport move

cdef enum:
    OWN_HEAD_MOST = 131072      # of an answer of a route's: its begin, Location, lines, and what weir adds


cdef bint answering_asks_head(const char* p, uint32_t n) noexcept:
    # Half a head, or none, may yet have said that it is HEAD, to which no answer has a body (RFC 9110 section 9.3.2).
    if n >= 2 and p[0] == c"\r" and p[1] == c"\n":     # the empty line that may come first
        p += 2
        n -= 2
    return n >= 5 and memcmp(p, b"HEAD ", 5) == 0


cdef Reason answering_fields(Action action, const Facts* facts, char* out, uint32_t* n) noexcept:
    """Writes status line and fields of an answer to out, up to where framing begins."""
    cdef uint32_t length = <uint32_t>len(action.begin)
    cdef uint32_t skip = 0
    cdef char* place
    memcpy(out, <const char*>action.begin, length)
    n[0] = length
    if action.location is not None:
        # HTTP/1.0 need not say a host: "https:///path" would be no address.
        if action.location.wants_head and facts.said[<int>V_HOST].n == 0:
            return R_BAD_HOST
        place = put_bytes(out + n[0], b"Location: ", 10)
        length = action.location.put(facts, place, LINES_MOST)
        if length == PHRASE_TOO_LONG:
            return R_INTERNAL
        # "//name", and to browsers "/\\name" too, would lead to another host.
        while place[0] == c"/" and skip + 1 < length and (place[skip + 1] == c"/" or place[skip + 1] == c"\\"):
            skip += 1
        if skip:
            length -= skip
            memmove(place + 1, place + 1 + skip, length - 1)
        n[0] = <uint32_t>(put_bytes(place + length, b"\r\n", 2) - out)
    if action.response is not None:
        length = action.response.put(facts, out + n[0])
        if length == PHRASE_TOO_LONG:
            return R_INTERNAL
        n[0] += length
    return R_NONE


cdef class Answering(ExchangeOwner):
    """A client's connection, as far as it answers by itself."""

    cdef int _leave(self) except -1:
        raise NotImplementedError(f"{type(self).__name__}._leave")

    cdef int _written(self) except -1:
        raise NotImplementedError(f"{type(self).__name__}._written")

    cdef int close(self) except -1:
        raise NotImplementedError(f"{type(self).__name__}.close")

    cdef Step send_small(self, const char* p, uint32_t n) except *:
        cdef ssize_t sent = 0
        cdef Buffer out = self.out
        if out is None:
            sent = self.stream.write_some(p, n)
            if sent == IO_FAILED:
                return FAILED
            if sent == n:
                return DONE
            if sent < 0:
                sent = 0
            out = self.out = self.workspace.buffers.take(n - <uint32_t>sent)
        elif out.size - out.end < n:
            out = self.out = self.workspace.buffers.regrow(out, out.end - out.start + n)
        memcpy(out.data + out.end, p + sent, n - sent)
        out.end += n - <uint32_t>sent
        return WOULD_BLOCK

    cdef int _flush_out(self) except -1:
        cdef Buffer out = self.out
        cdef ssize_t sent = self.stream.write_some(out.data + out.start, out.end - out.start)
        if sent > 0:
            out.start += <uint32_t>sent
        if sent != IO_FAILED and out.start < out.end:
            return 0
        self.workspace.buffers.give(out)
        self.out = None
        return self._written()

    cdef AnswerKind _kind_for(self, Exchange exchange) noexcept:
        """What the client of an exchange would rather have. Its head is parsed again: errors are rare."""
        cdef Head* head = &self.workspace.request_head
        cdef const char* p = self.inbuf.data + exchange.head.at
        self.workspace.request_owner = None
        head.scanned = 0
        if scan_request(p, exchange.head.length, &self.options.limits, head) != DONE:
            return ANSWER_TEXT
        return preferred_answer(p, head)

    cdef int answer_error(self, Exchange exchange, Reason reason, bint keep, int64_t retry_after_s) except -1:
        cdef AnswerPolicy policy
        cdef int64_t parts_us[LEDGER_PARTS]
        cdef uint32_t n, body_bytes
        cdef uint16_t variant = exchange.variant if reason == R_RATE_LIMITED or reason == R_FAULT_INJECTED else 0
        cdef int status = self.options.pages.status_of(reason, variant)
        if status == 0:
            return 0
        memset(&policy, 0, sizeof(policy))
        policy.variant = variant
        policy.keep = keep
        policy.retry_after_s = retry_after_s
        policy.counter = self.options.counter
        policy.old_client = exchange.version_minor == 0
        policy.head_only = exchange.method == M_HEAD
        policy.counter_length = <uint32_t>len(self.options.counter)
        policy.counter_value = self.workspace.counters.total(exchange.row, K_RESPONSE_BODY_BYTES)
        policy.kind = self._kind_for(exchange)
        policy.identity = &exchange.identity
        if exchange.identity.id_length == 0:
            make_id(&self.workspace.id_state, &exchange.identity)
        if self.options.server_timing:
            exchange.split(parts_us, self.workspace.clock.tick())
            policy.parts_us = parts_us
        n = write_error(self.workspace, self.options.pages, reason, &policy, self.workspace.compose, &body_bytes)
        if self.send_small(self.workspace.compose, n) == FAILED:
            return 0
        exchange.response.payload = body_bytes
        if not keep:
            self.lingered = 1       # whatever the client still sends must not reset the answer away
        return status

    cdef void _own_policy(self, Exchange exchange, AnswerPolicy* policy, bint keep, bint bare) noexcept:
        memset(policy, 0, sizeof(AnswerPolicy))
        policy.keep = keep
        policy.old_client = exchange.version_minor == 0
        policy.head_only = exchange.method == M_HEAD or bare
        policy.counter = self.options.counter
        policy.counter_length = <uint32_t>len(self.options.counter)
        policy.counter_value = self.workspace.counters.total(exchange.row, K_RESPONSE_BODY_BYTES)
        policy.identity = &exchange.identity

    cdef int answer_own(self, Exchange exchange, object answer, bint keep) except -1:
        cdef Answer own = <Answer>answer
        cdef AnswerPolicy policy
        cdef uint32_t n
        cdef uint64_t length = <uint64_t>len(own.body)
        cdef bint bare = own.status in (204, 205, 304) or own.pieces is not None
        self._own_policy(exchange, &policy, keep, bare)
        n = write_own_head(self.workspace, own.lines, length, bare, &policy, self.workspace.compose)
        if self.send_small(self.workspace.compose, n) == FAILED:
            return 0
        if not policy.head_only and length:
            if self.send_small(<const char*>own.body, <uint32_t>length) == FAILED:
                return 0
            exchange.response.payload = length
        if not keep:
            self.lingered = 1
        return own.status

    cdef int answer_pieces(self, Exchange exchange, object answer) except -1:
        cdef Answer own = <Answer>answer
        cdef Relay relay = exchange.response
        cdef bint old = exchange.version_minor == 0
        cdef bint made = own.pieces is not None
        cdef uint64_t length = <uint64_t>len(own.body)
        cdef bint keep = exchange.may_keep() and not (made and old)
        cdef bytes lines = own.lines + b"Transfer-Encoding: chunked\r\n" if made and not old else own.lines
        cdef AnswerPolicy policy
        cdef uint32_t n
        exchange.status = own.status
        exchange.keep_client = keep
        exchange.upstream_keep_alive = False
        # What the client still sends is nobody's, and what it has sent is taken.
        exchange.upload_broken = True
        exchange.request.done = keep
        relay.source = exchange.response_passage.pipe
        relay.destination = self.stream
        relay.end_reason = R_HOOK_FAILED
        relay.limit = 0
        relay.start(B_CLOSE if made else B_LENGTH, length, made and not old, False)
        if exchange.bytes_per_s:
            relay.pace(exchange.bytes_per_s)
        self._own_policy(exchange, &policy, keep, made)
        n = write_own_head(self.workspace, lines, length, made, &policy, self.workspace.compose)
        if self.out is not None:
            n = prepend_out(exchange, n)
        exchange.state = move(self.workspace, MACHINE_EXCHANGE, exchange.state, E_BODY)
        pace_start(&exchange.pace)
        if relay.send_first(self.workspace.compose, n) == FAILED:
            return exchange.abort(R_CLIENT_CLOSED)
        relay.moved = True
        await_response(exchange)
        return pump_response(exchange)

    cdef int answer_action(self, Exchange exchange, bint keep) except -1:
        cdef Action action = exchange.route.action
        cdef AnswerPolicy policy
        cdef Facts facts
        cdef char* out = self.workspace.compose
        cdef const char* body = action.body.text
        cdef uint32_t length = <uint32_t>len(action.body.text)
        cdef uint32_t n = 0
        cdef bint bare = action.status in (204, 205, 304)
        exchange.reason = R_INTERNAL if not gather(exchange, &facts, True) else R_NONE
        if exchange.reason == R_NONE:
            exchange.reason = answering_fields(action, &facts, out, &n)
        if exchange.reason == R_NONE and not action.body.constant:
            body = out + OWN_HEAD_MOST
            length = action.body.put(&facts, out + OWN_HEAD_MOST, BODY_MOST)
            if length == PHRASE_TOO_LONG:
                exchange.reason = R_INTERNAL
        if exchange.reason != R_NONE:
            return self.answer_error(exchange, exchange.reason, keep, 0)
        self._own_policy(exchange, &policy, keep, bare)
        n = finish_own_head(self.workspace, n, length, bare, &policy, out)
        if not policy.head_only and length:
            memmove(out + n, body, length)      # a body that was filled in stands further behind
            n += length
            exchange.response.payload = length
        if self.send_small(out, n) == FAILED:
            exchange.response.payload = 0
            return 0
        if not keep:
            self.lingered = 1
        return action.status

    cdef int _refuse(self, Reason reason, bint has_head, Route route) except -1:
        """Answers what is not a request that can be served, and closes."""
        cdef Head* head = &self.workspace.request_head
        cdef LogRecord record
        cdef AnswerPolicy policy
        cdef const char* p = self.inbuf.data + self.inbuf.start
        cdef uint32_t n, body_bytes, row = route.number
        cdef Identity identity
        memset(&record, 0, sizeof(record))
        memset(&policy, 0, sizeof(policy))
        memset(&identity, 0, sizeof(identity))
        if has_head:
            identify(p, head, self.options.request_id, TRACE_PASS, 0, &self.workspace.id_state, &identity)
            record.has_head = 1
            record.method = p + head.method_at
            record.method_length = head.method_length
            record.target = p + head.target_at
            record.target_length = head.target_length
            record.path = p + head.path_at
            record.path_length = head.path_length
            record.version_minor = head.version_minor
            policy.old_client = head.version_minor == 0
            policy.head_only = head.method == M_HEAD
            policy.kind = preferred_answer(p, head)
        else:
            policy.head_only = answering_asks_head(p, self.inbuf.end - self.inbuf.start)
        if identity.id_length == 0:
            make_id(&self.workspace.id_state, &identity)
        policy.identity = &identity
        record.id = identity.id
        record.id_length = identity.id_length
        n = write_error(self.workspace, self.options.pages, reason, &policy, self.workspace.compose, &body_bytes)
        if self.send_small(self.workspace.compose, n) != FAILED:
            record.status = answer_status(reason)
            record.response_body_bytes = body_bytes
        record.route = row
        record.client = self.client
        record.client_length = self.client_length
        record.reason = reason
        record.total_us = self.workspace.clock.tick() - self.head_started_us
        record.first_byte_us = -1
        record.parts_us[<int>L_REQUEST_HEAD] = record.total_us
        account(self.workspace, row, &record)
        self.lingered = 1
        return self._leave()

    cdef bint _wants_page(self) noexcept:
        cdef Head* head = &self.workspace.request_head
        cdef bytes page = self.options.page
        return (
            head.method in (M_GET, M_HEAD)
            and head.path_length == <uint32_t>len(page)
            and memcmp(self.inbuf.data + self.inbuf.start + head.path_at, <const char*>page, len(page)) == 0
        )

    cdef int _serve_page(self, const Framing* framing) except -1:
        cdef Head* head = &self.workspace.request_head
        cdef AnswerPolicy policy
        cdef bytes body
        cdef const char* text
        cdef uint32_t n
        cdef bint keep = framing.keep_alive and framing.kind == B_NONE and not self.workspace.draining
        memset(&policy, 0, sizeof(policy))
        policy.keep = keep
        policy.old_client = head.version_minor == 0
        policy.head_only = head.method == M_HEAD
        body = self.options.make_page()
        text = body
        n = write_page_head(self.workspace, len(body), &policy, self.workspace.compose)
        self.inbuf.start += head.length
        if self.send_small(self.workspace.compose, n) == FAILED or (
            not policy.head_only and self.send_small(text, <uint32_t>len(body)) == FAILED
        ):
            return self.close()
        self.head_started_us = self.workspace.clock.now_us
        if not keep:
            self.lingered = 1
            return self._leave()
        return 0
