"""The supervisor: it owns what outlives a worker (sockets, statistics), starts workers, watches them, and reloads.

It has no loop, no thread and no library of others, so that a fork of it is small and holds nothing up: it waits in
poll() for signals, for what its children say, and for its own times. What is hard is that everything may happen during
everything else; so each event only notes what is wanted, and `_work` does what is due.
"""

from __future__ import annotations

import functools
import gc
import logging
import os
import signal
import socket
import time
from collections.abc import Callable

from weir.config.plan import Plan
from weir.control import child
from weir.control.crew import Crew, Member, Place, Stage, worker_count
from weir.control.errors import StartError
from weir.control.holdings import Holdings
from weir.control.keeper import AdminMain
from weir.control.members import adopt_endpoints
from weir.control.notify import Notifier
from weir.control.passed import Passed
from weir.control.processes import Processes
from weir.control.reloading import Reloading, needs_restart
from weir.control.sockets import raise_descriptor_limit
from weir.control.spawn import allow_signals, ended
from weir.control.status import StatusLine, say, say_faults
from weir.control.stock import Stock
from weir.control.takeover import Predecessor
from weir.control.upgrade import Upgrading
from weir.control.waiting import Waiting
from weir.control.watching import Watching
from weir.control.worker import HEARTBEAT_S, Seat, make_rules, name_plan
from weir.stats import layout

__all__ = ["Supervisor", "run"]

log = logging.getLogger("weir")

ReadPlan = Callable[[], Plan]

_HEARD = (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2, signal.SIGCHLD)


