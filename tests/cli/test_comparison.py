"""Two sets of series side by side: what is named, what is not, and how often wrongly."""

from __future__ import annotations

import numpy as np
import pytest

from weir.cli.answers import Histogram, Row, row_of
from weir.cli.comparison import Comparison, compare, minus

GRID = 8  # buckets per doubling


def _row(path: str, times_us: np.ndarray, errors: int = 0, failed: int = 0, refused: int = 0) -> Row:
    places = np.floor(GRID * np.log2(times_us)).astype(int) if len(times_us) else np.zeros(0, int)
    offset = int(places.min()) if len(places) else 0
    counts = tuple(int(count) for count in np.bincount(places - offset)) if len(places) else ()
    series = row_of({"route": "main", "path": path, "requests": str(len(times_us)), "errors": str(errors)})
    return series._replace(statuses=(0, 0, 0, refused, failed), total_histogram=Histogram(3, offset, counts))


def _times(rng: np.random.Generator, n: int, factor: float = 1.0, sigma: float = 0.7) -> np.ndarray:
    return 2000 * factor * np.exp(rng.normal(0, sigma, n))


def _words(result: Comparison) -> list[tuple[str, str]]:
    return [(finding.path, finding.word) for finding in result.findings]


def test_of_equal_series_no_more_than_the_rate_is_named() -> None:
    # 200 pairs of equal distributions, very unlike each other, as paths are. Where nothing has changed, the false
    # discovery rate is the probability that anything is named at all: 5 % of the runs, and three standard errors.
    rng = np.random.default_rng(11)
    rounds, named = 40, 0
    for _ in range(rounds):
        before: list[Row] = []
        after: list[Row] = []
        for number in range(200):
            mean, sigma = rng.uniform(0.1, 50), rng.uniform(0.05, 1.5)
            share = rng.choice([0, 0.001, 0.05])
            for side in (before, after):
                n = int(rng.choice([3, 20, 200, 2000]))
                errors, failed = (int(rng.binomial(n, share)) for _ in range(2))
                side.append(_row(f"/{number}", _times(rng, n, mean, sigma), errors, failed))
        result = compare(before, after, 0.05)
        assert result.compared == 200
        named += bool(result.findings)
    assert named / rounds <= 0.05 + 3 * (0.05 * 0.95 / rounds) ** 0.5


@pytest.mark.parametrize(
    "sigma", [pytest.param(0.3, marks=pytest.mark.slow), 0.7, pytest.param(1.0, marks=pytest.mark.slow)]
)
def test_twenty_percent_at_two_thousand_requests_are_found_among_two_hundred_paths(sigma: float) -> None:
    rng = np.random.default_rng(3)
    found, wrong = [], []
    for _ in range(40):
        before = [_row(f"/{number}", _times(rng, 2000, sigma=sigma)) for number in range(200)]
        after = [_row(f"/{n}", _times(rng, 2000, 1.2 if n < 10 else 1.0, sigma)) for n in range(200)]
        result = compare(before, after, 0.05)
        named = {finding.path for finding in result.findings}
        found.append(sum(f"/{number}" in named for number in range(10)) / 10)
        wrong.append(sum(int(path[1:]) >= 10 for path in named) / len(named))
        first = result.findings[0]
        assert (first.kind, first.word) == ("latency", "slower")
        assert first.factor is not None
        assert first.factor.low < first.factor.value < first.factor.high
    assert np.mean(found) > 0.95
    # Of what is named 5 % may be wrong, in the mean of many runs: these, with three standard errors of their mean.
    assert np.mean(wrong) - 3 * np.std(wrong) / len(wrong) ** 0.5 <= 0.05


def test_errors_from_a_thousandth_to_a_hundredth_are_found() -> None:
    rng = np.random.default_rng(4)
    before = [_row(f"/{n}", _times(rng, 4000), errors=4, failed=4) for n in range(50)]
    after = [_row(f"/{n}", _times(rng, 4000), errors=40 if n == 7 else 4, failed=0 if n == 8 else 4) for n in range(50)]
    result = compare(before, after)
    assert _words(result) == [("/7", "more errors")]
    finding = result.findings[0]
    assert (finding.before.value, finding.after.value, finding.factor) == (0.001, 0.01, None)
    assert finding.before.low < 0.001 < finding.before.high < finding.after.low
    back = compare(after, before)
    assert _words(back) == [("/7", "fewer errors")]


def test_client_errors_and_tails_have_words_of_their_own() -> None:
    rng = np.random.default_rng(6)
    slow = _times(rng, 3000)
    slow[:90] *= 30
    before = [_row("/tail", _times(rng, 3000)), _row("/4xx", _times(rng, 3000), refused=3)]
    after = [_row("/tail", slow), _row("/4xx", _times(rng, 3000), refused=300)]
    named = _words(compare(before, after))
    assert ("/tail", "slower tail") in named
    assert ("/4xx", "more 4xx") in named
    assert ("/4xx", "slower") not in named


def test_a_change_within_a_bucket_is_named_as_such_and_comes_last() -> None:
    rng = np.random.default_rng(8)
    before = [_row("/a", _times(rng, 300_000)), _row("/b", _times(rng, 3000))]
    after = [_row("/a", _times(rng, 300_000, 1.03)), _row("/b", _times(rng, 3000, 2.0))]
    result = compare(before, after)
    assert [finding.path for finding in result.findings if finding.within_a_bucket][:1] == ["/a"]
    assert result.findings[-1].path == "/a"
    factor = next(finding.factor for finding in result.findings if (finding.path, finding.kind) == ("/a", "latency"))
    assert factor is not None
    assert 1.0 < factor.low < 1.03 < factor.high < 1.06


def test_counts_that_can_say_nothing_are_not_tested() -> None:
    rng = np.random.default_rng(9)
    few = [_row("/a", _times(rng, 3)), _row("/b", _times(rng, 4))]
    assert compare(few, few).tests == 1  # ranks of 4 and 4: 2 of 70 orders are as extreme
    assert compare([_row("/a", _times(rng, 3))], [_row("/a", _times(rng, 3))], 0.5).tests == 1
    assert compare([], []).findings == ()


def test_what_only_one_has_is_listed() -> None:
    rng = np.random.default_rng(9)
    result = compare([_row("/a", _times(rng, 3)), _row("/b", _times(rng, 3))], [_row("/b", _times(rng, 3))])
    assert (result.only_before, result.only_after, result.compared) == (("/a",), (), 1)


def test_a_later_snapshot_less_an_earlier_one_is_what_came_between() -> None:
    rng = np.random.default_rng(10)
    early, more = _times(rng, 500), _times(rng, 300, 3.0)
    late = _row("/a", np.concatenate([early, more]), errors=9)
    (left,) = minus([late], [_row("/a", early, errors=4)])
    alone = _row("/a", more, errors=5)
    assert (left.requests, left.errors) == (300, 5)
    assert compare([left], [alone]).findings == ()
    trimmed = [count for count in left.total_histogram.counts if count]
    assert trimmed == [count for count in alone.total_histogram.counts if count]
    # Not quite in order: never less than nothing.
    assert minus([_row("/a", early)], [late])[0].requests == 0
    assert minus([late], []) == (late,)


def test_histograms_of_another_scale_are_refused() -> None:
    row = _row("/a", np.full(9, 1000.0))
    other = row._replace(total_histogram=Histogram(4, 0, (9,)))
    with pytest.raises(ValueError, match="scale 4"):
        compare([row], [other])
