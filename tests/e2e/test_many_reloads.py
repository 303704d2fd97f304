"""Reload upon reload under load of every kind; and a reload of a large configuration.

`make test` plays ten reloads, `make reloads` as many as RELOADS says.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest

from .askers import Askers
from .conftest import MakeRig
from .keepers import Keepers
from .peers import Endpoint, Link, dial, ok
from .proxy import Proxy, free_port
from .rig import WORKERS, Rig, tables
from .test_reload import RELOADED, children, forget, reload
from .wire import eventually

RELOADS = int(os.environ.get("WEIR_RELOADS", "10"))
# Shorter than the drain timeout: within it, nothing is cut.
STREAM_S = 3.0
MOST_GROWTH = 4 << 20


def serve(link: Link) -> None:
    """Short answers, long streams, and echoes after an upgrade."""
    while (request := link.request()) is not None:
        if request.head.target.startswith("/stream"):
            link.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
            end = time.monotonic() + STREAM_S
            for number in itertools.count():
                if time.monotonic() > end:
                    break
                piece = b"%06d" % number
                link.send(b"6\r\n" + piece + b"\r\n")
                time.sleep(0.05)
            link.send(b"0\r\n\r\n")
        elif (request.head.get("Upgrade") or "").lower() == "websocket":
            link.send(b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
            while link.fill():
                link.send(link.take(len(link.buffer)))
            return
        else:
            link.send(ok(b"short"))


class Lasting:
    """Threads that do something long, again and again; how often it was done, and what went wrong."""

    def __init__(self, once: Callable[[], None], threads: int = 2) -> None:
        self.done = 0
        self.failed: list[str] = []
        self._once = once
        self._end = threading.Event()
        self._threads = [threading.Thread(target=self._run, daemon=True) for _ in range(threads)]
        for thread in self._threads:
            thread.start()

    def _run(self) -> None:
        while not self._end.is_set():
            try:
                self._once()
                self.done += 1
            except Exception as error:
                self.failed.append(repr(error))

    def stop(self) -> None:
        self._end.set()
        for thread in self._threads:
            thread.join(30)
            assert not thread.is_alive()


def stream_once(address: tuple[str, int]) -> None:
    with dial(address, 20) as client:
        client.send(b"GET /stream HTTP/1.1\r\nHost: test\r\n\r\n")
        body = client.response().body
    numbers = [int(body[at : at + 6]) for at in range(0, len(body), 6)]
    assert numbers == list(range(len(numbers)))
    assert len(numbers) > STREAM_S / 0.05 / 5, "so short a stream is no stream"


def echo_once(address: tuple[str, int]) -> None:
    with dial(address, 20) as client:
        client.send(
            b"GET /socket HTTP/1.1\r\nHost: test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
            b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        )
        assert client.head().status == 101
        end = time.monotonic() + STREAM_S
        for number in itertools.count():
            if time.monotonic() > end:
                break
            frame = b"%08d" % number
            client.send(frame)
            assert client.read_exactly(8) == frame
            time.sleep(0.02)


@pytest.mark.slow
@pytest.mark.timeout(120 + 15 * RELOADS)
def test_reloads_under_every_load(weir: MakeRig) -> None:
    endpoint = Endpoint()
    endpoint.handle(serve)
    rig = weir(endpoint=endpoint, top={**WORKERS, "drain_timeout": "30s"})
    address = ("127.0.0.1", rig.proxy.port)
    # What is made at first use is there.
    reload(rig)
    eventually(lambda: len(children(rig.proxy.pid)) == 2, 10)
    memory, descriptors = rig.proxy.memory("Rss"), rig.proxy.descriptors()
    short, kept = Askers(address, threads=2, pause_s=0.002), Keepers(address, connections=20, pause_s=0.01)
    streams, sockets = Lasting(lambda: stream_once(address)), Lasting(lambda: echo_once(address))
    started = time.monotonic()
    for _ in range(RELOADS):
        reload(rig)
    took = time.monotonic() - started
    time.sleep(STREAM_S + 1)  # whatever the last one interrupted would have been cut by then
    for lasting in (streams, sockets):
        lasting.stop()
    ledger, books = short.stop(), kept.stop()
    print(
        f"{RELOADS} reloads in {took:.0f} s: {ledger.answered} and {books.answered} requests, {streams.done} streams, "
        f"{sockets.done} WebSockets; failed: {len(ledger.failed)}, {len(books.failed)}, {len(streams.failed)}, "
        f"{len(sockets.failed)}"
    )
    assert (ledger.failed, books.failed, streams.failed, sockets.failed) == ([], [], [], [])
    assert ledger.late <= ledger.answered // 200
    assert min(ledger.answered, books.answered) > 10 * RELOADS
    assert min(streams.done, sockets.done) >= 2
    eventually(lambda: len(children(rig.proxy.pid)) == 2, 40, "only the last generation is left")
    eventually(lambda: rig.proxy.descriptors() == descriptors, 5, "descriptors as at the start")
    grown = rig.proxy.memory("Rss") - memory
    print(f"the supervisor: {memory >> 10} KiB, grown by {grown >> 10} KiB")
    assert grown < MOST_GROWTH
    assert len(forget(rig, RELOADED)) == RELOADS + 1


ROUTES = 1000
MOST_S = 1.0
MOST_PAUSE_S = 0.020


def ran(pid: int) -> float:
    """Seconds that a process has been on a processor."""
    return int(Path(f"/proc/{pid}/schedstat").read_text().split()[0]) / 1e9


def waited(pids: Iterable[int]) -> Counter[Path]:
    """Nanoseconds that each thread of some processes has waited for a processor: what others on the machine cost."""
    found = Counter[Path]()
    for pid in pids:
        paths: list[Path] = []
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # of one that has ended meanwhile
            paths = list(Path(f"/proc/{pid}/task").glob("*/schedstat"))
        for path in paths:
            with contextlib.suppress(FileNotFoundError, ProcessLookupError):
                found[path] = int(path.read_text().split()[1])
    return found


class Pauses:
    """A client that asks every millisecond on one connection: how long it had to wait, without what it and the workers
    had to wait for a processor."""

    def __init__(self, address: tuple[str, int], supervisor: int) -> None:
        self._address = address
        self._supervisor = supervisor
        self._waits: list[tuple[float, float]] = []
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def worst(self, since: float, until: float) -> float:
        return max(wait for at, wait in self._waits if since <= at <= until)

    def stop(self) -> None:
        self._end.set()
        self._thread.join()

    def _run(self) -> None:
        client = dial(self._address)
        while not self._end.is_set():
            involved = [os.getpid(), *children(self._supervisor)]
            before, started = waited(involved), time.monotonic()
            client.send(b"GET / HTTP/1.1\r\nHost: test\r\n\r\n")
            last = (client.response().head.get("Connection") or "").lower() == "close"
            took = time.monotonic() - started
            # A thread that has ended meanwhile is left out.
            idle = sum(now - before[path] for path, now in waited(involved).items())
            self._waits.append((started, took - idle / 1e9))
            if last:
                client.close()
                client = dial(self._address)
            time.sleep(0.001)
        client.close()


def spent(supervisor: int, before: set[int]) -> tuple[float, float]:
    """Processor time until a reload was over, on a machine with a processor for each worker: of the supervisor and of
    what it has waited for (the reader), and of the slowest new worker."""
    fields = Path(f"/proc/{supervisor}/stat").read_text().rpartition(")")[2].split()
    own = sum(int(field) for field in fields[11:15]) / os.sysconf("SC_CLK_TCK")
    return own, max((ran(pid) for pid in children(supervisor) - before), default=0.0)


# Sanitizers and tracing take their time.
@pytest.mark.alone
@pytest.mark.figures
@pytest.mark.timeout(120)
def test_a_reload_of_a_thousand_routes_and_endpoints_is_quick_and_stops_nobody(tmp_path: Path) -> None:
    """Under a second, on a machine that has nothing else to do: what counts is the processor's time, one after the
    other. And nobody waits for 20 ms, but for a processor."""
    endpoint = Endpoint()
    port = free_port()
    sockets = tmp_path / "s"
    sockets.mkdir()
    settings = tables(tmp_path, [endpoint.address], top=WORKERS, listener={"address": f"127.0.0.1:{port}"})
    settings["listener"] += [{"address": f"unix:{sockets}/{n}", "to": f"c{n}"} for n in range(ROUTES)]
    settings["cluster"] += [{"name": f"c{n}", "endpoints": [f"127.0.0.1:{20_000 + n}"]} for n in range(ROUTES)]
    rig = Rig(Proxy(tmp_path, settings), endpoint)
    pid = rig.proxy.pid
    pauses = Pauses(("127.0.0.1", port), pid)
    times, costs, with_it, without = [], [], [], []
    for _ in range(6):
        quiet = time.monotonic()
        time.sleep(0.7)
        started, old = time.monotonic(), children(pid)
        before, _none = spent(pid, old)
        reload(rig)
        after, worker = spent(pid, old)
        times.append(time.monotonic() - started)
        costs.append(after - before + worker)
        time.sleep(0.8)  # the old workers close what is idle
        without.append(pauses.worst(quiet, started))
        with_it.append(pauses.worst(started, time.monotonic()))
        eventually(lambda: len(children(pid)) == 2, 10)
    pauses.stop()
    print(
        f"{ROUTES} routes: reloaded in {shown(times)}, {shown(costs)} of it work; longest pause {shown(with_it)}, "
        f"without a reload {shown(without)}"
    )
    forget(rig, RELOADED)
    rig.finish()
    rig.proxy.check_end()
    endpoint.close()
    assert list(sockets.iterdir()) == []
    assert min(costs) < MOST_S
    assert min(with_it) < MOST_PAUSE_S


def shown(seconds: list[float]) -> str:
    return "/".join(f"{1000 * each:.0f}" for each in seconds) + " ms"
