"""The configuration as a person writes it: one immutable model, every key with its meaning, default and bounds.

Only the supervisor and the command line import this: it needs pydantic, which a worker does not. Values are already
read when they are here: durations are milliseconds, sizes are bytes, addresses are AddressPlan, and 0 stands for
``"off"`` (or ``"auto"``), as in the plan. Defaults are those of `weir.config.plan`, stated once and there.
"""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field
from pydantic.fields import FieldInfo

from weir.config import kinds
from weir.config.admin_model import Admin, History, Otlp
from weir.config.plan import (
    AddressPlan,
    ClusterPlan,
    ErrorPagePlan,
    ListenerPlan,
    LogPlan,
    Plan,
    PoolPlan,
    QueuePlan,
    RetryPlan,
    RoutePlan,
    StatsPlan,
)
from weir.config.table import Table, required, setting

__all__ = [
    "Admin",
    "Cluster",
    "Config",
    "History",
    "Listener",
    "Log",
    "Otlp",
    "Pool",
    "Queue",
    "Retry",
    "Stats",
    "Table",
    "kind_of_field",
    "schema",
]


class Log(Table):
    """The access log: a line for each request."""

    access: Annotated[str, kinds.access_log()] = setting(
        LogPlan,
        "access",
        "Where the access log goes. The path of a file is taken from the directory weir was started in; the file is "
        "opened anew on the signal USR1.",
        example="/var/log/weir/access.log",
    )
    format: Annotated[str, kinds.choice("combined", "common", "json", "short", "ledger")] = setting(
        LogPlan,
        "format",
        "What a line looks like: `combined` and `common` as Apache and nginx write them, `json` one object a line, "
        "`short` only path and status, `ledger` as `common` and then where the time went, reason, endpoint and ids "
        "([access log](access-log.md)).",
        example="json",
    )
    flush: Annotated[int, kinds.duration("10ms", "1m")] = setting(
        LogPlan, "flush_ms", "A line is written at most this much after its request ended.", example="1s"
    )
    buffer: Annotated[int, kinds.size("64KiB", "64MiB")] = setting(
        LogPlan,
        "buffer_bytes",
        "Lines that wait for a slow disk or pipe, per worker. Lines beyond it are dropped and counted.",
        example="32MiB",
    )


class Stats(Table):
    """Counting what passes."""

    rows: Annotated[int, kinds.count(16, 65_536)] = setting(
        StatsPlan,
        "rows",
        "Paths that are counted by themselves, and one row for each listener. All further paths of a listener are "
        "counted together in its row, as `(other)`.",
        example=16_384,
    )
    header: Annotated[str, kinds.field_name()] = setting(
        StatsPlan,
        "header",
        'The response field with all body bytes sent for this path so far. `""` is the same as `"off"`.',
        example="X-Bytes",
    )
    page: Annotated[str, kinds.page_path()] = setting(
        StatsPlan,
        "page",
        "Requests for this path are answered with a plain-text table of what was counted, on every listener, and "
        'are not passed on. `""` is the same as `"off"`.',
        example="/stats",
    )
    paths: Annotated[str, kinds.choice("template", "exact")] = setting(
        StatsPlan,
        "paths",
        "`template`: paths that differ only in identifiers are counted together, `/users/17` as `/users/{id}`. "
        "`exact`: each path by itself. See [statistics](statistics.md#series).",
        example="exact",
    )
    openapi: Annotated[tuple[str, ...], kinds.openapi()] = setting(
        StatsPlan,
        "openapi",
        "Files that describe the API: OpenAPI 3 or Swagger 2, as YAML or JSON. Paths that match one of their templates "
        "are counted under it, `/users/{userId}`. The path of a file is taken from the directory weir was started in.",
        example="openapi.yaml",
    )


