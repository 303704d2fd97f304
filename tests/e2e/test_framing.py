"""Message framing, byte by byte: what arrives with one framing leaves with the right one."""

from __future__ import annotations

import pytest

from .peers import CLOSE, chunked, ok
from .rig import Rig
from .wire import Message, eventually

pytestmark = pytest.mark.timeout(15)

GET = b"GET %s HTTP/1.1\r\nHost: test\r\n\r\n"


def post(body: bytes, *fields: str) -> bytes:
    lines = "".join(f"{line}\r\n" for line in fields)
    return f"POST /upload HTTP/1.1\r\nHost: test\r\n{lines}\r\n".encode("latin-1") + body


def in_sequence(rig: Rig, requests: list[tuple[str, bytes]]) -> list[Message]:
    """The responses to (method, request) sent one after another on one connection."""
    client = rig.connect()
    responses = []
    for method, request in requests:
        client.send(request)
        responses.append(client.response(method))
    return responses


# -- requests


def test_chunked_request_with_extensions_and_trailers(plain: Rig) -> None:
    body = b'5;name=value\r\nhello\r\n006;x="a;b"\r\n world\r\n0;last\r\nX-Sum: 42\r\nX-More: yes\r\n\r\n'
    response = plain.ask(post(body, "Transfer-Encoding: chunked", "Trailer: X-Sum", "TE: trailers"), "POST")
    (seen,) = plain.endpoint.requests
    assert seen.body == b"hello world"
    assert seen.trailers == [("X-Sum", "42"), ("X-More", "yes")]
    assert b"name=value" not in seen.framed
    assert b"last" not in seen.framed
    assert response.body == b"hello world"


def test_chunked_request_byte_by_byte(plain: Rig) -> None:
    client = plain.connect()
    for byte in post(chunked(b"abc", b"defghijklmnop", b"q"), "Transfer-Encoding: chunked"):
        client.send(bytes([byte]))
    assert client.response("POST").body == b"abcdefghijklmnopq"
    assert plain.endpoint.requests[0].body == b"abcdefghijklmnopq"


def test_request_body_is_passed_on_while_it_arrives(plain: Rig) -> None:
    client = plain.connect()
    client.send(post(b"first", "Content-Length: 10"))
    plain.endpoint.wait_links(1)
    eventually(lambda: plain.endpoint.links[0].buffer.endswith(b"first"), what="the first half at the endpoint")
    client.send(b"after")
    assert client.response("POST").body == b"firstafter"


def test_forbidden_trailers_do_not_pass(plain: Rig) -> None:
    body = b"3\r\nabc\r\n0\r\nContent-Length: 9\r\nHost: evil\r\nTransfer-Encoding: x\r\nX-Fine: 1\r\n\r\n"
    plain.ask(post(body, "Transfer-Encoding: chunked"), "POST")
    (seen,) = plain.endpoint.requests
    assert [name for name, _ in seen.trailers] == ["X-Fine"]


def test_body_of_zero_bytes(plain: Rig) -> None:
    responses = in_sequence(
        plain,
        [
            ("POST", post(b"", "Content-Length: 0")),
            ("POST", post(chunked(), "Transfer-Encoding: chunked")),
            ("POST", post(b"")),
        ],
    )
    assert [response.status for response in responses] == [200, 200, 200]
    assert [request.body for request in plain.endpoint.requests] == [b"", b"", b""]


def test_several_equal_content_lengths_are_refused_or_made_one(plain: Rig) -> None:
    client = plain.connect()
    client.send(post(b"abc", "Content-Length: 3", "Content-Length: 3"))
    status = client.response("POST").status
    assert status in (200, 400)
    if status == 200:
        assert plain.endpoint.requests[0].head.get("Content-Length") == "3"
    else:
        assert plain.endpoint.requests == []


def test_empty_lines_before_a_request_are_skipped(plain: Rig) -> None:
    assert plain.ask(b"\r\n" + GET % b"/after-empty-line").status == 200


# -- responses


