"""Exchanges that meet Python: functions and coroutines, answers and failures, clients that leave."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

import weir
from tests.plane.scene import GET, OK, Scene

POST = b"POST /a HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabc"


def in_loop(play: Callable[[], Awaitable[None]]) -> None:
    """Plays a scene inside a running loop, as a worker's is."""

    async def run() -> None:
        await play()
        assert len(asyncio.all_tasks()) == 1, "a task is left over"

    asyncio.run(run())


async def turns(scene: Scene, times: int = 6) -> None:
    """The loop and the engine have their turns."""
    for _ in range(times):
        await asyncio.sleep(0)
        scene.turn(1)


def test_phases_in_order_and_what_each_knows() -> None:
    met: list[tuple[object, ...]] = []

    @weir.hook("log")
    def log(request: weir.Request) -> None:
        met.append(("log", request.status, request.bytes_sent, request.endpoint, request.state["n"], request.reason))

    @weir.hook("request")
    def asks(request: weir.Request) -> None:
        request.state["n"] = 1
        met.append(("request", request.endpoint))

    @weir.hook("upstream")
    def chosen(request: weir.Request) -> None:
        met.append(("upstream", request.endpoint))
        request.headers["X-To"] = request.endpoint

    @weir.hook("response")
    def answers(response: weir.Response) -> None:
        met.append(("response", response.status, response.request.state["n"]))

    scene = Scene(hooks=[log, asks, chosen, answers])
    client = scene.client(GET)
    assert b"X-To: 192.0.2.1:80\r\n" in scene.endpoint().take_sent()
    scene.send(scene.endpoint(), OK)
    assert client.take_sent() == OK
    assert met == [
        ("request", ""),
        ("upstream", "192.0.2.1:80"),
        ("response", 200, 1),
        ("log", 200, 2, "192.0.2.1:80", 1, ""),
    ]
    scene.close()


def test_an_answer_goes_out_at_once_and_the_connection_stays() -> None:
    @weir.hook("request", path="/a")
    def answer(_request: weir.Request) -> weir.Answer:
        return weir.Answer(403, "no\n", {"X-Why": "so"})

    scene = Scene(hooks=[answer])
    client = scene.client(GET + POST + b"GET /b HTTP/1.1\r\nHost: h\r\n\r\n")
    sent = client.take_sent()
    assert sent.count(b"HTTP/1.1 403 Forbidden\r\nX-Why: so\r\nContent-Type: text/plain; charset=utf-8\r\n") == 2
    assert sent.endswith(b"\r\n\r\nno\n")
    assert b"Connection" not in sent
    assert scene.dials == 1
    scene.send(scene.endpoint(), OK)
    assert client.take_sent() == OK
    assert scene.counters() | {"requests": 2, "response_body_bytes": 6, "status_4xx": 2} == scene.counters()
    scene.close()


@pytest.mark.parametrize("name", ["Date", "date", "Server", "SERVER"])
def test_what_an_answer_says_itself_is_not_said_twice(name: str) -> None:
    """One that was kept has the date of then: a second Date would make its age a guess."""

    @weir.hook("request")
    def answer(_request: weir.Request) -> weir.Answer:
        return weir.Answer(200, "server: date:\r\n", {"X-Date": "Server: no", name: "as it was"})

    scene = Scene(hooks=[answer])
    client = scene.client(GET)
    lines = client.take_sent().partition(b"\r\n\r\n")[0].split(b"\r\n")[1:]
    names = [line.partition(b":")[0].lower() for line in lines]
    assert (names.count(b"date"), names.count(b"server")) == (1, 1)
    assert f"{name}: as it was".encode() in lines
    scene.close()


def test_an_answer_to_a_request_whose_body_has_not_come_closes() -> None:
    @weir.hook("request")
    def answer(_request: weir.Request) -> weir.Answer:
        return weir.Answer(200, b"x")

    scene = Scene(hooks=[answer])
    client = scene.client(POST[:-1])
    assert b"Connection: close\r\n" in client.take_sent()
    scene.send(client, b"c")
    scene.end(client)
    assert client.is_closed
    scene.close()


