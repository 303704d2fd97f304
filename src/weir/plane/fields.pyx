"""What is forwarded: the head that goes on, composed from the head that came in.

What is hard here: nearly every byte of a head goes on as it is, so the fields that stay are copied in runs, as long
as no line between them is left out; a head of which nothing is left out is one run, start line included. What weir
itself says is written behind the run, and only what RFC 9110 section 7.2 wants first (Host) before it.
"""

from libc.stdint cimport uint32_t
from libc.string cimport memchr

from weir.plane.codes cimport (
    DONE, FAILED, R_BAD_HOST, R_BAD_REQUEST, R_BAD_RESPONSE, R_EXPECTATION_FAILED, R_METHOD_REFUSED, Step,
)
from weir.plane.framing cimport B_CHUNKED, B_LENGTH, B_NONE, Framing
from weir.plane.head cimport (
    F_CONNECTION, F_CONTENT_LENGTH, F_EXPECT, F_FORWARDED, F_HOST, F_HTTP2_SETTINGS, F_KEEP_ALIVE, F_OTHER, F_PROXY,
    F_PROXY_AUTHENTICATE, F_PROXY_AUTHENTICATION_INFO, F_PROXY_AUTHORIZATION, F_PROXY_CONNECTION, F_TE,
    F_TRANSFER_ENCODING, F_UPGRADE, F_VIA, F_X_FORWARDED_FOR, F_X_FORWARDED_HOST, F_X_FORWARDED_PROTO, F_X_REAL_IP,
    Field, FieldId, Head, M_CONNECT, M_OPTIONS, M_TRACE, T_ABSOLUTE, known_name,
)
from weir.plane.host cimport check_host
from weir.plane.ids cimport drop_replaced, put_identity, put_request_id
from weir.plane.text cimport equals_lower, list_has_token, put_bytes, put_number, same_text
from weir.plane.timing cimport put_server_timing

cdef enum:
    # Options that one Connection may name, in all. Real ones name three; without a bound every field of a head
    # would be compared with thousands of names.
    OPTIONS_LIMIT = 64
    ALIAS_LIMIT = 32        # longer than any name that is known

# Fields of a request that end here (RFC 9110 section 7.6.1 and its predecessors), or that weir writes itself.
cdef uint32_t REQUEST_DROPS = (
    <uint32_t>1 << F_CONNECTION | <uint32_t>1 << F_KEEP_ALIVE | <uint32_t>1 << F_PROXY_CONNECTION
    | <uint32_t>1 << F_PROXY_AUTHORIZATION | <uint32_t>1 << F_PROXY | <uint32_t>1 << F_TE
    | <uint32_t>1 << F_TRANSFER_ENCODING | <uint32_t>1 << F_CONTENT_LENGTH | <uint32_t>1 << F_UPGRADE
    | <uint32_t>1 << F_HTTP2_SETTINGS
)
# Fields of a response that end here. An endpoint behind a reverse proxy has no business with Proxy-Authenticate:
# it speaks for the next proxy only (RFC 9110 section 11.7.1), and weir asks for no credentials.
cdef uint32_t RESPONSE_DROPS = (
    <uint32_t>1 << F_CONNECTION | <uint32_t>1 << F_KEEP_ALIVE | <uint32_t>1 << F_PROXY_CONNECTION
    | <uint32_t>1 << F_PROXY_AUTHENTICATE | <uint32_t>1 << F_PROXY_AUTHENTICATION_INFO | <uint32_t>1 << F_TE
    | <uint32_t>1 << F_TRANSFER_ENCODING | <uint32_t>1 << F_UPGRADE
)
cdef uint32_t FORWARDED_FIELDS = (
    <uint32_t>1 << F_X_FORWARDED_FOR | <uint32_t>1 << F_X_FORWARDED_PROTO | <uint32_t>1 << F_X_FORWARDED_HOST
    | <uint32_t>1 << F_X_REAL_IP | <uint32_t>1 << F_FORWARDED
)
# Fields that cannot be sent with underscores in their names.
cdef uint32_t NOT_ALIASED = REQUEST_DROPS | FORWARDED_FIELDS | <uint32_t>1 << F_HOST | <uint32_t>1 << F_EXPECT
# Fields that Connection cannot nominate away. RFC 9110 section 7.6.1 forbids senders to name fields meant for all
# recipients; obeying would let a client change the framing, the route, the expectation that the relay waits for,
# or the account of where the request came from. (Upgrade has to be named, and stays if it is passed on.)
cdef uint32_t NOT_NOMINATED = (
    <uint32_t>1 << F_HOST | <uint32_t>1 << F_CONTENT_LENGTH | <uint32_t>1 << F_TRANSFER_ENCODING
    | <uint32_t>1 << F_EXPECT | <uint32_t>1 << F_UPGRADE | <uint32_t>1 << F_VIA | FORWARDED_FIELDS
)


