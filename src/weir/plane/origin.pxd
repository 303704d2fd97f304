# Who a connection comes from: addresses of clients and proxies, as numbers that can be compared.

from libc.stdint cimport uint8_t, uint16_t, uint32_t

from weir.plane.syscalls cimport sockaddr_storage

cdef enum:
    CLIENT_TEXT = 48            # the longest text of an IPv6 address, "unix:", and some room

cdef enum OriginFamily:
    O_UNKNOWN = 0               # it has no address that anybody knows
    O_UNIX = 1
    O_IPV4 = 4
    O_IPV6 = 6

# IPv4 addresses stand in bytes[12:16], behind the prefix ::ffff:0:0/96; without an address all is zero.
cdef struct Origin:
    uint8_t family              # OriginFamily
    uint16_t port               # 0: not known
    uint8_t bytes[16]

# An IPv4 address that came as IPv6 (from a socket that takes both) is IPv4: everybody knows it by that.
cdef void origin_of_peer(const sockaddr_storage* peer, Origin* origin) noexcept nogil
cdef void origin_of_bytes(OriginFamily family, const uint8_t* address, uint16_t port, Origin* origin) noexcept nogil

# The address as text, without port, NUL behind it; its length. `out` has CLIENT_TEXT bytes. "unix:" if there is none.
cdef uint8_t put_origin(const Origin* origin, char* out) noexcept nogil

# Reads s[0:n] as X-Forwarded-For has addresses: "192.0.2.1", "192.0.2.1:80", "2001:db8::1", "[2001:db8::1]",
# "[2001:db8::1]:80", or "unix:". False if it is none of these.
cdef bint read_origin(const char* s, uint32_t n, Origin* origin) noexcept nogil

# Without regard to ports.
cdef bint same_origin(const Origin* a, const Origin* b) noexcept nogil
# Whether the first `bits` of both addresses are alike.
cdef bint shares_prefix(const uint8_t* a, const uint8_t* b, uint32_t bits) noexcept nogil
