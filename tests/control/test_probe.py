"""One check: what is a good answer, and what is said of all others."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from weir.control.probe import LOCAL, Expected, Place, Probe, Reading, Sockets
from weir.plane.head import Method
from weir.reasons import Reason
from weir.stats.roster import Why, why, why_text

REQUEST = b"GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
GET = Expected(Method.M_GET, [(200, 399)])

# An answer, what is expected, and the verdict in words ("": good).
ANSWERS = [
    (OK, GET, ""),
    (b"HTTP/1.0 204 No\r\n\r\n", GET, ""),
    (b"HTTP/1.1 399 Odd\r\nContent-Length: 0\r\n\r\n", GET, ""),
    (b"HTTP/1.1 400 Bad\r\nContent-Length: 0\r\n\r\n", GET, "status 400"),
    (b"HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n", GET, "status 503"),
    (b"HTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n", GET._replace(status=[(200, 200), (404, 404)]), ""),
    (b"HTTP/1.1 101 On\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n", GET, "status 101"),
    (b"HTTP/1.1 103 Early\r\nLink: a\r\n\r\n" + OK, GET, ""),
    (b"HTTP/1.1 100 On\r\n\r\n" * 17 + OK, GET, "bad_response"),
    (b"SSH-2.0-OpenSSH_9.2\r\n", GET, "bad_response"),
    (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nok", GET, "bad_response_framing"),
    (b"HTTP/1.1 200 OK\r\nX: " + b"a" * 40_000, GET, "response_head_too_large"),
    (b"", GET, "upstream_closed"),
    (b"HTTP/1.1 200 OK\r\nContent-", GET, "upstream_truncated"),
    (b"HTTP/1.1 102 On\r\n\r\n", GET, "upstream_truncated"),
    (OK, GET._replace(body=b"ok"), ""),
    (OK, GET._replace(body=b"fine"), "the body does not match"),
    (b"HTTP/1.1 200 OK\r\n\r\nall is fine", GET._replace(body=b"fine"), ""),
    (b"HTTP/1.1 200 OK\r\n\r\nall is", GET._replace(body=b"fine"), "the body does not match"),
    (
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nfi\r\n2\r\nne\r\n0\r\n\r\n",
        GET._replace(body=b"fine"),
        "",
    ),
    (
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nfi\r\nxx\r\n",
        GET._replace(body=b"fine"),
        "bad_response_framing",
    ),
    (b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n", GET._replace(method=Method.M_HEAD), ""),
    (b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * 70_000 + b"fine", GET._replace(body=b"fine"), "the body does not match"),
]


@pytest.mark.parametrize(("answer", "expected", "verdict"), ANSWERS)
@pytest.mark.parametrize("step", [1 << 20, 1000, 1])
def test_an_answer_in_pieces(answer: bytes, expected: Expected, verdict: str, step: int) -> None:
    if step == 1 and len(answer) > 2000:
        step = 97
    reading = Reading(expected)
    for at in range(0, len(answer), step):
        if not reading.over:
            reading.feed(answer[at : at + step])
    if not reading.over:
        reading.end()
    assert reading.over
    assert reading.verdict is not None
    assert why_text(reading.verdict) == verdict


@given(st.lists(st.binary(max_size=200), max_size=20))
def test_whatever_comes_there_is_a_verdict(pieces: list[bytes]) -> None:
    reading = Reading(GET._replace(body=b"\x00"))
    for piece in pieces:
        if not reading.over:
            reading.feed(piece)
    if not reading.over:
        reading.end()
    assert reading.over
    assert reading.verdict is not None


Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def serving(serve: Serve, path: Path | None = None) -> AsyncIterator[Place]:
    open_links: set[asyncio.StreamWriter] = set()

    async def serve_and_close(streams: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        open_links.add(writer)
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            await serve(streams, writer)
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()
        open_links.discard(writer)

    if path is None:
        server = await asyncio.start_server(serve_and_close, "127.0.0.1", 0)
        place: Place = (socket.AF_INET, server.sockets[0].getsockname())
    else:
        server = await asyncio.start_unix_server(serve_and_close, path)
        place = (socket.AF_UNIX, str(path).encode())
    async with server:
        yield place
        await asyncio.sleep(0.05)  # one may just be accepted
        async with asyncio.timeout(10):
            while open_links:
                await asyncio.sleep(0.01)


async def check(
    *places: Place, message: bytes = REQUEST, expected: Expected = GET, timeout_s: float = 5.0
) -> tuple[str, float]:
    """The verdict in words, and how long it took until the connection was closed."""
    loop = asyncio.get_running_loop()
    verdicts: list[int] = []
    over = asyncio.Event()
    began = time.monotonic()
    sockets = Sockets(loop)
    probe = Probe(
        sockets,
        places,
        lambda verdict, _took: verdicts.append(verdict),
        over.set,
        message,
        Reading(expected) if message else None,
    )
    probe.start(timeout_s)
    await asyncio.wait_for(over.wait(), timeout_s + 5)
    took = time.monotonic() - began
    sockets.close()
    (verdict,) = verdicts
    return ("local" if verdict == LOCAL else why_text(verdict)), took


def answering(answer: bytes, pause_s: float = 0.0) -> Serve:
    async def serve(streams: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await streams.readuntil(b"\r\n\r\n")
        for at in range(0, len(answer), 30):
            writer.write(answer[at : at + 30])
            await asyncio.sleep(pause_s)
        writer.close()

    return serve


async def test_over_a_socket() -> None:
    async with serving(answering(OK)) as place:
        assert (await check(place))[0] == ""
        assert (await check(place, expected=GET._replace(body=b"nok")))[0] == "the body does not match"
    async with serving(answering(b"HTTP/1.1 200 OK\r\n\r\nsome more that comes later and in pieces", 0.05)) as place:
        assert (await check(place, expected=GET._replace(body=b"in pieces")))[0] == ""


async def test_an_answer_is_read_to_its_end() -> None:
    cut: list[str] = []

    async def serve(streams: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await streams.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 40000\r\n\r\n")
        try:
            for _ in range(4):
                await asyncio.sleep(0.02)
                writer.write(b"x" * 10_000)
                await writer.drain()
        except ConnectionError as error:
            cut.append(repr(error))
        writer.close()

    async with serving(serve) as place:
        verdict, took = await check(place)
    assert verdict == ""
    assert took >= 0.06
    assert cut == []


async def test_who_does_not_answer() -> None:
    async def hang(streams: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await streams.read()
        writer.close()

    async with serving(hang) as place:
        verdict, took = await check(place, timeout_s=0.3)
        assert verdict == "response_timeout"
        assert took > 0.29
        assert (await check(place, message=b""))[0] == "", "a connection is all that was wanted"

    async def leave(streams: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.transport.abort()

    async with serving(leave) as place:
        assert (await check(place))[0] in ("upstream_closed", "upstream_reset")


async def test_a_body_without_end_is_no_failure_and_ends() -> None:
    async def serve(streams: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        try:
            while True:
                writer.write(b"x" * 1000)
                await writer.drain()
                await asyncio.sleep(0.001)
        except ConnectionError:
            writer.close()

    async with serving(serve) as place:
        verdict, took = await check(place, timeout_s=2.0)
        assert verdict == ""
        assert took < 10


async def test_who_is_not_there() -> None:
    with socket.socket() as gone:
        gone.bind(("127.0.0.1", 0))
        nobody: Place = (socket.AF_INET, gone.getsockname())
        assert (await check(nobody))[0] == "connect_refused"
        assert (await check(nobody, message=b""))[0] == "connect_refused"
        async with serving(answering(OK)) as place:
            assert (await check(nobody, place))[0] == "", "the next address is tried"
    assert (await check())[0] == "no_endpoint"


@pytest.mark.parametrize("message", [REQUEST, b""])
async def test_a_full_backlog_is_a_connect_that_takes_too_long(message: bytes) -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        place = listener.getsockname()
        filling = [socket.socket() for _ in range(4)]
        try:
            for sock in filling:
                sock.setblocking(False)
                sock.connect_ex(place)
            verdict, took = await check((socket.AF_INET, place), message=message, timeout_s=0.4)
        finally:
            for sock in filling:
                sock.close()
    assert verdict == "connect_timeout"
    assert took < 10


async def test_a_unix_socket(tmp_path: Path) -> None:
    path = tmp_path / "s"
    place: Place = (socket.AF_UNIX, str(path).encode())
    assert (await check(place))[0] == "connect_refused", "nobody has made it"
    async with serving(answering(OK), path):
        assert (await check(place))[0] == ""
        assert (await check(place, message=b""))[0] == ""


@pytest.mark.parametrize("code", [errno.EMFILE, errno.ENOBUFS])
async def test_what_this_machine_lacks_says_nothing(code: int, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_arguments: object) -> socket.socket:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr("weir.control.probe.socket.socket", refuse)
    assert (await check((socket.AF_INET, ("127.0.0.1", 9))))[0] == "local"


async def test_closed_it_says_nothing() -> None:
    async def hang(streams: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await streams.read()
        writer.close()

    told: list[object] = []
    async with serving(hang) as place:
        sockets = Sockets(asyncio.get_running_loop())
        probe = Probe(
            sockets,
            [place],
            lambda *verdict: told.append(verdict),
            lambda: told.append("over"),
            REQUEST,
            Reading(GET),
        )
        probe.start(0.2)
        await asyncio.sleep(0.05)
        probe.close()
        await asyncio.sleep(0.3)
        sockets.close()
    assert told == []


def test_verdicts_have_numbers_of_their_own() -> None:
    assert not {int(word) for word in Why} & {int(word) for word in Reason}
    assert why(Reason.NONE) == 0
