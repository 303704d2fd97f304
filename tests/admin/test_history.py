"""The history: exact over restarts and kills, bounded, and not stopped by what may happen to a file."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import sqlite3
import time
import tracemalloc
from dataclasses import replace
from pathlib import Path

import pytest

from tests.admin.recorded import DAY, HOUR, PLACES, Clock, Weir, counted, opened
from weir.admin.history import MOST_POINTS, History
from weir.config.plan import HistoryPlan
from weir.plane.counters import Counters
from weir.stats import layout
from weir.stats.frame import take
from weir.stats.names import TableNames
from weir.stats.view import Filter, query


async def test_what_was_counted_comes_back(plan: HistoryPlan, clock: Clock) -> None:
    weir = Weir(clock)
    async with opened(weir.history(plan)) as history:
        weir.count(b"/a", 5)
        weir.count(b"/b\x1b\xff", 2, route=1)
        assert await counted(history) == {"main /a": 5, "api /b\\x1B\\xFF": 2}
        assert await history.flush()
        assert await counted(history) == {"main /a": 5, "api /b\\x1B\\xFF": 2}
        clock.now += 60
        weir.count(b"/a", 1)
        assert await counted(history) == {"main /a": 6, "api /b\\x1B\\xFF": 2}
        assert await counted(history, clock.now) == {"main /a": 1}
        assert await history.flush()
        assert await counted(history, clock.now) == {"main /a": 1}
        assert await counted(history, clock.now - 60, clock.now) == {"main /a": 5, "api /b\\x1B\\xFF": 2}
        stretch = await history.between(clock.now + 30)
        assert stretch.frame.since_us == clock.now * 1e6
    async with opened(weir.history(plan)) as history:
        assert await counted(history) == {"main /a": 6, "api /b\\x1B\\xFF": 2}
        stretch = await history.between(0)
        assert stretch.frame.since_us == (clock.now - 60) * 1e6
        (row,) = query(stretch.frame, stretch.names, Filter(path="/a")).rows
        assert row.total.sum_us == 6000
        assert row.total.p50_us == pytest.approx(1000, rel=0.0443)


async def test_a_new_table_goes_on_where_the_old_one_ended(plan: HistoryPlan, clock: Clock) -> None:
    first = Weir(clock)
    async with opened(first.history(plan)):
        first.count(b"/a", 5)
        first.count(b"/b", 5)
    second = Weir(clock)
    second.count(b"/b", 1)  # before the history is open, and in the row that was /a's
    async with opened(second.history(plan)) as history:
        assert await counted(history) == {"main /a": 5, "main /b": 6}


@pytest.mark.parametrize("seed", range(12))
async def test_exactly_once_whatever_happens(seed: int, plan: HistoryPlan, clock: Clock) -> None:
    """Counting, flushes, restarts of the admin side (with and without a last flush), new tables, a clock that jumps."""
    chance = random.Random(seed)
    weir, true = Weir(clock), dict[str, int]()
    history = weir.history(plan)
    await history.open()
    for _ in range(60):
        match chance.choice(["count", "count", "count", "flush", "restart", "kill", "table", "clock", "ask"]):
            case "count":
                path, times = chance.randrange(5), chance.randrange(1, 20)
                weir.count(b"/%d" % path, times, us=chance.randrange(1, 100_000))
                true[f"main /{path}"] = true.get(f"main /{path}", 0) + times
            case "flush":
                assert await history.flush()
            case "restart":
                await history.close()
                history = weir.history(plan)
                await history.open()
            case "kill":
                await history._call(history._store.close)
                history = weir.history(plan)
                await history.open()
            case "table":
                await history.close()
                weir = Weir(clock)
                history = weir.history(plan)
                await history.open()
            case "clock":
                clock.now += chance.choice([1, 7, 60, 61, 3600, -30])
            case "ask":
                assert await counted(history) == true
    assert await counted(history) == true
    points = await history.points(clock.now - 2 * DAY, clock.now + DAY, step_s=HOUR)
    assert sum(point.counts.requests for point in points) == sum(true.values())
    await history.close()


def killed_while_it_records(plan: HistoryPlan, table: layout.Table, after_s: float) -> None:
    """A child that opens the history of a table and flushes as fast as it can, killed after a while."""
    child = os.fork()
    if child == 0:

        async def record() -> None:
            history = History(plan, lambda: take(table), TableNames(table))
            await history.open()
            while True:
                await history.flush()

        try:
            asyncio.run(record())
        finally:
            os._exit(1)
    time.sleep(after_s)
    os.kill(child, signal.SIGKILL)
    assert os.WTERMSIG(os.waitpid(child, 0)[1]) == signal.SIGKILL


def test_kills_at_any_moment_lose_and_double_nothing(plan: HistoryPlan) -> None:
    """The table lives on, as it does when the supervisor starts a new admin process."""
    chance = random.Random(3)
    table = layout.create(300, ["main"], workers=1)
    stop = os.fork()
    if stop == 0:
        counters = Counters(table, 0)
        try:
            for number in range(10**9):
                row = counters.find_row(0, b"/%d" % (number % 200))
                counters.add(row, PLACES["requests"], 1)
                counters.observe_us(row, 0, number % 9999)
                if number % 1000 == 0:
                    time.sleep(0.001)
        finally:
            os._exit(1)
    try:
        for _ in range(8):
            killed_while_it_records(plan, table, chance.uniform(0.05, 0.4))
    finally:
        os.kill(stop, signal.SIGKILL)
        os.waitpid(stop, 0)

    async def check() -> None:
        async with opened(History(plan, lambda: take(table), TableNames(table))) as history:
            await history.flush()
            frame = take(table)
            assert sum(frame.column(0)) > 1000
            assert await counted(history) == {
                f"main {TableNames(table)[row].path}": count
                for row, count in zip(frame.keys, frame.column(0), strict=True)
            }
            # One flush or more was written before the last.
            stretch = await history.between(0)
            assert stretch.frame.total().histogram(0, 0) == frame.total().histogram(0, 0)

    asyncio.run(check())


async def test_points(plan: HistoryPlan, clock: Clock) -> None:
    weir = Weir(clock)
    begin = clock.now
    async with opened(weir.history(plan)) as history:
        for minute in range(5):
            if minute != 2:
                weir.count(b"/a", minute + 1, us=1000)
                weir.count(b"/a", 1, us=9000, route=1)
                weir.count(b"/b", 10, us=50)
            await history.flush()
            clock.now += 60
        weir.count(b"/a", 100)  # not yet recorded

        def requests(points: list) -> list[int]:  # type: ignore[type-arg]
            return [point.counts.requests for point in points]

        assert requests(await history.points(begin, route="main", path="/a")) == [1, 2, 0, 4, 5, 100]
        assert requests(await history.points(begin, begin + 300, path="/a")) == [2, 3, 0, 5, 6]
        assert requests(await history.points(begin, begin + 300, route="main")) == [11, 12, 0, 14, 15]
        assert requests(await history.points(begin, begin + 300, route="api")) == [1, 1, 0, 1, 1]
        assert requests(await history.points(begin, begin + 300)) == [12, 13, 0, 15, 16]
        assert requests(await history.points(begin, begin + 300, step_s=120)) == [25, 15, 16]
        assert requests(await history.points(begin, begin + 60, path="/none")) == [0]
        assert [point.start_s for point in await history.points(begin, begin + 180)] == [begin, begin + 60, begin + 120]
        (point,) = await history.points(begin, begin + 60, route="api")
        assert point.p50_us == pytest.approx(9000, rel=0.0443)
        for step in (0, 59, 90):
            with pytest.raises(ValueError, match="whole number of minutes"):
                await history.points(begin, step_s=step)
        with pytest.raises(ValueError, match=f"more than {MOST_POINTS} points"):
            await history.points(0)


async def test_minutes_become_hours_and_sums_stay(plan: HistoryPlan, clock: Clock) -> None:
    weir, begin = Weir(clock), clock.now
    plan = replace(plan, minutes_for_ms=2 * HOUR * 1000)
    async with opened(weir.history(plan)) as history:
        for _ in range(6 * 60):
            weir.count(b"/a", 2)
            await history.flush()
            clock.now += 60
        await history.flush()
        db = sqlite3.connect(plan.path)
        assert db.execute("SELECT count(DISTINCT start) FROM hour").fetchone() == (4,)
        assert db.execute("SELECT count(DISTINCT start) FROM minute").fetchone() == (120,)
        db.close()
        assert await counted(history) == {"main /a": 720}
        hours = await history.points(begin, clock.now, step_s=HOUR, route="main", path="/a")
        assert [point.counts.requests for point in hours] == [120] * 6
        assert await counted(history, begin + 1800, begin + 5400) == {"main /a": 240}


async def test_what_is_old_is_forgotten(plan: HistoryPlan, clock: Clock) -> None:
    """A year of an hour's traffic a day, each day with paths of its own."""
    plan = replace(plan, max_age_ms=10 * DAY * 1000, minutes_for_ms=DAY * 1000)
    async with opened(Weir(clock).history(plan)):
        pass
    largest = 0
    for day in range(100):
        weir = Weir(clock)
        async with opened(weir.history(plan)) as history:
            for path in range(20):
                weir.count(b"/%d/%d" % (day, path), 5)
            await history.flush()
            clock.now += DAY
            await history.flush()
            found = await counted(history)
            assert len(found) == 20 * min(day + 1, 10)
        largest = max(largest, Path(plan.path).stat().st_size)
    db = sqlite3.connect(plan.path)
    assert db.execute("SELECT count(*) FROM series").fetchone()[0] <= 20 * 11 + 3
    db.close()
    assert largest < 1 << 20


