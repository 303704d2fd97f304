"""How long is this body: RFC 9112 section 6.3, refusing what could be read in two ways."""

from libc.stdint cimport uint8_t, uint32_t, uint64_t

from weir.plane.codes cimport (
    DONE, FAILED, R_BAD_FRAMING, R_BAD_RESPONSE, R_BAD_RESPONSE_FRAMING, R_NONE, R_UNSUPPORTED_CODING, Reason, Step,
)
from weir.plane.head cimport F_CONNECTION, F_CONTENT_LENGTH, F_TRANSFER_ENCODING, F_UPGRADE, Field, Head, M_HEAD
from weir.plane.text cimport equals_lower, list_has_token, lower

cdef uint64_t LENGTH_MAX = 0x7FFFFFFFFFFFFFFF       # what a signed 64-bit count of bytes can hold

cdef enum:
    PROTOCOL_LIMIT = 64     # of a protocol's name and version; those in use have a dozen bytes

# What a Transfer-Encoding says.
cdef enum Coding:
    CODING_CHUNKED = 0          # chunked, and nothing else
    CODING_UNSUPPORTED = 1      # well-formed, ends in chunked, but something comes before it
    CODING_BAD = 2              # not well-formed, or not ended by the one chunked


cdef bint framing_has_option(const char* p, const Head* head, const char* option, uint32_t n) noexcept nogil:
    cdef uint32_t i
    cdef const Field* field
    if head.count[<int>F_CONNECTION] == 0:
        return False
    for i in range(head.first[<int>F_CONNECTION] - 1, head.field_count):
        field = &head.fields[i]
        if field.id == F_CONNECTION and list_has_token(p + field.value, field.value_length, option, n):
            return True
    return False


cdef inline bint framing_keep_alive(const char* p, const Head* head) noexcept nogil:
    # RFC 9112 section 9.3.
    if framing_has_option(p, head, b"close", 5):
        return False
    return head.version_minor == 1 or framing_has_option(p, head, b"keep-alive", 10)


cdef bint framing_lists(const char* p, const Head* head, const char* s, uint32_t n) noexcept nogil:
    # Whether s[0:n] is a member of an Upgrade, in any case.
    cdef char member[PROTOCOL_LIMIT]
    cdef uint32_t i
    cdef const Field* field
    if n > PROTOCOL_LIMIT or head.count[<int>F_UPGRADE] == 0:
        return False
    for i in range(n):
        member[i] = lower(s[i])
    for i in range(head.first[<int>F_UPGRADE] - 1, head.field_count):
        field = &head.fields[i]
        if field.id == F_UPGRADE and list_has_token(p + field.value, field.value_length, member, n):
            return True
    return False


cdef bint switches_as_asked(const char* p, const Head* asked, const char* q, const Head* head) noexcept nogil:
    # RFC 9110 section 7.8. Somebody may have an application answer 101 that knows nothing of it: by its server's
    # rules the connection goes on as HTTP then, and a tunnel to it would carry requests that weir does not see.
    cdef uint32_t i, at, end, stop
    cdef uint32_t members = 0
    cdef const Field* field
    if not framing_has_option(q, head, b"upgrade", 7):
        return False
    for i in range(head.field_count):
        field = &head.fields[i]
        if field.id != F_UPGRADE:
            continue
        at = field.value
        end = field.value + field.value_length
        while at < end:
            if q[at] == c"," or q[at] == c" " or q[at] == c"\t":
                at += 1
                continue
            stop = at
            while stop < end and q[stop] != c"," and q[stop] != c" " and q[stop] != c"\t":
                stop += 1
            members += 1
            if not framing_lists(p, asked, q + at, stop - at):
                return False
            at = stop
    return members != 0


cdef bint framing_parse_length(const char* p, const Field* field, uint64_t* length) noexcept nogil:
    # Digits and nothing else. A list of equal numbers, which RFC 9112 lets a recipient repair, is refused.
    cdef uint32_t i
    cdef uint64_t digit, value = 0
    if field.value_length == 0:
        return False
    for i in range(field.value, field.value + field.value_length):
        if p[i] < c"0" or p[i] > c"9":
            return False
        digit = <uint64_t>(p[i] - c"0")
        if value > (LENGTH_MAX - digit) // 10:
            return False
        value = value * 10 + digit
    length[0] = value
    return True


cdef inline bint framing_is_token_byte(char c) noexcept nogil:
    # Coding names are tokens; all that are registered or ever were use only these.
    if c"a" <= c <= c"z" or c"A" <= c <= c"Z" or c"0" <= c <= c"9":
        return True
    return c == c"-" or c == c"_" or c == c"."


