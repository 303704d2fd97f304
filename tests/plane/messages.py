"""What tests of bodies have in common: messages, how they are read again, and functions that bodies go through."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any, NamedTuple

import pytest

from tests.plane.scene import GET, Scene
from tests.plane.test_meeting import turns

POST = b"POST /a HTTP/1.1\r\nHost: h\r\nContent-Length: 6\r\n\r\nabcdef"
CHUNKED_POST = b"POST /a HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n3\r\ndef\r\n0\r\n\r\n"
OLD_GET = GET.replace(b"1.1", b"1.0")

# The same body, framed in each way.
LENGTH = b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nabcdef"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n4\r\ncdef\r\n0\r\n\r\n"
CLOSED = b"HTTP/1.1 200 OK\r\n\r\nabcdef"
FRAMINGS = pytest.mark.parametrize("framed", [LENGTH, CHUNKED, CLOSED], ids=["length", "chunked", "closed"])


class Told(NamedTuple):
    """A message as it was sent."""

    first: bytes
    fields: dict[bytes, bytes]
    body: bytes
    whole: bool
    rest: bytes


def told(sent: bytes, *, bare: bool = False) -> Told:
    """Reads one message; `bare`: it has no body."""
    head, _, rest = sent.partition(b"\r\n\r\n")
    first, *lines = head.split(b"\r\n")
    fields = {name.lower(): value for name, _, value in (line.partition(b": ") for line in lines)}
    if bare:
        return Told(first, fields, b"", True, rest)
    if b"content-length" in fields:
        n = int(fields[b"content-length"])
        return Told(first, fields, rest[:n], len(rest) >= n, rest[n:])
    if b"transfer-encoding" not in fields:
        return Told(first, fields, rest, False, b"")
    body = b""
    while b"\r\n" in rest:
        size, _, rest = rest.partition(b"\r\n")
        n = int(size, 16)
        if n == 0:
            return Told(first, fields, body, rest.startswith(b"\r\n"), rest[2:])
        body += rest[:n]
        if len(rest) < n + 2:
            break
        assert rest[n : n + 2] == b"\r\n"
        rest = rest[n + 2 :]
    return Told(first, fields, body, False, b"")


def answer(scene: Scene, response: bytes, step: int = 0) -> None:
    """The endpoint sends a response, whole or in steps; one that has no length ends by the close."""
    endpoint = scene.endpoint()
    for at in range(0, len(response), step or len(response)):
        scene.send(endpoint, response[at : at + (step or len(response))])
    if b"Content-Length" not in response and b"chunked" not in response:
        scene.end(endpoint)


async def ask(scene: Scene, data: bytes, step: int) -> Any:
    """A client sends `data`, whole or in steps."""
    client = scene.client()
    for at in range(0, len(data), step or len(data)):
        scene.send(client, data[at : at + (step or len(data))])
        await turns(scene, 3)
    await turns(scene)
    return client


BODIES = pytest.mark.parametrize("post", [POST, CHUNKED_POST], ids=["length", "chunked"])


def upper(piece: bytes) -> bytes:
    """A plain function."""
    return piece.upper() if piece else b"."


async def upper_of(pieces: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """An async generator."""
    async for piece in pieces:
        await asyncio.sleep(0)
        yield piece.upper()
    yield b"."


TRANSFORMS = pytest.mark.parametrize("function", [upper, upper_of], ids=["plain", "generator"])


async def made() -> AsyncIterator[bytes]:
    """An answer's pieces."""
    for piece in (b"one ", b"", b"two ", b"three"):
        await asyncio.sleep(0)
        yield piece