class Supervisor:
    """Runs the workers of a plan until it is told to end.

    `read` reads the plan anew; it runs in a process of its own. `on_ready` gets the bound addresses once, when all
    workers accept. `admin` is the life of the admin process. `passed` are sockets of a service manager, `predecessor`
    is a weir to take over from, `watching` says when to reload without being told. Raises StartError.
    """

    def __init__(
        self,
        plan: Plan,
        read: ReadPlan,
        admin: AdminMain,
        on_ready: Callable[[list[str]], None] | None = None,
        passed: Passed | None = None,
        predecessor: Predecessor | None = None,
        watching: Watching | None = None,
    ) -> None:
        self.read = read
        self.watching = watching
        self.on_ready = on_ready
        self.holdings = Holdings(plan, admin, passed, predecessor)
        self.predecessor = predecessor
        self.admin = self.holdings.admin
        self.memory = self.holdings.memory
        self.processes = Processes(self.memory, self.holdings.free, self._let_go)
        self.slots = layout.read_header(self.memory).workers
        self.crew = Crew(1, plan, self.holdings.stock, name_plan(self.memory, plan), self.holdings.rules)
        self.coming: Crew | None = None  # starts, to take over from `crew`
        self.leaving: list[Member] | None = None  # from whom `crew` has taken over, while one of them may accept
        self.reloading = Reloading(self._read, self._refuse)
        self.reloads = 0
        self.refused = ""  # why the last reload came to nothing
        self.started = False
        self.ending = 0  # 1: drain, 2: at once
        self.status = 0
        # If the supervisor itself was stopped for so long, nobody can be blamed for an old heartbeat.
        self.waiting = Waiting(_HEARD, absent_s=3 * HEARTBEAT_S)
        self._status = StatusLine()
        self.notifier = Notifier()
        self.upgrading = Upgrading(self.processes, self.holdings.pid_file, self.notifier)

    # -- from outside -------------------------------------------------------------------------------------

    def run(self) -> int:
        """Returns the exit status when everything has ended: 0, or 1 if the first workers did not come up."""
        raise_descriptor_limit()
        self.waiting.open()
        # What exists now is never freed: a fork that looked at it would copy its pages.
        gc.collect()
        gc.freeze()
        try:
            while not self.ending or self.processes:
                self._work()
                self._tell()
                self._wait()
        finally:
            self._leave()
        return self.status

    def _leave(self) -> None:
        """Nothing stays: whatever happened, no child outlives the supervisor."""
        self.waiting.close()
        self.reloading.cancel()
        self.processes.kill()
        self._close_stocks()
        if self.upgrading.handed_over:
            self.admin.release()
        self.holdings.end()
        self.notifier.close()

    # -- waiting ------------------------------------------------------------------------------------------

    def _wait(self) -> None:
        lines: dict[int, Callable[[], None]] = {}
        for member in self.processes:
            if not member.line_ended:
                lines[member.channel.fileno()] = functools.partial(self._on_line, member)
        if self.reloading.answer is not None:
            lines[self.reloading.answer.fileno()] = self.reloading.on_readable
        if (line := self.upgrading.line()) is not None:
            lines[line[0]] = line[1]
        if self.predecessor is not None and not self.predecessor.is_gone:
            lines[self.predecessor.channel.fileno()] = self.predecessor.on_readable
        signals, ready = self.waiting.wait(lines, self._pause())
        for number in signals:
            self._on_signal(number)
        for fd in ready:
            lines[fd]()
        for member, code in self.processes.reap():
            self._gone(member, code)

    def _pause(self) -> float:
        """Seconds until something is due; at most until heartbeats are to be looked at."""
        now = time.monotonic()
        times = [now + min(HEARTBEAT_S, self.notifier.watchdog_s or HEARTBEAT_S)]
        times += [self.reloading.deadline(), self.upgrading.deadline()]
        times += [member.deadline for member in self.processes]
        if not self.ending:
            times += [place.due for crew in self._crews() for place in crew.places if place.member is None]
            if self.started and self.admin.sockets and self.admin.place.member is None and self._may_admin():
                times.append(self.admin.place.due)
            if self.started and self.watching is not None:
                times.append(self.watching.due)
        return max(0.0, min(times) - now)

    def _on_signal(self, number: signal.Signals) -> None:
        if number in (signal.SIGTERM, signal.SIGINT):
            self._end(2 if self.ending else 1)
        elif number == signal.SIGQUIT:
            self._end(2)
        elif number == signal.SIGHUP:
            if not self.ending:
                self.reloading.wanted = True
                self.notifier.reloading()
        elif number == signal.SIGUSR2:
            self.upgrading.wanted = not self.ending
        elif number == signal.SIGUSR1:
            self.holdings.reopen(self.crew.plan)
            for member in self.processes:
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
        member.has_left |= child.DRAINING in said
        if member.has_left and member.stage is Stage.SERVING:
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

    def _gone(self, member: Member, code: int) -> None:
        member.has_left = True
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
        return next((crew for crew in self._crews() if crew.place_of(member) is not None), None)

    def _crews(self) -> list[Crew]:
        return [self.crew] if self.coming is None else [self.crew, self.coming]

    # -- what is due --------------------------------------------------------------------------------------

    def _work(self) -> None:
        now = time.monotonic()
        self.processes.end_late(now)
        if self.upgrading.work(now):
            if self.reloading.wanted:
                # The next weir may have read the file before it was changed.
                self.upgrading.pass_on(signal.SIGHUP)
            self._end(1)
        if self.ending:
            self._end_admin()
            return
        self.processes.end_hung(now, self.waiting.since, self._heartbeat_timeout_s)
        self._start_due(self.crew, now)
        if self.coming is not None:
            self._start_due(self.coming, now)
            if self.coming.is_ready():
                self._hand_over()
        elif not self.started and self.crew.is_ready():
            self.started = True
            if self.predecessor is not None:
                self.predecessor.say_ready()
            else:
                self._announce()
        if self.leaving is not None and all(member.has_left for member in self.leaving):
            self._say_in_use()
        if self.started:
            self._work_started(now)

    def _work_started(self, now: float) -> None:
        """What is due when it has begun."""
        if self.watching is not None and self.watching.look(now, self.crew.plan.hooks):
            self.reloading.wanted = True
        before = self.predecessor
        if before is not None:
            self._work_takeover(before)
        elif self.upgrading.successor is None:
            if self.processes.elsewhere:
                self.processes.reclaim()
            if self.coming is None and not self.reloading.is_under_way() and self.upgrading.wanted:
                if self.processes.are_sure():
                    self.upgrading.begin(self.crew.plan.upgrade_program, self.crew.stock, self.admin.at())
            elif self.coming is None:
                self.reloading.work(now)
            if self.reloading.plan is not None and self.coming is None:
                self._prepare(self.reloading.plan)
        if self.admin.is_due(now) and self._may_admin():
            self._start_admin()

    def _may_admin(self) -> bool:
        return self.predecessor is None or self.predecessor.may_admin

    def _work_takeover(self, before: Predecessor) -> None:
        if before.may_take and not self.holdings.is_ours:
            self.holdings.take_over(self.crew.stock)
            adopt_endpoints(self.memory, self.crew.plan.clusters)
            self.crew.stock.settle(self.crew.plan)
            self._announce()
        if before.is_gone:
            self.predecessor = None

    def _announce(self) -> None:
        """It serves: whoever wants to know hears it."""
        self.holdings.announce()
        self.notifier.ready("serving")
        say_faults(self.crew.plan)
        if self.on_ready is not None:
            self.on_ready(self.crew.stock.texts())

    def _heartbeat_timeout_s(self, member: Member) -> float:
        return (self._crew_of(member) or self.crew).plan.heartbeat_timeout_ms / 1000

    def _start_due(self, crew: Crew, now: float) -> None:
        for place in crew.places:
            if place.member is None and now >= place.due:
                self._start(crew, place)

    def _start(self, crew: Crew, place: Place) -> None:
        free = self.processes.free
        if not free:
            # Those who drain have all of them; their time is limited.
            place.due = time.monotonic() + 0.2
            return
        slot = place.last_slot if place.last_slot in free else min(free)
        # The table's own file will do: nobody else locks it.
        seat = Seat(self.memory, slot, crew.routes, crew.rules, log_turns=self.memory.fd)
        share = crew.stock.share(place.number)

        def serve(line: socket.socket) -> int:
            self.holdings.become()
            return child.serve(crew.plan, seat, share, line)

        self.processes.start(place, f"worker {place.number + 1}", {sock for _number, sock in share}, serve, slot)

    def _start_admin(self) -> None:
        plan, rules, sockets = self.crew.plan, self.crew.rules, list(self.admin.sockets)

        def serve(line: socket.socket) -> int:
            self.holdings.become()
            return self.admin.main(plan, self.memory, sockets, line, allow_signals, rules)

        self.processes.start(self.admin.place, "the admin process", sockets, serve)

    def _let_go(self, keep: set[socket.socket]) -> None:
        """In a child: closes what is the supervisor's and not the child's. A socket that somebody else held open
        would go on to be given connections when the supervisor has closed it."""
        held = self.admin.all_sockets().union(*(crew.stock.sockets() for crew in self._crews()))
        if self.predecessor is not None:
            held |= self.predecessor.stock.sockets() | {self.predecessor.channel}
        for sock in held - keep:
            sock.close()
        self.upgrading.let_go()
        self.holdings.pid_file.release()
        self.notifier.close()
        self.waiting.let_go()
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
        why_not = needs_restart(self.crew.plan, plan)
        if why_not:
            self._refuse(why_not)
            return
        if workers > len(self.processes.free):
            return
        self.reloading.plan = None
        stock = self.crew.stock
        try:
            self.admin.prepare(plan.admin)
            rules = make_rules(plan, self.slots, self.crew.rules)
            stock = Stock(plan, workers, self.crew.stock)
            self.holdings.give(plan, stock)
            routes = name_plan(self.memory, plan)
        except (StartError, ValueError) as error:
            if stock is not self.crew.stock:
                stock.close(keep=self.crew.stock)
            self.admin.abandon()
            room = f"the statistics table has no place left ({error}): restart weir for that"
            self._refuse(str(error) if isinstance(error, StartError) else room)
            return
        self.coming = Crew(self.crew.generation + 1, plan, stock, routes, rules)
        self._start_due(self.coming, time.monotonic())

    def _hand_over(self) -> None:
        """The new workers serve: the old ones drain."""
        assert self.coming is not None
        before = self.leaving or []
        self._say_in_use()
        old, self.crew, self.coming = self.crew, self.coming, None
        self.leaving = before + old.drain()
        old.stock.close(keep=self.crew.stock)
        adopt_endpoints(self.memory, self.crew.plan.clusters)
        self.crew.stock.settle(self.crew.plan)
        self.admin.hand_over()
        if self.admin.place.member is not None:
            self.admin.place.member.drain(0.0)
        self.reloads, self.refused = self.reloads + 1, ""

    def _say_in_use(self) -> None:
        """The old workers accept no more, or something else begins: the last reload is complete."""
        if self.leaving is not None:
            self.leaving = None
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
        self._say_in_use()
        self.reloading.plan, self.refused = None, why
        for line in why.splitlines():
            say(line)
        say("not reloaded: the configuration in use stays as it is")
        self.notifier.ready("serving; the last reload was refused")

    # -- the end ------------------------------------------------------------------------------------------

    def _end(self, how: int) -> None:
        self.ending = max(self.ending, how)
        self.reloading.cancel()
        self._say_in_use()
        if self.holdings.is_ours and not self.upgrading.handed_over:
            self.notifier.stopping()
        self.upgrading.forget()
        self._close_stocks()
        for member in self.processes:
            if how == 1 and member is self.admin.place.member:
                continue  # it shows what still drains
            if how == 1:
                crew = self._crew_of(member) or self.crew
                member.drain(crew.plan.drain_timeout_ms / 1000)
            else:
                member.stop()

    def _end_admin(self) -> None:
        """The admin process ends last; at once if there is a successor, whose own one waits for it."""
        member = self.admin.place.member
        if member is None:
            self.upgrading.admin_ended()
        elif len(self.processes) == 1 or self.upgrading.handed_over:
            member.drain(0.0)

    def _tell(self) -> None:
        """Others hear how it stands: the admin process and the service manager."""
        if self.holdings.is_ours:
            self.notifier.alive(time.monotonic())
        self._status.tell(
            self.admin.place.member,
            self.processes,
            generation=self.crew.generation,
            reloads=self.reloads,
            refused=self.refused,
            reloading=self.reloading.is_under_way() or self.coming is not None,
            ending=bool(self.ending),
        )

    def _close_stocks(self) -> None:
        """Who connects from now on is refused, not kept waiting; or served by the next weir."""
        for crew in self._crews():
            if self.upgrading.handed_over:
                crew.stock.release()
            else:
                self.holdings.close(crew.stock)


def run(
    plan: Plan,
    read: ReadPlan,
    admin: AdminMain,
    *,
    on_ready: Callable[[list[str]], None] | None = None,
    passed: Passed | None = None,
    predecessor: Predecessor | None = None,
    watching: Watching | None = None,
) -> int:
    """Supervises the workers of a plan until TERM or INT has drained them; returns the exit status.

    Raises StartError when an address cannot be bound.
    """
    return Supervisor(plan, read, admin, on_ready, passed, predecessor, watching).run()
