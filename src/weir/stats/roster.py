"""What all processes know of the endpoints: the part of the shared table that decides who gets requests.

An endpoint's standing is written by whoever has learned something of it (a check of its health, an operator's order, a
worker that has seen it fail) and read by every worker's plane. Each field is written in one piece; no two fields belong
together. After a change `announce()` makes the workers look.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import struct
import time
from collections.abc import Iterable, Iterator
from enum import IntEnum
from typing import Any, Final, NamedTuple

from weir.reasons import REASONS
from weir.stats.bytemap import ENDPOINT_BYTES, HEADER, STANDING, read, write

__all__ = [
    "Health",
    "Order",
    "Origin",
    "Standing",
    "State",
    "Why",
    "announce",
    "cause_of",
    "change",
    "eject",
    "ejections_now",
    "most_ejected",
    "note_check",
    "standing",
    "standings",
    "state_of",
    "why",
    "why_text",
]

# The byte of the table's file whose lock (fcntl) is held to eject: who counts those that are ejected already must not
# do so while somebody else does.
EJECT_LOCK_AT: Final = 3


class Order(IntEnum):
    """What an operator has said."""

    READY = 0
    DRAIN = 1  # no new exchanges, but those that a cookie binds to it
    DOWN = 2  # nothing


class Health(IntEnum):
    """What its active checks say."""

    UNKNOWN = 0  # not checked, or not yet: taken for healthy
    HEALTHY = 1
    UNHEALTHY = 2


class Origin(IntEnum):
    """Where an endpoint comes from."""

    FILE = 0  # the configuration
    RUN_TIME = 1  # an operator
    NAME = 2  # a look-up


class Standing(NamedTuple):
    """One endpoint. Times are microseconds, of CLOCK_MONOTONIC if nothing else is said."""

    order: int = 0  # Order
    weight: int = 0  # what an operator has said, 1 to 1000; 0: as configured
    health: int = 0  # Health
    health_reason: int = 0
    ejected_until_us: int = 0  # 0: not ejected
    ejections: int = 0  # in a row
    ejection_reason: int = 0
    joined_us: int = 0  # when it last became usable: its slow start counts from there; 0: it always was
    changed_us: int = 0  # when any of this was last changed, microseconds since 1970
    checks: int = 0
    checks_failed: int = 0
    check_us: int = 0  # how long the last one took
    checked_us: int = 0
    origin: int = 0  # Origin
    priority: int = 0  # what a look-up has said (SRV); 0: as configured
    source_weight: int = 0  # the same
    noted: int = 0  # State that was noted last: see `weir.stats.changes`
    ejections_made: int = 0  # in all


class State(IntEnum):
    """All of a standing in one word: the first that holds, from the last one on."""

    UNCHECKED = 0
    HEALTHY = 1
    UNHEALTHY = 2
    EJECTED = 3
    DRAINING = 4
    DOWN = 5


class Why(IntEnum):
    """Why an endpoint is unhealthy or ejected, where no Reason says it."""

    STATUS = 128  # a check was answered with another status; with it
    BODY = 129  # the body of the answer has not the text that was wanted
    ERRORS_5XX = 130  # so many responses in a row
    ERROR_RATE = 131  # in an interval, percent
    LATENCY = 132  # the mean of an interval, in hundredths of the others' median


_WHY_TEXTS: Final = {
    Why.STATUS: "status {}",
    Why.BODY: "the body does not match",
    Why.ERRORS_5XX: "{} errors 5xx in a row",
    Why.ERROR_RATE: "{} % errors",
    Why.LATENCY: "latency {:.1f} times the median",
}
# All fields of a standing, as they lie there.
_STANDING: Final = struct.Struct("4IQ2I6Q4IQ")
_STANDING_AT: Final = STANDING["order"][1]
_CHECKED: Final = struct.Struct("4Q")
_CHECKED_AT: Final = STANDING["checks"][1]


def standing(memory: Any, number: int) -> Standing:
    """The standing of endpoint `number` of the table. ValueError if there is no such place."""
    return Standing(*_STANDING.unpack_from(memory, place(memory, number) + _STANDING_AT))


def standings(memory: Any) -> list[Standing]:
    """The standings of all endpoints that have a name, by number."""
    at, count = read(memory, 0, HEADER, "endpoints_at"), read(memory, 0, HEADER, "endpoints_named")
    count = min(count, read(memory, 0, HEADER, "endpoints"))
    return [
        Standing(*_STANDING.unpack_from(memory, at + number * ENDPOINT_BYTES + _STANDING_AT)) for number in range(count)
    ]


def state_of(standing: Standing, now_us: int) -> State:
    """What a standing comes to at a moment of CLOCK_MONOTONIC."""
    if standing.order == Order.DOWN:
        return State.DOWN
    if standing.order == Order.DRAIN:
        return State.DRAINING
    if standing.ejected_until_us > now_us:
        return State.EJECTED
    return State(standing.health) if standing.health <= Health.UNHEALTHY else State.UNCHECKED


def why(number: int, figure: int = 0) -> int:
    """What a reason's field says: a Reason or a Why, with its figure."""
    return int(number) | min(figure, (1 << 24) - 1) << 8


