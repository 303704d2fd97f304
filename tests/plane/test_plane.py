"""The plane on real sockets, turned by hand: listeners, streams, addresses."""

from __future__ import annotations

import contextlib
import gc
import socket
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.plane.scene import Scene
from weir.config.plan import AddressPlan, ClusterPlan, ListenerPlan, Plan, RoutePlan
from weir.plane.accesslog import AccessLog
from weir.plane.counters import Counters
from weir.plane.engine import Engine
from weir.plane.plane import Plane
from weir.plane.stream import Address
from weir.stats import layout

GET = b"GET /a HTTP/1.1\r\nHost: h\r\n\r\n"


class Rig:
    """A plane with a real listener in front of a real endpoint socket."""

    def __init__(self, family: int = socket.AF_INET, place: Any = ("127.0.0.1", 0), most: int = 100) -> None:
        self.engine = Engine()
        self.memory = layout.create(64, ["main"], workers=1)
        self.listening = socket.socket(family)
        if family == socket.AF_INET6:
            self.listening.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        self.listening.bind(place)
        self.listening.listen()
        self.listening.setblocking(False)
        self.server = socket.create_server(("127.0.0.1", 0))
        self.server.settimeout(2)
        host, port = self.server.getsockname()
        address = AddressPlan(f"{host}:{port}", host, port)
        listener = replace(ListenerPlan(AddressPlan("x", "", 1), 0, via="off"), max_connections=most)
        plan = Plan((listener,), (RoutePlan("main", 0),), (ClusterPlan("app", (address,)),))
        self.plane = Plane(plan, self.engine, Counters(self.memory, 0), AccessLog("off", 4096), lambda: b"", 100)
        self.plane.set_addresses(0, f"{host}:{port}", [Address(host=host, port=port)])
        self.plane.listen(0, self.listening.fileno())
        self.open: list[socket.socket] = []

    def client(self, place: Any = None) -> socket.socket:
        family = socket.AF_INET if isinstance(place, tuple) and "." in str(place[0]) else self.listening.family
        client = socket.socket(family)
        client.settimeout(2)
        client.connect(place or self.listening.getsockname())
        self.open.append(client)
        self.turn()
        return client

    def accept(self) -> socket.socket:
        self.turn()
        peer, _ = self.server.accept()
        peer.settimeout(2)
        self.open.append(peer)
        return peer

    def turn(self, seconds: float = 0.03) -> None:
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            self.engine.turn(1)

    def close(self) -> None:
        for sock in self.open:
            sock.close()
        self.turn()
        self.plane.close()
        assert not any(self.plane.ledger().values()), self.plane.ledger()
        assert self.engine.sources == 0
        self.listening.close()
        self.server.close()
        self.engine.close()
        del self.plane
        gc.collect()
        self.memory.close()


@pytest.fixture
def rig() -> Iterator[Rig]:
    rig = Rig()
    yield rig
    rig.close()


def test_one_exchange_over_tcp(rig: Rig) -> None:
    client = rig.client()
    client.sendall(GET)
    endpoint = rig.accept()
    assert b"\r\nX-Forwarded-For: 127.0.0.1\r\n" in endpoint.recv(4096)
    endpoint.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
    rig.turn()
    assert client.recv(4096).endswith(b"\r\nX-Bytes: 2\r\n\r\nok")


def test_refused_endpoint(rig: Rig) -> None:
    rig.server.close()
    client = rig.client()
    client.sendall(GET)
    rig.turn()
    assert b"connect_refused" in client.recv(4096)


def test_a_reset_of_the_client_reaches_the_endpoint(rig: Rig) -> None:
    client = rig.client()
    client.sendall(GET)
    endpoint = rig.accept()
    endpoint.recv(4096)
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    client.close()
    rig.turn()
    assert endpoint.recv(1) == b""
    assert rig.plane.ledger()["exchanges"] == 0


def test_a_large_body_waits_for_its_reader(rig: Rig) -> None:
    client = rig.client()
    client.sendall(GET)
    endpoint = rig.accept()
    endpoint.recv(4096)
    endpoint.setblocking(False)
    total = 30_000_000
    left = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % total + bytes(total)
    view = memoryview(left)
    for _ in range(20):
        try:
            view = view[endpoint.send(view) :]
        except BlockingIOError:
            rig.turn(0.005)
    assert len(view) > 0, "the client does not read, yet everything went somewhere"
    assert rig.plane.ledger()["buffer_bytes"] <= 512 * 1024
    received = 0
    client.setblocking(False)
    until = time.monotonic() + 20
    while received < total and time.monotonic() < until:
        if view:
            with contextlib.suppress(BlockingIOError):
                view = view[endpoint.send(view[: 1 << 20]) :]
        rig.turn(0.001)
        with contextlib.suppress(BlockingIOError):
            received += len(client.recv(1 << 20))
    assert received > total


def test_connections_beyond_the_limit_wait_and_are_served_later() -> None:
    rig = Rig(most=2)
    try:
        first, second = rig.client(), rig.client()
        third = rig.client()
        third.sendall(GET)
        rig.turn()
        assert rig.plane.ledger()["downstreams"] == 2
        first.close()
        rig.turn()
        assert rig.plane.ledger()["downstreams"] == 2
        assert b"GET /a" in rig.accept().recv(4096)
        second.close()
    finally:
        rig.close()


def test_clients_are_named_by_their_own_kind_of_address() -> None:
    rig = Rig(socket.AF_INET6, ("::", 0))
    try:
        port = rig.listening.getsockname()[1]
        for place, text in ((("127.0.0.1", port), b"127.0.0.1"), (("::1", port), b"::1")):
            client = rig.client(place)
            client.sendall(GET)
            assert b"\r\nX-Forwarded-For: " + text + b"\r\n" in rig.accept().recv(4096)
    finally:
        rig.close()


def test_unix_clients(tmp_path: Path) -> None:
    rig = Rig(socket.AF_UNIX, str(tmp_path / "s"))
    try:
        rig.client().sendall(GET)
        assert b"\r\nX-Forwarded-For: unix:\r\n" in rig.accept().recv(4096)
    finally:
        rig.close()


@pytest.mark.parametrize(("host", "text"), [("192.0.2.1", "192.0.2.1:80"), ("2001:db8::1", "[2001:db8::1]:80")])
def test_address_literals(host: str, text: str) -> None:
    assert Address(host=host, port=80).text == text


def test_addresses_that_are_none() -> None:
    for host in ("example.org", "", "1.2.3", "::g"):
        with pytest.raises(ValueError, match="not an address literal"):
            Address(host=host, port=80)
    for port in (0, 65536, -1):
        with pytest.raises(ValueError, match="a port is"):
            Address(host="::1", port=port)
    assert Address(path="/run/" + "a" * 100).text == "unix:/run/" + "a" * 100
    for path in ("", "a" * 108):
        with pytest.raises(ValueError, match="107 bytes"):
            Address(path=path)


def test_timers_are_told(stage: Callable[..., Scene]) -> None:
    scene = stage()
    before = scene.plane.timers()
    scene.client(GET)
    assert scene.plane.timers() > before, "of the request, at least"
