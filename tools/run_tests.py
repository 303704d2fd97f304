"""Runs pytest; the few tests that failed beside others get a second chance by themselves.

    python tools/run_tests.py [pytest's options]

Some tests judge a moment, and the processors of a shared machine are at times with somebody else for seconds. As
CPython's own runner does (`python -m test --rerun`), what failed is run once more, alone: what fails again is a
failure, and so are more than MOST at once, for that is no accident. What passed only then is named at the end, each
time: a test that is named often has a fault, or has found one.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

CACHE = Path(".pytest_cache/v/cache/lastfailed")
MOST = 5
# Exit statuses of pytest.
PASSED, FAILED = 0, 1


def last_failed() -> list[str]:
    try:
        return list(json.loads(CACHE.read_text()))
    except FileNotFoundError:
        return []


def main(options: list[str]) -> int:
    command = [sys.executable, "-m", "pytest", *options]
    CACHE.unlink(missing_ok=True)
    status = subprocess.run(command).returncode
    failed = last_failed()
    if status != FAILED or not 0 < len(failed) <= MOST:
        return status
    print(f"== once more, by themselves: {len(failed)}", flush=True)
    again = subprocess.run([*command, "-n0", "--last-failed", "--last-failed-no-failures", "none"]).returncode
    if again == PASSED:
        print("== FAILED BESIDE OTHERS, passed by themselves:", *failed, sep="\n   ", flush=True)
    return again


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
