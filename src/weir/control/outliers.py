"""Endpoints that do worse than the others of their cluster, by what all workers have counted in an interval.

What is measured against the others cannot eject all of them: if a database behind all endpoints is slow, or broken,
none is an outlier.
"""

from __future__ import annotations

import asyncio
import struct
import time
from collections.abc import Sequence
from statistics import median
from typing import Any, Final, NamedTuple

from weir.config.plan import ClusterPlan, EjectionPlan
from weir.plane.plane import Plane
from weir.stats import layout, roster
from weir.stats.columns import ENDPOINT_FIGURES, ENDPOINT_PLACES
from weir.stats.ejection import eject
from weir.stats.roster import Order, Why, why

__all__ = ["Outliers", "Sums", "failing", "slow"]

# Of an error rate and of a latency: they must differ from the others' by so much, whatever the setting says. An
# endpoint with 6 % of errors beside others with 5 %, or with 0.3 ms beside 0.1 ms, is no outlier.
TIMES_OTHERS: Final = 2
LEAST_US: Final = 5_000
# Read between two turns of the loop, some 0.3 ms.
AT_A_TIME: Final = 500


class Sums(NamedTuple):
    """What was counted of an endpoint, all workers together: spec/figures.toml."""

    failures: int = 0
    errors_5xx: int = 0
    responses: int = 0
    response_us: int = 0

    def minus(self, other: Sums) -> Sums:
        return Sums(*(max(mine - its, 0) for mine, its in zip(self, other, strict=True)))

    @property
    def outcomes(self) -> int:
        return self.failures + self.responses

    @property
    def bad(self) -> int:
        return self.failures + self.errors_5xx


_PLACES: Final = [next(place for place, f in enumerate(ENDPOINT_FIGURES) if f.name == name) for name in Sums._fields]
# They lie one behind the other.
assert list(range(_PLACES[0], _PLACES[0] + len(_PLACES))) == _PLACES
_FIGURES: Final = struct.Struct("4Q")


def failing(interval: dict[int, Sums], plan: EjectionPlan) -> dict[int, int]:
    """Those whose error rate is too high, with the rate in percent; the worst first."""
    enough = {number: sums for number, sums in interval.items() if sums.outcomes >= plan.min_requests}
    bad, outcomes = sum(sums.bad for sums in interval.values()), sum(sums.outcomes for sums in interval.values())
    found = {}
    for number, sums in enough.items():
        rate = sums.bad / sums.outcomes
        rest = outcomes - sums.outcomes
        others = (bad - sums.bad) / rest if rest else 0.0
        if rest and rate * 100 >= plan.error_rate_percent and rate >= TIMES_OTHERS * others:
            found[number] = min(round(rate * 100), 100)
    return dict(sorted(found.items(), key=lambda item: -item[1]))


def slow(interval: dict[int, Sums], plan: EjectionPlan) -> dict[int, int]:
    """Those whose mean time to the response head is too far above the median of the others' means, with how many
    hundredths of it; the worst first."""
    means = {
        number: sums.response_us / sums.responses
        for number, sums in interval.items()
        if sums.responses >= plan.min_requests
    }
    found = {}
    for number, mean in means.items():
        others = [its for other, its in means.items() if other != number]
        if not others:
            continue
        middle = max(median(others), 1.0)
        if mean * 100 >= plan.latency_percent * middle and mean - middle >= LEAST_US:
            found[number] = round(mean / middle * 100)
    return dict(sorted(found.items(), key=lambda item: -item[1]))


class Outliers:
    """Compares the endpoints of a cluster at the end of each of its intervals, from start() to stop()."""

    def __init__(self, memory: Any, plane: Plane, clusters: Sequence[ClusterPlan]) -> None:
        self._memory, self._plane = memory, plane
        self._clusters = [
            (number, plan)
            for number, plan in enumerate(clusters)
            if (plan.ejection.error_rate_percent or plan.ejection.latency_percent) and plan.ejection.max_ejected_percent
        ]
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        self._tasks = [asyncio.create_task(self._watch(number, plan.ejection)) for number, plan in self._clusters]

    def stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        self._tasks.clear()

    async def _watch(self, cluster: int, plan: EjectionPlan) -> None:
        before = await self._sums(cluster)
        while True:
            await asyncio.sleep(plan.interval_ms / 1000)
            after = await self._sums(cluster)
            interval = {number: sums.minus(before[number]) for number, sums in after.items() if number in before}
            self.judge(plan, interval)
            before = after

    def judge(self, plan: EjectionPlan, interval: dict[int, Sums]) -> None:
        """Ejects whoever the figures of an interval, by number, say it of."""
        verdicts: list[tuple[int, int]] = []
        if plan.error_rate_percent:
            verdicts += [(n, why(Why.ERROR_RATE, percent)) for n, percent in failing(interval, plan).items()]
        if plan.latency_percent:
            verdicts += [(n, why(Why.LATENCY, times)) for n, times in slow(interval, plan).items()]
        members = [n for n in interval if roster.standing(self._memory, n).order == Order.READY]
        for number, reason in verdicts:
            eject(
                self._memory,
                number,
                members,
                reason,
                percent=plan.max_ejected_percent,
                time_us=plan.time_ms * 1000,
                max_time_us=plan.max_time_ms * 1000,
                now_us=time.monotonic_ns() // 1000,
            )

    async def _sums(self, cluster: int) -> dict[int, Sums]:
        header = layout.read_header(self._memory)
        where = header.places
        found = {}
        read = 0
        for endpoint in self._plane.endpoints(cluster):
            try:
                number, _addresses = self._plane.endpoint(cluster, endpoint)
            except KeyError:
                continue
            if number < 0:
                continue
            at = where.workers_at + where.endpoint_figures_at + 8 * (ENDPOINT_PLACES * number + _PLACES[0])
            each = [
                _FIGURES.unpack_from(self._memory, at + worker * where.worker_bytes) for worker in range(header.workers)
            ]
            found[number] = Sums(*map(sum, zip(*each, strict=True)))
            read += header.workers
            if read >= AT_A_TIME:
                read = 0
                await asyncio.sleep(0)
        return found
