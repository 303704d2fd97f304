"""Both clients against a real server, and what they say of servers that are none."""

from __future__ import annotations

import asyncio
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.admin.rig import Counted, served, served_unix
from weir._gen import stats_pb as pb
from weir.client import (
    AsyncClient,
    CallError,
    Client,
    ClientError,
    ProtocolError,
    Sort,
    TimedOutError,
    UnreachableError,
)
from weir.client.calls import Call, parse_address


def traffic() -> Counted:
    counted = Counted()
    counted.count(b"/item/1", 10, us=1000, response_body_bytes=2**40)
    counted.count(b"/item/2", 3, us=50_000)
    counted.count(b"/other", 4, us=10, route=1)
    return counted


async def test_both_clients_say_the_same() -> None:
    async with served(traffic()) as server:

        def ask() -> tuple[pb.GetStatsResponse, pb.GetHistoryResponse, pb.GetStatusResponse]:
            with Client(server.url) as weir:
                stats = weir.get_stats(route="main", prefix="/item", sort="p99", limit=1, histograms=True)
                return stats, weir.get_history(path="/item/1", window=timedelta(minutes=5)), weir.get_status()

        stats, history, status = await asyncio.to_thread(ask)
        async with AsyncClient(server.url) as weir:
            again = await weir.get_stats(route="main", prefix="/item", sort=Sort.P99, limit=1, histograms=True)
            # Of a rate the two have asked at different times.
            again.series[0].requests_per_second = stats.series[0].requests_per_second
            assert again.series == stats.series
            assert len((await weir.get_history(path="/item/1", window=300.0)).points) == len(history.points)
            assert (await weir.get_status()).table == status.table
    assert stats.total is not None
    assert (stats.matched, stats.total.requests, stats.total.response_body_bytes) == (2, 13, 2**40)
    (series,) = stats.series
    assert series.total is not None
    assert (series.path, series.requests) == ("/item/2", 3)
    assert series.total.p99_us == pytest.approx(50_000, rel=stats.relative_error)
    assert series.total_histogram is not None
    assert sum(series.total_histogram.counts) == 3
    assert sum(point.requests for point in history.points) == 10


async def test_reset_since_and_window() -> None:
    counted = traffic()
    async with served(counted) as server, AsyncClient(server.url) as weir:
        moment = await weir.reset_stats()
        assert abs((datetime.now(UTC) - moment).total_seconds()) < 5
        counted.count(b"/item/1", 2)
        await asyncio.sleep(0.15)
        for question in ({}, {"since": moment}, {"window": 0.1}):
            answer = await weir.get_stats(**question)
            assert answer.total is not None
            assert answer.since is not None
            assert answer.total.requests == 2, question
            assert answer.since.to_datetime() <= datetime.now(UTC)
        whole = await weir.get_stats(since=time.time() - 3600)
        assert whole.total is not None
        assert whole.total.requests == 19


async def test_watching() -> None:
    counted = traffic()
    async with served(counted) as server:
        seen: list[int] = []

        def watch() -> None:
            with Client(server.url) as weir:
                for stats in weir.watch_stats(interval=0.2):
                    assert stats.total is not None
                    seen.append(stats.total.requests)
                    if sum(seen) >= 5:
                        break

        thread = asyncio.create_task(asyncio.to_thread(watch))
        async with AsyncClient(server.url) as weir:
            total, number = 0, 0
            async for stats in weir.watch_stats(interval=timedelta(seconds=0.2)):
                assert stats.total is not None
                total += stats.total.requests
                if number == 1:
                    counted.count(b"/item/1", 5)
                number += 1
                if total >= 5:
                    break
            assert total == 5
        await asyncio.wait_for(thread, 10)
    assert sum(seen) == 5


async def test_a_server_that_stops_ends_the_stream() -> None:
    async def watch(url: str) -> int:
        async with AsyncClient(url) as weir:
            return len([stats async for stats in weir.watch_stats(interval=0.2)])

    async with served(traffic()) as server:
        watching = asyncio.create_task(watch(server.url))
        await asyncio.sleep(0.7)
    assert await asyncio.wait_for(watching, 5) >= 1


async def test_closing_the_client_ends_its_streams() -> None:
    async with served(traffic()) as server:
        weir = Client(server.url)
        got = threading.Event()
        ended: list[object] = []

        def watch() -> None:
            for _ in weir.watch_stats(interval=0.2):
                got.set()
            ended.append("ended")

        thread = asyncio.create_task(asyncio.to_thread(watch))
        await asyncio.to_thread(got.wait, 10)
        weir.close()
        await asyncio.wait_for(thread, 10)
        assert ended == ["ended"]
        other = AsyncClient(server.url)
        stream = other.watch_stats(interval=0.2)
        await anext(stream)
        await other.close()
        assert [each async for each in stream] == []


def first_of(client: Client) -> pb.GetStatsResponse:
    return next(iter(client.watch_stats()))


