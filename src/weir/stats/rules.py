"""Memory that the rules of listeners (rate limits, injected faults) share over all workers.

Every rule has a mapping of its own: what its workers have counted, and, of a rate limit, its keys. Workers inherit it
by fork. What is in a mapping outlives a worker that was killed; a rule that a new configuration has as the old one had
it keeps its mapping, so a reload forgives nobody. The bytes (numbers in the machine's own order):

    header | counters of worker 0 | counters of worker 1 | ... | buckets of keys

A bucket is four cache lines: a lock, for those who put a key in, then the keys' fingerprints, then for each of them the
moment from which on it owes nothing (plane/gcra.pyx).
"""

from __future__ import annotations

import mmap
import os
import struct
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any, Final

from weir.config.plan import FaultPlan, Plan, RateLimitPlan, RoutePlan
from weir.stats.hooks import HookBook

__all__ = [
    "BUCKET_BYTES",
    "BUCKET_KEYS",
    "COUNTERS_BYTES",
    "FAULT_COUNTERS",
    "HEADER",
    "HEADER_BYTES",
    "LIMIT_COUNTERS",
    "MAGIC",
    "RuleBook",
    "create",
    "read_counters",
    "rule_name",
]

MAGIC: Final = b"weirrule"
VERSION: Final = 1
# name -> (struct format, offset)
HEADER: Final[dict[str, tuple[str, int]]] = {
    "magic": ("8s", 0),
    "version": ("I", 8),
    "workers": ("I", 12),
    "buckets": ("Q", 16),
    "counters_at": ("Q", 24),
    "buckets_at": ("Q", 32),
    "seed_0": ("Q", 40),
    "seed_1": ("Q", 48),
    # On a cache line of its own: each request that a fault looks at takes the next number.
    "sequence": ("Q", 128),
}
HEADER_BYTES: Final = 4096
COUNTERS_BYTES: Final = 128
BUCKET_BYTES: Final = 256
BUCKET_KEYS: Final = 15

# The counters of a rule, in their order.
LIMIT_COUNTERS: Final = ("passed", "delayed", "limited", "evicted", "crowded")
FAULT_COUNTERS: Final = ("matched", "delayed", "aborted", "paced")

Rule = RateLimitPlan | FaultPlan

_UNITS: Final = {1_000: "s", 60_000: "m", 3_600_000: "h"}


class RuleBook:
    """The memory of all rules of a plan, for so many workers (numbers 0 to workers - 1).

    `before` is the book of the plan that this one takes over from. A rate limit begins anew if its key, rate, burst or
    selection has changed; so does a fault if anything of it has. `hooks` is the memory of the plan's hooks. OSError if
    there is no memory.
    """

    def __init__(self, plan: Plan, workers: int, before: RuleBook | None = None) -> None:
        self.plan = plan
        self._known: dict[Any, mmap.mmap] = {}
        known = before._known if before is not None else {}
        for key, rule in _keyed(plan):
            keys = 0
            if isinstance(rule, RateLimitPlan):
                keys = 1 if rule.by == "all" else rule.max_keys
            if key not in self._known:
                self._known[key] = known[key] if key in known else create(workers, keys)
        self.hooks: HookBook = HookBook(plan.hooked, workers, before.hooks if before is not None else None)
        memories = iter(self._known.values())
        # By listener, by rule.
        self.limits: list[list[mmap.mmap]] = []
        self.faults: list[list[mmap.mmap]] = []
        # Of each of Plan.routes; sides of a route have the same.
        self.route_limits = [[self._known[key] for key, _ in _keyed_route(route)] for route in plan.routes]
        for listener in plan.listeners:
            self.limits.append([next(memories) for _ in listener.rate_limits])
            self.faults.append([next(memories) for _ in listener.faults])

    def limit_counts(self) -> Iterator[tuple[str, str, RateLimitPlan, dict[str, int]]]:
        """Of each rate limit its listener's address, its name, the plan, and its counts over all workers."""
        for listener, memories in zip(self.plan.listeners, self.limits, strict=True):
            for rule, memory in zip(listener.rate_limits, memories, strict=True):
                yield listener.address.text, rule_name(rule), rule, read_counters(memory, LIMIT_COUNTERS)

    def route_limit_counts(self) -> Iterator[tuple[str, str, RateLimitPlan, dict[str, int]]]:
        """The same of each rate limit of a route, with the route's name."""
        limited = {route.limited_as: place for place, route in enumerate(self.plan.routes) if route.rate_limits}
        for name, place in limited.items():
            for rule, memory in zip(self.plan.routes[place].rate_limits, self.route_limits[place], strict=True):
                yield name, rule_name(rule), rule, read_counters(memory, LIMIT_COUNTERS)

    def fault_counts(self) -> Iterator[tuple[str, str, FaultPlan, dict[str, int]]]:
        """The same of each fault."""
        for listener, memories in zip(self.plan.listeners, self.faults, strict=True):
            for place, (rule, memory) in enumerate(zip(listener.faults, memories, strict=True)):
                yield listener.address.text, rule_name(rule, place), rule, read_counters(memory, FAULT_COUNTERS)


