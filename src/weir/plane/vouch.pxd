# What an endpoint is told of the client.

from libc.stdint cimport uint32_t

from weir.plane.exchange cimport Exchange, ExchangeOwner
from weir.plane.fields cimport RequestPolicy
from weir.plane.head cimport Head
from weir.plane.upstream cimport Upstream

# Writes the PROXY header with which a connection begins to out (PROXY_SENT_BYTES); its length.
cdef uint32_t introduce(Exchange exchange, char* out) noexcept
# What trusted proxies, where there are any, change in what is said of the client; `hop` has CLIENT_TEXT bytes.
cdef void believe(ExchangeOwner owner, const Head* head, RequestPolicy* policy, const char* p, char* hop) noexcept
# The connection that speaks for this client and has rested since its last request; None: there is none.
cdef Upstream take_kept(Exchange exchange)
# It is closed.
cdef int drop_kept(Exchange exchange) except -1
