from __future__ import annotations

import time
from typing import Any

import h11
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.plane.feed import STEPS, refusal
from weir.plane.parsers import Refused, rechunk
from weir.reasons import Reason

LIMIT = 256
END = b"0\r\n\r\n"


def sent(data: bytes, **options: Any) -> bytes:
    """What goes on of the whole body `data`, after feeding it three ways with one result."""
    expected = rechunk(data, **options)
    assert expected[1] == len(data)
    assert expected[3]
    for step in STEPS:
        assert rechunk(data, step=step, **options) == expected, f"in pieces of {step}"
    for trailing in (b"\r\n", b"0\r\n\r\n", b"GET / HTTP/1.1\r\n", b"\x00"):
        assert rechunk(data + trailing, **options) == expected, f"before {trailing!r}"
    for end in range(min(len(data), 500)):
        assert not rechunk(data[:end], **options)[3]
    return expected[0]


def refused(data: bytes, **options: Any) -> Reason:
    """Why `data` is refused, whole and in pieces."""
    for step in STEPS:
        assert refusal(rechunk, data, step=step, **options) == Reason.BAD_CHUNK, f"in pieces of {step}"
    return refusal(rechunk, data, **options)


@pytest.mark.parametrize(
    "body",
    [
        END,
        b"5\r\nhello\r\n" + END,
        b"5\r\nhello\r\n6\r\n world\r\n" + END,
        b"1a\r\n" + b"x" * 26 + b"\r\n" + END,
        b"2\r\n\r\n\r\n" + END,
        b"5\r\n0\r\n\r\n\r\n" + END,
        b"1000\r\n" + b"\x00" * 4096 + b"\r\n" + END,
        b"1\r\na\r\n0\r\nX-Sum: 1\r\nServer-Timing: a\r\n\r\n",
    ],
)
def test_canonical_stays(body: bytes) -> None:
    assert sent(body) == body


@pytest.mark.parametrize(
    ("header", "canonical"),
    [
        (b"5\r\n", b"5\r\n"),
        (b"0005\r\n", b"5\r\n"),
        (b"0" * 200 + b"5\r\n", b"5\r\n"),
        (b"5;a\r\n", b"5\r\n"),
        (b'5;a=b;c="d;e"\r\n', b"5\r\n"),
        (b"5 \t;\ta = b \r\n", b"5\r\n"),
        (b"5;\r\n", b"5\r\n"),
        (b"5;\x80\xff\r\n", b"5\r\n"),
        (b"5;" + b"x" * (LIMIT - 4) + b"\r\n", b"5\r\n"),
    ],
)
def test_headers_become_canonical(header: bytes, canonical: bytes) -> None:
    assert sent(header + b"hello\r\n" + END) == canonical + b"hello\r\n" + END
    assert sent(b"5\r\nfirst\r\n" + header + b"hello\r\n" + header + b"again\r\n000;x\r\n\r\n") == (
        b"5\r\nfirst\r\n" + canonical + b"hello\r\n" + canonical + b"again\r\n" + END
    )


def test_upper_case_sizes() -> None:
    assert sent(b"1A\r\n" + b"x" * 26 + b"\r\n" + END) == b"1a\r\n" + b"x" * 26 + b"\r\n" + END


@pytest.mark.parametrize(
    "header",
    [
        b"\r\n", b";a\r\n", b" 5\r\n", b"\t5\r\n", b"5 \r\n", b"5\t\r\n", b"5 a\r\n", b"0x5\r\n", b"+5\r\n", b"-5\r\n",
        b"5,\r\n", b"g\r\n", b"5g\r\n", b"5\n", b"5;a\n", b"5\rx", b"5;a\rb\r\n", b"5;a\x00\r\n", b"5;a\x7f\r\n",
        b"5;\x1f\r\n", b"\n5\r\n", b"f" * 16 + b"\r\n", b"1" + b"0" * 15 + b"\r\n", b"0" * LIMIT + b"5\r\n",
        b"5;" + b"x" * (LIMIT - 3) + b"\r\n", b"5;" + b"x" * 1000, b"\x00\r\n", b"\xb2\r\n",
    ],
)  # fmt: skip
def test_bad_headers(header: bytes) -> None:
    assert refused(header + b"hello\r\n" + END) == Reason.BAD_CHUNK
    assert refused(b"1\r\na\r\n" + header + b"hello\r\n" + END) == Reason.BAD_CHUNK


