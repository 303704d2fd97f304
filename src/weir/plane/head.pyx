"""The scanner of message heads: bytes to offsets, strictly, copying nothing (RFC 9112 sections 2 to 5).

What is hard here: a head may come in any pieces, and looking at it must cost time linear in its length, yet only
`Head.scanned` survives from one call to the next (a waiting connection keeps no Head). So a head is parsed at once
when its first bytes are seen, which is all there is to do when it came whole; if more is needed, the calls that
follow search only the new bytes for a line end, and parse again, once, when the parse is certain to be the last:
the empty line is there, a line ended without CR, or a limit was passed. The answer never depends on how the bytes were
cut: a parse reads from left to right and stops at the first fault, so every prefix that reaches it names the same one.
"""

from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.string cimport memchr, memcmp, memcpy, memset

from weir.plane.codes cimport (
    DONE, FAILED, NEED_MORE, R_BAD_REQUEST, R_BAD_RESPONSE, R_BAD_VERSION, R_HEAD_TOO_LARGE,
    R_RESPONSE_HEAD_TOO_LARGE, R_TARGET_TOO_LONG, Reason, Step,
)
from weir.plane.scan cimport is_name, plain_name, value_end
from weir.plane.text cimport equals_lower

cdef enum:
    IS_TOKEN = 1        # RFC 9110 section 5.6.2
    IS_TARGET = 2       # visible ASCII except '#': a fragment is never sent (RFC 9112 section 3.2)
    IS_DIGIT = 4

cdef enum:
    # The longest registered method has 17 bytes (UPDATEREDIRECTREF). A bound keeps the search for the
    # target, which every piece of an unfinished request line begins with, short.
    METHOD_LIMIT = 64
    VERSION_LENGTH = 8      # HTTP/1.1
    NAME_LIMIT = 0xFFFF     # Field.name_length has 16 bits
    KNOWN_NAME_LIMIT = 25   # of the longest name below

cdef struct KnownName:
    char text[KNOWN_NAME_LIMIT]
    uint8_t id

cdef uint8_t CLASS[256]
cdef KnownName KNOWN[32]                            # sorted by length
cdef uint8_t KNOWN_FROM[KNOWN_NAME_LIMIT + 2]       # those of length n: KNOWN[KNOWN_FROM[n]:KNOWN_FROM[n + 1]]

_KNOWN_NAMES = (
    (F_TE, b"te"),
    (F_VIA, b"via"),
    (F_HOST, b"host"),
    (F_DATE, b"date"),
    (F_PROXY, b"proxy"),
    (F_EXPECT, b"expect"),
    (F_SERVER, b"server"),
    (F_TRAILER, b"trailer"),
    (F_UPGRADE, b"upgrade"),
    (F_REFERER, b"referer"),
    (F_X_REAL_IP, b"x-real-ip"),
    (F_FORWARDED, b"forwarded"),
    (F_CONNECTION, b"connection"),
    (F_KEEP_ALIVE, b"keep-alive"),
    (F_USER_AGENT, b"user-agent"),
    (F_AUTHORIZATION, b"authorization"),
    (F_CONTENT_LENGTH, b"content-length"),
    (F_HTTP2_SETTINGS, b"http2-settings"),
    (F_X_FORWARDED_FOR, b"x-forwarded-for"),
    (F_PROXY_CONNECTION, b"proxy-connection"),
    (F_X_FORWARDED_HOST, b"x-forwarded-host"),
    (F_WWW_AUTHENTICATE, b"www-authenticate"),
    (F_TRANSFER_ENCODING, b"transfer-encoding"),
    (F_X_FORWARDED_PROTO, b"x-forwarded-proto"),
    (F_PROXY_AUTHENTICATE, b"proxy-authenticate"),
    (F_PROXY_AUTHORIZATION, b"proxy-authorization"),
    (F_PROXY_AUTHENTICATION_INFO, b"proxy-authentication-info"),
)


