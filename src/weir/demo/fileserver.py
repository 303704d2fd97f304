"""The tutorial's web server: the files of one directory, served by Starlette on uvicorn.

It runs on whatever asyncio loop it is entered on, beside the proxy in `weir demo` and alone in `weir files`.
What is hard here is keeping uvicorn from taking over the process: it would bind, log, print and catch signals
by itself, and leave with sys.exit when a port is taken. So the sockets are bound here, and passed to it.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import socket
import stat
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from weir.control.errors import StartError

if TYPE_CHECKING:
    import uvicorn
    from starlette.types import ASGIApp

    from weir.config.plan import AddressPlan

__all__ = ["bind", "bound_text", "file_app", "serving"]

BACKLOG = 1_024
DRAIN_TIMEOUT_S = 5  # a download still running then is cut off


def bind(address: AddressPlan) -> list[socket.socket]:
    """Sockets bound to an address: one, or one for each address of a name.

    An empty host means every address of this machine, by one socket that takes IPv6 and IPv4, or IPv4 alone where
    the kernel has no IPv6.

    Raises StartError, with the address and the kernel's reason, when one of them cannot be bound.
    """
    if address.path is not None:
        return [_bind_unix(address.path)]
    if address.host == "":
        if _has_ipv6():
            return [_bind_tcp(socket.AF_INET6, ("::", address.port), address.text, both_families=True)]
        return [_bind_tcp(socket.AF_INET, ("0.0.0.0", address.port), address.text)]
    try:
        found = socket.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except OSError as error:
        raise StartError(f"cannot listen on {address.text}: {error.strerror or error}") from error
    sockets: list[socket.socket] = []
    try:
        for family, place in dict.fromkeys((entry[0], entry[4]) for entry in found):
            sockets.append(_bind_tcp(family, place, address.text))
    except StartError:
        for bound in sockets:
            bound.close()
        raise
    return sockets


def _has_ipv6() -> bool:
    try:
        with socket.socket(socket.AF_INET6, socket.SOCK_STREAM) as probe:
            probe.bind(("::", 0))
    except OSError:
        return False
    return True


def _bind_tcp(family: int, place: tuple[object, ...], text: str, *, both_families: bool = False) -> socket.socket:
    bound = socket.socket(family, socket.SOCK_STREAM)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            bound.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0 if both_families else 1)
        bound.bind(place)
        bound.listen(BACKLOG)
    except OSError as error:
        bound.close()
        raise StartError(_cannot_listen(text, error)) from error
    return bound


def _bind_unix(path: str) -> socket.socket:
    _remove_dead_socket(path)
    bound = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        bound.bind(path)
        bound.listen(BACKLOG)
    except OSError as error:
        bound.close()
        raise StartError(_cannot_listen(f"unix:{path}", error)) from error
    return bound


def _remove_dead_socket(path: str) -> None:
    """Remove a socket file that nobody listens on any more; anything else is left for bind to refuse."""
    with contextlib.suppress(OSError):
        if not stat.S_ISSOCK(os.stat(path).st_mode):
            return
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
            if probe.connect_ex(path) == errno.ECONNREFUSED:
                os.unlink(path)


def _cannot_listen(text: str, error: OSError) -> str:
    return f"cannot listen on {text}: {os.strerror(error.errno or 0).lower()}"


def bound_text(bound: socket.socket) -> str:
    """The address of a bound socket as weir writes addresses: ``127.0.0.1:8081``, ``[::1]:8081``, ``unix:/path``."""
    name = bound.getsockname()
    if bound.family == socket.AF_UNIX:
        return f"unix:{name}"
    host, port = name[:2]
    return f"[{host}]:{port}" if bound.family == socket.AF_INET6 else f"{host}:{port}"


def file_app(directory: Path, *, log: bool = False) -> ASGIApp:
    """An ASGI application that serves the files of a directory; for a directory in it, its index.html.

    `log` prints a line "path: status" on standard output for each request.
    """
    from starlette.staticfiles import StaticFiles

    app: ASGIApp = StaticFiles(directory=directory, html=True)
    return _logged(app) if log else app


def _logged(app: ASGIApp) -> ASGIApp:
    from starlette.types import Message, Receive, Scope, Send

    async def logging_app(scope: Scope, receive: Receive, send: Send) -> None:
        async def logging_send(message: Message) -> None:
            if message["type"] == "http.response.start":
                # As received, still percent-encoded: nothing in it can move the terminal's cursor.
                print(f"{scope['raw_path'].decode('latin-1')}: {message['status']}", flush=True)
            await send(message)

        await app(scope, receive, logging_send)

    return logging_app


@contextlib.asynccontextmanager
async def serving(app: ASGIApp, sockets: Sequence[socket.socket]) -> AsyncIterator[uvicorn.Server]:
    """Serve an application on bound sockets while the context is open; leaving it drains and closes them.

    Yields uvicorn's server: setting its `force_exit` cuts a drain short. Socket files are removed in the end.
    """
    import uvicorn

    class QuietServer(uvicorn.Server):
        """uvicorn without its hold on signals: whoever owns the process handles them."""

        async def startup(self, sockets: list[socket.socket] | None = None) -> None:
            await super().startup(sockets=sockets)
            ready.set()

        @contextlib.contextmanager
        def capture_signals(self) -> Iterator[None]:  # type: ignore[override]
            yield

    ready = asyncio.Event()
    paths = [bound.getsockname() for bound in sockets if bound.family == socket.AF_UNIX]
    config = uvicorn.Config(
        app,
        http="h11",
        ws="none",
        lifespan="off",
        log_config=None,
        log_level="warning",
        access_log=False,
        timeout_graceful_shutdown=DRAIN_TIMEOUT_S,
    )
    server = QuietServer(config)
    task = asyncio.create_task(server.serve(list(sockets)), name="weir file server")
    waiter = asyncio.create_task(ready.wait())
    try:
        await asyncio.wait({task, waiter}, return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            await task
        yield server
    finally:
        waiter.cancel()
        server.should_exit = True
        try:
            await task
        finally:
            for path in paths:
                with contextlib.suppress(OSError):
                    os.unlink(path)
