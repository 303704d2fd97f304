"""Tables of the configuration that are about more requests than the endpoints can serve, or endpoints that fail."""

from __future__ import annotations

from typing import Annotated

from weir.config import kinds, overload_kinds
from weir.config.plan import BreakerPlan, LimitPlan, QueuePlan
from weir.config.table import Table, setting

__all__ = ["Breaker", "Limit", "Queue"]


class Queue(Table):
    """Requests that wait, because every endpoint is at `max_connections` or the cluster at its limit."""

    size: Annotated[int, kinds.count(0, 1_000_000)] = setting(
        QueuePlan, "size", "Requests that wait at a time, per worker. Beyond it: 503. 0: none waits.", example=1_000
    )
    timeout: Annotated[int, kinds.duration("1ms", "10m")] = setting(
        QueuePlan, "timeout_ms", "A request waits at most so long. Then: 503.", example="500ms"
    )
    order: Annotated[str, kinds.choice("fifo", "adaptive")] = setting(
        QueuePlan,
        "order",
        "Who is served first: `fifo`: who has waited longest; `adaptive`: likewise, but the newest while the queue has "
        "not been empty for half of `timeout`; requests that come then wait at most a quarter of it.",
        example="adaptive",
    )


class Limit(Table):
    """How many requests of a cluster are in progress at a time, per worker."""

    max_requests: Annotated[int, overload_kinds.max_requests()] = setting(
        LimitPlan,
        "max_requests",
        "Requests in progress at a time. Those beyond it wait in the queue. `adaptive`: as many as the endpoints serve "
        "without becoming slower.",
        example=100,
    )
    min: Annotated[int, kinds.count(1, 65_535)] = setting(
        LimitPlan, "min", "An adaptive limit is never lower.", example=10
    )
    max: Annotated[int, kinds.count(1, 65_535)] = setting(
        LimitPlan, "max", "An adaptive limit is never higher.", example=200
    )


class Breaker(Table):
    """While too many attempts fail, requests are refused at once, for a while."""

    failures: Annotated[int, overload_kinds.failures()] = setting(
        BreakerPlan,
        "failures_percent",
        "The part of all attempts whose failure opens the breaker: no connection, no valid response, or a status of "
        "500 to 599.",
        example="50%",
    )
    volume: Annotated[int, kinds.count(1, 1_000_000)] = setting(
        BreakerPlan, "volume", "Among fewer attempts in the window it stays closed.", example=100
    )
    window: Annotated[int, kinds.duration("100ms", "10m")] = setting(
        BreakerPlan, "window_ms", "Over how long attempts and failures are counted.", example="30s"
    )
    open_for: Annotated[int, kinds.duration("10ms", "10m")] = setting(
        BreakerPlan, "open_for_ms", "How long all requests are refused. Then three at a time try.", example="5s"
    )
