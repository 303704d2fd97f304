"""Hooks that do what nobody expects of them, and peers that pick the worst moment for what they do."""

from __future__ import annotations

import pytest

import weir
from tests.plane.messages import told
from tests.plane.scene import GET, OK, Scene

POST = b"POST /a HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabc"
UPGRADE = b"GET /a HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nContent-Length: 0\r\n\r\n"
# What hooks see of a response, and what the client gets, has to be of the attempt that went on.
RETRY = {"on": ("connect", "reused", "reset", "bad_response"), "backoff_ms": 0}

PHASES = ("request", "request_body", "upstream", "response", "response_body", "log")


# -- clients that do not read ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [100, 200_000, 5_000_000])
@pytest.mark.parametrize("version", [b"1.1", b"1.0"])
def test_a_large_answer_goes_as_the_client_takes_it(size: int, version: bytes) -> None:
    @weir.hook("request")
    def answer(_request: weir.Request) -> weir.Answer:
        return weir.Answer(200, b"y" * size)

    scene = Scene(hooks=[answer])
    client = scene.client()
    client.room = 50
    scene.send(client, GET.replace(b"1.1", version))
    assert scene.plane.ledger()["buffer_bytes"] <= 1 << 20
    client.room = -1
    scene.turn(40)
    sent = told(client.take_sent())
    assert sent.fields[b"content-length"] == b"%d" % size
    assert len(sent.body) == size
    assert (sent.fields.get(b"connection") == b"close") == (version == b"1.0")
    assert scene.counters()["response_body_bytes"] == size
    scene.close()


def test_who_does_not_take_its_answers_is_not_heard() -> None:
    @weir.hook("request", path="/x")
    def answer(_request: weir.Request) -> weir.Answer:
        return weir.Answer(200, b"y" * 200_000)

    scene = Scene(hooks=[answer])
    client = scene.client()
    client.room = 0
    scene.turn()
    scene.send(client, GET.replace(b"/a", b"/x") * 5 + GET)
    assert scene.plane.ledger()["buffer_bytes"] < 400_000
    assert scene.dials == 0
    client.room = -1
    scene.turn(20)
    scene.send(scene.endpoint(), OK)
    sent = client.take_sent()
    assert sent.count(b"y" * 200_000) == 5
    assert sent.endswith(b"y" + OK)
    scene.close()


def test_who_never_takes_its_answers_is_cut_off() -> None:
    @weir.hook("request")
    def answer(_request: weir.Request) -> weir.Answer:
        return weir.Answer(200, b"y")

    scene = Scene(hooks=[answer], listener={"send_timeout_ms": 700, "request_header_timeout_ms": 300})
    client = scene.client()
    client.room = 0
    scene.turn()
    scene.send(client, GET * 2)
    scene.wait_ms(600)
    assert not client.is_closed
    scene.wait_ms(200)
    assert client.is_closed
    assert scene.reasons() == {"client_stalled": 1}
    scene.close()
