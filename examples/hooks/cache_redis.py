"""A cache of GET responses in Redis, which several machines share.

    REDIS_URL=redis://10.0.0.5 weir run --listen :8080 --to 127.0.0.1:8081 --hooks cache_redis.py

What is kept is what the endpoint has said may be kept: status 200, `Cache-Control` with `max-age` or `s-maxage`, none
of `private`, `no-store` and `no-cache`, no cookie, no `Vary` but by Accept-Encoding, at most LARGEST bytes. Requests
with Authorization, cookies, a range or a body pass by: a body is no part of the key, so what an endpoint makes of it is
not for others. Without Redis everything passes by. Needs redis (redis-py) of version 5 or later.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import time

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

import weir

LARGEST = 1024 * 1024
LONGEST_S = 24 * 3600
PATIENCE_S = 0.1  # how long Redis may take
MOST = 32  # connections to it, of each worker
REST_S = 1.0  # after it has failed it is left alone

PASS_BY = ("Authorization", "Cookie", "Range", "If-Match", "If-Unmodified-Since", "Transfer-Encoding", "Upgrade")
# Of this response alone, or of the time when it was kept.
NOT_KEPT = {"connection", "content-length", "transfer-encoding", "keep-alive", "trailer", "via", "upgrade", "age"}
NOT_KEPT |= {"te", "proxy-connection", "x-request-id", "x-cache"}

# Not as many connections as there are requests at a time: both machines have an end.
pool = BlockingConnectionPool.from_url(
    os.environ.get("REDIS_URL", "redis://127.0.0.1"),
    max_connections=MOST,
    timeout=PATIENCE_S,
    socket_timeout=PATIENCE_S,
    socket_connect_timeout=PATIENCE_S,
    retry=Retry(NoBackoff(), 1),  # a connection that has become stale
)
redis = Redis.from_pool(pool)
down_until = 0.0


@weir.shutdown
async def close() -> None:
    await redis.aclose()


@weir.hook("request", methods=["GET"], on_error="skip")
async def look_up(request: weir.Request) -> weir.Answer | None:
    wants = directives(request.headers.get("Cache-Control", ""))
    if any(name in request.headers for name in PASS_BY) or "no-store" in wants:
        return None
    if request.headers.get("Content-Length", "0") != "0":
        return None
    request.state["cache"] = key = key_of(request)
    kept = None if "no-cache" in wants else await ask("get", key)
    if not kept:
        return None
    head, _, body = kept.partition(b"\n")
    headers, since = json.loads(head)
    headers += [["Age", str(max(0, int(time.time() - since)))], ["X-Cache", "hit"]]
    etag = next((value for name, value in headers if name.lower() == "etag"), None)
    if etag is not None and request.headers.get("If-None-Match") == etag:
        return weir.Answer(304, headers=headers)
    return weir.Answer(200, body, headers)


@weir.hook("response", methods=["GET"], on_error="skip")
async def keep(response: weir.Response) -> None:
    key = response.request.state.get("cache")
    if key is None:
        return
    headers = response.headers.items()
    seconds = lifetime(response)
    if seconds > 0:
        try:
            body = await response.read(LARGEST)
        except (weir.BodyTooLarge, weir.BodyCut):
            return
        since = time.time() - number(response.headers.get("Age", "0"))
        head = json.dumps([[item for item in headers if item[0].lower() not in NOT_KEPT], since])
        await ask("set", key, head.encode() + b"\n" + body, ex=seconds)
    response.headers["X-Cache"] = "miss"


def key_of(request: weir.Request) -> str:
    coding = "gzip" if re.search(r"\bgzip\b(?!\s*;\s*q=0(\.0*)?\b)", request.headers.get("Accept-Encoding", "")) else ""
    # So that there are two variants at most, endpoints are asked for no others.
    request.headers["Accept-Encoding"] = coding or "identity"
    asked = "\n".join([request.cluster, request.scheme, request.host.lower(), request.target, coding])
    return "cache:" + hashlib.sha256(asked.encode()).hexdigest()


def lifetime(response: weir.Response) -> int:
    """For how many seconds it may be kept; 0: not at all."""
    says = directives(response.headers.get("Cache-Control", ""))
    varies = {name.strip().lower() for name in response.headers.get("Vary", "").split(",")} - {"", "accept-encoding"}
    if response.status != 200 or varies or "Set-Cookie" in response.headers:
        return 0
    if {"private", "no-store", "no-cache"} & says.keys():
        return 0
    fresh = number(says.get("s-maxage", says.get("max-age", "0"))) - number(response.headers.get("Age", "0"))
    return min(fresh, LONGEST_S)


def directives(field: str) -> dict[str, str]:
    pairs = (part.strip().partition("=") for part in field.lower().split(","))
    return {name.strip(): value.strip().strip('"') for name, _, value in pairs}


def number(text: str) -> int:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else 0


async def ask(command: str, *arguments: object, **options: object) -> bytes | None:
    """What Redis says; None: nothing, or nothing in time."""
    global down_until
    if time.monotonic() < down_until:
        return None
    try:
        said: bytes | None = await getattr(redis, command)(*arguments, **options)
        return said
    except (RedisError, OSError):
        down_until = time.monotonic() + REST_S
        return None
