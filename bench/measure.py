"""What processes have used, read from outside them.

CPU time in all comes from each process's CPU clock (clock_getcpuclockid(3)): nanoseconds, all threads, ended ones
included. How it divides into user and system comes from utime and stime of /proc/PID/stat, which the kernel
samples at its
tick: good over seconds, useless over milliseconds. Work in the network stack done on behalf of a process (on the
loopback interface that is nearly all of it) counts as its system time unless the kernel was built with
CONFIG_IRQ_TIME_ACCOUNTING.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Cpu", "Memory", "cpu", "cpu_between", "memory", "peak_rss", "reset_peak", "tree"]

PROC = Path("/proc")
# CPUCLOCK_SCHED of the kernel's include/linux/posix-timers.h: time on a CPU as the scheduler counts it.
_CLOCK_SCHED = 2


@dataclass(frozen=True)
class Cpu:
    """CPU time of some processes: `total` in seconds, `user` and `system` in seconds with the same sum."""

    total: float
    user: float
    system: float


@dataclass(frozen=True)
class _Reading:
    nanoseconds: int
    user_ticks: int
    system_ticks: int


@dataclass(frozen=True)
class Memory:
    """Resident memory of some processes in bytes: `pss` divides shared pages among those who share them."""

    rss: int
    pss: int


def tree(pid: int) -> list[int]:
    """The process `pid` and all its descendants that live now; empty if it has ended."""
    children: dict[int, list[int]] = {}
    living = set()
    for entry in PROC.iterdir():
        if not entry.name.isdigit():
            continue
        try:
            fields = _stat(int(entry.name))
        except OSError:
            continue
        if fields[0] == "Z":
            continue
        living.add(int(entry.name))
        children.setdefault(int(fields[1]), []).append(int(entry.name))
    if pid not in living:
        return []
    found = [pid]
    for parent in found:
        found.extend(children.get(parent, []))
    return found


def cpu(pids: list[int]) -> dict[int, _Reading]:
    """A reading of the CPU time of each of `pids`, for `cpu_between`; processes that have ended are left out."""
    readings = {}
    for pid in pids:
        try:
            nanoseconds = time.clock_gettime_ns((~pid << 3) | _CLOCK_SCHED)
            fields = _stat(pid)
        except OSError:
            continue
        readings[pid] = _Reading(nanoseconds, int(fields[11]), int(fields[12]))
    return readings


def cpu_between(before: dict[int, _Reading], after: dict[int, _Reading]) -> Cpu:
    """CPU time used from one reading to the next; a process that is new in `after` counts from its start."""
    zero = _Reading(0, 0, 0)
    total = user = system = 0
    for pid, now in after.items():
        then = before.get(pid, zero)
        total += now.nanoseconds - then.nanoseconds
        user += now.user_ticks - then.user_ticks
        system += now.system_ticks - then.system_ticks
    share = user / (user + system) if user + system else 0.0
    seconds = total / 1e9
    return Cpu(seconds, seconds * share, seconds * (1 - share))


def memory(pids: list[int]) -> Memory:
    """What `pids` have resident now, exact (smaps_rollup; statm lags behind by some pages per thread)."""
    sums = {"Rss:": 0, "Pss:": 0}
    for pid in pids:
        try:
            text = (PROC / str(pid) / "smaps_rollup").read_text()
        except OSError:
            continue
        for line in text.splitlines():
            word = line.split(maxsplit=2)
            if word[0] in sums:
                sums[word[0]] += int(word[1]) * 1024
    return Memory(sums["Rss:"], sums["Pss:"])


def reset_peak(pids: list[int]) -> None:
    """Lets the peak of resident memory start anew from what is resident now (proc(5), clear_refs)."""
    for pid in pids:
        try:
            (PROC / str(pid) / "clear_refs").write_text("5")
        except OSError:
            continue


def peak_rss(pids: list[int]) -> int:
    """Sum of the peaks of resident memory since `reset_peak`, in bytes; pages shared by two processes count twice."""
    total = 0
    for pid in pids:
        try:
            text = (PROC / str(pid) / "status").read_text()
        except OSError:
            continue
        total += sum(int(line.split()[1]) * 1024 for line in text.splitlines() if line.startswith("VmHWM:"))
    return total


def _stat(pid: int) -> list[str]:
    """The fields of /proc/PID/stat from the third (state) on: the second, the name, may hold spaces."""
    return (PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
