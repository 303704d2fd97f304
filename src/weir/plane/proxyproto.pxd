# The PROXY protocol, versions 1 and 2, as HAProxy's specification has it: read at the beginning of a client's
# connection, written at the beginning of a connection to an endpoint.

from libc.stdint cimport uint8_t, uint32_t

from weir.plane.codes cimport Step
from weir.plane.origin cimport Origin

cdef enum:
    PROXY_V1_BYTES = 107        # the longest line, CR and LF included
    PROXY_BYTES = 4096          # the longest header that is read; nginx reads as much
    PROXY_SENT_BYTES = 107      # the longest one that is written

cdef enum ProxyVersion:
    PROXY_OFF = 0
    PROXY_V1 = 1
    PROXY_V2 = 2

cdef struct ProxyHeader:
    uint32_t length             # of the header
    bint relayed                # it speaks for somebody else; else the connection is the sender's own, or nobody knows
    bint tls                    # the client came to the sender by TLS
    Origin source               # relayed: the client
    Origin destination          # relayed: where it connected to

# The header at the start of p[0:n]. NEED_MORE: so far it is one, and shorter than PROXY_BYTES. FAILED: it is none.
cdef Step scan_proxy_header(const char* p, uint32_t n, ProxyHeader* header) noexcept nogil

# Writes a header for a client; `out` has PROXY_SENT_BYTES. Its length. Without an address of the client's it says so
# (UNKNOWN, UNSPEC); with `local` that the connection is weir's own.
cdef uint32_t write_proxy_header(
    ProxyVersion version, const Origin* source, const Origin* destination, bint local, char* out
) noexcept nogil
