"""Whether a file was saved."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import pytest

from weir.control import watching
from weir.control.watching import LOOK_S, Watching


def looks(watched: Watching, hooks: str, times: int = 2) -> list[bool]:
    return [watched.look(watched.due, hooks) for _ in range(times)]


def test_a_save_counts_once_and_when_it_is_over(tmp_path: Path) -> None:
    config, hooks = tmp_path / "weir.toml", tmp_path / "app.py"
    config.write_text("a")
    hooks.write_text("a")
    watched = Watching([str(config)], 0.0, str(hooks))
    assert looks(watched, str(hooks)) == [False, False]
    hooks.write_text("a =")
    assert looks(watched, str(hooks), 1) == [False]
    hooks.write_text("a = 1")
    assert looks(watched, str(hooks), 3) == [False, True, False]
    config.write_text("changed")
    assert looks(watched, str(hooks), 3) == [False, True, False]


def test_between_two_looks_nothing_is_looked_at(tmp_path: Path) -> None:
    file = tmp_path / "weir.toml"
    watched = Watching([str(file)], 10.0)
    file.write_text("new")
    assert not watched.look(10.0 + LOOK_S / 2, "")
    assert watched.due == pytest.approx(10.0 + LOOK_S, abs=5)
    assert looks(watched, "") == [False, True]


def test_what_lies_beside_the_hooks_is_watched_and_what_is_other_peoples_is_not(tmp_path: Path) -> None:
    hooks = tmp_path / "app.py"
    for name in ("app.py", "package/deep/module.py", ".hidden/a.py", "env/lib/a.py", "env/pyvenv.cfg", "data.txt"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("")
    watched = Watching([], 0.0, str(hooks))
    for name in (".hidden/a.py", "env/lib/a.py", "data.txt"):
        (tmp_path / name).write_text("changed")
    assert looks(watched, str(hooks)) == [False, False]
    (tmp_path / "package/deep/module.py").write_text("changed")
    assert looks(watched, str(hooks)) == [False, True]
    (tmp_path / "package/new.py").write_text("")
    assert looks(watched, str(hooks)) == [False, True]
    hooks.unlink()
    assert looks(watched, str(hooks)) == [False, True]


def test_a_module_is_looked_for_in_the_current_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    watched = Watching([], 0.0, "package.module")
    (tmp_path / "package").mkdir()
    (tmp_path / "package" / "module.py").write_text("")
    assert looks(watched, "package.module") == [False, True]


def test_a_folder_with_very_many_files_is_watched_in_part_and_that_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(watching, "MOST_FILES", 3)
    for number in range(5):
        (tmp_path / f"m{number}.py").write_text("")
    watched = Watching([], 0.0, str(tmp_path / "m0.py"))
    (tmp_path / "m4.py").write_text("changed")
    assert looks(watched, str(tmp_path / "m0.py")) == [False, False]
    (tmp_path / "m1.py").write_text("changed")
    assert looks(watched, str(tmp_path / "m0.py")) == [False, True]
    said = [record.getMessage() for record in caplog.records]
    assert said == [f"--reload: so much lies beside {tmp_path}/m0.py that not all of it is watched"]


def test_a_look_is_bounded_whatever_lies_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(watching, "MOST_NAMES", 50)
    hooks = tmp_path / "z_app.py"
    hooks.write_text("")
    # Nothing of Python: what is counted is what has to be read.
    for folder in range(20):
        (tmp_path / f"data{folder}").mkdir()
        for number in range(20):
            (tmp_path / f"data{folder}" / f"{number}.json").write_text("")
    read: list[str] = []
    scandir = os.scandir

    def counting(folder: str) -> Any:
        read.append(folder)
        return scandir(folder)

    monkeypatch.setattr(os, "scandir", counting)
    watched = Watching([], 0.0, str(hooks))
    assert len(read) <= 3, read
    assert "not all of it is watched" in caplog.text
    hooks.write_text("changed")
    assert looks(watched, str(hooks)) == [False, True]


def test_a_chain_of_folders_is_followed_for_a_while(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    hooks = tmp_path / "app.py"
    hooks.write_text("")
    (tmp_path / "link").symlink_to(tmp_path, target_is_directory=True)
    Watching([], 0.0, str(hooks))
    assert caplog.text == "", "links are not followed"
    deep = tmp_path.joinpath(*["deep"] * 12)
    deep.mkdir(parents=True)
    Watching([], 0.0, str(hooks))
    assert "not all of it is watched" in caplog.text


def test_where_a_look_takes_long_there_are_fewer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a network's file system, say: the supervisor has other things to do."""
    watched = Watching([str(tmp_path / "weir.toml")], 100.0)
    times = iter([0.0, 0.5])
    monkeypatch.setattr(time, "monotonic", lambda: next(times))
    watched.look(watched.due, "")
    assert watched.due == pytest.approx(100.0 + LOOK_S + 5.0)
