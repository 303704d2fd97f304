"""Mirrors: a copy of a request goes to a second cluster, and nobody feels it."""

from __future__ import annotations

from typing import Any

import pytest

from tests.plane.scene import GET, OK, SHADOW, Scene
from weir.config.action_plan import ActionPlan
from weir.config.plan import MatchPlan, RoutePlan
from weir.plane.fake import FakeStream
from weir.stats.reader import clusters, snapshot

POST = b"POST /a HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabc"


def mirrored(request: bytes = GET, shadow: dict[str, Any] | None = None, **action: Any) -> tuple[Scene, FakeStream]:
    """A scene with a mirror, and a client that has sent a request."""
    scene = Scene(route={"action": ActionPlan(mirror=1, **action)}, shadow=shadow or {})
    return scene, scene.client(request)


def copies(scene: Scene) -> list[FakeStream]:
    """Connections to the mirror, in order."""
    return [stream for stream in scene.dialer.dialled if stream.peer is not None and stream.peer.text == SHADOW.text]


def asked(scene: Scene) -> list[FakeStream]:
    """Connections to the others."""
    return [stream for stream in scene.dialer.dialled if stream not in copies(scene)]


def figures(scene: Scene) -> dict[str, int]:
    _, cluster = clusters(scene.memory)
    names = ("mirrored", "mirrors_skipped", "mirrors_failed")
    return {name: getattr(cluster, name) for name in names if getattr(cluster, name)}


@pytest.mark.parametrize("request_", [GET, POST, GET.replace(b"GET", b"HEAD")])
def test_both_get_it_and_the_client_gets_one_answer(request_: bytes) -> None:
    scene, client = mirrored(request_)
    assert copies(scene)[0].take_sent() == request_
    assert asked(scene)[0].take_sent() == request_
    head = OK.removesuffix(b"ok") if request_.startswith(b"HEAD") else OK
    scene.send(asked(scene)[0], head)
    assert client.take_sent() == head
    scene.send(copies(scene)[0], head)
    assert client.take_sent() == b""
    assert figures(scene) == {"mirrored": 1}
    assert [pool["idle"] for pool in scene.plane.pools(1)] == [1], "its connection is used again"
    scene.close()


def test_a_connection_is_used_again_whatever_the_framing() -> None:
    scene, client = mirrored()
    responses = [
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
        b"HTTP/1.1 204 No Content\r\n\r\n",
        b"HTTP/1.1 500 Oh\r\nContent-Length: 3\r\n\r\nbad",
    ]
    for response in responses:
        for place in range(len(response)):
            scene.send(copies(scene)[0], response[place : place + 1])
        scene.send(asked(scene)[0], OK)
        assert client.take_sent() == OK
        scene.send(client, GET)
    assert len(copies(scene)) == 1
    assert figures(scene) == {"mirrored": 4}
    scene.close()


@pytest.mark.parametrize(
    ("request_", "response"),
    [
        (GET.replace(b"\r\n\r\n", b"\r\nAuthorization: Negotiate YII=\r\n\r\n"), OK),
        (GET, b"HTTP/1.1 401 Who\r\nWWW-Authenticate: NTLM\r\nContent-Length: 0\r\n\r\n"),
    ],
)
def test_a_connection_that_may_be_one_clients_is_not_used_for_another(request_: bytes, response: bytes) -> None:
    scene, _ = mirrored(request_)
    scene.send(copies(scene)[0], response)
    assert copies(scene)[0].is_closed
    assert [pool["idle"] for pool in scene.plane.pools(1)] == [0]
    scene.client(GET)
    assert len(copies(scene)) == 2
    scene.close()


def test_what_a_route_says_of_requests_holds_for_copies() -> None:
    scene, _ = mirrored(
        b"GET /api/x HTTP/1.1\r\nHost: h\r\n\r\n",
        shadow={"host": "shadow.internal"},
        strip_segments=1,
        request_lines=(("X-To", (("cluster", ""),)),),
    )
    assert copies(scene)[0].take_sent() == b"GET /x HTTP/1.1\r\nHost: shadow.internal\r\nX-To: shadow\r\n\r\n"
    assert asked(scene)[0].take_sent() == b"GET /x HTTP/1.1\r\nHost: h\r\nX-To: app\r\n\r\n"
    scene.close()


def test_a_copy_of_a_request_without_a_host_has_one() -> None:
    scene, _ = mirrored(b"GET /a HTTP/1.0\r\n\r\n")
    assert copies(scene)[0].take_sent() == b"GET /a HTTP/1.1\r\nHost: 203.0.113.1:80\r\n\r\n"
    assert asked(scene)[0].take_sent() == b"GET /a HTTP/1.1\r\nHost: 192.0.2.1:80\r\n\r\n"
    scene.close()


def test_a_copy_goes_on_when_the_exchange_is_over() -> None:
    scene, client = mirrored()
    copies(scene)[0].room = 0
    scene.end(client)
    scene.send(asked(scene)[0], OK)
    assert client.is_closed
    assert scene.plane.ledger()["exchanges"] == 0
    scene.send(copies(scene)[0], OK)
    assert figures(scene) == {"mirrored": 1}
    scene.close()


