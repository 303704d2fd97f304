"""Questions to a frame: which series, in which order, and what there is to say of each.

The rows that come out hold plain numbers; whoever shows them (RPC, page, metrics, command line) only formats.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from functools import cached_property
from typing import Final, NamedTuple

from weir.reasons import REASONS
from weir.stats.columns import COUNTERS
from weir.stats.frame import Frame, quantile_of
from weir.stats.names import Name
from weir.stats.reader import Counts

__all__ = ["RELATIVE_ERROR", "Filter", "Quantiles", "Row", "Sort", "View", "query", "times_of"]

# Bound of a quantile's relative error: half a bucket of the histograms' grid, 2^(1/16) - 1.
RELATIVE_ERROR: Final = 2 ** (1 / 16) - 1

_PLACES: Final = {counter.name: place for place, counter in enumerate(COUNTERS)}


class Sort(Enum):
    """What series are ordered by: the greatest first, except PATH."""

    REQUESTS = "requests"
    RESPONSE_BYTES = "response_bytes"
    REQUEST_BYTES = "request_bytes"
    AVERAGE_BYTES = "average_bytes"
    ERRORS = "errors"
    ERROR_SHARE = "error_share"
    TIME = "time"
    MEAN = "mean"
    P50 = "p50"
    P90 = "p90"
    P99 = "p99"
    FIRST_BYTE_P50 = "first_byte_p50"
    FIRST_BYTE_P99 = "first_byte_p99"
    PATH = "path"


@dataclass(frozen=True, slots=True)
class Filter:
    """Which series: all that is given must hold. `contains` does not tell capitals; None: whatever it is."""

    route: str | None = None
    prefix: str = ""
    contains: str = ""
    path: str | None = None

    def test(self) -> Callable[[Name], bool] | None:
        """A function that says whether a name is meant; None if all are."""
        if self == Filter():
            return None
        route, prefix, path, contains = self.route, self.prefix, self.path, self.contains.casefold()

        def meant(name: Name) -> bool:
            return (
                (route is None or name.route == route)
                and (path is None or name.path == path)
                and name.path.startswith(prefix)
                and (not contains or contains in name.path.casefold())
            )

        return meant


class Quantiles(NamedTuple):
    """Of a time, in microseconds; all 0 if nothing was counted."""

    samples: int
    sum_us: int
    mean_us: float
    p50_us: float
    p90_us: float
    p99_us: float
    p999_us: float


def times_of(buckets: Sequence[int], sum_us: int) -> Quantiles:
    """Of a histogram of 216 buckets (see `weir.stats.reader`), and the sum of what is in it."""
    samples = sum(buckets)
    shares = (quantile_of(buckets, share) for share in (0.5, 0.9, 0.99, 0.999))
    return Quantiles(samples, sum_us, sum_us / samples if samples else 0.0, *shares)


@dataclass(frozen=True)
class Row:
    """One series of a view, or a sum of series (then `name` is empty and `key` 0).

    `frame` has this one series only. What is expensive is computed when it is asked for.
    """

    key: int
    name: Name
    counts: Counts
    seconds: float
    frame: Frame

    @property
    def requests_per_second(self) -> float:
        """Over the time that the view spans."""
        return self.counts.requests / self.seconds if self.seconds > 0 else 0.0

    @cached_property
    def total(self) -> Quantiles:
        """Of the total times."""
        return self._quantiles(0, self.counts.requests, self.counts.total_us)

    @cached_property
    def first_byte(self) -> Quantiles:
        """Of the times to the first byte."""
        return self._quantiles(1, self.counts.first_bytes, self.counts.first_byte_us)

    @cached_property
    def reasons(self) -> dict[str, int]:
        """How many exchanges each reason ended, by its word; those with 0 are left out."""
        if not self.counts.errors:
            return {}
        counts = self.frame.reasons(0)
        return {info.word: count for info, count in zip(REASONS, counts, strict=False) if count and info.word != "none"}

    def histogram(self, which: int) -> list[int]:
        """216 buckets of the total time (0) or of the time to the first byte (1): see `weir.stats.reader`."""
        return self.frame.histogram(0, which)

    def _quantiles(self, which: int, count: int, sum_us: int) -> Quantiles:
        mean = sum_us / count if count else 0.0
        p50, p90, p99, p999 = (self.frame.quantiles(which, share)[0] for share in (0.5, 0.9, 0.99, 0.999))
        return Quantiles(count, sum_us, mean, p50, p90, p99, p999)


@dataclass(frozen=True, slots=True)
class View:
    """The answer to a question. `rows` are sorted; `matched` series met the filter; `total` is the sum of those.

    `since_us` and `taken_us` (microseconds since 1970) are the time that the numbers span.
    """

    rows: tuple[Row, ...]
    total: Row
    matched: int
    since_us: int
    taken_us: int


def query(
    frame: Frame,
    names: Mapping[int, Name],
    filter: Filter = Filter(),
    *,
    sort: Sort = Sort.REQUESTS,
    reverse: bool = False,
    limit: int = 100,
) -> View:
    """The first `limit` series of a frame that meet a filter, in an order, and the sum of all that meet it.

    `names` has a name for each key of the frame (see `weir.stats.names`). Series that are equal in what is sorted by
    stand by route and path.
    """
    meant = filter.test()
    keys = frame.keys
    chosen = [i for i, key in enumerate(keys) if meant is None or meant(names[key])]
    seconds = max((frame.taken_us - frame.since_us) / 1e6, 0.0)
    total = make_row(frame.total(None if meant is None else chosen), Name("", ""), seconds)
    return View(
        rows=tuple(
            replace(make_row(frame.select([i]), names[keys[i]], seconds), key=keys[i])
            for i in first(frame, names, keys, chosen, sort, reverse, limit)
        ),
        total=total,
        matched=len(chosen),
        since_us=frame.since_us,
        taken_us=frame.taken_us,
    )


def make_row(frame: Frame, name: Name, seconds: float) -> Row:
    """A row of a frame with one series."""
    return Row(0, name, Counts(*frame.counters(0)), seconds, frame)


def first(
    frame: Frame,
    names: Mapping[int, Name],
    keys: list[int],
    chosen: list[int],
    sort: Sort,
    reverse: bool,
    limit: int,
) -> list[int]:
    """Indices of the first `limit` of the chosen series."""
    if sort is Sort.PATH:
        ordered = sorted(chosen, key=lambda i: names[keys[i]][:2], reverse=reverse)
        return ordered[:limit]
    values = sort_values(frame, sort)
    sign = 1 if reverse else -1
    # Names are looked at only where values are equal: that is what the second part of the key is for.
    return heapq.nsmallest(limit, chosen, key=lambda i: (sign * values[i], names[keys[i]][:2]))


def sort_values(frame: Frame, sort: Sort) -> list[float]:
    """What the series of a frame are ordered by, in the frame's order."""
    quantiles = {
        Sort.P50: (0, 0.5),
        Sort.P90: (0, 0.9),
        Sort.P99: (0, 0.99),
        Sort.FIRST_BYTE_P50: (1, 0.5),
        Sort.FIRST_BYTE_P99: (1, 0.99),
    }
    columns = {
        Sort.REQUESTS: "requests",
        Sort.RESPONSE_BYTES: "response_body_bytes",
        Sort.REQUEST_BYTES: "request_body_bytes",
        Sort.ERRORS: "errors",
        Sort.TIME: "total_us",
    }
    per_request = {Sort.AVERAGE_BYTES: "response_body_bytes", Sort.ERROR_SHARE: "errors", Sort.MEAN: "total_us"}
    if sort in quantiles:
        return frame.quantiles(*quantiles[sort])
    if sort in columns:
        return [float(value) for value in frame.column(_PLACES[columns[sort]])]
    sums = frame.column(_PLACES[per_request[sort]])
    requests = frame.column(_PLACES["requests"])
    return [value / count if count else 0.0 for value, count in zip(sums, requests, strict=True)]
