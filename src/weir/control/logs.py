"""Writes batches of log lines from a thread of its own, so that a slow disk or pipe never holds up the event loop.

What is hard here is what to do when the world does not take the lines: wait for a pipe that is full, but only with
bounded memory; go on after a full disk or a reader that has gone; and say so, but not once a line.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import logging
import os
import select
import stat
import threading
import time
from collections import deque
from collections.abc import Iterator

__all__ = ["LogWriter"]

log = logging.getLogger("weir")

_STDOUT = 1
# O_NONBLOCK: a FIFO that nobody reads is an error, not a wait; on a plain file it means nothing.
_FLAGS = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOCTTY | os.O_NONBLOCK
_MODE = 0o640
_WARN_EVERY_S = 60.0
# How often a wait for a full pipe looks whether it has been told to give up.
_PATIENCE_S = 0.2
# How often it is tried whether another process has written its lines; less and less often where that takes its time: it
# may wait for a reader that does not read.
_TURN_S = 0.001
_LONGEST_TURN_S = 0.05


class LogWriter:
    """Takes batches without ever waiting, and writes them in order to `target`: "stdout" or the path of a file.

    `turns` is the descriptor of a file that all processes share which write to the same pipe: who writes holds a record
    lock on it, for a pipe takes no more than 4096 bytes of one process in one piece. -1: there is no other process.

    At most `buffer_bytes` are held; a batch beyond that is dropped whole and its lines are counted in `dropped`, as are
    lines that could not be written. What is lost is said as a warning at most once a minute. A file is opened at
    once, for appending, and made with mode 0640 if there is none; OSError if that fails.
    """

    def __init__(self, target: str, buffer_bytes: int, turns: int = -1) -> None:
        self._path = None if target == "stdout" else os.path.abspath(target)
        self._fd = _STDOUT if self._path is None else os.open(self._path, _FLAGS, _MODE)
        # A file needs none: what is written to it with O_APPEND stays together.
        self._turns = -1 if stat.S_ISREG(os.fstat(self._fd).st_mode) else turns
        self._buffer_bytes = buffer_bytes
        self._changed = threading.Condition()
        # All below is guarded by the condition's lock. None stands for "open the file again".
        self._queue: deque[tuple[bytes, int] | None] = deque()
        self._held_bytes = 0
        self._dropped = 0
        self._closing = False
        self._give_up = False
        # The thread's own.
        self._torn = False
        self._failing = False
        self._warned = 0
        self._next_warning = 0.0
        # A daemon: a reader that never reads must not keep the process from ending.
        self._thread = threading.Thread(target=self._run, name="weir-log", daemon=True)
        self._thread.start()

    @property
    def dropped(self) -> int:
        """Lines lost so far: no room, or not written."""
        with self._changed:
            return self._dropped

    def write(self, batch: bytes, lines: int) -> None:
        """Queues `batch`, `lines` whole lines; drops it if there is no room or the writer is closed."""
        with self._changed:
            if self._closing or self._held_bytes + len(batch) > self._buffer_bytes:
                self._dropped += lines
            else:
                self._queue.append((batch, lines))
                self._held_bytes += len(batch)
            self._changed.notify()

    def reopen(self) -> None:
        """What is queued still goes to the file as it is; what comes later to the file that is then at the path.

        If it cannot be opened, that is logged and the old file stays in use. Nothing happens for stdout.
        """
        if self._path is None:
            return
        with self._changed:
            self._queue.append(None)
            self._changed.notify()

    def close(self, timeout: float = 5.0) -> None:
        """Writes out what is queued and ends, after `timeout` seconds at the latest; what is left then is dropped."""
        with self._changed:
            self._closing = True
            self._changed.notify()
        self._thread.join(timeout)
        if not self._thread.is_alive():
            return
        with self._changed:
            self._give_up = True
            lost = sum(item[1] for item in self._queue if item is not None)
            self._dropped += lost
            self._queue.clear()
        log.warning("access log: the reader does not read; at least %d lines lost", lost)
        # Time to notice, unless it hangs in the kernel.
        self._thread.join(2 * _PATIENCE_S)

    # -- in the thread ------------------------------------------------------------------------------------

    def _run(self) -> None:
        while True:
            with self._changed:
                while not self._queue and not self._closing and not self._warning_due():
                    self._changed.wait(self._until_warning())
                if not self._queue and self._closing:
                    break
                batch = self._take()
            if batch is None:
                self._open_again()
            elif batch:
                self._write_batch(batch)
                with self._changed:
                    self._held_bytes -= len(batch)
            self._warn_of_losses()
        self._next_warning = 0.0
        self._warn_of_losses()
        if self._path is not None:
            os.close(self._fd)

    def _take(self) -> bytes | None:
        """All that waits, up to the next reopening; None: that is what is next.

        Together, because under load each write costs this thread several waits for the interpreter's lock: the longer
        the queue, the more one of them has to carry.
        """
        if self._queue and self._queue[0] is None:
            self._queue.popleft()
            return None
        pieces = []
        while self._queue and (item := self._queue[0]) is not None:
            pieces.append(item[0])
            self._queue.popleft()
        return b"".join(pieces)

    def _write_batch(self, batch: bytes) -> None:
        # A part of a line may be in the file since a failure: this batch must not continue it.
        mending = self._torn
        whole = b"\n" + batch if mending else batch
        rest = memoryview(whole)
        try:
            with self._turn():
                while rest:
                    rest = rest[self._write_some(rest) :]
        except OSError as error:
            written = len(whole) - len(rest)
            if written:
                self._torn = whole[written - 1 : written] != b"\n"
            lost = whole.count(b"\n", written) - (mending and not written)
            with self._changed:
                self._dropped += lost
            # Once for each time that it begins: a full disk fails for every batch.
            if not self._failing:
                log.error("access log: %s: %s; lines are lost until it can be written", self._name(), error.strerror)
            self._failing = True
        else:
            self._torn = False
            if self._failing:
                log.warning("access log: %s can be written again", self._name())
            self._failing = False

    @contextlib.contextmanager
    def _turn(self) -> Iterator[None]:
        """Nobody else writes meanwhile; who dies gives it back."""
        if self._turns < 0:
            yield
            return
        pause_s = _TURN_S
        while True:
            try:
                fcntl.lockf(self._turns, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, 0)
                break
            except BlockingIOError:
                # Asked for again and again, rather than waited for, so that giving up is noticed.
                if self._give_up:
                    raise OSError(errno.ETIMEDOUT, "another process does not end its line") from None
                time.sleep(pause_s)
                pause_s = min(pause_s * 1.5, _LONGEST_TURN_S)
        try:
            yield
        finally:
            fcntl.lockf(self._turns, fcntl.LOCK_UN, 1, 0)

    def _write_some(self, piece: memoryview) -> int:
        while True:
            try:
                return os.write(self._fd, piece)
            except BlockingIOError:
                self._wait_writable()

    def _wait_writable(self) -> None:
        # stdout may be non-blocking: that is a flag of the open file, which others share, and not ours to change.
        poll = select.poll()
        poll.register(self._fd, select.POLLOUT)
        while not poll.poll(_PATIENCE_S * 1000):
            if self._give_up:
                raise OSError(errno.ETIMEDOUT, "the reader does not read")

    def _open_again(self) -> None:
        assert self._path is not None
        try:
            fd = os.open(self._path, _FLAGS, _MODE)
        except OSError as error:
            log.error("access log: cannot open %s: %s; writing on into the old file", self._path, error.strerror)
            return
        with contextlib.suppress(OSError):
            os.close(self._fd)
        self._fd = fd
        self._torn = False

    def _name(self) -> str:
        return self._path or "stdout"

    # -- warnings -----------------------------------------------------------------------------------------

    def _until_warning(self) -> float | None:
        """Seconds until the next warning may be given; None if there is nothing to warn of."""
        return None if self._dropped == self._warned else max(0.0, self._next_warning - time.monotonic())

    def _warning_due(self) -> bool:
        return self._until_warning() == 0.0

    def _warn_of_losses(self) -> None:
        with self._changed:
            dropped = self._dropped
        if dropped == self._warned or time.monotonic() < self._next_warning:
            return
        log.warning("access log: %d lines lost", dropped - self._warned)
        self._warned = dropped
        self._next_warning = time.monotonic() + _WARN_EVERY_S