cdef inline const Field* fields_first(const Head* head, FieldId known) noexcept nogil:
    return &head.fields[head.first[<int>known] - 1]


cdef bint fields_any_has_token(
    const char* p, const Head* head, FieldId known, const char* token, uint32_t n
) noexcept nogil:
    cdef uint32_t i
    cdef const Field* field
    if head.count[<int>known] == 0:
        return False
    for i in range(head.first[<int>known] - 1, head.field_count):
        field = &head.fields[i]
        if field.id == known and list_has_token(p + field.value, field.value_length, token, n):
            return True
    return False


cdef bint fields_names_scheme(const char* s, uint32_t n, const char* scheme, uint32_t m) noexcept nogil:
    # Whether a member of a list of challenges begins with the scheme. A comma in a parameter may make one more
    # member of it, which can only be told too often.
    cdef uint32_t i = 0
    cdef uint32_t at
    while i < n:
        while i < n and (s[i] == c"," or s[i] == c" " or s[i] == c"\t"):
            i += 1
        at = i
        while i < n and s[i] != c"," and s[i] != c" " and s[i] != c"\t":
            i += 1
        if i - at == m and equals_lower(s + at, scheme, m):
            return True
        while i < n and s[i] != c",":
            i += 1
    return False


cdef bint ties_connection(const char* p, const Head* head, FieldId known) noexcept nogil:
    cdef uint32_t i
    cdef const Field* field
    if head.count[<int>known] == 0:
        return False
    for i in range(head.first[<int>known] - 1, head.field_count):
        field = &head.fields[i]
        if field.id == known and (
            fields_names_scheme(p + field.value, field.value_length, b"ntlm", 4)
            or fields_names_scheme(p + field.value, field.value_length, b"negotiate", 9)
        ):
            return True
    return False


# Nominated fields

cdef void fields_drop_named(const char* p, Head* head, const char* name, uint32_t n) noexcept nogil:
    cdef uint32_t i
    cdef Field* field
    for i in range(head.field_count):
        field = &head.fields[i]
        if field.name_length == n and NOT_NOMINATED >> field.id & 1 == 0 and same_text(p + field.name, name, n):
            field.drop = 1


cdef uint32_t fields_drop_listed(const char* p, Head* head, const Field* field) noexcept nogil:
    # Every member of this Connection line; returns how many it has.
    cdef uint32_t i = field.value
    cdef uint32_t end = field.value + field.value_length
    cdef uint32_t at, stop
    cdef uint32_t members = 0
    while i < end:
        if p[i] == c"," or p[i] == c" " or p[i] == c"\t":
            i += 1
            continue
        at = i
        while i < end and p[i] != c",":
            i += 1
        stop = i
        while p[stop - 1] == c" " or p[stop - 1] == c"\t":
            stop -= 1
        members += 1
        # The options that everybody sends name no field, or one that is dropped anyway.
        if not (
            (stop - at == 10 and equals_lower(p + at, b"keep-alive", 10))
            or (stop - at == 5 and equals_lower(p + at, b"close", 5))
            or members > OPTIONS_LIMIT
        ):
            fields_drop_named(p, head, p + at, stop - at)
            if known_name(p + at, stop - at) not in (F_TE, F_UPGRADE):
                head.nominates = 1
    return members


