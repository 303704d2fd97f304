"""The plan: what the data plane is told to do, in numbers it can use as they are.

The configuration (`weir.config.model`) is what a person writes; the plan is what is left of it once
every name is resolved to an index, every duration to milliseconds and every size to bytes. It is
immutable, imports nothing, and is all that a worker needs: workers import no validation library.

Thousands of these travel from the process that reads a configuration to the supervisor: without slots pickle takes a
third of the time.

Units are in the names: ``_ms`` milliseconds, ``_bytes`` bytes. A limit of 0 means "no limit" only
where its comment says so.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from weir.config.action_plan import ActionPlan

__all__ = [
    "ADAPTIVE",
    "NOWHERE",
    "NO_ROUTER",
    "RESET",
    "AddressPlan",
    "AdminPlan",
    "BreakerPlan",
    "ClusterPlan",
    "EjectionPlan",
    "EndpointPlan",
    "ErrorPagePlan",
    "FaultPlan",
    "HealthPlan",
    "HedgePlan",
    "HistoryPlan",
    "LimitPlan",
    "ListenerPlan",
    "LogPlan",
    "MatchPlan",
    "NetworkPlan",
    "OtlpPlan",
    "Plan",
    "PoolPlan",
    "QueuePlan",
    "RateLimitPlan",
    "RetryPlan",
    "RoutePlan",
    "StatsPlan",
    "StickyPlan",
    "ValuePlan",
    "is_ip",
]


@dataclass(frozen=True)
class AddressPlan:
    """Where to listen or to connect: a Unix socket path, or a host (name or literal) and port.

    Exactly one of ``path``, ``passed``, ``app`` and ``host`` is set, except that a listener's ``host`` may be ``""``:
    every address of this machine, IPv6 and IPv4. ``passed`` is the name of sockets that a service manager passes to
    weir. ``app`` is an endpoint that each worker serves itself, ``asgi:package.module:name`` or ``files:/directory``.
    ``text`` is the address as the person wrote it, for logs.
    """

    text: str
    host: str | None = None
    port: int = 0
    path: str | None = None
    passed: str | None = None
    srv: bool = False  # host is the name of SRV records (RFC 2782), which say hosts and ports
    app: str | None = None


@lru_cache(maxsize=4096)
def is_ip(host: str) -> bool:
    """Whether a host is an IP address, which needs no look-up."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


@dataclass(frozen=True)
class EndpointPlan(AddressPlan):
    """An endpoint of which more is said than its address."""

    weight: int = 1  # its part of the requests, beside the weights of the others; 0: none but what a cookie binds
    priority: int = 0  # 0 first, higher ones when those before do not carry all
    zone: str = ""
    near: bool = True  # its zone is that of this weir, or weir has none

    @classmethod
    def of(cls, address: AddressPlan, **more: Any) -> EndpointPlan:
        """An endpoint at an address."""
        return cls(address.text, address.host, address.port, address.path, srv=address.srv, app=address.app, **more)


@dataclass(frozen=True)
class PoolPlan:
    """Connections to one endpoint, per worker (design: the pool)."""

    max_idle: int = 256  # idle connections kept; those above it wait give_back_ms for room
    max_connections: int = 1024  # open connections, idle ones included
    idle_timeout_ms: int = 0  # an idle connection is closed after this; 0: after what is learned of the endpoint
    max_age_ms: int = 3_600_000  # a connection older than this is not reused
    max_requests: int = 10_000  # requests on one connection before it is closed
    min_idle: int = 0  # idle connections kept ready by dialling early
    wait_idle_ms: int = 0  # how long to wait for an idle connection before dialling (tutorial: 100)
    give_back_ms: int = 0  # how long a surplus connection waits for room (tutorial: 1000)


@dataclass(frozen=True)
class QueuePlan:
    """Exchanges that wait because every endpoint is at max_connections."""

    size: int = 100
    timeout_ms: int = 1_000
    order: str = "fifo"  # who is served first; "adaptive": the newest under overload


ADAPTIVE = -1  # LimitPlan.max_requests: found out


@dataclass(frozen=True)
class LimitPlan:
    """Exchanges of a cluster in progress at a time, per worker."""

    max_requests: int = 0  # 0: no limit; ADAPTIVE: what the endpoints serve without becoming slower
    min: int = 3  # bounds of an adaptive limit
    max: int = 1_000


