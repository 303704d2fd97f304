"""Ejection: an endpoint gets no requests for a while, and never too many of a cluster at a time."""

from __future__ import annotations

import contextlib
import fcntl
from collections.abc import Iterable, Iterator
from typing import Any, Final

from weir.stats.roster import Standing, change, standing

__all__ = ["eject", "ejections_now", "most_ejected"]

# The byte of the table's file whose lock (fcntl) is held to eject: who counts those that are ejected already must not
# do so while somebody else does.
EJECT_LOCK_AT: Final = 3


def most_ejected(members: int, percent: int) -> int:
    """How many of a cluster's members may be ejected at a time: at least one of two, and never the only one."""
    return min(max(members * percent // 100, 1), members - 1) if percent and members > 1 else 0


def ejections_now(standing: Standing, now_us: int, time_us: int) -> int:
    """How many ejections in a row it has behind it: one is forgiven for each `time_us` that it was not ejected."""
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
