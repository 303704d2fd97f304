from __future__ import annotations

import pytest

from tests.plane.feed import refusal
from weir.plane.framing import BodyKind
from weir.plane.head import Method
from weir.plane.parsers import request_framing, response_framing
from weir.reasons import Reason

NONE, LENGTH, CHUNKED, CLOSE, TUNNEL = (
    BodyKind.B_NONE, BodyKind.B_LENGTH, BodyKind.B_CHUNKED, BodyKind.B_CLOSE, BodyKind.B_TUNNEL,
)  # fmt: skip
GET, HEAD = Method.M_GET, Method.M_HEAD
BIGGEST = 2**63 - 1


def request(*lines: bytes, version: bytes = b"1.1") -> bytes:
    return b"POST / HTTP/" + version + b"\r\n" + b"".join(line + b"\r\n" for line in lines) + b"\r\n"


def response(status: int, *lines: bytes, version: bytes = b"1.1") -> bytes:
    start = b"HTTP/" + version + b" " + str(status).encode() + b" x\r\n"
    return start + b"".join(line + b"\r\n" for line in lines) + b"\r\n"


@pytest.mark.parametrize(
    ("lines", "kind", "length", "has_length"),
    [
        ([], NONE, 0, False),
        ([b"Content-Length: 0"], LENGTH, 0, True),
        ([b"content-length: 5"], LENGTH, 5, True),
        ([b"Content-Length:  00042\t"], LENGTH, 42, True),
        ([b"Content-Length: " + str(BIGGEST).encode()], LENGTH, BIGGEST, True),
        ([b"Content-Length: " + b"0" * 100 + b"7"], LENGTH, 7, True),
        ([b"Transfer-Encoding: chunked"], CHUNKED, 0, False),
        ([b"transfer-encoding:\tChunKED "], CHUNKED, 0, False),
    ],
)
def test_request_bodies(lines: list[bytes], kind: int, length: int, has_length: bool) -> None:
    assert request_framing(request(*lines)) == (kind, length, has_length, True)


BAD_LENGTHS = [
    b"", b"5,5", b"5, 5", b"+5", b"-5", b"-0", b"5 5", b"0x5", b"5.", b"5.0", b"5e1", b"five", b"\xb2", b"5;a", b'"5"',
    str(BIGGEST + 1).encode(), str(2**64).encode(), str(2**64 + 5).encode(), b"9" * 40, b",5", b"5,",
]  # fmt: skip
# Not well-formed, not ended by the one chunked, or with something that changes what it says.
BAD_CODINGS = [
    b"", b"gzip", b"identity", b"chunked, gzip", b"chunked, chunked", b"chunked,chunked", b"gzip, chunked, chunked",
    b"chunked, gzip, chunked", b"chunked;a=b", b"gzip;q=1, chunked", b"chunked,", b",chunked", b", chunked",
    b"gzip,,chunked", b"gzip chunked", b"chunked chunked", b'"chunked"', b"xchunked", b"chunkedx",
    b"gzip, chunked;q=1", b"chu nked", b"chunk\xe9d",
]  # fmt: skip
UNSUPPORTED_CODINGS = [
    b"gzip, chunked",
    b"gzip,chunked",
    b"identity, chunked",
    b"a , b\t,\tCHUNKED",
    b"x-gzip, chunked",
]


@pytest.mark.parametrize("value", BAD_LENGTHS)
def test_bad_lengths(value: bytes) -> None:
    line = b"Content-Length: " + value
    assert refusal(request_framing, request(line)) == Reason.BAD_FRAMING
    for status in (200, 204, 304, 103):
        for method in (GET, HEAD):
            assert refusal(response_framing, response(status, line), method) == Reason.BAD_RESPONSE_FRAMING


@pytest.mark.parametrize("value", BAD_CODINGS)
def test_bad_codings(value: bytes) -> None:
    line = b"Transfer-Encoding: " + value
    assert refusal(request_framing, request(line)) == Reason.BAD_FRAMING
    for status in (200, 204, 304, 103):
        for method in (GET, HEAD):
            assert refusal(response_framing, response(status, line), method) == Reason.BAD_RESPONSE_FRAMING


@pytest.mark.parametrize("value", UNSUPPORTED_CODINGS)
def test_unsupported_codings(value: bytes) -> None:
    line = b"Transfer-Encoding: " + value
    assert refusal(request_framing, request(line)) == Reason.UNSUPPORTED_CODING
    assert refusal(response_framing, response(200, line), GET) == Reason.BAD_RESPONSE_FRAMING


