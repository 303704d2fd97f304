"""What all processes know of the endpoints: the part of the shared table that decides who gets requests.

An endpoint's standing is written by whoever has learned something of it (a check of its health, an operator's order, a
worker that has seen it fail) and read by every worker's plane. Each field is written in one piece; no two fields belong
together. After a change `announce()` makes the workers look.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable
from enum import IntEnum
from typing import Any, Final, NamedTuple

from weir.stats.bytemap import ENDPOINT_BYTES, HEADER, STANDING, read, write

__all__ = [
    "Health",
    "Order",
    "Origin",
    "Standing",
    "announce",
    "change",
    "changes",
    "have_seen",
    "is_member",
    "standing",
    "state_of",
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
    seen_us: int = 0  # when a worker last had it as a member


def standing(memory: Any, number: int) -> Standing:
    """The standing of endpoint `number` of the table. ValueError if there is no such place."""
    at = place(memory, number)
    return Standing(*(read(memory, at, STANDING, name) for name in STANDING))


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


def state_of(standing: Standing) -> str:
    """In a word: removed, down, draining, unhealthy, ejected or ready."""
    if standing.order:
        return {Order.DRAIN: "draining", Order.DOWN: "down"}.get(Order(standing.order), "removed")
    if standing.health == Health.UNHEALTHY:
        return "unhealthy"
    if standing.ejected_until_us > time.monotonic_ns() // 1000:
        return "ejected"
    return "ready"


def announce(memory: Any) -> None:
    """Makes every worker look at the endpoints anew, at its next choice of one."""
    # Any other number will do: no two writers have to agree on it.
    write(memory, 0, HEADER, endpoints_changed=int.from_bytes(os.urandom(8), "little"))


def place(memory: Any, number: int) -> int:
    places = read(memory, 0, HEADER, "endpoints")
    if not 0 <= number < places:
        raise ValueError(f"endpoint {number} of {places}")
    return int(read(memory, 0, HEADER, "endpoints_at")) + number * ENDPOINT_BYTES
