"""The cache in Redis: what is answered from it, what is never kept, and what happens without Redis."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from tests.examples.parts import RedisServer, example
from weir import testing
from weir.testing import ObservedProxy

DATE = "Thu, 26 Nov 2026 20:00:00 GMT"


class Shop:
    """An application that answers with how often it was asked, and with the fields that it is told to send."""

    def __init__(self) -> None:
        self.asked = 0
        self.body = b""
        self.status = 200
        self.fields: dict[str, str] = {"Cache-Control": "max-age=60"}
        self.codings: list[bytes] = []

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        assert scope["type"] == "http"
        self.asked += 1
        self.codings.append(dict(scope["headers"]).get(b"accept-encoding", b""))
        fields = [(name.lower().encode(), value.encode()) for name, value in self.fields.items()]
        await send({"type": "http.response.start", "status": self.status, "headers": fields})
        await send({"type": "http.response.body", "body": self.body or b"%d" % self.asked})


@contextlib.asynccontextmanager
async def cached(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[tuple[ObservedProxy, httpx.AsyncClient]]:
    with example("cache_redis") as module:
        monkeypatch.setattr(module, "REST_S", 0.05)
        # On a busy machine Redis may take longer than a deployment would wait.
        module.pool.connection_kwargs.update(socket_timeout=20, socket_connect_timeout=20)
        module.pool.timeout = 20
        async with testing.proxy(shop, hooks=module) as proxy, httpx.AsyncClient(base_url=proxy.url) as client:
            yield proxy, client


async def test_what_was_kept_is_answered_without_the_endpoint(
    redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop = Shop()
    shop.fields |= {"ETag": '"v1"', "Content-Type": "text/x-shop", "X-Own": "1"}
    async with cached(shop, monkeypatch) as (proxy, client), cached(shop, monkeypatch) as (_other_proxy, other):
        first = await client.get("/a?b=1")
        assert (first.text, first.headers["X-Cache"]) == ("1", "miss")
        again = await client.get("/a?b=1")
        assert (again.text, again.headers["X-Cache"], again.headers["X-Own"]) == ("1", "hit", "1")
        assert again.headers["Content-Type"] == "text/x-shop"
        assert 0 <= int(again.headers["Age"]) <= 60
        proxy.assert_passed("GET", "/a", status=200, endpoint="", times=1)
        # Another machine, or what only looks like another one: its own host is another key.
        assert (await other.get("/a?b=1", headers={"Host": proxy.address})).headers["X-Cache"] == "hit"
        assert (await other.get("/a?b=1")).headers["X-Cache"] == "miss"
        assert (await client.get("/a?b=2")).headers["X-Cache"] == "miss"
        known = await client.get("/a?b=1", headers={"If-None-Match": '"v1"'})
        assert (known.status_code, known.content, known.headers["ETag"]) == (304, b"", '"v1"')
        assert (await client.get("/a?b=1", headers={"If-None-Match": '"v0"'})).status_code == 200
        # A reload asks the endpoint, and what it says is kept.
        assert (await client.get("/a?b=1", headers={"Cache-Control": "no-cache"})).text == "4"
        assert (await client.get("/a?b=1")).text == "4"
        assert (await client.post("/a?b=1")).text == "5"


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        ({}, 200),
        ({"Cache-Control": "no-store, max-age=60"}, 200),
        ({"Cache-Control": "private, max-age=60"}, 200),
        ({"Cache-Control": "max-age=60, no-cache"}, 200),
        ({"Cache-Control": 'private="x-a", max-age=60'}, 200),
        ({"Cache-Control": "max-age=0"}, 200),
        ({"Cache-Control": "max-age=60, s-maxage=0"}, 200),
        ({"Cache-Control": "max-age=-1"}, 200),
        ({"Cache-Control": "max-age=60", "Age": "60"}, 200),
        ({"Cache-Control": "max-age=60", "Set-Cookie": "a=b"}, 200),
        ({"Cache-Control": "max-age=60", "Vary": "Cookie"}, 200),
        ({"Cache-Control": "max-age=60", "Vary": "*"}, 200),
        ({"Cache-Control": "max-age=60"}, 404),
    ],
)
async def test_what_is_never_kept(
    redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch, fields: dict[str, str], status: int
) -> None:
    shop = Shop()
    shop.fields, shop.status = fields, status
    async with cached(shop, monkeypatch) as (_proxy, client):
        assert [(await client.get("/a")).text for _ in range(2)] == ["1", "2"]


@pytest.mark.parametrize(
    "fields",
    [
        {"Authorization": "Bearer x"},
        {"Cookie": "a=b"},
        {"Range": "bytes=0-0"},
        {"Cache-Control": "no-store"},
    ],
)
async def test_who_passes_by(
    redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch, fields: dict[str, str]
) -> None:
    async with cached(Shop(), monkeypatch) as (_proxy, client):
        assert (await client.get("/a")).text == "1"
        passed = await client.get("/a", headers=fields)
        assert (passed.text, passed.headers.get("X-Cache")) == ("2", None)
        assert (await client.get("/a")).text == "1"


async def test_what_was_asked_with_a_body_is_for_nobody_else(
    redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Many a framework reads it for a GET, too; whoever sends one would choose what others see."""

    async def pieces() -> AsyncIterator[bytes]:
        yield b"name=mallory"

    async with cached(Shop(), monkeypatch) as (_proxy, client):
        for content in (b"name=mallory", pieces()):
            sent = await client.request("GET", "/a", content=content)
            assert (sent.status_code, sent.headers.get("X-Cache")) == (200, None)
        assert (await client.get("/a", headers={"Content-Length": "0"})).text == "3"
        assert (await client.get("/a")).text == "3"


