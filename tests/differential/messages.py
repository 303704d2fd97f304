"""Messages for the readers: built from the grammar with the odd forms in it, then mutated; and bytes that only
resemble a message. Everything that a smuggling attack was ever made of is in one of these lists.
"""

from __future__ import annotations

from hypothesis import strategies as st

__all__ = ["REQUESTS", "RESPONSES"]

METHODS = [
    b"GET", b"POST", b"HEAD", b"PUT", b"DELETE", b"OPTIONS", b"PATCH", b"PROPFIND", b"get", b"Get", b"X", b"PRI",
    b"M-SEARCH", b"DESCRIBE", b"CONNECT", b"TRACE", b"!#$%&'*+-.^_`|~", b"G" * 64, b"G" * 65, b"", b"GE\x00T",
]  # fmt: skip
TARGETS = [
    b"/", b"/a?b=c", b"*", b"/a/../b", b"//evil/x", b"http://a", b"http://a/", b"HTTP://A:80/x?y", b"https://a/",
    b"http://b/", b"http://a@b/", b"http://[::1]/", b"a:80", b"a", b"?q", b"/#f", b"/\x80", b"/a b", b"/\"<>\\^`{|}",
    b"/%00%zz%", b"ftp://a/", b"http:///x", b"http://a?x", b"/a\tb", b"/?a?b#", b"http://a\\b/", b"/;a=b",
]  # fmt: skip
VERSIONS = (
    [b"HTTP/1.1"] * 36
    + [b"HTTP/1.0"] * 6
    + [
        b"HTTP/1.2",
        b"HTTP/1.9",
        b"HTTP/2.0",
        b"HTTP/0.9",
        b"http/1.1",
        b"HTTP/1.10",
        b"HTTP/01.1",
        b"HTTP/1",
        b"HTTP/1.1 ",
    ]
)
STATUSES = [
    b"200 OK", b"204 No Content", b"304 Not Modified", b"200", b"200 ", b"404  Two  Spaces ", b"100 Continue",
    b"103 E", b"101 S", b"199 x", b"599 x", b"600 x", b"099 x", b"20 OK", b"2000 OK", b"200\tOK", b"200 \x80\xff",
    b"200 a\x01b", b"205 Reset", b"+20 x", b"200 a\rb",
]  # fmt: skip
LENGTHS = [
    b"5", b"0", b"3", b"05", b"0" * 22 + b"5", b"+5", b"-5", b"5,5", b"5, 5", b"5 5", b"0x5", b"5\x0b", b"\x0c5",
    b"5.0", b"", b"18446744073709551621", b"9223372036854775807", b"9223372036854775808", b"5;", b'"5"', b"\xb2",
    b"5e0", b"_5", b"1_0",
]  # fmt: skip
CODINGS = [
    b"chunked", b"Chunked", b" chunked\t", b"chunked,", b",chunked", b"chunked, chunked", b"gzip, chunked",
    b"chunked, gzip", b"identity", b"identity, chunked", b"xchunked", b"chunked;q=1", b'"chunked"', b"chunked\x00",
    b"\x0bchunked", b"chunked\x0b", b"chu nked", b"cHuNkEd", b"", b"gzip", b"chunked\xa0", b"\xc2\xa0chunked",
    b"chunk\x85ed",
]  # fmt: skip
LINES = [
    b"Host: a", b"host:a", b"Host: b", b"Host:", b"Host: a:80", b"Host: a, b", b"Host: \x80", b"Host : a", b" Host: a",
    b"Connection: close", b"Connection: upgrade", b"Connection: Content-Length", b"Connection: transfer-encoding, x",
    b"Connection: keep-alive", b"Upgrade: websocket", b"Upgrade: h2c", b"Expect: 100-continue", b"Expect: x",
    b"TE: trailers", b"Trailer: X", b"Content_Length: 5", b"Transfer_Encoding: chunked", b"X: a\x01b", b"X: a\x00b",
    b"X: a\rb", b"X: a\nb", b"X: a\tb", b"X: \x80\xff", b"X:", b"X:\t y \t", b"X : y", b"X\t: y", b": y", b"X", b"",
    b"X y: z", b"X\x80: y", b"X;: y", b"(X): y", b"X: \x7f", b"X: a\r\n b", b"X: a\r\n\tb", b"\tX: y", b"X: a\x85b",
    b"X: " + b"y" * 300, b"\x00: y", b"Content-Length\x00: 5", b"Transfer-Encoding\x0b: chunked", b"Keep-Alive: 5",
    b"Proxy: x", b"Cookie: a=b",
]  # fmt: skip
HARMLESS = [
    b"X: y", b"X:y", b"x:  y  z\t", b"Connection: close", b"Connection: keep-alive, x", b"Upgrade: x", b"X:",
    b"Cookie: a=b", b"Connection: upgrade", b"X-Long: " + b"y" * 200, b"Te: trailers", b"X: \x80\xff",
]  # fmt: skip
SIZES = [
    b"%x", b"%X", b"0%x", b"%x;a=b", b'%x;a="b;c"', b"%x ;a", b"%x\t; a = b", b"%x ", b" %x", b"0x%x", b"+%x", b"-%x",
    b"%x;a\x00", b"%x;a\nb", b"%x;a\rb", b"%x,", b"%x.", b"%x;", b"%x;;", b"0000000000000000000%x",
    b"10000000000000000%x", b"%x;\x80", b"%xg", b"%x\x0b", b"%x\x00", b"%x;" + b"e" * 300, b"_%x",
]  # fmt: skip
TRAILERS = [b""] * 8 + [
    b"X: y\r\n", b"X: y\r\nY: z\r\n", b"Content-Length: 3\r\n", b"Transfer-Encoding: chunked\r\n", b"Host: b\r\n",
    b"X: a\r\n b\r\n", b"X : y\r\n", b"X\r\n", b"X: y\n", b"Transfer-Encoding: gzip\r\n", b"Content-Length: x\r\n",
]  # fmt: skip
ENDS = [b"\r\n"] * 250 + [
    b"\n", b"\r", b"\r\r\n", b" \r\n", b"\n\r", b"\r\n\r\n", b"\x00\r\n", b"\r\n ", b"\x0b\r\n",
]  # fmt: skip
NEXT = [
    b"", b"", b"GET /next HTTP/1.1\r\nHost: a\r\n\r\n", b"HTTP/1.1 200 OK\r\n\r\n", b"\r\n", b"\x00", b"0\r\n\r\n",
]  # fmt: skip
BYTES = [
    b"\x00", b"\t", b"\n", b"\x0b", b"\x0c", b"\r", b"\r\n", b" ", b"  ", b"\x7f", b"\x80", b"\xff", b":", b";", b",",
    b"0", b"1", b"-", b"_", b"#", b"@", b"/", b'"', b"\\", b"a", b"A", b"\r\n\r\n", b"\r\n ", b"HTTP/1.1", b"chunked",
    b"0\r\n\r\n",
]  # fmt: skip

