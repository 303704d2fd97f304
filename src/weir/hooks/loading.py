"""Files of hooks: found, imported, and their hooks in the order in which they stand there."""

from __future__ import annotations

import importlib
import importlib.util
import os
import sys
import traceback
from pathlib import Path
from types import ModuleType
from typing import Any, Final

from weir.hooks import Hook
from weir.hooks.life import Step

__all__ = ["Found", "HooksError", "counted", "hooks_of", "load"]

# Every route has all of them, a bit each.
MOST_HOOKS: Final = 64

# What a file of hooks is looked through for.
Found = Hook[..., Any] | Step


class HooksError(Exception):
    """A file of hooks cannot be used; the text says why, with the traceback of what it raised."""


def load(source: str) -> list[Found]:
    """The hooks, and what is called at the start and the end, of a file ("app.py") or a module ("package.module").

    A module is also looked for in the current directory.

    Raises HooksError.
    """
    home = os.path.dirname(os.path.abspath(source)) if source.endswith(".py") else os.getcwd()
    if home not in sys.path:
        sys.path.insert(0, home)
    try:
        module = _file(Path(source)) if source.endswith(".py") else importlib.import_module(source)
    except HooksError:
        raise
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt):
            raise
        raise HooksError(f"hooks {source}: {_told(error)}") from None
    return hooks_of(module)


def hooks_of(module: ModuleType) -> list[Found]:
    """Those among a module's names, in the order of their definition; one that has two names is one. HooksError."""
    found = [value for value in vars(module).values() if isinstance(value, Hook | Step)]
    return counted(list(dict.fromkeys(found)))


def counted(found: list[Found]) -> list[Found]:
    """The same. HooksError if they are too many."""
    hooks = sum(isinstance(one, Hook) for one in found)
    if hooks > MOST_HOOKS:
        raise HooksError(f"{hooks} hooks; there may be {MOST_HOOKS}: one function can look at several paths")
    return found


def _file(path: Path) -> ModuleType:
    if not path.is_file():
        raise HooksError(f"hooks {path}: there is no such file")
    if path.stem in sys.stdlib_module_names or path.stem == "weir":
        raise HooksError(
            f"hooks {path}: {path.stem} is another module's name, and would be taken for it: choose another"
        )
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    before = sys.modules.get(path.stem)
    sys.modules[path.stem] = module
    try:
        # Not by way of bytecode that was kept: that knows a change within a second only by the file's size.
        exec(compile(path.read_bytes(), path, "exec", dont_inherit=True), module.__dict__)
    except BaseException:
        # Half of a module is none.
        sys.modules.pop(path.stem, None)
        if before is not None:
            sys.modules[path.stem] = before
        raise
    return module


def _told(error: BaseException) -> str:
    """The traceback, from the file of hooks on: how it came to be imported says nothing."""
    frames = traceback.extract_tb(error.__traceback__)
    kept = [frame for frame in frames if "importlib" not in frame.filename and frame.filename != __file__]
    lines = traceback.format_list(kept) + traceback.format_exception_only(type(error), error)
    return "cannot be imported\n" + "".join(lines).rstrip()
