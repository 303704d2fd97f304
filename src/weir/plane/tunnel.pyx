"""After 101: bytes both ways. And what may come with any head for the client, a 101's too."""

from libc.stdint cimport uint32_t
from libc.string cimport memcpy, memmove, memset

from weir.plane.buffer cimport Buffer
from weir.plane.codes cimport DONE, FAILED, NEED_MORE, R_CLIENT_CLOSED, R_UPSTREAM_RESET, Step
from weir.plane.compose cimport stick
from weir.plane.exchange cimport Exchange, ExchangeOwner
from weir.plane.fields cimport ResponsePolicy, write_response_head
from weir.plane.framing cimport B_TUNNEL, switches_as_asked
from weir.plane.head cimport Head, scan_request
from weir.plane.relay cimport RELAY_TAILROOM
from weir.plane.states cimport E_TUNNEL, MACHINE_EXCHANGE
from weir.plane.workspace cimport Workspace, move


cdef bint was_asked(Exchange exchange, Buffer buf) noexcept:
    """Whether the request asked for what a 101 switches to. Its head is parsed again: 101 is rare."""
    cdef Workspace workspace = exchange.workspace
    cdef Head* asked = &workspace.request_head
    cdef const char* p = exchange.owner.inbuf.data + exchange.head.at
    workspace.request_owner = None
    asked.scanned = 0
    if scan_request(p, exchange.head.length, &exchange.owner.options.limits, asked) != DONE:
        return False
    return switches_as_asked(p, asked, buf.data + buf.start, &workspace.response_head)


cdef uint32_t prepend_out(Exchange exchange, uint32_t n) noexcept:
    cdef Buffer out = exchange.owner.out
    cdef uint32_t before = out.end - out.start
    memmove(exchange.workspace.compose + before, exchange.workspace.compose, n)
    memcpy(exchange.workspace.compose, out.data + out.start, before)
    exchange.workspace.buffers.give(out)
    exchange.owner.out = None
    return n + before


cdef int start_tunnel(Exchange exchange, Buffer buf) except -1:
    cdef Workspace workspace = exchange.workspace
    cdef ExchangeOwner owner = exchange.owner
    cdef Head* head = &workspace.response_head
    cdef ResponsePolicy policy
    cdef uint32_t n, held, begin = buf.start
    cdef Buffer early
    cdef Step step
    memset(&policy, 0, sizeof(policy))
    policy.upgrade = 1
    if owner.options.identifies:
        policy.identity = &exchange.identity
    policy.via = owner.options.via_response
    n = stick(exchange, write_response_head(buf.data + begin, head, &policy, workspace.compose))
    if owner.out is not None:
        n = prepend_out(exchange, n)
    exchange.keep_client = False
    exchange.state = move(workspace, MACHINE_EXCHANGE, exchange.state, E_TUNNEL)
    exchange.response.source = exchange.upstream.stream
    exchange.response.destination = owner.stream
    exchange.response.end_reason = R_UPSTREAM_RESET
    exchange.response.limit = 0
    exchange.response.start(B_TUNNEL, 0, False, False)
    exchange.head_buf = None
    exchange.response.adopt(buf, begin + head.length, buf.end)
    step = exchange.response.send_first(workspace.compose, n)
    if step == FAILED:
        return exchange.abort(R_CLIENT_CLOSED)
    # What the client sent behind its request is the tunnel's first bytes.
    held = owner.inbuf.end - exchange.head.at - exchange.head.length
    exchange.body_in_inbuf = held
    exchange.request.release()
    exchange.request.source = owner.stream
    exchange.request.destination = exchange.upstream.stream
    exchange.request.end_reason = R_CLIENT_CLOSED
    exchange.request.limit = 0
    exchange.request.start(B_TUNNEL, 0, False, False)
    if held:
        early = workspace.buffers.take(held + RELAY_TAILROOM)
        memcpy(early.data, owner.inbuf.data + exchange.head.at + exchange.head.length, held)
        exchange.request.adopt(early, 0, held)
    owner.stream.may_read = True
    return pump_tunnel(exchange)


cdef int pump_tunnel(Exchange exchange) except -1:
    cdef Step there = exchange.request.pump()
    cdef Step back = exchange.response.pump()
    if there == FAILED or back == FAILED:
        # Broken on one side is broken on both.
        if there == FAILED:
            exchange.reason = R_CLIENT_CLOSED if exchange.request.failed_source else R_UPSTREAM_RESET
        else:
            exchange.reason = R_UPSTREAM_RESET if exchange.response.failed_source else R_CLIENT_CLOSED
        return exchange.finish(False, False)
    if exchange.request.done and exchange.response.done:
        return exchange.finish(False, False)
    if there == NEED_MORE or back == NEED_MORE:
        exchange.workspace.engine.put_ready(exchange.owner.stream)
    exchange.workspace.wheel.arm(exchange, exchange.cluster.stream_idle_timeout_ms)
    return 0
