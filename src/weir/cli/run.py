"""`weir run`: the proxy."""

from __future__ import annotations

import math
import os
import socket
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from weir.cli.common import config_path_type, fail, print_listeners

if TYPE_CHECKING:
    from weir.config.model import Config
    from weir.config.plan import Plan
    from weir.control.passed import Passed

__all__ = ["check_usage", "command", "configuration"]

# The way to a key in the configuration.
Setting = tuple[str, ...]


@click.command()
@click.option("-l", "--listen", multiple=True, metavar="ADDRESS", help="Where to listen: HOST:PORT, :PORT, unix:PATH.")
@click.option("-t", "--to", multiple=True, metavar="ADDRESS", help="Endpoint to send requests to; may be given again.")
@click.option("-c", "--config", type=config_path_type(), help="Configuration file, instead of --listen and --to.")
@click.option("--access-log", metavar="FILE", help="off, stdout, or a file. [default: off]")
@click.option("--log-format", metavar="FORMAT", help="combined, common, json, short or ledger. [default: combined]")
@click.option("--stats-page", metavar="PATH", help="Serve the statistics page on this path. [default: none]")
@click.option("--hooks", metavar="FILE", help="Python functions that requests meet: a file or a module. [default: off]")
@click.option("--reload", is_flag=True, help="For development: reload when the hooks or the configuration are saved.")
@click.option("--workers", metavar="N", help="Processes that serve. [default: auto, one for each processor]")
@click.option("--single-process", is_flag=True, help="Serve in this very process, without a supervisor.")
@click.option("--pid-file", metavar="FILE", help="Where the process's number is written while it runs. [default: off]")
@click.option("--admin", metavar="ADDRESS", help="Where the admin process answers, or off. [default: 127.0.0.1:8079]")
def command(
    listen: tuple[str, ...],
    to: tuple[str, ...],
    config: Path | None,
    access_log: str | None,
    log_format: str | None,
    stats_page: str | None,
    hooks: str | None,
    reload: bool,
    workers: str | None,
    single_process: bool,
    pid_file: str | None,
    admin: str | None,
) -> None:
    """Run the proxy.

    It runs until TERM or INT; both let it finish what is in flight, a second one ends it at once.

    \b
    weir run --listen :8080 --to 127.0.0.1:8081
    weir run -c weir.toml
    """
    inline = {
        "--listen": listen,
        "--to": to,
        "--access-log": access_log,
        "--log-format": log_format,
        "--stats-page": stats_page,
    }
    check_usage(config, inline)
    settings: dict[Setting, tuple[str, object]] = {}
    if workers is not None:
        number = workers.isascii() and workers.isdigit() and len(workers) < 10
        settings[("workers",)] = ("--workers", int(workers) if number else workers)
    if hooks is not None:
        settings[("hooks",)] = ("--hooks", hooks)
    if reload:
        if single_process:
            raise click.UsageError("--reload needs a supervisor, which --single-process leaves out.")
        settings[("single_process",)] = ("--reload", False)
        settings.setdefault(("workers",), ("--reload", 1))
        # Two saves within a second look alike to Python if the file stays as long as it was.
        sys.dont_write_bytecode = True
    if single_process:
        settings[("single_process",)] = ("--single-process", True)
    if pid_file is not None:
        # A file that a person names on a command line is where they are.
        absolute = pid_file if pid_file in ("", "off") else os.path.abspath(pid_file)
        settings[("pid_file",)] = ("--pid-file", absolute)
    if admin is not None:
        settings[("admin", "address")] = ("--admin", admin)

    def read() -> Plan:
        from weir.config.compile import compile_plan
        from weir.config.errors import ConfigError

        try:
            directory = os.path.abspath(config.parent if config is not None else "")
            found = configuration(config, listen, to, access_log, log_format, stats_page, settings)
            plan = compile_plan(found, directory)
        except ConfigError as error:
            raise PlanRefused(str(error)) from None
        return _with_hooks(plan)

    from weir.control.errors import PlanRefused, StartError

    try:
        status = _run(_read_beside(read), read, [str(config)] if config is not None else [], reload)
    except PlanRefused as error:
        fail(str(error), status=2)
    except StartError as error:
        fail(str(error), status=1)
    sys.exit(status)


def _with_hooks(plan: Plan) -> Plan:
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


def _read_beside(read: Callable[[], Plan]) -> Plan:
    """The plan, read by a process of its own, while this one imports what it will need (decision 9)."""
    from weir.control.spawn import Answer

    answer = Answer(read, timeout_s=math.inf)
    import weir.control.supervisor  # noqa: F401

    while not answer.read():
        pass
    plan: Plan = answer.get()
    return plan


def _run(plan: Plan, read: Callable[[], Plan], files: Sequence[str], reload: bool) -> int:
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
    if reload:
        from weir.control.watching import Watching

        watching = Watching(files, time.monotonic(), plan.hooks)
    return run(
        plan, read, admin, on_ready=print_listeners, passed=passed, predecessor=predecessor, watching=watching
    )


def _run_alone(plan: Plan, passed: Passed) -> int:
    from weir.control.identity import identity_of, own_files, own_sockets
    from weir.control.keeper import bind_admin
    from weir.control.pidfile import PidFile
    from weir.control.sockets import unbind
    from weir.control.worker import Service, make_rules, make_table, run

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
        print_listeners(addresses)

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


def check_usage(config: Path | None, inline: dict[str, tuple[str, ...] | str | None]) -> None:
    """Raises UsageError if the options that say what to run say it twice, or not."""
    given = [name for name, value in inline.items() if value]
    if config is not None and given:
        raise click.UsageError(f"--config and {', '.join(given)} exclude each other: put it into {config}.")
    if config is None and not inline["--listen"] and not inline["--to"]:
        raise click.UsageError("Say what to run: --listen ADDRESS --to ADDRESS, or --config FILE.")
    if config is None and not inline["--listen"]:
        raise click.UsageError("Missing --listen ADDRESS: where clients connect to.")
    if config is None and not inline["--to"]:
        raise click.UsageError("Missing --to ADDRESS: the endpoint to send requests to.")


def configuration(
    path: Path | None,
    listen: tuple[str, ...],
    to: tuple[str, ...],
    access_log: str | None,
    log_format: str | None,
    stats_page: str | None,
    settings: Mapping[Setting, tuple[str, object]],
) -> Config:
    """What a file or the options say; `settings` come before what is in the file. Raises ConfigError."""
    from weir.config.load import from_options, load_file

    if path is not None:
        return load_file(path, settings)
    return from_options(list(listen), list(to), access_log, log_format, stats_page, settings)
