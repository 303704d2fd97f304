"""Connections of each client: the table, and what happens to one too many."""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from tests.plane.scene import GET, OK, Scene
from weir.config.network_kinds import networks
from weir.plane.clients import ClientTable

Stage = Callable[..., Scene]


def test_as_many_as_there_may_be() -> None:
    table = ClientTable(2, 64)
    assert [table.change("192.0.2.1", True) for _ in range(3)] == [True, True, False]
    assert table.change("192.0.2.2", True)
    assert (table.clients, table.held) == (2, 3)
    table.change("192.0.2.1", False)
    assert table.change("192.0.2.1", True)
    assert not table.change("192.0.2.1", True)


@pytest.mark.parametrize(
    ("bits", "one", "same", "other"),
    [
        (64, "2001:db8::1", "2001:db8::ffff:ffff:ffff:ffff", "2001:db8:0:1::1"),
        (56, "2001:db8::1", "2001:db8:0:ff::1", "2001:db8:0:100::1"),
        (61, "2001:db8::1", "2001:db8:0:7::1", "2001:db8:0:8::1"),
        (128, "2001:db8::1", "2001:db8::1", "2001:db8::2"),
        (64, "192.0.2.1", "::ffff:192.0.2.1", "192.0.2.2"),
    ],
)
def test_what_makes_a_client(bits: int, one: str, same: str, other: str) -> None:
    table = ClientTable(1, bits)
    assert table.change(one, True)
    assert not table.change(same, True)
    assert table.change(other, True)
    table.change(same, False)
    assert table.change(one, True)


def test_a_table_of_many_that_come_and_go() -> None:
    """Against a Counter, with addresses that lie close together and so meet in the table."""
    chance = random.Random(5)
    table, model = ClientTable(3, 64), Counter[str]()
    names = [f"10.0.{n >> 8}.{n & 255}" for n in range(3000)] + [f"2001:db8:{n:x}::1" for n in range(1000)]
    for _ in range(60_000):
        name = chance.choice(names)
        if model[name] and chance.random() < 0.5:
            table.change(name, False)
            model[name] -= 1
        else:
            comes = table.change(name, True)
            assert comes == (model[name] < 3)
            model[name] += comes
    assert table.held == model.total()
    assert table.clients == sum(count > 0 for count in model.values())
    for name, count in model.items():
        for _ in range(count):
            table.change(name, False)
    assert (table.clients, table.held) == (0, 0)


# On connections

LIMITED = {"max_connections_per_client": 2}


def lines(scene: Scene) -> list[dict[str, Any]]:
    return [json.loads(line) for line in scene.log.take().splitlines()]


def test_one_connection_too_many_is_closed(stage: Stage) -> None:
    scene = stage(listener=LIMITED)
    first, second = scene.client(b"", "192.0.2.7"), scene.client(GET, "192.0.2.7")
    third = scene.client(GET, "192.0.2.7")
    assert third.was_reset
    assert third.take_sent() == b""
    assert not scene.client(b"", "192.0.2.9").is_closed, "another client"
    assert scene.reasons() == {"client_limit": 1}
    assert [(line["client"], line["reason"]) for line in lines(scene)] == [("192.0.2.7", "client_limit")]
    scene.end(first)
    assert first.is_closed
    fourth = scene.client(b"", "192.0.2.7")
    assert not fourth.is_closed
    scene.send(scene.endpoint(), OK)
    assert second.take_sent() == OK


def test_ipv6_is_counted_by_its_network(stage: Stage) -> None:
    scene = stage(listener=LIMITED)
    clients = [scene.client(b"", f"2001:db8::{n}") for n in range(1, 4)]
    assert [client.is_closed for client in clients] == [False, False, True]
    scene = stage(listener={**LIMITED, "client_prefix": 128})
    clients = [scene.client(b"", f"2001:db8::{n}") for n in range(1, 4)]
    assert [client.is_closed for client in clients] == [False, False, False]


def test_by_a_unix_socket_there_is_no_limit(stage: Stage) -> None:
    scene = stage(listener=LIMITED)
    assert [scene.client().is_closed for _ in range(4)] == [False] * 4


@pytest.mark.parametrize("end", ["end", "reset", "timeout", "refused", "failure"])
def test_every_end_gives_the_place_back(stage: Stage, end: str) -> None:
    scene = stage(listener={**LIMITED, "max_connections_per_client": 1})
    for _ in range(3):
        client = scene.client(b"", "192.0.2.7")
        if end in ("end", "reset"):
            scene.send(client, GET)
            getattr(scene, end)(client)
            scene.reset(client)
        elif end == "timeout":
            scene.wait_ms(10_100)
        elif end == "refused":
            scene.send(client, b"BAD\r\n\r\n")
            scene.end(client)
        else:
            scene.plane.refuse_memory(1)
            scene.send(client, GET)
            scene.plane.refuse_memory(0)
        assert client.is_closed
        assert scene.plane.clients_counted() == 0
    assert "client_limit" not in scene.reasons()


def test_who_a_proxy_header_tells_of_is_counted(stage: Stage) -> None:
    scene = stage(listener={**LIMITED, "proxy_protocol": "require"})
    said = b"PROXY TCP4 203.0.113.%d 192.0.2.8 1 2\r\n"
    clients = [scene.client(said % n, "10.0.0.1") for n in (1, 1, 1, 2)]
    assert [client.is_closed for client in clients] == [False, False, True, False]
    assert scene.reasons() == {"client_limit": 1}
    assert [line["client"] for line in lines(scene)] == ["203.0.113.1"]


def behind(name: str) -> bytes:
    return GET[:-2] + f"X-Forwarded-For: {name}\r\n\r\n".encode()


def test_behind_a_trusted_proxy_requests_in_progress_are_counted(stage: Stage) -> None:
    scene = stage(listener={**LIMITED, "trusted_proxies": networks().read(["10.0.0.0/8"])})
    hops = [scene.client(b"", "10.0.0.1") for _ in range(5)]
    assert not any(hop.is_closed for hop in hops), "its connections are of many clients"
    for hop, name in zip(hops, ["203.0.113.1", "203.0.113.1", "203.0.113.1", "203.0.113.2", ""], strict=True):
        scene.send(hop, behind(name))
    refused = hops[2].take_sent()
    assert refused.startswith(b"HTTP/1.1 503 ")
    assert b"\nclient_limit: " in refused
    assert b"Connection: close" not in refused, "the proxy's connection goes on"
    assert scene.dials == 4
    for number in range(4):
        scene.send(scene.endpoint(number), OK)
    for hop in hops:
        hop.take_sent()
        scene.send(hop, behind("203.0.113.3"))
    assert scene.reasons() == {"client_limit": 4}
    assert [line["client"] for line in lines(scene) if line["reason"] == "client_limit"] == [
        *("203.0.113.1", *["203.0.113.3"] * 3)
    ]
    for hop in hops:
        scene.reset(hop)
    assert scene.plane.clients_counted() == 0
