"""Three times as many requests as the endpoint can serve, with and without the means against it.

    python -m bench.overload [--workers N] [--service MS] [--times X] [--seconds S]

The endpoint is gunicorn with sync workers that sleep for a fixed time: it serves as many requests at a time as it has
workers, and the kernel queues the others where nobody sees them. Its capacity is measured, not computed.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.openloop import Answers, offer, saturate
from bench.server import Server, free_port, raise_descriptor_limit

__all__ = ["MEANS", "Result", "capacity_of", "endpoint", "measure", "proxy"]

APPLICATION = """\
import time


def application(environ, start_response):
    time.sleep({seconds})
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "2")])
    return [b"ok"]
"""
CONFIGURATION = """\
single_process = true
[admin]
address = "off"
[[listener]]
address = "127.0.0.1:{port}"
to = "app"
[[cluster]]
name = "app"
endpoints = ["127.0.0.1:{endpoint}"]
[cluster.queue]
size = {size}
timeout = "{timeout_ms}ms"
{means}
"""
TIMEOUT_MS = 500
# By name: what is written below [cluster.queue]; {workers} is how many requests the endpoint serves at a time.
MEANS = {
    "no limit": "",
    "limit": "[cluster.limit]\nmax_requests = {workers}\n",
    "limit, newest first": 'order = "adaptive"\n[cluster.limit]\nmax_requests = {workers}\n',
    "adaptive limit": '[cluster.limit]\nmax_requests = "adaptive"\nmin = 2\n',
    "adaptive limit, newest first": 'order = "adaptive"\n[cluster.limit]\nmax_requests = "adaptive"\nmin = 2\n',
}


@dataclass(frozen=True)
class Result:
    """What came of the load after `warm` seconds."""

    goodput: float  # answers with 200 a second
    share: float  # of the capacity
    served_p50_ms: float
    served_p99_ms: float
    refused: float  # answers with 503 a second
    refused_p99_ms: float
    others: int  # answers of any other kind, and none at all

    @classmethod
    def of(cls, answers: Answers, capacity: float, warm: float, seconds: float) -> Result:
        good = answers.times(200, warm, seconds)
        refused = answers.times(503, warm, seconds)
        others = sum(count for status, count in answers.statuses().items() if status not in (200, 503))
        goodput = len(good) / (seconds - warm)
        return cls(
            goodput=goodput,
            share=goodput / capacity,
            served_p50_ms=_percentile(good, 0.50),
            served_p99_ms=_percentile(good, 0.99),
            refused=len(refused) / (seconds - warm),
            refused_p99_ms=_percentile(refused, 0.99),
            others=others,
        )


def _percentile(times: list[float], part: float) -> float:
    return times[min(len(times) - 1, int(part * len(times)))] * 1000 if times else 0.0


@contextmanager
def endpoint(directory: Path, workers: int, service_ms: float) -> Iterator[int]:
    """gunicorn, on the port that is yielded."""
    (directory / "application.py").write_text(APPLICATION.format(seconds=service_ms / 1000))
    port = free_port()
    command = [sys.executable, "-m", "gunicorn", "--chdir", str(directory), "-w", str(workers), "--backlog", "2048"]
    server = Server("endpoint", [*command, "-b", f"127.0.0.1:{port}", "application"], port, 1, directory)
    server.start(timeout=60)
    try:
        yield port
    finally:
        server.stop()


@contextmanager
def proxy(directory: Path, endpoint_port: int, workers: int, means: str) -> Iterator[int]:
    """weir with some of MEANS, on the port that is yielded."""
    port = free_port()
    path = directory / "weir.toml"
    path.write_text(
        CONFIGURATION.format(
            port=port,
            endpoint=endpoint_port,
            size=2000,
            timeout_ms=TIMEOUT_MS,
            means=MEANS[means].format(workers=workers),
        )
    )
    server = Server("weir", [sys.executable, "-m", "weir", "run", "-c", str(path)], port, 0, directory)
    server.start(timeout=60)
    try:
        yield port
    finally:
        server.stop()


def capacity_of(port: int, workers: int, seconds: float) -> float:
    """How many requests a second the endpoint serves, when more are there than it serves at a time."""
    return len(saturate(port, 2 * workers, seconds).times(200)) / seconds


def measure(port: int, capacity: float, *, times: float, warm: float, seconds: float) -> Result:
    """`times` as many requests as the capacity, for `seconds`, of which the first `warm` are not looked at."""
    return Result.of(offer(port, times * capacity, seconds), capacity, warm, seconds)


def main() -> int:
    parser = argparse.ArgumentParser(description="Load beyond the capacity of an endpoint.")
    parser.add_argument("--workers", type=int, default=8, help="requests that the endpoint serves at a time")
    parser.add_argument("--service", type=float, default=50, help="milliseconds that it takes for one")
    parser.add_argument("--times", type=float, default=3.0, help="how many times its capacity is asked for")
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--warm", type=float, default=10.0, help="seconds at the beginning that do not count")
    given = parser.parse_args()
    raise_descriptor_limit()
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        with endpoint(directory, given.workers, given.service) as behind:
            capacity = capacity_of(behind, given.workers, 5.0)
            print(f"capacity {capacity:.0f}/s ({given.workers} workers, {given.service:.0f} ms each); ", end="")
            print(f"asked for {given.times * capacity:.0f}/s; queue timeout {TIMEOUT_MS} ms")
            print(f"{'':30}{'200/s':>8}{'share':>8}{'p50 ms':>9}{'p99 ms':>9}{'503/s':>8}{'p99 ms':>9}{'others':>8}")
            for means in MEANS:
                with proxy(directory, behind, given.workers, means) as port:
                    result = measure(
                        port, capacity, times=given.times, warm=given.warm, seconds=given.warm + given.seconds
                    )
                print(
                    f"{means:30}{result.goodput:8.0f}{result.share:8.1%}{result.served_p50_ms:9.0f}"
                    f"{result.served_p99_ms:9.0f}{result.refused:8.0f}{result.refused_p99_ms:9.0f}{result.others:8}"
                )
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
