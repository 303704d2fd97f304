"""The PROXY protocol, versions 1 and 2: who the client is of a connection that a proxy has made.

The source is HAProxy's proxy-protocol.txt; numbers of sections are that document's. What is hard here: nothing of a
header may be believed before all of it is there, and what is not a header has to be refused at its first wrong byte,
because whoever speaks without one must not wait for a time-out to be told.
"""

from libc.stdint cimport uint8_t, uint16_t, uint32_t
from libc.string cimport memchr, memcmp, memcpy, memset

from weir.plane.codes cimport DONE, FAILED, NEED_MORE, Step
from weir.plane.origin cimport (
    CLIENT_TEXT, O_IPV4, O_IPV6, O_UNIX, Origin, origin_of_bytes, put_origin,
)
from weir.plane.syscalls cimport AF_INET, AF_INET6, inet_pton
from weir.plane.text cimport put_bytes, put_number

cdef enum:
    V2_FIXED = 16               # signature, version and command, family, length
    V2_LOCAL = 0x20
    V2_PROXY = 0x21
    TLV_HEADER = 3              # type, length
    TLV_CRC32C = 0x03
    TLV_SSL = 0x20
    SSL_BYTES = 5               # client, verify; further TLVs may follow
    CLIENT_SSL = 0x01
    # Protocol bytes (section 2.2): family and transport.
    P_UNSPEC = 0x00
    P_TCP4 = 0x11
    P_UDP4 = 0x12
    P_TCP6 = 0x21
    P_UDP6 = 0x22
    P_UNIX_STREAM = 0x31
    P_UNIX_DGRAM = 0x32

cdef const char* V1_SIGNATURE = b"PROXY "
cdef const char* V2_SIGNATURE = b"\r\n\r\n\x00\r\nQUIT\n"


cdef Step scan_proxy_header(const char* p, uint32_t n, ProxyHeader* header) noexcept nogil:
    memset(header, 0, sizeof(ProxyHeader))
    if n == 0:
        return NEED_MORE
    if p[0] == c"P":
        return proxyproto_scan_v1(p, n, header)
    return proxyproto_scan_v2(p, n, header)


# Version 1 (section 2.1)

cdef Step proxyproto_scan_v1(const char* p, uint32_t n, ProxyHeader* header) noexcept nogil:
    cdef uint32_t window = n if n < PROXY_V1_BYTES else PROXY_V1_BYTES
    cdef const char* end
    if memcmp(p, V1_SIGNATURE, window if window < 6 else 6) != 0:
        return FAILED
    # One scan for the LF: a CR has to stand before it, and nowhere else.
    end = <const char*>memchr(p, c"\n", window)
    if end == NULL:
        return FAILED if window == PROXY_V1_BYTES else NEED_MORE
    header.length = <uint32_t>(end - p) + 1
    if header.length < 8 or (end - 1)[0] != c"\r":
        return FAILED
    return proxyproto_read_v1(p + 6, header.length - 8, header)


cdef Step proxyproto_read_v1(const char* s, uint32_t n, ProxyHeader* header) noexcept nogil:
    # What stands between "PROXY " and CRLF.
    cdef const char* parts[5]
    cdef uint32_t lengths[5]
    cdef uint32_t i
    cdef uint32_t count = 0
    cdef uint32_t at = 0
    cdef bint v6
    if n >= 7 and memcmp(s, b"UNKNOWN", 7) == 0 and (n == 7 or s[7] == c" "):
        return DONE             # whatever follows is ignored
    for i in range(n + 1):
        if i == n or s[i] == c" ":
            if count == 5 or i == at:
                return FAILED
            parts[count] = s + at
            lengths[count] = i - at
            count += 1
            at = i + 1
    if count != 5 or lengths[0] != 4 or memcmp(parts[0], b"TCP", 3) != 0:
        return FAILED
    v6 = parts[0][3] == c"6"
    if not v6 and parts[0][3] != c"4":
        return FAILED
    if not (
        proxyproto_read_address(v6, parts[1], lengths[1], &header.source)
        and proxyproto_read_address(v6, parts[2], lengths[2], &header.destination)
        and proxyproto_read_port(parts[3], lengths[3], &header.source.port)
        and proxyproto_read_port(parts[4], lengths[4], &header.destination.port)
    ):
        return FAILED
    header.relayed = True
    return DONE


