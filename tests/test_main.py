"""`python -m weir` is the command."""

from __future__ import annotations

import subprocess
import sys

import weir


def test_python_m_weir_runs_the_command() -> None:
    done = subprocess.run([sys.executable, "-m", "weir", "version"], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[0] == f"weir {weir.__version__}"


def test_the_program_is_called_weir_in_its_messages() -> None:
    done = subprocess.run([sys.executable, "-m", "weir", "--help"], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("Usage: weir ")
