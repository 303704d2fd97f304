"""The admin process's place: its sockets, which outlive it, and when it is due to be started.

What it does is not known here (`weir.admin` is above): a function is handed in. The proxy never waits for it and never
fails with it.
"""

from __future__ import annotations

import logging
import socket
from collections.abc import Callable, Sequence

from weir.config.plan import AdminPlan, ListenerPlan, Plan
from weir.control.crew import Place
from weir.control.errors import StartError
from weir.control.passed import Passed
from weir.control.sockets import bind, unbind
from weir.stats.layout import Table
from weir.stats.rules import RuleBook

__all__ = ["AdminKeeper", "AdminMain", "bind_admin"]

log = logging.getLogger("weir")

# The life of the admin process: the plan, the statistics table, its bound sockets, the line to the supervisor, what to
# call when it handles signals, and the memory of the plan's rules; returns the exit status.
AdminMain = Callable[[Plan, Table, Sequence[socket.socket], socket.socket, Callable[[], None], RuleBook], int]

# For those who started weir only.
_UNIX_MODE = 0o600
_BACKLOG = 128


def bind_admin(plan: AdminPlan, passed: Passed | None = None) -> list[socket.socket]:
    """The admin address's sockets; none if it is off. Raises StartError if it cannot be had and the person chose it.

    Those in `passed` that are for the address are used. Nobody asked for the default: it may be another weir's, and
    that is only said.
    """
    if plan.address is None:
        return []
    known = passed.take(plan.address) if passed is not None else []
    if known:
        return list(dict.fromkeys(sock for copy in known for sock in copy))
    try:
        return bind(ListenerPlan(plan.address, route=0, backlog=_BACKLOG, unix_mode=_UNIX_MODE))
    except StartError as error:
        if plan.written:
            raise StartError(f"admin: {error}; choose another address, or off") from error
        log.warning("admin: %s; weir goes on without it (choose another admin address, or off)", error)
        return []


class AdminKeeper:
    """Keeps the sockets of the plan in use, and those of the next plan while its workers start.

    `inherited` are an address and the sockets that an earlier weir has had for it: they are used if it is the plan's.
    """

    def __init__(
        self,
        main: AdminMain,
        plan: AdminPlan,
        passed: Passed | None = None,
        inherited: tuple[str, Sequence[socket.socket]] = ("", ()),
    ) -> None:
        self.main = main
        self.place = Place(0)
        self._plan = plan
        self._inherited = list(inherited[1])
        same = self._inherited and plan.address is not None and plan.address.text == inherited[0]
        self.sockets = list(self._inherited) if same else bind_admin(plan, passed)
        self._coming: tuple[AdminPlan, list[socket.socket]] | None = None

    def prepare(self, plan: AdminPlan) -> None:
        """Binds what a new plan needs. Raises StartError, with nothing changed."""
        same = plan.address == self._plan.address and (self.sockets or plan.address is None)
        self._coming = (plan, self.sockets if same else bind_admin(plan))

    def hand_over(self) -> None:
        """The new plan is in use: a running process is to be replaced."""
        if self._coming is None:
            return
        before = self.sockets
        (self._plan, self.sockets), self._coming = self._coming, None
        if self.sockets is not before:
            close(before)

    def abandon(self) -> None:
        if self._coming is not None and self._coming[1] is not self.sockets:
            close(self._coming[1])
        self._coming = None

    def is_due(self, now: float) -> bool:
        return bool(self.sockets) and self.place.member is None and now >= self.place.due

    def all_sockets(self) -> set[socket.socket]:
        coming = self._coming[1] if self._coming is not None else ()
        return {*self.sockets, *coming, *self._inherited}

    def at(self) -> tuple[str, list[socket.socket]]:
        """The address, "" for none, and its sockets: for a successor to inherit."""
        return (self._plan.address.text if self._plan.address is not None else ""), self.sockets

    def take_over(self) -> None:
        """What was inherited is this weir's now: what the plan has no use for goes."""
        close([sock for sock in self._inherited if sock not in self.sockets])
        self._inherited = []

    def close(self) -> None:
        """Closes all; the files of Unix sockets go with them, but for those that were not taken over."""
        self.abandon()
        close([sock for sock in self.sockets if sock not in self._inherited])
        self.release()

    def release(self) -> None:
        """Closes all, and leaves files where they are: they are another process's."""
        for sock in self.all_sockets():
            sock.close()
        self.sockets, self._inherited = [], []


def close(sockets: Sequence[socket.socket]) -> None:
    for sock in sockets:
        unbind(sock)
