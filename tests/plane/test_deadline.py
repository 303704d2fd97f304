"""Deadlines of clients, and what endpoints are told of time."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.plane.scene import GET, OK, Scene
from weir.config.plan import FaultPlan

Stage = Callable[..., Scene]
LISTENER = {"deadline_field": "X-Wait-Ms"}


def get(*lines: str) -> bytes:
    return ("GET /a HTTP/1.1\r\nHost: h\r\n" + "".join(f"{line}\r\n" for line in lines) + "\r\n").encode()


def test_the_endpoint_is_told_what_is_left(stage: Stage) -> None:
    scene = stage(listener=LISTENER, pool={"max_connections": 1})
    scene.client(get("X-Wait-Ms: 1500", "A: b"))
    assert scene.endpoint().take_sent() == get("A: b", "X-Wait-Ms: 1500")
    second = scene.client(get("x-wait-ms: 1000"))
    scene.wait_ms(300)
    scene.send(scene.endpoint(), OK)
    assert scene.endpoint().take_sent() == get("X-Wait-Ms: 700")
    scene.send(scene.endpoint(), OK)
    assert second.take_sent() == OK


def test_one_that_is_queued_leaves_when_nobody_waits_for_it(stage: Stage) -> None:
    scene = stage(listener=LISTENER, pool={"max_connections": 1}, queue={"timeout_ms": 5_000})
    scene.client(GET)
    waiting = scene.client(get("X-Wait-Ms: 200"))
    scene.wait_ms(190)
    assert waiting.take_sent() == b""
    scene.wait_ms(20)
    sent = waiting.take_sent()
    assert sent.startswith(b"HTTP/1.1 504 ")
    assert b"deadline_passed" in sent
    assert scene.plane.queued(0) == 0
    assert not waiting.is_closed
    scene.endpoint().take_sent()
    scene.send(scene.endpoint(), OK)
    assert scene.endpoint().take_sent() == b"", "it is not sent any more"


def test_a_response_head_is_waited_for_as_long_as_the_client_waits(stage: Stage) -> None:
    scene = stage(listener=LISTENER)
    client = scene.client(get("X-Wait-Ms: 300"))
    scene.wait_ms(310)
    assert b"deadline_passed" in client.take_sent()
    assert scene.endpoint().is_closed
    assert scene.plane.pools(0)[0]["failures"] == 0, "it is not the endpoint's failure"


def test_a_dial_as_well(stage: Stage) -> None:
    scene = stage(listener=LISTENER)
    scene.dialer.mode = "wait"
    client = scene.client(get("X-Wait-Ms: 300"))
    scene.wait_ms(310)
    assert b"deadline_passed" in client.take_sent()


def test_an_upload_as_well(stage: Stage) -> None:
    scene = stage(listener=LISTENER)
    client = scene.client(b"POST /a HTTP/1.1\r\nHost: h\r\nX-Wait-Ms: 300\r\nContent-Length: 10\r\n\r\n")
    scene.wait_ms(200)
    scene.send(client, b"12345")
    scene.wait_ms(110)
    assert b"deadline_passed" in client.take_sent()


def test_a_response_that_has_begun_is_not_cut(stage: Stage) -> None:
    scene = stage(listener=LISTENER)
    client = scene.client(get("X-Wait-Ms: 300"))
    scene.send(scene.endpoint(), b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nab")
    scene.wait_ms(2_000)
    scene.send(scene.endpoint(), b"cd")
    assert client.take_sent().endswith(b"\r\n\r\nabcd")
    assert scene.reasons() == {}


def test_no_attempt_begins_after_it(stage: Stage) -> None:
    scene = stage(listener=LISTENER)
    client = scene.client(get("X-Wait-Ms: 0"))
    assert b"deadline_passed" in client.take_sent()
    assert scene.dials == 0
    client = scene.client(GET)
    scene.send(scene.endpoint(), OK)
    scene.send(client, get("X-Wait-Ms: 100"))
    scene.clock.advance(150_000)
    scene.end(scene.endpoint())
    assert b"upstream_closed" in client.take_sent()
    assert scene.dials == 1


def test_no_attempt_after_a_pause_begins_after_it(stage: Stage) -> None:
    scene = stage(endpoints=2, listener=LISTENER)
    client = scene.client(GET)
    scene.send(scene.endpoint(), OK)
    scene.send(client, get("X-Wait-Ms: 100"))
    scene.clock.advance(99_000)
    scene.end(scene.endpoint())
    assert scene.dials == 3
    assert scene.endpoint().take_sent() == get("X-Wait-Ms: 1")
    scene.wait_ms(10)
    assert b"deadline_passed" in client.take_sent()


@pytest.mark.parametrize(
    "value", ["", "1.5", "-1", "+1", "0x10", "1e3", "1s", "86400001", "999999999", "1 2", "1, 2", "\u0661"]
)
def test_what_is_no_number_of_milliseconds_is_refused(stage: Stage, value: str) -> None:
    scene = stage(listener=LISTENER)
    sent = scene.client(get(f"X-Wait-Ms: {value}")).take_sent()
    assert sent.startswith(b"HTTP/1.1 400 ")
    assert b"bad_deadline" in sent
    assert scene.dials == 0


def test_two_of_them_are_refused(stage: Stage) -> None:
    scene = stage(listener=LISTENER)
    assert b"bad_deadline" in scene.client(get("X-Wait-Ms: 100", "X-Wait-Ms: 100")).take_sent()


def test_the_longest(stage: Stage) -> None:
    scene = stage(listener=LISTENER)
    scene.client(get("X-Wait-Ms: 86400000"))
    assert scene.endpoint().take_sent() == get("X-Wait-Ms: 86400000")


def test_another_spelling_is_not_passed_on(stage: Stage) -> None:
    scene = stage(listener=LISTENER)
    scene.client(get("X_Wait_Ms: 100"))
    assert scene.endpoint().take_sent() == get()


def test_without_the_setting_the_field_is_the_applications(stage: Stage) -> None:
    scene = stage()
    scene.client(get("X-Wait-Ms: soon"))
    assert scene.endpoint().take_sent() == get("X-Wait-Ms: soon")


def test_request_start_is_the_first_byte_of_the_request(stage: Stage) -> None:
    scene = stage(cluster={"request_start": "on"})
    scene.clock.advance(1_700_000_000_000_000 - scene.clock.now_us + 7)
    client = scene.client(GET[:10])
    scene.wait_ms(250)
    scene.send(client, GET[10:])
    assert scene.endpoint().take_sent() == get("X-Request-Start: t=1700000000.000007")


@pytest.mark.parametrize("name", ["X-Request-Start", "x-request-start", "X_Request_Start"])
def test_a_clients_own_request_start_is_dropped(stage: Stage, name: str) -> None:
    scene = stage(cluster={"request_start": "on"})
    scene.client(get(f"{name}: t=1", "A: b"))
    sent = scene.endpoint().take_sent()
    assert sent.startswith(get("A: b")[:-2] + b"X-Request-Start: t=")
    assert sent.count(b"equest") == 1


def test_a_request_that_is_sent_again_tells_of_the_first_time(stage: Stage) -> None:
    scene = stage(cluster={"request_start": "on"}, listener=LISTENER)
    client = scene.client(GET)
    scene.send(scene.endpoint(0), OK)
    scene.endpoint(0).take_sent()
    scene.send(client, get("X-Wait-Ms: 1000"))
    first = scene.endpoint(0).take_sent()
    scene.wait_ms(100)
    scene.end(scene.endpoint(0))
    second = scene.endpoint(1).take_sent()
    assert b"X-Wait-Ms: 900\r\n" in second
    assert first.split(b"X-Request-Start: ")[1] == second.split(b"X-Request-Start: ")[1]


def test_one_that_a_fault_delays_is_not_delayed_for_longer(stage: Stage) -> None:
    scene = stage(listener={**LISTENER, "faults": (FaultPlan(name="slow", delay_ms=(60_000, 60_000)),)})
    client = scene.client(get("X-Wait-Ms: 300"))
    scene.wait_ms(290)
    assert client.take_sent() == b""
    scene.wait_ms(20)
    assert b"deadline_passed" in client.take_sent()
    assert scene.dials == 0
