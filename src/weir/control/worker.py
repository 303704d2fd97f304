"""One worker: the plane on an asyncio loop, from bound sockets to the last drained exchange.

`Worker` is for a loop that runs already; `run` is the whole life of a process.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import signal
import socket
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from weir.config.plan import Plan
from weir.control.errors import StartError
from weir.control.expand import Expander
from weir.control.health import Duty
from weir.control.heart import HEARTBEAT_S, Heart
from weir.control.life import Life
from weir.control.logs import LogWriter
from weir.control.members import Members
from weir.control.orders import drain_or_stop, start_unless
from weir.control.passed import Passed
from weir.control.resolve import Resolver
from weir.control.sockets import bind, bound_text, descriptor_limit, raise_descriptor_limit, unbind
from weir.control.status import say_faults
from weir.control.watchdog import Watchdog
from weir.hooks import Hook
from weir.hooks.loading import Found
from weir.plane.accesslog import AccessLog
from weir.plane.counters import Counters
from weir.plane.engine import Engine
from weir.plane.plane import Plane
from weir.plane.selector import EngineSelector
from weir.plane.stream import Address
from weir.stats import layout
from weir.stats.page import SharedPage
from weir.stats.rules import RuleBook

if TYPE_CHECKING:
    from weir.control.apps import Apps

__all__ = [
    "HEARTBEAT_S",
    "Bound",
    "Host",
    "LogSink",
    "Seat",
    "Service",
    "Worker",
    "make_rules",
    "make_table",
    "name_plan",
    "run",
]

log = logging.getLogger("weir")

Service = Callable[[], AbstractAsyncContextManager[object]]
# Sockets with the number of the listener in the plan that each belongs to.
Bound = Sequence[tuple[int, socket.socket]]

# How long names of endpoints may hold back the first accept. Longer, and a slow resolver would make a
# restart slow; shorter, and `--to localhost:8081` would answer its first request with 502.
_FIRST_LOOK_UP_S = 0.2
# The same for names without which a cluster has no endpoint at all.
_FIRST_ENDPOINTS_S = 1.0

# Listening sockets, log, shared memory, epoll and what asyncio has: not for clients. Of the rest they get 80 %, all
# listeners together, so that there is always one left for an endpoint.
_OWN_DESCRIPTORS = 32

# Idle connections that a drain closes in one turn: what is in progress must not wait for thousands of them.
_GOODBYES = 64

# Places in the statistics table for endpoints that come later: by a name that changes, or added by an operator.
_SPARE_ENDPOINTS = 256


@dataclass(frozen=True)
class Seat:
    """A worker's place in a statistics table that others use as well."""

    memory: layout.Table
    worker: int  # its number in the table
    routes: Sequence[int]  # the numbers in the table of the plan's routes
    rules: RuleBook | None = None  # the memory of the plan's rules, for the table's workers; None: it has its own
    log_turns: int = -1  # see LogWriter


class LogSink(Protocol):
    """Whom the access log's lines are given to: as LogWriter."""

    def write(self, batch: bytes, lines: int) -> None: ...
    def reopen(self) -> None: ...
    def close(self) -> None: ...


@dataclass(frozen=True)
class Host:
    """The program that a worker is a part of, if the process is not the worker's own."""

    apps: Mapping[str, Any] = field(default_factory=dict)  # applications that it has at hand, by AddressPlan.app
    log: LogSink | None = None  # gets the access log, as JSON; None: as the plan says


