"""What is sampled for the live page: right figures, bounded memory, and one frame for all who look."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest

from tools.live_page import Traffic
from weir.admin import live as module
from weir.admin.history import History
from weir.admin.live import CHART_SPAN_S, CHART_STEP_S, SPARK_POINTS, WINDOWS, Live
from weir.config.plan import HistoryPlan
from weir.plane.counters import Counters
from weir.stats import layout
from weir.stats.frame import Frame, take
from weir.stats.names import TableNames


class Clock:
    """The time, both that of the wall and the monotonic one; frames are taken at it. `wall` is what set the former."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 1_800_000_000.0
        self.wall = 0.0
        monkeypatch.setattr(module, "monotonic", lambda: self.now)
        monkeypatch.setattr(module, "time", lambda: self.now + self.wall)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


@pytest.fixture
def traffic() -> Traffic:
    return Traffic(rows=64)


def made(traffic: Traffic, clock: Clock, history: History | None = None) -> Live:
    def take_now() -> Frame:
        frame, taken_us = take(traffic.table), int((clock.now + clock.wall) * 1e6)
        return frame.spanning(min(frame.since_us, taken_us), taken_us)

    return Live(traffic.table, take_now, TableNames(traffic.table), history)


def spend(live: Live, clock: Clock, seconds: int, step_s: float = 1.0) -> None:
    for _ in range(int(seconds / step_s)):
        clock.now += step_s
        live.tick()


def requests(frame: Frame) -> int:
    return sum(frame.column(0))


def test_a_window_has_what_was_counted_in_it(traffic: Traffic, clock: Clock) -> None:
    traffic.count(0, b"/old", 1000, times=5)
    live = made(traffic, clock)
    spend(live, clock, 90)
    traffic.count(0, b"/new", 1000, times=3)
    spend(live, clock, 5)
    assert requests(live.window(60)) == 3
    assert live.window(60).keys == [key for key in live.frame.keys if live.names[key].path == "/new"]
    assert 60 <= (live.window(60).taken_us - live.window(60).since_us) / 1e6 <= 60 + WINDOWS[60]
    # There was nothing before the first frame that could be told apart.
    assert requests(live.window(300)) == 3
    assert requests(live.window(0)) == 8
    spend(live, clock, 60 + WINDOWS[60])
    assert requests(live.window(60)) == 0


@pytest.mark.parametrize("by_s", [-7200.0, -50.0, 50.0, 7200.0])
def test_a_clock_that_is_set(traffic: Traffic, clock: Clock, by_s: float) -> None:
    live = made(traffic, clock)
    spend(live, clock, 90)
    clock.wall = by_s
    spend(live, clock, 10)
    # No point stands beside one of another time, and the newest is of now.
    times = [point.at_s for point in live.chart]
    assert times == sorted(set(times))
    assert times[-1] == pytest.approx(clock.now + by_s, abs=CHART_STEP_S)
    # Nothing that came before, in the time as it is now, is lost.
    assert len(times) == {-7200.0: 2, -50.0: 10}.get(by_s, 20)
    for window, span in ((60, 60), (300, 100)):
        frame = live.window(window)
        assert frame.taken_us == pytest.approx((clock.now + by_s) * 1e6)
        assert span <= (frame.taken_us - frame.since_us) / 1e6 <= span + WINDOWS[60]


def test_what_is_kept_is_bounded(traffic: Traffic, clock: Clock) -> None:
    live = made(traffic, clock)
    for _ in range(4200):
        traffic.count(0, b"/a", 700)
        spend(live, clock, 1)
    assert len(live.chart) == CHART_SPAN_S / CHART_STEP_S
    assert live.chart[-1].at_s - live.chart[0].at_s == pytest.approx(CHART_SPAN_S, abs=10)
    assert [len(bases.packed) for bases in live._bases.values()] == [7, 6, 7]
    assert len(live.spark_ages()) == len(live.spark(live.frame.keys[0])) == SPARK_POINTS
    assert requests(live.window(3600)) == pytest.approx(3600, abs=WINDOWS[3600] + 1)


def test_the_figures_of_now_and_of_the_chart(traffic: Traffic, clock: Clock) -> None:
    live = made(traffic, clock)
    for _ in range(20):
        traffic.count(0, b"/a", 1000, size=50, times=9)
        traffic.count(0, b"/b", 90_000, status=503, reason=3)
        traffic.publish()
        spend(live, clock, 1)
    for point in (live.now(), live.chart[-1]):
        assert point.requests_per_second == 10
        assert point.errors_per_second == point.status_5xx_per_second == 1
        assert point.bytes_per_second == 9 * 50 + 100
        assert point.p50_us == pytest.approx(1000, rel=0.05)
        assert point.p99_us == pytest.approx(90_000, rel=0.05)
    assert live.in_flight == live.now().in_flight == live.workers[0].exchanges
    assert live.spark(live.frame.keys[0]) == [9.0] * len(live.spark_ages())
    spend(live, clock, 10)
    assert live.now().requests_per_second == 0
    assert live.now().p50_us is None


