"""A/B: a part of the visitors sees the new shop. A cookie keeps each on one side, and both sides are measured.

    weir run -c ab.toml

where ab.toml has a cluster for each side:

    hooks = "ab.py"

    [[listener]]
    address = ":8080"
    to = "old"

    [[cluster]]
    name = "old"
    endpoints = ["127.0.0.1:8081"]

    [[cluster]]
    name = "new"
    endpoints = ["127.0.0.1:8082"]

Each path is counted once for each side: `weir stats` shows `/cart (old)` and `/cart (new)`, with all that it shows of
any path. `python ab.py` compares the sides as a whole; exactly, as long as the table has a row for each path of each
side (`stats.rows`).
"""

from __future__ import annotations

import random
import re
import sys
from collections import Counter

import weir

SHARE = 0.1  # of new visitors that see the new side
COOKIE = re.compile(r"(?:^|;\s*)side=(old|new)(?=\s*(?:;|$))")
A_MONTH = 30 * 24 * 3600


@weir.hook("request")
def choose(request: weir.Request) -> None:
    known = COOKIE.search(request.headers.get("Cookie", ""))
    side = known[1] if known else "new" if random.random() < SHARE else "old"
    if not known:
        request.state["newcomer"] = side
    request.cluster = side
    # A name has 200 bytes at most, and the side is at its end.
    request.series = f"{request.series[:190]} ({side})"


@weir.hook("response")
def remember(response: weir.Response) -> None:
    side = response.request.state.get("newcomer")
    if side:
        response.headers.add("Set-Cookie", f"side={side}; Path=/; Max-Age={A_MONTH}; SameSite=Lax; HttpOnly")


def compare(address: str = "http://127.0.0.1:8079") -> dict[str, Counter[str]]:
    """Requests, errors, bytes and time of each side, as a running weir has counted them."""
    from weir.client import Client

    sides: dict[str, Counter[str]] = {"old": Counter(), "new": Counter()}
    with Client(address) as client:
        for series in client.get_stats(limit=10_000).series:
            for side, sums in sides.items():
                if series.path.endswith(f" ({side})"):
                    sums["requests"] += series.requests
                    sums["server errors"] += series.status.server_error if series.status else 0
                    sums["bytes"] += series.response_body_bytes
                    sums["microseconds"] += series.ledger.total_us if series.ledger else 0
    return sides


if __name__ == "__main__":
    for side, sums in compare(*sys.argv[1:]).items():
        mean_ms = sums["microseconds"] / 1000 / max(sums["requests"], 1)
        print(
            f"{side}: {sums['requests']} requests, {sums['server errors']} server errors, {mean_ms:.1f} ms on average"
        )
