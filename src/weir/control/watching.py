"""Files that are looked at again and again while somebody develops: whether one was saved (`weir run --reload`).

The supervisor looks, which has other things to do: whatever lies beside the hooks, a look is short, and bounded.
"""

from __future__ import annotations

import logging
import os
import time
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from itertools import islice
from typing import Final

__all__ = ["LOOK_S", "Watching"]

log = logging.getLogger("weir")

LOOK_S: Final = 0.25
# A folder of hooks that has more than this is none; whoever watches it all does nothing else.
MOST_FILES: Final = 2_000
MOST_DEPTH: Final = 8
# Names of whatever kind that are read to find them: a home directory has a million.
MOST_NAMES: Final = 20_000
# Where reading them is slow, they are looked at less often: that much of the time at most.
SHARE: Final = 0.1

# Of a file: time of its last change, size, number. Other ones, and it was saved.
State = dict[str, tuple[int, int, int]]


class Watching:
    """Whether `files`, or Python files in the folder of the hooks, were saved.

    `look()` is to be called about every LOOK_S. A change counts when a second look finds nothing new: an editor may
    write a file in several steps. A folder that has too much is watched in part, which is said once.
    """

    def __init__(self, files: Sequence[str], now: float, hooks: str = "") -> None:
        self._files = tuple(files)
        self._said: set[str] = set()
        self._pending: State | None = None
        self.due = now + LOOK_S
        self._known = self._state(now, hooks)

    def look(self, now: float, hooks: str) -> bool:
        """Whether something was saved; `hooks` is what the plan in use says."""
        if now < self.due:
            return False
        state = self._state(now, hooks)
        if state == self._known:
            self._pending = None
            return False
        if state != self._pending:
            self._pending = state
            return False
        self._known, self._pending = state, None
        return True

    def _state(self, now: float, hooks: str) -> State:
        begun = time.monotonic()
        found, is_all = python_files(hooks) if hooks else ([], True)
        state: State = {}
        for path in (*self._files, *found):
            with suppress(OSError):
                about = os.stat(path)
                state[path] = (about.st_mtime_ns, about.st_size, about.st_ino)
        if not is_all and hooks not in self._said:
            self._said.add(hooks)
            log.warning("--reload: so much lies beside %s that not all of it is watched", hooks)
        self.due = now + max(LOOK_S, (time.monotonic() - begun) / SHARE)
        return state


def python_files(hooks: str) -> tuple[list[str], bool]:
    """Those that a hooks file, or a module in the current directory, can import from beside itself; the nearest first.

    Also whether that is all of them.
    """
    top = os.path.dirname(os.path.abspath(hooks)) if hooks.endswith(".py") else os.getcwd()
    found: list[str] = []
    names, is_all = 0, True
    folders = deque([(top, 0)])
    while folders:
        folder, depth = folders.popleft()
        entries: list[os.DirEntry[str]] = []
        with suppress(OSError), os.scandir(folder) as inside:
            entries = list(islice(inside, MOST_NAMES - names))
            is_all = is_all and next(inside, None) is None
        names += len(entries)
        # Environments, and what is hidden, hold other people's modules.
        if any(entry.name == "pyvenv.cfg" for entry in entries):
            continue
        for entry in sorted(entries, key=lambda entry: entry.name):
            if entry.name.endswith(".py"):
                found.append(entry.path)
            elif entry.name.isidentifier() and entry.name != "__pycache__" and entry.is_dir(follow_symlinks=False):
                if depth < MOST_DEPTH:
                    folders.append((entry.path, depth + 1))
                else:
                    is_all = False
        if names >= MOST_NAMES and folders:
            return found[:MOST_FILES], False
    return found[:MOST_FILES], is_all and len(found) <= MOST_FILES
