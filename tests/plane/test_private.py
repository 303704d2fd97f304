"""Endpoints that are told by a PROXY header who the client is: no connection is ever shared between two."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

import weir
from tests.plane.scene import GET, OK, Scene
from weir.config.network_kinds import networks
from weir.plane.fake import FakeStream
from weir.plane.parsers import read_proxy_header

Stage = Callable[..., Scene]

V1 = b"PROXY TCP4 192.0.2.7 192.0.2.80 4321 80\r\n"
POST = b"POST /a HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\n"


def private(stage: Stage, version: str = "v1", **options: Any) -> Scene:
    return stage(**{**options, "cluster": {"proxy_protocol": version, **options.get("cluster", {})}})


def kept(scene: Scene) -> int:
    """Connections that rest: open, and in no exchange."""
    pool = scene.plane.pools(0)[0]
    open_now, idle, dialling = pool["open"], pool["idle"], pool["connecting"]
    assert isinstance(open_now, int)
    assert isinstance(idle, int)
    assert isinstance(dialling, int)
    return open_now - idle - dialling - scene.plane.ledger()["exchanges"]


def answer(scene: Scene, client: FakeStream, number: int = -1) -> None:
    scene.send(scene.endpoint(number), OK)
    assert client.take_sent() == OK


@pytest.mark.parametrize("version", ["v1", "v2"])
def test_the_header_comes_first_and_once(stage: Stage, version: str) -> None:
    scene = private(stage, version)
    client = scene.client(GET, "192.0.2.7")
    sent = scene.endpoint().take_sent()
    header = read_proxy_header(sent)
    assert header is not None
    assert header[2:] == (("192.0.2.7", 4321), ("192.0.2.80", 80))
    assert sent[header[0] :] == GET
    answer(scene, client)
    scene.send(client, GET)
    assert scene.endpoint().take_sent() == GET
    answer(scene, client)
    assert scene.dials == 1


def test_ipv6_and_unix(stage: Stage) -> None:
    scene = private(stage)
    scene.client(GET, "2001:db8::7")
    assert scene.endpoint().take_sent() == b"PROXY TCP6 2001:db8::7 2001:db8::80 4321 80\r\n" + GET
    scene.client(GET)
    assert scene.endpoint().take_sent() == b"PROXY UNKNOWN\r\n" + GET


def test_a_header_that_came_goes_on(stage: Stage) -> None:
    scene = private(stage, listener={"proxy_protocol": "require"})
    scene.client(b"PROXY TCP6 2001:db8::1 2001:db8::2 1 2\r\n" + GET, "192.0.2.7")
    assert scene.endpoint().take_sent() == b"PROXY TCP6 2001:db8::1 2001:db8::2 1 2\r\n" + GET


def test_a_body_and_a_full_socket(stage: Stage) -> None:
    scene = private(stage)
    scene.dialer.mode = "wait"
    client = scene.client(POST, "192.0.2.7")
    endpoint = scene.endpoint()
    endpoint.room = 10
    endpoint.connect()
    scene.turn()
    scene.send(client, b"hello")
    sent = endpoint.take_sent()
    endpoint.room = -1
    scene.turn()
    assert sent + endpoint.take_sent() == V1 + POST + b"hello"


def test_no_other_client_gets_it(stage: Stage) -> None:
    scene = private(stage)
    first, second = scene.client(GET, "192.0.2.7"), scene.client(b"", "192.0.2.7")
    answer(scene, first)
    assert kept(scene) == 1
    scene.send(second, GET)
    assert scene.dials == 2, "not even of the same address: its port is another"
    answer(scene, second)
    for client, number in ((first, 0), (second, 1), (first, 0)):
        scene.endpoint(number).take_sent()
        scene.send(client, GET)
        assert scene.endpoint(number).take_sent() == GET
        answer(scene, client, number)
    assert scene.dials == 2


def test_it_ends_with_its_client(stage: Stage) -> None:
    scene = private(stage)
    client = scene.client(GET, "192.0.2.7")
    answer(scene, client)
    assert not scene.endpoint().is_closed
    scene.end(client)
    assert scene.endpoint().is_closed


def test_it_rests_no_longer_than_others(stage: Stage) -> None:
    scene = private(stage, pool={"idle_timeout_ms": 500})
    client = scene.client(GET, "192.0.2.7")
    answer(scene, client)
    scene.wait_ms(600)
    assert scene.endpoint().is_closed
    scene.send(client, GET)
    assert scene.endpoint().take_sent() == V1 + GET
    answer(scene, client)


@pytest.mark.parametrize("noticed", [True, False])
def test_the_endpoint_may_close_it(stage: Stage, noticed: bool) -> None:
    scene = private(stage)
    client = scene.client(GET, "192.0.2.7")
    answer(scene, client)
    if noticed:
        scene.end(scene.endpoint())
        assert scene.endpoint().is_closed
    else:
        scene.endpoint().feed_end()
    scene.send(client, GET)
    assert scene.dials == 2
    assert scene.endpoint().take_sent() == V1 + GET
    answer(scene, client)
    assert scene.reasons() == {}


def test_a_request_that_is_sent_again_introduces_itself_again(stage: Stage) -> None:
    scene = private(stage)
    client = scene.client(GET, "192.0.2.7")
    answer(scene, client)
    scene.send(client, GET)
    scene.reset(scene.endpoint())
    assert scene.dials == 2
    assert scene.endpoint().take_sent() == V1 + GET
    answer(scene, client)


@pytest.mark.parametrize("pool", [{"max_requests": 2}, {"max_age_ms": 0}])
def test_it_is_used_no_longer_than_others(stage: Stage, pool: dict[str, int]) -> None:
    scene = private(stage, pool=pool)
    client = scene.client(GET, "192.0.2.7")
    answer(scene, client)
    for _ in range(4):
        scene.send(client, GET)
        answer(scene, client)
    assert scene.dials == 5 - (2 if "max_requests" in pool else 0)


def test_one_that_is_not_in_order_is_closed(stage: Stage) -> None:
    scene = private(stage)
    client = scene.client(GET, "192.0.2.7")
    scene.send(scene.endpoint(), OK[:-4] + b"Connection: close\r\n\r\nok")
    assert scene.endpoint().is_closed
    scene.reset(client)


def test_who_rests_makes_room(stage: Stage) -> None:
    """At max_connections the one that has rested longest goes, not the client that comes."""
    scene = private(stage, pool={"max_connections": 2})
    clients = [scene.client(GET, f"192.0.2.{n}") for n in (1, 2)]
    for number, client in enumerate(clients):
        answer(scene, client, number)
        scene.wait_ms(10)
    third = scene.client(GET, "192.0.2.3")
    assert scene.dials == 3
    assert [scene.endpoint(number).is_closed for number in range(3)] == [True, False, False]
    answer(scene, third)
    scene.send(clients[0], GET)
    assert scene.dials == 4
    answer(scene, clients[0])


def test_who_is_queued_gets_the_place(stage: Stage) -> None:
    scene = private(stage, pool={"max_connections": 1})
    first = scene.client(GET, "192.0.2.1")
    second = scene.client(GET, "192.0.2.2")
    assert scene.plane.queued(0) == 1
    answer(scene, first)
    assert scene.endpoint(0).is_closed
    assert scene.endpoint(1).take_sent().startswith(b"PROXY TCP4 192.0.2.2 ")
    answer(scene, second)


def test_a_dial_that_nobody_took_is_anybodys(stage: Stage) -> None:
    """Nothing was said on it yet."""
    scene = private(stage)
    scene.dialer.mode = "wait"
    first = scene.client(GET, "192.0.2.1")
    scene.reset(first)
    scene.endpoint().connect()
    scene.turn()
    assert scene.plane.pools(0)[0]["idle"] == 1
    second = scene.client(GET, "192.0.2.2")
    assert scene.dials == 1
    assert scene.endpoint().take_sent().startswith(b"PROXY TCP4 192.0.2.2 ")
    answer(scene, second)


def test_behind_a_trusted_proxy_the_client_may_change(stage: Stage) -> None:
    scene = private(stage, listener={"trusted_proxies": networks().read(["10.0.0.0/8"])})
    hop = scene.client(b"", "10.0.0.1")
    for name, dials in (("203.0.113.1", 1), ("203.0.113.1", 1), ("203.0.113.2", 2), ("203.0.113.1", 3)):
        scene.send(hop, GET[:-2] + f"X-Forwarded-For: {name}\r\n\r\n".encode())
        sent = scene.endpoint().take_sent()
        assert scene.dials == dials
        if not sent.startswith(b"GET"):
            assert sent.startswith(f"PROXY TCP4 {name} 192.0.2.80 0 80\r\nGET ".encode())
        answer(scene, hop)
    assert kept(scene) == 1, "the others are closed"


def test_nobody_waits_for_what_is_not_given_back(stage: Stage) -> None:
    scene = private(stage, pool={"wait_idle_ms": 1000})
    scene.client(GET, "192.0.2.1")
    scene.client(GET, "192.0.2.2")
    assert scene.dials == 2


def test_a_client_at_two_endpoints(stage: Stage) -> None:
    """It stays with the one to which its connection is."""
    scene = private(stage, endpoints=2)
    client = scene.client(GET, "192.0.2.7")
    for _ in range(3):
        answer(scene, client)
        scene.send(client, GET)
    assert scene.dials == 1


def test_stopping_closes_what_rests(stage: Stage) -> None:
    scene = private(stage)
    client = scene.client(GET, "192.0.2.7")
    answer(scene, client)
    quiet: list[bool] = []
    scene.plane.drain(lambda: quiet.append(True))
    scene.end(client)
    assert quiet == [True]
    assert scene.endpoint().is_closed
    assert scene.plane.ledger()["upstreams"] == 0


def test_a_connection_that_is_kept_is_no_way_past_the_limit(stage: Stage) -> None:
    scene = private(stage, limit={"max_requests": 1})
    first = scene.client(GET, "192.0.2.7")
    scene.endpoint().take_sent()
    answer(scene, first)
    other = scene.client(GET, "192.0.2.8")
    assert scene.endpoint().take_sent().endswith(GET)
    scene.send(first, GET)
    assert scene.plane.queued(0) == 1
    assert (scene.endpoint(0).take_sent(), scene.endpoint(0).is_closed) == (b"", True)
    answer(scene, other)
    assert scene.endpoint().take_sent() == V1 + GET
    answer(scene, first)


def test_a_connection_that_is_kept_is_no_way_past_the_breaker(stage: Stage) -> None:
    scene = private(stage, breaker={"failures_percent": 50, "volume": 4, "open_for_ms": 2_000})
    client = scene.client(host="192.0.2.7")
    broken = b"HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\n\r\n"
    for _ in range(4):
        scene.send(client, GET)
        scene.send(scene.endpoint(), broken)
        assert client.take_sent() == broken
    scene.endpoint().take_sent()
    scene.send(client, GET)
    assert b"circuit_open" in client.take_sent()
    assert (scene.endpoint().take_sent(), scene.dials) == (b"", 1)


def test_an_endpoint_that_a_hook_names_goes_before_the_connection_that_is_there() -> None:
    @weir.hook("request")
    def chooses(request: weir.Request) -> None:
        request.endpoint = "192.0.2.1:80" if request.path == "/a" else "192.0.2.2:80"

    scene = Scene(hooks=[chooses], endpoints=2, cluster={"proxy_protocol": "v1"})
    client = scene.client(GET, "192.0.2.7")
    answer(scene, client)
    scene.endpoint(0).take_sent()
    scene.send(client, GET)
    assert scene.endpoint(0).take_sent() == GET
    answer(scene, client)
    scene.send(client, GET.replace(b"/a", b"/b"))
    assert scene.endpoint(0).is_closed
    peer = scene.endpoint(1).peer
    assert peer is not None
    assert peer.text == "192.0.2.2:80"
    answer(scene, client)
    scene.close()
