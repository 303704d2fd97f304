"""Five gigabytes each way: every byte in its place, memory flat."""

from __future__ import annotations

import os
import threading
import time
from array import array
from pathlib import Path

import pytest

from .peers import Link, chunked, ok
from .rig import Rig
from .wire import Wire

pytestmark = [pytest.mark.timeout(90), pytest.mark.heavy]

MIB = 1 << 20
TOTAL = 5 << 30
PERIOD = 16 * MIB  # bytes after which the pattern repeats: far more than any buffer on the way
GROWTH = 24 * MIB  # what weir may grow by, whatever passes


class Pattern:
    """A file of 8-byte counters, sent over and over by the kernel, and checked where it arrives."""

    def __init__(self, directory: Path) -> None:
        once = array("Q", range(PERIOD // 8)).tobytes()
        self.data = once + once[: 2 * MIB]
        self.path = directory / "pattern"
        self.path.write_bytes(once)

    def send(self, wire: Wire, total: int) -> None:
        wire.sock.settimeout(None)  # sendfile wants a blocking socket
        with self.path.open("rb") as file:
            sent = 0
            while sent < total:
                at = sent % PERIOD
                sent += os.sendfile(wire.sock.fileno(), file.fileno(), at, min(PERIOD - at, total - sent))

    def receive(self, wire: Wire, total: int) -> None:
        """Reads `total` bytes. The ends of each piece are compared, and every eighth piece as a whole."""
        buffer = bytearray(MIB)
        view = memoryview(buffer)
        held, wire.buffer = wire.buffer, b""
        assert held == self.data[: len(held)]
        received, pieces = len(held), 0
        while received < total:
            n = wire.sock.recv_into(view, min(MIB, total - received))
            assert n, f"ended after {received} of {total} bytes"
            at = received % PERIOD
            edge = min(64, n)
            assert view[:edge] == self.data[at : at + edge], f"wrong bytes at {received}"
            assert view[n - edge : n] == self.data[at + n - edge : at + n], f"wrong bytes before {received + n}"
            if pieces % 8 == 0:
                assert buffer.startswith(self.data[at : at + n]), f"wrong bytes after {received}"
            received += n
            pieces += 1


@pytest.fixture(scope="module")
def numbers(tmp_path_factory: pytest.TempPathFactory) -> Pattern:
    return Pattern(tmp_path_factory.mktemp("bulk"))


def report(rig: Rig, what: str, total: int, started: float, before: int) -> None:
    seconds = time.monotonic() - started
    grown = rig.proxy.peak_memory() - before
    print(f"{what}: {total >> 20} MiB in {seconds:.1f} s, {total / seconds / 1e9:.2f} GB/s, grew by {grown >> 10} KiB")
    assert grown < GROWTH


def test_five_gigabytes_down(plain: Rig, numbers: Pattern) -> None:
    def script(link: Link) -> None:
        link.head()
        link.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % TOTAL)
        numbers.send(link, TOTAL)

    plain.endpoint.handle(script)
    before, started = plain.proxy.memory("Rss"), time.monotonic()
    plain.proxy.forget_peak()
    client = plain.connect(timeout=30)
    client.send(b"GET /bulk-down HTTP/1.1\r\nHost: test\r\n\r\n")
    assert client.head().get("Content-Length") == str(TOTAL)
    numbers.receive(client, TOTAL)
    report(plain, "download", TOTAL, started, before)
    assert plain.proxy.logged(target="/bulk-down")[0]["reason"] == "none"


def test_five_gigabytes_up(plain: Rig, numbers: Pattern) -> None:
    def script(link: Link) -> None:
        assert link.head().get("Content-Length") == str(TOTAL)
        numbers.receive(link, TOTAL)
        link.send(ok(b"all of it"))

    plain.endpoint.handle(script)
    before, started = plain.proxy.memory("Rss"), time.monotonic()
    plain.proxy.forget_peak()
    client = plain.connect(timeout=30)
    client.send(b"POST /bulk-up HTTP/1.1\r\nHost: test\r\nContent-Length: %d\r\n\r\n" % TOTAL)
    numbers.send(client, TOTAL)
    client.sock.settimeout(30)
    assert client.response("POST").body == b"all of it"
    report(plain, "upload", TOTAL, started, before)


def test_half_a_gigabyte_both_ways_in_chunks(plain: Rig) -> None:
    piece = bytes(range(256)) * 4096
    count = 512

    def script(link: Link) -> None:
        link.head()
        link.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        while (size := int(link.read_until(b"\r\n"), 16)) > 0:
            data = link.read_exactly(size + 2)
            link.send(b"%x\r\n" % size + data)
        link.send(chunked())

    plain.endpoint.handle(script)
    before, started = plain.proxy.memory("Rss"), time.monotonic()
    plain.proxy.forget_peak()
    client = plain.connect(timeout=30)
    client.send(b"POST /bulk-chunked HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n")
    framed = chunked(piece, last=b"")

    def upload() -> None:
        for _ in range(count):
            client.send(framed)
        client.send(chunked())

    sender = threading.Thread(target=upload, daemon=True)
    sender.start()
    assert client.head().status == 200
    received = 0
    while (size := int(client.read_until(b"\r\n"), 16)) > 0:
        data = client.read_exactly(size + 2)
        at = received % 256
        assert data[:-2] == (piece + piece)[at : at + size]
        received += size
    sender.join(5)
    assert received == count * len(piece)
    report(plain, "chunked echo", 2 * received, started, before)
