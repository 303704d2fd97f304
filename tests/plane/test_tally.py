"""What is counted of hooks, and their budgets."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

import pytest

import weir
from tests.plane.scene import GET, OK, Scene
from weir.plane.hooks import Hook, Hooks
from weir.stats import hooks as layout

Make = Callable[..., Scene]


def spin(ms: float) -> None:
    """Takes so long at least."""
    end = time.monotonic_ns() + int(ms * 1e6)
    while time.monotonic_ns() < end:
        pass


def ask(scene: Scene, data: bytes = GET) -> bytes:
    client = scene.client(data)
    if scene.dials and scene.endpoint().take_sent():
        scene.send(scene.endpoint(), OK)
    return client.take_sent()


def test_calls_failures_times_and_the_share_of_requests(stage: Make) -> None:
    @weir.hook("request", path="/a", name="guard")
    def guard(request: weir.Request) -> None:
        spin(0.1)
        if request.query == "bad":
            raise LookupError

    @weir.hook("log", path="/a", name="note")
    def note(_request: weir.Request) -> None:
        raise LookupError

    scene = stage(hooks=[guard, note])
    ask(scene)
    ask(scene, b"GET /a?bad HTTP/1.1\r\nHost: h\r\n\r\n")
    for _ in range(3):
        ask(scene, b"GET /other HTTP/1.1\r\nHost: h\r\n\r\n")
    counts = scene.hooked("guard")
    assert (counts.phase, counts.calls, counts.failures, counts.timeouts) == ("request", 2, 1, 0)
    assert counts.spent_ns >= 200_000
    assert sum(counts.buckets) == 2
    assert (scene.hooked("note").calls, scene.hooked("note").failures) == (2, 2)
    assert scene.rules.hooks.share() == (5, 2)


async def test_what_is_awaited_is_measured_when_it_is_done(stage: Make) -> None:
    @weir.hook("request", name="wait", budget="1us")
    async def wait(_request: weir.Request) -> None:
        await asyncio.sleep(0.002)

    scene = stage(hooks=[wait])
    client = scene.client(GET)
    assert sum(scene.hooked("wait").buckets) == 0
    while not scene.dials:
        await asyncio.sleep(0.001)
        scene.turn()
    scene.send(scene.endpoint(), OK)
    assert client.take_sent() == OK
    counts = scene.hooked("wait")
    assert (counts.calls, counts.failures, counts.over_budget) == (1, 0, 1)
    assert counts.spent_ns >= 2_000_000


def test_over_budget_is_logged_once_a_second(stage: Make, caplog: pytest.LogCaptureFixture) -> None:
    @weir.hook("request", name="slow", budget="50us")
    def slow(_request: weir.Request) -> None:
        spin(0.1)

    scene = stage(hooks=[slow])
    for _ in range(3):
        assert ask(scene) == OK
    assert caplog.text.count("its budget is 0.050 ms") == 1
    scene.wait_ms(1000)
    ask(scene)
    assert "(2 more times since it was last said)" in caplog.text
    assert (scene.hooked("slow").over_budget, scene.hooked("slow").failures) == (4, 0)


def test_one_that_is_too_slow_on_average_is_passed_over_for_ten_seconds(
    stage: Make, caplog: pytest.LogCaptureFixture
) -> None:
    takes = [0.0]

    @weir.hook("request", name="slow", budget="5ms", on_exceed="skip")
    def slow(_request: weir.Request) -> None:
        spin(takes[0])

    scene = stage(hooks=[slow])
    for _ in range(3):
        ask(scene)
    takes[0] = 12.0
    # A single slow call is no reason; the mean of the last is.
    ask(scene)
    assert scene.hooked("slow").skipped == 0
    while not scene.hooked("slow").skipped:
        assert scene.hooked("slow").calls < 40
        ask(scene)
    calls = scene.hooked("slow").calls
    assert "it is passed over for 10 s" in caplog.text
    for _ in range(3):
        assert ask(scene) == OK
    assert (scene.hooked("slow").calls, scene.hooked("slow").skipped) == (calls, 4)
    scene.wait_ms(10_000)
    takes[0] = 0.0
    for _ in range(3):
        ask(scene)
    assert (scene.hooked("slow").calls, scene.hooked("slow").skipped) == (calls + 3, 4)


def test_a_log_hook_is_passed_over_as_well(stage: Make) -> None:
    @weir.hook("log", name="slow", budget="1us", on_exceed="skip")
    def slow(_request: weir.Request) -> None:
        spin(0.1)

    scene = stage(hooks=[slow])
    for _ in range(4):
        ask(scene)
    assert (scene.hooked("slow").calls, scene.hooked("slow").skipped) == (1, 3)


@pytest.mark.parametrize(("on_error", "answer"), [("fail", b"HTTP/1.1 500 "), ("skip", OK)])
def test_a_call_over_budget_may_fail(stage: Make, on_error: Any, answer: bytes) -> None:
    @weir.hook("request", name="slow", budget="10us", on_exceed="fail", on_error=on_error)
    def slow(_request: weir.Request) -> None:
        spin(0.1)

    scene = stage(hooks=[slow])
    assert ask(scene).startswith(answer)
    assert (scene.hooked("slow").failures, scene.hooked("slow").over_budget) == (1, 1)
    assert scene.reasons() == ({"hook_failed": 1} if on_error == "fail" else {})


def test_a_budget_is_kept_by_what_is_quick(stage: Make, caplog: pytest.LogCaptureFixture) -> None:
    @weir.hook("request", name="quick", budget="10s", on_exceed="fail")
    def quick(_request: weir.Request) -> None:
        return None

    scene = stage(hooks=[quick])
    assert ask(scene) == OK
    assert scene.hooked("quick").over_budget == 0
    assert caplog.text == ""


def test_what_is_no_memory_of_a_hook_is_refused() -> None:
    @weir.hook("request")
    def hook(_request: weir.Request) -> None:
        return None

    memory = layout.create(2)
    for number in range(2):
        Hook(hook, memory, number)
    with pytest.raises(ValueError, match="no worker 2"):
        Hook(hook, memory, 2)
    with pytest.raises(ValueError, match="not the memory of a hook"):
        Hooks([], bytearray(4096), 0)
