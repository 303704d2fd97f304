"""Series for programs."""

from __future__ import annotations

import csv
import json

from weir.cli.answers import answer_of
from weir.cli.exports import CSV_COLUMNS, csv_lines, json_lines, record

ANSWER = answer_of(
    {
        "since": "2026-11-24T22:00:00Z",
        "taken": "2026-11-24T22:00:10Z",
        "matched": 1,
        "series": [
            {"route": "main", "path": '/a,"b\x1b\n', "requests": str((1 << 64) - 1), "status": {"success": "5"}}
        ],
        "others": [
            {"route": "main", "requests": "3", "share": 0.5, "distinctPaths": "7", "distinctRelativeError": 0.01}
        ],
    }
)


def test_json_leaves_nothing_out_and_moves_no_terminal() -> None:
    lines = json_lines(ANSWER)
    whole = json.loads("\n".join(lines))
    assert whole["series"][0]["requests"] == (1 << 64) - 1
    assert whole["series"][0]["retries"] == 0
    assert whole["series"][0]["status"] == {"1xx": 0, "2xx": 5, "3xx": 0, "4xx": 0, "5xx": 0}
    assert whole["others"][0]["distinct_paths"] == 7
    assert whole["since"] == "2026-11-24T22:00:00.000000Z"
    assert "\x1b" not in lines[0]
    assert [json.loads(line) for line in json_lines(ANSWER, compact=True)] == [whole]


def test_csv_has_a_place_for_every_column_and_no_line_within_a_line() -> None:
    lines = csv_lines(ANSWER)
    heading, row = csv.reader(lines)
    assert tuple(heading) == CSV_COLUMNS
    assert len(row) == len(CSV_COLUMNS)
    assert row[3] == '/a,"b\\x1B\\x0A'
    assert row[CSV_COLUMNS.index("total_p99_us")] == ""
    assert csv_lines(ANSWER, heading=False) == lines[1:]


def test_a_record_has_histograms_only_if_there_are_any() -> None:
    assert "total_histogram" not in record(ANSWER.rows[0])
