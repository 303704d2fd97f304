"""The gateway to language models, in front of two providers that only the test has."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import re
import tomllib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.examples.parts import RedisServer, example
from weir import testing
from weir.config.compile import compile_plan
from weir.config.load import load_text
from weir.testing import ObservedProxy

KEY = {"Authorization": "Bearer sk-shop"}
QUESTION = {"model": "m", "messages": [{"role": "user", "content": "Hi"}]}


class Provider:
    """Speaks OpenAI's protocol, as far as it matters: three words, 10 tokens; or what it is told."""

    def __init__(self) -> None:
        self.status = 200
        self.asked: list[dict[str, Any]] = []
        self.keys: list[str] = []
        self.hangs = self.is_silent = self.breaks = False
        self.delay_s = 0.0
        self.body = b""

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        assert scope["type"] == "http"
        body = b""
        while True:
            message = await receive()
            body += message["body"]
            if not message.get("more_body"):
                break
        self.asked.append(json.loads(body or b"{}"))
        self.keys.append(dict(scope["headers"])[b"authorization"].decode())
        if self.is_silent:
            assert (await receive())["type"] == "http.disconnect"
            return
        await asyncio.sleep(self.delay_s)
        if self.breaks:
            return
        streams = self.asked[-1].get("stream") and self.status == 200
        kind = b"text/event-stream" if streams else b"application/json"
        start = {"type": "http.response.start", "status": self.status, "headers": [(b"content-type", kind)]}
        await send(start)
        if not streams:
            answer = {"choices": [{"message": {"content": "one two three"}}], "usage": {"total_tokens": 10}}
            await send({"type": "http.response.body", "body": self.body or json.dumps(answer, indent=1).encode()})
            return
        for word in ("one", "two", "three"):
            event = json.dumps({"choices": [{"delta": {"content": word}}], "usage": None})
            await send({"type": "http.response.body", "body": f"data: {event}\n\n".encode(), "more_body": True})
        if self.hangs:
            assert (await receive())["type"] == "http.disconnect"
            return
        assert self.asked[-1]["stream_options"]["include_usage"]
        usage = json.dumps({"choices": [], "usage": {"total_tokens": 10}})
        for rest in (f"data: {usage[:9]}", f"{usage[9:]}\n\ndata: [DONE]\n\n"):
            await send({"type": "http.response.body", "body": rest.encode(), "more_body": True})
        await send({"type": "http.response.body", "body": b""})


class Gateway:
    """The gateway with its two providers, and what is counted."""

    def __init__(self, proxy: ObservedProxy, client: httpx.AsyncClient, redis: Any) -> None:
        self.first, self.second = Provider(), Provider()
        self.proxy = proxy
        self.client = client
        self.redis = redis

    async def ask(self, **more: Any) -> httpx.Response:
        return await self.client.post("/v1/chat/completions", json=QUESTION | more, headers=KEY)

    async def spent(self) -> int:
        keys = await self.redis.keys("tokens:shop:*")
        return int(await self.redis.get(keys[0])) if keys else 0


def asked_for(**more: Any) -> int:
    """What a question alone is taken for."""
    return 1 + len(httpx.Request("POST", "http://h", json=QUESTION | more).content) // 4


async def spends(gateway: Gateway, tokens: int) -> None:
    """What is charged behind an exchange comes a moment after it."""
    for _ in range(1000):
        if await gateway.spent() == tokens:
            return
        await asyncio.sleep(0.005)
    assert await gateway.spent() == tokens


async def gone(gateway: Gateway) -> None:
    """The exchange is over."""
    for _ in range(1000):
        if gateway.proxy.exchanges:
            return
        await asyncio.sleep(0.005)
    pytest.fail("it goes on")


@pytest.fixture
async def gateway(redis_server: RedisServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Gateway]:
    first, second = Provider(), Provider()
    async with contextlib.AsyncExitStack() as stack:
        addresses = [(await stack.enter_async_context(testing.proxy(each))).address for each in (first, second)]
        known = {hashlib.sha256(b"sk-shop").hexdigest(): {"name": "shop", "tokens": 25}}
        (tmp_path / "keys.json").write_text(json.dumps(known))
        (tmp_path / "providers.json").write_text(json.dumps(dict(zip(addresses, ("sk-1", "sk-2"), strict=True))))
        monkeypatch.setenv("GATEWAY_KEYS", str(tmp_path / "keys.json"))
        monkeypatch.setenv("PROVIDER_KEYS", str(tmp_path / "providers.json"))
        module = stack.enter_context(example("llm_gateway"))
        tables = configuration(module.__doc__ or "", *addresses)
        proxy = await stack.enter_async_context(testing.proxy(tables, hooks=module))
        client = await stack.enter_async_context(httpx.AsyncClient(base_url=proxy.url))
        made = Gateway(proxy, client, module.redis)
        made.first, made.second = first, second
        yield made


def configuration(document: str, first: str, second: str) -> dict[str, Any]:
    """What the example shows, with other addresses."""
    shown = re.search(r"    hooks = .*?\n\n(?=\w)", document, re.DOTALL)
    assert shown is not None
    text = re.sub("^    ", "", shown[0], flags=re.MULTILINE)
    assert compile_plan(load_text(text.replace("llm_gateway.py", "llm.gateway"), "llm.toml")).listeners
    text = text.replace("127.0.0.1:9001", first).replace("127.0.0.1:9002", second).replace(":8080", "127.0.0.1:0")
    return tomllib.loads(text)


