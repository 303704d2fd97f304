"""The cluster's queue and its budget."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.plane.scene import GET, OK, Scene
from tests.plane.test_choice import place_of
from weir.config.plan import StickyPlan
from weir.plane.fake import FakeStream
from weir.plane.stream import Address
from weir.stats.reader import clusters
from weir.stats.roster import Health, Order, change

Stage = Callable[..., Scene]


def test_queue_is_first_come_first_served(stage: Stage) -> None:
    scene = stage(pool={"max_connections": 1})
    clients = [scene.client(b"GET /%d HTTP/1.1\r\nHost: h\r\n\r\n" % n) for n in range(4)]
    assert scene.dials == 1
    assert scene.plane.queued(0) == 3
    for number, client in enumerate(clients):
        assert scene.endpoint().take_sent().startswith(b"GET /%d " % number)
        scene.send(scene.endpoint(), OK)
        assert client.take_sent() == OK
    assert scene.plane.queued(0) == 0


def test_queue_timeout(stage: Stage) -> None:
    scene = stage(pool={"max_connections": 1}, queue={"timeout_ms": 500})
    scene.client(GET)
    waiting = scene.client(GET)
    scene.wait_ms(520)
    sent = waiting.take_sent()
    assert sent.startswith(b"HTTP/1.1 503 Service Unavailable\r\n")
    assert b"\r\nRetry-After: 1\r\n" in sent
    assert b"queue_timeout" in sent
    assert not waiting.is_closed
    assert scene.plane.queued(0) == 0


def test_queue_full(stage: Stage) -> None:
    scene = stage(pool={"max_connections": 1}, queue={"size": 1})
    scene.client(GET)
    scene.client(GET)
    third = scene.client(GET)
    assert b"queue_full" in third.take_sent()


def test_a_closed_connection_makes_room_for_the_queue(stage: Stage) -> None:
    scene = stage(pool={"max_connections": 1})
    scene.client(GET)
    waiting = scene.client(GET)
    scene.send(scene.endpoint(0), b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")
    assert scene.dials == 2
    scene.send(scene.endpoint(1), OK)
    assert waiting.take_sent() == OK


def test_a_client_that_goes_leaves_the_queue(stage: Stage) -> None:
    scene = stage(pool={"max_connections": 1})
    scene.client(GET)
    gone = scene.client(b"GET /gone HTTP/1.1\r\nHost: h\r\n\r\n")
    last = scene.client(b"GET /last HTTP/1.1\r\nHost: h\r\n\r\n")
    scene.end(gone)
    assert scene.plane.queued(0) == 1
    scene.endpoint().take_sent()
    scene.send(scene.endpoint(), OK)
    assert scene.endpoint().take_sent().startswith(b"GET /last ")
    scene.send(scene.endpoint(), OK)
    assert last.take_sent() == OK


def test_a_slow_dial_keeps_its_place_in_line_with_room_for_more(stage: Stage) -> None:
    scene = stage(pool={"max_connections": 2}, queue={"timeout_ms": 1000})
    scene.dialer.mode = "wait"
    clients = [scene.client(GET) for _ in range(3)]
    assert scene.dials == 2
    assert scene.plane.queued(0) == 1
    for number in (0, 1):
        scene.endpoint(number).connect()
        scene.turn()
        scene.send(scene.endpoint(number), OK)
    assert clients[0].take_sent() == OK
    scene.send(scene.endpoint(0), OK)
    scene.send(scene.endpoint(1), OK)
    assert [client.take_sent() for client in clients[1:]] == [OK, OK]
    assert scene.plane.queued(0) == 0


def drained(scene: Scene, times: int, ms: int) -> None:
    """So many exchanges are answered, one every `ms`; each makes room for one that is queued."""
    for _ in range(times):
        scene.wait_ms(ms)
        scene.send(scene.endpoint(), OK)


@pytest.mark.parametrize(
    ("times", "ms", "seconds"),
    [
        (10, 100, 3),  # ten a second, and twenty wait: two seconds, rounded up
        (10, 500, 11),
        (4, 5000, 60),  # 101 s would be more than anybody is told
        (0, 0, 31),  # nobody has had a turn: no rate is known
    ],
)
def test_retry_after_is_how_long_the_queue_needs(stage: Stage, times: int, ms: int, seconds: int) -> None:
    scene = stage(pool={"max_connections": 1}, queue={"size": 20, "timeout_ms": 30_000})
    for _ in range(21):
        scene.client(GET)
    drained(scene, times, ms)
    for _ in range(times):
        scene.client(GET)
    refused = scene.client(GET).take_sent()
    assert b"queue_full" in refused
    assert b"\r\nRetry-After: %d\r\n" % seconds in refused


def test_retry_after_forgets_a_rate_that_was(stage: Stage) -> None:
    scene = stage(pool={"max_connections": 1}, queue={"size": 100, "timeout_ms": 600_000})
    for _ in range(101):
        scene.client(GET)
    drained(scene, 10, 2000)  # 20 s: one in two seconds
    for _ in range(10):
        scene.client(GET)
    assert b"\r\nRetry-After: 60\r\n" in scene.client(GET).take_sent()
    for _ in range(10):
        drained(scene, 50, 20)  # faster: fifty a second
        for _ in range(50):
            scene.client(GET)
        sent = scene.client(GET).take_sent()
    told = int(sent.split(b"\r\nRetry-After: ")[1].split(b"\r\n")[0])
    assert 2 <= told <= 5


# -- how endpoints were chosen, counted ------------------------------------------------------------------------

ASK = b"GET /a HTTP/1.1\r\nHost: h\r\n\r\n"


def ways(scene: Scene) -> dict[str, int]:
    """The figures of how endpoints were chosen; those that are 0 left out."""
    (cluster,) = clusters(scene.memory)
    names = ("overflows", "sticky_bound", "sticky_lost", "hash_keyless", "hash_fallbacks")
    return {name: getattr(cluster, name) for name in names if getattr(cluster, name)}


def test_attempts_below_the_first_level_are_counted(stage: Stage) -> None:
    scene = stage(members=[{"priority": 1}, {"priority": 3}])
    scene.client(ASK)
    assert ways(scene) == {}, "the first level is the most preferred that there is, whatever its number"
    change(scene.memory, 0, health=Health.UNHEALTHY)
    scene.client(ASK)
    assert ways(scene) == {"overflows": 1}


def test_what_the_cookie_names_is_counted(stage: Stage) -> None:
    scene = stage(endpoints=2, cluster={"sticky": StickyPlan(cookie="ID", secret="0123456789abcdef")})
    client = scene.client(ASK)
    scene.send(scene.endpoint(), OK)
    value = client.take_sent().partition(b"Set-Cookie: ID=")[2][:16]
    assert ways(scene) == {}, "it had none"
    asked = ASK[:-2] + b"Cookie: ID=" + value + b"\r\n\r\n"
    scene.client(asked)
    assert ways(scene) == {"sticky_bound": 1}
    change(scene.memory, 0, health=Health.UNHEALTHY)
    scene.client(asked)
    assert ways(scene) == {"sticky_bound": 1, "sticky_lost": 1}
    scene.client(ASK[:-2] + b"Cookie: ID=0123456789abcdef\r\n\r\n")
    assert ways(scene) == {"sticky_bound": 1, "sticky_lost": 2}, "nobody's"


def test_keys_that_are_not_at_home_are_counted(stage: Stage) -> None:
    scene = stage(endpoints=3, cluster={"policy": "hash", "hash_by": "field:X"})
    scene.client(ASK)
    assert ways(scene) == {"hash_keyless": 1}
    asked = ASK[:-2] + b"X: 1\r\n\r\n"
    scene.client(asked)
    assert ways(scene) == {"hash_keyless": 1}
    home = place_of(scene.endpoint())
    change(scene.memory, home, health=Health.UNHEALTHY)
    scene.client(asked)
    assert place_of(scene.endpoint()) != home
    assert ways(scene) == {"hash_keyless": 1, "hash_fallbacks": 1}


# -- the queue and those who have failed -----------------------------------------------------------------------


def avoiding(stage: Stage, **options: Any) -> tuple[Scene, list[FakeStream], list[FakeStream]]:
    """Two endpoints with room for one connection each, both busy, and clients: the first of the queue was failed by the
    first endpoint."""
    scene = stage(endpoints=2, pool={"max_connections": 1}, retry={"on": ("reset",), "backoff_ms": 0}, **options)
    clients = [scene.client(GET), scene.client(GET)]
    streams = [scene.endpoint(0), scene.endpoint(1)]
    scene.reset(streams[0])
    assert scene.plane.queued(0) == 1, "the other one has no room"
    clients.append(scene.client(GET))
    assert scene.dials == 3, "a newcomer takes the place that the first avoids"
    streams.append(scene.endpoint(2))
    assert streams[2].peer == streams[0].peer
    return scene, clients, streams


def test_a_connection_of_an_endpoint_that_failed_it_is_not_handed_to_it(stage: Stage) -> None:
    scene, clients, streams = avoiding(stage)
    clients.append(scene.client(GET))
    assert scene.plane.queued(0) == 2
    streams[2].take_sent()
    scene.send(streams[2], OK)
    assert clients[2].take_sent() == OK
    assert streams[2].take_sent() == GET, "whoever is behind it is served"
    assert scene.plane.queued(0) == 1
    scene.send(streams[2], OK)
    assert clients[3].take_sent() == OK
    assert clients[0].take_sent() == b"", "it waits for the other one"
    streams[1].take_sent()
    scene.send(streams[1], OK)
    assert streams[1].take_sent() == GET
    scene.send(streams[1], OK)
    assert [clients[0].take_sent(), clients[1].take_sent()] == [OK, OK]


def test_a_place_that_the_first_avoids_is_for_those_behind_it(stage: Stage) -> None:
    scene, clients, streams = avoiding(stage)
    clients.append(scene.client(GET))
    streams[2].take_sent()
    scene.send(streams[2], OK.replace(b"OK\r\n", b"OK\r\nConnection: close\r\n"))
    assert scene.dials == 4
    assert scene.endpoint().peer == streams[0].peer
    assert scene.endpoint().take_sent() == GET
    assert scene.plane.queued(0) == 1
    scene.send(scene.endpoint(), OK)
    assert clients[3].take_sent() == OK
    scene.send(streams[1], OK)
    scene.send(streams[1], OK)
    assert [clients[0].take_sent(), clients[1].take_sent()] == [OK, OK]


# -- the queue and those who get nothing any more --------------------------------------------------------------

GONE: dict[str, dict[str, int]] = {
    "drained": {"order": Order.DRAIN},
    "down": {"order": Order.DOWN},
    "unhealthy": {"health": Health.UNHEALTHY},
    "ejected": {"ejected_until_us": 1 << 60},
}


@pytest.mark.parametrize("how", GONE)
@pytest.mark.parametrize("limit", [0, 2])
def test_who_gets_no_requests_gets_none_from_the_queue(stage: Stage, how: str, limit: int) -> None:
    """Else a drained endpoint would be busy for as long as there is a queue."""
    scene = stage(endpoints=2, pool={"max_connections": 1}, limit={"max_requests": limit})
    clients = [scene.client(GET) for _ in range(4)]
    streams = [scene.endpoint(0), scene.endpoint(1)]
    assert scene.plane.queued(0) == 2
    change(scene.memory, 0, **GONE[how])
    for stream in streams:
        assert stream.take_sent() == GET
    scene.send(streams[0], OK)
    assert clients[0].take_sent() == OK
    assert streams[0].take_sent() == b""
    assert scene.plane.queued(0) == 2
    for number in (1, 2):
        scene.send(streams[1], OK)
        assert clients[number].take_sent() == OK
    scene.send(streams[1], OK)
    assert clients[3].take_sent() == OK
    assert (streams[0].take_sent(), scene.dials) == (b"", 2)


def test_a_dial_to_one_that_has_left_is_for_nobody(stage: Stage) -> None:
    scene = stage(endpoints=2, pool={"max_connections": 1})
    scene.dialer.mode = "wait"
    clients = [scene.client(GET) for _ in range(3)]
    assert scene.plane.queued(0) == 1
    scene.reset(clients[0])
    scene.plane.remove_endpoint(0, "192.0.2.1:80")
    scene.endpoint(0).connect()
    scene.turn()
    assert scene.endpoint(0).take_sent() == b""
    assert scene.endpoint(0).is_closed
    scene.endpoint(1).connect()
    scene.turn()
    for client in clients[1:]:
        scene.send(scene.endpoint(1), OK)
        assert client.take_sent() == OK


def test_when_the_last_one_leaves_nobody_waits_for_it(stage: Stage) -> None:
    scene = stage(pool={"max_connections": 1})
    clients = [scene.client(GET) for _ in range(2)]
    scene.plane.remove_endpoint(0, "192.0.2.1:80")
    scene.turn()
    assert b"no_endpoint" in clients[1].take_sent()
    scene.send(scene.endpoint(0), OK)
    assert clients[0].take_sent() == OK


def test_a_new_one_serves_those_who_wait(stage: Stage) -> None:
    scene = stage(pool={"max_connections": 1})
    clients = [scene.client(GET) for _ in range(3)]
    scene.plane.add_endpoint(0, "192.0.2.7:80")
    scene.turn()
    scene.plane.set_addresses(0, "192.0.2.7:80", [Address(host="192.0.2.7", port=80)])
    scene.turn()
    assert scene.dials == 2
    scene.send(scene.endpoint(1), OK)
    scene.send(scene.endpoint(1), OK)
    assert [client.take_sent() for client in clients[1:]] == [OK, OK]


def test_one_that_comes_back_serves_those_who_wait(stage: Stage) -> None:
    scene = stage(endpoints=2, pool={"max_connections": 2})
    change(scene.memory, 0, order=Order.DRAIN)
    clients = [scene.client(GET) for _ in range(3)]
    assert (scene.dials, scene.plane.queued(0)) == (2, 1)
    change(scene.memory, 0, order=Order.READY)
    clients.append(scene.client(GET))
    assert scene.dials == 4, "whoever asks next finds out"
    for number in (2, 3):
        scene.send(scene.endpoint(number), OK)
    assert [client.take_sent() for client in clients[2:]] == [OK, OK]


def test_choices_are_counted_in_32_bits(stage: Stage) -> None:
    """Endpoints that were never found wanting have the mark 0, which must not be the choice that is made."""
    scene = stage(endpoints=2)
    scene.plane.age(0)
    for number in range(4):
        client = scene.client(GET)
        assert scene.dials == number + 1
        scene.send(scene.endpoint(), OK.replace(b"OK\r\n", b"OK\r\nConnection: close\r\n"))
        assert client.take_sent() == OK
