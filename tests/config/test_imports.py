"""Workers import neither pydantic nor the parser, and a file is read in no time."""

from __future__ import annotations

import subprocess
import sys
import time

import pytest

from weir.config.compile import compile_plan
from weir.config.load import load_text

HEAVY = ("pydantic", "pydantic_core", "toml_rs", "difflib", "yaml")


@pytest.mark.parametrize(
    "module",
    ["weir", "weir.config", "weir.config.plan", "weir.config.errors", "weir.config.address", "weir.config.units"],
)
def test_light_modules(module: str) -> None:
    program = f"import sys, {module}; print([name for name in {HEAVY!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_a_plan_can_be_handed_on_without_pydantic() -> None:
    program = """\
import pickle, sys
plan = pickle.loads(sys.stdin.buffer.read())
print(plan.listeners[0].address.port, "pydantic" in sys.modules)
"""
    import pickle

    plan = compile_plan(load_text('[[listener]]\naddress = ":8080"\nto = "10.0.0.1:80"\n', "f"))
    done = subprocess.run([sys.executable, "-c", program], input=pickle.dumps(plan), capture_output=True, check=True)
    assert done.stdout == b"8080 False\n"


def test_a_file_is_read_within_100_ms() -> None:
    listeners = "".join(f'[[listener]]\naddress = "127.0.0.1:{9000 + n}"\nto = "c{n}"\n' for n in range(50))
    clusters = "".join(
        f'[[cluster]]\nname = "c{n}"\nendpoints = ["10.0.0.1:80", "10.0.0.2:80"]\n[cluster.pool]\nmax_idle = 9\n'
        for n in range(50)
    )
    best = float("inf")
    for _ in range(5):
        start = time.perf_counter()
        compile_plan(load_text(listeners + clusters, "f"))
        best = min(best, time.perf_counter() - start)
    assert best < 0.1
