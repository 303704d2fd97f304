"""Connections that rest: retired before the endpoint closes them, passed over when that is in doubt, lost in races."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.plane.scene import GET, OK, Scene
from weir.plane.fake import FakeStream

Stage = Callable[..., Scene]

POST = b"POST /a HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n"


def state(scene: Scene) -> dict[str, object]:
    return scene.plane.pools(0)[0]


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
        b"PUT /a HTTP/1.1\r\nHost: h\r\nContent-Length: 70000\r\n\r\nhel",  # no copy is kept of so much
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
    closes_at(scene, client, 0, times=8)
    dials = scene.dials
    rests(scene, client, 0)
    rests(scene, client, 0)
    assert scene.dials == dials + 2
    assert state(scene)["idle_limit_ms"] == 1


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


def test_one_that_has_carried_nothing_has_limits_of_its_own(stage: Stage) -> None:
    scene = stage(pool={"min_idle": 1})
    client = scene.client()
    scene.wait_ms(2400)
    scene.send(client, POST)
    assert state(scene)["passed_over"] == 0
    scene.send(scene.endpoint(0), OK)
    scene.wait_ms(2600)
    first = scene.endpoint(1)
    assert state(scene)["idle"] == 2
    scene.send(client, POST)
    assert state(scene)["passed_over"] == 1
    scene.wait_ms(1500)
    assert first.is_closed
