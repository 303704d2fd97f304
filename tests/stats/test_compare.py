"""Tests of two samples: against scipy, by simulation where nothing is there to compare with, and at their limits."""

from __future__ import annotations

import math
import random
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import special, stats

from weir.stats.compare import (
    Interval,
    adjusted,
    fisher_test,
    gamma_upper,
    least_fisher_p,
    least_rank_p,
    quantile_interval,
    quantile_place,
    rank_test,
    ratio_interval,
    tail_test,
    type_iii_tail,
    wilson,
)

BUCKETS = 40
counts = st.lists(st.integers(0, 30), min_size=6, max_size=6)
sure = settings(max_examples=300, deadline=None)


def _times(histogram: list[int]) -> list[int]:
    """A sample that has this histogram."""
    return [place for place, count in enumerate(histogram) for _ in range(count)]


def _histogram(times: list[int] | np.ndarray, buckets: int = BUCKETS) -> list[int]:
    return [int(count) for count in np.bincount(np.clip(times, 0, buckets - 1), minlength=buckets)]


def _lognormal(rng: np.random.Generator, n: int, factor: float = 1.0, sigma: float = 0.7) -> list[int]:
    """A histogram of times around 1 ms on weir's grid."""
    times = 1000 * factor * np.exp(rng.normal(0, sigma, n))
    return _histogram(np.floor(8 * np.log2(times)).astype(int), 200)


@sure
@given(st.lists(st.integers(0, 40), min_size=12, max_size=12), st.permutations(range(12)))
def test_the_rank_test_of_samples_of_one_size_is_mann_and_whitneys(histogram: list[int], order: list[int]) -> None:
    # Without skewness, which samples of one size do not have, all there is besides are ties and continuity.
    other = [histogram[place] for place in order]
    if sum(1 for count in map(sum, zip(histogram, other, strict=True)) if count) < 2:
        assert rank_test(histogram, other).p == 1.0
        return
    ours = rank_test(histogram, other)
    theirs = stats.mannwhitneyu(_times(other), _times(histogram), method="asymptotic")
    pairs = sum(histogram) * sum(other)
    assert ours.superiority == pytest.approx(theirs.statistic / pairs)
    # The correction for continuity is half a step, which scipy takes to be 1 whatever the ties are.
    merged = [count for count in map(sum, zip(histogram, other, strict=True)) if count]
    if math.gcd(*(one + two for one, two in pairwise(merged))) <= 2:
        assert ours.p == pytest.approx(theirs.pvalue, rel=1e-9)
    else:
        assert ours.p >= theirs.pvalue * (1 - 1e-9)


def test_the_rank_test_of_samples_without_ties_of_other_sizes_is_mann_and_whitneys() -> None:
    rng = random.Random(1)
    for n_first, n_second in ((30, 400), (7, 900), (500, 40)):
        order = [0] * n_first + [1] * n_second
        rng.shuffle(order)
        first, second = [1 - sample for sample in order], order
        theirs = stats.mannwhitneyu(_times(second), _times(first), method="asymptotic")
        assert rank_test(first, second).p == pytest.approx(theirs.pvalue, rel=1e-9)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        # Nearly all in one bucket, few requests beside many: the normal approximation says 2e-7, 3e-9, 5e-8.
        ([9_900, 100], [6, 2]),
        ([99_000, 1_000, 0], [48, 4, 1]),
        ([20_000, 150, 30], [36, 2, 2]),
        ([300, 20, 3, 1], [20, 5, 2, 0]),
        ([5, 30, 30, 5], [0, 3, 9, 4]),
        ([12, 4, 0, 1], [3, 9, 3, 5]),
    ],
)
def test_the_rank_test_is_near_the_exact_one_also_where_the_normal_one_is_not(
    first: list[int], second: list[int]
) -> None:
    # The exact distribution of the rank sum: all ways to draw the second sample from both, bucket by bucket.
    merged = [one + two for one, two in zip(first, second, strict=True)]
    n, n_second = sum(merged), sum(second)
    ranks, below = [], 0
    for count in merged:
        ranks.append(2 * below + count - n)
        below += count
    ways: dict[tuple[int, int], int] = {(0, 0): 1}
    for count, rank in zip(merged, ranks, strict=True):
        after: dict[tuple[int, int], int] = {}
        for (drawn, total), number in ways.items():
            for more in range(min(count, n_second - drawn) + 1):
                key = (drawn + more, total + more * rank)
                after[key] = after.get(key, 0) + number * math.comb(count, more)
        ways = after
    seen = sum(count * rank for count, rank in zip(second, ranks, strict=True))
    whole = sum(number for (drawn, _), number in ways.items() if drawn == n_second)
    tail = sum(number for (drawn, total), number in ways.items() if drawn == n_second and total >= seen)
    exact = min(1.0, 2 * tail / whole)
    # Near, and if not quite, then on the side of caution.
    assert exact / 2 < rank_test(first, second).p < exact * 15


