"""The chunked coding, made canonical in place (RFC 9112 section 7.1).

What is hard here: every byte of a body passes through, and most senders already write the canonical form, so
nothing may be moved until something was left out. `w` is where the next byte to send belongs, `r` the next byte
to look at; as long as they are equal the output is the input.
"""

from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memmove

from weir.plane.codes cimport DONE, FAILED, NEED_MORE, R_NONE, Reason, Step
from weir.plane.debug cimport invariant
from weir.plane.head cimport (
    F_AUTHORIZATION, F_CONNECTION, F_CONTENT_LENGTH, F_DATE, F_EXPECT, F_FORWARDED, F_HOST, F_HTTP2_SETTINGS,
    F_KEEP_ALIVE, F_OTHER, F_PROXY, F_PROXY_AUTHENTICATE, F_PROXY_AUTHENTICATION_INFO, F_PROXY_AUTHORIZATION,
    F_PROXY_CONNECTION, F_TE, F_TRAILER, F_TRANSFER_ENCODING, F_UPGRADE, F_VIA, F_WWW_AUTHENTICATE, F_X_FORWARDED_FOR,
    F_X_FORWARDED_HOST, F_X_FORWARDED_PROTO, F_X_REAL_IP, Field, Head, HeadLimits, known_name, scan_fields,
)
from weir.plane.text cimport equals_lower

cdef enum:
    # 15 digits leave room for sums in 64 bits. Leading zeros do not count; CHUNK_HEADER_LIMIT bounds them.
    SIZE_DIGITS_MAX = 15
    FORBIDDEN_LIMIT = 20
    LONGEST_FORBIDDEN = 32  # longer than any name that is known

# What may not come in a trailer section: fields for framing, routing, request modifiers, authentication,
# response control and content format (RFC 9110 section 6.5.1), and what ends at each hop (section 7.6.1).
# A recipient that merges trailers into the head would otherwise take them for what was checked there.
cdef uint32_t FORBIDDEN_IDS = (
    <uint32_t>1 << F_HOST | <uint32_t>1 << F_CONNECTION | <uint32_t>1 << F_CONTENT_LENGTH
    | <uint32_t>1 << F_TRANSFER_ENCODING | <uint32_t>1 << F_KEEP_ALIVE | <uint32_t>1 << F_PROXY_CONNECTION
    | <uint32_t>1 << F_TE | <uint32_t>1 << F_TRAILER | <uint32_t>1 << F_UPGRADE | <uint32_t>1 << F_EXPECT
    | <uint32_t>1 << F_X_FORWARDED_FOR | <uint32_t>1 << F_X_FORWARDED_PROTO | <uint32_t>1 << F_X_FORWARDED_HOST
    | <uint32_t>1 << F_X_REAL_IP | <uint32_t>1 << F_FORWARDED | <uint32_t>1 << F_VIA | <uint32_t>1 << F_PROXY
    | <uint32_t>1 << F_PROXY_AUTHORIZATION | <uint32_t>1 << F_PROXY_AUTHENTICATE
    | <uint32_t>1 << F_PROXY_AUTHENTICATION_INFO | <uint32_t>1 << F_HTTP2_SETTINGS | <uint32_t>1 << F_DATE
    | <uint32_t>1 << F_AUTHORIZATION | <uint32_t>1 << F_WWW_AUTHENTICATE
)

cdef struct ForbiddenName:
    const char* text
    uint32_t length

cdef ForbiddenName FORBIDDEN[FORBIDDEN_LIMIT]
cdef uint32_t FORBIDDEN_COUNT = 0

_FORBIDDEN_NAMES = (
    # request modifiers and response control
    b"cache-control", b"max-forwards", b"range", b"age", b"expires", b"location", b"retry-after", b"vary", b"warning",
    b"pragma",
    # authentication
    b"cookie", b"set-cookie",
    # content format
    b"content-encoding", b"content-type", b"content-range",
)


cdef int chunked_fill_tables() except -1:
    global FORBIDDEN_COUNT
    for name in _FORBIDDEN_NAMES:
        FORBIDDEN[FORBIDDEN_COUNT].text = <const char*><bytes>name
        FORBIDDEN[FORBIDDEN_COUNT].length = len(name)
        FORBIDDEN_COUNT += 1
    return 0