cdef uint32_t fields_drop_nominated(const char* p, Head* head) noexcept nogil:
    cdef uint32_t i
    cdef uint32_t members = 0
    if head.count[<int>F_CONNECTION] == 0:
        return 0
    for i in range(head.first[<int>F_CONNECTION] - 1, head.field_count):
        if head.fields[i].id == F_CONNECTION:
            members += fields_drop_listed(p, head, &head.fields[i])
    return members


cdef bint fields_is_alias(const char* s, uint32_t n) noexcept nogil:
    cdef char name[ALIAS_LIMIT]
    cdef uint32_t i
    if n > ALIAS_LIMIT:
        return False
    for i in range(n):
        name[i] = c"-" if s[i] == c"_" else s[i]
    return NOT_ALIASED >> known_name(name, n) & 1


cdef void fields_drop_aliases(const char* p, Head* head) noexcept nogil:
    # CGI and its heirs (WSGI, PHP) spell X-Forwarded-For and X_Forwarded_For alike: what weir vouches for, or keeps
    # from the endpoint, cannot be said under the other spelling.
    cdef uint32_t i
    cdef Field* field
    for i in range(head.field_count):
        field = &head.fields[i]
        if field.id == F_OTHER and memchr(p + field.name, c"_", field.name_length) != NULL:
            if fields_is_alias(p + field.name, field.name_length):
                field.drop = 1


# Checks

cdef Step fields_check_expect(const char* p, Head* head, const Framing* framing, bint* expect) noexcept nogil:
    cdef Field* field
    if head.count[<int>F_EXPECT] == 0:
        return DONE
    field = &head.fields[head.first[<int>F_EXPECT] - 1]
    if (
        head.count[<int>F_EXPECT] > 1 or field.value_length != 12
        or not equals_lower(p + field.value, b"100-continue", 12)
    ):
        return FAILED
    if head.version_minor == 0:         # it could not read a 100 (RFC 9110 section 10.1.1)
        field.drop = 1
    elif framing.kind == B_CHUNKED or (framing.kind == B_LENGTH and framing.length != 0):
        expect[0] = True
    return DONE


cdef Step check_request(
    const char* p, Head* head, const Framing* framing, bint* upgrade, bint* te_trailers, bint* expect
) noexcept nogil:
    upgrade[0] = te_trailers[0] = expect[0] = False
    if head.method == M_CONNECT or head.method == M_TRACE:
        head.reason = R_METHOD_REFUSED
        return FAILED
    if check_host(p, head) == FAILED:
        head.reason = R_BAD_HOST
        return FAILED
    if fields_check_expect(p, head, framing, expect) == FAILED:
        head.reason = R_EXPECTATION_FAILED
        return FAILED
    fields_drop_aliases(p, head)
    if head.count[<int>F_CONNECTION] == 0:
        return DONE
    if fields_drop_nominated(p, head) > OPTIONS_LIMIT:
        head.reason = R_BAD_REQUEST
        return FAILED
    # Neither means anything in HTTP/1.0, nor where Connection does not name it (RFC 9110 sections 7.8, 10.1.4).
    if head.version_minor == 1:
        # The other protocol begins after the whole request (section 7.8), but some servers take what follows the head
        # for it at once: the application gets no body, and its bytes are the other protocol's. So it is not offered.
        upgrade[0] = (
            head.count[<int>F_UPGRADE] != 0
            and (framing.kind == B_NONE or (framing.kind == B_LENGTH and framing.length == 0))
            and fields_any_has_token(p, head, F_CONNECTION, b"upgrade", 7)
            # To HTTP/2 in the clear: its requests would pass the tunnel unseen. RFC 9113 has dropped it.
            and not fields_any_has_token(p, head, F_UPGRADE, b"h2c", 3)
        )
        te_trailers[0] = (
            fields_any_has_token(p, head, F_TE, b"trailers", 8)
            and fields_any_has_token(p, head, F_CONNECTION, b"te", 2)
        )
    return DONE


