"""`weir top`: what passes just now, live in a terminal."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import click

from weir.cli.admin import MomentType, admin_options, caller, failures, filter_options
from weir.cli.common import fail
from weir.cli.table import SORTS

__all__ = ["command"]


@click.command()
@click.option(
    "-s", "--sort", type=click.Choice(list(SORTS)), default="count", show_default=True, help="The greatest comes first."
)
@filter_options
@click.option(
    "-i",
    "--interval",
    type=MomentType("parse_interval"),
    default="1s",
    show_default=True,
    help="Time between two pictures.",
)
@admin_options
def command(
    sort: str,
    contains: str,
    prefix: str,
    route: str,
    interval: float,
    admin: str | None,
    token_file: Path | None,
    timeout: float,
) -> None:
    """Show what passes, live.

    Each picture is what was counted in one interval. ? explains the keys; q ends it.
    """
    calling = caller(admin, token_file, timeout)
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        fail("weir top needs a terminal; elsewhere: weir stats --watch", status=1)

    from weir.cli.feed import Feed
    from weir.cli.screen import ScreenError, show
    from weir.cli.topstate import Top

    # What cannot be called now is told here, where it can be read, not on a screen that goes away.
    with failures():
        calling.call("GetStatus", {})
    read, write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    feed = Feed(calling.again, write)
    try:
        top = Top(interval=interval, sort=sort, route=route, prefix=prefix, contains=contains)
        show(top, calling.target.text, feed, read)
    except ScreenError as error:
        fail(f"weir top cannot use this terminal: {error}; elsewhere: weir stats --watch", status=1)
    finally:
        feed.close()
        os.close(read)
        os.close(write)
