"""Tables of the configuration that are about endpoints."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from weir.config import kinds
from weir.config.plan import AddressPlan, ClusterPlan, PoolPlan, QueuePlan, RetryPlan
from weir.config.table import Table, required, setting

__all__ = ["Cluster", "Pool", "Queue", "Retry"]


class Pool(Table):
    """Connections to one endpoint, per worker."""

    max_idle: Annotated[int, kinds.count(0, 65_535)] = setting(
        PoolPlan,
        "max_idle",
        "Idle connections that are kept. When left out it is never more than `max_connections` and never less than "
        "`min_idle`.",
        example=10,
    )
    max_connections: Annotated[int, kinds.count(1, 65_535)] = setting(
        PoolPlan,
        "max_connections",
        "Connections open at a time, idle ones included. Requests beyond it wait in the queue.",
        example=100,
    )
    idle_timeout: Annotated[int, kinds.duration("10ms", "24h")] = setting(
        PoolPlan,
        "idle_timeout_ms",
        "An idle connection is closed after this. Keep it below the endpoint's own keep-alive timeout.",
        example="50s",
    )
    max_age: Annotated[int, kinds.duration("100ms", "8760h")] = setting(
        PoolPlan, "max_age_ms", "A connection older than this is not used again.", example="10m"
    )
    max_requests: Annotated[int, kinds.count(1, 1_000_000_000)] = setting(
        PoolPlan, "max_requests", "Requests on one connection before it is closed.", example=1_000
    )
    min_idle: Annotated[int, kinds.count(0, 65_535)] = setting(
        PoolPlan, "min_idle", "Idle connections that are kept ready by connecting early.", example=2
    )
    wait_idle: Annotated[int, kinds.duration("1ms", "1m", none=True)] = setting(
        PoolPlan,
        "wait_idle_ms",
        "How long a request waits for a connection to be given back before a new one is opened for it.",
        example="100ms",
    )
    give_back: Annotated[int, kinds.duration("1ms", "1m", none=True)] = setting(
        PoolPlan,
        "give_back_ms",
        "How long a connection beyond `max_idle` waits for room before it is closed.",
        example="1s",
    )


class Queue(Table):
    """Requests that wait because every endpoint is at `max_connections`."""

    size: Annotated[int, kinds.count(0, 1_000_000)] = setting(
        QueuePlan, "size", "Requests that wait at a time, per worker. Beyond it: 503. 0: none waits.", example=1_000
    )
    timeout: Annotated[int, kinds.duration("1ms", "10m")] = setting(
        QueuePlan, "timeout_ms", "A request waits at most so long. Then: 503.", example="500ms"
    )


class Retry(Table):
    """The budget of repeated requests. Only what is proven to be safe is repeated."""

    ratio: Annotated[int, kinds.ratio()] = setting(
        RetryPlan, "ratio_percent", "Repetitions allowed, as a part of all requests, ...", example="10%"
    )
    min_per_second: Annotated[int, kinds.count(0, 1_000_000)] = setting(
        RetryPlan, "min_per_second", "... and so many a second in any case.", example=10
    )
    attempts: Annotated[int, kinds.count(1, 10)] = setting(
        RetryPlan, "attempts", "Attempts at one request in all, the first included. 1: nothing is repeated.", example=3
    )


class Cluster(Table):
    """A named group of endpoints that serve the same."""

    name: Annotated[str, kinds.cluster_name()] = required("What `to` of a listener says.", example="app")
    endpoints: Annotated[tuple[Annotated[AddressPlan, kinds.endpoint()], ...], Field(strict=False)] = required(
        "Where the requests go, in turn: `127.0.0.1:8081`, `[::1]:8081`, `app.internal:80`, `unix:/run/app.sock`, or "
        "whatever SRV records name, `srv:_http._tcp.app.internal`; `http://` may stand before host and port.",
        example=["127.0.0.1:8081", "127.0.0.1:8082"],
        json_schema_extra={"minItems": 1, "uniqueItems": True},
    )
    host: Annotated[str, kinds.host_field()] = setting(
        ClusterPlan,
        "host",
        'The Host that requests are sent with. `""`: the client\'s own.',
        example="app.internal",
    )
    proxy_protocol: Annotated[str, kinds.choice("off", "v1", "v2")] = setting(
        ClusterPlan,
        "proxy_protocol",
        "Version of the PROXY protocol header that connections to endpoints begin with; it says who the client is. "
        "Such a connection is used for one client connection only. See [PROXY protocol](proxy-protocol.md).",
        example="v2",
    )
    connect_timeout: Annotated[int, kinds.duration("1ms", "5m")] = setting(
        ClusterPlan, "connect_timeout_ms", "Time for a connection to be made.", example="1s"
    )
    response_header_timeout: Annotated[int, kinds.duration("1ms", "24h")] = setting(
        ClusterPlan,
        "response_header_timeout_ms",
        "Time from the request sent to the response head received. Then: 504.",
        example="30s",
    )
    stream_idle_timeout: Annotated[int, kinds.duration("10ms", "168h")] = setting(
        ClusterPlan,
        "stream_idle_timeout_ms",
        "A body or tunnel in which no byte moves for so long is cut off.",
        example="1h",
    )
    max_response_head: Annotated[int, kinds.size("1KiB", "64KiB")] = setting(
        ClusterPlan, "max_response_head_bytes", "Size of a response head. Beyond it: 502.", example="64KiB"
    )
    max_response_fields: Annotated[int, kinds.count(1, 256)] = setting(
        ClusterPlan, "max_response_fields", "Field lines of a response head. Beyond it: 502.", example=200
    )
    resolve: Annotated[str, kinds.choice("name", "each")] = setting(
        ClusterPlan,
        "resolve",
        "What the name of a host stands for: `name`: one endpoint, whose addresses are tried in turn; `each`: every "
        "address of it is an endpoint of its own, looked up in the DNS as often as the records' TTL says.",
        example="each",
    )
    nameservers: Annotated[tuple[AddressPlan, ...], kinds.nameservers()] = setting(
        ClusterPlan,
        "nameservers",
        "Whom `each` and SRV records ask: IP addresses, with or without port. `system`: those of /etc/resolv.conf.",
        example=["10.0.0.2", "[fd00::2]:5353"],
    )
    resolve_interval: Annotated[int, kinds.duration("1s", "24h")] = setting(
        ClusterPlan,
        "resolve_interval_ms",
        "How often the names of endpoints are looked up again, at the latest.",
        example="5s",
    )
    pool: Pool = Field(default_factory=Pool, description="Connections to each endpoint, per worker.")
    queue: Queue = Field(default_factory=Queue, description="Requests that wait for a connection.")
    retry: Retry = Field(default_factory=Retry, description="The budget of repeated requests.")
