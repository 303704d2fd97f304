"""`python -m bench.everything`: ten minutes with everything on, and nothing may grow.

Two workers with checks, ejection, limits, rate limits, a breaker, a sticky cookie, a hash, retries, hedging, the PROXY
protocol on both sides, faults, access log, history and admin address; clients of all kinds, of whom some leave in the
middle; endpoints that are killed, stopped and started again, and that fail by themselves. In the first half there is a
reload every ten seconds, an operator drains endpoints, and each worker lives shortly; in the second half the workers
stay. What has to hold: over the second half, after its first quarter, the workers' memory, descriptors, buffers and
timers do not grow; over all of it those of the supervisor and of the admin process do not; at the end, with nobody
there, everything that was taken was given back; and nobody has died.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import logging
import os
import random
import re
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench.measure import memory, tree
from bench.server import free_port

CONFIGURATION = """\
workers = 2
drain_timeout = "5s"
[admin]
address = "127.0.0.1:{admin}"
[log]
access = "{log}"
format = "ledger"
[history]
path = "{history}"
flush = "1s"

[[listener]]
address = "127.0.0.1:{plain}"
to = "sticky"
trusted_proxies = ["127.0.0.0/8"]
max_connections_per_client = 500
min_response_rate = "off"
server_timing = "on"
request_id = "keep"
trace = "join"
deadline_field = "X-Deadline"
[[listener.rate_limit]]
by = "field:X-Key"
rate = "{rate}/s"
delay = 5
max_keys = 200
[[listener.rate_limit]]
by = "client"
rate = "100000/s"
[[listener.fault]]
prefix = "/faulty"
delay = "5ms-50ms"
abort = 503
abort_percentage = "10%"
bandwidth = "64KiB"

[[listener]]
address = "127.0.0.1:{hashed}"
to = "hashed"

[[listener]]
address = "127.0.0.1:{proxied}"
to = "proxied"
proxy_protocol = "require"

[[cluster]]
name = "sticky"
endpoints = [{four}]
policy = "least_time"
slow_start = "2s"
request_start = "on"
response_header_timeout = "2s"
connect_timeout = "500ms"
[cluster.sticky]
cookie = "WEIRID"
[cluster.pool]
min_idle = 2
[cluster.retry]
on = ["connect", "reused", "reset", "timeout", "bad_response", "502", "503"]
attempt_timeout = "500ms"
idempotency_key = true
[cluster.hedge]
after = "p95"
[cluster.health]
type = "http"
path = "/fast"
interval = "500ms"
timeout = "300ms"
[cluster.ejection]
failures = 5
errors_5xx = 20
error_rate = "50%"
latency = 5
interval = "2s"
min_requests = 20
time = "1s"

[[cluster]]
name = "hashed"
endpoints = [{four}]
policy = "hash"
hash_by = "field:X-Key"
hash_balance = 150
response_header_timeout = "2s"
[cluster.queue]
size = 50
timeout = "300ms"
order = "adaptive"
[cluster.limit]
max_requests = "adaptive"
[cluster.breaker]
failures = "60%"
open_for = "500ms"
[cluster.health]
type = "tcp"
interval = "500ms"

[[cluster]]
name = "proxied"
endpoints = ["127.0.0.1:{private}"]
proxy_protocol = "v1"
response_header_timeout = "2s"
[cluster.pool]
max_connections = 20
"""
SAMPLE_S = 5.0
# What a worker of the second half may have more at its end: the allocator's and the kernel's grain, not a leak.
MOST_GROWTH = {"memory": 1 << 20, "descriptors": 60, "buffers": 2 << 20, "timers": 150}
MOST_OTHERS = 12 << 20  # the supervisor and the admin process, whose history of an hour fills up: bytes of PSS


@dataclass
class Ports:
    admin: int = field(default_factory=free_port)
    plain: int = field(default_factory=free_port)
    hashed: int = field(default_factory=free_port)
    proxied: int = field(default_factory=free_port)


@dataclass
class Sample:
    """What the workers have, together, and the others of weir's processes."""

    workers: tuple[int, ...]
    memory: int
    descriptors: int
    buffers: int
    timers: int
    others: int
    other_descriptors: int


