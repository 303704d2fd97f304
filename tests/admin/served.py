"""An admin server on a table that counts, and a client of few words."""

from __future__ import annotations

import asyncio
import http.client
import json
import socket
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

from weir.admin.server import serve
from weir.config.plan import Plan
from weir.plane.counters import Counters
from weir.stats import layout
from weir.stats.columns import COUNTERS, REASONS_AT

PLACES = {counter.name: place for place, counter in enumerate(COUNTERS)}


class Reply(NamedTuple):
    """What was answered; names of fields in small letters."""

    status: int
    fields: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@asynccontextmanager
async def serving(table: layout.Table | None = None, *, token: str = "") -> AsyncIterator[int]:
    """A server on a free port of 127.0.0.1: the port."""
    memory = table if table is not None else layout.create(8, ["main"], workers=1)
    with socket.create_server(("127.0.0.1", 0)) as sock:
        async with serve(Plan((), (), ()), memory, [sock], token=token):
            yield sock.getsockname()[1]


async def ask(port: int, path: str, body: bytes | None = None, *, fields: Mapping[str, str] | None = None) -> Reply:
    """One request, a POST with JSON if it has a body."""

    def exchange() -> Reply:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
        try:
            given = {"Content-Type": "application/json", **(fields or {})} if body is not None else dict(fields or {})
            connection.request("GET" if body is None else "POST", path, body, given)
            answer = connection.getresponse()
            named = {name.lower(): value for name, value in answer.getheaders()}
            return Reply(answer.status, named, answer.read())
        finally:
            connection.close()

    return await asyncio.to_thread(exchange)


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
