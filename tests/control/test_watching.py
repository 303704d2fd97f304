"""Whether a file was saved."""

from __future__ import annotations

from pathlib import Path

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
    assert watched.due == 10.0 + LOOK_S
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


def test_a_folder_with_very_many_files_is_watched_in_part(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watching, "MOST_FILES", 3)
    for number in range(5):
        (tmp_path / f"m{number}.py").write_text("")
    watched = Watching([], 0.0, str(tmp_path / "m0.py"))
    (tmp_path / "m4.py").write_text("changed")
    assert looks(watched, str(tmp_path / "m0.py")) == [False, False]
    (tmp_path / "m1.py").write_text("changed")
    assert looks(watched, str(tmp_path / "m0.py")) == [False, True]
