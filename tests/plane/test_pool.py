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


# -- how long the endpoint keeps what rests


def rests(scene: Scene, client: FakeStream, ms: int, number: int = -1) -> FakeStream:
    """A request on `client` is answered, and its connection rests for so long."""
    scene.send(client, GET)
    stream = scene.endpoint(number)
    scene.send(stream, OK)
    stream.take_sent()
    client.take_sent()
    scene.wait_ms(ms)
    return stream


def closes_at(scene: Scene, client: FakeStream, ms: int, times: int = 2) -> None:
    """The endpoint closes connections that have rested for so long, several times."""
    for _ in range(times):
        scene.end(rests(scene, client, ms))
        scene.wait_ms(200)


def test_a_timeout_is_learned_and_connections_are_retired_before_it(stage: Stage) -> None:
    scene = stage()
    client = scene.client()
    assert state(scene)["idle_limit_ms"] == 4000
    closes_at(scene, client, 2000)
    scene.send(client, GET)  # the second close is judged when something else happens
    scene.send(scene.endpoint(), OK)
    assert state(scene)["learned_idle_timeout_ms"] == 2000
    assert state(scene)["idle_limit_ms"] == 1600
    assert state(scene)["spoiled"] == 2
    scene.wait_ms(1500)
    assert state(scene)["idle"] == 1
    scene.wait_ms(110)
    assert state(scene)["idle"] == 0
    assert state(scene)["retired"] == 1


def test_a_get_takes_none_whose_time_is_over_though_its_timer_is_late(stage: Stage) -> None:
    scene = stage()
    client = scene.client()
    for _ in range(2):
        rests(scene, client, 0)
        scene.clock.advance(2_000_000)
        scene.endpoint().feed_end()
        scene.turn()
        scene.wait_ms(200)
    first = rests(scene, client, 0)
    assert state(scene)["idle_limit_ms"] == 1600
    scene.clock.advance(1_601_000)  # no turn: the wheel has not been asked yet
    client.feed(GET)
    scene.turn()
    assert first.take_sent() == b""
    assert state(scene)["retired"] == 1


def test_what_cannot_be_repeated_takes_none_that_has_rested_for_long(stage: Stage) -> None:
    scene = stage()
    client = scene.client()
    first = rests(scene, client, 1001)
    scene.send(client, POST)
    assert scene.dials == 2
    assert first.take_sent() == b""
    assert state(scene)["passed_over"] == 1
    scene.send(scene.endpoint(1), OK)
    scene.send(client, GET)
    assert scene.dials == 2, "what can be repeated may take the one that was passed over, or a newer one"
    scene.send(scene.endpoint(1), OK)
    scene.wait_ms(990)
    scene.send(client, POST)
    assert scene.dials == 2, "the newer one has not rested for long"


@pytest.mark.parametrize(
    "request_bytes",
    [
        POST,
        b"PATCH /a HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n",
        b"PUT /a HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhel",  # its rest is not at hand
        b"PUT /a HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n",
    ],
)
def test_what_can_and_what_cannot_be_repeated(stage: Stage, request_bytes: bytes) -> None:
    scene = stage()
    client = scene.client()
    rests(scene, client, 1500)
    scene.send(client, request_bytes)
    assert scene.dials == 2
    assert state(scene)["passed_over"] == 1


def test_a_put_that_is_there_in_whole_can_be_repeated(stage: Stage) -> None:
    scene = stage()
    client = scene.client()
    rests(scene, client, 1500)
    scene.send(client, b"PUT /a HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhello")
    assert scene.dials == 1


def test_where_nothing_is_repeated_a_get_is_as_careful(stage: Stage) -> None:
    scene = stage(retry={"attempts": 1})
    client = scene.client()
    rests(scene, client, 1500)
    scene.send(client, GET)
    assert scene.dials == 2
    assert state(scene)["passed_over"] == 1


def test_at_max_connections_the_one_passed_over_makes_room(stage: Stage) -> None:
    scene = stage(pool={"max_connections": 1})
    client = scene.client()
    first = rests(scene, client, 1500)
    scene.send(client, POST)
    assert first.is_closed
    assert scene.dials == 2
    scene.send(scene.endpoint(1), OK)
    assert client.take_sent() == OK


def test_one_passed_over_is_not_waited_for(stage: Stage) -> None:
    scene = stage(pool={"wait_idle_ms": 100})
    client = scene.client()
    rests(scene, client, 1500)
    scene.send(client, POST)
    assert scene.dials == 2, "at once"


def test_a_response_that_took_its_time_puts_the_rest_in_doubt(stage: Stage) -> None:
    """Its end may have lain in some buffer for long: for the endpoint the rest may have begun with its first byte."""
    scene = stage()
    client = scene.client(GET)
    scene.send(scene.endpoint(), OK[:-1])
    scene.wait_ms(1500)
    scene.send(scene.endpoint(), OK[-1:])
    assert client.take_sent() == OK
    scene.send(client, POST)
    assert scene.dials == 2
    scene.send(scene.endpoint(1), OK)
    scene.end(scene.endpoint(0))
    scene.wait_ms(200)
    scene.wait_ms(700)
    scene.send(client, POST)
    assert scene.dials == 2, "its close has taught nothing"


