"""Pieces of bodies, cut where their content has its joints: lines, Server-Sent Events, text to be replaced, gzip.

The pieces of a body come as the network cut them. What is here keeps no more than the part that is not whole yet, and
of that no more than a limit.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Final

__all__ = ["Event", "EventSplitter", "LineSplitter", "events", "gunzip", "lines", "replace_stream"]

MOST_BYTES: Final = 1_048_576
_LINE_END: Final = re.compile(rb"\r\n|\n|\r")
_EVENT_END: Final = re.compile(rb"(?:\r\n|\n|\r(?!\n)){2}")
_PIECE_BYTES: Final = 65_536


class LineSplitter:
    """Lines out of pieces: `feed(piece)` returns those that are whole, each with its end; `close()` what is left.

    A line ends with a line feed. ValueError for one of more than `limit` bytes.
    """

    def __init__(self, limit: int = MOST_BYTES) -> None:
        self._limit = limit
        self._held = bytearray()

    def feed(self, piece: bytes) -> list[bytes]:
        """The lines that are whole with this piece."""
        if b"\n" in piece:
            *found, left = _by_feed(bytes(self._held) + piece)
            self._held = bytearray(left)
        else:
            self._held += piece
            found = []
        if len(self._held) > self._limit or any(len(line) > self._limit for line in found):
            raise ValueError(f"a line of more than {self._limit} bytes")
        return found

    def close(self) -> list[bytes]:
        """The last line, if it has no end."""
        left, self._held = bytes(self._held), bytearray()
        return [left] if left else []


def _by_feed(data: bytes) -> list[bytes]:
    """Lines with their ends, and behind them what has none ("" too)."""
    parts = data.split(b"\n")
    return [part + b"\n" for part in parts[:-1]] + parts[-1:]


@dataclass(frozen=True)
class Event:
    """A Server-Sent Event (or a comment, or what else stands between two empty lines); `raw` is what was sent."""

    raw: bytes

    def _values(self, name: str) -> list[str]:
        values = []
        for line in _LINE_END.split(self.raw):
            key, _, value = line.partition(b":")
            if key.decode("utf-8", "replace") == name:
                values.append(value.removeprefix(b" ").decode("utf-8", "replace"))
        return values

    @cached_property
    def data(self) -> str:
        """Its data, of several lines joined by line feeds; "" if there is none."""
        return "\n".join(self._values("data"))

    @property
    def name(self) -> str:
        """Its type: "message" unless it says another."""
        values = self._values("event")
        return (values[-1] if values else "") or "message"

    @property
    def id(self) -> str:
        """Its id; "" if it has none."""
        values = self._values("id")
        return values[-1] if values else ""


class EventSplitter:
    """Server-Sent Events out of pieces: `feed(piece)` returns those that are whole, `close()` what is left.

    What they sent, `raw` after `raw`, is all that was fed. ValueError for one of more than `limit` bytes.
    """

    def __init__(self, limit: int = MOST_BYTES) -> None:
        self._limit = limit
        self._held = bytearray()

    def feed(self, piece: bytes) -> list[Event]:
        """The events that are whole with this piece."""
        held = self._held
        # An end may have begun in the last three bytes; nothing before them is looked at again.
        begin = max(len(held) - 3, 0)
        held += piece
        ends = [match.end() for match in _EVENT_END.finditer(held, begin)]
        if ends and ends[-1] == len(held) and held.endswith(b"\r"):
            ends.pop()  # a line feed may belong to it
        found = [Event(bytes(held[at:end])) for at, end in zip([0, *ends], ends, strict=False)]
        if ends:
            del held[: ends[-1]]
        if len(self._held) > self._limit or any(len(event.raw) > self._limit for event in found):
            raise ValueError(f"an event of more than {self._limit} bytes")
        return found

    def close(self) -> list[Event]:
        """What stands behind the last empty line."""
        left, self._held = bytes(self._held), bytearray()
        return [Event(left)] if left else []


async def lines(pieces: AsyncIterator[bytes], limit: int = MOST_BYTES) -> AsyncIterator[bytes]:
    """The lines of a body, each with its line feed (the last one may have none). ValueError for one that is longer
    than `limit`."""
    splitter = LineSplitter(limit)
    async for piece in pieces:
        for line in splitter.feed(piece):
            yield line
    for line in splitter.close():
        yield line


async def events(pieces: AsyncIterator[bytes], limit: int = MOST_BYTES) -> AsyncIterator[Event]:
    """The Server-Sent Events of a body; `event.raw` after `event.raw` is the body again. ValueError for one that is
    longer than `limit`."""
    splitter = EventSplitter(limit)
    async for piece in pieces:
        for event in splitter.feed(piece):
            yield event
    for event in splitter.close():
        yield event


def replace_stream(old: bytes, new: bytes) -> Callable[[bytes], bytes]:
    """A function for `transform()` that replaces `old` by `new`, also where it is cut in two; for one body.

    It holds back less than `old` is long. ValueError if `old` is empty.
    """
    if not old:
        raise ValueError("nothing is to be replaced")
    held = b""

    def replace(piece: bytes) -> bytes:
        nonlocal held
        if not piece:
            left, held = held, b""
            return left
        *done, rest = (held + piece).split(old)
        # The longest end that may be the beginning of `old`.
        at = next(
            (n for n in range(max(len(rest) - len(old) + 1, 0), len(rest)) if old.startswith(rest[n:])), len(rest)
        )
        held = rest[at:]
        return new.join([*done, rest[:at]])

    return replace


async def gunzip(pieces: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """The content of a body with `Content-Encoding: gzip` or `deflate`, in pieces of 64 KiB at most; take the field
    out of the response's headers. zlib.error, or EOFError, for what is not, or not all, of it."""
    unpacker = zlib.decompressobj(wbits=47)
    begun = False
    async for piece in pieces:
        while piece:
            if unpacker.eof:
                unpacker = zlib.decompressobj(wbits=47)  # gzip may have several members
            begun = True
            unpacked = unpacker.decompress(piece, _PIECE_BYTES)
            piece = unpacker.unused_data if unpacker.eof else unpacker.unconsumed_tail
            if unpacked:
                yield unpacked
    if begun and not unpacker.eof:
        raise EOFError("the compressed body has no end")
