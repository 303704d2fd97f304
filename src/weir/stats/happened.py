"""What became of the endpoints: the last changes of their states, in the shared table, so that they outlive who noted
them.

One process at a time notes: `Notes.look()` compares each endpoint's state with the one that was noted last. What
changes and changes back between two looks is not seen.
"""

from __future__ import annotations

import time
from typing import Any, NamedTuple

from weir.stats.bytemap import CHANGE, CHANGE_BYTES, CHANGES, ENDPOINT_BYTES, HEADER, STANDING, read, write
from weir.stats.entries import endpoint_names
from weir.stats.roster import Standing, State, Why, changes, standings, state_of

__all__ = ["Change", "Notes", "happened"]


class Change(NamedTuple):
    """An endpoint has left a state for another one."""

    at_us: int  # since 1970
    endpoint_number: int  # in the table; another endpoint may have it by now
    cluster: str
    endpoint: str
    old: State
    new: State
    why: int = 0  # see `weir.stats.roster.why_text`; 0: its cause is over
    ejected_ms: int = 0  # for how long; 0: it is not ejected


def happened(memory: Any) -> list[Change]:
    """The last changes, the oldest first; at most CHANGES."""
    made, start = read(memory, 0, HEADER, "changes_made"), read(memory, 0, HEADER, "changes_at")
    found = []
    for number in range(max(made - CHANGES, 0), made):
        at = start + number % CHANGES * CHANGE_BYTES
        fields = {name: read(memory, at, CHANGE, name) for name in CHANGE}
        # Else it was overwritten meanwhile, by one that is newer than all that are wanted.
        if fields["number"] == read(memory, at, CHANGE, "number") == number + 1:
            found.append(
                Change(
                    fields["at_us"],
                    fields["endpoint_number"],
                    fields["cluster"].rstrip(b"\0").decode(errors="replace"),
                    fields["endpoint"].rstrip(b"\0").decode(errors="replace"),
                    State(min(fields["old"], State.REMOVED)),
                    State(min(fields["new"], State.REMOVED)),
                    fields["why"],
                    fields["ejected_ms"],
                )
            )
    return found


class Notes:
    """Notes what has changed in a table since somebody noted last."""

    def __init__(self, memory: Any) -> None:
        self._memory = memory
        self._seen = -1
        self._named = 0
        self._next_us = 0  # when something changes by time alone; 0: never

    def look(self, now_us: int) -> list[Change]:
        """What is new, noted; `now_us` is CLOCK_MONOTONIC. Costs next to nothing while nothing was announced."""
        seen, named = changes(self._memory), read(self._memory, 0, HEADER, "endpoints_named")
        due = 0 < self._next_us <= now_us
        if seen == self._seen and named == self._named and not due:
            return []
        self._seen, self._named, self._next_us = seen, named, 0
        found: list[Change] = []
        names = endpoint_names(self._memory)
        for number, (standing, name) in enumerate(zip(standings(self._memory), names, strict=False)):
            state = state_of(standing, now_us)
            until_us = standing.ejected_until_us
            if until_us > now_us:
                self._next_us = min(self._next_us or until_us, until_us)
            if state == State.UNHEALTHY and standing.health_reason == Why.UNCHECKED:
                continue  # that its checks begin is no news
            if state != standing.noted:
                found.append(self._note(number, name, standing, state, now_us))
        return found

    def _note(self, number: int, name: tuple[str, str], standing: Standing, state: State, now_us: int) -> Change:
        at = read(self._memory, 0, HEADER, "endpoints_at") + number * ENDPOINT_BYTES
        old = State(min(standing.noted, State.REMOVED))
        write(self._memory, at, STANDING, noted=state)
        made = Change(time.time_ns() // 1000, number, *name, old, state)
        if state == State.UNHEALTHY:
            made = made._replace(why=standing.health_reason, at_us=standing.changed_us)
        elif state == State.EJECTED:
            ejected_ms = max(standing.ejected_until_us - now_us, 0) // 1000
            made = made._replace(why=standing.ejection_reason, at_us=standing.changed_us, ejected_ms=ejected_ms)
        add(self._memory, made)
        return made


def add(memory: Any, change: Change) -> None:
    made = read(memory, 0, HEADER, "changes_made")
    at = read(memory, 0, HEADER, "changes_at") + made % CHANGES * CHANGE_BYTES
    write(memory, at, CHANGE, number=0)
    fields = {**change._asdict(), "cluster": change.cluster.encode(), "endpoint": change.endpoint.encode()}
    write(memory, at, CHANGE, **fields)
    write(memory, at, CHANGE, number=made + 1)
    write(memory, 0, HEADER, changes_made=made + 1)
