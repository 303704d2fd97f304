"""Listening sockets that a service manager has bound and passes on: sd_listen_fds(3).

They stay the manager's. Who connects while weir is being started again waits in them and is served, so they are never
copied for each worker, as weir's own are: a copy would go with weir, and those who wait in it.
"""

from __future__ import annotations

import contextlib
import os
import socket
import stat
from collections.abc import MutableMapping, Sequence

from weir.config.plan import AddressPlan
from weir.control.errors import StartError
from weir.control.sockets import PassedSocket, bound_text, places
from weir.control.status import say

__all__ = ["Passed"]

_FIRST = 3
# systemd's own limit is far below.
_MOST = 65_536
_EVERYWHERE = ("::", "0.0.0.0")


class Passed:
    """Sockets with their names, until they are taken for listeners."""

    def __init__(self, sockets: Sequence[tuple[str, PassedSocket]] = ()) -> None:
        self._left = list(sockets)
        self._names = [name for name, _sock in sockets]

    @classmethod
    def from_environment(cls, environment: MutableMapping[str, str] | None = None) -> Passed:
        """Takes the variables out of `environment`, so that no child takes the sockets for its own.

        What is no listening stream socket is closed and said.
        """
        environment = os.environ if environment is None else environment
        pid, count, names = (environment.pop(name, "") for name in ("LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"))
        if pid != str(os.getpid()) or not count.isdecimal() or int(count) > _MOST:
            return cls()
        texts = names.split(":") if names else []
        found = []
        for place in range(int(count)):
            name = texts[place] if place < len(texts) else "unknown"
            sock = listening(_FIRST + place)
            if sock is None:
                say(f"descriptor {_FIRST + place} ({name}), which was passed, is no listening stream socket: closed")
            else:
                found.append((name, sock))
        return cls(found)

    def take(self, address: AddressPlan) -> list[list[socket.socket]]:
        """Those that are for an address, as Stock keeps them: lists for workers, each with a socket for every place.

        There are as many lists as sockets for the same place (ReusePort=yes); one is enough for all workers. None: an
        empty list. StartError when an address asks for a name that was not passed.
        """
        if address.passed is not None:
            chosen = [sock for name, sock in self._left if name == address.passed]
            if not chosen:
                had = ", ".join(sorted(set(self._names))) or "none"
                hint = "FileDescriptorName= of the .socket unit is the name"
                raise StartError(
                    f"cannot listen on {address.text}: no socket of that name was passed, {had} was; {hint}"
                )
        else:
            chosen = [sock for _name, sock in self._left if is_for(sock, address)]
        if not chosen:
            return []
        self._left = [(name, sock) for name, sock in self._left if sock not in chosen]
        groups: dict[str, list[socket.socket]] = {}
        for sock in chosen:
            sock.setblocking(False)
            if sock.family != socket.AF_UNIX:
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            groups.setdefault(bound_text(sock), []).append(sock)
        most = max(len(group) for group in groups.values())
        return [[group[nth % len(group)] for group in groups.values()] for nth in range(most)]

    def sockets(self) -> set[socket.socket]:
        """Those that nobody has taken."""
        return {sock for _name, sock in self._left}

    def close_rest(self) -> None:
        """Closes those that nobody has taken, and says which: clients would wait in them for ever."""
        for name, sock in self._left:
            say(f"no listener for {bound_text(sock)} ({name}), which was passed: closed")
            sock.close()
        self._left = []


def listening(fd: int) -> PassedSocket | None:
    """The socket behind a descriptor, or None, and then it is closed."""
    try:
        os.set_inheritable(fd, False)
        if stat.S_ISSOCK(os.fstat(fd).st_mode):
            sock = PassedSocket(fileno=fd)
            if sock.type == socket.SOCK_STREAM and sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
                return sock
            sock.close()
            return None
        os.close(fd)
    except OSError:
        pass
    return None


def is_for(sock: socket.socket, address: AddressPlan) -> bool:
    name = sock.getsockname()
    if sock.family == socket.AF_UNIX:
        return address.path is not None and os.fsdecode(name) == address.path
    if address.path is not None or address.port == 0 or name[1] != address.port:
        return False
    if address.host == "":
        return name[0] in _EVERYWHERE
    with contextlib.suppress(OSError):
        return any(sock.family == family and name[:2] == place for family, place in places(address))
    return False
