"""A full listener: who waits without a request makes room, who is being served does not."""

from __future__ import annotations

import time

import pytest

from .conftest import MakeRig
from .peers import ok
from .rig import Rig

pytestmark = pytest.mark.timeout(20)

GET = b"GET / HTTP/1.1\r\nHost: test\r\n\r\n"


def evicted(rig: Rig) -> int:
    lines = [line.split() for line in rig.get("/weir-stats").body.decode().splitlines()]
    return sum(int(words[0]) for words in lines if words[1:] == ["evicted"])


def test_half_a_head_makes_room(weir: MakeRig) -> None:
    rig = weir(listener={"max_connections": 5})
    slow = [rig.connect() for _ in range(5)]
    for client in slow:
        client.send(GET[:9])
    time.sleep(0.4)
    for _ in range(3):
        assert rig.get("/").status == 200
    assert slow[0].ended(), "the first to come is the first to go"
    assert not slow[4].ended(0.1), "one place was enough for clients that leave"
    assert 1 <= evicted(rig) <= 4


def test_idle_clients_make_room(weir: MakeRig) -> None:
    rig = weir(listener={"max_connections": 5})
    idle = [rig.connect() for _ in range(5)]
    for client in idle:
        client.send(GET)
        assert client.response().status == 200
    time.sleep(0.4)
    idle[0].send(GET)
    assert idle[0].response().status == 200
    assert rig.get("/").status == 200
    assert idle[1].ended(), "it has waited longest"
    idle[0].send(GET)
    assert idle[0].response().status == 200


def test_an_exchange_in_progress_makes_none(weir: MakeRig) -> None:
    rig = weir(listener={"max_connections": 3})
    rig.endpoint.reply(1.0, ok(b"late"))
    busy = [rig.connect() for _ in range(3)]
    for client in busy:
        client.send(GET)
    rig.endpoint.wait_requests(3)
    waiting = rig.connect()
    waiting.send(GET)
    assert waiting.silent(0.5)
    assert [client.response().body for client in busy] == [b"late"] * 3
    assert waiting.response().body == b"late", "there is room again, or somebody has waited long enough"


def test_few_descriptors_are_shared(weir: MakeRig) -> None:
    """Clients never take all of them: there is always one for the endpoint."""
    rig = weir(listener={"max_connections": 200}, descriptor_limit=60)  # 22 for clients, of all listeners together
    slow = [rig.connect() for _ in range(60)]
    for client in slow:
        client.send(GET[:9])
    time.sleep(0.6)
    rig.endpoint.reply(ok(b"served"))
    assert [rig.get("/").status for _ in range(3)] == [200] * 3
    assert evicted(rig) >= 3
