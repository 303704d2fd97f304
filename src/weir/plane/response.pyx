"""From the endpoint's first byte to the client's last: response heads, bodies of an exchange.

What is hard here: a response head may come with interim heads before it, with its whole body behind it, or
in pieces; the client may take it at once or not at all. In the common case, a small response that came in
one read, it leaves in one write.
"""

from libc.stdint cimport uint16_t, uint32_t
from libc.string cimport memset

from weir.plane.buffer cimport Buffer
from weir.plane.codes cimport (
    DONE,
    FAILED,
    NEED_MORE,
    R_BAD_RESPONSE,
    R_BAD_RESPONSE_FRAMING,
    R_CLIENT_CLOSED,
    R_HOOK_FAILED,
    R_INTERNAL,
    R_NONE,
    R_UPSTREAM_CLOSED,
    R_UPSTREAM_RESET,
    R_UPSTREAM_TRUNCATED,
    Step,
)
from weir.plane.columns cimport EF_RACES_SAVED
from weir.plane.compose cimport compose_response
from weir.plane.exchange cimport MAX_INTERIM, MAX_INTERIM_BYTES, Exchange, ExchangeOwner, SecondTry
from weir.plane.facts cimport overrule
from weir.plane.fields cimport (
    ResponsePolicy,
    check_response,
    ties_connection,
    write_response_head,
)
from weir.plane.framing cimport (
    B_CHUNKED,
    B_CLOSE,
    B_LENGTH,
    B_TUNNEL,
    Framing,
    frame_response,
)
from weir.plane.head cimport (
    F_KEEP_ALIVE, F_WWW_AUTHENTICATE, Head, HeadLimits, scan_response,
)
from weir.plane.hooks cimport PHASE_RESPONSE, PHASE_RESPONSE_BODY
from weir.plane.keepalive cimport keep_alive_timeout_ms
from weir.plane.meeting cimport MEET_GO, meet, meet_response_body
from weir.plane.pace cimport pace_start
from weir.plane.passage cimport Passage
from weir.plane.patience cimport await_credit, await_response
from weir.plane.relay cimport RELAY_TAILROOM, Relay
from weir.plane.retry cimport ON_BAD_RESPONSE, status_failure
from weir.plane.retrywords cimport RW_RESPONSE_BEGUN
from weir.plane.states cimport E_BODY, MACHINE_EXCHANGE
from weir.plane.stream cimport IO_BLOCKED, IO_FAILED, Stream
from weir.plane.syscalls cimport ECONNRESET, ssize_t
from weir.plane.tunnel cimport prepend_out, start_tunnel, was_asked
from weir.plane.workspace cimport Workspace, move

cdef enum:
    HOLD_HEAD_MS = 4        # of a response whose body has not begun: no person notices, and its server is long done