@pytest.mark.parametrize(
    "data", [b"5\r\nhello\n", b"5\r\nhellox", b"5\r\nhello\rx", b"5\r\nhello0\r\n", b"5\r\nhello" + END]
)
def test_bad_ends_of_data(data: bytes) -> None:
    assert refused(data + b"\r\n" + END) == Reason.BAD_CHUNK


def test_the_largest_size() -> None:
    body, consumed, payload, done = rechunk(b"f" * 15 + b"\r\nabc")
    assert (body, consumed, payload, done) == (b"f" * 15 + b"\r\nabc", 20, 3, False)


def test_what_was_good_is_told_apart() -> None:
    with pytest.raises(Refused) as caught:
        rechunk(b"0005\r\nhello\r\n5\r\nagain\r\nxyz\r\n")
    assert caught.value.sent == b"5\r\nhello\r\n5\r\nagain\r\n"


FORBIDDEN = [
    b"Content-Length", b"Transfer-Encoding", b"HOST", b"Connection", b"keep-alive", b"TE", b"Trailer", b"Upgrade",
    b"Proxy-Connection", b"Proxy-Authorization", b"Proxy-Authenticate", b"Proxy-Authentication-Info", b"Proxy",
    b"Proxy-Foo", b"Authorization", b"Set-Cookie", b"Cookie", b"WWW-Authenticate", b"Content-Encoding", b"Content-Type",
    b"Content-Range", b"Expect", b"Max-Forwards", b"Cache-Control", b"Range", b"If-Match", b"IF-none-match",
    b"If-Modified-Since", b"If-Unmodified-Since", b"If-Range", b"Date", b"Age", b"Expires", b"Location", b"Retry-After",
    b"Vary", b"Warning", b"Pragma", b"X-Forwarded-For", b"X-Forwarded-Host", b"X-Forwarded-Proto", b"X-Real-IP",
    b"Forwarded", b"Via", b"HTTP2-Settings",
]  # fmt: skip


@pytest.mark.parametrize("name", FORBIDDEN)
def test_forbidden_trailers_are_left_out(name: bytes) -> None:
    line = name + b": 1\r\n"
    assert sent(b"0\r\n" + line + b"\r\n") == END
    assert sent(b"0\r\na: 1\r\n" + line + b"b: 2\r\n" + line + b"\r\n") == b"0\r\na: 1\r\nb: 2\r\n\r\n"


@pytest.mark.parametrize(
    "name", [b"Digest", b"ETag", b"If", b"iffy", b"X-Content-Type", b"Hosts", b"Server-Timing", b"grpc-status"]
)
def test_other_trailers_stay(name: bytes) -> None:
    body = b"1\r\nx\r\n0\r\n" + name + b":\t1 \r\n\r\n"
    assert sent(body) == body


@pytest.mark.parametrize(
    "trailers",
    [
        b"a\r\n",
        b"a : b\r\n",
        b" a: b\r\n",
        b"a: b\r\n c\r\n",
        b"a: b\n",
        b"a: \x00\r\n",
        b":\r\n",
        b"\n",
        b"\rx",
        b"a: b\r\n\n",
    ],
)
def test_bad_trailers(trailers: bytes) -> None:
    assert refused(b"0\r\n" + trailers + b"\r\n\r\n") == Reason.BAD_CHUNK


