"""The table of series, as lines of pieces of text, for `weir stats` and `weir top` alike.

A line is a list of pieces, each with a style: "" plain, "head" a heading, "sort" the heading that the table is sorted
by, "dim" what is less important, "bad" what went wrong, "bar" a bar. Who prints it decides how a style looks.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

from weir.cli.answers import LEDGER_PARTS, Answer, Row
from weir.cli.units import bytes_text, count_text, elided, fitted, percent_text, shown, time_text, width_of

__all__ = ["COLUMNS", "SORTS", "Column", "Line", "Piece", "ansi", "cut", "fitting", "other_lines", "plain", "table"]

Piece = tuple[str, str]
Line = list[Piece]

# Words of --sort, and what the contract calls them.
SORTS: Final = {
    "count": "SORT_REQUESTS",
    "bytes": "SORT_RESPONSE_BYTES",
    "request-bytes": "SORT_REQUEST_BYTES",
    "average": "SORT_AVERAGE_BYTES",
    "errors": "SORT_ERRORS",
    "error-share": "SORT_ERROR_SHARE",
    "time": "SORT_TIME",
    "mean": "SORT_MEAN",
    "p50": "SORT_P50",
    "p90": "SORT_P90",
    "p99": "SORT_P99",
    "first-byte-p50": "SORT_FIRST_BYTE_P50",
    "first-byte-p99": "SORT_FIRST_BYTE_P99",
    "path": "SORT_PATH",
}

PATH_HEADING: Final = "PATH"
# A path is given so many columns before a column of figures is; fewer only when it is shorter.
PATH_COLUMNS: Final = 28

ANSI: Final = {"head": "1", "sort": "1;7", "dim": "2", "bad": "31", "bar": "36", "good": "32"}


class Column(NamedTuple):
    """A column of figures. `keep`: when the terminal is narrow, the column with the smallest goes first."""

    heading: str
    cell: Callable[[Row], str]
    keep: int
    sort: str = ""


def part_cell(number: int) -> Callable[[Row], str]:
    return lambda row: percent_text(row.ledger.shares()[number]) if row.ledger.total_us else "-"


def time_cell(quantile: str, *, first_byte: bool = False) -> Callable[[Row], str]:
    def cell(row: Row) -> str:
        times = row.first_byte if first_byte else row.total
        return time_text(getattr(times, quantile)) if times.samples else "-"

    return cell


COLUMNS: Final = (
    Column("COUNT", lambda row: count_text(row.requests), 20, "count"),
    Column("RATE/s", lambda row: count_text(row.rate), 15),
    Column("BYTES", lambda row: bytes_text(row.response_bytes), 14, "bytes"),
    Column("AVG", lambda row: bytes_text(row.average_bytes), 10, "average"),
    Column("ERR", lambda row: count_text(row.errors), 18, "errors"),
    Column("5xx", lambda row: count_text(row.statuses[4]), 13),
    Column("P50", time_cell("p50_us"), 17, "p50"),
    Column("P90", time_cell("p90_us"), 11, "p90"),
    Column("P99", time_cell("p99_us"), 19, "p99"),
    Column("FB50", time_cell("p50_us", first_byte=True), 8, "first-byte-p50"),
    Column("FB99", time_cell("p99_us", first_byte=True), 12, "first-byte-p99"),
    *(Column(word + "%", part_cell(number), 1) for number, (word, _name, _text) in enumerate(LEDGER_PARTS)),
)


def table(
    answer: Answer, width: int | None, *, sort: str = "", least: Sequence[int] = (), total: bool = True
) -> list[Line]:
    """The heading, a line for each series, and their sum.

    `width` is the terminal's, None for as wide as it gets. `least` are widths of the columns of COLUMNS that they have
    even if a smaller one would do, so that a live table stands still.
    """
    rows = [*answer.rows, answer.total] if total else list(answer.rows)
    routes = {row.route for row in answer.rows}
    names = [name(row, with_route=len(routes) > 1) for row in answer.rows] + ["all of these"] * total
    cells = [[column.cell(row) for column in COLUMNS] for row in rows]
    widths = [
        max(len(column.heading), 0, *(len(line[number]) for line in cells), *least[number : number + 1])
        for number, column in enumerate(COLUMNS)
    ]
    longest = max((width_of(text) for text in names), default=0)
    chosen = fitting(widths, width, min(longest, PATH_COLUMNS))
    left = None if width is None else width - sum(widths[number] + 2 for number in chosen)
    lines = [heading_line(chosen, widths, sort, left)]
    for row, line, text in zip(rows, cells, names, strict=True):
        style = "dim" if row is answer.total or row.other else ""
        pieces: Line = [
            (line[number].rjust(widths[number]) + "  ", cell_style(number, row, style)) for number in chosen
        ]
        lines.append([*pieces, (text if left is None else elided(text, left), style)])
    return lines


def fitting(widths: Sequence[int], width: int | None, path_columns: int) -> list[int]:
    """Which columns fit beside a path of so many columns; the least important are left out."""
    chosen = list(range(len(widths)))
    if width is None:
        return chosen
    while chosen and sum(widths[number] + 2 for number in chosen) + path_columns > width:
        least = min(COLUMNS[number].keep for number in chosen)
        chosen = [number for number in chosen if COLUMNS[number].keep != least]
    return chosen


def heading_line(chosen: Sequence[int], widths: Sequence[int], sort: str, left: int | None) -> Line:
    pieces: Line = []
    for number in chosen:
        heading = COLUMNS[number].heading
        pieces.append((" " * (widths[number] - len(heading)), "head"))
        pieces.append((heading, "sort" if sort and COLUMNS[number].sort == sort else "head"))
        pieces.append(("  ", "head"))
    pieces.append((PATH_HEADING[: 4 if left is None else max(left, 0)], "sort" if sort == "path" else "head"))
    return pieces


def cell_style(number: int, row: Row, style: str) -> str:
    heading = COLUMNS[number].heading
    wrong = (heading == "ERR" and row.errors) or (heading == "5xx" and row.statuses[4])
    return "bad" if wrong else style


def name(row: Row, *, with_route: bool) -> str:
    """What a series is called in a table."""
    path = shown(row.path) + (".." if row.truncated else "")
    return f"{shown(row.route)} {path}" if with_route else path


def other_lines(answer: Answer) -> list[str]:
    """What each `(other)` row stands for; none while nothing is counted there."""
    several = len({row.route for row in answer.rows}) > 1
    lines = []
    for other in answer.others:
        if other.requests:
            of = f" of route {shown(other.route)}" if several else ""
            error = percent_text(other.distinct_relative_error)
            lines.append(
                f"(other): {percent_text(other.share)} % of the requests{of},"
                f" of about {count_text(other.distinct_paths)} distinct paths (+-{error} %)"
            )
    return lines


def cut(line: Line, width: int) -> Line:
    """The beginning of a line, in at most `width` columns."""
    pieces: Line = []
    for text, style in line:
        part = fitted(text, width)
        width -= width_of(part)
        pieces.append((part, style))
        if part != text:
            break
    return pieces


def plain(lines: Sequence[Line]) -> list[str]:
    """The lines without styles."""
    return ["".join(text for text, _style in line).rstrip() for line in lines]


def ansi(lines: Sequence[Line]) -> list[str]:
    """The lines with styles as a terminal's colours."""
    return [
        "".join(f"\x1b[{ANSI[style]}m{text}\x1b[0m" if style in ANSI and text else text for text, style in line)
        for line in lines
    ]
