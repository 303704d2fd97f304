"""What each key does, and what updates do."""

from __future__ import annotations

import pytest

from weir.cli.answers import Answer, Row, Status, answer_of, status_of
from weir.cli.feed import Update
from weir.cli.table import SORTS
from weir.cli.topstate import INTERVALS, SORT_KEYS, Top

STATUS: Status = status_of({"version": "1"})


def _answer(paths: int, requests: int = 5) -> Answer:
    series = [
        {
            "route": "main",
            "path": f"/{n}",
            "requests": str(requests),
            "errors": "1",
            "reasons": [{"reason": "upstream_reset", "count": "1"}],
            "ledger": {"dataUs": "100", "totalUs": "100"},
            "totalHistogram": {"scale": 3, "offset": 80, "counts": [str(requests)]},
        }
        for n in range(paths)
    ]
    moments = {"since": "2026-11-24T22:00:00Z", "taken": "2026-11-24T22:00:02Z"}
    return answer_of({"series": series, "total": {}, "matched": paths, **moments})


def _top(paths: int = 100) -> Top:
    top = Top(height=10)
    _update(top, paths)
    return top


def _update(top: Top, paths: int = 100, *, first: bool = False) -> None:
    top.take(Update(top.asked, _answer(paths), STATUS, "", first))


def _press(top: Top, *keys: str) -> Top:
    for key in keys:
        top.key(key)
    return top


def _gathered(top: Top) -> Row | None:
    return top.gathered


def test_the_cursor_moves_and_the_table_scrolls_with_it() -> None:
    top = _top()
    assert (_press(top, "KEY_DOWN", "j").cursor, top.offset) == (2, 0)
    assert (_press(top, "KEY_NPAGE").cursor, top.offset) == (12, 3)
    assert (_press(top, "KEY_END").cursor, top.offset) == (99, 90)
    assert (_press(top, "KEY_NPAGE").cursor, top.offset) == (99, 90)
    assert (_press(top, "KEY_PPAGE", "k").cursor, top.offset) == (88, 88)
    assert (_press(top, "KEY_HOME", "KEY_UP").cursor, top.offset) == (0, 0)
    _press(top, "KEY_END")
    _update(top, 3)
    assert (top.cursor, top.offset) == (2, 2)
    _update(top, 0)
    assert (top.cursor, top.offset) == (0, 0)


def test_more_is_asked_for_when_the_end_comes_near() -> None:
    top = _top()
    assert top.asked.limit == 100
    assert _press(top, "KEY_END").asked.limit == 200


@pytest.mark.parametrize(("key", "sort"), SORT_KEYS.items())
def test_a_letter_sorts(key: str, sort: str) -> None:
    top = _press(_top(), "KEY_END", key)
    assert (top.sort, top.cursor, top.asked.sort) == (sort, 0, SORTS[sort])


def test_the_column_of_the_order_is_moved_round() -> None:
    top = _top()
    seen = []
    for _ in range(20):
        seen.append(_press(top, ">").sort)
    assert seen[0] == "bytes"
    assert set(seen) >= {"count", "p50", "p99", "path", "errors"}
    assert _press(_top(), "<").sort == "path"
    assert _press(_top(), "KEY_F(6)").sort == "bytes"
    assert _press(_top(), "t", ">").sort in SORTS
    assert _press(_top(), "r").asked.reverse


def test_a_filter_is_typed() -> None:
    top = _press(_top(), "/", "a", "q", "b", "KEY_BACKSPACE")
    assert (top.editing, top.contains, top.ended) == ("aq", "", False)
    assert _press(top, "\n").asked.chosen == {"contains": "aq"}
    assert _press(top, "/", "x", "\x1b").contains == "aq"
    assert _press(top, "/", "\x15", "z", "\r").contains == "z"
    assert _press(top, "\x1b").asked.chosen == {}
    assert len(_press(top, "/", *"x" * 500, "KEY_LEFT").editing or "") == 200


def test_one_series_is_watched_and_summed_up() -> None:
    top = _press(_top(), "KEY_DOWN", "\n")
    assert top.asked.chosen == {"route": "main", "path": "/1"}
    assert (top.asked.limit, top.asked.histograms) == (1, True)
    _update(top, 1, first=True)
    assert _gathered(top) is None
    for _ in range(3):
        _update(top, 1)
    row = _gathered(top)
    assert row is not None
    assert (row.requests, row.errors, top.gathered_s) == (15, 3, 6.0)
    assert row.reasons == (("upstream_reset", 3),)
    assert row.total.samples == sum(row.total_histogram.counts) == 15
    assert row.ledger.total_us == 300
    assert _press(top, "KEY_DOWN", "KEY_DOWN", "KEY_UP").scroll == 1
    _press(top, "q")
    assert (top.path, top.ended) == (None, False)
    _press(top, "\n")
    assert top.path is None  # until there is a table again


def test_q_leaves_one_series_and_capital_q_the_program() -> None:
    assert not _press(_top(), "KEY_RIGHT", "q").ended
    assert _press(_top(), "KEY_RIGHT", "Q").ended


def test_a_pause_holds_the_picture_but_not_what_is_wrong() -> None:
    top = _press(_top(5), " ")
    _update(top, 9)
    assert len(top.rows) == 5
    top.take(Update(top.asked, None, None, "nothing listens"))
    assert (top.problem, len(top.rows)) == ("nothing listens", 5)
    _press(top, " ")
    _update(top, 9)
    assert (top.problem, len(top.rows)) == ("", 9)


def test_an_answer_to_another_question_is_not_shown() -> None:
    top = _top(5)
    late = Update(top.asked, _answer(9), STATUS, "")
    _press(top, "e")
    top.take(late)
    assert len(top.rows) == 5


def test_intervals_become_longer_and_shorter_within_bounds() -> None:
    top = _top()
    for _ in range(20):
        _press(top, "-")
    assert top.asked.interval == INTERVALS[-1]
    for _ in range(20):
        _press(top, "+")
    assert top.asked.interval == INTERVALS[0]
    top.interval = 3.0
    assert _press(top, "-").interval == 5.0


def test_help_and_the_end() -> None:
    top = _press(_top(), "?")
    assert top.help
    assert not _press(top, "q").help
    assert not top.ended
    assert _press(top, "KEY_F(10)").ended
    assert _press(_top(), "q").ended


@pytest.mark.parametrize("key", ["KEY_MOUSE", "KEY_RESIZE", "\x00", "é", "KEY_F(2)"])
def test_keys_without_a_meaning_do_nothing(key: str) -> None:
    top, other = _top(), _top()
    assert _press(top, key) == other
