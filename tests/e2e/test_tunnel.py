"""Upgrade: after 101 the exchange is a tunnel of bytes, each direction ending by itself."""

from __future__ import annotations

from contextlib import ExitStack

import pytest
from websockets.exceptions import ConnectionClosedError, ConnectionClosedOK
from websockets.sync.client import connect

from .peers import Link, ok
from .rig import Rig
from .servers import ASGI, pattern
from .wire import Wire, eventually

pytestmark = pytest.mark.timeout(20)

UPGRADE = b"GET /%s HTTP/1.1\r\nHost: test\r\nConnection: Upgrade\r\nUpgrade: testing/1\r\n\r\n"
SWITCHING = b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: testing/1\r\n\r\n"


def websocket_url(rig: Rig) -> str:
    return rig.proxy.url("/socket", ASGI).replace("http://", "ws://")


def open_tunnel(rig: Rig, name: bytes) -> tuple[Wire, Link]:
    """A client and the endpoint's side of a tunnel between them."""
    links: list[Link] = []

    def script(link: Link) -> None:
        link.head()
        links.append(link)
        link.send(SWITCHING)
        eventually(lambda: link.sock.fileno() < 0, 15)

    rig.endpoint.handle(script)
    client = rig.connect()
    client.send(UPGRADE % name)
    head = client.head()
    assert head.status == 101
    assert (head.get("Connection") or "").lower() == "upgrade"
    assert head.get("Upgrade") == "testing/1"
    return client, links[0]


# -- WebSocket


def test_websocket_echo_of_every_size(town: Rig) -> None:
    with connect(websocket_url(town), max_size=None) as socket:
        for size in (0, 1, 125, 126, 65_535, 65_536, 3_000_000):
            data = pattern(size)
            socket.send(data)
            assert socket.recv(timeout=5) == data
        socket.send("text é")
        assert socket.recv(timeout=5) == "text é"


def test_websocket_closed_by_the_client(town: Rig) -> None:
    with connect(websocket_url(town)) as socket:
        socket.send("hello")
        assert socket.recv(timeout=5) == "hello"
        socket.close(1000, "done")
        assert (socket.close_code, socket.close_reason) == (1000, "done")


def test_websocket_closed_by_the_server(town: Rig) -> None:
    with connect(websocket_url(town)) as socket:
        socket.send("bye")
        with pytest.raises((ConnectionClosedError, ConnectionClosedOK)) as closed:
            socket.recv(timeout=5)
    assert closed.value.rcvd is not None
    assert (closed.value.rcvd.code, closed.value.rcvd.reason) == (4001, "as asked")


def test_forty_websockets_at_once(town: Rig) -> None:
    with ExitStack() as stack:
        sockets = [stack.enter_context(connect(websocket_url(town))) for _ in range(40)]
        for round_number in range(5):
            for n, socket in enumerate(sockets):
                socket.send(f"{n}/{round_number}")
            assert [socket.recv(timeout=5) for socket in sockets] == [f"{n}/{round_number}" for n in range(40)]


# -- bare tunnels


def test_the_endpoint_is_asked_to_upgrade(plain: Rig) -> None:
    plain.endpoint.reply(ok(b"no upgrade today"))
    assert plain.ask(UPGRADE % b"asked").body == b"no upgrade today"
    seen = plain.endpoint.requests[0].head
    assert seen.get("Upgrade") == "testing/1"
    assert (seen.get("Connection") or "").lower() == "upgrade"


def test_bytes_that_come_with_the_heads_are_not_lost(plain: Rig) -> None:
    def script(link: Link) -> None:
        link.head()
        link.send(SWITCHING + b"early from endpoint")
        assert link.read_exactly(17) == b"early from client"
        link.send(b"!")

    plain.endpoint.handle(script)
    client = plain.connect()
    client.send(UPGRADE % b"early" + b"early from client")
    assert client.head().status == 101
    assert client.read_to_end() == b"early from endpoint!"


def test_half_close_of_the_client(plain: Rig) -> None:
    client, link = open_tunnel(plain, b"half-client")
    client.send(b"question")
    client.half_close()
    assert link.read_to_end() == b"question"
    link.send(b"a late answer")
    link.send(b", in two pieces")
    link.half_close()
    assert client.read_to_end() == b"a late answer, in two pieces"
    link.close()


def test_half_close_of_the_endpoint(plain: Rig) -> None:
    client, link = open_tunnel(plain, b"half-endpoint")
    link.send(b"goodbye")
    link.half_close()
    assert client.read_to_end() == b"goodbye"
    client.send(b"a last word")
    client.half_close()
    assert link.read_to_end() == b"a last word"
    link.close()


def test_a_reset_of_the_endpoint_ends_the_client(plain: Rig) -> None:
    client, link = open_tunnel(plain, b"endpoint-reset")
    link.reset()
    assert client.ended()
    record = plain.proxy.logged(target="/endpoint-reset")[0]
    assert (record["status"], record["reason"]) == (101, "upstream_reset")


def test_a_reset_of_the_client_ends_the_endpoint(plain: Rig) -> None:
    client, link = open_tunnel(plain, b"client-reset")
    client.reset()
    assert link.ended()
    link.close()
    record = plain.proxy.logged(target="/client-reset")[0]
    assert (record["status"], record["reason"]) == (101, "client_closed")


def test_a_tunnel_carries_much_both_ways(plain: Rig) -> None:
    data = pattern(8 << 20)

    def script(link: Link) -> None:
        link.head()
        link.send(SWITCHING)
        received = link.read_exactly(len(data))
        link.send(received)

    plain.endpoint.handle(script)
    client = plain.connect()
    client.send(UPGRADE % b"much")
    assert client.head().status == 101
    client.send(data)
    assert client.read_exactly(len(data)) == data


def test_a_101_that_nobody_asked_for_is_refused(plain: Rig) -> None:
    plain.endpoint.reply(SWITCHING)
    response = plain.get("/unasked")
    assert response.status == 502
    assert plain.reason("/unasked") in ("bad_response", "bad_response_framing")