cdef int head_fill_tables() except -1:
    cdef int c, n, at = 0
    for c in range(256):
        CLASS[c] = 0
        if 33 <= c <= 126 and c != c"#":
            CLASS[c] |= IS_TARGET
        if c"0" <= c <= c"9":
            CLASS[c] |= IS_DIGIT
        if 33 <= c <= 126 and c not in b"\"(),/:;<=>?@[\\]{}":
            CLASS[c] |= IS_TOKEN
    for n in range(KNOWN_NAME_LIMIT + 2):
        KNOWN_FROM[n] = at
        for known, name in _KNOWN_NAMES:
            if len(name) == n:
                memcpy(KNOWN[at].text, <const char*><bytes>name, n)
                KNOWN[at].id = known
                at += 1
    return 0


head_fill_tables()


cdef inline Step head_fail(Head* head, Reason reason) noexcept nogil:
    head.reason = reason
    head.scanned = 0
    return FAILED


cdef void head_reset(Head* head) noexcept nogil:
    memset(head, 0, <size_t>(<char*>&head.fields[0] - <char*>head))
    memset(head.first, 0, sizeof(head.first))
    memset(head.count, 0, sizeof(head.count))


cdef inline uint8_t head_field_id(const char* s, uint32_t n) noexcept nogil:
    cdef uint8_t i
    if n > KNOWN_NAME_LIMIT:
        return F_OTHER
    for i in range(KNOWN_FROM[n], KNOWN_FROM[n + 1]):
        if is_name(s, KNOWN[i].text, n):
            return KNOWN[i].id
    return F_OTHER


cdef inline uint32_t head_fields_limit(const HeadLimits* limits) noexcept nogil:
    return min(limits.fields, <uint32_t>HEAD_MAX_FIELDS)


cdef inline bint head_is_space(char c) noexcept nogil:
    return c == c" " or c == c"\t"


cdef Step head_parse_fields(
    const char* p, uint32_t i, uint32_t n, uint32_t limit, Head* head, Reason bad, Reason large
) noexcept nogil:
    # Field lines from p[i] up to and with the empty line.
    cdef uint32_t at, value, stop
    cdef Field* field
    head.fields_at = i
    while i < n:
        if p[i] == c"\r":
            if i + 1 == n:
                return NEED_MORE
            if p[i + 1] != c"\n":
                return head_fail(head, bad)
            head.length = i + 2
            return DONE
        if head.field_count >= limit:
            return head_fail(head, large)
        at = i
        i = plain_name(p, i, n)
        while i < n and CLASS[<uint8_t>p[i]] & IS_TOKEN:
            i += 1
        if i == n:
            return NEED_MORE
        # A space before the colon and a folded line (RFC 9112 sections 5.1 and 5.2) are refused here too.
        if p[i] != c":" or i == at:
            return head_fail(head, bad)
        if i - at > NAME_LIMIT:
            return head_fail(head, large)
        value = i + 1
        while value < n and head_is_space(p[value]):
            value += 1
        stop = value_end(p, value, n)
        if stop == n:
            return NEED_MORE
        if p[stop] != c"\r":
            return head_fail(head, bad)
        if stop + 1 == n:
            return NEED_MORE
        if p[stop + 1] != c"\n":
            return head_fail(head, bad)
        field = &head.fields[head.field_count]
        field.name = at
        field.name_length = i - at
        field.next = i = stop + 2
        while stop > value and head_is_space(p[stop - 1]):
            stop -= 1
        field.value = value
        field.value_length = stop - value
        field.drop = 0
        field.id = head_field_id(p + at, field.name_length)
        head.field_count += 1
        head.count[field.id] += 1
        if head.first[field.id] == 0:
            head.first[field.id] = head.field_count
    return NEED_MORE


