"""A Python face of the parsers, for tests, fuzzing and measuring; nothing on the way of a message uses it.

What passes between the parts is bytes in and Python values out; a refusal is a `Refused` with its reason.
"""

from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.string cimport memset

from weir.plane.accept cimport preferred_answer
from weir.plane.chunked cimport ChunkScanner, chunk_scan, chunk_start
from weir.plane.codes cimport DONE, FAILED, NEED_MORE, R_BAD_CHUNK, Step
from weir.plane.fields cimport (
    RequestPolicy, ResponsePolicy, check_request, check_response, request_head_bound, response_head_bound,
    write_request_head, write_response_head,
)
from weir.plane.framing cimport Framing, frame_request, frame_response
from weir.plane.head cimport Field, Head, HeadLimits, scan_fields, scan_request, scan_response
from weir.plane.keepalive cimport keep_alive_timeout_ms
from weir.plane.ids cimport IdPolicy, Identity, SPAN_ID_LENGTH, TRACE_ID_LENGTH, TracePolicy, identify
from weir.plane.origin cimport CLIENT_TEXT, Origin, put_origin, read_origin
from weir.plane.proxyproto cimport PROXY_SENT_BYTES, ProxyHeader, ProxyVersion, scan_proxy_header, write_proxy_header
from weir.plane.text cimport equals_lower, list_has_token
from weir.plane.trust cimport Networks, has_good_host, has_good_proto, walk_forwarded_for

ctypedef Step (*Scan)(const char*, uint32_t, const HeadLimits*, Head*) noexcept nogil


class Refused(Exception):
    """A message was refused; `reason` is the number of a `weir.reasons.Reason`."""

    def __init__(self, reason: int) -> None:
        super().__init__(reason)
        self.reason = reason
        self.sent = b""


class ParsedHead:
    """A head as the scanner saw it: what `Head` says, with the bytes in place of their offsets."""

    __slots__ = (
        "authority", "count", "fields", "first", "ids", "length", "method", "method_name", "path", "query",
        "reason_phrase", "status", "target", "target_form", "version_minor",
    )


cdef object parsers_head(const char* p, const Head* head):
    cdef uint32_t i
    cdef const Field* field
    out = ParsedHead()
    out.length = head.length
    out.version_minor = head.version_minor
    out.method = head.method
    out.method_name = p[head.method_at:head.method_at + head.method_length]
    out.target = p[head.target_at:head.target_at + head.target_length]
    out.target_form = head.target_form
    out.path = p[head.path_at:head.path_at + head.path_length]
    out.query = p[head.path_at + head.path_length:head.path_at + head.path_length + head.query_length]
    out.authority = p[head.authority_at:head.authority_at + head.authority_length]
    out.status = head.status
    out.reason_phrase = p[head.status_at + 3:head.fields_at].strip() if head.status else b""
    out.fields = []
    out.ids = []
    for i in range(head.field_count):
        field = &head.fields[i]
        name = p[field.name:field.name + field.name_length]
        out.fields.append((name, p[field.value:field.value + field.value_length]))
        out.ids.append(field.id)
    out.first = [head.first[i] for i in range(32)]
    out.count = [head.count[i] for i in range(32)]
    return out


cdef object parsers_scan(Scan scan, bytes data, HeadLimits limits, step, unsigned long repeat):
    cdef const char* p = data
    cdef uint32_t n = len(data)
    cdef uint32_t piece = n if step is None else step
    cdef uint32_t seen, scanned
    cdef Step result = NEED_MORE
    cdef Head head
    if step is not None and step < 1:
        raise ValueError("step must be at least 1")
    for _ in range(repeat):
        seen = scanned = 0
        while True:
            seen += min(piece, n - seen)
            if step is not None:
                memset(&head, 0xFF, sizeof(head))       # nothing but `scanned` may be relied upon
            head.scanned = scanned
            result = scan(p, seen, &limits, &head)
            if result != NEED_MORE or seen == n:
                break
            scanned = head.scanned
    if result == FAILED:
        raise Refused(head.reason)
    return parsers_head(p, &head) if result == DONE else None


