"""The programs and tests that documents show: each is run as it stands there."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.e2e.proxy import python_path
from tests.examples.parts import HOOKS
from tools import gen_api_docs
from weir.config.compile import compile_plan
from weir.config.load import load_text

DOCS = Path(__file__).resolve().parents[2] / "docs"
SHOWN = [
    pytest.param(block, id=f"{name}-{place}")
    for name in ("coming-from", "embedding", "testing")
    for place, block in enumerate(re.findall(r"```python\n(.*?)```", (DOCS / f"{name}.md").read_text(), re.DOTALL))
]
# What a person who writes async tests has in pyproject.toml.
ASYNCIO = ["-o", "asyncio_mode=auto", "-o", "asyncio_default_fixture_loop_scope=function"]


@pytest.mark.parametrize("block", SHOWN)
def test_it_runs(block: str, tmp_path: Path) -> None:
    is_test = "\ndef test_" in block
    (tmp_path / "test_shown.py").write_text(block)
    options = ["-m", "pytest", "-q", "-W", "error", "-p", "no:cacheprovider", *ASYNCIO] if is_test else []
    done = subprocess.run(
        [sys.executable, *options, "test_shown.py"],
        cwd=tmp_path,
        env=python_path(),
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stderr == ""


def test_the_guide_shows_every_example() -> None:
    shown = re.findall(r"^<!-- examples/hooks/(\S+) -->$", (DOCS / "guide.md").read_text(), re.MULTILINE)
    assert sorted(shown) == sorted(path.name for path in HOOKS.glob("*.py"))
    # What is shown is the text of the files, and each has its tests.
    assert gen_api_docs.main(["--check"]) == 0
    for name in shown:
        assert (Path(__file__).parent / f"test_{name}").is_file()


def test_configurations_are_good() -> None:
    blocks = re.findall(r"```toml\n(.*?)```", (DOCS / "coming-from.md").read_text(), re.DOTALL)
    assert len(blocks) == 3
    for block in blocks:
        assert compile_plan(load_text(block, "shown.toml")).listeners
