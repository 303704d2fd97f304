"""The same comparisons for a longer time: `python -m tests.differential --seconds 600`.

Each round is a run of the tests' own checks with examples that were never tried: most with the parsers alone, some
through a running weir with the real endpoints and clients. The first disagreement without a reason ends it.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis.strategies import SearchStrategy

from tests.e2e.rig import Rig

from . import test_clients, test_endpoints, test_readers
from .endpoints import start_endpoints
from .messages import REQUESTS, RESPONSES
from .test_clients import Book, open_book

PARSED, SENT = 2000, 100  # examples of one round


def run(messages: SearchStrategy[bytes], check: Callable[[bytes], object], examples: int) -> None:
    """One run of a check with so many messages."""

    @settings(max_examples=examples, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(messages)
    def inner(data: bytes) -> None:
        check(data)

    inner()


def go_round(town: Rig, book: Book) -> None:
    run(REQUESTS, test_readers.check, PARSED)
    run(RESPONSES, test_readers.check_response, PARSED)
    run(REQUESTS, lambda data: test_endpoints.check(town, data), SENT)
    run(RESPONSES, lambda data: test_clients.check(book, data), SENT)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=300.0, help="for how long")
    end = time.monotonic() + parser.parse_args().seconds
    rounds = 0
    with tempfile.TemporaryDirectory() as name:
        directories = [Path(name) / part for part in ("endpoints", "clients")]
        for directory in directories:
            directory.mkdir()
        Path(name).chmod(0o755)
        with start_endpoints(directories[0]) as town, open_book(directories[1]) as book:
            while time.monotonic() < end:
                go_round(town, book)
                rounds += 1
                print(f"{rounds * 2 * PARSED} messages parsed, {rounds * 2 * SENT} sent: nothing found", flush=True)


if __name__ == "__main__":
    main()
