"""Hooks that do what nobody expects of them, and peers that pick the worst moment for what they do."""

from __future__ import annotations

import asyncio
import copy
import threading
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest

import weir
from tests.plane.messages import told
from tests.plane.scene import GET, OK, Scene
from tests.plane.test_meeting import in_loop, turns

POST = b"POST /a HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabc"
UPGRADE = b"GET /a HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nContent-Length: 0\r\n\r\n"
# What hooks see of a response, and what the client gets, has to be of the attempt that went on.
RETRY = {"on": ("connect", "reused", "reset", "bad_response"), "backoff_ms": 0}

PHASES = ("request", "request_body", "upstream", "response", "response_body", "log")


# -- exceptions that are none ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("raised", [SystemExit, asyncio.CancelledError, KeyboardInterrupt])
@pytest.mark.parametrize("phase", PHASES)
def test_a_plain_hook_that_raises_what_is_no_exception(phase: Any, raised: type[BaseException]) -> None:
    @weir.hook(phase, name="mine")
    def leaves(*_given: object) -> None:
        raise raised("so")

    scene = Scene(hooks=[leaves])
    client = scene.client(POST)
    if scene.dials:
        scene.send(scene.endpoint(), OK)
    assert client.take_sent().startswith(b"HTTP/1.1 200 " if phase == "log" else b"HTTP/1.1 500 ")
    assert scene.plane.ledger()["exchanges"] == 0
    assert scene.hooked("mine").failures == 1
    scene.close()


@pytest.mark.parametrize("phase", ["request", "response", "response_body"])
def test_a_coroutine_that_wants_to_end_the_process_ends_its_request(phase: Any) -> None:
    if phase == "response_body":

        @weir.hook(phase, name="mine")
        async def leaves(pieces: AsyncIterator[bytes], _response: object) -> AsyncIterator[bytes]:
            async for _piece in pieces:
                raise SystemExit
            yield b""

    else:

        @weir.hook(phase, name="mine")
        async def leaves(_message: object) -> None:
            raise SystemExit

    async def play() -> None:
        scene = Scene(hooks=[leaves])
        client = scene.client(GET)
        await turns(scene)
        if scene.dials:
            scene.send(scene.endpoint(), OK)
            await turns(scene)
        assert not client.take_sent().startswith(b"HTTP/1.1 200 ") or client.is_closed
        assert scene.reasons() == {"hook_failed": 1}
        assert scene.plane.ledger()["exchanges"] == 0
        scene.close()

    in_loop(play)


def test_failures_at_the_end_are_not_logged_a_thousand_times(caplog: pytest.LogCaptureFixture) -> None:
    @weir.hook("log", name="mine")
    def fails(_request: weir.Request) -> None:
        raise LookupError("what")

    scene = Scene(hooks=[fails])
    client = scene.client(GET * 20)
    for _ in range(20):
        scene.send(scene.endpoint(), OK)
    assert client.take_sent() == OK * 20
    assert scene.hooked("mine").failures == 20
    assert len([record for record in caplog.records if record.name == "weir.hooks"]) == 1
    scene.close()


# -- responses that were not the last ----------------------------------------------------------------------------------


def test_the_response_of_another_attempt_meets_the_hooks_and_has_no_edits_of_the_first() -> None:
    met: list[int] = []

    @weir.hook("response")
    def note(response: weir.Response) -> None:
        met.append(response.status)
        if response.status == 201:
            response.headers["X-First"] = "1"
            response.status = 202

    scene = Scene(hooks=[note], endpoints=2, retry=RETRY)
    client = scene.client(GET)
    scene.send(scene.endpoint(0), b"HTTP/1.1 201 Created\r\nTransfer-Encoding: chunked\r\n\r\nno chunk\r\n")
    assert scene.dials == 2
    scene.send(scene.endpoint(1), OK)
    assert client.take_sent() == OK
    assert met == [201, 200]
    scene.close()


