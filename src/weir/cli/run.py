"""`weir run`: the proxy."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import click

from weir.cli.common import config_path_type, fail

if TYPE_CHECKING:
    from weir.config.model import Config
    from weir.config.plan import Plan

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
        return with_hooks(plan)

    from weir.control.errors import PlanRefused, StartError
    from weir.running import read_beside, serve, with_hooks

    try:
        files = [str(config)] if config is not None else []
        status = serve(read_beside(read), read, files if reload else None)
    except PlanRefused as error:
        fail(str(error), status=2)
    except StartError as error:
        fail(str(error), status=1)
    sys.exit(status)


def check_usage(config: Path | None, inline: dict[str, tuple[str, ...] | str | None]) -> None:
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
