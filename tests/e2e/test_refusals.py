"""What is not a request is answered with the right status and word, and never reaches an endpoint."""

from __future__ import annotations

import pytest

from .conftest import MakeRig
from .peers import chunked
from .rig import Rig
from .wire import Truncated

pytestmark = pytest.mark.timeout(15)

HOST = b"Host: test\r\n"


def with_fields(*lines: bytes, method: bytes = b"POST") -> bytes:
    return method + b" /smuggled HTTP/1.1\r\n" + HOST + b"".join(line + b"\r\n" for line in lines) + b"\r\n"


NEXT = b"GET /admin HTTP/1.1\r\nHost: test\r\n\r\n"

# name: (bytes, statuses allowed, reason words allowed)
BAD: dict[str, tuple[bytes, set[int], set[str]]] = {
    "not HTTP": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", {400}, {"bad_request"}),
    "one word": (b"HELLO\r\n\r\n", {400}, {"bad_request"}),
    "no version": (b"GET /\r\n\r\n", {400, 505}, {"bad_request", "bad_version"}),
    "HTTP/2.0": (b"GET / HTTP/2.0\r\n" + HOST + b"\r\n", {505}, {"bad_version"}),
    "HTTP/2 preface": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", {400, 505}, {"bad_request", "bad_version"}),
    "HTTP/0.9 version": (b"GET / HTTP/0.9\r\n" + HOST + b"\r\n", {505}, {"bad_version"}),
    "lower-case version": (b"GET / http/1.1\r\n" + HOST + b"\r\n", {400, 505}, {"bad_request", "bad_version"}),
    "two spaces": (b"GET  / HTTP/1.1\r\n" + HOST + b"\r\n", {400}, {"bad_request"}),
    "space in target": (b"GET /a b HTTP/1.1\r\n" + HOST + b"\r\n", {400}, {"bad_request"}),
    "control in target": (b"GET /a\x01b HTTP/1.1\r\n" + HOST + b"\r\n", {400}, {"bad_request"}),
    "bare LF": (b"GET / HTTP/1.1\nHost: test\n\n", {400}, {"bad_request"}),
    "bare CR in value": (b"GET / HTTP/1.1\r\n" + HOST + b"X: a\rb\r\n\r\n", {400}, {"bad_request"}),
    "NUL in value": (b"GET / HTTP/1.1\r\n" + HOST + b"X: a\x00b\r\n\r\n", {400}, {"bad_request"}),
    "space before colon": (with_fields(b"Content-Length : 5") + b"hello", {400}, {"bad_request"}),
    "no colon": (with_fields(b"Nonsense", method=b"GET"), {400}, {"bad_request"}),
    "empty name": (with_fields(b": value", method=b"GET"), {400}, {"bad_request"}),
    "bad name": (with_fields(b"X(y): 1", method=b"GET"), {400}, {"bad_request"}),
    "obs-fold": (with_fields(b"X-Folded: a", b" b", method=b"GET"), {400}, {"bad_request"}),
    "folded first line": (b"GET / HTTP/1.1\r\n " + HOST + b"\r\n", {400}, {"bad_request"}),
    "bad method": (b"G(T / HTTP/1.1\r\n" + HOST + b"\r\n", {400}, {"bad_request"}),
    "no Host": (b"GET / HTTP/1.1\r\n\r\n", {400}, {"bad_host"}),
    "two Hosts": (b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", {400}, {"bad_host"}),
    "Host with path": (b"GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", {400}, {"bad_host"}),
    "Host with user": (b"GET / HTTP/1.1\r\nHost: user@a\r\n\r\n", {400}, {"bad_host"}),
    "CONNECT": (b"CONNECT test:443 HTTP/1.1\r\nHost: test:443\r\n\r\n", {405, 501, 400}, {"method_refused"}),
    "relative target": (b"GET a/b HTTP/1.1\r\n" + HOST + b"\r\n", {400}, {"bad_request"}),
    # smuggling
    "CL and TE": (
        with_fields(b"Content-Length: 5", b"Transfer-Encoding: chunked") + b"0\r\n\r\n" + NEXT,
        {400},
        {"bad_framing"},
    ),
    "TE and CL": (
        with_fields(b"Transfer-Encoding: chunked", b"Content-Length: 100") + b"0\r\n\r\n" + NEXT,
        {400},
        {"bad_framing"},
    ),
    "two CL": (with_fields(b"Content-Length: 5", b"Content-Length: 6") + b"hello" + NEXT, {400}, {"bad_framing"}),
    "CL list": (with_fields(b"Content-Length: 5, 6") + b"hello" + NEXT, {400}, {"bad_framing"}),
    "CL plus": (with_fields(b"Content-Length: +5") + b"hello" + NEXT, {400}, {"bad_framing"}),
    "CL minus": (with_fields(b"Content-Length: -5") + b"hello" + NEXT, {400}, {"bad_framing"}),
    "CL hex": (with_fields(b"Content-Length: 0x5") + b"hello" + NEXT, {400}, {"bad_framing"}),
    "CL empty": (with_fields(b"Content-Length:") + NEXT, {400}, {"bad_framing"}),
    "CL inner space": (with_fields(b"Content-Length: 1 0") + b"hello" + NEXT, {400}, {"bad_framing"}),
    "CL overflow": (with_fields(b"Content-Length: 18446744073709551621") + b"hello" + NEXT, {400}, {"bad_framing"}),
    "TE xchunked": (
        with_fields(b"Transfer-Encoding: xchunked") + b"0\r\n\r\n" + NEXT,
        {400, 501},
        {"unsupported_coding", "bad_framing"},
    ),
    "TE identity": (
        with_fields(b"Transfer-Encoding: identity") + NEXT,
        {400, 501},
        {"unsupported_coding", "bad_framing"},
    ),
    "TE gzip, chunked": (
        with_fields(b"Transfer-Encoding: gzip, chunked") + b"0\r\n\r\n" + NEXT,
        {501, 400},
        {"unsupported_coding", "bad_framing"},
    ),
    "TE chunked, gzip": (
        with_fields(b"Transfer-Encoding: chunked, gzip") + b"0\r\n\r\n" + NEXT,
        {400, 501},
        {"bad_framing", "unsupported_coding"},
    ),
    "TE chunked twice": (
        with_fields(b"Transfer-Encoding: chunked", b"Transfer-Encoding: chunked") + b"0\r\n\r\n" + NEXT,
        {400},
        {"bad_framing"},
    ),
    "TE quoted": (
        with_fields(b'Transfer-Encoding: "chunked"') + b"0\r\n\r\n" + NEXT,
        {400, 501},
        {"bad_framing", "unsupported_coding"},
    ),
    "TE vertical tab": (
        with_fields(b"Transfer-Encoding: \x0bchunked") + b"0\r\n\r\n" + NEXT,
        {400, 501},
        {"bad_request", "bad_framing", "unsupported_coding"},
    ),
    "TE in HTTP/1.0": (
        b"POST / HTTP/1.0\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + NEXT,
        {400},
        {"bad_framing"},
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_requests(plain: Rig, name: str) -> None:
    data, statuses, words = BAD[name]
    client = plain.connect(timeout=3)
    client.send(data)
    response = client.response("POST")
    assert response.status in statuses, response.raw
    assert (response.head.get("Connection") or "").lower() == "close"
    assert any(word.encode() in response.body for word in words), response.body
    assert client.ended()
    assert plain.endpoint.requests == []
    assert plain.endpoint.links == []


CHUNKS = {
    "size is not hex": b"zz\r\nhello\r\n0\r\n\r\n",
    "size is empty": b"\r\nhello\r\n0\r\n\r\n",
    "size is negative": b"-5\r\nhello\r\n0\r\n\r\n",
    "size with 0x": b"0x5\r\nhello\r\n0\r\n\r\n",
    "size overflows": b"10000000000000005\r\nhello\r\n0\r\n\r\n",
    "data is longer": b"3\r\nhello\r\n0\r\n\r\n",
    "bare LF": b"5\nhello\n0\n\n",
    "LF in extension": b"5;a\nb\r\nhello\r\n0\r\n\r\n",
    "endless extension": b"5;" + b"a" * 100_000,
    "endless trailers": b"0\r\n" + b"X: y\r\n" * 100_000,
    "folded trailer": b"0\r\nX: a\r\n b\r\n\r\n",
}


@pytest.mark.parametrize("name", CHUNKS)
def test_bad_chunks(plain: Rig, name: str) -> None:
    client = plain.connect(timeout=3)
    try:
        client.send(with_fields(b"Transfer-Encoding: chunked") + CHUNKS[name] + NEXT)
        response = client.response("POST")
    except (ConnectionError, Truncated):  # cut off instead of answered: the endpoint may have begun to
        response = None
    if response is not None:
        assert response.status in (400, 431, 502), response.raw
    assert client.ended()
    # The head may have gone on before the body turned out bad; the request as a whole must not have.
    assert plain.endpoint.requests == []


def test_a_head_that_is_too_large(plain: Rig) -> None:
    for fields in (b"X: " + b"x" * 40_000, b"\r\n".join(b"X-%d: y" % n for n in range(300))):
        client = plain.connect()
        client.send(b"GET / HTTP/1.1\r\n" + HOST + fields + b"\r\n\r\n")
        response = client.response()
        assert response.status == 431
        assert b"head_too_large" in response.body
        assert client.ended()
    assert plain.endpoint.requests == []


def test_a_head_without_end_is_refused_before_it_ends(plain: Rig) -> None:
    client = plain.connect()
    client.send(b"GET / HTTP/1.1\r\n" + HOST)
    try:
        for _ in range(100):
            client.send(b"X: " + b"x" * 4000 + b"\r\n")
    except ConnectionError:
        pass
    assert client.response().status == 431


def test_a_target_that_is_too_long(plain: Rig) -> None:
    response = plain.ask(b"GET /" + b"t" * 9000 + b" HTTP/1.1\r\n" + HOST + b"\r\n")
    assert response.status == 414
    assert b"target_too_long" in response.body
    assert plain.ask(b"GET /" + b"t" * 8000 + b" HTTP/1.1\r\n" + HOST + b"\r\n").status == 200


def test_limits_can_be_set(weir: MakeRig) -> None:
    rig = weir(listener={"max_head": "2KiB", "max_fields": 5, "max_target": "100B"})
    assert rig.get("/" + "t" * 150).status == 414
    assert rig.get("/", *(f"X-{n}: y" for n in range(6))).status == 431
    assert rig.get("/", "X: " + "x" * 3000).status == 431
    assert rig.get("/fine", "X: y").status == 200
    assert rig.endpoint.targets() == ["/fine"]


def test_an_error_answer_is_whole_and_says_why(plain: Rig) -> None:
    response = plain.ask(b"GET / HTTP/1.1\r\n\r\n")
    assert response.head.get("Content-Length") == str(len(response.body))
    assert (response.head.get("Content-Type") or "").startswith("text/plain")
    assert response.head.get("Date") is not None


def test_an_error_answer_to_head_has_no_body(weir: MakeRig) -> None:
    rig = weir(endpoints=["unix:/nonexistent/socket"])
    client = rig.connect()
    client.send(b"HEAD / HTTP/1.1\r\nHost: test\r\n\r\n" * 2)
    assert client.response("HEAD").status == 502
    assert client.response("HEAD").status == 502
    assert client.silent(0.05)


def test_what_a_client_sends_after_a_refusal_does_not_break_the_answer(plain: Rig) -> None:
    client = plain.connect()
    client.send(with_fields(b"Content-Length: 5", b"Content-Length: 6"))
    try:
        for _ in range(64):
            client.send(b"u" * 65_536)
    except ConnectionError:
        pass
    assert client.response("POST").status == 400


def test_max_requests_of_a_client_connection(weir: MakeRig) -> None:
    rig = weir(listener={"max_requests": 2})
    client = rig.connect()
    client.send(b"GET / HTTP/1.1\r\nHost: test\r\n\r\n" * 3)
    assert client.response().head.get("Connection") is None
    assert (client.response().head.get("Connection") or "").lower() == "close"
    assert client.ended()
    assert len(rig.endpoint.requests) == 2


def test_a_chunked_upload_is_only_forwarded_whole(plain: Rig) -> None:
    assert plain.ask(with_fields(b"Transfer-Encoding: Chunked") + chunked(b"abc"), "POST").body == b"abc"