cdef int read_response(Exchange exchange) except -1:
    """Reads until a final response head is there."""
    exchange.workspace.response_owner = None
    cdef Stream stream = exchange.upstream.stream
    cdef Head* head = &exchange.workspace.response_head
    cdef Buffer buf = exchange.head_buf
    cdef HeadLimits limits
    cdef ssize_t got
    cdef Step step
    limits.head_bytes = exchange.cluster.max_response_head_bytes
    limits.fields = exchange.cluster.max_response_fields
    limits.target_bytes = 0
    # It stays the exchange's until a relay takes it over: whatever happens, it is given back.
    if buf is None:
        buf = exchange.head_buf = exchange.workspace.buffers.take_for_read()
    elif buf.size - RELAY_TAILROOM < limits.head_bytes:
        buf = exchange.head_buf = exchange.workspace.buffers.regrow(buf, limits.head_bytes + RELAY_TAILROOM)
    while True:
        got = IO_BLOCKED
        if buf.end == buf.size - RELAY_TAILROOM:
            # Full, and not with one head alone: interim heads were before it, or the buffer is a small one.
            buf = exchange.head_buf = exchange.workspace.buffers.regrow(buf, limits.head_bytes + RELAY_TAILROOM)
        # (No room: a head that was held while a hook was awaited, with as much of its body as one read brings.)
        if stream.may_read and exchange.response_passage is None and buf.end < buf.size - RELAY_TAILROOM:
            got = stream.read_some(buf.data + buf.end, buf.size - RELAY_TAILROOM - buf.end)
        if got > 0:
            exchange.response_begun = True
            buf.end += <uint32_t>got
        elif not exchange.head_held or got == IO_FAILED:
            break
        elif got == 0:
            stream.may_read = True      # the end is the body's to meet
        head.scanned = exchange.response_scanned
        exchange.response_scanned = 0
        step = scan_response(buf.data + buf.start, buf.end - buf.start, &limits, head)
        while step == DONE and head.status < 200 and head.status != 101:
            if pass_interim(exchange, buf) < 0:     # the exchange, or this attempt, has ended in there
                return 0
            head.scanned = 0
            step = scan_response(buf.data + buf.start, buf.end - buf.start, &limits, head)
        if step == DONE:
            return on_response_head(exchange, buf, got == 0)
        if step == FAILED:
            return exchange.try_again(ON_BAD_RESPONSE, head.reason)
        if not stream.may_read:
            break
    if got == IO_BLOCKED or got > 0:
        if buf.start == buf.end:
            exchange.workspace.buffers.give(buf)
            exchange.head_buf = None
        else:
            exchange.response_scanned = head.scanned
            exchange.head_buf = exchange.workspace.buffers.regrow(buf, buf.end - buf.start)
        return 0
    return exchange.lost(R_UPSTREAM_RESET if got == IO_FAILED and stream.error == ECONNRESET else R_UPSTREAM_CLOSED)


cdef int pass_interim(Exchange exchange, Buffer buf) except -2:
    """Passes a 1xx head on; -1 if that ended the exchange, or the attempt."""
    cdef Head* head = &exchange.workspace.response_head
    cdef ResponsePolicy policy
    cdef Framing framing
    cdef uint32_t n
    cdef const char* p = buf.data + buf.start
    exchange.interim += 1
    exchange.interim_bytes += head.length
    if (
        exchange.interim > MAX_INTERIM or exchange.interim_bytes > MAX_INTERIM_BYTES
        or frame_response(p, head, exchange.method, exchange.upgrade, &framing) == FAILED
        or check_response(p, head) == FAILED
    ):
        exchange.try_again(ON_BAD_RESPONSE, R_BAD_RESPONSE)
        return -1
    buf.start += head.length
    # HTTP/1.0 has no interim responses (RFC 9110 section 15.2).
    if exchange.version_minor == 0:
        return 0
    # The client was told to go on in an attempt before this one.
    if head.status == 100 and exchange.continued and exchange.retries:
        return 0
    memset(&policy, 0, sizeof(policy))
    policy.interim = 1
    policy.via = exchange.owner.options.via_response
    n = write_response_head(p, head, &policy, exchange.workspace.compose)
    if head.status == 100:
        exchange.continued = True
    if exchange.owner.send_small(exchange.workspace.compose, n) == FAILED:
        exchange.abort(R_CLIENT_CLOSED)
        return -1
    return 0


cdef inline bint promises_body(const Framing* framing) noexcept:
    return framing.kind in (B_CHUNKED, B_CLOSE) or (framing.kind == B_LENGTH and framing.length > 0)


cdef bint hold_head(Exchange exchange, Buffer buf, const Framing* framing) except -1:
    """Whether the head waits for the beginning of its body: at most HOLD_HEAD_MS and a tick of the wheel.

    Most servers write head and body one right after the other. Taken apart, each such response would cost a write
    and two packets more (measured: 40 % of an nginx's small files, nearly all of gunicorn's). nginx and HAProxy
    wait too, and without a limit.
    """
    cdef Head* head = &exchange.workspace.response_head
    if (
        exchange.head_held
        or buf.end - buf.start != head.length
        or not promises_body(framing)
    ):
        return False
    if exchange.upstream.stream.peer_done:
        if framing.kind == B_CLOSE:
            return False
        # All that there will be is here. If that is no byte of the body, the client has nothing yet that would
        # have to be cut: look at once.
        exchange.workspace.engine.put_ready(exchange.upstream.stream)
    exchange.head_held = True
    exchange.workspace.wheel.arm(exchange, HOLD_HEAD_MS)
    return True