cdef Step check_response(const char* p, Head* head) noexcept nogil:
    if fields_drop_nominated(p, head) > OPTIONS_LIMIT:
        head.reason = R_BAD_RESPONSE
        return FAILED
    return DONE


# Writing

cdef char* fields_put_kept(char* out, const char* p, const Head* head, uint32_t run, uint32_t drops) noexcept nogil:
    # p[run:] up to the end of the fields, without the lines that are dropped, in as few copies as there can be.
    cdef uint32_t i
    cdef uint32_t end = head.fields_at
    cdef const Field* field
    for i in range(head.field_count):
        field = &head.fields[i]
        if field.drop or drops >> field.id & 1:
            out = put_bytes(out, p + run, field.name - run)
            run = field.next
        end = field.next
    return put_bytes(out, p + run, end - run)


cdef char* fields_put_options(char* out, bint te, bint upgrade, bint close, bint keep_alive) noexcept nogil:
    # Connection, with what applies; nothing when nothing does.
    cdef char* at = out
    if not (te or upgrade or close or keep_alive):
        return out
    out = put_bytes(out, b"Connection", 10)
    if te:
        out = put_bytes(out, b", TE", 4)
    if upgrade:
        out = put_bytes(out, b", upgrade", 9)
    if close:
        out = put_bytes(out, b", close", 7)
    elif keep_alive:
        out = put_bytes(out, b", keep-alive", 12)
    at[10] = c":"           # over the first comma
    return put_bytes(out, b"\r\n", 2)


cdef char* fields_put_request_line(
    char* out, const char* p, const Head* head, const RequestPolicy* policy
) noexcept nogil:
    out = put_bytes(out, p + head.method_at, head.method_length + 1)
    if policy.target_length:
        out = put_bytes(out, policy.target, policy.target_length)
    elif head.target_form != T_ABSOLUTE:
        out = put_bytes(out, p + head.target_at, head.target_length)
    else:
        # Origin-form (RFC 9112 section 3.2.1); OPTIONS of a whole server becomes "*" (section 3.2.4).
        if head.path_length == 0:
            out[0] = c"*" if head.method == M_OPTIONS and head.query_length == 0 else c"/"
            out += 1
        out = put_bytes(out, p + head.path_at, head.path_length + head.query_length)
    return put_bytes(out, b" HTTP/1.1\r\n", 11)


cdef char* fields_put_forwarded_for(
    char* out, const char* p, const Head* head, const RequestPolicy* policy, bint append
) noexcept nogil:
    cdef uint32_t i
    cdef const Field* field
    cdef char* at
    out = put_bytes(out, b"X-Forwarded-For: ", 17)
    at = out
    if append:
        for i in range(head.field_count):
            field = &head.fields[i]
            if field.id == F_X_FORWARDED_FOR and field.value_length != 0 and field.drop == 0:
                out = put_bytes(out, p + field.value, field.value_length)
                out = put_bytes(out, b", ", 2)
    out = put_bytes(out, policy.client, policy.client_length)
    if policy.client_length == 0 and out != at:
        out -= 2
    return put_bytes(out, b"\r\n", 2)


cdef char* fields_put_forwarded(char* out, const char* p, const Head* head, const RequestPolicy* policy) noexcept nogil:
    cdef bint append = policy.forwarded == FWD_APPEND
    cdef const Field* host
    if policy.client_length != 0 or (append and head.count[<int>F_X_FORWARDED_FOR] != 0):
        out = fields_put_forwarded_for(out, p, head, policy, append)
    if policy.proto_length != 0 and not (policy.keep_proto or (append and head.count[<int>F_X_FORWARDED_PROTO] != 0)):
        out = put_bytes(out, b"X-Forwarded-Proto: ", 19)
        out = put_bytes(out, policy.proto, policy.proto_length)
        out = put_bytes(out, b"\r\n", 2)
    if not (policy.keep_host or (append and head.count[<int>F_X_FORWARDED_HOST] != 0)):
        if head.count[<int>F_HOST] != 0:
            host = fields_first(head, F_HOST)
            if host.value_length == 0:
                return out
            out = put_bytes(out, b"X-Forwarded-Host: ", 18)
            out = put_bytes(out, p + host.value, host.value_length)
        elif head.target_form == T_ABSOLUTE:
            out = put_bytes(out, b"X-Forwarded-Host: ", 18)
            out = put_bytes(out, p + head.authority_at, head.authority_length)
        else:
            return out
        out = put_bytes(out, b"\r\n", 2)
    return out


