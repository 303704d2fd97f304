"""What several commands say in the same way."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import NoReturn

import click

__all__ = ["config_path_type", "fail", "print_listeners"]


def config_path_type() -> click.Path:
    """The type of a configuration file's path. That it can be read is found out when it is read."""
    return click.Path(path_type=Path)


def fail(message: str, *, status: int) -> NoReturn:
    """Print each line of a message on standard error, behind the program's name, and exit with the status."""
    for line in message.splitlines():
        click.echo(f"weir: {line}", err=True)
    sys.exit(status)


def print_listeners(addresses: list[str]) -> None:
    """Say on standard error that the proxy is ready, one line for each listener."""
    for address in addresses:
        click.echo(f"weir: listening on {address}", err=True)
