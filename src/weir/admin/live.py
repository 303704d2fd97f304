"""What the live page shows, sampled from the shared table once a tick for all who look.

Per tick one frame of the table is taken (some 10 ms for 5000 busy series); everything else is derived from it when a
viewer asks, and remembered until the next tick. What is kept is bounded: totals of the last hour every five seconds,
each row's requests of the last minute, and a few packed frames where the windows of the table begin.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import sqlite3
from array import array
from collections import deque
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from time import monotonic, perf_counter, time
from typing import Any, Final, NamedTuple, Protocol

from weir.stats import layout, reader, roster
from weir.stats.frame import Frame, quantile_of, unpack
from weir.stats.names import Name
from weir.stats.page import printable
from weir.stats.reader import Counts
from weir.stats.rules import RuleBook

__all__ = ["WINDOWS", "ChartPoint", "Live", "Minutes", "Other"]

log = logging.getLogger("weir.admin")

TICK_S: Final = 1.0
# While nobody looks: often enough for the charts.
IDLE_TICK_S: Final = 5.0
CHART_STEP_S: Final = 5.0
CHART_SPAN_S: Final = 3600
# Who asks one by one, about once a second, is taken for one who looks all the time.
LOOKED_FOR_S: Final = 3.0
# The figures at the top are of about so long: long enough not to flicker, short enough to be "now".
NOW_S: Final = 5.0
SPARK_STEP_S: Final = 2.0
SPARK_POINTS: Final = 30
# What the table may be about, in seconds, and how much longer it may be at most: frames are kept so far apart.
WINDOWS: Final = {60: 10, 300: 60, 3600: 600}
# Clocks of ticks are not exact: what is due within this is due.
_SLACK_S: Final = 0.3
# By so much two clocks differ only if one was set.
_CLOCK_SET_S: Final = 1.0
# Estimates of distinct paths cost about a millisecond a route and worker.
_OTHERS_FOR_S: Final = 5.0
_MINUTES_FOR_S: Final = 10.0
_MINUTES_KEPT: Final = 32


class MinutePoint(Protocol):
    """A step of a history: see `weir.admin.history.Point`."""

    @property
    def start_s(self) -> int: ...
    @property
    def counts(self) -> Counts: ...
    @property
    def p50_us(self) -> float: ...
    @property
    def p90_us(self) -> float: ...
    @property
    def p99_us(self) -> float: ...


class Minutes(Protocol):
    """What is wanted of `weir.admin.history.History`."""

    async def points(
        self, since_s: float, until_s: float | None = None, step_s: int = 60, route: str = "", path: str = ""
    ) -> Sequence[MinutePoint]: ...

    async def oldest_s(self) -> int | None: ...


class ChartPoint(NamedTuple):
    """What was counted in the seconds before `at_s` (since 1970); times are None where nothing ended."""

    at_s: float
    requests_per_second: float
    errors_per_second: float
    status_5xx_per_second: float
    bytes_per_second: float
    in_flight: int | None
    p50_us: float | None
    p90_us: float | None
    p99_us: float | None


class Other(NamedTuple):
    """A route's `(other)` row since the table was made: its share of the route's requests, and of how many paths."""

    route: str
    requests: int
    share: float
    distinct: int
    relative_error: float


class _Moment(NamedTuple):
    """All series in one, at a time of the monotonic clock."""

    at: float
    total: Frame


class _Bases:
    """Packed frames for one window: the oldest is where the window begins."""

    def __init__(self, window_s: int, apart_s: int) -> None:
        self.apart_s = apart_s
        self.packed: deque[tuple[float, bytes]] = deque(maxlen=window_s // apart_s + 1)
        # The oldest, unpacked while somebody asks for it.
        self.open: tuple[float, Frame] | None = None
        self.asked = False

    def is_due(self, now: float) -> bool:
        return not self.packed or now - self.packed[-1][0] >= self.apart_s - _SLACK_S

    def base(self) -> Frame:
        self.asked = True
        at, packed = self.packed[0]
        if self.open is None or self.open[0] != at:
            self.open = (at, unpack(packed))
        return self.open[1]

    def next_tick(self) -> None:
        if not self.asked:
            self.open = None
        self.asked = False


class Live:
    """Samples a table while `run()` runs.

    `memory` is the table or any buffer with one, `take()` makes a frame of it, `names` are the names of its rows;
    `history` fills the charts with what was before, and shows the hour of one path; None: there is none. `rules` is the
    memory of rate limits and faults; None: there are none.
    Once `stopping` is set nobody waits for a tick any more.
    """

    def __init__(
        self,
        memory: Any,
        take: Callable[[], Frame],
        names: Mapping[int, Name],
        history: Minutes | None = None,
        stopping: asyncio.Event | None = None,
        rules: RuleBook | None = None,
    ) -> None:
        self.memory = memory
        self.rules = rules
        self.names = names
        self.history = history
        self.stopping = asyncio.Event() if stopping is None else stopping
        self._take = take
        self.chart: deque[ChartPoint] = deque(maxlen=int(CHART_SPAN_S / CHART_STEP_S))
        self.ticks = 0
        self.viewers = 0
        self._looked = -LOOKED_FOR_S
        self.tick_ms = 0.0
        header = layout.read_header(memory)
        self._rows = header.rows
        self.created_s = header.created_us / 1e6
        self._bases = {window: _Bases(window, apart) for window, apart in WINDOWS.items()}
        self._moments: deque[_Moment] = deque(maxlen=int(2 * NOW_S / TICK_S))
        self._sparks: deque[tuple[float, array[int]]] = deque(maxlen=SPARK_POINTS + 1)
        self._memo: dict[Hashable, Any] = {}
        self._others: tuple[float, list[Other]] = (0.0, [])
        self._minutes: dict[tuple[str, str], tuple[float, list[MinutePoint]]] = {}
        self._ticked = asyncio.Event()
        self._hurry = asyncio.Event()
        self._charted: _Moment | None = None
        self.tick()

    # -- the sampling

    async def run(self) -> None:
        """Samples until it is cancelled."""
        end = asyncio.create_task(self._wake_at_the_end())
        failing = False
        try:
            await self._recall()
            while True:
                await self._until_due()
                try:
                    self.tick()
                    failing = False
                except Exception:
                    # A fault of ours, or a table that cannot be read now: the next tick may do.
                    if not failing:
                        log.exception("live page: the table could not be sampled; it is tried again")
                    failing = True
                    await asyncio.sleep(TICK_S)
        finally:
            end.cancel()
            # Nobody ticks any more: who waits for it is sent home.
            self.stopping.set()
            self._ticked.set()

    async def _until_due(self) -> None:
        while True:
            now = monotonic()
            looked_at = self.viewers or now - self._looked < LOOKED_FOR_S
            left = self._moments[-1].at + (TICK_S if looked_at else IDLE_TICK_S) - now
            if left <= 0:
                return
            self._hurry.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(left):
                    await self._hurry.wait()

    def tick(self) -> None:
        """Takes a frame now."""
        started = perf_counter()
        now = monotonic()
        self.frame = self._take()
        self.workers = reader.workers(self.memory)
        self.endpoints = reader.endpoints(self.memory)
        self.clusters = reader.clusters(self.memory)
        self.standings = roster.standings(self.memory)
        self._memo.clear()
        self._moments.append(_Moment(now, self.frame.total()))
        self._note_chart(now)
        self._note_spark(now)
        self._note_bases(now)
        self.ticks += 1
        self.tick_ms = (perf_counter() - started) * 1000
        ticked, self._ticked = self._ticked, asyncio.Event()
        ticked.set()

    async def next_tick(self) -> None:
        """Returns when there is news, or `stopping` is set: then streams end."""
        if not self.stopping.is_set():
            await self._ticked.wait()

    async def _wake_at_the_end(self) -> None:
        await self.stopping.wait()
        self._ticked.set()

    @contextmanager
    def watching(self) -> Iterator[None]:
        """While somebody looks, and some seconds longer, there is a tick each second: at once if one is due."""
        self.viewers += 1
        self._looked = monotonic()
        self._hurry.set()
        try:
            yield
        finally:
            self.viewers -= 1
            self._looked = monotonic()

    @property
    def in_flight(self) -> int:
        """Exchanges in progress at the workers' last heartbeats."""
        return sum(worker.exchanges for worker in self.workers if worker.pid)

    def _note_chart(self, now: float) -> None:
        newest = self._moments[-1]
        if self._charted is not None:
            if now - self._charted.at < CHART_STEP_S - _SLACK_S:
                return
            point = self._point(self._charted, newest)
            # The clock was set back: what lies in a time that comes once more would stand between the new points.
            while self.chart and self.chart[-1].at_s >= point.at_s:
                self.chart.pop()
            self.chart.append(point)
        self._charted = newest

    def _point(self, old: _Moment, new: _Moment) -> ChartPoint:
        return make_point(new.total.minus(old.total), time(), new.at - old.at, self.in_flight)

    def _note_spark(self, now: float) -> None:
        if self._sparks and now - self._sparks[-1][0] < SPARK_STEP_S - _SLACK_S:
            return
        requests = array("Q", bytes(8 * self._rows))
        for row, count in zip(self.frame.keys, self.frame.column(Counts._fields.index("requests")), strict=True):
            requests[row] = count
        self._sparks.append((now, requests))

    def _note_bases(self, now: float) -> None:
        packed = b""
        for bases in self._bases.values():
            if bases.is_due(now):
                packed = packed or self.frame.pack()
                bases.packed.append((now, packed))
            bases.next_tick()

    async def _recall(self) -> None:
        """Puts the hour before into the charts, from the history: a restart leaves no gap that is not one."""
        minutes = await self._from_history("", "")
        first = self.chart[0].at_s if self.chart else time()
        spent = [minute_point(minute) for minute in minutes if minute.start_s + 60 <= first]
        # One appends from the left, and what is too much falls off at the right: so the newest of the old come first.
        kept = [*spent, *self.chart][-(self.chart.maxlen or 0) :]
        self.chart.clear()
        self.chart.extend(kept)

    # -- what viewers ask for

    def memo(self, key: Hashable, make: Any) -> Any:
        """What `make()` returns, made once per tick for all who ask with the same key."""
        if key not in self._memo:
            self._memo[key] = make()
        return self._memo[key]

    def window(self, seconds: int) -> Frame:
        """What was counted in the last so many seconds (a key of WINDOWS; 0: since the table was made).

        `since_us` of the frame says what it really is: it begins at a frame that was kept, up to WINDOWS[seconds]
        earlier, and never before this object was made. KeyError for another number.
        """
        if not seconds:
            return self.frame
        bases = self._bases[seconds]
        frame: Frame = self.memo(("window", seconds), lambda: self._since(bases.base(), bases.packed[0][0]))
        return frame

    def _since(self, base: Frame, at: float) -> Frame:
        counted = self.frame.minus(base)
        since_us = counted.taken_us - int((self._moments[-1].at - at) * 1e6)
        # The clock on the wall was set meanwhile: rates are of the time that has really passed.
        if abs(since_us - counted.since_us) > _CLOCK_SET_S * 1e6:
            counted = counted.spanning(since_us, counted.taken_us)
        return counted

    def now(self) -> ChartPoint:
        """The last few seconds, all series together."""
        newest = self._moments[-1]
        old = next((moment for moment in self._moments if newest.at - moment.at <= NOW_S + _SLACK_S), newest)
        if old is newest and len(self._moments) > 1:
            old = self._moments[-2]
        point: ChartPoint = self.memo("now", lambda: self._point(old, newest))
        return point

    def spark_ages(self) -> list[float]:
        """Where the points of sparks lie: seconds before now, the oldest first."""
        now = self._moments[-1].at
        return [round(now - at, 1) for at, _requests in list(self._sparks)[1:]]

    def spark(self, row: int) -> list[float]:
        """Requests per second of a row of the table over the last minute, as spark_ages()."""
        samples = self._sparks
        rates = []
        before_at, before = samples[0]
        for at, requests in samples:
            if at > before_at:
                rates.append(round((requests[row] - before[row]) / (at - before_at), 1))
            before_at, before = at, requests
        return rates

    def others(self) -> list[Other]:
        """The `(other)` rows that have counted anything."""
        now = monotonic()
        if self._others[0] and now - self._others[0] < _OTHERS_FOR_S:
            return self._others[1]
        column = self.frame.column(Counts._fields.index("requests"))
        mine = {row: n for row, n in zip(self.frame.keys, column, strict=True) if n and self.names[row].other}
        found = []
        if mine:
            routes: dict[str, int] = {}
            for row, n in zip(self.frame.keys, column, strict=True):
                routes[self.names[row].route] = routes.get(self.names[row].route, 0) + n
            for row, n in mine.items():
                route = self.names[row].route
                found.append(Other(route, n, n / routes[route], *reader.distinct(self.memory, row)))
        self._others = (now, found)
        return found

    def parts(self, route: str) -> list[tuple[float, float]]:
        """For each part of the ledger the time in us within which half and 99 % of the route's exchanges had it."""
        parts = self.memo("parts", self._parts_by_name).get(route, [])
        if not any(map(any, parts)):
            return []
        return [(quantile_of(part, 0.5), quantile_of(part, 0.99)) for part in parts]

    def _parts_by_name(self) -> dict[str, list[list[int]]]:
        return {printable(name): parts for name, parts in reader.route_parts(self.memory).items()}

    async def minutes(self, route: str, path: str) -> list[ChartPoint]:
        """The last hour of one path, minute by minute; empty if nobody keeps it."""
        now = monotonic()
        known = self._minutes.get((route, path))
        if known is None or now - known[0] > _MINUTES_FOR_S:
            points = await self._from_history(route, path)
            while len(self._minutes) >= _MINUTES_KEPT:
                del self._minutes[next(iter(self._minutes))]
            known = self._minutes[route, path] = (now, points)
        return [minute_point(point) for point in known[1]]

    async def _from_history(self, route: str, path: str) -> list[MinutePoint]:
        if self.history is None:
            return []
        try:
            oldest = await self.history.oldest_s()
            since = max(time() - CHART_SPAN_S, oldest or 0)
            if oldest is None and not path:
                return []
            return list(await self.history.points(since, route=route, path=path))
        except sqlite3.Error as error:
            log.warning("live page: the history cannot be read: %s", error)
            return []


