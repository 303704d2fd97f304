"""weir inside a person's own asyncio program: `async with weir.Proxy(...) as proxy`.

One worker, without a supervisor, in the loop that runs already. Nothing of the process is touched: no signal, no limit,
no handler of logs, no module path; what the proxy opens it closes.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from types import ModuleType, TracebackType
from typing import Any, Self

from weir.config.compile import compile_plan
from weir.config.load import Settings, from_mapping, load_file
from weir.config.plan import LogPlan, Plan
from weir.control.errors import StartError
from weir.control.orders import drain_or_stop
from weir.control.worker import Host, LogSink, Worker, make_table, own_seat
from weir.hooks.loading import Found, HooksError, counted, hooks_of, load
from weir.plane.engine import Engine
from weir.plane.guest import Guest
from weir.stats.layout import Table
from weir.stats.reader import Snapshot, snapshot

__all__ = ["Configuration", "Hooks", "Proxy"]

# The path of a file, or what such a file would say, as nested tables.
Configuration = str | os.PathLike[str] | Mapping[str, Any]

# A module, the path of a file, or the functions themselves.
Hooks = ModuleType | str | os.PathLike[str] | Sequence[Found]

# What an application at hand is called: in the configuration, and as an endpoint in statistics and logs.
GIVEN = "asgi:given:app"

# An address that stands for all of a machine's can be listened on, not connected to.
_REACHED = {"0.0.0.0": "127.0.0.1", "[::]": "[::1]"}


class Proxy:
    """A reverse proxy that serves while its `async with` block lasts.

    Exactly one of three says what it does:

    - `config`: the path of a configuration file, or the same as nested tables (a mapping, see docs/configuration.md);
    - `to`: the address of an endpoint, or several, as in `endpoints` of a cluster;
    - `app`: an ASGI application, which is served in the same loop. Its lifespan begins before, and ends after, all
      requests.

    `hooks` are Python functions that requests meet: a module, the path of a file, or a list of them (docs/hooks.md), in
    place of what a configuration names.

    `listen` is where, with `to` and `app`: by default a free port of 127.0.0.1. `tables` are those of a configuration,
    for what is not to be as it is by default: `listener` and `cluster` say more of the one listener and the one cluster
    (`listener={"max_body": "1MiB"}`), others are taken as they are (`stats={"page": "/stats"}`).

    `[admin]`, `[history]`, `[otlp]`,
    `workers`, `user`, `group` and `pid_file` of a configuration are for processes of weir's own, and without effect.

    Entering raises weir.ConfigError for a configuration that is refused, and weir.StartError when an address cannot be
    had or an application not be started. Leaving finishes the exchanges in progress, for up to `drain_timeout`; leaving
    by an exception cuts them off. A proxy serves once.
    """

    def __init__(
        self,
        config: Configuration | None = None,
        *,
        to: str | Sequence[str] | None = None,
        app: Any = None,
        hooks: Hooks | None = None,
        listen: str = "127.0.0.1:0",
        **tables: Any,
    ) -> None:
        if sum(given is not None for given in (config, to, app)) != 1:
            raise TypeError("a Proxy needs one of: a configuration, to=, app=")
        if config is not None and (tables or listen != "127.0.0.1:0"):
            raise TypeError("a configuration says by itself where it listens, and has its own tables")
        if config is None:
            endpoints = [GIVEN] if to is None else [to] if isinstance(to, str) else list(to)
            config = {
                **tables,
                "listener": [{"address": listen, "to": "app", **tables.get("listener", {})}],
                "cluster": [{"name": "app", "endpoints": endpoints, **tables.get("cluster", {})}],
            }
        self._config = config
        self._apps = {GIVEN: app} if app is not None else {}
        self._hooks = hooks
        self._sink: LogSink | None = None
        self._engine: Engine | None = None
        self._worker: Worker | None = None
        self._guest: Guest | None = None
        self._memory: Table | None = None
        self._addresses: list[str] = []

    async def __aenter__(self) -> Self:
        if self._memory is not None:
            raise RuntimeError("this proxy has served already: make another one")
        plan = read_plan(self._config, hooked=self._hooks is not None)
        if self._sink is not None:
            plan = replace(plan, log=LogPlan())
        engine = self._engine = Engine()
        self._memory = make_table(plan, 1, private=True)
        self._guest = Guest(engine, asyncio.get_running_loop())
        try:
            host, hooks = Host(apps=self._apps, log=self._sink), read_hooks(self._hooks)
            worker = self._worker = Worker(plan, engine, own_seat(plan, self._memory), hooks, host)
            self._addresses = worker.bind()
            self._guest.start()
            await worker.start()
        except BaseException:
            if self._worker is not None:
                await self._worker.stop()
            self._close()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._worker is not None
        now = asyncio.Event()
        if kind is not None:
            now.set()
        ending = asyncio.create_task(drain_or_stop(self._worker, now))
        try:
            await asyncio.shield(ending)
        except asyncio.CancelledError:
            # Whoever is in a hurry does not wait for clients; but nothing is left behind.
            now.set()
            # However often it is cancelled: who is cut off has a bounded time to end.
            while not ending.done():
                with suppress(asyncio.CancelledError):
                    await asyncio.wait({ending})
            raise
        finally:
            self._close()

    def _flush(self) -> None:
        """Hands the log's lines over; a proxy that has ended has none left."""
        if self._worker is not None:
            self._worker.flush_log()

    def _close(self) -> None:
        assert self._guest is not None
        assert self._engine is not None
        assert self._memory is not None
        self._guest.stop()
        self._engine.close()
        # What was counted can still be asked for.
        self._memory.close_fd()
        self._worker = self._guest = self._engine = None

    @property
    def addresses(self) -> list[str]:
        """Where it listens: `127.0.0.1:40123`, `[::1]:40123` or `unix:/path`, listener by listener."""
        return list(self._addresses)

    @property
    def address(self) -> str:
        """The first of `addresses`. RuntimeError before the proxy was entered."""
        if not self._addresses:
            raise RuntimeError("this proxy does not serve yet: async with ... as proxy")
        return self._addresses[0]

    @property
    def url(self) -> str:
        """`http://` and the first address, without a slash at its end. RuntimeError before, or for a Unix socket."""
        address = self.address
        if address.startswith("unix:"):
            raise RuntimeError(f"a Unix socket has no URL: {address}")
        host, _, port = address.rpartition(":")
        return f"http://{_REACHED.get(host, host)}:{port}"

    def stats(self) -> Snapshot:
        """What was counted so far, also when the proxy has ended: `weir.stats.reader.Snapshot`.

        `stats().series` are routes and path templates with `counters` (requests, bytes, status classes, errors, times).
        """
        if self._memory is None:
            raise RuntimeError("this proxy does not serve yet: async with ... as proxy")
        return snapshot(self._memory)


def read_plan(config: Configuration, *, hooked: bool = False) -> Plan:
    """The plan of a configuration. With `hooked` there are hooks, whatever it says of them. weir.ConfigError."""
    if isinstance(config, Mapping):
        return compile_plan(from_mapping({**config, "hooks": "given"} if hooked else config))
    settings: Settings | None = {("hooks",): ("hooks", "given")} if hooked else None
    return compile_plan(load_file(os.fspath(config), settings), os.path.dirname(os.path.abspath(config)))


def read_hooks(hooks: Hooks | None) -> Sequence[Found] | None:
    """The hooks themselves; None: those of the configuration. weir.StartError for a file that cannot be imported, or
    too many."""
    if hooks is None:
        return None
    try:
        if isinstance(hooks, ModuleType):
            return hooks_of(hooks)
        return load(os.fspath(hooks)) if isinstance(hooks, str | os.PathLike) else counted(list(hooks))
    except HooksError as error:
        raise StartError(str(error)) from None