@pytest.mark.parametrize(
    ("request_", "status", "ends"),
    [
        (GET.replace(b"GET", b"HEAD"), 200, b"Content-Length: 3\r\n"),
        (GET, 204, b"HTTP/1.1 204 No Content\r\n"),
        (GET.replace(b"1.1", b"1.0"), 200, b"Connection: close\r\n"),
    ],
)
def test_answers_without_a_body_and_to_old_clients(request_: bytes, status: int, ends: bytes) -> None:
    @weir.hook("request")
    def answer(_request: weir.Request) -> weir.Answer:
        return weir.Answer(status, b"" if status == 204 else b"abc")

    scene = Scene(hooks=[answer])
    client = scene.client(request_)
    sent = client.take_sent()
    assert ends in sent
    assert sent.endswith(b"abc") == (b"1.0" in request_)
    assert (b"Content-Length" in sent) == (status != 204)
    scene.close()


def test_an_answer_in_place_of_a_response() -> None:
    @weir.hook("response")
    def answer(response: weir.Response) -> weir.Answer | None:
        return weir.Answer(200, "instead") if response.status == 500 else None

    scene = Scene(hooks=[answer])
    client = scene.client(GET)
    scene.send(scene.endpoint(), b"HTTP/1.1 500 Oops\r\nContent-Length: 5\r\n\r\nstack")
    assert client.take_sent().endswith(b"\r\n\r\ninstead")
    assert scene.endpoint().is_closed, "what it still had to say belongs to nobody"
    scene.send(client, GET)
    scene.send(scene.endpoint(), OK)
    assert client.take_sent() == OK
    scene.close()


@pytest.mark.parametrize("phase", ["request", "upstream", "response", "log"])
@pytest.mark.parametrize("on_error", ["fail", "skip"])
def test_a_hook_that_raises(phase: Any, on_error: Any, caplog: pytest.LogCaptureFixture) -> None:
    @weir.hook(phase, on_error=on_error, name="mine")
    def fails(_message: object) -> None:
        raise LookupError("what")

    scene = Scene(hooks=[fails])
    with caplog.at_level(logging.ERROR, "weir.hooks"):
        client = scene.client(GET + GET)
        while scene.dials and scene.endpoint().take_sent():
            scene.send(scene.endpoint(), OK)
    sent = client.take_sent()
    if on_error == "skip" or phase == "log":
        assert sent == OK + OK
        assert scene.reasons() == {}
    else:
        assert sent.count(b"HTTP/1.1 500 Internal Server Error\r\n") == 2
        assert b"what" not in sent
        assert scene.reasons() == {"hook_failed": 2}
    (record,) = caplog.records  # a burst says it once
    assert "hook mine failed" in record.message
    assert record.exc_info
    scene.close()


@pytest.mark.parametrize(("phase", "said"), [("request", 7), ("upstream", weir.Answer()), ("response", "x")])
def test_a_hook_that_returns_something_else_has_failed(phase: Any, said: object) -> None:
    @weir.hook(phase)
    def fails(_message: object) -> object:
        return said

    scene = Scene(hooks=[fails])
    client = scene.client(GET)
    if phase == "response":
        scene.send(scene.endpoint(), OK)
    assert client.take_sent().startswith(b"HTTP/1.1 500")
    scene.close()


@pytest.mark.parametrize("phase", ["upstream", "log"])
def test_coroutines_where_nothing_waits_for_them_have_failed(phase: Any) -> None:
    @weir.hook(phase)
    async def fails(_message: object) -> None:
        raise AssertionError("never awaited")

    scene = Scene(hooks=[fails])
    client = scene.client(GET)
    if phase == "log":
        scene.send(scene.endpoint(), OK)
    assert client.take_sent().startswith(b"HTTP/1.1 200" if phase == "log" else b"HTTP/1.1 500")
    scene.close()


