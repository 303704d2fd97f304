"""A proxy for other people's tests: what it says has passed has passed."""

from __future__ import annotations

import asyncio
import re
import threading
from typing import Any

import httpx
import pytest
import requests

import weir
from weir import testing


async def app(scope: Any, receive: Any, send: Any) -> None:
    """Answers with its own name; /fail raises, /bye ends before it has answered."""
    assert scope["type"] == "http"
    if scope["path"] == "/fail":
        raise LookupError("as asked")
    await send({"type": "http.response.start", "status": 201, "headers": [(b"content-length", b"3")]})
    await send({"type": "http.response.body", "body": b"app"})


async def test_what_passed_in_ones_own_loop() -> None:
    async with weir.testing.proxy(app) as proxy, httpx.AsyncClient(base_url=proxy.url) as client:
        assert proxy.exchanges == []
        for number in range(3):
            assert (await client.post(f"/users/{number}?page=2", content=b"hello")).text == "app"
            # Whoever has the response whole finds it there.
            assert len(proxy.exchanges) == number + 1
        last = proxy.exchanges[-1]
        assert (last.method, last.target, last.path, last.status) == ("POST", "/users/2?page=2", "/users/2", 201)
        assert (last.request_bytes, last.response_bytes, last.reason) == (5, 3, "none")
        assert last.first_byte_ms is not None
        assert 0 < last.first_byte_ms <= last.total_ms
        assert sum(last.parts_ms.values()) == pytest.approx(last.total_ms, abs=0.01)
        assert proxy.address == proxy.addresses[0]
        assert proxy.stats().series[-1].counters.requests == 3
        proxy.clear()
        assert proxy.exchanges == []
    assert proxy.exchanges == []


def test_what_passed_in_a_thread() -> None:
    before = threading.enumerate()
    with testing.proxy(app) as proxy:
        for number in range(20):
            requests.get(f"{proxy.url}/items/{number}", timeout=10)
            assert len(proxy.exchanges) == number + 1
        proxy.assert_passed("GET", re.compile("/items/[0-9]+"), status=201, times=20)
    proxy.assert_passed("GET", "/items/7", times=1)
    assert threading.enumerate() == before


def test_around_a_server_and_around_a_configuration() -> None:
    with testing.proxy(app) as behind:
        with testing.proxy(f"{behind.url}/", listener={"max_body": "1KiB"}) as proxy:
            assert requests.get(proxy.url, timeout=10).text == "app"
            assert requests.post(proxy.url, data=b"x" * 2_000, timeout=10).status_code == 413
            proxy.assert_passed("POST", status=413, reason="body_too_large", endpoint="", times=1)
        with testing.proxy(to=[behind.address]) as proxy:
            assert requests.get(proxy.url, timeout=10).text == "app"
        with testing.proxy({"listener": [{"address": "127.0.0.1:0", "to": behind.address}]}) as proxy:
            assert requests.get(proxy.url, timeout=10).text == "app"
    behind.assert_passed(endpoint="asgi:given:app", times=3)


def test_a_failed_assertion_shows_what_passed() -> None:
    with testing.proxy(app) as proxy:
        with pytest.raises(
            AssertionError, match=r"(?s)method='GET' should have passed at least once.*Nothing passed\."
        ):
            proxy.assert_passed("GET")
        requests.get(f"{proxy.url}/a?b=c", timeout=10)
        requests.get(f"{proxy.url}/fail", timeout=10)
        expected = (
            r"(?s)path='/a' status=200 should have passed 1 time, and passed 0\.\n.*GET /a\?b=c: 201\n  GET /fail: 500$"
        )
        with pytest.raises(AssertionError, match=expected):
            proxy.assert_passed(path="/a", status=200, times=1)
        with pytest.raises(AssertionError, match="anything should have passed 3 times, and passed 2"):
            proxy.assert_passed(times=3)
        proxy.assert_passed(times=2)
        proxy.assert_passed("DELETE", times=0)
        for _ in range(30):
            requests.get(f"{proxy.url}/many", timeout=10)
        with pytest.raises(AssertionError, match=r"\n  \.\.\. 12 before these\n"):
            proxy.assert_passed("DELETE")


def test_what_never_had_a_head_is_there_too() -> None:
    with testing.proxy(app) as proxy:
        host, _, port = proxy.address.partition(":")

        async def nonsense() -> None:
            reader, writer = await asyncio.open_connection(host, int(port))
            writer.write(b"no request\r\n\r\n")
            await reader.read()
            writer.close()

        asyncio.run(nonsense())
        (exchange,) = proxy.assert_passed(status=400)
        assert (exchange.method, exchange.path) == ("", "")
        assert str(exchange).startswith("? ?: 400 (")


def test_what_cannot_begin_is_said_and_leaves_no_thread() -> None:
    before = threading.enumerate()
    with pytest.raises(weir.ConfigError, match="max_body"):
        with testing.proxy(app, listener={"max_body": "x"}):
            pass
    with pytest.raises(TypeError, match="one of"):
        testing.proxy()
    assert threading.enumerate() == before


async def test_it_does_not_wait_long_for_what_hangs() -> None:
    hung = asyncio.Event()

    async def hangs(scope: Any, receive: Any, send: Any) -> None:
        assert scope["type"] == "http"
        hung.set()
        assert (await receive())["type"] == "http.request"
        assert (await receive())["type"] == "http.disconnect"

    async with testing.proxy(hangs, drain_timeout="20ms") as proxy:
        client = httpx.AsyncClient()
        asking = asyncio.create_task(client.get(proxy.url))
        await hung.wait()
    with pytest.raises(httpx.TransportError):
        await asking
    await client.aclose()
    proxy.assert_passed(status=0, reason="draining", times=1)


def test_an_application_may_look_at_what_has_passed() -> None:
    """It runs in the thread that would have to be asked."""
    seen: list[int] = []

    async def looks(scope: Any, receive: Any, send: Any) -> None:
        assert scope["type"] == "http"
        seen.append(len(proxy.exchanges))
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    with testing.proxy(looks) as proxy:
        for _ in range(2):
            assert requests.get(proxy.url, timeout=10).status_code == 204
    assert seen == [0, 1]


def test_what_an_application_leaves_running_ends_with_the_thread(caplog: pytest.LogCaptureFixture) -> None:
    left: list[asyncio.Task[None]] = []

    async def leaves(scope: Any, receive: Any, send: Any) -> None:
        assert scope["type"] == "http"
        left.append(asyncio.create_task(asyncio.sleep(3600)))
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    with testing.proxy(leaves) as proxy:
        assert requests.get(proxy.url, timeout=10).status_code == 204
    assert left[0].cancelled()


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_loop_that_has_ended_is_not_waited_for() -> None:
    async def leave() -> None:
        raise SystemExit(3)

    async def leaves(scope: Any, receive: Any, send: Any) -> None:
        assert scope["type"] == "http"
        asyncio.get_running_loop().create_task(leave())
        await asyncio.sleep(3600)

    observed = testing.proxy(leaves)
    observed.__enter__()
    with pytest.raises(requests.RequestException):
        requests.get(observed.url, timeout=0.5)
    with pytest.raises(RuntimeError, match=r"the loop of this proxy has ended: something .* has called sys\.exit"):
        observed.exchanges  # noqa: B018
    with pytest.raises(RuntimeError, match="has ended"):
        observed.__exit__(None, None, None)
    assert observed._thread is None
