"""Bodies that pass through Python: how much of them is held, how soon they go on, and that any cut gives the same."""

from __future__ import annotations

import asyncio
import gc
import os
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import weir
import weir.hooks
from tests.plane.messages import CLOSED, LENGTH, TRANSFORMS, made, told, upper, upper_of
from tests.plane.scene import GET, Scene
from tests.plane.test_meeting import in_loop, turns

# How many requests must leave nothing behind; `make leaks` plays a million.
REQUESTS = int(os.environ.get("WEIR_LEAK_REQUESTS", "300"))


@TRANSFORMS
def test_a_piece_goes_on_at_once(function: Any) -> None:
    @weir.hook("response")
    def transforms(response: weir.Response) -> None:
        response.transform(function)

    async def play() -> None:
        scene = Scene(hooks=[transforms])
        client = scene.client(GET)
        scene.send(scene.endpoint(), CLOSED[:-6])
        await turns(scene)
        scene.wait_ms(10)
        client.take_sent()
        for piece in (b"data: a\n\n", b"data: b\n\n"):
            scene.send(scene.endpoint(), piece)
            await turns(scene)
            assert client.take_sent() == b"%x\r\n%s\r\n" % (len(piece), piece.upper())
        scene.close()
        await asyncio.sleep(0)
        await asyncio.sleep(0)

    in_loop(play)


@TRANSFORMS
@pytest.mark.parametrize("of", ["request", "response"])
def test_a_large_body_is_never_here_in_whole(function: Any, of: str) -> None:
    size, step = 10 * 1024 * 1024, 512 * 1024

    @weir.hook("request" if of == "request" else "response")
    def transforms(message: Any) -> None:
        message.transform(function)

    async def play() -> None:
        scene = Scene(hooks=[transforms])
        head = b"POST /a HTTP/1.1\r\nHost: h\r\n" if of == "request" else b"HTTP/1.1 200 OK\r\n"
        client = scene.client(b"" if of == "request" else GET)
        sender = client if of == "request" else scene.endpoint()
        scene.send(sender, head + b"Content-Length: %d\r\n\r\n" % size)
        await turns(scene)
        receiver = scene.endpoint() if of == "request" else client
        receiver.room = 1000
        for _ in range(size // step):
            scene.send(sender, bytes(step))
            await turns(scene, 10)
        # What is not read the kernel of the sender would hold.
        assert scene.plane.ledger()["buffer_bytes"] <= 1024 * 1024
        receiver.room = -1
        got = 0
        for _ in range(1000):
            await turns(scene, 4)
            got += len(receiver.take_sent())
            if got > size:
                break
        assert got > size
        scene.close()

    in_loop(play)


CUTS = st.lists(st.integers(1, 40), min_size=1, max_size=12)


@given(content=st.binary(max_size=200), cuts=CUTS, plain=st.booleans(), framed=st.sampled_from("lcx"))
@settings(max_examples=60)
def test_transformed_piecewise_is_the_whole_transformed(
    content: bytes, cuts: list[int], plain: bool, framed: str
) -> None:
    @weir.hook("response")
    def transforms(response: weir.Response) -> None:
        response.transform(upper if plain else upper_of)
        response.transform(weir.hooks.replace_stream(b"AB", b"-"))

    head = b"HTTP/1.1 200 OK\r\n"
    data = head + b"Content-Length: %d\r\n\r\n" % len(content) + content
    if framed == "c":
        chunks = [content[n : n + 7] for n in range(0, len(content), 7)]
        data = head + b"Transfer-Encoding: chunked\r\n\r\n"
        data += b"".join(b"%x\r\n%s\r\n" % (len(chunk), chunk) for chunk in [*chunks, b""])
    if framed == "x":
        data = head + b"\r\n" + content

    async def play() -> None:
        scene = Scene(hooks=[transforms])
        client = scene.client(GET)
        at = 0
        for number in range(len(data)):
            if at >= len(data):
                break
            size = cuts[number % len(cuts)]
            scene.endpoint().feed(data[at : at + size])
            scene.turn(1)
            at += size
            if number % 3 == 0:
                await asyncio.sleep(0)
        scene.wait_ms(10)
        if framed == "x":
            scene.end(scene.endpoint())
        await turns(scene, 12 + 2 * len(content) // min(cuts))
        sent = told(client.take_sent())
        assert sent.whole
        assert sent.body == (content.upper() + b".").replace(b"AB", b"-")
        scene.close()

    in_loop(play)


@pytest.mark.parametrize("how", ["body", "read", "plain", "generator", "answer"])
def test_nothing_is_left_of_a_request(how: str) -> None:
    @weir.hook("request")
    async def asks(request: weir.Request) -> weir.Answer | None:
        await request.read()
        return weir.Answer(200, made()) if how == "answer" else None

    @weir.hook("response")
    async def changes(response: weir.Response) -> None:
        if how == "body":
            response.body = b"new"
        elif how == "read":
            await response.read()
        else:
            response.transform(upper if how == "plain" else upper_of)

    async def play() -> None:
        scene = Scene(hooks=[asks, changes])
        client = scene.client()
        counts = []
        for _ in range(3):
            for _ in range(REQUESTS // 3):
                client.feed(GET)
                await turns(scene, 3)
                if how != "answer":
                    scene.endpoint().feed(LENGTH)
                await turns(scene, 8)
                assert client.take_sent().startswith(b"HTTP/1.1 200 OK")
            gc.collect()
            counts.append(len(gc.get_objects()))
        assert counts[2] - counts[1] < 50
        scene.close()

    in_loop(play)