@dataclass(frozen=True)
class BreakerPlan:
    """While too many attempts fail, requests are refused at once."""

    failures_percent: int = 0  # of all attempts in the window; 0: there is no breaker
    volume: int = 20  # fewer attempts in the window say nothing
    window_ms: int = 10_000
    open_for_ms: int = 10_000


@dataclass(frozen=True)
class RetryPlan:
    """What is sent once more, and the budget that it is charged to."""

    on: tuple[str, ...] = ("connect", "reused", "reset", "timeout")  # what may be tried again
    ratio_percent: int = 20  # retries allowed, in percent of requests ...
    min_per_second: int = 3  # ... and this many a second in any case
    attempts: int = 3  # of one exchange in all, the first included
    attempt_timeout_ms: int = 0  # for a response head, per attempt; 0: only response_header_timeout_ms, for all
    backoff_ms: int = 25  # the first pause between two attempts; doubled each time, up to ten times this
    same_endpoint: bool = False  # one that has failed the request may be asked again if there is no other
    idempotency_key: bool = False  # a request with an Idempotency-Key may be repeated, whatever its method
    max_replay_body_bytes: int = 65_536  # kept of a body that did not come with its head


@dataclass(frozen=True)
class HedgePlan:
    """When a second request is sent beside the first. Both 0: never."""

    after_ms: int = 0
    after_permille: int = 0  # of how long response heads took lately, in this worker


@dataclass(frozen=True)
class StickyPlan:
    """A cookie that keeps a client with its endpoint."""

    cookie: str = ""  # its name; "": there is none
    secret: str = field(default="", repr=False)  # key of the digest that is its value; "": drawn at the start
    max_age_ms: int = 0  # how long the client keeps it; 0: until it ends its session
    path: str = "/"
    secure: bool = False
    http_only: bool = True
    same_site: str = "lax"  # "lax", "strict", "none", or "off": not said
    forward: bool = True  # the endpoint gets it too


@dataclass(frozen=True)
class HealthPlan:
    """Active checks of a cluster's endpoints, made by one worker for all."""

    type: str = "off"  # "off", "tcp": a connection, "http": a request
    path: str = "/"
    method: str = "GET"  # or "HEAD", "OPTIONS"
    host: str = ""  # "": the cluster's host, or the endpoint's own
    fields: tuple[tuple[str, str], ...] = field(default=(), repr=False)  # may be secret
    status: tuple[tuple[int, int], ...] = ((200, 399),)  # first and last of what is expected
    body: str = ""  # what the body must have in it; "": anything
    port: int = 0  # to connect to; 0: the endpoint's
    interval_ms: int = 2_000
    unhealthy_interval_ms: int = 0  # of an unhealthy endpoint; 0: interval_ms
    timeout_ms: int = 1_000  # of a whole check
    jitter_percent: int = 10  # an interval is longer or shorter by so much at most
    healthy_after: int = 2  # checks in a row that make an unhealthy endpoint healthy
    unhealthy_after: int = 3
    first: str = "healthy"  # what is thought of an endpoint before its first verdict, or "unhealthy"


@dataclass(frozen=True)
class EjectionPlan:
    """When an endpoint gets no requests for a while, because of what became of those that it got."""

    failures: int = 5  # attempts in a row without a response, seen by one worker; 0: off
    errors_5xx: int = 0  # responses in a row, seen by one worker; 0: off
    error_rate_percent: int = 0  # failures and 5xx of an interval's attempts; 0: off
    latency_percent: int = 0  # an interval's mean, of the median of the others; 0: off
    interval_ms: int = 10_000
    min_requests: int = 100  # in an interval; with fewer it says nothing
    time_ms: int = 10_000  # the first ejection; the n-th in a row takes n times as long ...
    max_time_ms: int = 300_000  # ... at most
    max_ejected_percent: int = 50  # of the cluster's endpoints at a time, and one of two in any case


