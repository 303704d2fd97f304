"""Interim responses: 100-continue and early hints (RFC 9110 sections 10.1.1 and 15.2, RFC 8297)."""

from __future__ import annotations

import pytest

from .peers import Link, ok
from .rig import Rig

pytestmark = pytest.mark.timeout(15)

EXPECTING = b"POST /expect HTTP/1.1\r\nHost: test\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n"
HINTS = b"HTTP/1.1 103 Early Hints\r\nLink: </style.css>; rel=preload\r\n\r\n"


def test_the_endpoints_100_reaches_the_client_before_the_body_is_sent(plain: Rig) -> None:
    def script(link: Link) -> None:
        head = link.head()
        assert head.get("Expect") == "100-continue"
        assert link.silent(0.1)  # the body waits for permission
        link.send(b"HTTP/1.1 100 Continue\r\n\r\n")
        assert link.read_exactly(5) == b"hello"
        link.send(ok(b"thanks"))

    plain.endpoint.handle(script)
    client = plain.connect()
    client.send(EXPECTING)
    assert client.head().status == 100
    client.send(b"hello")
    response = client.response("POST")
    assert (response.status, response.body, response.interim) == (200, b"thanks", [])


@pytest.mark.parametrize("status", ["417 Expectation Failed", "401 Unauthorized", "413 Content Too Large"])
def test_a_final_answer_instead_of_100(plain: Rig, status: str) -> None:
    def script(link: Link) -> None:
        link.head()
        link.send(ok(b"no", status=status))
        link.read_to_end()

    plain.endpoint.handle(script)
    client = plain.connect()
    client.send(EXPECTING)
    response = client.response("POST")
    assert response.head.start == f"HTTP/1.1 {status}"
    assert (response.body, response.interim) == (b"no", [])
    # The body was never sent, so nothing after it could be told from it: the connection must go.
    assert client.ended()


def test_a_client_that_does_not_wait_for_100(plain: Rig) -> None:
    client = plain.connect()
    client.send(EXPECTING + b"hello" + b"GET /next HTTP/1.1\r\nHost: test\r\n\r\n")
    assert client.response("POST").body == b"hello"
    assert client.response().status == 200
    assert plain.endpoint.targets() == ["/expect", "/next"]


def test_an_unknown_expectation_is_refused(plain: Rig) -> None:
    response = plain.ask(b"GET / HTTP/1.1\r\nHost: test\r\nExpect: the-unexpected\r\n\r\n")
    assert response.status == 417
    assert b"expectation_failed" in response.body
    assert plain.endpoint.requests == []


def test_early_hints_reach_an_http11_client_at_once(plain: Rig) -> None:
    plain.endpoint.reply(HINTS, HINTS, 0.3, ok(b"page"))
    client = plain.connect()
    client.send(b"GET /hints HTTP/1.1\r\nHost: test\r\n\r\n")
    hints = [client.head(), client.head()]
    assert client.silent(0.1)
    assert [head.status for head in hints] == [103, 103]
    assert hints[0].get("Link") == "</style.css>; rel=preload"
    # Interim heads have no body, so no framing; and nothing has been counted yet.
    assert all(head.get(name) is None for head in hints for name in ("Content-Length", "X-Bytes"))
    assert client.response().body == b"page"


def test_early_hints_do_not_reach_an_http10_client(plain: Rig) -> None:
    plain.endpoint.reply(HINTS, ok(b"page"))
    client = plain.connect()
    client.send(b"GET /hints HTTP/1.0\r\nHost: test\r\n\r\n")
    response = client.response()
    assert (response.status, response.body, response.interim) == (200, b"page", [])


def test_many_interim_responses_pass_in_order(plain: Rig) -> None:
    hints = b"".join(b"HTTP/1.1 103 Early Hints\r\nX-N: %d\r\n\r\n" % n for n in range(8))
    plain.endpoint.reply(hints + ok(b"page"))
    response = plain.get("/hints")
    assert [head.get("X-N") for head in response.interim] == [str(n) for n in range(8)]
    assert response.body == b"page"


def test_the_connection_is_reused_after_100(plain: Rig) -> None:
    seen: list[bytes] = []

    def serve(link: Link) -> None:
        while link.buffer or link.fill():
            link.head()
            link.send(b"HTTP/1.1 100 Continue\r\n\r\n")
            seen.append(link.read_exactly(5))
            link.send(ok(b"thanks"))

    plain.endpoint.handle(serve)
    client = plain.connect()
    for _ in range(3):
        client.send(EXPECTING)
        assert client.head().status == 100
        client.send(b"hello")
        assert client.response("POST").body == b"thanks"
    assert seen == [b"hello"] * 3
    assert len(plain.endpoint.links) == 1
