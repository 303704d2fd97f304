"""Moments and times as messages."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from weir.client import Sort
from weir.client.questions import duration, sort_of, timestamp


@given(st.timedeltas(timedelta(days=-3000), timedelta(days=3000)))
def test_durations_come_back(time: timedelta) -> None:
    assert duration(time).to_timedelta() == time
    assert duration(time.total_seconds()).to_seconds() == pytest.approx(time.total_seconds(), abs=1e-6)


@given(st.datetimes(datetime(1980, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC)))
def test_moments_come_back(moment: datetime) -> None:
    assert timestamp(moment).to_datetime() == moment
    assert timestamp(moment.timestamp()).to_datetime() - moment < timedelta(milliseconds=1)


@pytest.mark.parametrize("word", ["p99", "P99", Sort.P99])
def test_orders(word: str | Sort) -> None:
    assert sort_of(word) is Sort.P99


def test_an_order_that_is_none_names_those_that_are() -> None:
    with pytest.raises(ValueError, match="first_byte_p99"):
        sort_of("latency")
