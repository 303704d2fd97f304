"""What the supervisor has for as long as it lives, and gets before it starts anything: all of it, or nothing."""

from __future__ import annotations

import contextlib
import logging
import os

from weir.config.plan import Plan
from weir.control.crew import worker_count
from weir.control.errors import StartError
from weir.control.identity import identity_of, own_files, own_sockets
from weir.control.keeper import AdminKeeper, AdminMain
from weir.control.passed import Passed
from weir.control.pidfile import PidFile
from weir.control.stock import Stock
from weir.control.takeover import Predecessor
from weir.control.worker import make_rules, make_table
from weir.stats import layout

__all__ = ["Holdings"]

log = logging.getLogger("weir")


class Holdings:
    """The pid file, the statistics table, the admin address, and sockets and the memory of rules of a first plan.

    `passed` are sockets of a service manager, `predecessor` is a weir to take over from: until take_over(), what it had
    is still its own. `free` are the slots of the table that nobody has. StartError, with nothing left, if something
    cannot be had.
    """

    def __init__(self, plan: Plan, admin: AdminMain, passed: Passed | None, predecessor: Predecessor | None) -> None:
        self.predecessor = predecessor
        self.is_ours = predecessor is None
        self.identity = identity_of(plan)
        self.pid_file = PidFile(plan.pid_file)
        if predecessor is None:
            self.pid_file.take()
        with contextlib.ExitStack() as undo:
            undo.callback(self.pid_file.remove)
            workers = worker_count(plan)
            self.stock = Stock(plan, workers, self.foreign(), passed)
            undo.callback(self.close, self.stock)
            self.memory, self.free = self._table(plan, workers)
            self.rules = make_rules(plan, layout.read_header(self.memory).workers)
            inherited = (predecessor.admin_address, predecessor.admin_sockets) if predecessor is not None else ("", ())
            self.admin = AdminKeeper(admin, plan.admin, passed, inherited)
            undo.callback(self.admin.close)
            self.give(plan, self.stock)
            if passed is not None:
                passed.close_rest()
            undo.pop_all()

    def _table(self, plan: Plan, workers: int) -> tuple[layout.Table, list[int]]:
        """The statistics table, that of the predecessor if it fits, and the slots in it that are free."""
        if self.predecessor is not None:
            memory = self.predecessor.table(plan, workers)
            if memory is not None:
                return memory, self.predecessor.free
        # Beside those who serve, the next ones and a few of the last ones who still drain.
        slots = 2 * workers + 2
        return make_table(plan, slots, growing=True), list(range(slots))

    def give(self, plan: Plan, stock: Stock) -> None:
        """What workers need of files and sockets is theirs, if they are another user. StartError if it cannot be."""
        own_files(plan, self.identity)
        own_sockets(stock.sockets() | self.admin.all_sockets(), self.identity)

    def reopen(self, plan: Plan) -> None:
        """Log files are about to be opened anew: where there is none it is made, for their user."""
        try:
            own_files(plan, self.identity)
        except StartError as error:
            log.error("%s", error)

    def become(self) -> None:
        """In a child that serves: it is the plan's user from now on."""
        if self.identity is not None:
            self.identity.become()

    def foreign(self) -> Stock | None:
        """Sockets that are still the predecessor's."""
        return self.predecessor.stock if self.predecessor is not None and not self.is_ours else None

    def take_over(self, stock: Stock) -> None:
        """The predecessor has given up what only one can have; `stock` is in use."""
        before = self.predecessor
        if before is None or self.is_ours:
            return
        self.is_ours = True
        before.stock.close(keep=stock)
        self.admin.take_over()
        try:
            self.pid_file.take()
        except StartError as error:
            log.error("%s", error)
        if before.pid_file not in ("", self.pid_file.path):
            with contextlib.suppress(OSError):
                os.unlink(before.pid_file)

    def announce(self) -> None:
        """It serves: the pid file says who."""
        try:
            self.pid_file.write()
        except OSError as error:
            log.error("pid_file %s: %s", self.pid_file.path, (error.strerror or str(error)).lower())

    def close(self, stock: Stock) -> None:
        """Closes listening sockets: who connects from now on is refused, not kept waiting."""
        stock.close(keep=self.foreign())

    def end(self) -> None:
        """Nothing stays."""
        self.admin.close()
        self.pid_file.remove()