cdef bint proxyproto_read_address(bint v6, const char* s, uint32_t n, Origin* origin) noexcept nogil:
    # inet_pton takes no leading zeros, no fewer than four numbers, and nothing behind them.
    cdef char text[CLIENT_TEXT]
    cdef uint8_t address[16]
    if n >= CLIENT_TEXT or memchr(s, 0, n) != NULL:
        return False
    memcpy(text, s, n)
    text[n] = 0
    if inet_pton(AF_INET6 if v6 else AF_INET, text, address) != 1:
        return False
    origin_of_bytes(O_IPV6 if v6 else O_IPV4, address, 0, origin)
    return True


cdef bint proxyproto_read_port(const char* s, uint32_t n, uint16_t* port) noexcept nogil:
    cdef uint32_t value = 0
    cdef uint32_t i
    if n > 5 or (s[0] == c"0" and n > 1):
        return False
    for i in range(n):
        if s[i] < c"0" or s[i] > c"9":
            return False
        value = value * 10 + <uint32_t>(s[i] - c"0")
    if value > 65535:
        return False
    port[0] = <uint16_t>value
    return True


# Version 2 (section 2.2)

cdef inline uint16_t proxyproto_u16(const uint8_t* p) noexcept nogil:
    return <uint16_t>(p[0] << 8 | p[1])


cdef Step proxyproto_scan_v2(const char* p, uint32_t n, ProxyHeader* header) noexcept nogil:
    cdef const uint8_t* u = <const uint8_t*>p
    cdef uint32_t length
    if memcmp(p, V2_SIGNATURE, n if n < 12 else 12) != 0:
        return FAILED
    if n > 12 and u[12] != V2_LOCAL and u[12] != V2_PROXY:
        return FAILED
    if n < V2_FIXED:
        return NEED_MORE
    length = V2_FIXED + proxyproto_u16(u + 14)
    if length > PROXY_BYTES:
        return FAILED
    if n < length:
        return NEED_MORE
    header.length = length
    if u[12] == V2_LOCAL:
        return DONE             # the block is skipped, "including the family which is ignored"
    return proxyproto_read_v2(u, length, header)


cdef Step proxyproto_read_v2(const uint8_t* u, uint32_t length, ProxyHeader* header) noexcept nogil:
    cdef uint32_t at
    cdef uint8_t protocol = u[13]
    if protocol == P_UNSPEC:
        return DONE
    if protocol == P_TCP4 or protocol == P_UDP4:
        at = V2_FIXED + 12
    elif protocol == P_TCP6 or protocol == P_UDP6:
        at = V2_FIXED + 36
    elif protocol == P_UNIX_STREAM or protocol == P_UNIX_DGRAM:
        at = V2_FIXED + 216
    else:
        return FAILED           # "must be rejected as invalid by receivers"
    if length < at or not proxyproto_read_tlvs(u, at, length, header):
        return FAILED
    if protocol == P_TCP4:
        origin_of_bytes(O_IPV4, u + V2_FIXED, proxyproto_u16(u + V2_FIXED + 8), &header.source)
        origin_of_bytes(O_IPV4, u + V2_FIXED + 4, proxyproto_u16(u + V2_FIXED + 10), &header.destination)
    elif protocol == P_TCP6:
        origin_of_bytes(O_IPV6, u + V2_FIXED, proxyproto_u16(u + V2_FIXED + 32), &header.source)
        origin_of_bytes(O_IPV6, u + V2_FIXED + 16, proxyproto_u16(u + V2_FIXED + 34), &header.destination)
    elif protocol == P_UNIX_STREAM:
        # Of a Unix socket's client the path says nothing: it mostly has none.
        origin_of_bytes(O_UNIX, NULL, 0, &header.source)
        origin_of_bytes(O_UNIX, NULL, 0, &header.destination)
    else:
        return DONE             # datagrams: what is not supported "falls back to the UNSPEC mode"
    header.relayed = True
    return DONE


