"""Which requests meet a hook."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest

import weir
from tests.plane.scene import GET, OK, Scene
from tests.plane.test_meeting import in_loop, turns
from weir.plane.hooks import Hook, Hooks
from weir.stats.hooks import create

REQUEST = "{method} {target} HTTP/1.1\r\nHost: {host}\r\n{field}\r\n"


@pytest.mark.parametrize(
    ("selectors", "request_", "meets"),
    [
        ({}, {}, True),
        ({"path": "/a"}, {"target": "/a"}, True),
        ({"path": "/a"}, {"target": "/a?b"}, True),
        ({"path": "/a"}, {"target": "/%61"}, True),
        ({"path": "/a"}, {"target": "//x/../a"}, True),
        ({"path": "/a"}, {"target": "/ab"}, False),
        ({"path": "/a"}, {"target": "/a/"}, False),
        ({"path": "/a/*"}, {"target": "/a/b"}, True),
        ({"path": "/a/*"}, {"target": "/x/../a/b"}, True),
        ({"path": "/a/*"}, {"target": "/ab"}, False),
        ({"path": "/*"}, {"target": "/"}, True),
        ({"host": "h.example"}, {"host": "H.example"}, True),
        ({"host": "h.example"}, {"host": "h.example:8080"}, True),
        ({"host": "h.example"}, {"host": "h.example."}, True),
        ({"host": "h.example"}, {"host": "xh.example"}, False),
        ({"host": "*.example"}, {"host": "a.b.EXAMPLE"}, True),
        ({"host": "*.example"}, {"host": "example"}, False),
        ({"host": "*.example"}, {"host": ".example"}, False),
        ({"host": ["a", "b"]}, {"host": "b"}, True),
        ({"host": "a"}, {"target": "http://a/", "host": "a"}, True),
        ({"host": "[::1]"}, {"host": "[::1]:80"}, True),
        ({"host": "[::1]"}, {"host": "[::1]"}, True),
        ({"methods": ["PUT", "POST"]}, {"method": "POST"}, True),
        ({"methods": ["PUT", "POST"]}, {}, False),
        ({"methods": "GET"}, {}, True),
        ({"methods": ["BREW"]}, {"method": "BREW"}, True),
        ({"field": "X-A"}, {"field": "x-a: 1\r\n"}, True),
        ({"field": "X-A: 1"}, {"field": "x-a: 1\r\n"}, True),
        ({"field": "X-A: 2"}, {"field": "x-a: 1\r\n"}, False),
        ({"field": "X-A"}, {}, False),
        ({"path": "/a", "methods": ["PUT"]}, {"target": "/a"}, False),
    ],
)
def test_selectors(selectors: dict[str, Any], request_: dict[str, str], meets: bool) -> None:
    met: list[str] = []

    @weir.hook("request", **selectors)
    def meet(request: weir.Request) -> None:
        met.append(request.target)

    scene = Scene(hooks=[meet])
    parts = {"method": "GET", "target": "/", "host": "h", "field": ""} | request_
    client = scene.client(REQUEST.format(**parts).encode())
    scene.send(scene.endpoint(), OK)
    assert client.take_sent() == OK
    assert len(met) == meets
    scene.close()


def test_a_route_has_64_hooks_and_no_more() -> None:
    met: list[int] = []

    def number(n: int) -> Any:
        @weir.hook("request", path="/a")
        def meet(_request: weir.Request) -> None:
            met.append(n)

        return meet

    scene = Scene(hooks=[number(n) for n in range(64)])
    scene.client(b"GET /a HTTP/1.1\r\nHost: h\r\n\r\n")
    assert met == list(range(64))
    scene.close()
    with pytest.raises(ValueError, match="65 hooks for one route; there may be 64"):
        Hooks([Hook(number(n), create(1), 0) for n in range(65)], create(1), 0)


def test_a_request_that_stands_in_a_line_changes_its_cluster_no_more() -> None:
    seen: list[weir.Request] = []
    scene = Scene(hooks=[weir.hook("request")(seen.append)], pool={"max_connections": 1}, shadow={})
    clients = [scene.client(GET), scene.client(GET)]
    assert scene.plane.queued(0) == 1
    with pytest.raises(RuntimeError, match="has gone on"):
        seen[1].cluster = "shadow"
    scene.send(scene.endpoint(), OK)
    scene.send(scene.endpoint(), OK)
    assert [client.take_sent() for client in clients] == [OK, OK]
    assert scene.plane.queued(0) == 0
    scene.close()


def test_calls_that_take_too_long_are_said_once_a_second(caplog: pytest.LogCaptureFixture) -> None:
    @weir.hook("request", timeout=0.5, name="mine")
    async def waits(_request: weir.Request) -> None:
        await asyncio.sleep(60)

    async def play() -> None:
        scene = Scene(hooks=[waits])
        for _ in range(2):
            for _ in range(10):
                scene.client(GET)
            scene.wait_ms(510)
            scene.wait_ms(1000)
            await turns(scene)
        assert scene.hooked("mine").timeouts == 20
        scene.close()

    with caplog.at_level(logging.ERROR, "weir.hooks"):
        in_loop(play)
    assert [record.message for record in caplog.records] == [
        "hook mine took longer than 500 ms, and was cancelled",
        "hook mine took longer than 500 ms, and was cancelled (9 more times since it was last said)",
    ]
