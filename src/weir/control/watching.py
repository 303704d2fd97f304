"""Files that are looked at again and again while somebody develops: whether one was saved (`weir run --reload`)."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import Final

__all__ = ["LOOK_S", "Watching"]

LOOK_S: Final = 0.25
# A folder of hooks that has more than this is none; whoever watches it all does nothing else.
MOST_FILES: Final = 2_000
MOST_DEPTH: Final = 8

# Of a file: time of its last change, size, number. Other ones, and it was saved.
State = dict[str, tuple[int, int, int]]


class Watching:
    """Whether `files`, or Python files in the folder of the hooks, were saved.

    `look()` is to be called about every LOOK_S. A change counts when a second look finds nothing new: an editor may
    write a file in several steps.
    """

    def __init__(self, files: Sequence[str], now: float, hooks: str = "") -> None:
        self._files = tuple(files)
        self._known = self._state(hooks)
        self._pending: State | None = None
        self.due = now + LOOK_S

    def look(self, now: float, hooks: str) -> bool:
        """Whether something was saved; `hooks` is what the plan in use says."""
        if now < self.due:
            return False
        self.due = now + LOOK_S
        state = self._state(hooks)
        if state == self._known:
            self._pending = None
            return False
        if state != self._pending:
            self._pending = state
            return False
        self._known, self._pending = state, None
        return True

    def _state(self, hooks: str) -> State:
        state: State = {}
        for path in (*self._files, *_python_files(hooks)):
            if len(state) == MOST_FILES:
                break
            with suppress(OSError):
                about = os.stat(path)
                state[path] = (about.st_mtime_ns, about.st_size, about.st_ino)
        return state


def _python_files(hooks: str) -> Iterator[str]:
    """Those that a hooks file, or a module in the current directory, can import from beside itself."""
    if not hooks:
        return
    top = os.path.dirname(os.path.abspath(hooks)) if hooks.endswith(".py") else os.getcwd()
    for folder, folders, files in os.walk(top):
        # Environments, and what is hidden, hold other people's modules.
        if "pyvenv.cfg" in files or folder[len(top) :].count(os.sep) > MOST_DEPTH:
            folders.clear()
            continue
        folders[:] = sorted(name for name in folders if name.isidentifier() and name != "__pycache__")
        yield from (os.path.join(folder, name) for name in sorted(files) if name.endswith(".py"))
