"""The task in which a hook's coroutine runs."""

from __future__ import annotations

import inspect
import time
from collections.abc import Coroutine
from typing import Any, Protocol

__all__ = ["attend", "let_go"]


class Waiting(Protocol):
    """Who waits for the coroutine: `weir.plane.meeting.Call`."""

    def done(self, said: object, error: BaseException | None, spent_ns: int) -> None:
        """It has ended."""


async def attend(call: Waiting, coroutine: Coroutine[Any, Any, object]) -> None:
    """Awaits a hook's coroutine and tells `call` how it ended."""
    begun = time.perf_counter_ns()
    try:
        said = await coroutine
    except (Exception, SystemExit) as error:  # a hook does not end the worker
        call.done(None, error, time.perf_counter_ns() - begun)
    except BaseException as error:
        # Cancelled, by weir (nobody waits then) or by the hook's own doing.
        call.done(None, error, time.perf_counter_ns() - begun)
        raise
    else:
        call.done(said, None, time.perf_counter_ns() - begun)


def let_go(coroutine: Coroutine[Any, Any, object]) -> None:
    """Closes a coroutine whose task was cancelled before its first step; else Python would warn of it."""
    if inspect.iscoroutine(coroutine) and inspect.getcoroutinestate(coroutine) == inspect.CORO_CREATED:
        coroutine.close()
