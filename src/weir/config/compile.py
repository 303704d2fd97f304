"""From what a person wrote to what the data plane is told: names become indices, and nothing is left to guess."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cache
from typing import Any, TypeVar

from weir.config.health_model import ejection_plan, health_plan
from weir.config.limit_model import rate_limit_plan
from weir.config.model import (
    Admin,
    Breaker,
    Cluster,
    Config,
    Fault,
    Hedge,
    Limit,
    Listener,
    Pool,
    Queue,
    Retry,
    Sticky,
    Table,
)
from weir.config.plan import (
    NOWHERE,
    AddressPlan,
    AdminPlan,
    BreakerPlan,
    ClusterPlan,
    EndpointPlan,
    FaultPlan,
    HedgePlan,
    HistoryPlan,
    LimitPlan,
    ListenerPlan,
    LogPlan,
    OtlpPlan,
    Plan,
    PoolPlan,
    QueuePlan,
    RetryPlan,
    RoutePlan,
    StatsPlan,
    StickyPlan,
)
from weir.config.routing import Clusters, Routing

__all__ = ["compile_plan"]

T = TypeVar("T", bound=Table)
P = TypeVar("P")


def compile_plan(config: Config, directory: str = "") -> Plan:
    """The plan of a configuration that `weir.config.load` has accepted; `directory` is that of its file.

    Every listener has a route of its own, named by the listener's address, for what no other takes. An endpoint given
    directly in ``to`` has a cluster of its own, named by the endpoint's address; all with the same one share it.
    """
    places = Clusters([_cluster(cluster, config.zone) for cluster in config.cluster])
    routing = Routing(config, places)
    listeners: list[ListenerPlan] = []
    for listener in config.listener:
        route = routing.add(
            RoutePlan(
                name=listener.address.text,
                cluster=NOWHERE if listener.to is None else places.number(listener.to),
                max_body_bytes=listener.max_body,
                paths=listener.paths,
                openapi=listener.openapi,
            )
        )
        listeners.append(_listener(listener, route))
    listeners = [
        replace(plan, router=routing.router_of(listener)) if config.route else plan
        for plan, listener in zip(listeners, config.listener, strict=True)
    ]
    return Plan(
        listeners=tuple(listeners),
        routes=tuple(routing.routes),
        clusters=tuple(places.plans),
        routers=tuple(routing.routers),
        stats=StatsPlan(
            rows=_rows(config),
            header=config.stats.header,
            page=config.stats.page,
            paths=config.stats.paths,
            openapi=config.stats.openapi,
        ),
        log=LogPlan(
            access=config.log.access,
            format=config.log.format,
            flush_ms=config.log.flush,
            buffer_bytes=config.log.buffer,
        ),
        history=HistoryPlan(
            path=config.history.path,
            flush_ms=config.history.flush,
            minutes_for_ms=config.history.minutes_for,
            max_age_ms=config.history.max_age,
            max_bytes=config.history.max_size,
        ),
        otlp=OtlpPlan(
            endpoint=config.otlp.endpoint,
            headers=config.otlp.headers,
            interval_ms=config.otlp.interval,
            timeout_ms=config.otlp.timeout,
        ),
        admin=_admin(config.admin),
        workers=config.workers,
        single_process=config.single_process,
        drain_timeout_ms=config.drain_timeout,
        heartbeat_timeout_ms=config.heartbeat_timeout,
        user=config.user,
        group=config.group,
        pid_file=config.pid_file,
        hooks=config.hooks,
        hook_block_after_ms=config.hook_block_after,
        upgrade_program=config.upgrade_program,
        directory=directory,
    )


def _rows(config: Config) -> int:
    # Each route has a row of its own, so thousands of them would leave the default no room for paths.
    given = "rows" in config.stats.model_fields_set
    routes = len(config.listener) + sum(max(1, len(route.to)) for route in config.route)
    return config.stats.rows if given else max(config.stats.rows, 2 * routes)


def _admin(admin: Admin) -> AdminPlan:
    return AdminPlan(
        address=admin.address, written="address" in admin.model_fields_set, token=admin.token or admin.token_file
    )


def _listener(listener: Listener, route: int) -> ListenerPlan:
    # A default never contradicts what the person wrote: it gives way.
    max_target = listener.max_target
    if "max_target" not in listener.model_fields_set:
        max_target = min(max_target, listener.max_head)
    return ListenerPlan(
        address=listener.address,
        route=route,
        backlog=listener.backlog,
        max_connections=listener.max_connections,
        max_connections_per_client=listener.max_connections_per_client,
        client_prefix=listener.client_prefix,
        max_requests=listener.max_requests,
        request_header_timeout_ms=listener.request_header_timeout,
        idle_timeout_ms=listener.idle_timeout,
        send_timeout_ms=listener.send_timeout,
        min_request_rate_bytes=listener.min_request_rate,
        min_response_rate_bytes=listener.min_response_rate,
        rate_grace_ms=listener.rate_grace,
        notsent_lowat_bytes=listener.notsent_lowat,
        proxy_protocol=listener.proxy_protocol,
        trusted_proxies=listener.trusted_proxies,
        max_head_bytes=listener.max_head,
        max_fields=listener.max_fields,
        max_target_bytes=max_target,
        forwarded=listener.forwarded,
        via=listener.via,
        request_id=listener.request_id,
        trace=listener.trace,
        trace_sample_percent=listener.trace_sample,
        server_timing=listener.server_timing,
        deadline_field=listener.deadline_field,
        half_close=listener.half_close,
        unix_mode=listener.unix_mode,
        error_pages=listener.error_pages,
        rate_limits=tuple(rate_limit_plan(limit) for limit in listener.rate_limit),
        faults=tuple(_fault(fault) for fault in listener.fault),
    )


def _fault(fault: Fault) -> FaultPlan:
    return FaultPlan(
        name=fault.name,
        delay_ms=fault.delay,
        delay_percent=fault.delay_percentage,
        abort=fault.abort,
        abort_percent=fault.abort_percentage,
        bandwidth_bytes=fault.bandwidth,
        bandwidth_percent=fault.bandwidth_percentage,
        methods=fault.methods,
        prefix=fault.prefix,
        field=fault.field,
        seed=fault.seed,
    )


def _part(make: Callable[[T], P], table: T) -> P:
    """The plan of a table; all that were left out have one between them, and thousands of clusters leave most out."""
    if table.model_fields_set:
        return make(table)
    plan: P = _left_out(make, type(table))
    return plan


@cache
def _left_out(make: Callable[[Any], Any], table: type[Table]) -> Any:
    return make(table())


def _cluster(cluster: Cluster, zone: str) -> ClusterPlan:
    # A name that no endpoint has says nothing of them: all are as near.
    matters = any(
        endpoint.zone == zone for endpoint in cluster.endpoints if isinstance(endpoint, EndpointPlan) and zone
    )
    retry = cluster.retry
    response_header_timeout = cluster.response_header_timeout
    if "response_header_timeout" not in cluster.model_fields_set and retry.attempt_timeout >= response_header_timeout:
        response_header_timeout = retry.attempt_timeout * retry.attempts
    return ClusterPlan(
        name=cluster.name,
        endpoints=tuple(_endpoint(endpoint, zone) if matters else endpoint for endpoint in cluster.endpoints),
        policy=cluster.policy,
        hash_by=cluster.hash_by,
        hash_balance_percent=cluster.hash_balance,
        overflow_at_percent=cluster.overflow_at,
        slow_start_ms=cluster.slow_start,
        sticky=_part(_sticky, cluster.sticky),
        pool=_part(_pool, cluster.pool),
        queue=_part(_queue, cluster.queue),
        limit=_part(_limit, cluster.limit),
        breaker=_part(_breaker, cluster.breaker),
        retry=_part(_retry, cluster.retry),
        health=_part(health_plan, cluster.health),
        ejection=_part(ejection_plan, cluster.ejection),
        panic_below_percent=cluster.panic_below,
        hedge=_part(_hedge, cluster.hedge),
        host=cluster.host,
        proxy_protocol=cluster.proxy_protocol,
        connect_timeout_ms=cluster.connect_timeout,
        response_header_timeout_ms=response_header_timeout,
        stream_idle_timeout_ms=cluster.stream_idle_timeout,
        max_response_head_bytes=cluster.max_response_head,
        max_response_fields=cluster.max_response_fields,
        resolve=cluster.resolve,
        resolve_interval_ms=cluster.resolve_interval,
        nameservers=cluster.nameservers,
        request_start=cluster.request_start,
    )


def _sticky(sticky: Sticky) -> StickyPlan:
    return StickyPlan(
        cookie=sticky.cookie,
        secret=sticky.secret,
        max_age_ms=sticky.max_age,
        path=sticky.path,
        secure=sticky.secure,
        http_only=sticky.http_only,
        same_site=sticky.same_site,
        forward=sticky.forward,
    )


def _queue(queue: Queue) -> QueuePlan:
    return QueuePlan(size=queue.size, timeout_ms=queue.timeout, order=queue.order)


def _breaker(breaker: Breaker) -> BreakerPlan:
    return BreakerPlan(
        failures_percent=breaker.failures,
        volume=breaker.volume,
        window_ms=breaker.window,
        open_for_ms=breaker.open_for,
    )


def _retry(retry: Retry) -> RetryPlan:
    return RetryPlan(
        ratio_percent=retry.ratio,
        min_per_second=retry.min_per_second,
        attempts=retry.attempts,
        on=retry.on,
        attempt_timeout_ms=retry.attempt_timeout,
        backoff_ms=retry.backoff,
        same_endpoint=retry.same_endpoint,
        idempotency_key=retry.idempotency_key,
        max_replay_body_bytes=retry.max_replay_body,
    )


def _hedge(hedge: Hedge) -> HedgePlan:
    return HedgePlan(*hedge.after)


def _limit(limit: Limit) -> LimitPlan:
    least, most = limit.min, limit.max
    if "min" not in limit.model_fields_set:
        least = min(least, most)
    if "max" not in limit.model_fields_set:
        most = max(most, least)
    return LimitPlan(max_requests=limit.max_requests, min=least, max=most)


def _endpoint(endpoint: AddressPlan, zone: str) -> EndpointPlan:
    if isinstance(endpoint, EndpointPlan):
        return replace(endpoint, near=endpoint.zone == zone)
    return EndpointPlan.of(endpoint, near=False)


def _pool(pool: Pool) -> PoolPlan:
    max_idle = pool.max_idle
    if "max_idle" not in pool.model_fields_set:
        max_idle = max(min(max_idle, pool.max_connections), pool.min_idle)
    return PoolPlan(
        max_idle=max_idle,
        max_connections=pool.max_connections,
        idle_timeout_ms=pool.idle_timeout,
        max_age_ms=pool.max_age,
        max_requests=pool.max_requests,
        min_idle=pool.min_idle,
        wait_idle_ms=pool.wait_idle,
        give_back_ms=pool.give_back,
    )
