"""All processes that the supervisor has started and not yet waited for, and the slots of workers in the table."""

from __future__ import annotations

import logging
import os
import signal
import socket
import time
from collections.abc import Callable, Iterable, Iterator

from weir.control.crew import Member, Place
from weir.control.spawn import fork
from weir.stats import layout
from weir.stats.publish import clear

__all__ = ["Processes"]

log = logging.getLogger("weir")


class Processes:
    """`let_go` is called in each child: it closes what is the supervisor's, but the sockets that are to be kept.

    `free` are the slots of the table that nobody has. `elsewhere` are those that the workers of an earlier supervisor
    may still have; reclaim() finds out.
    """

    def __init__(self, memory: layout.Table, free: Iterable[int], let_go: Callable[[set[socket.socket]], None]) -> None:
        self.memory = memory
        self.free = set(free)
        self.elsewhere = set(range(layout.read_header(memory).workers)) - self.free
        self._let_go = let_go
        self._by_pid: dict[int, Member] = {}

    def __iter__(self) -> Iterator[Member]:
        return iter(list(self._by_pid.values()))

    def __len__(self) -> int:
        return len(self._by_pid)

    def start(
        self,
        place: Place,
        name: str,
        keep: Iterable[socket.socket],
        life: Callable[[socket.socket], int],
        slot: int = -1,
    ) -> bool:
        """Puts a new process into a place; whether there is one.

        `life` is what it does: it gets its line to the supervisor. Of the supervisor's sockets it has those in `keep`.
        """
        try:
            ours, theirs = socket.socketpair()
        except OSError as error:
            return self._cannot(place, name, error)

        def child() -> int:
            self._let_go(set(keep))
            for member in self:
                member.channel.close()
            ours.close()
            return life(theirs)

        try:
            pid = fork(child)
        except OSError as error:
            ours.close()
            return self._cannot(place, name, error)
        finally:
            theirs.close()
        ours.setblocking(False)
        place.member = self._by_pid[pid] = Member(pid, f"{name} (process {pid})", ours, slot)
        self.free.discard(slot)
        return True

    @staticmethod
    def _cannot(place: Place, name: str, error: OSError) -> bool:
        log.error("cannot start %s: %s; trying again", name, (error.strerror or str(error)).lower())
        place.due = time.monotonic() + 1.0
        return False

    def reap(self) -> list[tuple[Member, int]]:
        """Those that have ended since the last time, with their os.waitstatus_to_exitcode()."""
        ended = []
        for member in self:
            pid, status = os.waitpid(member.pid, os.WNOHANG)
            if pid == 0:
                continue
            del self._by_pid[pid]
            member.channel.close()
            if member.slot >= 0:
                # Whoever was killed could not say that nothing is open any more.
                clear(self.memory, member.slot)
                self.free.add(member.slot)
            ended.append((member, os.waitstatus_to_exitcode(status)))
        return ended

    def reclaim(self) -> None:
        """The earlier supervisor is gone: slots whose worker is gone as well are free."""
        where = layout.read_header(self.memory).places
        for slot in list(self.elsewhere):
            pid = layout.read(self.memory, where.workers_at + slot * where.worker_bytes, layout.WORKER, "pid")
            if pid == 0 or not os.path.exists(f"/proc/{pid}"):
                clear(self.memory, slot)
                self.elsewhere.discard(slot)
                self.free.add(slot)

    def end_late(self, now: float) -> None:
        """Kills who has not begun, or ended, in time."""
        for member in self:
            if now >= member.deadline:
                if not member.aborted:
                    log.error("%s does not end or begin in time: it is killed", member.name)
                member.abort()

    def end_hung(self, now: float, since: float, timeout_s: Callable[[Member], float]) -> None:
        """Ends workers without a sign of life; nobody had to give one before `since`."""
        where = layout.read_header(self.memory).places
        for member in self:
            if member.slot < 0 or member.aborted:
                continue
            at = where.workers_at + member.slot * where.worker_bytes
            beat = layout.read(self.memory, at, layout.WORKER, "heartbeat_us") / 1e6
            silent = now - max(beat, member.started, since)
            if silent > timeout_s(member):
                log.error("%s has shown no sign of life for %.0f s: it is replaced", member.name, silent)
                member.abort()

    def kill(self) -> None:
        """No child is left after this."""
        for member in self:
            member.signal(signal.SIGKILL)
        for member in self:
            os.waitpid(member.pid, 0)
            member.channel.close()
        self._by_pid.clear()
