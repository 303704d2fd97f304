"""Both directions flow at once, at the pace of the slower side, and nothing is held back."""

from __future__ import annotations

import contextlib
import threading
import time

import httpx
import pytest

from .conftest import MakeRig
from .peers import CLOSE, Link, chunked, ok
from .rig import Rig
from .servers import ASGI
from .wire import Truncated, Wire, eventually

pytestmark = pytest.mark.timeout(30)

MIB = 1 << 20
EVENT_LATENCY = 0.1  # s; in a proxy that buffers each event but the last waits for the next, which is later than this


def test_server_sent_events_arrive_at_once(town: Rig) -> None:
    delays = []
    with httpx.stream("GET", town.proxy.url("/events", ASGI), timeout=10) as response:
        for line in response.iter_lines():
            if line.startswith("data: "):
                delays.append(time.monotonic() - float(line.removeprefix("data: ")))
    assert len(delays) == 10
    print(f"event latency: max {max(delays) * 1000:.1f} ms, mean {sum(delays) / 10 * 1000:.1f} ms")
    # One may be late for want of a processor, not most of them.
    assert sorted(delays)[3] < EVENT_LATENCY


@pytest.mark.parametrize("framing", ["chunked", "close-delimited", "length"])
def test_every_framing_streams(plain: Rig, framing: str) -> None:
    """No piece waits for the next: that is sent when its client has it."""
    heads = {
        "chunked": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
        "close-delimited": b"HTTP/1.1 200 OK\r\n\r\n",
        "length": b"HTTP/1.1 200 OK\r\nContent-Length: 15\r\n\r\n",
    }
    pieces = [b"first", b"secnd", b"third"]
    arrived = threading.Semaphore(0)

    def script(link: Link) -> None:
        link.head()
        link.send(heads[framing])
        for piece in pieces:
            link.send(chunked(piece, last=b"") if framing == "chunked" else piece)
            assert arrived.acquire(timeout=10)
        link.send(chunked() if framing == "chunked" else b"")

    plain.endpoint.handle(script)
    client = plain.connect()
    client.send(b"GET /stream HTTP/1.1\r\nHost: test\r\n\r\n")
    assert client.head().status == 200
    for piece in pieces:
        while piece not in client.buffer:
            assert client.fill()
        arrived.release()
    eventually(lambda: b"0\r\n\r\n" in client.buffer or framing == "length" or not client.fill())


def test_the_answer_begins_while_the_upload_still_runs(plain: Rig) -> None:
    def script(link: Link) -> None:
        link.head()
        link.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        while (data := link.read_exactly(5)) != b"LAST.":
            link.send(chunked(data, last=b""))
        link.send(chunked())

    plain.endpoint.handle(script)
    client = plain.connect()
    client.send(b"POST /both HTTP/1.1\r\nHost: test\r\nContent-Length: 20\r\n\r\n")
    assert client.head().status == 200
    for piece in (b"one..", b"two..", b"three"):
        client.send(piece)
        assert client.read_until(b"\r\n") == b"5\r\n"
        assert client.read_exactly(7) == piece + b"\r\n"
    client.send(b"LAST.")
    assert client.read_exactly(5) == b"0\r\n\r\n"


def upload_until_answered(client: Wire, total: int) -> None:
    """Sends up to `total` bytes; stops when the other side will take no more."""
    client.send(b"POST /refused HTTP/1.1\r\nHost: test\r\nContent-Length: %d\r\n\r\n" % total)
    try:
        while client.sent < total:
            client.send(b"u" * 65_536)
    except (ConnectionError, TimeoutError):
        pass


@pytest.mark.parametrize("how", ["closes", "reads on", "stops reading"])
def test_an_early_answer_reaches_a_client_that_is_still_sending(plain: Rig, how: str) -> None:
    def script(link: Link) -> None:
        link.head()
        link.read_exactly(100_000)
        link.send(ok(b"too much", "Connection: close", status="413 Content Too Large"))
        if how == "reads on":
            link.read_to_end()
        elif how == "stops reading":
            time.sleep(1.0)

    plain.endpoint.handle(script)
    client = plain.connect(timeout=3)
    upload_until_answered(client, 30 * MIB)
    response = client.response("POST")
    assert (response.status, response.body) == (413, b"too much")


