"""How slow a client may be: only its own slowness counts, and a pause is no crime."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.plane.scene import GET, OK, Scene

Stage = Callable[..., Scene]

POST = b"POST /a HTTP/1.1\r\nHost: h\r\nContent-Length: 1000000\r\n\r\n"
CHUNKED = b"POST /a HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"
HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n"
LONG = 10**9
RATES = {"min_request_rate_bytes": 100, "min_response_rate_bytes": 100, "rate_grace_ms": 10_000}
PATIENT = {"send_timeout_ms": LONG}


def slow_stage(stage: Stage, **listener: Any) -> Scene:
    return stage(listener={**RATES, **PATIENT, **listener}, cluster={"stream_idle_timeout_ms": LONG})


def upload(scene: Scene, client: Any, bytes_each: int, every_ms: int, most_s: int) -> float | None:
    """Seconds after which a client is cut off that sends so many bytes so often; None: not within `most_s`."""
    for n in range(most_s * 1000 // every_ms):
        scene.send(client, bytes(bytes_each))
        for _ in range(10):
            scene.wait_ms(every_ms // 10)
        if scene.reasons():
            return (n + 1) * every_ms / 1000
    return None


@pytest.mark.parametrize("head", [POST, CHUNKED + b"ffffff\r\n"])
def test_a_body_that_trickles_is_refused(stage: Stage, head: bytes) -> None:
    scene = slow_stage(stage)
    client = scene.client(head)
    ended_s = upload(scene, client, 1, 5900, 60)
    assert ended_s is not None
    assert ended_s <= 12
    assert scene.reasons() == {"body_too_slow": 1}
    assert b"\nbody_too_slow: " in client.take_sent()
    assert scene.endpoint().is_closed


def test_a_body_at_the_rate_goes_on_for_ever(stage: Stage) -> None:
    scene = slow_stage(stage)
    client = scene.client(POST)
    assert upload(scene, client, 100, 1000, 600) is None
    scene.reset(client)


def test_below_the_rate_the_grace_is_used_up_slowly(stage: Stage) -> None:
    """At half the rate, after twice the grace."""
    scene = slow_stage(stage)
    client = scene.client(POST)
    ended_s = upload(scene, client, 50, 1000, 60)
    assert ended_s is not None
    assert 19 <= ended_s <= 22


def test_who_was_fast_may_not_be_slow_for_longer(stage: Stage) -> None:
    scene = slow_stage(stage)
    client = scene.client(POST + bytes(900_000))
    ended_s = upload(scene, client, 1, 1000, 60)
    assert ended_s is not None
    assert ended_s <= 21, "the first look forgives all that there was; the second does not"


def test_a_pause_within_the_grace_is_forgiven(stage: Stage) -> None:
    scene = slow_stage(stage)
    client = scene.client(POST)
    for _ in range(20):
        for _ in range(9):
            scene.wait_ms(1000)
        scene.send(client, bytes(1000))
    assert scene.reasons() == {}
    scene.reset(client)


def test_time_in_which_the_endpoint_takes_nothing_is_not_the_clients(stage: Stage) -> None:
    scene = slow_stage(stage)
    client = scene.client()
    scene.send(client, GET)
    scene.send(scene.endpoint(), OK)
    client.take_sent()
    scene.endpoint().room = 100
    scene.send(client, POST + bytes(2000))
    for _ in range(60):
        scene.wait_ms(1000)
    assert scene.reasons() == {}
    scene.endpoint().room = -1
    scene.turn()
    for _ in range(19):
        scene.wait_ms(1000)
    assert scene.reasons() == {}, "the first look forgives 2000 bytes' worth"
    for _ in range(2):
        scene.wait_ms(1000)
    assert scene.reasons() == {"body_too_slow": 1}


def test_what_has_come_while_weir_was_held_up_has_come_in_time(stage: Stage) -> None:
    """A worker that was stopped looks first what there is, and judges then."""
    scene = slow_stage(stage)
    client = scene.client(POST)
    scene.wait_ms(1)
    client.feed(bytes(3000), quietly=True)
    scene.wait_ms(30_000)
    assert scene.reasons() == {}
    assert len(scene.endpoint().take_sent()) == len(POST) + 3000
    scene.reset(client)


def test_who_is_answered_already_may_take_its_time(stage: Stage) -> None:
    """Both talk at once: at which pace is between the client and the endpoint."""
    scene = slow_stage(stage)
    client = scene.client(CHUNKED + b"5\r\nhello\r\n")
    scene.send(scene.endpoint(), b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n")
    for _ in range(60):
        scene.wait_ms(1000)
    scene.send(client, b"5\r\nhello\r\n0\r\n\r\n")
    for _ in range(60):
        scene.wait_ms(1000)
    scene.send(scene.endpoint(), b"0\r\n\r\n")
    assert client.take_sent().endswith(b"5\r\nhello\r\n0\r\n\r\n")
    assert scene.reasons() == {}


def test_a_whole_request_is_not_judged(stage: Stage) -> None:
    scene = stage(listener=RATES)
    client = scene.client(b"POST /a HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhe")
    scene.wait_ms(9_000)
    scene.send(client, b"llo")
    scene.wait_ms(50_000)
    scene.send(scene.endpoint(), OK)
    assert client.take_sent() == OK
    assert scene.reasons() == {}


# Responses


def download(scene: Scene, client: Any, bytes_each: int, every_ms: int, most_s: int) -> float | None:
    """Likewise of a client that acknowledges so many bytes so often."""
    for n in range(most_s * 1000 // every_ms):
        client.untaken = max(0, client.untaken - bytes_each)
        for _ in range(10):
            scene.wait_ms(every_ms // 10)
        if scene.reasons():
            return (n + 1) * every_ms / 1000
    return None


def reading(stage: Stage, buffered: int = 500_000, **listener: Any) -> tuple[Scene, Any]:
    """A client of a large response, of whom the kernel holds so many bytes, and takes no more."""
    scene = slow_stage(stage, **listener)
    client = scene.client(GET)
    client.room = buffered
    client.untaken = buffered
    scene.send(scene.endpoint(), HEAD + bytes(999_999))
    return scene, client


def test_a_client_that_takes_a_byte_now_and_then_is_cut_off(stage: Stage) -> None:
    scene, client = reading(stage)
    ended_s = download(scene, client, 1, 5900, 60)
    assert ended_s is not None
    assert ended_s <= 12
    assert client.was_reset
    assert scene.reasons() == {"client_too_slow": 1}


def test_a_client_at_the_rate_is_served_though_the_kernel_tells_of_no_room(stage: Stage) -> None:
    scene, client = reading(stage)
    assert download(scene, client, 150, 1000, 600) is None
    scene.reset(client)


def test_progress_is_what_the_client_has_acknowledged(stage: Stage) -> None:
    """The kernel says that there is room once a third of its buffer is free: a client at a kilobyte a second would be
    taken for one that has stopped."""
    scene, client = reading(stage, send_timeout_ms=60_000)
    assert download(scene, client, 1000, 1000, 400) is None
    ended_s = download(scene, client, 0, 1000, 70)
    assert ended_s is not None
    assert scene.reasons() in ({"client_stalled": 1}, {"client_too_slow": 1})


@pytest.mark.parametrize("listener", [{"min_response_rate_bytes": 0}, {"rate_grace_ms": 3_600_000}])
def test_one_that_takes_nothing_has_stopped(stage: Stage, listener: dict[str, int]) -> None:
    scene, client = reading(stage, send_timeout_ms=5_000, **listener)
    ended_s = download(scene, client, 0, 100, 10)
    assert ended_s is not None
    assert 4.9 <= ended_s <= 5.2
    assert client.was_reset
    assert scene.reasons() == {"client_stalled": 1}


def test_time_in_which_the_endpoint_sends_nothing_is_not_the_clients(stage: Stage) -> None:
    scene = slow_stage(stage)
    client = scene.client(GET)
    client.room = 500
    scene.send(scene.endpoint(), HEAD + bytes(1000))
    scene.wait_ms(5_000)
    client.room = -1
    scene.turn()
    for _ in range(100):
        scene.wait_ms(1000)
    assert scene.reasons() == {}
    scene.reset(client)


def test_nothing_is_asked_where_no_rate_is_wanted(stage: Stage) -> None:
    off = {"min_request_rate_bytes": 0, "min_response_rate_bytes": 0}
    scene, client = reading(stage, **off)
    assert download(scene, client, 1, 5900, 600) is None
    scene.reset(client)
    scene = slow_stage(stage, **off)
    client = scene.client(POST)
    assert upload(scene, client, 1, 5900, 600) is None
    scene.reset(client)