@dataclass(frozen=True)
class ClusterPlan:
    """A named group of endpoints."""

    name: str
    endpoints: tuple[AddressPlan, ...]  # or EndpointPlan
    pool: PoolPlan = field(default_factory=PoolPlan)
    queue: QueuePlan = field(default_factory=QueuePlan)
    limit: LimitPlan = field(default_factory=LimitPlan)
    breaker: BreakerPlan = field(default_factory=BreakerPlan)
    retry: RetryPlan = field(default_factory=RetryPlan)
    health: HealthPlan = field(default_factory=HealthPlan)
    ejection: EjectionPlan = field(default_factory=EjectionPlan)
    panic_below_percent: int = 0  # of the endpoints that may be used; with fewer, or none, all are asked
    hedge: HedgePlan = field(default_factory=HedgePlan)
    host: str = ""  # "": keep the client's Host; else the value to send
    proxy_protocol: str = "off"  # the PROXY header that connections to endpoints begin with: "off", "v1", "v2"
    connect_timeout_ms: int = 3_000
    response_header_timeout_ms: int = 60_000
    stream_idle_timeout_ms: int = 300_000
    max_response_head_bytes: int = 32_768
    max_response_fields: int = 100
    resolve: str = "name"  # a name is one endpoint; "each": each of its addresses is one
    resolve_interval_ms: int = 30_000  # how often names of endpoints are looked up again
    nameservers: tuple[AddressPlan, ...] = ()  # for SRV records and "each"; (): those of the system
    request_start: str = "off"  # X-Request-Start of forwarded requests: "on" or "off"
    policy: str = "round_robin"  # "round_robin", "least_requests", "least_time", "random", "hash"
    hash_by: str = "client"  # the key of "hash": "client", "path", "host", "cookie:NAME", "field:NAME"
    hash_balance_percent: int = 0  # of its part of the requests in progress an endpoint gets at most; 0: no bound
    overflow_at_percent: int = 70  # of a level's weight usable: with less, a part of the requests goes to the next
    slow_start_ms: int = 0  # how long the weight of an endpoint that has become usable grows to all of it; 0: at once
    sticky: StickyPlan = field(default_factory=StickyPlan)

    def members(self) -> list[str]:
        """The endpoints that it has from the start, by their texts: those that need no look-up to be known."""
        return [address.text for address in self.endpoints if not self.stands_for_several(address)]

    def stands_for_several(self, address: AddressPlan) -> bool:
        """Whether not the address itself is an endpoint, but whatever its name stands for."""
        return address.srv or (self.resolve == "each" and address.host is not None and not is_ip(address.host))


NOWHERE = -1  # RoutePlan.cluster: there is none
NO_ROUTER = -1  # ListenerPlan.router: likewise


@dataclass(frozen=True)
class RoutePlan:
    """What is done with a request. Which requests take it is said by MatchPlan, or by ListenerPlan.route."""

    name: str  # routes of the same name are counted together
    cluster: int  # index into Plan.clusters; NOWHERE: its requests are answered with 404
    max_body_bytes: int = 0  # 0: no limit
    paths: str = "stats"  # as StatsPlan.paths; "stats": as it says there
    openapi: tuple[str, ...] | None = None  # as StatsPlan.openapi; None: as it says there
    action: ActionPlan | None = None  # None: requests are sent on as they are
    rate_limits: tuple[RateLimitPlan, ...] = ()  # beside those of the listener: a request has to pass all of them
    limited_as: str = ""  # the route's own name, where it has rate limits: all its sides share them


@dataclass(frozen=True)
class ValuePlan:
    """What a field or a parameter of the query has to be like."""

    name: str
    test: str  # "present", "absent", "equal", "prefix"
    value: str = ""  # of the last two


@dataclass(frozen=True)
class MatchPlan:
    """What requests have to look like to take a route, and which one: `weir.plane.router` says which is preferred."""

    name: str
    sides: tuple[tuple[int, int], ...]  # indices into Plan.routes, and their weights
    split_by: str = ""  # "client", "cookie:NAME", "field:NAME": what keeps its side; "": nothing, each is drawn
    hosts: tuple[str, ...] = ()  # "api.example.com", or "*.example.com" for all below it; (): any
    path: str = ""  # "/login", "/users/{id}", "/api/*"; segments percent-encoded; "": any
    methods: tuple[str, ...] = ()  # (): any
    fields: tuple[ValuePlan, ...] = ()
    query: tuple[ValuePlan, ...] = ()
    clients: tuple[NetworkPlan, ...] = ()  # (): any


