"""Memory that hooks share over all workers: what each of them was called for, and how long it took.

Each hook has a mapping of its own, and one more is for all together. Workers inherit them by fork; what is in a mapping
outlives a worker that was killed, and a hook that has the same name and phase after a reload goes on with what it had.
The bytes (numbers in the machine's own order):

    header | row of worker 0 | row of worker 1 | ...

A row is HOOK_COUNTERS (u64), at 128 a histogram of the times (u32, the grid of `weir.stats.reader`).
"""

from __future__ import annotations

import mmap
import struct
from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

__all__ = [
    "BUCKETS_AT",
    "HEADER_BYTES",
    "HOOK_COUNTERS",
    "MAGIC",
    "ROW_BYTES",
    "HookBook",
    "HookCounts",
    "create",
    "read",
    "share",
]

MAGIC: Final = b"weirhook"
VERSION: Final = 1
HEADER_BYTES: Final = 64
ROW_BYTES: Final = 1024
BUCKETS_AT: Final = 128
BUCKETS: Final = 216

# The counters of a hook, in their order. Of the memory for all together: requests that were asked about, and those that
# met a hook.
HOOK_COUNTERS: Final = ("calls", "failures", "timeouts", "skipped", "over_budget", "spent_ns")


class HookCounts(NamedTuple):
    """What was counted of a hook, over all workers."""

    phase: str
    name: str
    calls: int
    failures: int  # it raised, or returned what makes no sense
    timeouts: int
    skipped: int  # not called: it was switched off, as too slow
    over_budget: int
    spent_ns: int
    buckets: list[int]  # of microseconds, by call


class HookBook:
    """The memory of hooks: (phase, name) of each in order, for so many workers. OSError if there is none.

    `before` is the book that this one takes over from.
    """

    def __init__(self, hooks: Sequence[tuple[str, str]], workers: int, before: HookBook | None = None) -> None:
        self.workers = workers
        self._known: dict[tuple[str, str, int], mmap.mmap] = {}
        known = before._known if before is not None else {}
        for key in numbered(hooks):
            self._known[key] = known[key] if key in known else create(workers)
        self._together: mmap.mmap | None = before._together if before is not None else None
        if hooks:
            self.together()

    def memories(self, hooks: Sequence[tuple[str, str]]) -> list[mmap.mmap]:
        """The memory of each of a worker's hooks; one that the book does not know has its own, which nobody reads."""
        return [self._known.get(key) or create(self.workers) for key in numbered(hooks)]

    def together(self) -> mmap.mmap:
        """The memory for all hooks together."""
        if self._together is None:
            self._together = create(self.workers)
        return self._together

    def counts(self) -> Iterator[HookCounts]:
        """What was counted, hook by hook."""
        for (phase, name, _nth), memory in self._known.items():
            yield read(memory, phase, name)

    def share(self) -> tuple[int, int]:
        """How many requests were asked about, and how many of them met a hook."""
        return share(self._together) if self._together is not None else (0, 0)


def numbered(hooks: Sequence[tuple[str, str]]) -> Iterator[tuple[str, str, int]]:
    """Hooks of the same name at the same phase are told apart by their order."""
    seen: dict[tuple[str, str], int] = {}
    for hook in hooks:
        seen[hook] = seen.get(hook, -1) + 1
        yield (*hook, seen[hook])


def create(workers: int) -> mmap.mmap:
    """Memory of a hook. OSError if there is none."""
    memory = mmap.mmap(-1, HEADER_BYTES + workers * ROW_BYTES)
    struct.pack_into("8sII", memory, 0, MAGIC, VERSION, workers)
    return memory


def read(memory: mmap.mmap, phase: str = "", name: str = "") -> HookCounts:
    """What is in the memory of a hook."""
    rows, form = _rows(memory), f"{len(HOOK_COUNTERS)}Q"
    counts = [sum(column) for column in zip(*(struct.unpack_from(form, memory, row) for row in rows), strict=True)]
    histograms = [struct.unpack_from(f"{BUCKETS}I", memory, row + BUCKETS_AT) for row in rows]
    calls, failures, timeouts, skipped, over_budget, spent_ns = counts
    buckets = [sum(column) for column in zip(*histograms, strict=True)]
    return HookCounts(phase, name, calls, failures, timeouts, skipped, over_budget, spent_ns, buckets)


def share(memory: mmap.mmap) -> tuple[int, int]:
    """Requests that were asked about and requests that met a hook, of the memory for all together."""
    rows = [struct.unpack_from("2Q", memory, row) for row in _rows(memory)]
    return sum(row[0] for row in rows), sum(row[1] for row in rows)


def _rows(memory: mmap.mmap) -> range:
    workers = struct.unpack_from("I", memory, 12)[0]
    return range(HEADER_BYTES, HEADER_BYTES + workers * ROW_BYTES, ROW_BYTES)
