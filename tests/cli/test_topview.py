"""The screen as lines, at every size."""

from __future__ import annotations

import pytest

from weir.cli.answers import answer_of, status_of
from weir.cli.feed import Update
from weir.cli.table import plain
from weir.cli.topstate import Top
from weir.cli.topview import HEAD_LINES, draw
from weir.cli.units import width_of

STATUS = status_of(
    {
        "version": "1.2",
        "started": "2026-11-24T20:00:00Z",
        "taken": "2026-11-24T22:00:00Z",
        "workers": [{"downstreamConnections": "12", "exchanges": "3"}, {"downstreamConnections": "8"}],
        "endpoints": [{"open": "5", "idle": "4", "waiting": "2"}],
        "table": {"rows": 4096, "rowsTaken": 77},
    }
)


def _top(paths: int = 40, **fields: str) -> Top:
    series = [
        {
            "route": "main",
            "path": f"/日本/{n}/" + "x" * 90,
            "requests": "10",
            "errors": "1",
            "total": {"count": "10", "p50Us": 1000, "p99Us": 9000},
        }
        for n in range(paths)
    ]
    total = {"requests": "400", "requestsPerSecond": 200.0, "errors": "4", "responseBodyBytes": "4096"}
    total_times = {"total": {"count": "400", "p50Us": 1500, "p99Us": 95000}}
    others = [{"route": "main", "requests": "3", "share": 0.5, "distinctPaths": "70", "distinctRelativeError": 0.02}]
    moments = {"since": "2026-11-24T22:00:00Z", "taken": "2026-11-24T22:00:02Z"}
    message = {"series": series, "total": total | total_times, "matched": paths, "others": others, **moments}
    top = Top(**fields)  # type: ignore[arg-type]
    top.take(Update(top.asked, answer_of(message), STATUS, ""))
    return top


def _lines(top: Top, width: int = 100, height: int = 20) -> list[str]:
    return plain(draw(top, "127.0.0.1:8079", width, height))


def test_the_head_says_what_passes() -> None:
    lines = _lines(_top())
    assert lines[0].startswith("weir 1.2  127.0.0.1:8079  up 2.00h")
    assert lines[0].endswith("every 1s")
    assert lines[1] == "requests 200/s  errors 2/s  5xx 0/s  sent 2.00K/s  p50 1.50ms  p99 95.0ms"
    assert lines[2] == (
        "workers 2  connections 20, 3 in progress  upstream 5 open, 4 idle, 2 waiting  series 77 of 4096"
    )
    assert lines[3] == "(other): 50 % of the requests, of about 70 distinct paths (+-2.0 %)"
    assert lines[4].split()[0] == "COUNT"
    assert lines[-1].startswith("?help")


@pytest.mark.parametrize("size", [(1, 1), (10, 3), (24, 5), (40, 8), (80, 24), (132, 50), (300, 100)])
@pytest.mark.parametrize("keys", ["", "?", "\n", "/abc", " "])
def test_every_size_is_filled_and_nothing_sticks_out(size: tuple[int, int], keys: str) -> None:
    top = _top()
    for key in keys:
        top.key(key)
    if top.path is not None:
        top.answer = _top(1).answer
    lines = draw(top, "https://weir.example:8079/a/very/long/prefix", *size)
    assert len(lines) == size[1]
    widths = [width_of(text) for text in plain(lines)]
    assert max(widths) <= size[0]


def test_the_chosen_series_is_marked_and_stays_on_the_screen() -> None:
    top = _top()
    draw(top, "x", 100, 12)
    assert top.height == 12 - HEAD_LINES - 2
    for _ in range(9):
        top.key("KEY_DOWN")
    marked = [line for line in draw(top, "x", 100, 12) if any(style == "chosen" for _text, style in line)]
    assert len(marked) == 1
    assert "/9/" in plain(marked)[0]


def test_what_is_wrong_what_is_typed_and_what_is_chosen_is_said() -> None:
    top = _top(contains="日", route="main", prefix="/a")
    assert "only route main, paths that begin with /a, paths with 日 in them" in _lines(top, 200)[3]
    for key in "/x":
        top.key(key)
    assert _lines(top)[3] == "/日x_"
    top.key("\x1b")
    top.take(Update(top.asked, None, None, "nothing listens at x\x1b[2J"))
    assert _lines(top)[3] == "nothing listens at x\\x1B[2J"
    top.key(" ")
    assert _lines(top)[0].endswith("PAUSED")


def test_before_the_first_answer_and_without_series() -> None:
    assert "waiting for the first answer" in _lines(Top())[1]
    assert "nothing has passed" in _lines(_top(0))[5]
    top = _top()
    top.key("\n")
    top.answer = _top(0).answer
    assert "nothing has passed since" in _lines(top)[5]
    top.answer = None
    assert _lines(top)[4] == ""


def test_a_long_detail_scrolls_and_stops_at_its_end() -> None:
    top = _top()
    top.key("\n")
    top.answer = _top(1).answer
    first = _lines(top, 100, 10)[HEAD_LINES]
    for _ in range(200):
        top.key("KEY_DOWN")
    last = _lines(top, 100, 10)
    assert first not in last
    assert last[-2] != ""
