"""`weir files`: a static file server to put the proxy in front of."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from weir.cli.common import fail, print_listeners

if TYPE_CHECKING:
    import socket

__all__ = ["command"]


@click.command()
@click.argument("directory", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("-l", "--listen", default=":8081", show_default=True, metavar="ADDRESS", help="Where to listen.")
@click.option("--log", is_flag=True, help="Print path and status of each request.")
def command(directory: Path, listen: str, log: bool) -> None:
    """Serve the files of DIRECTORY.

    For a directory in it, its index.html is served.

    A server for trials and tutorials, not for production.
    """
    import asyncio

    from weir.config.address import parse_listen
    from weir.config.errors import ConfigError
    from weir.config.plan import ListenerPlan
    from weir.control.errors import StartError
    from weir.control.sockets import bind

    try:
        sockets = bind(ListenerPlan(parse_listen(listen, "--listen"), route=0))
    except ConfigError as error:
        fail(str(error), status=2)
    except StartError as error:
        fail(f"{error}\nchoose another address with --listen", status=1)
    asyncio.run(_serve(directory, sockets, log))


async def _serve(directory: Path, sockets: list[socket.socket], log: bool) -> None:
    import asyncio
    import signal

    from weir.control.sockets import bound_text
    from weir.demo.fileserver import file_app, serving

    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    addresses = [bound_text(bound) for bound in sockets]
    async with serving(file_app(directory, log=log), sockets) as server:

        def on_signal() -> None:
            # The first one lets downloads finish, the second cuts them off.
            server.force_exit = stop.is_set()
            stop.set()

        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, on_signal)
        print_listeners(addresses)
        await stop.wait()