def test_other_rows_say_of_how_many_paths(clock: Clock) -> None:
    traffic = Traffic(rows=4)
    for number in range(500):
        traffic.count(0, b"/%d" % number, 100)
    live = made(traffic, clock)
    (other,) = live.others()
    assert (other.route, other.requests, other.share) == ("api", 498, 498 / 500)
    assert other.distinct == pytest.approx(498, rel=4 * other.relative_error)


def test_parts_of_a_route(traffic: Traffic, clock: Clock) -> None:
    traffic.count(0, b"/a", 100_000, times=10)
    live = made(traffic, clock)
    parts = live.parts("api")
    assert parts[0] == pytest.approx((500, 500), rel=0.05)
    assert live.parts("files") == []
    assert live.parts("no such route") == []


def test_parts_of_a_route_whose_name_is_shown_otherwise() -> None:
    """A condition of a route may have a backslash, and so its name."""
    table = layout.create(8, ["a\\b"], workers=1)
    counters = Counters(table, 0)
    counters.add(0, 0, 1)
    counters.observe_part_us(0, 0, 500)
    live = Live(table, lambda: take(table), TableNames(table))
    (name,) = {live.names[key].route for key in live.frame.keys}
    assert name == "a\\\\b"
    assert live.parts(name)[0] == pytest.approx((500, 500), rel=0.05)


async def test_what_cannot_be_sampled_once_is_sampled_again(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Else no viewer would ever have an answer again."""
    table = layout.create(8, ["main"], workers=1)
    broken = False

    def take_or_not() -> Frame:
        if broken:
            raise OverflowError("a table in the middle of something")
        return take(table)

    monkeypatch.setattr(module, "TICK_S", 0.01)
    monkeypatch.setattr(module, "IDLE_TICK_S", 0.01)
    live = Live(table, take_or_not, TableNames(table))
    running = asyncio.create_task(live.run())
    await asyncio.wait_for(live.next_tick(), 10)
    broken = True
    await asyncio.sleep(0.1)
    assert caplog.text.count("could not be sampled") == 1
    broken = False
    await asyncio.wait_for(live.next_tick(), 10)
    assert not live.stopping.is_set()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running


async def test_the_chart_begins_with_the_history(
    traffic: Traffic, tmp_path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    def take_now() -> Frame:
        frame = take(traffic.table)
        return frame.spanning(min(frame.since_us, int(clock.now * 1e6)), int(clock.now * 1e6))

    history = History(HistoryPlan(path=str(tmp_path / "h.db")), take_now, TableNames(traffic.table), lambda: clock.now)
    await history.open()
    clock.now = clock.now // 60 * 60 + 30
    for _ in range(3):
        traffic.count(0, b"/a", 2000, times=60, status=500)
        await history.flush()
        clock.now += 60
    live = made(traffic, clock, history)
    monkeypatch.setattr(module, "IDLE_TICK_S", 0.01)
    task = asyncio.create_task(live.run())
    while live.ticks < 3:
        clock.now += 0.1
        await asyncio.sleep(0.01)
    assert [point.requests_per_second for point in live.chart][:3] == [1.0, 1.0, 1.0]
    assert live.chart[0].status_5xx_per_second == 1.0
    minutes = await live.minutes("api", "/a")
    assert [point.requests_per_second for point in minutes][:3] == [1.0, 1.0, 1.0]
    assert {point.requests_per_second for point in await live.minutes("api", "/other")} == {0.0}
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert live.stopping.is_set()
    await asyncio.wait_for(live.next_tick(), 1)
    await history.close()


async def test_who_looks_gets_a_tick_a_second_and_soon(traffic: Traffic) -> None:
    live = Live(traffic.table, lambda: take(traffic.table), TableNames(traffic.table))
    task = asyncio.create_task(live.run())
    await asyncio.sleep(1.2)
    assert live.ticks == 1
    with live.watching():
        began = time.monotonic()
        await asyncio.sleep(0.2)
        assert live.ticks == 2
        await asyncio.wait_for(live.next_tick(), 3)
        assert time.monotonic() - began > 0.8
        assert live.ticks == 3
    assert live.viewers == 0
    # Many who ask one by one are no reason for more ticks than that.
    before = live.ticks
    for _ in range(30):
        with live.watching():
            await asyncio.sleep(0.1)
    assert 2 <= live.ticks - before <= 4
    live.stopping.set()
    await asyncio.wait_for(live.next_tick(), 1)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


def test_a_tick_forgets_what_was_remembered(traffic: Traffic, clock: Clock) -> None:
    live = made(traffic, clock)
    calls: list[int] = []
    for _ in range(2):
        for _ in range(3):
            live.memo("key", lambda: calls.append(1))
        live.tick()
    assert len(calls) == 2
