"""The supervisor: it owns what outlives a worker (sockets, statistics), starts workers, watches them, and reloads.

It has no loop, no thread and no library of others, so that a fork of it is small and holds nothing up: it waits in
poll() for signals, for what its children say, and for its own times. What is hard is that everything may happen during
everything else; so each event only notes what is wanted, and `_work` does what is due.
"""

from __future__ import annotations

import gc
import logging
import math
import os
import select
import signal
import socket
import time
from collections.abc import Callable
from contextlib import suppress

from weir.config.plan import Plan
from weir.control import child
from weir.control.crew import Crew, Member, Place, Stage, worker_count
from weir.control.errors import StartError
from weir.control.keeper import AdminKeeper, AdminMain
from weir.control.notify import Notifier
from weir.control.reloading import Reloading
from weir.control.sockets import raise_descriptor_limit
from weir.control.spawn import allow_signals, ended, fork
from weir.control.status import StatusLine, say, say_faults
from weir.control.stock import Stock
from weir.control.worker import HEARTBEAT_S, Seat, make_rules, make_table, name_plan
from weir.stats import layout

__all__ = ["Supervisor", "run"]

log = logging.getLogger("weir")

ReadPlan = Callable[[], Plan]

_SIGNALS = (
    signal.SIGTERM,
    signal.SIGINT,
    signal.SIGQUIT,
    signal.SIGHUP,
    signal.SIGUSR1,
    signal.SIGCHLD,
)
# If the supervisor itself was stopped for so long, nobody can be blamed for an old heartbeat.
_ABSENT_S = 3 * HEARTBEAT_S


