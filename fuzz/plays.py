"""The first plays of the target `exchange`, by hand: one for each kind of exchange."""

from __future__ import annotations

from collections.abc import Iterable

from fuzz.script import SETTINGS, Say

__all__ = [
    "CHUNKED_OK",
    "CHUNKED_POST",
    "CLOSE_OK",
    "GET",
    "OK",
    "PLAYS",
    "POST",
    "SWITCHED",
    "TO_ENDPOINT",
    "UPGRADE",
    "Part",
    "written",
]

Part = bytes | Say
TAG = Say.TAG
TO_ENDPOINT = (Say.SETTLE, Say.ENDPOINT_NEWEST)


def _request(start: bytes, *fields: bytes, version: bytes = b"1.1", body: Iterable[Part] = ()) -> list[Part]:
    method, _, target = start.partition(b" ")
    head = b" HTTP/" + version + b"\r\nHost: h\r\n" + b"".join(line + b"\r\n" for line in fields) + b"\r\n"
    return [method + b" " + target, TAG, head, *body]


def _response(status: bytes, *fields: bytes, body: bytes = b"", version: bytes = b"1.1") -> list[Part]:
    head = b"\r\n" + b"".join(line + b"\r\n" for line in fields) + b"\r\n" + body
    return [b"HTTP/" + version + b" " + status + b"\r\nX-T: ", TAG, head]


GET = _request(b"GET /a")
POST = _request(b"POST /a", b"Content-Length: 5", body=[b"hello"])
CHUNKED_POST = _request(
    b"PUT /a",
    b"Transfer-Encoding: chunked",
    body=[b"005;x=y\r\nhello\r\n3\r\n", TAG, b"\r\n0\r\nx-sum: 1\r\nHost: b\r\n\r\n"],
)
UPGRADE = _request(b"GET /ws", b"Connection: upgrade", b"Upgrade: websocket")
OK = _response(b"200 OK", b"Content-Length: 5", body=b"hello")
CHUNKED_OK = _response(b"200 OK", b"Transfer-Encoding: chunked", body=b"5\r\nhello\r\n0\r\nx-sum: 1\r\n\r\n")
CLOSE_OK = _response(b"200 OK", body=b"until the end")
NONE = _response(b"204 No Content")
SWITCHED = _response(b"101 Switching Protocols", b"Upgrade: websocket", b"Connection: upgrade")
EXPECTING = _request(b"POST /a", b"Content-Length: 5", b"Expect: 100-continue")

