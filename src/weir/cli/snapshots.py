"""Saved statistics: a file with an answer of GetStats and one of GetStatus, as JSON, for `weir diff` and for keeps.

    {"weir_snapshot": 1, "admin": "127.0.0.1:8079", "status": {...}, "stats": {...}}

`stats` has every series with its histograms; both answers are as they came (proto3's JSON of weir.v1).
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from weir.cli.answers import AnswerError

if TYPE_CHECKING:
    from weir.cli.call import Caller

__all__ = ["MOST_SERIES", "SnapshotError", "fetch", "load", "save"]

FORMAT: Final = 1
# As many as one answer has.
MOST_SERIES: Final = 10_000
MOST_BYTES: Final = 128 << 20

Json = dict[str, Any]


class SnapshotError(ValueError):
    """The file cannot be read, or is no snapshot."""


def fetch(caller: Caller, chosen: Json, since: Json) -> Json:
    """A snapshot of an instance: the series of a Filter, counted since a moment (`since` has `since` or `window`)."""
    request = {"filter": chosen, "limit": MOST_SERIES, "histograms": True, **since}
    status = caller.call("GetStatus", {})
    return {
        "weir_snapshot": FORMAT,
        "admin": caller.target.text,
        "status": {name: status[name] for name in ("version", "started", "taken") if name in status},
        "stats": caller.call("GetStats", request),
    }


def save(path: Path, snapshot: Json) -> None:
    """Writes it as a whole or not at all. OSError if it cannot be written."""
    made = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with open(made, "w", encoding="ascii") as file:
            # A series on each line, so that people and line-oriented tools can read it too.
            head = {name: value for name, value in snapshot.items() if name != "stats"}
            stats = snapshot["stats"]
            rest = {name: value for name, value in stats.items() if name != "series"}
            file.write(json.dumps(head)[:-1] + ', "stats": ' + json.dumps(rest)[:-1])
            file.write((", " if rest else "") + '"series": [\n')
            file.write(",\n".join(json.dumps(series) for series in stats.get("series", ())) + "\n]}}\n")
        os.replace(made, path)
    except BaseException:
        made.unlink(missing_ok=True)
        raise


def load(path: Path) -> Json:
    """Reads a file of save(). SnapshotError says what is wrong with it."""
    try:
        with open(path, "rb") as file:
            text = file.read(MOST_BYTES + 1)
    except OSError as error:
        raise SnapshotError(f"{path}: {error.strerror}") from None
    if len(text) > MOST_BYTES:
        raise SnapshotError(f"{path}: more than {MOST_BYTES >> 20} MiB; that is no snapshot")
    try:
        snapshot = json.loads(text)
    except (ValueError, RecursionError):
        raise SnapshotError(f"{path}: not JSON; make a snapshot with weir stats --save FILE") from None
    if not isinstance(snapshot, dict) or "weir_snapshot" not in snapshot:
        raise SnapshotError(f"{path}: no snapshot; make one with weir stats --save FILE")
    if snapshot["weir_snapshot"] != FORMAT:
        raise SnapshotError(f"{path}: a snapshot of another version ({snapshot['weir_snapshot']!r:.20})")
    if not isinstance(snapshot.get("stats"), dict) or not isinstance(snapshot.get("status"), dict):
        raise AnswerError(f"{path}: stats and status are missing")
    return snapshot
