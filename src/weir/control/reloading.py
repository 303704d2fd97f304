"""Reading a new configuration while weir serves: one at a time, in a process of its own, within a time."""

from __future__ import annotations

import math
from collections.abc import Callable

from weir.config.plan import Plan
from weir.control.errors import PlanRefused
from weir.control.spawn import Answer

__all__ = ["Reloading", "needs_restart"]

# Names in it are not looked up, so only a file system can hold it up.
READ_S = 60.0


def needs_restart(old: Plan, new: Plan) -> str:
    """What of a new plan cannot be had while weir runs; "" if all of it can."""
    for name, before, after in (
        ("single_process", old.single_process, new.single_process),
        ("stats.rows", old.stats.rows, new.stats.rows),
        ("user", old.user, new.user),
        ("group", old.group, new.group),
        ("pid_file", old.pid_file, new.pid_file),
    ):
        if before != after:
            told = (
                "" if isinstance(after, bool) else f": it is {shown(before)}, and {shown(after)} in the configuration"
            )
            also = "" if isinstance(after, bool) else ", or upgrade it (USR2)"
            return f"{name} cannot be changed by a reload{told}; restart weir for that{also}"
    return ""


def shown(value: object) -> str:
    return str(value) if value != "" else "off"


class Reloading:
    """From "there may be something new" to a plan that waits to be put to use.

    `read` runs in the child, `refuse` is told why there is no plan. However often it is wanted meanwhile, it is read
    once more.
    """

    def __init__(self, read: Callable[[], Plan], refuse: Callable[[str], None]) -> None:
        self._read = read
        self._refuse = refuse
        self.wanted = False
        self.answer: Answer | None = None
        self.plan: Plan | None = None

    def is_under_way(self) -> bool:
        return self.wanted or self.answer is not None or self.plan is not None

    def deadline(self) -> float:
        """Until when it must have been read, time.monotonic()."""
        return self.answer.deadline if self.answer is not None else math.inf

    def work(self, now: float) -> None:
        """Begins, or gives up, what is due."""
        if self.answer is not None:
            if now >= self.answer.deadline:
                self.answer.cancel()
                self.answer = None
                self._refuse(f"the configuration could not be read within {READ_S:.0f} s")
        elif self.wanted:
            # A plan that was read before and still waits is older.
            self.wanted, self.plan = False, None
            try:
                self.answer = Answer(self._read, READ_S)
            except OSError as error:
                self._refuse(f"there is no process to read the configuration: {error.strerror}")

    def on_readable(self) -> None:
        """Takes what the child has said."""
        if self.answer is None:
            return  # a signal of the same moment has cancelled it
        try:
            if not self.answer.read():
                return
            answer, self.answer = self.answer, None
            self.plan = answer.get()
        except PlanRefused as error:
            self.answer = None
            self._refuse(str(error))

    def cancel(self) -> None:
        """Nothing is wanted any more."""
        if self.answer is not None:
            self.answer.cancel()
            self.answer = None
        self.wanted, self.plan = False, None
