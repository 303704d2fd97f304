"""What a worker publishes, as the metrics' reader finds it; a successor goes on where it ended."""

from __future__ import annotations

import asyncio

from weir.config.plan import AddressPlan, ClusterPlan, ListenerPlan, Plan, RoutePlan
from weir.control.worker import Seat, Worker, make_table
from weir.plane.engine import Engine
from weir.plane.selector import EngineSelector
from weir.stats import layout, reader

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


class Endpoint:
    """Answers everything; `open` are its connections."""

    def __init__(self) -> None:
        self.open = 0

    async def serve(self, streams: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.open += 1
        while await streams.read(1000):
            writer.write(OK)
        writer.close()
        await writer.wait_closed()
        self.open -= 1


async def one_life(engine: Engine, plan: Plan, table: layout.Table, requests: int) -> reader.EndpointState:
    """A worker that answers some requests on one connection and ends; what was said of the endpoint while it lived."""
    worker = Worker(plan, engine, Seat(table, 0, [0]))
    (where,) = worker.bind()
    await worker.start()
    streams, writer = await asyncio.open_connection("127.0.0.1", int(where.rpartition(":")[2]))
    for _ in range(requests):
        writer.write(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n")
        await streams.readuntil(b"\r\n\r\nok")
    # The next beat comes by itself.
    async with asyncio.timeout(10):
        while reader.workers(table)[0].downstreams != 1:
            await asyncio.sleep(0.05)
    (alive,) = reader.endpoints(table)
    writer.close()
    await worker.stop()
    return alive


def test_what_is_open_and_what_was_counted() -> None:
    engine = Engine()

    async def main() -> None:
        behind = Endpoint()
        server = await asyncio.start_server(behind.serve, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        endpoint = AddressPlan(f"127.0.0.1:{port}", "127.0.0.1", port)
        listener = ListenerPlan(AddressPlan("127.0.0.1:0", "127.0.0.1", 0), 0)
        plan = Plan((listener,), (RoutePlan("main", 0),), (ClusterPlan("app", (endpoint,)),))
        table = make_table(plan, 1)
        first = await one_life(engine, plan, table, 3)
        assert (first.cluster, first.open, first.idle, first.dials, first.reuses) == ("app", 1, 1, 1, 2)
        (ended,) = reader.endpoints(table)
        assert (ended.open, ended.idle, ended.dials, ended.reuses) == (0, 0, 1, 2)
        (worker,) = reader.workers(table)
        assert (worker.downstreams, worker.accepted, worker.heartbeat_us > 0) == (0, 1, True)
        second = await one_life(engine, plan, table, 2)
        assert (second.open, second.dials, second.reuses) == (1, 2, 3)
        server.close()
        async with asyncio.timeout(10):
            while behind.open:
                await asyncio.sleep(0.01)

    with asyncio.Runner(loop_factory=lambda: asyncio.SelectorEventLoop(EngineSelector(engine))) as runner:
        runner.run(main())