def make_point(delta: Frame, at_s: float, seconds: float, in_flight: int | None) -> ChartPoint:
    """Of a frame with one series, or none if nothing was counted."""
    counts = Counts(*delta.counters(0)) if len(delta) else Counts()
    times = [delta.quantiles(0, share)[0] for share in (0.5, 0.9, 0.99)] if counts.requests else [None] * 3
    return chart_point(at_s, seconds, counts, in_flight, times)


def minute_point(minute: MinutePoint) -> ChartPoint:
    times = [minute.p50_us, minute.p90_us, minute.p99_us] if minute.counts.requests else [None] * 3
    # A minute stands where it ends, as the other points do; the one that is not over yet, now.
    seconds = min(60.0, max(time() - minute.start_s, 1.0))
    return chart_point(minute.start_s + seconds, seconds, minute.counts, None, times)


def chart_point(
    at_s: float, seconds: float, counts: Counts, in_flight: int | None, times: Sequence[float | None]
) -> ChartPoint:
    def rate(count: int) -> float:
        return round(count / seconds, 2) if seconds > 0 else 0.0

    p50, p90, p99 = times
    return ChartPoint(
        round(at_s, 1),
        rate(counts.requests),
        rate(counts.errors),
        rate(counts.status_5xx),
        rate(counts.response_body_bytes),
        in_flight,
        p50,
        p90,
        p99,
    )