cdef Step head_parse_version(const char* p, uint32_t i, uint32_t n, Head* head, Reason bad) noexcept nogil:
    # HTTP/d.d at p[i]; the major digit is looked at by the caller.
    cdef const char* model = b"HTTP/0.0"
    cdef uint32_t k
    if n - i < VERSION_LENGTH or memcmp(p + i, b"HTTP/1.1", VERSION_LENGTH) != 0:
        for k in range(<uint32_t>VERSION_LENGTH):
            if i + k == n:
                return NEED_MORE
            if model[k] == c"0":
                if CLASS[<uint8_t>p[i + k]] & IS_DIGIT == 0:
                    return head_fail(head, bad)
            elif p[i + k] != model[k]:
                return head_fail(head, bad)
    # A higher minor version is a 1.1 that can do more (RFC 9110 section 6.2).
    head.version_minor = 0 if p[i + 7] == c"0" else 1
    return DONE


cdef inline Step head_parse_line_end(const char* p, uint32_t i, uint32_t n, Head* head, Reason bad) noexcept nogil:
    if i >= n:
        return NEED_MORE
    if p[i] != c"\r":
        return head_fail(head, bad)
    if i + 1 >= n:
        return NEED_MORE
    if p[i + 1] != c"\n":
        return head_fail(head, bad)
    return DONE


cdef inline uint8_t head_method(const char* s, uint32_t n) noexcept nogil:
    if n == 3:
        return M_GET if memcmp(s, b"GET", 3) == 0 else M_PUT if memcmp(s, b"PUT", 3) == 0 else M_OTHER
    if n == 4:
        return M_POST if memcmp(s, b"POST", 4) == 0 else M_HEAD if memcmp(s, b"HEAD", 4) == 0 else M_OTHER
    if n == 5:
        return M_PATCH if memcmp(s, b"PATCH", 5) == 0 else M_TRACE if memcmp(s, b"TRACE", 5) == 0 else M_OTHER
    if n == 6:
        return M_DELETE if memcmp(s, b"DELETE", 6) == 0 else M_OTHER
    if n == 7:
        return M_OPTIONS if memcmp(s, b"OPTIONS", 7) == 0 else M_CONNECT if memcmp(s, b"CONNECT", 7) == 0 else M_OTHER
    return M_OTHER


cdef void head_set_path(const char* p, uint32_t at, Head* head) noexcept nogil:
    cdef uint32_t n = head.target_at + head.target_length - at
    cdef const char* query = <const char*>memchr(p + at, c"?", n)
    head.path_at = at
    head.path_length = n if query == NULL else <uint32_t>(query - (p + at))
    head.query_length = n - head.path_length


cdef bint head_set_absolute(const char* p, Head* head) noexcept nogil:
    # http://authority[/path][?query] (RFC 9112 section 3.2.2).
    cdef const char* s = p + head.target_at
    cdef uint32_t n = head.target_length
    cdef uint32_t i, at
    if n > 7 and equals_lower(s, b"http://", 7):
        at = i = 7
    elif n > 8 and equals_lower(s, b"https://", 8):
        at = i = 8
    else:
        return False
    while i < n and s[i] != c"/" and s[i] != c"?":
        if s[i] == c"@":        # user information in a request is a trap (RFC 9110 section 4.2.4)
            return False
        i += 1
    if i == at:
        return False
    head.target_form = T_ABSOLUTE
    head.authority_at = head.target_at + at
    head.authority_length = i - at
    head_set_path(p, head.target_at + i, head)
    return True


cdef bint head_set_authority(const char* p, Head* head) noexcept nogil:
    # host:port, both needed (RFC 9112 section 3.2.3).
    cdef const char* s = p + head.target_at
    cdef uint32_t n = head.target_length
    cdef uint32_t i = n
    while i > 0 and CLASS[<uint8_t>s[i - 1]] & IS_DIGIT:
        i -= 1
    if i == n or i < 2 or s[i - 1] != c":":
        return False
    if memchr(s, c"/", n) != NULL or memchr(s, c"?", n) != NULL or memchr(s, c"@", n) != NULL:
        return False
    head.target_form = T_AUTHORITY
    head.authority_at = head.target_at
    head.authority_length = n
    return True