cdef int on_response_head(Exchange exchange, Buffer buf, bint ended) except -1:
    cdef Head* head = &exchange.workspace.response_head
    cdef Framing framing
    cdef uint16_t failure
    if frame_response(buf.data + buf.start, head, exchange.method, exchange.upgrade, &framing) == FAILED:
        return exchange.try_again(ON_BAD_RESPONSE, framing.reason)
    if check_response(buf.data + buf.start, head) == FAILED:
        return exchange.try_again(ON_BAD_RESPONSE, head.reason)
    if framing.kind == B_TUNNEL and not was_asked(exchange, buf):
        return exchange.try_again(ON_BAD_RESPONSE, R_BAD_RESPONSE)
    if exchange.first_byte_us == 0:
        exchange.first_byte_us = exchange.workspace.clock.tick()
        exchange.pool.answered(exchange.upstream, exchange.first_byte_us // 1000)
        if exchange.raced is not None:
            exchange.raced.entry.figures[EF_RACES_SAVED] += 1
            exchange.raced = None
        if head.count[<int>F_KEEP_ALIVE]:
            exchange.pool.learner.said(keep_alive_timeout_ms(buf.data + buf.start, head))
        exchange.pool.responded(head.status, exchange.first_byte_us - exchange.connected_us)
        if exchange.hedge_at_ms:
            exchange.cluster.hedge.observe(exchange.first_byte_us - exchange.connected_us)
        if head.status >= 429:
            failure = status_failure(head.status) & exchange.cluster.retry.on
            if failure and exchange.tries_again(failure, R_NONE):
                return 0
    if hold_head(exchange, buf, &framing):
        return 0
    if ended and framing.kind != B_CLOSE and buf.end - buf.start == head.length and promises_body(&framing):
        return exchange.try_again(ON_BAD_RESPONSE, R_UPSTREAM_TRUNCATED)
    if (
        exchange.hooked and not exchange.response_met and framing.kind != B_TUNNEL
        and exchange.hooked & exchange.route.hooks.masks[<int>PHASE_RESPONSE]
    ):
        if not show_response(exchange):
            return 0
        if exchange.workspace.response_owner is not exchange:
            exchange.head_held = True
            return read_response(exchange)      # another head was parsed meanwhile: this one is again
    exchange.status = head.status
    if framing.kind == B_TUNNEL:
        return start_tunnel(exchange, buf)
    return start_response(exchange, buf, &framing)


cdef bint show_response(Exchange exchange) except -1:
    """Hooks see the response head; False: one is awaited, or has ended the exchange."""
    cdef SecondTry second = exchange.second     # held: it lets go of itself
    cdef int outcome
    if second is not None:
        second.cancel()
    exchange.meets_response = True
    exchange.workspace.response_owner = exchange
    outcome = meet(exchange, PHASE_RESPONSE)
    exchange.response_met = outcome == MEET_GO
    return exchange.response_met


cdef int start_response(Exchange exchange, Buffer buf, const Framing* framing) except -1:
    cdef Workspace workspace = exchange.workspace
    cdef ExchangeOwner owner = exchange.owner
    cdef Head* head = &workspace.response_head
    cdef Relay relay = exchange.response
    cdef uint32_t n, begin = buf.start
    cdef bint old_client = exchange.version_minor == 0
    cdef bint wrap
    cdef SecondTry second = exchange.second     # held: it lets go of itself
    cdef Passage passage
    cdef Framing mine
    cdef Step step
    if exchange.hooked and exchange.hooked & exchange.route.hooks.masks[<int>PHASE_RESPONSE_BODY]:
        if meet_response_body(exchange) != MEET_GO:
            return 0
    passage = exchange.response_passage
    mine = framing[0]
    framing = &mine
    if passage is not None:
        passage.depart(&mine)
    wrap = framing.kind == B_CLOSE and not old_client
    exchange.upstream_keep_alive = (
        framing.keep_alive and not exchange.tied and not ties_connection(buf.data + begin, head, F_WWW_AUTHENTICATE)
    )
    exchange.keep_client = (
        exchange.keep_alive
        and not workspace.draining
        and not (old_client and (framing.kind == B_CHUNKED or framing.kind == B_CLOSE))
    )
    relay.source = exchange.upstream.stream if passage is None else passage.pipe
    relay.destination = owner.stream
    relay.end_reason = R_UPSTREAM_TRUNCATED
    relay.chunk_reason = R_BAD_RESPONSE_FRAMING
    relay.limit = 0
    relay.limits.head_bytes = exchange.cluster.max_response_head_bytes
    relay.limits.fields = exchange.cluster.max_response_fields
    relay.start(framing.kind, framing.length, wrap, old_client)
    relay.scanner.no_trailers = head.nominates
    if exchange.bytes_per_s:
        relay.pace(exchange.bytes_per_s)
    exchange.meets_response = False
    exchange.head_buf = None if passage is None else buf
    if second is not None:
        second.cancel()
    # A chunk's header goes over the end of the head: such a body is taken over after the head was composed.
    if wrap and passage is None:
        relay.buf = buf
    elif passage is None and relay.adopt(buf, begin + head.length, buf.end) == FAILED and relay.unsent() == 0:
        return exchange.try_again(ON_BAD_RESPONSE, relay.reason)
    # From here on there is no other attempt.
    exchange.request.let_go()
    if not exchange.request_taken() and (
        exchange.upload_broken
        or relay.source_done
        or not framing.keep_alive
        or (exchange.expect and not exchange.continued)
    ):
        # The rest of the request will not be wanted: say so while there is a head to say it in.
        exchange.keep_client = False
    if exchange.response_edits is not None and exchange.route.action is not None:
        overrule(exchange)
    n = compose_response(exchange, buf.data + begin, framing)
    if n == 0:
        return exchange.fail(R_INTERNAL)
    if passage is not None:
        exchange.head_buf = None
        workspace.buffers.give(buf)
        if passage.begin(relay) == FAILED:
            return exchange.fail(relay.reason)
    elif wrap:
        relay.adopt(buf, begin + head.length, buf.end)
    if owner.out is not None:
        # An interim head still stands in the way (it takes a full socket): this one goes behind it.
        n = prepend_out(exchange, n)
    exchange.state = move(workspace, MACHINE_EXCHANGE, exchange.state, E_BODY)
    pace_start(&exchange.pace)
    step = relay.send_first(workspace.compose, n)
    if relay.reason != R_NONE and step != FAILED:
        step = FAILED       # what came with the head was cut off: told after what was good
    if step == NEED_MORE:
        step = pump_on(exchange)
    relay.moved = True
    return after_pump(exchange, step)


cdef inline Step pump_on(Exchange exchange) except *:
    cdef Passage passage = exchange.response_passage
    return exchange.response.pump() if passage is None else passage.pump(exchange.response)


cdef int pump_response(Exchange exchange) except -1:
    return after_pump(exchange, pump_on(exchange))


cdef int resume_response(Exchange exchange) except -1:
    """The moment has come that a response at a pace has waited for."""
    # Should the client not take it, it has the time that any client has.
    exchange.idle_us = exchange.workspace.clock.now_us + 1000 * exchange.owner.options.send_timeout_ms
    exchange.workspace.wheel.arm(exchange, exchange.owner.options.send_timeout_ms)
    return pump_response(exchange)


cdef int after_pump(Exchange exchange, Step step) except -1:
    cdef Relay relay = exchange.response
    cdef Passage passage = exchange.response_passage
    if step == DONE:
        relay = relay if passage is None else passage.feed      # what the endpoint may have still to say
        return exchange.finish(
            exchange.upstream_keep_alive
            and exchange.request.done
            and relay.source_done
            and relay.kind != B_CLOSE
            and (relay.buf is None or relay.raw_end == relay.buf.end),
            exchange.keep_client and exchange.request_taken(),
        )
    if step == FAILED:
        if relay.failed_source:
            if relay.reason != R_HOOK_FAILED:
                exchange.cluster.retry.count(RW_RESPONSE_BEGUN)
            return exchange.fail(relay.reason)
        return exchange.abort(R_CLIENT_CLOSED)
    if step == NEED_MORE:
        exchange.workspace.engine.put_ready(exchange.upstream.stream if passage is None else passage.pipe)
    if relay.paced:
        await_credit(exchange)
    elif relay.moved:
        await_response(exchange)
    return 0
