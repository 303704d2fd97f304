"""Sticky sessions: whom a cookie binds, when it is set, what the endpoint sees of it."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from tests.plane.scene import OK, Scene
from tests.plane.test_choice import place_of
from weir.config.plan import StickyPlan
from weir.stats.roster import Health, Order, change

Stage = Callable[..., Scene]
CLOSE = OK.replace(b"OK\r\n", b"OK\r\nConnection: close\r\n")
SET = re.compile(rb"\r\nSet-Cookie: ID=([0-9a-f]{16})((?:; [^\r\n]*)?)\r\n")


def sticky(stage: Stage, endpoints: int = 3, **options: Any) -> Scene:
    told = {key: options.pop(key) for key in list(options) if key in ("pool", "members")}
    plan = StickyPlan(cookie="ID", **{"secret": "0123456789abcdef", **options})
    return stage(endpoints=endpoints, cluster={"sticky": plan}, **told)


def ask(scene: Scene, cookie: bytes = b"", answer: bytes = CLOSE) -> tuple[int, bytes | None, bytes]:
    """Where a request goes, the value of the cookie that its answer sets, and the request as the endpoint sees it."""
    client = scene.client(b"GET /a HTTP/1.1\r\nHost: h\r\n" + cookie + b"\r\n")
    place, seen = place_of(scene.endpoint()), scene.endpoint().take_sent()
    scene.send(scene.endpoint(), answer)
    sent = client.take_sent()
    assert sent.endswith(b"\r\n\r\nok")
    found = SET.search(sent)
    return place, found[1] if found else None, seen


def bound(value: bytes) -> bytes:
    return b"Cookie: ID=" + value + b"\r\n"


def test_the_first_answer_sets_it_and_the_client_stays(stage: Stage) -> None:
    scene = sticky(stage)
    values = {}
    for _ in range(3):
        place, value, _ = ask(scene)
        assert value is not None
        values[place] = value
    assert sorted(values) == [0, 1, 2]
    assert len(set(values.values())) == 3
    for _ in range(5):
        for place, value in values.items():
            found, again, seen = ask(scene, bound(value))
            assert (found, again) == (place, None), "it is not set anew"
            assert bound(value) in seen, "the endpoint gets it"


def test_the_value_is_the_same_for_the_same_secret_and_for_no_other(stage: Stage) -> None:
    def values(**options: Any) -> dict[int, bytes | None]:
        scene = sticky(stage, **options)
        return {place: value for place, value, _ in (ask(scene) for _ in range(3))}

    assert values() == values()
    assert not set(values().values()) & set(values(secret="f" * 16).values())
    assert values(secret="") != values(secret=""), "one is drawn with each table"


def test_attributes(stage: Stage) -> None:
    def attributes(**options: Any) -> bytes:
        scene = sticky(stage, **options)
        client = scene.client(b"GET /a HTTP/1.1\r\nHost: h\r\n\r\n")
        scene.send(scene.endpoint(), OK)
        found = SET.search(client.take_sent())
        assert found
        return found[2]

    assert attributes() == b"; Path=/; SameSite=Lax; HttpOnly"
    assert attributes(http_only=False, same_site="off") == b"; Path=/"
    assert (
        attributes(max_age_ms=90_000, path="/shop", secure=True, same_site="none")
        == b"; Path=/shop; Max-Age=90; SameSite=None; Secure; HttpOnly"
    )


@pytest.mark.parametrize(
    "cookie",
    [
        b"Cookie: ID=\r\n",
        b"Cookie: ID\r\n",
        b"Cookie: ID=0123456789abcdef\r\n",
        b"Cookie: ID=0123456789ABCDEF\r\n",
        b"Cookie: ID=%s\r\n" % (b"z" * 16),
        b"Cookie: ID=%s\r\n" % (b"0" * 5000),
        b"Cookie: %s\r\n" % (b"ID=1;" * 500),
        b"Cookie: ;;;==;\xff\r\n",
    ],
)
def test_what_is_no_cookie_of_ours_is_passed_over(stage: Stage, cookie: bytes) -> None:
    scene = sticky(stage)
    found = [ask(scene, cookie) for _ in range(6)]
    assert Counter(place for place, _, _ in found) == {0: 2, 1: 2, 2: 2}
    assert all(value for _, value, _ in found)
    assert all(cookie in seen for _, _, seen in found)


def test_the_one_that_is_ours_is_found_among_others(stage: Stage) -> None:
    scene = sticky(stage)
    place, value, _ = ask(scene)
    assert value
    for cookie in (
        b"Cookie: a=1; ID=%s; b=2\r\n",
        b"Cookie: ID=old\r\ncookie:  ID=%s\r\n",
        b"Cookie: ID=x;ID=y; ID=%s\r\n",
    ):
        assert ask(scene, cookie % value)[:2] == (place, None)


@pytest.mark.parametrize(
    ("way", "stays"),
    [
        ({"order": Order.DRAIN}, True),
        ({"order": Order.DOWN}, False),
        ({"health": Health.UNHEALTHY}, False),
        ({"ejected_until_us": 1 << 60}, False),
        ({"weight": 1}, True),
    ],
)
def test_it_holds_while_the_endpoint_is_usable_or_drained(stage: Stage, way: dict[str, int], stays: bool) -> None:
    scene = sticky(stage)
    values = {place: value for place, value, _ in (ask(scene) for _ in range(3))}
    value = values[1]
    assert value
    change(scene.memory, 1, **way)
    for _ in range(3):
        place, anew, _ = ask(scene, bound(value))
        assert (place == 1) == stays
        assert anew == (None if stays else values[place]), "the client moves to the one that it got"
    new = [ask(scene)[0] for _ in range(6)]
    assert (1 in new) == ("weight" in way), "a drained one gets no new clients"


def test_one_without_weight_keeps_its_clients(stage: Stage) -> None:
    scene = sticky(stage, members=[{"weight": 1}, {"weight": 1}])
    values = {place: value for place, value, _ in (ask(scene) for _ in range(2))}
    other = sticky(stage, members=[{"weight": 1}, {"weight": 0}])
    assert values[1]
    assert ask(other, bound(values[1]))[:2] == (1, None)
    assert {ask(other)[0] for _ in range(4)} == {0}


def test_when_all_are_ill_it_holds(stage: Stage) -> None:
    scene = sticky(stage)
    place, value, _ = ask(scene)
    assert value
    for number in range(3):
        change(scene.memory, number, health=Health.UNHEALTHY)
    assert ask(scene, bound(value))[:2] == (place, None)


def test_one_that_cannot_be_reached_is_left(stage: Stage) -> None:
    scene = sticky(stage, endpoints=2)
    values = {place: value for place, value, _ in (ask(scene) for _ in range(2))}
    assert values[0]
    scene.plane.set_addresses(0, scene.plane.endpoints(0)[0], [])
    for _ in range(3):
        assert ask(scene, bound(values[0]))[:2] == (1, values[1]), "the client moves, with the same request"


def test_one_that_is_full_is_left_for_once(stage: Stage) -> None:
    scene = sticky(stage, endpoints=2, pool={"max_connections": 1})
    place, value, _ = ask(scene)
    assert value
    scene.client(b"GET /a HTTP/1.1\r\nHost: h\r\n" + bound(value) + b"\r\n")
    assert place_of(scene.endpoint()) == place
    busy = scene.endpoint()
    found, anew, _ = ask(scene, bound(value))
    assert (found, anew) == (1 - place, None), "and the cookie stays as it is"
    scene.send(busy, CLOSE)
    assert ask(scene, bound(value))[:2] == (place, None)


def test_members_that_come_and_go(stage: Stage) -> None:
    scene = sticky(stage, endpoints=2)
    values = {place: value for place, value, _ in (ask(scene) for _ in range(2))}
    assert values[0]
    assert values[1]
    first = scene.plane.endpoints(0)[0]
    scene.plane.remove_endpoint(0, first)
    place, anew, _ = ask(scene, bound(values[0]))
    assert (place, anew) == (1, values[1])
    scene.plane.add_endpoint(0, first)
    assert scene.plane.endpoints(0)[1] == first
    from weir.plane.stream import Address

    scene.plane.set_addresses(0, first, [Address(host=first.split(":")[0], port=80)])
    assert ask(scene, bound(values[0]))[:2] == (0, None)
    assert ask(scene, bound(values[1]))[:2] == (1, None)


def test_it_can_be_taken_out_of_requests(stage: Stage) -> None:
    scene = sticky(stage, forward=False)
    _, value, _ = ask(scene)
    assert value

    def seen(cookies: bytes) -> bytes:
        return ask(scene, cookies)[2].partition(b"\r\n")[2]

    host = b"Host: h\r\n"
    assert seen(bound(value)) == host + b"\r\n"
    assert seen(b"Cookie: a=1; ID=%s; b=2\r\nX: y\r\n" % value) == host + b"X: y\r\nCookie: a=1; b=2\r\n\r\n"
    assert (
        seen(b"Cookie: a=1;ID=x;b=2;\r\nCookie: ID=1\r\ncookie: c\r\n")
        == host + b"cookie: c\r\nCookie: a=1;b=2\r\n\r\n"
    )
    assert seen(b"Cookie: IDS=1; xID=2\r\n") == host + b"Cookie: IDS=1; xID=2\r\n\r\n"
    assert seen(b"Cookie: ID=1; a=2\r\nConnection: cookie\r\n") == host + b"\r\n", "taken out for another reason"


def test_it_is_taken_out_of_a_request_that_is_sent_again(stage: Stage) -> None:
    scene = sticky(stage, endpoints=1, forward=False)
    client = scene.client(b"GET /a HTTP/1.1\r\nHost: h\r\n\r\n")
    scene.send(scene.endpoint(), OK)
    found = SET.search(client.take_sent())
    assert found
    client = scene.client(b"GET /a HTTP/1.1\r\nHost: h\r\nCookie: ID=%s; a=1\r\n\r\n" % found[1])
    assert scene.dials == 1
    first = scene.endpoint().take_sent()
    scene.end(scene.endpoint())
    assert scene.dials == 2
    assert scene.endpoint().take_sent() == first.partition(b"\r\n\r\n")[2]
    scene.send(scene.endpoint(), OK)
    assert client.take_sent() == OK


def test_interim_answers_do_not_set_it_and_others_do_once(stage: Stage) -> None:
    scene = sticky(stage, endpoints=1)
    client = scene.client(b"GET /a HTTP/1.1\r\nHost: h\r\n\r\n")
    scene.send(scene.endpoint(), b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n")
    assert b"Set-Cookie" not in client.take_sent()
    scene.send(scene.endpoint(), b"HTTP/1.1 404 No\r\nSet-Cookie: own=1\r\nContent-Length: 0\r\n\r\n")
    sent = client.take_sent()
    assert sent.count(b"Set-Cookie:") == 2
    assert b"Set-Cookie: own=1\r\n" in sent
    assert sent.endswith(b"\r\n\r\n")


def test_a_tunnel_is_bound_too(stage: Stage) -> None:
    scene = sticky(stage, endpoints=1)
    upgrade = b"Connection: upgrade\r\nUpgrade: websocket\r\n"
    client = scene.client(b"GET /a HTTP/1.1\r\nHost: h\r\n" + upgrade + b"\r\n")
    scene.send(scene.endpoint(), b"HTTP/1.1 101 Switching Protocols\r\n" + upgrade + b"\r\nhello")
    sent = client.take_sent()
    assert SET.search(sent)
    assert sent.endswith(b"\r\n\r\nhello")


def test_weirs_own_errors_do_not_set_it(stage: Stage) -> None:
    scene = sticky(stage, endpoints=1)
    change(scene.memory, 0, order=Order.DOWN)
    assert b"Set-Cookie" not in scene.client(b"GET /a HTTP/1.1\r\nHost: h\r\n\r\n").take_sent()