@dataclass(frozen=True)
class ErrorPagePlan:
    """What error answers with some statuses look like, in place of weir's own text.

    `body` may have places: {{status}}, {{title}}, {{reason}}, {{text}} and {{request_id}}.
    """

    statuses: str  # "502", or "5xx" for those of the class without a page of their own
    media: str  # "text/html", "text/plain" or "application/json"; the last is for clients that prefer JSON
    body: bytes


@dataclass(frozen=True)
class NetworkPlan:
    """A network whose proxies are trusted; or, without an address, whoever comes by a Unix socket."""

    text: str
    packed: bytes = b""  # 16 bytes, IPv4 behind ::ffff:0:0/96; b"": Unix sockets
    bits: int = 0  # of `packed` that count
    is_ipv4: bool = False


@dataclass(frozen=True)
class RateLimitPlan:
    """How many requests a listener, or a route, lets in: `rate` of each key, or `burst` at once after a pause."""

    by: str  # the key: "client", "path" (template), "all" (one key), or "field:" and the name of a request field
    rate: tuple[int, int]  # so many requests in so many milliseconds
    name: str = ""  # for counters; "": by and rate
    burst: int = 0  # 0: as many as rate says
    delay: int = 0  # requests beyond the burst that wait for their turn instead of being refused
    methods: tuple[str, ...] = ()  # (): all
    prefix: str = ""  # of the path; "": all
    max_keys: int = 65_536  # remembered at a time; further ones make others be forgotten
    status: int = 429  # of refusals
    dry_run: bool = False  # counts only, refuses nothing


RESET = 1  # FaultPlan.abort: instead of an answer the connection is reset


@dataclass(frozen=True)
class FaultPlan:
    """A fault that is injected into requests for a person's own tests."""

    name: str = ""  # for counters; "": "fault" and its place in the listener, from 1
    delay_ms: tuple[int, int] = (0, 0)  # from, to; (0, 0): none
    delay_percent: int = 100  # of the requests that match
    abort: int = 0  # status of the answer; RESET; 0: none
    abort_percent: int = 100
    bandwidth_bytes: int = 0  # of the response a second; 0: no limit
    bandwidth_percent: int = 100
    methods: tuple[str, ...] = ()  # (): all
    prefix: str = ""  # of the path; "": all
    field: str = ""  # "Name": a request with this field; "Name: value": with this value; "": all
    seed: int = 0  # of the sequence of decisions; 0: another one each time


@dataclass(frozen=True)
class ListenerPlan:
    """A bound address and how its connections are treated."""

    address: AddressPlan
    route: int  # index into Plan.routes: what is taken when no route of the router's is
    router: int = NO_ROUTER  # index into Plan.routers, or NO_ROUTER
    backlog: int = 4_096
    max_connections: int = 0  # 0: 80 % of the descriptor limit
    max_connections_per_client: int = 0  # 0: no limit
    client_prefix: int = 64  # bits of an IPv6 address that make a client
    max_requests: int = 0  # requests on one connection before it is closed; 0: no limit
    request_header_timeout_ms: int = 10_000
    idle_timeout_ms: int = 60_000
    send_timeout_ms: int = 60_000  # no progress towards a client that does not read
    min_request_rate_bytes: int = 240  # of a body, a second, while only the client is waited for; 0: any
    min_response_rate_bytes: int = 240  # likewise of a response
    rate_grace_ms: int = 60_000  # so long a client may be slower than that
    notsent_lowat_bytes: int = 131_072  # what the kernel keeps unsent for a client; 0: as the system says
    proxy_protocol: str = "off"  # or "require": connections begin with a PROXY header
    trusted_proxies: tuple[NetworkPlan, ...] = ()
    max_head_bytes: int = 32_768
    max_fields: int = 100
    max_target_bytes: int = 8_192
    forwarded: str = "replace"  # X-Forwarded-*: "replace", "append", "keep" (as received), "off" (removed)
    via: str = "request"  # Via is added to: "request", "response", "both", "off"
    request_id: str = "pass"  # X-Request-Id: "pass" as it came, "keep" a well-formed one or make it, "replace" it
    trace: str = "pass"  # traceparent: "pass" as it came, "join" the client's trace or begin one, "restart": begin one
    trace_sample_percent: int = 100  # of the traces that weir begins
    server_timing: str = "off"  # Server-Timing in responses: "on" or "off"
    deadline_field: str = ""  # request field with the milliseconds that the client will wait; "": none
    half_close: str = "serve"  # a client that closes its sending side: "serve" it, or "abort"
    unix_mode: int = 0o666  # permissions of a Unix socket
    error_pages: tuple[ErrorPagePlan, ...] = ()
    rate_limits: tuple[RateLimitPlan, ...] = ()  # a request has to pass all of them
    faults: tuple[FaultPlan, ...] = ()  # each decides for itself


