"""Files and modules of hooks."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from weir.hooks.loading import HooksError, hooks_of, load

TEXT = """
import weir
from weir import hook

@hook("response")
def second(response): ...

@hook("request")
def first(request): ...

alias = first
"""


@pytest.fixture(autouse=True)
def _imports(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.chdir(tmp_path)
    before, path = set(sys.modules), list(sys.path)
    yield
    sys.path[:] = path
    for name in set(sys.modules) - before:
        if name.startswith("app_of_test"):
            del sys.modules[name]


def test_a_file_is_imported_with_its_neighbours(tmp_path: Path) -> None:
    (tmp_path / "app_of_test_a.py").write_text("import app_of_test_b\n" + TEXT)
    (tmp_path / "app_of_test_b.py").write_text("")
    found = load(str(tmp_path / "app_of_test_a.py"))
    assert [hook.name for hook in found] == ["app_of_test_a.second", "app_of_test_a.first"]


def test_a_module_is_found_in_the_current_directory(tmp_path: Path) -> None:
    (tmp_path / "app_of_test_c").mkdir()
    (tmp_path / "app_of_test_c" / "web.py").write_text(TEXT)
    assert len(load("app_of_test_c.web")) == 2


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("def x(:", "SyntaxError: invalid syntax"),
        ("import nothing_of_that_name", "ModuleNotFoundError: No module named 'nothing_of_that_name'"),
        ("def f():\n    1/0\nf()", "line 2, in f"),
        ("raise SystemExit(3)", "SystemExit: 3"),
        ("import weir\nweir.hook('x')", "phase 'x' is none of"),
    ],
)
def test_what_cannot_be_imported_says_why_and_where(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "app_of_test_d.py").write_text(text)
    with pytest.raises(HooksError) as error:
        load(str(tmp_path / "app_of_test_d.py"))
    assert said in str(error.value)
    assert "app_of_test_d.py" in str(error.value)
    assert "importlib" not in str(error.value)


def test_what_is_not_there() -> None:
    with pytest.raises(HooksError, match="there is no such file"):
        load("app_of_test_e.py")
    with pytest.raises(HooksError, match="No module named 'app_of_test_f'"):
        load("app_of_test_f")


def test_a_change_within_the_same_second_that_keeps_the_size_is_seen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    path = tmp_path / "app_of_test_g.py"
    for name in ("first", "other"):
        path.write_text(f"import weir\n@weir.hook('log')\ndef {name}(request): ...\n")
        os.utime(path, (1_000_000, 1_000_000))
        assert [hook.name for hook in load(str(path))] == [f"app_of_test_g.{name}"]


def test_a_module_without_hooks_has_none() -> None:
    assert hooks_of(ModuleType("empty")) == []


def test_more_hooks_than_a_route_can_have_are_refused_where_they_are_read(tmp_path: Path) -> None:
    (tmp_path / "app_of_test_many.py").write_text(
        "import weir\nfor n in range(65):\n    globals()[f'h{n}'] = weir.hook('log')(lambda request: None)\n"
    )
    with pytest.raises(HooksError, match=r"65 hooks; there may be 64"):
        load("app_of_test_many.py")


@pytest.mark.parametrize("name", ["json", "logging", "weir"])
def test_a_file_is_not_taken_for_a_module_that_others_need(tmp_path: Path, name: str) -> None:
    before = sys.modules.get(name)
    (tmp_path / f"{name}.py").write_text(TEXT)
    with pytest.raises(HooksError, match=f"{name}.py: {name} is another module's name"):
        load(str(tmp_path / f"{name}.py"))
    assert sys.modules.get(name) is before


def test_half_of_a_module_is_not_left(tmp_path: Path) -> None:
    file = tmp_path / "app_of_test_half.py"
    file.write_text("raise LookupError")
    with pytest.raises(HooksError):
        load(str(file))
    assert "app_of_test_half" not in sys.modules
    file.write_text(TEXT)
    load(str(file))
    whole = sys.modules["app_of_test_half"]
    file.write_text("raise LookupError")
    with pytest.raises(HooksError):
        load(str(file))
    assert sys.modules["app_of_test_half"] is whole
