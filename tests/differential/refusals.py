"""Which endpoints refuse what weir passes on, and why that is harmless: the whole list.

An endpoint may refuse what it likes; it is answered to the client, and the next request goes on another
connection. What it may not do is take the bytes for something else, and there is no row for that.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from .endpoints import Request

__all__ = ["REFUSALS", "Refuses", "refuses"]


@dataclass(frozen=True)
class Refuses:
    """`endpoints` refuse a request for which `when` holds; `example` is one of the catalogue."""

    endpoints: tuple[str, ...]
    when: Callable[[Request, bytes], bool]
    example: str
    why: str


def _method(pattern: str) -> Callable[[Request, bytes], bool]:
    return lambda request, _: bool(re.fullmatch(pattern, request[0]))


def _head(test: Callable[[bytes], bool]) -> Callable[[Request, bytes], bool]:
    """A test of the message's head as it was sent; the marker behind it has a head of its own."""
    return lambda request, data: request[2] != "marker" and test(data.partition(b"\r\n\r\n")[0])


METHODS = (
    "RFC 9110 section 9.1: a method is a token, case-sensitive, and section 15.6.2 has the endpoint say (501) "
    "which it does not know. These say 400."
)
LIMITS = "A limit of the endpoint's own that is lower than weir's (RFC 9112 section 3, RFC 9110 section 5.4: 414, 431)."
# Of the methods in the catalogue, those that llhttp knows.
LLHTTP = "(?!(GET|POST|HEAD|PUT|DELETE|OPTIONS|PATCH|PROPFIND|M-SEARCH)$).*"

REFUSALS = [
    Refuses(("nginx",), _method(".*[^A-Z_-].*"), "method b'get'", METHODS),
    Refuses(("gunicorn",), _method(".*[a-z#].*|.{1,2}|.{21,}"), "method b'X'", METHODS),
    Refuses(("uvicorn with httptools", "node"), _method(LLHTTP), "method b'DESCRIBE'", METHODS),
    Refuses(("haproxy",), _method("PRI"), "method b'PRI'", METHODS),
    Refuses(
        ("nginx",),
        lambda request, _: request[1] == "*",
        "absolute in OPTIONS",
        'RFC 9112 section 3.2.4 has a proxy send "*" for an OPTIONS request whose target has no path; nginx serves '
        'no "*".',
    ),
    Refuses(
        ("nginx",),
        lambda request, _: bool(re.search("%(?![0-9A-Fa-f]{2})|%00", request[1].partition("?")[0])),
        "target b'/%00%zz%'",
        "nginx decodes the path to find a location. Weir does not look into it, as RFC 9110 section 4.2.3 advises.",
    ),
    Refuses(("gunicorn",), lambda request, _: len(request[1]) > 4050, "long target", LIMITS),
    Refuses(("gunicorn",), _head(lambda head: max(map(len, head.split(b"\r\n"))) > 8190), "long value", LIMITS),
    Refuses(("node",), _head(lambda head: len(head) > 16_000), "long value", LIMITS),
    Refuses(("haproxy",), _head(lambda head: bool(re.search(rb"\r\n[^:\r\n]{256,}:", head))), "long name", LIMITS),
]


def refuses(endpoint: str, request: Request, data: bytes) -> bool:
    """Whether a row says that the endpoint refuses this request, which was in `data`."""
    return any(endpoint in row.endpoints and row.when(request, data) for row in REFUSALS)
