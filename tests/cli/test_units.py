"""Figures and texts in a terminal."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from weir.cli.units import bytes_text, count_text, elided, fitted, percent_text, shown, time_text, width_of


@pytest.mark.parametrize(
    ("value", "count", "size"),
    [
        (0, "0", "0"),
        (0.25, "0.25", "0"),
        (7, "7", "7"),
        (9999, "9999", "9.76K"),
        (10_000, "10.0k", "9.77K"),
        (999_499, "999k", "976K"),
        (999_501, "1.00M", "976K"),
        (1023 * 1024, "1.05M", "1.00M"),
        (4.56e9, "4.56G", "4.25G"),
    ],
)
def test_counts_and_bytes(value: float, count: str, size: str) -> None:
    assert (count_text(value), bytes_text(value)) == (count, size)


@pytest.mark.parametrize(
    ("us", "text"),
    [
        (0, "0"),
        (0.5, "0.5us"),
        (87, "87us"),
        (999.4, "999us"),
        (999.6, "1.00ms"),
        (45_600, "45.6ms"),
        (1.234e6, "1.23s"),
        (99.96e6, "1.67m"),
        (7.2e9, "2.00h"),
    ],
)
def test_times(us: float, text: str) -> None:
    assert time_text(us) == text


def test_shares_say_nothing_and_all_only_when_it_is_so() -> None:
    shares = (0, 1e-6, 0.004, 0.0999, 0.42, 0.9949, 0.99999, 1)
    assert [percent_text(share) for share in shares] == ["0", "<0.1", "0.4", "10", "42", "99", "99", "100"]


@given(st.floats(0, 1e18))
def test_figures_keep_to_their_columns(value: float) -> None:
    assert len(count_text(value)) <= 5
    assert len(bytes_text(value)) <= 5
    assert len(time_text(min(value, 3e13))) <= 6


@given(st.text())
def test_what_is_shown_moves_no_terminal(text: str) -> None:
    assert shown(text).isprintable()


def test_what_is_escaped_is_the_bytes() -> None:
    assert shown("/a\x1b[2J\u202e\udcff") == r"/a\x1B[2J\xE2\x80\xAE\xED\xB3\xBF"
    assert shown("/läuft\\x1B") == "/läuft\\x1B"


@given(st.text(st.sampled_from("ab/日é\u0301🙂")), st.integers(0, 12))
def test_an_elided_text_keeps_to_its_width_and_both_ends(text: str, width: int) -> None:
    short = elided(text, width)
    assert width_of(short) <= width
    assert short == text or ".." in short or width < 2
    assert width_of(fitted(text, width)) <= width


def test_the_middle_is_left_out() -> None:
    assert elided("/a/very/long/path/to/item", 13) == "/a/ver../item"
