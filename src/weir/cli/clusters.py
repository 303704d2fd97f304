"""Clusters as text, for `weir stats --clusters`: how busy they are, and how their endpoints were chosen."""

from __future__ import annotations

from typing import Final

from weir.cli.answers import Json, count_of, objects_of, text_of
from weir.cli.units import shown, width_of

__all__ = ["cluster_lines"]

# What a figure is called in GetStatusResponse, and here.
COLUMNS: Final = (
    ("inProgress", "IN PROGRESS"),
    ("limit", "LIMIT"),
    ("queued", "QUEUED"),
    ("openBreakers", "BREAKERS OPEN"),
    ("breakerOpenings", "OPENED"),
    ("retries", "SENT AGAIN"),
    ("retriesDenied", "OUT OF BUDGET"),
    ("overflows", "OVERFLOWS"),
    ("stickyBound", "COOKIE KEPT"),
    ("stickyLost", "COOKIE LOST"),
    ("hashKeyless", "NO KEY"),
    ("hashFallbacks", "KEY ELSEWHERE"),
)


def cluster_lines(message: Json) -> list[str]:
    """The lines for a GetStatusResponse; AnswerError if it is none."""
    rows = [["CLUSTER", *(heading for _name, heading in COLUMNS)]]
    for cluster in objects_of(message, "clusters"):
        counts = {name: count_of(cluster, name) for name, _heading in COLUMNS}
        limit = str(counts["limit"] or "-")
        cells = [limit if name == "limit" else str(count) for name, count in counts.items()]
        rows.append([shown(text_of(cluster, "cluster")), *cells])
    if len(rows) == 1:
        return ["no clusters"]
    widths = [max(width_of(row[place]) for row in rows) for place in range(len(rows[0]))]
    return [
        "  ".join(
            text.rjust(width) if place else text + " " * (width - width_of(text))
            for place, (text, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in rows
    ]
