"""The circuit breaker, by transcripts of whole exchanges."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.plane.scene import GET, OK, Scene

Stage = Callable[..., Scene]
BROKEN = b"HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\n\r\n"
BREAKER = {"failures_percent": 50, "volume": 4, "window_ms": 10_000, "open_for_ms": 5_000}


def ask(scene: Scene, answer: bytes = b"") -> bytes:
    """A client asks; the endpoint, if it is asked, answers."""
    client = scene.client(GET)
    if answer and scene.dials and scene.endpoint().take_sent():
        scene.send(scene.endpoint(), answer)
    sent = client.take_sent()
    scene.end(client)
    return sent


def opened(stage: Stage, **options: object) -> Scene:
    scene = stage(breaker=BREAKER, **options)
    for _ in range(4):
        assert ask(scene, BROKEN) == BROKEN
    return scene


def test_it_opens_when_too_many_fail_and_says_how_long(stage: Stage) -> None:
    scene = opened(stage)
    dials = scene.dials
    for _ in range(5):
        sent = ask(scene, OK)
        assert sent.startswith(b"HTTP/1.1 503 ")
        assert b"circuit_open" in sent
        assert b"\r\nRetry-After: 6\r\n" in sent or b"\r\nRetry-After: 5\r\n" in sent
    assert scene.dials == dials
    assert scene.endpoint().take_sent() == b"", "the endpoint is left alone"
    assert scene.reasons()["circuit_open"] == 5


def test_three_that_go_well_close_it(stage: Stage) -> None:
    scene = opened(stage)
    scene.wait_ms(5_001)
    for _ in range(3):
        assert ask(scene, OK) == OK
    for _ in range(3):
        assert ask(scene, BROKEN) == BROKEN, "what was before it opened is forgotten: three are too few"
    assert scene.plane.moves()["breaker"] == {
        ("closed", "open"): 1,
        ("open", "half_open"): 1,
        ("half_open", "closed"): 1,
    }


def test_one_that_fails_opens_it_again(stage: Stage) -> None:
    scene = opened(stage)
    scene.wait_ms(5_001)
    assert ask(scene, BROKEN) == BROKEN
    assert b"circuit_open" in ask(scene, OK)
    scene.wait_ms(4_000)
    assert b"circuit_open" in ask(scene, OK), "its time begins anew"
    assert scene.plane.moves()["breaker"][("half_open", "open")] == 1


def test_half_open_lets_three_at_a_time_through(stage: Stage) -> None:
    scene = opened(stage)
    scene.wait_ms(5_001)
    clients = [scene.client(GET) for _ in range(5)]
    assert [b"circuit_open" in client.take_sent() for client in clients] == [False] * 3 + [True] * 2
    scene.end(clients[0])
    scene.reset(clients[1])
    again = [scene.client(GET) for _ in range(2)]
    assert [b"circuit_open" in client.take_sent() for client in again] == [False, True], (
        "one has gone without an answer"
    )


@pytest.mark.parametrize("failures", [0, 1])
def test_below_the_share_it_stays_closed(stage: Stage, failures: int) -> None:
    scene = stage(breaker=BREAKER)
    for _ in range(20):
        for _ in range(2):
            assert ask(scene, OK) == OK
        for _ in range(failures):
            assert ask(scene, BROKEN) == BROKEN


def test_what_is_older_than_the_window_is_forgotten(stage: Stage) -> None:
    scene = stage(breaker=BREAKER)
    for _ in range(12):
        assert ask(scene, BROKEN) == BROKEN
        scene.wait_ms(4_000)


def test_connections_that_fail_open_it_too(stage: Stage) -> None:
    import errno

    scene = stage(breaker=BREAKER, retry={"attempts": 1})
    scene.dialer.mode = errno.ECONNREFUSED
    answers = [ask(scene) for _ in range(6)]
    assert [b"circuit_open" in sent for sent in answers] == [False] * 4 + [True] * 2


def test_who_waits_when_it_opens_is_told_at_once(stage: Stage) -> None:
    scene = stage(breaker=BREAKER, pool={"max_connections": 1}, retry={"attempts": 1})
    for _ in range(3):
        ask(scene, BROKEN)
    scene.client(GET)
    waiting = scene.client(GET)
    last = scene.client(GET)
    assert scene.plane.queued(0) == 2
    scene.reset(scene.endpoint())
    assert b"circuit_open" in last.take_sent()
    assert b"circuit_open" in waiting.take_sent()
    assert scene.plane.queued(0) == 0


def test_client_errors_are_no_failures(stage: Stage) -> None:
    scene = stage(breaker=BREAKER)
    missing = b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"
    for _ in range(20):
        assert ask(scene, missing) == missing


def test_one_that_asks_again_is_counted_once(stage: Stage) -> None:
    """Let through to try, failed, queued, and told that it is open: when it asks once more it has its place already."""
    scene = stage(
        breaker=BREAKER,
        endpoints=3,
        limit={"max_requests": 9},
        pool={"max_connections": 1},
        retry={"on": ("reset",), "same_endpoint": True, "backoff_ms": 12_000},
    )
    for _ in range(4):
        client = scene.client(GET)
        for stream in scene.dialer.dialled:
            if stream.take_sent():
                scene.send(stream, BROKEN.replace(b"Error\r\n", b"Error\r\nConnection: close\r\n"))
        scene.end(client)
    scene.wait_ms(5_001)
    tries = [scene.client(GET) for _ in range(3)]
    streams = scene.dialer.dialled[-3:]
    scene.reset(streams[1])
    assert scene.plane.queued(0) == 1, "there is no room for it elsewhere"
    closes = OK.replace(b"OK\r\n", b"OK\r\nConnection: close\r\n")
    scene.send(streams[2], closes)
    assert scene.plane.queued(0) == 0, "it is open: who waits is told so, and this one pauses"
    scene.wait_ms(12_100)
    scene.send(scene.endpoint(), closes)
    scene.send(streams[0], closes)
    assert [client.take_sent() for client in tries] == [OK] * 3
    clients = [scene.client(GET) for _ in range(5)]
    assert [b"circuit_open" in client.take_sent() for client in clients] == [False] * 3 + [True] * 2
