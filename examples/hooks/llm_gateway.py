"""A gateway to language models: who may ask, how many tokens each key has left today, and a second provider.

    REDIS_URL=redis://127.0.0.1 weir run -c llm.toml

where llm.toml is, for two servers that speak OpenAI's protocol:

    hooks = "llm_gateway.py"

    [[listener]]
    address = ":8080"
    to = "providers"
    half_close = "abort"        # nothing is generated for a client that has gone

    [[cluster]]
    name = "providers"
    endpoints = ["127.0.0.1:9001", { address = "127.0.0.1:9002", priority = 1 }]

    [cluster.retry]
    on = ["connect", "reused", "reset", "timeout", "429", "502", "503", "504"]
    max_replay_body = "512KiB"

What the first one does not answer, or refuses, goes to the second, as long as no byte of an answer has gone to the
client. GATEWAY_KEYS is a JSON file: the SHA-256 of each key, with a name and the tokens of a day; PROVIDER_KEYS
another: the key for each endpoint. weir has no TLS: providers elsewhere are reached through a TLS client such as
stunnel. Needs redis (redis-py) of version 5 or later.

What a request will cost is not known when it comes. So what it asks, at four bytes a token, and the answer that it
wants at most are held back from the start, and what it has really cost is charged in their place when it is over:
neither a hundred requests at once nor a client that leaves in time gets something for nothing.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from redis.asyncio import BlockingConnectionPool, Redis

import weir
from weir.hooks.streams import events

KEYS: dict[str, dict[str, Any]] = json.loads(Path(os.environ["GATEWAY_KEYS"]).read_text())
PROVIDER_KEYS: dict[str, str] = json.loads(Path(os.environ["PROVIDER_KEYS"]).read_text())
LARGEST = 512 * 1024  # of a request

# Not as many connections as there are requests at a time: both machines have an end.
pool = BlockingConnectionPool.from_url(
    os.environ.get("REDIS_URL", "redis://127.0.0.1"),
    max_connections=32,
    timeout=1,
    socket_timeout=1,
    socket_connect_timeout=1,
)
redis = Redis.from_pool(pool)


class Bill(NamedTuple):
    """What is held back for a request: whose tokens, how many it asks for, and how many with the answer."""

    today: str
    prompt: int
    held: int


@weir.shutdown
async def close() -> None:
    await redis.aclose()


# Without Redis nobody comes in: what is not counted would not be limited.
@weir.hook("request")
async def admit(request: weir.Request) -> weir.Answer | None:
    secret = request.headers.get("Authorization", "").partition(" ")[2].strip()
    known = KEYS.get(hashlib.sha256(secret.encode()).hexdigest())
    if known is None:
        return refusal(401, "invalid_api_key", "This key is not known.")
    asked, prompt = None, 0
    if request.method == "POST":
        body = await request.read(LARGEST)
        asked, prompt = parsed(body), 1 + len(body) // 4
        if asked is None:
            return refusal(400, "invalid_request_error", "The body is no JSON object.")
    today = f"tokens:{known['name']}:{time.strftime('%Y-%m-%d', time.gmtime())}"
    held = prompt + wanted(asked or {}, known["tokens"])
    if await charge(today, held) - held >= known["tokens"]:
        await charge(today, -held)
        return refusal(429, "insufficient_quota", "This key has had its tokens of today.")
    request.state["bill"] = Bill(today, prompt, held)
    request.headers.remove("Accept-Encoding")
    if asked is None:
        return None
    if asked.get("stream"):
        # Only then does the last event say what all of them have cost.
        options = asked.get("stream_options")
        asked["stream_options"] = {**(options if isinstance(options, dict) else {}), "include_usage": True}
        request.body = json.dumps(asked).encode()
    request.idempotent = True  # to ask another provider once more costs tokens, and does no harm
    return None


@weir.hook("upstream")
def use_the_providers_key(request: weir.Request) -> None:
    request.headers["Authorization"] = f"Bearer {PROVIDER_KEYS[request.endpoint]}"


@weir.hook("response", methods=["POST"])
async def meter(response: weir.Response) -> None:
    if response.status != 200:
        return
    # From here on it is settled, however it ends.
    bill = response.request.state.pop("bill")
    assert isinstance(bill, Bill)
    if response.headers.get("Content-Type", "").startswith("text/event-stream"):
        response.transform(partial(metered, bill=bill))
        return
    try:
        answer = parsed(await response.read(16 * LARGEST))
    except weir.BodyTooLarge:
        answer = None  # speech, a picture: it passes
    await charge(bill.today, total(answer or {}, bill.prompt) - bill.held)


@weir.hook("log")
def give_back(request: weir.Request) -> None:
    """What was held for a request that no provider has answered; a client that has left meanwhile pays for it."""
    bill = request.state.get("bill")
    if isinstance(bill, Bill) and request.status:
        weir.background(charge(bill.today, -bill.held))


async def metered(pieces: AsyncIterator[bytes], bill: Bill) -> AsyncIterator[bytes]:
    """The stream as it is; what it has cost is charged when it ends, and also when the client leaves before."""
    tokens = bill.prompt
    try:
        async for event in events(pieces):
            if event.data not in ("", "[DONE]"):
                # Until the provider tells, one for each event.
                tokens = total(parsed(event.data) or {}, tokens + 1)
            yield event.raw
    finally:
        await charge(bill.today, tokens - bill.held)


def parsed(text: str | bytes) -> dict[str, Any] | None:
    """A JSON object; None: it is none."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def wanted(asked: dict[str, Any], most: int) -> int:
    """How many tokens the answer may have, as far as the client says so."""
    tokens = asked.get("max_completion_tokens") or asked.get("max_tokens")
    return min(max(tokens, 0), most) if isinstance(tokens, int) else 0


def total(answer: dict[str, Any], otherwise: int) -> int:
    """What the provider says that it has cost."""
    usage = answer.get("usage")
    tokens = usage.get("total_tokens") if isinstance(usage, dict) else None
    return tokens if isinstance(tokens, int) else otherwise


async def charge(today: str, tokens: int) -> int:
    """How many the key has had then."""
    async with redis.pipeline() as both:
        both.incrby(today, tokens)
        both.expire(today, 2 * 24 * 3600)
        return int((await both.execute())[0])


def refusal(status: int, code: str, message: str) -> weir.Answer:
    body = json.dumps({"error": {"message": message, "type": code, "code": code}})
    return weir.Answer(status, body, {"Content-Type": "application/json"})
