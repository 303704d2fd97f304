"""`weir stats --hooks`."""

from __future__ import annotations

import pytest

from weir.cli.answers import AnswerError
from weir.cli.hooks import hook_lines


def test_hooks_are_a_table() -> None:
    guard = {"phase": "request", "name": "app.guard", "calls": "1200", "failures": "3", "overBudget": "7"}
    time = {"count": "1200", "meanUs": 1.5, "p50Us": 1, "p99Us": 12345}
    hooks = {"hooks": [guard | {"time": time}, {"phase": "log", "name": "a\x1b[2J"}], "requests": "5000"}
    lines = hook_lines({"hooks": hooks | {"requestsMet": "1200"}})
    assert lines == [
        "PHASE    HOOK       CALLS   MEAN    P50     P99  FAILURES  TIMEOUTS  OVER BUDGET  SKIPPED",
        "request  app.guard   1200  1.5us  1.0us  12.3ms         3         0            7        0",
        r"log      a\x1B[2J       0      0      0       0         0         0            0        0",
        "",
        "1200 of 5000 requests met a hook (24%)",
    ]


def test_without_hooks() -> None:
    assert hook_lines({}) == ["no hooks"]
    with pytest.raises(AnswerError):
        hook_lines({"hooks": []})
