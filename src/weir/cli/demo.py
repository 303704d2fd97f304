"""`weir demo`: a file server with this project's documentation, and the proxy in front of it."""

from __future__ import annotations

import sys
from contextlib import AbstractAsyncContextManager

import click

from weir.cli.common import fail

__all__ = ["command"]


@click.command()
@click.option("-l", "--listen", default="127.0.0.1:8080", show_default=True, metavar="ADDRESS", help="The proxy.")
@click.option("--files", default="127.0.0.1:8081", show_default=True, metavar="ADDRESS", help="The file server.")
@click.option("--stats-page", default="/stats", show_default=True, metavar="PATH", help="The statistics page.")
def command(listen: str, files: str, stats_page: str) -> None:
    """Serve this project's documentation through the proxy.

    Both run in one process. Each request is printed as path and status; Ctrl-C ends both.
    """
    from weir.config.compile import compile_plan
    from weir.config.errors import ConfigError
    from weir.config.load import from_options
    from weir.control.errors import StartError
    from weir.control.worker import run
    from weir.demo import SITE
    from weir.demo.fileserver import bind, bound_text, file_app, serving

    try:
        files_address = parse_listen(files, "--files")
        sockets = bind(files_address)
    except ConfigError as error:
        fail(str(error), status=2)
    except StartError as error:
        fail(f"{error}\n{_other_address('files', 'FILES', '127.0.0.1:9091')}", status=1)
    endpoint = bound_text(sockets[0])

    def file_server() -> AbstractAsyncContextManager[object]:
        return serving(file_app(SITE), sockets)

    def on_ready(addresses: list[str]) -> None:
        click.echo(_greeting(addresses[0], endpoint, stats_page))

    try:
        plan = compile_plan(from_options([listen], [endpoint], "stdout", "short", stats_page))
        status = run(plan, on_ready=on_ready, services=[file_server])
    except ConfigError as error:
        fail(str(error), status=2)
    except StartError as error:
        fail(f"{error}\n{_other_address('listen', 'LISTEN', '127.0.0.1:9090')}", status=1)
    sys.exit(status)


def _other_address(option: str, variable: str, example: str) -> str:
    return f"choose another address: weir demo --{option} {example}, or make demo {variable}={example}"


def _greeting(proxy: str, files: str, stats_page: str) -> str:
    if proxy.startswith("unix:"):
        base, curl = "http://localhost", f"curl --unix-socket {proxy.removeprefix('unix:')}"
        opened = f"(a Unix socket: {proxy})"
    else:
        base, curl = f"http://{proxy}", "curl"
        opened = f"{base}/"
    return f"""\
weir is running in front of a file server with its own documentation.

  open   {opened}
  try    {curl} -i {base}/
         (X-Bytes: how many bytes have been sent for this path so far)
         {curl} {base}{stats_page}
         (requests, bytes and times of every path)

  proxy  {proxy}  ->  file server  {files}
  Ctrl-C ends both. Each request follows as path and status:
"""
