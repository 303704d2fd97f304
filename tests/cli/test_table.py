"""The table of series."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest

from weir.cli.answers import Answer, answer_of
from weir.cli.table import COLUMNS, SORTS, ansi, other_lines, plain, table
from weir.cli.units import width_of


def _series(path: str, route: str = "main", **fields: Any) -> dict[str, Any]:
    return {
        "route": route,
        "path": path,
        "requests": "12345",
        "requestsPerSecond": 20.5,
        "responseBodyBytes": "1048576",
        "ledger": {"queueUs": "1", "dataUs": "999", "totalUs": "1000"},
        "total": {"count": "12345", "p50Us": 1500, "p90Us": 2500, "p99Us": 90_000},
        **fields,
    }


def _answer(*series: dict[str, Any], **fields: Any) -> Answer:
    return answer_of({"series": list(series), "total": _series(""), "matched": len(series), **fields})


def test_figures_stand_under_their_headings() -> None:
    lines = plain(table(_answer(_series("/a", errors="7", status={"serverError": "3"}), _series("/bb")), None))
    times = "1.50ms  2.50ms  90.0ms     -     -    0  0.1    0    0   99"
    assert lines == [
        "COUNT  RATE/s  BYTES  AVG  ERR  5xx     P50     P90     P99  FB50  FB99  TR%  Tw%  Tc%  Tr%  Td%  PATH",
        f"12.3k    20.5  1.00M   85    7    3  {times}  /a",
        f"12.3k    20.5  1.00M   85    0    0  {times}  /bb",
        f"12.3k    20.5  1.00M   85    0    0  {times}  all of these",
    ]


@pytest.mark.parametrize("width", [10, 20, 40, 60, 80, 100, 120, 200])
def test_a_table_fits_and_keeps_the_ends_of_paths(width: int) -> None:
    path = "/a/very/long/path/with/many/parts/日本語/" + "x" * 60 + "/end"
    lines = plain(table(_answer(_series(path), _series("/b")), width))
    assert max(width_of(line) for line in lines) <= width
    if width >= 40:
        assert "COUNT" in lines[0]
        assert "/a/" in lines[1]
        assert lines[1].endswith("/end")
        assert ".." in lines[1]
    if width >= 80:
        assert "P99" in lines[0]


def test_what_is_less_important_goes_first() -> None:
    headings = [plain(table(_answer(_series("/" + "x" * 40)), width))[0].split() for width in range(30, 180)]
    for narrow, wide in pairwise(headings):
        assert set(narrow) <= set(wide)
    assert headings[0] == ["PATH"]
    assert len(headings[-1]) == len(COLUMNS) + 1


def test_routes_are_named_where_there_are_several_and_paths_are_harmless() -> None:
    lines = plain(table(_answer(_series("/a\x1b[2J"), _series("/b", route="api", truncated=True)), None))
    assert lines[1].endswith("  main /a\\x1B[2J")
    assert lines[2].endswith("  api /b..")


def test_styles_say_what_is_sorted_and_what_went_wrong() -> None:
    lines = table(_answer(_series("/a", errors="7")), None, sort="p99")
    assert ("P99", "sort") in lines[0]
    assert [text.strip() for text, style in lines[1] if style == "bad"] == ["7"]
    coloured = ansi(lines)
    assert "\x1b[31m" in coloured[1]
    assert "\x1b[1;7mP99\x1b[0m" in coloured[0]
    for column in COLUMNS:
        assert not column.sort or column.sort in SORTS


def test_an_empty_table_has_a_heading() -> None:
    assert len(table(answer_of({}), 80, total=False)) == 1


def test_what_other_stands_for_is_said() -> None:
    others = [
        {"route": "main", "requests": "250", "share": 0.25, "distinctPaths": "53000", "distinctRelativeError": 0.016},
        {"route": "api"},
    ]
    assert other_lines(_answer(_series("/a"), others=others)) == [
        "(other): 25 % of the requests, of about 53.0k distinct paths (+-1.6 %)"
    ]
