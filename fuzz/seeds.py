"""The first inputs of each target, by hand: from these libFuzzer goes on.

They are tests as well, beside the corpus that libFuzzer has found: an input that reaches the same code need not ask
the same question of it.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

from fuzz.plays import PLAYS

__all__ = ["SEEDS", "write_seeds"]

HEADS_OF_REQUESTS = [
    b"GET / HTTP/1.1\r\nHost: a\r\n\r\n",
    b"\r\nPOST /a?b=c HTTP/1.1\r\nHost: a.b:80\r\nContent-Length: 5\r\nContent-Type:\ttext/plain \r\n\r\nhello",
    b"OPTIONS * HTTP/1.0\r\n\r\n",
    b"OPTIONS http://a.b HTTP/1.1\r\nHost: a.b\r\n\r\n",
    b"GET http://a.b:80/c?d HTTP/1.1\r\nHost: a.b\r\nConnection: x-a, close\r\nX-A: 1\r\n\r\n",
    b"CONNECT a.b:443 HTTP/1.1\r\nHost: a.b:443\r\n\r\n",
    b"GET /chat HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
    b"PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nExpect: 100-continue\r\nTE: trailers\r\n"
    b"Connection: te\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 10.0.0.1\r\nX-Real-IP: b\r\nForwarded: for=c\r\nVia: 1.1 d\r\n"
    b"Keep-Alive: timeout=5\r\nProxy-Connection: close\r\nProxy: e\r\nProxy-Authorization: f\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: [::1]:80\r\nAccept: application/json;q=0.9, */*\r\nAuthorization: NTLM x\r\n\r\n",
    b"GET / HTTP/1.1\nHost: a\n\n",
    b"GET  / HTTP/1.1\r\nHost : a\r\n b\r\n\r\n",
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
]
HEADS_OF_RESPONSES = [
    b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
    b"HTTP/1.1 204\r\n\r\n",
    b"HTTP/1.0 404 Not Found\r\nContent-Type: text/html\r\nConnection: keep-alive\r\n\r\n",
    b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n",
    b"HTTP/1.1 426 Upgrade Required\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
    b"HTTP/1.1 103 Early Hints\r\nLink: </a>; rel=preload\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
    b"HTTP/1.1 200 \xe9\r\nX-Bytes: 5\r\nConnection: x-a, close\r\nX-A: 1\r\nProxy-Authenticate: x\r\n"
    b"Via: 1.0 b\r\n\r\n",
]
FIELDS = [
    b"Content-Length: 5", b"Content-Length: 0005\r\nConnection: close", b"Transfer-Encoding: chunked",
    b"Transfer-Encoding: gzip, chunked", b"Transfer-Encoding: chunked, chunked", b"Transfer-Encoding: chunked;a=b",
    b"Content-Length: 5\r\nTransfer-Encoding: chunked", b"Content-Length: 9223372036854775807",
    b"Content-Length: 5\r\nContent-Length: 5", b"Connection: x, keep-alive\r\nConnection: CLOSE",
]  # fmt: skip
CHUNKED = [
    b"5\r\nhello\r\n0\r\n\r\n",
    b'0005;a=b;c="d"\r\nhello\r\n1A \t;x\r\n' + b"y" * 26 + b"\r\n000\r\nX-Sum: 1\r\nHost: a\r\nIf-Match: b\r\n\r\n",
    b"5\r\nhellox",
    b"f" * 15 + b"\r\nabc",
    b"2\r\n\r\n\r\n0\r\n a: b\r\n\r\n",
]
_V2 = b"\r\n\r\n\0\r\nQUIT\n"
_IPV4 = b"\xc0\0\2\7\xc0\0\2\x08\xdc\4\1\xbb"
PROXY_HEADERS = [
    b"PROXY TCP4 192.0.2.7 192.0.2.8 56324 443\r\nGET / HTTP/1.1\r\n",
    b"PROXY TCP6 2001:db8::7 ::ffff:192.0.2.8 0 65535\r\n",
    b"PROXY TCP6 ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 65535\r\n",
    b"PROXY UNKNOWN x y\r\n",
    b"PROXY TCP4 192.0.2.7 192.0.02.8 1 2\r\n",
    _V2 + b"\x21\x11\0\x0c" + _IPV4,
    _V2 + b"\x21\x21\0\x24" + bytes(15) + b"\1" + bytes(10) + b"\xff\xff\xc0\0\2\x08\0\1\0\2",
    _V2 + b"\x21\x31\0\xd8" + b"/run/x".ljust(108, b"\0") * 2,
    _V2 + b"\x20\0\0\0",
    _V2 + b"\x21\x12\0\x0f" + _IPV4 + b"\x04\0\0",
    _V2 + b"\x21\x11\0\x14" + _IPV4 + b"\x20\0\5\1\0\0\0\0",
    _V2 + b"\x21\x11\0\x13" + _IPV4 + b"\x03\0\4\0\0\0\0",
]

SEEDS: dict[str, list[bytes]] = {
    "head_request": HEADS_OF_REQUESTS,
    "head_response": HEADS_OF_RESPONSES,
    "framing": [bytes([choice]) + fields for fields in FIELDS for choice in (0, 2)],
    "chunks": CHUNKED,
    "forward": [
        *(bytes([choice]) + head for head in HEADS_OF_REQUESTS for choice in (0, 9, 14)),
        *(bytes([choice]) + head for head in HEADS_OF_RESPONSES for choice in (0x80, 0x95, 0x8A)),
    ],
    "proxy_header": PROXY_HEADERS,
    "exchange": PLAYS,
}


def write_seeds(target: str, folder: Path) -> None:
    """Writes a target's seeds; an input's file is named by its digest, as libFuzzer names them."""
    for data in SEEDS[target]:
        (folder / hashlib.sha1(data).hexdigest()).write_bytes(data)
