"""What is called once in each worker, and background tasks."""

from __future__ import annotations

import asyncio
import logging
import sys

import pytest

import weir
from weir.control import life
from weir.control.errors import StartError
from weir.control.life import Life
from weir.hooks.life import MOST_TASKS, Beside


async def test_steps_are_called_in_order_plain_and_awaited() -> None:
    done: list[str] = []

    @weir.startup
    def first() -> None:
        done.append("first")

    @weir.startup(timeout=5)
    async def second() -> None:
        await asyncio.sleep(0)
        done.append("second")

    @weir.shutdown
    async def third() -> None:
        done.append("third")

    @weir.shutdown
    def fourth() -> None:
        done.append("fourth")

    lived = Life([third, first, fourth, second])
    await lived.begin()
    assert done == ["first", "second"]
    await lived.end()
    await lived.end()
    assert done == ["first", "second", "third", "fourth"]


async def test_a_startup_that_fails_says_what_and_where_and_nothing_is_shut_down() -> None:
    ended: list[int] = []

    @weir.startup
    async def connect() -> None:
        raise OSError("no database")

    @weir.shutdown
    def close() -> None:
        ended.append(1)

    lived = Life([connect, close])
    with pytest.raises(StartError, match=r"startup .*connect failed\n(.|\n)*OSError: no database") as caught:
        await lived.begin()
    assert 'raise OSError("no database")' in str(caught.value)
    await lived.end()
    assert ended == []


async def test_a_startup_has_its_time() -> None:
    @weir.startup(timeout=0.01)
    async def connect() -> None:
        await asyncio.sleep(3600)

    lived = Life([connect])
    with pytest.raises(StartError, match=r"connect took longer than 0\.01 s"):
        await lived.begin()
    await lived.end()
    with pytest.raises(ValueError, match=r"timeout 26: 0\.001 to 25 seconds"):
        weir.startup(timeout=26)


async def test_a_shutdown_that_fails_is_logged_and_the_others_are_called(caplog: pytest.LogCaptureFixture) -> None:
    ended: list[int] = []

    @weir.shutdown
    def fail() -> None:
        raise OSError("gone already")

    @weir.shutdown
    def close() -> None:
        ended.append(1)

    lived = Life([fail, close])
    await lived.begin()
    await lived.end()
    assert ended == [1]
    assert "OSError: gone already" in caplog.text


async def test_the_end_has_its_time(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(life, "_END_S", 0.05)

    @weir.shutdown
    async def hang() -> None:
        await asyncio.sleep(3600)

    lived = Life([hang])
    await lived.begin()
    await lived.end()
    assert "took longer" in caplog.text or "hang failed" in caplog.text


async def test_background_tasks_end_with_the_last_worker_of_the_loop(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.ERROR)
    seen: list[str] = []

    async def wait() -> None:
        try:
            await asyncio.sleep(3600)
        finally:
            seen.append("cancelled")

    async def fail() -> None:
        raise LookupError("in the background")

    first, second = Life([]), Life([])
    await first.begin()
    await second.begin()
    task, failing = weir.background(wait(), name="waiter"), weir.background(fail())
    await asyncio.wait({failing})
    await asyncio.sleep(0)
    assert "background task test_background_tasks" in caplog.text
    assert "LookupError: in the background" in caplog.text
    await first.end()
    assert not task.done()
    await second.end()
    assert task.cancelled()
    assert seen == ["cancelled"]
    with pytest.raises(RuntimeError, match="no worker runs in this loop"):
        weir.background(wait())


async def test_a_background_task_that_exits_ends_no_worker(caplog: pytest.LogCaptureFixture) -> None:
    async def leave() -> None:
        sys.exit("no more work")

    lived = Life([])
    await lived.begin()
    await asyncio.wait({weir.background(leave())})
    await asyncio.sleep(0)
    assert "leave failed" in caplog.text
    assert "SystemExit: no more work" in caplog.text
    # Nor does one complain that had no time to begin.
    task = weir.background(asyncio.sleep(3600))
    await lived.end()
    assert task.cancelled()


async def test_there_are_not_more_background_tasks_than_10_000() -> None:
    lived = Life([])
    await lived.begin()
    beside = Beside.here()

    async def nothing() -> None:
        return None

    some = [weir.background(nothing()) for _ in range(3)]
    beside.tasks |= {asyncio.get_running_loop().create_task(asyncio.sleep(3600)) for _ in range(MOST_TASKS - 3)}
    with pytest.raises(RuntimeError, match="10000 background tasks run already"):
        weir.background(nothing())
    await asyncio.wait(some)
    await lived.end()


async def test_a_time_out_of_its_own_is_not_told_as_weirs() -> None:
    @weir.startup
    async def connect() -> None:
        raise TimeoutError("the database does not answer")

    with pytest.raises(StartError, match=r"failed\n(.|\n)*the database does not answer"):
        await Life([connect]).begin()
    await Life([]).end()


async def test_who_exits_is_told_like_any_other(caplog: pytest.LogCaptureFixture) -> None:
    @weir.startup
    def connect() -> None:
        raise SystemExit("no database")

    @weir.shutdown
    def close() -> None:
        raise SystemExit(3)

    ended: list[int] = []
    lived = Life([connect])
    with pytest.raises(StartError, match=r"connect failed\n(.|\n)*no database"):
        await lived.begin()
    await lived.end()
    lived = Life([close, weir.shutdown(lambda: ended.append(1))])
    await lived.begin()
    await lived.end()
    assert ended == [1]
    assert "close failed" in caplog.text
