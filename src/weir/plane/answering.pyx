"""Answers that weir gives itself, on a client's connection: errors, refusals and the statistics page."""

from libc.stdint cimport int64_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcmp, memcpy, memset

from weir.plane.accept cimport ANSWER_TEXT, AnswerKind, preferred_answer
from weir.plane.accesslog cimport L_REQUEST_HEAD, LEDGER_PARTS, LogRecord
from weir.plane.account cimport account
from weir.plane.answers cimport AnswerPolicy, answer_status, write_error, write_own_head, write_page_head
from weir.plane.buffer cimport Buffer
from weir.plane.codes cimport (
    DONE, FAILED, R_CLIENT_CLOSED, R_FAULT_INJECTED, R_HOOK_FAILED, R_RATE_LIMITED, WOULD_BLOCK, Reason, Step,
)
from weir.plane.columns cimport K_RESPONSE_BODY_BYTES
from weir.plane.exchange cimport Exchange, ExchangeOwner
from weir.plane.framing cimport B_CLOSE, B_NONE, Framing
from weir.plane.head cimport M_GET, M_HEAD, Head, scan_request
from weir.plane.messages cimport Answer
from weir.plane.ids cimport TRACE_PASS, Identity, identify, make_id
from weir.plane.options cimport Route
from weir.plane.pace cimport pace_start
from weir.plane.patience cimport await_response
from weir.plane.relay cimport Relay
from weir.plane.response cimport prepend_out, pump_response
from weir.plane.states cimport E_BODY, MACHINE_EXCHANGE
from weir.plane.stream cimport IO_FAILED
from weir.plane.syscalls cimport ssize_t
from weir.plane.workspace cimport move


cdef bint answering_asks_head(const char* p, uint32_t n) noexcept:
    # Half a head, or none, may yet have said that it is HEAD, to which no answer has a body (RFC 9110 section 9.3.2).
    if n >= 2 and p[0] == c"\r" and p[1] == c"\n":     # the empty line that may come first
        p += 2
        n -= 2
    return n >= 5 and memcmp(p, b"HEAD ", 5) == 0


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

    cdef uint32_t _compose_own(self, Exchange exchange, Answer own, bytes lines, bint bare, bint keep) noexcept:
        cdef AnswerPolicy policy
        memset(&policy, 0, sizeof(policy))
        policy.keep = keep
        policy.old_client = exchange.version_minor == 0
        policy.head_only = exchange.method == M_HEAD or bare
        policy.counter = self.options.counter
        policy.counter_length = <uint32_t>len(self.options.counter)
        policy.counter_value = self.workspace.counters.total(exchange.row, K_RESPONSE_BODY_BYTES)
        policy.identity = &exchange.identity
        return write_own_head(self.workspace, lines, <uint64_t>len(own.body), bare, &policy, self.workspace.compose)

    cdef int answer_own(self, Exchange exchange, object answer, bint keep) except -1:
        cdef Answer own = <Answer>answer
        cdef uint64_t length = <uint64_t>len(own.body)
        cdef bint bare = own.status in (204, 205, 304) or own.pieces is not None
        cdef uint32_t n = self._compose_own(exchange, own, own.lines, bare, keep)
        if self.send_small(self.workspace.compose, n) == FAILED:
            return 0
        if exchange.method != M_HEAD and not bare and length:
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
        cdef bint keep = exchange.may_keep() and not old
        cdef bytes lines = own.lines if old else own.lines + b"Transfer-Encoding: chunked\r\n"
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
        relay.start(B_CLOSE, 0, not old, False)
        if exchange.bytes_per_s:
            relay.pace(exchange.bytes_per_s)
        n = self._compose_own(exchange, own, lines, True, keep)
        if self.out is not None:
            n = prepend_out(exchange, n)
        exchange.state = move(self.workspace, MACHINE_EXCHANGE, exchange.state, E_BODY)
        pace_start(&exchange.pace)
        if relay.send_first(self.workspace.compose, n) == FAILED:
            return exchange.abort(R_CLIENT_CLOSED)
        relay.moved = True
        await_response(exchange)
        return pump_response(exchange)

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
