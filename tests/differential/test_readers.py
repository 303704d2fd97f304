"""Other readers of the same bytes: whatever comes in, weir refuses it, or each reader that takes it takes it the same.

`make differential` runs the same checks for as long as one likes.
"""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings

from .differences import DIFFERENCES, Difference, explain, matches
from .forwarded import misread
from .messages import REQUESTS, RESPONSES
from .readings import REFERENCES, Reading, Refusal, read_weir

# The same examples each time: what is new is looked for by `make differential`. One costs some milliseconds.
SHORT = settings(max_examples=500, derandomize=True, deadline=None, suppress_health_check=list(HealthCheck))


def check(data: bytes, asked: bytes = b"") -> None:
    """All that these tests ask of one message."""
    reading = read_weir(data, asked)
    for name, read in REFERENCES.items():
        trouble = explain(name, data, reading, read(data, asked))
        assert trouble is None, f"{data!r}\nweir: {reading}\n{trouble}"
    if isinstance(reading, Reading) and reading.end is not None:
        trouble = misread(data, asked, reading)
        assert trouble is None, f"{data!r}\nweir: {reading}\n{trouble}"


def check_response(data: bytes) -> None:
    for asked in (b"GET", b"HEAD"):
        check(data, asked)


@SHORT
@given(REQUESTS)
def test_requests(data: bytes) -> None:
    check(data)


@SHORT
@given(RESPONSES)
def test_responses(data: bytes) -> None:
    check_response(data)


@pytest.mark.parametrize("cut", range(1, 5))
@pytest.mark.parametrize("field", [b"Transfer-Encoding: gzip", b"Content-Length: x", b"X: y\r\nContent-Length: 3"])
def test_trailers_that_are_not_whole(field: bytes, cut: int) -> None:
    """A reader may refuse a trailer that weir drops before the trailers have ended."""
    body = b"Transfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n" + field + b"\r\n\r\n"
    check(b"POST / HTTP/1.1\r\nHost: a\r\n" + body[:-cut])
    check_response(b"HTTP/1.1 200 OK\r\n" + body[:-cut])


@pytest.mark.parametrize("row", DIFFERENCES, ids=lambda row: f"{row.reference}-{row.example[:60]!r}")
def test_every_listed_difference_is_still_there(row: Difference) -> None:
    weir = read_weir(row.example, row.asked)
    other = REFERENCES[row.reference](row.example, row.asked)
    assert matches(row, weir, other, row.example), f"weir: {weir}\n{row.reference}: {other}"


def test_the_readers_can_disagree() -> None:
    """The comparison itself notices each kind of disagreement: what it finds nothing in is not for want of looking."""
    data = b"POST / HTTP/1.1\r\nHost: a\r\nX: y\r\nContent-Length: 3\r\n\r\nabc"
    for name, read in REFERENCES.items():
        reading = read(data, b"")
        assert isinstance(reading, Reading)
        assert explain(name, data, read_weir(data), reading) is None
        for other in (data.replace(b"3", b"2"), data.replace(b"POST", b"PUT"), data.replace(b"a\r", b"b\r")):
            assert explain(name, data, read_weir(data), read(other, b"")) is not None
        assert explain(name, data, read_weir(data), Refusal("whatever")) is not None
        assert explain(name, data, None, reading) is not None
    reading = read_weir(data)
    assert isinstance(reading, Reading)
    assert misread(data, b"", reading) is None
    for wrong in (replace(reading, body=b"abd"), replace(reading, start=(b"POST", b"/x")), replace(reading, fields=())):
        assert misread(data + b"abd", b"", wrong) is not None
