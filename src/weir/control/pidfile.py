"""The pid file: which process signals are to be sent to.

That it is stale is not guessed from the number in it, which may be anybody's by now: whoever runs holds a lock on it,
and the kernel lets go of a lock when its process ends, however it ends.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import stat

from weir.control.errors import StartError

__all__ = ["PidFile"]

_FLAGS = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NOCTTY | os.O_NONBLOCK
_MODE = 0o644
# No number is longer; a file that says something else is not ours to write to.
_MOST_BYTES = 32


class PidFile:
    """`take()` comes first, so that a second weir fails before it does anything; `write()` says that it serves.

    A record lock: a forked child does not have it, so that it is free when the process that took it is gone, whoever
    else still drains. `remove()` and `release()` end it. With path "" all of this does nothing.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self._fd = -1

    def take(self) -> None:
        """Locks the file, which is made if there is none. StartError if another process has it, or there cannot be one.

        What an earlier process has left in it stays there until write().
        """
        if not self.path:
            return
        while True:
            try:
                fd = os.open(self.path, _FLAGS, _MODE)
            except OSError as error:
                raise StartError(f"pid_file {self.path}: {(error.strerror or str(error)).lower()}") from error
            try:
                self._check_and_lock(fd)
                same = os.path.samestat(os.fstat(fd), os.stat(self.path))
            except FileNotFoundError:
                same = False
            except BaseException:
                os.close(fd)
                raise
            if same:
                self._fd = fd
                return
            # Whoever had it before has removed it in between: the next one is made by us, or has another owner.
            os.close(fd)

    def _check_and_lock(self, fd: int) -> None:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            raise StartError(f"pid_file {self.path}: not a regular file")
        content = os.pread(fd, _MOST_BYTES + 1, 0)
        if not re.fullmatch(rb"\s*\d*\s*", content) or len(content) > _MOST_BYTES:
            raise StartError(f"pid_file {self.path}: the file has something else in it; choose another")
        try:
            fcntl.lockf(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except (BlockingIOError, PermissionError):
            number = content.decode().strip()
            who = f"process {number}" if number else "another process"
            raise StartError(f"pid_file {self.path}: {who} runs with this file") from None

    def write(self) -> None:
        """Puts this process's number into it. OSError if the disk does not take it."""
        if self._fd >= 0:
            text = f"{os.getpid()}\n".encode()
            # Never empty: who reads it meanwhile finds a number.
            os.pwrite(self._fd, text, 0)
            os.ftruncate(self._fd, len(text))

    def remove(self) -> None:
        """The end: the file goes, if it still is the one that was taken."""
        if self._fd < 0:
            return
        with contextlib.suppress(OSError):
            if os.path.samestat(os.fstat(self._fd), os.stat(self.path)):
                os.unlink(self.path)
        self.release()

    def release(self) -> None:
        """Lets go of the file and leaves it there: for a successor, or in a child, where it changes nothing."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
