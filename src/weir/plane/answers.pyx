"""Answers that weir gives itself: status line, fields and body, of errors and of the statistics page.

Bodies are made once, when the plane is: all that changes from answer to answer is the request id in it.
"""

import json
from http import HTTPStatus

from libc.stdint cimport uint16_t, uint32_t, uint64_t
from libc.string cimport memchr, memcpy

from weir.plane.accept cimport ANSWER_JSON, ANSWER_PROBLEM, ANSWER_TEXT
from weir.plane.codes cimport R_METHOD_REFUSED, REASON_COUNT, Reason
from weir.plane.ids cimport ID_MOST, Identity, put_request_id
from weir.plane.timing cimport put_server_timing
from weir.plane.workspace cimport Workspace
from weir.reasons import REASONS

cdef extern from "<stdio.h>" nogil:
    int snprintf(char* out, size_t size, const char* format, ...)

cdef extern from "<strings.h>" nogil:
    int strncasecmp(const char* a, const char* b, size_t n)

cdef extern from "<time.h>" nogil:
    ctypedef long time_t
    cdef struct tm:
        pass
    tm* gmtime_r(const time_t* when, tm* out)
    size_t strftime(char* out, size_t size, const char* format, const tm* when)

_ID_PLACE = "{{request_id}}"
_TEXT = "{{status}} {{title}}\n{{reason}}: {{text}}\nrequest id: {{request_id}}\n"

cdef list _lines = []       # of bytes, by reason: "502 Bad Gateway"
cdef dict _own_texts = {}   # (AnswerKind, word, status): what ErrorPages holds of it
cdef object _last = None    # what the newest ErrorPages has: its pages, and all answers made of them
cdef uint16_t _statuses[REASON_COUNT]


def status_line(status: int) -> bytes:
    """The status and its phrase; ValueError if there is none such."""
    return f"{status} {HTTPStatus(status).phrase}".encode()


def _fill() -> None:
    for number, reason in enumerate(REASONS):
        _statuses[number] = reason.status
        _lines.append(status_line(reason.status) if reason.status else b"")


_fill()


def _problem(reason) -> str:
    """The JSON of an error answer: RFC 9457's members, and two of our own."""
    title = HTTPStatus(reason.status).phrase
    return json.dumps({
        "type": "about:blank",
        "title": title,
        "status": reason.status,
        "detail": reason.text,
        "reason": reason.word,
        "request_id": _ID_PLACE,
    }) + "\n"


def _filled(template: str, reason) -> str:
    for name, value in (
        ("status", str(reason.status)),
        ("title", HTTPStatus(reason.status).phrase),
        ("reason", reason.word),
        ("text", reason.text),
    ):
        template = template.replace("{{" + name + "}}", value)
    return template