class Worker:
    """The data plane of one process.

    `bind()` binds, or `adopt()` takes what others have bound; `start()` serves, `drain()` ends politely, `stop()` at
    once. The running loop must be one whose selector is `EngineSelector(engine)`, or which a `Guest` of the engine is
    in. Without a seat it has a statistics table of its own. `hooks` are met in place of the plan's. With a `host` it
    changes nothing of the process. Raises StartError when the access log cannot be opened, or the plan's hooks cannot
    be imported.
    """

    def __init__(
        self,
        plan: Plan,
        engine: Engine,
        seat: Seat | None = None,
        hooks: Sequence[Found] | None = None,
        host: Host | None = None,
    ) -> None:
        self.plan = plan
        self.engine = engine
        if seat is None:
            seat = own_seat(plan, make_table(plan, 1))
        self.seat = seat
        self.memory = seat.memory
        sink = host.log if host is not None else None
        form = "json" if sink is not None else "off" if plan.log.access == "off" else plan.log.format
        self.log = AccessLog(form, plan.log.buffer_bytes)
        limit = raise_descriptor_limit() if host is None else descriptor_limit()
        clients = max(limit - _OWN_DESCRIPTORS, 1) * 8 // 10
        counters = Counters(seat.memory, seat.worker)
        found = read_hooks(plan) if hooks is None else hooks
        self.plane = Plane(
            plan,
            engine,
            counters,
            self.log,
            SharedPage(self.memory),
            max(clients, 1),
            route_numbers=seat.routes,
            rules=seat.rules,
            hooks=[one for one in found if isinstance(one, Hook)],
        )
        self.life = Life(found)
        self.watchdog = Watchdog(engine, found, plan.hook_block_after_ms / 1000)
        self.plane.on_log_wanted(self.flush_log)
        self.plane.on_hooks_met(self.watchdog.start)
        self.apps = make_apps(plan, host)
        self.resolver = Resolver(self.plane, plan.clusters)
        self.members = Members(self.memory, plan.clusters, self.plane, self.resolver)
        self.expander = Expander(self.members, plan.clusters)
        self.sockets: list[socket.socket] = []
        self._bound: Bound = ()
        self._adopted = False
        self._flusher: asyncio.TimerHandle | None = None
        self._heart = Heart(self.memory, seat.worker, plan, self.plane, self.log)
        self._duty = Duty(self.memory, plan, self.plane)
        self._beating: asyncio.TimerHandle | None = None
        self._dropped = 0
        # Last: it has a thread, and a worker that cannot be made leaves nothing behind.
        self.writer: LogSink | None = open_log(plan, seat.log_turns) if sink is None else sink

    def bind(self, passed: Passed | None = None) -> list[str]:
        """Binds every listener, or takes its sockets of `passed`, and returns where.

        Raises StartError, with nothing left bound.
        """
        bound: list[tuple[int, socket.socket]] = []
        try:
            for number, listener in enumerate(self.plan.listeners):
                known = (passed or Passed()).take(listener.address)
                mine = [sock for copy in known for sock in copy] or bind(listener)
                bound += [(number, sock) for sock in dict.fromkeys(mine)]
        except BaseException:
            for _number, sock in bound:
                unbind(sock)
            raise
        self.sockets = [sock for _number, sock in bound]
        self._bound = bound
        return [bound_text(sock) for sock in self.sockets]

    def adopt(self, bound: Bound) -> None:
        """Instead of bind(): sockets that listen already, and go on doing so when this worker no longer accepts."""
        self._bound, self._adopted = bound, True
        self.sockets = [sock for _number, sock in bound]

    async def start(self) -> None:
        """Resolves, accepts and serves; bind() or adopt() comes before.

        Raises StartError, after stop(), when a startup hook has failed or an application cannot be started.
        """
        if self.life.has_steps:
            self.watchdog.start()
        alive = asyncio.create_task(self._show_life())
        try:
            await self.life.begin()
            if self.apps is not None:
                await self._start_apps(self.apps)
        except BaseException:
            await self.stop()
            raise
        finally:
            alive.cancel()
        self.resolver.start()
        self.members.keep()
        self.expander.start()
        await asyncio.gather(self.resolver.wait_first(_FIRST_LOOK_UP_S), self.expander.wait_first(_FIRST_ENDPOINTS_S))
        for number, sock in self._bound:
            self.plane.listen(number, sock.fileno())
        if self.writer is not None:
            self._schedule_flush()
        self._beat()

    async def _show_life(self) -> None:
        """As long as it may take to begin, the worker shows that it lives."""
        while True:
            self._heart.beat()
            await asyncio.sleep(HEARTBEAT_S)

    async def _start_apps(self, apps: Apps) -> None:
        await apps.start()
        for number, cluster in enumerate(self.plan.clusters):
            for endpoint in cluster.endpoints:
                if endpoint.app is not None:
                    self.plane.set_addresses(number, endpoint.text, [Address(path=apps.path(endpoint.app))])

    def leave(self, on_quiet: Callable[[], None] = lambda: None) -> None:
        """Accepts no more from now on; connections stay, and the next answer on each is its last. Then call drain()."""
        # The plane first: what it watches must still be open, or the kernel, for other processes, goes on telling.
        self.plane.drain(on_quiet, idle=False)
        self._unbind()

    async def drain(self, grace_s: float = 0.0) -> bool:
        """Accepts no more and waits for what is in progress, up to the plan's drain_timeout_ms.

        Connections without a request in progress are closed after grace_s: a client may have connected, or begun its
        next request, at this very moment. Returns whether everything ended by itself. Then call stop().
        """
        quiet = asyncio.Event()
        self._duty.release()
        try:
            async with asyncio.timeout(self.plan.drain_timeout_ms / 1000):
                if grace_s:
                    self.leave(quiet.set)
                    with contextlib.suppress(TimeoutError):
                        await asyncio.wait_for(quiet.wait(), grace_s)
                while self.plane.drain(quiet.set, most=_GOODBYES):
                    await asyncio.sleep(0)
                self._unbind()
                await quiet.wait()
        except TimeoutError:
            return False
        return True

    async def stop(self) -> None:
        """Ends at once: what is still in progress is cut, shutdown hooks are called, the log is written out."""
        self._duty.release()
        self.plane.close()
        self._unbind()
        # Side by side: each has its time, and whoever waits for the worker counts it once.
        await asyncio.gather(self.life.end(), *([] if self.apps is None else [self.apps.stop()]))
        self.watchdog.stop()
        await self.expander.stop()
        await self.resolver.stop()
        for timer in (self._flusher, self._beating):
            if timer is not None:
                timer.cancel()
        # What was counted in the last moment, and that nothing is open any more.
        self._heart.beat()
        if self.writer is not None:
            self.flush_log()
            # A thread that ends, not one of those that a loop keeps.
            with ThreadPoolExecutor(1) as thread:
                await asyncio.get_running_loop().run_in_executor(thread, self.writer.close)

    def reopen_logs(self) -> None:
        """Writes on into a new file at the log's path: the old one was renamed."""
        if self.writer is not None:
            self.flush_log()
            self.writer.reopen()

    def _unbind(self) -> None:
        for sock in self.sockets:
            if self._adopted:
                sock.close()
            else:
                unbind(sock)
        self.sockets.clear()

    def _beat(self) -> None:
        # Members first: a heartbeat says that what was ordered before it has been taken up.
        self.members.keep()
        self._heart.beat()
        self._duty.beat()
        self._beating = asyncio.get_running_loop().call_later(HEARTBEAT_S, self._beat)

    def flush_log(self) -> None:
        """Hands over what the access log has so far."""
        if self.writer is None:
            return
        lines = self.log.lines
        batch = self.log.take()
        if batch:
            self.writer.write(batch, lines - self._lines_taken)
            self._lines_taken = lines
        if self.log.dropped != self._dropped:
            log.warning("access log: %d lines lost, the log cannot keep up", self.log.dropped - self._dropped)
            self._dropped = self.log.dropped

    _lines_taken = 0

    def _schedule_flush(self) -> None:
        self.flush_log()
        loop = asyncio.get_running_loop()
        self._flusher = loop.call_later(self.plan.log.flush_ms / 1000, self._schedule_flush)