async def test_who_asks_for_another_protocol_is_not_answered_from_it(
    redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with cached(Shop(), monkeypatch) as (_proxy, client):
        assert (await client.get("/a")).text == "1"
        assert (await client.get("/a", headers={"Connection": "Upgrade", "Upgrade": "own/1"})).text == "2"


async def test_what_concerns_one_response_is_not_kept(
    redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop = Shop()
    shop.fields |= {
        "Keep-Alive": "timeout=5",
        "TE": "x",
        "Proxy-Connection": "x",
        "X-Request-Id": "theirs",
        "Date": DATE,
    }
    async with cached(shop, monkeypatch) as (proxy, client):
        first = await client.get("/a")
        again = await client.get("/a")
        assert (again.text, again.headers["X-Cache"]) == ("1", "hit")
        assert "X-Request-Id" not in again.headers
        assert again.headers.get_list("Date") == first.headers.get_list("Date")
        assert all(exchange.reason == "none" for exchange in proxy.exchanges)


async def test_what_goes_to_another_cluster_is_another_thing(
    redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with testing.proxy(Shop()) as old, testing.proxy(Shop()) as new:
        tables = {
            "listener": [{"address": "127.0.0.1:0", "to": "old"}],
            "route": [{"fields": {"X-Beta": "1"}, "to": "new"}],
            "cluster": [{"name": "old", "endpoints": [old.address]}, {"name": "new", "endpoints": [new.address]}],
        }
        with example("cache_redis") as module:
            async with testing.proxy(tables, hooks=module) as proxy, httpx.AsyncClient(base_url=proxy.url) as client:
                for _ in range(2):
                    await client.get("/a")
                    await client.get("/a", headers={"X-Beta": "1"})
        old.assert_passed(times=1)
        new.assert_passed(times=1)


async def test_two_variants_and_a_bound_of_size(redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch) -> None:
    shop = Shop()
    shop.fields["Vary"] = "accept-encoding"
    async with cached(shop, monkeypatch) as (proxy, client):
        for coding in ("gzip, br", "identity", "deflate, gzip;q=0.5", "br", "gzip;q=0"):
            await client.get("/a", headers={"Accept-Encoding": coding})
        assert shop.codings == [b"gzip", b"identity"]
        shop.body = b"x" * (1024 * 1024 + 1)
        for _ in range(2):
            response = await client.get("/large")
            assert (response.headers.get("X-Cache"), len(response.content)) == (None, len(shop.body))
        shop.body = shop.body[:-1]
        for expected in ("miss", "hit"):
            response = await client.get("/large")
            assert (response.headers.get("X-Cache"), len(response.content)) == (expected, len(shop.body))
        assert all(exchange.reason == "none" for exchange in proxy.exchanges)


async def test_of_connections_to_redis_there_are_some_however_many_ask(
    redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with cached(Shop(), monkeypatch) as (proxy, client):
        await asyncio.gather(*[client.get(f"/{number}") for number in range(90)])
        with example("cache_redis") as module:
            assert 1 < len(await module.redis.client_list()) <= module.MOST + 1
            await module.redis.aclose()
        assert all(exchange.reason == "none" for exchange in proxy.exchanges)


async def test_it_is_kept_no_longer_than_allowed(redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch) -> None:
    shop = Shop()
    shop.fields = {"Cache-Control": "max-age=600, s-maxage=30", "Age": "10"}
    async with cached(shop, monkeypatch) as (_proxy, client):
        await client.get("/a")
        assert 10 <= int((await client.get("/a")).headers["Age"]) <= 30
        with example("cache_redis") as module:
            (key,) = await module.redis.keys("cache:*")
            assert 0 < await module.redis.ttl(key) <= 20
            await module.redis.delete(key)
            await module.redis.aclose()
        assert (await client.get("/a")).text == "2"


async def test_without_redis_everything_passes(redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch) -> None:
    async with cached(Shop(), monkeypatch) as (proxy, client):
        assert [(await client.get("/a")).text for _ in range(2)] == ["1", "1"]
        redis_server.stop()
        assert [(await client.get("/a")).text for _ in range(3)] == ["2", "3", "4"]
        redis_server.start()
        for _ in range(1000):
            if (await client.get("/a")).headers.get("X-Cache") == "hit":
                break
            await asyncio.sleep(0.01)
        else:
            pytest.fail("it never asked Redis again")
        assert all(exchange.reason == "none" for exchange in proxy.exchanges)
