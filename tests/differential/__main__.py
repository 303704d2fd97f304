"""The same comparisons for a longer time: `python -m tests.differential --seconds 600`.

Each round is a run of the tests' own checks with examples that were never tried; the first that fails ends it.
"""

from __future__ import annotations

import argparse
import time

from hypothesis import HealthCheck, given, settings

from .messages import REQUESTS, RESPONSES
from .test_readers import check

ROUND = settings(max_examples=2000, deadline=None, database=None, suppress_health_check=list(HealthCheck))


@ROUND
@given(REQUESTS)
def requests(data: bytes) -> None:
    check(data)


@ROUND
@given(RESPONSES)
def responses(data: bytes) -> None:
    for asked in (b"GET", b"HEAD"):
        check(data, asked)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=300.0, help="for how long")
    end = time.monotonic() + parser.parse_args().seconds
    rounds = 0
    while time.monotonic() < end:
        requests()
        responses()
        rounds += 1
        print(f"\r{rounds * 2 * ROUND.max_examples} messages, no disagreement without a reason", end="", flush=True)
    print()


if __name__ == "__main__":
    main()