class Endpoints:
    """Endpoints that come and go; the last one takes PROXY headers."""

    def __init__(self, count: int) -> None:
        self.ports = [free_port() for _ in range(count + 1)]
        self._running = [self._start(number) for number in range(count + 1)]

    def _start(self, number: int) -> subprocess.Popen[bytes]:
        more = ["proxy"] if number == len(self.ports) - 1 else []
        return subprocess.Popen([sys.executable, "-m", "bench.mixed", str(self.ports[number]), *more])

    async def flap(self, dice: random.Random) -> None:
        """One of them is killed or stopped for some time."""
        number = dice.randrange(len(self.ports))
        process = self._running[number]
        if dice.random() < 0.5:
            process.kill()
            process.wait()
            await asyncio.sleep(dice.uniform(0.2, 3))
            self._running[number] = self._start(number)
        else:
            process.send_signal(signal.SIGSTOP)
            try:
                await asyncio.sleep(dice.uniform(0.2, 3))
            finally:
                process.send_signal(signal.SIGCONT)

    def stop(self) -> None:
        for process in self._running:
            process.kill()
            process.wait()


class Clients:
    """Those who ask. What they saw is counted, by status or by what broke."""

    def __init__(self, ports: Ports, seed: int) -> None:
        self.ports, self.dice = ports, random.Random(seed)
        self.seen: Counter[str] = Counter()
        self._cookies: list[str] = []

    async def crowd(self, count: int) -> None:
        async with asyncio.TaskGroup() as group:
            for number in range(count):
                group.create_task(self._go_on(self._kind(number)))

    def _kind(self, number: int) -> Callable[[], Awaitable[None]]:
        return (self._polite, self._polite, self._hashed, self._proxied, self._echo, self._rude)[number % 6]

    async def _go_on(self, once: Callable[[], Awaitable[None]]) -> None:
        while True:
            try:
                async with asyncio.timeout(20):
                    await once()
            except (OSError, ValueError, asyncio.IncompleteReadError, TimeoutError) as error:
                self.seen[type(error).__name__] += 1
            await asyncio.sleep(self.dice.uniform(0, 0.1))

    @contextlib.asynccontextmanager
    async def _connected(self, port: int) -> Any:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        try:
            yield reader, writer
        finally:
            writer.close()

    async def _ask(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, path: str, *fields: str) -> bool:
        """One request and its whole answer; whether the connection goes on."""
        lines = "".join(f"{line}\r\n" for line in fields)
        method, body = ("POST", b"y" * self.dice.choice((10, 5_000, 200_000))) if path == "/upload" else ("GET", b"")
        length = f"Content-Length: {len(body)}\r\n" if body else ""
        writer.write(f"{method} {path} HTTP/1.1\r\nHost: test\r\n{length}{lines}\r\n".encode() + body)
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        self.seen[head.split(" ", 2)[1]] += 1
        if cookie := re.search(r"WEIRID=([0-9a-f]+)", head):
            self._cookies = [*self._cookies[-20:], cookie[1]]
        if found := re.search(r"(?i)content-length: (\d+)", head):
            await reader.readexactly(int(found[1]))
        else:
            while size := int(await reader.readuntil(b"\r\n"), 16):
                await reader.readexactly(size + 2)
            await reader.readexactly(2)
        return "connection: close" not in head.lower()

    def _path(self) -> str:
        kinds = ("/fast", "/fast", "/slow", "/large", "/stream", "/upload", "/fails", "/faulty")
        path = self.dice.choice(kinds)
        return path if path == "/upload" else f"{path}/{self.dice.randrange(1000)}"

    async def _polite(self) -> None:
        async with self._connected(self.ports.plain) as (reader, writer):
            for _ in range(self.dice.randrange(1, 20)):
                fields = [f"X-Key: {self.dice.randrange(300)}", f"X-Forwarded-For: 10.0.{self.dice.randrange(250)}.1"]
                if self._cookies and self.dice.random() < 0.7:
                    fields.append(f"Cookie: WEIRID={self.dice.choice(self._cookies)}")
                if self.dice.random() < 0.1:
                    fields.append("X-Deadline: 200")
                if not await self._ask(reader, writer, self._path(), *fields):
                    return
                await asyncio.sleep(self.dice.uniform(0, 0.05))

    async def _hashed(self) -> None:
        async with self._connected(self.ports.hashed) as (reader, writer):
            for _ in range(self.dice.randrange(1, 20)):
                if not await self._ask(reader, writer, self._path(), f"X-Key: {self.dice.randrange(50)}"):
                    return

    async def _proxied(self) -> None:
        async with self._connected(self.ports.proxied) as (reader, writer):
            writer.write(f"PROXY TCP4 10.1.0.{self.dice.randrange(250)} 10.0.0.1 4000 80\r\n".encode())
            for _ in range(self.dice.randrange(1, 10)):
                if not await self._ask(reader, writer, self._path()):
                    return

    async def _echo(self) -> None:
        async with self._connected(self.ports.hashed) as (reader, writer):
            upgrade = "Connection: Upgrade\r\nUpgrade: websocket\r\n"
            writer.write(f"GET /echo HTTP/1.1\r\nHost: test\r\n{upgrade}\r\n".encode())
            head = await reader.readuntil(b"\r\n\r\n")
            self.seen[head.split(b" ", 2)[1].decode()] += 1
            for number in range(self.dice.randrange(50) if b" 101 " in head else 0):
                writer.write(b"%08d" % number)
                await reader.readexactly(8)
                await asyncio.sleep(0.02)

    async def _rude(self) -> None:
        """Leaves in the middle of a head, a body or a response, or says what is no request."""
        async with self._connected(self.dice.choice((self.ports.plain, self.ports.hashed))) as (reader, writer):
            what = self.dice.randrange(4)
            if what == 0:
                writer.write(b"GET /fa")
                await asyncio.sleep(self.dice.uniform(0, 1))
            elif what == 1:
                writer.write(b"POST /upload HTTP/1.1\r\nHost: test\r\nContent-Length: 100000\r\n\r\n" + b"z" * 5000)
                await asyncio.sleep(self.dice.uniform(0, 0.5))
            elif what == 2:
                writer.write(b"GET /large HTTP/1.1\r\nHost: test\r\n\r\n")
                await reader.read(1000)
            else:
                writer.write(b"what?\r\n\r\n")
                await reader.read()
        self.seen["left"] += 1


