"""Tables of the configuration that are about the health of endpoints."""

from __future__ import annotations

from typing import Annotated

from weir.config import health_kinds, kinds
from weir.config.plan import EjectionPlan, HealthPlan
from weir.config.table import Table, setting

__all__ = ["Ejection", "Health", "ejection_plan", "health_plan"]

Pairs = Annotated[tuple[tuple[str, str], ...], health_kinds.fields()]
Ranges = Annotated[tuple[tuple[int, int], ...], health_kinds.statuses()]


class Health(Table):
    """Checks that one worker makes of each endpoint, for all workers: see [health](health.md)."""

    type: Annotated[str, kinds.choice("off", "tcp", "http")] = setting(
        HealthPlan,
        "type",
        "`http`: a request must be answered as expected. `tcp`: a connection must be accepted. `off`: no checks.",
        example="http",
    )
    path: Annotated[str, health_kinds.target()] = setting(HealthPlan, "path", "What is asked for.", example="/health")
    method: Annotated[str, kinds.choice("GET", "HEAD", "OPTIONS")] = setting(
        HealthPlan, "method", "How it is asked for.", example="HEAD"
    )
    host: Annotated[str, kinds.host_field()] = setting(
        HealthPlan,
        "host",
        "The Host of the check. `\"\"`: the cluster's `host`, or else the endpoint's address.",
        example="app.internal",
    )
    fields: Pairs = setting(
        HealthPlan, "fields", "Field lines to send along.", example={"Authorization": "Basic d2VpcjpzZWNyZXQ="}
    )
    status: Ranges = setting(
        HealthPlan,
        "status",
        "The statuses of a healthy endpoint: one, a range, or an array of them.",
        example=["200-299", "404"],
    )
    body: Annotated[str, health_kinds.body()] = setting(
        HealthPlan, "body", "What the first 64 KiB of the body must have in them.", example='"status":"ok"'
    )
    port: Annotated[int, kinds.count(1, 65_535, none="endpoint")] = setting(
        HealthPlan, "port", "The port that is checked. `endpoint`: the endpoint's own.", example=9_000
    )
    interval: Annotated[int, kinds.duration("100ms", "1h")] = setting(
        HealthPlan, "interval_ms", "Time from one check of an endpoint to the next.", example="10s"
    )
    unhealthy_interval: Annotated[int, kinds.duration("100ms", "1h", none=True)] = setting(
        HealthPlan,
        "unhealthy_interval_ms",
        "The same while the endpoint is unhealthy. `off`: as `interval`.",
        example="1s",
    )
    timeout: Annotated[int, kinds.duration("10ms", "1m")] = setting(
        HealthPlan, "timeout_ms", "A check that takes longer has failed.", example="500ms"
    )
    jitter: Annotated[int, kinds.ratio()] = setting(
        HealthPlan, "jitter_percent", "An interval is longer or shorter by up to so much.", example="20%"
    )
    healthy_after: Annotated[int, kinds.count(1, 100)] = setting(
        HealthPlan, "healthy_after", "Checks in a row that make an unhealthy endpoint healthy.", example=3
    )
    unhealthy_after: Annotated[int, kinds.count(1, 100)] = setting(
        HealthPlan, "unhealthy_after", "Failed checks in a row that make an endpoint unhealthy.", example=2
    )
    first: Annotated[str, kinds.choice("healthy", "unhealthy")] = setting(
        HealthPlan,
        "first",
        "What a new endpoint is taken for until its checks have said something. The first good check makes it healthy.",
        example="unhealthy",
    )


class Ejection(Table):
    """An endpoint that fails gets no requests for a while: see [health](health.md#ejection)."""

    failures: Annotated[int, kinds.count(1, 1_000, none="off")] = setting(
        EjectionPlan,
        "failures",
        "So many attempts in a row without a valid response, as one worker sees them, eject an endpoint.",
        example=3,
    )
    errors_5xx: Annotated[int, kinds.count(1, 1_000, none="off")] = setting(
        EjectionPlan, "errors_5xx", "So many responses with a status of 500 to 599 in a row do so.", example=10
    )
    error_rate: Annotated[int, kinds.ratio(none=True)] = setting(
        EjectionPlan,
        "error_rate_percent",
        "So large a part of failures and 5xx in an `interval` does so, if it is twice that of the others.",
        example="50%",
    )
    latency: Annotated[int, health_kinds.multiple()] = setting(
        EjectionPlan,
        "latency_percent",
        "A mean time to the response head in an `interval` that is so many times the median of the others does so.",
        example=3,
    )
    interval: Annotated[int, kinds.duration("1s", "1h")] = setting(
        EjectionPlan, "interval_ms", "How long figures for `error_rate` and `latency` are summed up.", example="30s"
    )
    min_requests: Annotated[int, kinds.count(1, 1_000_000)] = setting(
        EjectionPlan, "min_requests", "With fewer requests in an `interval` they say nothing.", example=50
    )
    time: Annotated[int, kinds.duration("1s", "24h")] = setting(
        EjectionPlan,
        "time_ms",
        "How long an ejection lasts; the second in a row twice as long, and so on.",
        example="30s",
    )
    max_time: Annotated[int, kinds.duration("1s", "24h")] = setting(
        EjectionPlan, "max_time_ms", "How long it lasts at most.", example="10m"
    )
    max_ejected: Annotated[int, kinds.ratio()] = setting(
        EjectionPlan,
        "max_ejected_percent",
        "So many of the cluster's endpoints are ejected at a time at most; one of two in any case. `0%`: none is.",
        example="20%",
    )


def health_plan(health: Health) -> HealthPlan:
    return HealthPlan(
        type=health.type,
        path=health.path,
        method=health.method,
        host=health.host,
        fields=health.fields,
        status=health.status,
        body=health.body,
        port=health.port,
        interval_ms=health.interval,
        unhealthy_interval_ms=health.unhealthy_interval,
        timeout_ms=health.timeout,
        jitter_percent=health.jitter,
        healthy_after=health.healthy_after,
        unhealthy_after=health.unhealthy_after,
        first=health.first,
    )


def ejection_plan(ejection: Ejection) -> EjectionPlan:
    max_time = ejection.max_time
    if "max_time" not in ejection.model_fields_set:
        max_time = max(max_time, ejection.time)
    return EjectionPlan(
        failures=ejection.failures,
        errors_5xx=ejection.errors_5xx,
        error_rate_percent=ejection.error_rate,
        latency_percent=ejection.latency,
        interval_ms=ejection.interval,
        min_requests=ejection.min_requests,
        time_ms=ejection.time,
        max_time_ms=max_time,
        max_ejected_percent=ejection.max_ejected,
    )
