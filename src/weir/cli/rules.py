"""Rate limits and injected faults as text, for `weir stats --rules`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from weir.cli.answers import Json, counts_of
from weir.cli.units import shown, width_of

__all__ = ["aligned", "rule_lines"]

LIMIT_COLUMNS: Final = ("passed", "delayed", "limited", "evicted", "crowded")
FAULT_COLUMNS: Final = ("matched", "delayed", "aborted", "paced")


def rule_lines(message: Json) -> list[str]:
    """The lines for a GetStatusResponse."""
    limits = [
        (listener, f"{name} (dry run)" if about.get("dryRun") else name, counts)
        for listener, name, about, counts in counts_of(message, "rateLimits", LIMIT_COLUMNS)
    ]
    faults = [
        (listener, name, counts) for listener, name, _about, counts in counts_of(message, "faults", FAULT_COLUMNS)
    ]
    lines = _table("LISTENER/ROUTE", "RATE LIMIT", LIMIT_COLUMNS, limits) if limits else []
    if faults:
        lines += [*([""] if lines else []), *_table("LISTENER", "FAULT", FAULT_COLUMNS, faults)]
    return lines or ["no rate limits, no faults"]


def _table(owner: str, what: str, columns: Sequence[str], rows: Sequence[tuple[str, str, Sequence[int]]]) -> list[str]:
    heading = [owner, what, *(column.upper() for column in columns)]
    cells = [heading, *([shown(listener), shown(name), *map(str, counts)] for listener, name, counts in rows)]
    return aligned(cells)


def aligned(cells: Sequence[Sequence[str]]) -> list[str]:
    """Lines of a table: the first two columns to the left, figures to the right."""
    widths = [max(width_of(line[column]) for line in cells) for column in range(len(cells[0]))]
    return ["  ".join(_fill(line, widths)).rstrip() for line in cells]


def _fill(line: Sequence[str], widths: Sequence[int]) -> list[str]:
    """Text to the left, figures to the right."""
    spaces = [" " * (width - width_of(cell)) for cell, width in zip(line, widths, strict=True)]
    return [
        cell + space if number < 2 else space + cell
        for number, (cell, space) in enumerate(zip(line, spaces, strict=True))
    ]