cdef inline char* fields_put_via(char* out, const Head* head) noexcept nogil:
    # Lines of Via add up in order, so one more line is one more member (RFC 9110 section 7.6.3).
    out = put_bytes(out, b"Via: 1.0 weir\r\n", 15)
    if head.version_minor != 0:
        (out - 8)[0] = c"1"
    return out


cdef uint32_t write_request_head(
    const char* p, Head* head, const Framing* framing, const RequestPolicy* policy, bint upgrade,
    bint te_trailers, char* out
) noexcept nogil:
    cdef char* start = out
    cdef uint32_t drops = REQUEST_DROPS
    cdef uint32_t run = head.method_at
    if upgrade:
        drops &= ~(<uint32_t>1 << F_UPGRADE)
    if policy.forwarded == FWD_REPLACE or policy.forwarded == FWD_OFF:
        drops |= FORWARDED_FIELDS
        drops &= ~(<uint32_t>policy.keep_proto << F_X_FORWARDED_PROTO)
        drops &= ~(<uint32_t>policy.keep_host << F_X_FORWARDED_HOST)
    elif policy.forwarded == FWD_APPEND:
        drops |= <uint32_t>1 << F_X_FORWARDED_FOR
    if policy.host_length != 0:
        drops |= <uint32_t>1 << F_HOST
    if policy.identity != NULL:
        drop_replaced(p, head, policy.identity)
    # As it came, if it may go on so: the minor version is the byte before the CRLF that ends the line.
    if (
        head.target_form == T_ABSOLUTE or p[head.fields_at - 3] != c"1" or drops >> F_HOST & 1
        or policy.target_length
    ):
        out = fields_put_request_line(out, p, head, policy)
        run = head.fields_at
    if policy.host_length != 0:
        out = put_bytes(out, b"Host: ", 6)
        out = put_bytes(out, policy.host, policy.host_length)
        out = put_bytes(out, b"\r\n", 2)
    elif head.count[<int>F_HOST] == 0:
        # An HTTP/1.0 client that names no host but in the target, or none and nobody gave a policy.host for it.
        out = put_bytes(out, b"Host: ", 6)
        out = put_bytes(out, p + head.authority_at, head.authority_length)
        out = put_bytes(out, b"\r\n", 2)
    out = fields_put_kept(out, p, head, run, drops)
    if framing.has_length:
        out = put_bytes(out, b"Content-Length: ", 16)
        out = put_number(out, framing.length)
        out = put_bytes(out, b"\r\n", 2)
    elif framing.kind == B_CHUNKED:
        out = put_bytes(out, b"Transfer-Encoding: chunked\r\n", 28)
    if te_trailers:
        out = put_bytes(out, b"TE: trailers\r\n", 14)
    out = fields_put_options(out, te_trailers, upgrade, False, False)
    if policy.forwarded == FWD_REPLACE or policy.forwarded == FWD_APPEND:
        out = fields_put_forwarded(out, p, head, policy)
    if policy.identity != NULL:
        out = put_identity(out, policy.identity)
    if policy.via:
        out = fields_put_via(out, head)
    out = put_bytes(out, b"\r\n", 2)
    return <uint32_t>(out - start)


