"""Processes by fork: what a child begins with, and an answer from one that lives for a single call.

The supervisor has neither threads nor a loop, so that a fork copies nothing that could be held by somebody. What is
hard is the moment after it: the child has the parent's handlers and its wakeup descriptor, so a signal that came then
would be told to the parent. All signals are blocked around the fork; whoever is ready for them calls allow_signals().
"""

from __future__ import annotations

import contextlib
import gc
import logging
import os
import pickle
import signal
import sys
import time
import traceback
from collections.abc import Callable
from typing import Any, NoReturn

from weir.control.errors import PlanRefused

__all__ = ["Answer", "allow_signals", "fork", "hold_orders", "hold_signals", "leave"]

log = logging.getLogger("weir")

# Of those that weir handles; a child begins with the system's own.
HANDLED = (
    signal.SIGTERM,
    signal.SIGINT,
    signal.SIGQUIT,
    signal.SIGHUP,
    signal.SIGUSR1,
    signal.SIGUSR2,
    signal.SIGCHLD,
)
_ANSWER_BYTES = 64 << 20


def hold_signals() -> None:
    """Keeps the handled signals waiting."""
    signal.pthread_sigmask(signal.SIG_BLOCK, HANDLED)


def hold_orders() -> None:
    """Keeps those waiting that tell a running weir what to do, until it runs: they would end one that starts."""
    signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2))


def allow_signals() -> None:
    """Lets them through, those that came meanwhile first."""
    signal.pthread_sigmask(signal.SIG_UNBLOCK, HANDLED)


def fork(child: Callable[[], int]) -> int:
    """Runs `child` in a new process, which ends with its result as exit status; returns the process's id.

    In the child the handled signals are blocked, and have their default actions. OSError if there is no process.
    """
    flush()
    if signal.getsignal(signal.SIGCHLD) == signal.SIG_IGN:
        # By whoever has started this process. Nobody could wait for a child.
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    before = signal.pthread_sigmask(signal.SIG_BLOCK, HANDLED)
    try:
        pid = os.fork()
    except BaseException:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        raise
    if pid != 0:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        return pid
    status = 70  # EX_SOFTWARE of sysexits.h
    try:
        signal.set_wakeup_fd(-1)
        for number in HANDLED:
            signal.signal(number, signal.SIG_DFL)
        status = child()
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else 1
    except BaseException:
        traceback.print_exc()
    finally:
        leave(status)


def leave(status: int) -> NoReturn:
    """Ends a child: what its parent would do at its end (files, exit handlers) is the parent's to do."""
    flush()
    os._exit(status)


def flush() -> None:
    """What was said is said now, as far as anybody takes it: a pipe without a reader must not keep weir from a fork."""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):
            stream.flush()


class Answer:
    """What `call` returns in a process of its own, which is gone afterwards with all that it imported.

    Readable (`fileno`) when there is more of it. PlanRefused that `call` raises comes out of `get()`.
    """

    def __init__(self, call: Callable[[], object], timeout_s: float) -> None:
        self._reading, writing = os.pipe()
        self._received = bytearray()
        self.deadline = time.monotonic() + timeout_s
        try:
            self.pid = fork(lambda: self._answer(call, writing))
        except BaseException:
            os.close(self._reading)
            raise
        finally:
            os.close(writing)

    def fileno(self) -> int:
        return self._reading

    def _answer(self, call: Callable[[], object], writing: int) -> int:
        allow_signals()
        os.close(self._reading)
        # It lives for a moment, and would only copy pages by looking at them.
        gc.disable()
        answer: tuple[bool, object]
        try:
            answer = (True, call())
        except PlanRefused as error:
            answer = (False, str(error))
        # Who asked may have ended meanwhile: then nobody is there to be told.
        with contextlib.suppress(BrokenPipeError), os.fdopen(writing, "wb", closefd=False) as pipe:
            pickle.dump(answer, pipe)
        return 0

    def read(self) -> bool:
        """Takes what is there, waiting for at least something; whether that was all."""
        piece = os.read(self._reading, 1 << 16)
        self._received += piece
        if len(self._received) > _ANSWER_BYTES:
            self.cancel()
            raise PlanRefused("the configuration is too large")
        return not piece

    def get(self) -> Any:
        """The result, after read() was True. PlanRefused as raised, or because the process ended without one."""
        os.close(self._reading)
        _pid, status = os.waitpid(self.pid, 0)
        try:
            good, result = pickle.loads(bytes(self._received))
        except Exception:
            code = os.waitstatus_to_exitcode(status)
            raise PlanRefused(f"the configuration could not be read: the process that read it {ended(code)}") from None
        if not good:
            raise PlanRefused(str(result))
        return result

    def cancel(self) -> None:
        """Ends the process and forgets it."""
        os.kill(self.pid, signal.SIGKILL)
        os.close(self._reading)
        os.waitpid(self.pid, 0)


def ended(code: int) -> str:
    """How a process ended, in words, for its os.waitstatus_to_exitcode()."""
    if code >= 0:
        return f"ended with status {code}"
    try:
        name = signal.Signals(-code).name.removeprefix("SIG")
    except ValueError:
        name = str(-code)
    return f"was ended by {name}"
