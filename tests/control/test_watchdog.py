"""Who blocks the loop is named."""

from __future__ import annotations

import asyncio
import functools
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass

import pytest

import weir
from weir.control.watchdog import Watchdog
from weir.hooks import Hook


@dataclass
class Turning:
    turns: int = 0
    waits: int = 0


@weir.hook("request", name="spin")
def spin(until: Callable[[], bool]) -> None:
    while not until():
        time.sleep(0.001)


@weir.hook("request", name="step")
async def step(until: Callable[[], bool]) -> None:
    await asyncio.sleep(0)
    spin.function(until)


def said(caplog: pytest.LogCaptureFixture, text: str) -> Callable[[], bool]:
    """Whether the log has it: what the hook waits for, so that it blocks exactly as long as it must."""
    deadline = time.monotonic() + 30

    def is_said() -> bool:
        return text in caplog.text or time.monotonic() > deadline

    return is_said


def test_a_plain_function_and_a_step_of_a_coroutine_are_named_with_their_stack(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.WARNING)
    watchdog = Watchdog(Turning(), [spin, step], 0.02)
    watchdog.start()
    try:
        spin(said(caplog, "hook spin blocks the worker"))
        text = caplog.text
        caplog.clear()
        # Inside of it stands the other hook's function, which is what blocks.
        only = Watchdog(Turning(), [step], 0.02)
        only.start()
        asyncio.run(step(said(caplog, "hook step blocks the worker")))
        only.stop()
    finally:
        watchdog.stop()
    assert "what takes time has to be awaited" in text
    assert "in spin" in text
    assert "hook step blocks" in caplog.text
    assert "in step" in caplog.text


def test_a_loop_that_goes_on_or_waits_is_not_blocked(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    engine = Turning()
    watchdog = Watchdog(engine, [spin], 0.02)
    watchdog.start()

    def turning(end: float = 0.0) -> bool:
        engine.turns += 1
        return time.monotonic() > end

    spin(functools.partial(turning, time.monotonic() + 0.2))
    # Nobody's function stands in the stack.
    time.sleep(0.1)
    watchdog.stop()
    assert caplog.text == ""


def test_one_that_blocks_again_and_again_is_named_now_and_then(caplog: pytest.LogCaptureFixture) -> None:
    watchdog = Watchdog(Turning(), [spin], 0.02)
    for _ in range(3):
        watchdog._say("spin", None, 0.5)
    assert caplog.text.count("hook spin blocks") == 1
    watchdog._said["spin"] = (0.0, 2)
    watchdog._say("spin", None, 0.5)
    assert "(2 more times since it was last said)" in caplog.text


def test_without_hooks_or_when_it_is_off_there_is_no_thread() -> None:
    for found, after_s in (([], 0.25), ([spin], 0.0), ([Hook(print, "log", "print")], 0.25)):
        watchdog = Watchdog(Turning(), found, after_s)
        watchdog.start()
        assert watchdog._thread is None
        watchdog.stop()


def test_a_partial_and_an_object_are_known_by_what_they_call(caplog: pytest.LogCaptureFixture) -> None:
    class Called:
        def __call__(self, until: Callable[[], bool]) -> None:
            spin.function(until)

    for name, function in (("partial", functools.partial(spin.function)), ("object", Called())):
        watchdog = Watchdog(Turning(), [Hook(function, "request", name)], 0.02)
        watchdog.start()
        function(said(caplog, f"hook {name} blocks"))
        watchdog.stop()
        assert f"hook {name} blocks" in caplog.text
