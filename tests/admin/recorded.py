"""A table that counts, a clock that says what it is told, and a history of it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from weir.admin.history import History
from weir.config.plan import HistoryPlan
from weir.plane.counters import Counters
from weir.stats import layout
from weir.stats.columns import COUNTERS
from weir.stats.frame import take
from weir.stats.names import TableNames
from weir.stats.view import query

PLACES = {counter.name: place for place, counter in enumerate(COUNTERS)}
HOUR, DAY = 3600, 86_400


class Clock:
    """Says what it is told; frames say it, too."""

    def __init__(self, now: float) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


class Weir:
    """A table with one worker that counts, and a clock."""

    def __init__(self, clock: Clock, rows: int = 64) -> None:
        self.clock = clock
        self.table = layout.create(rows, ["main", "api"], workers=1)
        self.counters = Counters(self.table, 0)
        self.names = TableNames(self.table)

    def count(self, path: bytes, times: int = 1, us: int = 1000, route: int = 0) -> None:
        row = self.counters.find_row(route, path)
        self.counters.add(row, PLACES["requests"], times)
        self.counters.add(row, PLACES["total_us"], us * times)
        self.counters.observe_us(row, 0, us, repeat=times)

    def take(self) -> object:
        frame = take(self.table)
        return frame.spanning(min(frame.since_us, int(self.clock.now * 1e6)), int(self.clock.now * 1e6))

    def history(self, plan: HistoryPlan) -> History:
        return History(plan, self.take, self.names, self.clock)  # type: ignore[arg-type]


@asynccontextmanager
async def opened(history: History) -> AsyncIterator[History]:
    await history.open()
    try:
        yield history
    finally:
        await history.close()


async def counted(history: History, since: float = 0.0, until: float | None = None) -> dict[str, int]:
    stretch = await history.between(since, until)
    view = query(stretch.frame, stretch.names, limit=10_000)
    return {f"{row.name.route} {row.name.path}": row.counts.requests for row in view.rows}
