"""Error answers: their forms, their ids, pages of one's own, and what they never say."""

from __future__ import annotations

import errno
import json
import re
from collections.abc import Callable
from http import HTTPStatus

import pytest

from tests.plane.scene import Scene
from weir.config.plan import ErrorPagePlan
from weir.reasons import REASONS

Stage = Callable[..., Scene]

NO_STORE = b"\r\nCache-Control: no-store\r\n"


def failed(
    stage: Stage, *fields: str, method: str = "GET", version: str = "1.1", **listener: object
) -> tuple[str, str]:
    """Head and body of the answer to a request whose endpoint refuses the connection."""
    scene = stage(listener=listener)
    scene.dialer.mode = errno.ECONNREFUSED
    lines = "".join(f"{field}\r\n" for field in fields)
    client = scene.client(f"{method} /a HTTP/{version}\r\nHost: h\r\n{lines}\r\n".encode())
    head, _, body = client.take_sent().decode().partition("\r\n\r\n")
    return head, body


def id_of(head: str) -> str:
    found = re.search(r"\r\nX-Request-Id: ([0-9a-f]{16})\r\n", head)
    assert found is not None, head
    return found[1]


def test_text(stage: Stage) -> None:
    head, body = failed(stage)
    assert head.startswith("HTTP/1.1 502 Bad Gateway\r\n")
    assert "\r\nContent-Type: text/plain; charset=utf-8\r\n" in head
    assert NO_STORE.decode() in head
    assert f"\r\nContent-Length: {len(body)}\r\n" in head
    assert body == (
        f"502 Bad Gateway\nconnect_refused: The endpoint refused the connection.\nrequest id: {id_of(head)}\n"
    )


@pytest.mark.parametrize("media", ["application/json", "application/problem+json"])
def test_json(stage: Stage, media: str) -> None:
    head, body = failed(stage, f"Accept: {media}")
    assert f"\r\nContent-Type: {media}\r\n" in head
    assert f"\r\nContent-Length: {len(body)}\r\n" in head
    assert json.loads(body) == {
        "type": "about:blank",
        "title": "Bad Gateway",
        "status": 502,
        "detail": "The endpoint refused the connection.",
        "reason": "connect_refused",
        "request_id": id_of(head),
    }


def test_head_has_no_body_but_its_length(stage: Stage) -> None:
    head, body = failed(stage, method="HEAD")
    assert body == ""
    assert "\r\nContent-Length: 0\r\n" not in head


def test_http10(stage: Stage) -> None:
    head, body = failed(stage, version="1.0")
    assert "\r\nConnection: close" in head
    assert body
    head, _ = failed(stage, "Connection: keep-alive", version="1.0")
    assert "\r\nConnection: keep-alive" in head


def test_ids_differ_and_stand_in_the_log(stage: Stage) -> None:
    scene = stage()
    scene.dialer.mode = errno.ECONNREFUSED
    ids = []
    for _ in range(3):
        ids.append(id_of(scene.client(b"GET /a HTTP/1.1\r\nHost: h\r\n\r\n").take_sent().decode()))
    ids.append(id_of(scene.client(b"bad\r\n\r\n").take_sent().decode()))
    assert len(set(ids)) == 4
    assert [json.loads(line)["request_id"] for line in scene.log.take().splitlines()] == ids


def test_a_refused_request_is_answered_in_its_form_too(stage: Stage) -> None:
    sent = stage().client(b"GET /a HTTP/1.1\r\nAccept: application/json\r\n\r\n").take_sent()
    assert sent.startswith(b"HTTP/1.1 400 ")
    assert json.loads(sent.partition(b"\r\n\r\n")[2])["reason"] == "bad_host"


def test_a_refused_method_names_those_that_are_not(stage: Stage) -> None:
    sent = stage().client(b"TRACE /a HTTP/1.1\r\nHost: h\r\n\r\n").take_sent()
    assert sent.startswith(b"HTTP/1.1 405 ")
    assert b"\r\nAllow: GET, HEAD, POST, PUT, DELETE, OPTIONS, PATCH\r\n" in sent


PAGES = (
    ErrorPagePlan("502", "text/html", b"<b>{{request_id}}</b> {{status}} {{title}} {{reason}} {{text}} {{request_id}}"),
    ErrorPagePlan("5xx", "text/plain", b"down {{other}}"),
    ErrorPagePlan("5xx", "application/json", b'{"id": "{{request_id}}"}'),
)


def test_pages_of_ones_own(stage: Stage) -> None:
    head, body = failed(stage, error_pages=PAGES)
    assert "\r\nContent-Type: text/html; charset=utf-8\r\n" in head
    number = id_of(head)
    assert body == (f"<b>{number}</b> 502 Bad Gateway connect_refused The endpoint refused the connection. {number}")
    head, body = failed(stage, "Accept: application/json", error_pages=PAGES)
    assert json.loads(body) == {"id": id_of(head)}
    scene = stage(listener={"error_pages": PAGES}, pool={"max_connections": 1}, queue={"size": 0})
    get = b"GET /a HTTP/1.1\r\nHost: h\r\n\r\n"
    scene.client(get)
    assert scene.client(get).take_sent().endswith(b"\r\n\r\ndown {{other}}")
    assert b"bad_request: " in scene.client(b"bad\r\n\r\n").take_sent(), "no page for 400"


def test_every_reason_with_a_status_has_a_phrase_and_a_sentence() -> None:
    for reason in REASONS:
        assert reason.text.endswith(".")
        assert not reason.status or HTTPStatus(reason.status).phrase