def test_limits_of_trailers() -> None:
    assert sent(b"0\r\n" + b"a: b\r\n" * 3 + b"\r\n", fields=3) == b"0\r\n" + b"a: b\r\n" * 3 + b"\r\n"
    assert refused(b"0\r\n" + b"a: b\r\n" * 4 + b"\r\n", fields=3) == Reason.BAD_CHUNK
    assert sent(b"0\r\na: b\r\n\r\n", head_bytes=8) == b"0\r\na: b\r\n\r\n"
    assert refused(b"0\r\na: bc\r\n\r\n", head_bytes=8) == Reason.BAD_CHUNK
    assert refused(b"0\r\na: " + b"x" * 100, head_bytes=50) == Reason.BAD_CHUNK


@pytest.mark.parametrize("body", [END, b"5\r\nhello\r\n006;a\r\n world\r\n0;x\r\nA: b\r\n\r\n"])
def test_decode(body: bytes) -> None:
    assert sent(body, decode=True) == (b"" if body == END else b"hello world")


# Bounded in seconds: a build that traces each line takes longer.
@pytest.mark.figures
def test_byte_by_byte_takes_linear_time() -> None:
    data = b"0\r\n" + b"a: " + b"x" * 200_000 + b"\r\n\r\n"
    start = time.process_time()
    assert rechunk(data, step=1, head_bytes=10**6)[3]
    # 0.1 s when linear; more than 10 s when each byte begins the search again.
    assert time.process_time() - start < 3


EXTENSION = st.sampled_from([b"", b"", b";a=b", b" ;x", b';q="1;2"'])
CHUNK = st.tuples(st.binary(min_size=1, max_size=40), st.integers(0, 3), EXTENSION, st.booleans())
TRAILERS = st.lists(
    st.sampled_from([b"A: b\r\n", b"Host: x\r\n", b'ETag: "1"\r\n', b"Content-Length: 5\r\n"]), max_size=4
)


def encode(chunks: list[tuple[bytes, int, bytes, bool]], trailers: list[bytes]) -> bytes:
    out = b""
    for data, zeros, extension, upper in chunks:
        size = b"0" * zeros + (b"%X" if upper else b"%x") % len(data)
        out += size + extension + b"\r\n" + data + b"\r\n"
    return out + b"0\r\n" + b"".join(trailers) + b"\r\n"


def decode_with_h11(body: bytes) -> tuple[bytes, list[tuple[bytes, bytes]]]:
    server = h11.Connection(h11.SERVER)
    server.receive_data(b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n" + body)
    assert isinstance(server.next_event(), h11.Request)
    payload = b""
    while True:
        event = server.next_event()
        if isinstance(event, h11.EndOfMessage):
            return payload, list(event.headers)
        assert isinstance(event, h11.Data)
        payload += event.data


@given(st.lists(CHUNK, max_size=6), TRAILERS, st.integers(1, 60))
def test_payload_is_kept(chunks: list[tuple[bytes, int, bytes, bool]], trailers: list[bytes], step: int) -> None:
    payload = b"".join(chunk[0] for chunk in chunks)
    body = encode(chunks, trailers)
    whole = rechunk(body)
    assert whole == rechunk(body, step=step)
    assert whole[1:] == (len(body), len(payload), True)
    assert rechunk(whole[0]) == (whole[0], len(whole[0]), len(payload), True)
    assert whole[0] == encode([(data, 0, b"", False) for data, *_ in chunks], [t for t in trailers if t[:1] in b"AE"])
    assert rechunk(body, decode=True, step=step) == (payload, len(body), len(payload), True)
    assert decode_with_h11(whole[0])[0] == payload


@given(
    st.lists(st.sampled_from([b"0", b"1", b"a", b";", b" ", b"\r", b"\n", b"\r\n", b"x", b": "]), max_size=30).map(
        b"".join
    ),
    st.integers(1, 20),
)
def test_the_cut_does_not_matter(noise: bytes, step: int) -> None:
    # A line that comes in pieces is judged when its end is there.
    noise += b"\r\n\r\n"

    def outcome(**options: Any) -> tuple[bytes, int, int, bool] | tuple[bytes, Reason]:
        try:
            return rechunk(noise, **options)
        except Refused as caught:
            return caught.sent, Reason(caught.reason)

    assert outcome() == outcome(step=step)