@sure
@given(counts, counts)
def test_the_rank_test_does_not_care_which_sample_comes_first_nor_which_way_time_runs(
    first: list[int], second: list[int]
) -> None:
    test = rank_test(first, second)
    assert rank_test(second, first).p == pytest.approx(test.p, rel=1e-6)
    assert rank_test(first[::-1], second[::-1]).p == pytest.approx(test.p, rel=1e-6)
    assert rank_test(second, first).superiority == pytest.approx(1 - test.superiority)
    assert 0 < test.p <= 1
    assert 0 <= test.superiority <= 1


def test_samples_that_say_nothing() -> None:
    assert rank_test([0, 0], [3, 4]) == (1.0, 0.5)
    assert rank_test([9, 0], [3, 0]) == (1.0, 0.5)
    assert fisher_test(0, 5, 0, 9) == fisher_test(5, 5, 9, 9) == fisher_test(0, 0, 3, 9) == 1.0
    assert math.isnan(quantile_place([0, 0], 0.5))
    assert quantile_interval([], 0.5).high == math.inf
    with pytest.raises(ValueError, match="6 hits among 5"):
        fisher_test(6, 5, 0, 1)


def test_numbers_of_a_long_life_are_no_trouble() -> None:
    many = [10**12 * (place + 1) for place in range(20)]
    other = [count + 10**7 * place for place, count in enumerate(many)]
    assert 0 < rank_test(many, other).p < 1e-6
    assert fisher_test(10**9, 10**12, 10**9 + 10**6, 10**12) < 1e-9
    assert fisher_test(10**9, 10**12, 10**9, 10**12) == pytest.approx(1.0, abs=1e-3)


@sure
@given(st.integers(0, 60), st.integers(0, 60), st.integers(1, 400), st.integers(1, 400))
def test_fishers_test_is_twice_the_smaller_tail_of_the_hypergeometric_distribution(
    hits_first: int, hits_second: int, n_first: int, n_second: int
) -> None:
    hits_first, hits_second = min(hits_first, n_first), min(hits_second, n_second)
    law = stats.hypergeom(n_first + n_second, hits_first + hits_second, n_second)
    tail = min(law.cdf(hits_second), law.sf(hits_second - 1))
    ours = fisher_test(hits_first, n_first, hits_second, n_second)
    assert ours == pytest.approx(min(1.0, 2 * tail), rel=1e-7)
    # scipy's own test adds what is less likely on the other side to the smaller tail.
    theirs = stats.fisher_exact([[hits_first, n_first - hits_first], [hits_second, n_second - hits_second]]).pvalue
    assert ours <= 2 * theirs * (1 + 1e-7)


@sure
@given(st.integers(0, 30), st.integers(1, 30), st.integers(1, 30))
def test_the_least_p_value_is_that_of_the_most_extreme_table(hits: int, n_first: int, n_second: int) -> None:
    hits = min(hits, n_first + n_second)
    tables = range(max(0, hits - n_second), min(hits, n_first) + 1)
    least = min(fisher_test(here, n_first, hits - here, n_second) for here in tables)
    assert least_fisher_p(hits, n_first, n_second) == pytest.approx(least, rel=1e-9)


def test_the_least_p_value_of_a_rank_test_is_one_sample_before_the_other() -> None:
    for n_first, n_second in ((4, 4), (3, 10), (1, 1), (2, 50)):
        theirs = stats.mannwhitneyu(range(n_second), range(n_second, n_second + n_first), method="exact").pvalue
        assert least_rank_p(n_first, n_second) == pytest.approx(theirs)


