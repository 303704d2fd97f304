"""What is done once in each worker, before it serves and after, and tasks that go on beside requests."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from typing import Any, Final, Literal, overload

__all__ = ["Beside", "Step", "background", "shutdown", "startup"]

log = logging.getLogger("weir.hooks")

# Of the half minute that a worker has to come up in; the rest is for what else it does.
STARTUP_S: Final = 20.0
MOST_TASKS: Final = 10_000

Work = Callable[[], Awaitable[object] | object]


@dataclass(frozen=True, eq=False)
class Step:
    """A function that is called once in each worker. It can be called as the function that it was."""

    function: Work
    when: Literal["startup", "shutdown"]
    name: str
    timeout_s: float = STARTUP_S

    def __call__(self) -> Awaitable[object] | object:
        return self.function()


@overload
def startup(function: Work, /) -> Step: ...
@overload
def startup(*, timeout: float = STARTUP_S) -> Callable[[Work], Step]: ...
def startup(function: Work | None = None, /, *, timeout: float = STARTUP_S) -> Step | Callable[[Work], Step]:
    """Has a function without parameters, `def` or `async def`, called in each worker before it listens.

    If it raises, or an `async def` takes longer than `timeout` seconds (0.001 to 25), the worker does not start: weir
    ends with status 1, and a reload is refused. Several are called in the order of the file. ValueError for a timeout
    that cannot be.
    """
    if not 0.001 <= timeout <= 25:
        raise ValueError(f"timeout {timeout!r}: 0.001 to 25 seconds")

    def decorate(called: Work) -> Step:
        return Step(called, "startup", _name(called), timeout)

    return decorate if function is None else decorate(function)


def shutdown(function: Work, /) -> Step:
    """Has a function without parameters, `def` or `async def`, called in each worker after its last exchange.

    Only if everything of `startup` was done. What it raises is logged, and those that follow are called. All together
    have 4 seconds.
    """
    return Step(function, "shutdown", _name(function))


def _name(function: Any) -> str:
    return f"{function.__module__}.{function.__qualname__}"


class Beside:
    """The background tasks of a loop, and how many workers run in it: the last one that leaves ends them."""

    _of: Final[dict[asyncio.AbstractEventLoop, Beside]] = {}

    def __init__(self) -> None:
        self.workers = 0
        self.tasks: set[asyncio.Task[object]] = set()

    @classmethod
    def enter(cls) -> Beside:
        """A worker begins in the running loop."""
        beside = cls._of.setdefault(asyncio.get_running_loop(), cls())
        beside.workers += 1
        return beside

    @classmethod
    def here(cls) -> Beside:
        """Those of the running loop. RuntimeError if no worker runs in it."""
        try:
            return cls._of[asyncio.get_running_loop()]
        except KeyError:
            raise RuntimeError("no worker runs in this loop: a background task has to begin in a hook") from None

    async def leave(self) -> None:
        """A worker ends: if it was the last, tasks are cancelled and waited for."""
        self.workers -= 1
        if self.workers:
            return
        self._of.pop(asyncio.get_running_loop(), None)
        for task in self.tasks:
            task.cancel()
        if self.tasks:
            await asyncio.wait(self.tasks)

    def ended(self, task: asyncio.Task[object]) -> None:
        self.tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            log.error("background task %s failed", task.get_name(), exc_info=task.exception())


def background(coroutine: Coroutine[Any, Any, object], *, name: str = "") -> asyncio.Task[object]:
    """Lets a coroutine run beside requests, in this worker: from a hook, or from `startup`.

    It is cancelled when the worker ends, after the last exchange. What it raises (SystemExit, too) is logged under
    `name` (default: the name of the coroutine's function). RuntimeError in a loop in which no worker runs, or when
    10,000 run already.
    """
    try:
        loop, beside = asyncio.get_running_loop(), Beside.here()
        if len(beside.tasks) >= MOST_TASKS:
            raise RuntimeError(f"{MOST_TASKS} background tasks run already")
    except RuntimeError:
        coroutine.close()
        raise
    task: asyncio.Task[object] = loop.create_task(
        _attend(coroutine), name=name or getattr(coroutine, "__qualname__", "")
    )
    beside.tasks.add(task)
    task.add_done_callback(beside.ended)
    # One that is cancelled before it has begun would be told to have been forgotten.
    task.add_done_callback(lambda _task: coroutine.close())
    # A hook may be called from within the engine, which then has to be told that Python wants to run.
    loop.call_soon_threadsafe(_nothing)
    return task


class _ExitError(Exception):
    """A background task has called sys.exit(): it does not end the worker."""


async def _attend(coroutine: Coroutine[Any, Any, object]) -> object:
    try:
        return await coroutine
    except SystemExit as error:
        raise _ExitError(f"SystemExit: {error}") from error


def _nothing() -> None:
    """What wakes the loop need not do anything."""
