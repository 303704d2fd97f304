"""Durations, sizes and ratios: what is read, what is refused, and what is said then."""

from __future__ import annotations

import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from weir.config.errors import ConfigError
from weir.config.units import format_duration, format_size, kind_of, parse_duration, parse_ratio, parse_size

YEAR_MS = 365 * 24 * 3_600_000


def refusal(error: pytest.ExceptionInfo[ConfigError]) -> str:
    (problem,) = error.value.problems
    return f"{problem.message}; {problem.hint}"


@pytest.mark.parametrize(
    ("text", "ms"),
    [
        ("100ms", 100),
        ("10s", 10_000),
        ("5m", 300_000),
        ("1h", 3_600_000),
        ("1h30m", 5_400_000),
        ("1m30s", 90_000),
        ("1h2m3s4ms", 3_723_004),
        ("1s500ms", 1_500),
        ("90s", 90_000),
        ("0s", 0),
        ("007s", 7_000),
    ],
)
def test_durations(text: str, ms: int) -> None:
    assert parse_duration(text) == ms


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (10, 'a duration needs its unit, found 10; write "10s" or "10ms"'),
        (1.5, 'a duration needs its unit, found 1.5; write "1.5s" or "1.5ms"'),
        ("10", '"10" is not a duration; write "10s" or "10ms"'),
        ("10 s", '"10 s" is not a duration; write "10s"'),
        ("10S", '"10S" is not a duration; write "10s"'),
        ("10sec", '"10sec" is not a duration; write "10s"'),
        ("5 minutes", '"5 minutes" is not a duration; write "5m"'),
        ("2d", '"2d" is not a duration; write "48h"'),
        ("1s\n", '"1s\\u000A" is not a duration; write "1s"'),
        (True, 'wanted a duration, found a boolean; for example "10s"'),
        ([], 'wanted a duration, found an array; for example "10s"'),
    ],
)
def test_refused_durations(value: object, said: str) -> None:
    with pytest.raises(ConfigError) as error:
        parse_duration(value)
    assert refusal(error) == said


@pytest.mark.parametrize(
    "text", ["", "s", "-1s", "1.5s", "30m1h", "1s1s", "1ms1s", "\uff11s", "1_000s", "9" * 30 + "s"]
)
def test_other_texts_are_no_durations(text: str) -> None:
    with pytest.raises(ConfigError) as error:
        parse_duration(text)
    assert refusal(error).endswith('"10s", "100ms", "1h30m"')


@given(st.integers(0, YEAR_MS))
def test_duration_round_trip(ms: int) -> None:
    assert parse_duration(format_duration(ms)) == ms


@given(st.integers(0, 999), st.integers(0, 999), st.integers(0, 999), st.integers(0, 999))
def test_duration_is_the_sum_of_its_parts(h: int, m: int, s: int, ms: int) -> None:
    assert parse_duration(f"{h}h{m}m{s}s{ms}ms") == ((h * 60 + m) * 60 + s) * 1000 + ms


@given(st.text(max_size=30))
def test_any_text_is_read_or_refused(text: str) -> None:
    for parse in (parse_duration, parse_size, parse_ratio):
        said = ""
        try:
            assert parse(text) >= 0
        except ConfigError as error:
            said = str(error)
        assert "\n" not in said


@pytest.mark.parametrize(
    ("value", "size"),
    [
        (512, 512),
        (0, 0),
        ("512B", 512),
        ("32KiB", 32_768),
        ("1MiB", 1_048_576),
        ("3GiB", 3 << 30),
        ("2TiB", 2 << 40),
        ("64KB", 64_000),
        ("1MB", 1_000_000),
        ("1GB", 10**9),
        ("1TB", 10**12),
    ],
)
def test_sizes(value: object, size: int) -> None:
    assert parse_size(value) == size


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("64k", '"64k" is not a size; write "64KiB"'),
        ("64 KiB", '"64 KiB" is not a size; write "64KiB"'),
        ("1m", '"1m" is not a size; write "1MiB"'),
        ("1MiB\n", '"1MiB\\u000A" is not a size; write "1MiB"'),
        ("64kb", '"64kb" is not a size; write "64KiB"'),
        ("4096", '"4096" is not a size; write 4096 without quotes for bytes, or "4096KiB"'),
        (1.5, 'wanted a size, found a number with a fraction; for example "32KiB", or 32768 for bytes'),
        (False, 'wanted a size, found a boolean; for example "32KiB", or 32768 for bytes'),
        ({}, 'wanted a size, found a table; for example "32KiB", or 32768 for bytes'),
    ],
)
def test_refused_sizes(value: object, said: str) -> None:
    with pytest.raises(ConfigError) as error:
        parse_size(value)
    assert refusal(error) == said


@pytest.mark.parametrize("text", ["", "KiB", "-1KiB", "1.5MiB", "1PiB", "9" * 30 + "B"])
def test_other_texts_are_no_sizes(text: str) -> None:
    with pytest.raises(ConfigError) as error:
        parse_size(text)
    assert "write a whole number with its unit" in refusal(error)


@given(st.integers(0, 1 << 50))
def test_size_round_trip(size: int) -> None:
    assert parse_size(format_size(size)) == size


@pytest.mark.parametrize(
    ("size", "shown"), [(0, 0), (1_000, 1_000), (1_024, "1KiB"), (1 << 20, "1MiB"), (3 << 40, "3TiB")]
)
def test_sizes_are_shown_in_their_largest_unit(size: int, shown: object) -> None:
    assert format_size(size) == shown


@pytest.mark.parametrize(
    ("value", "percent"), [("0%", 0), ("20%", 20), ("100%", 100), (0.2, 20), (0.29, 29), (1.0, 100), (0.0, 0)]
)
def test_ratios(value: object, percent: int) -> None:
    assert parse_ratio(value) == percent


@given(st.integers(0, 100))
def test_ratio_spellings_agree(percent: int) -> None:
    assert parse_ratio(percent / 100) == parse_ratio(f"{percent}%") == percent


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (20, '20 could be percent or a fraction; write "20%"'),
        (200, '200 could be percent or a fraction; write "20%"'),
        ("101%", '"101%" is not a ratio; write whole percent from "0%" to "100%"'),
        ("12.5%", '"12.5%" is not a ratio; write whole percent from "0%" to "100%"'),
        ("20", '"20" is not a ratio; write whole percent from "0%" to "100%"'),
        (0.125, '0.125 is not a ratio of 0.00 to 1.00 in whole percent; write "20%" or 0.2'),
        (1.5, '1.5 is not a ratio of 0.00 to 1.00 in whole percent; write "20%" or 0.2'),
        (float("nan"), 'nan is not a ratio of 0.00 to 1.00 in whole percent; write "20%" or 0.2'),
        (float("inf"), 'inf is not a ratio of 0.00 to 1.00 in whole percent; write "20%" or 0.2'),
        (True, 'wanted a ratio, found a boolean; for example "20%" or 0.2'),
    ],
)
def test_refused_ratios(value: object, said: str) -> None:
    with pytest.raises(ConfigError) as error:
        parse_ratio(value)
    assert refusal(error) == said


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (True, "a boolean"),
        (1, "a whole number"),
        (1.0, "a number with a fraction"),
        ("", "a string"),
        ([], "an array"),
        ({}, "a table"),
        (datetime.date(2020, 1, 1), "a date or time"),
    ],
)
def test_kinds_of_values(value: object, words: str) -> None:
    assert kind_of(value) == words
