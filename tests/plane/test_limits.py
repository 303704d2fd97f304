"""Every limit and timeout: what happens when it is reached, under which reason, and that log and counters say so.

The table is that of docs/limits.md, which is compared with the settings and their defaults here as well.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.plane.scene import GET, OK, Scene
from weir.config.findings import TABLES
from weir.config.model import kind_of_field
from weir.config.plan import NetworkPlan, RateLimitPlan
from weir.reasons import REASONS

Stage = Callable[..., Scene]

DOCUMENT = Path(__file__).parents[2] / "docs" / "limits.md"
POST = b"POST /a HTTP/1.1\r\nHost: h\r\nContent-Length: 100000\r\n\r\n"
CHUNKED = b"POST /a HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"
HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n"


def sends(data: bytes, **options: Any) -> Callable[[Stage], tuple[Scene, bytes]]:
    """A client sends `data`; gives the scene and what it got."""

    def play(stage: Stage) -> tuple[Scene, bytes]:
        scene = stage(**options)
        client = scene.client(data)
        sent = client.take_sent()
        scene.end(client)
        assert client.is_closed
        return scene, sent

    return play


def answered(data: bytes, **options: Any) -> Callable[[Stage], tuple[Scene, bytes]]:
    """A client sends `data`, is answered, and its connection goes on."""

    def play(stage: Stage) -> tuple[Scene, bytes]:
        scene = stage(**options)
        client = scene.client(data)
        assert not client.is_closed
        return scene, client.take_sent()

    return play


def answers(data: bytes, **options: Any) -> Callable[[Stage], tuple[Scene, bytes]]:
    """The endpoint sends `data`; the client's connection goes on."""

    def play(stage: Stage) -> tuple[Scene, bytes]:
        scene = stage(**options)
        client = scene.client(GET)
        scene.send(scene.endpoint(), data)
        sent = client.take_sent()
        assert not client.is_closed
        assert scene.endpoint().is_closed
        return scene, sent

    return play


def waits(data: bytes, after_ms: int, *, room: int = -1, **options: Any) -> Callable[[Stage], tuple[Scene, bytes]]:
    """A client sends `data` and then nothing; the endpoint takes `room` bytes of it and says nothing either."""

    def play(stage: Stage) -> tuple[Scene, bytes]:
        scene = stage(**options)
        client = scene.client()
        if room >= 0:
            scene.send(client, GET)
            scene.send(scene.endpoint(), OK)
            client.take_sent()
            scene.endpoint().room = room
        scene.send(client, data)
        scene.wait_ms(after_ms - 50)
        assert client.take_sent() == b"", "too early"
        scene.wait_ms(100)
        return scene, client.take_sent()

    return play


def silent_response(stage: Stage) -> tuple[Scene, bytes]:
    scene = stage(cluster={"stream_idle_timeout_ms": 500})
    client = scene.client(GET)
    scene.send(scene.endpoint(), HEAD + b"x" * 1000)
    scene.wait_ms(600)
    assert client.is_closed
    assert len(client.take_sent()) == len(HEAD) + 1000
    return scene, b""


def stalled_client(stage: Stage) -> tuple[Scene, bytes]:
    scene = stage(listener={"send_timeout_ms": 500})
    client = scene.client(GET)
    client.room = 10
    scene.send(scene.endpoint(), HEAD + b"x" * 1000)
    scene.wait_ms(600)
    assert client.was_reset
    return scene, b""


def full_queue(stage: Stage) -> tuple[Scene, bytes]:
    scene = stage(pool={"max_connections": 1}, queue={"size": 0})
    scene.client(GET)
    sent = scene.client(GET).take_sent()
    assert b"\r\nRetry-After: " in sent
    return scene, sent


def slow_queue(stage: Stage) -> tuple[Scene, bytes]:
    scene = stage(pool={"max_connections": 1}, queue={"timeout_ms": 500})
    scene.client(GET)
    client = scene.client(GET)
    scene.wait_ms(600)
    sent = client.take_sent()
    assert b"\r\nRetry-After: " in sent
    return scene, sent


def slow_connect(stage: Stage) -> tuple[Scene, bytes]:
    scene = stage(endpoints=2, cluster={"connect_timeout_ms": 500})
    scene.dialer.mode = "wait"
    client = scene.client(GET)
    scene.wait_ms(600)
    assert scene.dials == 2, "the other endpoint is tried"
    assert client.take_sent() == b""
    scene.wait_ms(600)
    return scene, client.take_sent()


