# The head that a client gets.

from libc.stdint cimport uint32_t

from weir.plane.exchange cimport Exchange
from weir.plane.framing cimport Framing

# Writes the head for the client, of the response head that was parsed and stands at p, to the workspace's compose
# buffer; 0: there is no room for it.
cdef uint32_t compose_response(Exchange exchange, const char* p, const Framing* framing) noexcept
# Adds the cookie that binds the client to its endpoint to the composed head compose[0:n], where a cluster has one; its
# new length.
cdef uint32_t stick(Exchange exchange, uint32_t n) noexcept
