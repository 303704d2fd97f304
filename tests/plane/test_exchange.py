"""Transcripts of one exchange: what the client sends, what the endpoint sees, and back."""

from __future__ import annotations

import errno
import json
from collections.abc import Callable

import pytest

from tests.plane.scene import GET, OK, Scene

Stage = Callable[..., Scene]

POST = b"POST /a HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhello"


def test_a_request_and_its_response(stage: Stage) -> None:
    scene = stage()
    client = scene.client(GET)
    assert scene.endpoint().take_sent() == GET
    scene.send(scene.endpoint(), OK)
    assert client.take_sent() == OK
    assert scene.counters() == scene.counters() | {
        "requests": 1,
        "response_body_bytes": 2,
        "status_2xx": 1,
        "errors": 0,
        "first_bytes": 1,
    }
    assert scene.plane.ledger() == {"downstreams": 1, "exchanges": 0, "upstreams": 1, "buffers": 0, "buffer_bytes": 0}


@pytest.mark.parametrize("size", [1, 2, 3, 7])
def test_request_and_response_in_pieces(stage: Stage, size: int) -> None:
    scene = stage()
    client = scene.client()
    for at in range(0, len(POST), size):
        scene.send(client, POST[at : at + size])
    assert scene.endpoint().take_sent() == POST
    for at in range(0, len(OK), size):
        scene.send(scene.endpoint(), OK[at : at + size])
    assert client.take_sent() == OK