@pytest.mark.parametrize(
    "response",
    [
        b"nonsense\r\n\r\n",
        b"HTTP/1.1 101 Switching\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n",
        b"HTTP/1.1 100 Continue\r\n\r\n" * 17,
        b"HTTP/1.1 200 OK\r\nX: " + b"a" * 40_000,
    ],
)
def test_a_mirror_that_answers_wrongly(response: bytes) -> None:
    scene, client = mirrored()
    scene.send(copies(scene)[0], response)
    assert copies(scene)[0].is_closed
    scene.send(asked(scene)[0], OK)
    assert client.take_sent() == OK
    assert figures(scene) == {"mirrored": 1, "mirrors_failed": 1}
    scene.close()


def test_a_mirror_that_cannot_be_reached_breaks_or_is_late() -> None:
    scene, client = mirrored(shadow={"response_header_timeout_ms": 1_000})
    scene.reset(copies(scene)[0])
    scene.send(asked(scene)[0], OK)
    scene.send(client, GET)
    scene.end(copies(scene)[1])
    scene.send(asked(scene)[0], OK)
    scene.send(client, GET)
    scene.send(copies(scene)[2], OK.removesuffix(b"k"))
    scene.send(asked(scene)[0], OK)
    scene.wait_ms(1_100)
    assert copies(scene)[2].is_closed, "the whole response has as long as another's head"
    scene.dialer.mode = "refused"
    assert client.take_sent() == 3 * OK
    assert figures(scene) == {"mirrored": 3, "mirrors_failed": 3}
    scene.close()


def test_no_more_than_so_many_at_a_time() -> None:
    scene, client = mirrored(mirror_max=1)
    for _ in range(3):
        scene.send(asked(scene)[0], OK)
        scene.send(client, GET)
    assert figures(scene) == {"mirrored": 1, "mirrors_skipped": 3}
    scene.send(copies(scene)[0], OK)
    scene.send(asked(scene)[0], OK)
    scene.send(client, GET)
    assert figures(scene) == {"mirrored": 2, "mirrors_skipped": 3}
    scene.close()


def test_nobody_waits_in_the_mirrors_queue() -> None:
    from weir.config.plan import PoolPlan

    scene, client = mirrored(shadow={"pool": PoolPlan(max_connections=1, max_idle=1)})
    scene.send(asked(scene)[0], OK)
    scene.send(client, GET)
    assert figures(scene) == {"mirrored": 1, "mirrors_skipped": 1}
    assert scene.plane.queued(1) == 0
    scene.close()


@pytest.mark.parametrize(
    "request_",
    [
        POST.removesuffix(b"c"),
        b"POST /a HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\n",
        b"GET /a HTTP/1.1\r\nHost: h\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n",
    ],
)
def test_what_is_not_mirrored(request_: bytes) -> None:
    scene, _ = mirrored(request_)
    assert copies(scene) == []
    assert figures(scene) == {"mirrors_skipped": 1}
    scene.close()


def test_a_part_of_the_requests() -> None:
    scene, client = mirrored(mirror_percent=30)
    for _ in range(200):
        scene.send(asked(scene)[0], OK)
        for stream in copies(scene):
            stream.feed(OK) if stream.take_sent() else None
        scene.turn()
        scene.send(client, GET)
    assert 30 <= figures(scene)["mirrored"] <= 90
    scene.close()


def test_copies_end_with_the_worker_and_memory_that_is_short_is_no_harm() -> None:
    scene, client = mirrored()
    scene.send(copies(scene)[0], OK[:20])
    scene.plane.refuse_memory(1)
    scene.send(asked(scene)[0], OK)
    scene.send(client, GET)
    scene.close_plane()
    assert all(stream.is_closed for stream in copies(scene))
    scene.close()


def test_the_sides_of_a_route_share_what_it_may_copy_at_a_time() -> None:
    action = ActionPlan(mirror=1, mirror_max=1)
    scene = Scene(
        route={"name": "r:app", "action": action},
        routes=(RoutePlan("r:next", 0, action=action), RoutePlan("other", 0, action=action)),
        matches=(
            MatchPlan("r", ((0, 1), (1, 1)), path="/*", split_by="field:X-User"),
            MatchPlan("other", ((2, 1),), path="/other"),
        ),
        shadow={},
    )
    for user in range(20):  # of both sides
        scene.client(GET.replace(b"\r\n\r\n", b"\r\nX-User: %d\r\n\r\n" % user))
    assert figures(scene) == {"mirrored": 1, "mirrors_skipped": 19}
    for stream in asked(scene):
        scene.send(stream, OK)
    assert {one.route for one in snapshot(scene.memory).series if one.counters.requests} == {"r:app", "r:next"}
    scene.client(GET.replace(b"/a", b"/other"))
    assert figures(scene) == {"mirrored": 2, "mirrors_skipped": 19}, "another route has its own"
    scene.close()
