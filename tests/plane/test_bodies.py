"""Bodies that Python reads, replaces, changes piece by piece, or makes."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator
from typing import Any, NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import weir
import weir.hooks
from tests.plane.scene import GET, OK, Scene
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


# -- requests --------------------------------------------------------------------------------------------------------

BODIES = pytest.mark.parametrize("post", [POST, CHUNKED_POST], ids=["length", "chunked"])


async def ask(scene: Scene, data: bytes, step: int) -> Any:
    """A client sends `data`, whole or in steps."""
    client = scene.client()
    for at in range(0, len(data), step or len(data)):
        scene.send(client, data[at : at + (step or len(data))])
        await turns(scene, 3)
    await turns(scene)
    return client


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
        scene = Scene(hooks=[whole, made], retry={"on": ("reset",), "attempts": 3})
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


# -- what is said of a body ------------------------------------------------------------------------------------------

SAID = b'HTTP/1.1 200 OK\r\nETag: "x"\r\nAccept-Ranges: bytes\r\nContent-MD5: y\r\nContent-Digest: z\r\n'


@pytest.mark.parametrize("how", ["body", "transform", "read"])
def test_what_is_no_longer_true_is_not_said(how: str) -> None:
    @weir.hook("response")
    async def changes(response: weir.Response) -> None:
        if how == "body":
            response.body = b"new"
        elif how == "transform":
            response.transform(upper)
        else:
            await response.read()

    async def play() -> None:
        scene = Scene(hooks=[changes])
        client = scene.client(GET)
        answer(scene, SAID + b"Content-Length: 6\r\n\r\nabcdef")
        await turns(scene)
        fields = told(client.take_sent()).fields
        if how == "read":
            assert fields.keys() == {b"etag", b"accept-ranges", b"content-md5", b"content-digest", b"content-length"}
            assert fields[b"etag"] == b'"x"'
        else:
            assert fields[b"etag"] == b'W/"x"'
            assert fields.keys() == {b"etag", b"transfer-encoding" if how == "transform" else b"content-length"}
        scene.close()

    in_loop(play)


def test_what_a_hook_says_of_its_body_stays() -> None:
    @weir.hook("response")
    def changes(response: weir.Response) -> None:
        response.body = b"new"
        response.headers["ETag"] = '"mine"'
        response.headers["Content-Digest"] = "mine"

    scene = Scene(hooks=[changes])
    client = scene.client(GET)
    answer(scene, SAID + b"Content-Length: 6\r\n\r\nabcdef")
    fields = told(client.take_sent()).fields
    assert fields == {b"etag": b'"mine"', b"content-digest": b"mine", b"content-length": b"3"}
    scene.close()


@pytest.mark.parametrize("how", ["transform", "phase"])
@pytest.mark.parametrize(
    ("asked", "head"),
    [
        (GET.replace(b"GET", b"HEAD"), b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n"),
        (GET, b"HTTP/1.1 304 Not Modified\r\nETag: x\r\n\r\n"),
        (GET, b"HTTP/1.1 204 No Content\r\n\r\n"),
    ],
)
def test_what_has_no_body_is_not_transformed(how: str, asked: bytes, head: bytes) -> None:
    def never(piece: bytes) -> bytes:
        raise AssertionError(piece)

    @weir.hook("response")
    def transforms(response: weir.Response) -> None:
        response.transform(never)

    @weir.hook("response_body")
    def body(piece: bytes, _response: weir.Response) -> bytes:
        raise AssertionError(piece)

    scene = Scene(hooks=[body if how == "phase" else transforms])
    client = scene.client(asked + asked)
    for _ in range(2):
        scene.send(scene.endpoint(), head)
        assert client.take_sent() == head.replace(b"Content-Length: 6\r\n", b"")
    scene.close()


def test_head_tells_the_length_of_the_new_body() -> None:
    @weir.hook("response")
    def replaces(response: weir.Response) -> None:
        response.body = b"new"

    scene = Scene(hooks=[replaces])
    client = scene.client(GET.replace(b"GET", b"HEAD") + GET)
    scene.send(scene.endpoint(), b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n")
    assert client.take_sent() == b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n"
    scene.send(scene.endpoint(), LENGTH)
    assert told(client.take_sent()).body == b"new"
    scene.close()


def test_a_part_of_a_body_is_not_changed() -> None:
    @weir.hook("response_body")
    def body(piece: bytes, _response: weir.Response) -> bytes:
        return piece

    scene = Scene(hooks=[body])
    client = scene.client(GET[:-2] + b"Range: bytes=1-2\r\nIf-Range: x\r\n\r\n")
    assert scene.endpoint().take_sent() == GET, "a part is not asked for"
    scene.send(
        scene.endpoint(), b"HTTP/1.1 206 Partial Content\r\nContent-Range: bytes 1-2/6\r\nContent-Length: 2\r\n\r\nbc"
    )
    assert client.take_sent().startswith(b"HTTP/1.1 500")
    assert scene.reasons() == {"hook_failed": 1}
    scene.close()


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
        scene.send(client, POST[-3:]) if of == "request" else answer(scene, LENGTH, len(LENGTH) - 3)
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


async def made() -> AsyncIterator[bytes]:
    """An answer's pieces."""
    for piece in (b"one ", b"", b"two ", b"three"):
        await asyncio.sleep(0)
        yield piece


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


# -- how much, how soon ----------------------------------------------------------------------------------------------


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
        taken = 0
        for _ in range(size // step):
            scene.send(sender, bytes(step))
            await turns(scene, 10)
            # The kernel of the sender would hold what is not read.
            taken = size - len(sender.incoming)
        assert scene.plane.ledger()["buffer_bytes"] <= 1024 * 1024
        assert taken < size + 1
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
    @weir.hook("response")
    async def changes(response: weir.Response) -> weir.Answer | None:
        if how == "answer":
            return weir.Answer(200, made())
        if how == "body":
            response.body = b"new"
        elif how == "read":
            await response.read()
        else:
            response.transform(upper if how == "plain" else upper_of)
        return None

    async def play() -> None:
        scene = Scene(hooks=[changes])
        client = scene.client()
        counts = []
        for _ in range(3):
            for _ in range(100):
                client.feed(GET)
                scene.turn(2)
                scene.endpoint().feed(LENGTH)
                await turns(scene, 8)
                assert client.take_sent().startswith(b"HTTP/1.1 200 OK")
            gc.collect()
            counts.append(len(gc.get_objects()))
        assert counts[2] - counts[1] < 50
        scene.close()

    in_loop(play)
