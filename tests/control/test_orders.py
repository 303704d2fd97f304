"""What becomes of a worker that is told to end; tests/control/test_worker.py has real ones that drain."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, cast

import pytest

from weir.control.errors import StartError
from weir.control.orders import drain_or_stop, start_unless
from weir.control.worker import Worker


class Starting:
    """A worker, as far as its start and its end go."""

    def __init__(self, start: Callable[[], Coroutine[Any, Any, None]]) -> None:
        self.start = start
        self.stops = 0

    async def drain(self, grace_s: float) -> bool:
        await self.start()
        return True

    async def stop(self) -> None:
        self.stops += 1


async def nothing() -> None:
    pass


async def never() -> None:
    await asyncio.sleep(3600)


async def fails() -> None:
    raise StartError("no database")


async def start(one: Starting, told: asyncio.Event) -> bool:
    async with asyncio.timeout(10):
        return await start_unless(cast(Worker, one), told)


async def test_whoever_is_told_nothing_serves() -> None:
    one = Starting(nothing)
    assert await start(one, asyncio.Event())
    assert one.stops == 0


async def test_whoever_is_told_to_end_does_not_start_any_further() -> None:
    one, told = Starting(never), asyncio.Event()
    asyncio.get_running_loop().call_later(0.01, told.set)
    assert not await start(one, told)
    assert one.stops == 1


async def test_whoever_has_started_when_it_is_told_serves_and_can_drain() -> None:
    one, told = Starting(nothing), asyncio.Event()
    told.set()
    assert await start(one, told)


async def test_what_has_failed_is_raised() -> None:
    with pytest.raises(StartError, match="no database"):
        await start(Starting(fails), asyncio.Event())


async def test_it_stops_though_draining_fails() -> None:
    one = Starting(fails)
    with pytest.raises(StartError, match="no database"):
        await drain_or_stop(cast(Worker, one), asyncio.Event())
    assert one.stops == 1


async def test_whoever_is_told_to_stop_now_drains_no_longer() -> None:
    one, now = Starting(never), asyncio.Event()
    asyncio.get_running_loop().call_later(0.01, now.set)
    async with asyncio.timeout(10):
        await drain_or_stop(cast(Worker, one), now)
    assert one.stops == 1


async def test_nothing_is_left() -> None:
    before = asyncio.all_tasks()
    for function in (nothing, never):
        one, told = Starting(function), asyncio.Event()
        asyncio.get_running_loop().call_later(0.01, told.set)
        await start(one, told)
    await asyncio.sleep(0)
    assert asyncio.all_tasks() == before
