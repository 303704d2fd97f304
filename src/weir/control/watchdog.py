"""Who blocks the loop: a thread that looks now and then whether a hook has held up the worker for too long.

It costs the calls nothing: the engine counts its turns anyway, and only when it has not gone on since the last look are
the loop's frames searched for a function of the hooks file.
"""

from __future__ import annotations

import functools
import logging
import sys
import threading
import time
import traceback
from collections.abc import Sequence
from types import CodeType, FrameType
from typing import Any, Final, Protocol

from weir.hooks.loading import Found

__all__ = ["Watchdog"]

log = logging.getLogger("weir.hooks")

LOOK_S: Final = 0.1
SAY_AGAIN_S: Final = 10.0


class Turning(Protocol):
    """What goes on unless somebody blocks it: `weir.plane.engine.Engine`."""

    @property
    def turns(self) -> int: ...
    @property
    def waits(self) -> int: ...


class Watchdog:
    """Says in the log which of `found` has blocked the loop for `after_s` seconds, with its stack; once for each time.

    start() is called in the thread that it watches, stop() at the end. A process with a second thread pays more for
    each system call, so who only has functions that nobody has called yet need not start it.
    """

    def __init__(self, engine: Turning, found: Sequence[Found], after_s: float) -> None:
        self._engine = engine
        # By where they are: to hash a code is to hash all that stands in it. The functions keep them there.
        self._names = {id(code): one.name for one in found if (code := _code_of(one.function)) is not None}
        self._found = found
        self._after_s = after_s
        self._thread: threading.Thread | None = None
        self._ended = threading.Event()
        self._said: dict[str, tuple[float, int]] = {}  # when each was last named, and how often it was not since

    def start(self) -> None:
        """Watches the calling thread, in which a loop runs. Nothing happens where there is nothing to be named, or if
        it watches already, or was stopped."""
        if not self._names or self._after_s <= 0 or self._thread is not None or self._ended.is_set():
            return
        watched = threading.get_ident()
        self._thread = threading.Thread(target=self._watch, args=(watched,), name="weir watchdog", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Watches no more. Twice is once."""
        self._ended.set()
        if self._thread is not None:
            self._thread.join()
            self._thread = None

    def _watch(self, watched: int) -> None:
        pause = min(LOOK_S, self._after_s / 2.5)
        before: tuple[int, int, str] | None = None
        since, said = 0.0, False
        while not self._ended.wait(pause):
            frame = sys._current_frames().get(watched)
            # A loop that waits for events does not turn either, but then nobody's function stands in the stack.
            seen = (self._engine.turns, self._engine.waits, self._named(frame))
            if seen != before or not seen[2]:
                before, since, said = seen, time.monotonic(), False
            elif not said and time.monotonic() - since >= self._after_s:
                said = True
                self._say(seen[2], frame, time.monotonic() - since)
            # A frame keeps alive all that its function has.
            del frame

    def _named(self, frame: FrameType | None) -> str:
        """Which of the functions stands in a stack; "" for none."""
        while frame is not None:
            name = self._names.get(id(frame.f_code))
            if name is not None:
                return name
            frame = frame.f_back
        return ""

    def _say(self, name: str, frame: FrameType | None, seconds: float) -> None:
        at, unsaid = self._said.get(name, (float("-inf"), 0))
        now = time.monotonic()
        if now - at < SAY_AGAIN_S:
            self._said[name] = (at, unsaid + 1)
            return
        self._said[name] = (now, 0)
        stack = "".join(traceback.format_stack(frame)) if frame is not None else ""
        more = f" ({unsaid} more times since it was last said)" if unsaid else ""
        log.warning(
            "hook %s blocks the worker, for %.2f s so far%s: what takes time has to be awaited\n%s",
            *(name, seconds, more, stack.rstrip()),
        )


def _code_of(function: Any) -> CodeType | None:
    """By which a function is known in a stack; None: it has no Python code."""
    while isinstance(function, functools.partial):
        function = function.func
    code = getattr(function, "__code__", None) or getattr(type(function).__call__, "__code__", None)
    return code if isinstance(code, CodeType) else None
