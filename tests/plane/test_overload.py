"""The cluster's limit and the order of its queue, by transcripts."""

from __future__ import annotations

from collections.abc import Callable

from tests.plane.scene import GET, OK, Scene
from weir.config.plan import ADAPTIVE
from weir.stats.reader import clusters

Stage = Callable[..., Scene]


def get(path: object) -> bytes:
    return f"GET /{path} HTTP/1.1\r\nHost: h\r\n\r\n".encode()


def asked(scene: Scene, number: int) -> str:
    """The path that the endpoint was asked for on a connection."""
    sent = scene.endpoint(number).take_sent()
    return sent.split()[1].decode() if sent else ""


def test_beyond_the_limit_exchanges_wait(stage: Stage) -> None:
    scene = stage(endpoints=2, limit={"max_requests": 3}, stats={"paths": "exact"})
    clients = [scene.client(get(n)) for n in range(5)]
    assert scene.dials == 3
    assert scene.plane.queued(0) == 2
    assert [asked(scene, n) for n in range(3)] == ["/0", "/1", "/2"]
    scene.wait_ms(40)
    scene.send(scene.endpoint(1), OK)
    assert asked(scene, 1) == "/3", "the connection goes to who waits first"
    assert scene.plane.queued(0) == 1
    for number in (0, 1, 2):
        scene.send(scene.endpoint(number), OK)
    scene.send(scene.endpoint(0), OK)
    assert [client.take_sent() for client in clients] == [OK] * 5
    assert scene.counters("/3")["queue_us"] == 40_000


def test_no_connection_is_handed_over_beyond_the_limit(stage: Stage) -> None:
    scene = stage(limit={"max_requests": 1}, pool={"min_idle": 3})
    scene.client(get(0))
    scene.client(get(1))
    assert scene.plane.queued(0) == 1
    scene.wait_ms(20)
    assert scene.plane.queued(0) == 1
    assert sum(asked(scene, n) != "" for n in range(scene.dials)) == 1


