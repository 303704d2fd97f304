"""`weir endpoint`: its tables; tests/e2e/test_endpoints.py uses it on a running weir."""

from __future__ import annotations

import pytest

from weir.cli.answers import AnswerError
from weir.cli.endpoint import lines, members


def test_a_table_of_members() -> None:
    answer = {
        "members": [
            {
                "cluster": "app",
                "endpoint": "127.0.0.1:8081",
                "state": "unhealthy",
                "why": "status 503",
                "order": "ORDER_READY",
                "origin": "ORIGIN_CONFIGURATION",
                "active": "3",
                "open": "12",
                "attempts": "90120",
                "failures": "2",
            },
            {"cluster": "app", "endpoint": "\x1b[2J", "state": "draining", "origin": "ORIGIN_RUN_TIME", "weight": 5},
        ]
    }
    assert lines(members(answer)) == [
        "CLUSTER  ENDPOINT        STATE      WEIGHT  ACTIVE  OPEN  ATTEMPTS  FAILURES  FROM           WHY",
        "app      127.0.0.1:8081  unhealthy       -       3    12     90120         2  configuration  status 503",
        "app      \\x1B[2J         draining        5       0     0         0         0  added",
    ]


@pytest.mark.parametrize("answer", [[], {"members": {}}, {"members": [1]}])
def test_what_is_no_answer(answer: object) -> None:
    with pytest.raises(AnswerError):
        members(answer)


def test_nobody_there() -> None:
    assert len(lines(members({}))) == 1
