"""Saved statistics."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from weir.cli.answers import AnswerError, answer_of
from weir.cli.call import Caller, parse_target
from weir.cli.snapshots import SnapshotError, fetch, load, save

from .instance import instance


def test_what_is_saved_is_what_was_answered(tmp_path: Path) -> None:
    with instance() as weir:
        weir.count("/a", [1000] * 7)
        weir.count("/b\xff", [10])
        weir.settle()
        snapshot = fetch(Caller(parse_target(weir.address)), {}, {})
    file = tmp_path / "a.json"
    save(file, snapshot)
    assert load(file) == snapshot
    assert [row.requests for row in answer_of(snapshot["stats"]).rows] == [7, 1]
    assert sum(answer_of(snapshot["stats"]).rows[0].total_histogram.counts) == 7
    assert snapshot["status"]["started"]
    # A series on each line.
    assert len(file.read_text().splitlines()) == 4


def test_an_empty_one_is_saved_as_well(tmp_path: Path) -> None:
    save(tmp_path / "a.json", {"weir_snapshot": 1, "status": {}, "stats": {}})
    assert load(tmp_path / "a.json")["stats"] == {"series": []}


def test_what_cannot_be_written_leaves_what_was_there(tmp_path: Path) -> None:
    file = tmp_path / "a.json"
    file.write_text("before")
    with pytest.raises(TypeError):
        save(file, {"weir_snapshot": 1, "stats": {"series": [{1, 2}]}})
    assert file.read_text() == "before"
    assert list(tmp_path.iterdir()) == [file]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", "not JSON"),
        ("[" * 100_000, "not JSON"),
        ("[1]", "no snapshot"),
        ("{}", "no snapshot"),
        (json.dumps({"weir_snapshot": 2}), "another version (2)"),
    ],
)
def test_what_is_no_snapshot_is_named(tmp_path: Path, content: str, said: str) -> None:
    file = tmp_path / "a.json"
    file.write_text(content)
    with pytest.raises(SnapshotError) as error:
        load(file)
    assert said in str(error.value)
    assert str(file) in str(error.value)


def test_parts_that_are_missing(tmp_path: Path) -> None:
    file = tmp_path / "a.json"
    file.write_text(json.dumps({"weir_snapshot": 1}))
    with pytest.raises(AnswerError, match="stats and status are missing"):
        load(file)
    with pytest.raises(SnapshotError, match="No such file"):
        load(tmp_path / "none")
