"""All processes that the supervisor has started and not yet waited for, and the slots of workers in the table."""

from __future__ import annotations

import logging
import os
import signal
import socket
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Final

from weir.control.crew import Member, Place
from weir.control.spawn import fork
from weir.stats import layout
from weir.stats.publish import clear

__all__ = ["Processes"]

log = logging.getLogger("weir")

# For so long the slots of a weir that was killed are nobody's: a worker that it had just forked has not said yet who it
# is.
SURE_S: Final = 1.0


class Processes:
    """`let_go` is called in each child: it closes what is the supervisor's, but the sockets that are to be kept.

    `free` are the slots of the table that nobody has. `elsewhere` are those that the workers of an earlier supervisor
    may still have; reclaim() finds out.
    """

    def __init__(self, memory: layout.Table, free: Iterable[int], let_go: Callable[[set[socket.socket]], None]) -> None:
        self.memory = memory
        self.free = set(free)
        self.elsewhere = set(range(layout.read_header(memory).workers)) - self.free
        self._unsure: dict[int, float] = {}  # of `elsewhere`: until when
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
            self._claim(slot, os.getpid())
            return life(theirs)

        try:
            pid = fork(child)
        except OSError as error:
            ours.close()
            return self._cannot(place, name, error)
        finally:
            theirs.close()
        self._claim(slot, pid)
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

    def _claim(self, slot: int, pid: int) -> None:
        """A slot says whose it is before its worker does: both sides of a fork, for either may be killed."""
        if slot >= 0:
            layout.write(self.memory, self._at(slot), layout.WORKER, pid=pid)

    def _at(self, slot: int) -> int:
        where = layout.read_header(self.memory).places
        return where.workers_at + slot * where.worker_bytes

    def left_behind(self, slots: set[int]) -> None:
        """Slots of a weir that is gone, and did not say what becomes of its workers."""
        self.elsewhere |= slots
        self._unsure |= dict.fromkeys(slots, time.monotonic() + SURE_S)

    def are_sure(self) -> bool:
        """Whether `free` is not about to change by itself."""
        return not self._unsure

    def reclaim(self) -> None:
        """The earlier supervisor is gone: slots whose worker is gone as well are free."""
        now = time.monotonic()
        self._unsure = {slot: until for slot, until in self._unsure.items() if until > now}
        for slot in list(self.elsewhere - self._unsure.keys()):
            if not counts_in(self.memory.fd, layout.read(self.memory, self._at(slot), layout.WORKER, "pid")):
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
        for member in self:
            if member.slot < 0 or member.aborted:
                continue
            beat = layout.read(self.memory, self._at(member.slot), layout.WORKER, "heartbeat_us") / 1e6
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


def counts_in(fd: int, pid: int) -> bool:
    """Whether a process, which may be nobody's child here, has mapped the table behind a descriptor.

    Its number alone says little: it may be another program's by now, or that of a process which has ended and which
    nobody waits for, as it happens in containers. In doubt it does.
    """
    if pid == 0:
        return False
    number = str(os.fstat(fd).st_ino)
    try:
        with open(f"/proc/{pid}/stat") as file:
            if file.read().rpartition(")")[2].split()[0] in ("Z", "X"):
                return False
        with open(f"/proc/{pid}/maps") as file:
            parts = (line.split(maxsplit=5) for line in file)
            return any(len(part) == 6 and part[4] == number and part[5].startswith("/memfd:") for part in parts)
    except (FileNotFoundError, ProcessLookupError):
        return False
    except OSError:
        return True  # another user's, who is not shown
