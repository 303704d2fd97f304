"""How many processors this process may use."""

from __future__ import annotations

import math
import os
from pathlib import Path

__all__ = ["available"]

_CGROUP = Path("/sys/fs/cgroup")


def available(cgroup: Path = _CGROUP, own: Path = Path("/proc/self/cgroup")) -> int:
    """Those that the scheduler gives it (taskset, cpuset), or fewer where a container's quota is less; at least 1.

    A quota of two and a half processors is taken for three: the kernel shares out time, not processors.
    """
    count = len(os.sched_getaffinity(0))
    quota = min(_quotas(cgroup, own), default=float(count))
    return max(1, min(count, math.ceil(quota)))


def _quotas(cgroup: Path, own: Path) -> list[float]:
    """In processors: of the process's own group and of those it lies in (cgroup v2; the one of v1 for all)."""
    found = []
    for group in _groups(cgroup, own):
        try:
            quota, period = (group / "cpu.max").read_text().split()
            found.append(int(quota) / int(period))
        except (OSError, ValueError, ZeroDivisionError):
            # No such file, or "max": no quota here.
            continue
    try:
        v1 = cgroup / "cpu"
        quota_us = int((v1 / "cpu.cfs_quota_us").read_text())
        if quota_us > 0:
            found.append(quota_us / int((v1 / "cpu.cfs_period_us").read_text()))
    except (OSError, ValueError, ZeroDivisionError):
        pass
    return found


def _groups(cgroup: Path, own: Path) -> list[Path]:
    try:
        lines = own.read_text().splitlines()
    except OSError:
        return [cgroup]
    inside = next((line.removeprefix("0::") for line in lines if line.startswith("0::")), "/")
    # Bounded, whatever the file says.
    steps = [step for step in inside.split("/") if step not in ("", "..")][:64]
    return [cgroup.joinpath(*steps[:depth]) for depth in range(len(steps) + 1)]