class Weir:
    """The process that is watched."""

    def __init__(self, folder: Path, ports: Ports, endpoints: Endpoints) -> None:
        self.ports = ports
        self._file, self._endpoints, self._folder = folder / "weir.toml", endpoints, folder
        self._write(200)
        self._said = (folder / "said").open("wb")
        command = [sys.executable, "-m", "weir", "run", "-c", str(self._file)]
        self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=self._said, stderr=self._said)
        self.reloads = 0

    def _write(self, rate: int) -> None:
        *four, private = self._endpoints.ports
        settings = {
            **vars(self.ports),
            "rate": rate,
            "log": self._folder / "access.log",
            "history": self._folder / "history.db",
            "four": ", ".join(f'"127.0.0.1:{port}"' for port in four),
            "private": private,
        }
        self._file.write_text(CONFIGURATION.format(**settings))

    def wait(self) -> None:
        """Until it answers. SystemExit with what it said if it does not."""
        until = time.monotonic() + 15
        while time.monotonic() < until and self.process.poll() is None:
            with contextlib.suppress(OSError):
                self.call("Stats", "GetStatus")
                return
            time.sleep(0.1)
        raise SystemExit(f"weir does not answer:\n{self.said()}")

    def reload(self) -> None:
        self.reloads += 1
        self._write(200 if self.reloads % 2 else 150)
        self.process.send_signal(signal.SIGHUP)

    def said(self) -> str:
        return (self._folder / "said").read_text()

    def call(self, service: str, method: str, **request: object) -> Any:
        asked = urllib.request.Request(
            f"http://127.0.0.1:{self.ports.admin}/weir.v1.{service}/{method}",
            json.dumps(request).encode(),
            {"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(asked, timeout=20) as answer:
            return json.load(answer)

    def sample(self) -> Sample:
        status = self.call("Stats", "GetStatus")
        serving = [each for each in status["workers"] if float(each.get("heartbeatAge", "0s")[:-1]) < 3]
        pids = tuple(int(each["pid"]) for each in serving)
        others = [pid for pid in tree(self.process.pid) if pid not in pids]
        return Sample(
            pids,
            memory(list(pids)).pss,
            sum(map(descriptors, pids)),
            sum(int(each.get("bufferBytes", 0)) for each in serving),
            sum(int(each.get("timers", 0)) for each in serving),
            memory(others).pss,
            sum(map(descriptors, others)),
        )


def descriptors(pid: int) -> int:
    try:
        return len(os.listdir(f"/proc/{pid}/fd"))
    except OSError:
        return 0


async def disturb(weir: Weir, endpoints: Endpoints, reloads_until: float, seed: int) -> None:
    """Reloads, endpoints that come and go, an operator."""
    dice = random.Random(seed)
    reload_at = 0.0
    while True:
        if reload_at < time.monotonic() < reloads_until:
            reload_at = time.monotonic() + 10
            await asyncio.to_thread(weir.reload)
        await endpoints.flap(dice)
        endpoint = f"127.0.0.1:{dice.choice(endpoints.ports[:-1])}"
        for order in ("ORDER_DRAIN", "ORDER_READY"):
            with contextlib.suppress(OSError):
                request = {"cluster": "sticky", "endpoint": endpoint, "order": order}
                await asyncio.to_thread(weir.call, "Endpoints", "ChangeEndpoint", **request)
            await asyncio.sleep(dice.uniform(0.5, 2))


async def watch(weir: Weir, samples: list[tuple[float, Sample]]) -> None:
    begun = time.monotonic()
    while True:
        await asyncio.sleep(SAMPLE_S)
        try:
            sample = await asyncio.to_thread(weir.sample)
        except OSError:
            continue  # the admin process is between two lives
        samples.append((time.monotonic() - begun, sample))
        print(
            f"{samples[-1][0]:5.0f} s  {len(sample.workers)} workers: {sample.memory / 2**20:.1f} MiB, "
            f"{sample.descriptors} descriptors, {sample.buffers >> 10} KiB of buffers, {sample.timers} timers; "
            f"others: {sample.others / 2**20:.1f} MiB, {sample.other_descriptors} descriptors",
            flush=True,
        )


async def run(weir: Weir, endpoints: Endpoints, options: argparse.Namespace) -> int:
    samples: list[tuple[float, Sample]] = []
    clients = Clients(weir.ports, options.seed)
    middle = time.monotonic() + options.seconds / 2
    work = [
        asyncio.create_task(clients.crowd(options.clients)),
        asyncio.create_task(disturb(weir, endpoints, middle, options.seed)),
        asyncio.create_task(watch(weir, samples)),
    ]
    await asyncio.wait(work, timeout=options.seconds, return_when=asyncio.FIRST_EXCEPTION)
    for task in work:
        task.cancel()
    for result in await asyncio.gather(*work, return_exceptions=True):
        if isinstance(result, Exception):
            raise result
    # Idle connections are closed as the endpoints' timeouts are learned; what is left is warm.
    await asyncio.sleep(10)
    last = weir.sample()
    status = weir.call("Stats", "GetStatus")
    print(f"clients saw {dict(clients.seen.most_common())}; {weir.reloads} reloads")
    return judge(samples, last, status, weir)


def judge(samples: list[tuple[float, Sample]], last: Sample, status: Any, weir: Weir) -> int:
    half = samples[-1][0] / 2
    same = [sample for at, sample in samples if at > half and sample.workers == samples[-1][1].workers]
    begin, end = same[len(same) // 4 : len(same) // 2], same[-max(len(same) // 4, 1) :]
    checks: dict[str, bool] = {f"{len(same)} samples of the same {len(last.workers)} workers": len(same) >= 8}
    for name, most in MOST_GROWTH.items():
        # The greatest of a quarter: what load does from moment to moment is in both.
        before, after = (max(getattr(one, name) for one in part) for part in (begin, end))
        checks[f"{name}: {before:,}, later {after:,}"] = after - before <= most
    others = [sample.others for at, sample in samples if at > 30]
    checks[f"the others: {others[0]:,} bytes, later {others[-1]:,}"] = others[-1] - others[0] <= MOST_OTHERS
    first, later = samples[len(samples) // 8][1].other_descriptors, last.other_descriptors
    checks[f"descriptors of the others: {first}, at the end {later}"] = later <= first + 6
    left = [sum(int(worker.get(name, 0)) for worker in status["workers"]) for name in ("exchanges", "bufferBytes")]
    checks[f"at the end {left[0]} exchanges, {left[1]} bytes of buffers"] = left == [0, 0]
    died = [line for line in weir.said().splitlines() if "started again" in line or "Traceback" in line]
    checks[f"nobody has died {died[:3]}"] = not died
    for text, holds in checks.items():
        print(f"{'ok  ' if holds else 'FAIL'} {text}")
    return 0 if all(checks.values()) else 1


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.everything", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--seconds", type=float, default=600.0)
    parser.add_argument("--clients", type=int, default=60)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    options = parser.parse_args()
    # asyncio says each time that a peer has gone.
    logging.getLogger("asyncio").setLevel(logging.ERROR)
    print(f"seed {options.seed}")
    with tempfile.TemporaryDirectory() as folder:
        endpoints = Endpoints(4)
        weir = Weir(Path(folder), Ports(), endpoints)
        try:
            weir.wait()
            return asyncio.run(run(weir, endpoints, options))
        finally:
            weir.process.terminate()
            weir.process.wait(20)
            endpoints.stop()


if __name__ == "__main__":
    sys.exit(main())
