"""What all processes know of the endpoints: the part of the shared table that decides who gets requests.

An endpoint's standing is written by whoever has learned something of it (a check of its health, an operator's order, a
worker that has seen it fail) and read by every worker's plane. Each field is written in one piece; no two fields belong
together. After a change `announce()` makes the workers look.
"""

from __future__ import annotations

import os
import time
from enum import IntEnum
from typing import Any, NamedTuple

from weir.stats.bytemap import ENDPOINT_BYTES, HEADER, STANDING, read, write

__all__ = ["Health", "Order", "Origin", "Standing", "announce", "change", "standing"]


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


def standing(memory: Any, number: int) -> Standing:
    """The standing of endpoint `number` of the table. ValueError if there is no such place."""
    at = place(memory, number)
    return Standing(*(read(memory, at, STANDING, name) for name in STANDING))


def change(memory: Any, number: int, **fields: int) -> None:
    """Writes some fields of a standing, with the time, and announces it. ValueError as in standing()."""
    write(memory, place(memory, number), STANDING, changed_us=time.time_ns() // 1000, **fields)
    announce(memory)


def announce(memory: Any) -> None:
    """Makes every worker look at the endpoints anew, at its next choice of one."""
    # Any other number will do: no two writers have to agree on it.
    write(memory, 0, HEADER, endpoints_changed=int.from_bytes(os.urandom(8), "little"))


def place(memory: Any, number: int) -> int:
    places = read(memory, 0, HEADER, "endpoints")
    if not 0 <= number < places:
        raise ValueError(f"endpoint {number} of {places}")
    return int(read(memory, 0, HEADER, "endpoints_at")) + number * ENDPOINT_BYTES
