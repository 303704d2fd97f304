"""One series in full."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from weir.cli.answers import Histogram, Row, row_of
from weir.cli.detail import bar, bucket_rows, detail, merged, quantiles_of
from weir.cli.table import plain
from weir.cli.units import width_of

histograms = st.builds(
    lambda offset, counts: Histogram(3, offset, tuple(counts)),
    st.integers(0, 100),
    st.lists(st.integers(0, 50), max_size=80),
)


def _row(**fields: object) -> Row:
    return row_of(
        {
            "route": "main",
            "path": "/a",
            "requests": "100",
            "requestsPerSecond": 5.0,
            "responseBodyBytes": "204800",
            "status": {"success": "95", "serverError": "5"},
            "errors": "3",
            "reasons": [{"reason": "upstream_reset", "count": "3"}],
            "ledger": {"queueUs": "25000", "responseHeadUs": "50000", "dataUs": "25000", "totalUs": "100000"},
            "total": {"count": "100", "sumUs": "100000", "meanUs": 1000, "p50Us": 950, "p90Us": 2000, "p99Us": 2100},
            "totalHistogram": {"scale": 3, "offset": 78, "counts": ["60", "0", "40"]},
            **fields,
        }
    )


def test_all_that_is_known_is_there() -> None:
    text = "\n".join(plain(detail(_row(), 20.0, 0.0443)))
    for said in (
        "main /a",
        "100 requests in 20.0s, 5/s",
        "sent 200K, 2.00K each; received 0",
        "status  2xx 95 5xx 5",
        "errors  3 (3.0 %): upstream_reset 3, 0 retries",
        "total       1.00ms   950us  2.00ms  2.10ms",
        "first byte       -       -",
        " w Tw  wait for a connection   250us    25 %",
        " H TR  request head                0     0 %",
        "861us -  939us      60    60 %  ########################################",
        " 1.02ms - 1.12ms      40    40 %  ###########################",
    ):
        assert said in text, text
    bars = [line for line in text.splitlines() if line.startswith("[")]
    assert bars == ["[" + "w" * 15 + "R" * 30 + "=" * 15 + "]"]


def test_nothing_counted_is_said() -> None:
    text = plain(detail(row_of({"path": "/a"}), 0.0, 0.0443))
    assert "status  none" in text
    assert "errors  none, 0 retries" in text


@pytest.mark.parametrize("width", [20, 40, 80])
def test_no_line_is_wider_than_the_terminal(width: int) -> None:
    lines = plain(detail(_row(path="/日本語" * 60), 20.0, 0.0443, width))
    assert max(width_of(line) for line in lines) <= width


@given(histograms)
def test_rows_of_buckets_lose_nothing_and_are_few(histogram: Histogram) -> None:
    rows = bucket_rows(histogram)
    assert sum(count for _low, _high, count in rows) == sum(histogram.counts)
    assert len(rows) <= 16
    assert all(low < high for low, high, _count in rows)
    assert [high for _low, high, _count in rows[:-1]] == [low for low, _high, _count in rows[1:]]
    if rows:
        assert rows[0][2]
        assert rows[-1][2]


@given(histograms, histograms)
def test_merging_adds(one: Histogram, two: Histogram) -> None:
    both = merged(one, two)
    assert sum(both.counts) == sum(one.counts) + sum(two.counts)
    assert bucket_rows(both, 400) == bucket_rows(merged(two, one), 400)


def test_histograms_of_other_grids_are_not_merged() -> None:
    with pytest.raises(ValueError, match="different scales"):
        merged(Histogram(3, 0, (1,)), Histogram(2, 0, (1,)))


def test_quantiles_of_a_histogram() -> None:
    times = quantiles_of(Histogram(3, 80, (50, 0, 50)), 123_000)
    assert (times.samples, times.mean_us) == (100, 1230)
    assert times.p50_us == pytest.approx(2 ** (81 / 8))
    assert 2 ** (82 / 8) < times.p90_us < times.p99_us < 2 ** (83 / 8)


def test_a_bar_shows_what_is_little() -> None:
    assert [bar(share, 10) for share in (0, 1e-9, 0.5, 1)] == ["", "#", "#####", "##########"]