async def test_the_file_keeps_its_size(plan: HistoryPlan, clock: Clock) -> None:
    plan = replace(plan, max_bytes=400_000)
    weir, chance = Weir(clock, rows=400), random.Random(1)
    async with opened(weir.history(plan)) as history:
        for minute in range(120):
            for path in range(100):
                for _ in range(5):
                    weir.count(b"/%d" % path, 1, us=int(chance.lognormvariate(7, 2)))
            assert await history.flush()
            clock.now += 60
            if minute > 40:
                # A little above: what is written before it is looked at.
                assert Path(plan.path).stat().st_size < 600_000
        first = await history.oldest_s()
        assert first is not None
        assert first > clock.now - 120 * 60
        assert (await counted(history, clock.now - 60))["main /0"] == 5


# Times of the build that people use.
@pytest.mark.alone
@pytest.mark.figures
async def test_an_hour_of_a_full_table_is_written_and_read_in_good_time(plan: HistoryPlan, clock: Clock) -> None:
    weir, begin = Weir(clock, rows=4100), clock.now
    longest = {"write": 0.0, "read": 0.0, "points": 0.0}

    async def timed(what: str, call: object) -> object:
        started = time.process_time()
        result = await call  # type: ignore[misc]
        longest[what] = max(longest[what], time.process_time() - started)
        return result

    async with opened(weir.history(plan)) as history:
        for minute in range(60):
            for path in range(4096):
                weir.count(b"/path/%d" % path, 1, us=100 << (minute % 5))
            await timed("write", history.flush())
            clock.now += 60
        stretch = await timed("read", history.between(begin))
        assert sum(stretch.frame.column(0)) == 60 * 4096  # type: ignore[attr-defined]
        points = await timed("points", history.points(begin, clock.now))
        assert [point.counts.requests for point in points] == [4096] * 60  # type: ignore[attr-defined]
        size = Path(plan.path).stat().st_size
    print(", ".join(f"{what} {seconds * 1000:.0f} ms" for what, seconds in longest.items()), f"{size / 1e6:.1f} MB")
    assert longest["write"] < 2
    assert longest["read"] < 3
    assert longest["points"] < 0.5


async def test_a_long_time_is_not_read_into_memory_at_once(plan: HistoryPlan, clock: Clock) -> None:
    weir = Weir(clock)
    async with opened(weir.history(plan)) as history:
        weir.count(b"/a", 5)
        assert await history.flush()
        db = sqlite3.connect(plan.path)
        (start, series, numbers) = db.execute("SELECT * FROM minute WHERE series < 1000").fetchone()
        db.executemany("INSERT INTO minute VALUES (?, ?, ?)", [(start - n, series, numbers) for n in range(1, 40_000)])
        db.commit()
        db.close()
        tracemalloc.start()
        try:
            assert await counted(history) == {"main /a": 200_000}
            assert tracemalloc.get_traced_memory()[1] < 1 << 20
        finally:
            tracemalloc.stop()
