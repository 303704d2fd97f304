"""One message, read by weir and by the two parsers that most Python servers and clients are built on.

Each reader takes the bytes of a connection and says what the first message on it is: a `Reading`, or a
`Refusal` in its own words, or None while the head is not complete. The readers share nothing but these
types, so that two of them cannot be wrong together.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import h11
import httptools
from h11._connection import _body_framing

from weir.plane.framing import BodyKind
from weir.plane.head import Method
from weir.plane.parsers import (
    ParsedHead,
    Refused,
    check,
    parse_fields,
    parse_request,
    parse_response,
    rechunk,
    request_framing,
    response_framing,
)
from weir.reasons import Reason

__all__ = ["REFERENCES", "UNTIL_CLOSE", "Fields", "Outcome", "Reading", "Refusal", "read_weir"]

Fields = tuple[tuple[bytes, bytes], ...]
Framing = tuple[str, int]  # ("length", bytes), ("chunked", 0) or ("close", 0)

UNTIL_CLOSE = -1  # as `end`: the body goes on until its sender closes


@dataclass(frozen=True)
class Reading:
    """What a message says. `end` is where the next one begins; None: the body is not complete.

    `framing` is None where a reader cannot tell; it shows in `body` and `end` all the same.
    """

    start: tuple[bytes, bytes]  # method and target, or status and reason phrase
    fields: Fields
    head_bytes: int
    framing: Framing | None
    body: bytes
    end: int | None
    trailers: Fields


@dataclass(frozen=True)
class Refusal:
    """Why a message was refused, in the reader's own words."""

    why: str


Outcome = Reading | Refusal | None


# -- weir


def read_weir(data: bytes, asked: bytes = b"", judged: bool = True) -> Outcome:
    """As weir reads it: a request, or the response to a request with the method `asked`.

    Unless it is `judged`, a request is only read: Host, Connection and Expect are not looked at.
    """
    try:
        head = parse_response(data) if asked else parse_request(data)
        if head is None:
            return None
        if asked:
            method = Method.M_HEAD if asked == b"HEAD" else Method.M_GET
            kind, length, _, _ = response_framing(data, method)
        else:
            kind, length, _, _ = request_framing(data)
            if judged:
                check(data)
        return _weir_body(data, head, bool(asked), kind, length)
    except Refused as refused:
        return Refusal(Reason(refused.reason).name.lower())


def _weir_body(data: bytes, head: ParsedHead, response: bool, kind: int, length: int) -> Reading:
    rest = data[head.length :]
    framing, body = ("length", 0), b""
    trailers: Fields = ()
    end: int | None = head.length
    if kind == BodyKind.B_CHUNKED:
        framing = ("chunked", 0)
        body, consumed, _, complete = rechunk(rest, decode=True)
        end = head.length + consumed if complete else None
        trailers = _weir_trailers(rest[:consumed]) if complete else ()
    elif kind == BodyKind.B_CLOSE:
        framing, body, end = ("close", 0), rest, UNTIL_CLOSE
    elif kind == BodyKind.B_LENGTH:
        framing, body = ("length", length), rest[:length]
        end = head.length + length if len(body) == length else None
    start = (b"%d" % head.status, head.reason_phrase) if response else (head.method_name, head.target)
    return Reading(start, tuple(head.fields), head.length, framing, body, end, trailers)


def _weir_trailers(framed: bytes) -> Fields:
    """The trailer section of a complete body: what follows the first line end behind which it could be empty."""
    at = 0
    while (at := framed.find(b"\r\n", at) + 2) > 1:
        try:
            complete = rechunk(framed[:at] + b"\r\n")[3]
        except Refused:
            continue
        if complete:
            section = parse_fields(framed[at:])
            assert section is not None
            assert at + section.length == len(framed)
            return tuple(section.fields)
    raise AssertionError(f"no trailer section in {framed!r}")


# -- h11


