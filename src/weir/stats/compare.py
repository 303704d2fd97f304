"""Has a series changed, or is it noise: two-sample tests on histograms and counts, in plain Python.

Nothing here knows of weir: a sample of times is a list of counts on a common grid of buckets, in order. All tests are
conditional on what was counted in both samples together (permutation tests), so that ties, which binning makes plenty
of, need no assumption about a distribution. They do assume that the requests are independent of one another, which
those of a service are not quite: docs/statistics.md says what follows.

- `rank_test`: Mann and Whitney's (1947) test, whether times in one sample tend to be greater. The null distribution of
  the rank sum under ties is approximated by its first three moments, with a Pearson type III curve in place of the
  normal one (Mielke and Berry, Permutation Methods, 2007): with few requests against many and most of them in a
  single bucket the normal approximation calls noise significant. Without skewness both are the same.
- `fisher_test`: Fisher's exact test of two shares, errors among requests for example. Its P value is twice that of the
  smaller tail.
- `tail_test`: Fisher's test of the shares beyond a quantile of both samples together, as Mood's median test (Westenberg
  1948) does with the median: finds a p99 that has moved while the rest stands still.
- `adjusted`: Benjamini and Hochberg's (1995) step-up procedure. Of what is named at level q, an expected share of at
  most q is named wrongly. Tests that could not have been significant whatever had happened are not counted (Tarone
  1990; Gilbert 2005): `least_rank_p` and `least_fisher_p` are the smallest P values that the counts allow.
- `quantile_interval`: order statistics, with Wilson's (1927) score interval for the share below. `ratio_interval` puts
  two together by the method of variance estimates recovery (Zou and Donner 2008), on the logarithmic grid.

The tests compare with scipy, which would be heavy for a command that has to answer at once.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final, NamedTuple

__all__ = [
    "Interval",
    "adjusted",
    "fisher_test",
    "least_fisher_p",
    "least_rank_p",
    "quantile_interval",
    "quantile_place",
    "rank_test",
    "ratio_interval",
    "tail_test",
]

# Two-sided 95 %.
Z_95: Final = 1.959963984540054
# Under this skewness the curve of type III is the normal one to nine digits, and its shape too great to compute with.
NEARLY_SYMMETRIC: Final = 1e-3


class Interval(NamedTuple):
    """An estimate with its bounds. A bound is infinite where the sample is too small to tell."""

    low: float
    value: float
    high: float


class RankTest(NamedTuple):
    """`superiority`: the probability that a time of the second sample is greater than one of the first, ties half."""

    p: float
    superiority: float


def rank_test(first: Sequence[int], second: Sequence[int]) -> RankTest:
    """Two-sided: do times of the second sample tend to be greater, or smaller? Counts on the same grid, in order.

    The P value is 1 if one sample is empty or all lies in one bucket.
    """
    n_first, n_second = sum(first), sum(second)
    if not n_first or not n_second:
        return RankTest(1.0, 0.5)
    n = n_first + n_second
    # Mid-ranks less their mean, doubled to stay whole: exact in integers whatever the counts.
    below = rank_sum = square = cube = step = 0
    previous: int | None = None
    for one, two in zip(first, second, strict=True):
        count = one + two
        if count:
            score = 2 * below + count - n
            step = step if previous is None else math.gcd(step, score - previous)
            previous = score
            below += count
            rank_sum += two * score
            square += count * score * score
            cube += count * score**3
    superiority = 0.5 + rank_sum / 2 / (n_first * n_second)
    if square == 0:
        return RankTest(1.0, 0.5)
    # Of a sum drawn without replacement from a finite population.
    variance = n_first * n_second * square / (n * (n - 1))
    third = n_first * n_second * (n_first - n_second) * cube / (n * (n - 1) * (n - 2)) if n > 2 else 0.0
    deviation = math.sqrt(variance)
    skewness = third / variance**1.5
    # The sum moves in steps; half of one is the correction for continuity. Without ties doubled scores lie 2 apart.
    distance = max(abs(rank_sum) - max(step / 2, 1.0), 0.0) / deviation
    if distance == 0:
        return RankTest(1.0, superiority)
    tail = type_iii_tail(distance, skewness if rank_sum > 0 else -skewness)
    return RankTest(min(1.0, 2 * tail), superiority)


def least_rank_p(n_first: int, n_second: int) -> float:
    """The smallest P value that a rank test of so many can have: all of one sample before all of the other."""
    return min(1.0, 2 * math.exp(-log_choose(n_first + n_second, n_first)))


def fisher_test(hits_first: int, n_first: int, hits_second: int, n_second: int) -> float:
    """P value of the same share of hits in both samples; exact, two-sided by doubling the smaller tail."""
    check_hits(hits_first, n_first)
    check_hits(hits_second, n_second)
    hits, n = hits_first + hits_second, n_first + n_second
    if not n_first or not n_second or hits in (0, n):
        return 1.0
    # The tail that starts at what was seen and leads away from what was to be expected; the other one is greater.
    upward = hits_second * n >= hits * n_second
    return min(1.0, 2 * hypergeometric_tail(hits_second, hits, n_second, n, upward=upward))


def least_fisher_p(hits: int, n_first: int, n_second: int) -> float:
    """The smallest P value that Fisher's test can have with so many hits in both samples together."""
    if not n_first or not n_second or not 0 < hits < n_first + n_second:
        return 1.0
    none_there = fisher_test(min(hits, n_first), n_first, hits - min(hits, n_first), n_second)
    all_there = fisher_test(hits - min(hits, n_second), n_first, min(hits, n_second), n_second)
    return min(none_there, all_there)


