"""What people have come to rely on in the proxies that they trust, where no other test pins it down."""

from __future__ import annotations

import pytest

from .peers import CLOSE, chunked, ok
from .rig import Rig
from .servers import pattern
from .wire import Message, Wire

pytestmark = pytest.mark.timeout(30)

GET = b"GET %s HTTP/1.1\r\nHost: test\r\n\r\n"


def ask(client: Wire, request: bytes, method: str = "GET") -> Message:
    client.send(request)
    return client.response(method)


def test_every_method_and_framing_on_connections_that_stay(plain: Rig) -> None:
    data = pattern(20_000)

    def answer(request: Message) -> bytes:
        if request.head.method == "HEAD":
            return b"HTTP/1.1 200 OK\r\nContent-Length: 20000\r\n\r\n"
        if request.head.target == "/chunked":
            return b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunked(request.body or data)
        return ok(request.body or data)

    plain.endpoint.respond(answer)
    client = plain.connect()
    with_length = b"Content-Length: %d\r\n\r\n%b" % (len(data), data)
    with_chunks = b"Transfer-Encoding: chunked\r\n\r\n" + chunked(data[:7000], data[7000:])
    for target in ("/length", "/chunked") * 3:
        for method in ("GET", "HEAD", "POST"):
            for rest in (b"\r\n", with_length, with_chunks):
                request = f"{method} {target} HTTP/1.1\r\nHost: test\r\n".encode() + rest
                response = ask(client, request, method)
                assert response.status == 200
                assert response.body == (b"" if method == "HEAD" else data), (method, target, rest[:30])
                assert plain.endpoint.requests[-1].body == (b"" if rest == b"\r\n" else data)
    assert len(plain.endpoint.links) == 1


UNSAFE = {
    "coding and length": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
    "length and coding": b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "coding in HTTP/1.0": b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "coding twice": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "unknown coding": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: x\r\n\r\n0\r\n\r\n",
    "two lengths": b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nContent-Length: 5\r\n\r\n",
    "bad length": b"HTTP/1.1 200 OK\r\nContent-Length: 5x\r\n\r\nhello",
}


@pytest.mark.parametrize("name", UNSAFE)
def test_an_unsafe_response_is_refused_and_its_connection_not_used_again(plain: Rig, name: str) -> None:
    plain.endpoint.respond(lambda request: UNSAFE[name] if request.head.target == "/unsafe" else ok(b"fine"))
    client = plain.connect()
    assert ask(client, GET % b"/unsafe").status == 502
    assert ask(client, GET % b"/next").body == b"fine"
    assert [request.link for request in plain.endpoint.requests] == [0, 1]


