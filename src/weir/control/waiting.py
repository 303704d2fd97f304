"""Waiting in poll() for signals and for descriptors, without a loop of somebody else's."""

from __future__ import annotations

import math
import select
import signal
import socket
import time
from collections.abc import Iterable

from weir.control.spawn import allow_signals

__all__ = ["Waiting"]


class Waiting:
    """open() installs handlers for `signals` and lets them through, close() takes the wakeup descriptor back.

    `since` is when nobody can be blamed for not having done something: if the process itself was stopped for longer
    than `absent_s`, others may have been as well.
    """

    def __init__(self, signals: Iterable[signal.Signals], absent_s: float) -> None:
        self._signals = tuple(signals)
        self._absent_s = absent_s
        self._pair: tuple[socket.socket, socket.socket] | None = None
        self.since = self._woken = time.monotonic()

    def open(self) -> None:
        self._pair = socket.socketpair()
        for sock in self._pair:
            sock.setblocking(False)
        signal.set_wakeup_fd(self._pair[1].fileno(), warn_on_full_buffer=False)
        for number in self._signals:
            signal.signal(number, _noted)
        allow_signals()

    def wait(self, descriptors: Iterable[int], seconds: float) -> tuple[list[signal.Signals], list[int]]:
        """Signals that came, and which of the descriptors can be read, after `seconds` at the latest."""
        assert self._pair is not None
        own = self._pair[0].fileno()
        poll = select.poll()
        for fd in (own, *descriptors):
            poll.register(fd, select.POLLIN)
        ready = [fd for fd, _event in poll.poll(math.ceil(1000 * seconds))]
        now = time.monotonic()
        if now - self._woken > self._absent_s:
            self.since = now
        self._woken = now
        # Whatever poll() saw: a terminal's INT goes to the workers as well, who may have said so by now.
        try:
            signals = [signal.Signals(number) for number in self._pair[0].recv(4096)]
        except BlockingIOError:
            signals = []
        return signals, [fd for fd in ready if fd != own]

    def let_go(self) -> None:
        """In a child: they are the parent's."""
        for sock in self._pair or ():
            sock.close()

    def close(self) -> None:
        signal.set_wakeup_fd(-1)
        self.let_go()
        self._pair = None


def _noted(number: int, frame: object) -> None:
    """The wakeup descriptor has it."""