cdef inline void fields_drop_called(const char* p, Head* head, const char* name, uint32_t n) noexcept nogil:
    cdef uint32_t i
    cdef Field* field
    for i in range(head.field_count):
        field = &head.fields[i]
        if field.name_length == n and same_text(p + field.name, name, n):
            field.drop = 1


cdef char* fields_put_status_line(char* out, const char* p, const Head* head) noexcept nogil:
    out = put_bytes(out, b"HTTP/1.1 ", 9)
    if head.fields_at - head.status_at == 5:        # the space belongs there even without a reason phrase
        out = put_bytes(out, p + head.status_at, 3)
        return put_bytes(out, b" \r\n", 3)
    return put_bytes(out, p + head.status_at, head.fields_at - head.status_at)


cdef Field* fields_take_padded_length(const char* p, Head* head) noexcept nogil:
    # A Content-Length with leading zeros, taken out of the head; NULL if it has none. The framing has checked it.
    cdef Field* field
    if head.count[<int>F_CONTENT_LENGTH] == 0:
        return NULL
    field = &head.fields[head.first[<int>F_CONTENT_LENGTH] - 1]
    # One that is left out already has another in its place, of a body that a hook has changed.
    if field.drop or field.value_length < 2 or p[field.value] != c"0":
        return NULL
    field.drop = 1
    return field


cdef char* fields_put_length(char* out, const char* p, const Field* field) noexcept nogil:
    # Without its zeros: they are not wrong, but there are clients that count the digits.
    cdef uint32_t at = field.value
    cdef uint32_t end = field.value + field.value_length
    while end - at > 1 and p[at] == c"0":
        at += 1
    out = put_bytes(out, b"Content-Length: ", 16)
    out = put_bytes(out, p + at, end - at)
    return put_bytes(out, b"\r\n", 2)


cdef uint32_t write_response_head(
    const char* p, Head* head, const ResponsePolicy* policy, char* out
) noexcept nogil:
    cdef char* start = out
    cdef const Field* padded = NULL
    cdef uint32_t drops = RESPONSE_DROPS
    cdef uint32_t run = 0
    # 426 says with Upgrade what it asks for (RFC 9110 section 15.5.22), and Connection has to name it.
    cdef bint upgrade = (policy.upgrade or head.status == 426) and head.count[<int>F_UPGRADE] != 0
    if upgrade:
        drops &= ~(<uint32_t>1 << F_UPGRADE)
    if policy.chunked or policy.interim or head.status < 200 or head.status == 204:
        drops |= <uint32_t>1 << F_CONTENT_LENGTH
    else:
        padded = fields_take_padded_length(p, head)
    if policy.counter_length != 0:
        fields_drop_called(p, head, policy.counter, policy.counter_length)
    if policy.identity != NULL and policy.identity.id_length:
        fields_drop_called(p, head, b"X-Request-Id", 12)
    if policy.status_line_length:
        out = put_bytes(out, policy.status_line, policy.status_line_length)
        run = head.fields_at
    elif p[7] != c"1" or head.fields_at - head.status_at == 5:
        out = fields_put_status_line(out, p, head)
        run = head.fields_at
    out = fields_put_kept(out, p, head, run, drops)
    if padded != NULL:
        out = fields_put_length(out, p, padded)
    if not policy.interim and policy.chunked:
        out = put_bytes(out, b"Transfer-Encoding: chunked\r\n", 28)
    out = fields_put_options(
        out, False, upgrade, policy.close and not policy.interim, policy.keep_alive and not policy.interim
    )
    if policy.via:
        out = fields_put_via(out, head)
    if policy.counter_length != 0 and not policy.interim:
        out = put_bytes(out, policy.counter, policy.counter_length)
        out = put_bytes(out, b": ", 2)
        out = put_number(out, policy.counter_value)
        out = put_bytes(out, b"\r\n", 2)
    if policy.identity != NULL:
        out = put_request_id(out, policy.identity)
    if policy.parts_us != NULL:
        out = put_server_timing(out, policy.parts_us)
    out = put_bytes(out, b"\r\n", 2)
    return <uint32_t>(out - start)
