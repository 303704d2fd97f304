"""Clients that share no code where it counts, each asking for two things on one connection if it stays open."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
from collections.abc import Callable
from dataclasses import dataclass

import aiohttp
import h11
import httptools
import httpx

from tests.e2e.peers import dial
from tests.e2e.wire import Wire

__all__ = ["CLIENTS", "PATHS", "Answer"]

PATHS = ("/case", "/marker")

Address = tuple[str, int]
Fields = list[tuple[bytes, bytes]]


@dataclass
class Answer:
    """A response as a client understood it: `whole` unless it was told that it is cut. Status 0: there was none."""

    status: int = 0
    fields: tuple[tuple[str, str], ...] = ()
    body: bytes = b""
    whole: bool = False


def _answer(status: int, fields: Fields, body: bytes = b"", whole: bool = True) -> Answer:
    text = [(name.decode("latin-1").lower(), value.decode("latin-1").strip(" \t")) for name, value in fields]
    # The running total differs from request to request.
    return Answer(status, tuple(pair for pair in text if pair[0] != "x-bytes"), body if whole else b"", whole)


def _request(method: str, path: str) -> bytes:
    return f"{method} {path} HTTP/1.1\r\nHost: test\r\n\r\n".encode()


def _over_wires(read: Callable[[Wire, str], tuple[Answer, bool]], address: Address, method: str) -> list[Answer]:
    """Asks for both over one connection, or over two when `read` says that the first cannot be used again."""
    answers: list[Answer] = []
    wire = None
    for path, asked in zip(PATHS, (method, "GET"), strict=True):
        wire = wire or dial(address, 4)
        wire.send(_request(asked, path))
        answer, again = read(wire, asked)
        answers.append(answer)
        if not again:
            wire.close()
            wire = None
    if wire is not None:
        wire.close()
    return answers


def _read_h11(wire: Wire, method: str) -> tuple[Answer, bool]:
    connection = h11.Connection(h11.CLIENT)
    connection.send(h11.Request(method=method, target="/", headers=[("Host", "test")]))
    connection.send(h11.EndOfMessage())
    status, body = 0, b""
    fields: Fields = []
    while True:
        try:
            event = connection.next_event()
            if event is h11.NEED_DATA:
                wire.fill()
                connection.receive_data(wire.take(len(wire.buffer)))
        except (h11.RemoteProtocolError, ConnectionError):
            return _answer(status, fields, whole=False), False
        if event is h11.NEED_DATA:
            continue
        if isinstance(event, h11.Response):
            status, fields = event.status_code, event.headers.raw_items()
        elif isinstance(event, h11.Data):
            body += bytes(event.data)
        elif isinstance(event, h11.EndOfMessage):
            assert connection.trailing_data[0] == b"", "bytes behind the response"
            return _answer(status, fields, body), connection.their_state is h11.DONE
        else:
            assert isinstance(event, h11.InformationalResponse), event


class _Heard:
    def __init__(self) -> None:
        self.fields: Fields = []
        self.head_fields = 0
        self.body = b""
        self.done = False

    def on_header(self, name: bytes, value: bytes) -> None:
        self.fields.append((name, value))

    def on_headers_complete(self) -> None:
        self.head_fields = len(self.fields)

    def on_body(self, body: bytes) -> None:
        self.body += body

    def on_message_complete(self) -> None:
        self.done = True


def _read_httptools(wire: Wire, method: str) -> tuple[Answer, bool]:
    while True:
        heard = _Heard()
        parser = httptools.HttpResponseParser(heard)
        while not heard.done:
            if not wire.buffer:
                try:
                    alive = wire.fill()
                except ConnectionError:
                    alive = False
                if not alive:
                    status = parser.get_status_code()
                    return _answer(status, heard.fields[: heard.head_fields], whole=False), False
            # Byte by byte: it reads on into the next message otherwise, and does not tell where that begins.
            parser.feed_data(wire.take(1))
            if method == "HEAD" and heard.head_fields:
                break  # it cannot be told that there is no body
        if parser.get_status_code() >= 200:
            fields = heard.fields[: heard.head_fields]
            return _answer(parser.get_status_code(), fields, heard.body), parser.should_keep_alive()


def with_h11(address: Address, method: str) -> list[Answer]:
    return _over_wires(_read_h11, address, method)


def with_httptools(address: Address, method: str) -> list[Answer]:
    return _over_wires(_read_httptools, address, method)


def with_http_client(address: Address, method: str) -> list[Answer]:
    answers = []
    connection = http.client.HTTPConnection(*address, timeout=4)
    with contextlib.closing(connection):
        for path, asked in zip(PATHS, (method, "GET"), strict=True):
            connection.request(asked, path)
            try:
                response = connection.getresponse()
            except (http.client.HTTPException, ConnectionError):
                connection.close()
                answers.append(Answer())
                continue
            fields = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in response.getheaders()]
            try:
                answers.append(_answer(response.status, fields, response.read()))
            except (http.client.HTTPException, ConnectionError, OverflowError):  # it asks for all of it at once
                connection.close()
                answers.append(_answer(response.status, fields, whole=False))
    return answers


def with_aiohttp(address: Address, method: str) -> list[Answer]:
    async def ask() -> list[Answer]:
        answers = []
        async with aiohttp.ClientSession(auto_decompress=False) as session:
            for path, asked in zip(PATHS, (method, "GET"), strict=True):
                try:
                    async with session.request(asked, f"http://{address[0]}:{address[1]}{path}") as response:
                        fields = list(response.raw_headers)
                        try:
                            answers.append(_answer(response.status, fields, await response.read()))
                        except aiohttp.ClientError:
                            answers.append(_answer(response.status, fields, whole=False))
                except aiohttp.ClientError:
                    answers.append(Answer())
        return answers

    return asyncio.run(ask())


def with_httpx(address: Address, method: str) -> list[Answer]:
    answers = []
    with httpx.Client(verify=False, trust_env=False, timeout=4) as client:
        for path, asked in zip(PATHS, (method, "GET"), strict=True):
            try:
                with client.stream(asked, f"http://{address[0]}:{address[1]}{path}") as response:
                    try:
                        body = b"".join(response.iter_raw())
                        answers.append(_answer(response.status_code, list(response.headers.raw), body))
                    except httpx.TransportError:
                        answers.append(_answer(response.status_code, list(response.headers.raw), whole=False))
            except httpx.TransportError:
                answers.append(Answer())
    return answers


CLIENTS: dict[str, Callable[[Address, str], list[Answer]]] = {
    "h11": with_h11,
    "httptools": with_httptools,
    "http.client": with_http_client,
    "aiohttp": with_aiohttp,
    "httpx": with_httpx,
}
