"""The endpoints with their health, and what became of them, as lines for `weir stats --endpoints`."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

from weir.cli.answers import AnswerError, count_of, duration_of, moment_of, objects_of, text_of
from weir.cli.moments import clock_text
from weir.cli.table import Line
from weir.cli.units import count_text, shown, time_text, width_of

__all__ = ["ChangeRow", "EndpointRow", "changes_of", "endpoints_of", "health_lines"]

# Changes that are shown; JSON has all of them.
MOST_CHANGES: Final = 20
HEADINGS: Final = (
    "STATE",
    "SINCE",
    "CHECKS",
    "FAILED",
    "CHECK",
    "EJECTED",
    "ATTEMPTS",
    "FAILURES",
    "5xx",
    "ENDPOINT",
    "WHY",
)
# From this column on texts, which stand to the left.
TEXTS: Final = 9
STYLES: Final = {"unhealthy": "bad", "ejected": "bad", "draining": "dim", "down": "dim", "removed": "dim"}


class EndpointRow(NamedTuple):
    """One endpoint; times are seconds, moments since 1970, 0 where there is none."""

    cluster: str
    endpoint: str
    state: str
    why: str
    since: float
    ejected_for: float
    ejections: int
    checks: int
    checks_failed: int
    check_us: int
    attempts: int
    failures: int
    errors_5xx: int


class ChangeRow(NamedTuple):
    at: float
    cluster: str
    endpoint: str
    old: str
    new: str
    why: str
    ejected_for: float


def endpoints_of(message: dict[str, Any]) -> list[EndpointRow]:
    """The members of clusters in a GetStatusResponse. AnswerError if it is none."""
    return [
        EndpointRow(
            text_of(one, "cluster"),
            text_of(one, "endpoint"),
            text_of(one, "state"),
            text_of(one, "why"),
            moment_of(one, "since"),
            duration_of(one, "ejectedFor"),
            count_of(one, "ejectionsMade"),
            count_of(one, "checks"),
            count_of(one, "checksFailed"),
            count_of(one, "checkUs"),
            count_of(one, "attempts"),
            count_of(one, "failures"),
            count_of(one, "errors5xx"),
        )
        for one in objects_of(message, "endpoints")
        if one.get("member") is True
    ]


def changes_of(message: dict[str, Any]) -> list[ChangeRow]:
    """The changes in a GetStatusResponse, the oldest first. AnswerError if it is none."""
    return [
        ChangeRow(
            moment_of(one, "at"),
            text_of(one, "cluster"),
            text_of(one, "endpoint"),
            text_of(one, "old"),
            text_of(one, "new"),
            text_of(one, "why"),
            duration_of(one, "ejectedFor"),
        )
        for one in objects_of(message, "changes")
    ]


def panics_of(message: dict[str, Any]) -> list[str]:
    found = message.get("panics", [])
    if not isinstance(found, list) or not all(isinstance(name, str) for name in found):
        raise AnswerError("panics is no list of texts")
    return found


def health_lines(message: dict[str, Any]) -> list[Line]:
    """A table of endpoints, by cluster, and under it the last changes, the newest first."""
    endpoints, changes = endpoints_of(message), changes_of(message)
    lines = table(sorted(endpoints, key=lambda row: (row.cluster, row.endpoint)))
    for name in panics_of(message):
        lines += [[], [(f"cluster {shown(name)}: too few endpoints are usable, all are asked", "bad")]]
    if changes:
        lines += [[], [("last changes", "head")]]
    for change in changes[: -MOST_CHANGES - 1 : -1]:
        what = change.new + (f" for {time_text(change.ejected_for * 1e6)}" if change.ejected_for else "")
        why = f": {change.why}" if change.why else ""
        text = f"  {shown(change.cluster)} {shown(change.endpoint)}: {shown(what)}, was {shown(change.old)}{shown(why)}"
        lines.append([(clock_text(change.at), "dim"), (text, STYLES.get(change.new, ""))])
    return lines


def table(endpoints: list[EndpointRow]) -> list[Line]:
    rows = [HEADINGS, *map(cells, endpoints)]
    widths = [max(width_of(row[place]) for row in rows) for place in range(len(HEADINGS))]
    lines: list[Line] = []
    for number, row in enumerate(rows):
        texts = []
        for place, text in enumerate(row):
            space = " " * (widths[place] - width_of(text))
            texts.append(space + text if 0 < place < TEXTS else text + space)
        style = STYLES.get(endpoints[number - 1].state, "") if number else "head"
        lines.append([("  ".join(texts).rstrip(), style)])
    return lines


def cells(row: EndpointRow) -> tuple[str, ...]:
    why = row.why
    if row.ejected_for:
        why += f" (for another {time_text(row.ejected_for * 1e6)})"
    return (
        shown(row.state),
        clock_text(row.since) if row.since else "-",
        count_text(row.checks) if row.checks else "-",
        count_text(row.checks_failed) if row.checks else "-",
        time_text(row.check_us) if row.checks else "-",
        count_text(row.ejections),
        count_text(row.attempts),
        count_text(row.failures),
        count_text(row.errors_5xx),
        f"{shown(row.cluster)} {shown(row.endpoint)}",
        shown(why),
    )