def tail_test(first: Sequence[int], second: Sequence[int], quantile: float) -> tuple[float, float]:
    """P value of the same share of both samples beyond a quantile of both together, and the smallest it can be.

    The quantile is put at the end of the bucket that holds it: where the samples together are cut does not depend on
    which request is of which.
    """
    n_first, n_second = sum(first), sum(second)
    need, seen = quantile * (n_first + n_second), 0
    cut = len(first)
    for place, (one, two) in enumerate(zip(first, second, strict=True)):
        seen += one + two
        if seen >= need:
            cut = place + 1
            break
    beyond_first, beyond_second = sum(first[cut:]), sum(second[cut:])
    p = fisher_test(beyond_first, n_first, beyond_second, n_second)
    return p, least_fisher_p(beyond_first + beyond_second, n_first, n_second)


def adjusted(p_values: Sequence[float]) -> list[float]:
    """Benjamini and Hochberg's adjusted P values, in the order given: named at the rate q is what has at most q."""
    order = sorted(range(len(p_values)), key=lambda place: p_values[place])
    result, least = [1.0] * len(p_values), 1.0
    for rank in range(len(order), 0, -1):
        place = order[rank - 1]
        least = min(least, p_values[place] * len(order) / rank)
        result[place] = least
    return result


def quantile_place(counts: Sequence[int], quantile: float) -> float:
    """Where a quantile lies on the grid: 3.25 is a quarter into bucket 3, whose counts are taken as evenly spread.

    NaN if nothing is counted.
    """
    whole = sum(counts)
    if not whole:
        return math.nan
    need, seen = min(max(quantile, 0.0), 1.0) * whole, 0
    end = 0.0
    for place, count in enumerate(counts):
        if count:
            if seen + count >= need:
                return place + (need - seen) / count
            end = place + 1.0
        seen += count
    return end


def quantile_interval(counts: Sequence[int], quantile: float, z: float = Z_95) -> Interval:
    """The place of a quantile on the grid, and between which places the true one lies (95 % unless `z` says other).

    The bounds are infinite where so few samples leave one side open: p99 of 100, for example.
    """
    n = sum(counts)
    if not n:
        return Interval(-math.inf, math.nan, math.inf)
    low, high = wilson(quantile, n, z)
    # The order statistics of these ranks exist only inside of the sample.
    low_place = quantile_place(counts, low) if low * n >= 1 else -math.inf
    high_place = quantile_place(counts, high) if high * n <= n - 1 else math.inf
    return Interval(low_place, quantile_place(counts, quantile), high_place)


