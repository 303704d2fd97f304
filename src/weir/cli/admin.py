"""What the commands that ask the admin address have in common: where it is, the token, and what goes wrong."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from weir.cli.common import fail

if TYPE_CHECKING:
    from weir.cli.call import Caller

__all__ = ["MomentType", "admin_options", "caller", "colourful", "columns", "failures", "filter_of", "filter_options"]

Command = TypeVar("Command", bound=Callable[..., Any])
# The name is documented: a token in the environment is seen by nobody else, on a command line by everybody.
TOKEN_VARIABLE = "WEIR_TOKEN"


class MomentType(click.ParamType[Any]):
    """A moment, a duration or a span, by one of the functions of `weir.cli.moments`."""

    name = "moment"

    def __init__(self, function: str) -> None:
        self._function = function

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """What the function makes of it; a usage error with its words if nothing."""
        from weir.cli import moments

        if not isinstance(value, str):
            return value
        try:
            return getattr(moments, self._function)(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)


def admin_options(command: Command) -> Command:
    """--admin, --token-file and --timeout."""
    for option in (
        click.option(
            "--timeout",
            type=click.FloatRange(0.1, 600),
            default=10.0,
            show_default=True,
            metavar="SECONDS",
            help="Longest wait for an answer.",
        ),
        click.option(
            "--token-file",
            type=click.Path(path_type=Path),
            envvar="WEIR_TOKEN_FILE",
            metavar="FILE",
            help=f"File with the token that the address demands. [default: ${TOKEN_VARIABLE}]",
        ),
        click.option(
            "--admin",
            envvar="WEIR_ADMIN",
            metavar="ADDRESS",
            help="The admin address: HOST:PORT, http(s)://..., unix:PATH. [default: 127.0.0.1:8079]",
        ),
    ):
        command = option(command)
    return command


def filter_options(command: Command) -> Command:
    """--filter, --prefix and --route."""
    for option in (
        click.option("--route", default="", metavar="NAME", help="Only series of this route."),
        click.option("--prefix", default="", metavar="PATH", help="Only paths that begin so."),
        click.option("-f", "--filter", "contains", default="", metavar="TEXT", help="Only paths with TEXT in them."),
    ):
        command = option(command)
    return command


def filter_of(route: str = "", prefix: str = "", contains: str = "", path: str = "") -> dict[str, str]:
    """A Filter of the contract."""
    chosen = {"route": route, "prefix": prefix, "contains": contains, "path": path}
    return {name: text for name, text in chosen.items() if text}


def caller(admin: str | None, token_file: Path | None, timeout: float) -> Caller:
    """Who calls the address; a usage error if it is none, exit status 1 if the token's file cannot be read."""
    from weir.cli.call import DEFAULT_ADMIN, Caller, parse_target

    try:
        target = parse_target(admin or DEFAULT_ADMIN)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--admin") from None
    return Caller(target, read_token(token_file), timeout)


def read_token(token_file: Path | None) -> str:
    if token_file is None:
        token, source = os.environ.get(TOKEN_VARIABLE, "").strip(), TOKEN_VARIABLE
    else:
        try:
            with open(token_file, encoding="ascii", errors="replace") as file:
                token, source = file.read(4097).strip(), str(token_file)
        except OSError as error:
            fail(f"{token_file}: {error.strerror}", status=1)
        if not token:
            fail(f"{token_file}: there is no token in it", status=1)
    # It becomes a field of a request; its own text is not shown.
    if len(token) > 4096 or not all("!" <= sign <= "~" for sign in token):
        fail(f"{source}: a token is one line of at most 4096 visible ASCII characters", status=1)
    return token


@contextlib.contextmanager
def failures() -> Iterator[None]:
    """Ends the command with status 1 and a message when a call fails; quietly when nobody reads its output any more."""
    from weir.cli.answers import AnswerError
    from weir.cli.call import CallError

    try:
        yield
    except CallError as error:
        fail(str(error), status=1)
    except AnswerError as error:
        fail(f"the answer is not one of weir.v1: {error}\nis it another version? see weir version", status=1)
    except BrokenPipeError:
        # Python would complain when it flushes once more at the end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)


def colourful() -> bool:
    """May output have colours: a terminal, and https://no-color.org is respected."""
    return sys.stdout.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def columns() -> int | None:
    """Columns of the terminal that output goes to; None if it goes elsewhere, where lines may be of any length."""
    if not sys.stdout.isatty():
        return None
    import shutil

    return max(shutil.get_terminal_size().columns, 20)
