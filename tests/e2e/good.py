"""Good clients, and an endpoint of their own: what must not be disturbed by slow clients."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from .peers import dial

__all__ = ["GoodClients", "patient_endpoint"]

REQUEST = b"GET /good HTTP/1.1\r\nHost: test\r\n\r\n"
PAUSE_S = 0.005


@contextlib.contextmanager
def patient_endpoint() -> Iterator[str]:
    """A running patient.py, whose address is given."""
    process = subprocess.Popen(
        [sys.executable, str(Path(__file__).with_name("patient.py"))],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        yield f"127.0.0.1:{int(process.stdout.readline())}"
    finally:
        process.kill()
        process.communicate()


class GoodClients:
    """Two clients, each in a thread: one with a new connection for each request, one that keeps its connection."""

    def __init__(self, address: tuple[str, int] | str) -> None:
        self.address = address
        self.wrong: list[str] = []
        self.times_ms: list[float] = []
        self.ending = threading.Event()
        self.threads = [threading.Thread(target=self._run, args=(keep,)) for keep in (False, True)]
        for thread in self.threads:
            thread.start()

    def lap(self, seconds: float, what: str) -> float:
        """Lets them work for so long; prints and returns the 99th percentile, in ms."""
        self.times_ms = []
        time.sleep(seconds)
        return self.report(what)

    def report(self, what: str) -> float:
        """Of all requests since the last lap began."""
        times = sorted(self.times_ms)
        assert len(times) > 20, f"{what}: only {len(times)} requests; {self.wrong}"
        p50, p99 = (times[int(len(times) * share)] for share in (0.5, 0.99))
        print(f"{what}: {len(times)} good requests, p50 {p50:.2f} ms, p99 {p99:.2f} ms, {len(self.wrong)} errors")
        return p99

    def stop(self) -> None:
        self.ending.set()
        for thread in self.threads:
            thread.join(15)

    def _run(self, keep: bool) -> None:
        kept = dial(self.address) if keep else None
        while not self.ending.is_set():
            started = time.perf_counter()
            wire = None
            try:
                wire = kept or dial(self.address)
                wire.send(REQUEST)
                response = wire.response()
                if (response.status, response.body) != (200, b"good"):
                    self.wrong.append(f"{response.status} {response.body[:100]!r}")
            except Exception as error:  # whatever it is, it is what a good client must not see
                self.wrong.append(f"{'kept' if keep else 'new'} connection: {error!r}")
                if keep:
                    return
            finally:
                if wire is not None and not keep:
                    wire.close()
            self.times_ms.append((time.perf_counter() - started) * 1000)
            time.sleep(PAUSE_S)
        if kept is not None:
            kept.close()
