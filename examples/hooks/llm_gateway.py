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
stunnel. Needs redis (redis-py).
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path
from typing import Any

from redis.asyncio import Redis

import weir
from weir.hooks.streams import events

KEYS: dict[str, dict[str, Any]] = json.loads(Path(os.environ["GATEWAY_KEYS"]).read_text())
PROVIDER_KEYS: dict[str, str] = json.loads(Path(os.environ["PROVIDER_KEYS"]).read_text())
LARGEST = 512 * 1024  # of a request

redis = Redis.from_url(os.environ.get("REDIS_URL", "redis://127.0.0.1"), socket_timeout=1, socket_connect_timeout=1)


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
    today = f"tokens:{known['name']}:{time.strftime('%Y-%m-%d', time.gmtime())}"
    # Requests in progress are not counted yet: a key may have somewhat more than its limit.
    if int(await redis.get(today) or 0) >= known["tokens"]:
        return refusal(429, "insufficient_quota", "This key has had its tokens of today.")
    request.state["today"] = today
    request.headers.remove("Accept-Encoding")
    if request.method != "POST":
        return None
    try:
        asked = json.loads(await request.read(LARGEST))
    except ValueError:
        asked = None
    if not isinstance(asked, dict):
        return refusal(400, "invalid_request_error", "The body is no JSON object.")
    if asked.get("stream"):
        # Only then does the last event say what all of them have cost.
        asked["stream_options"] = {**(asked.get("stream_options") or {}), "include_usage": True}
        request.body = json.dumps(asked).encode()
    request.idempotent = True  # to ask another provider once more costs tokens, and does no harm
    return None


@weir.hook("upstream")
def use_the_providers_key(request: weir.Request) -> None:
    request.headers["Authorization"] = f"Bearer {PROVIDER_KEYS[request.endpoint]}"


@weir.hook("response", methods=["POST"])
async def meter(response: weir.Response) -> None:
    today = str(response.request.state["today"])
    if response.status != 200:
        return
    if response.headers.get("Content-Type", "").startswith("text/event-stream"):
        response.transform(partial(metered, today=today))
    else:
        usage = json.loads(await response.read(16 * LARGEST)).get("usage") or {}
        await charge(today, usage.get("total_tokens", 0))


async def metered(pieces: AsyncIterator[bytes], today: str) -> AsyncIterator[bytes]:
    """The stream as it is; what it has cost is charged when it ends, and also when the client leaves before."""
    tokens = 0
    try:
        async for event in events(pieces):
            tokens = counted(event.data, tokens)
            yield event.raw
    finally:
        await charge(today, tokens)


def counted(data: str, tokens: int) -> int:
    """The tokens so far: those that the provider tells, until then one for each event."""
    if data in ("", "[DONE]"):
        return tokens
    usage = json.loads(data).get("usage")
    return usage["total_tokens"] if usage else tokens + 1


async def charge(today: str, tokens: int) -> None:
    async with redis.pipeline() as both:
        both.incrby(today, tokens)
        both.expire(today, 2 * 24 * 3600)
        await both.execute()


def refusal(status: int, code: str, message: str) -> weir.Answer:
    body = json.dumps({"error": {"message": message, "type": code, "code": code}})
    return weir.Answer(status, body, {"Content-Type": "application/json"})
