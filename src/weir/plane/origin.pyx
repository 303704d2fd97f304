"""Who a connection comes from: an address from the kernel, from a PROXY header or from a field, in one form.

What is hard here: the same client has many spellings. Limits, trust and the log compare numbers, and one function
writes the text.
"""

from libc.stdint cimport uint8_t, uint16_t, uint32_t
from libc.string cimport memchr, memcmp, memcpy, memset, strlen

from weir.plane.syscalls cimport (
    AF_INET, AF_INET6, AF_UNIX, inet_ntop, inet_pton, ntohs, sockaddr_in, sockaddr_in6, sockaddr_storage,
)

cdef const uint8_t* MAPPED = <const uint8_t*>b"\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\xff\xff"


cdef void origin_of_bytes(OriginFamily family, const uint8_t* address, uint16_t port, Origin* origin) noexcept nogil:
    memset(origin, 0, sizeof(Origin))
    origin.family = family
    if family == O_IPV4:
        memcpy(origin.bytes, MAPPED, 12)
        memcpy(origin.bytes + 12, address, 4)
        origin.port = port
    elif family == O_IPV6:
        memcpy(origin.bytes, address, 16)
        origin.port = port
        if memcmp(origin.bytes, MAPPED, 12) == 0:
            origin.family = O_IPV4


cdef void origin_of_peer(const sockaddr_storage* peer, Origin* origin) noexcept nogil:
    cdef const sockaddr_in* v4 = <const sockaddr_in*>peer
    cdef const sockaddr_in6* v6 = <const sockaddr_in6*>peer
    if peer.ss_family == AF_INET:
        origin_of_bytes(O_IPV4, <const uint8_t*>&v4.sin_addr, ntohs(v4.sin_port), origin)
    elif peer.ss_family == AF_INET6:
        origin_of_bytes(O_IPV6, <const uint8_t*>&v6.sin6_addr, ntohs(v6.sin6_port), origin)
    else:
        origin_of_bytes(O_UNIX if peer.ss_family == AF_UNIX else O_UNKNOWN, NULL, 0, origin)


cdef uint8_t put_origin(const Origin* origin, char* out) noexcept nogil:
    cdef const char* done = NULL
    if origin.family == O_IPV4:
        done = inet_ntop(AF_INET, origin.bytes + 12, out, CLIENT_TEXT)
    elif origin.family == O_IPV6:
        done = inet_ntop(AF_INET6, origin.bytes, out, CLIENT_TEXT)
    if done == NULL:
        memcpy(out, b"unix:", 6)
    return <uint8_t>strlen(out)


cdef bint origin_read_port(const char* s, uint32_t n, uint16_t* port) noexcept nogil:
    # ":" and 1 to 5 digits.
    cdef uint32_t value = 0
    cdef uint32_t i
    if n < 2 or n > 6 or s[0] != c":":
        return False
    for i in range(1, n):
        if s[i] < c"0" or s[i] > c"9":
            return False
        value = value * 10 + <uint32_t>(s[i] - c"0")
    if value > 65535:
        return False
    port[0] = <uint16_t>value
    return True


cdef bint read_origin(const char* s, uint32_t n, Origin* origin) noexcept nogil:
    cdef char text[CLIENT_TEXT]
    cdef uint8_t address[16]
    cdef uint16_t port = 0
    cdef uint32_t length = n
    cdef const char* end
    cdef int family = AF_INET6
    if n == 5 and memcmp(s, b"unix:", 5) == 0:
        origin_of_bytes(O_UNIX, NULL, 0, origin)
        return True
    if n == 0 or n > CLIENT_TEXT + 7:
        return False
    if s[0] == c"[":
        end = <const char*>memchr(s, c"]", n)
        if end == NULL:
            return False
        length = <uint32_t>(end - s)
        if length + 1 < n and not origin_read_port(end + 1, n - length - 1, &port):
            return False
        s += 1
        length -= 1
    elif memchr(s, c".", n) != NULL and memchr(s, c":", n) == origin_last_colon(s, n):
        # At most one colon, and a dot: IPv4. (An IPv6 address that ends like one has two colons at least.)
        family = AF_INET
        end = <const char*>memchr(s, c":", n)
        if end != NULL:
            length = <uint32_t>(end - s)
            if not origin_read_port(end, n - length, &port):
                return False
    if length == 0 or length >= CLIENT_TEXT or memchr(s, 0, length) != NULL:
        return False
    memcpy(text, s, length)
    text[length] = 0
    if inet_pton(family, text, address) != 1:
        return False
    origin_of_bytes(O_IPV4 if family == AF_INET else O_IPV6, address, port, origin)
    return True


cdef inline const char* origin_last_colon(const char* s, uint32_t n) noexcept nogil:
    while n:
        n -= 1
        if s[n] == c":":
            return s + n
    return NULL


cdef bint same_origin(const Origin* a, const Origin* b) noexcept nogil:
    return a.family == b.family and memcmp(a.bytes, b.bytes, 16) == 0


cdef bint shares_prefix(const uint8_t* a, const uint8_t* b, uint32_t bits) noexcept nogil:
    cdef uint32_t whole = bits >> 3
    if memcmp(a, b, whole) != 0:
        return False
    return bits & 7 == 0 or (a[whole] ^ b[whole]) >> (8 - (bits & 7)) == 0
