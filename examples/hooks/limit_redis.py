"""A rate limit for each API key that holds over several machines, kept in Redis.

    export API_KEYS=keys.json REDIS_URL=redis://10.0.0.5
    weir run --listen :8080 --to 127.0.0.1:8081 --hooks limit_redis.py

keys.json maps the SHA-256 of each key to a name, as for auth.py. Who has none of these keys has the limit of his
address: a key that anybody may make up would be a new limit each time.

For one machine weir has limits of its own ([[listener.rate_limit]]), which cost nothing. The rule is GCRA: RATE
requests a second, and BURST at once after a pause. It is one script, so that two machines never count at the same time;
the clock is Redis' own. Needs redis (redis-py) of version 5 or later.
"""

from __future__ import annotations

import hashlib
import ipaddress
import json
import os
import time
from pathlib import Path

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

import weir

KEYS: dict[str, str] = json.loads(Path(os.environ["API_KEYS"]).read_text())
RATE = float(os.environ.get("RATE", "10"))
BURST = int(os.environ.get("BURST", "20"))
# What happens without Redis: "open" lets all in, "closed" refuses all.
FAILS = os.environ.get("LIMIT_FAILS", "open")
PATIENCE_S = 0.1  # how long Redis may take
MOST = 32  # connections to it, of each worker
REST_S = 1.0  # after it has failed it is left alone

# Kept of a key: when its last request is worked off, in microseconds. Returned: how long to wait; -1: come in.
GCRA = """
local now = redis.call('TIME')
now = now[1] * 1000000 + now[2]
local each, burst = tonumber(ARGV[1]), tonumber(ARGV[2])
local free = math.max(tonumber(redis.call('GET', KEYS[1]) or 0), now)
local early = free + each - burst * each - now
if early > 0 then return early end
redis.call('SET', KEYS[1], string.format('%.0f', free + each), 'PX', math.ceil((free + each - now) / 1000))
return -1
"""

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
script = redis.register_script(GCRA)
down_until = 0.0


@weir.shutdown
async def close() -> None:
    await redis.aclose()


@weir.hook("request", path="/api/*")
async def limit(request: weir.Request) -> weir.Answer | None:
    wait_us = await ask("limit:" + who(request))
    if wait_us is None:
        if FAILS == "open":
            return None
        return weir.Answer(503, "Try again later.\n", {"Retry-After": "1"})
    if wait_us < 0:
        return None
    return weir.Answer(429, "Too many requests.\n", {"Retry-After": str(wait_us // 1_000_000 + 1)})


def who(request: weir.Request) -> str:
    """Whose limit it is: a key's name, or where a client comes from."""
    key = request.headers.get("X-Api-Key", "")
    name = KEYS.get(hashlib.sha256(key.encode()).hexdigest())
    if name is not None:
        return f"key:{name}"
    if ":" in request.client:
        # Of IPv6 each household has a network, with more addresses than anybody could count.
        return f"client:{ipaddress.IPv6Network((request.client, 64), strict=False)}"
    return f"client:{request.client}"


async def ask(name: str) -> int | None:
    """How long it has to wait, in microseconds; -1: not at all; None: Redis does not say."""
    global down_until
    if time.monotonic() < down_until:
        return None
    try:
        return int(await script(keys=[name], args=[1_000_000 / RATE, BURST]))
    except (RedisError, OSError):
        down_until = time.monotonic() + REST_S
        return None
