# How long an exchange waits for bytes of a body to move, and how slowly its client may move them.

from weir.plane.codes cimport Reason, Step
from weir.plane.exchange cimport Exchange

# After a pump of the request's body that is not over, before a response: `step` is what came of it.
cdef void await_request(Exchange exchange, Step step) noexcept
# After a pump of the response's body that is not over.
cdef void await_response(Exchange exchange) noexcept

# Likewise, when it is weir itself that holds it up, for a pace that was asked for (Relay.paced).
cdef void await_credit(Exchange exchange) noexcept

# The timer that these two have set has run out. R_NONE: the exchange goes on, and the timer is set again.
cdef Reason request_verdict(Exchange exchange) noexcept
cdef Reason response_verdict(Exchange exchange) noexcept
