"""The machine sleeps, in the middle of everything: when it wakes, all that is overdue has its end, and work goes on."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.plane.scene import GET, OK, Scene

Stage = Callable[..., Scene]

HOUR_MS = 3_600_000
HALF = b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf"


@pytest.mark.parametrize("hours", [1, 24 * 365 * 12], ids=["an hour", "twelve years"])
def test_everything_overdue_has_its_end(stage: Stage, hours: int) -> None:
    scene = stage()
    resting = scene.client(GET)
    scene.send(scene.endpoint(), OK)
    halting = scene.client(GET[:9])
    taken = scene.endpoint()
    cut = scene.client(GET)
    assert scene.endpoint() is taken
    scene.send(taken, HALF)
    asking = scene.client(GET)
    scene.wait_ms(hours * HOUR_MS)
    assert b"HTTP/1.1 408 " in halting.take_sent()
    assert b"HTTP/1.1 504 " in asking.take_sent()
    assert cut.take_sent().endswith(b"half")
    assert cut.is_closed
    assert resting.is_closed
    assert scene.reasons() == {"head_timeout": 1, "response_timeout": 1, "stream_timeout": 1, "idle_timeout": 1}
    # ... and everybody afterwards is served, with times that still run.
    client = scene.client(GET)
    scene.send(scene.endpoint(), OK)
    assert client.take_sent().endswith(OK)
    scene.send(client, GET[:9])
    scene.wait_ms(9_000)
    assert client.take_sent() == b""
    scene.wait_ms(2_000)
    assert b"HTTP/1.1 408 " in client.take_sent()