def slow_body(stage: Stage) -> tuple[Scene, bytes]:
    scene = stage(listener={"min_request_rate_bytes": 100, "rate_grace_ms": 500})
    client = scene.client(POST)
    scene.wait_ms(450)
    scene.send(client, b"x")
    assert client.take_sent() == b""
    scene.wait_ms(100)
    return scene, client.take_sent()


def slow_reader(stage: Stage) -> tuple[Scene, bytes]:
    scene = stage(listener={"min_response_rate_bytes": 100_000, "rate_grace_ms": 500})
    client = scene.client(GET)
    client.room = 10
    scene.send(scene.endpoint(), HEAD + b"x" * 1000)
    scene.wait_ms(450)
    client.room = 1
    scene.turn()
    scene.wait_ms(100)
    assert client.was_reset
    return scene, b""


def too_many_requests(stage: Stage) -> tuple[Scene, bytes]:
    scene = stage(listener={"max_connections_per_client": 1, "trusted_proxies": (NetworkPlan("unix"),)})
    said = GET[:-2] + b"X-Forwarded-For: 192.0.2.7\r\n\r\n"
    scene.client(said)
    return scene, scene.client(said).take_sent()


def too_often(stage: Stage) -> tuple[Scene, bytes]:
    scene = stage(listener={"rate_limits": (RateLimitPlan("client", (1, 1000)),)})
    scene.client(GET)
    sent = scene.client(GET).take_sent()
    assert b"\r\nRetry-After: 1\r\n" in sent
    return scene, sent


def failing_endpoints(stage: Stage) -> tuple[Scene, bytes]:
    scene = stage(breaker={"failures_percent": 50, "volume": 2})
    for _ in range(2):
        scene.client(GET)
        scene.send(scene.endpoint(), b"HTTP/1.1 500 x\r\nContent-Length: 0\r\n\r\n")
    sent = scene.client(GET).take_sent()
    assert b"\r\nRetry-After: " in sent
    return scene, sent


WAITS = GET[:-2] + b"X-Wait: 500\r\n\r\n"
FIELDS = b"".join(b"x%d: 1\r\n" % n for n in range(20))
RESPONSE_FIELDS = b"HTTP/1.1 200 OK\r\n" + FIELDS + b"Content-Length: 2\r\n\r\nok"

# Reason, how it comes about, the status of the answer (0: none).
LIMITS: list[tuple[str, Callable[[Stage], tuple[Scene, bytes]], int]] = [
    ("head_too_large", sends(GET[:-2] + b"x: " + b"y" * 2000 + b"\r\n\r\n", listener={"max_head_bytes": 1024}), 431),
    ("head_too_large", sends(GET[:-2] + FIELDS + b"\r\n", listener={"max_fields": 10}), 431),
    ("target_too_long", sends(b"GET /" + b"a" * 100 + b" HTTP/1.1\r\n", listener={"max_target_bytes": 64}), 414),
    ("body_too_large", sends(POST, route={"max_body_bytes": 99_999}), 413),
    ("body_too_large", sends(CHUNKED + b"20\r\n" + b"x" * 32 + b"\r\n", route={"max_body_bytes": 31}), 413),
    ("head_timeout", waits(GET[:5], 500, listener={"request_header_timeout_ms": 500}), 408),
    ("client_stalled", stalled_client, 0),
    ("body_too_slow", slow_body, 408),
    ("client_too_slow", slow_reader, 0),
    ("client_limit", too_many_requests, 503),
    ("response_timeout", waits(GET, 500, cluster={"response_header_timeout_ms": 500}), 504),
    ("body_timeout", waits(POST, 500, cluster={"stream_idle_timeout_ms": 500}), 408),
    ("stream_timeout", waits(POST + bytes(1000), 500, room=50, cluster={"stream_idle_timeout_ms": 500}), 504),
    ("stream_timeout", silent_response, 0),
    (
        "response_head_too_large",
        answers(HEAD[:-2] + b"x: " + b"y" * 2000 + b"\r\n\r\n", cluster={"max_response_head_bytes": 1024}),
        502,
    ),
    ("response_head_too_large", answers(RESPONSE_FIELDS, cluster={"max_response_fields": 10}), 502),
    ("queue_full", full_queue, 503),
    ("queue_timeout", slow_queue, 503),
    ("connect_timeout", slow_connect, 504),
    ("rate_limited", too_often, 429),
    ("circuit_open", failing_endpoints, 503),
    ("deadline_passed", waits(WAITS, 500, listener={"deadline_field": "X-Wait"}), 504),
    ("bad_deadline", answered(WAITS.replace(b"500", b"x"), listener={"deadline_field": "X-Wait"}), 400),
    ("bad_chunk", sends(CHUNKED + b"5;" + b"x" * 260), 400),
    ("bad_chunk", sends(CHUNKED + b"0\r\n" + FIELDS + b"\r\n", listener={"max_fields": 10}), 400),
    ("bad_request", sends(GET[:-2] + b"Connection: " + b"a," * 65 + b"\r\n\r\n"), 400),
    ("bad_response", answers(b"HTTP/1.1 103 x\r\n\r\n" * 17 + OK), 502),
]


