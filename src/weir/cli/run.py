"""`weir run`: the proxy."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from weir.cli.common import config_path_type, fail, print_listeners

if TYPE_CHECKING:
    from weir.config.model import Config

__all__ = ["command"]


@click.command()
@click.option("-l", "--listen", multiple=True, metavar="ADDRESS", help="Where to listen: HOST:PORT, :PORT, unix:PATH.")
@click.option("-t", "--to", multiple=True, metavar="ADDRESS", help="Endpoint to send requests to; may be given again.")
@click.option("-c", "--config", type=config_path_type(), help="Configuration file, instead of --listen and --to.")
@click.option("--access-log", metavar="FILE", help="off, stdout, or a file. [default: off]")
@click.option("--log-format", metavar="FORMAT", help="combined, common, json, short or ledger. [default: combined]")
@click.option("--stats-page", metavar="PATH", help="Serve the statistics page on this path. [default: none]")
def command(
    listen: tuple[str, ...],
    to: tuple[str, ...],
    config: Path | None,
    access_log: str | None,
    log_format: str | None,
    stats_page: str | None,
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
    _check_usage(config, inline)

    from weir.config.compile import compile_plan
    from weir.config.errors import ConfigError

    try:
        chosen = _configuration(config, listen, to, access_log, log_format, stats_page)
        plan = compile_plan(chosen)
    except ConfigError as error:
        fail(str(error), status=2)

    from weir.control.errors import StartError
    from weir.control.worker import run

    try:
        status = run(plan, on_ready=print_listeners)
    except StartError as error:
        fail(str(error), status=1)
    sys.exit(status)


def _check_usage(config: Path | None, inline: dict[str, tuple[str, ...] | str | None]) -> None:
    given = [name for name, value in inline.items() if value]
    if config is not None and given:
        raise click.UsageError(f"--config and {', '.join(given)} exclude each other: put it into {config}.")
    if config is None and not inline["--listen"] and not inline["--to"]:
        raise click.UsageError("Say what to run: --listen ADDRESS --to ADDRESS, or --config FILE.")
    if config is None and not inline["--listen"]:
        raise click.UsageError("Missing --listen ADDRESS: where clients connect to.")
    if config is None and not inline["--to"]:
        raise click.UsageError("Missing --to ADDRESS: the endpoint to send requests to.")


def _configuration(
    path: Path | None,
    listen: tuple[str, ...],
    to: tuple[str, ...],
    access_log: str | None,
    log_format: str | None,
    stats_page: str | None,
) -> Config:
    from weir.config.load import from_options, load_file

    if path is not None:
        return load_file(path)
    return from_options(list(listen), list(to), access_log, log_format, stats_page)
