"""Bodies that Python reads, replaces, changes piece by piece, or makes: what goes wrong, answers, memory and time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

import weir
import weir.hooks
from tests.plane.messages import (
    CHUNKED,
    CHUNKED_POST,
    LENGTH,
    OLD_GET,
    POST,
    TRANSFORMS,
    answer,
    ask,
    made,
    told,
    upper,
    upper_of,
)
from tests.plane.scene import GET, OK, Scene
from tests.plane.test_meeting import in_loop, turns

# -- what goes wrong -------------------------------------------------------------------------------------------------


@TRANSFORMS
@pytest.mark.parametrize("cut", [LENGTH[:-2], CHUNKED[:-9]], ids=["length", "chunked"])
@pytest.mark.parametrize("how", ["end", "reset"])
def test_an_endpoint_that_fails_midway_is_seen(function: Any, cut: bytes, how: str) -> None:
    seen: list[str] = []

    async def watches(pieces: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        try:
            async for piece in pieces:
                yield piece
        except weir.BodyCut as error:
            seen.append(str(error))
        yield b"a clean end?"

    @weir.hook("response")
    def transforms(response: weir.Response) -> None:
        response.transform(function)
        if function is upper_of:
            response.transform(watches)

    async def play() -> None:
        scene = Scene(hooks=[transforms])
        client = scene.client(GET)
        scene.send(scene.endpoint(), cut)
        await turns(scene)
        getattr(scene, how)(scene.endpoint())
        await turns(scene)
        sent = told(client.take_sent())
        assert sent.body.startswith(b"ABCD")
        assert not sent.whole, "the client sees that it was cut"
        assert scene.reasons() == {"upstream_truncated": 1}
        assert seen == ([] if function is upper else ["upstream_truncated"])
        scene.end(client)
        assert client.is_closed
        scene.close()

    in_loop(play)


@pytest.mark.parametrize("how", ["reset", "close"])
def test_a_client_that_leaves_closes_the_generator(how: str) -> None:
    ended: list[str] = []

    async def waits(pieces: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        try:
            async for piece in pieces:
                yield piece
        finally:
            ended.append("closed")

    @weir.hook("response")
    def transforms(response: weir.Response) -> None:
        response.transform(waits)

    async def play() -> None:
        scene = Scene(hooks=[transforms])
        client = scene.client(GET)
        scene.send(scene.endpoint(), LENGTH[:-2])
        await turns(scene)
        assert told(client.take_sent()).body == b"abcd"
        if how == "reset":
            scene.reset(client)
            await turns(scene)
            assert scene.reasons() == {"client_closed": 1}
        scene.close()
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert ended == ["closed"]

    in_loop(play)


@TRANSFORMS
@pytest.mark.parametrize("at", [1, 2])
@pytest.mark.parametrize("of", ["request", "response"])
def test_a_function_that_raises(function: Any, at: int, of: str, caplog: pytest.LogCaptureFixture) -> None:
    met: list[bytes] = []

    def plain(piece: bytes) -> bytes:
        met.append(piece)
        if len(met) == at:
            raise LookupError("what")
        return piece

    async def generator(pieces: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        async for piece in pieces:
            yield plain(piece)

    @weir.hook("request")
    def of_request(request: weir.Request) -> None:
        request.transform(plain if function is upper else generator)

    @weir.hook("response", name="mine")
    def of_response(response: weir.Response) -> None:
        response.transform(plain if function is upper else generator)

    async def play() -> None:
        scene = Scene(hooks=[of_request if of == "request" else of_response])
        client = scene.client(POST[:-3] if of == "request" else GET)
        await turns(scene)
        if of == "request":
            scene.send(client, POST[-3:])
        else:
            answer(scene, LENGTH[:-3])
            await turns(scene)
            scene.send(scene.endpoint(), LENGTH[-3:])
        await turns(scene)
        sent = told(client.take_sent())
        if of == "request" or (at == 1 and function is upper):
            assert sent.first == b"HTTP/1.1 500 Internal Server Error"
        else:
            assert sent.body == b"abc"[: 3 * (at - 1)]
            assert not sent.whole
        assert scene.reasons() == {"hook_failed": 1}
        assert "LookupError: what" in caplog.text
        scene.end(client)
        scene.close()

    in_loop(play)


@pytest.mark.parametrize("of", ["request", "response"])
def test_one_that_thinks_too_long(of: str) -> None:
    async def thinks(pieces: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        async for piece in pieces:
            await asyncio.sleep(1000)
            yield piece

    @weir.hook("request")
    def of_request(request: weir.Request) -> None:
        request.transform(thinks)

    @weir.hook("response")
    def of_response(response: weir.Response) -> None:
        response.transform(thinks)

    async def play() -> None:
        scene = Scene(hooks=[of_request if of == "request" else of_response], cluster={"stream_idle_timeout_ms": 2000})
        client = scene.client(POST if of == "request" else GET)
        await turns(scene)
        if of == "response":
            answer(scene, LENGTH)
        await turns(scene)
        for _ in range(4):
            scene.wait_ms(600)
        await turns(scene)
        assert scene.reasons() == {"hook_timeout": 1}
        sent = told(client.take_sent())
        assert sent.first == (b"HTTP/1.1 504 Gateway Timeout" if of == "request" else b"HTTP/1.1 200 OK")
        assert sent.whole == (of == "request")
        scene.end(client)
        scene.close()

    in_loop(play)


@pytest.mark.parametrize("how", ["end", "reset"])
@pytest.mark.parametrize("catches", [False, True])
def test_an_endpoint_that_fails_while_it_is_read(how: str, catches: bool) -> None:
    @weir.hook("response")
    async def reads(response: weir.Response) -> weir.Answer | None:
        try:
            await response.read()
        except weir.BodyCut:
            if catches:
                return weir.Answer(200, "instead")
            raise
        return None

    async def play() -> None:
        scene = Scene(hooks=[reads])
        client = scene.client(GET)
        scene.send(scene.endpoint(), LENGTH[:-2])
        await turns(scene)
        getattr(scene, how)(scene.endpoint())
        await turns(scene)
        sent = told(client.take_sent())
        assert sent.first == (b"HTTP/1.1 200 OK" if catches else b"HTTP/1.1 502 Bad Gateway")
        assert scene.reasons() == ({} if catches else {"upstream_truncated": 1})
        scene.send(client, GET)
        assert scene.endpoint(1).take_sent() == GET
        scene.close()

    in_loop(play)


@pytest.mark.parametrize("of", ["request", "response"])
def test_who_leaves_while_it_is_read(of: str) -> None:
    ended: list[str] = []

    @weir.hook("request" if of == "request" else "response")
    async def reads(message: Any) -> None:
        try:
            await message.read()
        except asyncio.CancelledError:
            ended.append("cancelled")
            raise

    async def play() -> None:
        scene = Scene(hooks=[reads])
        client = scene.client(POST[:-1] if of == "request" else GET)
        if of == "response":
            answer(scene, LENGTH[:-1])
        await turns(scene)
        scene.reset(client)
        await turns(scene)
        assert ended == ["cancelled"]
        assert scene.reasons() == {"client_closed": 1}
        scene.close()

    in_loop(play)


def test_a_malformed_body_is_refused_while_it_is_read() -> None:
    @weir.hook("request")
    async def reads(request: weir.Request) -> None:
        await request.read()

    async def play() -> None:
        scene = Scene(hooks=[reads])
        client = await ask(scene, CHUNKED_POST.replace(b"3\r\ndef", b"x\r\ndef"), 1)
        assert client.take_sent().startswith(b"HTTP/1.1 400 ")
        assert scene.reasons() == {"bad_chunk": 1}
        scene.close()

    in_loop(play)


# -- what is made ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("phase", ["request", "response"])
@pytest.mark.parametrize(
    "asked", [GET, OLD_GET, GET.replace(b"GET", b"HEAD"), POST], ids=["1.1", "1.0", "head", "post"]
)
def test_an_answer_is_made_piece_by_piece(phase: Any, asked: bytes) -> None:
    @weir.hook(phase)
    def answers(_message: object) -> weir.Answer:
        return weir.Answer(201, made(), {"X-Made": "yes"})

    async def play() -> None:
        scene = Scene(hooks=[answers])
        client = scene.client(asked)
        for number in range(2):
            if phase == "response":
                scene.send(scene.endpoint(), OK if b"HEAD" not in asked else OK[:-2])
            await turns(scene, 12)
            sent = told(client.take_sent(), bare=b"HEAD" in asked)
            assert sent.first == b"HTTP/1.1 201 Created"
            assert sent.fields[b"x-made"] == b"yes"
            assert b"content-length" not in sent.fields
            assert sent.body == (b"" if b"HEAD" in asked else b"one two three")
            if asked is OLD_GET:
                scene.end(client)
                assert client.is_closed
                break
            assert sent.whole
            if number == 0:
                scene.send(client, asked)
                await turns(scene)
        assert scene.reasons() == {}
        scene.close()

    in_loop(play)


def test_an_answer_that_fails_on_its_way_is_cut(caplog: pytest.LogCaptureFixture) -> None:
    async def fails() -> AsyncIterator[bytes]:
        yield b"one"
        raise LookupError("what")

    @weir.hook("request", name="mine")
    def answers(_request: weir.Request) -> weir.Answer:
        return weir.Answer(200, fails())

    async def play() -> None:
        scene = Scene(hooks=[answers])
        client = scene.client(GET)
        await turns(scene)
        sent = told(client.take_sent())
        assert (sent.body, sent.whole) == (b"one", False)
        assert scene.reasons() == {"hook_failed": 1}
        assert "hook mine failed" in caplog.text
        scene.end(client)
        scene.close()

    in_loop(play)


def test_an_answer_waits_for_its_client_and_ends_with_it() -> None:
    given: list[int] = []

    async def endless() -> AsyncIterator[bytes]:
        try:
            while True:
                given.append(1)
                yield bytes(10_000)
        finally:
            given.append(0)

    @weir.hook("request")
    def answers(_request: weir.Request) -> weir.Answer:
        return weir.Answer(200, endless())

    async def play() -> None:
        scene = Scene(hooks=[answers])
        client = scene.client()
        client.room = 100
        scene.send(client, GET)
        await turns(scene, 50)
        held = len(given)
        assert 7 <= held < 50
        await turns(scene, 20)
        assert len(given) == held, "nobody takes it"
        client.room = 200_000
        await turns(scene, 50)
        assert held + 15 < len(given) < held + 40
        scene.reset(client)
        await turns(scene)
        assert given[-1] == 0
        scene.close()

    in_loop(play)
