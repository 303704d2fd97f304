"""One worker in this process, on its own loop."""

from __future__ import annotations

import asyncio
import os
import socket
from dataclasses import replace

import pytest

from weir.config.plan import AddressPlan, ClusterPlan, ListenerPlan, Plan, RoutePlan
from weir.control.errors import StartError
from weir.control.worker import Worker
from weir.plane.engine import Engine
from weir.plane.selector import EngineSelector
from weir.stats.page import render

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


def make_plan(endpoint: AddressPlan, listen_port: int = 0) -> Plan:
    return Plan(
        (ListenerPlan(AddressPlan(f"127.0.0.1:{listen_port}", "127.0.0.1", listen_port), 0),),
        (RoutePlan("main", 0),),
        (ClusterPlan("app", (endpoint,)),),
        drain_timeout_ms=500,
    )


async def serve_ok(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.readuntil(b"\r\n\r\n")
    await asyncio.sleep(0.05)
    writer.write(OK)
    await writer.drain()
    writer.close()


def test_listeners_of_the_same_name_are_counted_together() -> None:
    """As two on port 0 are: the table knows routes by name."""
    engine = Engine()

    async def main() -> bytes:
        server = await asyncio.start_server(serve_ok, "127.0.0.1", 0)
        one = make_plan(AddressPlan("end", "127.0.0.1", server.sockets[0].getsockname()[1]))
        plan = replace(one, listeners=(one.listeners[0], replace(one.listeners[0], route=1)), routes=one.routes * 2)
        worker = Worker(plan, engine)
        bound = worker.bind()
        await worker.start()
        for address in bound:
            reader, writer = await asyncio.open_connection("127.0.0.1", int(address.rpartition(":")[2]))
            writer.write(b"GET / HTTP/1.0\r\nHost: h\r\n\r\n")
            assert (await reader.read()).endswith(b"ok")
            writer.close()
        page = render(worker.memory)
        await worker.stop()
        server.close()
        return page

    with asyncio.Runner(loop_factory=lambda: asyncio.SelectorEventLoop(EngineSelector(engine))) as runner:
        lines = runner.run(main()).decode().splitlines()
    assert [line.split()[0] for line in lines[1:]] == ["2"]


@pytest.mark.parametrize("name", ["127.0.0.1", "localhost"])
def test_start_serve_drain_stop(name: str) -> None:
    engine = Engine()
    before = len(os.listdir("/proc/self/fd"))

    async def main() -> None:
        server = await asyncio.start_server(serve_ok, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        worker = Worker(make_plan(AddressPlan(f"{name}:{port}", name, port)), engine)
        bound = worker.bind()
        await worker.start()
        reader, writer = await asyncio.open_connection("127.0.0.1", int(bound[0].rpartition(":")[2]))
        writer.write(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n")
        await asyncio.sleep(0.02)
        draining = asyncio.create_task(worker.drain())
        answer = await reader.read()
        assert answer.startswith(b"HTTP/1.1 200 OK")
        assert b"Connection: close" in answer
        assert answer.endswith(b"ok")
        assert await draining is True
        writer.close()
        await worker.stop()
        assert not any(worker.plane.ledger().values())
        server.close()
        await server.wait_closed()

    with asyncio.Runner(loop_factory=lambda: asyncio.SelectorEventLoop(EngineSelector(engine))) as runner:
        runner.run(main())
    assert len(os.listdir("/proc/self/fd")) <= before + 1, "more than the statistics table's descriptor is open"


def test_drain_gives_up_after_its_time() -> None:
    engine = Engine()

    async def hang(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    async def main() -> None:
        server = await asyncio.start_server(hang, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        worker = Worker(make_plan(AddressPlan("x", "127.0.0.1", port)), engine)
        bound = worker.bind()
        await worker.start()
        reader, writer = await asyncio.open_connection("127.0.0.1", int(bound[0].rpartition(":")[2]))
        writer.write(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n")
        await asyncio.sleep(0.05)
        assert await worker.drain() is False
        await worker.stop()
        assert await reader.read() == b""
        writer.close()
        server.close()

    with asyncio.Runner(loop_factory=lambda: asyncio.SelectorEventLoop(EngineSelector(engine))) as runner:
        runner.run(main())


def test_a_taken_port_leaves_nothing_bound() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        worker = Worker(make_plan(AddressPlan("x", "127.0.0.1", 1), port), Engine())
        with pytest.raises(StartError, match="already in use"):
            worker.bind()
        assert worker.sockets == []
