"""Network namespaces: weir in the middle, and around it clients and endpoints behind links that can be slow or cut.

    client   other
        \\    /
         weir
        /    \\
     near     far

Every line is a pair of virtual interfaces. `slow` limits what goes towards a place (tc, token bucket filter), `cut`
lets packets vanish in both directions (nft): nobody is told, as when a cable is drawn. What is made is taken away at
the end, also that of a run that was killed.
"""

from __future__ import annotations

import ctypes
import os
import re
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Self, TypeVar

__all__ = ["Spaces"]

T = TypeVar("T")
PLACES = ("client", "other", "near", "far")
MIDDLE = "weir"
NEEDED = "needed: root, iproute2, nftables, and a kernel with network namespaces, veth, sch_tbf and nf_tables"
CLONE_NEWNET = 0x40000000  # of linux/sched.h


def run(*command: str) -> str:
    """Runs a command. AssertionError with what it said if it fails, and with what these tests need."""
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, f"{' '.join(command)}: {done.stderr.strip()}; {NEEDED}"
    return done.stdout


class Spaces:
    """The namespaces of one test; a context manager."""

    def __init__(self) -> None:
        self._prefix = f"weirtest{os.getpid()}"

    def __enter__(self) -> Self:
        self._sweep()
        try:
            for place in (MIDDLE, *PLACES):
                run("ip", "netns", "add", self.name(place))
                self.command(place, "ip", "link", "set", "lo", "up")
            for number, place in enumerate(PLACES):
                self._link(number, place)
        except BaseException:
            self._remove(self._prefix)
            raise
        return self

    def __exit__(self, *_exception: object) -> None:
        self._remove(self._prefix)

    def name(self, place: str) -> str:
        return f"{self._prefix}-{place}"

    def command(self, place: str, *command: str) -> str:
        return run("ip", "netns", "exec", self.name(place), *command)

    def address(self, place: str) -> str:
        """Of the place itself."""
        return f"10.231.{PLACES.index(place)}.2"

    def middle(self, place: str) -> str:
        """Of weir's side of its link."""
        return f"10.231.{PLACES.index(place)}.1"

    def inside(self, place: str, call: Callable[[], T]) -> T:
        """Calls it there. Sockets that it makes stay there, and so do threads that it starts."""
        found: list[T] = []
        problem: list[BaseException] = []

        def enter() -> None:
            try:
                with Path(f"/run/netns/{self.name(place)}").open() as space:
                    libc = ctypes.CDLL(None, use_errno=True)
                    assert libc.setns(space.fileno(), CLONE_NEWNET) == 0, os.strerror(ctypes.get_errno())
                found.append(call())
            except BaseException as error:
                problem.append(error)

        thread = threading.Thread(target=enter)
        thread.start()
        thread.join()
        if problem:
            raise problem[0]
        return found[0]

    # -- what links do

    def slow(self, place: str, rate: str = "1mbit") -> None:
        """So much goes towards the place, and no more."""
        settings = ("rate", rate, "burst", "16kb", "latency", "200ms")
        self.command(MIDDLE, "tc", "qdisc", "replace", "dev", f"to-{place}", "root", "tbf", *settings)

    def cut(self, place: str) -> None:
        """Packets to and from the place vanish."""
        for where, interface in ((place, "uplink"), (MIDDLE, f"to-{place}")):
            rules = f"""
                table inet cut_{place} {{
                    chain incoming {{
                        type filter hook input priority 0;
                        iifname "{interface}" drop
                    }}
                }}"""
            self.command(where, "nft", rules)

    def mend(self, place: str) -> None:
        for where in (place, MIDDLE):
            self.command(where, "nft", f"delete table inet cut_{place}")

    # -- how they are made and taken away

    def _link(self, number: int, place: str) -> None:
        self.command(MIDDLE, "ip", "link", "add", f"to-{place}", "type", "veth", "peer", "name", f"w{number}")
        self.command(MIDDLE, "ip", "link", "set", f"w{number}", "netns", self.name(place))
        self.command(place, "ip", "link", "set", f"w{number}", "name", "uplink")
        for where, interface, address in (
            (place, "uplink", self.address(place)),
            (MIDDLE, f"to-{place}", self.middle(place)),
        ):
            self.command(where, "ip", "address", "add", f"{address}/30", "dev", interface)
            self.command(where, "ip", "link", "set", interface, "up")

    def _sweep(self) -> None:
        """Takes away what is left of runs that were killed."""
        for name in run("ip", "netns", "list").split():
            found = re.fullmatch(r"(weirtest(\d+))-\w+", name)
            if found and not Path(f"/proc/{found[2]}").exists():
                subprocess.run(["ip", "netns", "delete", name], check=False)

    def _remove(self, prefix: str) -> None:
        for place in (MIDDLE, *PLACES):
            subprocess.run(["ip", "netns", "delete", f"{prefix}-{place}"], check=False, stderr=subprocess.DEVNULL)
