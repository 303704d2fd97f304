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
    from weir.config.address import parse_listen
    from weir.config.compile import compile_plan
    from weir.config.errors import ConfigError
    from weir.config.load import from_options
    from weir.config.plan import ListenerPlan
    from weir.control.errors import StartError
    from weir.control.sockets import bind, bound_text, unbind

    try:
        sockets = bind(ListenerPlan(parse_listen(files, "--files"), route=0))
    except ConfigError as error:
        fail(str(error), status=2)
    except StartError as error:
        fail(f"{error}\n{_other_address('files', 'FILES', '127.0.0.1:9091')}", status=1)
    endpoint = connectable(bound_text(sockets[0]))

    from weir.control.worker import run
    from weir.demo import SITE
    from weir.demo.fileserver import file_app, serving

    def file_server() -> AbstractAsyncContextManager[object]:
        return serving(file_app(SITE), sockets)

    def on_ready(addresses: list[str]) -> None:
        click.echo(greeting(addresses[0], endpoint, stats_page))

    message, status = "", 0
    try:
        plan = compile_plan(from_options([listen], [endpoint], "stdout", "short", stats_page))
        status = run(plan, on_ready=on_ready, services=[file_server])
    except ConfigError as error:
        message, status = str(error), 2
    except StartError as error:
        message, status = f"{error}\n{_other_address('listen', 'LISTEN', '127.0.0.1:9090')}", 1
    if message:
        for bound in sockets:
            unbind(bound)
        fail(message, status=status)
    sys.exit(status)


def _other_address(option: str, variable: str, example: str) -> str:
    return f"choose another address: weir demo --{option} {example}, or make demo {variable}={example}"


def connectable(address: str) -> str:
    """The address to connect to where a server listens: for all addresses of this machine, its loopback one."""
    for everywhere, loopback in (("0.0.0.0:", "127.0.0.1:"), ("[::]:", "[::1]:")):
        if address.startswith(everywhere):
            return loopback + address.removeprefix(everywhere)
    return address


def greeting(proxy: str, files: str, stats_page: str) -> str:
    """What the demonstration says when both servers are ready, for the addresses they are bound to."""
    if proxy.startswith("unix:"):
        base, curl = "http://localhost", f"curl --unix-socket {proxy.removeprefix('unix:')}"
        opened = f"(a Unix socket, {proxy}: no browser opens it)"
    else:
        base, curl = f"http://{connectable(proxy)}", "curl"
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