def why_text(value: int) -> str:
    """A reason's field in words; a Reason is its word. "" for 0."""
    number, figure = value & 0xFF, value >> 8
    if number in _WHY_TEXTS:
        return _WHY_TEXTS[Why(number)].format(figure / 100 if number == Why.LATENCY else figure)
    return REASONS[number].word if 0 < number < len(REASONS) else ""


def change(memory: Any, number: int, **fields: int) -> None:
    """Writes some fields of a standing, with the time, and announces it. ValueError as in standing()."""
    write(memory, place(memory, number), STANDING, changed_us=time.time_ns() // 1000, **fields)
    announce(memory)


def cause_of(standing: Standing, state: State) -> str:
    """Why it is in the state that it is in, in words; "" if that needs no reason."""
    if state == State.UNHEALTHY:
        return why_text(standing.health_reason)
    return why_text(standing.ejection_reason) if state == State.EJECTED else ""


def note_check(memory: Any, number: int, *, failed: bool, took_us: int, now_us: int) -> None:
    """Counts an active check. Nobody has to look: a verdict is written by change(). ValueError as in standing().

    Only one process at a time may do it.
    """
    at = place(memory, number) + _CHECKED_AT
    checks, checks_failed, _took, _when = _CHECKED.unpack_from(memory, at)
    _CHECKED.pack_into(memory, at, checks + 1, checks_failed + failed, took_us, now_us)


def most_ejected(members: int, percent: int) -> int:
    """How many of a cluster's members may be ejected at a time: at least one of two, and never the only one."""
    return min(max(members * percent // 100, 1), members - 1) if percent and members > 1 else 0


def ejections_now(standing: Standing, now_us: int, time_us: int) -> int:
    """How many ejections in a row an endpoint has behind it: one is forgiven for each `time_us` that it was not ejected."""
    spent = max(now_us - standing.ejected_until_us, 0)
    return max(standing.ejections - spent // max(time_us, 1), 0)


def eject(
    memory: Any,
    number: int,
    members: Iterable[int],
    reason: int,
    *,
    percent: int,
    time_us: int,
    max_time_us: int,
    now_us: int,
) -> bool:
    """Ejects an endpoint: for `time_us`, twice as long if it comes right after another ejection, and so on up to
    `max_time_us`. Whether it did.

    `members` are the numbers of its cluster's endpoints, itself included; at most `percent` of them are ejected at a
    time. `reason` is what why() makes. Not done if it is ejected already, if too many are, or if another process is
    ejecting at this very moment: whoever has reason to will have it again. `now_us` is CLOCK_MONOTONIC. ValueError as
    in standing().
    """
    numbers = list(members)
    with only_one(memory) as alone:
        mine = standing(memory, number)
        if not alone or mine.ejected_until_us > now_us:
            return False
        ejected = sum(standing(memory, other).ejected_until_us > now_us for other in numbers)
        if ejected >= most_ejected(len(numbers), percent):
            return False
        ejections = ejections_now(mine, now_us, time_us) + 1
        until_us = now_us + min(time_us * ejections, max_time_us)
        # Its slow start begins when it comes back, and nobody has to be there for that.
        change(
            memory,
            number,
            ejections=ejections,
            ejections_made=mine.ejections_made + 1,
            ejection_reason=reason,
            joined_us=until_us,
            ejected_until_us=until_us,
        )
    return True


@contextlib.contextmanager
def only_one(memory: Any) -> Iterator[bool]:
    """Whether this is the only process that ejects, for so long. Nobody waits: one that was stopped with the lock would
    stop all others."""
    fd = getattr(memory, "fd", -1)
    if fd < 0:  # memory that no other process has
        yield True
        return
    try:
        fcntl.lockf(fd, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, EJECT_LOCK_AT)
    except OSError:
        yield False
        return
    try:
        yield True
    finally:
        fcntl.lockf(fd, fcntl.LOCK_UN, 1, EJECT_LOCK_AT)


def announce(memory: Any) -> None:
    """Makes every worker look at the endpoints anew, at its next choice of one."""
    # Any other number will do: no two writers have to agree on it.
    write(memory, 0, HEADER, endpoints_changed=int.from_bytes(os.urandom(8), "little"))


def place(memory: Any, number: int) -> int:
    places = read(memory, 0, HEADER, "endpoints")
    if not 0 <= number < places:
        raise ValueError(f"endpoint {number} of {places}")
    return int(read(memory, 0, HEADER, "endpoints_at")) + number * ENDPOINT_BYTES