cdef bint head_set_target(const char* p, Head* head) noexcept nogil:
    if head.method == M_CONNECT:
        return head_set_authority(p, head)
    if p[head.target_at] == c"/":
        head.target_form = T_ORIGIN
        head_set_path(p, head.target_at, head)
        return True
    if head.target_length == 1 and p[head.target_at] == c"*" and head.method == M_OPTIONS:
        head.target_form = T_ASTERISK
        head_set_path(p, head.target_at, head)
        return True
    return head_set_absolute(p, head)


cdef Step head_parse_request(const char* p, uint32_t n, const HeadLimits* limits, Head* head) noexcept nogil:
    cdef uint32_t i = 0
    cdef uint32_t stop
    cdef Step step
    head_reset(head)
    if n > 0 and p[0] == c"\r":     # one empty line is passed over (RFC 9112 section 2.2)
        step = head_parse_line_end(p, 0, n, head, R_BAD_REQUEST)
        if step != DONE:
            return step
        i = 2
    head.method_at = i
    while i < n and CLASS[<uint8_t>p[i]] & IS_TOKEN:
        i += 1
    head.method_length = i - head.method_at
    if head.method_length > METHOD_LIMIT:
        return head_fail(head, R_BAD_REQUEST)
    if i == n:
        return NEED_MORE
    if p[i] != c" " or head.method_length == 0:
        return head_fail(head, R_BAD_REQUEST)
    head.method = head_method(p + head.method_at, head.method_length)
    i += 1
    head.target_at = i
    stop = n if n - i <= limits.target_bytes else i + limits.target_bytes + 1
    while i < stop and CLASS[<uint8_t>p[i]] & IS_TARGET:
        i += 1
    head.target_length = i - head.target_at
    if head.target_length > limits.target_bytes:
        return head_fail(head, R_TARGET_TOO_LONG)
    if i == n:
        return NEED_MORE
    if p[i] != c" " or head.target_length == 0:
        return head_fail(head, R_BAD_REQUEST)
    i += 1
    step = head_parse_version(p, i, n, head, R_BAD_REQUEST)
    if step != DONE:
        return step
    step = head_parse_line_end(p, i + VERSION_LENGTH, n, head, R_BAD_REQUEST)
    if step != DONE:
        return step
    # The target is judged after the version: the preface of HTTP/2 (PRI * HTTP/2.0) is told the truth.
    if p[i + 5] != c"1":
        return head_fail(head, R_BAD_VERSION)
    if not head_set_target(p, head):
        return head_fail(head, R_BAD_REQUEST)
    return head_parse_fields(
        p, i + VERSION_LENGTH + 2, n, head_fields_limit(limits), head, R_BAD_REQUEST, R_HEAD_TOO_LARGE
    )


cdef Step head_parse_response(const char* p, uint32_t n, const HeadLimits* limits, Head* head) noexcept nogil:
    cdef uint32_t i = VERSION_LENGTH + 1
    cdef uint32_t stop
    cdef Step step
    head_reset(head)
    step = head_parse_version(p, 0, n, head, R_BAD_RESPONSE)
    if step != DONE:
        return step
    if p[5] != c"1" or (n > VERSION_LENGTH and p[VERSION_LENGTH] != c" "):
        return head_fail(head, R_BAD_RESPONSE)
    head.status_at = i
    for stop in range(i, i + 3):
        if stop >= n:
            return NEED_MORE
        if CLASS[<uint8_t>p[stop]] & IS_DIGIT == 0:
            return head_fail(head, R_BAD_RESPONSE)
        head.status = head.status * 10 + <uint8_t>(p[stop] - c"0")
    if head.status < 100 or head.status > 599:
        return head_fail(head, R_BAD_RESPONSE)
    i += 3
    # Some servers leave out the reason phrase together with its space (RFC 9112 section 4 wants the space).
    if i < n and p[i] == c" ":
        i = value_end(p, i, n)
    step = head_parse_line_end(p, i, n, head, R_BAD_RESPONSE)
    if step != DONE:
        return step
    return head_parse_fields(
        p, i + 2, n, head_fields_limit(limits), head, R_BAD_RESPONSE, R_RESPONSE_HEAD_TOO_LARGE
    )