def test_the_body_goes_on_at_once_in_both_directions(stage: Stage) -> None:
    scene = stage()
    client = scene.client(b"POST /a HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\n\r\n01234")
    endpoint = scene.endpoint()
    assert endpoint.take_sent().endswith(b"\r\n\r\n01234")
    scene.send(endpoint, b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nab")
    assert client.take_sent().endswith(b"\r\n\r\nab")
    scene.send(client, b"56789")
    assert endpoint.take_sent() == b"56789"
    scene.send(endpoint, b"cd")
    assert client.take_sent() == b"cd"
    scene.send(client, GET)
    assert scene.dials == 1, "the connection was not used again"
    assert endpoint.take_sent() == GET


def test_chunked_both_ways_with_extensions_and_trailers(stage: Stage) -> None:
    scene = stage()
    client = scene.client(
        b"POST /a HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n5;x=y\r\nhello\r\n0\r\nX-T: 1\r\n\r\n"
    )
    endpoint = scene.endpoint()
    assert endpoint.take_sent() == (
        b"POST /a HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nX-T: 1\r\n\r\n"
    )
    scene.send(endpoint, b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n")
    assert client.take_sent() == b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n"
    scene.send(endpoint, b"0\r\n\r\n")
    assert client.take_sent() == b"0\r\n\r\n"
    assert scene.counters()["response_body_bytes"] == 3
    assert scene.counters()["request_body_bytes"] == 5


def test_close_delimited_becomes_chunked(stage: Stage) -> None:
    scene = stage()
    client = scene.client(GET)
    endpoint = scene.endpoint()
    scene.send(endpoint, b"HTTP/1.1 200 OK\r\n\r\nhello")
    assert client.take_sent() == b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n"
    scene.send(endpoint, b"x" * 300)
    assert client.take_sent() == b"12c\r\n" + b"x" * 300 + b"\r\n"
    scene.end(endpoint)
    assert client.take_sent() == b"0\r\n\r\n"
    assert not client.is_closed
    assert endpoint.is_closed
    assert scene.counters()["response_body_bytes"] == 305


def test_http10_client_gets_plain_bytes(stage: Stage) -> None:
    scene = stage()
    client = scene.client(b"GET /a HTTP/1.0\r\nHost: h\r\n\r\n")
    assert scene.endpoint().take_sent() == GET
    scene.send(scene.endpoint(), b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n")
    assert client.take_sent() == b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nabc"
    assert client.is_closed


def test_http10_client_that_keeps_its_connection(stage: Stage) -> None:
    scene = stage()
    client = scene.client(b"GET /a HTTP/1.0\r\nHost: h\r\nConnection: keep-alive\r\n\r\n")
    assert scene.endpoint().take_sent() == GET
    scene.send(scene.endpoint(), OK)
    assert client.take_sent() == b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: keep-alive\r\n\r\nok"
    scene.send(client, GET)
    assert scene.dials == 1
    assert scene.endpoint().take_sent() == GET


def test_http10_endpoint(stage: Stage) -> None:
    scene = stage()
    client = scene.client(GET)
    scene.send(scene.endpoint(), b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok")
    assert client.take_sent() == OK
    assert scene.endpoint().is_closed, "HTTP/1.0 without keep-alive is used once"
    assert not client.is_closed


@pytest.mark.parametrize(
    ("request_line", "head"),
    [
        (b"HEAD", b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\n"),
        (b"GET", b"HTTP/1.1 304 Not Modified\r\nContent-Length: 50\r\n\r\n"),
        (b"GET", b"HTTP/1.1 204 No Content\r\n\r\n"),
    ],
)
def test_responses_without_body(stage: Stage, request_line: bytes, head: bytes) -> None:
    scene = stage()
    client = scene.client(request_line + b" /a HTTP/1.1\r\nHost: h\r\n\r\n")
    scene.send(scene.endpoint(), head)
    assert client.take_sent() == head
    scene.send(client, GET)
    assert scene.dials == 1


def test_interim_responses_pass(stage: Stage) -> None:
    scene = stage()
    client = scene.client(b"POST /a HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n")
    endpoint = scene.endpoint()
    assert b"Expect: 100-continue\r\n" in endpoint.take_sent()
    scene.send(endpoint, b"HTTP/1.1 100 Continue\r\n\r\n")
    assert client.take_sent() == b"HTTP/1.1 100 Continue\r\n\r\n"
    scene.send(client, b"hello")
    assert endpoint.take_sent() == b"hello"
    scene.send(endpoint, b"HTTP/1.1 103 Early Hints\r\nLink: </s.css>\r\n\r\n" + OK)
    assert client.take_sent() == b"HTTP/1.1 103 Early Hints\r\nLink: </s.css>\r\n\r\n" + OK
    assert not client.is_closed


def test_no_interim_response_for_http10(stage: Stage) -> None:
    scene = stage()
    client = scene.client(b"GET /a HTTP/1.0\r\nHost: h\r\n\r\n")
    scene.send(scene.endpoint(), b"HTTP/1.1 103 Early Hints\r\n\r\n" + OK)
    assert client.take_sent().startswith(b"HTTP/1.1 200 OK\r\n")


def test_interim_responses_without_end(stage: Stage) -> None:
    scene = stage()
    client = scene.client(GET)
    scene.send(scene.endpoint(), b"HTTP/1.1 103 Early Hints\r\n\r\n" * 20)
    assert b"HTTP/1.1 502 Bad Gateway" in client.take_sent()
    assert scene.reasons() == {"bad_response": 1}


def test_final_answer_instead_of_100(stage: Stage) -> None:
    scene = stage()
    client = scene.client(b"POST /a HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n")
    scene.send(scene.endpoint(), b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n")
    sent = client.take_sent()
    assert sent.startswith(b"HTTP/1.1 401 Unauthorized\r\n")
    assert b"Connection: close\r\n" in sent
    assert scene.endpoint().is_closed
    assert client.write_closed


def test_early_answer_while_the_upload_runs(stage: Stage) -> None:
    scene = stage()
    client = scene.client(b"POST /a HTTP/1.1\r\nHost: h\r\nContent-Length: 1000\r\n\r\n")
    scene.send(client, b"x" * 10)
    scene.send(scene.endpoint(), b"HTTP/1.1 413 Content Too Large\r\nContent-Length: 2\r\n\r\nno")
    assert client.take_sent().endswith(b"\r\n\r\nno")
    assert client.write_closed
    assert not client.is_closed, "it lingers, so that the answer arrives"
    scene.send(client, b"x" * 990)
    scene.end(client)
    assert client.is_closed


def test_upgrade_to_a_tunnel_with_half_close(stage: Stage) -> None:
    scene = stage()
    client = scene.client(b"GET /a HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\nearly")
    endpoint = scene.endpoint()
    sent = endpoint.take_sent()
    assert b"Upgrade: websocket\r\n" in sent
    assert not sent.endswith(b"early")
    scene.send(endpoint, b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\nhi")
    assert client.take_sent().endswith(b"\r\n\r\nhi")
    assert endpoint.take_sent() == b"early"
    scene.send(client, b"more")
    assert endpoint.take_sent() == b"more"
    scene.end(client)
    assert endpoint.write_closed
    scene.send(endpoint, b"last words")
    assert client.take_sent() == b"last words"
    scene.end(endpoint)
    assert client.is_closed
    assert endpoint.is_closed
    assert scene.counters()["status_1xx"] == 1


def test_a_tunnel_is_no_body_that_has_a_limit(stage: Stage) -> None:
    scene = stage(route={"max_body_bytes": 3})
    client = scene.client(b"GET /a HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\nearly")
    scene.send(scene.endpoint(), b"HTTP/1.1 101 Switching\r\nUpgrade: echo\r\nConnection: Upgrade\r\n\r\n")
    scene.send(client, b"and more")
    assert scene.endpoint().take_sent().endswith(b"\r\n\r\nearlyand more")


def test_101_that_nobody_asked_for(stage: Stage) -> None:
    scene = stage()
    client = scene.client(GET)
    scene.send(scene.endpoint(), b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n")
    assert client.take_sent().startswith(b"HTTP/1.1 502 ")


# -- failures ------------------------------------------------------------------------------------------


def test_refused_connection(stage: Stage) -> None:
    scene = stage()
    scene.dialer.mode = errno.ECONNREFUSED
    client = scene.client(GET)
    sent = client.take_sent()
    assert sent.startswith(b"HTTP/1.1 502 Bad Gateway\r\n")
    assert b"connect_refused" in sent
    assert not client.is_closed, "the request was taken in whole: the connection goes on"
    scene.dialer.mode = "connect"
    scene.send(client, GET)
    scene.send(scene.endpoint(), OK)
    assert client.take_sent() == OK


def test_connection_refused_later(stage: Stage) -> None:
    scene = stage()
    scene.dialer.mode = "wait"
    client = scene.client(GET)
    assert client.take_sent() == b""
    scene.endpoint().connect(errno.ECONNREFUSED)
    scene.turn()
    assert client.take_sent().startswith(b"HTTP/1.1 502 ")


def test_connect_timeout(stage: Stage) -> None:
    scene = stage(cluster={"connect_timeout_ms": 500})
    scene.dialer.mode = "wait"
    client = scene.client(GET)
    scene.wait_ms(520)
    assert client.take_sent().startswith(b"HTTP/1.1 504 ")
    assert scene.reasons() == {"connect_timeout": 1}


def test_a_refused_endpoint_leaves_it_to_the_next(stage: Stage) -> None:
    scene = stage(endpoints=2)
    scene.dialer.mode = "wait"
    client = scene.client(GET)
    assert scene.dials == 1
    scene.endpoint(0).connect(errno.ECONNREFUSED)
    scene.turn()
    assert scene.dials == 2
    scene.endpoint(1).connect()
    scene.turn()
    scene.send(scene.endpoint(1), OK)
    assert client.take_sent() == OK


def test_each_endpoint_is_asked_once_at_most(stage: Stage) -> None:
    scene = stage(endpoints=4)
    scene.dialer.mode = "wait"
    client = scene.client(GET)
    for number in range(4):
        assert scene.dials == number + 1
        scene.endpoint().connect(errno.ECONNREFUSED)
        scene.turn()
    assert scene.dials == 4
    assert client.take_sent().startswith(b"HTTP/1.1 502 ")


def test_no_addresses(stage: Stage) -> None:
    scene = stage()
    scene.plane.set_addresses(0, "192.0.2.1:80", [])
    client = scene.client(GET)
    assert b"no_endpoint" in client.take_sent()


def test_response_timeout(stage: Stage) -> None:
    scene = stage(cluster={"response_header_timeout_ms": 1000})
    client = scene.client(GET)
    scene.wait_ms(1020)
    assert client.take_sent().startswith(b"HTTP/1.1 504 Gateway Timeout")
    assert scene.endpoint().is_closed
    assert scene.reasons() == {"response_timeout": 1}


def test_stream_timeout_cuts_the_response(stage: Stage) -> None:
    scene = stage(cluster={"stream_idle_timeout_ms": 1000})
    client = scene.client(GET)
    scene.send(scene.endpoint(), b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nx")
    scene.wait_ms(900)
    scene.send(scene.endpoint(), b"y")
    scene.wait_ms(900)
    assert not scene.endpoint().is_closed
    scene.wait_ms(200)
    assert scene.endpoint().is_closed
    assert client.take_sent().endswith(b"xy")
    assert client.is_closed or client.write_closed
    assert scene.reasons() == {"stream_timeout": 1}


@pytest.mark.parametrize(
    "response",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n",
    ],
)
def test_truncated_response_is_visibly_truncated(stage: Stage, response: bytes) -> None:
    scene = stage()
    client = scene.client(GET)
    scene.send(scene.endpoint(), response)
    scene.end(scene.endpoint())
    assert client.take_sent() == response
    assert client.is_closed
    assert scene.reasons() == {"upstream_truncated": 1}


def test_truncated_response_to_http10_is_a_reset(stage: Stage) -> None:
    scene = stage()
    client = scene.client(b"GET /a HTTP/1.0\r\nHost: h\r\n\r\n")
    scene.send(scene.endpoint(), b"HTTP/1.1 200 OK\r\n\r\nabc")
    scene.reset(scene.endpoint())
    assert client.was_reset


@pytest.mark.parametrize("answer", [b"", b"HTTP/1.1 200 OK\r\nContent-"])
def test_endpoint_closes_before_a_response(stage: Stage, answer: bytes) -> None:
    scene = stage()
    client = scene.client(GET)
    if answer:
        scene.send(scene.endpoint(), answer)
    scene.end(scene.endpoint())
    assert client.take_sent().startswith(b"HTTP/1.1 502 ")
    assert scene.reasons() == {"upstream_closed": 1}
    assert scene.dials == 1, "a fresh connection that fails is no reason to try again"


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (b"garbage\r\n\r\n", "bad_response"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", "bad_response_framing"),
        (b"HTTP/1.1 200 OK\r\nX: " + b"y" * 40_000, "response_head_too_large"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", "bad_response_framing"),
    ],
)
def test_bad_responses(stage: Stage, answer: bytes, reason: str) -> None:
    scene = stage()
    client = scene.client(GET)
    scene.send(scene.endpoint(), answer)
    assert client.take_sent().startswith(b"HTTP/1.1 502 ")
    assert scene.reasons() == {reason: 1}
    assert scene.endpoint().is_closed


def test_client_gone_ends_the_exchange(stage: Stage) -> None:
    scene = stage()
    client = scene.client(GET)
    scene.reset(client)
    assert scene.endpoint().is_closed
    assert scene.reasons() == {"client_closed": 1}


def test_client_that_only_stops_sending_is_served(stage: Stage) -> None:
    scene = stage()
    client = scene.client(GET)
    scene.end(client)
    scene.send(scene.endpoint(), OK)
    assert client.take_sent() == OK
    assert client.is_closed


def test_client_that_stops_sending_is_aborted_if_told_so(stage: Stage) -> None:
    scene = stage(listener={"half_close": "abort"})
    client = scene.client(GET)
    scene.end(client)
    assert scene.endpoint().is_closed
    assert client.is_closed


def test_client_gone_in_the_middle_of_its_body(stage: Stage) -> None:
    scene = stage()
    client = scene.client(b"POST /a HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\n\r\nabc")
    scene.end(client)
    assert scene.endpoint().is_closed, "half a request is not left with the endpoint"
    assert client.is_closed
    assert scene.reasons() == {"client_closed": 1}


def test_bad_chunk_in_the_middle_of_a_body(stage: Stage) -> None:
    scene = stage()
    client = scene.client(b"POST /a HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n")
    scene.send(client, b"zz\r\n")
    assert client.take_sent().startswith(b"HTTP/1.1 400 ")
    assert scene.endpoint().is_closed
    assert scene.reasons() == {"bad_chunk": 1}


def test_body_over_its_limit(stage: Stage) -> None:
    scene = stage(route={"max_body_bytes": 4})
    client = scene.client(POST)
    assert client.take_sent().startswith(b"HTTP/1.1 413 ")
    assert scene.dials == 0
    other = scene.client(b"POST /a HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n")
    scene.send(other, b"3\r\ndef\r\n")
    assert other.take_sent().startswith(b"HTTP/1.1 413 ")
    assert scene.endpoint().is_closed


def test_endpoint_stops_reading_but_has_answered(stage: Stage) -> None:
    scene = stage()
    client = scene.client(b"POST /a HTTP/1.1\r\nHost: h\r\nContent-Length: 1000\r\n\r\n")
    endpoint = scene.endpoint()
    endpoint.feed(b"HTTP/1.1 413 Content Too Large\r\nContent-Length: 2\r\n\r\nno")
    endpoint.break_off()
    client.feed(b"x" * 500)
    scene.turn()
    assert client.take_sent().endswith(b"\r\n\r\nno")


# -- counting ------------------------------------------------------------------------------------------


def test_x_bytes_is_the_running_total(stage: Stage) -> None:
    scene = stage(stats={"header": "X-Bytes"})
    client = scene.client(GET)
    scene.send(scene.endpoint(), b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX-Bytes: 999\r\n\r\nok")
    assert b"\r\nX-Bytes: 2\r\n" in client.take_sent()
    scene.send(client, b"GET /a?query HTTP/1.1\r\nHost: h\r\n\r\n")
    scene.send(scene.endpoint(), b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n")
    assert b"\r\nX-Bytes: 2\r\n" in client.take_sent(), "a chunked response is counted when it ends"
    scene.send(client, b"HEAD /a HTTP/1.1\r\nHost: h\r\n\r\n")
    scene.send(scene.endpoint(), b"HTTP/1.1 200 OK\r\nContent-Length: 70\r\n\r\n")
    sent = client.take_sent()
    assert b"\r\nX-Bytes: 5\r\n" in sent
    assert b"999" not in sent


def test_one_line_of_log_for_each_exchange(stage: Stage) -> None:
    scene = stage()
    client = scene.client(b"GET /a?b=c HTTP/1.1\r\nHost: h\r\nUser-Agent: t\r\nReferer: r\r\n\r\n")
    scene.clock.advance(2_000)
    scene.send(scene.endpoint(), OK)
    scene.send(client, b"bad\r\n\r\n")
    lines = [json.loads(line) for line in scene.log.take().splitlines()]
    assert len(lines) == 2
    assert lines[0] == lines[0] | {
        "method": "GET",
        "target": "/a?b=c",
        "status": 200,
        "reason": "none",
        "response_body_bytes": 2,
        "user_agent": "t",
        "referer": "r",
        "host": "h",
        "endpoint": "192.0.2.1:80",
        "retries": 0,
    }
    assert lines[1]["status"] == 400
    assert lines[1]["reason"] == "bad_request"


def test_a_tunnel_that_nobody_uses_ends(stage: Stage) -> None:
    scene = stage(cluster={"stream_idle_timeout_ms": 1000})
    client = scene.client(b"GET /a HTTP/1.1\r\nHost: h\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n")
    scene.send(scene.endpoint(), b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n")
    scene.wait_ms(700)
    scene.send(client, b"still here")
    scene.wait_ms(700)
    assert not scene.endpoint().is_closed
    scene.wait_ms(700)
    assert scene.endpoint().is_closed
    scene.end(client)
    assert client.is_closed
    assert scene.reasons() == {"stream_timeout": 1}
