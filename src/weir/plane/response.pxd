# The endpoint's answer, on its way to the client. Each of these may end the exchange.

from weir.plane.buffer cimport Buffer
from weir.plane.exchange cimport Exchange

# Reads until a final response head is there, and goes on from that. State SENT.
cdef int read_response(Exchange exchange) except -1
# Goes on from a final response head, which stands in `buf` and is parsed in the workspace. State SENT.
# `ended`: the endpoint sends nothing more.
cdef int on_response_head(Exchange exchange, Buffer buf, bint ended) except -1
# Goes on with the body. State BODY.
cdef int pump_response(Exchange exchange) except -1
cdef int resume_response(Exchange exchange) except -1
