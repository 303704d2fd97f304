"""The log of bodies: what was asked and answered, with secrets masked, and nothing else changed."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.e2e.wire import eventually
from tests.examples.parts import echo, example
from weir import testing
from weir.testing import ObservedProxy

JSON = {"Content-Type": "application/json; charset=utf-8"}


@contextlib.contextmanager
def logged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, app: Any = echo) -> Iterator[tuple[ObservedProxy, Path]]:
    path = tmp_path / "bodies.log"
    monkeypatch.setenv("BODY_LOG", str(path))
    with example("log_bodies") as module:
        with testing.proxy(app, hooks=module, listener={"request_id": "replace", "half_close": "abort"}) as proxy:
            yield proxy, path
        module.handler.close()


def lines(path: Path, count: int) -> list[dict[str, Any]]:
    eventually(lambda: path.exists() and len(path.read_text().splitlines()) == count)
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_both_bodies_are_logged_without_secrets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = {"user": "ada", "Password": "x", "cards": [{"card_number": "4111", "note": "é"}], "n": 1}
    with logged(tmp_path, monkeypatch) as (proxy, path):
        response = requests.post(f"{proxy.url}/api/login", json=asked, headers=JSON, timeout=10)
        assert json.loads(response.json()["body"]) == asked
        (line,) = lines(path, 1)
        assert (line["method"], line["path"], line["status"]) == ("POST", "/api/login", 200)
        assert line["asked"] == {
            "user": "ada",
            "Password": "***",
            "n": 1,
            "cards": [{"card_number": "***", "note": "é"}],
        }
        assert line["answered"]["method"] == "POST"
        # What is compressed could not be read.
        assert dict(response.json()["headers"])["accept-encoding"] == "identity"
        assert line["id"] == response.headers["X-Request-Id"]
        assert "4111" not in json.dumps(line["asked"])


def test_what_is_large_or_no_json_passes_and_only_its_length_is_logged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    large = json.dumps(["x" * 70_000]).encode()
    with logged(tmp_path, monkeypatch) as (proxy, path):
        for body, fields in [(large, JSON), (b"{oh", JSON), (b"secret=1", {"Content-Type": "text/plain"}), (b"", {})]:
            response = requests.post(f"{proxy.url}/api/x", data=body, headers=fields, timeout=10)
            assert response.json()["body"].encode() == body
        requests.post(f"{proxy.url}/elsewhere", data=b"{}", headers=JSON, timeout=10)
        logged_lines = lines(path, 4)
        assert [line["asked"] for line in logged_lines] == [len(large), "no JSON", 8, 0]
        assert [isinstance(line["answered"], int) for line in logged_lines] == [True, False, False, False]
        proxy.assert_passed(status=200, reason="none", times=5)


def test_a_stream_is_not_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def events(scope: Any, receive: Any, send: Any) -> None:
        assert scope["type"] == "http"
        await receive()
        fields = [(b"content-type", b"text/event-stream")]
        await send({"type": "http.response.start", "status": 200, "headers": fields})
        await send({"type": "http.response.body", "body": b"data: 1\n\n", "more_body": True})
        # Only the client ends it.
        assert (await receive())["type"] == "http.disconnect"

    with logged(tmp_path, monkeypatch, events) as (proxy, path):
        with requests.get(f"{proxy.url}/api/events", stream=True, timeout=10) as response:
            assert next(response.iter_lines()) == b"data: 1"
        (line,) = lines(path, 1)
        assert line["answered"] == len("data: 1\n\n")
