"""One POST: whatever the other side does, it ends in time and says why."""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
from hypothesis import given
from hypothesis import strategies as st

from weir.admin.collector import ExportError, retry_after_s, send
from weir.config.plan import OtlpPlan

Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def listening(handle: Handler) -> AsyncIterator[str]:
    """A server that answers by `handle`; its URL. All its connections are closed at the end."""
    tasks = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        try:
            await handle(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass  # of the client's doing, or the end of the test
        finally:
            writer.transport.abort()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def saying(answer: bytes) -> Handler:
    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        await writer.drain()
        writer.write_eof()
        await reader.read()

    return handle


async def test_what_is_sent() -> None:
    got = bytearray()

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        got.extend(await reader.readuntil(b"\r\n\r\n"))
        got.extend(await reader.readexactly(4))
        writer.write(b"HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")
        await reader.read()

    async with listening(handle) as url:
        await send(OtlpPlan(endpoint=url, headers=(("X-Key", "secret"),)), b"body")
        assert got.startswith(b"POST /v1/metrics HTTP/1.1\r\nHost: " + url.removeprefix("http://").encode())
        assert got.endswith(b"X-Key: secret\r\n\r\nbody")
        got.clear()
        await send(OtlpPlan(endpoint=f"{url}/own/path"), b"body")
        assert got.startswith(b"POST /own/path HTTP/1.1\r\n")


@pytest.mark.parametrize(
    ("answer", "wait_s", "said"),
    [
        (b"HTTP/1.1 503 Full\r\nRetry-After: 7\r\n\r\n", 7.0, "503"),
        (b"HTTP/1.1 429 Slow\r\n\r\n", 0.0, "429"),
        (b"HTTP/1.1 400 No\r\nContent-Length: 9\r\n\r\n\x1b[31m no\n", None, r"400: '\x1b[31m no'"),
        (b"HTTP/1.1 301 Moved\r\nLocation: http://x/\r\n\r\n", None, "301"),
        (b"HTTP/1.1 500 No\r\n\r\n" + b"x" * 1_000_000, None, "500: '" + "x" * 200 + "'"),
        (b"", 0.0, "RemoteProtocolError"),
        (b"HTTP/1.1 200", 0.0, "RemoteProtocolError"),
        (b"SSH-2.0-OpenSSH\r\n\r\n", 0.0, "RemoteProtocolError"),
        (b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 10_000, 0.0, "RemoteProtocolError"),
    ],
)
async def test_answers_that_do_not_please(answer: bytes, wait_s: float | None, said: str) -> None:
    async with listening(saying(answer)) as url:
        with pytest.raises(ExportError) as caught:
            await send(OtlpPlan(endpoint=url), b"body")
    assert caught.value.wait_s == wait_s
    assert said in str(caught.value)
    assert len(str(caught.value)) < 400


async def test_the_timeout_is_for_all_of_it() -> None:
    async def drip(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\n")
        while True:
            writer.write(b"X: y\r\n")
            await writer.drain()
            await asyncio.sleep(0.05)

    async def deaf(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(60)

    before = len(os.listdir("/proc/self/fd"))
    for handle, body in ((drip, b"body"), (deaf, b"x" * 50_000_000)):
        async with listening(handle) as url:
            started = time.monotonic()
            with pytest.raises(ExportError, match=r"no answer within 0\.3 s") as caught:
                await send(OtlpPlan(endpoint=url, timeout_ms=300), body)
            assert caught.value.wait_s == 0.0
            assert 0.3 <= time.monotonic() - started < 5
            # Called off in the middle, it ends at once as well.
            task = asyncio.create_task(send(OtlpPlan(endpoint=url, timeout_ms=30_000), body))
            await asyncio.sleep(0.1)
            started = time.monotonic()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert time.monotonic() - started < 5
    await asyncio.sleep(0.05)
    assert len(os.listdir("/proc/self/fd")) <= before


async def test_nobody_there_no_such_name_and_no_tls() -> None:
    async def plain(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(b"HTTP/1.1 400 This is no TLS\r\n\r\n")
        await writer.drain()

    async with listening(plain) as url:
        with pytest.raises(ExportError, match="SSL") as caught:
            await send(OtlpPlan(endpoint=url.replace("http:", "https:")), b"body")
        assert isinstance(caught.value.__cause__, ssl.SSLError)
    with pytest.raises(ExportError, match="ConnectionRefusedError"):
        await send(OtlpPlan(endpoint=url), b"body")
    with pytest.raises(ExportError, match="UnicodeError"):
        await send(OtlpPlan(endpoint=f"http://{'x' * 70}.invalid"), b"body")


async def test_a_field_that_cannot_be_sent_is_not_shown() -> None:
    async with listening(saying(b"HTTP/1.1 200 OK\r\n\r\n")) as url:
        plan = OtlpPlan(endpoint=url, headers=(("X-Key", "secret\n"),))
        assert "secret" not in repr(plan)
        with pytest.raises(ExportError, match="cannot be sent") as caught:
            await send(plan, b"body")
    assert "secret" not in str(caught.value)
    assert caught.value.__suppress_context__


def test_retry_after() -> None:
    now = 784_111_777.0  # Sun, 06 Nov 1994 08:49:37 GMT
    assert retry_after_s("120", now) == 120
    assert retry_after_s("Sun, 06 Nov 1994 08:51:37 GMT", now) == 120
    assert retry_after_s("Sun, 06 Nov 1994 08:39:37 GMT", now) == 0
    assert retry_after_s("", now) == retry_after_s("soon", now) == retry_after_s("-5", now) == 0


@given(st.text(max_size=40))
def test_any_retry_after_is_a_number(value: str) -> None:
    assert retry_after_s(value, 0.0) >= 0


def test_a_look_up_that_hangs_holds_up_neither_the_export_nor_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    go_on = threading.Event()
    threads = set(threading.enumerate())

    def hangs(*_arguments: object, **_options: object) -> list[object]:
        go_on.wait(30)
        return []

    monkeypatch.setattr(socket, "getaddrinfo", hangs)
    began = time.monotonic()
    with pytest.raises(ExportError, match=r"no answer within 0\.05 s"):
        # As asyncio.run ends a loop: with all threads of its executor.
        asyncio.run(send(OtlpPlan("http://collector.test:4318", timeout_ms=50), b""))
    assert time.monotonic() - began < 10
    go_on.set()
    for thread in set(threading.enumerate()) - threads:
        thread.join(30)


async def test_the_addresses_of_a_name_are_tried_in_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    async with listening(saying(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")) as url:
        port = int(url.rpartition(":")[2])
        found = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (host, port)) for host in ("127.0.0.2", "127.0.0.1")]
        monkeypatch.setattr("weir.names.socket.getaddrinfo", lambda *_a, **_o: found)
        await send(OtlpPlan(f"http://collector.test:{port}", timeout_ms=20_000), b"")
        del found[1]
        with pytest.raises(ExportError, match="ConnectionRefusedError"):
            await send(OtlpPlan(f"http://collector.test:{port}", timeout_ms=20_000), b"")
