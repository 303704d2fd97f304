"""API keys and JWTs: who comes in, and what the endpoint is told."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jwt
import pytest
import requests

from tests.examples.parts import echo, example
from weir import testing
from weir.testing import ObservedProxy

SECRET = "a secret of the tests, long enough for HS256 and long enough for HS512 as well"
HOUR = 3600


@pytest.fixture
def proxy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ObservedProxy]:
    keys = tmp_path / "keys.json"
    keys.write_text(json.dumps({hashlib.sha256(b"k-123").hexdigest(): "shop"}))
    monkeypatch.setenv("API_KEYS", str(keys))
    monkeypatch.setenv("JWT_SECRET", SECRET)
    with example("auth") as module, testing.proxy(echo, hooks=module) as observed:
        yield observed


def token(secret: str = SECRET, algorithm: str = "HS256", **claims: Any) -> str:
    return jwt.encode({"sub": "ada", "exp": time.time() + HOUR, **claims}, secret, algorithm=algorithm)


def fields_told(response: requests.Response) -> dict[str, str]:
    assert response.status_code == 200
    return dict(response.json()["headers"])


@pytest.mark.parametrize(
    ("fields", "user"),
    [
        ({"X-Api-Key": "k-123"}, "shop"),
        ({"X-Api-Key": "k-123", "X-User": "root", "X_User": "root"}, "shop"),
        ({"Authorization": f"Bearer {token()}"}, "ada"),
        ({"Authorization": f"bearer  {token()}", "x-user": "root"}, "ada"),
    ],
)
def test_who_is_known_comes_in_under_that_name(proxy: ObservedProxy, fields: dict[str, str], user: str) -> None:
    told = fields_told(requests.get(timeout=10, url=f"{proxy.url}/orders", headers=fields))
    assert told["x-user"] == user
    assert "x-api-key" not in told
    assert "x_user" not in told
    proxy.assert_passed("GET", "/orders", status=200, times=1)


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"X-Api-Key": "k-12"},
        {"X-Api-Key": ""},
        {"X-Api-Key": "k-123, k-123"},
        {"X-Api-Key": "nobody's", "Authorization": f"Bearer {token()}"},
        {"X-User": "ada"},
        {"Authorization": "Basic YWRhOmFkYQ=="},
        {"Authorization": "Bearer"},
        {"Authorization": "Bearer a.b.c"},
        {"Authorization": f"Bearer {token(secret=SECRET[::-1])}"},
        {"Authorization": f"Bearer {token(exp=time.time() - HOUR)}"},
        {"Authorization": f"Bearer {token(algorithm='HS512')}"},
        {"Authorization": f"Bearer {jwt.encode({'sub': 'ada'}, SECRET)}"},
        {"Authorization": f"Bearer {jwt.encode({'sub': 'ada', 'exp': time.time() + HOUR}, '', algorithm='none')}"},
        {"Authorization": f"Bearer {token(sub='')}"},
        {"Authorization": f"Bearer {token(sub='a' + chr(10) + 'X-User: root')}"},
    ],
)
def test_all_others_do_not(proxy: ObservedProxy, fields: dict[str, str]) -> None:
    response = requests.get(timeout=10, url=f"{proxy.url}/orders", headers=fields)
    assert (response.status_code, response.headers["WWW-Authenticate"]) == (401, "Bearer")
    proxy.assert_passed("GET", "/orders", status=401, endpoint="", times=1)


@pytest.mark.parametrize(("path", "status"), [("/health", 200), ("/", 200), ("//health", 401), ("/health/x", 401)])
def test_public_paths_need_nothing_and_tell_nobody(proxy: ObservedProxy, path: str, status: int) -> None:
    response = requests.get(timeout=10, url=f"{proxy.url}{path}", headers={"X-User": "root"})
    assert response.status_code == status
    if status == 200:
        assert "x-user" not in fields_told(response)


@pytest.mark.parametrize("secret", ["", "short", "x" * 31])
def test_without_a_secret_it_does_not_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, secret: str) -> None:
    (tmp_path / "keys.json").write_text("{}")
    monkeypatch.setenv("API_KEYS", str(tmp_path / "keys.json"))
    monkeypatch.setenv("JWT_SECRET", secret)
    with pytest.raises(SystemExit, match="JWT_SECRET: 32 characters at least"), example("auth"):
        pass
