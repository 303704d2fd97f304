"""What the parties to a play heard, read by h11; and what they said, read by weir's parsers.

Each side of weir is so compared with another implementation: h11 reads what weir wrote. What weir was told is read by
its own parsers, which other targets compare with the grammar, and by the plain decoder of `fuzz.reading`.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import h11

from fuzz.reading import dechunk
from weir.plane.framing import BodyKind
from weir.plane.head import Method
from weir.plane.parsers import Refused, parse_request, parse_response, request_framing, response_framing

__all__ = [
    "Answers",
    "Request",
    "Response",
    "carried_by",
    "is_told",
    "requests_seen",
    "requests_told",
    "responses_seen",
]

MOST_BYTES = 1 << 22


@dataclass
class Request:
    """A request, as far as it came."""

    method: bytes = b""
    target: bytes = b""
    fields: list[tuple[bytes, bytes]] = field(default_factory=list)
    body: bytes = b""
    has_head: bool = False
    complete: bool = False
    after: bytes = b""  # what came behind it, if it is complete

    @property
    def upgrades(self) -> bool:
        return any(name == b"upgrade" for name, _ in self.fields)


@dataclass
class Response:
    """A final response, as far as it came."""

    status: int = 0
    fields: list[tuple[bytes, bytes]] = field(default_factory=list)
    body: bytes = b""
    complete: bool = False
    until_close: bool = False
    rest: bytes = b""  # of one that began a tunnel: what came behind its head

    def field(self, name: bytes) -> bytes | None:
        return next((value for known, value in self.fields if known == name), None)


@dataclass
class Heard:
    """The requests of one connection, and what h11 says of what is none."""

    requests: list[Request] = field(default_factory=list)
    fault: str = ""


def _next(connection: h11.Connection, closed: bool) -> h11.Event | type[h11.NEED_DATA] | type[h11.PAUSED]:
    """The next part of a message. What is cut by the end of the connection is as if more were to come."""
    event = connection.next_event()
    if event is h11.NEED_DATA and closed:
        connection.receive_data(b"")
        try:
            return connection.next_event()
        except h11.RemoteProtocolError:
            return h11.NEED_DATA
    return event


def _body(connection: h11.Connection, into: Request | Response, closed: bool) -> bytes:
    """Takes down the body that follows a head; returns what stands behind the message."""
    while True:
        event = _next(connection, closed)
        if isinstance(event, h11.Data):
            into.body += bytes(event.data)
        elif isinstance(event, h11.EndOfMessage):
            into.complete = True
            return connection.trailing_data[0]
        else:
            return b""


def requests_seen(data: bytes) -> Heard:
    """The requests that an endpoint reads in what it was sent."""
    heard = Heard()
    while data:
        connection = h11.Connection(h11.SERVER, MOST_BYTES)
        connection.receive_data(data)
        request = Request()
        try:
            event = connection.next_event()
            if not isinstance(event, h11.Request):
                heard.requests.append(request)
                return heard
            request = Request(event.method, event.target, list(event.headers), has_head=True)
            heard.requests.append(request)
            data = request.after = _body(connection, request, closed=False)
        except h11.RemoteProtocolError as error:
            heard.fault = str(error)
            return heard
        if not request.complete:
            return heard
    return heard


def requests_told(data: bytes) -> list[Request]:
    """The requests in what a client said, up to the first that weir's parsers refuse or that is not all there."""
    requests: list[Request] = []
    while data:
        try:
            head = parse_request(data)
            framing = request_framing(data) if head is not None else None
        except Refused:
            return requests
        if head is None or framing is None:
            return requests
        fields = [(name.lower(), value) for name, value in head.fields]
        request = Request(head.method_name, head.target, fields, has_head=True)
        requests.append(request)
        data = data[head.length :]
        if framing[0] == BodyKind.B_CHUNKED:
            chunks = dechunk(data)
            request.body, request.complete, data = chunks.payload, chunks.complete, data[chunks.length :]
        else:
            request.body, request.complete, data = data[: framing[1]], len(data) >= framing[1], data[framing[1] :]
        if not request.complete:
            return requests
        request.after = data
    return requests


