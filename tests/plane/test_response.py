"""Transcripts of a response that comes in two pieces: a head, and later its body."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.plane.scene import GET, OK, Scene

Stage = Callable[..., Scene]

HEAD_ALONE = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n"


def test_a_head_without_body_waits_for_it_a_moment(stage: Stage) -> None:
    scene = stage()
    client = scene.client(GET)
    scene.send(scene.endpoint(), HEAD_ALONE)
    assert client.take_sent() == b""
    scene.send(scene.endpoint(), b"ok")
    assert client.take_sent() == OK
    # ... and not longer: a server that thinks between head and body, or a stream whose first event is far away.
    scene.send(client, GET)
    scene.send(scene.endpoint(), HEAD_ALONE)
    scene.wait_ms(15)
    assert client.take_sent() == HEAD_ALONE
    scene.wait_ms(59_000)
    scene.send(scene.endpoint(), b"ok")
    assert client.take_sent() == b"ok"
    assert scene.reasons() == {}


@pytest.mark.parametrize("answer", [b"HTTP/1.1 204 No Content\r\n\r\n", HEAD_ALONE.replace(b"2\r", b"0\r")])
def test_a_head_that_has_no_body_goes_on_at_once(stage: Stage, answer: bytes) -> None:
    scene = stage()
    client = scene.client(GET)
    scene.send(scene.endpoint(), answer)
    assert client.take_sent() == answer


def test_a_head_that_waits_does_so_for_a_moment_when_the_request_ends_meanwhile(stage: Stage) -> None:
    scene = stage()
    client = scene.client(b"POST /a HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nab")
    scene.send(scene.endpoint(), b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    assert client.take_sent() == b""
    scene.send(client, b"cde")
    assert scene.endpoint().take_sent().endswith(b"\r\n\r\nabcde")
    scene.wait_ms(20)
    assert client.take_sent() == b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


def test_an_endpoint_that_goes_after_the_head(stage: Stage) -> None:
    scene = stage()
    client = scene.client(GET)
    scene.send(scene.endpoint(), HEAD_ALONE)
    scene.end(scene.endpoint())
    # The client has nothing yet: an answer, and no cut.
    assert client.take_sent().startswith(b"HTTP/1.1 502 ")
    assert scene.reasons() == {"upstream_truncated": 1}


def test_an_endpoint_that_ends_with_its_head(stage: Stage) -> None:
    scene = stage()
    client = scene.client(GET)
    scene.endpoint().feed(HEAD_ALONE)
    scene.end(scene.endpoint())
    assert client.take_sent().startswith(b"HTTP/1.1 502 ")
    assert scene.reasons() == {"upstream_truncated": 1}


def test_an_endpoint_that_ends_when_its_head_has_gone(stage: Stage) -> None:
    scene = stage()
    client = scene.client(GET)
    scene.send(scene.endpoint(), HEAD_ALONE)
    scene.wait_ms(20)
    scene.end(scene.endpoint())
    assert client.take_sent() == HEAD_ALONE
    assert client.is_closed
    assert scene.reasons() == {"upstream_truncated": 1}


def test_a_reset_after_the_head_is_no_end_of_its_body(stage: Stage) -> None:
    scene = stage()
    client = scene.client(GET)
    scene.send(scene.endpoint(), b"HTTP/1.1 200 OK\r\n\r\n")
    scene.reset(scene.endpoint())
    assert client.take_sent().startswith(b"HTTP/1.1 502 ")
    assert scene.reasons() == {"upstream_reset": 1}


def test_a_client_that_goes_while_the_head_waits(stage: Stage) -> None:
    scene = stage()
    client = scene.client(GET)
    scene.send(scene.endpoint(), HEAD_ALONE)
    scene.reset(client)
    assert scene.endpoint().is_closed
    assert scene.reasons() == {"client_closed": 1}


def test_interim_heads_for_a_client_that_does_not_read_are_bounded(stage: Stage) -> None:
    """All of them, and the final head behind them, would have to be composed in one piece."""
    scene = stage()
    client = scene.client(GET)
    client.room = 0
    hint = b"HTTP/1.1 103 Early Hints\r\nLink: " + b"x" * 20_000 + b"\r\n\r\n"
    for _ in range(3):
        scene.send(scene.endpoint(), hint)
    assert not scene.endpoint().is_closed
    scene.send(scene.endpoint(), hint)
    assert scene.endpoint().is_closed
    assert scene.reasons() == {"bad_response": 1}
    client.room = -1
    scene.turn()
    sent = client.take_sent()
    assert sent.startswith(hint * 3 + b"HTTP/1.1 502 ")


@pytest.mark.parametrize("room", [0, 7, 30_000])
def test_a_final_head_behind_interim_heads_that_wait(stage: Stage, room: int) -> None:
    scene = stage(cluster={"max_response_head_bytes": 65_536})
    client = scene.client(GET)
    client.room = room
    hint = b"HTTP/1.1 103 Early Hints\r\nLink: " + b"x" * 21_000 + b"\r\n\r\n"
    final = b"HTTP/1.1 200 OK\r\nLink: " + b"y" * 60_000 + b"\r\nContent-Length: 10000\r\n\r\n" + b"z" * 10_000
    scene.send(scene.endpoint(), hint * 3)
    scene.send(scene.endpoint(), final)
    client.room = -1
    scene.turn()
    assert client.take_sent() == hint * 3 + final
    assert scene.reasons() == {}


@pytest.mark.parametrize("status", [b"200 OK", b"103 Early Hints", b"101 Switching Protocols"])
def test_a_response_that_names_too_many_options(stage: Stage, status: bytes) -> None:
    scene = stage()
    client = scene.client(b"GET /a HTTP/1.1\r\nHost: h\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n")
    options = b", ".join(b"x-%d" % number for number in range(65))
    scene.send(scene.endpoint(), b"HTTP/1.1 " + status + b"\r\nConnection: " + options + b"\r\nX-64: secret\r\n\r\n")
    assert client.take_sent().startswith(b"HTTP/1.1 502 ")
    assert scene.reasons() == {"bad_response": 1}


def test_room_and_bytes_of_a_client_in_one_event(stage: Stage) -> None:
    """The response waits for room, the request for bytes: the event that tells of both serves both."""
    scene = stage()
    client = scene.client(b"POST /a HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\n\r\n01234")
    endpoint = scene.endpoint()
    endpoint.take_sent()
    client.room = 0
    scene.send(endpoint, HEAD_ALONE.replace(b"2\r", b"4\r") + b"ab")
    client.feed(b"56789")
    client.room = -1
    scene.turn()
    assert client.take_sent().endswith(b"ab")
    assert endpoint.take_sent() == b"56789"
