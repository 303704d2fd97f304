"""A table that counts, and the admin application in front of it, on the test's own loop."""

from __future__ import annotations

import asyncio
import json
import socket
import struct
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from weir.admin.server import serve
from weir.config.plan import Plan
from weir.plane.counters import Counters
from weir.stats import layout
from weir.stats.columns import COUNTERS, REASONS_AT

PLACES = {counter.name: place for place, counter in enumerate(COUNTERS)}
PLAN = Plan((), (), ())
STATS = "/weir.v1.Stats/"


def slowness() -> float:
    """How many times slower this machine is now than the one that bars in seconds are meant for; at least 1.

    Processors that are shared with others are at times twice as slow as a moment before.
    """
    took = []
    for _ in range(5):
        before, count = time.process_time(), 0
        for _ in range(300_000):
            count += 7
        took.append(time.process_time() - before)
    return max(min(took) / 0.013, 1.0)


@dataclass
class Counted:
    """A shared table with two workers, in which a test counts."""

    rows: int = 64
    routes: Sequence[str] = ("main", "api")
    endpoints: Sequence[tuple[str, str]] = ()
    table: layout.Table = field(init=False)

    def __post_init__(self) -> None:
        self.table = layout.create(self.rows, list(self.routes), workers=2, endpoints=self.endpoints, spare_endpoints=2)
        self.workers = [Counters(self.table, number) for number in range(2)]

    def count(self, path: bytes, times: int = 1, us: int = 1000, route: int = 0, **more: int) -> None:
        """Exchanges of `us` each, by both workers in turns; `more` are other counters by name."""
        for number, counters in enumerate(self.workers):
            own = (times + number) // 2
            row = counters.find_row(route, path)
            counters.add(row, PLACES["requests"], own)
            counters.add(row, PLACES["total_us"], us * own)
            counters.observe_us(row, 0, us, repeat=own)
            if number == 0:
                for name, value in more.items():
                    counters.add(row, PLACES[name], value)


@dataclass
class Server:
    """Where it listens."""

    host: str
    port: int

    @property
    def url(self) -> str:
        return f"http://{self.host}:{self.port}"


def count(counters: Counters, path: bytes, us: int, times: int = 1, *, route: int = 0, reason: int = 0) -> None:
    """Exchanges of 100 body bytes, all of it spent in Tr."""
    row = counters.find_row(route, path)
    for name, value in (
        ("requests", times),
        ("status_2xx", times),
        ("response_body_bytes", 100 * times),
        ("total_us", us * times),
        ("response_head_us", us * times),
        ("first_byte_us", us * times),
        ("first_bytes", times),
    ):
        counters.add(row, PLACES[name], value)
    counters.observe_us(row, 0, us, repeat=times)
    counters.observe_us(row, 1, us, repeat=times)
    if reason:
        counters.add(row, PLACES["errors"], times)
        counters.add(row, REASONS_AT + reason, times)


@asynccontextmanager
async def served(counted: Counted | layout.Table, *, token: str = "", plan: Plan = PLAN) -> AsyncIterator[Server]:
    table = counted.table if isinstance(counted, Counted) else counted
    with socket.create_server(("127.0.0.1", 0)) as listening:
        async with serve(plan, table, [listening], token=token):
            yield Server("127.0.0.1", listening.getsockname()[1])


@asynccontextmanager
async def served_unix(counted: Counted, path: Path, *, token: str = "") -> AsyncIterator[None]:
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(path))
        listening.listen()
        async with serve(PLAN, counted.table, [listening], token=token):
            yield


@dataclass
class Answer:
    """What curl printed."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


async def curl(*arguments: str, input: bytes | None = None) -> Answer:
    """One request by curl; its last argument is the URL as a rule."""
    process = await asyncio.create_subprocess_exec(
        *("curl", "-sS", "-i", "--max-time", "10", "-H", "Expect:", *arguments),
        stdin=asyncio.subprocess.PIPE if input is not None else None,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await process.communicate(input)
    assert process.returncode == 0, err.decode()
    head, _, body = out.partition(b"\r\n\r\n")
    lines = head.decode("latin-1").split("\r\n")
    fields = (line.partition(":") for line in lines[1:])
    return Answer(int(lines[0].split()[1]), {name.lower(): value.strip() for name, _, value in fields}, body)


async def ask(server: Server, method: str, question: object = None, *more: str) -> Answer:
    """A call as a person makes it: JSON by curl."""
    content = json.dumps({} if question is None else question)
    return await curl(*more, "-H", "Content-Type: application/json", "-d", content, server.url + STATS + method)


@asynccontextmanager
async def watching(
    server: Server, question: object, *, receive_bytes: int = 0
) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """A stream of WatchStats in JSON, from after the response's head; `receive_bytes` makes its buffer small."""
    sock = socket.socket()
    if receive_bytes:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
    sock.setblocking(False)
    await asyncio.get_running_loop().sock_connect(sock, (server.host, server.port))
    reader, writer = await asyncio.open_connection(sock=sock, limit=1024)
    content = json.dumps(question).encode()
    head = f"POST {STATS}WatchStats HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/connect+json\r\n"
    writer.write(f"{head}Content-Length: {len(content) + 5}\r\n\r\n".encode() + struct.pack(">BI", 0, len(content)))
    writer.write(content)
    try:
        yield reader, writer
    finally:
        writer.transport.abort()


async def next_message(reader: asyncio.StreamReader) -> tuple[int, Any]:
    """Flags and content of the next envelope of a stream in chunked coding; an envelope is a chunk of its own."""
    line = await reader.readline()
    while line.rstrip(b"\r\n") == b"" or line.startswith(b"HTTP/") or b":" in line:
        assert line, "the stream ended"
        line = await reader.readline()
    chunk = await reader.readexactly(int(line, 16))
    flags, size = struct.unpack_from(">BI", chunk)
    assert len(chunk) == size + 5
    return flags, json.loads(chunk[5:])
