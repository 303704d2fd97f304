"""`weir stats --retries`: what was decided about further attempts, by cluster."""

from __future__ import annotations

from typing import Any

from weir.cli.answers import AnswerError
from weir.cli.units import shown, width_of
from weir.stats.retrywords import RETRY_WORDS

__all__ = ["retry_lines"]

KINDS = {one.word: one.kind for one in RETRY_WORDS}
HEADINGS = ("CLUSTER", "DECISION", "KIND", "COUNT")


def retry_lines(status: Any) -> list[str]:
    """A table of the decisions in a GetStatusResponse; AnswerError if it is none of the contract's.

    A word that this program does not know yet is shown without its kind.
    """
    rows: list[tuple[str, ...]] = [HEADINGS]
    for cluster in _objects(status, "clusters"):
        for decision in _objects(cluster, "decisions"):
            word, count = str(decision.get("word", "")), str(decision.get("count", "0"))
            rows.append((shown(str(cluster.get("cluster", ""))), shown(word), KINDS.get(word, ""), shown(count)))
    if len(rows) == 1:
        return ["nothing was sent again, and nothing had to be"]
    widths = [max(width_of(row[place]) for row in rows) for place in range(len(HEADINGS))]
    return [
        "  ".join(
            " " * (width - width_of(text)) + text if place == 3 else text + " " * (width - width_of(text))
            for place, (text, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in rows
    ]


def _objects(message: Any, name: str) -> list[dict[str, Any]]:
    listed = message.get(name, []) if isinstance(message, dict) else None
    if not isinstance(listed, list) or not all(isinstance(one, dict) for one in listed):
        raise AnswerError(f"{name} is no list of objects")
    return listed