@dataclass(frozen=True)
class StatsPlan:
    """The shared table and what is shown of it on the way."""

    rows: int = 4_096
    header: str = "X-Bytes"  # response field with the running total of the series; "": none
    page: str = ""  # path of the tutorial's plain-text page; "": none
    paths: str = "template"  # paths are counted under their template, or "exact": each by itself
    openapi: tuple[str, ...] = ()  # templates from descriptions of APIs, which come before the rule


@dataclass(frozen=True)
class LogPlan:
    """The access log."""

    access: str = "off"  # "off", "stdout", or the path of a file
    format: str = "combined"  # "combined", "common", "json", "short" (path: status), "ledger" (common and times)
    flush_ms: int = 200  # a line is written at most this much later
    buffer_bytes: int = 8_388_608  # lines waiting for a slow disk or pipe; beyond it they are dropped, counted


@dataclass(frozen=True)
class HistoryPlan:
    """Minute records of what was counted, kept by the admin side."""

    path: str = ""  # of the file; "": in memory
    flush_ms: int = 10_000  # what a KILL may lose
    minutes_for_ms: int = 172_800_000  # minute records older than this are folded into hours
    max_age_ms: int = 7_776_000_000
    max_bytes: int = 268_435_456


@dataclass(frozen=True)
class OtlpPlan:
    """Export of the metrics over OTLP/HTTP."""

    endpoint: str = ""  # URL, with the path (/v1/metrics if it has none); "": no export
    headers: tuple[tuple[str, str], ...] = field(default=(), repr=False)  # may be secret
    interval_ms: int = 15_000
    timeout_ms: int = 10_000


@dataclass(frozen=True)
class AdminPlan:
    """Where the admin process answers, and whom."""

    address: AddressPlan | None = AddressPlan("127.0.0.1:8079", "127.0.0.1", 8079)  # None: there is none
    written: bool = False  # the person has chosen the address: that it cannot be had is an error
    token: str = field(default="", repr=False)  # what a request must bring as a bearer token; "": nothing


@dataclass(frozen=True)
class Plan:
    """All that the data plane and those who start it are told."""

    listeners: tuple[ListenerPlan, ...]
    routes: tuple[RoutePlan, ...]
    clusters: tuple[ClusterPlan, ...]
    routers: tuple[tuple[MatchPlan, ...], ...] = ()  # in the order of the file
    stats: StatsPlan = field(default_factory=StatsPlan)
    log: LogPlan = field(default_factory=LogPlan)
    history: HistoryPlan = field(default_factory=HistoryPlan)
    otlp: OtlpPlan = field(default_factory=OtlpPlan)
    admin: AdminPlan = field(default_factory=AdminPlan)
    workers: int = 0  # processes that serve; 0: as many as there are processors for them
    single_process: bool = False  # one process does it all: no supervisor, no admin process
    drain_timeout_ms: int = 30_000
    heartbeat_timeout_ms: int = 10_000  # a worker that shows no sign of life for so long is replaced
    user: str = ""  # name or number of whom workers and admin process run as; "": whoever has started it
    group: str = ""  # the same of the group; "": the user's own
    pid_file: str = ""  # absolute path; "": none
    hooks: str = ""  # absolute path of a file, or a module, with Python functions that requests meet; "": none
    hook_block_after_ms: int = 250  # a hook that blocks its worker for so long is named in the log; 0: none is
    hooked: tuple[tuple[str, str], ...] = ()  # phase and name of each hook, by whoever has imported them
    upgrade_program: str = ""  # absolute path of the weir that USR2 starts; "": the one that was started
    directory: str = ""  # absolute path of the configuration's, where applications are looked for first; "": none
