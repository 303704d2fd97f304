"""Who a request is: X-Request-Id, traceparent and tracestate.

What is hard here: all three are chosen by whoever sends the request, and are meant to be repeated: to the endpoint, in
the response, in error pages and in logs. So what is taken over has a form in which nothing can be hidden, and a
length. Of a trace only what W3C Trace Context (level 2) names is taken; a tracestate belongs to its traceparent and
goes with it, unread.
"""

from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.string cimport memcpy

from weir.plane.head cimport F_OTHER, Field, Head
from weir.plane.text cimport equals_lower, lower, put_bytes

cdef enum:
    # 00-<trace id>-<parent id>-<flags>
    TRACEPARENT_LENGTH = 55
    TRACE_ID_AT = 3
    PARENT_ID_AT = 36
    FLAGS_AT = 53
    SAMPLED = 1
    RANDOM_TRACE_ID = 2

cdef enum Name:
    NAME_OTHER
    NAME_ID
    NAME_ID_ALIAS       # CGI, WSGI and PHP spell X_Request_Id and X-Request-Id alike
    NAME_PARENT
    NAME_STATE

cdef const char* DIGITS = b"0123456789abcdef"


cdef uint64_t next_number(uint64_t* state) noexcept nogil:
    # SplitMix64 (Steele, Lea, Flood 2014). Whoever knows one number can find the next: nothing is kept secret by it.
    cdef uint64_t z
    state[0] += <uint64_t>0x9E3779B97F4A7C15
    z = state[0]
    z = (z ^ z >> 30) * <uint64_t>0xBF58476D1CE4E5B9
    z = (z ^ z >> 27) * <uint64_t>0x94D049BB133111EB
    return z ^ z >> 31


cdef inline void put_hex(char* out, uint64_t number) noexcept nogil:
    cdef int i
    for i in range(16):
        out[i] = DIGITS[number >> (60 - 4 * i) & 15]


cdef void make_id(uint64_t* state, Identity* identity) noexcept nogil:
    put_hex(identity.id, next_number(state))
    identity.id_length = ID_LENGTH


# -- what the client says ---------------------------------------------------------------------------------


cdef Name name_of(const char* p, const Field* field) noexcept nogil:
    # Not among the names that the scanner knows: a request pays for this only where ids are wanted.
    cdef const char* model = b"x-request-id"
    cdef const char* s = p + field.name
    cdef bint alias = False
    cdef int i
    if field.id != F_OTHER:
        return NAME_OTHER
    if field.name_length == 10:
        return NAME_STATE if equals_lower(s, b"tracestate", 10) else NAME_OTHER
    if field.name_length == 11:
        return NAME_PARENT if equals_lower(s, b"traceparent", 11) else NAME_OTHER
    if field.name_length != 12:
        return NAME_OTHER
    for i in range(12):
        if s[i] == c"_" and model[i] == c"-":
            alias = True
        elif lower(s[i]) != model[i]:
            return NAME_OTHER
    return NAME_ID_ALIAS if alias else NAME_ID


cdef const Field* only_field(const char* p, const Head* head, Name name) noexcept nogil:
    # NULL if there is none, and if there is more than one: then nobody can say which is meant.
    cdef const Field* found = NULL
    cdef uint32_t i
    for i in range(head.field_count):
        if name_of(p, &head.fields[i]) == name:
            if found != NULL:
                return NULL
            found = &head.fields[i]
    return found


cdef inline bint is_id_byte(char c) noexcept nogil:
    # What ids are made of: UUIDs, hexadecimal and decimal numbers, base64 and base64url, and what joins several.
    # Nothing of it means anything to HTML, JSON, a shell's words, or a log.
    return (
        c"a" <= c <= c"z" or c"A" <= c <= c"Z" or c"-" <= c <= c":"    # - . / 0 to 9 :
        or c == c"_" or c == c"~" or c == c"+" or c == c"=" or c == c"@"
    )


cdef bint take_id(const char* p, const Head* head, Identity* identity) noexcept nogil:
    cdef const Field* field = only_field(p, head, NAME_ID)
    cdef uint32_t i
    if field == NULL or field.value_length == 0 or field.value_length > ID_MOST:
        return False
    for i in range(field.value_length):
        if not is_id_byte(p[field.value + i]):
            return False
    memcpy(identity.id, p + field.value, field.value_length)
    identity.id_length = <uint8_t>field.value_length
    return True


cdef inline int hex_digit(char c) noexcept nogil:
    # Lower case alone: the recommendation has no other.
    if c"0" <= c <= c"9":
        return c - c"0"
    return c - c"a" + 10 if c"a" <= c <= c"f" else -1


