"""The engine in a loop that is somebody else's."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator

import pytest

from weir.config.plan import AddressPlan, ClusterPlan, ListenerPlan, Plan, RoutePlan
from weir.control.worker import Worker, make_table, own_seat
from weir.plane.engine import Engine
from weir.plane.guest import Guest

HELLO = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"


class Rig:
    """A worker whose engine is a guest of the test's loop, and turns that are counted."""

    def __init__(self, endpoint: AddressPlan, response_header_timeout_ms: int = 30_000) -> None:
        self.engine = Engine()
        self.guest = Guest(self.engine, asyncio.get_running_loop())
        cluster = ClusterPlan("app", (endpoint,), response_header_timeout_ms=response_header_timeout_ms)
        listener = ListenerPlan(AddressPlan("127.0.0.1:0", "127.0.0.1", 0), 0)
        plan = Plan((listener,), (RoutePlan("main", 0),), (cluster,))
        self.memory = make_table(plan, 1, private=True)
        self.worker = Worker(plan, self.engine, own_seat(plan, self.memory))
        self.port = int(self.worker.bind()[0].rpartition(":")[2])

    async def start(self) -> None:
        self.guest.start()
        await self.worker.start()

    async def stop(self) -> None:
        await self.worker.stop()
        self.guest.stop()
        self.engine.close()
        self.memory.close_fd()

    async def ask(self, request: bytes = b"GET / HTTP/1.0\r\nHost: h\r\n\r\n") -> bytes:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        writer.write(request)
        try:
            return await reader.read()
        finally:
            writer.close()


@pytest.fixture
async def server() -> AsyncIterator[AddressPlan]:
    """Answers /slow never, everything else at once."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError):
            while b"/slow" not in await reader.readuntil(b"\r\n\r\n"):
                writer.write(HELLO)
            await reader.read()
        writer.close()

    made = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = made.sockets[0].getsockname()[1]
    yield AddressPlan(f"127.0.0.1:{port}", "127.0.0.1", port)
    made.close()


@pytest.fixture
async def rig(server: AddressPlan) -> AsyncIterator[Rig]:
    rig = Rig(server)
    await rig.start()
    yield rig
    await rig.stop()


async def test_exchanges_pass(rig: Rig) -> None:
    for _ in range(3):
        assert (await rig.ask()).endswith(b"hello")
    answers = await asyncio.gather(*(rig.ask() for _ in range(50)))
    assert all(answer.endswith(b"hello") for answer in answers)


async def test_timers_ring_without_an_event(server: AddressPlan) -> None:
    """Nothing but the timer tells of an endpoint that does not answer."""
    rig = Rig(server, response_header_timeout_ms=20)
    await rig.start()
    answer = await rig.ask(b"GET /slow HTTP/1.0\r\nHost: h\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 504 ")
    await rig.stop()


async def test_an_idle_guest_does_not_turn(rig: Rig) -> None:
    """It wakes the loop for its timers only: none is due within the moment that is looked at."""
    await rig.ask()
    await asyncio.sleep(0.05)
    before = rig.engine.turns
    await asyncio.sleep(0.1)
    # The worker's own heartbeat may fall into it.
    assert rig.engine.turns - before <= 3


async def test_asked_ten_times_it_turns_once(rig: Rig) -> None:
    before = rig.engine.turns
    for _ in range(10):
        rig.engine.touch()
    await asyncio.sleep(0)
    assert rig.engine.turns == before + 1


async def test_the_loop_is_not_starved(rig: Rig) -> None:
    """While 20 clients ask as fast as they can the person's own task gets its turn between any two of weir's."""
    end = asyncio.Event()

    async def client() -> None:
        while not end.is_set():
            await rig.ask()

    clients = [asyncio.create_task(client()) for _ in range(20)]
    most, steps = 0, 0
    while steps < 200:
        before = rig.engine.turns
        await asyncio.sleep(0)
        most, steps = max(most, rig.engine.turns - before), steps + 1
    end.set()
    await asyncio.gather(*clients)
    # One because a descriptor is ready, one because it was asked for, one because a timer rings.
    assert most <= 3


async def test_nothing_is_left_in_the_loop() -> None:
    descriptors = len(os.listdir("/proc/self/fd"))
    engine = Engine()
    guest = Guest(engine, asyncio.get_running_loop())
    guest.start()
    engine.touch()
    guest.stop()
    guest.stop()
    turns = engine.turns
    engine.touch()
    await asyncio.sleep(0.01)
    assert engine.turns == turns
    engine.close()
    assert len(os.listdir("/proc/self/fd")) == descriptors