line_end = st.sampled_from(ENDS)


@st.composite
def _chunked(draw: st.DrawFn) -> bytes:
    out = b""
    for piece in draw(st.lists(st.binary(min_size=1, max_size=12), max_size=3)):
        # Mostly canonical, or a body of three chunks would never be whole.
        size = draw(st.sampled_from(SIZES)) if draw(st.integers(0, 5)) == 0 else b"%x"
        out += size.replace(b"%x", b"%x" % len(piece)).replace(b"%X", b"%X" % len(piece)) + draw(line_end)
        out += piece + draw(line_end)
    last = draw(st.sampled_from([b"0"] * 12 + [b"00", b"0;x", b"0 ;x", b"", b"-0", b"0x0", b"0" * 30]))
    return out + last + draw(line_end) + draw(st.sampled_from(TRAILERS)) + draw(line_end)


@st.composite
def _body(draw: st.DrawFn) -> tuple[list[bytes], bytes]:
    """Framing field lines, and bytes that fit one of them, more or less."""
    kind = draw(st.sampled_from(["none", "length", "length", "chunked", "chunked", "chunked", "both", "twice"]))
    odd = draw(st.integers(0, 2)) == 0
    length = b"Content-Length: " + (draw(st.sampled_from(LENGTHS)) if odd else b"5")
    coding = b"Transfer-Encoding: " + (draw(st.sampled_from(CODINGS)) if odd else b"chunked")
    whole = b"hello" if kind == "length" else draw(_chunked())
    if kind == "none":
        return [], b""
    if kind == "twice":
        return draw(st.sampled_from([[length, length], [coding, coding]])), whole
    if kind == "both":
        return draw(st.sampled_from([[length, coding], [coding, length]])), whole
    return [length if kind == "length" else coding], whole


