"""A command in a terminal of its own, whose screen a test reads as text."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import pty
import select
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Iterator

import pyte

__all__ = ["Terminal", "terminal"]

DEADLINE_S = 20.0


class Terminal:
    """The process, and the screen that it draws. Keys are sent, text is waited for."""

    def __init__(self, process: subprocess.Popen[bytes], fd: int, columns: int, lines: int) -> None:
        self.process = process
        self.fd = fd
        self.screen = pyte.Screen(columns, lines)
        self._stream = pyte.ByteStream(self.screen)
        self.received = b""

    @property
    def lines(self) -> list[str]:
        """The screen's lines as they are now, without blanks at the end."""
        return [line.rstrip() for line in self.screen.display]

    @property
    def text(self) -> str:
        return "\n".join(self.lines)

    def read(self, seconds: float) -> bool:
        """Takes in what comes within a time; False once the other side is closed."""
        if not select.select([self.fd], [], [], seconds)[0]:
            return True
        try:
            data = os.read(self.fd, 65536)
        except OSError as error:
            # A pseudo-terminal whose other side is closed.
            if error.errno != errno.EIO:
                raise
            return False
        self.received += data
        self._stream.feed(data)
        return bool(data)

    def settle(self) -> None:
        """Takes in what comes until nothing has come for a tenth of a second."""
        received = -1
        while received != len(self.received):
            received = len(self.received)
            self.read(0.1)

    def wait_for(self, wanted: str | Callable[[], bool]) -> str:
        """The screen, as soon as a text is on it or a condition holds."""
        deadline = time.monotonic() + DEADLINE_S
        while not (wanted in self.text if isinstance(wanted, str) else wanted()):
            if time.monotonic() > deadline or not self.read(0.05):
                raise AssertionError(f"{wanted!r} did not come; status {self.process.poll()}\n{self.text}")
        return self.text

    def press(self, keys: str) -> None:
        """What a terminal sends for keys."""
        os.write(self.fd, keys.encode())

    def resize(self, columns: int, lines: int) -> None:
        """As when a window is drawn larger or smaller; the kernel tells the process."""
        self.screen.resize(lines, columns)
        fcntl.ioctl(self.fd, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))

    def ended(self) -> int:
        """The exit status, once it has ended by itself."""
        deadline = time.monotonic() + DEADLINE_S
        while self.process.poll() is None and time.monotonic() < deadline:
            self.read(0.05)
        while self.read(0.05) and select.select([self.fd], [], [], 0)[0]:
            pass
        return self.process.wait(1)

    def echoes(self) -> bool:
        """Whether the terminal is in the state of a shell: lines, echo."""
        local = termios.tcgetattr(self.fd)[3]
        return bool(local & termios.ECHO) and bool(local & termios.ICANON)


@contextlib.contextmanager
def terminal(
    *arguments: str, columns: int = 110, lines: int = 30, environment: dict[str, str] | None = None
) -> Iterator[Terminal]:
    """`weir` with these arguments; it is killed if it still runs in the end."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))
    # Of the usual kinds of terminal the one that does nothing that pyte does not know: not `rep`, `rin` and `indn`, by
    # which others repeat a character and scroll.
    surroundings = {name: value for name, value in os.environ.items() if name not in ("LINES", "COLUMNS", "NO_COLOR")}
    surroundings |= {"TERM": "linux", "LC_ALL": "C.UTF-8"} | (environment or {})
    command = [sys.executable, "-m", "weir", *arguments]
    # A session of its own, whose controlling terminal this is: Ctrl-C and a resize come as signals.
    process = subprocess.Popen(
        [sys.executable, "-c", CONTROLLING, *command],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        env=surroundings,
        start_new_session=True,
    )
    try:
        yield Terminal(process, ours, columns, lines)
    finally:
        if process.poll() is None:
            process.kill()
            process.wait(DEADLINE_S)
        os.close(ours)
        os.close(theirs)


CONTROLLING = (
    "import fcntl, os, sys, termios\nfcntl.ioctl(0, termios.TIOCSCTTY, 0)\nos.execv(sys.argv[1], sys.argv[1:])"
)