cdef bint head_is_decided(const char* p, uint32_t before, uint32_t n) noexcept nogil:
    # A line that ends in p[before:n] is the empty one, or ends without CR: parsing will not ask for more.
    cdef uint32_t i = before
    cdef const char* found
    while i < n:
        found = <const char*>memchr(p + i, c"\n", n - i)
        if found == NULL:
            return False
        i = <uint32_t>(found - p)
        if i < 2 or p[i - 1] != c"\r" or p[i - 2] == c"\n":
            return True
        i += 1
    return False


cdef bint head_target_ran_over(const char* p, uint32_t before, uint32_t n, uint32_t limit) noexcept nogil:
    # p[before:n] holds the byte that would be one too many if the target had not ended: asked once per head.
    cdef uint32_t near = min(n, <uint32_t>(METHOD_LIMIT + 3))
    cdef const char* space = <const char*>memchr(p, c" ", near)
    cdef uint64_t last
    if space == NULL:
        return n > near         # too long for a method
    last = <uint64_t>(space - p) + 1 + limit
    return before <= last < n


cdef inline Step head_conclude(
    Step step, uint32_t seen, const HeadLimits* limits, Head* head, Reason large
) noexcept nogil:
    if step == NEED_MORE:
        if seen >= limits.head_bytes:
            return head_fail(head, large)
        head.scanned = seen
    elif step == DONE:
        head.scanned = 0
        check_head(head, seen)
    return step


cdef Step scan_request(const char* p, uint32_t n, const HeadLimits* limits, Head* head) noexcept nogil:
    cdef uint32_t before = head.scanned
    cdef uint32_t seen = min(n, limits.head_bytes)
    if (
        before != 0 and seen < limits.head_bytes and not head_is_decided(p, before, seen)
        and not head_target_ran_over(p, before, seen, limits.target_bytes)
    ):
        head.scanned = seen
        return NEED_MORE
    return head_conclude(head_parse_request(p, seen, limits, head), seen, limits, head, R_HEAD_TOO_LARGE)


cdef Step scan_response(const char* p, uint32_t n, const HeadLimits* limits, Head* head) noexcept nogil:
    cdef uint32_t before = head.scanned
    cdef uint32_t seen = min(n, limits.head_bytes)
    if before != 0 and seen < limits.head_bytes and not head_is_decided(p, before, seen):
        head.scanned = seen
        return NEED_MORE
    return head_conclude(head_parse_response(p, seen, limits, head), seen, limits, head, R_RESPONSE_HEAD_TOO_LARGE)


cdef Step scan_fields(const char* p, uint32_t n, const HeadLimits* limits, Head* head) noexcept nogil:
    cdef uint32_t before = head.scanned
    cdef uint32_t seen = min(n, limits.head_bytes)
    cdef Step step
    if before != 0 and seen < limits.head_bytes and not head_is_decided(p, before, seen):
        head.scanned = seen
        return NEED_MORE
    head_reset(head)
    step = head_parse_fields(
        p, 0, seen, head_fields_limit(limits), head, R_BAD_REQUEST, R_HEAD_TOO_LARGE
    )
    return head_conclude(step, seen, limits, head, R_HEAD_TOO_LARGE)


cdef FieldId known_name(const char* s, uint32_t n) noexcept nogil:
    return <FieldId>head_field_id(s, n)