def test_chunked_response_with_extensions_and_trailers(plain: Rig) -> None:
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n"
    plain.endpoint.reply(head + b"3;ext=1\r\nabc\r\n0000A\r\n0123456789\r\n000;z\r\nX-Sum: 7\r\n\r\n")
    response = plain.get("/chunked", "TE: trailers", "Connection: TE")
    assert response.body == b"abc0123456789"
    assert response.head.get("Transfer-Encoding") == "chunked"
    assert response.head.get("Content-Length") is None
    assert response.trailers == [("X-Sum", "7")]


def test_chunked_response_keeps_both_connections(plain: Rig) -> None:
    plain.endpoint.reply(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunked(b"x" * 70_000, b"y"))
    responses = in_sequence(plain, [("GET", GET % b"/again")] * 5)
    assert [len(response.body) for response in responses] == [70_001] * 5
    assert len(plain.endpoint.links) == 1


def test_close_delimited_response_keeps_the_client(plain: Rig) -> None:
    plain.endpoint.reply(b"HTTP/1.1 200 OK\r\n\r\n", b"until ", 0.02, b"the end", CLOSE)
    responses = in_sequence(plain, [("GET", GET % b"/close-delimited")] * 3)
    assert [response.body for response in responses] == [b"until the end"] * 3
    assert all(response.head.get("Transfer-Encoding") == "chunked" for response in responses)
    assert len(plain.endpoint.links) == 3


def test_responses_without_body(plain: Rig) -> None:
    def answer(request: Message) -> bytes:
        status = request.head.target.strip("/")
        if request.head.method == "HEAD":
            return b"HTTP/1.1 200 OK\r\nContent-Length: 12345\r\n\r\n"
        if status == "304":
            return b'HTTP/1.1 304 Not Modified\r\nContent-Length: 99\r\nETag: "e"\r\n\r\n'
        return b"HTTP/1.1 204 No Content\r\n\r\n"

    plain.endpoint.respond(answer)
    head, none, unchanged, again = in_sequence(
        plain,
        [
            ("HEAD", b"HEAD /head HTTP/1.1\r\nHost: test\r\n\r\n"),
            ("GET", GET % b"/204"),
            ("GET", GET % b"/304"),
            ("GET", GET % b"/204"),
        ],
    )
    assert (head.status, head.head.get("Content-Length")) == (200, "12345")
    assert (none.status, none.head.get("Content-Length"), none.head.get("Transfer-Encoding")) == (204, None, None)
    assert (unchanged.status, unchanged.head.get("ETag")) == (304, '"e"')
    assert again.status == 204
    assert len(plain.endpoint.links) == 1


