# After 101: bytes both ways. Each of these may end the exchange.

from libc.stdint cimport uint32_t

from weir.plane.buffer cimport Buffer
from weir.plane.exchange cimport Exchange

# Whether the request asked for what the 101 in `buf`, parsed in the workspace, switches to.
cdef bint was_asked(Exchange exchange, Buffer buf) noexcept
# Goes on from that 101. State SENT.
cdef int start_tunnel(Exchange exchange, Buffer buf) except -1
# Goes on with both directions. State TUNNEL.
cdef int pump_tunnel(Exchange exchange) except -1

# Puts what waits in the owner's `out` before the n bytes of a head in the workspace's compose buffer; how many there are
# then.
cdef uint32_t prepend_out(Exchange exchange, uint32_t n) noexcept
