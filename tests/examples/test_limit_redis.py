"""The rate limit in Redis: exact over several proxies, and what happens without Redis."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
from collections.abc import AsyncIterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import pytest

from tests.examples.parts import RedisServer, echo, example
from weir import testing
from weir.testing import ObservedProxy


@pytest.fixture(autouse=True)
def _keys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    keys = {hashlib.sha256(key.encode()).hexdigest(): key for key in ("k", "another", "other")}
    (tmp_path / "keys.json").write_text(json.dumps(keys))
    monkeypatch.setenv("API_KEYS", str(tmp_path / "keys.json"))


@contextlib.asynccontextmanager
async def limited(monkeypatch: pytest.MonkeyPatch, **settings: str) -> AsyncIterator[ObservedProxy]:
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    with example("limit_redis") as module:
        monkeypatch.setattr(module, "REST_S", 0.05)
        # On a busy machine Redis may take longer than a deployment would wait.
        module.pool.connection_kwargs.update(socket_timeout=20, socket_connect_timeout=20)
        module.pool.timeout = 20
        async with testing.proxy(echo, hooks=module) as proxy:
            yield proxy


async def statuses(client: httpx.AsyncClient, proxy: ObservedProxy, times: int, key: str) -> list[int]:
    asked = [client.get(f"{proxy.url}/api/x", headers={"X-Api-Key": key}) for _ in range(times)]
    return sorted([response.status_code for response in await asyncio.gather(*asked)])


async def test_a_burst_over_two_proxies_is_counted_once(
    redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    # So slow a rate that no second of the test lets one more in.
    settings = {"RATE": "0.001", "BURST": "5"}
    async with (
        limited(monkeypatch, **settings) as one,
        limited(monkeypatch, **settings) as two,
        httpx.AsyncClient() as client,
    ):
        both = await asyncio.gather(statuses(client, one, 6, "k"), statuses(client, two, 6, "k"))
        assert sorted(both[0] + both[1]) == [200] * 5 + [429] * 7
        assert await statuses(client, one, 6, "another") == [200] * 5 + [429]
        refused = await client.get(f"{two.url}/api/x", headers={"X-Api-Key": "k"})
        assert 990 <= int(refused.headers["Retry-After"]) <= 1001
        # Elsewhere there is no limit.
        assert (await client.get(f"{two.url}/y", headers={"X-Api-Key": "k"})).status_code == 200


async def test_a_key_that_is_made_up_is_no_key(redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch) -> None:
    async with limited(monkeypatch, RATE="0.001", BURST="3") as proxy, httpx.AsyncClient() as client:
        asked = [client.get(f"{proxy.url}/api/x", headers={"X-Api-Key": f"made-up-{n}"}) for n in range(4)]
        assert sorted([answer.status_code for answer in await asyncio.gather(*asked)]) == [200] * 3 + [429]
        # Nor does anybody use up another one's limit by his address, or by the name of his key.
        assert await statuses(client, proxy, 1, "127.0.0.1") == [429]
        assert (await client.get(f"{proxy.url}/api/x")).status_code == 429
        assert await statuses(client, proxy, 4, "k") == [200] * 3 + [429]


@pytest.mark.parametrize(
    ("client", "whose"),
    [
        ("192.0.2.1", "client:192.0.2.1"),
        ("2001:db8::1", "client:2001:db8::/64"),
        ("2001:db8:0:0:ffff::2", "client:2001:db8::/64"),
        ("", "client:"),
    ],
)
def test_whose_limit_it_is(client: str, whose: str) -> None:
    with example("limit_redis") as module:
        request: Any = SimpleNamespace(client=client, headers={})
        assert module.who(request) == whose


async def test_it_lets_in_again_at_its_rate_and_leaves_nothing_in_redis(
    redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with limited(monkeypatch, RATE="20", BURST="1") as proxy, httpx.AsyncClient() as client:
        begun = asyncio.get_running_loop().time()
        came_in = 0
        while came_in < 4:
            response = await client.get(f"{proxy.url}/api/x", headers={"X-Api-Key": "k"})
            came_in += response.status_code == 200
        assert asyncio.get_running_loop().time() - begun >= 3 / 20 * 0.95
        with example("limit_redis") as module:
            for _ in range(1000):
                if not await module.redis.dbsize():
                    break
                await asyncio.sleep(0.005)
            else:
                pytest.fail("a key is left in Redis")
            await module.redis.aclose()


@pytest.mark.parametrize(("fails", "status"), [("open", 200), ("closed", 503)])
async def test_without_redis(
    redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch, fails: str, status: int
) -> None:
    async with limited(monkeypatch, RATE="0.001", BURST="1", LIMIT_FAILS=fails) as proxy, httpx.AsyncClient() as client:
        assert await statuses(client, proxy, 2, "k") == [200, 429]
        redis_server.stop()
        assert await statuses(client, proxy, 3, "k") == [status] * 3
        assert len(proxy.assert_passed(status=status, reason="none")) >= 3
        redis_server.start()
        for _ in range(1000):
            if (await statuses(client, proxy, 2, "other"))[-1] == 429:
                break
            await asyncio.sleep(0.01)
        else:
            pytest.fail("it never asked Redis again")