chunked_fill_tables()


cdef bint chunked_is_forbidden(const char* p, const Field* field) noexcept nogil:
    # With "-" for "_": who spells names as CGI does takes the two for the same (fields_drop_aliases).
    cdef char name[LONGEST_FORBIDDEN]
    cdef uint32_t n = min(field.name_length, <uint32_t>LONGEST_FORBIDDEN)
    cdef uint32_t i
    if FORBIDDEN_IDS >> field.id & 1:
        return True
    if field.id != F_OTHER:
        return False
    for i in range(n):
        name[i] = c"-" if p[field.name + i] == c"_" else p[field.name + i]
    # If-Match and its kin are conditions of a request; Proxy-... speaks to the next proxy.
    if n > 3 and equals_lower(name, b"if-", 3):
        return True
    if n > 6 and equals_lower(name, b"proxy-", 6):
        return True
    if n != field.name_length:
        return False
    if FORBIDDEN_IDS >> known_name(name, n) & 1:
        return True
    for i in range(FORBIDDEN_COUNT):
        if n == FORBIDDEN[i].length and equals_lower(name, FORBIDDEN[i].text, n):
            return True
    return False


cdef void chunk_start(ChunkScanner* scanner, bint decode) noexcept nogil:
    scanner.state = C_HEADER
    scanner.decode = decode
    scanner.no_trailers = 0
    scanner.last_length = 0
    scanner.left = 0
    scanner.payload = 0
    scanner.trailer_scanned = 0
    scanner.reason = R_NONE


cdef inline Step chunked_fail(ChunkScanner* scanner, Reason reason) noexcept nogil:
    scanner.reason = reason
    return FAILED


cdef inline int chunked_digit(char c) noexcept nogil:
    if c"0" <= c <= c"9":
        return c - c"0"
    if c"a" <= c <= c"f":
        return c - c"a" + 10
    if c"A" <= c <= c"F":
        return c - c"A" + 10
    return -1


cdef Step chunked_parse_header(
    const char* p, uint32_t n, uint64_t* size, uint32_t* length
) noexcept nogil:
    # chunk-size [ BWS ";" extension ] CRLF at p[0]; the extension is only looked at for control characters.
    cdef uint32_t i = 0
    cdef int digit
    cdef uint64_t value = 0
    n = min(n, <uint32_t>CHUNK_HEADER_LIMIT)
    while i < n:
        digit = chunked_digit(p[i])
        if digit < 0:
            break
        if value >> 4 * (SIZE_DIGITS_MAX - 1) != 0:
            return FAILED
        value = value << 4 | <uint64_t>digit
        i += 1
    else:
        return NEED_MORE
    if i == 0:
        return FAILED
    if p[i] != c"\r":
        while i < n and (p[i] == c" " or p[i] == c"\t"):
            i += 1
        if i < n and p[i] != c";":
            return FAILED
        while i < n and (<uint8_t>p[i] >= 0x20 or p[i] == c"\t") and p[i] != 0x7F:
            i += 1
        if i < n and p[i] != c"\r":
            return FAILED
    if i + 1 >= n:
        return NEED_MORE
    if p[i + 1] != c"\n":
        return FAILED
    size[0] = value
    length[0] = i + 2
    return DONE


cdef uint32_t chunked_write_header(char* out, uint64_t size) noexcept nogil:
    cdef const char* digits = b"0123456789abcdef"
    cdef uint32_t n = 1
    cdef uint32_t i
    while n < SIZE_DIGITS_MAX and size >> (4 * n) != 0:
        n += 1
    for i in range(n):
        out[i] = digits[size >> (4 * (n - 1 - i)) & 15]
    out[n] = c"\r"
    out[n + 1] = c"\n"
    return n + 2


