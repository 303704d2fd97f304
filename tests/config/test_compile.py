"""Every key is accepted and reaches the plan; defaults are the plan's own and give way to what is written."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

import pytest

from weir.config.compile import compile_plan
from weir.config.findings import TABLES
from weir.config.load import load_text
from weir.config.model import RateLimit, RequestEdits, Respond, ResponseEdits, Route
from weir.config.plan import (
    AddressPlan,
    ClusterPlan,
    EjectionPlan,
    EndpointPlan,
    HealthPlan,
    ListenerPlan,
    LogPlan,
    NetworkPlan,
    Plan,
    PoolPlan,
    QueuePlan,
    RetryPlan,
    RoutePlan,
    StatsPlan,
)

LEAST = '[[listener]]\naddress = ":8080"\nto = "127.0.0.1:8081"\n'

# Table, key, its TOML, the field of the plan and its value there: something other than the default.
KEYS: list[tuple[tuple[str, ...], str, str, str, Any]] = [
    ((), "drain_timeout", '"10s"', "drain_timeout_ms", 10_000),
    ((), "workers", "3", "workers", 3),
    ((), "single_process", "true", "single_process", True),
    ((), "heartbeat_timeout", '"30s"', "heartbeat_timeout_ms", 30_000),
    ((), "user", '"nobody"', "user", "nobody"),
    ((), "pid_file", '"/run/weir.pid"', "pid_file", "/run/weir.pid"),
    ((), "hooks", '"package.module"', "hooks", "package.module"),
    ((), "hook_block_after", '"1s"', "hook_block_after_ms", 1_000),
    ((), "upgrade_program", '"/opt/weir/bin/weir"', "upgrade_program", "/opt/weir/bin/weir"),
    (("admin",), "token", '"0123456789abcdef"', "admin.token", "0123456789abcdef"),
    (("log",), "access", '"/var/log/a.log"', "log.access", "/var/log/a.log"),
    (("log",), "format", '"json"', "log.format", "json"),
    (("log",), "flush", '"1s"', "log.flush_ms", 1_000),
    (("log",), "buffer", '"4MiB"', "log.buffer_bytes", 4 << 20),
    (("stats",), "rows", "16384", "stats.rows", 16_384),
    (("stats",), "header", '"X-Total"', "stats.header", "X-Total"),
    (("stats",), "page", '"/stats"', "stats.page", "/stats"),
    (("stats",), "paths", '"exact"', "stats.paths", "exact"),
    (("history",), "path", '"/var/lib/weir/h.db"', "history.path", "/var/lib/weir/h.db"),
    (("history",), "flush", '"30s"', "history.flush_ms", 30_000),
    (("history",), "minutes_for", '"24h"', "history.minutes_for_ms", 86_400_000),
    (("history",), "max_age", '"720h"', "history.max_age_ms", 2_592_000_000),
    (("history",), "max_size", '"1GiB"', "history.max_bytes", 1 << 30),
    (
        ("otlp",),
        "endpoint",
        '"https://otel.internal:4318/v1/metrics"',
        "otlp.endpoint",
        "https://otel.internal:4318/v1/metrics",
    ),
    (("otlp",), "headers", '{ "X-Key" = "k" }', "otlp.headers", (("X-Key", "k"),)),
    (("otlp",), "interval", '"1m"', "otlp.interval_ms", 60_000),
    (("otlp",), "timeout", '"5s"', "otlp.timeout_ms", 5_000),
    (("listener",), "request_header_timeout", '"5s"', "listener.request_header_timeout_ms", 5_000),
    (("listener",), "idle_timeout", '"75s"', "listener.idle_timeout_ms", 75_000),
    (("listener",), "send_timeout", '"30s"', "listener.send_timeout_ms", 30_000),
    (("listener",), "max_head", '"16KiB"', "listener.max_head_bytes", 16_384),
    (("listener",), "max_fields", "64", "listener.max_fields", 64),
    (("listener",), "max_target", "4000", "listener.max_target_bytes", 4_000),
    (("listener",), "max_body", '"10MiB"', "route.max_body_bytes", 10 << 20),
    (("listener",), "paths", '"exact"', "route.paths", "exact"),
    (("listener",), "max_connections", "500", "listener.max_connections", 500),
    (("listener",), "max_connections_per_client", "100", "listener.max_connections_per_client", 100),
    (("listener",), "client_prefix", "56", "listener.client_prefix", 56),
    (("listener",), "min_request_rate", '"1KiB"', "listener.min_request_rate_bytes", 1_024),
    (("listener",), "min_response_rate", '"2KiB"', "listener.min_response_rate_bytes", 2_048),
    (("listener",), "rate_grace", '"20s"', "listener.rate_grace_ms", 20_000),
    (("listener",), "notsent_lowat", '"64KiB"', "listener.notsent_lowat_bytes", 65_536),
    (("listener",), "proxy_protocol", '"require"', "listener.proxy_protocol", "require"),
    (("listener",), "trusted_proxies", '["unix"]', "listener.trusted_proxies", (NetworkPlan("unix"),)),
    (("listener",), "max_requests", "1000", "listener.max_requests", 1_000),
    (("listener",), "backlog", "128", "listener.backlog", 128),
    (("listener",), "forwarded", '"append"', "listener.forwarded", "append"),
    (("listener",), "via", '"off"', "listener.via", "off"),
    (("listener",), "request_id", '"keep"', "listener.request_id", "keep"),
    (("listener",), "trace", '"join"', "listener.trace", "join"),
    (("listener",), "trace_sample", '"5%"', "listener.trace_sample_percent", 5),
    (("listener",), "server_timing", '"on"', "listener.server_timing", "on"),
    (("listener",), "deadline_field", '"X-Deadline"', "listener.deadline_field", "X-Deadline"),
    (("listener",), "half_close", '"abort"', "listener.half_close", "abort"),
    *(
        (("listener", "rate_limit"), key, toml, f"listener.rate_limits.{field}", value)
        for key, toml, field, value in (
            ("by", '"path"', "by", "path"),
            ("rate", '"10/m"', "rate", (10, 60_000)),
            ("burst", "50", "burst", 50),
            ("delay", "20", "delay", 20),
            ("prefix", '"/login"', "prefix", "/login"),
            ("methods", '["POST", "PUT"]', "methods", ("POST", "PUT")),
            ("status", "503", "status", 503),
            ("max_keys", "1000", "max_keys", 1_000),
            ("dry_run", "true", "dry_run", True),
            ("name", '"logins"', "name", "logins"),
        )
    ),
    *(
        (("listener", "fault"), key, toml, f"listener.faults.{field}", value)
        for key, toml, field, value in (
            ("delay", '"100ms-2s"', "delay_ms", (100, 2_000)),
            ("delay_percentage", '"10%"', "delay_percent", 10),
            ("abort", "503", "abort", 503),
            ("abort_percentage", '"1%"', "abort_percent", 1),
            ("bandwidth", '"64KiB"', "bandwidth_bytes", 65_536),
            ("bandwidth_percentage", '"50%"', "bandwidth_percent", 50),
            ("prefix", '"/api/"', "prefix", "/api/"),
            ("methods", '["GET"]', "methods", ("GET",)),
            ("field", '"X-Weir-Fault:slow"', "field", "X-Weir-Fault: slow"),
            ("seed", "42", "seed", 42),
            ("name", '"slow"', "name", "slow"),
        )
    ),
    (("cluster",), "host", '"app.internal:8080"', "cluster.host", "app.internal:8080"),
    (("cluster",), "proxy_protocol", '"v2"', "cluster.proxy_protocol", "v2"),
    (("cluster",), "connect_timeout", '"1s"', "cluster.connect_timeout_ms", 1_000),
    (("cluster",), "response_header_timeout", '"30s"', "cluster.response_header_timeout_ms", 30_000),
    (("cluster",), "stream_idle_timeout", '"1h"', "cluster.stream_idle_timeout_ms", 3_600_000),
    (("cluster",), "max_response_head", '"64KiB"', "cluster.max_response_head_bytes", 65_536),
    (("cluster",), "max_response_fields", "200", "cluster.max_response_fields", 200),
    (("cluster",), "request_start", '"on"', "cluster.request_start", "on"),
    (("cluster",), "resolve", '"each"', "cluster.resolve", "each"),
    (
        *(("cluster",), "nameservers", '["10.0.0.2", "[fd00::2]:5353"]', "cluster.nameservers"),
        (AddressPlan("10.0.0.2", "10.0.0.2", 53), AddressPlan("[fd00::2]:5353", "fd00::2", 5353)),
    ),
    (("cluster",), "resolve_interval", '"5s"', "cluster.resolve_interval_ms", 5_000),
    (("cluster",), "policy", '"least_time"', "cluster.policy", "least_time"),
    (("cluster",), "hash_by", '"cookie:session"', "cluster.hash_by", "cookie:session"),
    (("cluster",), "hash_balance", "125", "cluster.hash_balance_percent", 125),
    (("cluster",), "overflow_at", '"50%"', "cluster.overflow_at_percent", 50),
    (("cluster",), "slow_start", '"30s"', "cluster.slow_start_ms", 30_000),
    (("cluster", "sticky"), "cookie", '"ID"', "cluster.sticky.cookie", "ID"),
    (("cluster", "sticky"), "secret", '"0123456789abcdef"', "cluster.sticky.secret", "0123456789abcdef"),
    (("cluster", "sticky"), "max_age", '"1h"', "cluster.sticky.max_age_ms", 3_600_000),
    (("cluster", "sticky"), "path", '"/shop"', "cluster.sticky.path", "/shop"),
    (("cluster", "sticky"), "secure", "true", "cluster.sticky.secure", True),
    (("cluster", "sticky"), "http_only", "false", "cluster.sticky.http_only", False),
    (("cluster", "sticky"), "same_site", '"strict"', "cluster.sticky.same_site", "strict"),
    (("cluster", "sticky"), "forward", "false", "cluster.sticky.forward", False),
    (("cluster", "pool"), "max_idle", "10", "cluster.pool.max_idle", 10),
    (("cluster", "pool"), "max_connections", "2000", "cluster.pool.max_connections", 2_000),
    (("cluster", "pool"), "idle_timeout", '"50s"', "cluster.pool.idle_timeout_ms", 50_000),
    (("cluster", "pool"), "max_age", '"10m"', "cluster.pool.max_age_ms", 600_000),
    (("cluster", "pool"), "max_requests", "99", "cluster.pool.max_requests", 99),
    (("cluster", "pool"), "min_idle", "2", "cluster.pool.min_idle", 2),
    (("cluster", "pool"), "wait_idle", '"100ms"', "cluster.pool.wait_idle_ms", 100),
    (("cluster", "pool"), "give_back", '"1s"', "cluster.pool.give_back_ms", 1_000),
    (("cluster", "queue"), "size", "1000", "cluster.queue.size", 1_000),
    (("cluster", "queue"), "timeout", '"500ms"', "cluster.queue.timeout_ms", 500),
    (("cluster", "queue"), "order", '"adaptive"', "cluster.queue.order", "adaptive"),
    (("cluster", "limit"), "max_requests", "50", "cluster.limit.max_requests", 50),
    (("cluster", "limit"), "min", "10", "cluster.limit.min", 10),
    (("cluster", "limit"), "max", "500", "cluster.limit.max", 500),
    (("cluster", "breaker"), "failures", '"50%"', "cluster.breaker.failures_percent", 50),
    (("cluster", "breaker"), "volume", "50", "cluster.breaker.volume", 50),
    (("cluster", "breaker"), "window", '"30s"', "cluster.breaker.window_ms", 30_000),
    (("cluster", "breaker"), "open_for", '"5s"', "cluster.breaker.open_for_ms", 5_000),
    (("cluster", "retry"), "ratio", '"10%"', "cluster.retry.ratio_percent", 10),
    (("cluster", "retry"), "min_per_second", "10", "cluster.retry.min_per_second", 10),
    (("cluster",), "panic_below", '"50%"', "cluster.panic_below_percent", 50),
    (("cluster", "health"), "type", '"tcp"', "cluster.health.type", "tcp"),
    (("cluster", "health"), "path", '"/health?deep=1"', "cluster.health.path", "/health?deep=1"),
    (("cluster", "health"), "method", '"HEAD"', "cluster.health.method", "HEAD"),
    (("cluster", "health"), "host", '"app.internal"', "cluster.health.host", "app.internal"),
    (("cluster", "health"), "fields", '{ "X-Key" = "k" }', "cluster.health.fields", (("X-Key", "k"),)),
    (("cluster", "health"), "status", '["200-299", 404]', "cluster.health.status", ((200, 299), (404, 404))),
    (("cluster", "health"), "body", '"fine"', "cluster.health.body", "fine"),
    (("cluster", "health"), "port", "9000", "cluster.health.port", 9_000),
    (("cluster", "health"), "interval", '"10s"', "cluster.health.interval_ms", 10_000),
    (("cluster", "health"), "unhealthy_interval", '"500ms"', "cluster.health.unhealthy_interval_ms", 500),
    (("cluster", "health"), "timeout", '"2s"', "cluster.health.timeout_ms", 2_000),
    (("cluster", "health"), "jitter", '"20%"', "cluster.health.jitter_percent", 20),
    (("cluster", "health"), "healthy_after", "3", "cluster.health.healthy_after", 3),
    (("cluster", "health"), "unhealthy_after", "2", "cluster.health.unhealthy_after", 2),
    (("cluster", "health"), "first", '"unhealthy"', "cluster.health.first", "unhealthy"),
    (("cluster", "ejection"), "failures", "3", "cluster.ejection.failures", 3),
    (("cluster", "ejection"), "errors_5xx", "10", "cluster.ejection.errors_5xx", 10),
    (("cluster", "ejection"), "error_rate", '"50%"', "cluster.ejection.error_rate_percent", 50),
    (("cluster", "ejection"), "latency", "2.5", "cluster.ejection.latency_percent", 250),
    (("cluster", "ejection"), "interval", '"30s"', "cluster.ejection.interval_ms", 30_000),
    (("cluster", "ejection"), "min_requests", "50", "cluster.ejection.min_requests", 50),
    (("cluster", "ejection"), "time", '"30s"', "cluster.ejection.time_ms", 30_000),
    (("cluster", "ejection"), "max_time", '"10m"', "cluster.ejection.max_time_ms", 600_000),
    (("cluster", "ejection"), "max_ejected", '"20%"', "cluster.ejection.max_ejected_percent", 20),
    (("cluster", "retry"), "attempts", "2", "cluster.retry.attempts", 2),
    (("cluster", "retry"), "on", '["503", "reused"]', "cluster.retry.on", ("reused", "503")),
    (("cluster", "retry"), "attempt_timeout", '"2s"', "cluster.retry.attempt_timeout_ms", 2_000),
    (("cluster", "retry"), "backoff", '"100ms"', "cluster.retry.backoff_ms", 100),
    (("cluster", "retry"), "same_endpoint", "true", "cluster.retry.same_endpoint", True),
    (("cluster", "retry"), "idempotency_key", "true", "cluster.retry.idempotency_key", True),
    (("cluster", "retry"), "max_replay_body", '"256KiB"', "cluster.retry.max_replay_body_bytes", 262_144),
    (("cluster", "hedge"), "after", '"p95"', "cluster.hedge.after_permille", 950),
]
# These have tests of their own below.
ADDRESSES = {("listener", "address"), ("listener", "to"), ("cluster", "name"), ("cluster", "endpoints")}
ZONE = ("zone",)  # tests/config/test_balance.py
UNIX_MODE = ("listener", "unix_mode")
ERROR_PAGES = ("listener", "error_pages")  # tests/config/test_pages.py
ADMIN_ADDRESS = ("admin", "address")
TOKEN_FILE = ("admin", "token_file")
GROUP = ("group",)  # only with a user
# tests/config/test_routing.py, tests/config/test_actions.py
ROUTES = {
    *(("route", key) for key in Route.model_fields if ("route", key) not in TABLES),
    *(("route", "rate_limit", key) for key in RateLimit.model_fields),
    *(("route", "respond", key) for key in Respond.model_fields),
    *(("route", "request", key) for key in RequestEdits.model_fields),
    *(("route", "response", key) for key in ResponseEdits.model_fields),
}
OPENAPI = {("stats", "openapi"), ("listener", "openapi")}  # tests/config/test_openapi.py


# What a rule needs to be one, and a fault to have something to say percentages of.
RULES = {
    ("listener", "rate_limit"): {"by": '"client"', "rate": '"100/s"'},
    ("listener", "fault"): {"delay": '"1s"', "abort": "500", "bandwidth": '"1KiB"'},
}
# What else in [[cluster]] a key needs to have an effect: without the key, and with it.
NEEDS = {
    "hash_by": ('policy = "hash"\nhash_by = "client"\n', 'policy = "hash"\n'),
    "hash_balance": ('policy = "hash"\nhash_by = "path"\n',) * 2,
}
ENDPOINTS = 'endpoints = ["app.internal:8081", { address = "127.0.0.1:8082", priority = 1 }]\n'


def text_with(table: tuple[str, ...], line: str, needs: str = "") -> str:
    """A complete configuration with a cluster, and one more line in one of its tables."""
    parts: dict[tuple[str, ...], str] = {
        (): "",
        ("log",): "" if line.startswith("access") else 'access = "stdout"\n',
        ("stats",): "",
        ("history",): "",
        ("otlp",): "",
        ("admin",): "",
        ("listener",): 'address = ":8080"\nto = "app"\n',
        **{
            place: "".join(
                f"{key} = {toml}\n" for key, toml in least.items() if table != place or not line.startswith(f"{key} = ")
            )
            for place, least in RULES.items()
        },
        ("cluster",): f'name = "app"\n{ENDPOINTS}{needs}',
        ("cluster", "pool"): "",
        ("cluster", "queue"): "",
        ("cluster", "limit"): "",
        ("cluster", "breaker"): "",
        ("cluster", "retry"): "",
        ("cluster", "health"): "" if line.startswith("type") else 'type = "http"\n',
        ("cluster", "ejection"): "" if line.startswith("latency") else "latency = 4\n",
        ("cluster", "hedge"): "",
        ("cluster", "sticky"): "" if line.startswith("cookie") or table[-1:] != ("sticky",) else 'cookie = "WEIRID"\n',
    }
    # What has an effect only beside another key has that, too.
    if table == ("cluster", "limit") and not line.startswith("max_requests"):
        parts[table] = 'max_requests = "adaptive"\n'
    if table == ("cluster", "breaker") and not line.startswith("failures"):
        parts[table] = 'failures = "60%"\n'
    parts[table] += line + "\n"
    headers: dict[tuple[str, ...], str] = {("listener",): "[[listener]]\n", ("cluster",): "[[cluster]]\n"}
    headers.update({place: f"[[{'.'.join(place)}]]\n" for place in RULES})
    return "".join(headers.get(key, f"[{'.'.join(key)}]\n" if key else "") + body for key, body in parts.items())


def plan_of(text: str) -> Plan:
    return compile_plan(load_text(text, "f"))


def flat(plan: Plan) -> dict[str, Any]:
    """All values of a plan with one listener, one route and one cluster, by dotted name."""

    def walk(prefix: str, value: Any) -> Iterator[tuple[str, Any]]:
        if dataclasses.is_dataclass(value) and not isinstance(value, AddressPlan):
            for field in dataclasses.fields(value):
                yield from walk(f"{prefix}.{field.name}" if prefix else field.name, getattr(value, field.name))
        elif isinstance(value, tuple) and prefix in ("listeners", "routes", "clusters"):
            assert len(value) == 1
            yield from walk(prefix[:-1], value[0])
        elif isinstance(value, tuple) and value and prefix in ("listener.rate_limits", "listener.faults"):
            assert len(value) == 1
            yield from walk(prefix, value[0])
        else:
            yield prefix, value

    return dict(walk("", plan))


@pytest.mark.parametrize(("table", "key", "toml", "name", "value"), KEYS, ids=[".".join((*k[0], k[1])) for k in KEYS])
def test_each_key_reaches_the_plan_and_nothing_else(
    table: tuple[str, ...], key: str, toml: str, name: str, value: object
) -> None:
    needs = NEEDS.get(key, ("", ""))
    without = flat(plan_of(text_with(table, "", needs[0])))
    with_it = flat(plan_of(text_with(table, f"{key} = {toml}", needs[1])))
    assert without[name] != value
    assert {changed: with_it[changed] for changed in with_it if with_it[changed] != without[changed]} == {name: value}


def test_every_key_of_the_model_is_tested() -> None:
    tested = {(*table, key) for table, key, *_ in KEYS} | ADDRESSES
    tested |= {ZONE, UNIX_MODE, ERROR_PAGES, ADMIN_ADDRESS, TOKEN_FILE, GROUP, *OPENAPI, *ROUTES}
    known = {(*table, key) for table, model in TABLES.items() for key in model.model_fields}
    assert known - set(TABLES) == tested


def test_every_field_of_the_plan_can_be_set() -> None:
    tested = {name for *_, name, _ in KEYS}
    structure = {"listener.address", "listener.route", "listener.unix_mode", "route.name", "route.cluster"}
    structure |= {"listener.router", "routers"}
    structure |= {"admin.address", "admin.written", "group", "directory", "hooked"}
    structure |= {"cluster.hedge.after_ms"}  # written as the same key
    structure |= {"listener.error_pages", "cluster.name", "cluster.endpoints", "stats.openapi", "route.openapi"}
    structure |= {"route.action", "route.rate_limits", "route.limited_as"}
    whole = text_with((), "")
    assert set(flat(plan_of(whole))) == tested | structure
    assert set(flat(plan_of(LEAST))) >= {name for name in tested if name.count(".") < 2 or "listener" not in name}


def test_the_plan_knows_the_directory_of_its_file() -> None:
    assert compile_plan(load_text(LEAST, "f"), "/etc/weir").directory == "/etc/weir"


def test_defaults_are_those_of_the_plan() -> None:
    address = AddressPlan(text=":8080", host="", port=8080)
    endpoint = AddressPlan(text="127.0.0.1:8081", host="127.0.0.1", port=8081)
    assert plan_of(LEAST) == Plan(
        listeners=(ListenerPlan(address=address, route=0),),
        routes=(RoutePlan(name=":8080", cluster=0),),
        clusters=(ClusterPlan(name="127.0.0.1:8081", endpoints=(endpoint,)),),
    )


def test_a_cluster_without_tables_has_the_plans_defaults() -> None:
    (cluster,) = plan_of(text_with((), "")).clusters
    endpoint = AddressPlan(text="app.internal:8081", host="app.internal", port=8081)
    other = EndpointPlan(text="127.0.0.1:8082", host="127.0.0.1", port=8082, priority=1)
    assert cluster == ClusterPlan(
        name="app",
        endpoints=(endpoint, other),
        pool=PoolPlan(),
        queue=QueuePlan(),
        retry=RetryPlan(),
        health=HealthPlan(type="http"),
        ejection=EjectionPlan(latency_percent=400),
    )


def test_log_and_stats_have_the_plans_defaults() -> None:
    plan = plan_of(LEAST + "[log]\n[stats]\n")
    assert (plan.log, plan.stats) == (LogPlan(), StatsPlan())


@pytest.mark.parametrize(
    ("table", "line", "name", "value"),
    [
        (("listener",), 'max_body = "off"', "route.max_body_bytes", 0),
        (("listener",), 'max_requests = "off"', "listener.max_requests", 0),
        (("listener",), 'max_connections = "auto"', "listener.max_connections", 0),
        (("listener",), 'max_connections_per_client = "off"', "listener.max_connections_per_client", 0),
        (("listener",), 'min_request_rate = "off"', "listener.min_request_rate_bytes", 0),
        (("listener",), 'notsent_lowat = "off"', "listener.notsent_lowat_bytes", 0),
        (("listener",), "trusted_proxies = []", "listener.trusted_proxies", ()),
        (("cluster", "pool"), 'wait_idle = "off"', "cluster.pool.wait_idle_ms", 0),
        (("cluster", "pool"), 'give_back = "off"', "cluster.pool.give_back_ms", 0),
        (("stats",), 'header = "off"', "stats.header", ""),
        (("stats",), 'header = ""', "stats.header", ""),
        (("stats",), 'page = "off"', "stats.page", ""),
        (("stats",), 'page = ""', "stats.page", ""),
        (("log",), 'access = "off"', "log.access", "off"),
        (("history",), 'path = "off"', "history.path", ""),
        (("history",), 'path = ""', "history.path", ""),
        (("log",), 'access = "access.log"', "log.access", "access.log"),
        (("cluster", "retry"), "ratio = 0.35", "cluster.retry.ratio_percent", 35),
        (("cluster", "queue"), "size = 0", "cluster.queue.size", 0),
        (("cluster", "health"), 'type = "off"', "cluster.health.type", "off"),
        (("cluster", "health"), "status = 204", "cluster.health.status", ((204, 204),)),
        (("cluster", "health"), 'status = "200"', "cluster.health.status", ((200, 200),)),
        (("cluster", "health"), 'body = "off"', "cluster.health.body", ""),
        (("cluster", "health"), 'port = "endpoint"', "cluster.health.port", 0),
        (("cluster", "health"), 'unhealthy_interval = "off"', "cluster.health.unhealthy_interval_ms", 0),
        (("cluster", "ejection"), 'failures = "off"', "cluster.ejection.failures", 0),
        (("cluster", "ejection"), 'error_rate = "off"', "cluster.ejection.error_rate_percent", 0),
        (("cluster", "ejection"), 'latency = "off"', "cluster.ejection.latency_percent", 0),
        (("cluster", "ejection"), "latency = 1.5", "cluster.ejection.latency_percent", 150),
        (("cluster", "retry"), 'on = "off"', "cluster.retry.on", ()),
        (("cluster", "retry"), "on = [503]", "cluster.retry.on", ("503",)),
        (("cluster", "retry"), 'attempt_timeout = "off"', "cluster.retry.attempt_timeout_ms", 0),
        (("cluster", "retry"), 'max_replay_body = "off"', "cluster.retry.max_replay_body_bytes", 0),
        (("cluster", "hedge"), 'after = "50ms"', "cluster.hedge.after_ms", 50),
        (("cluster", "hedge"), 'after = "p99.9"', "cluster.hedge.after_permille", 999),
        (("cluster", "hedge"), 'after = "off"', "cluster.hedge.after_permille", 0),
        (("cluster", "retry"), 'attempt_timeout = "30s"', "cluster.response_header_timeout_ms", 60_000),
        # The default gives way.
        (("cluster", "retry"), 'attempt_timeout = "90s"', "cluster.response_header_timeout_ms", 270_000),
    ],
)
def test_words_and_other_spellings(table: tuple[str, ...], line: str, name: str, value: object) -> None:
    assert flat(plan_of(text_with(table, line)))[name] == value


@pytest.mark.parametrize("mode", ["0660", "660"])
def test_unix_mode(mode: str) -> None:
    (listener,) = plan_of(LEAST.replace(":8080", "unix:/run/w.sock") + f'unix_mode = "{mode}"').listeners
    assert listener.unix_mode == 0o660
    assert listener.address.path == "/run/w.sock"


def test_whom_it_runs_as() -> None:
    plan = plan_of(f'user = "nobody"\ngroup = "daemon"\n{LEAST}')
    assert (plan.user, plan.group) == ("nobody", "daemon")
    assert (plan_of(f'user = "65534"\n{LEAST}').user, plan_of(LEAST).group) == ("65534", "")


def test_a_socket_of_the_service_manager() -> None:
    (listener,) = plan_of(LEAST.replace(":8080", "systemd:web")).listeners
    assert listener.address == AddressPlan("systemd:web", passed="web")


def test_names_become_places() -> None:
    plan = plan_of(
        """
        listener = [{ address = ":1", to = "b" }, { address = ":2", to = "a" }, { address = ":3", to = "10.0.0.1:80" },
                    { address = ":4", to = "10.0.0.1:80", max_body = 7 }, { address = ":5", to = "b" }]
        cluster = [{ name = "a", endpoints = ["unix:/a"] }, { name = "b", endpoints = ["[::1]:81", "h:2"] }]
        """
    )
    assert [cluster.name for cluster in plan.clusters] == ["a", "b", "10.0.0.1:80"]
    assert [listener.route for listener in plan.listeners] == [0, 1, 2, 3, 4]
    assert [route.cluster for route in plan.routes] == [1, 0, 2, 2, 1]
    assert [route.name for route in plan.routes] == [":1", ":2", ":3", ":4", ":5"]
    assert [route.max_body_bytes for route in plan.routes] == [0, 0, 0, 7, 0]
    assert [endpoint.text for endpoint in plan.clusters[1].endpoints] == ["[::1]:81", "h:2"]


@pytest.mark.parametrize(
    ("line", "max_idle"),
    [
        ("max_connections = 10", 10),
        ("min_idle = 900", 900),
        ("min_idle = 50\nmax_connections = 50", 50),
        ("max_connections = 1000", PoolPlan().max_idle),
    ],
)
def test_the_default_of_max_idle_gives_way(line: str, max_idle: int) -> None:
    assert plan_of(text_with(("cluster", "pool"), line)).clusters[0].pool.max_idle == max_idle


def test_the_default_of_rows_gives_way() -> None:
    many = "".join(LEAST.replace(":8080", f":{n}").replace("127.0.0.1", "10.0.0.1") for n in range(1, 4001))
    assert plan_of(many).stats.rows == 8_000


def test_the_default_of_max_target_gives_way() -> None:
    (listener,) = plan_of(LEAST + 'max_head = "4KiB"').listeners
    assert listener.max_target_bytes == 4_096
