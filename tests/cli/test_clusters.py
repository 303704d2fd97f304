"""`weir stats --clusters`."""

from __future__ import annotations

from typing import Any

import pytest

from weir.cli.answers import AnswerError
from weir.cli.clusters import COLUMNS, cluster_lines


def test_a_table_of_clusters() -> None:
    busy = {"cluster": "app\n", "inProgress": "12", "limit": "20", "stickyBound": "1234", "hashFallbacks": "7"}
    heading, first, second = cluster_lines({"clusters": [busy, {"cluster": "idle"}]})
    assert heading.split("  ")[0] == "CLUSTER"
    assert first.split() == ["app\\x0A", "12", "20", *"000000", "1234", "0", "0", "7"]
    assert second.split() == ["idle", "0", "-", *["0"] * 10]
    assert len(heading) == len(first) == len(second)
    assert all(name in heading for _key, name in COLUMNS)


def test_no_clusters() -> None:
    assert cluster_lines({}) == ["no clusters"]


@pytest.mark.parametrize("answer", [{"clusters": 1}, {"clusters": [1]}, {"clusters": [{"queued": "x"}]}])
def test_another_contract(answer: Any) -> None:
    with pytest.raises(AnswerError):
        cluster_lines(answer)
