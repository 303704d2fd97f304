"""No memory for a buffer, at every place where one is taken: one exchange or connection ends, nothing else does."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.plane.scene import GET, OK, Scene

Stage = Callable[..., Scene]

LONG = b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n"
POST = b"POST /a HTTP/1.1\r\nHost: h\r\nContent-Length: 100000\r\n\r\n"


def play(scene: Scene) -> None:
    """Exchanges that take buffers in all ways: heads in pieces, bodies both ways, a client that does not read."""
    client = scene.client(GET[:7])
    scene.send(client, GET[7:])
    if scene.dials:
        scene.send(scene.endpoint(), LONG[:20])
        client.room = 10
        scene.send(scene.endpoint(), LONG[20:] + bytes(50_000))
        scene.send(scene.endpoint(), bytes(50_000))
        client.room = -1
        scene.turn()
    slow = scene.client(POST + bytes(1000))
    if scene.dials:
        scene.endpoint().room = 500
        scene.send(slow, bytes(50_000))
        scene.endpoint().room = -1
        scene.send(slow, bytes(49_000) + GET)
        scene.send(scene.endpoint(), OK)
        scene.send(scene.endpoint(), OK)
    scene.send(scene.client(b"x\r\n"), b"more")


@pytest.mark.parametrize("times", [1, 3])
@pytest.mark.parametrize("after", range(12))
def test_no_memory_for_a_while(stage: Stage, after: int, times: int, caplog: pytest.LogCaptureFixture) -> None:
    scene = stage()
    play_until(scene, after)
    scene.plane.refuse_memory(times)
    play(scene)
    scene.plane.refuse_memory(0)
    assert scene.reasons().get("out_of_memory", 0) >= 1
    assert "out of memory" in caplog.text
    # ... and everybody else, and everybody afterwards, is served.
    client = scene.client(GET)
    scene.send(scene.endpoint(), OK)
    assert client.take_sent() == OK


def play_until(scene: Scene, steps: int) -> None:
    """Some exchanges before, so that the refusals meet other places."""
    for _ in range(steps % 3):
        client = scene.client(GET)
        scene.send(scene.endpoint(), OK)
        scene.end(client)
    if steps >= 3:
        scene.client(GET[: steps * 2])
    if steps >= 6:
        waiting = scene.client(GET)
        scene.send(scene.endpoint(), LONG[: len(LONG) - steps])
        assert waiting.take_sent() == b""


def test_a_request_without_memory_is_answered(stage: Stage) -> None:
    scene = stage()
    client = scene.client(GET)
    scene.plane.refuse_memory(1)
    scene.send(scene.endpoint(), OK)
    assert client.take_sent().startswith(b"HTTP/1.1 503 ")
    assert scene.reasons() == {"out_of_memory": 1}
