"""Hedging: a second request beside the first, and the first response head is the client's."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable
from typing import Any

import pytest

from tests.plane.scene import GET, OK, Scene
from tests.plane.test_choice import place_of
from weir.config.plan import StickyPlan
from weir.plane.fake import FakeStream
from weir.stats.reader import endpoints
from weir.stats.roster import Health, change

Stage = Callable[..., Scene]

AFTER_MS = 50
LATE_MS = AFTER_MS + 10
OTHER = OK.replace(b"ok", b"no")
POST = b"POST /a HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n"


def hedged(stage: Stage, request: bytes = GET, **options: Any) -> tuple[Scene, FakeStream]:
    """A request that two endpoints have been sent, and its client."""
    options.setdefault("endpoints", 2)
    options.setdefault("hedge", {"after_ms": AFTER_MS})
    scene = stage(**options)
    client = scene.client(request)
    assert scene.dials == 1
    assert scene.endpoint(0).take_sent() == request
    scene.wait_ms(AFTER_MS - 10)
    assert scene.dials == 1
    scene.wait_ms(20)
    return scene, client


def test_the_second_wins(stage: Stage) -> None:
    scene, client = hedged(stage)
    assert scene.endpoint(1).take_sent() == GET
    assert scene.endpoint(1).peer != scene.endpoint(0).peer
    scene.send(scene.endpoint(1), OTHER)
    assert client.take_sent() == OTHER
    assert scene.endpoint(0).is_closed, "the other one is cut off"
    assert scene.retries() == {"hedge_sent": 1, "hedge_won": 1}
    assert scene.counters()["retries"] == 1
    scene.send(client, GET)
    assert scene.endpoint(1).take_sent() + scene.endpoint().take_sent() == GET


def test_the_first_wins(stage: Stage) -> None:
    scene, client = hedged(stage)
    scene.send(scene.endpoint(0), OK)
    assert client.take_sent() == OK
    assert scene.endpoint(1).is_closed
    assert scene.retries() == {"hedge_sent": 1}
    assert scene.plane.ledger()["upstreams"] == 1


def test_the_log_names_the_endpoint_that_answered(stage: Stage) -> None:
    scene, _ = hedged(stage)
    scene.send(scene.endpoint(1), OK)
    assert b'"endpoint":"192.0.2.2:80"' in scene.log.take()


@pytest.mark.parametrize("pieces", [1, 2, 7])
def test_a_response_of_the_second_in_pieces(stage: Stage, pieces: int) -> None:
    scene, client = hedged(stage)
    answer = b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" + OTHER
    for at in range(0, len(answer), pieces):
        scene.send(scene.endpoint(1), answer[at : at + pieces])
    assert client.take_sent() == OTHER, "hints of the second are dropped: the first may have sent its own"


def test_a_long_head_of_the_second(stage: Stage) -> None:
    scene, client = hedged(stage)
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX: %b\r\n\r\nok" % (b"x" * 30_000)
    scene.send(scene.endpoint(1), answer)
    assert client.take_sent() == answer


BAD = {
    "too long a head": b"HTTP/1.1 200 OK\r\nX: %b\r\n\r\n" % (b"x" * 40_000),
    "a long head without an end": b"HTTP/1.1 200 OK\r\nX: %b" % (b"x" * 40_000),
    "no head": b"what?\r\n\r\n",
    "an error": b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n",
    "too many": b"HTTP/1.1 429 Too Many Requests\r\nContent-Length: 0\r\n\r\n",
    "a switch": b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n",
    "hints without an end": b"HTTP/1.1 103 Early Hints\r\n\r\n" * 20,
}


@pytest.mark.parametrize("what", BAD)
def test_a_bad_answer_of_the_second_does_not_win(stage: Stage, what: str) -> None:
    scene, client = hedged(stage)
    scene.send(scene.endpoint(1), BAD[what])
    assert scene.endpoint(1).is_closed
    assert client.take_sent() == b""
    scene.send(scene.endpoint(0), OK)
    assert client.take_sent() == OK
    assert scene.retries() == {"hedge_sent": 1, "hedge_failed": 1}


@pytest.mark.parametrize("how", ["end", "reset"])
def test_a_second_that_breaks(stage: Stage, how: str) -> None:
    scene, client = hedged(stage)
    getattr(scene, how)(scene.endpoint(1))
    scene.send(scene.endpoint(0), OK)
    assert client.take_sent() == OK
    assert scene.retries() == {"hedge_sent": 1, "hedge_failed": 1}


@pytest.mark.parametrize("half", [b"", b"HTTP/1.1 2"])
@pytest.mark.parametrize("how", ["end", "reset", "garbage", "status", "timeout"])
def test_the_second_goes_on_when_the_first_fails(stage: Stage, how: str, half: bytes) -> None:
    scene, client = hedged(stage, retry={"on": ("reset", "timeout", "503"), "attempt_timeout_ms": 500, "attempts": 2})
    if half:
        scene.send(scene.endpoint(1), half)
    if how == "garbage":
        scene.send(scene.endpoint(0), b"?\r\n\r\n")
    elif how == "status":
        scene.send(scene.endpoint(0), BAD["an error"])
    elif how == "timeout":
        scene.wait_ms(500)
    else:
        getattr(scene, how)(scene.endpoint(0))
    assert scene.endpoint(0).is_closed
    assert client.take_sent() == b""
    scene.send(scene.endpoint(1), (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nno")[len(half) :])
    assert client.take_sent() == OTHER
    assert scene.retries() == {"hedge_sent": 1, "hedge_won": 1}


def test_both_fail(stage: Stage) -> None:
    scene, client = hedged(stage, retry={"attempts": 2})
    scene.end(scene.endpoint(0))
    scene.end(scene.endpoint(1))
    assert client.take_sent().startswith(b"HTTP/1.1 502 ")
    assert scene.retries() == {"hedge_sent": 1, "hedge_won": 1, "attempts": 1}


def test_a_second_that_waits_for_its_connection_is_no_help(stage: Stage) -> None:
    scene = stage(endpoints=2, hedge={"after_ms": AFTER_MS})
    client = scene.client(GET)
    scene.dialer.mode = "wait"
    scene.wait_ms(LATE_MS)
    assert scene.dials == 2
    scene.end(scene.endpoint(0))
    assert scene.plane.pools(0)[1]["waiting"] == 1, "the retry waits for what the hedge had dialled"
    scene.endpoint(1).connect()
    scene.turn()
    scene.send(scene.endpoint(1), OK)
    assert client.take_sent() == OK
    assert scene.retries() == {"reset": 1}


def test_a_connection_that_cannot_be_made(stage: Stage) -> None:
    scene = stage(endpoints=2, hedge={"after_ms": AFTER_MS})
    client = scene.client(GET)
    scene.dialer.mode = 111
    scene.wait_ms(LATE_MS)
    other = scene.client(GET)
    other.take_sent()
    scene.dialer.mode = "wait"
    scene.send(scene.endpoint(0), OK)
    assert client.take_sent() == OK
    assert scene.retries()["hedge_failed"] == 1


def test_a_connection_that_does_not_come_about(stage: Stage) -> None:
    scene = stage(endpoints=2, hedge={"after_ms": AFTER_MS})
    client = scene.client(GET)
    scene.dialer.mode = "wait"
    scene.wait_ms(LATE_MS)
    scene.endpoint(1).connect(111)
    scene.turn()
    scene.send(scene.endpoint(0), OK)
    assert client.take_sent() == OK
    assert scene.retries() == {"hedge_failed": 1}


def test_a_connection_that_takes_no_head(stage: Stage) -> None:
    scene = stage(endpoints=2, hedge={"after_ms": AFTER_MS})
    client = scene.client(GET)
    scene.dialer.mode = "wait"
    scene.wait_ms(LATE_MS)
    scene.endpoint(1).room = 5
    scene.endpoint(1).connect()
    scene.turn()
    assert scene.endpoint(1).is_closed
    scene.send(scene.endpoint(0), OK)
    assert client.take_sent() == OK
    assert scene.retries() == {"hedge_failed": 1}


def test_no_place_in_the_queue(stage: Stage) -> None:
    scene = stage(endpoints=2, hedge={"after_ms": AFTER_MS}, pool={"max_connections": 1})
    clients = [scene.client(GET) for _ in range(2)]
    scene.wait_ms(LATE_MS)
    assert scene.plane.queued(0) == 0
    for number, client in enumerate(clients):
        scene.send(scene.endpoint(number), OK)
        assert client.take_sent() == OK
    assert scene.retries() == {"hedge_failed": 2}


@pytest.mark.parametrize(
    "request_head",
    [
        POST,
        GET.replace(b"GET", b"DELETE"),
        b"PUT /a HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\nok",
        b"GET /a HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\nok",
        b"GET /a HTTP/1.1\r\nHost: h\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n",
    ],
)
def test_what_is_not_hedged(stage: Stage, request_head: bytes) -> None:
    scene = stage(endpoints=2, hedge={"after_ms": AFTER_MS})
    scene.client(request_head)
    scene.wait_ms(1000)
    assert scene.dials == 1
    assert scene.retries() == {}


@pytest.mark.parametrize(
    ("options", "word"),
    [
        ({"endpoints": 1}, "hedge_no_endpoint"),
        ({"retry": {"attempts": 1}}, "hedge_attempts"),
        ({"retry": {"ratio_percent": 0, "min_per_second": 0}}, "hedge_budget"),
    ],
)
def test_why_it_is_not_sent(stage: Stage, options: dict[str, Any], word: str) -> None:
    scene, client = hedged(stage, **options)
    assert scene.dials == 1
    scene.send(scene.endpoint(0), OK)
    assert client.take_sent() == OK
    assert scene.retries() == {word: 1}


def test_one_that_has_begun_to_answer_needs_no_help(stage: Stage) -> None:
    scene = stage(endpoints=2, hedge={"after_ms": AFTER_MS})
    client = scene.client(GET)
    scene.send(scene.endpoint(0), b"HTTP/1.1 ")
    scene.wait_ms(LATE_MS)
    assert scene.dials == 1
    scene.send(scene.endpoint(0), OK.removeprefix(b"HTTP/1.1 "))
    assert client.take_sent() == OK


def test_a_client_that_goes_ends_both(stage: Stage) -> None:
    scene, client = hedged(stage)
    scene.reset(client)
    assert scene.endpoint(0).is_closed
    assert scene.endpoint(1).is_closed


def test_the_deadline_ends_both(stage: Stage) -> None:
    scene, client = hedged(stage, cluster={"response_header_timeout_ms": 500})
    scene.wait_ms(500)
    assert client.take_sent().startswith(b"HTTP/1.1 504 ")
    assert scene.endpoint(1).is_closed


def test_a_percentile(stage: Stage) -> None:
    scene = stage(endpoints=2, hedge={"after_permille": 950})
    client = scene.client()
    for number in range(200):
        client.feed(GET)
        scene.turn()
        scene.clock.advance(100_000 if number % 10 == 0 else 10_000)
        scene.send(next(s for s in scene.dialer.dialled if s.take_sent()), OK)
        assert client.take_sent() == OK
    assert scene.retries() == {}
    client.feed(GET)
    scene.turn()
    scene.wait_ms(90)
    assert scene.retries() == {}
    scene.wait_ms(40)
    assert scene.retries() == {"hedge_sent": 1}


def test_no_memory(stage: Stage) -> None:
    scene, client = hedged(stage)
    scene.plane.refuse_memory(1)
    scene.endpoint(1).feed(OTHER)
    scene.turn()
    assert scene.endpoint(1).is_closed
    assert scene.retries() == {"hedge_sent": 1, "hedge_failed": 1}
    scene.send(scene.endpoint(0), OK)
    assert client.take_sent() == OK


def test_every_order_of_two_answers(stage: Stage) -> None:
    """Whatever comes in whatever order, the client has one whole response, and it is one of the two."""
    pieces = [(0, OK[:10]), (0, OK[10:]), (1, OTHER[:10]), (1, OTHER[10:])]
    for order in itertools.permutations(pieces):
        if order.index(pieces[0]) > order.index(pieces[1]) or order.index(pieces[2]) > order.index(pieces[3]):
            continue
        scene, client = hedged(stage)
        for number, piece in order:
            if not scene.endpoint(number).is_closed:
                scene.send(scene.endpoint(number), piece)
        assert client.take_sent() in (OK, OTHER)
        for stream in scene.dialer.dialled:
            stream.take_sent()
        scene.send(client, GET)
        last = [stream for stream in scene.dialer.dialled if stream.take_sent() == GET]
        scene.send(last[-1], OK)
        assert client.take_sent() == OK


def test_a_client_that_is_bound_is_not_hedged_elsewhere(stage: Stage) -> None:
    """Its session is at one endpoint; another would be quick to say that it knows of none."""
    scene = stage(
        endpoints=2,
        hedge={"after_ms": AFTER_MS},
        cluster={"sticky": StickyPlan(cookie="ID", secret="0123456789abcdef")},
    )
    client = scene.client(GET)
    scene.send(scene.endpoint(), OK)
    cookie = client.take_sent().partition(b"Set-Cookie: ")[2][:19]
    scene.send(client, GET[:-2] + b"Cookie: " + cookie + b"\r\n\r\n")
    scene.wait_ms(LATE_MS)
    assert scene.dials == 1
    assert scene.retries() == {"hedge_bound": 1}
    scene.send(scene.endpoint(), OK)
    assert client.take_sent() == OK


def test_a_client_that_is_not_bound_yet_is_hedged_and_bound_to_who_answers(stage: Stage) -> None:
    scene, client = hedged(stage, cluster={"sticky": StickyPlan(cookie="ID", secret="0123456789abcdef")})
    scene.send(scene.endpoint(1), OK)
    cookie = client.take_sent().partition(b"Set-Cookie: ")[2][:19]
    scene.send(client, GET[:-2] + b"Cookie: " + cookie + b"\r\n\r\n")
    assert scene.endpoint(1).take_sent().endswith(cookie + b"\r\n\r\n")


def test_the_second_of_a_key_goes_where_the_key_would_go_without_the_first(stage: Stage) -> None:
    scene, _ = hedged(stage, endpoints=5, cluster={"policy": "hash", "hash_by": "path"})
    first, second = (place_of(scene.endpoint(n)) for n in (0, 1))
    change(scene.memory, first, health=Health.UNHEALTHY)
    other = scene.client(GET)
    assert place_of(scene.endpoint()) == second
    scene.send(scene.endpoint(), OK)
    assert other.take_sent() == OK


def test_each_endpoint_is_judged_by_its_own_time(stage: Stage) -> None:
    """The second one was quick: the time in which the first one did not answer is not its."""
    scene, client = hedged(stage, cluster={"policy": "least_time"})
    scene.wait_ms(4)
    scene.send(scene.endpoint(1), OTHER)
    assert client.take_sent() == OTHER
    slow, quick = (place_of(scene.endpoint(number)) for number in (0, 1))
    assert 4_000 <= endpoints(scene.memory)[quick].response_us < 30_000
    assert set(scene.plane.picks(0, 20)) == {quick}, "of the first it is known that it takes at least so long"
    assert endpoints(scene.memory)[slow].responses == 0
    line = json.loads(scene.log.take())
    assert line["endpoint"] == f"192.0.2.{quick + 1}:80"
    assert line["Tr"] < 30
    assert line["Tw"] > AFTER_MS - 10
