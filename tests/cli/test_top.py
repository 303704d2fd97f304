"""`weir top` before there is a screen; the screen itself: test_screen.py."""

from __future__ import annotations

import pytest
from click.testing import CliRunner

from weir.cli.main import group

from .support import weir


def test_without_a_terminal_it_says_what_else_there_is() -> None:
    done = weir("top", "--admin", "127.0.0.1:1")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "weir: weir top needs a terminal; elsewhere: weir stats --watch\n"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--interval", "0.01"], "is not 0.2s to 1h"),
        (["--interval", "fast"], "no duration"),
        (["--admin", "x"], "a port of 1 to 65535 is missing"),
        (["--sort", "speed"], "'speed' is not one of"),
        (["/path"], "unexpected extra argument"),
    ],
)
def test_wrong_use_is_explained(arguments: list[str], said: str) -> None:
    result = CliRunner().invoke(group, ["top", *arguments])
    assert result.exit_code == 2
    assert said in result.output