cdef Coding framing_parse_coding(const char* s, uint32_t n) noexcept nogil:
    cdef uint32_t i = 0
    cdef uint32_t at
    cdef bint chunked
    if n == 7 and equals_lower(s, b"chunked", 7):
        return CODING_CHUNKED
    while True:
        at = i
        while i < n and framing_is_token_byte(s[i]):
            i += 1
        if i == at:
            return CODING_BAD
        chunked = i - at == 7 and equals_lower(s + at, b"chunked", 7)
        while i < n and (s[i] == c" " or s[i] == c"\t"):
            i += 1
        if i == n:
            return CODING_UNSUPPORTED if chunked else CODING_BAD
        if chunked or s[i] != c",":     # chunked twice, or not last; a parameter
            return CODING_BAD
        i += 1
        while i < n and (s[i] == c" " or s[i] == c"\t"):
            i += 1


cdef Step framing_decide(
    const char* p, const Head* head, Framing* framing, Reason bad, Reason unsupported
) noexcept nogil:
    # The steps of RFC 9112 section 6.3 that both directions share. `kind` becomes B_CHUNKED or B_LENGTH, or
    # stays as it is when the head says nothing.
    cdef const Field* field
    cdef Coding coding
    # 3. Both Transfer-Encoding and Content-Length: two parties may read this in two ways. Transfer-Encoding
    #    in HTTP/1.0 likewise (section 6.1).
    if head.count[<int>F_TRANSFER_ENCODING] != 0:
        if head.count[<int>F_CONTENT_LENGTH] != 0 or head.version_minor == 0:
            return framing_fail(framing, bad)
        if head.count[<int>F_TRANSFER_ENCODING] > 1:
            return framing_fail(framing, bad)
        # 4. Only a body whose last coding is chunked has an end that can be seen.
        field = &head.fields[head.first[<int>F_TRANSFER_ENCODING] - 1]
        coding = framing_parse_coding(p + field.value, field.value_length)
        if coding != CODING_CHUNKED:
            return framing_fail(framing, bad if coding == CODING_BAD else unsupported)
        framing.kind = B_CHUNKED
        return DONE
    # 5. An invalid Content-Length is beyond repair. 6. A valid one is the length.
    if head.count[<int>F_CONTENT_LENGTH] != 0:
        field = &head.fields[head.first[<int>F_CONTENT_LENGTH] - 1]
        if head.count[<int>F_CONTENT_LENGTH] > 1 or not framing_parse_length(p, field, &framing.length):
            return framing_fail(framing, bad)
        framing.kind = B_LENGTH
        framing.has_length = 1
    return DONE


cdef inline Step framing_fail(Framing* framing, Reason reason) noexcept nogil:
    framing.reason = reason
    return FAILED


cdef inline void framing_start(const char* p, const Head* head, uint8_t kind, Framing* framing) noexcept nogil:
    framing.kind = kind
    framing.has_length = 0
    framing.length = 0
    framing.reason = R_NONE
    framing.keep_alive = framing_keep_alive(p, head)


cdef Step frame_request(const char* p, const Head* head, Framing* framing) noexcept nogil:
    # 7. A request that says nothing has no body.
    framing_start(p, head, B_NONE, framing)
    return framing_decide(p, head, framing, R_BAD_FRAMING, R_UNSUPPORTED_CODING)


cdef Step frame_response(
    const char* p, const Head* head, uint8_t method, bint upgrade, Framing* framing
) noexcept nogil:
    # 8. A response that says nothing goes on until its sender closes.
    framing_start(p, head, B_CLOSE, framing)
    # A malformed length is refused even where it decides nothing: what else of this head would be true?
    if framing_decide(p, head, framing, R_BAD_RESPONSE_FRAMING, R_BAD_RESPONSE_FRAMING) == FAILED:
        return FAILED
    # 1. No body whatever the fields say: to HEAD, and 1xx, 204, 304. On HEAD and 304 the length is that of
    #    another response; in the rest it must not be there and means nothing. (2. is about CONNECT.)
    if head.status < 200 or head.status == 204:
        framing.kind = B_NONE
        framing.has_length = 0
        framing.length = 0
        if head.status == 101:
            # It has to say to what (RFC 9110 section 15.2.2).
            if not upgrade or head.count[<int>F_UPGRADE] == 0:
                return framing_fail(framing, R_BAD_RESPONSE)
            framing.kind = B_TUNNEL
            framing.keep_alive = 0
    elif head.status == 304 or method == M_HEAD:
        framing.kind = B_NONE
    elif framing.kind == B_CLOSE:
        framing.keep_alive = 0
    return DONE
