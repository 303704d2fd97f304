"""The engine as asyncio's selector, with real descriptors."""

from __future__ import annotations

import asyncio
import os
import selectors
import signal
import socket
import threading
import time
from collections.abc import Iterator

import pytest

from weir.plane.engine import Engine
from weir.plane.selector import EngineSelector


@pytest.fixture
def engine() -> Iterator[Engine]:
    engine = Engine()
    yield engine
    engine.close()


@pytest.fixture
def selector(engine: Engine) -> EngineSelector:
    return EngineSelector(engine)


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    left, right = socket.socketpair()
    left.setblocking(False)
    right.setblocking(False)
    yield left, right
    left.close()
    right.close()


Pair = tuple[socket.socket, socket.socket]


def test_register_select_modify_unregister(selector: EngineSelector, pair: Pair) -> None:
    left, right = pair
    key = selector.register(left, selectors.EVENT_READ, "data")
    assert (key.fileobj, key.fd, key.events, key.data) == (left, left.fileno(), selectors.EVENT_READ, "data")
    assert selector.select(0) == []
    right.send(b"x")
    assert selector.select(1) == [(key, selectors.EVENT_READ)]
    key = selector.modify(left, selectors.EVENT_WRITE, "other")
    assert selector.select(0) == [(key, selectors.EVENT_WRITE)]
    assert selector.get_key(left) == key
    assert selector.get_map().get(left.fileno()) == key
    assert selector.unregister(left) == key
    assert selector.select(0) == []


def test_errors_of_the_interface(selector: EngineSelector, pair: Pair) -> None:
    left, _right = pair
    with pytest.raises(ValueError, match="invalid events"):
        selector.register(left, 0)
    with pytest.raises(KeyError):
        selector.unregister(left)
    with pytest.raises(ValueError, match="descriptor"):
        selector.register(-1, selectors.EVENT_READ)
    selector.register(left, selectors.EVENT_READ)
    with pytest.raises(KeyError, match="already"):
        selector.register(left, selectors.EVENT_READ)
    selector.unregister(left)


def test_a_closed_file_can_be_unregistered(selector: EngineSelector) -> None:
    left, right = socket.socketpair()
    selector.register(left, selectors.EVENT_READ)
    left.close()
    selector.unregister(left)
    right.close()
    assert selector.select(0) == []


def test_an_event_of_a_reused_number_is_not_mixed_up(selector: EngineSelector) -> None:
    for _ in range(50):
        left, right = socket.socketpair()
        selector.register(left, selectors.EVENT_READ)
        right.send(b"x")
        selector.unregister(left)
        left.close()
        right.close()
        assert selector.select(0) == []


def test_timeouts(selector: EngineSelector) -> None:
    begin = time.monotonic()
    assert selector.select(0.05) == []
    waited = time.monotonic() - begin
    assert 0.045 <= waited < 0.5
    assert selector.select(-1) == []


def test_the_wait_lets_go_of_the_gil(selector: EngineSelector) -> None:
    ran = threading.Event()
    thread = threading.Timer(0.02, ran.set)
    thread.start()
    selector.select(0.3)
    assert ran.is_set()
    thread.join()


# With line tracing the exception may rise in the tracer, which then switches itself off.
@pytest.mark.heavy
def test_a_signal_interrupts_the_wait(selector: EngineSelector) -> None:
    before = signal.signal(signal.SIGALRM, lambda *_: (_ for _ in ()).throw(TimeoutError("alarm")))
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.05)
        with pytest.raises(TimeoutError, match="alarm"):
            selector.select(5)
    finally:
        signal.signal(signal.SIGALRM, before)


def test_a_signal_whose_handler_meets_an_error_of_its_own_interrupts_nothing(selector: EngineSelector) -> None:
    """errno is everybody's: what the wait failed with is not asked for after a handler has run."""
    ran = []

    def handler(*_: object) -> None:
        ran.append(os.path.exists("/proc/self/nothing of this name"))

    before = signal.signal(signal.SIGALRM, handler)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.05)
        assert selector.select(0.1) == []
    finally:
        signal.signal(signal.SIGALRM, before)
    assert ran == [False]


def test_plain_asyncio_runs_on_it(engine: Engine) -> None:
    async def main() -> bytes:
        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(await reader.readexactly(3) + b"!")
            await writer.drain()
            writer.close()

        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        host, port = server.sockets[0].getsockname()
        async with server:
            reader, writer = await asyncio.open_connection(host, port)
            writer.write(b"abc")
            answer = await reader.read()
            writer.close()
            await writer.wait_closed()
        process = await asyncio.create_subprocess_exec("true")
        assert await process.wait() == 0
        assert await asyncio.to_thread(lambda: 7) == 7
        await asyncio.sleep(0.01)
        return answer

    with asyncio.Runner(loop_factory=lambda: asyncio.SelectorEventLoop(EngineSelector(engine))) as runner:
        assert runner.run(main()) == b"abc!"


def test_many_descriptors(selector: EngineSelector) -> None:
    pipes = [os.pipe() for _ in range(300)]
    try:
        for read, _write in pipes:
            selector.register(read, selectors.EVENT_READ)
        for _read, write in pipes:
            os.write(write, b"x")
        seen: set[int] = set()
        for _ in range(10):
            seen |= {key.fd for key, _events in selector.select(0)}
        assert seen == {read for read, _write in pipes}
    finally:
        for read, write in pipes:
            selector.unregister(read)
            os.close(read)
            os.close(write)