def test_a_response_that_breaks_while_a_hook_is_awaited_is_not_the_one_that_goes_on() -> None:
    met: list[int] = []

    async def play() -> None:
        gate = asyncio.Event()

        @weir.hook("response")
        async def note(response: weir.Response) -> None:
            met.append(response.status)
            response.headers["X-Seen"] = str(response.status)
            await gate.wait()

        scene = Scene(hooks=[note], endpoints=2, retry=RETRY)
        client = scene.client(GET)
        scene.send(scene.endpoint(0), b"HTTP/1.1 201 Created\r\nContent-Length: 10\r\n\r\n")
        scene.wait_ms(20)
        await turns(scene)
        scene.end(scene.endpoint(0))
        gate.set()
        await turns(scene)
        assert scene.dials == 2
        scene.send(scene.endpoint(1), OK)
        await turns(scene)
        sent = told(client.take_sent())
        assert (sent.fields[b"x-seen"], sent.body) == (b"200", b"ok")
        assert met == [201, 200]
        scene.close()

    in_loop(play)


def test_the_head_of_somebody_elses_second_request_is_not_taken_for_this_one() -> None:
    seen: list[tuple[int, list[tuple[str, str]]]] = []

    async def play() -> None:
        gate = asyncio.Event()

        @weir.hook("response", path="/slow")
        async def waits(response: weir.Response) -> None:
            await gate.wait()
            seen.append((response.status, response.headers.items()))

        scene = Scene(hooks=[waits], endpoints=3, hedge={"after_ms": 50})
        client = scene.client(GET.replace(b"/a", b"/slow"))
        scene.send(scene.endpoint(0), b"HTTP/1.1 201 Created\r\nX-Mine: yes\r\nContent-Length: 2\r\n\r\nok")
        await turns(scene)
        scene.client(GET)
        scene.wait_ms(60)
        assert scene.dials == 3
        scene.send(scene.endpoint(2), b"HTTP/1.1 503 Sorry\r\nX-Other-And-Longer: secret of another client\r\n\r\n")
        gate.set()
        await turns(scene)
        assert told(client.take_sent()).body == b"ok"
        scene.close()

    in_loop(play)
    assert seen == [(201, [("X-Mine", "yes"), ("Content-Length", "2")])]


# -- lengths -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("request_", [GET, GET.replace(b"GET", b"HEAD")])
def test_a_length_with_zeros_does_not_stay_beside_the_new_one(request_: bytes) -> None:
    @weir.hook("response")
    def replace(response: weir.Response) -> None:
        response.body = b"bye"

    scene = Scene(hooks=[replace])
    client = scene.client(request_)
    body = b"" if request_.startswith(b"HEAD") else b"hello"
    scene.send(scene.endpoint(), b"HTTP/1.1 200 OK\r\nContent-Length: 05\r\n\r\n" + body)
    assert client.take_sent().split(b"\r\n\r\n")[0] == b"HTTP/1.1 200 OK\r\nContent-Length: 3"
    scene.close()


def test_a_hook_that_has_said_all_that_it_may_still_has_its_body_sent() -> None:
    @weir.hook("response")
    def replace(response: weir.Response) -> None:
        response.headers["X"] = "x" * (32768 - 5)
        response.body = b"bye"

    scene = Scene(hooks=[replace])
    client = scene.client(GET)
    scene.send(scene.endpoint(), b'HTTP/1.1 200 OK\r\nETag: "%b"\r\nContent-Length: 2\r\n\r\nok' % (b"t" * 5000))
    sent = told(client.take_sent())
    assert (sent.body, sent.fields[b"content-length"], b"etag" in sent.fields) == (b"bye", b"3", False)
    scene.close()


def test_a_request_for_another_protocol_meets_no_hook_of_bodies() -> None:
    @weir.hook("request_body")
    def upper(piece: bytes, _request: object) -> bytes:
        return piece.upper()

    scene = Scene(hooks=[upper])
    client = scene.client(UPGRADE)
    assert b"Upgrade: websocket\r\n" in scene.endpoint().take_sent()
    scene.send(
        scene.endpoint(), b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\nhi"
    )
    assert client.take_sent().endswith(b"\r\n\r\nhi")
    scene.close()