async def test_tokens_are_counted_and_a_key_has_no_more_than_its_limit(gateway: Gateway) -> None:
    plain = await gateway.ask()
    assert plain.json()["choices"][0]["message"]["content"] == "one two three"
    assert await gateway.spent() == 10
    streamed = await gateway.ask(stream=True)
    assert streamed.headers["Content-Type"] == "text/event-stream"
    assert re.findall('"content": "(.*?)"', streamed.text) == ["one", "two", "three"]
    assert streamed.text.endswith("data: [DONE]\n\n")
    assert await gateway.spent() == 20
    assert (await gateway.ask()).status_code == 200
    refused = await gateway.ask()
    assert (refused.status_code, refused.json()["error"]["code"]) == (429, "insufficient_quota")
    assert gateway.first.keys == ["Bearer sk-1"] * 3
    assert gateway.second.keys == []
    assert await gateway.redis.ttl((await gateway.redis.keys("tokens:*"))[0]) > 24 * 3600


@pytest.mark.parametrize("status", [429, 503])
@pytest.mark.parametrize("stream", [False, True])
async def test_the_second_provider_answers_when_the_first_refuses(gateway: Gateway, status: int, stream: bool) -> None:
    gateway.first.status = status
    response = await gateway.ask(stream=stream)
    assert (response.status_code, "three" in response.text) == (200, True)
    assert gateway.first.asked == gateway.second.asked
    assert (gateway.first.keys, gateway.second.keys) == (["Bearer sk-1"], ["Bearer sk-2"])
    assert await gateway.spent() == 10
    gateway.proxy.assert_passed("POST", "/v1/chat/completions", status=200, reason="none", times=1)


async def test_a_client_that_leaves_is_charged_for_what_it_has_had(gateway: Gateway) -> None:
    gateway.first.hangs = True
    async with gateway.client.stream(
        "POST", "/v1/chat/completions", json=QUESTION | {"stream": True}, headers=KEY
    ) as response:
        text = ""
        async for piece in response.aiter_text():
            text += piece
            if "three" in text:
                break
    await spends(gateway, asked_for(stream=True) + 3)


async def test_a_client_that_leaves_before_the_answer_is_charged_for_what_it_has_asked(gateway: Gateway) -> None:
    gateway.first.is_silent = True
    with pytest.raises(httpx.ReadTimeout):
        await gateway.client.post("/v1/chat/completions", json=QUESTION, headers=KEY, timeout=0.3)
    await gone(gateway)
    assert await gateway.spent() == asked_for()


async def test_a_hundred_at_once_get_no_more_than_one_after_the_other(gateway: Gateway) -> None:
    """What the answers may have is held back while they come."""
    gateway.first.delay_s = 0.2
    statuses = [answer.status_code for answer in await asyncio.gather(*[gateway.ask(max_tokens=10) for _ in range(30)])]
    assert statuses.count(429) + statuses.count(200) == 30
    assert 1 <= statuses.count(200) <= 2
    assert await gateway.spent() == 10 * statuses.count(200)


async def test_what_no_provider_has_answered_costs_nothing(gateway: Gateway) -> None:
    gateway.first.status = gateway.second.status = 503
    assert (await gateway.ask(max_tokens=20)).status_code == 503
    gateway.first.breaks = gateway.second.breaks = True
    assert (await gateway.ask(max_tokens=20)).status_code == 500
    await spends(gateway, 0)


@pytest.mark.parametrize(
    "more",
    [{"stream_options": [1]}, {"max_tokens": -5}, {"max_tokens": 10**30}, {"max_tokens": "many"}, {"max_tokens": 1.5}],
)
async def test_what_clients_write_breaks_nothing(gateway: Gateway, more: dict[str, Any]) -> None:
    assert (await gateway.ask(stream=True, **more)).status_code == 200
    assert await gateway.spent() == 10


@pytest.mark.parametrize("body", [b"\xff\xfb not JSON", b"[]", b'{"usage": {"total_tokens": "ten"}}', b"[" * 100_000])
async def test_an_answer_without_figures_costs_what_was_asked(gateway: Gateway, body: bytes) -> None:
    gateway.first.body = body
    answer = await gateway.ask()
    assert (answer.status_code, answer.content) == (200, body)
    assert await gateway.spent() == asked_for()


async def test_who_does_not_come_in(gateway: Gateway, redis_server: RedisServer) -> None:
    url = "/v1/chat/completions"
    for fields in ({}, {"Authorization": "Bearer sk-other"}, {"Authorization": "sk-shop"}):
        response = await gateway.client.post(url, json=QUESTION, headers=fields)
        assert (response.status_code, response.json()["error"]["code"]) == (401, "invalid_api_key")
    assert (await gateway.client.post(url, content=b"[]", headers=KEY)).status_code == 400
    assert (await gateway.client.post(url, content=b"{", headers=KEY)).status_code == 400
    assert (await gateway.client.post(url, content=b" " * (1024 * 1024 + 1), headers=KEY)).status_code == 413
    assert (await gateway.client.get("/v1/models", headers=KEY)).status_code == 200
    redis_server.stop()
    assert (await gateway.ask()).status_code == 500
    assert gateway.first.asked == [{}]