def test_coroutines_are_awaited_one_after_the_other() -> None:
    order: list[str] = []

    @weir.hook("request")
    async def first(request: weir.Request) -> None:
        await asyncio.sleep(0)
        order.append("first")
        request.headers["X-A"] = "1"

    @weir.hook("request")
    def second(request: weir.Request) -> None:
        order.append("second")
        request.headers["X-B"] = request.headers["X-A"]

    @weir.hook("response")
    async def third(response: weir.Response) -> None:
        order.append("third")
        await asyncio.sleep(0)
        response.headers["X-C"] = str(response.status)

    async def play() -> None:
        scene = Scene(hooks=[first, second, third])
        client = scene.client()
        for _ in range(2):
            scene.send(client, GET)
            assert order == []
            await turns(scene)
            assert b"X-A: 1\r\nX-B: 1\r\n" in scene.endpoint().take_sent()
            scene.send(scene.endpoint(), OK)
            assert client.take_sent() == b""
            await turns(scene)
            assert client.take_sent() == b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX-C: 200\r\n\r\nok"
            assert order == ["first", "second", "third"]
            order.clear()
        scene.close()

    in_loop(play)


def test_a_response_that_goes_on_while_a_hook_thinks_is_not_lost() -> None:
    go = asyncio.Event()

    @weir.hook("response")
    async def think(_response: weir.Response) -> None:
        await go.wait()

    async def play() -> None:
        scene = Scene(hooks=[think])
        client = scene.client(GET)
        scene.send(scene.endpoint(), b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nab")
        other = scene.client(GET.replace(b"/a", b"/b"))  # parses heads of its own meanwhile
        scene.send(scene.endpoint(0), b"cd")
        await turns(scene)
        scene.send(scene.endpoint(0), b"ef")
        scene.end(scene.endpoint(0))
        assert client.take_sent() == b""
        go.set()
        await turns(scene)
        assert client.take_sent() == b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nabcdef"
        scene.send(scene.endpoint(1), OK)
        await turns(scene)
        assert other.take_sent() == OK
        scene.close()

    in_loop(play)


@pytest.mark.parametrize("phase", ["request", "response"])
@pytest.mark.parametrize("how", ["reset", "end"])
def test_a_client_that_leaves_cancels(phase: Any, how: str) -> None:
    ended: list[str] = []

    @weir.hook(phase)
    async def waits(_message: object) -> None:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            ended.append("cancelled")
            raise

    async def play() -> None:
        scene = Scene(hooks=[waits], listener={"half_close": "abort"})
        client = scene.client(GET)
        if phase == "response":
            scene.send(scene.endpoint(), OK)
        await turns(scene)
        getattr(scene, how)(client)
        await turns(scene)
        assert ended == ["cancelled"]
        assert scene.reasons() == {"client_closed": 1}
        scene.close()

    in_loop(play)


@pytest.mark.parametrize("phase", ["request", "response"])
@pytest.mark.parametrize("on_error", ["fail", "skip"])
def test_one_that_takes_too_long_is_cancelled(phase: Any, on_error: Any) -> None:
    ended: list[str] = []

    @weir.hook(phase, timeout=0.5, on_error=on_error)
    async def waits(_message: object) -> weir.Answer:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            ended.append("cancelled")
        return weir.Answer(418)

    async def play() -> None:
        scene = Scene(hooks=[waits])
        client = scene.client(GET)
        if phase == "response":
            scene.send(scene.endpoint(), OK)
        await turns(scene)
        scene.wait_ms(400)
        assert client.take_sent() == b""
        scene.wait_ms(200)
        await turns(scene)
        assert ended == ["cancelled"]
        if on_error == "fail":
            assert client.take_sent().startswith(b"HTTP/1.1 504 Gateway Timeout\r\n")
            assert scene.reasons() == {"hook_timeout": 1}
        else:
            if phase == "request":
                scene.send(scene.endpoint(), OK)
            assert client.take_sent() == OK
        scene.close()

    in_loop(play)


def test_a_worker_that_stops_cancels() -> None:
    @weir.hook("request")
    async def waits(_request: weir.Request) -> None:
        await asyncio.sleep(60)

    async def play() -> None:
        scene = Scene(hooks=[waits])
        scene.client(GET)
        await turns(scene)
        scene.close()
        await asyncio.sleep(0)

    in_loop(play)


def test_a_coroutine_that_fails_or_cancels_itself() -> None:
    @weir.hook("request", path="/fails")
    async def fails(_request: weir.Request) -> None:
        await asyncio.sleep(0)
        raise LookupError("what")

    @weir.hook("request", path="/cancels")
    async def cancels(_request: weir.Request) -> None:
        raise asyncio.CancelledError

    async def play() -> None:
        scene = Scene(hooks=[fails, cancels])
        for path in (b"/fails", b"/cancels"):
            client = scene.client(GET.replace(b"/a", path))
            await turns(scene)
            assert client.take_sent().startswith(b"HTTP/1.1 500")
        assert scene.reasons() == {"hook_failed": 2}
        scene.close()

    in_loop(play)


def test_timeouts_of_asyncio_work_inside() -> None:
    @weir.hook("request")
    async def waits(_request: weir.Request) -> weir.Answer | None:
        try:
            async with asyncio.timeout(0.001):
                await asyncio.sleep(5)
        except TimeoutError:
            return weir.Answer(200, "in time")
        return None

    async def play() -> None:
        scene = Scene(hooks=[waits])
        client = scene.client(GET)
        for _ in range(2000):
            await turns(scene, 1)
            await asyncio.sleep(0.001)
            if sent := client.take_sent():
                break
        assert sent.endswith(b"in time")
        scene.close()

    in_loop(play)


def test_a_thousand_wait_at_a_time() -> None:
    go = asyncio.Event()

    @weir.hook("request")
    async def waits(request: weir.Request) -> None:
        await go.wait()
        request.headers["X-Target"] = request.target

    async def play() -> None:
        scene = Scene(hooks=[waits])
        clients = [scene.client(b"GET /%d HTTP/1.1\r\nHost: h\r\n\r\n" % number) for number in range(990)]
        await turns(scene)
        go.set()
        await turns(scene)
        assert scene.plane.ledger()["exchanges"] == 990
        done = 0
        for _ in range(20):
            for stream in list(scene.dialer.dialled):
                sent = stream.take_sent()
                if sent:
                    done += 1
                    target = sent.split()[1]
                    assert b"X-Target: " + target + b"\r\n" in sent
                    stream.feed(OK)
            await turns(scene, 3)
        assert done == 990
        assert all(client.take_sent() == OK for client in clients)
        scene.close()

    in_loop(play)


def test_another_cluster_is_chosen() -> None:
    @weir.hook("request")
    def choose(request: weir.Request) -> None:
        assert request.cluster == "app"
        request.cluster = "app"

    scene = Scene(hooks=[choose])
    client = scene.client(GET)
    scene.send(scene.endpoint(), OK)
    assert client.take_sent() == OK
    scene.close()


def test_a_cluster_chosen_after_waiting_looks_at_this_requests_head() -> None:
    go = asyncio.Event()

    @weir.hook("request", path="/a")
    async def choose(request: weir.Request) -> None:
        await go.wait()
        request.cluster = "app"

    async def play() -> None:
        scene = Scene(endpoints=2, hooks=[choose], retry={"idempotency_key": True})
        client = scene.client(POST.replace(b"\r\n\r\n", b"\r\nIdempotency-Key: k\r\n\r\n"))
        other = scene.client(b"GET /b HTTP/1.1\r\nHost: h\r\n\r\n")  # its head is in the workspace now
        scene.send(scene.endpoint(), OK)
        assert other.take_sent() == OK
        go.set()
        await turns(scene)
        scene.reset(scene.endpoint())
        scene.wait_ms(50)
        scene.send(scene.endpoint(), OK)
        assert client.take_sent() == OK
        assert scene.counters()["retries"] == 1
        scene.close()

    in_loop(play)


def test_who_wants_to_know_hears_of_the_first_request_that_meets_a_hook() -> None:
    @weir.hook("request", path="/a")
    def meet(_request: weir.Request) -> None:
        met.append("hook")

    met: list[str] = []
    scene = Scene(hooks=[meet])
    scene.plane.on_hooks_met(lambda: met.append("first"))
    client = scene.client()
    for path, expected in ((b"/b", []), (b"/a", ["first", "hook"]), (b"/a", ["first", "hook", "hook"])):
        scene.send(client, GET.replace(b"/a", path))
        scene.send(scene.endpoint(), OK)
        assert client.take_sent() == OK
        assert met == expected
    scene.close()
