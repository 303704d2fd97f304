"""Runs pytest; the few tests that failed beside others get a second chance by themselves.

    python tools/run_tests.py [pytest's options]

Some tests judge a moment, and the processors of a shared machine are at times with somebody else for seconds. As
CPython's own runner does (`python -m test --rerun`), what failed is run once more, alone: what fails again is a
failure, and so are more than MOST at once, for that is no accident. What passed only then is named at the end, each
time: a test that is named often has a fault, or has found one.

What a sanitizer has found, or an assertion of the plane, is no matter of the moment: then there is no second run.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

CACHE = Path(".pytest_cache/v/cache/lastfailed")
MOST = 5
# Exit statuses of pytest.
PASSED, FAILED = 0, 1
# What a sanitized build prints (see tools/sanitize), and pytest when a process of its own was ended by that.
FINDING = re.compile(
    rb"ERROR: (Address|Leak)Sanitizer: |: runtime error: |an invariant is broken at |worker '\w+' crashed"
)


def last_failed() -> list[str]:
    try:
        return list(json.loads(CACHE.read_text()))
    except FileNotFoundError:
        return []


def run(command: list[str]) -> tuple[int, bool]:
    """Prints what `command` prints: its exit status, and whether there is a finding in it."""
    found, line = False, b""
    with subprocess.Popen(command, stdout=subprocess.PIPE, bufsize=0) as process:
        assert process.stdout is not None
        # As it comes, not line by line: the dots of one line come over a minute.
        while piece := process.stdout.read(1 << 16):
            sys.stdout.buffer.write(piece)
            sys.stdout.buffer.flush()
            *lines, line = (line + piece).split(b"\n")
            found = found or any(map(FINDING.search, lines))
    return process.returncode, found or FINDING.search(line) is not None


def main(options: list[str]) -> int:
    colour = ["--color=yes"] if sys.stdout.isatty() else []
    command = [sys.executable, "-m", "pytest", *colour, *options]
    CACHE.unlink(missing_ok=True)
    status, found = run(command)
    failed = last_failed()
    if status == FAILED and not found and 0 < len(failed) <= MOST:
        print(f"== once more, by themselves: {len(failed)}", flush=True)
        status, found = run([*command, "-n0", "--last-failed", "--last-failed-no-failures", "none"])
        if status == PASSED:
            print("== FAILED BESIDE OTHERS, passed by themselves:", *failed, sep="\n   ", flush=True)
    if found:
        print("== a sanitizer has found something: see above", flush=True)
        return status or FAILED
    return status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