@st.composite
def _message(draw: st.DrawFn, starts: st.SearchStrategy[bytes], host: bool) -> bytes:
    framing, body = draw(_body())
    lines = draw(st.lists(st.one_of(st.sampled_from(HARMLESS), st.sampled_from(LINES)), max_size=2)) + framing
    if host and draw(st.integers(0, 9)):
        lines = [b"Host: a", *lines]
    out = draw(st.sampled_from([b""] * 20 + [b"\r\n", b"\n", b"\r\n\r\n", b" "])) + draw(starts) + draw(line_end)
    for line in lines:
        out += line + draw(line_end)
    return out + draw(line_end) + body + draw(st.sampled_from(NEXT))


@st.composite
def _mutated(draw: st.DrawFn, messages: st.SearchStrategy[bytes]) -> bytes:
    """A message with up to three wounds."""
    data = draw(messages)
    for _ in range(draw(st.integers(0, 3))):
        at = draw(st.integers(0, len(data)))
        width = draw(st.integers(0, 4))
        patch = draw(st.one_of(st.sampled_from(BYTES), st.binary(max_size=2), st.just(data[at : at + 3 * width])))
        data = data[:at] + patch + data[at + width :]
    return data


@st.composite
def _request_line(draw: st.DrawFn) -> bytes:
    parts = [draw(st.sampled_from([usual] * len(odd) + odd)) for usual, odd in ((b"GET", METHODS), (b"/", TARGETS))]
    gap = draw(st.sampled_from([b" "] * 60 + [b"  ", b"\t", b"\x0b", b""]))
    return gap.join([*parts, draw(st.sampled_from(VERSIONS))])


@st.composite
def _status_line(draw: st.DrawFn) -> bytes:
    return draw(st.sampled_from(VERSIONS)) + b" " + draw(st.sampled_from([b"200 OK"] * 10 + STATUSES))


# Whole and well-formed: what mutation alone begins with.
SEEDS = [
    b"GET / HTTP/1.1\r\nHost: a\r\n\r\n",
    b"POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhelloGET / HTTP/1.1\r\nHost: a\r\n\r\n",
    b"POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5;a=b\r\nhello\r\n0\r\nX: y\r\n\r\n",
    b"GET http://a/x HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n",
    b"POST / HTTP/1.0\r\nConnection: keep-alive\r\nContent-Length: 3\r\n\r\nabc",
]  # fmt: skip
ANSWERS = [
    b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nX: y\r\n\r\n",
    b"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\nETag: x\r\n\r\n", b"HTTP/1.0 200 OK\r\n\r\nuntil the end",
]  # fmt: skip

GRAMMAR_REQUESTS = _message(_request_line(), host=True)
GRAMMAR_RESPONSES = _message(_status_line(), host=False)
REQUESTS = st.one_of(GRAMMAR_REQUESTS, _mutated(GRAMMAR_REQUESTS), _mutated(st.sampled_from(SEEDS)))
RESPONSES = st.one_of(GRAMMAR_RESPONSES, _mutated(GRAMMAR_RESPONSES), _mutated(st.sampled_from(ANSWERS)))
