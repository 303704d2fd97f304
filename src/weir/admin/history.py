"""What was counted, minute by minute: recorded from the shared table, kept in a file or in memory.

`History.run` takes a frame of the table at every flush interval, aligned to the clock, and writes what was counted
since the one before. The difference is only taken as recorded once it is written: when writing fails (a full disk, say)
nothing is lost, it comes with the next.
"""

from __future__ import annotations

import asyncio
import logging
import sqlite3
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final, NamedTuple, TypeVar

from weir.admin.store import MINUTE, SUMS, Batch, Store, StoreError, summed
from weir.config.plan import HistoryPlan
from weir.stats.frame import Frame
from weir.stats.names import Name
from weir.stats.reader import Counts

__all__ = ["History", "Point", "Stretch"]

log = logging.getLogger("weir.admin")

T = TypeVar("T")

# Frames read from a history have this for the identity of a table.
_HISTORY: Final = (0, 0, 0)
# Of a history that is kept in memory.
IN_MEMORY_BYTES: Final = 64 << 20
# Points of one answer; a question for more is refused.
MOST_POINTS: Final = 10_000
# Folding and forgetting: at most so many steps after a flush, so that a flush never waits for long.
_TIDY_STEPS: Final = 4


class Point(NamedTuple):
    """What was counted in [start_s, start_s + step); quantiles in microseconds, 0 where nothing was."""

    start_s: int
    counts: Counts
    p50_us: float
    p90_us: float
    p99_us: float


class Stretch(NamedTuple):
    """What was counted between two moments, by series. `frame.since_us` and `taken_us` are the moments as they are.

    `names` has a name for each key of the frame.
    """

    frame: Frame
    names: Mapping[int, Name]


