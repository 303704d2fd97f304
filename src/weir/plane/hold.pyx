"""An exchange before it is sent: what the rules of its listener decide is done here.

While it waits it is one timer and its request head; no byte of a body is read, and no endpoint knows of it. Its wait
counts as time in the queue (Tw).
"""

from libc.stdint cimport int64_t

from weir.plane.admission cimport O_ABORT, O_GO, O_REFUSE, Verdict
from weir.plane.codes cimport R_FAULT_INJECTED, R_RATE_LIMITED
from weir.plane.exchange cimport Exchange, ExchangeOwner
from weir.plane.filters cimport Asked
from weir.plane.states cimport E_HELD, MACHINE_EXCHANGE
from weir.plane.workspace cimport Workspace, move


cdef bint let_in(Exchange exchange) except -1:
    cdef ExchangeOwner owner = exchange.owner
    cdef Workspace workspace = exchange.workspace
    cdef Asked asked
    cdef Verdict verdict
    cdef int64_t wait_ms
    # Its head was parsed a moment ago: nothing has come between.
    asked.p = owner.inbuf.data + exchange.head.at
    asked.head = &workspace.request_head
    asked.client = owner.client
    asked.client_length = owner.client_length
    asked.scratch = workspace.compose
    owner.options.admission.decide(
        &asked, exchange.route.series, exchange.row, exchange.route.number, workspace.clock.now_us, &verdict
    )
    exchange.injected = verdict.injected
    exchange.bytes_per_s = verdict.bytes_per_s
    if verdict.outcome == O_GO and verdict.wait_ms == 0:
        return True
    exchange.state = move(workspace, MACHINE_EXCHANGE, exchange.state, E_HELD)
    exchange.outcome = verdict.outcome
    exchange.variant = verdict.variant
    exchange.retry_after_s = verdict.retry_after_s
    if verdict.wait_ms:
        wait_ms = verdict.wait_ms
        if exchange.gives_up_ms:
            wait_ms = max(min(wait_ms, exchange.gives_up_ms - workspace.clock.now_us // 1000), <int64_t>0)
        workspace.wheel.arm(exchange, wait_ms)
        return False
    return let_go(exchange)


cdef bint let_go(Exchange exchange) except -1:
    if exchange.outcome == O_GO:
        return True
    if exchange.outcome == O_REFUSE:
        exchange.fail(R_RATE_LIMITED)
    elif exchange.outcome == O_ABORT:
        exchange.fail(R_FAULT_INJECTED)
    else:
        exchange.reason = R_FAULT_INJECTED
        exchange.owner.stream.reset()
        exchange.finish(False, False)
    return False
