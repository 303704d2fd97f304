"""The pool: whose connection is whose, and when there is none."""

from __future__ import annotations

import errno
from collections.abc import Callable

import pytest

from tests.plane.scene import GET, OK, Scene
from weir.plane.fake import FakeStream

Stage = Callable[..., Scene]

POST = b"POST /a HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n"


def state(scene: Scene) -> dict[str, object]:
    return scene.plane.pools(0)[0]


def test_newest_first(stage: Stage) -> None:
    scene = stage()
    clients = [scene.client(GET) for _ in range(3)]
    assert scene.dials == 3
    for number in (2, 0, 1):
        scene.send(scene.endpoint(number), OK)
        scene.endpoint(number).take_sent()
    scene.send(clients[0], GET)
    assert scene.endpoint(1).take_sent() == GET, "the one given back last is taken first"
    assert scene.endpoint(0).take_sent() == b""


def test_a_closed_idle_connection_is_noticed_at_once(stage: Stage) -> None:
    scene = stage()
    client = scene.client(GET)
    scene.send(scene.endpoint(0), OK)
    scene.end(scene.endpoint(0))
    assert scene.endpoint(0).is_closed
    assert state(scene)["idle"] == 0
    scene.send(client, POST)
    assert scene.dials == 2


def test_checked_before_reuse_after_a_rest_or_for_a_post(stage: Stage) -> None:
    scene = stage()
    client = scene.client(GET)
    scene.send(scene.endpoint(0), OK)
    client.take_sent()
    # The end arrives together with the next request: the engine has not told of it yet.
    client.feed(POST)
    scene.endpoint(0).feed_end()
    scene.turn()
    assert scene.dials == 2
    scene.send(scene.endpoint(1), OK)
    assert client.take_sent() == OK