@pytest.mark.parametrize(
    ("reason", "play", "status"), LIMITS, ids=lambda value: value if isinstance(value, str) else ""
)
def test_a_limit_has_its_answer_its_line_and_its_count(
    stage: Stage, reason: str, play: Callable[[Stage], tuple[Scene, bytes]], status: int
) -> None:
    scene, sent = play(stage)
    if status:
        answer = sent[sent.index(f"HTTP/1.1 {status} ".encode()) :]
        assert f"\n{reason}: ".encode() in answer
    else:
        assert b"weir" not in sent
    assert scene.reasons() == {reason: 1}
    lines = [json.loads(line) for line in scene.log.take().splitlines()]
    found = [line for line in lines if line["reason"] == reason]
    assert len(found) == 1
    assert found[0]["status"] == (status or 200)


def test_idle_connections_are_counted_without_a_line(stage: Stage) -> None:
    scene = stage(listener={"idle_timeout_ms": 500})
    client = scene.client(GET)
    scene.send(scene.endpoint(), OK)
    scene.wait_ms(600)
    assert client.is_closed
    assert scene.reasons() == {"idle_timeout": 1}
    assert len(scene.log.take().splitlines()) == 1


def test_max_requests_closes_behind_the_answer(stage: Stage) -> None:
    scene = stage(listener={"max_requests": 2})
    client = scene.client(GET)
    scene.send(scene.endpoint(), OK)
    assert b"Connection" not in client.take_sent()
    scene.send(client, GET)
    scene.send(scene.endpoint(), OK)
    assert b"\r\nConnection: close\r\n" in client.take_sent()
    assert client.is_closed


def rows() -> list[list[str]]:
    """The cells of the document's tables, headings and rules left out."""
    lines = [line for line in DOCUMENT.read_text().splitlines() if line.startswith("| ")]
    cells = [[cell.strip() for cell in line.strip()[1:-1].split("|")] for line in lines]
    return [row for row in cells if row[0] not in ("what", "---")]


def test_the_document_names_settings_with_their_defaults() -> None:
    named = 0
    for row in rows():
        found = re.fullmatch(r"`([a-z_.]+)`", row[1])
        if found is None:
            continue
        *table, key = found[1].split(".")
        models = {".".join(path) or "top": model for path, model in TABLES.items()}
        place = ".".join(table) or ("top" if key in ("drain_timeout", "hook_block_after") else "listener")
        field = models[place].model_fields[key]
        kind = kind_of_field(field)
        assert kind is not None
        assert str(kind.show(field.default)) == row[2], found[1]
        named += 1
    assert named == 44


def test_the_reasons_of_the_document_are_reasons_and_all_are_provoked() -> None:
    words = {word for row in rows() for word in re.findall(r"`([a-z_]+)`", row[-1])}
    known = {reason.word for reason in REASONS}
    assert words <= known
    # The others have tests of their own: here, in test_failure, test_plane (evicted) and the end-to-end tests.
    elsewhere = {"bad_proxy_header", "proxy_header_timeout"}  # tests/plane/test_proxyproto.py
    elsewhere |= {"response_too_large"}  # tests/plane/test_bodied.py
    elsewhere |= {"idle_timeout", "evicted", "draining", "out_of_descriptors", "out_of_ports", "out_of_memory"}
    assert words - elsewhere == {reason for reason, *_ in LIMITS}
