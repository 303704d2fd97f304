"""What `weir version` says."""

from __future__ import annotations

import platform

import weir
from weir.cli.version import compiled_modules, describe


def test_it_names_weir_python_system_and_plane() -> None:
    lines = describe().splitlines()
    assert lines[0] == f"weir {weir.__version__}"
    assert lines[1].startswith(f"python: {platform.python_version()} ")
    assert lines[2].startswith("system: Linux ")
    assert lines[3] == f"plane: compiled ({len(compiled_modules())} modules)"


def test_compiled_modules_are_found_by_their_plain_names() -> None:
    modules = compiled_modules()
    assert "clock" in modules
    assert all(name.isidentifier() for name in modules)
    assert modules == sorted(modules)
