"""Python hooks as text, for `weir stats --hooks`."""

from __future__ import annotations

from typing import Final

from weir.cli.answers import Json, count_of, number_of, object_of, objects_of, text_of
from weir.cli.rules import aligned
from weir.cli.units import percent_text, shown, time_text

__all__ = ["hook_lines"]

COUNTS: Final = ("failures", "timeouts", "overBudget", "skipped")
HEADING: Final = ["PHASE", "HOOK", "CALLS", "MEAN", "P50", "P99", "FAILURES", "TIMEOUTS", "OVER BUDGET", "SKIPPED"]


def hook_lines(message: Json) -> list[str]:
    """The lines for a GetStatusResponse."""
    hooks = object_of(message, "hooks")
    cells = [HEADING]
    for hook in objects_of(hooks, "hooks"):
        time = object_of(hook, "time")
        times = [time_text(number_of(time, name)) for name in ("meanUs", "p50Us", "p99Us")]
        counts = [str(count_of(hook, name)) for name in COUNTS]
        names = [shown(text_of(hook, "phase")), shown(text_of(hook, "name"))]
        cells.append([*names, str(count_of(hook, "calls")), *times, *counts])
    if len(cells) == 1:
        return ["no hooks"]
    asked, met = count_of(hooks, "requests"), count_of(hooks, "requestsMet")
    share = percent_text(met / asked) if asked else "0"
    return [*aligned(cells), "", f"{met} of {asked} requests met a hook ({share}%)"]