def ratio_interval(first: Interval, second: Interval, buckets_per_doubling: float) -> Interval:
    """By what factor a quantile has changed, of two places on a grid where so many buckets double a time."""
    change = second.value - first.value
    low = change - math.hypot(second.value - second.low, first.high - first.value)
    high = change + math.hypot(second.high - second.value, first.value - first.low)
    return Interval(*(factor(place / buckets_per_doubling) for place in (low, change, high)))


def factor(exponent: float) -> float:
    """2 to a power, which may be infinite or beyond all numbers."""
    if math.isinf(exponent):
        return math.inf if exponent > 0 else 0.0
    return math.exp2(exponent)


def wilson(share: float, n: int, z: float) -> tuple[float, float]:
    """Bounds of a share that was seen in n."""
    center = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    return max(0.0, center - half), min(1.0, center + half)


def check_hits(hits: int, n: int) -> None:
    if not 0 <= hits <= n:
        raise ValueError(f"{hits} hits among {n}")


def hypergeometric_tail(hits_here: int, hits: int, n_here: int, n: int, *, upward: bool) -> float:
    """P(X >= hits_here), or <= if not `upward`, where X of `hits` fall among n_here of n."""
    least, most = max(0, hits - (n - n_here)), min(hits, n_here)
    step, end = (1, most) if upward else (-1, least)
    # Terms fall from here on, since the mean lies behind; each follows from the one before.
    term = math.exp(log_choose(n_here, hits_here) + log_choose(n - n_here, hits - hits_here) - log_choose(n, hits))
    total, x = term, hits_here
    while x != end and term > total * 1e-17:
        if upward:
            term *= (n_here - x) * (hits - x) / ((x + 1) * (n - n_here - hits + x + 1))
        else:
            term *= x * (n - n_here - hits + x) / ((n_here - x + 1) * (hits - x + 1))
        total += term
        x += step
    return min(1.0, total)


def log_choose(n: int, k: int) -> float:
    return math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1)


def type_iii_tail(z: float, skewness: float) -> float:
    """P(Z > z) of a Pearson type III variable with mean 0, variance 1 and a skewness; normal if that is (nearly) 0."""
    if abs(skewness) < NEARLY_SYMMETRIC:
        return 0.5 * math.erfc(z / math.sqrt(2))
    # Z = (G - shape) / sqrt(shape) with G of a gamma distribution, mirrored if skewed to the left.
    shape = 4 / (skewness * skewness)
    x = shape + math.copysign(math.sqrt(shape), skewness) * z
    if skewness > 0:
        return gamma_upper(shape, x) if x > 0 else 1.0
    return 1 - gamma_upper(shape, x) if x > 0 else 0.0


def gamma_upper(shape: float, x: float) -> float:
    """Q(a, x), the regularised upper incomplete gamma function: series below, continued fraction above (Lentz)."""
    log_front = shape * math.log(x) - x - math.lgamma(shape)
    if x < shape + 1:
        return 1 - gamma_series(shape, x, log_front)
    tiny = 1e-300
    b = x + 1 - shape
    c, d = 1 / tiny, 1 / b
    result = d
    for i in range(1, 100_000):
        a = -i * (i - shape)
        b += 2
        d = 1 / (a * d + b or tiny)
        c = b + a / c or tiny
        result *= d * c
        if abs(d * c - 1) < 1e-14:
            break
    return math.exp(log_front) * result


def gamma_series(shape: float, x: float, log_front: float) -> float:
    """P(a, x), the lower one, by its series."""
    term = total = 1 / shape
    k = shape
    while term > total * 1e-16:
        k += 1
        term *= x / k
        total += term
    return math.exp(log_front) * total
