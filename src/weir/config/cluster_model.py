"""Tables of the configuration that are about endpoints."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from weir.config import balance_kinds, kinds
from weir.config.health_model import Ejection, Health
from weir.config.overload_model import Breaker, Limit, Queue
from weir.config.plan import AddressPlan, ClusterPlan, PoolPlan, StickyPlan
from weir.config.retry_model import Hedge, Retry
from weir.config.table import Table, required, setting

__all__ = ["Cluster", "Pool", "Sticky"]


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
    idle_timeout: Annotated[int, kinds.duration("10ms", "24h", none="auto")] = setting(
        PoolPlan,
        "idle_timeout_ms",
        "An idle connection is closed after this, or earlier when the endpoint is found to close earlier. "
        '`"auto"`: just before the endpoint would close it, as is learned; 4 s until then, 72 s at most.',
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


class Sticky(Table):
    """A cookie that keeps a client with the endpoint that it was sent to first."""

    cookie: Annotated[str, balance_kinds.cookie_name()] = setting(
        StickyPlan,
        "cookie",
        "Its name. The first answer sets it; a request with it goes to the same endpoint, as long as that is usable or "
        "drained. See [balancing](balancing.md#sticky-sessions).",
        example="WEIRID",
    )
    secret: Annotated[str, balance_kinds.secret()] = setting(
        StickyPlan,
        "secret",
        'Key of the digest that is its value. `"off"`: one is drawn when weir starts, so that sessions survive a '
        "reload, but no restart, and other instances do not know them.",
        example="0123456789abcdef0123456789abcdef",
    )
    max_age: Annotated[int, kinds.duration("1s", "8760h", none=True)] = setting(
        StickyPlan, "max_age_ms", 'How long the client keeps it. `"off"`: until it ends its session.', example="1h"
    )
    path: Annotated[str, balance_kinds.cookie_path()] = setting(
        StickyPlan, "path", "Paths that the client sends it for.", example="/shop"
    )
    secure: Annotated[bool, kinds.flag()] = setting(
        StickyPlan, "secure", "The client sends it over TLS only.", example=True
    )
    http_only: Annotated[bool, kinds.flag()] = setting(
        StickyPlan, "http_only", "Scripts of the page do not see it.", example=False
    )
    same_site: Annotated[str, kinds.choice("lax", "strict", "none", "off")] = setting(
        StickyPlan,
        "same_site",
        "Whether the client sends it when another site has sent the person here: `SameSite`. `off`: left to the "
        "client.",
        example="strict",
    )
    forward: Annotated[bool, kinds.flag()] = setting(
        StickyPlan, "forward", "The endpoint gets it too. `false`: it is taken out of requests.", example=False
    )


class Cluster(Table):
    """A named group of endpoints that serve the same."""

    name: Annotated[str, kinds.cluster_name()] = required("What `to` of a listener says.", example="app")
    endpoints: Annotated[tuple[Annotated[AddressPlan, balance_kinds.member()], ...], Field(strict=False)] = required(
        "Where the requests go: `127.0.0.1:8081`, `[::1]:8081`, `app.internal:80`, `unix:/run/app.sock`, or whatever "
        "SRV records name, `srv:_http._tcp.app.internal`; `http://` may stand before host and port. "
        "`asgi:package.module:app` and `files:/var/www` are [applications](asgi.md) of weir's own. Or a table that "
        "says more of it: `address`, `weight` (0 to 1000, 1 if not said; 0: only what a cookie binds to it), "
        "`priority` (0 to 100, 0 if not said: first), `zone`.",
        example=["127.0.0.1:8081", "127.0.0.1:8082"],
        json_schema_extra={"minItems": 1, "uniqueItems": True},
    )
    policy: Annotated[str, kinds.choice("round_robin", "least_requests", "least_time", "random", "hash")] = setting(
        ClusterPlan,
        "policy",
        "Which endpoint is next, always by weight: in turn; of two the one with fewer requests in progress, or with "
        "the shorter response time; at random; or the same for the same key. See [balancing](balancing.md).",
        example="least_requests",
    )
    hash_by: Annotated[str, balance_kinds.hash_key()] = setting(
        ClusterPlan,
        "hash_by",
        'The key of `policy = "hash"`: the client\'s address, the path without the query, the Host, or the value of a '
        "cookie or field. A request without it goes to the next endpoint in turn.",
        example="cookie:session",
    )
    hash_balance: Annotated[int, kinds.count(101, 10_000, none="off")] = setting(
        ClusterPlan,
        "hash_balance_percent",
        "Bounded loads: an endpoint has at most so many percent of its part of the requests in progress, per worker. "
        "What is beyond it goes to another endpoint, the same one for the same key.",
        example=125,
    )
    overflow_at: Annotated[int, balance_kinds.part()] = setting(
        ClusterPlan,
        "overflow_at_percent",
        "With less than this of their weight usable, endpoints of one priority (and zone) do not get all requests any "
        "more: the next ones get a part.",
        example="50%",
    )
    slow_start: Annotated[int, kinds.duration("1s", "1h", none=True)] = setting(
        ClusterPlan,
        "slow_start_ms",
        "The weight of an endpoint that has become usable grows from 10 % to all of it in this time.",
        example="30s",
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
    request_start: Annotated[str, kinds.choice("off", "on")] = setting(
        ClusterPlan,
        "request_start",
        "Whether the endpoint is told when the first byte of the request was there: `X-Request-Start: t=` and the "
        "seconds since 1970. What a client says under that name is dropped.",
        example="on",
    )
    panic_below: Annotated[int, kinds.ratio()] = setting(
        ClusterPlan,
        "panic_below_percent",
        "When fewer endpoints than this are neither unhealthy nor ejected, all are asked. `0%`: only when none is.",
        example="50%",
    )
    health: Health = Field(default_factory=Health, description="Checks of each endpoint.")
    ejection: Ejection = Field(default_factory=Ejection, description="Endpoints that fail get no requests for a while.")
    pool: Pool = Field(default_factory=Pool, description="Connections to each endpoint, per worker.")
    queue: Queue = Field(default_factory=Queue, description="Requests that wait for a connection.")
    limit: Limit = Field(default_factory=Limit, description="How many requests are in progress at a time.")
    breaker: Breaker = Field(default_factory=Breaker, description="Requests are refused while too many fail.")
    retry: Retry = Field(default_factory=Retry, description="Requests that are sent once more.")
    hedge: Hedge = Field(default_factory=Hedge, description="Second requests while the first has no response yet.")
    sticky: Sticky = Field(default_factory=Sticky, description="A cookie that keeps a client with its endpoint.")
