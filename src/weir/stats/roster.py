"""What all processes know of the endpoints: the part of the shared table that decides who gets requests.

An endpoint's standing is written by whoever has learned something of it (a check of its health, an operator's order, a
worker that has seen it fail) and read by every worker's plane. Each field is written in one piece; no two fields belong
together. After a change `announce()` makes the workers look.
"""

from __future__ import annotations

import os
import struct
import time
from collections.abc import Iterable
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
    "changes",
    "have_seen",
    "is_member",
    "note_check",
    "standing",
    "standings",
    "state_of",
    "why",
    "why_text",
]

# A worker under full load, or on a machine that stands still for a moment, is late with its word.
MEMBER_FOR_S: Final = 10


class Order(IntEnum):
    """What an operator has said."""

    READY = 0
    DRAIN = 1  # no new exchanges, but those that a cookie binds to it
    DOWN = 2  # nothing
    REMOVED = 3  # no member of its cluster any more; for those that did not come from the configuration


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
    noted: int = 0  # State that was noted last: see `weir.stats.happened`
    seen_us: int = 0  # when a worker last had it as a member
    ejections_made: int = 0  # in all


class State(IntEnum):
    """All of a standing in one word."""

    READY = 0
    UNHEALTHY = 1
    EJECTED = 2
    DRAINING = 3
    DOWN = 4
    REMOVED = 5

    @property
    def word(self) -> str:
        return self.name.lower()


class Why(IntEnum):
    """Why an endpoint is unhealthy or ejected, where no Reason says it."""

    STATUS = 128  # a check was answered with another status; with it
    BODY = 129  # the body of the answer has not the text that was wanted
    ERRORS_5XX = 130  # so many responses in a row
    ERROR_RATE = 131  # in an interval, percent
    LATENCY = 132  # the mean of an interval, in hundredths of the others' median
    UNCHECKED = 133  # no check has said anything yet, and a new endpoint is taken for unhealthy


_WHY_TEXTS: Final = {
    Why.STATUS: "status {}",
    Why.BODY: "the body does not match",
    Why.ERRORS_5XX: "{} errors 5xx in a row",
    Why.ERROR_RATE: "{} % errors",
    Why.LATENCY: "latency {:.1f} times the median",
    Why.UNCHECKED: "not checked yet",
}
# All fields of a standing, as they lie there.
_STANDING: Final = struct.Struct("4IQ2I6Q4I2Q")
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


def change(memory: Any, number: int, **fields: int) -> None:
    """Writes some fields of a standing, with the time, and announces it. ValueError as in standing()."""
    write(memory, place(memory, number), STANDING, changed_us=time.time_ns() // 1000, **fields)
    announce(memory)


def changes(memory: Any) -> int:
    """Another number each time that a standing was changed."""
    return int(read(memory, 0, HEADER, "endpoints_changed"))


def have_seen(memory: Any, numbers: Iterable[int]) -> None:
    """These endpoints are members of their clusters now. ValueError as in standing()."""
    now_us = time.monotonic_ns() // 1000
    for number in numbers:
        write(memory, place(memory, number), STANDING, seen_us=now_us)


def is_member(standing: Standing) -> bool:
    """Whether a worker has it as a member; a worker says so about once a second."""
    return standing.seen_us > 0 and time.monotonic_ns() // 1000 - standing.seen_us < 1_000_000 * MEMBER_FOR_S


def state_of(standing: Standing, now_us: int | None = None) -> State:
    """What it comes to now, or at a moment of CLOCK_MONOTONIC."""
    if standing.order:
        return {Order.DRAIN: State.DRAINING, Order.DOWN: State.DOWN}.get(Order(standing.order), State.REMOVED)
    if standing.health == Health.UNHEALTHY:
        return State.UNHEALTHY
    if standing.ejected_until_us > (time.monotonic_ns() // 1000 if now_us is None else now_us):
        return State.EJECTED
    return State.READY


def why(number: int, figure: int = 0) -> int:
    """What a reason's field says: a Reason or a Why, with its figure."""
    return int(number) | min(figure, (1 << 24) - 1) << 8


def why_text(value: int) -> str:
    """A reason's field in words; a Reason is its word. "" for 0."""
    number, figure = value & 0xFF, value >> 8
    if number in _WHY_TEXTS:
        return _WHY_TEXTS[Why(number)].format(figure / 100 if number == Why.LATENCY else figure)
    return REASONS[number].word if 0 < number < len(REASONS) else ""


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


def announce(memory: Any) -> None:
    """Makes every worker look at the endpoints anew, at its next choice of one."""
    # Any other number will do: no two writers have to agree on it.
    write(memory, 0, HEADER, endpoints_changed=int.from_bytes(os.urandom(8), "little"))


def place(memory: Any, number: int) -> int:
    places = read(memory, 0, HEADER, "endpoints")
    if not 0 <= number < places:
        raise ValueError(f"endpoint {number} of {places}")
    return int(read(memory, 0, HEADER, "endpoints_at")) + number * ENDPOINT_BYTES