def responses_seen(data: bytes, requests: list[Request]) -> tuple[list[Response], str]:
    """The final responses that a client reads until its connection ends, and what h11 says of what is none.

    What comes when there is no request to answer (an answer to half a head) is read as an answer to GET.
    """
    responses: list[Response] = []
    number = 0
    while data:
        request = requests[number] if number < len(requests) else Request(b"GET", b"/")
        number += 1
        connection = h11.Connection(h11.CLIENT, MOST_BYTES)
        # What h11 has to know of the request: its method, and whether it asked for an upgrade.
        fields = [(b"host", b"h")] + ([(b"upgrade", b"x"), (b"connection", b"upgrade")] if request.upgrades else [])
        connection.send(h11.Request(method=request.method, target=b"/", headers=fields))
        connection.send(h11.EndOfMessage())
        connection.receive_data(data)
        try:
            event = _next(connection, closed=True)
            while isinstance(event, h11.InformationalResponse) and event.status_code != 101:
                event = _next(connection, closed=True)
            if isinstance(event, h11.InformationalResponse):
                responses.append(Response(101, list(event.headers), rest=connection.trailing_data[0]))
                return responses, ""
            if not isinstance(event, h11.Response):
                return responses, ""
            response = Response(event.status_code, list(event.headers))
            response.until_close = (
                request.method != b"HEAD"
                and event.status_code not in (204, 304)
                and response.field(b"content-length") is None
                and response.field(b"transfer-encoding") is None
            )
            responses.append(response)
            data = _body(connection, response, closed=True)
        except h11.RemoteProtocolError as error:
            return responses, str(error)
        if not response.complete:
            return responses, ""
    return responses, ""


def _method(name: bytes) -> Method:
    return Method.M_HEAD if name == b"HEAD" else Method.M_GET


def _members(fields: list[tuple[bytes, bytes]], name: bytes) -> list[bytes]:
    """What a list has, without parameters, in lower case."""
    lists = [value for known, value in fields if known.lower() == name]
    found = [member.partition(b";")[0].strip(b" \t").lower() for value in lists for member in value.split(b",")]
    return [member for member in found if member]


def _switches(request: Request, fields: list[tuple[bytes, bytes]]) -> bool:
    """Whether a 101 switches to what was asked for."""
    said = _members(fields, b"upgrade")
    asked = _members(request.fields, b"upgrade")
    return bool(said) and set(said) <= set(asked) and b"upgrade" in _members(fields, b"connection")


def _responses_told(data: bytes, requests: list[Request], ended: bool) -> list[Response]:
    """The final responses in what an endpoint said to some requests, up to the first that is not all there."""
    responses: list[Response] = []
    for request in requests:
        while True:
            try:
                head = parse_response(data)
                framing = None if head is None else response_framing(data, _method(request.method), request.upgrades)
            except Refused:
                return responses
            if head is None or framing is None or (head.status == 101 and not _switches(request, head.fields)):
                return responses
            data = data[head.length :]
            if head.status >= 200 or head.status == 101:
                break
        response = Response(head.status, [(name.lower(), value) for name, value in head.fields])
        responses.append(response)
        kind, length = framing[:2]
        if kind == BodyKind.B_TUNNEL:
            response.rest = data
            return responses
        if kind == BodyKind.B_NONE:
            response.complete = True
        elif kind == BodyKind.B_CHUNKED:
            chunks = dechunk(data)
            response.body, response.complete, data = chunks.payload, chunks.complete, data[chunks.length :]
        elif kind == BodyKind.B_CLOSE:
            response.body, response.complete, response.until_close = data, ended, True
        else:
            response.body, response.complete, data = data[:length], len(data) >= length, data[length:]
        if not response.complete or response.until_close:
            return responses
    return responses


@dataclass
class Answers:
    """What one endpoint's connection carried: the requests that it read, and its answers to them."""

    requests: list[Request] = field(default_factory=list)
    responses: list[Response] = field(default_factory=list)


def carried_by(said: bytearray, heard: bytearray, ended: bool, narrow: bool) -> Answers:
    """Reads both directions of an endpoint's connection; after a 101 they are a tunnel's.

    Of a connection whose window is `narrow` one more request may be on its way, which the endpoint has not read.
    """
    seen = requests_seen(bytes(heard))
    if narrow and (not seen.requests or seen.requests[-1].complete):
        seen.requests.append(Request())
    responses = _responses_told(bytes(said), seen.requests, ended)
    if responses and responses[-1].status == 101:
        return Answers(seen.requests[: len(responses)], responses)
    assert not seen.fault, f"an endpoint was sent what is no request: {seen.fault}"
    return Answers(seen.requests, responses)


def _same_target(told: bytes, seen: bytes) -> bool:
    """An absolute form goes on in origin form."""
    if told == seen:
        return True
    return told[:4].lower() == b"http" and (told.endswith(seen) or seen[:1] in (b"/", b"*"))


def is_told(seen: Request, told: Request) -> bool:
    """Whether what an endpoint read is, as far as it came, what a client said. (A tag is part of the target.)"""
    return (
        seen.method == told.method
        and _same_target(told.target, seen.target)
        and (seen.body == told.body if seen.complete else told.body.startswith(seen.body))
        and (told.complete or not seen.complete)
    )