class History:
    """The history of one shared table, and of those before it.

    `take()` makes a frame of the table, `names` are the names of its rows (`weir.stats.names.TableNames`);
    `clock` says what time it is, in seconds since 1970. Nothing raises for a file that cannot be used: it is said in
    the log, once, and the history is kept in memory.
    """

    def __init__(
        self,
        plan: HistoryPlan,
        take: Callable[[], Frame],
        names: Mapping[int, Name],
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.plan = plan
        self._take = take
        self._table_names = names
        self._clock = clock
        self._lock = asyncio.Lock()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="weir-history")
        self._failing = False
        self._whole_marks = False

    _store: Store
    # What was recorded of the table.
    _last: Frame
    # Keys of the history: of series by name and by row of the table, of sums by route (None: everything).
    _names: dict[int, Name]
    _keys: dict[Name, int]
    _row_keys: dict[int, int]
    _sums: dict[str | None, int]
    # Of those, what the file does not know yet.
    _new_names: dict[int, Name]
    _new_sums: dict[int, str | None]

    async def open(self) -> None:
        """Before anything else."""
        await self._call(self._open)

    async def run(self) -> None:
        """Records until it is cancelled."""
        failing = False
        while True:
            now = self._clock()
            step = self.plan.flush_ms / 1000
            await asyncio.sleep(step - now % step)
            try:
                await self.flush()
                failing = False
            except Exception:
                # A fault of ours, or a table that cannot be read now: what it has counted is there the next time.
                if not failing:
                    log.exception("history: nothing could be recorded; it is tried again")
                failing = True

    async def flush(self) -> bool:
        """Records what has been counted so far. False if it could not be written: it is still there for the next."""
        async with self._lock:
            return await self._call(self._write, self._take())

    async def close(self) -> None:
        """Records what there is and closes the file."""
        await self.flush()
        await self._call(self._store.close)
        self._thread.shutdown()

    async def between(self, since_s: float, until_s: float | None = None) -> Stretch:
        """What was counted from a moment on, until another one or until now.

        It begins where a record begins: never later than asked unless there is no record from before, at most a minute
        (an hour, where minutes were folded) earlier. sqlite3.Error if the file cannot be read.
        """
        async with self._lock:
            now = self._take()
            return await self._call(self._between, since_s, until_s, now)

    async def points(
        self, since_s: float, until_s: float | None = None, step_s: int = MINUTE, route: str = "", path: str = ""
    ) -> list[Point]:
        """One series, a route (no path) or everything, step by step, the oldest first; without gaps.

        `step_s` is in whole minutes. Where minutes were folded, an hour's numbers all lie in the step in which it
        begins. ValueError for a step that is none or for more than 10 000 points, sqlite3.Error if the file cannot be
        read.
        """
        if step_s < MINUTE or step_s % MINUTE:
            raise ValueError(f"step: {step_s} s is not a whole number of minutes")
        # Until now is with this second.
        until = self._clock() + 1 if until_s is None else until_s
        first = int(since_s // step_s * step_s)
        if until - first > MOST_POINTS * step_s:
            raise ValueError(f"step: more than {MOST_POINTS} points; ask for a longer step or a shorter time")
        async with self._lock:
            now = self._take()
            return await self._call(self._points, first, until, step_s, (route, path), now)

    async def oldest_s(self) -> int | None:
        """When the oldest record begins, in seconds since 1970; None if there is none."""
        async with self._lock:
            return await self._call(self._store.first_start)

    # -- in the thread -------------------------------------------------------------------------------------

    async def _call(self, work: Callable[..., T], *arguments: object) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work, *arguments)

    def _open(self) -> None:
        try:
            self._store = self._make_store(Path(self.plan.path) if self.plan.path else None)
            try:
                self._begin_or_start_anew()
            except BaseException:
                self._store.close()
                raise
        except (StoreError, sqlite3.Error, OSError) as error:
            log.error("history: %s; it is kept in memory until weir is started again", error)
            self._store = self._make_store(None)
            self._begin()

    def _begin_or_start_anew(self) -> None:
        try:
            self._begin()
        except sqlite3.OperationalError:
            raise
        except sqlite3.DatabaseError as error:
            self._store.start_anew(str(error))
            self._begin()

    def _make_store(self, path: Path | None) -> Store:
        plan = self.plan
        return Store(
            path,
            minutes_for_s=plan.minutes_for_ms // 1000,
            max_age_s=plan.max_age_ms // 1000,
            max_bytes=plan.max_bytes if path is not None else min(plan.max_bytes, IN_MEMORY_BYTES),
        )

    def _begin(self) -> None:
        self._learn_names()
        self._last = self._store.recorded(self._take().table)

    def _learn_names(self) -> None:
        self._names = self._store.names()
        self._keys = {name: key for key, name in self._names.items()}
        self._sums = {route: key for key, route in self._store.sums().items()}
        self._row_keys, self._new_names, self._new_sums = {}, {}, {}

    def _write(self, frame: Frame) -> bool:
        try:
            if self._store.is_gone():
                was_there = self._store.is_open
                self._start_anew("the file was removed or replaced" if was_there else "no file could be begun before")
            try:
                self._write_once(frame)
            except sqlite3.OperationalError:
                raise
            except sqlite3.DatabaseError as error:
                self._start_anew(str(error))
                self._write_once(frame)
        except (StoreError, sqlite3.Error, OSError) as error:
            if not self._failing:
                log.error(
                    "history: %s: %s; what is counted meanwhile is recorded when that is over", self._store.path, error
                )
            self._failing = True
            return False
        if self._failing:
            log.warning("history: %s can be written again; nothing was lost", self._store.path)
            self._failing = False
        # Here and not where it was called for: who called may have gone meanwhile, and it is written all the same.
        self._last = frame
        return True

    def _write_once(self, frame: Frame) -> None:
        batch = self._batch(frame)
        if batch is not None:
            self._store.write(batch)
            self._new_names, self._new_sums = {}, {}
            self._whole_marks = False
        for _ in range(_TIDY_STEPS):
            if not self._store.tidy(int(self._clock())):
                break
        if self._store.forgot:
            self._store.forgot = False
            self._learn_names()

    def _start_anew(self, why: str) -> None:
        self._store.start_anew(why)
        self._learn_names()
        # The new file has to know all that was recorded elsewhere of this table.
        self._whole_marks = True

    def _batch(self, frame: Frame) -> Batch | None:
        delta = frame.minus(self._last)
        if not len(delta):
            return None
        keyed = self._keyed(delta)
        records = [(key, keyed.pack_series(index)) for index, key in enumerate(keyed.keys)]
        routes: dict[str | None, list[int]] = {None: list(range(len(delta)))}
        for index, row in enumerate(delta.keys):
            routes.setdefault(self._table_names[row].route, []).append(index)
        records += [(self._sum_key(route), delta.total(own).pack_series(0)) for route, own in routes.items()]
        rows = frame.keys
        changed = range(len(frame)) if self._whole_marks else [frame.index(row) for row in delta.keys]
        marks = [(rows[index], frame.pack_series(index)) for index in changed]
        start = frame.taken_us // 1_000_000 // MINUTE * MINUTE
        return Batch(start, records, self._new_names, self._new_sums, marks, frame)

    def _keyed(self, delta: Frame) -> Frame:
        known = self._row_keys
        for row in delta.keys:
            if row not in known:
                known[row] = self._key(self._table_names[row])
        return delta.rekey([known[row] for row in delta.keys], _HISTORY)

    def _key(self, name: Name) -> int:
        key = self._keys.get(name)
        if key is None:
            # The dictionary is in the order of the keys' making.
            key = next(reversed(self._names), 0) + 1
            self._keys[name] = key
            self._names[key] = self._new_names[key] = name
        return key

    def _sum_key(self, route: str | None) -> int:
        key = self._sums.get(route)
        if key is None:
            key = self._sums[route] = max(self._sums.values(), default=SUMS) + 1
            self._new_sums[key] = route
        return key

    def _between(self, since_s: float, until_s: float | None, now: Frame) -> Stretch:
        since, until = int(since_s // MINUTE * MINUTE), self._until(until_s)
        first = since

        def records() -> Iterator[tuple[int, bytes]]:
            # One after the other: all of them may be as much as the file.
            nonlocal first
            for start, key, numbers in self._store.read(None, since, until):
                first = min(first, start)
                yield key, numbers

        frame = summed(records())
        if until * 1_000_000 > now.taken_us:
            frame = frame.plus(self._keyed(now.minus(self._last)))
        oldest = self._store.first_start()
        begins_us = max(first, oldest or 0) * 1_000_000
        if oldest is None:
            begins_us = max(begins_us, now.since_us)
        return Stretch(frame.spanning(begins_us, min(until * 1_000_000, now.taken_us)), self._names)

    def _points(self, first: int, until: float, step: int, what: tuple[str, str], now: Frame) -> list[Point]:
        route, path = what
        if path:
            wanted = [key for name, key in self._keys.items() if name.path == path and route in ("", name.route)]
        else:
            wanted = [self._sums[name] for name in (route or None,) if name in self._sums]
        steps: dict[int, list[tuple[int, bytes]]] = {}
        for start, _key, numbers in self._store.read(wanted, first, self._until(until)):
            steps.setdefault(max(start // step * step, first), []).append((0, numbers))
        delta = now.minus(self._last)
        fresh = [
            index
            for index, row in enumerate(delta.keys)
            if (not route or self._table_names[row].route == route)
            and (not path or self._table_names[row].path == path)
        ]
        moment = now.taken_us // 1_000_000
        if fresh and first <= moment < until:
            steps.setdefault(moment // step * step, []).append((0, delta.total(fresh).pack_series(0)))
        return [
            make_point(start, summed(steps.get(start, [])))
            for start in range(first, int(-(-until // step) * step), step)
        ]

    def _until(self, until_s: float | None) -> int:
        return 1 << 40 if until_s is None else int(-(-until_s // MINUTE) * MINUTE)


def make_point(start: int, frame: Frame) -> Point:
    if not len(frame):
        return Point(start, Counts(), 0.0, 0.0, 0.0)
    p50, p90, p99 = (frame.quantiles(0, share)[0] for share in (0.5, 0.9, 0.99))
    return Point(start, Counts(*frame.counters(0)), p50, p90, p99)
