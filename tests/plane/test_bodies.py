"""Bodies that Python reads, replaces, changes piece by piece, or makes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any, NamedTuple

import pytest

import weir
from tests.plane.scene import GET, Scene
from tests.plane.test_meeting import in_loop, turns

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


# -- whole -----------------------------------------------------------------------------------------------------------


@FRAMINGS
@pytest.mark.parametrize("step", [0, 1])
def test_a_response_body_is_replaced(framed: bytes, step: int) -> None:
    @weir.hook("response")
    def replace(response: weir.Response) -> None:
        response.body = b"instead of it"

    scene = Scene(hooks=[replace])
    client = scene.client(GET + GET)
    for _ in range(2):
        answer(scene, framed, step)
        sent = told(client.take_sent())
        assert sent.fields == {b"content-length": b"13"}
        assert sent.body == b"instead of it"
        assert sent.rest == b""
    scene.close()


@FRAMINGS
@pytest.mark.parametrize("step", [0, 1])
def test_a_response_body_is_read_and_goes_on(framed: bytes, step: int) -> None:
    seen: list[bytes] = []

    @weir.hook("response")
    async def reads(response: weir.Response) -> None:
        seen.append(await response.read())
        assert response.body == seen[-1]
        response.headers["X-Length"] = str(len(seen[-1]))

    async def play() -> None:
        scene = Scene(hooks=[reads])
        client = scene.client(GET + GET)
        for _ in range(2):
            answer(scene, framed, step)
            await turns(scene)
            sent = told(client.take_sent())
            assert sent.fields == {b"content-length": b"6", b"x-length": b"6"}
            assert sent.body == b"abcdef"
        assert seen == [b"abcdef", b"abcdef"]
        assert scene.dials == (2 if framed is CLOSED else 1)
        scene.close()

    in_loop(play)


# -- piece by piece --------------------------------------------------------------------------------------------------


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


@FRAMINGS
@TRANSFORMS
@pytest.mark.parametrize("step", [0, 1])
@pytest.mark.parametrize("old", [False, True])
def test_a_response_body_is_transformed(framed: bytes, function: Any, step: int, old: bool) -> None:
    @weir.hook("response")
    def transforms(response: weir.Response) -> None:
        response.transform(function)

    async def play() -> None:
        scene = Scene(hooks=[transforms])
        client = scene.client(OLD_GET if old else GET + GET)
        for _ in range(1 if old else 2):
            answer(scene, framed, step)
            await turns(scene)
            sent = told(client.take_sent())
            assert sent.body == b"ABCDEF."
            assert b"content-length" not in sent.fields
            assert sent.whole == (not old)
        if old:
            scene.end(client)
            assert client.is_closed
        scene.close()

    in_loop(play)