async def test_a_unix_socket_and_a_token(tmp_path: Path) -> None:
    path = tmp_path / "admin.sock"
    async with served_unix(traffic(), path, token="t" * 32):
        for token, fine in (("t" * 32, True), ("", False), ("wrong", False)):
            client = Client(f"unix:{path}", token=token)
            async with AsyncClient(f"unix:{path}", token=token) as weir:
                if fine:
                    assert (await weir.get_stats()).matched == 3
                    assert (await asyncio.to_thread(client.get_stats)).matched == 3
                    continue
                with pytest.raises(CallError) as caught:
                    await weir.get_stats()
                assert caught.value.code == "unauthenticated"
                with pytest.raises(CallError):
                    await asyncio.to_thread(first_of, client)
                assert "wrong" not in str(caught.value)


async def test_what_weir_refuses_is_said_with_its_words() -> None:
    async with served(traffic()) as server, AsyncClient(server.url) as weir:
        with pytest.raises(CallError, match="limit: 50000 is more than 10000") as caught:
            await weir.get_stats(limit=50_000)
        assert (caught.value.code, str(caught.value).startswith(server.url)) == ("invalid_argument", True)
        with pytest.raises(CallError, match="interval"):
            await anext(weir.watch_stats(interval=0.01))
        with pytest.raises(CallError, match="step"):
            await weir.get_history(step=90)


@pytest.mark.parametrize(
    "question", [{"sort": "p98"}, {"since": datetime(2026, 1, 1)}, {"sort": "unspecified"}], ids=str
)  # fmt: skip
def test_slips_are_found_before_anything_is_sent(question: dict[str, Any]) -> None:
    with pytest.raises(ValueError):
        Client("http://127.0.0.1:1").get_stats(**question)


@pytest.mark.parametrize(
    "url",
    ["127.0.0.1:8079", "ftp://x", "http://", "unix:relative", "http://user:secret@x", "http://x?a=b", "http://x:port"],
)
def test_addresses_that_are_none(url: str) -> None:
    with pytest.raises(ValueError) as caught:
        Client(url)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("url", "host", "port", "authority", "prefix"),
    [
        ("http://127.0.0.1:8079", "127.0.0.1", 8079, "127.0.0.1:8079", ""),
        ("http://[::1]:8079/", "::1", 8079, "[::1]:8079", ""),
        ("https://weir.example/admin/", "weir.example", 443, "weir.example", "/admin"),
        ("http://weir", "weir", 80, "weir", ""),
    ],
)
def test_addresses(url: str, host: str, port: int, authority: str, prefix: str) -> None:
    address = parse_address(url)
    assert (address.host, address.port, address.authority, address.prefix) == (host, port, authority, prefix)


@contextmanager
def answering(*pieces: bytes, stay: bool = False) -> Iterator[str]:
    """A server that says the same to everybody and closes, or says no more."""
    done = threading.Event()

    def serve() -> None:
        while True:
            try:
                connection, _ = listening.accept()
            except OSError:
                return
            with connection:
                connection.recv(65_536)
                for piece in pieces:
                    connection.sendall(piece)
                if stay:
                    done.wait(10)

    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        finally:
            done.set()
            listening.shutdown(socket.SHUT_RDWR)
            thread.join(10)
            assert not thread.is_alive()


def http(status: str, content: bytes, media: str = "application/proto") -> bytes:
    return f"HTTP/1.1 {status}\r\nContent-Type: {media}\r\nContent-Length: {len(content)}\r\n\r\n".encode() + content