cdef int parsers_take(Scan scan, bytes data, Head* head) except -1:
    # A whole head, within the default limits.
    cdef HeadLimits limits = HeadLimits(32768, 8192, 100)
    head.scanned = 0
    cdef Step step = scan(data, len(data), &limits, head)
    if step == FAILED:
        raise Refused(head.reason)
    if step != DONE:
        raise ValueError("the head is not complete")
    return 0


def parse_request(bytes data not None, *, uint32_t head_bytes=32768, uint32_t target_bytes=8192,
                  uint32_t fields=100, step=None, unsigned long repeat=1):
    """Scans the head of a request at the start of `data`; None: it is not complete.

    `step` feeds it in pieces of so many bytes; `repeat` does it all so many times, for measuring.
    Raises Refused.
    """
    return parsers_scan(scan_request, data, HeadLimits(head_bytes, target_bytes, fields), step, repeat)


def parse_response(bytes data not None, *, uint32_t head_bytes=32768, uint32_t fields=100, step=None,
                   unsigned long repeat=1):
    """Scans the head of a response at the start of `data`; as `parse_request`."""
    return parsers_scan(scan_response, data, HeadLimits(head_bytes, 0, fields), step, repeat)


def response_status(bytes data not None, *, uint32_t head_bytes=32768, uint32_t fields=100):
    """(status, length of the head) of the response that `data` begins with; None: its head is not complete. Refused."""
    cdef HeadLimits limits = HeadLimits(head_bytes, 0, fields)
    cdef Head head
    cdef Step step
    head.scanned = 0
    step = scan_response(data, <uint32_t>len(data), &limits, &head)
    if step == FAILED:
        raise Refused(head.reason)
    return (head.status, head.length) if step == DONE else None


def parse_fields(bytes data not None, *, uint32_t head_bytes=32768, uint32_t fields=100, step=None,
                 unsigned long repeat=1):
    """Scans field lines up to the empty line; as `parse_request`."""
    return parsers_scan(scan_fields, data, HeadLimits(head_bytes, 0, fields), step, repeat)


def has_token(bytes value not None, bytes token not None):
    """Whether the comma-separated list `value` has `token` (lower case) as a member, in any case."""
    return bool(list_has_token(value, len(value), token, len(token)))


def is_lower(bytes text not None, bytes lower not None):
    """Whether `text` is `lower` (lower case) in any case."""
    return len(text) == len(lower) and bool(equals_lower(text, lower, len(lower)))


def request_framing(bytes data not None):
    """(BodyKind, length, has_length, keep_alive) of the request whose head `data` begins with.

    Raises Refused when the head or its framing is refused, ValueError when the head is not complete.
    """
    cdef Head head
    cdef Framing framing
    parsers_take(scan_request, data, &head)
    if frame_request(data, &head, &framing) == FAILED:
        raise Refused(framing.reason)
    return framing.kind, framing.length, bool(framing.has_length), bool(framing.keep_alive)


def response_framing(bytes data not None, uint8_t method, bint upgrade=False):
    """As `request_framing`, of a response to a request with `method` (a Method) that asked for an `upgrade`."""
    cdef Head head
    cdef Framing framing
    parsers_take(scan_response, data, &head)
    if frame_response(data, &head, method, upgrade, &framing) == FAILED:
        raise Refused(framing.reason)
    return framing.kind, framing.length, bool(framing.has_length), bool(framing.keep_alive)


def rechunk(bytes data not None, *, bint decode=False, step=None, uint32_t head_bytes=32768, uint32_t fields=100):
    """Passes a chunked body through the scanner: (what is sent on, bytes consumed, payload bytes, complete?).

    `decode` drops the framing; `step` feeds in pieces of so many bytes; `head_bytes` and `fields` limit the
    trailer section. Raises Refused when the body is malformed; what was good up to there is its `sent`.
    """
    cdef HeadLimits limits = HeadLimits(head_bytes, 0, fields)
    cdef ChunkScanner scanner
    cdef Head trailers
    cdef uint32_t out_end = 0
    cdef uint32_t rest = 0
    cdef Step result = NEED_MORE
    cdef char* p
    cdef Py_ssize_t piece = len(data) if step is None else step
    cdef Py_ssize_t fed = 0
    if step is not None and step < 1:
        raise ValueError("step must be at least 1")
    chunk_start(&scanner, decode)
    sent = bytearray()
    waiting = bytearray()
    while result == NEED_MORE and fed < len(data):
        waiting += data[fed:fed + piece]
        fed = min(fed + piece, len(data))
        memset(&trailers, 0xFF, sizeof(trailers))       # scratch space: it may have been used meanwhile
        p = waiting
        result = chunk_scan(&scanner, p, 0, len(waiting), &out_end, &rest, &limits, &trailers, R_BAD_CHUNK)
        sent += waiting[:out_end]
        del waiting[:rest]
        if result == FAILED:
            refused = Refused(scanner.reason)
            refused.sent = bytes(sent)
            raise refused
    return bytes(sent), fed - len(waiting), scanner.payload, result == DONE