def test_a_limit_of_the_body_is_answered_while_the_client_sends(weir: MakeRig) -> None:
    rig = weir(listener={"max_body": "1MiB"})
    for announced in (True, False):
        client = rig.connect(timeout=5)
        framing = b"Content-Length: 31457280" if announced else b"Transfer-Encoding: chunked"
        client.send(b"POST /limit HTTP/1.1\r\nHost: test\r\n" + framing + b"\r\n\r\n")
        try:
            for _ in range(480):
                client.send(b"u" * 65_536 if announced else chunked(b"u" * 65_536, last=b""))
        except (ConnectionError, TimeoutError):
            pass
        response = client.response("POST")
        assert response.status == 413
        assert b"body_too_large" in response.body
    assert rig.ask(b"POST /fits HTTP/1.1\r\nHost: test\r\nContent-Length: 5\r\n\r\nhello", "POST").body == b"hello"


def test_a_client_that_does_not_read_stops_the_endpoint_not_the_memory(plain: Rig) -> None:
    total = 200 * MIB
    progress = [0]

    def script(link: Link) -> None:
        link.head()
        link.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % total)
        piece = memoryview(bytes(range(256)) * 4096)
        while progress[0] < total:
            progress[0] += link.sock.send(
                piece[progress[0] % 256 : MIB // 2 + progress[0] % 256][: total - progress[0]]
            )

    before = plain.proxy.memory("Rss")
    plain.proxy.forget_peak()
    plain.endpoint.handle(script)
    client = plain.connect(receive_buffer=65_536)
    client.send(b"GET /flood HTTP/1.1\r\nHost: test\r\n\r\n")
    assert client.head().status == 200
    eventually(lambda: progress[0] > 0)
    time.sleep(0.7)
    stalled_at = progress[0]
    time.sleep(0.3)
    assert progress[0] == stalled_at, "the endpoint is not held back"
    assert stalled_at < 32 * MIB
    left, at, matching = total - len(client.buffer), len(client.buffer) % 256, True
    expected = bytes(range(256)) * 4097
    while left:
        data = client.sock.recv(MIB)
        assert data
        matching = matching and data == expected[at : at + len(data)]
        at = (at + len(data)) % 256
        left -= len(data)
    grown = plain.proxy.peak_memory() - before
    print(f"slow reader: endpoint stalled after {stalled_at >> 20} MiB, memory grew by {grown >> 10} KiB")
    assert matching
    assert grown < 8 * MIB


def test_an_endpoint_that_does_not_read_stops_the_client_not_the_memory(plain: Rig) -> None:
    def script(link: Link) -> None:
        link.head()
        time.sleep(1.0)
        left = 100 * MIB - len(link.buffer)
        while left:
            left -= len(link.sock.recv(MIB))
        link.send(ok(b"all"))

    before = plain.proxy.memory("Rss")
    plain.proxy.forget_peak()
    plain.endpoint.handle(script)
    client = plain.connect()
    client.send(b"POST /flood HTTP/1.1\r\nHost: test\r\nContent-Length: %d\r\n\r\n" % (100 * MIB))
    client.sock.settimeout(0.3)
    sent = 0
    with contextlib.suppress(TimeoutError):
        while sent < 100 * MIB:
            sent += client.sock.send(b"u" * MIB)
    assert sent < 32 * MIB, "the client is not held back"
    client.sock.settimeout(8)
    while sent < 100 * MIB:
        sent += client.sock.send(b"u" * min(MIB, 100 * MIB - sent))
    assert client.response("POST").body == b"all"
    grown = plain.proxy.peak_memory() - before
    print(f"slow endpoint: memory grew by {grown >> 10} KiB")
    assert grown < 8 * MIB


def test_a_client_that_never_reads_is_let_go(weir: MakeRig) -> None:
    rig = weir(listener={"send_timeout": "400ms"})

    def script(link: Link) -> None:
        link.head()
        link.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (100 * MIB))
        with pytest.raises(OSError):
            link.send(bytes(100 * MIB))

    rig.endpoint.handle(script)
    client = rig.connect(receive_buffer=65_536)
    client.send(b"GET /stalled HTTP/1.1\r\nHost: test\r\n\r\n")
    assert rig.reason("/stalled") == "client_stalled"
    with pytest.raises(Truncated):
        client.response()


def test_a_stream_that_falls_silent_is_cut(weir: MakeRig) -> None:
    rig = weir(cluster={"stream_idle_timeout": "300ms"})
    rig.endpoint.reply(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf", 2.0, CLOSE)
    client = rig.connect()
    client.send(b"GET /silent HTTP/1.1\r\nHost: test\r\n\r\n")
    with pytest.raises(Truncated):
        client.response()
    assert rig.reason("/silent") == "stream_timeout"
