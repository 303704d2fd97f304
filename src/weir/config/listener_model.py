"""Tables of the configuration that are about clients."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from weir.config import kinds
from weir.config.limit_model import Fault, RateLimit
from weir.config.network_kinds import networks
from weir.config.plan import AddressPlan, ErrorPagePlan, ListenerPlan, NetworkPlan, RoutePlan
from weir.config.table import Table, required, setting

__all__ = ["Listener"]


class Listener(Table):
    """An address that clients connect to, and how their connections are treated."""

    address: Annotated[AddressPlan, kinds.listen()] = required(
        "Where to listen: `:8080` (every address of this machine, IPv6 and IPv4), `127.0.0.1:8080`, `[::1]:8080`, "
        "`localhost:8080`, `unix:/run/weir.sock`. Port 0 is any free port.",
        example=":8080",
    )
    to: Annotated[str | AddressPlan | None, kinds.destination(none=True)] = Field(
        default=None,
        description="Where requests go that no `[[route]]` takes: the name of a cluster, or the address of a single "
        "endpoint (as in `endpoints`), which then has a cluster of its own with all defaults. "
        "`asgi:package.module:app` is an ASGI application and `files:/var/www` a directory that weir serves, see "
        "[applications](asgi.md). May be left out where there are routes: other requests are answered with 404 then.",
        examples=["app"],
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
    min_request_rate: Annotated[int, kinds.size(1, "1GiB", none=True)] = setting(
        ListenerPlan,
        "min_request_rate_bytes",
        "Bytes of a request body that a client has to send a second, until the response begins. Only time in which "
        "nobody but the client is waited for counts, and `rate_grace` may be owed. Then: 408.",
        example="1KiB",
    )
    min_response_rate: Annotated[int, kinds.size(1, "1GiB", none=True)] = setting(
        ListenerPlan,
        "min_response_rate_bytes",
        "Bytes of a response that a client has to take a second, while there are any for it to take. `rate_grace` may "
        "be owed. Then it is disconnected.",
        example="1KiB",
    )
    rate_grace: Annotated[int, kinds.duration("1s", "1h")] = setting(
        ListenerPlan,
        "rate_grace_ms",
        "How far a client may fall behind `min_request_rate` or `min_response_rate`. One that stops altogether has "
        "fallen so far behind after this time, one at half the rate after twice this time.",
        example="20s",
    )
    notsent_lowat: Annotated[int, kinds.size("4KiB", "1GiB", none=True)] = setting(
        ListenerPlan,
        "notsent_lowat_bytes",
        "Bytes of a response that the kernel keeps for a client without having sent them (TCP_NOTSENT_LOWAT): what a "
        "client that does not read can hold. `off`: as much as the system allows (`net.ipv4.tcp_wmem`).",
        example="64KiB",
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
    max_connections_per_client: Annotated[int, kinds.count(1, 10_000_000, none=kinds.OFF)] = setting(
        ListenerPlan,
        "max_connections_per_client",
        "Connections that one client address may have at a time, per worker; one more is closed at once. Of a client "
        "behind a trusted proxy, whose connections belong to many: requests in progress; one more gets 503.",
        example=100,
    )
    client_prefix: Annotated[int, kinds.count(16, 128)] = setting(
        ListenerPlan,
        "client_prefix",
        "Bits of an IPv6 address that make a client for `max_connections_per_client`: who has one address of a network "
        "of this size mostly has all of them.",
        example=56,
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
    proxy_protocol: Annotated[str, kinds.choice("off", "require")] = setting(
        ListenerPlan,
        "proxy_protocol",
        "`require`: every connection begins with a PROXY protocol header, version 1 or 2, which says who the client "
        "is. With `trusted_proxies` only from these. See [PROXY protocol](proxy-protocol.md).",
        example="require",
    )
    trusted_proxies: Annotated[tuple[NetworkPlan, ...], networks()] = setting(
        ListenerPlan,
        "trusted_proxies",
        "Networks of proxies that are believed about their clients: `10.0.0.0/8`, `2001:db8::1`, or `unix` for all "
        "that come by a Unix socket. What that means for X-Forwarded-For: see [HTTP](http.md#behind-other-proxies).",
        example=["10.0.0.0/8", "::1", "unix"],
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
    deadline_field: Annotated[str, kinds.field_name()] = setting(
        ListenerPlan,
        "deadline_field",
        "A request field in which the client says how many milliseconds it will wait. Nothing is done for a request "
        "after that time (504), and the endpoint is told in the same field what is left.",
        example="X-Request-Timeout-Ms",
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
    rate_limit: Annotated[tuple[RateLimit, ...], Field(strict=False)] = Field(
        default=(), description="How many requests are let in."
    )
    fault: Annotated[tuple[Fault, ...], Field(strict=False)] = Field(
        default=(), description="Faults that are injected, for tests."
    )
