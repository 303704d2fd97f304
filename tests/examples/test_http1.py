"""Messages through each part of the tutorial: what `http1` is for, and what it refuses."""

from __future__ import annotations

import contextlib
import re
import signal
import socket
import threading
import time
from pathlib import Path

import pytest

from tests.cli.support import listening, running
from tests.e2e.peers import CLOSE, Endpoint, chunked, ok
from tests.e2e.servers import pattern
from tests.e2e.wire import Truncated, Wire, eventually
from tests.examples.support import ALL, CONCURRENT, StartPart, get


@pytest.mark.parametrize("name", ALL)
def test_files_come_through_as_they_are(start: StartPart, tmp_path: Path, name: str) -> None:
    site = tmp_path / "site"
    site.mkdir()
    for file, size in (("empty", 0), ("small", 1000), ("large", 3_000_000)):
        (site / file).write_bytes(pattern(size))
    with running(tmp_path, "files", str(site), "--listen", "127.0.0.1:0") as server:
        part = start(name, listening(server))
        for file in ("empty", "small", "large"):
            assert part.get(f"/{file}?x=1").body == (site / file).read_bytes()
        assert part.get("/none").status == 404
        head = part.ask(get("/small", method="HEAD"), "HEAD")
        assert (head.status, head.head.get("Content-Length")) == (200, "1000")
        eventually(lambda: len(part.log()) == 5)
        assert part.log() == ["/empty: 200", "/small: 200", "/large: 200", "/none: 404", "/small: 200"]
        assert server.stop() == 0


@pytest.mark.parametrize("name", ALL)
def test_bodies_pass_both_ways_with_either_framing(start: StartPart, endpoint: Endpoint, name: str) -> None:
    part = start(name)
    body = pattern(200_000)
    for sent in (
        get("/", f"Content-Length: {len(body)}", method="POST") + body,
        get("/", "Transfer-Encoding: chunked", method="POST")
        + chunked(body[:10], body[10:], last=b"0\r\nA: b\r\n\r\n"),
    ):
        assert part.ask(sent).body == body
    endpoint.reply(
        b"HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", chunked(body)
    )
    response = part.get()
    assert (response.body, response.interim) == (body, [])
    assert [request.body for request in endpoint.requests] == [body, body, b""]


@pytest.mark.parametrize("name", ALL)
def test_a_response_of_http_1_0_ends_with_its_connection(start: StartPart, endpoint: Endpoint, name: str) -> None:
    part = start(name)
    endpoint.reply(b"HTTP/1.0 200 OK\r\nServer: old\r\n\r\n", b"some", b"thing", CLOSE)
    for _ in range(2):
        response = part.get()
        assert (response.head.start, response.body) == ("HTTP/1.1 200 OK", b"something")
        assert response.head.get("Connection") == "close"
    assert len(endpoint.links) == 2


@pytest.mark.parametrize("name", ALL)
def test_what_concerns_one_connection_only_is_not_passed_on(start: StartPart, endpoint: Endpoint, name: str) -> None:
    part = start(name)
    endpoint.reply(ok(b"", "Keep-Alive: timeout=5", "Connection: X-Hop", "X-Hop: 1", "X-End: 2"))
    response = part.get("/", "Connection: X-Mine, upgrade", "X-Mine: 1", "Upgrade: websocket", "X-Yours: 2")
    [request] = endpoint.requests
    assert [request.head.get(field) for field in ("X-Mine", "Upgrade", "X-Yours")] == [None, None, "2"]
    assert [response.head.get(field) for field in ("X-Hop", "Keep-Alive", "X-End")] == [None, None, "2"]


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_whatever_is_going_on(
    start: StartPart, endpoint: Endpoint, name: str, number: signal.Signals
) -> None:
    part = start(name)
    waiting = threading.Event()
    endpoint.respond(lambda request: ok() if waiting.wait(20) or True else b"")
    try:
        with part.connect() as idle, part.connect() as busy:
            if name != "part1":
                busy.send(get("/never"))
                endpoint.wait_requests(1)
            part.end(number)
            for client in (idle, busy):
                assert client.ended()
    finally:
        waiting.set()
    with socket.socket() as probe:
        assert probe.connect_ex(part.listen) != 0


@pytest.mark.parametrize("name", ALL)
def test_a_body_keeps_its_length_whatever_connection_names(start: StartPart, endpoint: Endpoint, name: str) -> None:
    part = start(name)
    hidden = get("/hidden")
    named = "Connection: Content-Length, Transfer-Encoding, Host"
    part.ask(get("/1", f"Content-Length: {len(hidden)}", named, method="POST") + hidden)
    part.ask(get("/2", "Transfer-Encoding: chunked", named, method="POST") + chunked(hidden))
    assert [(request.head.target, request.body) for request in endpoint.requests] == [("/1", hidden), ("/2", hidden)]
    assert [request.head.get("Host") for request in endpoint.requests] == ["test", "test"]
    endpoint.reply(ok(hidden, named))
    assert part.get().body == hidden


