"""Tables of the configuration that are about which requests a listener lets in: rate limits, and faults for tests."""

from __future__ import annotations

from typing import Annotated

from weir.config import kinds, limit_kinds
from weir.config.plan import FaultPlan, RateLimitPlan
from weir.config.table import Table, required, setting

__all__ = ["Fault", "RateLimit", "rate_limit_plan"]


class RateLimit(Table):
    """How many requests are let in. There may be several: a request has to pass all of them."""

    by: Annotated[str, limit_kinds.key()] = required(
        "What has a rate of its own: each `client` by its address (of IPv6 its first 64 bits), each `path` by its "
        "template, each value of a request `field:NAME`, or `all` together. Requests without the field are not "
        "limited.",
        example="client",
    )
    rate: Annotated[tuple[int, int], limit_kinds.rate()] = required(
        "Requests in a second (`s`), minute (`m`) or hour (`h`), over all workers.", example="100/s"
    )
    burst: Annotated[int, kinds.count(1, 1_000_000, none="rate")] = setting(
        RateLimitPlan,
        "burst",
        "How many may come at once after a pause. `rate`: as many as in one unit of its time.",
        example=50,
    )
    delay: Annotated[int, kinds.count(1, 1_000_000, none=kinds.OFF)] = setting(
        RateLimitPlan,
        "delay",
        "How many requests beyond the burst wait for their turn, instead of being refused.",
        example=20,
    )
    prefix: Annotated[str, limit_kinds.prefix()] = setting(
        RateLimitPlan, "prefix", "Only requests whose path begins so, however it is encoded.", example="/login"
    )
    methods: Annotated[tuple[str, ...], limit_kinds.methods()] = setting(
        RateLimitPlan, "methods", "Only requests with these methods.", example=["POST", "PUT"]
    )
    status: Annotated[int, limit_kinds.status()] = setting(
        RateLimitPlan, "status", "Of the answer to a request that is refused; it has Retry-After.", example=503
    )
    max_keys: Annotated[int, kinds.count(1, 4_194_304)] = setting(
        RateLimitPlan,
        "max_keys",
        "Keys that are remembered at a time, 34 bytes each. Further ones make others be forgotten early.",
        example=1_000_000,
    )
    dry_run: Annotated[bool, kinds.flag()] = setting(
        RateLimitPlan, "dry_run", "Count what would be refused, and refuse nothing.", example=True
    )
    name: Annotated[str, limit_kinds.rule_name()] = setting(
        RateLimitPlan, "name", "What it is called in metrics. When left out: `by` and `rate`.", example="logins"
    )


class Fault(Table):
    """A fault that is injected into requests, for tests. A listener may have several: each decides for itself."""

    delay: Annotated[tuple[int, int], limit_kinds.delay()] = setting(
        FaultPlan,
        "delay_ms",
        "How long a request waits before it is sent: a time, or from and to.",
        example="100ms-2s",
    )
    delay_percentage: Annotated[int, kinds.ratio()] = setting(
        FaultPlan, "delay_percent", "Of the requests that match.", example="10%"
    )
    abort: Annotated[int, limit_kinds.abort()] = setting(
        FaultPlan,
        "abort",
        "A request is not sent, but answered with this status, or its connection is `reset`.",
        example=503,
    )
    abort_percentage: Annotated[int, kinds.ratio()] = setting(
        FaultPlan, "abort_percent", "Of the requests that match.", example="1%"
    )
    bandwidth: Annotated[int, kinds.size(1, "1GiB", none=True)] = setting(
        FaultPlan, "bandwidth_bytes", "Bytes of the response's body a second.", example="64KiB"
    )
    bandwidth_percentage: Annotated[int, kinds.ratio()] = setting(
        FaultPlan, "bandwidth_percent", "Of the requests that match.", example="50%"
    )
    prefix: Annotated[str, limit_kinds.prefix()] = setting(
        FaultPlan, "prefix", "Only requests whose path begins so, however it is encoded.", example="/api/"
    )
    methods: Annotated[tuple[str, ...], limit_kinds.methods()] = setting(
        FaultPlan, "methods", "Only requests with these methods.", example=["GET"]
    )
    field: Annotated[str, limit_kinds.field_match()] = setting(
        FaultPlan, "field", "Only requests with this field, or with this field and value.", example="X-Weir-Fault: slow"
    )
    seed: Annotated[int, kinds.count(1, 2_147_483_647, none="random")] = setting(
        FaultPlan,
        "seed",
        "With the same seed the same requests, counted from the start, have the same faults.",
        example=42,
    )
    name: Annotated[str, limit_kinds.rule_name()] = setting(
        FaultPlan, "name", "What it is called in metrics. When left out: `fault`, and its place.", example="slow"
    )


def rate_limit_plan(limit: RateLimit) -> RateLimitPlan:
    """What the plane is told of it."""
    return RateLimitPlan(
        by=limit.by,
        rate=limit.rate,
        name=limit.name,
        burst=limit.burst,
        delay=limit.delay,
        methods=limit.methods,
        prefix=limit.prefix,
        max_keys=limit.max_keys,
        status=limit.status,
        dry_run=limit.dry_run,
    )
