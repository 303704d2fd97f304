"""The runner of the tests: what failed beside others is asked once more, and a failure stays one."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

FLAKY = """
import pathlib, pytest

def first(name):
    seen = pathlib.Path(name)
    had = seen.exists()
    seen.touch()
    return not had

@pytest.fixture
def ends():
    yield
    assert not first("ends")

def test_once():
    assert not first("once")

def test_ends(ends):
    pass

def test_fine():
    assert first("fine"), "only what failed is asked again"
"""
FOUND = """
import pathlib

def test_once():
    seen = pathlib.Path("seen")
    if not seen.exists():
        seen.touch()
        assert False, "==17==ERROR: AddressSanitizer: heap-use-after-free on address 0x602000000010"
"""
ALWAYS = "def test_always(): assert False\n"
MANY = "import pytest\n@pytest.mark.parametrize('n', range(6))\ndef test_many(n): assert False\n"


def run(place: Path, text: str) -> tuple[int, str]:
    (place / "pytest.ini").write_text("[pytest]\n")
    (place / "test_it.py").write_text(text)
    command = [sys.executable, str(ROOT / "tools" / "run_tests.py"), "-q"]
    environment = {**os.environ, "PYTEST_ADDOPTS": "-p no:hypothesispytest -p no:asyncio"}
    done = subprocess.run(command, cwd=place, capture_output=True, text=True, env=environment)
    return done.returncode, done.stdout


def test_what_passes_by_itself_passes_and_is_named(tmp_path: Path) -> None:
    status, said = run(tmp_path, FLAKY)
    assert status == 0, said
    assert said.endswith(
        "== FAILED BESIDE OTHERS, passed by themselves:\n   test_it.py::test_once\n   test_it.py::test_ends\n"
    )


@pytest.mark.parametrize(
    ("text", "status", "runs"), [("def test_fine(): pass\n", 0, 1), (ALWAYS, 1, 2), (MANY, 1, 1), ("", 5, 1)]
)
def test_what_it_says_is_what_pytest_says(tmp_path: Path, text: str, status: int, runs: int) -> None:
    found, said = run(tmp_path, text)
    assert found == status, said
    assert said.count("== once more") == runs - 1


def test_what_a_sanitizer_has_found_gets_no_second_chance(tmp_path: Path) -> None:
    status, said = run(tmp_path, FOUND)
    assert status == 1, said
    assert said.endswith("== a sanitizer has found something: see above\n")
    assert "== once more" not in said