cdef inline Step chunked_header(
    ChunkScanner* scanner, char* buf, uint32_t* at_w, uint32_t* at_r, uint32_t end, Reason bad
) noexcept nogil:
    cdef uint32_t length = 0
    cdef uint64_t size = 0
    cdef Step step = chunked_parse_header(buf + at_r[0], end - at_r[0], &size, &length)
    if step == FAILED or (step == NEED_MORE and end - at_r[0] >= CHUNK_HEADER_LIMIT):
        return chunked_fail(scanner, bad)
    if step == NEED_MORE:
        return NEED_MORE
    if size == 0:
        scanner.last_length = <uint16_t>length
        scanner.state = C_TRAILERS
        return DONE
    at_r[0] += length
    if scanner.decode == 0:
        at_w[0] += chunked_write_header(buf + at_w[0], size)
    scanner.left = size
    scanner.state = C_DATA
    return DONE


cdef inline void chunked_data(
    ChunkScanner* scanner, char* buf, uint32_t* at_w, uint32_t* at_r, uint32_t end
) noexcept nogil:
    cdef uint32_t n = <uint32_t>min(scanner.left, <uint64_t>(end - at_r[0]))
    if at_w[0] != at_r[0]:
        memmove(buf + at_w[0], buf + at_r[0], n)
    at_w[0] += n
    at_r[0] += n
    scanner.payload += n
    scanner.left -= n
    if scanner.left == 0:
        scanner.state = C_DATA_END


cdef inline Step chunked_data_end(
    ChunkScanner* scanner, char* buf, uint32_t* at_w, uint32_t* at_r, uint32_t end, Reason bad
) noexcept nogil:
    cdef uint32_t r = at_r[0]
    if r == end:
        return NEED_MORE
    if buf[r] != c"\r" or (r + 1 < end and buf[r + 1] != c"\n"):
        return chunked_fail(scanner, bad)
    if r + 1 == end:
        return NEED_MORE
    if scanner.decode == 0:
        buf[at_w[0]] = c"\r"
        buf[at_w[0] + 1] = c"\n"
        at_w[0] += 2
    at_r[0] = r + 2
    scanner.state = C_HEADER
    return DONE


cdef Step chunked_trailers(
    ChunkScanner* scanner, char* buf, uint32_t* at_w, uint32_t* at_r, uint32_t end,
    const HeadLimits* limits, Head* trailers, Reason bad
) noexcept nogil:
    cdef char* section = buf + at_r[0] + scanner.last_length
    cdef char* out = buf + at_w[0]
    cdef const Field* field
    cdef uint32_t i
    cdef Step step
    trailers.scanned = scanner.trailer_scanned
    step = scan_fields(section, end - at_r[0] - scanner.last_length, limits, trailers)
    if step == FAILED:
        return chunked_fail(scanner, bad)
    if step == NEED_MORE:
        scanner.trailer_scanned = trailers.scanned
        return NEED_MORE
    if scanner.decode == 0:
        out += chunked_write_header(out, 0)
        for i in range(0 if scanner.no_trailers else trailers.field_count):
            field = &trailers.fields[i]
            if not chunked_is_forbidden(section, field):
                memmove(out, section + field.name, field.next - field.name)
                out += field.next - field.name
        out[0] = c"\r"
        out[1] = c"\n"
        at_w[0] = <uint32_t>(out + 2 - buf)
    at_r[0] += scanner.last_length + trailers.length
    scanner.state = C_END
    return DONE


cdef Step chunk_scan(
    ChunkScanner* scanner, char* buf, uint32_t at, uint32_t end, uint32_t* out_end, uint32_t* rest,
    const HeadLimits* limits, Head* trailers, Reason bad
) noexcept nogil:
    cdef uint32_t w = at
    cdef uint32_t r = at
    cdef Step step = DONE
    while step == DONE and scanner.state != C_END:
        if scanner.state == C_DATA:
            if r == end:
                step = NEED_MORE
            else:
                chunked_data(scanner, buf, &w, &r, end)
        elif scanner.state == C_HEADER:
            step = chunked_header(scanner, buf, &w, &r, end, bad)
        elif scanner.state == C_DATA_END:
            step = chunked_data_end(scanner, buf, &w, &r, end, bad)
        else:
            step = chunked_trailers(scanner, buf, &w, &r, end, limits, trailers, bad)
    invariant(at <= w and w <= r and r <= end)
    out_end[0] = w
    rest[0] = r
    return step
