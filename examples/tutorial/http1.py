"""What Go's net, bufio and net/http are to the deck: connections, heads and bodies of HTTP/1.

`asyncio.StreamReader` is the bufio.Reader, `asyncio.StreamWriter` the bufio.Writer; the rest is below. Everything
read is checked, and waited for no longer than TIMEOUT_S: what a stranger sends must neither confuse nor hold us.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import re
import signal
import socket
from collections.abc import AsyncIterator, Coroutine
from dataclasses import dataclass

TIMEOUT_S = 30  # for one head, and for each piece of a body
PIECE_BYTES = 65536
CHUNKED, UNTIL_CLOSE = -1, -2  # lengths of a body that its head does not give as a number

# Visible ASCII alone, so that a target can be printed as it is: nothing in it can move a terminal's cursor.
REQUEST_LINE = re.compile(r"(?!CONNECT )([A-Z]+) ([!-~]+) HTTP/1\.[01]")
STATUS_LINE = re.compile(r"HTTP/1\.[01] ([1-5]\d\d)( [^\x00-\x1f]*)?")
FIELD_LINE = re.compile(r"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*([^\x00\r\n]*)")
CHUNK_SIZE = re.compile(rb"([0-9A-Fa-f]{1,15})[ \t]*(;[^\r\n]*)?\r\n")

# These speak of one connection, not of the message, so they are not passed on (RFC 9110 section 7.6.1).
HOP_BY_HOP = {"connection", "keep-alive", "proxy-connection", "te", "upgrade"}
# And these are passed on though Connection names them: without its length, a body would be the next request.
END_TO_END = {"content-length", "host", "transfer-encoding"}

BAD_GATEWAY = b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"


class BadMessage(Exception):
    """The bytes that came are not HTTP, or end too early."""


@dataclass
class Stream:
    """A connection: where to read and where to write."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def send(self, data: bytes) -> None:
        """Write, and wait while the other side does not read: so nothing piles up here."""
        self.writer.write(data)
        async with asyncio.timeout(TIMEOUT_S):
            await self.writer.drain()

    def __enter__(self) -> Stream:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    async def is_idle(self) -> bool:
        """Whether all is quiet. If not, it was closed, or holds bytes that the next reader would take for an answer."""
        try:
            async with asyncio.timeout(0):
                await self.reader.read(1)
        except TimeoutError:
            return True
        except OSError:
            pass
        return False

    def close(self) -> None:
        self.writer.close()


async def accept(listener: socket.socket) -> AsyncIterator[Stream]:
    """Each connection that clients make, for ever."""
    while True:
        try:
            connection, _ = await asyncio.get_running_loop().sock_accept(listener)
        except OSError:  # no descriptor is left for it, or the client has gone already
            await asyncio.sleep(0.1)
        else:
            yield Stream(*await asyncio.open_connection(sock=connection))


async def dial(address: tuple[str, int]) -> Stream:
    async with asyncio.timeout(TIMEOUT_S):
        return Stream(*await asyncio.open_connection(*address))


@dataclass
class Head:
    """The start line and the field lines of a request or response."""

    start: str
    fields: list[tuple[str, str]]

    @property
    def path(self) -> str:
        """Of a request: its target without the query."""
        return self.start.split(" ")[1].partition("?")[0]

    @property
    def status(self) -> int:
        """Of a response."""
        return int(self.start.split(" ")[1])

    @property
    def version(self) -> str:
        words = self.start.split(" ")
        return words[0] if words[0].startswith("HTTP/") else words[-1]

    @property
    def keeps_alive(self) -> bool:
        """Whether who sent this means to go on using the connection: since HTTP/1.1, unless it says otherwise."""
        return self.version == "HTTP/1.1" and "close" not in self.connection_options

    @property
    def connection_options(self) -> set[str]:
        return {option.strip().lower() for value in self.all("connection") for option in value.split(",")}

    def all(self, name: str) -> list[str]:
        """The values of the fields of a name."""
        return [value for key, value in self.fields if key.lower() == name]

    def encode(self, *extra: str) -> bytes:
        """As it is passed on: without what was meant for us alone, with field lines of ours in place of theirs."""
        dropped = (
            HOP_BY_HOP | (self.connection_options - END_TO_END) | {line.partition(":")[0].lower() for line in extra}
        )
        start = re.sub("^HTTP/1.0", "HTTP/1.1", self.start)  # of a response: to the client it is we who speak
        lines = [f"{key}: {value}" for key, value in self.fields if key.lower() not in dropped]
        return "\r\n".join([start, *lines, *extra, "", ""]).encode("latin-1")


