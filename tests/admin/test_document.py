"""docs/rpc.md: every example is run, and shows what is really answered."""

from __future__ import annotations

import asyncio
import json
import re
import shlex
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.admin.rig import Counted, Server, served

DOCUMENT = (Path(__file__).parents[2] / "docs" / "rpc.md").read_text()
COMMANDS = [line for block in re.findall(r"^```sh\n(.*?)^```", DOCUMENT, re.M | re.S) for line in block.splitlines()]
PROGRAMS = re.findall(r"^```python\n(.*?)^```", DOCUMENT, re.M | re.S)


def traffic() -> Counted:
    counted = Counted()
    counted.count(b"/item/1", 10, us=1000)
    counted.count(b"/item/2", 3, us=50_000, response_body_bytes=3072, status_2xx=3)
    counted.count(b"/other", 4, us=10)
    return counted


async def run(server: Server, *command: str) -> str:
    here = [word.replace("http://127.0.0.1:8079", server.url) for word in command]
    assert here != list(command), "an example asks the default address"
    process = await asyncio.create_subprocess_exec(
        *here, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    out, err = await asyncio.wait_for(process.communicate(), 20)
    assert process.returncode == 0, err.decode()
    return out.decode()


@pytest.mark.parametrize("command", COMMANDS)
async def test_commands_are_answered(command: str) -> None:
    async with served(traffic()) as server:
        answer = json.loads(await run(server, *shlex.split(command), "--fail-with-body", "-sS"))
    assert answer
    assert "code" not in answer


async def test_the_answer_that_is_shown_is_a_part_of_the_real_one() -> None:
    (shown,) = re.findall(r"^```json\n(.*?)^```", DOCUMENT, re.M | re.S)
    async with served(traffic()) as server:
        answer = json.loads(await run(server, *shlex.split(COMMANDS[0]), "-sS"))
    compare(json.loads(shown), answer, "")


def compare(shown: Any, real: Any, where: str) -> None:
    if isinstance(shown, dict):
        assert set(shown) <= set(real), where
        for key, value in shown.items():
            compare(value, real[key], f"{where}.{key}")
    elif isinstance(shown, list):
        compare(shown[0], real[0], f"{where}[0]")
    elif where in (".since", ".taken") or where.endswith("PerSecond"):
        assert type(shown) is type(real), where
    elif isinstance(shown, int | float):
        assert real == pytest.approx(shown, rel=0.001), where
    else:
        assert shown == real, where


@pytest.mark.parametrize("program", PROGRAMS)
async def test_programs_run(program: str) -> None:
    async with served(traffic()) as server:
        printed = await run(server, sys.executable, "-W", "error", "-c", program)
    if "with Client" in program:
        assert re.match(r"/item/2 3 48392\.\d+\n", printed), printed
    else:
        assert printed == "10\n"


def test_there_are_examples() -> None:
    assert len(COMMANDS) == 6
    assert len(PROGRAMS) == 2