def read_h11(data: bytes, asked: bytes = b"") -> Outcome:
    """As h11 reads it."""
    connection = h11.Connection(h11.CLIENT if asked else h11.SERVER, max_incomplete_event_size=1 << 20)
    if asked:
        connection.send(h11.Request(method=asked, target="/", headers=[("Host", "a")]))
        connection.send(h11.EndOfMessage())
    try:
        connection.receive_data(data)
        head = connection.next_event()
        if not isinstance(head, h11.Request | h11.Response | h11.InformationalResponse):
            return None
        return _h11_body(connection, data, head, asked)
    except (h11.RemoteProtocolError, h11.LocalProtocolError) as error:
        return Refusal(str(error))


def _h11_body(
    connection: h11.Connection, data: bytes, head: h11.Request | h11.Response | h11.InformationalResponse, asked: bytes
) -> Reading:
    head_bytes = len(data) - len(connection.trailing_data[0])
    body = b""
    trailers: Fields = ()
    end: int | None = None
    if isinstance(head, h11.InformationalResponse):
        framing, end = ("length", 0), head_bytes
    else:
        kind, arguments = _body_framing(asked or head.method if isinstance(head, h11.Request) else asked, head)
        framing = ("close" if kind == "http/1.0" else kind.removeprefix("content-"), *(arguments or (0,)))
    while end is None:
        event = connection.next_event()
        if isinstance(event, h11.Data):
            body += bytes(event.data)
        elif isinstance(event, h11.EndOfMessage):
            end = len(data) - len(connection.trailing_data[0])
            trailers = tuple(event.headers.raw_items())
        else:
            break
    if framing[0] == "close":
        end = UNTIL_CLOSE
    start = (head.method, head.target) if isinstance(head, h11.Request) else _h11_status(head)
    return Reading(start, tuple(head.headers.raw_items()), head_bytes, framing, body, end, trailers)


def _h11_status(head: h11.Response | h11.InformationalResponse) -> tuple[bytes, bytes]:
    return b"%d" % head.status_code, head.reason.strip()


# -- llhttp


class _Listener:
    """What httptools calls back. Byte by byte, so that the number of bytes fed says where each part ended."""

    def __init__(self) -> None:
        self.fed = 0
        self.target = self.phrase = self.body = b""
        self.fields: list[tuple[bytes, bytes]] = []
        self.head_bytes = 0
        self.head_fields = 0
        self.end: int | None = None

    def on_url(self, url: bytes) -> None:
        self.target += url

    def on_status(self, phrase: bytes) -> None:
        self.phrase += phrase

    def on_header(self, name: bytes, value: bytes) -> None:
        self.fields.append((name, value.rstrip(b" \t")))

    def on_headers_complete(self) -> None:
        self.head_bytes, self.head_fields = self.fed, len(self.fields)

    def on_body(self, body: bytes) -> None:
        self.body += body

    def on_message_complete(self) -> None:
        self.end = self.fed


def read_llhttp(data: bytes, asked: bytes = b"") -> Outcome:
    """As llhttp reads it, with none of its leniencies."""
    heard = _Listener()
    parser = httptools.HttpResponseParser(heard) if asked else httptools.HttpRequestParser(heard)
    try:
        for at in range(len(data)):
            heard.fed = at + 1
            parser.feed_data(data[at : at + 1])
            if asked == b"HEAD" and heard.head_bytes:
                heard.end = heard.fed  # it cannot be told that the response is to HEAD
            if heard.end is not None:
                break
    except httptools.HttpParserUpgrade:
        pass  # the message is complete, and says that another protocol may follow
    except httptools.HttpParserError as error:
        return Refusal(str(error))
    if not heard.head_bytes:
        return None
    if isinstance(parser, httptools.HttpResponseParser):
        start = (b"%d" % parser.get_status_code(), heard.phrase.strip())
    else:
        start = (parser.get_method(), heard.target)
    head = heard.fields[: heard.head_fields]
    trailers = [] if heard.end is None else heard.fields[heard.head_fields :]  # it tells them one by one, as they come
    return Reading(start, tuple(head), heard.head_bytes, None, heard.body, heard.end, tuple(trailers))


REFERENCES: dict[str, Callable[[bytes, bytes], Outcome]] = {"h11": read_h11, "llhttp": read_llhttp}