def test_no_memory_for_a_body_ends_the_exchange() -> None:
    @weir.hook("request_body")
    def upper(piece: bytes, _request: object) -> bytes:
        return piece.upper()

    scene = Scene(hooks=[upper])
    client = scene.client(POST[:-3])
    scene.send(scene.endpoint(), OK)
    scene.end(client)
    client = scene.client()
    scene.send(client, POST[:9])
    scene.plane.refuse_memory(1)
    scene.send(client, POST[9:])
    assert client.is_closed
    assert scene.plane.ledger()["exchanges"] == 0
    scene.close()


# -- both ways at once -------------------------------------------------------------------------------------------------


def test_what_comes_of_a_request_while_its_response_is_looked_at_is_not_forgotten() -> None:
    async def play() -> None:
        gate = asyncio.Event()

        @weir.hook("response")
        async def waits(_response: weir.Response) -> None:
            await gate.wait()

        scene = Scene(hooks=[waits])
        client = scene.client(POST[:-3])
        endpoint = scene.endpoint()
        scene.send(endpoint, b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n")
        scene.wait_ms(20)
        endpoint.take_sent()
        await turns(scene)
        scene.send(client, b"abc")
        gate.set()
        await turns(scene)
        assert endpoint.take_sent() == b"abc"
        scene.send(endpoint, b"abc")
        assert told(client.take_sent()).body == b"abc"
        scene.close()

    in_loop(play)


def test_a_body_can_be_read_by_two_at_a_time() -> None:
    @weir.hook("request")
    async def twice(request: weir.Request) -> weir.Answer:
        first, second = await asyncio.gather(request.read(), request.read())
        return weir.Answer(200, first + second)

    async def play() -> None:
        scene = Scene(hooks=[twice])
        client = scene.client(POST[:-3])
        await turns(scene)
        scene.send(client, b"abc")
        await turns(scene)
        assert told(client.take_sent()).body == b"abcabc"
        scene.close()

    in_loop(play)


def test_who_still_reads_a_body_when_its_exchange_is_over_is_told() -> None:
    async def play() -> None:
        readers: list[asyncio.Task[bytes]] = []

        @weir.hook("request")
        async def waits(request: weir.Request) -> None:
            readers.append(asyncio.create_task(request.read()))
            await asyncio.sleep(3600)

        scene = Scene(hooks=[waits])
        client = scene.client(POST[:-3])
        await turns(scene)
        scene.reset(client)
        with pytest.raises(RuntimeError, match="has gone on"):
            await asyncio.wait_for(readers[0], 5)
        scene.close()

    in_loop(play)


def test_a_coroutine_that_nobody_waits_for_is_cancelled_at_once() -> None:
    """Inside the loop's select() a cancelled task runs when that returns."""

    async def play() -> None:
        @weir.hook("request")
        async def waits(_request: weir.Request) -> None:
            await asyncio.sleep(3600)

        scene = Scene(hooks=[waits])
        client = scene.client(GET)
        await turns(scene)
        client.break_off()
        late = threading.Timer(3, scene.clock.advance, [10_000_000])
        late.start()
        begun = time.monotonic()
        scene.engine.turn(1000)
        late.cancel()
        assert time.monotonic() - begun < 0.9
        await turns(scene)
        scene.close()

    in_loop(play)


def test_a_generator_that_will_not_be_cancelled_is_closed() -> None:
    closed: list[bool] = []

    async def forever() -> AsyncIterator[bytes]:
        try:
            while True:
                try:
                    await asyncio.sleep(0)
                except asyncio.CancelledError:
                    closed.append(False)
                yield b"x"
        finally:
            closed.append(True)

    @weir.hook("request")
    def answer(_request: weir.Request) -> weir.Answer:
        return weir.Answer(200, forever())

    async def play() -> None:
        scene = Scene(hooks=[answer])
        client = scene.client(GET)
        await turns(scene)
        scene.reset(client)
        await turns(scene, 20)
        assert closed == [False, True]
        scene.close()

    in_loop(play)


def test_a_hook_is_not_awaited_longer_than_the_client_waits() -> None:
    async def play() -> None:
        @weir.hook("request")
        async def waits(_request: weir.Request) -> None:
            await asyncio.sleep(3600)

        scene = Scene(hooks=[waits], listener={"deadline_field": "X-Wait-Ms"})
        client = scene.client(GET.replace(b"\r\n\r\n", b"\r\nX-Wait-Ms: 500\r\n\r\n"))
        await turns(scene)
        scene.wait_ms(520)
        assert client.take_sent().startswith(b"HTTP/1.1 504 ")
        assert scene.reasons() == {"deadline_passed": 1}
        await turns(scene)
        scene.close()

    in_loop(play)


# -- clients that do not read ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [100, 200_000, 5_000_000])
@pytest.mark.parametrize("version", [b"1.1", b"1.0"])
def test_a_large_answer_goes_as_the_client_takes_it(size: int, version: bytes) -> None:
    @weir.hook("request")
    def answer(_request: weir.Request) -> weir.Answer:
        return weir.Answer(200, b"y" * size)

    scene = Scene(hooks=[answer])
    client = scene.client()
    client.room = 50
    scene.send(client, GET.replace(b"1.1", version))
    assert scene.plane.ledger()["buffer_bytes"] <= 1 << 20
    client.room = -1
    scene.turn(40)
    sent = told(client.take_sent())
    assert sent.fields[b"content-length"] == b"%d" % size
    assert len(sent.body) == size
    assert (sent.fields.get(b"connection") == b"close") == (version == b"1.0")
    assert scene.counters()["response_body_bytes"] == size
    scene.close()


def test_who_does_not_take_its_answers_is_not_heard() -> None:
    @weir.hook("request", path="/x")
    def answer(_request: weir.Request) -> weir.Answer:
        return weir.Answer(200, b"y" * 200_000)

    scene = Scene(hooks=[answer])
    client = scene.client()
    client.room = 0
    scene.turn()
    scene.send(client, GET.replace(b"/a", b"/x") * 5 + GET)
    assert scene.plane.ledger()["buffer_bytes"] < 400_000
    assert scene.dials == 0
    client.room = -1
    scene.turn(20)
    scene.send(scene.endpoint(), OK)
    sent = client.take_sent()
    assert sent.count(b"y" * 200_000) == 5
    assert sent.endswith(b"y" + OK)
    scene.close()


def test_who_never_takes_its_answers_is_cut_off() -> None:
    @weir.hook("request")
    def answer(_request: weir.Request) -> weir.Answer:
        return weir.Answer(200, b"y")

    scene = Scene(hooks=[answer], listener={"send_timeout_ms": 700, "request_header_timeout_ms": 300})
    client = scene.client()
    client.room = 0
    scene.turn()
    scene.send(client, GET * 2)
    scene.wait_ms(600)
    assert scene.reasons() == {}
    scene.wait_ms(200)
    assert client.is_closed
    assert scene.reasons() == {"client_stalled": 1}
    scene.close()


# -- what is kept for later --------------------------------------------------------------------------------------------


def test_messages_cannot_be_copied_and_are_over_when_they_are_over() -> None:
    kept: list[Any] = []

    @weir.hook("response")
    def keep(response: weir.Response) -> None:
        kept.extend((response, response.request))
        for message in kept:
            for way in (copy.copy, copy.deepcopy):
                with pytest.raises(TypeError, match="cannot be copied"):
                    way(message)

    scene = Scene(hooks=[keep])
    client = scene.client(GET)
    scene.send(scene.endpoint(), OK)
    assert client.take_sent() == OK
    for message in kept:
        with pytest.raises(RuntimeError, match="the exchange is over"):
            _ = message.headers
    scene.close()


@pytest.mark.parametrize(
    ("method", "target", "seen"),
    [
        (b"GET", b"http://h", "/"),
        (b"GET", b"http://h?b=1", "/?b=1"),
        (b"GET", b"http://h/a?b", "/a?b"),
        (b"OPTIONS", b"http://h", "*"),
        (b"OPTIONS", b"*", "*"),
    ],
)
def test_the_target_is_what_is_forwarded(method: bytes, target: bytes, seen: str) -> None:
    targets: list[str] = []

    @weir.hook("request")
    def note(request: weir.Request) -> None:
        targets.append(request.target)

    scene = Scene(hooks=[note])
    scene.client(GET.replace(b"/a", target).replace(b"GET", method))
    assert scene.endpoint().take_sent().split(b" ")[1].decode() == seen
    assert targets == [seen]
    scene.close()
