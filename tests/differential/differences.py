"""Where another reader and weir differ, and why weir is right: the whole list.

A row matches what a reference made of a message that weir accepts. What no row matches is a finding, and the
test that meets it fails; each row has an example, and a test that the example is still read so: a row whose
reason is gone fails too.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace

from .readings import UNTIL_CLOSE, Outcome, Reading, Refusal, read_weir

__all__ = ["DIFFERENCES", "Difference", "explain", "matches"]

When = Callable[[Reading, bytes], bool]


@dataclass(frozen=True)
class Difference:
    """`reference` says `says` when `when` holds: a pattern of its refusal, "waits", or "" where it reads otherwise."""

    reference: str
    says: str
    when: When
    example: bytes
    why: str
    asked: bytes = b""
    passed_on: bool = False  # whether the reference still differs about what weir makes of it


def _lines(reading: Reading, data: bytes) -> list[bytes]:
    """The lines of the head as they came."""
    return data[: reading.head_bytes].lstrip(b"\r\n").split(b"\r\n")


def _framed_with(pattern: bytes) -> When:
    """When some line of a chunked body, as it came, begins with `pattern`."""

    def when(reading: Reading, data: bytes) -> bool:
        if reading.framing != ("chunked", 0):
            return False
        return bool(re.search(rb"(?:^|\r\n)" + pattern, data[reading.head_bytes : reading.end], re.I))

    return when


def _in_trailers(name: bytes) -> When:
    """When a field of the trailers has that name; some readers judge them before the last of their bytes is there."""

    def when(reading: Reading, data: bytes) -> bool:
        wholes: list[Outcome] = [reading]
        if reading.end is None:
            asked = b"GET" if reading.start[0].isdigit() else b""
            wholes = [read_weir(data + rest, asked) for rest in (b"\n", b"\r\n", b"\n\r\n", b"\r\n\r\n")]
        return any(key.lower() == name for one in wholes if isinstance(one, Reading) for key, _ in one.trailers)

    return when


def _coding_in_spaces(reading: Reading, data: bytes) -> bool:
    return any(re.match(rb"(?i)transfer-encoding:.*[ \t]$", line, re.S) for line in _lines(reading, data))


def _tokens(reading: Reading, name: bytes) -> set[bytes]:
    values = b",".join(value for key, value in reading.fields if key.lower() == name)
    return {token.strip().lower() for token in values.split(b",")} - {b""}


def _upgrade_with_body(reading: Reading, data: bytes) -> bool:
    return bool(_tokens(reading, b"upgrade")) and reading.framing != ("length", 0)


def _later_version(reading: Reading, data: bytes) -> bool:
    return bool(re.search(rb"(^HTTP/1\.[2-9] | HTTP/1\.[2-9]$)", _lines(reading, data)[0]))


def _interim_with_framing(reading: Reading, data: bytes) -> bool:
    return reading.start[0].startswith(b"1") and bool(
        _tokens(reading, b"transfer-encoding") | _tokens(reading, b"content-length")
    )


REQUEST = b"POST / HTTP/1.1\r\nHost: a\r\n"
CHUNKED = REQUEST + b"Transfer-Encoding: chunked\r\n\r\n"
# What llhttp knows and weir serves. The rest of its list (WebDAV, RTSP and so on) it takes or refuses as it likes.
METHODS = {b"GET", b"HEAD", b"POST", b"PUT", b"DELETE", b"OPTIONS", b"PATCH"}
BAD_METHOD = "Invalid method|after method|HTTP/2 Connection Preface|Expected (SOURCE|ICE)"

TRAILERS = (
    'RFC 9110 section 6.5.1: "Many fields cannot be processed outside the header section because their evaluation '
    'is necessary prior to receiving the content, such as those that describe message framing"; RFC 9112 section '
    '7.1.2: "A recipient that removes the chunked coding from a message MAY selectively retain or discard the '
    'received trailer fields." Framing was decided in the head; weir discards the field.'
)
EXTENSIONS = (
    'RFC 9112 section 7.1.1: "A recipient MUST ignore unrecognized chunk extensions." Weir drops all of them; what '
    "it bounds is their length, and what it refuses in them is control characters, so that none can hide a line "
    "end."
)
BAD_WHITE_SPACE = (
    'RFC 9112 section 7.1.1 has BWS before the ";" of an extension, and RFC 9110 section 5.6.3 of BWS: "A '
    'recipient MUST parse for such bad whitespace and remove it before interpreting the protocol element." It is '
    "not passed on."
)
ZEROS = (
    "RFC 9112 sections 6.2 and 7.1 are 1*DIGIT and 1*HEXDIG: leading zeros change nothing. Weir writes the number "
    "anew, without them; the head's limit and that of a chunk header bound how many there can be."
)
METHOD = (
    'RFC 9110 section 9.1: "method = token", and it is case-sensitive. Which methods exist is for the endpoint to say '
    "(section 15.6.2), so a proxy that knew all of them could not be upgraded last."
)
VERSION = (
    'RFC 9110 section 2.5: "A recipient that receives a message with a major version number that it implements and '
    "a minor version number higher than what it implements SHOULD process the message as if it was in the highest "
    'minor version within that major version". It goes on as HTTP/1.1.'
)
SPACES = (
    'RFC 9112 section 5: "field-line = field-name ":" OWS field-value OWS"; the white space is none of the value. '
    "Weir writes the field anew, without it."
)

DIFFERENCES = [
    Difference(
        "h11",
        "no request line received",
        lambda reading, data: data.startswith(b"\r\n"),
        b"\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
        'RFC 9112 section 2.2: "a server that is expecting to receive and parse a request-line SHOULD ignore at least '
        'one empty line (CRLF) received prior to the request-line." It is not passed on.',
    ),
    Difference(
        "h11",
        "bad Content-Length",
        lambda reading, _: any(len(value) > 20 for value in _tokens(reading, b"content-length")),
        REQUEST + b"Content-Length: 000000000000000000000\r\n\r\n",
        ZEROS,
    ),
    Difference(
        "h11", "illegal chunk header", _framed_with(rb"0[0-9a-f]{20,}"), CHUNKED + b"0" * 21 + b"\r\n\r\n", ZEROS
    ),
    Difference(
        "h11", "illegal chunk header", _framed_with(rb"[0-9a-f]+[ \t]+;"), CHUNKED + b"0 ;a\r\n\r\n", BAD_WHITE_SPACE
    ),
    Difference(
        "h11",
        "Transfer-Encoding",
        _in_trailers(b"transfer-encoding"),
        CHUNKED + b"0\r\nTransfer-Encoding: gzip\r\n\r\n",
        TRAILERS,
    ),
    Difference(
        "h11", "Content-Length", _in_trailers(b"content-length"), CHUNKED + b"0\r\nContent-Length: x\r\n\r\n", TRAILERS
    ),
    Difference(
        "llhttp",
        BAD_METHOD,
        lambda reading, _: reading.start[0] not in METHODS,
        b"get / HTTP/1.1\r\nHost: a\r\n\r\n",
        METHOD,
        passed_on=True,
    ),
    Difference(
        "llhttp",
        "waits",
        lambda reading, _: reading.start[0] == b"PRI",
        b"PRI / HTTP/1.0\r\n\r\n",
        METHOD + " To llhttp it is the beginning of HTTP/2's preface, which has HTTP/2.0 in it and is refused by weir.",
        passed_on=True,
    ),
    Difference("llhttp", "Invalid HTTP version", _later_version, b"GET / HTTP/1.2\r\nHost: a\r\n\r\n", VERSION),
    Difference("llhttp", "Invalid HTTP version", _later_version, b"HTTP/1.2 200 OK\r\n\r\n", VERSION, asked=b"GET"),
    Difference(
        "llhttp",
        "Transfer-Encoding",
        _in_trailers(b"transfer-encoding"),
        CHUNKED + b"0\r\nTransfer-Encoding: chunked\r\n\r\n",
        TRAILERS,
    ),
    Difference(
        "llhttp",
        "Content-Length",
        _in_trailers(b"content-length"),
        CHUNKED + b"0\r\nContent-Length: 3\r\n\r\n",
        TRAILERS,
    ),
    Difference(
        "llhttp",
        "Invalid character in chunk size",
        _framed_with(rb"[0-9a-f]+[ \t]+;"),
        CHUNKED + b"0 ;a\r\n\r\n",
        BAD_WHITE_SPACE,
    ),
    Difference(
        "llhttp", "in chunk extensions", _framed_with(rb"[0-9a-f]+[ \t]*;"), CHUNKED + b"0;\r\n\r\n", EXTENSIONS
    ),
    Difference(
        "llhttp",
        "invalid `Transfer-Encoding`",
        _coding_in_spaces,
        REQUEST + b"Transfer-Encoding: chunked\t\r\n\r\n0\r\n\r\n",
        SPACES,
    ),
    Difference(
        "llhttp",
        "",
        _coding_in_spaces,
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\t\r\n\r\n0\r\n\r\n",
        SPACES,
        asked=b"GET",
    ),
    Difference(
        "llhttp",
        "",
        _upgrade_with_body,
        REQUEST + b"Connection: upgrade\r\nUpgrade: x\r\nContent-Length: 3\r\n\r\nabc",
        'RFC 9110 section 7.8: "A client cannot begin using an upgraded protocol on the connection until it has '
        'completely sent the request message". httptools takes the body for the other protocol already, and '
        "uvicorn hands on a request without one, so weir does not pass on the Upgrade of a request with a body.",
    ),
    Difference(
        "llhttp",
        "",
        _interim_with_framing,
        b"HTTP/1.1 199 x\r\nContent-Length: 3\r\n\r\nabc",
        'RFC 9112 section 6.3: "Any response to a HEAD request and any response with a 1xx (Informational), 204 '
        "(No Content), or 304 (Not Modified) status code is always terminated by the first empty line after the "
        'header fields, regardless of the header fields present in the message". Weir does not pass these fields '
        "on.",
        asked=b"GET",
    ),
    Difference(
        "llhttp",
        ".",
        _interim_with_framing,
        b"HTTP/1.1 199 x\r\nTransfer-Encoding: chunked\r\n\r\nx",
        "As the row before: what llhttp refuses is behind the end of the message.",
        asked=b"GET",
    ),
]


def _agree(name: str, weir: Reading, other: Reading) -> bool:
    """Whether two readers took the message to mean the same."""
    if name == "llhttp":
        # It does not tell the framing, nor was it told that the connection has closed.
        end = UNTIL_CLOSE if weir.end == UNTIL_CLOSE and other.end is None else other.end
        return weir == replace(other, framing=weir.framing, end=end)
    # h11 writes the name of the coding in lower case.
    fields = tuple((key, value.lower() if key.lower() == b"transfer-encoding" else value) for key, value in weir.fields)
    return replace(weir, fields=fields) == other


def matches(row: Difference, weir: Outcome, other: Outcome, data: bytes) -> bool:
    """Whether the row is about this."""
    if not isinstance(weir, Reading) or not row.when(weir, data):
        return False
    if other is None:
        return row.says == "waits"
    if isinstance(other, Refusal):
        return bool(row.says and re.search(row.says, other.why))
    return isinstance(other, Reading) and not row.says and not _agree(row.reference, weir, other)


def explain(name: str, data: bytes, weir: Outcome, other: Outcome, passed_on: bool = False) -> str | None:
    """What is wrong between weir's reading and another's; None when they agree or a row says why not.

    `passed_on`: `data` is what weir sends, and only the rows that hold for that count.
    """
    if isinstance(weir, Refusal):
        return None
    if weir is None:
        return f"weir waits, {name} reads {other}" if isinstance(other, Reading) else None
    if isinstance(other, Reading) and _agree(name, weir, other):
        return None
    rows = [row for row in DIFFERENCES if row.reference == name and (row.passed_on or not passed_on)]
    if any(matches(row, weir, other, data) for row in rows):
        return None
    return f"{name}: {other}"
