"""Bodies that Python reads, replaces, changes piece by piece, or makes: responses."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

import weir
import weir.hooks
from tests.plane.messages import (
    CLOSED,
    FRAMINGS,
    LENGTH,
    OLD_GET,
    TRANSFORMS,
    answer,
    told,
    upper,
)
from tests.plane.scene import GET, Scene
from tests.plane.test_meeting import in_loop, turns

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


def test_what_a_response_nominates_is_left_out_though_its_head_was_parsed_again() -> None:
    @weir.hook("response")
    async def changes(response: weir.Response) -> None:
        await asyncio.sleep(0)
        response.transform(upper)

    async def play() -> None:
        scene = Scene(hooks=[changes])
        client = scene.client(GET)
        scene.send(scene.endpoint(), b"HTTP/1.1 200 OK\r\nConnection: X-Hop\r\nX-Hop: 1\r\nContent-Length: 2\r\n\r\nok")
        await turns(scene)
        assert client.take_sent() == b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nOK.\r\n0\r\n\r\n"
        scene.close()

    in_loop(play)


def test_a_large_response_whose_hook_is_awaited_spoils_no_connection() -> None:
    @weir.hook("response")
    async def waits(_response: weir.Response) -> None:
        await asyncio.sleep(0)

    async def play() -> None:
        scene = Scene(hooks=[waits])
        client = scene.client(GET)
        scene.send(scene.endpoint(), b"HTTP/1.1 200 OK\r\nContent-Length: 400000\r\n\r\n" + b"x" * 400_000)
        await turns(scene)
        assert client.take_sent().endswith(b"x" * 400_000)
        assert scene.plane.pools(0)[0]["idle"] == 1, "its connection is used again"
        scene.close()

    in_loop(play)


def test_what_a_hook_breaks_is_no_failure_of_the_endpoints() -> None:
    @weir.hook("response_body")
    def fails(piece: bytes, _response: weir.Response) -> bytes:
        if piece == b"second":
            raise LookupError
        return piece

    scene = Scene(hooks=[fails])
    client = scene.client(GET)
    scene.send(scene.endpoint(), b"HTTP/1.1 200 OK\r\nContent-Length: 11\r\n\r\nfirst")
    scene.send(scene.endpoint(), b"second")
    assert client.take_sent().endswith(b"5\r\nfirst\r\n")
    assert scene.reasons() == {"hook_failed": 1}
    assert scene.retries() == {}
    scene.close()
