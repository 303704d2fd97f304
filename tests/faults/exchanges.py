"""Fifty exchanges of all kinds, as data: what the client sends, what the endpoint says, what each must come to see.

`@` in a request stands for its target, which the run gives it, so that every line of every ledger can be found again.
What each side must see is not written twice: it is read off the bytes that the other side sends, by `reader`.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from tests.faults.reader import Message, read_requests, read_responses

__all__ = ["EXCHANGES", "Exchange", "Leg"]

BULK = 20_000
IDEMPOTENT = {"GET", "HEAD", "PUT", "DELETE", "OPTIONS"}


@dataclass(frozen=True)
class Leg:
    """One request and its answer.

    The client sends the first of `send`, and each further piece when a 100 response has come. The endpoint sends
    `hints` when it has the head, and `answer` when it has the whole request, or `early` bytes of its body.
    """

    send: tuple[bytes, ...]
    answer: bytes = b""
    hints: bytes = b""
    early: int = -1
    closes: bool = False  # the endpoint closes behind its answer
    refused: str = ""  # the reason of the answer that weir gives instead, because of what is sent or answered
    tunnel: bool = False

    @property
    def method(self) -> str:
        return self.send[0].split(b" ", 1)[0].decode()

    @property
    def old_client(self) -> bool:
        return b" HTTP/1.0\r\n" in self.send[0]

    @property
    def idempotent(self) -> bool:
        return self.method in IDEMPOTENT

    def request(self, target: bytes) -> Message:
        """What the endpoint must see."""
        return read_requests(b"".join(self.send).replace(b"@", target, 1))[0]

    def response(self) -> Message:
        """What the client must see."""
        whole = read_responses(self.hints + self.answer, [self.method], True)[0][0]
        if self.old_client:
            whole.interim = []
            if whole.get("transfer-encoding"):
                whole.trailers = []
        return whole


@dataclass(frozen=True)
class Exchange:
    """One or more requests on one connection; `pipelined`: the client sends them all at once."""

    name: str
    legs: tuple[Leg, ...]
    pipelined: bool = False
    is_bulk: bool = field(init=False, default=False)

    def __post_init__(self) -> None:
        size = sum(len(leg.answer) + sum(map(len, leg.send)) for leg in self.legs)
        object.__setattr__(self, "is_bulk", size > 4000)

    @property
    def methods(self) -> list[str]:
        return [leg.method for leg in self.legs]


def req(method: str = "GET", *lines: str, body: bytes = b"", version: str = "1.1") -> bytes:
    fields = "".join(f"{line}\r\n" for line in lines)
    length = f"Content-Length: {len(body)}\r\n" if body else ""
    return f"{method} @ HTTP/{version}\r\nHost: h\r\n{fields}{length}\r\n".encode() + body


def res(body: bytes = b"", *lines: str, status: str = "200 OK", length: int = -1) -> bytes:
    fields = "".join(f"{line}\r\n" for line in lines)
    return (
        f"HTTP/1.1 {status}\r\n{fields}Content-Length: {length if length >= 0 else len(body)}\r\n\r\n".encode() + body
    )


def bare(body: bytes = b"", *lines: str, status: str = "200 OK", version: str = "1.1") -> bytes:
    """A response without a length."""
    return f"HTTP/{version} {status}\r\n{''.join(f'{line}' + chr(13) + chr(10) for line in lines)}\r\n".encode() + body


def chunks(*pieces: bytes, extension: bytes = b"", trailers: bytes = b"") -> bytes:
    parts = [b"%x%b\r\n%b\r\n" % (len(piece), extension, piece) for piece in pieces]
    return b"".join(parts) + b"0" + extension + b"\r\n" + trailers + b"\r\n"


def bulk(seed: int) -> bytes:
    """Bytes of which no two places look alike, so that a shifted or doubled piece shows."""
    return b"".join(b"%05d." % (seed * 7919 + n) for n in range(BULK // 6 + 1))[:BULK]


TE = "Transfer-Encoding: chunked"
CHUNKED = bare(chunks(b"one", b"two..", b"three"), TE)
TRAILED = bare(chunks(b"abc", b"defg", extension=b";a=b", trailers=b"X-Sum: 9\r\n"), TE, "Trailer: X-Sum")
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
HINTS = b"HTTP/1.1 103 Early Hints\r\nLink: </s.css>\r\n\r\n"
UPGRADE = ("Connection: Upgrade", "Upgrade: weird")
SWITCH = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: weird\r\n\r\n"
WEBSOCKET = ("Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==")
SWITCH_WS = SWITCH.replace(b"weird", b"websocket")


def one(name: str, send: bytes | tuple[bytes, ...], answer: bytes = b"", **options: object) -> Exchange:
    pieces = send if isinstance(send, tuple) else (send,)
    return Exchange(name, (Leg(pieces, answer, **options),))  # type: ignore[arg-type] # the names are Leg's


def get(answer: bytes = res(b"ok"), method: str = "GET", **options: object) -> Leg:
    return Leg((req(method),), answer, **options)  # type: ignore[arg-type] # the names are Leg's


def post(body: bytes = b"hello", answer: bytes = res(b"took"), method: str = "POST") -> Leg:
    return Leg((req(method, body=body),), answer)


PLAIN = [
    one("get", req(), res(b"hello")),
    one("get-fields", req("GET", "Accept: */*", "X-A: 1", "X-A: 2"), res(b"hello", "X-B: 1", "X-B: 2", 'ETag: "x"')),
    one("get-empty", req(), res()),
    one("get-with-body", req("GET", body=b"query"), res(b"found")),
    one("get-chunked", req(), CHUNKED),
    one("get-trailers", req("GET", "TE: trailers", "Connection: TE"), TRAILED),
    one("get-until-close", req(), bare(b"all of it until the end"), closes=True),
    one("get-until-close-empty", req(), bare(), closes=True),
    one("get-closing", req(), res(b"bye", "Connection: close"), closes=True),
    one("get-client-closes", req("GET", "Connection: close"), res(b"bye")),
    one("get-absolute", req().replace(b"@", b"http://h@"), res(b"absolute")),
    one("head", req("HEAD"), res(length=50)),
    one("head-chunked", req("HEAD"), bare(b"", TE)),
    one("options", req("OPTIONS"), res(b"", "Allow: GET")),
    one("delete", req("DELETE"), bare(b"", status="204 No Content")),
    one("no-content", req(), bare(b"", "X-A: 1", status="204 No Content")),
    one("not-modified", req("GET", 'If-None-Match: "x"'), bare(b"", 'ETag: "x"', status="304 Not Modified")),
    one("not-modified-length", req(), res(status="304 Not Modified", length=50)),
    one("redirect", req(), res(b"there", "Location: /there", status="302 Found")),
    one("not-found", req(), res(b"none such", status="404 Not Found")),
    one("server-error", req(), res(b"broken", "Retry-After: 1", status="503 Service Unavailable")),
    one("post", req("POST", body=b"hello"), res(b"took it")),
    one("post-empty", req("POST", "Content-Length: 0"), res(b"took nothing")),
    one("put", req("PUT", body=b"hello"), res(b"", status="201 Created")),
    one("patch", req("PATCH", body=b"+1"), res(b"patched")),
    one("post-chunked", req("POST", TE) + chunks(b"one", b"two.."), res(b"took it")),
    one(
        "post-extensions",
        req("POST", TE) + chunks(b"abc", b"defg", extension=b";n=v", trailers=b"X-End: 1\r\n"),
        res(b"took it"),
    ),
    one("put-chunked-both", req("PUT", TE) + chunks(b"up"), CHUNKED),
    one("post-until-close", req("POST", body=b"hello"), bare(b"until the end"), closes=True),
]
INTERIM = [
    one("expect", (req("POST", "Expect: 100-continue", "Content-Length: 5"), b"hello"), res(b"took"), hints=CONTINUE),
    one(
        "expect-refused",
        (req("POST", "Expect: 100-continue", "Content-Length: 5"), b"hello"),
        res(b"no", status="403 Forbidden"),
        early=0,
    ),
    one("expect-at-once", req("POST", "Expect: 100-continue", body=b"hello"), res(b"took")),
    one(
        "expect-chunked",
        (req("PUT", "Expect: 100-continue", TE), chunks(b"hel", b"lo")),
        res(b"took"),
        hints=CONTINUE,
    ),
    one("hints", req(), res(b"page"), hints=HINTS),
    one("hints-twice", req(), CHUNKED, hints=HINTS + HINTS),
    one("hints-old-client", req(version="1.0"), res(b"page"), hints=HINTS),
    one("early-answer", req("POST", body=b"a" * 40 + b"b" * 40), res(b"enough"), early=10),
]
OLD = [
    one("old-client", req(version="1.0"), res(b"hello")),
    one("old-client-chunked", req(version="1.0"), CHUNKED),
    one("old-client-until-close", req(version="1.0"), bare(b"until the end"), closes=True),
    one("old-endpoint", req(), bare(b"hello", "Content-Length: 5", version="1.0"), closes=True),
    one("old-endpoint-until-close", req("POST", body=b"x"), bare(b"until the end", version="1.0"), closes=True),
    Exchange("old-client-twice", (Leg((req("GET", "Connection: keep-alive", version="1.0"),), res(b"one")), get())),
]
SEVERAL = [
    Exchange("pipelined", (get(res(b"one")), get(res(b"two"))), True),
    Exchange("pipelined-post", (post(b"hello", CHUNKED), get(res(b"two"))), True),
    Exchange("keep-alive", (get(CHUNKED), get(res(b"two")))),
    Exchange("keep-alive-post", (get(res(b"one")), post(b"hello", res(b"two")))),
    Exchange("keep-alive-put", (post(), post(b"hello", res(b"two"), "PUT"))),
    Exchange("reconnect", (get(res(b"one"), closes=True), get(res(b"two")))),
]
TUNNELS = [
    one("tunnel", req("GET", *UPGRADE), SWITCH, tunnel=True),
    one("websocket", req("GET", *WEBSOCKET, "Sec-WebSocket-Version: 13"), SWITCH_WS, tunnel=True),
    one("upgrade-declined", req("GET", *UPGRADE), res(b"no")),
]
REFUSED = [
    one("refused-request", req("POST", "Content-Length: 5", TE), refused="bad_framing"),
    one("refused-expectation", req("GET", "Expect: miracles"), refused="expectation_failed"),
    one("refused-answer", req(), b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n", refused="bad_response_framing"),
    one("refused-nonsense", req(), b"nonsense, no HTTP\r\n\r\n", refused="bad_response"),
]
LARGE = [
    one("bulk-down", req(), res(bulk(1))),
    one("bulk-down-chunked", req(), bare(chunks(bulk(2)[:7000], bulk(2)[7000:]), TE)),
    one("bulk-down-until-close", req(), bare(bulk(3)), closes=True),
    one("bulk-up", req("POST", body=bulk(4)), res(b"took")),
    one("bulk-up-chunked", req("PUT", TE) + chunks(bulk(5)[:9000], bulk(5)[9000:]), res(b"took")),
]
EXCHANGES = [*PLAIN, *INTERIM, *OLD, *SEVERAL, *TUNNELS, *REFUSED, *LARGE]