_PLAYS: list[list[Part]] = [
    [*GET, *TO_ENDPOINT, *OK],
    [*GET, *GET, *POST, *TO_ENDPOINT, *OK, Say.SETTLE, *OK, Say.SETTLE, *NONE],
    [*GET, Say.CLIENT_1, *GET, *TO_ENDPOINT, *OK, Say.ENDPOINT_0, *OK, Say.CLIENT_0, *GET, *TO_ENDPOINT, *OK],
    [*CHUNKED_POST, *TO_ENDPOINT, *CHUNKED_OK, Say.CLIENT_0, *CHUNKED_POST, *TO_ENDPOINT, *OK],
    [Say.DRIP, *POST, *TO_ENDPOINT, *CHUNKED_OK, Say.CLIENT_0, *CHUNKED_POST, *TO_ENDPOINT, *OK],
    [*GET, *TO_ENDPOINT, *CLOSE_OK, Say.SETTLE, b"more", Say.END, Say.CLIENT_0, *GET, *TO_ENDPOINT, *OK],
    [*GET, *TO_ENDPOINT, *CLOSE_OK, Say.RESET],
    [*_request(b"GET /a", version=b"1.0"), *TO_ENDPOINT, *CHUNKED_OK],
    [*_request(b"GET /a", version=b"1.0"), *TO_ENDPOINT, *CLOSE_OK, Say.END],
    [*_request(b"GET /a", version=b"1.0"), *TO_ENDPOINT, *CLOSE_OK, Say.SETTLE, Say.RESET],
    [*_request(b"GET /a", b"Connection: keep-alive", version=b"1.0"), *TO_ENDPOINT, *OK, Say.CLIENT_0, *GET],
    [*_request(b"HEAD /a"), *GET, *TO_ENDPOINT, *_response(b"200 OK", b"Content-Length: 9"), Say.SETTLE, *OK],
    [*EXPECTING, *TO_ENDPOINT, b"HTTP/1.1 100 Continue\r\n\r\n", Say.CLIENT_0, b"hello", *TO_ENDPOINT, *OK],
    [*EXPECTING, *TO_ENDPOINT, *_response(b"403 No", b"Content-Length: 0"), Say.CLIENT_0, b"hello", *GET, *TO_ENDPOINT],
    [*GET, *TO_ENDPOINT, b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n", Say.SETTLE, *OK],
    [*UPGRADE, b"early", *TO_ENDPOINT, *SWITCHED, b"hi", Say.CLIENT_0, b"ho", Say.END,
     *TO_ENDPOINT, b"bye", Say.END],
    [*UPGRADE, *GET, *TO_ENDPOINT, *OK, Say.SETTLE, *OK],
    # The endpoint goes while idle, while it is asked, in its head, in its body.
    [*GET, *TO_ENDPOINT, *OK, Say.SETTLE, Say.END, Say.CLIENT_0, *GET, *TO_ENDPOINT, *OK],
    [*GET, *TO_ENDPOINT, *OK, Say.CLIENT_0, *GET, *TO_ENDPOINT, Say.RESET, *TO_ENDPOINT, *OK],
    [*GET, *TO_ENDPOINT, *OK, Say.CLIENT_0, *POST, *TO_ENDPOINT, Say.END, *TO_ENDPOINT, *OK],
    [*GET, *TO_ENDPOINT, b"HTTP/1.1 200 OK\r\nConte", Say.END],
    [*GET, *TO_ENDPOINT, *_response(b"200 OK", b"Content-Length: 9", body=b"hello"), Say.SETTLE, Say.END],
    # More than the response: nobody else may get it.
    [*GET, *TO_ENDPOINT, *OK, *OK, Say.CLIENT_0, *GET, *TO_ENDPOINT, *OK],
    [*GET, *TO_ENDPOINT, *OK, Say.SETTLE, *OK, Say.CLIENT_0, *GET, *TO_ENDPOINT, *OK],
    # It answers before the request is whole.
    [*_request(b"POST /a", b"Content-Length: 9000"), Say.MANY, *TO_ENDPOINT, *OK, Say.CLIENT_0, Say.MANY, Say.MANY,
     *GET],
    # The next request comes with the end of a body.
    [*_request(b"POST /a", b"Content-Length: 9"), b"hell", Say.SETTLE, b"o you", *GET, *TO_ENDPOINT, *OK, Say.SETTLE,
     *OK],
    [*_request(b"PUT /a", b"Transfer-Encoding: chunked"), b"5\r\nhe", Say.SETTLE, b"llo\r\n0\r\n\r\n", *POST,
     *GET, *TO_ENDPOINT, *OK, Say.SETTLE, *OK, Say.SETTLE, *OK],
    # A response ends before its request: the rest of the body is no request.
    [*_request(b"POST /a", b"Content-Length: 40"), *TO_ENDPOINT, *OK[:-1], b"\r\nContent-Length: 5\r\n\r\nhe",
     Say.SETTLE, b"llo", Say.SETTLE, Say.CLIENT_0, b"GET /b HTTP/1.1\r\nHost: h\r\n\r\n", Say.CLIENT_1,
     *GET, *TO_ENDPOINT, *OK],
    # Somebody does not read.
    [Say.SHUT_WINDOW, *GET, *GET, *TO_ENDPOINT, *_response(b"200 OK", b"Content-Length: 76000"), Say.MANY,
     Say.VERY_MANY, Say.SETTLE, Say.MANY, Say.CLIENT_0, Say.NARROW_WINDOW, Say.SETTLE, Say.OPEN_WINDOW, *TO_ENDPOINT,
     *OK],
    [Say.SHUT_WINDOW, *GET, *TO_ENDPOINT, *CHUNKED_OK, Say.CLIENT_0, Say.WAIT_61_S],
    [*_request(b"POST /a", b"Content-Length: 73000"), *TO_ENDPOINT, Say.NARROW_WINDOW, Say.CLIENT_0, Say.MANY,
     Say.VERY_MANY, *TO_ENDPOINT, Say.OPEN_WINDOW, Say.SETTLE, *OK],
    [*GET, *GET, *TO_ENDPOINT, Say.NARROW_WINDOW, *OK, Say.SETTLE, *OK, Say.OPEN_WINDOW, Say.SETTLE, *OK],
    [*GET, *GET, *TO_ENDPOINT, Say.SHUT_WINDOW, *OK, Say.SETTLE, *OK, Say.SETTLE, Say.END],
    [*_request(b"POST /a", b"Content-Length: 73000"), *TO_ENDPOINT, Say.NARROW_WINDOW, Say.CLIENT_0, Say.MANY,
     Say.VERY_MANY, *TO_ENDPOINT, Say.OPEN_WINDOW],
    # A head is cut, with more behind it than a small buffer holds: nothing, half a chunk, half a trailer section.
    [Say.NARROW_WINDOW, *GET, *TO_ENDPOINT, *NONE, Say.MANY, Say.MANY, Say.SETTLE, Say.CLIENT_0, Say.OPEN_WINDOW],
    [Say.NARROW_WINDOW, *GET, *TO_ENDPOINT, *_response(b"200 OK", b"Transfer-Encoding: chunked"), b"ffff\r\n",
     Say.MANY, Say.MANY, Say.SETTLE, Say.CLIENT_0, Say.OPEN_WINDOW],
    [Say.NARROW_WINDOW, *_request(b"GET /a", version=b"1.0"), *TO_ENDPOINT,
     *_response(b"200 OK", b"Transfer-Encoding: chunked"), b"0\r\nx-sum: ", Say.MANY, Say.MANY, Say.SETTLE,
     b"\r\n\r\n"],
    [Say.LITTLE_MEMORY, *GET, *TO_ENDPOINT, *OK[:-1], b"\r\nX-Long: ", *[Say.MANY] * 6,
     b"\r\nContent-Length: 2\r\n\r\nok"],
    # Somebody takes his time.
    [b"GET / HT", Say.WAIT_11_S, b"TP/1.1\r\n"],
    [*GET, Say.WAIT_61_S, *POST, *TO_ENDPOINT, *OK],
    [*_request(b"POST /a", b"Content-Length: 9"), b"hell", Say.WAIT_301_S],
    [*GET, *TO_ENDPOINT, *OK, Say.WAIT_61_S, Say.CLIENT_0, *GET],
    [*GET, *TO_ENDPOINT, b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", Say.WAIT_50_MS, b"he", Say.WAIT_301_S],
    [Say.DIAL_WAITS, *GET, Say.SETTLE, Say.ENDPOINT_NEWEST, Say.CONNECTED, Say.SETTLE, *OK, Say.CLIENT_0, *GET],
    [Say.DIAL_WAITS, *GET, Say.SETTLE, Say.ENDPOINT_NEWEST, Say.REFUSED, Say.SETTLE, Say.CLIENT_1, *GET, Say.WAIT_4_S],
    [Say.DIAL_FAILS, *GET, Say.DIAL_CONNECTS, *GET, *TO_ENDPOINT, *OK],
    [*GET, Say.END, *TO_ENDPOINT, *OK],
    [*GET, Say.SETTLE, Say.RESET, *TO_ENDPOINT, *OK],
    [*GET, Say.NO_MEMORY, *TO_ENDPOINT, *OK, Say.CLIENT_1, *GET],
    [*GET, Say.SETTLE, Say.DRAIN, *TO_ENDPOINT, *OK, Say.CLIENT_1, *GET],
    [b"GET /stats HTTP/1.1\r\nHost: h\r\n\r\n", *GET, *TO_ENDPOINT, *OK],
    [*GET, b"BAD\r\n\r\n", *TO_ENDPOINT, *OK],
    [b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", *GET],
    [*_request(b"GET http://h/a"), *TO_ENDPOINT, *OK],
    [*GET, *TO_ENDPOINT, *_response(b"200 OK", b"Content-Length: 5", b"Transfer-Encoding: chunked", body=b"hello")],
]  # fmt: skip


def written(setting: int, parts: list[Part]) -> bytes:
    """The input that is this play, with these settings."""
    return bytes([setting]) + b"".join(bytes([part]) if isinstance(part, Say) else part for part in parts)


PLAYS = [
    *(written(0, parts) for parts in _PLAYS),
    *(written(1 + number % (len(SETTINGS) - 1), parts) for number, parts in enumerate(_PLAYS)),
]
