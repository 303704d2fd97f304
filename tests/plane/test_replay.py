"""A request is sent again only with proof that nothing is lost by it."""

from __future__ import annotations

import errno
from collections.abc import Callable

from tests.plane.scene import GET, OK, Scene

Stage = Callable[..., Scene]

POST = b"POST /a HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhello"


def reused(scene: Scene, request: bytes = GET) -> bytes:
    """Makes a first exchange, sends `request` on the same connections; the endpoint has not answered it."""
    client = scene.client(GET)
    scene.send(scene.endpoint(), OK)
    scene.endpoint().take_sent()
    client.take_sent()
    scene.clock.advance(1_000)
    client.feed(request)
    scene.turn()
    scene.client_of_reuse = client  # type: ignore[attr-defined]
    return scene.endpoint(0).take_sent()


def test_a_get_is_replayed_when_a_reused_connection_closes(stage: Stage) -> None:
    scene = stage()
    assert reused(scene) == GET
    scene.end(scene.endpoint(0))
    assert scene.dials == 2
    assert scene.endpoint(1).take_sent() == GET
    scene.send(scene.endpoint(1), OK)
    assert scene.client_of_reuse.take_sent() == OK  # type: ignore[attr-defined]
    assert scene.counters()["retries"] == 1


def test_a_connection_handed_over_without_rest_was_used_before(stage: Stage) -> None:
    scene = stage(pool={"max_connections": 1})
    first, second = scene.client(GET), scene.client(GET)
    scene.send(scene.endpoint(0), OK)
    assert first.take_sent() == OK
    scene.end(scene.endpoint(0))
    assert scene.dials == 2
    scene.send(scene.endpoint(1), OK)
    assert second.take_sent() == OK
    assert scene.counters()["retries"] == 1


def test_a_new_connection_that_closes_for_the_first_in_line_is_no_proof(stage: Stage) -> None:
    scene = stage()
    scene.dialer.mode = "wait"
    client = scene.client(GET)
    scene.endpoint(0).connect()
    scene.turn()
    scene.end(scene.endpoint(0))
    assert scene.dials == 1
    assert client.take_sent().startswith(b"HTTP/1.1 502 ")


def test_a_post_is_not_replayed(stage: Stage) -> None:
    scene = stage()
    assert reused(scene, POST) == POST
    scene.end(scene.endpoint(0))
    assert scene.dials == 1
    assert scene.client_of_reuse.take_sent().startswith(b"HTTP/1.1 502 ")  # type: ignore[attr-defined]


def test_nothing_is_replayed_after_a_byte_of_a_response(stage: Stage) -> None:
    scene = stage()
    reused(scene)
    scene.send(scene.endpoint(0), b"H")
    scene.end(scene.endpoint(0))
    assert scene.dials == 1
    assert scene.client_of_reuse.take_sent().startswith(b"HTTP/1.1 502 ")  # type: ignore[attr-defined]


def test_replays_stop_when_the_budget_is_spent(stage: Stage) -> None:
    scene = stage(retry={"ratio_percent": 0, "min_per_second": 0})
    reused(scene)
    scene.end(scene.endpoint(0))
    assert scene.dials == 1
    assert scene.client_of_reuse.take_sent().startswith(b"HTTP/1.1 502 ")  # type: ignore[attr-defined]


def test_the_request_behind_one_that_could_not_be_replayed_is_served(stage: Stage) -> None:
    """The request behind a chunked one was in the same read; it belongs to no body, whatever becomes of that one."""
    scene = stage()
    put = b"PUT /a HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n\r\n"
    assert reused(scene, put + GET) == put
    scene.dialer.mode = errno.ECONNREFUSED
    scene.end(scene.endpoint(0))
    sent = scene.client_of_reuse.take_sent()  # type: ignore[attr-defined]
    assert sent.count(b"HTTP/1.1 502 ") == 2, "both were asked for, neither can be had"
    scene.dialer.mode = "connect"
    scene.send(scene.client_of_reuse, GET)  # type: ignore[attr-defined]
    assert scene.endpoint().take_sent() == GET
    scene.send(scene.endpoint(), OK)
    assert scene.client_of_reuse.take_sent() == OK  # type: ignore[attr-defined]


def test_a_half_request_behind_one_that_could_not_be_replayed_is_not_begun_in_its_middle(stage: Stage) -> None:
    scene = stage()
    put = b"PUT /a HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
    hidden = b"GET /hidden HTTP/1.1\r\nHost: h\r\n\r\n"
    whole = b"POST /b HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n\r\n%s" % (len(hidden), hidden)
    assert reused(scene, put + whole[: -len(hidden)]) == put
    scene.dialer.mode = errno.ECONNREFUSED
    scene.end(scene.endpoint(0))
    scene.dialer.mode = "connect"
    scene.send(scene.client_of_reuse, hidden)  # type: ignore[attr-defined]
    scene.turn()
    seen = b"".join(stream.take_sent() for stream in scene.dialer.dialled)
    assert not seen.startswith(b"GET /hidden")


def test_a_post_of_which_no_byte_was_taken_is_sent_again(stage: Stage) -> None:
    scene = stage()
    client = scene.client(GET)
    scene.send(scene.endpoint(0), OK)
    client.take_sent()
    scene.endpoint(0).take_sent()
    scene.endpoint(0).room = 0
    scene.turn()
    scene.send(client, POST)
    assert scene.endpoint(0).take_sent() == b""
    scene.end(scene.endpoint(0))
    assert scene.dials == 2
    assert scene.endpoint(1).take_sent() == POST
    scene.send(scene.endpoint(1), OK)
    assert client.take_sent() == OK
    assert scene.counters()["retries"] == 1


def test_a_post_of_which_one_byte_was_taken_later_is_not_sent_again(stage: Stage) -> None:
    scene = stage()
    client = scene.client(GET)
    scene.send(scene.endpoint(0), OK)
    client.take_sent()
    scene.endpoint(0).take_sent()
    scene.endpoint(0).room = 0
    scene.turn()
    scene.send(client, POST)
    scene.endpoint(0).room = 1
    scene.turn()
    assert scene.endpoint(0).take_sent() == POST[:1]
    scene.end(scene.endpoint(0))
    assert scene.dials == 1
    assert client.take_sent().startswith(b"HTTP/1.1 502 ")
