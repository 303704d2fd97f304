"""The endpoints with their health, as lines."""

from __future__ import annotations

from typing import Any

import pytest

from weir.cli.answers import AnswerError
from weir.cli.health import MOST_CHANGES, changes_of, endpoints_of, health_lines
from weir.cli.table import plain

ENDPOINT: dict[str, Any] = {
    "cluster": "app",
    "endpoint": "127.0.0.1:1",
    "state": "ejected",
    "why": "connect_refused",
    "since": "2026-11-26T10:00:00Z",
    "ejectedFor": "7.5s",
    "ejectionsMade": "3",
    "checks": "1200",
    "checksFailed": "30",
    "checkUs": "850",
    "attempts": "99",
    "failures": "5",
    "errors5xx": "2",
    "member": True,
}
CHANGE: dict[str, Any] = {
    "at": "2026-11-26T10:00:00Z",
    "cluster": "app",
    "endpoint": "127.0.0.1:1",
    "old": "ready",
    "new": "ejected",
    "why": "connect_refused",
    "ejectedFor": "10s",
}


def test_a_table_of_those_that_are_members() -> None:
    other = {**ENDPOINT, "endpoint": "127.0.0.1:0", "state": "ready", "why": "", "checks": 0}
    del other["ejectedFor"], other["since"]
    gone = {**ENDPOINT, "endpoint": "127.0.0.1:9", "member": False}
    lines = plain(health_lines({"endpoints": [ENDPOINT, other, gone]}))
    assert lines[0].split()[:3] == ["STATE", "SINCE", "CHECKS"]
    assert lines[1].split() == ["ready", *"----", "3", "99", "5", "2", "app", "127.0.0.1:0"]
    state, _since, *rest = lines[2].split(maxsplit=10)
    assert (state, rest[0], rest[1:4]) == ("ejected", "1200", ["30", "850us", "3"])
    assert lines[2].endswith("app 127.0.0.1:1  connect_refused (for another 7.50s)")
    assert len(lines) == 3


def test_the_last_changes_come_first_and_panic_is_said() -> None:
    back = {**CHANGE, "old": "ejected", "new": "ready", "why": ""}
    del back["ejectedFor"]
    message = {"endpoints": [], "changes": [CHANGE] * 30 + [back], "panics": ["app"]}
    lines = plain(health_lines(message))
    assert "cluster app: too few endpoints are usable, all are asked" in lines
    at = lines.index("last changes")
    assert lines[at + 1].endswith("  app 127.0.0.1:1: ready, was ejected")
    assert lines[at + 2].endswith("  app 127.0.0.1:1: ejected for 10.0s, was ready: connect_refused")
    assert len(lines) == at + 1 + MOST_CHANGES
    assert len(changes_of(message)) == 31


def test_what_comes_from_afar_is_escaped() -> None:
    evil = {**ENDPOINT, "endpoint": "a\x1b[31m", "state": "odd\n", "why": "\x07"}
    text = "\n".join(plain(health_lines({"endpoints": [evil], "changes": [{**CHANGE, "why": "\x1b", "new": "x\r"}]})))
    assert not {"\x1b", "\x07", "\r"} & set(text)


@pytest.mark.parametrize("message", [{"endpoints": 1}, {"endpoints": [{**ENDPOINT, "checks": -1}]}, {"panics": "app"}])
def test_what_is_no_answer(message: dict[str, Any]) -> None:
    with pytest.raises(AnswerError):
        health_lines(message)
    if message.get("panics") is None:
        with pytest.raises(AnswerError):
            endpoints_of(message)
