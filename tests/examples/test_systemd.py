"""The example units are what systemd takes for units; nothing here starts them."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

UNITS = Path(__file__).resolve().parents[2] / "examples" / "systemd"
SETTING = re.compile(r"^[A-Z][A-Za-z]+=.+$")


@pytest.mark.parametrize("name", ["weir.service", "weir.socket"])
def test_systemd_has_nothing_to_say(tmp_path: Path, name: str) -> None:
    for unit in UNITS.iterdir():
        # The program has to exist for it.
        (tmp_path / unit.name).write_text(unit.read_text().replace("/usr/bin/weir ", f"{sys.executable} -m weir "))
    command = ["systemd-analyze", "verify", str(tmp_path / name)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    # Known since systemd 253.
    said = [line for line in done.stderr.splitlines() if "notify-reload" not in line]
    assert (done.returncode, said) == (0, [])


@pytest.mark.parametrize("name", ["weir.service", "weir.socket"])
def test_lines_are_comments_sections_or_settings(name: str) -> None:
    for line in (UNITS / name).read_text().splitlines():
        assert line == "" or line.startswith(("#", "[")) or SETTING.match(line), line
