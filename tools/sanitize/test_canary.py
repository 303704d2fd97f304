"""The sanitized build reports what it is there for, in extensions compiled exactly as the plane's are.

Run by `make sanitize` before the suite: a suite that passes says something only if it could have failed.
"""

from __future__ import annotations

import importlib.util
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

FAULTS = [
    pytest.param("heap_overflow", 16, "AddressSanitizer: heap-buffer-overflow", id="heap-overflow"),
    pytest.param("use_after_free", 16, "AddressSanitizer: heap-use-after-free", id="use-after-free"),
    pytest.param("use_after_give", 16, "AddressSanitizer: use-after-poison", id="use-after-give"),
    pytest.param("signed_overflow", 1, "runtime error: signed integer overflow", id="signed-overflow"),
    pytest.param("shift", 40, "runtime error: shift exponent 40 is too large", id="shift"),
    pytest.param("broken_invariant", 1, "weir: an invariant is broken at weir/plane/canary.pyx", id="invariant"),
]


def run(call: str) -> subprocess.CompletedProcess[str]:
    code = f"from weir.plane import canary; canary.{call}"
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30, check=False)


@pytest.mark.parametrize(("function", "argument", "report"), FAULTS)
def test_a_fault_ends_the_process_with_a_stack(function: str, argument: int, report: str) -> None:
    done = run(f"{function}({argument})")
    assert done.returncode == -signal.SIGABRT, done
    assert report in done.stderr
    stack = [line for line in done.stderr.splitlines() if line.lstrip().startswith("#")]
    assert any(function in line and "canary.pyx:" in line for line in stack), done.stderr


def test_a_leak_is_reported_at_the_end() -> None:
    done = run("leak(1000)")
    assert done.returncode == -signal.SIGABRT, done
    assert "Direct leak of 1000 byte(s)" in done.stderr
    assert re.search(r"#1 .*canary_\d+leak .*canary.pyx:", done.stderr), done.stderr


@pytest.mark.parametrize(("call", "status"), [("leak(1000)", -signal.SIGABRT), ("broken_invariant(0)", 0)])
def test_a_forked_child_is_watched_to_its_end(call: str, status: int) -> None:
    code = (
        "import os; from weir.control.spawn import fork; from weir.plane import canary; "
        f"pid = fork(lambda: (canary.{call}, 0)[1]); "
        "print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30, check=False)
    assert done.stdout == f"{status}\n", done
    assert done.returncode == 0
    assert ("Direct leak of 1000 byte(s)" in done.stderr) == bool(status)


def test_a_child_forked_beside_a_thread_does_not_take_its_memory_for_lost() -> None:
    code = (
        "import os, threading; end = threading.Event(); "
        "thread = threading.Thread(target=lambda: (bytearray(1000), end.wait())); thread.start(); pid = os.fork()\n"
        "if pid == 0: os._exit(3)\n"
        "print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])); end.set(); thread.join()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "3\n", "")


def test_without_a_fault_nothing_is_reported() -> None:
    done = run("broken_invariant(0)")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_what_is_tested_is_this_build_and_all_of_it_is_watched() -> None:
    found = importlib.util.find_spec("weir.plane.engine")
    assert found is not None
    assert found.origin is not None
    plane = Path(found.origin).parent
    assert plane == Path(sys.prefix) / "src" / "weir" / "plane"
    modules = {path.name.partition(".")[0]: path for path in plane.glob("*.so")}
    assert set(modules) == {path.stem for path in plane.glob("*.pyx")}
    for name, path in modules.items():
        compiled = path.read_bytes()
        assert b"__asan_init" in compiled, name
        assert b"__ubsan_handle" in compiled, name