class Listener(Table):
    """An address that clients connect to, and how their connections are treated."""

    address: Annotated[AddressPlan, kinds.listen()] = required(
        "Where to listen: `:8080` (every address of this machine, IPv6 and IPv4), `127.0.0.1:8080`, `[::1]:8080`, "
        "`localhost:8080`, `unix:/run/weir.sock`. Port 0 is any free port.",
        example=":8080",
    )
    to: Annotated[str | AddressPlan, kinds.destination()] = required(
        "Where requests go: the name of a cluster, or the address of a single endpoint (as in `endpoints`), which then "
        "has a cluster of its own with all defaults.",
        example="app",
    )
    request_header_timeout: Annotated[int, kinds.duration("10ms", "1h")] = setting(
        ListenerPlan,
        "request_header_timeout_ms",
        "Time a client may take to send a request head, from its first byte. Then: 408.",
        example="10s",
    )
    idle_timeout: Annotated[int, kinds.duration("10ms", "24h")] = setting(
        ListenerPlan, "idle_timeout_ms", "A client connection without a request is closed after this.", example="75s"
    )
    send_timeout: Annotated[int, kinds.duration("10ms", "24h")] = setting(
        ListenerPlan,
        "send_timeout_ms",
        "A client that takes no byte of a response for so long is disconnected.",
        example="30s",
    )
    max_head: Annotated[int, kinds.size("1KiB", "128KiB")] = setting(
        ListenerPlan,
        "max_head_bytes",
        "Size of a request head, from the request line to the empty line. Beyond it: 431.",
        example="16KiB",
    )
    max_fields: Annotated[int, kinds.count(1, 256)] = setting(
        ListenerPlan, "max_fields", "Field lines of a request head. Beyond it: 431.", example=64
    )
    max_target: Annotated[int, kinds.size(64, "128KiB")] = setting(
        ListenerPlan,
        "max_target_bytes",
        "Size of a request target (path and query). Beyond it: 414. When left out it is never more than `max_head`.",
        example="4KiB",
    )
    max_body: Annotated[int, kinds.size(1, "1024TiB", none=True)] = setting(
        RoutePlan, "max_body_bytes", "Size of a request body. Beyond it: 413.", example="10MiB"
    )
    max_connections: Annotated[int, kinds.count(1, 10_000_000, none="auto")] = setting(
        ListenerPlan,
        "max_connections",
        "Client connections open at a time, per worker. At the limit the one that has waited longest without a request "
        "in progress makes room for a new one. `auto`, and the most of all listeners together, is 80 % of the "
        "process's limit of open files less 32.",
        example=10_000,
    )
    max_requests: Annotated[int, kinds.count(1, 1_000_000_000, none=kinds.OFF)] = setting(
        ListenerPlan, "max_requests", "Requests on one client connection before it is closed.", example=1_000
    )
    backlog: Annotated[int, kinds.count(1, 65_535)] = setting(
        ListenerPlan,
        "backlog",
        "Connections the kernel keeps ready to be accepted (listen(2)); the kernel's own limit is net.core.somaxconn.",
        example=1_024,
    )
    forwarded: Annotated[str, kinds.choice("replace", "append", "keep", "off")] = setting(
        ListenerPlan,
        "forwarded",
        "X-Forwarded-For, -Proto and -Host of requests: `replace` what the client said, `append` to it (behind another "
        "proxy that is trusted), `keep` it as it came, or `off`: take it out.",
        example="append",
    )
    via: Annotated[str, kinds.choice("request", "response", "both", "off")] = setting(
        ListenerPlan, "via", "Messages that a Via field is added to.", example="off"
    )
    request_id: Annotated[str, kinds.choice("pass", "keep", "replace")] = setting(
        ListenerPlan,
        "request_id",
        "X-Request-Id of requests: `pass` it on as it came, `keep` a well-formed one and make one where there is none, "
        "or `replace` it (if clients are not trusted). With the last two it is in the response and the log, too.",
        example="keep",
    )
    trace: Annotated[str, kinds.choice("pass", "join", "restart")] = setting(
        ListenerPlan,
        "trace",
        "`traceparent` and `tracestate` of requests (W3C Trace Context): `pass` them on as they came, `join` the trace "
        "with an id of weir's own and begin one where there is none, or `restart`: begin one for every request.",
        example="join",
    )
    trace_sample: Annotated[int, kinds.ratio()] = setting(
        ListenerPlan,
        "trace_sample_percent",
        "How many of the traces that weir begins are marked as sampled. In a trace of the client's the client decides.",
        example="5%",
    )
    server_timing: Annotated[str, kinds.choice("on", "off")] = setting(
        ListenerPlan,
        "server_timing",
        "A Server-Timing field in responses: how long the request head, the queue, the connect and the endpoint took. "
        "Whoever gets the response can read it.",
        example="on",
    )
    half_close: Annotated[str, kinds.choice("serve", "abort")] = setting(
        ListenerPlan,
        "half_close",
        "A client that closes its sending side while it waits for a response: `serve` it, or take it for gone and "
        "`abort`.",
        example="abort",
    )
    error_pages: Annotated[tuple[ErrorPagePlan, ...], kinds.error_pages()] = setting(
        ListenerPlan,
        "error_pages",
        "A directory with error pages of your own: `502.html`, `5xx.html`, `4xx.txt`, or `5xx.json` for clients that "
        "prefer JSON. See [error answers](errors.md).",
        example="/etc/weir/errors",
    )
    paths: Annotated[str, kinds.choice("template", "exact", "stats")] = setting(
        RoutePlan, "paths", "How this listener's paths are counted; `stats`: as it says in `[stats]`.", example="exact"
    )
    openapi: Annotated[tuple[str, ...] | None, kinds.openapi("stats")] = setting(
        RoutePlan,
        "openapi",
        "Files that describe the API behind this listener; `stats`: those of `[stats]`.",
        example="openapi.yaml",
    )
    unix_mode: Annotated[int, kinds.file_mode()] = setting(
        ListenerPlan, "unix_mode", "Permissions of the socket file; for `unix:` addresses only.", example="0660"
    )


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
        "Where the requests go, in turn: `127.0.0.1:8081`, `[::1]:8081`, `app.internal:80`, `unix:/run/app.sock`; "
        "`http://` may stand before host and port.",
        example=["127.0.0.1:8081", "127.0.0.1:8082"],
        json_schema_extra={"minItems": 1, "uniqueItems": True},
    )
    host: Annotated[str, kinds.host_field()] = setting(
        ClusterPlan,
        "host",
        'The Host that requests are sent with. `""`: the client\'s own.',
        example="app.internal",
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
    resolve_interval: Annotated[int, kinds.duration("1s", "24h")] = setting(
        ClusterPlan, "resolve_interval_ms", "How often the names of endpoints are looked up again.", example="5s"
    )
    pool: Pool = Field(default_factory=Pool, description="Connections to each endpoint, per worker.")
    queue: Queue = Field(default_factory=Queue, description="Requests that wait for a connection.")
    retry: Retry = Field(default_factory=Retry, description="The budget of repeated requests.")


class Config(Table):
    """weir, an HTTP/1.1 reverse proxy: the configuration file."""

    drain_timeout: Annotated[int, kinds.duration("10ms", "24h")] = setting(
        Plan,
        "drain_timeout_ms",
        "On TERM, INT and HUP, what is in flight may take so long to end. Then it is cut off.",
        example="10s",
    )
    workers: Annotated[int, kinds.count(1, 256, none="auto")] = setting(
        Plan,
        "workers",
        "Processes that serve. `auto`: one for each processor that weir may use.",
        example=4,
    )
    single_process: Annotated[bool, kinds.flag()] = setting(
        Plan,
        "single_process",
        "Serve in the process that was started, without a supervisor: nothing is restarted, and HUP is not known.",
        example=True,
    )
    heartbeat_timeout: Annotated[int, kinds.duration("2s", "1h")] = setting(
        Plan,
        "heartbeat_timeout_ms",
        "A worker that gives no sign of life for so long is replaced.",
        example="30s",
    )
    log: Log = Field(default_factory=Log, description="The access log.")
    stats: Stats = Field(default_factory=Stats, description="Counting what passes.")
    history: History = Field(default_factory=History, description="What was counted, minute by minute.")
    otlp: Otlp = Field(default_factory=Otlp, description="Export of the metrics.")
    admin: Admin = Field(default_factory=Admin, description="The admin process.")
    listener: Annotated[tuple[Listener, ...], Field(strict=False)] = Field(
        description="Addresses that clients connect to.", json_schema_extra={"minItems": 1}
    )
    cluster: Annotated[tuple[Cluster, ...], Field(strict=False)] = Field(
        default=(), description="Named groups of endpoints."
    )


def kind_of_field(field: FieldInfo) -> kinds.Kind | None:
    """How the values of a field are read and shown; None for tables and arrays."""
    return next((entry for entry in field.metadata if isinstance(entry, kinds.Kind)), None)


def schema() -> dict[str, Any]:
    """The JSON Schema (draft 2020-12) of the configuration file, for editors and linters."""
    made = Config.model_json_schema()
    models = (Admin, Cluster, History, Listener, Log, Otlp, Pool, Queue, Retry, Stats)
    tables = {model.__name__: model for model in models}
    for name, model in tables.items():
        _finish(made["$defs"][name], model)
    _finish(made, Config)
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **made, "title": "weir.toml"}


def _finish(made: dict[str, Any], model: type[Table]) -> None:
    """Put defaults as they are written in the file, and drop titles that only repeat the key."""
    for key, field in model.model_fields.items():
        entry = made["properties"][key]
        entry.pop("title", None)
        kind = kind_of_field(field)
        if kind is not None and not field.is_required():
            entry["default"] = kind.show(field.default)