@pytest.mark.parametrize(
    ("said", "error", "says"),
    [
        (b"", UnreachableError, "closed before the answer was complete"),
        (b"HTTP/1.1 200 OK\r\nContent-Le", UnreachableError, "closed before"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc", UnreachableError, "closed before"),
        (b"SSH-2.0-OpenSSH_9.2\r\n\r\n", ProtocolError, "no HTTP answer"),
        (http("200 OK", b"\xff\xff\xff"), ProtocolError, "cannot be read"),
        (http("200 OK", b"<html>", "text/html"), ProtocolError, "text/html is not application/proto"),
        (http("404 Not Found", b"<b>\x1b[2Jno", "text/html"), CallError, "unimplemented: <b> [2Jno"),
        (http("502 Bad Gateway", b"", "text/plain"), CallError, "unavailable: HTTP 502"),
        (http("418 I'm a teapot", b"tea", "text/plain"), ProtocolError, "HTTP 418"),
        (http("400 Bad Request", b'{"code":"aborted","message":"no"}', "application/json"), CallError, "aborted: no"),
        (http("400 Bad Request", b"{", "application/json"), ProtocolError, "cannot be read"),
        (http("500 Oops", b"[]", "application/json"), ProtocolError, "HTTP 500"),
    ],
)
async def test_servers_that_are_not_weir(said: bytes, error: type[ClientError], says: str) -> None:
    with answering(said) as url:
        with pytest.raises(error) as caught:
            await asyncio.to_thread(Client(url, timeout=5).get_status)
        assert says in str(caught.value)
        assert str(caught.value).isprintable()
        with pytest.raises(error) as again:
            await AsyncClient(url, timeout=5).get_status()
        assert str(again.value) == str(caught.value)


async def test_time_runs_out() -> None:
    with answering(b"HTTP/1.1 200 OK\r\n", stay=True) as url:
        for call in (
            lambda: asyncio.to_thread(Client(url, timeout=0.2).get_status),
            lambda: AsyncClient(url, timeout=0.2).get_status(),
            lambda: asyncio.to_thread(lambda: next(iter(Client(url, timeout=0.2).watch_stats(interval=0)))),
            lambda: anext(AsyncClient(url, timeout=0.2).watch_stats(interval=0)),
        ):
            started = time.monotonic()
            with pytest.raises(TimedOutError):
                await call()
            assert time.monotonic() - started < 5


async def test_nobody_there(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
    for url in (f"http://127.0.0.1:{port}", f"unix:{tmp_path}/none.sock", "http://name.invalid"):
        with pytest.raises(UnreachableError, match=r"\w"):
            await asyncio.to_thread(Client(url, timeout=5).get_stats)
        with pytest.raises(UnreachableError):
            await AsyncClient(url, timeout=5).get_stats()


def chunks(*envelopes: tuple[int, bytes]) -> bytes:
    body = b"".join(bytes([flags]) + len(data).to_bytes(4, "big") + data for flags, data in envelopes)
    head = b"HTTP/1.1 200 OK\r\nContent-Type: application/connect+proto\r\nTransfer-Encoding: chunked\r\n\r\n"
    return head + b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body)


ONE = pb.WatchStatsResponse(stats=pb.GetStatsResponse(matched=7)).to_binary()


def stream_call() -> Call[pb.WatchStatsResponse]:
    call = Call(parse_address("http://x"), "", "WatchStats", pb.WatchStatsRequest(), pb.WatchStatsResponse, stream=True)
    call.start()
    return call


@given(st.lists(st.integers(1, 40), max_size=30))
def test_a_stream_may_come_in_any_pieces(sizes: list[int]) -> None:
    data = chunks((0, ONE), (0, ONE), (0, b""), (2, b"{}"))
    call = stream_call()
    got: list[pb.WatchStatsResponse] = []
    for size in sizes:
        piece, data = data[:size], data[size:]
        got += call.receive(piece) if piece else []
    got += call.receive(data) if data else []
    assert [message.stats.matched if message.stats else None for message in got] == [7, 7, None]
    assert call.done


@pytest.mark.parametrize(
    ("data", "error", "says"),
    [
        (chunks((0, ONE), (2, b'{"error":{"code":"canceled","message":"m"}}')), CallError, "canceled: m"),
        (chunks((0, ONE)), UnreachableError, "without its end"),
        (chunks((1, ONE)), ProtocolError, "not asked for"),
        (chunks((0, b"\xff\xff")), ProtocolError, "cannot be read"),
        (chunks((2, b"{")), ProtocolError, "cannot be read"),
        (http("200 OK", b"\0\xff\xff\xff\xff", "application/connect+proto"), ProtocolError, "not asked for"),
        (http("200 OK", b"{}", "application/json"), ProtocolError, "application/json is not"),
    ],
)
def test_streams_that_end_badly(data: bytes, error: type[ClientError], says: str) -> None:
    with pytest.raises(error, match=says):
        stream_call().receive(data)


async def test_an_answer_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("weir.client.calls.MOST_RESPONSE_BYTES", 1000)
    with answering(http("200 OK", b"x" * 2000)) as url, pytest.raises(ProtocolError, match="more than"):
        await AsyncClient(url).get_stats()


async def test_tls_is_verified(tmp_path: Path) -> None:
    """Plain HTTP where TLS is expected ends in an error that says so, not in an answer."""
    with answering(http("200 OK", b"")) as url:
        tls = url.replace("http:", "https:")
        with pytest.raises(UnreachableError) as caught:
            await asyncio.to_thread(Client(tls, timeout=5).get_stats)
        assert isinstance(caught.value.__cause__, ssl.SSLError)
        with pytest.raises(UnreachableError):
            await AsyncClient(tls, timeout=5).get_stats()


@pytest.mark.parametrize("token", ["secret\nX: y", "secret ", "s\u00e9cret"])
@pytest.mark.parametrize("made", [Client, AsyncClient])
def test_a_token_that_cannot_be_sent_is_not_shown(made: type[Client] | type[AsyncClient], token: str) -> None:
    with pytest.raises(ValueError, match="a token is one line of visible ASCII characters") as error:
        made(token=token)
    assert "cret" not in str(error.value)


async def test_a_host_that_can_be_no_name() -> None:
    url = f"http://{'a' * 70}:1"
    with pytest.raises(UnreachableError, match="the host is no name"):
        Client(url).get_status()
    with pytest.raises(UnreachableError, match="the host is no name"):
        next(Client(url).watch_stats())
    with pytest.raises(UnreachableError, match="the host is no name"):
        await AsyncClient(url).get_status()


def test_importing_weir_does_not_import_the_client() -> None:
    code = "import sys, weir, weir.cli.main; print([m for m in sys.modules if m.split('.')[0] in ('h11', 'protobuf')])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
    code = "import sys, weir.client; print([m for m in sys.modules if m in ('connectrpc', 'uvicorn', 'starlette')])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
