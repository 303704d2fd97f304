"""Heads in and out of the composer, for the tests of fields and host."""

from __future__ import annotations

from weir.plane.fields import ForwardedPolicy
from weir.plane.parsers import forward_request

__all__ = ["lines_of", "message", "plain", "request"]


def message(start: bytes, *lines: bytes) -> bytes:
    """A head of these lines."""
    return start + b"\r\n" + b"".join(line + b"\r\n" for line in lines) + b"\r\n"


def request(*lines: bytes, start: bytes = b"GET /x?y HTTP/1.1", host: bytes | None = b"a.b") -> bytes:
    """The head of a request, with Host first unless it is None."""
    return message(start, *([] if host is None else [b"Host: " + host]), *lines)


def lines_of(head: bytes) -> list[bytes]:
    """The lines of a whole head, without the empty one."""
    assert head.endswith(b"\r\n\r\n")
    return head[:-4].split(b"\r\n")


def plain(data: bytes, host: bytes = b"") -> list[bytes]:
    """The lines that go on when weir has nothing to say itself."""
    return lines_of(forward_request(data, forwarded=ForwardedPolicy.FWD_KEEP, via=False, host=host))