def forward_request(bytes data not None, *, uint8_t forwarded=0, bint via=True, bytes host=b"",
                    bytes client=b"192.0.2.1", bytes proto=b"http", bint keep_proto=False, bint keep_host=False,
                    unsigned long repeat=1):
    """The head that goes on for the request whose head `data` begins with.

    `forwarded` is a ForwardedPolicy; `repeat` writes it so many times. Raises Refused, or ValueError when
    the head is not complete.
    """
    cdef RequestPolicy policy
    cdef Head head
    cdef Framing framing
    cdef bint upgrade = False
    cdef bint te_trailers = False
    cdef bint expect = False
    cdef uint32_t n = 0
    memset(&policy, 0, sizeof(policy))
    policy.forwarded = forwarded
    policy.via = via
    policy.keep_proto, policy.keep_host = keep_proto, keep_host
    policy.host, policy.host_length = host, len(host)
    policy.client, policy.client_length = client, len(client)
    policy.proto, policy.proto_length = proto, len(proto)
    parsers_take(scan_request, data, &head)
    if frame_request(data, &head, &framing) == FAILED:
        raise Refused(framing.reason)
    if check_request(data, &head, &framing, &upgrade, &te_trailers, &expect) == FAILED:
        raise Refused(head.reason)
    out = bytearray(request_head_bound(&head, &policy))
    for _ in range(repeat):
        n = write_request_head(data, &head, &framing, &policy, upgrade, te_trailers, out)
    if n > len(out):
        raise AssertionError("the bound was passed")
    return bytes(out[:n])


def identified(bytes data not None, *, int request_id=0, int trace=0, uint32_t sample=100, uint64_t state=0,
               unsigned long repeat=1):
    """Who the request is whose head `data` begins with: (id, trace id, span id, parent id, flags), b"" for none.

    `request_id` is an IdPolicy, `trace` a TracePolicy, `sample` percent, `state` where the sequence of ids is.
    Raises Refused, or ValueError when the head is not complete.
    """
    cdef Head head
    cdef Identity identity
    memset(&identity, 0xFF, sizeof(identity))
    parsers_take(scan_request, data, &head)
    for _ in range(repeat):
        identify(data, &head, <IdPolicy>request_id, <TracePolicy>trace, sample, &state, &identity)
    return (
        identity.id[:identity.id_length],
        identity.trace_id[:TRACE_ID_LENGTH] if identity.traced else b"",
        identity.span_id[:SPAN_ID_LENGTH] if identity.traced else b"",
        identity.parent_id[:SPAN_ID_LENGTH] if identity.joined else b"",
        identity.flags if identity.traced else 0,
    )


def read_proxy_header(bytes data not None, step=None):
    """The PROXY header that `data` begins with: (length, tls, source, destination); None: it is not complete.

    Source and destination are (address, port), or None if it tells of nobody. `step` feeds it in pieces of so many
    bytes. Raises ValueError when it is none.
    """
    cdef ProxyHeader header
    cdef uint32_t n = len(data)
    cdef uint32_t seen = 0
    cdef uint32_t piece = n if step is None else step
    cdef Step result = NEED_MORE
    while result == NEED_MORE and seen < n:
        seen += min(piece, n - seen)
        result = scan_proxy_header(data, seen, &header)
    if result == FAILED:
        raise ValueError("no PROXY header")
    if result == NEED_MORE:
        return None
    if not header.relayed:
        return header.length, bool(header.tls), None, None
    return header.length, bool(header.tls), parsers_origin(&header.source), parsers_origin(&header.destination)


