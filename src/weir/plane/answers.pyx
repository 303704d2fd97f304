"""Answers that weir gives itself."""

from http import HTTPStatus

from libc.stdint cimport uint16_t, uint32_t, uint64_t
from libc.string cimport memcpy

from weir.plane.codes cimport REASON_COUNT, Reason
from weir.plane.workspace cimport Workspace
from weir.reasons import REASONS

cdef extern from "<stdio.h>" nogil:
    int snprintf(char* out, size_t size, const char* format, ...)

cdef extern from "<time.h>" nogil:
    ctypedef long time_t
    cdef struct tm:
        pass
    tm* gmtime_r(const time_t* when, tm* out)
    size_t strftime(char* out, size_t size, const char* format, const tm* when)


cdef list _lines = []       # of bytes, by reason: "502 Bad Gateway"
cdef list _bodies = []      # of bytes, by reason
cdef uint16_t _statuses[REASON_COUNT]


def _fill() -> None:
    for number, reason in enumerate(REASONS):
        _statuses[number] = reason.status
        if not reason.status:
            _lines.append(b"")
            _bodies.append(b"")
            continue
        line = f"{reason.status} {HTTPStatus(reason.status).phrase}"
        _lines.append(line.encode())
        _bodies.append(f"{line}\n{reason.word}: {reason.text}\n".encode())


_fill()


cdef uint16_t answer_status(Reason reason) noexcept:
    return _statuses[<int>reason]


cdef uint32_t write_tail(
    Workspace workspace, const AnswerPolicy* policy, uint64_t length, char* out, size_t room
) noexcept:
    """The fields that every answer has, and the empty line."""
    cdef tm parts
    cdef time_t now = workspace.clock.wall_s()
    cdef char date[64]
    cdef uint32_t n
    cdef const char* connection = b""
    gmtime_r(&now, &parts)
    # IMF-fixdate, RFC 9110 section 5.6.7; the process never leaves the C locale.
    strftime(date, sizeof(date), b"%a, %d %b %Y %H:%M:%S GMT", &parts)
    if not policy.keep:
        connection = b"Connection: close\r\n"
    elif policy.old_client:
        connection = b"Connection: keep-alive\r\n"
    n = <uint32_t>snprintf(
        out, room, b"Content-Type: text/plain; charset=utf-8\r\nContent-Length: %llu\r\nDate: %s\r\nServer: weir\r\n%s",
        <unsigned long long>length, date, connection,
    )
    if policy.retry_after_s:
        n += <uint32_t>snprintf(out + n, room - n, b"Retry-After: %lld\r\n", <long long>policy.retry_after_s)
    if policy.counter_length:
        n += <uint32_t>snprintf(
            out + n, room - n, b"%.*s: %llu\r\n", <int>policy.counter_length, policy.counter,
            <unsigned long long>(policy.counter_value + (0 if policy.head_only else length)),
        )
    n += <uint32_t>snprintf(out + n, room - n, b"\r\n")
    return n


cdef uint32_t write_error(
    Workspace workspace, Reason reason, const AnswerPolicy* policy, char* out, uint32_t* body_bytes
) noexcept:
    cdef bytes line = <bytes>_lines[<int>reason]
    cdef bytes body = <bytes>_bodies[<int>reason]
    cdef const char* text = body
    cdef uint32_t length = <uint32_t>len(body)
    cdef uint32_t n = <uint32_t>snprintf(out, ANSWER_BYTES, b"HTTP/1.1 %s\r\n", <const char*>line)
    n += write_tail(workspace, policy, length, out + n, ANSWER_BYTES - n - length)
    body_bytes[0] = 0
    if not policy.head_only:
        memcpy(out + n, text, length)
        body_bytes[0] = length
        n += length
    return n


cdef uint32_t write_page_head(Workspace workspace, uint64_t length, const AnswerPolicy* policy, char* out) noexcept:
    cdef uint32_t n = <uint32_t>snprintf(out, ANSWER_BYTES, b"HTTP/1.1 200 OK\r\nCache-Control: no-store\r\n")
    return n + write_tail(workspace, policy, length, out + n, ANSWER_BYTES - n)