def test_one_that_has_carried_nothing_teaches_nothing(stage: Stage) -> None:
    scene = stage(pool={"min_idle": 1})
    for _ in range(3):
        scene.wait_ms(300)
        scene.end(scene.endpoint())
    scene.wait_ms(300)
    client = scene.client()
    rests(scene, client, 900)
    dials = scene.dials
    scene.send(client, POST)
    assert scene.dials <= dials + 1
    assert state(scene)["passed_over"] == 0


def probing(stage: Stage, **pool: int) -> tuple[Scene, FakeStream]:
    """A scene whose only connection has become the probe, and its client."""
    scene = stage(pool=pool)
    client = scene.client()
    rests(scene, client, 4010)
    assert state(scene)["idle"] == 0
    assert state(scene)["open"] == 1
    return scene, client


def test_one_rests_on_as_a_probe_and_is_nobodys(stage: Stage) -> None:
    scene, client = probing(stage)
    scene.send(client, GET)
    assert scene.dials == 2
    scene.send(scene.endpoint(1), OK)
    scene.wait_ms(4010)
    assert scene.endpoint(1).is_closed, "there is one probe at a time"
    scene.wait_ms(1900)
    assert not scene.endpoint(0).is_closed
    scene.wait_ms(200)
    assert scene.endpoint(0).is_closed, "it has seen enough"
    assert state(scene)["open"] == 0


def test_probes_learn_a_timeout_beyond_the_limit(stage: Stage) -> None:
    scene = stage()
    client = scene.client()
    for _ in range(2):
        probe = rests(scene, client, 4010)
        scene.wait_ms(1490)
        scene.end(probe)
        assert probe.is_closed
    scene.wait_ms(200)
    rests(scene, client, 0)
    assert state(scene)["learned_idle_timeout_ms"] == 5500
    assert state(scene)["idle_limit_ms"] == 4400


def test_a_probe_makes_room_at_max_connections(stage: Stage) -> None:
    scene, client = probing(stage, max_connections=1)
    scene.send(client, GET)
    assert scene.endpoint(0).is_closed
    scene.send(scene.endpoint(1), OK)
    assert client.take_sent() == OK


def test_a_probe_ends_with_its_pool(stage: Stage) -> None:
    scene, _ = probing(stage)
    scene.close_plane()
    assert scene.endpoint(0).is_closed


def test_there_is_no_probe_beyond_a_written_bound(stage: Stage) -> None:
    scene = stage(pool={"idle_timeout_ms": 1000})
    rests(scene, scene.client(), 1010)
    assert state(scene)["open"] == 0
    assert state(scene)["retired"] == 1


def test_an_endpoint_that_closes_at_once_gets_no_connection_twice(stage: Stage) -> None:
    scene = stage()
    client = scene.client()
    closes_at(scene, client, 0, times=3)
    dials = scene.dials
    rests(scene, client, 0)
    rests(scene, client, 0)
    assert scene.dials == dials + 2
    assert state(scene)["idle_limit_ms"] == 0


def test_what_the_endpoint_says_is_used(stage: Stage) -> None:
    scene = stage()
    client = scene.client(GET)
    scene.send(scene.endpoint(), OK[:-6] + b"\r\nKeep-Alive: timeout=3, max=100\r\n\r\nok")
    assert client.take_sent() == OK, "and not passed on"
    assert state(scene)["learned_idle_timeout_ms"] == 3000
    assert state(scene)["idle_limit_ms"] == 2400


# -- races


def raced(stage: Stage, request_bytes: bytes, **options: dict[str, int]) -> tuple[Scene, FakeStream]:
    """A used connection breaks as soon as a request is sent on it."""
    scene = stage(**options)
    client = scene.client()
    rests(scene, client, 800)
    scene.send(client, request_bytes)
    scene.reset(scene.endpoint(0))
    return scene, client


def test_a_race_that_is_lost_is_counted_and_the_repetition_that_saves_it(stage: Stage) -> None:
    scene, client = raced(stage, GET)
    assert state(scene)["races_lost"] == 1
    assert state(scene)["races_saved"] == 0
    scene.send(scene.endpoint(1), OK)
    assert client.take_sent() == OK
    assert state(scene)["races_saved"] == 1
    rests(scene, client, 500)
    scene.send(client, POST)
    assert scene.dials == 3, "a rest of 800 ms was too long: half of it is what a POST trusts in"


def test_a_lost_race_of_a_post_is_told_to_its_client(stage: Stage) -> None:
    scene, client = raced(stage, POST)
    assert client.take_sent().startswith(b"HTTP/1.1 502 ")
    assert (state(scene)["races_lost"], state(scene)["races_saved"]) == (1, 0)


def test_a_connection_that_breaks_later_breaks_over_its_request(stage: Stage) -> None:
    scene = stage()
    client = scene.client()
    rests(scene, client, 800)
    scene.send(client, GET)
    scene.wait_ms(1001)
    scene.reset(scene.endpoint(0))
    assert scene.dials == 2
    assert state(scene)["races_lost"] == 0
