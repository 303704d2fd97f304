"""`weir run` and `weir.run`: from a configuration that has to be read to the end of the last worker.

What it takes is imported where it is used, so that the process that stays, the supervisor, is small.
"""

from __future__ import annotations

import math
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from weir.config.plan import Plan
    from weir.control.passed import Passed

__all__ = ["read_beside", "run", "serve", "with_hooks"]


def run(
    config: str | os.PathLike[str] | Mapping[str, Any],
    *,
    hooks: ModuleType | str | os.PathLike[str] | None = None,
) -> int:
    """Runs the proxy as `weir run` does, processes, signals and reload included, and returns its exit status.

    `config` is the path of a configuration file, or what such a file would say, as nested tables. `hooks` are Python
    functions that requests meet, in place of what the configuration names: the path of a file, or a module, which each
    worker imports anew from its file. It blocks until TERM or INT has drained everything; afterwards the handlers of
    signals are those of before.

    The process is forked: call it before threads and loops are started. RuntimeError inside a running loop (that is
    what `weir.Proxy` is for) and outside of the main thread. weir.ConfigError for a configuration that is refused,
    weir.StartError if it cannot begin.
    """
    _check_place()
    named = _named(hooks)

    def read() -> Plan:
        from weir.config.compile import compile_plan
        from weir.config.errors import ConfigError
        from weir.config.load import from_mapping, load_file
        from weir.control.errors import PlanRefused

        try:
            if isinstance(config, Mapping):
                plan = compile_plan(from_mapping({**config, **named}), os.getcwd())
            else:
                settings: dict[tuple[str, ...], tuple[str, object]] = {
                    (key,): (key, value) for key, value in named.items()
                }
                plan = compile_plan(load_file(os.fspath(config), settings), os.path.dirname(os.path.abspath(config)))
        except ConfigError as error:
            raise PlanRefused(str(error)) from None
        return with_hooks(plan)

    from weir.config.errors import ConfigError, Problem
    from weir.control.errors import PlanRefused
    from weir.control.spawn import HANDLED, allow_signals

    before = {number: signal.getsignal(number) for number in HANDLED}
    try:
        return serve(read_beside(read), read)
    except PlanRefused as error:
        raise ConfigError([Problem(line) for line in str(error).splitlines()]) from None
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        allow_signals()


def _check_place() -> None:
    if threading.current_thread() is not threading.main_thread():
        raise RuntimeError("weir.run handles signals, which only the main thread can; weir.Proxy handles none")
    asyncio = sys.modules.get("asyncio")
    if asyncio is not None and asyncio._get_running_loop() is not None:
        raise RuntimeError("weir.run blocks, and a loop is running here: async with weir.Proxy(...)")


def _named(hooks: ModuleType | str | os.PathLike[str] | None) -> dict[str, str]:
    """The setting for hooks."""
    if hooks is None:
        return {}
    if not isinstance(hooks, ModuleType):
        return {"hooks": os.fspath(hooks)}
    file = getattr(hooks, "__file__", None)
    if not file:
        raise TypeError(f"{hooks.__name__} has no file that workers could import")
    return {"hooks": file}


def say_listening(addresses: list[str]) -> None:
    """That it is ready, one line for each listener."""
    from weir.control.status import say

    for address in addresses:
        say(f"listening on {address}")


def with_hooks(plan: Plan) -> Plan:
    """The plan, with what its hooks are called.

    They are imported in this process, which has nothing else to do: an error then refuses the plan.
    """
    if not plan.hooks:
        return plan
    from weir.control.errors import PlanRefused
    from weir.hooks import Hook
    from weir.hooks.loading import HooksError, load

    try:
        found = load(plan.hooks)
    except HooksError as error:
        raise PlanRefused(str(error)) from None
    return replace(plan, hooked=tuple((hook.phase, hook.name) for hook in found if isinstance(hook, Hook)))


def read_beside(read: Callable[[], Plan]) -> Plan:
    """The plan, read by a process of its own, while this one imports what it will need (decision 9)."""
    from weir.control.spawn import Answer, hold_orders

    def reading() -> Plan:
        # Looking for pydantic's plugins opens every installed package's metadata: a tenth of the start.
        os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")
        return read()

    hold_orders()
    answer = Answer(reading, timeout_s=math.inf)
    import weir.control.supervisor  # noqa: F401

    while not answer.read():
        pass
    plan: Plan = answer.get()
    return plan


def serve(plan: Plan, read: Callable[[], Plan], watched: Sequence[str] | None = None) -> int:
    """Serves a plan, with a supervisor or in this process alone, until it is told to end; returns the exit status.

    `read` reads the plan anew; that is done as well when one of the `watched` files, or the hooks, are saved (None:
    nothing is watched). Raises StartError.
    """
    from weir.control.errors import StartError
    from weir.control.passed import Passed
    from weir.control.takeover import Predecessor

    passed, predecessor = Passed.from_environment(), Predecessor.from_environment()
    if plan.single_process:
        if predecessor is not None:
            raise StartError("single_process cannot take over from a weir that runs: restart it for that")
        return _run_alone(plan, passed)
    from weir.control.supervisor import run

    def admin(*given: Any) -> int:
        # Imported where it is used: the supervisor stays small.
        from weir.admin.process import main

        return main(*given)

    watching = None
    if watched is not None:
        from weir.control.watching import Watching

        watching = Watching(watched, time.monotonic(), plan.hooks)
    return run(plan, read, admin, on_ready=say_listening, passed=passed, predecessor=predecessor, watching=watching)


def _run_alone(plan: Plan, passed: Passed) -> int:
    from weir.control.identity import identity_of, own_files, own_sockets
    from weir.control.keeper import bind_admin
    from weir.control.pidfile import PidFile
    from weir.control.sockets import unbind
    from weir.control.spawn import allow_signals
    from weir.control.worker import Service, make_rules, make_table, run

    allow_signals()
    identity, pid_file = identity_of(plan), PidFile(plan.pid_file)
    memory, rules = make_table(plan, 1), make_rules(plan, 1)
    sockets: list[socket.socket] = []

    def on_bound(listening: Sequence[socket.socket]) -> None:
        passed.close_rest()
        own_files(plan, identity)
        own_sockets([*listening, *sockets], identity)
        if identity is not None:
            identity.become()

    def on_ready(addresses: list[str]) -> None:
        pid_file.write()
        say_listening(addresses)

    services: list[Service] = []
    pid_file.take()
    try:
        sockets += bind_admin(plan.admin, passed)
        if sockets:
            from weir.admin.server import serve

            services.append(lambda: serve(plan, memory, sockets, token=plan.admin.token, rules=rules))
        return run(
            plan,
            on_ready=on_ready,
            on_bound=on_bound,
            services=services,
            memory=memory,
            rules=rules,
            passed=passed,
        )
    finally:
        for sock in sockets:
            unbind(sock)
        pid_file.remove()