def test_head_of_a_chunked_resource_has_no_body(plain: Rig) -> None:
    plain.endpoint.reply(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    client = plain.connect()
    client.send(b"HEAD /head HTTP/1.1\r\nHost: test\r\n\r\n")
    assert client.response("HEAD").status == 200
    client.send(b"HEAD /head HTTP/1.1\r\nHost: test\r\n\r\n")
    assert client.response("HEAD").status == 200
    assert client.silent(0.1)


def test_response_head_byte_by_byte(plain: Rig) -> None:
    def drip(request: Message) -> list[bytes]:
        return [bytes([byte]) for byte in b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nX-Drip: yes\r\n\r\nhello"]

    plain.endpoint.respond(drip)
    response = plain.get("/drip")
    assert (response.body, response.head.get("X-Drip")) == (b"hello", "yes")


def test_status_line_passes_as_it_is(plain: Rig) -> None:
    plain.endpoint.reply(b"HTTP/1.1 299 Rather Fine\r\nContent-Length: 0\r\n\r\n")
    assert plain.get("/status").head.start == "HTTP/1.1 299 Rather Fine"


def test_status_line_without_reason_phrase(plain: Rig) -> None:
    plain.endpoint.reply(b"HTTP/1.1 200 \r\nContent-Length: 2\r\n\r\nok")
    assert plain.get("/no-phrase").body == b"ok"


# -- HTTP/1.0


def test_http10_client_gets_a_plain_body_and_a_close(plain: Rig) -> None:
    plain.endpoint.reply(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunked(b"abc", b"def"))
    client = plain.connect()
    client.send(b"GET /old HTTP/1.0\r\nHost: test\r\n\r\n")
    response = client.response()
    assert response.head.get("Transfer-Encoding") is None
    assert response.body == b"abcdef"
    assert plain.endpoint.requests[0].head.start == "GET /old HTTP/1.1"


def test_http10_client_without_keep_alive_is_closed(plain: Rig) -> None:
    client = plain.connect()
    client.send(b"POST /old HTTP/1.0\r\nContent-Length: 3\r\n\r\nabc")
    assert client.response("POST").body == b"abc"
    assert client.ended()


def test_http10_client_with_keep_alive_is_kept(plain: Rig) -> None:
    client = plain.connect()
    for _ in range(3):
        client.send(b"POST /old HTTP/1.0\r\nConnection: keep-alive\r\nContent-Length: 3\r\n\r\nabc")
        response = client.response("POST")
        assert response.body == b"abc"
        assert (response.head.get("Connection") or "").lower() == "keep-alive"
    assert len(plain.endpoint.links) == 1


def test_http10_server_with_length(plain: Rig) -> None:
    plain.endpoint.reply(b"HTTP/1.0 200 OK\r\nContent-Length: 3\r\n\r\nold", CLOSE)
    responses = in_sequence(plain, [("GET", GET % b"/old-server")] * 3)
    assert [response.body for response in responses] == [b"old"] * 3
    assert [response.head.start for response in responses] == ["HTTP/1.1 200 OK"] * 3
    assert len(plain.endpoint.links) == 3


def test_http10_server_that_keeps_alive(plain: Rig) -> None:
    plain.endpoint.reply(b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 3\r\n\r\nold")
    responses = in_sequence(plain, [("GET", GET % b"/old-server")] * 3)
    assert [response.body for response in responses] == [b"old"] * 3
    assert len(plain.endpoint.links) == 1


def test_client_that_says_close_is_closed(plain: Rig) -> None:
    client = plain.connect()
    client.send(b"GET /last HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n")
    response = client.response()
    assert (response.head.get("Connection") or "").lower() == "close"
    assert client.ended()
    # The wish was the client's: the connection to the endpoint is not its business.
    assert plain.endpoint.requests[0].head.get("Connection") is None
    assert plain.get("/next").status == 200
    assert len(plain.endpoint.links) == 1


def test_server_that_says_close_is_not_used_again(plain: Rig) -> None:
    plain.endpoint.reply(ok(b"bye", "Connection: close"))
    responses = in_sequence(plain, [("GET", GET % b"/close")] * 3)
    assert [response.body for response in responses] == [b"bye"] * 3
    assert [response.head.get("Connection") for response in responses] == [None] * 3
    assert len(plain.endpoint.links) == 3


# -- targets


@pytest.mark.parametrize(
    ("target", "seen"),
    [
        ("http://test/absolute/form?q=1", "/absolute/form?q=1"),
        ("http://test", "/"),
        ("/a//b/../c?x=/../y", "/a//b/../c?x=/../y"),
        ("/%41%2f%7e?%20+", "/%41%2f%7e?%20+"),
    ],
)
def test_targets(plain: Rig, target: str, seen: str) -> None:
    assert plain.ask(GET % target.encode()).status == 200
    (request,) = plain.endpoint.requests
    assert request.head.target == seen
    assert request.head.get("Host") == "test"


def test_options_asterisk(plain: Rig) -> None:
    assert plain.ask(b"OPTIONS * HTTP/1.1\r\nHost: test\r\n\r\n").status == 200
    assert plain.endpoint.targets() == ["*"]


def test_absolute_form_decides_the_host(plain: Rig) -> None:
    response = plain.ask(b"GET http://right.example/ HTTP/1.1\r\nHost: wrong.example\r\n\r\n")
    # RFC 9112 section 3.2.2: the target's authority replaces Host; refusing the contradiction is as good.
    if response.status == 200:
        assert plain.endpoint.requests[0].head.get("Host") == "right.example"
    else:
        assert response.status == 400
        assert plain.endpoint.requests == []


def test_unknown_method_passes(plain: Rig) -> None:
    assert plain.ask(b"PROPFIND /dav HTTP/1.1\r\nHost: test\r\nContent-Length: 2\r\n\r\nhi").body == b"hi"
    assert plain.endpoint.requests[0].head.method == "PROPFIND"
