"""The group of commands: what it lists, what it loads, how fast it is there."""

from __future__ import annotations

import resource
import subprocess
import sys

import pytest
from click.testing import CliRunner

from weir.cli.main import COMMANDS, group

from .support import weir

HEAVY = ("asyncio", "pydantic", "starlette", "toml_rs", "uvicorn", "weir.config.model", "weir.control.worker")


def test_help_lists_every_command_in_order() -> None:
    result = CliRunner().invoke(group, ["--help"])
    assert result.exit_code == 0
    listed = [line.split()[0] for line in result.output.partition("Commands:")[2].splitlines() if line.strip()]
    assert listed == list(COMMANDS)
    assert "..." not in result.output.partition("Commands:")[2]


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_explains_itself(name: str) -> None:
    result = CliRunner().invoke(group, [name, "--help"])
    assert result.exit_code == 0
    assert result.output.startswith("Usage: ")


def test_an_unknown_command_is_a_usage_error() -> None:
    done = weir("rum")
    assert done.returncode == 2
    assert "No such command 'rum'" in done.stderr


def test_version_option_is_the_version_command() -> None:
    assert weir("--version").stdout == weir("version").stdout


def test_an_option_can_be_set_in_the_environment() -> None:
    result = CliRunner().invoke(
        group, ["check"], env={"WEIR_CHECK_CONFIG": "/nonexistent/weir.toml"}, auto_envvar_prefix="WEIR"
    )
    assert result.exit_code == 2
    assert "/nonexistent/weir.toml" in result.output


def test_help_loads_no_library_but_click() -> None:
    code = (
        "import sys\nfrom weir.cli.main import group\n"
        "try: group(['--help'])\nexcept SystemExit: pass\n"
        f"print('loaded:', [name for name in {HEAVY!r} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30, check=True)
    assert done.stdout.splitlines()[-1] == "loaded: []"


def test_importing_weir_loads_nothing_else() -> None:
    code = (
        "import sys, time, __future__\nbefore = set(sys.modules)\nstart = time.process_time()\nimport weir\n"
        "print(time.process_time() - start)\nprint(sorted(set(sys.modules) - before))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30, check=True)
    seconds, loaded = done.stdout.splitlines()
    assert loaded == "['weir']"
    assert float(seconds) < 0.05  # under 2 ms on an idle machine


def _best_of_five(*command: str) -> float:
    """Processor time: what others on the machine take only makes it wait."""

    def used() -> float:
        usage = resource.getrusage(resource.RUSAGE_CHILDREN)
        return usage.ru_utime + usage.ru_stime

    best = float("inf")
    for _ in range(5):
        before = used()
        subprocess.run([sys.executable, *command], capture_output=True, timeout=30, check=True)
        best = min(best, used() - before)
    return best


def test_help_is_there_at_once() -> None:
    # Under 100 ms on an idle machine; three times that for a busy one.
    assert _best_of_five("-m", "weir", "--help") - _best_of_five("-c", "pass") < 0.3
