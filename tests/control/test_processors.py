from __future__ import annotations

import os
from pathlib import Path

import pytest

from weir.control.processors import available


@pytest.fixture
def many(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine with 16 processors."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda _pid: set(range(16)))


def group(root: Path, inside: str, quota: str) -> None:
    directory = root / inside
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "cpu.max").write_text(quota)


def test_this_machine() -> None:
    assert 1 <= available() <= len(os.sched_getaffinity(0))


@pytest.mark.usefixtures("many")
def test_no_groups(tmp_path: Path) -> None:
    assert available(tmp_path, tmp_path / "none") == 16


@pytest.mark.usefixtures("many")
@pytest.mark.parametrize(
    ("quotas", "wanted"),
    [
        ({"": "max 100000"}, 16),
        ({"": "200000 100000"}, 2),
        ({"": "250000 100000"}, 3),
        ({"": "10000 100000"}, 1),
        ({"a": "400000 100000", "a/b": "max 100000"}, 4),
        ({"a": "800000 100000", "a/b": "150000 100000"}, 2),
        ({"a/b": "6400000 100000"}, 16),
        ({"a/b": "nonsense"}, 16),
        ({"a/b": "1000 0"}, 16),
    ],
)
def test_the_smallest_quota_of_the_groups_around_it(tmp_path: Path, quotas: dict[str, str], wanted: int) -> None:
    own = tmp_path / "own"
    own.write_text("1:name=systemd:/\n0::/a/b\n")
    for inside, quota in quotas.items():
        group(tmp_path / "fs", inside, quota)
    assert available(tmp_path / "fs", own) == wanted


@pytest.mark.usefixtures("many")
def test_version_1(tmp_path: Path) -> None:
    (tmp_path / "cpu").mkdir()
    (tmp_path / "cpu" / "cpu.cfs_quota_us").write_text("-1\n")
    (tmp_path / "cpu" / "cpu.cfs_period_us").write_text("100000\n")
    assert available(tmp_path, tmp_path / "none") == 16
    (tmp_path / "cpu" / "cpu.cfs_quota_us").write_text("300000\n")
    assert available(tmp_path, tmp_path / "none") == 3