@pytest.mark.parametrize("name", CONCURRENT)
def test_the_version_is_read_where_it_stands(start: StartPart, endpoint: Endpoint, name: str) -> None:
    part = start(name)
    with part.connect() as client:
        client.send(get("/HTTP/1.1", version="1.0"))
        assert client.response().head.get("Connection") == "close"
        assert client.ended()


REFUSED = {
    "no HTTP": b"hello\r\n\r\n",
    "two lengths": get("/", "Content-Length: 1", "Content-Length: 2", method="POST") + b"ab",
    "length and chunks": get("/", "Content-Length: 5", "Transfer-Encoding: chunked", method="POST") + b"0\r\n\r\n",
    "unknown coding": get("/", "Transfer-Encoding: gzip, chunked", method="POST") + b"0\r\n\r\n",
    "negative length": get("/", "Content-Length: -1", method="POST"),
    "escape in the target": get("/\x1b[2J"),
    "space before the colon": get("/", "Content-Length : 5", method="POST") + b"hello",
    "folded line": get("/", "A: b", " c"),
    "chunks of HTTP/1.0": get("/", "Transfer-Encoding: chunked", version="1.0", method="POST") + b"0\r\n\r\n",
    "empty length": get("/", "Content-Length:", method="POST"),
    "chunked twice": get("/", "Transfer-Encoding: chunked", "Transfer-Encoding: chunked", method="POST") + b"0\r\n\r\n",
    "a tunnel": get("test:443", method="CONNECT"),
    "bare line feed": get("/", "A: b\nContent-Length: 5"),
    "long head": get("/", "A: " + "x" * 100_000),
}


@pytest.mark.parametrize("name", ALL)
def test_what_is_no_clear_request_gets_no_further(start: StartPart, endpoint: Endpoint, name: str) -> None:
    part = start(name)
    for what, request in REFUSED.items():
        with part.connect() as client:
            with contextlib.suppress(ConnectionError):  # it need not wait for all of it
                client.send(request)
            assert client.ended(), what
    assert endpoint.requests == []
    assert part.get("/fine").status == 200
    assert len([line for line in part.log() if line.startswith("failed: BadMessage")]) == len(REFUSED)


BAD_CHUNKS = [b"5\r\nhelloX\r\n0\r\n\r\n", b"+5\r\nhello\r\n0\r\n\r\n", b"0x5\r\nhello\r\n0\r\n\r\n", b"-1\r\n\r\n"]


@pytest.mark.parametrize("name", ALL)
def test_chunks_that_are_none_end_the_connection(start: StartPart, name: str) -> None:
    part = start(name)
    for chunks in BAD_CHUNKS:
        with part.connect() as client:
            client.send(get("/", "Transfer-Encoding: chunked", method="POST") + chunks)
            assert client.ended(), chunks
    assert part.get("/fine").status == 200


@pytest.mark.parametrize("name", ALL)
def test_a_body_that_breaks_off_is_not_taken_for_whole(start: StartPart, endpoint: Endpoint, name: str) -> None:
    part = start(name)
    for response in (
        b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n",
    ):
        endpoint.reply(response, CLOSE)
        with pytest.raises(Truncated):
            part.get()
    endpoint.reply(ok(b"whole"))
    assert part.get().body == b"whole"


@pytest.mark.figures  # resident memory
@pytest.mark.parametrize("name", CONCURRENT)
def test_a_client_that_does_not_read_holds_up_the_backend(start: StartPart, endpoint: Endpoint, name: str) -> None:
    """Backpressure: what the client does not take stays with the backend, not in memory here."""
    part = start(name)
    body = bytes(64 << 20)
    endpoint.reply(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body), body)
    with part.connect() as client:
        client.send(get("/"))
        time.sleep(0.5)
        status = Path(f"/proc/{part.process.pid}/status").read_text()
        resident = re.search(r"VmRSS:\s+(\d+) kB", status)
        assert resident is not None
        assert int(resident[1]) < 48 << 10
        assert len(client.response().body) == len(body)


@pytest.mark.parametrize("name", CONCURRENT)
def test_a_body_does_not_wait_for_the_heads_acknowledgement(start: StartPart, endpoint: Endpoint, name: str) -> None:
    """Nagle's algorithm and delayed acknowledgements make 40 ms of each response that is written in two pieces."""
    part = start(name)
    endpoint.reply(ok(b"body"))

    def seconds_for_40(client: Wire) -> float:
        began = time.monotonic()
        for _ in range(40):
            client.send(get("/"))
            client.response()
        return time.monotonic() - began

    with part.connect() as client:
        # It would be 1.6 s each time; a busy machine takes its time as well, but hardly ten times.
        assert any(seconds_for_40(client) < 0.8 for _ in range(10))