def test_a_connection_that_closes_makes_room_as_well(stage: Stage) -> None:
    scene = stage(limit={"max_requests": 1})
    scene.client(get(0))
    second = scene.client(get(1))
    scene.send(scene.endpoint(0), b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")
    assert asked(scene, 1) == "/1"
    scene.send(scene.endpoint(1), OK)
    assert second.take_sent() == OK


def test_a_client_that_leaves_makes_room(stage: Stage) -> None:
    scene = stage(limit={"max_requests": 1})
    scene.dialer.mode = "wait"
    first = scene.client(get(0))
    second = scene.client(get(1))
    scene.reset(first)
    scene.endpoint().connect()
    scene.turn()
    assert asked(scene, -1) == "/1"
    scene.send(scene.endpoint(), OK)
    assert second.take_sent() == OK


def test_a_failed_dial_lets_go_of_its_place(stage: Stage) -> None:
    import errno

    scene = stage(limit={"max_requests": 2}, queue={"size": 1})
    scene.dialer.mode = errno.ECONNREFUSED
    for _ in range(5):
        assert b" 502 " in scene.client(GET).take_sent()
    scene.dialer.mode = "connect"
    client = scene.client(GET)
    scene.send(scene.endpoint(), OK)
    assert client.take_sent() == OK


def test_the_queue_of_the_limit_is_bounded(stage: Stage) -> None:
    scene = stage(limit={"max_requests": 1}, queue={"size": 2, "timeout_ms": 300})
    clients = [scene.client(GET) for _ in range(4)]
    assert b"queue_full" in clients[3].take_sent()
    scene.wait_ms(320)
    assert [b"queue_timeout" in client.take_sent() for client in clients[:3]] == [False, True, True]


def test_one_that_finds_no_connection_gives_its_place_back(stage: Stage) -> None:
    scene = stage(limit={"max_requests": 2}, pool={"max_connections": 1})
    clients = [scene.client(get(n)) for n in range(4)]
    assert scene.plane.queued(0) == 3
    for n in range(4):
        assert asked(scene, 0) == f"/{n}"
        scene.send(scene.endpoint(), OK)
        assert clients[n].take_sent() == OK


def test_a_repeated_request_stays_in_its_place(stage: Stage) -> None:
    scene = stage(limit={"max_requests": 1})
    client = scene.client(GET)
    scene.send(scene.endpoint(0), OK)
    scene.send(client, GET)
    scene.end(scene.endpoint(0))
    assert scene.dials == 2
    scene.send(scene.endpoint(1), OK)
    assert client.take_sent() == OK + OK
    scene.send(client, GET)
    scene.send(scene.endpoint(1), OK)
    assert client.take_sent() == OK


def test_a_hedge_is_of_its_exchange(stage: Stage) -> None:
    """It needs no place of its own, and gives none back."""
    scene = stage(endpoints=2, limit={"max_requests": 1}, hedge={"after_ms": 50})
    client = scene.client(get(0))
    scene.wait_ms(60)
    assert scene.dials == 2
    assert scene.plane.load(0)["in_progress"] == 1
    scene.send(scene.endpoint(1), OK)
    assert client.take_sent() == OK
    assert scene.plane.load(0)["in_progress"] == 0
    scene.send(client, get(1))
    assert scene.plane.load(0)["in_progress"] == 1
    waiting = scene.client(get(2))
    assert scene.plane.queued(0) == 1
    scene.reset(waiting)


# -- the order ------------------------------------------------------------------------------------------------


def test_under_overload_the_newest_is_served_first(stage: Stage) -> None:
    scene = stage(pool={"max_connections": 1}, queue={"order": "adaptive", "timeout_ms": 1000})
    for n in range(4):
        scene.client(get(n))
    assert asked(scene, 0) == "/0"
    scene.send(scene.endpoint(), OK)
    assert asked(scene, 0) == "/1", "first come, first served"
    scene.wait_ms(510)
    scene.client(get(4))
    scene.send(scene.endpoint(), OK)
    assert asked(scene, 0) == "/4", "the queue has not been empty for half of its timeout"
    scene.send(scene.endpoint(), OK)
    assert asked(scene, 0) == "/3"
    scene.send(scene.endpoint(), OK)
    assert asked(scene, 0) == "/2"
    scene.client(get(5))
    scene.client(get(6))
    scene.send(scene.endpoint(), OK)
    assert asked(scene, 0) == "/5", "it was empty: in order again"


def test_under_overload_the_wait_is_shorter(stage: Stage) -> None:
    scene = stage(pool={"max_connections": 1}, queue={"order": "adaptive", "timeout_ms": 1000})
    scene.client(get(0))
    old = scene.client(get(1))
    scene.wait_ms(510)
    new = scene.client(get(2))
    scene.wait_ms(270)
    assert b"queue_timeout" in new.take_sent()
    assert old.take_sent() == b""
    scene.wait_ms(240)
    assert b"queue_timeout" in old.take_sent()


def test_one_that_was_taken_for_nothing_keeps_its_place(stage: Stage) -> None:
    scene = stage(endpoints=1, pool={"max_connections": 1}, queue={"order": "adaptive"}, limit={"max_requests": 1})
    scene.client(get(0))
    for n in (1, 2, 3):
        scene.client(get(n))
    scene.wait_ms(600)
    for n in (3, 2, 1):
        scene.send(scene.endpoint(), b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")
        assert asked(scene, -1) == f"/{n}"


# -- the adaptive limit ---------------------------------------------------------------------------------------


def test_an_adaptive_limit_is_told_of_response_times(stage: Stage) -> None:
    """One endpoint that serves two at a time; the others wait there, and each takes longer for it."""
    scene = stage(limit={"max_requests": ADAPTIVE, "min": 1, "max": 64}, queue={"size": 10_000, "timeout_ms": 600_000})
    clients = [scene.client() for _ in range(64)]
    begun: list[int] = []
    most = 0
    for turn in range(1500):
        for client in clients:
            if client.take_sent() or turn == 0:
                client.feed(GET)
        scene.turn()
        for number in range(scene.dials):
            if scene.endpoint(number).take_sent():
                begun.append(number)
        scene.wait_ms(10)
        if turn > 1000:
            most = max(most, len(begun))
        for number in begun[:2]:
            scene.send(scene.endpoint(number), OK)
        del begun[:2]
    assert 2 <= most <= 8


def test_the_load_of_a_cluster_is_told(stage: Stage) -> None:
    scene = stage(limit={"max_requests": 2}, breaker={"failures_percent": 100, "volume": 3})
    for n in range(5):
        scene.client(get(n))
    assert scene.plane.load(0) == {"queued": 3, "panics": 0, "in_progress": 2, "limit": 2, "open_breakers": 0}
    for _ in range(3):
        scene.reset(scene.endpoint())
    assert scene.plane.load(0)["open_breakers"] == 1
    (cluster,) = clusters(scene.memory)
    assert cluster.breaker_openings == 1


def test_without_a_limit_what_is_in_progress_is_told(stage: Stage) -> None:
    scene = stage()
    scene.client(get(0))
    assert scene.plane.load(0) == {"queued": 0, "panics": 0, "in_progress": 1, "limit": 0, "open_breakers": 0}