cdef class ErrorPages:
    """The bodies of error answers; `pages` are `weir.config.plan.ErrorPagePlan`s.

    ValueError for a page that, with its places filled in, is longer than ANSWER_BODY_BYTES.
    """

    def __cinit__(self, pages=()):
        self._own = {(page.statuses, page.media): page.body.decode() for page in pages}
        self._answers = self._shared(tuple(pages))
        self._variants = []

    def _shared(self, pages):
        """All answers, by kind and reason. A thousand listeners have most often the same pages: they are made once."""
        global _last
        if _last is None or _last[0] != pages:
            kinds = (ANSWER_TEXT, ANSWER_JSON, ANSWER_PROBLEM)
            _last = pages, [[self._made(reason, kind) for reason in REASONS] for kind in kinds]
        return _last[1]

    cdef uint16_t variant(self, Reason reason, uint16_t status) except? 0:
        info = REASONS[<int>reason]
        if status == <uint16_t>info.status:
            return 0
        line = status_line(status)
        other = info._replace(status=status)
        kinds = (ANSWER_TEXT, ANSWER_JSON, ANSWER_PROBLEM)
        self._variants.append((int(status), line, [self._made(other, kind) for kind in kinds]))
        return <uint16_t>len(self._variants)

    cdef uint16_t status_of(self, Reason reason, uint16_t variant) noexcept:
        return <uint16_t>(<tuple>self._variants[variant - 1])[0] if variant else _statuses[<int>reason]

    def _made(self, reason, kind):
        own = self._own
        if not reason.status:
            return None
        wanted = ("text/html", "text/plain") if kind == ANSWER_TEXT else ("application/json",)
        for statuses in (str(reason.status), f"{reason.status // 100}xx"):
            for media in wanted:
                if (statuses, media) in own:
                    return self._parts(media, _filled(own[statuses, media], reason))
        # Weir's own are the same for every plane of a process, and tests and fuzzing make thousands.
        key = kind, reason.word, reason.status
        if key not in _own_texts:
            _own_texts[key] = self._said_by_weir(reason, kind)
        return _own_texts[key]

    def _said_by_weir(self, reason, kind):
        if kind == ANSWER_TEXT:
            return self._parts("text/plain", _filled(_TEXT, reason))
        return self._parts("application/json" if kind == ANSWER_JSON else "application/problem+json", _problem(reason))

    def _parts(self, media, text):
        parts = text.encode().split(_ID_PLACE.encode())
        if sum(map(len, parts)) + ID_MOST * (len(parts) - 1) > ANSWER_BODY_BYTES:
            raise ValueError(f"an error page is longer than {ANSWER_BODY_BYTES} bytes when it is filled in")
        charset = "; charset=utf-8" if media.startswith("text/") else ""
        return f"{media}{charset}".encode(), parts


cdef uint16_t answer_status(Reason reason) noexcept:
    return _statuses[<int>reason]


cdef uint32_t write_tail(
    Workspace workspace, const AnswerPolicy* policy, const char* media, uint64_t length, char* out, size_t room
) noexcept:
    """The fields that every answer has, and the empty line."""
    # Nothing that is said here is meant for the next client: some of these statuses may be kept by caches otherwise.
    cdef uint32_t n = <uint32_t>snprintf(
        out, room, b"Content-Type: %s\r\nContent-Length: %llu\r\nCache-Control: no-store\r\n",
        media, <unsigned long long>length,
    )
    return n + put_common(workspace, policy, length, out + n, room - n, False, False)


cdef bint says(const char* head, uint32_t n, const char* name, uint32_t length) noexcept:
    """Whether a line of head[0:n] behind the first one begins with `name`, the colon included, in any case."""
    cdef const char* end = head + n
    cdef const char* p = head
    while True:
        p = <const char*>memchr(p, c"\n", end - p)
        if p == NULL:
            return False
        p += 1
        if end - p >= length and strncasecmp(p, name, length) == 0:
            return True


cdef uint32_t put_common(
    Workspace workspace, const AnswerPolicy* policy, uint64_t length, char* out, size_t room, bint dated, bint served
) noexcept:
    """`dated` and `served`: who gives the answer has said so already."""
    cdef tm parts
    cdef time_t now = workspace.clock.wall_s()
    cdef char date[64]
    cdef uint32_t n = 0
    cdef const char* connection = b""
    gmtime_r(&now, &parts)
    # IMF-fixdate, RFC 9110 section 5.6.7; the process never leaves the C locale.
    strftime(date, sizeof(date), b"%a, %d %b %Y %H:%M:%S GMT", &parts)
    if not policy.keep:
        connection = b"Connection: close\r\n"
    elif policy.old_client:
        connection = b"Connection: keep-alive\r\n"
    if not dated:
        n = <uint32_t>snprintf(out, room, b"Date: %s\r\n", date)
    n += <uint32_t>snprintf(out + n, room - n, b"%s%s", b"" if served else b"Server: weir\r\n", connection)
    if policy.retry_after_s:
        n += <uint32_t>snprintf(out + n, room - n, b"Retry-After: %lld\r\n", <long long>policy.retry_after_s)
    if policy.counter_length:
        n += <uint32_t>snprintf(
            out + n, room - n, b"%.*s: %llu\r\n", <int>policy.counter_length, policy.counter,
            <unsigned long long>(policy.counter_value + (0 if policy.head_only else length)),
        )
    n += <uint32_t>snprintf(out + n, room - n, b"\r\n")
    return n


