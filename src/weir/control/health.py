"""Health of endpoints: what one worker does for all, and who does it.

The workers elect one by a record lock on a byte of the statistics table: each asks for it at every heartbeat, and the
kernel takes it from whoever dies. So it needs no supervisor and no admin process, and goes on a second after a kill. A
worker that hangs keeps it until the supervisor replaces it. Who has it checks the endpoints, compares them at the end
of an interval, and says and notes each change of a state, whoever has caused it.
"""

from __future__ import annotations

import asyncio
import fcntl
import logging
import time
from typing import Any, Final

from weir.config.plan import Plan
from weir.control.checks import Checks
from weir.control.outliers import Outliers
from weir.plane.plane import Plane
from weir.stats import layout, roster
from weir.stats.happened import Change, Notes
from weir.stats.roster import Health, State, why_text

__all__ = ["DUTY_LOCK_AT", "Duty"]

log = logging.getLogger("weir")

# The byte of the table's file whose lock the worker with the duty holds. Record locks belong to a process: a second
# descriptor of this file that is closed would let go of it, so a worker has one.
DUTY_LOCK_AT: Final = 2

# Changes that are said between two heartbeats; a network that fails takes hundreds of endpoints with it.
MOST_SAID: Final = 20
# How much later a verdict is noted.
NOTE_S: Final = 0.02


class Duty:
    """`beat()` at each heartbeat takes the duty if nobody has it; `release()` gives it up for good."""

    def __init__(self, memory: layout.Table, plan: Plan, plane: Plane) -> None:
        self._memory, self._plan, self._plane = memory, plan, plane
        self._checks = Checks(memory, plane, plan.clusters, self._note_soon)
        self._noting: asyncio.TimerHandle | None = None
        self._outliers = Outliers(memory, plane, plan.clusters)
        self._notes = Notes(memory)
        self._panics: set[int] = set()
        self._said = 0  # changes since the last heartbeat
        self._over = False
        self.held = False

    def beat(self) -> None:
        """Needs a running loop."""
        if self._over:
            return
        if not self.held:
            if not take(self._memory):
                return
            self.held = True
            self._tidy()
            self._checks.start()
            self._outliers.start()
        else:
            self._checks.sync()
        self.note()
        self._sum_up()
        self._look_for_panic()

    def release(self) -> None:
        """Another worker may have it. This one does not ask again."""
        self._over = True
        if self.held:
            self.held = False
            self._checks.stop()
            self._outliers.stop()
            self._stop_noting()
            self._sum_up()
            fcntl.lockf(self._memory.fd, fcntl.LOCK_UN, 1, DUTY_LOCK_AT)

    def _note_soon(self) -> None:
        # A verdict may not last until the next heartbeat. Not at once: when hundreds change they are noted together.
        if self._noting is None:
            self._noting = asyncio.get_running_loop().call_later(NOTE_S, self.note)

    def _stop_noting(self) -> None:
        if self._noting is not None:
            self._noting.cancel()
            self._noting = None

    def note(self) -> None:
        """Notes and says what has changed since it was noted last."""
        self._stop_noting()
        found = self._notes.look(time.monotonic_ns() // 1000)
        if not found:
            return
        room = max(MOST_SAID - self._said, 0)
        for change in found[:room]:
            log.warning("cluster %s: endpoint %s is %s", change.cluster, change.endpoint, said(change))
        self._said += len(found)

    def _sum_up(self) -> None:
        if self._said > MOST_SAID:
            log.warning("%d more endpoints have changed: weir stats --endpoints", self._said - MOST_SAID)
        self._said = 0

    def _tidy(self) -> None:
        """Takes back what nobody would take back any more: verdicts of checks, and ejections, that the plan has not."""
        checked: set[int] = set()
        ejected: set[int] = set()
        for cluster, plan in enumerate(self._plan.clusters):
            numbers = {self._plane.endpoint(cluster, name)[0] for name in self._plane.endpoints(cluster)}
            if plan.health.type != "off":
                checked |= numbers
            rules = plan.ejection
            if rules.failures or rules.errors_5xx or rules.error_rate_percent or rules.latency_percent:
                ejected |= numbers
        for number, standing in enumerate(roster.standings(self._memory)):
            changed: dict[str, Any] = {}
            if number not in checked and standing.health != Health.UNKNOWN:
                changed |= {"health": Health.UNKNOWN, "health_reason": 0}
            if number not in ejected and standing.ejections:
                changed |= {"ejected_until_us": 0, "ejections": 0, "ejection_reason": 0, "joined_us": 0}
            if changed:
                roster.change(self._memory, number, **changed)

    def _look_for_panic(self) -> None:
        for number, plan in enumerate(self._plan.clusters):
            panics = self._plane.panics(number)
            if panics == (number in self._panics):
                continue
            self._panics ^= {number}
            if panics:
                log.warning("cluster %s: too few of its endpoints are usable, all are asked", plan.name)
            else:
                log.warning("cluster %s: enough of its endpoints are usable again", plan.name)


def take(memory: layout.Table) -> bool:
    """Whether this process has the duty now."""
    try:
        fcntl.lockf(memory.fd, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, DUTY_LOCK_AT)
    except OSError:
        return False
    return True


def said(change: Change) -> str:
    """A change in words, with its cause."""
    text = change.new.word
    if change.new == State.EJECTED:
        text += f" for {change.ejected_ms / 1000:.0f} s"
    cause = why_text(change.why)
    return f"{text}, was {change.old.word}" + (f": {cause}" if cause else "")
