"""How long an exchange waits for bytes of a body to move, and how slowly its client may move them.

What is hard here: one timer has two meanings. It runs out when no byte has moved for too long, or when it is time to
look whether the client keeps pace; whichever comes first. And a response that was written is not a response that was
read: the kernel tells of room only in lumps of tens of kilobytes, so how far a client has come is asked of the kernel,
by what it has acknowledged. A client that takes a kilobyte a second is served; one that takes nothing is not.
"""

from libc.stdint cimport int64_t, uint64_t

from weir.plane.codes cimport (
    R_BODY_TIMEOUT, R_BODY_TOO_SLOW, R_CLIENT_STALLED, R_CLIENT_TOO_SLOW, R_HOOK_TIMEOUT, R_NONE,
    R_STREAM_TIMEOUT, WOULD_BLOCK, Reason, Step,
)
from weir.plane.exchange cimport Exchange
from weir.plane.options cimport ListenerOptions
from weir.plane.pace cimport pace_is_broken, pace_note
from weir.plane.relay cimport Relay


cdef inline void patience_arm(Exchange exchange, int64_t now_us) noexcept:
    cdef int64_t at_us = exchange.idle_us
    if exchange.pace.look_us and exchange.pace.look_us < at_us:
        at_us = exchange.pace.look_us
    exchange.workspace.wheel.arm(exchange, max((at_us - now_us + 999) // 1000, <int64_t>0))


cdef void await_request(Exchange exchange, Step step) noexcept:
    cdef ListenerOptions options = exchange.owner.options
    cdef Relay relay = exchange.request
    cdef int64_t now_us = exchange.workspace.clock.now_us
    if relay.moved:
        exchange.idle_us = now_us + 1000 * exchange.cluster.stream_idle_timeout_ms
        if exchange.gives_up_ms:
            exchange.idle_us = min(exchange.idle_us, 1000 * exchange.gives_up_ms)
    if options.min_request_rate:
        # What was read and not yet sent on waits for the endpoint; what is still to be read waits for weir.
        pace_note(&exchange.pace, step == WOULD_BLOCK and not waits_elsewhere(exchange), now_us, options.rate_grace_us)
    patience_arm(exchange, now_us)


cdef inline bint waits_elsewhere(Exchange exchange) noexcept:
    """Whether it is not the client whose body is waited for."""
    return exchange.request.wants_write() or (
        exchange.request_passage is not None and exchange.request_passage.is_pondering()
    )


cdef void await_response(Exchange exchange) noexcept:
    cdef ListenerOptions options = exchange.owner.options
    cdef Relay relay = exchange.response
    cdef bint client = relay.wants_write()
    cdef int64_t now_us = exchange.workspace.clock.now_us
    if relay.moved:
        if client:
            exchange.idle_us = now_us + 1000 * options.send_timeout_ms
            exchange.acknowledged = patience_acknowledged(exchange)
        else:
            exchange.idle_us = now_us + 1000 * exchange.cluster.stream_idle_timeout_ms
    if options.min_response_rate:
        pace_note(&exchange.pace, client, now_us, options.rate_grace_us)
    patience_arm(exchange, now_us)


cdef void await_credit(Exchange exchange) noexcept:
    pace_note(&exchange.pace, False, exchange.workspace.clock.now_us, 0)
    exchange.workspace.wheel.arm(exchange, exchange.response.pace_ms())


cdef inline int64_t patience_acknowledged(Exchange exchange) noexcept:
    return <int64_t>exchange.response.written - exchange.owner.stream.unacknowledged()


cdef inline uint64_t patience_received(Exchange exchange) noexcept:
    return (exchange.request if exchange.request_passage is None else exchange.request_passage.feed).payload


cdef Reason request_verdict(Exchange exchange) noexcept:
    cdef ListenerOptions options = exchange.owner.options
    cdef int64_t now_us = exchange.workspace.clock.now_us
    if exchange.pace.look_us and now_us >= exchange.pace.look_us:
        if pace_is_broken(
            &exchange.pace, patience_received(exchange), now_us, options.min_request_rate, options.rate_grace_us
        ):
            return R_BODY_TOO_SLOW
    if now_us >= exchange.idle_us:
        if exchange.request_passage is not None and exchange.request_passage.is_pondering():
            return R_STREAM_TIMEOUT if exchange.request.wants_write() else R_HOOK_TIMEOUT
        return R_STREAM_TIMEOUT if exchange.request.wants_write() else R_BODY_TIMEOUT
    patience_arm(exchange, now_us)
    return R_NONE


cdef Reason response_verdict(Exchange exchange) noexcept:
    cdef ListenerOptions options = exchange.owner.options
    cdef int64_t now_us = exchange.workspace.clock.now_us
    cdef int64_t acknowledged = patience_acknowledged(exchange)
    if exchange.pace.look_us and now_us >= exchange.pace.look_us:
        if pace_is_broken(
            &exchange.pace, <uint64_t>max(acknowledged, <int64_t>0), now_us, options.min_response_rate,
            options.rate_grace_us,
        ):
            return R_CLIENT_TOO_SLOW
    if now_us >= exchange.idle_us:
        if not exchange.response.wants_write():
            if exchange.response_passage is not None and exchange.response_passage.is_pondering():
                return R_HOOK_TIMEOUT
            return R_STREAM_TIMEOUT
        if acknowledged <= exchange.acknowledged:
            return R_CLIENT_STALLED
        exchange.acknowledged = acknowledged
        exchange.idle_us = now_us + 1000 * options.send_timeout_ms
    patience_arm(exchange, now_us)
    return R_NONE
