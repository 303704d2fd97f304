"""`weir stats --rules`: what rate limits and faults have counted."""

from __future__ import annotations

import pytest
from click.testing import CliRunner

from weir.cli.answers import AnswerError
from weir.cli.main import group
from weir.cli.rules import rule_lines

from .instance import instance


def test_limits_and_faults_are_two_tables() -> None:
    message = {
        "rateLimits": [
            {"listener": ":8080", "name": "client 100/s", "by": "client", "passed": "120", "limited": "7"},
            {"listener": ":8080", "name": "try", "by": "all", "dryRun": True, "passed": "1", "evicted": "12345"},
            {"route": "api", "name": "client 5/s", "by": "client", "passed": "3"},
        ],
        "faults": [{"listener": "unix:/x", "name": "fault\x1b 1", "matched": "5", "aborted": "2"}],
    }
    assert rule_lines(message) == [
        "LISTENER/ROUTE  RATE LIMIT     PASSED  DELAYED  LIMITED  EVICTED  CROWDED",
        ":8080           client 100/s      120        0        7        0        0",
        ":8080           try (dry run)       1        0        0    12345        0",
        "api             client 5/s          3        0        0        0        0",
        "",
        "LISTENER  FAULT        MATCHED  DELAYED  ABORTED  PACED",
        "unix:/x   fault\\x1B 1        5        0        2      0",
    ]
    assert rule_lines({"faults": message["faults"]})[0].startswith("LISTENER  FAULT")
    assert rule_lines({}) == ["no rate limits, no faults"]


def test_what_is_no_count_is_an_error() -> None:
    with pytest.raises(AnswerError):
        rule_lines({"rateLimits": [{"passed": "many"}]})


def test_an_instance_is_asked() -> None:
    with instance() as made:
        asked = CliRunner().invoke(group, ["stats", "--rules", "--admin", made.address])
    assert (asked.exit_code, asked.stdout) == (0, "no rate limits, no faults\n")


def test_it_stands_alone() -> None:
    asked = CliRunner().invoke(group, ["stats", "--rules", "--json"])
    assert asked.exit_code == 2
    assert "--rules stands alone" in asked.output
