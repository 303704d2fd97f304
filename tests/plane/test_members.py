"""Who of a cluster gets requests: members that come and go, and the standings that all workers share."""

from __future__ import annotations

import errno
from collections.abc import Callable

import pytest

from tests.plane.scene import GET, OK, Scene
from weir.plane.stream import Address
from weir.stats import reader
from weir.stats.roster import Health, Order, change

Stage = Callable[..., Scene]


def asked(scene: Scene, times: int) -> list[int]:
    """Which endpoints a number of requests went to, each by a connection of its own."""
    found = []
    for _ in range(times):
        scene.client(GET)
        endpoint = scene.endpoint()
        scene.send(endpoint, OK.replace(b"OK\r\n", b"OK\r\nConnection: close\r\n"))
        assert endpoint.peer is not None
        found.append(int(endpoint.peer.text.split(":")[0].rpartition(".")[2]))
    return found


def test_orders_and_health_are_obeyed_at_once(stage: Stage) -> None:
    scene = stage(endpoints=3)
    assert sorted(asked(scene, 3)) == [1, 2, 3]
    change(scene.memory, 0, order=Order.DRAIN)
    assert sorted(asked(scene, 4)) == [2, 2, 3, 3]
    change(scene.memory, 1, health=Health.UNHEALTHY)
    assert asked(scene, 3) == [3, 3, 3]
    change(scene.memory, 0, order=Order.READY)
    change(scene.memory, 1, health=Health.HEALTHY)
    assert sorted(asked(scene, 3)) == [1, 2, 3]


def test_an_ejection_ends_by_itself(stage: Stage) -> None:
    scene = stage(endpoints=2)
    change(scene.memory, 0, ejected_until_us=scene.clock.now_us + 5_000_000)
    assert asked(scene, 3) == [2, 2, 2]
    scene.wait_ms(5_100)
    assert sorted(asked(scene, 2)) == [1, 2]


def test_when_all_are_unhealthy_all_are_asked(stage: Stage) -> None:
    scene = stage(endpoints=2)
    change(scene.memory, 0, health=Health.UNHEALTHY)
    change(scene.memory, 1, ejected_until_us=scene.clock.now_us + 5_000_000)
    assert sorted(asked(scene, 2)) == [1, 2]


def test_an_ejected_one_is_the_last_resort(stage: Stage) -> None:
    scene = stage(endpoints=3)
    change(scene.memory, 0, ejected_until_us=scene.clock.now_us + 5_000_000)
    change(scene.memory, 1, health=Health.UNHEALTHY)
    scene.dialer.mode = "wait"
    client = scene.client(GET)
    scene.endpoint(0).connect(errno.ECONNREFUSED)
    scene.turn()
    peer = scene.endpoint(1).peer
    assert peer is not None
    assert peer.text == "192.0.2.1:80", "it may be back; the unhealthy one is not asked"
    scene.endpoint(1).connect()
    scene.turn()
    scene.send(scene.endpoint(1), OK)
    assert client.take_sent() == OK


def test_when_all_are_ordered_down_nobody_is(stage: Stage) -> None:
    scene = stage(endpoints=2)
    change(scene.memory, 0, order=Order.DOWN)
    change(scene.memory, 1, order=Order.DRAIN)
    assert b"no_endpoint" in scene.client(GET).take_sent()


def test_a_member_comes_and_goes(stage: Stage) -> None:
    scene = stage(endpoints=1)
    scene.plane.add_endpoint(0, "192.0.2.7:80")
    scene.plane.set_addresses(0, "192.0.2.7:80", [Address(host="192.0.2.7", port=80)])
    assert scene.plane.endpoints(0) == ["192.0.2.1:80", "192.0.2.7:80"]
    assert sorted(asked(scene, 4)) == [1, 1, 7, 7]
    in_progress = scene.client(GET)
    last = scene.endpoint()
    scene.plane.remove_endpoint(0, "192.0.2.1:80")
    scene.plane.remove_endpoint(0, "192.0.2.7:80")
    assert scene.plane.endpoints(0) == []
    assert b"no_endpoint" in scene.client(GET).take_sent()
    scene.send(last, OK)
    assert in_progress.take_sent() == OK, "what is in progress ends as it would have"
    assert last.is_closed


def test_a_member_that_rests_is_closed_when_it_leaves(stage: Stage) -> None:
    scene = stage(endpoints=2)
    scene.client(GET)
    scene.send(scene.endpoint(), OK)
    assert not scene.endpoint().is_closed
    for name in scene.plane.endpoints(0):
        scene.plane.remove_endpoint(0, name)
    assert scene.endpoint().is_closed
    assert scene.plane.ledger()["upstreams"] == 0


def test_figures_are_counted_in_the_table_at_once(stage: Stage) -> None:
    scene = stage(endpoints=1)
    scene.client(GET)
    scene.wait_ms(3)
    scene.send(scene.endpoint(), b"HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n")
    scene.client(GET)
    scene.send(scene.endpoint(), b"garbage\r\n\r\n")
    (told,) = reader.endpoints(scene.memory)
    assert (told.attempts, told.dials, told.reuses) == (2, 1, 1)
    assert (told.responses, told.errors_5xx, told.failures) == (1, 1, 1)
    assert 3_000 <= told.response_us < 20_000


@pytest.mark.parametrize(
    ("name", "host"),
    [("192.0.2.1:80", b"192.0.2.1:80"), ("HTTP://app.test:80", b"app.test:80"), ("unix:/run/a.sock", b"localhost")],
)
def test_who_names_no_host_gets_the_endpoints_name(stage: Stage, name: str, host: bytes) -> None:
    scene = stage()
    scene.plane.add_endpoint(0, name)
    scene.plane.set_addresses(0, name, [Address(host="192.0.2.9", port=80)])
    for other in set(scene.plane.endpoints(0)) - {name}:
        scene.plane.remove_endpoint(0, other)
    scene.client(b"GET /a HTTP/1.0\r\n\r\n")
    assert b"\r\nHost: " + host + b"\r\n" in scene.endpoint().take_sent()
