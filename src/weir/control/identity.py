"""Whom the workers and the admin process run as, and what has to belong to them for that.

Only they change: the supervisor stays who it was. It has to bind ports below 1024 and to read keys and tokens again at
every reload, to make log files that were rotated away, and to start the next version of itself; what comes from the
network never meets it. What is done here as root to a path that another user may have a say in is done to what was
opened, never to what a link leads to.
"""

from __future__ import annotations

import contextlib
import errno
import grp
import os
import pwd
import socket
import stat
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from weir.config.plan import Plan
from weir.control.errors import StartError
from weir.control.sockets import PassedSocket
from weir.control.spawn import fork

__all__ = ["Identity", "identity_of", "own_files", "own_sockets"]

_LOG_FLAGS = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOCTTY | os.O_NONBLOCK | os.O_NOFOLLOW
# O_NONBLOCK: who owns the directory may put a FIFO there, at which root would wait for ever.
_HISTORY_FLAGS = os.O_RDONLY | os.O_CLOEXEC | os.O_NOCTTY | os.O_NONBLOCK | os.O_NOFOLLOW
# What the supervisor needs to give them up for its children, and to end those (capabilities(7)).
_NEEDED = {"CAP_CHOWN": 0, "CAP_KILL": 5, "CAP_SETGID": 6, "CAP_SETUID": 7}


@dataclass(frozen=True)
class Identity:
    """A user and a group by number; `name` is as the person wrote it."""

    name: str
    uid: int
    gid: int

    def become(self) -> None:
        """This process is that user's from now on. OSError or RuntimeError if it is not, or if there is a way back.

        No supplementary group is left, neither root's nor the user's own.
        """
        os.setgroups([])
        os.setresgid(self.gid, self.gid, self.gid)
        os.setresuid(self.uid, self.uid, self.uid)
        if os.getresuid() != (self.uid,) * 3 or os.getresgid() != (self.gid,) * 3 or os.getgroups():
            raise RuntimeError(f"this process did not become user {self.name}")
        if capabilities("CapPrm") or capabilities("CapEff"):
            raise RuntimeError(f"user {self.name} has privileges left")
        with contextlib.suppress(PermissionError):
            os.setuid(0)
            raise RuntimeError(f"user {self.name} can become root again")


def identity_of(plan: Plan) -> Identity | None:
    """Whom a plan's children become; None: they stay who they are. StartError says what is missing for it."""
    if not plan.user:
        return None
    try:
        entry = pwd.getpwuid(int(plan.user)) if plan.user.isdigit() else pwd.getpwnam(plan.user)
        gid = entry.pw_gid
        if plan.group:
            gid = int(plan.group) if plan.group.isdigit() else grp.getgrnam(plan.group).gr_gid
    except KeyError:
        raise StartError(f"user {plan.user}: this machine has no such user, or group") from None
    identity = Identity(plan.user, entry.pw_uid, gid)
    if (os.getresuid(), os.getresgid()) == ((identity.uid,) * 3, (identity.gid,) * 3):
        return None  # it is already, and nobody else
    held = capabilities("CapEff")
    missing = [name for name, bit in _NEEDED.items() if not held >> bit & 1]
    if missing and os.geteuid() != 0:
        raise StartError(
            f"user {plan.user}: only root can start weir as another user; start it as root, or take user out"
        )
    if missing:
        raise StartError(f"user {plan.user}: root lacks {', '.join(missing)} here; allow it, or take user out")
    closed = unreadable(identity, (os.__file__, __file__))
    if closed:
        raise StartError(f"user {plan.user} cannot read {closed}: install weir, and Python, where that user may read")
    return identity


def unreadable(identity: Identity, files: Sequence[str]) -> str:
    """The first of some files that the user cannot read; "" if it can read all. StartError if nobody can become it.

    Modules that are imported later must be within reach then, or a worker fails at some moment far from its start.
    """

    def look() -> int:
        identity.become()
        return next((nth for nth, file in enumerate(files, 1) if not os.access(file, os.R_OK)), 0)

    code = os.waitstatus_to_exitcode(os.waitpid(fork(look), 0)[1])
    if not 0 <= code <= len(files):
        raise StartError(f"user {identity.name}: this process cannot become that user")
    return files[code - 1] if code else ""


def own_files(plan: Plan, identity: Identity | None) -> None:
    """The plan's files are the identity's: the access log, which is made if there is none, and a history that is there.

    StartError if the log cannot be made.
    """
    if identity is None:
        return
    if plan.log.access not in ("off", "stdout"):
        try:
            give(os.open(plan.log.access, _LOG_FLAGS, 0o640), identity)
        except OSError as error:
            # What a link leads to is opened by the workers, as far as they may.
            if error.errno != errno.ELOOP:
                reason = (error.strerror or str(error)).lower()
                raise StartError(f"cannot write the access log {plan.log.access}: {reason}") from error
    if plan.history.path:
        for suffix in ("", "-wal", "-shm", ".lock"):
            # What is not there is made by its user, in a directory that has to be its own anyway.
            with contextlib.suppress(OSError):
                give(os.open(plan.history.path + suffix, _HISTORY_FLAGS), identity)


def own_sockets(sockets: Iterable[socket.socket], identity: Identity | None) -> None:
    """The files of Unix sockets that weir has bound are the identity's. StartError if they cannot be."""
    if identity is None:
        return
    for sock in sockets:
        if sock.family == socket.AF_UNIX and not isinstance(sock, PassedSocket):
            path = sock.getsockname()
            try:
                os.chown(path, identity.uid, identity.gid, follow_symlinks=False)
            except OSError as error:
                reason = (error.strerror or str(error)).lower()
                raise StartError(f"unix:{path} cannot be given to user {identity.name}: {reason}") from error


def give(fd: int, identity: Identity) -> None:
    """Gives an opened file away, and closes it. A pipe or a device stays whose it is, and so does a file with more
    than one name: one of them may be in a place that the user chose."""
    try:
        about = os.fstat(fd)
        is_plain = stat.S_ISREG(about.st_mode) and about.st_nlink == 1
        if is_plain and (about.st_uid, about.st_gid) != (identity.uid, identity.gid):
            os.fchown(fd, identity.uid, identity.gid)
    finally:
        os.close(fd)


def capabilities(which: str) -> int:
    """One of the sets of capabilities of this process, as in /proc/self/status."""
    with open("/proc/self/status", "rb") as status:
        return next((int(line.split()[1], 16) for line in status if line.startswith(which.encode() + b":")), 0)
