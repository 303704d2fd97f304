"""From one weir to the next without a closed port: the running supervisor starts a new one, which takes over.

The new one is another program, perhaps of another version: it inherits descriptors (the listening sockets, the
statistics table, a line to the old one) and a description of them, and reads the configuration anew. Until its workers
accept, nothing is decided; if they never do, the old one goes on as if nothing had been. Then the old one drains.

On the line each says a word of one byte: the new one READY, the old one TAKE (the pid file and the service manager are
yours) and ADMIN (so is the admin address: my admin process has closed the history). The line's end says all that, too.
"""

from __future__ import annotations

import contextlib
import json
import logging
import math
import os
import signal
import socket
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from weir.control.notify import Notifier
from weir.control.pidfile import PidFile
from weir.control.processes import Processes
from weir.control.sockets import PassedSocket
from weir.control.spawn import allow_signals, ended, fork
from weir.control.status import say
from weir.control.stock import Stock
from weir.stats import layout

__all__ = [
    "ADMIN",
    "FORM",
    "READY",
    "TAKE",
    "VARIABLE",
    "Successor",
    "Upgrading",
    "command_line",
    "descriptors",
    "receive",
]

log = logging.getLogger("weir")

READY, TAKE, ADMIN = b"R", b"T", b"A"
# The description's version: what it means may change with weir's own, and the new one has to know.
FORM = 1
VARIABLE = "WEIR_UPGRADE"
# To start Python, to read a configuration, and until the workers accept.
READY_S = 90.0


def describe(
    stock: Stock, admin: tuple[str, Sequence[socket.socket]], memory: layout.Table, free: Sequence[int], pid_file: str
) -> dict[str, Any]:
    """What a successor is told: everything that it inherits, by descriptor."""
    return {
        "form": FORM,
        "listeners": [
            [text, nth, [[[sock.fileno(), isinstance(sock, PassedSocket)] for sock in copy] for copy in copies]]
            for (text, nth), copies in stock.listeners.items()
        ],
        "admin": [admin[0], [[sock.fileno(), isinstance(sock, PassedSocket)] for sock in admin[1]]],
        "table": memory.fd,
        "free": list(free),
        "pid_file": pid_file,
    }


def command_line(program: str) -> tuple[str, list[str]]:
    """The file to execute, and its arguments: those of this process, by the same program or another `weir`.

    A script with an interpreter of its own is started as itself: it names the Python of its own environment.
    """
    if program:
        return program, [program, *sys.argv[1:]]
    script = os.path.abspath(sys.argv[0])
    with contextlib.suppress(OSError), open(script, "rb") as file:
        if file.read(2) == b"#!" and os.access(script, os.X_OK):
            return script, [script, *sys.argv[1:]]
    return sys.executable, [sys.executable, *sys.orig_argv[1:]]


class Upgrading:
    """What the old one does: `wanted` is set by the signal, begin() starts a successor, work() looks after it.

    `processes` gives it free slots of the table. `handed_over`: it serves, and this weir is to end.
    """

    def __init__(self, processes: Processes, pid_file: PidFile, notifier: Notifier) -> None:
        self._processes = processes
        self._pid_file = pid_file
        self._notifier = notifier
        self.wanted = False
        self.handed_over = False
        self.successor: Successor | None = None

    def begin(self, program: str, stock: Stock, admin: tuple[str, Sequence[socket.socket]]) -> None:
        """Starts it, with these sockets."""
        self.wanted = False
        if os.getpid() == 1:
            say("not upgraded: this is process 1, whose end is the container's: replace the container")
            return
        told = describe(stock, admin, self._processes.memory, sorted(self._processes.free), self._pid_file.path)
        command = command_line(program)
        try:
            self.successor = Successor(command, told, self._notifier.environment())
        except OSError as error:
            say(f"not upgraded: there is no process for it: {(error.strerror or str(error)).lower()}")
            return
        self._processes.free -= self.successor.free
        say(f"upgrading: process {self.successor.pid} starts, {command[0]}")

    def work(self, now: float) -> bool:
        """Whether it has just been handed over."""
        successor = self.successor
        if successor is None:
            return False
        if self.handed_over:
            successor.reap()
        elif successor.is_ready and successor.reap() is None:
            say(f"upgraded: process {successor.pid} serves; this one finishes what is in flight")
            self.handed_over = True
            self._notifier.handed_over(successor.pid)
            self._pid_file.release()
            successor.say(TAKE)
            return True
        elif (why := successor.failed(now)) is not None:
            say(f"not upgraded: process {successor.pid}: {why}; this one goes on")
            self.forget()
        return False

    def pass_on(self, number: signal.Signals) -> None:
        """A signal that came for whoever serves now."""
        if self.successor is not None and self.successor.reap() is None:
            os.kill(self.successor.pid, number)

    def admin_ended(self) -> None:
        """After it was handed over: the admin process has closed its files."""
        if self.successor is not None:
            self.successor.say(ADMIN)

    def forget(self) -> None:
        """It has come to nothing, or is not wanted any more. Workers that it has started end by themselves."""
        if self.successor is not None and not self.handed_over:
            self.successor.cancel()
            self._processes.left_behind(self.successor.free)
            self.successor = None

    def deadline(self) -> float:
        return self.successor.deadline if self.successor is not None and not self.handed_over else math.inf

    def line(self) -> tuple[int, Callable[[], None]] | None:
        """The descriptor of the line to it, and what to call when that is readable."""
        if self.successor is None or self.successor.line_ended:
            return None
        return self.successor.channel.fileno(), self.successor.on_readable

    def let_go(self) -> None:
        """In a child."""
        if self.successor is not None:
            self.successor.channel.close()