BODILESS = {
    "HEAD": ("HEAD", b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nstray"),
    "HEAD, chunked": ("HEAD", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nstray\r\n0\r\n\r\n"),
    "204": ("GET", b"HTTP/1.1 204 No Content\r\n\r\nstray"),
    "204 with length": ("GET", b"HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\nstray"),
    "304": ("GET", b"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\nstray"),
    "length 0": ("GET", b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\nstray"),
}


@pytest.mark.parametrize("name", BODILESS)
def test_a_stray_body_is_dropped_with_its_connection(plain: Rig, name: str) -> None:
    method, data = BODILESS[name]
    plain.endpoint.respond(lambda request: data if request.head.target == "/stray" else ok(b"fine"))
    client = plain.connect()
    response = ask(client, f"{method} /stray HTTP/1.1\r\nHost: test\r\n\r\n".encode(), method)
    assert response.status == int(data.split()[1])
    assert ask(client, GET % b"/next").body == b"fine"
    assert [request.link for request in plain.endpoint.requests] == [0, 1]


REUSED = {
    "length": ("GET", ok(b"hello"), True),
    "nothing": ("GET", ok(), True),
    "chunked": ("GET", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunked(b"hello"), True),
    "HEAD": ("HEAD", b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", True),
    "204": ("GET", b"HTTP/1.1 204 No Content\r\n\r\n", True),
    "304": ("GET", b"HTTP/1.1 304 Not Modified\r\n\r\n", True),
    "304 with length": ("GET", b"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n", True),
    "behind the length": ("GET", ok(b"hello") + b"!", False),
    "behind the last chunk": (
        "GET",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunked(b"hello") + b"!",
        False,
    ),
    "said close": ("GET", ok(b"hello", "Connection: close"), False),
    "HTTP/1.0": ("GET", b"HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\nhello", False),
}


@pytest.mark.parametrize("name", REUSED)
def test_after_which_responses_a_connection_is_used_again(plain: Rig, name: str) -> None:
    method, data, again = REUSED[name]
    plain.endpoint.reply(data)
    client = plain.connect()
    for _ in range(3):
        response = ask(client, f"{method} /r HTTP/1.1\r\nHost: test\r\n\r\n".encode(), method)
        assert response.body == (b"hello" if b"hello" in data else b"")
    assert len(plain.endpoint.links) == (1 if again else 3)


def test_the_endpoint_may_keep_its_connection_open_behind_an_answer(plain: Rig) -> None:
    """The response ends where its length says; nobody waits for more."""
    plain.endpoint.reply(ok(b"hello"), 2.0, CLOSE)
    client = plain.connect(timeout=1.0)
    assert ask(client, GET % b"/open").body == b"hello"


# Around the sizes of weir's buffers: the small one that heads are read into, and those that bulk bodies grow to.
@pytest.mark.parametrize("size", [4096, 16_384, 65_536, 262_144])
@pytest.mark.parametrize("coded", [False, True])
def test_bodies_around_the_sizes_of_buffers(plain: Rig, size: int, coded: bool) -> None:
    client = plain.connect()
    for n in (size - 400, size - 20, size - 1, size, size + 1, size + 20):
        data = pattern(n)
        head = b"HTTP/1.1 200 OK\r\n" + (
            b"Transfer-Encoding: chunked\r\n\r\n" if coded else b"Content-Length: %d\r\n\r\n" % n
        )
        framed = chunked(data[: n // 2], data[n // 2 :]) if coded else data
        whole = head + framed
        cut = len(whole) - 3
        plain.endpoint.reply(whole[:100], 0.005, whole[100:cut], 0.005, whole[cut:])
        request = b"POST /sizes HTTP/1.1\r\nHost: test\r\nContent-Length: %d\r\n\r\n" % n
        response = ask(client, request + data, "POST")
        assert response.body == data
        assert plain.endpoint.requests[-1].body == data
    assert len(plain.endpoint.links) == 1


def test_long_heads_behind_each_other(plain: Rig) -> None:
    """Lines and heads longer than a buffer, pipelined and after a rest."""
    heads = [
        b"GET /%d HTTP/1.1\r\nHost: test\r\n%b\r\n"
        % (n, b"".join(b"X-%d: %b\r\n" % (line, bytes([97 + n]) * size) for line in range(count)))
        for n, (size, count) in enumerate([(10, 1), (15_000, 2), (300, 90), (30_000, 1), (10, 1), (8000, 3)])
    ]
    for _ in range(2):
        client = plain.connect()
        for piece in (len(b"".join(heads)), 4096, 1000):
            data = b"".join(heads)
            for at in range(0, len(data), piece):
                client.send(data[at : at + piece])
            for _ in heads:
                assert client.response().status == 200
    for n, request in enumerate(plain.endpoint.requests):
        assert request.head.target == f"/{n % len(heads)}"
        assert request.head.get("X-0") == heads[n % len(heads)].split(b"X-0: ")[1].split(b"\r\n")[0].decode()


def test_early_hints_without_a_final_answer(plain: Rig) -> None:
    plain.endpoint.reply(b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n", 0.05, CLOSE)
    response = plain.get("/hints-only")
    assert [head.status for head in response.interim] == [103]
    assert response.status == 502
    assert plain.reason("/hints-only") in ("upstream_closed", "upstream_truncated")


@pytest.mark.parametrize(
    "data", [b"TRACE / HTTP/1.1\r\nHost: test\r\n\r\n", b"CONNECT test:80 HTTP/1.1\r\nHost: test:80\r\n\r\n"]
)
def test_methods_that_are_not_served(plain: Rig, data: bytes) -> None:
    assert plain.ask(data).status == 405
    assert plain.endpoint.links == []


@pytest.mark.parametrize("target", [b"test", b"test:", b"/", b"http://test:80", b"http://test/"])
def test_connect_without_host_and_port(plain: Rig, target: bytes) -> None:
    assert plain.ask(b"CONNECT " + target + b" HTTP/1.1\r\nHost: test\r\n\r\n").status == 400


def test_the_preface_of_http2_behind_a_request(plain: Rig) -> None:
    client = plain.connect()
    assert ask(client, GET % b"/first").status == 200
    assert ask(client, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").status == 505
    assert client.ended()
    assert plain.endpoint.targets() == ["/first"]


def test_a_field_that_should_come_once_passes_as_it_came(plain: Rig) -> None:
    """Which of two is meant is for the client to say: weir joins and chooses nothing that it does not need itself."""
    plain.endpoint.reply(ok(b"", "Expires: 0", "Expires: 1"))
    assert plain.get("/twice", "If-Match: a", "If-Match: b").head.all("Expires") == ["0", "1"]
    assert plain.endpoint.requests[0].head.all("If-Match") == ["a", "b"]


def test_the_bytes_of_a_tunnel_are_counted(plain: Rig) -> None:
    def answer(request: Message) -> list[bytes]:
        return [
            b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n",
            b"d" * 1000,
            CLOSE.encode(),
        ]

    plain.endpoint.respond(answer)
    client = plain.connect()
    client.send(b"GET /tunnel HTTP/1.1\r\nHost: test\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n" + b"u" * 77)
    assert client.head().status == 101
    client.half_close()
    client.read_exactly(1000)
    client.close()
    (record,) = plain.proxy.logged(target="/tunnel")
    assert (record["request_body_bytes"], record["response_body_bytes"]) == (77, 1005)
