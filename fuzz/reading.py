"""Messages read a second time, by other means than weir's: regular expressions and slices, slow and plain.

Fuzzing compares weir with these. They say what the grammar says and nothing about how it is scanned, so that one
mistake is unlikely to be made twice.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

__all__ = ["LINE", "TOKEN", "VALUE", "Chunks", "dechunk", "members", "split_lines"]

TOKEN = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"
VALUE = rb"[\t\x20-\x7e\x80-\xff]*"
LINE = TOKEN + rb":" + VALUE + rb"\r\n"

_CHUNK_HEADER = re.compile(rb"0*([0-9A-Fa-f]{1,15})(?:[ \t]*;" + VALUE + rb")?\r\n")
_TRAILERS = re.compile(rb"((?:" + LINE + rb")*)\r\n")
CHUNK_HEADER_LIMIT = 256
TRAILER_FIELDS = 100


@dataclass(frozen=True, slots=True)
class Chunks:
    """A chunked body: its payload, its trailer section without the empty line, and how many bytes it took."""

    payload: bytes
    trailers: bytes
    length: int
    complete: bool


def dechunk(data: bytes) -> Chunks:
    """Reads the chunked body that `data` begins with (RFC 9112 section 7.1), as far as it goes."""
    at = 0
    payload = b""
    while header := _CHUNK_HEADER.match(data, at):
        if len(header[0]) > CHUNK_HEADER_LIMIT:
            break
        at = header.end()
        size = int(header[1], 16)
        if size == 0:
            trailers = _TRAILERS.match(data, at)
            if trailers is None or trailers[1].count(b"\r\n") > TRAILER_FIELDS:
                break
            return Chunks(payload, trailers[1], trailers.end(), True)
        payload += data[at : at + size]
        at += size
        if data[at : at + 2] != b"\r\n":
            break
        at += 2
    return Chunks(payload, b"", at, False)


def members(values: list[bytes]) -> list[bytes]:
    """The members of a list field of some lines, in lower case; parameters stay."""
    return [member.strip(b" \t").lower() for value in values for member in value.split(b",") if member.strip(b" \t")]


def split_lines(head: bytes) -> list[bytes]:
    """The lines of a whole head, its start line first, without the empty line and one before it."""
    assert head.endswith(b"\r\n\r\n"), "a head ends with an empty line"
    return head.removeprefix(b"\r\n")[:-4].split(b"\r\n")
