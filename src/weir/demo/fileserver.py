"""The tutorial's web server: the files of one directory, served by Starlette on uvicorn.

It runs on whatever asyncio loop it is entered on, beside the proxy in `weir demo` and alone in `weir files`.
What is hard here is keeping uvicorn from taking over the process: it would bind, log, print and catch signals
by itself, and leave with sys.exit when a port is taken. So it gets bound sockets, and never hears of signals.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import socket
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import uvicorn
    from starlette.types import ASGIApp

__all__ = ["file_app", "serving"]

DRAIN_TIMEOUT_S = 5  # a download still running then is cut off


def file_app(directory: Path, *, log: bool = False) -> ASGIApp:
    """An ASGI application that serves the files of a directory; for a directory in it, its index.html.

    `log` prints a line "path: status" on standard output for each request.
    """
    from starlette.applications import Starlette
    from starlette.routing import Mount
    from starlette.staticfiles import StaticFiles

    # StaticFiles says "not found" by an exception; it is the application around it that answers.
    app: ASGIApp = Starlette(routes=[Mount("/", StaticFiles(directory=directory, html=True))])
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


def _not_cancelled(record: logging.LogRecord) -> bool:
    """False for uvicorn's traceback of a request that was cut off: that is what was asked for."""
    return record.exc_info is None or not isinstance(record.exc_info[1], asyncio.CancelledError)


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
        def capture_signals(self) -> Iterator[None]:
            yield

    # It stays: the last requests are cancelled when the loop ends, after this context. Adding it again changes nothing.
    logging.getLogger("uvicorn.error").addFilter(_not_cancelled)
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