def own_seat(plan: Plan, memory: layout.Table, rules: RuleBook | None = None) -> Seat:
    """The only worker's place. Routes of the same name (listeners on port 0 have it) are counted together."""
    return Seat(memory, 0, route_numbers(memory, plan), rules)


def route_numbers(memory: layout.Table, plan: Plan) -> list[int]:
    """The numbers of a plan's routes in the table; those that are new get one. ValueError if there is no place left."""
    return layout.name_routes(memory, [route.name for route in plan.routes])


def name_plan(memory: layout.Table, plan: Plan) -> list[int]:
    """Gives all names of a plan their places in the table; as route_numbers()."""
    routes = route_numbers(memory, plan)
    endpoints = [(cluster.name, name) for cluster in plan.clusters for name in cluster.members()]
    layout.name_endpoints(memory, endpoints)
    layout.name_clusters(memory, [cluster.name for cluster in plan.clusters])
    return routes


def make_table(plan: Plan, workers: int, *, growing: bool = False, private: bool = False) -> layout.Table:
    """A statistics table for a plan, with places for endpoints that come later and, if `growing`, for names that later
    plans bring. `private`: for this process alone (see layout.Table)."""
    endpoints = [(cluster.name, name) for cluster in plan.clusters for name in cluster.members()]
    names = list(dict.fromkeys(route.name for route in plan.routes))
    routes, rows = len(names), plan.stats.rows
    return layout.create(
        rows,
        names,
        workers,
        endpoints=endpoints,
        clusters=[cluster.name for cluster in plan.clusters],
        spare_routes=max(0, min(max(routes, 32), rows // 8, rows - routes - 1)) if growing else 0,
        spare_endpoints=max(len(endpoints), _SPARE_ENDPOINTS),
        spare_clusters=max(len(plan.clusters), 32) if growing else 0,
        private=private,
    )


def make_rules(plan: Plan, workers: int, before: RuleBook | None = None) -> RuleBook:
    """The memory of a plan's rules; of those that `before` has as well it is the same. Raises StartError."""
    try:
        return RuleBook(plan, workers, before)
    except OSError as error:
        raise StartError(f"no memory for the rate limits: {(error.strerror or str(error)).lower()}") from error


def read_hooks(plan: Plan) -> list[Found]:
    """The hooks of a plan, with what is called at the start and the end, imported now. Raises StartError."""
    if not plan.hooks:
        return []
    from weir.hooks.loading import HooksError, load

    try:
        return load(plan.hooks)
    except HooksError as error:
        raise StartError(str(error)) from None


def open_log(plan: Plan, turns: int = -1) -> LogWriter | None:
    """The writer of a plan's access log; `turns` as in LogWriter. Raises StartError."""
    if plan.log.access == "off":
        return None
    try:
        return LogWriter(plan.log.access, plan.log.buffer_bytes, turns)
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise StartError(f"cannot write the access log {plan.log.access}: {reason}") from error


def make_apps(plan: Plan, host: Host | None) -> Apps | None:
    """Those of a plan; None if it has none: then nothing of them is imported."""
    texts = [point.app for cluster in plan.clusters for point in cluster.endpoints if point.app is not None]
    if not texts:
        return None
    from weir.control.apps import Apps

    # Where a person's program finds its modules is the program's matter.
    return Apps(texts, plan.directory) if host is None else Apps(texts, given=host.apps)


def run(
    plan: Plan,
    *,
    on_ready: Callable[[list[str]], None] | None = None,
    on_bound: Callable[[Sequence[socket.socket]], None] | None = None,
    services: Sequence[Service] = (),
    memory: layout.Table | None = None,
    passed: Passed | None = None,
    rules: RuleBook | None = None,
) -> int:
    """Runs one worker in this process until TERM or INT has drained it; returns the exit status.

    TERM and INT finish what is in flight; a second one, or QUIT, ends at once. USR1 reopens the log.
    `services` are entered before the listeners open and left after they have drained; `on_ready` gets
    the bound addresses. `on_bound` gets the sockets before anything is served, and may change who this process is;
    `passed` are sockets of a service manager. `memory` is the statistics table to count in (`make_table(plan, 1)`), and
    `rules` the memory of the plan's rules, if somebody else reads them. Raises StartError when an address cannot be
    bound.
    """
    engine = Engine()
    selector = EngineSelector(engine)
    with asyncio.Runner(loop_factory=lambda: asyncio.SelectorEventLoop(selector)) as runner:
        return runner.run(_serve(plan, engine, on_ready, on_bound, services, memory, rules, passed))


async def _serve(
    plan: Plan,
    engine: Engine,
    on_ready: Callable[[list[str]], None] | None,
    on_bound: Callable[[Sequence[socket.socket]], None] | None,
    services: Sequence[Service],
    memory: layout.Table | None,
    rules: RuleBook | None,
    passed: Passed | None,
) -> int:
    loop = asyncio.get_running_loop()
    worker = Worker(plan, engine, own_seat(plan, memory, rules) if memory is not None else None)
    bound = worker.bind(passed)
    if on_bound is not None:
        on_bound(worker.sockets)
    drain, now = asyncio.Event(), asyncio.Event()

    def on_stop() -> None:
        (now if drain.is_set() else drain).set()

    def on_quit() -> None:
        drain.set()
        now.set()

    for number, handler in (
        (signal.SIGTERM, on_stop),
        (signal.SIGINT, on_stop),
        (signal.SIGQUIT, on_quit),
        (signal.SIGUSR1, worker.reopen_logs),
    ):
        loop.add_signal_handler(number, handler)
    async with contextlib.AsyncExitStack() as stack:
        for service in services:
            await stack.enter_async_context(service())
        if not await start_unless(worker, drain):
            return 0
        # What exists now lives as long as the process: the collector need not look at it again.
        gc.collect()
        gc.freeze()
        say_faults(plan)
        if on_ready is not None:
            on_ready(bound)
        await drain.wait()
        await drain_or_stop(worker, now)
    return 0