def test_bytes_behind_a_response_spoil_the_connection(stage: Stage) -> None:
    scene = stage()
    client = scene.client(GET)
    scene.send(scene.endpoint(0), OK + b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nother")
    assert client.take_sent() == OK
    assert scene.endpoint(0).is_closed
    scene.send(client, GET)
    scene.send(scene.endpoint(1), OK)
    assert client.take_sent() == OK


def test_an_unasked_byte_on_an_idle_connection_spoils_it(stage: Stage) -> None:
    scene = stage()
    scene.client(GET)
    scene.send(scene.endpoint(0), OK)
    scene.send(scene.endpoint(0), b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nbad")
    assert scene.endpoint(0).is_closed
    assert state(scene)["spoiled"] == 1


def test_idle_timeout(stage: Stage) -> None:
    scene = stage(pool={"idle_timeout_ms": 1000})
    scene.client(GET)
    scene.send(scene.endpoint(), OK)
    scene.wait_ms(990)
    assert not scene.endpoint().is_closed
    scene.wait_ms(30)
    assert scene.endpoint().is_closed


def test_max_idle(stage: Stage) -> None:
    scene = stage(pool={"max_idle": 2})
    for _ in range(4):
        scene.client(GET)
    for number in range(4):
        scene.send(scene.endpoint(number), OK)
    assert state(scene)["idle"] == 2
    assert state(scene)["open"] == 2


def test_max_requests_and_max_age(stage: Stage) -> None:
    scene = stage(pool={"max_requests": 2, "max_age_ms": 3000})
    client = scene.client(GET)
    scene.send(scene.endpoint(0), OK)
    scene.send(client, GET)
    scene.send(scene.endpoint(0), OK)
    assert scene.endpoint(0).is_closed
    scene.send(client, GET)
    scene.send(scene.endpoint(1), OK)
    scene.wait_ms(3001)
    scene.send(client, GET)
    assert scene.dials == 3
    assert scene.endpoint(1).is_closed


def test_tutorial_wait_for_an_idle_connection_then_dial(stage: Stage) -> None:
    scene = stage(pool={"wait_idle_ms": 100})
    first = scene.client(GET)
    assert scene.dials == 1
    second = scene.client(GET)
    scene.wait_ms(50)
    assert scene.dials == 1, "it waits for the first one's connection"
    scene.send(scene.endpoint(0), OK)
    assert first.take_sent() == OK
    scene.send(scene.endpoint(0), OK)
    assert second.take_sent() == OK
    scene.send(first, GET)
    third = scene.client(GET)
    scene.wait_ms(120)
    assert scene.dials == 2, "100 ms are over: it dials"
    scene.send(scene.endpoint(1), OK)
    assert third.take_sent() == OK


def test_tutorial_give_back_waits_for_room(stage: Stage) -> None:
    scene = stage(pool={"max_idle": 1, "give_back_ms": 1000, "idle_timeout_ms": 60_000})
    client = scene.client(GET)
    scene.client(GET)
    scene.send(scene.endpoint(0), OK)
    scene.send(scene.endpoint(1), OK)
    assert state(scene)["idle"] == 1
    assert state(scene)["surplus"] == 1
    scene.wait_ms(500)
    scene.send(client, GET)
    assert state(scene)["surplus"] == 0, "room: the surplus one is given back"
    assert state(scene)["idle"] == 1
    scene.send(scene.endpoint(0), OK)
    scene.wait_ms(1020)
    assert state(scene)["surplus"] == 0
    assert state(scene)["open"] == 1, "after 1 s without room it is closed"


def test_a_connection_given_back_beats_the_dial(stage: Stage) -> None:
    scene = stage()
    first = scene.client(GET)
    scene.dialer.mode = "wait"
    second = scene.client(GET)
    assert state(scene)["connecting"] == 1
    scene.send(scene.endpoint(0), OK)
    assert first.take_sent() == OK
    scene.send(scene.endpoint(0), OK)
    assert second.take_sent() == OK
    scene.endpoint(1).connect()
    scene.turn()
    assert state(scene)["idle"] == 2, "the dial that came second is kept for later"


def test_failed_dial_is_charged_only_if_nothing_else_can_come(stage: Stage) -> None:
    scene = stage()
    scene.dialer.mode = "wait"
    clients = [scene.client(GET) for _ in range(2)]
    assert state(scene)["connecting"] == 2
    scene.endpoint(0).connect(errno.ECONNREFUSED)
    scene.turn()
    sent = [client.take_sent() for client in clients]
    assert sent[0].startswith(b"HTTP/1.1 502 ")
    assert sent[1] == b""
    scene.endpoint(1).connect()
    scene.turn()
    scene.send(scene.endpoint(1), OK)
    assert clients[1].take_sent() == OK


def test_min_idle_keeps_warm_and_backs_off(stage: Stage) -> None:
    scene = stage(pool={"min_idle": 2})
    assert scene.dials == 2
    client = scene.client(GET)
    assert scene.dials == 3, "one was taken: another is dialled early"
    scene.send(scene.endpoint(1), OK)
    client.take_sent()
    scene.dialer.mode = errno.ECONNREFUSED
    for number in range(3):
        scene.end(scene.endpoint(number))
    failures = state(scene)["dial_failures"]
    assert isinstance(failures, int)
    scene.wait_ms(50)
    assert state(scene)["dial_failures"] == failures, "not again at once"
    scene.dialer.mode = "connect"
    scene.wait_ms(6000)
    assert state(scene)["idle"] == 2


def test_round_robin(stage: Stage) -> None:
    scene = stage(endpoints=3)
    for _ in range(6):
        scene.client(GET)
    peers = [stream.peer.text for stream in scene.dialer.dialled if stream.peer is not None]
    assert sorted(peers) == ["192.0.2.1:80"] * 2 + ["192.0.2.2:80"] * 2 + ["192.0.2.3:80"] * 2


def test_several_addresses_of_one_name(stage: Stage) -> None:
    from weir.plane.stream import Address

    scene = stage()
    scene.plane.set_addresses(
        0, "192.0.2.1:80", [Address(host="2001:db8::1", port=80), Address(host="192.0.2.9", port=80)]
    )
    scene.dialer.mode = "wait"
    client = scene.client(GET)
    scene.endpoint(0).connect(errno.ENETUNREACH)
    scene.turn()
    assert scene.dials == 2
    scene.endpoint(1).connect()
    scene.turn()
    scene.send(scene.endpoint(1), OK)
    assert client.take_sent() == OK
    scene.client(GET)
    scene.client(GET)
    peer = scene.endpoint(2).peer
    assert peer is not None
    assert peer.text == "192.0.2.9:80", "the address that answered is preferred"


def test_each_dial_tries_each_address_whichever_others_prefer_meanwhile(stage: Stage) -> None:
    from weir.plane.stream import Address

    scene = stage()
    scene.plane.set_addresses(
        0, "192.0.2.1:80", [Address(host="2001:db8::1", port=80), Address(host="192.0.2.9", port=80)]
    )
    scene.dialer.mode = "wait"
    clients = [scene.client(GET) for _ in range(2)]
    scene.endpoint(0).connect(errno.ENETUNREACH)
    scene.turn()
    scene.endpoint(2).connect()  # from now on the second address is preferred
    scene.turn()
    scene.endpoint(1).connect(errno.ENETUNREACH)
    scene.turn()
    peers = [stream.peer.text for stream in scene.dialer.dialled if stream.peer is not None]
    assert peers == ["[2001:db8::1]:80", "[2001:db8::1]:80", "192.0.2.9:80", "192.0.2.9:80"]
    scene.endpoint(3).connect()
    scene.turn()
    scene.client(GET)
    peer = scene.endpoint(4).peer
    assert peer is not None
    assert peer.text == "192.0.2.9:80"
    for number in (2, 3):
        scene.send(scene.endpoint(number), OK)
    assert [client.take_sent() for client in clients] == [OK, OK]


@pytest.mark.parametrize(
    ("request_field", "response_field"),
    [
        (b"Authorization: Negotiate YII=\r\n", b""),
        (b"authorization:NTLM TlRMTVNT\r\n", b""),
        (b"", b"WWW-Authenticate: NTLM\r\n"),
        (b"", b'WWW-Authenticate: Basic realm="a, b", negotiate abc\r\n'),
        (b"", b"WWW-Authenticate: Basic realm=x\r\nWWW-Authenticate: Negotiate\r\n"),
    ],
)
def test_a_connection_that_may_be_authenticated_is_nobody_elses(
    stage: Stage, request_field: bytes, response_field: bytes
) -> None:
    scene = stage()
    client = scene.client(GET[:-2] + request_field + b"\r\n")
    scene.send(scene.endpoint(), OK[:-6] + b"\r\n" + response_field + b"\r\nok")
    assert client.take_sent().endswith(b"\r\n\r\nok")
    assert not client.is_closed
    assert scene.endpoint().is_closed
    scene.send(client, GET)
    assert scene.dials == 2


def test_other_authentication_ties_nothing(stage: Stage) -> None:
    scene = stage()
    client = scene.client(GET[:-2] + b"Authorization: Bearer negotiate\r\n\r\n")
    scene.send(scene.endpoint(), OK[:-6] + b'\r\nWWW-Authenticate: Basic realm="NTLM"\r\n\r\nok')
    scene.send(client, GET)
    assert scene.dials == 1


def test_room_to_write_spoils_no_idle_connection(stage: Stage) -> None:
    """Epoll tells of it after a large upload, and together with anything that happens on a connection just read."""
    scene = stage()
    client = scene.client(GET)
    scene.send(scene.endpoint(), OK)
    scene.endpoint().room = -1
    scene.turn()
    scene.send(client, GET)
    assert scene.dials == 1
    assert state(scene)["spoiled"] == 0


def test_bytes_that_were_read_before_their_event_spoil_no_idle_connection(stage: Stage) -> None:
    """The client's event comes first in the same turn: all of the response is read then, and the connection rests."""
    scene = stage()
    client = scene.client(GET)
    client.room = 100
    scene.send(scene.endpoint(), b"HTTP/1.1 200 OK\r\nContent-Length: 400000\r\n\r\n" + b"x" * 300_000)
    client.room = -1
    scene.send(scene.endpoint(), b"y" * 100_000)
    assert client.take_sent().endswith(b"xy" + b"y" * 99_999)
    assert (state(scene)["idle"], state(scene)["spoiled"]) == (1, 0)
    scene.endpoint().take_sent()
    scene.send(client, GET)
    assert scene.endpoint().take_sent() == GET


def waits_for_an_idle_connection(stage: Stage, **pool: int) -> tuple[Scene, FakeStream]:
    """A scene whose only connection is busy, and a second client that waits 100 ms for it."""
    scene = stage(pool={"wait_idle_ms": 100, **pool}, queue={"size": 1})
    scene.client(GET)
    scene.dialer.mode = "wait"
    return scene, scene.client(GET)


def test_a_wait_for_an_idle_connection_that_ends_in_a_dial_under_way(stage: Stage) -> None:
    scene, client = waits_for_an_idle_connection(stage)
    scene.wait_ms(120)
    assert scene.dials == 2
    scene.endpoint(1).connect()
    scene.turn()
    scene.send(scene.endpoint(1), OK)
    assert client.take_sent() == OK


def test_a_wait_for_an_idle_connection_that_ends_in_a_refused_dial(stage: Stage) -> None:
    scene, client = waits_for_an_idle_connection(stage)
    scene.dialer.mode = errno.ECONNREFUSED
    scene.wait_ms(120)
    assert client.take_sent().startswith(b"HTTP/1.1 502 ")
    assert scene.reasons() == {"connect_refused": 1}


def test_a_wait_for_an_idle_connection_that_ends_in_the_queue(stage: Stage) -> None:
    scene, client = waits_for_an_idle_connection(stage, max_connections=1)
    scene.wait_ms(120)
    assert scene.dials == 1
    assert scene.plane.queued(0) == 1
    scene.send(scene.endpoint(0), OK)
    scene.send(scene.endpoint(0), OK)
    assert client.take_sent() == OK


@pytest.mark.parametrize(
    ("error", "reason"),
    [(errno.ETIMEDOUT, "connect_timeout"), (errno.EADDRNOTAVAIL, "out_of_ports"), (errno.ENOENT, "connect_refused")],
)
def test_why_a_dial_failed(stage: Stage, error: int, reason: str) -> None:
    scene = stage()
    scene.dialer.mode = error
    scene.client(GET)
    assert scene.reasons() == {reason: 1}


def dials_behind_one_that_waits(stage: Stage) -> tuple[Scene, FakeStream, FakeStream]:
    """A scene, a client that waits for an idle connection, and behind it one with a dial: its attempt broke."""
    scene = stage(pool={"wait_idle_ms": 100}, retry={"same_endpoint": True, "backoff_ms": 0})
    dials = scene.client(GET)
    scene.dialer.mode = "wait"
    waits = scene.client(GET)
    scene.reset(scene.endpoint(0))
    assert scene.dials == 2
    return scene, waits, dials


def test_a_dial_is_not_for_who_waits_for_an_idle_connection(stage: Stage) -> None:
    scene, waits, dials = dials_behind_one_that_waits(stage)
    scene.endpoint(1).connect()
    scene.turn()
    scene.send(scene.endpoint(1), OK)
    assert dials.take_sent() == OK, "whoever has the dial has no timer that would ask for another one"
    scene.send(scene.endpoint(1), OK)
    assert waits.take_sent() == OK, "and what it gives back is for the other one"
    assert scene.dials == 2


def test_a_dial_that_fails_is_not_charged_to_who_waits_for_an_idle_connection(stage: Stage) -> None:
    scene, waits, dials = dials_behind_one_that_waits(stage)
    scene.endpoint(1).connect(errno.ECONNREFUSED)
    scene.turn()
    assert dials.take_sent().startswith(b"HTTP/1.1 502 ")
    assert waits.take_sent() == b""
    scene.wait_ms(110)
    scene.endpoint(2).connect()
    scene.turn()
    scene.send(scene.endpoint(2), OK)
    assert waits.take_sent() == OK


def test_who_waits_for_an_idle_connection_gets_a_dial_whose_user_has_left(stage: Stage) -> None:
    scene, waits, dials = dials_behind_one_that_waits(stage)
    scene.reset(dials)
    scene.endpoint(1).connect()
    scene.turn()
    scene.send(scene.endpoint(1), OK)
    assert waits.take_sent() == OK
    assert scene.dials == 2
