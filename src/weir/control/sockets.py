"""Listening sockets: bound before anything is served, closed after everything is."""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import socket
import stat
from collections.abc import Iterator

from weir.config.plan import AddressPlan, ListenerPlan
from weir.control.errors import StartError

__all__ = [
    "PassedSocket",
    "bind",
    "bind_copies",
    "bound_text",
    "descriptor_limit",
    "more_copies",
    "places",
    "raise_descriptor_limit",
    "settle",
    "unbind",
]

log = logging.getLogger("weir")

_HINTS = {
    errno.EADDRINUSE: "another process listens there",
    errno.EACCES: "this user may not (ports below 1024 need a privilege)",
    errno.EADDRNOTAVAIL: "this machine does not have that address",
}


class PassedSocket(socket.socket):
    """A listening socket that a service manager has bound (`weir.control.passed`): its file is the manager's."""


def descriptor_limit() -> int:
    """The soft limit of descriptors, as it is."""
    import resource

    soft, _hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    return soft if soft != resource.RLIM_INFINITY else 1 << 20


def raise_descriptor_limit() -> int:
    """Raises the soft limit of descriptors to the hard one, and returns it."""
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < hard:
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return descriptor_limit()


def bind(plan: ListenerPlan) -> list[socket.socket]:
    """The bound, listening, non-blocking sockets of a listener: one per address of its host.

    An empty host is every address of the machine, IPv6 and IPv4. Raises StartError.
    """
    return bind_copies(plan, 1, shared_port=False)[0]


def bind_copies(plan: ListenerPlan, copies: int, *, shared_port: bool = True) -> list[list[socket.socket]]:
    """The sockets of a listener, `copies` times: one for each worker, all with the same port (SO_REUSEPORT).

    The kernel divides the connections among the copies, and each waits in the queue of its own. A Unix socket cannot
    be divided: its one socket is in every list. The first copy is bound alone, so that a port which somebody else
    has, another weir included, is an error. With shared_port=False nobody can ever join. Raises StartError.
    """
    address = plan.address
    made: list[list[socket.socket]] = []
    with _explained(address):
        try:
            if address.path is not None:
                made.append([_bind_path(address.path, plan)])
                return made * copies
            made.append([])
            for family, place in places(address):
                made[0].append(_bind_tcp(family, place, plan, shared_port=shared_port))
            more_copies(plan, made, copies)
        except BaseException:
            for sock in {sock for copy in made for sock in copy}:
                sock.close()
            raise
    return made


def more_copies(plan: ListenerPlan, made: list[list[socket.socket]], copies: int) -> None:
    """Adds to `made` until it has so many. Raises StartError, with what was added before in the list."""
    with _explained(plan.address):
        known = len({sock for copy in made for sock in copy}) // len(made[0])
        while len(made) < copies:
            if plan.address.path is not None or isinstance(made[0][0], PassedSocket):
                # One that cannot be copied is served by several.
                made.append(made[len(made) - known])
                continue
            made.append([])
            for first in made[0]:
                made[-1].append(_bind_tcp(first.family, first.getsockname()[:2], plan, joining=True))


@contextlib.contextmanager
def _explained(address: AddressPlan) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        hint = _HINTS.get(error.errno or 0)
        detail = f"{(error.strerror or str(error)).lower()}" + (f": {hint}" if hint else "")
        raise StartError(f"cannot listen on {address.text}: {detail}") from error


def places(address: AddressPlan) -> Iterator[tuple[int, tuple[str, int]]]:
    """Family, host and port of each place that host and port stand for. OSError if a name cannot be looked up."""
    if address.host == "":
        family = socket.AF_INET6 if socket.has_dualstack_ipv6() else socket.AF_INET
        yield family, ("::" if family == socket.AF_INET6 else "0.0.0.0", address.port)
        return
    found = socket.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    for family, _type, _protocol, _name, place in dict.fromkeys(found):
        yield family, (str(place[0]), int(place[1]))


def _bind_tcp(
    family: int, place: tuple[str, int], plan: ListenerPlan, *, shared_port: bool = False, joining: bool = False
) -> socket.socket:
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if joining:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        # Inherited by what is accepted: one system call less per connection.
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0 if plan.address.host == "" else 1)
        sock.bind(place)
        if shared_port:
            # Only now: a port that another process shares with others of its user would have been given to us, too.
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        sock.listen(plan.backlog)
        sock.setblocking(False)
    except BaseException:
        sock.close()
        raise
    return sock


def _bind_path(path: str, plan: ListenerPlan) -> socket.socket:
    _remove_stale(path)
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        # Not by chmod() afterwards: there is no moment at which others may connect, and no path that they could change.
        mask = os.umask(0o777 & ~plan.unix_mode)
        try:
            sock.bind(path)
        finally:
            os.umask(mask)
        sock.listen(plan.backlog)
        sock.setblocking(False)
    except BaseException:
        sock.close()
        raise
    return sock


def _remove_stale(path: str) -> None:
    """Removes a socket that nobody listens on any more; anything else that is there is left alone."""
    try:
        if not stat.S_ISSOCK(os.stat(path).st_mode):
            return
    except FileNotFoundError:
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(1)
        try:
            probe.connect(path)
        except ConnectionRefusedError:
            os.unlink(path)


def bound_text(sock: socket.socket) -> str:
    """Where a socket is bound, as a person writes it."""
    name = sock.getsockname()
    if sock.family == socket.AF_UNIX:
        return f"unix:{name}"
    return f"[{name[0]}]:{name[1]}" if sock.family == socket.AF_INET6 else f"{name[0]}:{name[1]}"


def unbind(sock: socket.socket) -> None:
    """Closes a listening socket; a Unix socket's file goes with it."""
    is_ours = sock.family == socket.AF_UNIX and not isinstance(sock, PassedSocket)
    path = sock.getsockname() if is_ours else None
    if path:
        # The directory may not be ours any more, or not be there; the next weir finds that nobody listens there. Before
        # the socket is closed: from then on the file may be the next weir's.
        with contextlib.suppress(OSError):
            os.unlink(path)
    sock.close()


def settle(sock: socket.socket, plan: ListenerPlan) -> None:
    """What a new plan may say otherwise of a socket that stays: its backlog, and the mode of a Unix socket's file.

    What cannot be done, because the file is somebody else's by now, is said: the new workers serve already.
    """
    if isinstance(sock, PassedSocket):
        return
    sock.listen(plan.backlog)
    if sock.family == socket.AF_UNIX:
        try:
            set_mode(sock.getsockname(), plan.unix_mode)
        except FileNotFoundError:
            pass
        except OSError as error:
            log.error("%s keeps its mode: %s", bound_text(sock), (error.strerror or str(error)).lower())


def set_mode(path: str, mode: int) -> None:
    """Of the Unix socket that is there itself, should somebody have put a link in its place."""
    fd = os.open(path, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        if stat.S_ISSOCK(os.fstat(fd).st_mode):
            os.chmod(f"/proc/self/fd/{fd}", mode)
    finally:
        os.close(fd)
