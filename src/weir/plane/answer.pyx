"""Answers that a hook gives instead of an endpoint, and what field lines that Python writes have to be."""

import re
from http import HTTPStatus

from cpython.unicode cimport PyUnicode_AsUTF8AndSize

from weir.plane.answers cimport OWN_LINES_BYTES

from weir.config.action_plan import HOP_FIELDS

cdef enum:
    GOOD_NAMES = 1024
    GOOD_NAME_BYTES = 64

_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")


cdef bytes checked_name(str name):
    if not _TOKEN.fullmatch(name):
        raise ValueError(f"{name!r} is not the name of a field")
    return name.encode("latin-1")


cdef tuple good_name(str name, tuple reserved, dict good):
    cdef bytes written
    if name.lower() in reserved:
        hint = ", from request.host" if name.lower() == "host" else ""
        raise ValueError(f"{name}: only weir writes this field{hint}")
    written = checked_name(name)
    checked = (written, written.lower())
    if len(good) < GOOD_NAMES and len(written) <= GOOD_NAME_BYTES:
        good[name] = checked
    return checked


cdef bytes checked_value(str value):
    cdef Py_ssize_t n = 0
    cdef const char* p = PyUnicode_AsUTF8AndSize(value, &n)     # what is looked for is the same in any encoding
    cdef Py_ssize_t i
    cdef unsigned char c
    cdef bint bad = n != 0 and (p[0] == c" " or p[0] == c"\t" or p[n - 1] == c" " or p[n - 1] == c"\t")
    for i in range(n):
        c = <unsigned char>p[i]
        bad |= (c < 0x20 and c != c"\t") or c == 0x7F
    if bad:
        raise ValueError(f"{value!r} is not the value of a field: no control characters, no white space around it")
    try:
        return value.encode("latin-1")
    except UnicodeEncodeError:
        raise ValueError(f"{value!r} is not the value of a field: characters up to U+00FF") from None


cdef bytes status_line(int status):
    try:
        phrase = HTTPStatus(status).phrase
    except ValueError:
        phrase = ""
    return f"HTTP/1.1 {status} {phrase}\r\n".encode()


cdef class Answer:
    """What weir answers by itself, instead of an endpoint.

    `body` is text (sent as UTF-8) or bytes, 16 MiB at most, or an async iterator of bytes, sent on as they come;
    `headers` a mapping or pairs of names and values.
    Content-Type is text/plain (of text) unless it is given; so are Date and Server weir's. Framing always is.
    ValueError for a status that is not 200 to 599, a body where the status has none (204, 304), and fields that
    cannot be.
    """

    def __init__(self, int status=200, body=b"", headers=()):
        if not 200 <= status <= 599:
            raise ValueError(f"status {status}: 200 to 599")
        self.pieces = body if hasattr(body, "__aiter__") else None
        body = body if self.pieces is None else b""
        text = isinstance(body, str)
        self.body = body.encode() if text else bytes(body)
        if (self.body or self.pieces is not None) and status in (204, 205, 304):
            raise ValueError(f"a response with status {status} has no body")
        if len(self.body) > ANSWER_MOST:
            raise ValueError(f"a body of {len(self.body)} bytes; an answer has {ANSWER_MOST} at most")
        self.status = status
        self.headers = list(headers.items() if hasattr(headers, "items") else headers)
        names = set()
        lines = [status_line(status)]
        for name, value in self.headers:
            if name.lower() in HOP_FIELDS:
                raise ValueError(f"{name}: only weir writes this field")
            names.add(name.lower())
            lines += [checked_name(name), b": ", checked_value(value), b"\r\n"]
        if text and "content-type" not in names:
            lines.append(b"Content-Type: text/plain; charset=utf-8\r\n")
        self.lines = b"".join(lines)
        if len(self.lines) > OWN_LINES_BYTES:
            raise ValueError(f"more than {OWN_LINES_BYTES} bytes of fields")

    def __repr__(self):
        return f"Answer({self.status}, {self.body[:40]!r}, {self.headers!r})"
