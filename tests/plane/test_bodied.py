"""Bodies that Python reads, replaces, changes piece by piece, or makes: requests, and what is too large."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

import weir
import weir.hooks
from tests.plane.messages import (
    BODIES,
    CHUNKED_POST,
    FRAMINGS,
    LENGTH,
    POST,
    TRANSFORMS,
    answer,
    ask,
    told,
    upper,
    upper_of,
)
from tests.plane.scene import GET, OK, Scene
from tests.plane.test_meeting import in_loop, turns


@BODIES
def test_a_client_may_stop_sending_with_the_last_byte_that_a_hook_reads(post: bytes) -> None:
    @weir.hook("request")
    async def reads(request: weir.Request) -> None:
        await request.read()

    async def play() -> None:
        scene = Scene(hooks=[reads])
        client = scene.client(post[:-3])
        await turns(scene)
        client.feed(post[-3:])
        client.feed_end()
        await turns(scene)
        assert told(scene.endpoint().take_sent()).body == b"abcdef"
        scene.send(scene.endpoint(), OK)
        assert client.take_sent() == OK
        scene.close()

    in_loop(play)


@BODIES
@pytest.mark.parametrize("step", [0, 1])
def test_a_request_body_is_read_and_goes_on_with_its_length(post: bytes, step: int) -> None:
    seen: list[bytes] = []

    @weir.hook("request")
    async def reads(request: weir.Request) -> None:
        seen.append(await request.read())

    async def play() -> None:
        scene = Scene(hooks=[reads])
        client = await ask(scene, post, step)
        asked = told(scene.endpoint().take_sent())
        assert asked.fields == {b"host": b"h", b"content-length": b"6"}
        assert asked.body == b"abcdef"
        scene.send(scene.endpoint(), OK)
        assert client.take_sent() == OK
        # What is sent behind it is the next request.
        scene.send(client, post + GET)
        await turns(scene)
        scene.send(scene.endpoint(), OK)
        await turns(scene)
        scene.send(scene.endpoint(), OK)
        assert client.take_sent() == OK + OK
        assert seen == [b"abcdef", b"abcdef", b""]
        assert scene.counters()["request_body_bytes"] == 12
        assert scene.dials == 1
        scene.close()

    in_loop(play)


@pytest.mark.parametrize("asked", [POST, CHUNKED_POST, GET], ids=["length", "chunked", "none"])
@pytest.mark.parametrize("step", [0, 1])
def test_a_request_body_is_replaced(asked: bytes, step: int) -> None:
    @weir.hook("request")
    def replaces(request: weir.Request) -> None:
        request.body = b"instead"

    async def play() -> None:
        scene = Scene(hooks=[replaces])
        client = await ask(scene, asked + asked, step)
        for _ in range(2):
            sent = told(scene.endpoint().take_sent())
            assert sent.fields[b"content-length"] == b"7"
            assert b"transfer-encoding" not in sent.fields
            assert (sent.body, sent.rest) == (b"instead", b"")
            scene.send(scene.endpoint(), OK)
            await turns(scene)
        assert client.take_sent() == OK + OK
        assert scene.dials == 1
        scene.close()

    in_loop(play)


@BODIES
@TRANSFORMS
@pytest.mark.parametrize("step", [0, 1])
@pytest.mark.parametrize("by_phase", [False, True])
def test_a_request_body_is_transformed(post: bytes, function: Any, step: int, by_phase: bool) -> None:
    @weir.hook("request")
    def transforms(request: weir.Request) -> None:
        request.transform(function)

    if function is upper:

        @weir.hook("request_body")
        def body(piece: bytes, request: weir.Request) -> bytes:
            assert request.method == "POST"
            return upper(piece)

    else:

        @weir.hook("request_body")
        async def body(pieces: AsyncIterator[bytes], request: weir.Request) -> AsyncIterator[bytes]:
            assert request.method == "POST"
            async for piece in upper_of(pieces):
                yield piece

    async def play() -> None:
        scene = Scene(hooks=[body if by_phase else transforms])
        client = await ask(scene, post + GET, step)
        sent = told(scene.endpoint().take_sent())
        assert sent.fields == {b"host": b"h", b"transfer-encoding": b"chunked"}
        assert sent.body == b"ABCDEF."
        assert sent.whole
        scene.send(scene.endpoint(), OK)
        await turns(scene)
        assert told(scene.endpoint().take_sent()).fields == {b"host": b"h"}, "without a body nothing is called"
        scene.send(scene.endpoint(), OK)
        assert client.take_sent() == OK + OK
        assert scene.counters()["request_body_bytes"] == 6
        scene.close()

    in_loop(play)


def test_who_waits_to_be_told_to_go_on_is_told_when_the_body_is_read() -> None:
    @weir.hook("request")
    async def reads(request: weir.Request) -> None:
        await request.read()

    async def play() -> None:
        scene = Scene(hooks=[reads])
        head, _, body = POST.partition(b"\r\n\r\n")
        client = await ask(scene, head + b"\r\nExpect: 100-continue\r\n\r\n", 0)
        assert client.take_sent() == b"HTTP/1.1 100 Continue\r\n\r\n"
        scene.send(client, body)
        await turns(scene)
        sent = told(scene.endpoint().take_sent())
        assert b"expect" not in sent.fields
        assert sent.body == b"abcdef"
        scene.send(scene.endpoint(), OK)
        assert client.take_sent() == OK
        scene.close()

    in_loop(play)


def test_a_changed_request_is_sent_again_only_if_all_of_it_is_in_memory() -> None:
    @weir.hook("request", path="/whole")
    def whole(request: weir.Request) -> None:
        request.body = b"instead"

    @weir.hook("request", path="/made")
    def made(request: weir.Request) -> None:
        request.transform(upper)

    async def play() -> None:
        scene = Scene(endpoints=3, hooks=[whole, made], retry={"on": ("reset",), "attempts": 3})
        for path, tries in ((b"/whole", 3), (b"/made", 1)):
            dials = scene.dials
            client = await ask(scene, POST.replace(b"POST /a", b"PUT " + path), 0)
            for number in range(tries):
                sent = told(scene.endpoint().take_sent())
                assert sent.body == (b"instead" if tries > 1 else b"ABCDEF.")
                assert scene.dials == dials + number + 1
                scene.reset(scene.endpoint())
                scene.wait_ms(2000)
                await turns(scene)
            assert client.take_sent().startswith(b"HTTP/1.1 502")
            assert scene.dials == dials + tries
        scene.close()

    in_loop(play)


# -- limits ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("post", [POST, CHUNKED_POST], ids=["length", "chunked"])
@pytest.mark.parametrize("catches", [False, True])
@pytest.mark.parametrize("step", [0, 1])
def test_a_request_that_is_larger_than_what_is_read(post: bytes, catches: bool, step: int) -> None:
    @weir.hook("request")
    async def reads(request: weir.Request) -> None:
        try:
            await request.read(limit=5)
        except weir.BodyTooLarge:
            if not catches:
                raise

    async def play() -> None:
        scene = Scene(hooks=[reads])
        client = await ask(scene, post, step)
        if catches:
            sent = told(scene.endpoint().take_sent())
            assert sent.body == b"abcdef"
            assert sent.whole
            scene.send(scene.endpoint(), OK)
            assert client.take_sent() == OK
        else:
            assert client.take_sent().startswith(b"HTTP/1.1 413 ")
            assert scene.reasons() == {"body_too_large": 1}
        scene.close()

    in_loop(play)


@FRAMINGS
@pytest.mark.parametrize("catches", [False, True])
@pytest.mark.parametrize("step", [0, 1])
def test_a_response_that_is_larger_than_what_is_read(framed: bytes, catches: bool, step: int) -> None:
    @weir.hook("response")
    async def reads(response: weir.Response) -> None:
        try:
            await response.read(limit=5)
        except weir.BodyTooLarge:
            if not catches:
                raise

    async def play() -> None:
        scene = Scene(hooks=[reads])
        client = scene.client(GET)
        answer(scene, framed, step)
        await turns(scene)
        sent = told(client.take_sent())
        if catches:
            assert sent.body == b"abcdef"
            assert sent.whole
        else:
            assert sent.first == b"HTTP/1.1 502 Bad Gateway"
            assert scene.reasons() == {"response_too_large": 1}
        scene.close()

    in_loop(play)


def test_a_body_that_is_given_has_a_limit() -> None:
    said: list[str] = []

    @weir.hook("response")
    def gives(response: weir.Response) -> None:
        for value in (bytes(16 * 1024 * 1024 + 1), "text"):
            with pytest.raises((ValueError, TypeError)) as caught:
                response.body = value  # type: ignore[assignment]
            said.append(str(caught.value))
        with pytest.raises(RuntimeError, match="not read"):
            _ = response.body
        with pytest.raises(TypeError):
            response.transform(7)  # type: ignore[arg-type]

    scene = Scene(hooks=[gives])
    client = scene.client(GET)
    answer(scene, LENGTH)
    assert client.take_sent() == LENGTH
    assert "16777216 at most" in said[0]
    assert "not str" in said[1]
    scene.close()
