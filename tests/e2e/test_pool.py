"""Connections to endpoints: kept, limited, waited for, warmed, and let go."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from .conftest import MakeRig
from .peers import ok
from .rig import Rig
from .wire import Message, Wire, eventually

pytestmark = pytest.mark.timeout(20)


def start(rig: Rig, path: str) -> Wire:
    """A client that has asked for `path` and not yet read the answer."""
    client = rig.connect()
    client.send(f"GET {path} HTTP/1.1\r\nHost: test\r\n\r\n".encode())
    return client


class Gate:
    """Holds back the answers of an endpoint until it is opened."""

    def __init__(self, rig: Rig, held: str = "/held") -> None:
        self.event = threading.Event()
        rig.endpoint.respond(self.answer)
        self.held = held

    def answer(self, request: Message) -> bytes:
        if request.head.target.startswith(self.held):
            assert self.event.wait(10)
        return ok(request.head.target.encode())

    def open(self) -> None:
        self.event.set()


@contextmanager
def black_hole() -> Iterator[str]:
    """The address of a listening socket whose backlog is full: the kernel answers no further connect."""
    with socket.socket() as listening, contextlib.ExitStack() as held:
        listening.bind(("127.0.0.1", 0))
        listening.listen(0)
        for _ in range(4):
            sock = held.enter_context(socket.socket())
            sock.setblocking(False)
            sock.connect_ex(listening.getsockname())
        time.sleep(0.05)
        yield f"127.0.0.1:{listening.getsockname()[1]}"


# -- reuse


def test_the_newest_idle_connection_is_taken(weir: MakeRig) -> None:
    rig = weir()
    gate = Gate(rig)
    clients = [start(rig, f"/held{n}") for n in range(3)]
    rig.endpoint.wait_requests(3)
    gate.open()
    for client in clients:
        assert client.response().status == 200
    for _ in range(10):
        assert rig.get("/later").status == 200
    assert len({request.link for request in rig.endpoint.requests[3:]}) == 1
    assert len(rig.endpoint.links) == 3


def test_at_most_max_idle_connections_stay(weir: MakeRig) -> None:
    rig = weir(pool={"max_idle": 2})
    gate = Gate(rig)
    clients = [start(rig, f"/held{n}") for n in range(6)]
    rig.endpoint.wait_requests(6)
    gate.open()
    for client in clients:
        assert client.response().status == 200
    rig.endpoint.wait_links(2)
    time.sleep(0.1)
    assert len(rig.endpoint.open_links) == 2


def test_max_idle_zero_keeps_none(weir: MakeRig) -> None:
    rig = weir(pool={"max_idle": 0})
    for _ in range(3):
        assert rig.get("/").status == 200
        rig.endpoint.wait_links(0)
    assert len(rig.endpoint.links) == 3


def test_idle_timeout_closes(weir: MakeRig) -> None:
    rig = weir(pool={"idle_timeout": "1s"})
    for _ in range(3):  # use puts it off
        assert rig.get("/").status == 200
        time.sleep(0.4)
    assert len(rig.endpoint.links) == 1
    rig.endpoint.wait_links(0, timeout=10)  # the default is far longer


def test_max_requests_of_a_connection(weir: MakeRig) -> None:
    rig = weir(pool={"max_requests": 3})
    for _ in range(8):
        assert rig.get("/").status == 200
    assert [request.link for request in rig.endpoint.requests] == [0, 0, 0, 1, 1, 1, 2, 2]
    rig.endpoint.wait_links(1)


def test_max_age_of_a_connection(weir: MakeRig) -> None:
    rig = weir(pool={"max_age": "300ms"})
    for _ in range(8):
        assert rig.get("/").status == 200
        time.sleep(0.1)
    assert 2 <= len(rig.endpoint.links) <= 4


def test_min_idle_connections_are_made_before_they_are_needed(weir: MakeRig) -> None:
    rig = weir(pool={"min_idle": 3})
    rig.slack = 3
    rig.endpoint.wait_links(3)
    assert rig.endpoint.requests == []
    assert rig.get("/").status == 200
    assert rig.endpoint.requests[0].link < 3
    for link in rig.endpoint.open_links[:2]:
        link.close()
    eventually(lambda: len(rig.endpoint.open_links) >= 3, 3.0, "warm again")


def test_a_dial_and_a_connection_given_back_race(weir: MakeRig) -> None:
    rig = weir()
    gate = Gate(rig)
    first = start(rig, "/held")
    rig.endpoint.wait_requests(1)
    # No idle connection: the next request does not wait for the first to end, which it does not before it may.
    assert rig.get("/free").status == 200
    gate.open()
    assert first.response().status == 200


# -- the tutorial's numbers


def test_wait_idle_waits_before_dialling(weir: MakeRig) -> None:
    rig = weir(pool={"wait_idle": "200ms"})
    gate = Gate(rig)
    busy = start(rig, "/held")  # nothing can be given back yet: this one does not wait
    rig.endpoint.wait_requests(1)
    started = time.monotonic()
    assert rig.get("/waits").status == 200
    assert time.monotonic() - started > 0.15
    assert rig.get("/takes-the-idle-one").status == 200
    assert len(rig.endpoint.links) == 2
    gate.open()
    assert busy.response().status == 200


def test_wait_idle_takes_what_is_given_back(weir: MakeRig) -> None:
    rig = weir(pool={"wait_idle": "5s"})
    rig.endpoint.reply(0.2, ok(b"done"))
    first = start(rig, "/first")
    rig.endpoint.wait_requests(1)
    second = start(rig, "/second")
    assert first.response().status == 200
    assert second.response().status == 200
    assert len(rig.endpoint.links) == 1


def test_give_back_waits_for_room(weir: MakeRig) -> None:
    rig = weir(pool={"max_idle": 1, "give_back": "600ms"})
    gate = Gate(rig)
    clients = [start(rig, f"/held{n}") for n in range(2)]
    rig.endpoint.wait_requests(2)
    gate.open()
    for client in clients:
        assert client.response().status == 200
    time.sleep(0.3)
    assert len(rig.endpoint.open_links) == 2
    rig.endpoint.wait_links(1, timeout=1.0)


def test_a_surplus_connection_takes_the_room_that_comes(weir: MakeRig) -> None:
    rig = weir(pool={"max_idle": 1, "give_back": "400ms"})
    gate = Gate(rig)
    clients = [start(rig, f"/held{n}") for n in range(2)]
    rig.endpoint.wait_requests(2)
    gate.open()
    for client in clients:
        assert client.response().status == 200
    gate.event.clear()
    third = start(rig, "/held2")  # takes the idle one: there is room now
    rig.endpoint.wait_requests(3)
    time.sleep(0.6)
    assert len(rig.endpoint.open_links) == 2
    gate.open()
    assert third.response().status == 200
    rig.endpoint.wait_links(1, timeout=1.5)


# -- limits and the queue


def test_max_connections_is_never_exceeded(weir: MakeRig) -> None:
    rig = weir(pool={"max_connections": 3}, queue={"size": 100, "timeout": "5s"})
    open_at_once: list[int] = []

    def answer(request: Message) -> list[bytes | float]:
        open_at_once.append(len(rig.endpoint.open_links))
        return [0.02, ok(b"done")]

    rig.endpoint.respond(answer)
    clients = [start(rig, f"/n{n}") for n in range(30)]
    for client in clients:
        assert client.response().status == 200
    assert max(open_at_once) == 3
    assert len(rig.endpoint.links) == 3


def test_the_queue_is_served_in_order(weir: MakeRig) -> None:
    rig = weir(pool={"max_connections": 1}, queue={"size": 100, "timeout": "5s"})
    gate = Gate(rig)
    clients = [start(rig, "/held")]
    rig.endpoint.wait_requests(1)
    for n in range(8):
        clients.append(start(rig, f"/n{n}"))
        time.sleep(0.03)
    gate.open()
    for client in clients:
        assert client.response().status == 200
    assert rig.endpoint.targets() == ["/held", *(f"/n{n}" for n in range(8))]
    assert len(rig.endpoint.links) == 1


def test_a_wait_in_the_queue_ends(weir: MakeRig) -> None:
    rig = weir(pool={"max_connections": 1}, queue={"size": 10, "timeout": "300ms"})
    gate = Gate(rig)
    first = start(rig, "/held")
    rig.endpoint.wait_requests(1)
    started = time.monotonic()
    response = rig.get("/queued")
    assert time.monotonic() - started > 0.25
    assert response.status == 503
    assert b"queue_timeout" in response.body
    assert int(response.head.get("Retry-After") or 0) >= 1
    assert rig.reason("/queued") == "queue_timeout"
    gate.open()
    assert first.response().status == 200
    assert rig.endpoint.targets() == ["/held"]


def test_a_full_queue_is_answered_at_once(weir: MakeRig) -> None:
    rig = weir(pool={"max_connections": 1}, queue={"size": 2, "timeout": "5s"})
    gate = Gate(rig)
    clients = [start(rig, "/held")]
    rig.endpoint.wait_requests(1)
    clients += [start(rig, f"/n{n}") for n in range(2)]
    time.sleep(0.1)
    response = rig.get("/too-many")
    assert response.status == 503
    assert b"queue_full" in response.body
    assert int(response.head.get("Retry-After") or 0) >= 1
    assert rig.reason("/too-many") == "queue_full"
    gate.open()
    assert [client.response().status for client in clients] == [200, 200, 200]


def test_the_queue_moves_on_when_a_connection_dies(weir: MakeRig) -> None:
    rig = weir(pool={"max_connections": 1}, queue={"size": 10, "timeout": "5s"})
    rig.endpoint.respond(lambda request: [0.1, "close"] if request.head.target == "/dies" else ok(b"done"))
    dying = start(rig, "/dies")
    rig.endpoint.wait_requests(1)
    waiting = [start(rig, f"/n{n}") for n in range(3)]
    assert dying.response().status == 502
    assert [client.response().status for client in waiting] == [200] * 3
    assert len(rig.endpoint.links) == 2


def test_a_connect_that_hangs_ends(weir: MakeRig) -> None:
    with black_hole() as address:
        rig = weir(endpoints=[address], cluster={"connect_timeout": "300ms"})
        started = time.monotonic()
        response = rig.get("/hangs")
        assert time.monotonic() - started > 0.25
        assert response.status == 504
        assert rig.reason("/hangs") == "connect_timeout"