async def read_head(stream: Stream, start_line: re.Pattern[str]) -> Head | None:
    """The next head; None where the connection ends between two messages."""
    try:
        async with asyncio.timeout(TIMEOUT_S):
            raw = await stream.reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError as error:
        if not error.partial:
            return None
        raise BadMessage("the connection ended inside a head") from None
    except asyncio.LimitOverrunError:
        raise BadMessage("the head is longer than 64 KiB") from None
    start, *lines = raw.decode("latin-1").removesuffix("\r\n\r\n").split("\r\n")
    fields = [FIELD_LINE.fullmatch(line) for line in lines]
    if not start_line.fullmatch(start) or None in fields:
        raise BadMessage("the head is not HTTP/1")
    return Head(start, [(found[1], found[2].rstrip(" \t")) for found in fields if found])


async def read_request(stream: Stream) -> tuple[Head, int] | None:
    """The next request and the length of its body; None when the client has finished."""
    head = await read_head(stream, REQUEST_LINE)
    return None if head is None else (head, body_length(head, 0))


async def read_response(stream: Stream, request: Head) -> tuple[Head, int]:
    """The response to a request and the length of its body."""
    while head := await read_head(stream, STATUS_LINE):
        if head.status >= 200:
            has_body = not request.start.startswith("HEAD ") and head.status not in (204, 304)
            return head, body_length(head, UNTIL_CLOSE) if has_body else 0
    raise BadMessage("the backend closed the connection without a response")


def body_length(head: Head, otherwise: int) -> int:
    """How long a body is, by its head. Two answers to that are how requests are smuggled: they are refused."""
    codings, lengths = head.all("transfer-encoding"), head.all("content-length")
    if not codings and not lengths:
        return otherwise
    if not codings and len(lengths) == 1 and re.fullmatch(r"[0-9]{1,15}", lengths[0]):
        return int(lengths[0])
    if not lengths and [coding.lower() for coding in codings] == ["chunked"] and head.version == "HTTP/1.1":
        return CHUNKED
    raise BadMessage("the head does not say clearly how long the body is")


async def copy_body(source: Stream, target: Stream, length: int) -> int:
    """Pass a body on, piece by piece; returns its length in bytes, without the framing of chunks."""
    if length != CHUNKED:
        return await copy_bytes(source, target, length)
    copied = 0
    while size := await read_chunk_size(source):
        await target.send(b"%x\r\n" % size)
        copied += await copy_bytes(source, target, size)
        if await read_line(source) != b"\r\n":
            raise BadMessage("a chunk is not as long as it says")
        await target.send(b"\r\n")
    while await read_line(source) != b"\r\n":
        pass  # trailers, fields after the body: a proxy may drop them
    await target.send(b"0\r\n\r\n")
    return copied


async def copy_bytes(source: Stream, target: Stream, length: int) -> int:
    copied = 0
    while copied != length:
        async with asyncio.timeout(TIMEOUT_S):
            piece = await source.reader.read(PIECE_BYTES if length < 0 else min(PIECE_BYTES, length - copied))
        if not piece and length == UNTIL_CLOSE:
            break
        if not piece:
            raise BadMessage("the connection ended inside a body")
        await target.send(piece)
        copied += len(piece)
    return copied


async def read_chunk_size(source: Stream) -> int:
    found = CHUNK_SIZE.fullmatch(await read_line(source))
    if found is None:
        raise BadMessage("a chunk does not say how long it is")
    return int(found[1], 16)


async def read_line(source: Stream) -> bytes:
    try:
        async with asyncio.timeout(TIMEOUT_S):
            line = await source.reader.readline()
    except ValueError:
        raise BadMessage("a line is longer than 64 KiB") from None
    if not line.endswith(b"\n"):
        raise BadMessage("the connection ended inside a body")
    return line


def addresses(**defaults: str) -> list[tuple[str, int]]:
    """The addresses that a program uses: those of the deck, or what options of these names say."""
    parser = argparse.ArgumentParser(formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    for name, default in defaults.items():
        parser.add_argument(f"--{name}", default=default, type=address, metavar="HOST:PORT", help="address")
    return list(vars(parser.parse_args()).values())


def address(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    return host, int(port)


def listen(place: tuple[str, int]) -> socket.socket:
    """A listening socket; says where, since port 0 means any that is free."""
    listener = socket.create_server(place, backlog=1024)
    listener.setblocking(False)
    # For the connections that it accepts. Without it the kernel holds a body back until the client has acknowledged the
    # head, which clients do 40 ms late: 20 requests/s on a connection.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    print("listening on {}:{}".format(*listener.getsockname()[:2]), flush=True)
    return listener


def run(main: Coroutine[object, object, None]) -> None:
    """Like asyncio.run, but Ctrl-C and TERM end it with status 0."""

    async def until_signal() -> None:
        task = asyncio.current_task()
        assert task is not None
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, task.cancel)
        await main

    with contextlib.suppress(asyncio.CancelledError):
        asyncio.run(until_signal())
