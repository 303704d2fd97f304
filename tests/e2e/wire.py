"""HTTP/1 messages read byte-exactly off a socket: what the scripted peers of both sides are made of.

This reader is deliberately independent of weir: it judges what weir sends. It takes nothing for granted
and never repairs: what is not well-formed raises `Malformed`, what ends too early raises `Truncated`.
"""

from __future__ import annotations

import contextlib
import os
import socket
import struct
import time
from collections.abc import Callable
from dataclasses import dataclass, field

__all__ = ["Head", "Malformed", "Message", "Truncated", "Wire", "eventually"]

# How many times as long something may take, in a build that takes its time (make sanitize).
PATIENCE = float(os.environ.get("WEIR_PATIENCE", "1"))
DEADLINE = 8.0 * PATIENCE  # s: how long a read waits for the other side; far above anything that weir may need


class Malformed(Exception):
    """The bytes read are not HTTP."""


class Truncated(Exception):
    """The stream ended, or broke, in the middle of a message. `got` is what had arrived of it."""

    def __init__(self, why: str, got: bytes = b"") -> None:
        super().__init__(f"{why} after {len(got)} bytes: {got[-200:]!r}")
        self.got = got


@dataclass
class Head:
    """A message head: its start line, its field lines in order, and its exact bytes."""

    start: str
    fields: list[tuple[str, str]]
    raw: bytes

    def all(self, name: str) -> list[str]:
        """The values of every field line called `name`, whatever its case."""
        return [value for key, value in self.fields if key.lower() == name.lower()]

    def get(self, name: str) -> str | None:
        """The only value of `name`, or None; several are an error of the test's subject."""
        values = self.all(name)
        assert len(values) < 2, f"{name} occurs {len(values)} times in {self.raw!r}"
        return values[0] if values else None

    @property
    def status(self) -> int:
        return int(self.start.split(" ", 2)[1])

    @property
    def method(self) -> str:
        return self.start.split(" ", 1)[0]

    @property
    def target(self) -> str:
        return self.start.split(" ")[1]


@dataclass
class Message:
    """A whole message. `body` is without chunk framing, `framed` as it came."""

    head: Head
    body: bytes = b""
    framed: bytes = b""
    trailers: list[tuple[str, str]] = field(default_factory=list)
    interim: list[Head] = field(default_factory=list)
    link: int = 0  # number of the connection at the endpoint that it came on

    @property
    def status(self) -> int:
        return self.head.status

    @property
    def raw(self) -> bytes:
        return self.head.raw + self.framed


def eventually(predicate: Callable[[], object], timeout: float = 10.0, what: str = "") -> None:
    """Waits until `predicate()` is true; AssertionError when it is not within `timeout` seconds."""
    deadline = time.monotonic() + timeout * PATIENCE
    while not predicate():
        assert time.monotonic() < deadline, f"not within {timeout} s: {what or predicate}"
        time.sleep(0.004)


def parse_head(raw: bytes) -> Head:
    lines = raw.decode("latin-1").removesuffix("\r\n\r\n").split("\r\n")
    fields: list[tuple[str, str]] = []
    for line in lines[1:]:
        name, colon, value = line.partition(":")
        if not colon or not name or name != name.strip():
            raise Malformed(f"field line {line!r}")
        fields.append((name, value.strip(" \t")))
    return Head(lines[0], fields, raw)