class Supervisor:
    """Runs the workers of a plan until it is told to end.

    `read` reads the plan anew; it runs in a process of its own. `on_ready` gets the bound addresses once, when all
    workers accept. `admin` is the life of the admin process. Raises StartError.
    """

    def __init__(
        self, plan: Plan, read: ReadPlan, admin: AdminMain, on_ready: Callable[[list[str]], None] | None = None
    ) -> None:
        self.read = read
        self.on_ready = on_ready
        workers = worker_count(plan)
        stock = Stock(plan, workers)
        try:
            # Beside those who serve, the next ones and a few of the last ones who still drain.
            self.slots = 2 * workers + 2
            self.memory, rules = make_table(plan, self.slots, growing=True), make_rules(plan, self.slots)
            self.admin = AdminKeeper(admin, plan.admin)
        except BaseException:
            stock.close()
            raise
        self.free = set(range(self.slots))
        self.crew = Crew(1, plan, stock, name_plan(self.memory, plan), rules)
        self.coming: Crew | None = None  # starts, to take over from `crew`
        self.reloading = Reloading(self._read, self._refuse)
        self.members: dict[int, Member] = {}
        self.reloads = 0
        self.refused = ""  # why the last reload came to nothing
        self.started = False
        self.ending = 0  # 1: drain, 2: at once
        self.status = 0
        self._woken = time.monotonic()
        self._checked = self._woken
        self._wakeup: tuple[socket.socket, socket.socket] | None = None
        self._status = StatusLine()
        self.notifier = Notifier()

    # -- from outside -------------------------------------------------------------------------------------

    def run(self) -> int:
        """Returns the exit status when everything has ended: 0, or 1 if the first workers did not come up."""
        raise_descriptor_limit()
        self._wakeup = socket.socketpair()
        for sock in self._wakeup:
            sock.setblocking(False)
        signal.set_wakeup_fd(self._wakeup[1].fileno(), warn_on_full_buffer=False)
        for number in _SIGNALS:
            signal.signal(number, _noted)
        # What exists now is never freed: a fork that looked at it would copy its pages.
        gc.collect()
        gc.freeze()
        try:
            while not self.ending or self.members:
                self._work()
                self._tell()
                self._wait()
        finally:
            self._leave()
        return self.status

    def _leave(self) -> None:
        """Nothing stays: whatever happened, no child outlives the supervisor."""
        signal.set_wakeup_fd(-1)
        self.reloading.cancel()
        for member in self.members.values():
            member.signal(signal.SIGKILL)
        for member in self.members.values():
            os.waitpid(member.pid, 0)
            member.channel.close()
        self.members.clear()
        self._close_stocks()
        self.admin.close()
        self.notifier.close()
        for sock in self._wakeup or ():
            sock.close()

    # -- waiting ------------------------------------------------------------------------------------------

    def _wait(self) -> None:
        assert self._wakeup is not None
        poll = select.poll()
        poll.register(self._wakeup[0], select.POLLIN)
        lines = {member.channel.fileno(): member for member in self.members.values() if not member.line_ended}
        for fd in lines:
            poll.register(fd, select.POLLIN)
        if self.reloading.answer is not None:
            poll.register(self.reloading.answer, select.POLLIN)
        events = poll.poll(math.ceil(1000 * self._pause()))
        now = time.monotonic()
        if now - self._woken > _ABSENT_S:
            # Stopped and continued: the workers may have been as well.
            self._checked = now
        self._woken = now
        # First, and whatever poll() saw: a terminal's INT goes to the workers as well, who may have said so by now.
        with suppress(BlockingIOError):
            for number in self._wakeup[0].recv(4096):
                self._on_signal(signal.Signals(number))
        for fd, _event in events:
            if fd in lines:
                self._on_line(lines[fd])
            elif fd != self._wakeup[0].fileno():
                self.reloading.on_readable()
        self._reap()

    def _pause(self) -> float:
        """Seconds until something is due; at most until heartbeats are to be looked at."""
        now = time.monotonic()
        times = [now + min(HEARTBEAT_S, self.notifier.watchdog_s or HEARTBEAT_S), self.reloading.deadline()]
        times += [member.deadline for member in self.members.values()]
        if not self.ending:
            crews = [self.crew] if self.coming is None else [self.crew, self.coming]
            times += [place.due for crew in crews for place in crew.places if place.member is None]
            if self.started and self.admin.sockets and self.admin.place.member is None:
                times.append(self.admin.place.due)
        return max(0.0, min(times) - now)

    def _on_signal(self, number: signal.Signals) -> None:
        if number in (signal.SIGTERM, signal.SIGINT):
            self._end(2 if self.ending else 1)
        elif number == signal.SIGQUIT:
            self._end(2)
        elif number == signal.SIGHUP:
            self.reloading.wanted = True
            self.notifier.reloading()
        elif number == signal.SIGUSR1:
            for member in self.members.values():
                if member.slot >= 0:
                    member.signal(signal.SIGUSR1)

    def _on_line(self, member: Member) -> None:
        try:
            said = member.channel.recv(64)
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            said = b""
        if not said:
            member.line_ended = True
            return
        if child.READY in said and member.stage is Stage.STARTING:
            member.ready()
        if child.DRAINING in said and member.stage is Stage.SERVING:
            self._leaves_by_itself(member)

    def _leaves_by_itself(self, member: Member) -> None:
        """Somebody has told a worker to end: another one takes its sockets while it drains."""
        crew = self._crew_of(member)
        place = crew.place_of(member) if crew is not None else None
        if crew is None or place is None:
            return
        log.warning("%s was told to end: another one takes its place", member.name)
        place.left(member)
        place.last_slot = -1
        member.drain(crew.plan.drain_timeout_ms / 1000)

    def _reap(self) -> None:
        for member in list(self.members.values()):
            pid, status = os.waitpid(member.pid, os.WNOHANG)
            if pid == 0:
                continue
            del self.members[pid]
            member.channel.close()
            if member.slot >= 0:
                self.free.add(member.slot)
            self._gone(member, os.waitstatus_to_exitcode(status))

    def _gone(self, member: Member, code: int) -> None:
        crew = self._crew_of(member)
        place = crew.place_of(member) if crew is not None else None
        if member is self.admin.place.member:
            self._admin_gone(member, code)
            return
        was_ready = member.has_served
        if was_ready and member.stage is Stage.DRAINING and code != 0 and self.ending < 2:
            log.warning("%s %s while it drained", member.name, ended(code))
        if crew is None or place is None or self.ending:
            return
        place.left(member)
        if not was_ready and crew is self.coming:
            self._refuse(f"a worker of the new configuration {ended(code)} before it served")
            self._abandon()
        elif not was_ready and not self.started:
            if code != 1:  # 1: it has said why
                log.error("%s %s before it served", member.name, ended(code))
            self.status = 1
            self._end(2)
        else:
            after = f" in {place.pause():.1f} s" if place.pause() else ""
            log.warning("%s %s: it is started again%s", member.name, ended(code), after)

    def _admin_gone(self, member: Member, code: int) -> None:
        self.admin.place.left(member)
        if member.stage is Stage.DRAINING:
            # It was told to, for a new plan.
            self.admin.place.failures, self.admin.place.due = 0, 0.0
        elif not self.ending:
            pause = self.admin.place.pause()
            log.error("%s %s: it is started again%s", member.name, ended(code), f" in {pause:.1f} s" if pause else "")

    def _crew_of(self, member: Member) -> Crew | None:
        for crew in (self.crew, self.coming):
            if crew is not None and crew.place_of(member) is not None:
                return crew
        return None

    # -- what is due --------------------------------------------------------------------------------------

    def _work(self) -> None:
        now = time.monotonic()
        for member in list(self.members.values()):
            if now >= member.deadline:
                if not member.aborted:
                    log.error("%s does not end or begin in time: it is killed", member.name)
                member.abort()
        if self.ending:
            self._end_admin()
            return
        self._check_heartbeats(now)
        self._start_due(self.crew, now)
        if self.coming is not None:
            self._start_due(self.coming, now)
            if self.coming.is_ready():
                self._hand_over()
        elif not self.started and self.crew.is_ready():
            self.started = True
            self.notifier.ready("serving")
            say_faults(self.crew.plan)
            if self.on_ready is not None:
                self.on_ready(self.crew.stock.texts())
        if self.started:
            if self.coming is None:
                self.reloading.work(now)
            if self.reloading.plan is not None and self.coming is None:
                self._prepare(self.reloading.plan)
            if self.admin.is_due(now):
                self._start_admin()

    def _check_heartbeats(self, now: float) -> None:
        where = layout.read_header(self.memory).places
        for member in self.members.values():
            if member.slot < 0 or member.aborted:
                continue
            crew = self._crew_of(member) or self.crew
            at = where.workers_at + member.slot * where.worker_bytes
            beat = layout.read(self.memory, at, layout.WORKER, "heartbeat_us") / 1e6
            silent = now - max(beat, member.started, self._checked)
            if silent > crew.plan.heartbeat_timeout_ms / 1000:
                log.error("%s has shown no sign of life for %.0f s: it is replaced", member.name, silent)
                member.abort()

    def _start_due(self, crew: Crew, now: float) -> None:
        for place in crew.places:
            if place.member is None and now >= place.due:
                self._start(crew, place)

    def _start(self, crew: Crew, place: Place) -> None:
        if not self.free:
            # Those who drain have all of them; their time is limited.
            place.due = time.monotonic() + 0.2
            return
        slot = place.last_slot if place.last_slot in self.free else min(self.free)
        ours, theirs = socket.socketpair()
        # The table's own file will do: nobody else locks it.
        seat = Seat(self.memory, slot, crew.routes, crew.rules, log_turns=self.memory.fd)
        share = crew.stock.share(place.number)

        def serve() -> int:
            self._let_go({sock for _number, sock in share})
            ours.close()
            return child.serve(crew.plan, seat, share, theirs)

        if self._fork(place, serve, f"worker {place.number + 1}", ours, theirs, slot):
            self.free.remove(slot)

    def _start_admin(self) -> None:
        ours, theirs = socket.socketpair()
        plan, rules, sockets = self.crew.plan, self.crew.rules, list(self.admin.sockets)

        def serve() -> int:
            self._let_go(set(sockets))
            ours.close()
            return self.admin.main(plan, self.memory, sockets, theirs, allow_signals, rules)

        self._fork(self.admin.place, serve, "the admin process", ours, theirs)

    def _fork(
        self,
        place: Place,
        serve: Callable[[], int],
        name: str,
        ours: socket.socket,
        theirs: socket.socket,
        slot: int = -1,
    ) -> bool:
        """Puts a new process into a place, with `ours` as the line to it; whether there is one."""
        try:
            pid = fork(serve)
        except OSError as error:
            ours.close()
            log.error("cannot start %s: %s; trying again", name, (error.strerror or str(error)).lower())
            place.due = time.monotonic() + 1.0
            return False
        finally:
            theirs.close()
        ours.setblocking(False)
        place.member = self.members[pid] = Member(pid, f"{name} (process {pid})", ours, slot)
        return True

    def _let_go(self, keep: set[socket.socket]) -> None:
        """In a child: closes what is the supervisor's and not the child's. A socket that somebody else held open
        would go on to be given connections when the supervisor has closed it."""
        held = self.admin.all_sockets()
        for crew in (self.crew, self.coming):
            if crew is not None:
                held |= crew.stock.sockets()
        for sock in held - keep:
            sock.close()
        for member in self.members.values():
            member.channel.close()
        self.notifier.close()
        for sock in self._wakeup or ():
            sock.close()
        if self.reloading.answer is not None:
            os.close(self.reloading.answer.fileno())

    # -- reload -------------------------------------------------------------------------------------------

    def _read(self) -> Plan:
        self._let_go(set())
        return self.read()

    def _prepare(self, plan: Plan) -> None:
        """Starts the workers of a new plan, as soon as there are slots for them."""
        workers = worker_count(plan)
        most = self.slots - len(self.crew.places)
        if workers > most:
            self._refuse(f"{workers} workers are more than the {most} there is room for: restart weir for that")
            return
        if workers > len(self.free):
            return
        self.reloading.plan = None
        if plan.single_process:
            self._refuse("single_process cannot be changed while weir runs: restart it for that")
            return
        try:
            self.admin.prepare(plan.admin)
            rules = make_rules(plan, self.slots, self.crew.rules)
            stock = Stock(plan, workers, self.crew.stock)
        except StartError as error:
            self.admin.abandon()
            self._refuse(str(error))
            return
        try:
            routes = name_plan(self.memory, plan)
        except ValueError as error:
            stock.close(keep=self.crew.stock)
            self.admin.abandon()
            self._refuse(f"the statistics table has no place left ({error}): restart weir for that")
            return
        self.coming = Crew(self.crew.generation + 1, plan, stock, routes, rules)
        self._start_due(self.coming, time.monotonic())

    def _hand_over(self) -> None:
        """The new workers serve: the old ones drain."""
        assert self.coming is not None
        old, self.crew, self.coming = self.crew, self.coming, None
        old.drain()
        old.stock.close(keep=self.crew.stock)
        self.admin.hand_over()
        if self.admin.place.member is not None:
            self.admin.place.member.drain(0.0)
        self.reloads, self.refused = self.reloads + 1, ""
        say(f"reloaded: configuration {self.crew.generation} is in use")
        say_faults(self.crew.plan)
        self.notifier.ready(f"serving, configuration {self.crew.generation}")

    def _abandon(self) -> None:
        """The new workers do not come up: the old ones go on."""
        assert self.coming is not None
        failed, self.coming = self.coming, None
        failed.drain()
        failed.stock.close(keep=self.crew.stock)
        self.admin.abandon()

    def _refuse(self, why: str) -> None:
        self.reloading.plan, self.refused = None, why
        for line in why.splitlines():
            say(line)
        say("not reloaded: the configuration in use stays as it is")
        self.notifier.ready("serving; the last reload was refused")

    # -- the end ------------------------------------------------------------------------------------------

    def _end(self, how: int) -> None:
        self.ending = max(self.ending, how)
        self.notifier.stopping()
        self.reloading.cancel()
        self._close_stocks()
        for member in self.members.values():
            if how == 1 and member is self.admin.place.member:
                continue  # it shows what still drains
            if how == 1:
                crew = self._crew_of(member) or self.crew
                member.drain(crew.plan.drain_timeout_ms / 1000)
            else:
                member.stop()

    def _end_admin(self) -> None:
        """The admin process ends last."""
        member = self.admin.place.member
        if member is not None and len(self.members) == 1:
            member.drain(0.0)

    def _tell(self) -> None:
        """Others hear how it stands: the admin process and the service manager."""
        self.notifier.alive(time.monotonic())
        self._status.tell(
            self.admin.place.member,
            self.members.values(),
            generation=self.crew.generation,
            reloads=self.reloads,
            refused=self.refused,
            reloading=self.reloading.is_under_way() or self.coming is not None,
            ending=bool(self.ending),
        )

    def _close_stocks(self) -> None:
        """Who connects from now on is refused, not kept waiting."""
        for crew in (self.crew, self.coming):
            if crew is not None:
                crew.stock.close()


def _noted(number: int, frame: object) -> None:
    """The wakeup descriptor has it."""


def run(plan: Plan, read: ReadPlan, admin: AdminMain, *, on_ready: Callable[[list[str]], None] | None = None) -> int:
    """Supervises the workers of a plan until TERM or INT has drained them; returns the exit status.

    Raises StartError when an address cannot be bound.
    """
    return Supervisor(plan, read, admin, on_ready).run()
