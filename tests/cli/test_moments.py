"""Moments, durations and spans, as they are typed."""

from __future__ import annotations

from datetime import datetime

import pytest

from weir.cli.moments import clock_text, parse_duration, parse_interval, parse_moment, parse_since, parse_span

NOW = datetime(2026, 11, 24, 21, 30, 15).astimezone().timestamp()


@pytest.mark.parametrize(
    ("text", "seconds"), [("90s", 90), ("1h30m", 5400), ("2d", 172800), ("1.5m", 90), ("500ms", 0.5)]
)
def test_durations(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["", "5", "m", "5x", "5m3", "0s", "-5m", "999999w", "5 m", "\u0665m"])
def test_what_is_no_duration(text: str) -> None:
    with pytest.raises(ValueError):
        parse_duration(text)


@pytest.mark.parametrize(
    ("text", "ago"),
    [
        ("now", 0),
        ("15m", 900),
        ("-15m", 900),
        ("21:30", 15),
        ("21:30:05", 10),
        ("22:00", 84615),
        ("2026-11-24T21:00", 1815),
    ],
)
def test_moments(text: str, ago: float) -> None:
    assert NOW - parse_moment(text, NOW) == ago


def test_a_moment_with_a_zone_is_of_that_zone() -> None:
    assert parse_moment("2020-01-01T00:00:00+00:00") == parse_moment("2020-01-01T01:00:00+01:00") == 1577836800


@pytest.mark.parametrize("text", ["", "soon", "25:00", "21:61", "2027-01-01", "1960-01-01", "2026-13-01", "5"])
def test_what_is_no_moment(text: str) -> None:
    with pytest.raises(ValueError):
        parse_moment(text, NOW)


def test_spans() -> None:
    assert parse_span("-2h..-1h", NOW) == (NOW - 7200, NOW - 3600)
    assert parse_span("2h..", NOW) == parse_span("2h..now", NOW) == (NOW - 7200, None)
    for text in ("2h", "1h..2h", "..1h", "x..1h"):
        with pytest.raises(ValueError):
            parse_span(text, NOW)


def test_since_is_a_window_or_a_moment() -> None:
    assert parse_since("15m") == {"window": "900.000s"}
    assert parse_since("2020-01-01T00:00:00Z") == {"since": "2020-01-01T00:00:00.000000Z"}
    with pytest.raises(ValueError, match="no moment"):
        parse_since("yesterday")


def test_intervals() -> None:
    assert [parse_interval(text) for text in ("2", "0.5", "500ms", "1m")] == [2, 0.5, 0.5, 60]
    for text in ("0.1", "2h", "", "x"):
        with pytest.raises(ValueError):
            parse_interval(text)


def test_a_moment_of_long_ago_has_its_date() -> None:
    assert clock_text(parse_moment("2020-01-02T03:04:05")) == "2020-01-02 03:04:05"
    assert len(clock_text(parse_moment("1m"))) == 8
