"""The engine as a guest in somebody else's asyncio loop.

A worker's loop has the engine as its selector. A person's loop has its own, perhaps uvloop's; there the engine's epoll
descriptor is one that the loop watches, readable while any of the plane's sockets is ready (epoll(7): sets nest), and a
turn is a callback like any other.

What is hard is what no descriptor tells of: timers, sources that wait for their next turn, and Python that calls into
the plane between two turns (`Engine.touch`). Each asks the loop for a turn. A turn never waits, and serves no more than
one batch of events and the ready list as it stands, so that the loop goes on.
"""

from __future__ import annotations

import asyncio

from weir.plane.engine import Engine

__all__ = ["Guest"]


class Guest:
    """Turns an engine inside a loop that runs already, from start() to stop(). Both are called in that loop."""

    def __init__(self, engine: Engine, loop: asyncio.AbstractEventLoop) -> None:
        self._engine = engine
        self._loop = loop
        self._soon: asyncio.Handle | None = None
        self._alarm: asyncio.TimerHandle | None = None
        self._alarm_s = 0.0  # when it rings, loop time; 0: none is set
        self._turning = False

    def start(self) -> None:
        """Begins."""
        self._loop.add_reader(self._engine.fileno(), self._turn)
        self._engine.set_on_touch(self._ask)
        self._ask()

    def stop(self) -> None:
        """Turns no more, and leaves nothing in the loop. Twice is once."""
        self._engine.set_on_touch(None)
        if self._engine.fileno() >= 0:
            self._loop.remove_reader(self._engine.fileno())
        for handle in (self._soon, self._alarm):
            if handle is not None:
                handle.cancel()
        self._soon, self._alarm, self._alarm_s = None, None, 0.0

    def _ask(self) -> None:
        # What happens during a turn is looked at when it ends.
        if self._soon is None and not self._turning:
            self._soon = self._loop.call_soon(self._on_asked)

    def _on_asked(self) -> None:
        self._soon = None
        self._turn()

    def _on_alarm(self) -> None:
        self._alarm, self._alarm_s = None, 0.0
        self._turn()

    def _turn(self) -> None:
        self._turning = True
        try:
            self._engine.turn(0)
        finally:
            self._turning = False
        wait_ms = self._engine.next_ms()
        if wait_ms == 0:
            self._ask()
        elif wait_ms > 0:
            self._set_alarm(self._loop.time() + wait_ms / 1000)

    def _set_alarm(self, when_s: float) -> None:
        # Deadlines are mostly pushed back. An alarm that rings too early costs one turn; a new one each time, more.
        if self._alarm is not None:
            if self._alarm_s <= when_s:
                return
            self._alarm.cancel()
        self._alarm, self._alarm_s = self._loop.call_at(when_s, self._on_alarm), when_s
