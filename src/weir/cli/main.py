"""The command `weir`: a group whose commands are imported when they are used."""

from __future__ import annotations

import importlib

import click

__all__ = ["COMMANDS", "main"]

# In the order of --help. The module weir.cli.<name> has the click command as its attribute `command`.
COMMANDS = ("run", "stats", "top", "diff", "endpoint", "check", "explain", "files", "demo", "version")


class LazyGroup(click.Group):
    """Imports a command's module when the command is run or its help is printed."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module = importlib.import_module(f"weir.cli.{cmd_name}")
        command: click.Command = module.command
        return command


def _print_version(ctx: click.Context, _parameter: click.Parameter, wanted: bool) -> None:
    if wanted and not ctx.resilient_parsing:
        from weir.cli.version import describe

        click.echo(describe())
        ctx.exit()


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.option(
    "--version",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_print_version,
    help="Print the version and exit.",
)
def group() -> None:
    """weir, an HTTP/1.1 reverse proxy that measures what passes through it."""


def main() -> None:
    """Run the command line of this process and exit with its status."""
    group(prog_name="weir", auto_envvar_prefix="WEIR")
