"""The fixture that other people's tests use."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest
import requests

import weir
import weir.fixtures
from weir.testing import ObservedProxy

Make = Callable[..., ObservedProxy]
weir_proxy = weir.fixtures.weir_proxy


async def app(scope: Any, receive: Any, send: Any) -> None:
    assert scope["type"] == "http"
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"hello"})


def test_one_in_front_of_another(weir_proxy: Make) -> None:
    behind = weir_proxy(app)
    front = weir_proxy(to=[behind.address], listener={"max_body": "1KiB"})
    assert requests.get(f"{front.url}/a", timeout=10).text == "hello"
    assert requests.post(front.url, data=b"x" * 2000, timeout=10).status_code == 413
    behind.assert_passed("GET", "/a", status=200, times=1)
    front.assert_passed(reason="body_too_large", times=1)


async def test_in_a_test_with_a_loop_of_its_own(weir_proxy: Make) -> None:
    proxy = weir_proxy(app)
    async with httpx.AsyncClient() as client:
        assert (await client.get(proxy.url)).text == "hello"
    proxy.assert_passed(times=1)


def test_what_is_wrong_is_said(weir_proxy: Make) -> None:
    before = set(threading.enumerate())
    with pytest.raises(weir.ConfigError, match="nonsense"):
        weir_proxy("http://127.0.0.1:9", listener={"max_body": "nonsense"})
    assert set(threading.enumerate()) <= before


@pytest.fixture
def _threads() -> Iterator[None]:
    before = set(threading.enumerate())
    yield
    assert set(threading.enumerate()) <= before


@pytest.mark.usefixtures("_threads")
def test_it_leaves_no_thread(request: pytest.FixtureRequest) -> None:
    make: Make = request.getfixturevalue("weir_proxy")
    assert requests.get(make(app).url, timeout=10).text == "hello"