cdef uint32_t write_own_head(
    Workspace workspace, bytes lines, uint64_t length, bint bare, const AnswerPolicy* policy, char* out
) noexcept:
    cdef uint32_t n = <uint32_t>len(lines)
    memcpy(out, <const char*>lines, n)
    return finish_own_head(workspace, n, length, bare, policy, out)


cdef uint32_t finish_own_head(
    Workspace workspace, uint32_t n, uint64_t length, bint bare, const AnswerPolicy* policy, char* out
) noexcept:
    cdef bint dated = says(out, n, b"date:", 5)
    cdef bint served = says(out, n, b"server:", 7)
    n = <uint32_t>(put_request_id(out + n, policy.identity) - out)
    if not bare:
        n += <uint32_t>snprintf(out + n, ANSWER_HEAD_BYTES, b"Content-Length: %llu\r\n", <unsigned long long>length)
    return n + put_common(workspace, policy, length, out + n, ANSWER_HEAD_BYTES, dated, served)


cdef uint32_t write_body(list parts, const Identity* identity, char* out) noexcept:
    cdef uint32_t n = 0
    cdef bint first = True
    cdef bytes part
    for part in parts:
        if not first:
            memcpy(out + n, identity.id, identity.id_length)
            n += identity.id_length
        first = False
        memcpy(out + n, <const char*>part, len(part))
        n += <uint32_t>len(part)
    return n


cdef uint32_t write_error(
    Workspace workspace, ErrorPages pages, Reason reason, const AnswerPolicy* policy, char* out, uint32_t* body_bytes
) noexcept:
    cdef bytes line = <bytes>_lines[<int>reason]
    cdef tuple answer = <tuple>(<list>pages._answers[<int>policy.kind])[<int>reason]
    if policy.variant:
        line = <bytes>(<tuple>pages._variants[policy.variant - 1])[1]
        answer = <tuple>(<list>(<tuple>pages._variants[policy.variant - 1])[2])[<int>policy.kind]
    cdef bytes media = <bytes>answer[0]
    cdef list parts = <list>answer[1]
    cdef bytes part
    cdef uint32_t length = policy.identity.id_length * <uint32_t>(len(parts) - 1)
    cdef uint32_t n = <uint32_t>snprintf(out, ANSWER_HEAD_BYTES, b"HTTP/1.1 %s\r\n", <const char*>line)
    n = <uint32_t>(put_request_id(out + n, policy.identity) - out)
    if policy.parts_us != NULL:
        n = <uint32_t>(put_server_timing(out + n, policy.parts_us) - out)
    if reason == R_METHOD_REFUSED:
        # Whatever else a client asks is the endpoint's to refuse. RFC 9110 section 15.5.6 wants the field.
        n += <uint32_t>snprintf(
            out + n, ANSWER_HEAD_BYTES - n, b"Allow: GET, HEAD, POST, PUT, DELETE, OPTIONS, PATCH\r\n"
        )
    for part in parts:
        length += <uint32_t>len(part)
    n += write_tail(workspace, policy, media, length, out + n, ANSWER_HEAD_BYTES - n)
    body_bytes[0] = 0
    if not policy.head_only:
        body_bytes[0] = write_body(parts, policy.identity, out + n)
        n += body_bytes[0]
    return n


cdef uint32_t write_page_head(Workspace workspace, uint64_t length, const AnswerPolicy* policy, char* out) noexcept:
    cdef uint32_t n = <uint32_t>snprintf(out, ANSWER_HEAD_BYTES, b"HTTP/1.1 200 OK\r\n")
    return n + write_tail(workspace, policy, b"text/plain; charset=utf-8", length, out + n, ANSWER_HEAD_BYTES - n)
