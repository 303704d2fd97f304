"""`weir diff` against real instances and files."""

from __future__ import annotations

import json
import random
import time
from datetime import datetime
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from weir.admin.state import RECENT_EVERY_S
from weir.cli.diff import Side, without_overlap
from weir.cli.main import group

from .instance import Instance, instance


def _traffic(made: Instance, factor: float = 1.0, errors: int = 2, seed: int = 1) -> None:
    rng = random.Random(seed)
    for number in range(20):
        slower = factor if number == 3 else 1.0
        times = [int(rng.lognormvariate(7, 0.5) * slower) for _ in range(2000)]
        made.count(f"/p/{number}", times, errors=errors if number == 5 else 2)
    made.settle()


def _run(*arguments: str) -> Result:
    return CliRunner().invoke(group, list(arguments))


def _saved(made: Instance, file: Path) -> str:
    assert _run("stats", "--save", str(file), "--admin", made.address).exit_code == 0
    return str(file)


def test_a_snapshot_and_what_came_after_it(tmp_path: Path) -> None:
    with instance() as made:
        _traffic(made)
        before = _saved(made, tmp_path / "a.json")
        _traffic(made, 1.2, 25, seed=2)
        after = _saved(made, tmp_path / "b.json")
        # The same instance: the file is part of what it has counted, and is taken out, from a file as well.
        for arguments in ((before,), (before, after), (before, made.address)):
            result = _run("diff", *arguments, "--admin", made.address)
            assert result.exit_code == 0, result.output
            named = [(line[:12].strip(), line.split()[-1]) for line in result.stdout.splitlines() if "  /p/" in line]
            assert ("slower", "/p/3") in named
            assert ("more errors", "/p/5") in named
            assert {path for _word, path in named} == {"/p/3", "/p/5"}
            assert result.stdout.count("40.0k requests") == 2
            assert "20 series in both" in result.stdout
            assert "false discovery rate 5.0 %" in result.stdout


def test_json_and_the_exit_code(tmp_path: Path) -> None:
    with instance() as made:
        _traffic(made)
        before = _saved(made, tmp_path / "a.json")
        _traffic(made, seed=3)
        same = _run("diff", before, "--exit-code", "--rate", "0.001", "--admin", made.address)
        assert (same.exit_code, "no change beyond noise" in same.stdout) == (0, True)
        _traffic(made, 1.5, seed=4)
        changed = _run("diff", before, "--exit-code", "--json", "--admin", made.address)
        assert changed.exit_code == 3
    answer = json.loads(changed.stdout)
    assert (answer["a"]["requests"], answer["b"]["requests"]) == (40_000, 80_000)
    finding = answer["findings"][0]
    assert (finding["kind"], finding["path"], finding["requests"]) == ("latency", "/p/3", [2000, 4000])
    low, value, high = finding["factor"]
    assert 1 < low < value < high < 2
    assert finding["adjusted_p"] >= finding["p"]
    assert answer["warnings"] == []


def test_two_instances_with_a_filter() -> None:
    with instance() as old, instance() as new:
        _traffic(old)
        _traffic(new, 2.0, seed=2)
        new.count("/only/here", [10])
        new.settle()
        result = _run("diff", old.address, new.address, "--prefix", "/p/3")
        assert "slower" in result.stdout
        assert "1 series in both" in result.stdout
        assert "only in B: 1 series: /only/here" in _run("diff", old.address, new.address).stdout


@pytest.mark.parametrize("first", ["-2h..-1h", "2h..1h"])
def test_spans_of_time_before_anything_was_counted(first: str) -> None:
    with instance() as made:
        made.count("/a", [1000] * 10)
        made.settle()
        result = _run("diff", first, "-1h..", "--admin", made.address)
    assert result.exit_code == 0, result.output
    assert "A  " in result.stdout
    assert " 0 requests" in result.stdout.splitlines()[0]
    assert " 10 requests" in result.stdout.splitlines()[1]


def test_what_two_sides_share_is_taken_out_or_told() -> None:
    first = Side("a", 1.0, 10.0, 20.0, ())
    later = Side("b", 1.0, 10.0, 30.0, ())
    assert without_overlap(first, later) == (first, later._replace(since=20.0), [])
    assert without_overlap(later, first) == (later._replace(since=20.0), first, [])
    assert "some of the same requests" in without_overlap(first, Side("b", 1.0, 15.0, 30.0, ()))[2][0]
    assert "some of the same requests" in without_overlap(first, first)[2][0]
    for other in (Side("b", 2.0, 10.0, 30.0, ()), Side("b", 1.0, 20.0, 30.0, ())):
        assert without_overlap(first, other) == (first, other, [])


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        ([], 2, "Missing argument 'A'"),
        (["none.json"], 2, "is no file, no span of time such as 2h..1h, and no address"),
        (["1h..2h"], 2, "ends before it begins"),
        (["--jsn", "x"], 2, "No such option"),
        (["--rate", "0", "x"], 2, "--rate"),
        ([__file__], 1, "not JSON; make a snapshot with weir stats --save FILE"),
        (["127.0.0.1:1"], 1, "nothing listens at 127.0.0.1:1"),
    ],
)
def test_wrong_use_is_explained(arguments: list[str], status: int, said: str) -> None:
    result = _run("diff", *arguments)
    assert result.exit_code == status
    assert said in " ".join(result.output.split())


def test_spans_of_one_instance_are_what_was_counted_in_them() -> None:
    with instance() as made:
        _traffic(made)
        # The records of the last two minutes are 5 s apart.
        time.sleep(RECENT_EVERY_S + 0.5)
        between = datetime.now().isoformat()
        _traffic(made, 1.5, seed=2)
        result = _run("diff", f"2020-01-01..{between}", f"{between}..", "--json", "--admin", made.address)
    assert result.exit_code == 0, result.output
    answer = json.loads(result.stdout)
    assert (answer["a"]["requests"], answer["b"]["requests"]) == (40_000, 40_000)
    assert answer["a"]["taken"] == answer["b"]["since"]
    assert answer["warnings"] == []
    assert (answer["findings"][0]["word"], answer["findings"][0]["path"]) == ("slower", "/p/3")
