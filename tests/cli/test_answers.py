"""Answers, as they come from a real instance, and as they should not come."""

from __future__ import annotations

import time
from typing import Any

import pytest

from weir.cli.answers import AnswerError, answer_of, moment_of, moment_text, row_of, status_of
from weir.cli.call import Caller, parse_target

from .instance import instance


def test_a_real_answer() -> None:
    with instance() as weir:
        weir.count("/a", [1000] * 99 + [50_000], size=10, errors=2, server_errors=3)
        weir.count("/b\x1b", [5])
        weir.settle()
        caller = Caller(parse_target(weir.address))
        answer = answer_of(caller.call("GetStats", {"histograms": True}))
        status = status_of(caller.call("GetStatus", {}))
    first, second = answer.rows
    assert (first.route, first.path, first.requests, first.response_bytes) == ("main", "/a", 100, 1000)
    assert second.path == "/b\\x1B"
    assert first.statuses == (0, 97, 0, 0, 3)
    assert (first.errors, first.reasons) == (2, (("upstream_reset", 2),))
    assert first.average_bytes == 10
    assert first.ledger.total_us == sum(first.ledger.parts) == 149_000
    assert sum(first.ledger.shares()) == pytest.approx(1)
    assert first.total.p50_us == pytest.approx(1000, rel=0.05)
    assert first.total.samples == sum(first.total_histogram.counts) == 100
    assert answer.total.requests == 101
    assert answer.matched == 2
    assert answer.relative_error == pytest.approx(0.0443, abs=1e-3)
    assert abs(answer.taken - time.time()) < 60
    assert answer.seconds > 0
    assert (status.workers, status.rows, status.rows_taken) == (1, 256, 4)


def test_an_empty_answer_is_nothing_counted() -> None:
    answer = answer_of({})
    assert (answer.rows, answer.total.requests, answer.seconds) == ((), 0, 0.0)
    assert answer.total.average_bytes == 0
    assert answer.total.ledger.shares() == (0, 0, 0, 0, 0)
    assert status_of({}).workers == 0


@pytest.mark.parametrize(
    "series",
    [
        {"requests": "12x"},
        {"requests": -1},
        {"requests": True},
        {"requests": 1.5},
        {"requests": "9" * 30},
        {"requests": 1 << 64},
        {"requests": "٣"},
        {"path": 7},
        {"status": []},
        {"reasons": {}},
        {"reasons": [1]},
        {"requestsPerSecond": "fast"},
        {"requestsPerSecond": -1.0},
        {"requestsPerSecond": 10**400},
        {"total": {"p50Us": float("nan")}},
        {"totalHistogram": {"counts": 3}},
        {"totalHistogram": {"counts": ["1"] * 9999}},
        {"totalHistogram": {"counts": ["1"], "scale": 3, "offset": 5000}},
        {"totalHistogram": {"counts": ["1"], "scale": 40}},
        {"totalHistogram": {"counts": ["1"], "scale": "3"}},
    ],
)
def test_a_field_that_is_none_of_the_contract_is_named(series: dict[str, Any]) -> None:
    with pytest.raises(AnswerError):
        row_of(series)


@pytest.mark.parametrize("moment", [5, "yesterday", "99999-01-01T00:00:00Z", {}])
def test_a_moment_that_is_none(moment: object) -> None:
    with pytest.raises(AnswerError, match="taken is no moment"):
        answer_of({"taken": moment})


def test_moments_come_and_go_to_the_microsecond() -> None:
    text = "2026-11-24T22:00:00.123456Z"
    assert moment_text(moment_of({"at": text}, "at")) == text
    assert moment_of({"at": "2026-11-24T22:00:00.123456789Z"}, "at") == moment_of({"at": text}, "at")


def test_the_heartbeat_is_a_duration() -> None:
    assert status_of({"workers": [{"heartbeatAge": "1.5s"}, {}]}).oldest_heartbeat_s == 1.5
    with pytest.raises(AnswerError, match="no duration"):
        status_of({"workers": [{"heartbeatAge": 3}]})
