"""What the admin side knows: the shared table, frames of it, the history, and from when on it counts."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from weir.admin.history import History
from weir.admin.live import Live
from weir.config.plan import Plan
from weir.stats import layout
from weir.stats.frame import Frame, take, unpack
from weir.stats.names import Name, TableNames
from weir.stats.page import printable
from weir.stats.rules import RuleBook

__all__ = ["AdminState", "Span"]

log = logging.getLogger("weir.admin")

# Frames of the last minutes, for questions about short times: the history answers to the minute only.
RECENT_EVERY_S: Final = 5.0
RECENT_FOR_S: Final = 120.0
RECENT_BYTES: Final = 32 << 20
# A frame younger than this serves another question, too.
FRESH_S: Final = 0.1


class Span(NamedTuple):
    """What was counted in a time: `frame` says from when to when; `names` has a name for each of its keys."""

    frame: Frame
    names: Mapping[int, Name]


@dataclass
class AdminState:
    """One for each admin process. `memory` is the shared table, mapped; `plan` says what was configured;
    `rules` is the memory of its rules.

    `await open()` before it is asked for anything but frames, `await close()` at the end; `run()` is its background
    work. When `stopping` is set, streams to clients end.
    """

    plan: Plan
    memory: Any
    rules: RuleBook | None = None
    started_s: float = field(default_factory=time.time)
    stopping: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        self.names = TableNames(self.memory)
        self.history = History(self.plan.history, self.frame, self.names)
        self.baseline: Frame | None = None
        self._frame: Frame | None = None
        self._frame_at = -FRESH_S
        self._recent: deque[tuple[int, bytes]] = deque()
        self._recent_bytes = 0
        self._tasks: list[asyncio.Task[None]] = []
        self.live = Live(self.memory, self.frame, self.names, self.history, self.stopping, self.rules)

    async def open(self) -> None:
        await self.history.open()
        self._keep_recent()
        self._tasks = [asyncio.create_task(work) for work in (self.history.run(), self._run_recent(), self.live.run())]

    async def close(self) -> None:
        self.stopping.set()
        for task in self._tasks:
            task.cancel()
        for ended in await asyncio.gather(*self._tasks, return_exceptions=True):
            if isinstance(ended, Exception):
                # The history is written and closed all the same.
                log.error("a part of the admin process had ended before", exc_info=ended)
        # What was counted in the last moment is recorded, too.
        self._frame = None
        await self.history.close()

    def frame(self) -> Frame:
        """A frame of the table that is at most a tenth of a second old."""
        now = time.monotonic()
        if self._frame is None or now - self._frame_at >= FRESH_S:
            self._frame, self._frame_at = take(self.memory), now
        return self._frame

    def reset(self) -> Frame:
        """From now on totals count from here. The frame that was taken for it."""
        self.baseline = take(self.memory)
        return self.baseline

    def total(self) -> Span:
        """All since the last reset, or since the table was made."""
        frame = self.frame()
        return Span(frame if self.baseline is None else frame.minus(self.baseline), self.names)

    async def since(self, since_s: float) -> Span:
        """All since a moment (seconds since 1970), or from a little earlier: see `Span.frame`.

        To 5 s in the last two minutes, to a minute (an hour, where minutes were folded) before.
        """
        since_us = int(since_s * 1e6)
        for taken_us, packed in reversed(self._recent):
            if taken_us <= since_us:
                return Span(self.frame().minus(unpack(packed)), self.names)
        return Span(*await self.history.between(since_s))

    def route_number(self, name: str) -> int:
        """Of a route as `names` calls it. ValueError if there is no such one."""
        return [printable(known) for known in layout.route_names(self.memory)].index(name)

    async def _run_recent(self) -> None:
        while True:
            await asyncio.sleep(RECENT_EVERY_S)
            self._keep_recent()

    def _keep_recent(self) -> None:
        frame = self.frame()
        packed = frame.pack()
        self._recent.append((frame.taken_us, packed))
        self._recent_bytes += len(packed)
        oldest = frame.taken_us - int(RECENT_FOR_S * 1e6)
        while len(self._recent) > 1 and (self._recent_bytes > RECENT_BYTES or self._recent[0][0] < oldest):
            self._recent_bytes -= len(self._recent.popleft()[1])