def create(workers: int, keys: int = 0) -> mmap.mmap:
    """Memory of a rule that remembers so many keys at a time. OSError if there is none.

    It has about twice as many places as keys: then one key in a thousand finds its bucket full when all are in use.
    """
    buckets = -(-2 * keys // BUCKET_KEYS)
    buckets_at = HEADER_BYTES + -(-workers * COUNTERS_BYTES // 4096) * 4096
    memory = mmap.mmap(-1, buckets_at + buckets * BUCKET_BYTES)
    seed_0, seed_1 = struct.unpack("QQ", os.urandom(16))
    _write(memory, workers=workers, buckets=buckets, counters_at=HEADER_BYTES, buckets_at=buckets_at)
    _write(memory, seed_0=seed_0, seed_1=seed_1, version=VERSION, magic=MAGIC)
    return memory


def read_counters(memory: mmap.mmap, names: Sequence[str]) -> dict[str, int]:
    """The counters of a rule, summed over all workers."""
    workers = struct.unpack_from("I", memory, HEADER["workers"][1])[0]
    form = f"{len(names)}Q"
    rows = [struct.unpack_from(form, memory, HEADER_BYTES + n * COUNTERS_BYTES) for n in range(workers)]
    return dict(zip(names, map(sum, zip(*rows, strict=True)), strict=True))


def rule_name(rule: Rule, place: int = 0) -> str:
    """What a rule is called in metrics and messages; `place` is a fault's in its listener, from 0."""
    if rule.name:
        return rule.name
    if isinstance(rule, FaultPlan):
        return f"fault {place + 1}"
    count, per_ms = rule.rate
    return f"{rule.by} {count}/{_UNITS[per_ms]}"


def _write(memory: mmap.mmap, **values: int | bytes) -> None:
    for name, value in values.items():
        form, offset = HEADER[name]
        struct.pack_into(form, memory, offset, value)


def _keyed(plan: Plan) -> Iterator[tuple[Any, Rule]]:
    """Every rule with what it is known by: its listener or route, all that what it remembers depends on, and, where
    several are alike, how many there were before. Those of routes come last, and once for each side."""
    seen: dict[Any, int] = {}
    for listener in plan.listeners:
        rules: list[tuple[Rule, Rule]] = [(_remembered(rule), rule) for rule in listener.rate_limits]
        rules += [(rule, rule) for rule in listener.faults]
        for same, rule in rules:
            key = (listener.address.text, same)
            seen[key] = seen.get(key, -1) + 1
            yield (*key, seen[key]), rule
    for route in plan.routes:
        yield from _keyed_route(route)


def _keyed_route(route: RoutePlan) -> Iterator[tuple[Any, Rule]]:
    seen: Counter[Any] = Counter()
    for rule in route.rate_limits:
        same = _remembered(rule)
        yield (("route", route.limited_as), same, seen[same]), rule
        seen[same] += 1


def _remembered(rule: RateLimitPlan) -> RateLimitPlan:
    """What of a rate limit its memory depends on."""
    return replace(rule, name="", status=0, dry_run=False, delay=0)
