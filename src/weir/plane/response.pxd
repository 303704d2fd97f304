# The endpoint's answer, on its way to the client. Each of these may end the exchange.

from libc.stdint cimport uint32_t

from weir.plane.exchange cimport Exchange

# Reads until a final response head is there, and goes on from that. State SENT.
cdef int read_response(Exchange exchange) except -1
# Goes on with the body. State BODY.
cdef int pump_response(Exchange exchange) except -1
cdef int resume_response(Exchange exchange) except -1
# Goes on with both directions. State TUNNEL.
cdef int pump_tunnel(Exchange exchange) except -1