class Successor:
    """The old one's side: a new weir that starts. OSError if there is no process."""

    def __init__(self, command: tuple[str, list[str]], told: dict[str, Any], environment: Mapping[str, str]) -> None:
        self.deadline = time.monotonic() + READY_S
        self.free = set(told["free"])
        self.channel, theirs = socket.socketpair()
        self.is_ready = False
        self.line_ended = False
        self._code: int | None = None
        description = os.memfd_create("weir-upgrade", os.MFD_CLOEXEC)
        try:
            told["channel"] = theirs.fileno()
            os.write(description, json.dumps(told).encode())
            keep = [description, *descriptors(told)]
            variables = {**os.environ, **environment, VARIABLE: str(description)}
            self.pid = fork(lambda: execute(command, keep, variables))
        except BaseException:
            self.channel.close()
            raise
        finally:
            os.close(description)
            theirs.close()
        self.channel.setblocking(False)

    def on_readable(self) -> None:
        said = receive(self.channel)
        self.line_ended = said == b""
        self.is_ready = self.is_ready or READY in (said or b"")

    def say(self, word: bytes) -> None:
        with contextlib.suppress(OSError):
            self.channel.send(word)

    def failed(self, now: float) -> str | None:
        """Why it has come to nothing, before it was ready; None if it has not."""
        code = self.reap()
        if code is not None:
            return f"it {ended(code)} before it served"
        if now >= self.deadline:
            return f"it did not serve within {READY_S:.0f} s"
        return None

    def reap(self) -> int | None:
        """How it has ended, if it has."""
        if self._code is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            self._code = os.waitstatus_to_exitcode(status) if pid else None
        return self._code

    def cancel(self) -> None:
        """Ends it if it has not; its workers end with it."""
        if self.reap() is None:
            os.kill(self.pid, signal.SIGKILL)
            self._code = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        self.close()

    def close(self) -> None:
        self.channel.close()


def receive(channel: socket.socket) -> bytes | None:
    """What was said; b"" is the line's end, None nothing."""
    try:
        return channel.recv(64)
    except (BlockingIOError, InterruptedError):
        return None
    except OSError:
        return b""


def descriptors(told: dict[str, Any]) -> set[int]:
    listening = [place for _text, _nth, copies in told["listeners"] for copy in copies for place in copy]
    return {fd for fd, _passed in [*listening, *told["admin"][1]]} | {told["channel"], told["table"]}


def execute(command: tuple[str, list[str]], keep: Sequence[int], environment: Mapping[str, str]) -> int:
    """In a child: becomes another program, with those descriptors. Only returns if it cannot."""
    for fd in keep:
        os.set_inheritable(fd, True)
    allow_signals()
    try:
        os.execve(command[0], command[1], environment)
    except OSError as error:
        sys.stderr.write(f"weir: {command[0]} cannot be started: {(error.strerror or str(error)).lower()}\n")
        return 1
