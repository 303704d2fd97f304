"""Who works: the processes of one plan, each in a place of its own."""

from __future__ import annotations

import logging
import math
import os
import signal
import socket
import time
from collections.abc import Sequence
from contextlib import suppress
from enum import Enum

from weir.config.plan import Plan
from weir.control.processors import available
from weir.control.stock import Stock
from weir.stats.rules import RuleBook

__all__ = ["Crew", "Member", "Place", "Stage", "worker_count"]

log = logging.getLogger("weir")

# Told to end, a process has its own limit; when it does not keep to it, this much later it is killed.
_GRACE_S = 5.0
# From the fork to its first accept. Generous, for a machine that does a lot else.
_READY_S = 30.0
# A worker that lived shorter has failed at once: the next one waits, each time twice as long.
_SHORT_LIFE_S = 1.0
_FIRST_PAUSE_S = 0.1
_LONGEST_PAUSE_S = 10.0
# Between ABRT, at which a worker says where it hangs, and KILL.
_ABORT_S = 1.0


class Stage(Enum):
    """What a process is doing."""

    STARTING = "starting"
    SERVING = "serving"
    DRAINING = "draining"


class Member:
    """A process that was started and has not been waited for yet. Times are time.monotonic()."""

    def __init__(self, pid: int, name: str, channel: socket.socket, slot: int = -1) -> None:
        self.pid = pid
        self.name = name
        self.channel = channel
        self.slot = slot  # its number in the statistics table; -1: it does not count
        self.stage = Stage.STARTING
        self.started = time.monotonic()
        self.deadline = self.started + _READY_S  # to be ready, or to have ended
        self.has_served = False
        self.has_left = False  # it accepts no more
        self.aborted = False
        self.line_ended = False

    def signal(self, number: signal.Signals) -> None:
        # It may be dead and not yet waited for: then nothing happens; its number is nobody else's.
        with suppress(ProcessLookupError):
            try:
                os.kill(self.pid, number)
            except PermissionError:
                # Another user's, and the right to do this was lost; it was checked at the start.
                log.error("%s cannot be sent %s: not allowed", self.name, number.name)

    def ready(self) -> None:
        self.stage = Stage.SERVING
        self.has_served = True
        self.deadline = math.inf

    def drain(self, limit_s: float) -> None:
        """Tells it to end within limit_s. Twice is once."""
        if self.stage is not Stage.DRAINING:
            self.stage = Stage.DRAINING
            self.deadline = time.monotonic() + limit_s + _GRACE_S
            self.signal(signal.SIGTERM)

    def stop(self) -> None:
        """Tells it to end at once."""
        self.stage = Stage.DRAINING
        self.deadline = min(self.deadline, time.monotonic() + _GRACE_S)
        self.signal(signal.SIGQUIT)

    def abort(self) -> None:
        """Ends it whether it likes to or not; it gets a second to say where it was."""
        self.signal(signal.SIGABRT if not self.aborted else signal.SIGKILL)
        self.deadline = time.monotonic() + _ABORT_S
        self.aborted = True


class Place:
    """What has to be there again when it has gone: when the next process is due, and after how many failures."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.member: Member | None = None
        self.last_slot = -1
        self.failures = 0
        self.due = 0.0  # when to start a process; meaningless while there is one

    def left(self, member: Member) -> None:
        """Its process has ended, or is ending by itself."""
        now = time.monotonic()
        self.member = None
        self.last_slot = member.slot
        self.failures = self.failures + 1 if now - member.started < _SHORT_LIFE_S else 0
        self.due = now + self.pause()

    def pause(self) -> float:
        # The first one may have met with an accident.
        if self.failures < 2:
            return 0.0
        return float(min(_FIRST_PAUSE_S * 2 ** min(self.failures - 2, 20), _LONGEST_PAUSE_S))


class Crew:
    """The workers of one plan."""

    def __init__(self, generation: int, plan: Plan, stock: Stock, routes: Sequence[int], rules: RuleBook) -> None:
        self.generation = generation
        self.plan = plan
        self.stock = stock
        self.routes = routes
        self.rules = rules
        self.places = [Place(number) for number in range(stock.workers)]

    def is_ready(self) -> bool:
        return all(place.member is not None and place.member.stage is Stage.SERVING for place in self.places)

    def place_of(self, member: Member) -> Place | None:
        return next((place for place in self.places if place.member is member), None)

    def drain(self) -> list[Member]:
        """Tells all workers to end, and returns them."""
        members = [place.member for place in self.places if place.member is not None]
        for member in members:
            member.drain(self.plan.drain_timeout_ms / 1000)
        return members


def worker_count(plan: Plan) -> int:
    """How many workers a plan wants."""
    return plan.workers or min(available(), 256)