cdef bint is_hex(const char* s, uint32_t n, bint not_zero) noexcept nogil:
    cdef uint32_t i
    cdef int digit
    cdef bint seen = False
    for i in range(n):
        digit = hex_digit(s[i])
        if digit < 0:
            return False
        if digit > 0:
            seen = True
    return seen or not not_zero


cdef bint take_trace(const char* p, const Head* head, Identity* identity) noexcept nogil:
    cdef const Field* field = only_field(p, head, NAME_PARENT)
    cdef const char* s
    if field == NULL or field.value_length < TRACEPARENT_LENGTH:
        return False
    s = p + field.value
    # Version ff is none. One above 00 begins like 00, and may have more behind another dash.
    if not is_hex(s, 2, False) or (s[0] == c"f" and s[1] == c"f"):
        return False
    if field.value_length > TRACEPARENT_LENGTH and (s[TRACEPARENT_LENGTH] != c"-" or (s[0] == c"0" and s[1] == c"0")):
        return False
    if s[TRACE_ID_AT - 1] != c"-" or s[PARENT_ID_AT - 1] != c"-" or s[FLAGS_AT - 1] != c"-":
        return False
    if not (
        is_hex(s + TRACE_ID_AT, TRACE_ID_LENGTH, True)
        and is_hex(s + PARENT_ID_AT, SPAN_ID_LENGTH, True)
        and is_hex(s + FLAGS_AT, 2, False)
    ):
        return False
    memcpy(identity.trace_id, s + TRACE_ID_AT, TRACE_ID_LENGTH)
    memcpy(identity.parent_id, s + PARENT_ID_AT, SPAN_ID_LENGTH)
    # Flags that have no meaning yet are not passed on by who takes part.
    identity.flags = <uint8_t>(hex_digit(s[FLAGS_AT + 1]) & (SAMPLED | RANDOM_TRACE_ID))
    return True


cdef void begin_trace(uint32_t sample, uint64_t* state, Identity* identity) noexcept nogil:
    cdef uint64_t low
    cdef uint64_t part = <uint64_t>1 << 56
    put_hex(identity.trace_id, next_number(state))
    low = next_number(state)
    put_hex(identity.trace_id + 16, low)
    identity.flags = RANDOM_TRACE_ID
    # As OpenTelemetry decides: by the last 56 bits of the trace id, so that others who sample alike choose the same.
    if low % part >= part // 100 * (100 - sample):
        identity.flags |= SAMPLED


cdef void identify(
    const char* p, const Head* head, IdPolicy ids, TracePolicy traces, uint32_t sample, uint64_t* state,
    Identity* identity
) noexcept nogil:
    cdef uint64_t span
    identity.id_length = 0
    identity.traced = False
    identity.joined = False
    if ids == ID_REPLACE or (ids == ID_KEEP and not take_id(p, head, identity)):
        make_id(state, identity)
    if traces == TRACE_PASS:
        return
    identity.traced = True
    identity.joined = traces == TRACE_JOIN and take_trace(p, head, identity)
    if not identity.joined:
        begin_trace(sample, state, identity)
    span = next_number(state)
    put_hex(identity.span_id, span if span else 1)      # all zeros is none


# -- what weir says ---------------------------------------------------------------------------------------


cdef void drop_replaced(const char* p, Head* head, const Identity* identity) noexcept nogil:
    cdef uint32_t i
    cdef Name name
    for i in range(head.field_count):
        name = name_of(p, &head.fields[i])
        if name == NAME_ID or name == NAME_ID_ALIAS:
            head.fields[i].drop |= identity.id_length != 0
        elif name == NAME_PARENT:
            head.fields[i].drop |= identity.traced
        elif name == NAME_STATE:
            # Of a trace that is not gone on with, or of none that could be read.
            head.fields[i].drop |= identity.traced and not identity.joined


cdef char* put_request_id(char* out, const Identity* identity) noexcept nogil:
    if identity.id_length == 0:
        return out
    out = put_bytes(out, b"X-Request-Id: ", 14)
    out = put_bytes(out, identity.id, identity.id_length)
    return put_bytes(out, b"\r\n", 2)


cdef char* put_identity(char* out, const Identity* identity) noexcept nogil:
    out = put_request_id(out, identity)
    if not identity.traced:
        return out
    out = put_bytes(out, b"traceparent: 00-", 16)
    out = put_bytes(out, identity.trace_id, TRACE_ID_LENGTH)
    out = put_bytes(out, b"-", 1)
    out = put_bytes(out, identity.span_id, SPAN_ID_LENGTH)
    out = put_bytes(out, b"-00\r\n", 5)
    (out - 3)[0] = DIGITS[identity.flags]
    return out