cdef object parsers_origin(const Origin* origin):
    cdef char text[CLIENT_TEXT]
    return text[:put_origin(origin, text)].decode(), origin.port


cdef int parsers_take_origin(bytes text, Origin* origin) except -1:
    if not read_origin(text, len(text), origin):
        raise ValueError(f"no address: {text!r}")
    return 0


def make_proxy_header(int version, bytes source not None, bytes destination not None, *, bint local=False):
    """The PROXY header of a version, 1 or 2, for a connection from `source` to `destination` ("192.0.2.1:80")."""
    cdef Origin origins[2]
    cdef char out[PROXY_SENT_BYTES]
    parsers_take_origin(source, &origins[0])
    parsers_take_origin(destination, &origins[1])
    return out[:write_proxy_header(<ProxyVersion>version, &origins[0], &origins[1], local, out)]


def client_of(bytes data not None, bytes hop not None, Networks trusted not None, *, unsigned long repeat=1):
    """The client of the request whose head `data` begins with, which came from `hop`: (address, port, proto?, host?).

    The last two: whether X-Forwarded-Proto and X-Forwarded-Host are such that they go on. Raises Refused.
    """
    cdef Head head
    cdef Origin origin
    parsers_take(scan_request, data, &head)
    for _ in range(repeat):
        parsers_take_origin(hop, &origin)
        if trusted.has(&origin):
            walk_forwarded_for(data, &head, trusted, &origin)
    return *parsers_origin(&origin), bool(has_good_proto(data, &head)), bool(has_good_host(data, &head))


def keep_alive_timeout(bytes data not None):
    """What the Keep-Alive field of the response whose head `data` begins with says, in milliseconds; 0: nothing."""
    cdef Head head
    parsers_take(scan_response, data, &head)
    return keep_alive_timeout_ms(data, &head)


def prefers(bytes data not None):
    """Which kind of error answer the client of this request would rather have: "text", "json" or "problem"."""
    cdef Head head
    parsers_take(scan_request, data, &head)
    return ("text", "json", "problem")[<int>preferred_answer(data, &head)]


def check(bytes data not None, *, unsigned long repeat=1):
    """(upgrade, te_trailers, expect) of the request whose head `data` begins with; raises as `forward_request`."""
    cdef Head head
    cdef Framing framing
    cdef bint upgrade = False
    cdef bint te_trailers = False
    cdef bint expect = False
    cdef Step step = DONE
    parsers_take(scan_request, data, &head)
    for _ in range(repeat):
        if frame_request(data, &head, &framing) == FAILED:
            raise Refused(framing.reason)
        step = check_request(data, &head, &framing, &upgrade, &te_trailers, &expect)
    if step == FAILED:
        raise Refused(head.reason)
    return bool(upgrade), bool(te_trailers), bool(expect)


def forward_response(bytes data not None, *, bint via=True, bint close=False, bint keep_alive=False,
                     bint chunked=False, bint interim=False, bint upgrade=False, bytes counter=b"X-Bytes",
                     uint64_t counter_value=0, unsigned long repeat=1):
    """The head that goes on for the response whose head `data` begins with; the options are ResponsePolicy's.

    Raises as `forward_request`; the framing is not looked at.
    """
    cdef ResponsePolicy policy
    cdef Head head
    cdef uint32_t n = 0
    memset(&policy, 0, sizeof(policy))
    policy.via, policy.close, policy.keep_alive = via, close, keep_alive
    policy.chunked, policy.interim, policy.upgrade = chunked, interim, upgrade
    policy.counter, policy.counter_length = counter, len(counter)
    policy.counter_value = counter_value
    parsers_take(scan_response, data, &head)
    out = bytearray(response_head_bound(&head, &policy))
    for _ in range(repeat):
        if check_response(data, &head) == FAILED:
            raise Refused(head.reason)
        n = write_response_head(data, &head, &policy, out)
    if n > len(out):
        raise AssertionError("the bound was passed")
    return bytes(out[:n])
