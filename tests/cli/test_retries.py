"""`weir stats --retries`."""

from __future__ import annotations

import pytest

from weir.cli.answers import AnswerError
from weir.cli.retries import retry_lines


def test_a_table_of_decisions() -> None:
    decisions = [{"word": "reset", "count": "12"}, {"word": "budget", "count": "3"}, {"word": "news\n", "count": "1"}]
    assert retry_lines({"clusters": [{"cluster": "app", "decisions": decisions}, {"cluster": "idle"}]}) == [
        "CLUSTER  DECISION  KIND     COUNT",
        "app      reset     retried     12",
        "app      budget    refused      3",
        "app      news\\x0A               1",
    ]


def test_nothing_decided() -> None:
    assert retry_lines({"clusters": [{"cluster": "app"}]}) == ["nothing was sent again, and nothing had to be"]


@pytest.mark.parametrize("answer", [[], {"clusters": 1}, {"clusters": [1]}, {"clusters": [{"decisions": {}}]}])
def test_another_contract(answer: object) -> None:
    with pytest.raises(AnswerError):
        retry_lines(answer)