@sure
@given(st.lists(st.floats(0, 1), max_size=40))
def test_adjusted_p_values_are_benjamini_and_hochbergs(p_values: list[float]) -> None:
    theirs = stats.false_discovery_control(p_values) if p_values else []
    assert adjusted(p_values) == pytest.approx(list(theirs))


@sure
@given(st.floats(0.01, 5000), st.floats(1e-6, 12000))
def test_the_incomplete_gamma_function(shape: float, x: float) -> None:
    assert gamma_upper(shape, x) == pytest.approx(special.gammaincc(shape, x), rel=1e-8, abs=1e-11)


@sure
@given(st.floats(0, 12), st.floats(-8, 8))
def test_the_curve_of_type_iii(z: float, skewness: float) -> None:
    expected = stats.norm.sf(z) if abs(skewness) < 1e-3 else stats.pearson3.sf(z, skewness)
    assert type_iii_tail(z, skewness) == pytest.approx(expected, rel=1e-6, abs=1e-10)


@sure
@given(counts, st.floats(0, 1))
def test_a_quantile_lies_where_the_cumulated_counts_reach_it(histogram: list[int], quantile: float) -> None:
    if not sum(histogram):
        return
    place = quantile_place(histogram, quantile)
    ends = np.concatenate([[0], np.cumsum(histogram)])
    assert np.interp(place, range(len(histogram) + 1), ends) == pytest.approx(quantile * sum(histogram), abs=1e-6)


def test_wilsons_interval() -> None:
    theirs = stats.binomtest(17, 300).proportion_ci(method="wilson")
    assert wilson(17 / 300, 300, 1.959963984540054) == pytest.approx((theirs.low, theirs.high))


@pytest.mark.parametrize(("quantile", "n"), [(0.5, 60), (0.5, 2000), (0.99, 3000)])
def test_the_interval_of_a_ratio_covers_the_true_one_as_often_as_it_says(quantile: float, n: int) -> None:
    rng = np.random.default_rng(5)
    rounds, covered = 400, 0
    for _ in range(rounds):
        places = (_lognormal(rng, n), _lognormal(rng, 2 * n, factor=1.3))
        first, second = (quantile_interval(places_of_one, quantile) for places_of_one in places)
        ratio = ratio_interval(first, second, 8)
        assert ratio.low <= ratio.value <= ratio.high
        covered += ratio.low <= 1.3 <= ratio.high
    # 95 %, with four standard errors of 400 rounds; too often is wrong as well, but for the two ends of a bucket.
    assert 0.905 <= covered / rounds <= 0.995


def test_a_sample_that_is_too_small_has_an_open_end() -> None:
    interval = quantile_interval([0, 50, 50], 0.99)
    assert interval.high == math.inf
    ratio = ratio_interval(interval, interval, 8)
    assert (ratio.low, ratio.value, ratio.high) == (0.0, 1.0, math.inf)
    assert ratio_interval(Interval(1, 2, 3), Interval(9, 10, 11), 8).value == 2.0


def test_a_tail_that_has_moved_is_found_where_ranks_see_nothing() -> None:
    rng = np.random.default_rng(2)
    slow = _lognormal(rng, 1960)
    for place, count in enumerate(_lognormal(rng, 40, factor=20)):
        slow[place] += count
    fast = _lognormal(rng, 2000)
    p, least = tail_test(fast, slow, 0.99)
    assert p < 1e-6
    assert least <= p
    assert rank_test(fast, slow).p > 1e-4


@pytest.mark.parametrize("sizes", [(2000, 2000), (40, 9000), (5, 5)])
def test_p_values_of_equal_samples_are_not_smaller_than_chance_makes_them(sizes: tuple[int, int]) -> None:
    rng = np.random.default_rng(7)
    rounds = 1000
    small: dict[str, int] = {"rank": 0, "tail": 0, "fisher": 0}
    for _ in range(rounds):
        first, second = (_lognormal(rng, n) for n in sizes)
        errors = [int(rng.binomial(n, 0.01)) for n in sizes]
        small["rank"] += rank_test(first, second).p <= 0.05
        small["tail"] += tail_test(first, second, 0.99)[0] <= 0.05
        small["fisher"] += fisher_test(errors[0], sizes[0], errors[1], sizes[1]) <= 0.05
    # 5 % and four standard errors.
    assert {name: count for name, count in small.items() if count / rounds > 0.0776} == {}