@pytest.mark.parametrize(
    "lines",
    [
        [b"Content-Length: 5", b"Content-Length: 5"],
        [b"Content-Length: 5", b"content-length: 6"],
        [b"Content-Length: 5", b"Transfer-Encoding: chunked"],
        [b"Transfer-Encoding: chunked", b"Content-Length: 5"],
        [b"Transfer-Encoding: chunked", b"Transfer-Encoding: chunked"],
        [b"Transfer-Encoding: gzip", b"Transfer-Encoding: chunked"],
        [b"Transfer-Encoding: identity", b"Content-Length: 5"],
        [b"Transfer-Encoding: gzip, chunked", b"Content-Length: 5"],
    ],
)
def test_two_ways_to_read_it(lines: list[bytes]) -> None:
    assert refusal(request_framing, request(*lines)) == Reason.BAD_FRAMING
    assert refusal(response_framing, response(200, *lines), GET) == Reason.BAD_RESPONSE_FRAMING


def test_transfer_encoding_in_http_1_0() -> None:
    line = b"Transfer-Encoding: chunked"
    assert refusal(request_framing, request(line, version=b"1.0")) == Reason.BAD_FRAMING
    assert refusal(response_framing, response(200, line, version=b"1.0"), GET) == Reason.BAD_RESPONSE_FRAMING


@pytest.mark.parametrize(
    ("status", "method", "lines", "kind", "length", "has_length", "keep_alive"),
    [
        (200, GET, [b"Content-Length: 5"], LENGTH, 5, True, True),
        (200, GET, [b"Transfer-Encoding: chunked"], CHUNKED, 0, False, True),
        (200, GET, [], CLOSE, 0, False, False),
        (500, GET, [], CLOSE, 0, False, False),
        (200, HEAD, [], NONE, 0, False, True),
        (200, HEAD, [b"Content-Length: 5"], NONE, 5, True, True),
        (200, HEAD, [b"Transfer-Encoding: chunked"], NONE, 0, False, True),
        (304, GET, [b"Content-Length: 5"], NONE, 5, True, True),
        (304, GET, [], NONE, 0, False, True),
        (204, GET, [], NONE, 0, False, True),
        (204, GET, [b"Content-Length: 5"], NONE, 0, False, True),
        (204, GET, [b"Transfer-Encoding: chunked"], NONE, 0, False, True),
        (100, GET, [], NONE, 0, False, True),
        (103, HEAD, [b"Content-Length: 5"], NONE, 0, False, True),
        (205, GET, [b"Content-Length: 0"], LENGTH, 0, True, True),
        (200, Method.M_CONNECT, [b"Content-Length: 5"], LENGTH, 5, True, True),
    ],
)
def test_response_bodies(
    status: int, method: int, lines: list[bytes], kind: int, length: int, has_length: bool, keep_alive: bool
) -> None:
    assert response_framing(response(status, *lines), method) == (kind, length, has_length, keep_alive)


def test_switching_protocols() -> None:
    switching = response(101, b"Upgrade: x")
    assert response_framing(switching, GET, True) == (TUNNEL, 0, False, False)
    assert refusal(response_framing, switching, GET, False) == Reason.BAD_RESPONSE
    assert refusal(response_framing, response(101), GET, True) == Reason.BAD_RESPONSE, "it does not say to what"


@pytest.mark.parametrize(
    ("version", "lines", "keep_alive"),
    [
        (b"1.1", [], True),
        (b"1.1", [b"Connection: close"], False),
        (b"1.1", [b"Connection: x, CLOSE"], False),
        (b"1.1", [b"Connection: keep-alive"], True),
        (b"1.1", [b"Connection: keep-alive", b"a: b", b"Connection: close"], False),
        (b"1.1", [b"Connection: closed"], True),
        (b"1.0", [], False),
        (b"1.0", [b"Connection: Keep-Alive"], True),
        (b"1.0", [b"Connection: x", b"Connection: y, keep-alive"], True),
        (b"1.0", [b"Connection: keep-alive, close"], False),
        (b"1.0", [b"Keep-Alive: timeout=5"], False),
    ],
)
def test_keep_alive(version: bytes, lines: list[bytes], keep_alive: bool) -> None:
    assert request_framing(request(*lines, version=version))[3] is keep_alive
    assert response_framing(response(200, b"Content-Length: 0", *lines, version=version), GET)[3] is keep_alive
