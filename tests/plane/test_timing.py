"""Server-Timing: where the time went, said in the response, if it is wanted."""

from __future__ import annotations

import errno
import re
from collections.abc import Callable

import pytest

from tests.plane.scene import GET, OK, Scene

Stage = Callable[..., Scene]

ON = {"server_timing": "on"}


def timings(sent: bytes) -> list[bytes]:
    head = sent.partition(b"\r\n\r\n")[0]
    return re.findall(rb"\r\nServer-Timing: ([^\r]*)", head)


def test_off_by_default(stage: Stage) -> None:
    scene = stage()
    client = scene.client(GET)
    scene.send(scene.endpoint(), OK)
    assert client.take_sent() == OK


def test_the_parts_that_are_known_when_the_head_goes_out(stage: Stage) -> None:
    scene = stage(listener=ON)
    scene.dialer.mode = "wait"
    client = scene.client(GET[:5])
    scene.clock.advance(1_234)
    scene.send(client, GET[5:])
    scene.clock.advance(2_005)
    scene.endpoint().connect()
    scene.turn()
    scene.clock.advance(1_500_000)
    scene.send(scene.endpoint(), OK[:-1])
    scene.wait_ms(5)
    scene.send(scene.endpoint(), OK[-1:])
    sent = client.take_sent()
    assert timings(sent) == [b"TR;dur=1.234, Tw;dur=0.000, Tc;dur=2.005, Tr;dur=1500.000"]
    assert sent.endswith(b"\r\n\r\nok")


def test_it_is_one_more_line_beside_the_endpoints(stage: Stage) -> None:
    scene = stage(listener=ON)
    client = scene.client(GET)
    scene.send(scene.endpoint(), OK[:-6] + b'\r\nServer-Timing: db;dur=53, app;desc="a b"\r\n\r\nok')
    assert timings(client.take_sent()) == [
        b'db;dur=53, app;desc="a b"',
        b"TR;dur=0.000, Tw;dur=0.000, Tc;dur=0.000, Tr;dur=0.000",
    ]


def test_an_error_answer_has_it(stage: Stage) -> None:
    scene = stage(listener=ON)
    scene.dialer.mode = "wait"
    client = scene.client(GET)
    scene.wait_ms(7)
    scene.endpoint().connect(errno.ECONNREFUSED)
    scene.turn()
    sent = client.take_sent()
    assert sent.startswith(b"HTTP/1.1 502 ")
    assert timings(sent) == [b"TR;dur=0.000, Tw;dur=0.000, Tc;dur=7.000, Tr;dur=0.000"]


@pytest.mark.parametrize("status", [b"103 Early Hints", b"101 Switching Protocols"])
def test_only_final_responses_have_it(stage: Stage, status: bytes) -> None:
    scene = stage(listener=ON)
    client = scene.client(GET[:-2] + b"Connection: upgrade\r\nUpgrade: x\r\n\r\n")
    scene.send(scene.endpoint(), b"HTTP/1.1 " + status + b"\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n")
    sent = client.take_sent()
    assert sent.startswith(b"HTTP/1.1 " + status)
    assert timings(sent) == []


def test_the_longest_values_have_room(stage: Stage) -> None:
    scene = stage(listener=ON, cluster={"response_header_timeout_ms": 2**62 // 1000})
    client = scene.client(GET)
    scene.clock.advance(2**60)
    scene.endpoint().feed(OK)
    scene.turn()
    assert timings(client.take_sent()) == [b"TR;dur=0.000, Tw;dur=0.000, Tc;dur=0.000, Tr;dur=1152921504606846.976"]