cdef bint proxyproto_read_tlvs(const uint8_t* u, uint32_t at, uint32_t length, ProxyHeader* header) noexcept nogil:
    cdef uint32_t value, size
    cdef uint32_t checksum_at = 0
    while at < length:
        if length - at < TLV_HEADER:
            return False
        value = at + TLV_HEADER
        size = proxyproto_u16(u + at + 1)
        if size > length - value:
            return False
        if u[at] == TLV_CRC32C:
            if size != 4 or checksum_at:
                return False
            checksum_at = value
        elif u[at] == TLV_SSL:
            if size < SSL_BYTES:
                return False
            header.tls = u[value] & CLIENT_SSL
        at = value + size
    return checksum_at == 0 or proxyproto_crc32c(u, length, checksum_at) == proxyproto_u32(u + checksum_at)


cdef inline uint32_t proxyproto_u32(const uint8_t* p) noexcept nogil:
    return <uint32_t>p[0] << 24 | <uint32_t>p[1] << 16 | <uint32_t>p[2] << 8 | p[3]


cdef uint32_t proxyproto_crc32c(const uint8_t* u, uint32_t length, uint32_t checksum_at) noexcept nogil:
    # RFC 4960 Appendix B, over the header with zeros in place of the checksum. Bit by bit: 4 KiB once a connection.
    cdef uint32_t crc = <uint32_t>0xFFFFFFFF
    cdef uint32_t i
    cdef uint32_t polynomial = 0x82F63B78
    for i in range(length):
        if i < checksum_at or i >= checksum_at + 4:
            crc ^= u[i]
        for _ in range(8):
            crc = crc >> 1 ^ (polynomial if crc & 1 else 0)
    return crc ^ <uint32_t>0xFFFFFFFF


# Writing

cdef inline bint proxyproto_is_ip(const Origin* origin) noexcept nogil:
    return origin.family == O_IPV4 or origin.family == O_IPV6


cdef inline char* proxyproto_put_u16(char* out, uint32_t value) noexcept nogil:
    out[0] = <char>(value >> 8)
    out[1] = <char>(value & 255)
    return out + 2


cdef char* proxyproto_put_text(char* out, const Origin* origin, bint v6) noexcept nogil:
    cdef char text[CLIENT_TEXT]
    cdef uint32_t n
    if not v6 or origin.family == O_IPV6:
        n = put_origin(origin, text)
        return put_bytes(out, text, n)
    # An IPv4 address beside an IPv6 one: both have to be of the family that the line names.
    out = put_bytes(out, b"::ffff:", 7)
    n = put_origin(origin, text)
    return put_bytes(out, text, n)


cdef uint32_t write_proxy_header(
    ProxyVersion version, const Origin* source, const Origin* destination, bint local, char* out
) noexcept nogil:
    cdef char* start = out
    cdef bint known = not local and proxyproto_is_ip(source) and proxyproto_is_ip(destination)
    cdef bint v6 = known and (source.family == O_IPV6 or destination.family == O_IPV6)
    cdef uint32_t skip = 0 if v6 else 12
    if version == PROXY_V1:
        if not known:
            return <uint32_t>(put_bytes(out, b"PROXY UNKNOWN\r\n", 15) - start)
        out = put_bytes(out, b"PROXY TCP6 " if v6 else b"PROXY TCP4 ", 11)
        out = put_bytes(proxyproto_put_text(out, source, v6), b" ", 1)
        out = put_bytes(proxyproto_put_text(out, destination, v6), b" ", 1)
        out = put_bytes(put_number(out, source.port), b" ", 1)
        out = put_bytes(put_number(out, destination.port), b"\r\n", 2)
        return <uint32_t>(out - start)
    out = put_bytes(out, V2_SIGNATURE, 12)
    out[0] = <char>(V2_LOCAL if local else V2_PROXY)
    out[1] = <char>(P_UNSPEC if not known else P_TCP6 if v6 else P_TCP4)
    if not known:
        return <uint32_t>(proxyproto_put_u16(out + 2, 0) - start)
    out = proxyproto_put_u16(out + 2, 2 * (16 - skip) + 4)
    out = put_bytes(out, <const char*>source.bytes + skip, 16 - skip)
    out = put_bytes(out, <const char*>destination.bytes + skip, 16 - skip)
    out = proxyproto_put_u16(out, source.port)
    return <uint32_t>(proxyproto_put_u16(out, destination.port) - start)