class Wire:
    """A connected stream socket with a read buffer. `sent` and `received` count bytes."""

    def __init__(self, sock: socket.socket, timeout: float = DEADLINE) -> None:
        self.sock = sock
        self.buffer = b""
        self.sent = 0
        self.received = 0
        self.broken = False
        sock.settimeout(timeout)

    def __enter__(self) -> Wire:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # -- bytes

    def send(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            n = self.sock.send(view)
            self.sent += n
            view = view[n:]

    def fill(self) -> bool:
        """Reads once into the buffer. False at the end of the stream; ConnectionError when it broke."""
        data = self.sock.recv(262_144)
        self.received += len(data)
        self.buffer += data
        return bool(data)

    def read_until(self, mark: bytes) -> bytes:
        searched = 0
        while (at := self.buffer.find(mark, max(0, searched - len(mark)))) < 0:
            searched = len(self.buffer)
            self.fill_or_truncated()
        return self.take(at + len(mark))

    def read_exactly(self, n: int) -> bytes:
        if n - len(self.buffer) > 1_000_000:
            return self.read_large(n)
        while len(self.buffer) < n:
            self.fill_or_truncated()
        return self.take(n)

    def read_large(self, n: int) -> bytes:
        """As read_exactly, without joining the buffer at each read."""
        pieces, left = [self.buffer], n - len(self.buffer)
        self.buffer = b""
        while left:
            try:
                data = self.sock.recv(min(left, 1_048_576))
            except ConnectionError as error:
                raise Truncated(repr(error), b"".join(pieces)) from error
            if not data:
                raise Truncated("stream ended", b"".join(pieces))
            pieces.append(data)
            left -= len(data)
            self.received += len(data)
        return b"".join(pieces)

    def read_to_end(self) -> bytes:
        """Everything up to a clean end of the stream; Truncated when it breaks."""
        pieces = [self.buffer]
        self.buffer = b""
        try:
            while data := self.sock.recv(1_048_576):
                pieces.append(data)
                self.received += len(data)
        except ConnectionError as error:
            raise Truncated(repr(error), b"".join(pieces)) from error
        return b"".join(pieces)

    def take(self, n: int) -> bytes:
        data, self.buffer = self.buffer[:n], self.buffer[n:]
        return data

    def fill_or_truncated(self) -> None:
        try:
            alive = self.fill()
        except ConnectionError as error:
            raise Truncated(repr(error), self.buffer) from error
        if not alive:
            raise Truncated("stream ended", self.buffer)

    # -- messages

    def head(self) -> Head:
        return parse_head(self.read_until(b"\r\n\r\n"))

    def request(self) -> Message | None:
        """The next request, or None when the stream ends cleanly before its first byte."""
        if not self.buffer and not self.fill():
            return None
        message = Message(self.head())
        self.read_body(message)
        return message

    def response(self, method: str = "GET") -> Message:
        """The next final response (101 counts as final), with the interim ones before it."""
        interim: list[Head] = []
        while (head := self.head()).status < 200 and head.status != 101:
            interim.append(head)
        message = Message(head, interim=interim)
        if method != "HEAD" and head.status not in (101, 204, 304):
            if head.get("Transfer-Encoding") is None and head.get("Content-Length") is None:
                message.body = message.framed = self.read_to_end()
            else:
                self.read_body(message)
        return message

    def read_body(self, message: Message) -> None:
        """Reads a body that Content-Length or Transfer-Encoding announces; none when neither does."""
        coding = message.head.get("Transfer-Encoding")
        length = message.head.get("Content-Length")
        if coding is not None:
            if coding.lower() != "chunked" or length is not None:
                raise Malformed(f"framing of {message.head.raw!r}")
            self.read_chunked(message)
        elif length is not None:
            message.body = message.framed = self.read_exactly(int(length))

    def read_chunked(self, message: Message) -> None:
        bodies: list[bytes] = []
        frames: list[bytes] = []
        while True:
            line = self.read_until(b"\r\n")
            frames.append(line)
            size = int(line.split(b";")[0].strip(), 16)
            if size == 0:
                break
            data = self.read_exactly(size + 2)
            if data[-2:] != b"\r\n":
                raise Malformed(f"chunk of {size} bytes ends with {data[-2:]!r}")
            bodies.append(data[:-2])
            frames.append(data)
        while (line := self.read_until(b"\r\n")) != b"\r\n":
            frames.append(line)
            name, _, value = line.decode("latin-1").partition(":")
            message.trailers.append((name, value.strip()))
        message.body = b"".join(bodies)
        message.framed = b"".join(frames) + b"\r\n"

    # -- ends

    def half_close(self) -> None:
        self.sock.shutdown(socket.SHUT_WR)

    def close(self) -> None:
        if not self.broken:
            # Not only close(): a thread that waits in recv() on this socket would keep it open.
            with contextlib.suppress(OSError):
                self.sock.shutdown(socket.SHUT_RDWR)
        self.sock.close()

    def reset(self) -> None:
        """Breaks the connection with RST; with it go the bytes that the other side has not read yet."""
        self.broken = True
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        with contextlib.suppress(OSError):
            self.sock.shutdown(socket.SHUT_RD)  # tells the other side nothing, but wakes a thread in recv()
        self.sock.close()

    def ended(self, timeout: float = 3.0) -> bool:
        """True when the other side closes or resets within `timeout`, having sent nothing more."""
        self.sock.settimeout(timeout * PATIENCE)
        try:
            return not self.buffer and not self.fill()
        except ConnectionError:
            return not self.buffer
        except TimeoutError:
            return False

    def silent(self, seconds: float) -> bool:
        """True when nothing arrives, and nothing ends, for `seconds`."""
        before = self.sock.gettimeout()
        self.sock.settimeout(seconds)
        try:
            self.fill()
        except TimeoutError:
            return not self.buffer
        except ConnectionError:
            return False
        finally:
            self.sock.settimeout(before)
        return False
