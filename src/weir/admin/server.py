"""Serves the admin application in a running loop, on sockets that are bound already."""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import ipaddress
import logging
import socket
import time
from collections.abc import AsyncIterator, Coroutine, Iterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final

import uvicorn

from weir.admin.app import make_app
from weir.admin.auth import Guard
from weir.admin.otlp import Exporter
from weir.admin.state import AdminState
from weir.config.plan import Plan
from weir.stats.rules import RuleBook

__all__ = ["AdminRefusedError", "serve"]

log = logging.getLogger("weir.admin")

# After the streams were told to end: how long connections may take to send what there is, and when uvicorn gives up
# on what is left of them (whole seconds; it should never come to that).
LINGER_S: Final = 0.3
GRACE_S: Final = 1
# How long a client may take to send a request, and a connection may have none; how often that is looked at. Where there
# are many, it is by what makes room that others can ask.
PATIENCE_S: Final = 10.0
PATIENCE_CROWDED_S: Final = 1.0
LOOK_S: Final = 1.0
CROWDED: Final = 500
MOST_CONNECTIONS: Final = 1000


class AdminRefusedError(ValueError):
    """The admin address can be reached from other machines, and no token was configured."""


class Server(uvicorn.Server):
    """uvicorn's, without its hands on signals: those are the process's."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def is_worth_saying(record: logging.LogRecord) -> bool:
    """Not what uvicorn says of streams that were cut off at the end: that is what was asked for."""
    cut_off = record.exc_info is not None and isinstance(record.exc_info[1], asyncio.CancelledError)
    return not cut_off and not str(record.msg).startswith("Cancel ")


@asynccontextmanager
async def serve(
    plan: Plan, memory: Any, sockets: Sequence[socket.socket], *, token: str = "", rules: RuleBook | None = None
) -> AsyncIterator[None]:
    """Serves on `sockets` (bound; they stay the caller's to close) while the context lasts.

    `memory` is the shared statistics table, `rules` the memory of the plan's rules. AdminRefusedError if a socket can
    be reached from other machines and there is no token. Leaving the context ends what is being answered, within about
    a second, and writes the history.
    """
    if not token:
        for sock in sockets:
            if not is_private(sock):
                raise AdminRefusedError(
                    f"the admin address {sock.getsockname()[0]} can be reached from other machines: "
                    "configure admin.token_file, or listen on 127.0.0.1"
                )
    state = AdminState(plan, memory, rules)
    await state.open()
    app = make_app(state)
    try:
        async with contextlib.AsyncExitStack() as stack:
            for unix in (False, True):
                own = [sock for sock in sockets if (sock.family == socket.AF_UNIX) == unix]
                if own:
                    await stack.enter_async_context(serving(Guard(app, token=token, unix=unix), own, state))
            if plan.otlp.endpoint:
                await stack.enter_async_context(running(Exporter(state, plan.otlp).run()))
            yield
    finally:
        await state.close()


@asynccontextmanager
async def running(work: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """Something that goes on in the background while the context lasts."""
    task = asyncio.create_task(work)
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


@asynccontextmanager
async def serving(app: Any, sockets: Sequence[socket.socket], state: AdminState) -> AsyncIterator[None]:
    """One uvicorn on some sockets."""
    # It stays; adding it again changes nothing.
    logging.getLogger("uvicorn.error").addFilter(is_worth_saying)
    server = Server(
        uvicorn.Config(
            app,
            log_config=None,
            access_log=False,
            lifespan="off",
            server_header=False,
            timeout_graceful_shutdown=GRACE_S,
            limit_concurrency=MOST_CONNECTIONS,
            **protocol(),
        )
    )
    # uvicorn closes what it is given.
    copies = [sock.dup() for sock in sockets]
    running = asyncio.create_task(server.serve(sockets=copies))
    try:
        while not server.started:
            if running.done():
                running.result()
                raise RuntimeError("the admin server ended before it began")
            await asyncio.sleep(0.005)
        looking = asyncio.create_task(look_after(server))
        try:
            yield
        finally:
            looking.cancel()
    finally:
        state.stopping.set()
        server.should_exit = True
        cutting = asyncio.create_task(cut_later(server))
        await running
        cutting.cancel()
        cut(server)
        for copy in copies:
            copy.close()


async def look_after(server: Server) -> None:
    """Ends connections whose client sends no request, or no whole one: uvicorn waits for it for ever."""
    waits_since: dict[Any, float] = {}
    while True:
        await asyncio.sleep(LOOK_S)
        now, connections = time.monotonic(), server.server_state.connections
        waits_since = {one: waits_since.get(one, now) for one in connections if waits_for_client(one)}
        patience = PATIENCE_S if len(connections) < CROWDED else PATIENCE_CROWDED_S
        for connection, since in waits_since.items():
            if now - since >= patience and connection.transport is not None:
                connection.transport.abort()


def waits_for_client(connection: Any) -> bool:
    """Whether no whole request is in progress. Of HTTP/2 there may be several, of HTTP/1.1 there is one."""
    cycles = connection.cycles.values() if hasattr(connection, "cycles") else [getattr(connection, "cycle", None)]
    return not any(
        cycle is not None and not cycle.response_complete and (cycle.response_started or not cycle.more_body)
        for cycle in cycles
    )


async def cut_later(server: Server) -> None:
    # In small steps: however busy the loop is, those that were told to end get their turns in between.
    for _ in range(10):
        await asyncio.sleep(LINGER_S / 10)
    cut(server)


def cut(server: Server) -> None:
    """Ends the connections that are still open: of clients that do not read, as a rule."""
    for connection in list(server.server_state.connections):
        if connection.transport is not None:
            connection.transport.abort()


def protocol() -> dict[str, Any]:
    """With weir[grpc]: HTTP/2 beside HTTP/1.1, which gRPC needs."""
    if importlib.util.find_spec("zttp") is not None:
        return {"http": "zttp", "http2": True}
    return {"http": "h11"}


def is_private(sock: socket.socket) -> bool:
    """Whether only this machine can connect to it."""
    if sock.family == socket.AF_UNIX:
        return True
    return ipaddress.ip_address(sock.getsockname()[0]).is_loopback
