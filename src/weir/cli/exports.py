"""Series for programs: JSON and CSV, in whole numbers of bytes and microseconds, with nothing left out."""

from __future__ import annotations

import csv
import io
import json
from typing import Any, Final

from weir.cli.answers import LEDGER_PARTS, STATUS_CLASSES, Answer, Quantiles, Row
from weir.cli.units import shown

__all__ = ["CSV_COLUMNS", "csv_lines", "json_lines", "record"]

QUANTILES: Final = ("mean_us", "p50_us", "p90_us", "p99_us", "p999_us")

CSV_COLUMNS: Final = (
    *("since", "taken", "route", "path", "other", "truncated", "requests", "requests_per_second"),
    *("response_body_bytes", "request_body_bytes", "errors", "retries"),
    *(f"status_{word}" for word, _field in STATUS_CLASSES),
    *(f"total_{word}" for word in QUANTILES),
    *(f"first_byte_{word}" for word in QUANTILES),
    *(f"{word}_us" for word, _field, _meaning in LEDGER_PARTS),
    "Ta_us",
)


def record(row: Row) -> dict[str, Any]:
    """A series as plain JSON: numbers are numbers, and what is zero is there."""
    return {
        "route": row.route,
        "path": row.path,
        "other": row.other,
        "truncated": row.truncated,
        "requests": row.requests,
        "requests_per_second": row.rate,
        "response_body_bytes": row.response_bytes,
        "request_body_bytes": row.request_bytes,
        "status": {word: count for (word, _field), count in zip(STATUS_CLASSES, row.statuses, strict=True)},
        "errors": row.errors,
        "reasons": dict(row.reasons),
        "retries": row.retries,
        "ledger_us": {
            **{word: sum_us for (word, _field, _meaning), sum_us in zip(LEDGER_PARTS, row.ledger.parts, strict=True)},
            "Ta": row.ledger.total_us,
        },
        "total": row.total._asdict(),
        "first_byte": row.first_byte._asdict(),
        **{
            name: {"scale": histogram.scale, "offset": histogram.offset, "counts": histogram.counts}
            for name, histogram in (
                ("total_histogram", row.total_histogram),
                ("first_byte_histogram", row.first_byte_histogram),
            )
            if histogram.counts
        },
    }


def json_lines(answer: Answer, *, compact: bool = False) -> list[str]:
    """The whole answer as one JSON object; `compact` puts it on one line. ASCII: nothing in it moves a terminal."""
    whole = {
        "since": iso(answer.since),
        "taken": iso(answer.taken),
        "matched": answer.matched,
        "relative_error": answer.relative_error,
        "total": record(answer.total),
        "series": [record(row) for row in answer.rows],
        "others": [other._asdict() for other in answer.others],
    }
    return [json.dumps(whole, indent=None if compact else 2)]


def csv_lines(answer: Answer, *, heading: bool = True) -> list[str]:
    """A line for each series, behind one with CSV_COLUMNS."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    if heading:
        writer.writerow(CSV_COLUMNS)
    since, taken = iso(answer.since), iso(answer.taken)
    for row in answer.rows:
        writer.writerow(
            [
                *(since, taken, shown(row.route), shown(row.path), int(row.other), int(row.truncated), row.requests),
                *(f"{row.rate:.6g}", row.response_bytes, row.request_bytes, row.errors, row.retries, *row.statuses),
                *quantile_cells(row.total),
                *quantile_cells(row.first_byte),
                *(*row.ledger.parts, row.ledger.total_us),
            ]
        )
    return out.getvalue().splitlines()


def quantile_cells(times: Quantiles) -> list[str]:
    return [f"{getattr(times, word):.1f}" if times.samples else "" for word in QUANTILES]


def iso(seconds: float) -> str:
    from weir.cli.answers import moment_text

    return moment_text(seconds)
