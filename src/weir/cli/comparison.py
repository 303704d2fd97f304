"""Two sets of series side by side: which have changed beyond noise, by how much, and how sure that is."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Final, NamedTuple

from weir.cli.answers import Histogram, Row
from weir.stats.compare import (
    Interval,
    adjusted,
    fisher_test,
    least_fisher_p,
    least_rank_p,
    quantile_interval,
    rank_test,
    ratio_interval,
    tail_test,
    wilson,
)

__all__ = ["KINDS", "Comparison", "Finding", "compare", "minus"]

# Scale 3: a bucket is 1/8 of a doubling.
SCALE: Final = 3
TAIL: Final = 0.99
Z_95: Final = 1.959963984540054

# What is tested of each series, and what it is called when there is more of it, and less.
KINDS: Final = {
    "latency": ("slower", "faster"),
    "tail": ("slower tail", "faster tail"),
    "errors": ("more errors", "fewer errors"),
    "5xx": ("more 5xx", "fewer 5xx"),
    "4xx": ("more 4xx", "fewer 4xx"),
}
SHARES: Final[dict[str, Callable[[Row], int]]] = {
    "errors": lambda row: row.errors,
    "5xx": lambda row: row.statuses[4],
    "4xx": lambda row: row.statuses[3],
}


class Finding(NamedTuple):
    """One test of one series that says: changed.

    `before` and `after` are with their 95 % intervals: the median or p99 in microseconds, or a share, 0 to 1. `factor`
    is after by before, of times alone; `within_a_bucket` whether that is less than the histogram tells apart.
    """

    kind: str
    word: str
    route: str
    path: str
    requests: tuple[int, int]
    before: Interval
    after: Interval
    factor: Interval | None
    p: float
    adjusted_p: float
    within_a_bucket: bool


class Comparison(NamedTuple):
    """`findings`: the largest changes of each kind first. `tests` were made of `compared` series in both sets."""

    findings: tuple[Finding, ...]
    rate: float
    tests: int
    compared: int
    only_before: tuple[str, ...]
    only_after: tuple[str, ...]


class Test(NamedTuple):
    kind: str
    before: Row
    after: Row
    p: float
    more: bool


def compare(before: Iterable[Row], after: Iterable[Row], rate: float = 0.05) -> Comparison:
    """Tests what both sets have. Of the series that are named an expected share of at most `rate` is so by chance.

    ValueError for histograms of another scale.
    """
    old = {(row.route, row.path): row for row in before if row.requests}
    new = {(row.route, row.path): row for row in after if row.requests}
    both = [key for key in old if key in new]
    families = [family for key in both if (family := tuple(tests_of(old[key], new[key], rate)))]
    findings = [finding_of(test, q) for test, q in named(families, rate)]
    findings.sort(key=lambda finding: (finding.within_a_bucket, finding.adjusted_p, finding.path))
    return Comparison(
        tuple(findings),
        rate,
        sum(map(len, families)),
        len(both),
        tuple(path for (_route, path) in old if (_route, path) not in new),
        tuple(path for (_route, path) in new if (_route, path) not in old),
    )


def named(families: Sequence[Sequence[Test]], rate: float) -> Iterator[tuple[Test, float]]:
    """The tests that say: changed, each with the rate from which on it does. A family are the tests of one series.

    Benjamini and Bogomolov (2014): series are chosen by Benjamini and Hochberg's procedure on Simes' P value of each
    family, so that the rate is one of series, however many tests of each say the same; of a chosen series those tests
    are named that the same procedure chooses at the rate times the share of series that were chosen.
    """
    within = [adjusted([test.p for test in family]) for family in families]
    of_series = adjusted([min(p_values) for p_values in within])
    chosen = sum(q <= rate for q in of_series)
    for family, p_values, q in zip(families, within, of_series, strict=True):
        if q <= rate:
            for test, p in zip(family, p_values, strict=True):
                if p * len(families) / chosen <= rate:
                    yield test, max(q, p * len(families) / chosen)


def tests_of(before: Row, after: Row, rate: float) -> Iterator[Test]:
    """The tests of one series that could come out significant; what never can is none, and costs the others nothing."""
    first, second = aligned(before.total_histogram, after.total_histogram)
    n_first, n_second = sum(first), sum(second)
    if n_first and n_second and least_rank_p(n_first, n_second) <= rate:
        ranks = rank_test(first, second)
        yield Test("latency", before, after, ranks.p, ranks.superiority > 0.5)
        p, least = tail_test(first, second, TAIL)
        if least <= rate:
            p99s = (quantile_interval(sample, TAIL).value for sample in (first, second))
            low, high = p99s
            yield Test("tail", before, after, p, high > low)
    for kind, hits in SHARES.items():
        # Counted at about the same moment, not at the very same: one may be ahead of the other by an exchange.
        ours, theirs = min(hits(before), before.requests), min(hits(after), after.requests)
        if least_fisher_p(ours + theirs, before.requests, after.requests) <= rate:
            p = fisher_test(ours, before.requests, theirs, after.requests)
            yield Test(kind, before, after, p, theirs * before.requests > ours * after.requests)


def finding_of(test: Test, adjusted_p: float) -> Finding:
    factor: Interval | None = None
    within = False
    if test.kind in SHARES:
        hits = SHARES[test.kind]
        earlier, later = (share(min(hits(row), row.requests), row.requests) for row in (test.before, test.after))
    else:
        quantile = TAIL if test.kind == "tail" else 0.5
        samples = aligned(test.before.total_histogram, test.after.total_histogram)
        offset = offset_of(test.before.total_histogram, test.after.total_histogram)
        places = [quantile_interval(sample, quantile) for sample in samples]
        factor = ratio_interval(places[0], places[1], 2**SCALE)
        earlier, later = (Interval(*(2.0 ** ((offset + bound) / 2**SCALE) for bound in place)) for place in places)
        within = abs(places[1].value - places[0].value) < 1
    word = KINDS[test.kind][0 if test.more else 1]
    requests = (test.before.requests, test.after.requests)
    row = test.after
    return Finding(test.kind, word, row.route, row.path, requests, earlier, later, factor, test.p, adjusted_p, within)


def share(hits: int, n: int) -> Interval:
    low, high = wilson(hits / n, n, Z_95)
    return Interval(low, hits / n, high)


def aligned(one: Histogram, two: Histogram) -> tuple[list[int], list[int]]:
    """The counts of two histograms from a common first bucket to a common last."""
    for histogram in (one, two):
        if any(histogram.counts) and histogram.scale != SCALE:
            raise ValueError(f"a histogram of scale {histogram.scale}; only scale {SCALE} is compared")
    start = offset_of(one, two)
    end = max((h.offset + len(h.counts) for h in (one, two) if any(h.counts)), default=start)
    return spread(one, start, end), spread(two, start, end)


def offset_of(one: Histogram, two: Histogram) -> int:
    return min((histogram.offset for histogram in (one, two) if any(histogram.counts)), default=0)


def spread(histogram: Histogram, start: int, end: int) -> list[int]:
    counts = [0] * (end - start)
    if any(histogram.counts):
        place = histogram.offset - start
        counts[place : place + len(histogram.counts)] = histogram.counts
    return counts


def minus(later: Sequence[Row], earlier: Sequence[Row]) -> tuple[Row, ...]:
    """What was counted of each series after `earlier`, which `later` contains. Quantiles and rates are not kept."""
    old = {(row.route, row.path): row for row in earlier}
    return tuple(subtracted(row, old[key]) if (key := (row.route, row.path)) in old else row for row in later)


def subtracted(row: Row, old: Row) -> Row:
    """Nothing is less than zero, even if the two were not quite taken in the order that was meant."""
    return row._replace(
        requests=max(row.requests - old.requests, 0),
        errors=max(row.errors - old.errors, 0),
        statuses=tuple(max(new - gone, 0) for new, gone in zip(row.statuses, old.statuses, strict=True)),
        total_histogram=histogram_minus(row.total_histogram, old.total_histogram),
        first_byte_histogram=histogram_minus(row.first_byte_histogram, old.first_byte_histogram),
    )


def histogram_minus(one: Histogram, two: Histogram) -> Histogram:
    first, second = aligned(one, two)
    counts = tuple(max(new - gone, 0) for new, gone in zip(first, second, strict=True))
    return Histogram(SCALE, offset_of(one, two), counts)
