"""What no single value can get wrong: keys that contradict each other, names that lead nowhere, keys without effect.

The checks look at the parsed TOML, not at the model, so that they find what they can even where something else is
wrong; whatever cannot be read is passed over here, because it is reported already. A default never contradicts: it
gives way (`weir.config.compile`).
"""

from __future__ import annotations

from collections.abc import Iterator

from weir.config.address import address_key, is_literal
from weir.config.balance_checks import balancing, zones
from weir.config.destination_checks import destinations, is_loopback, loops
from weir.config.errors import quoted
from weir.config.findings import Finding
from weir.config.kinds import OFF
from weir.config.model import (
    Admin,
    Breaker,
    Cluster,
    Config,
    Ejection,
    Fault,
    Health,
    Hedge,
    Limit,
    Listener,
    Log,
    Pool,
    Queue,
    RateLimit,
    Retry,
    Stats,
)
from weir.config.plan import ADAPTIVE, AddressPlan
from weir.config.positions import Loc
from weir.config.raw import Raw
from weir.config.raw import endpoints as _endpoints
from weir.config.raw import table as _table
from weir.config.raw import tables as _tables
from weir.config.raw import value as _value
from weir.config.route_checks import count_of_routes, routes
from weir.config.units import format_duration, format_size

__all__ = ["contradictions"]

ONLY_WITH_RETRIES = (
    *("ratio", "min_per_second", "attempt_timeout", "backoff"),
    *("same_endpoint", "idempotency_key", "max_replay_body"),
)
MOST_RATE_LIMITS = 16  # weir.plane.admission: MOST_LIMITS
MOST_WAIT_MS = 600_000


def contradictions(raw: Raw) -> list[Finding]:
    """All that contradicts itself in a parsed configuration."""
    findings = [
        *_processes(raw),
        *_log(raw),
        *_stats(raw),
        *_admin(raw),
        *_descriptions(raw),
        *_clusters(raw),
        *zones(raw, [(("cluster", place), _endpoints(cluster)) for place, cluster in _tables(raw, "cluster")]),
        *destinations(raw),
        *loops(raw),
        *routes(raw),
    ]
    seen: dict[tuple[str, int], Loc] = {}
    for place, listener in _tables(raw, "listener"):
        findings += _listener(("listener", place), listener, seen)
    for place, route in _tables(raw, "route"):
        findings += _rate_limits(("route", place), route)
    if raw.get("listener") == []:
        findings.append(Finding(("listener",), "value", "no listener: nothing is served", "add a [[listener]]"))
    return findings


def _log(raw: Raw) -> Iterator[Finding]:
    log = _table(raw, "log")
    # With access = "off" in the file the person knows; without it, the other keys look as if they switched it on.
    if "access" not in log:
        for key in log:
            if key in Log.model_fields:
                yield Finding(("log", key), "key", "without effect: no access log is written", 'add access = "stdout"')


def _stats(raw: Raw) -> Iterator[Finding]:
    stats, listeners, routes = _table(raw, "stats"), len(_tables(raw, "listener")), count_of_routes(raw)
    rows = _value(Stats, stats, "rows")
    # Each has a row of its own, for what the others have no place for (weir.stats.layout).
    if "rows" in stats and rows is not None and rows <= listeners + routes:
        of = f"{listeners} listeners and {routes} routes" if routes else f"{listeners} listeners"
        message = f"{rows} rows are not enough for {of}, which take one each"
        yield Finding(("stats", "rows"), "value", message, f"write {2 * (listeners + routes)} or more")


def _processes(raw: Raw) -> Iterator[Finding]:
    if _value(Config, raw, "single_process"):
        for key in ("workers", "heartbeat_timeout", "upgrade_program"):
            if key in raw:
                yield Finding((key,), "key", "without effect: single_process is true", "take one of the two out")
    if _value(Config, raw, "group") and _value(Config, raw, "user") == "":
        yield Finding(("group",), "key", "without effect: there is no user", "add user, or take it out")


def _admin(raw: Raw) -> Iterator[Finding]:
    admin = _table(raw, "admin")
    address = _value(Admin, admin, "address")
    secrets = [key for key in ("token", "token_file") if admin.get(key, "off") != "off"]
    if len(secrets) == 2:
        yield Finding(("admin", "token"), "key", "token_file says it too", "take one of the two out")
    if "address" in admin and address is None:
        if admin["address"] == "off":
            for key in secrets:
                yield Finding(("admin", key), "key", 'without effect: address is "off"', "take it out")
        return
    if address.path is None and not is_loopback(address.host or "") and not secrets:
        message = f"{quoted(address.text)} can be reached from other machines, and there is no token"
        hint = f'write "127.0.0.1:{address.port}" or "unix:/run/weir-admin.sock", or add token_file = "/etc/weir/token"'
        yield Finding(("admin", "address"), "value", message, hint)
    if "address" in admin:
        for place, listener in _tables(raw, "listener"):
            taken = _value(Listener, listener, "address")
            if taken is not None and address.port != 0 and _same_place(address, taken):
                loc: Loc = ("admin", "address")
                yield Finding(loc, "value", "a listener has this address", also=("listener", place, "address"))


def _same_place(one: AddressPlan, other: AddressPlan) -> bool:
    if address_key(one) == address_key(other):
        return True
    everywhere = ("", "::", "0.0.0.0")
    return one.path is None and one.port == other.port and (one.host in everywhere or other.host in everywhere)


def _descriptions(raw: Raw) -> Iterator[Finding]:
    """Descriptions of APIs that nothing is counted by."""
    stats = _table(raw, "stats")
    everywhere = _value(Stats, stats, "paths")
    own = [(place, table, _value(Listener, table, "paths")) for place, table in _tables(raw, "listener")]
    tables: list[tuple[Loc, Raw, str]] = [
        (("listener", place), table, everywhere if paths == "stats" else paths) for place, table, paths in own
    ]
    if all(paths != "template" for _, _, paths in own):
        tables.insert(0, (("stats",), stats, everywhere))
    for loc, table, paths in tables:
        if paths == "exact" and table.get("openapi", OFF) not in (OFF, "stats"):
            message = 'without effect: paths is "exact", every path is counted by itself'
            yield Finding((*loc, "openapi"), "key", message, "take one of them out")


def _listener(loc: Loc, listener: Raw, seen: dict[tuple[str, int], Loc]) -> Iterator[Finding]:
    address: AddressPlan | None = _value(Listener, listener, "address")
    if address is not None:
        host, port = address_key(address)
        # All three take the port on every IPv4 address.
        key = ("" if host in ("::", "0.0.0.0") else host, port)
        if key in seen and port != 0:
            yield Finding((*loc, "address"), "value", "another listener has this address", also=(*seen[key], "address"))
        seen.setdefault(key, loc)
        if "unix_mode" in listener and address.path is None:
            message = f"without effect: {quoted(address.text)} is not a Unix socket"
            yield Finding((*loc, "unix_mode"), "key", message, "take it out")
        if "notsent_lowat" in listener and address.path is not None:
            yield Finding(
                (*loc, "notsent_lowat"), "key", "without effect: it is for TCP, not for Unix sockets", "take it out"
            )
    yield from _rates(loc, listener)
    max_head, max_target = _value(Listener, listener, "max_head"), _value(Listener, listener, "max_target")
    if "max_target" in listener and max_target and max_head and max_target > max_head:
        message = f"a target is a part of the head, and max_head is {_shown(max_head)}"
        yield Finding((*loc, "max_target"), "value", message, "raise max_head too")
    yield from _rate_limits(loc, listener)
    yield from _faults(loc, listener)


def _rate_limits(loc: Loc, owner: Raw) -> Iterator[Finding]:
    """Of a listener, or of a route."""
    limits, names, what = _tables(owner, "rate_limit"), dict[str, Loc](), loc[0]
    if len(limits) > MOST_RATE_LIMITS:
        here: Loc = (*loc, "rate_limit", limits[MOST_RATE_LIMITS][0])
        yield Finding(here, "key", f"a {what} has at most {MOST_RATE_LIMITS} rate limits", "take some out")
    for place, limit in limits:
        here = (*loc, "rate_limit", place)
        by, rate = _value(RateLimit, limit, "by"), _value(RateLimit, limit, "rate")
        name = _value(RateLimit, limit, "name") or (f"{by} {limit['rate']}" if by and rate else None)
        if name in names:
            message, written = f"another rate limit of this {what} is called {quoted(name)}", "name" in limit
            also: Loc = names[name]
            yield Finding((*here, "name" if written else "rate"), "value", message, "give it a name", also=also)
        elif name is not None:
            names[name] = (*here, "name" if "name" in limit else "rate")
        if by == "all" and "max_keys" in limit:
            yield Finding((*here, "max_keys"), "key", 'without effect: by is "all", there is one key', "take it out")
        delay = _value(RateLimit, limit, "delay")
        if rate is not None and delay and delay * rate[1] > MOST_WAIT_MS * rate[0]:
            message = f"the last of them would wait {format_duration(delay * rate[1] // rate[0])}, and 10m is the most"
            yield Finding((*here, "delay"), "value", message, f"write {MOST_WAIT_MS * rate[0] // rate[1]} or less")


def _faults(loc: Loc, listener: Raw) -> Iterator[Finding]:
    names: dict[str, Loc] = {}
    for place, fault in _tables(listener, "fault"):
        here: Loc = (*loc, "fault", place)
        kinds = {key: fault.get(key, OFF) != OFF for key in ("delay", "abort", "bandwidth")}
        if not any(kinds.values()):
            yield Finding(
                here, "key", "nothing is injected", 'add delay = "100ms", abort = 503, or bandwidth = "64KiB"'
            )
        for key, given in kinds.items():
            if f"{key}_percentage" in fault and any(kinds.values()) and not given:
                message = f"without effect: there is no {key}"
                yield Finding((*here, f"{key}_percentage"), "key", message, f"add {key}, or take it out")
        name = _value(Fault, fault, "name") or f"fault {place + 1}"
        if name in names:
            message = f"another fault of this listener is called {quoted(name)}"
            yield Finding((*here, "name"), "value", message, also=names[name])
        names.setdefault(name, (*here, "name"))


def _rates(loc: Loc, listener: Raw) -> Iterator[Finding]:
    rates = [_value(Listener, listener, key) for key in ("min_request_rate", "min_response_rate")]
    if "rate_grace" in listener and rates == [0, 0]:
        yield Finding((*loc, "rate_grace"), "key", "without effect: both rates are off", "take it out")


def _shown(size: int) -> str:
    shown = format_size(size)
    return quoted(shown) if isinstance(shown, str) else str(shown)


def _clusters(raw: Raw) -> Iterator[Finding]:
    names: dict[str, Loc] = {}
    for place, cluster in _tables(raw, "cluster"):
        loc: Loc = ("cluster", place)
        name = _value(Cluster, cluster, "name")
        if name in names:
            yield Finding((*loc, "name"), "value", "another cluster has this name", also=(*names[name], "name"))
        elif name is not None:
            names[name] = loc
        endpoints = _endpoints(cluster)
        yield from _cluster_endpoints(loc, cluster, endpoints)
        yield from balancing(loc, cluster, endpoints)
        yield from _pool((*loc, "pool"), _table(cluster, "pool"))
        yield from _health((*loc, "health"), _table(cluster, "health"))
        yield from _ejection((*loc, "ejection"), _table(cluster, "ejection"))
        yield from _overload(loc, cluster)
        retry = _table(cluster, "retry")
        yield from _retry(loc, cluster, retry)


def _retry(loc: Loc, cluster: Raw, retry: Raw) -> Iterator[Finding]:
    here, message = (*loc, "retry"), "without effect: attempts is 1, nothing is repeated"
    if _value(Retry, retry, "attempts") == 1:
        for key in ONLY_WITH_RETRIES:
            if key in retry:
                yield Finding((*here, key), "key", message, "take it out")
        if any(_value(Hedge, _table(cluster, "hedge"), "after") or ()):
            yield Finding((*loc, "hedge", "after"), "key", message, "take it out")
        return
    timeout = _value(Retry, retry, "attempt_timeout") or 0
    total = _value(Cluster, cluster, "response_header_timeout") or 0
    if timeout >= total > 0 and "response_header_timeout" in cluster:
        message = f"{quoted(format_duration(timeout))} for an attempt is not below response_header_timeout"
        yield Finding((*here, "attempt_timeout"), "value", message, "lower it, or raise response_header_timeout")
    if timeout and "timeout" not in (_value(Retry, retry, "on") or ("timeout",)):
        yield Finding(
            (*here, "attempt_timeout"),
            "key",
            'without effect: "timeout" is not in `on`',
            "take it out, or add it there",
        )


def _overload(loc: Loc, cluster: Raw) -> Iterator[Finding]:
    queue, limit, breaker = _table(cluster, "queue"), _table(cluster, "limit"), _table(cluster, "breaker")
    if _value(Queue, queue, "size") == 0:
        for key in ("timeout", "order"):
            if key in queue:
                yield Finding((*loc, "queue", key), "key", "without effect: the queue's size is 0", "take it out")
    least, most = _value(Limit, limit, "min"), _value(Limit, limit, "max")
    requests = _value(Limit, limit, "max_requests")
    # With "off" in the file the person knows.
    if "max_requests" not in limit or requests not in (ADAPTIVE, 0, None):
        for key in ("min", "max"):
            if key in limit:
                hint = 'write max_requests = "adaptive", or take it out'
                yield Finding((*loc, "limit", key), "key", "without effect: max_requests is not adaptive", hint)
    elif {"min", "max"} <= set(limit) and None not in (least, most) and least > most:
        yield Finding((*loc, "limit", "min"), "value", f"{least} is more than max, which is {most}", "lower it")
    if "failures" not in breaker:
        for key in breaker:
            if key in Breaker.model_fields:
                yield Finding((*loc, "breaker", key), "key", "without effect: no breaker", 'add failures = "50%"')


def _cluster_endpoints(loc: Loc, cluster: Raw, endpoints: list[tuple[int, AddressPlan]]) -> Iterator[Finding]:
    if cluster.get("endpoints") == []:
        yield Finding((*loc, "endpoints"), "value", "no endpoint", 'for example ["127.0.0.1:8081"]')
    seen: dict[tuple[str, int], Loc] = {}
    for place, address in endpoints:
        here: Loc = (*loc, "endpoints", place)
        key = address_key(address)
        if key in seen:
            yield Finding(here, "value", f"{quoted(address.text)} is there twice", also=seen[key])
        seen.setdefault(key, here)
    all_read = bool(endpoints) and len(endpoints) == len(cluster["endpoints"])
    if all_read and all(is_literal(address) for _, address in endpoints):
        for word in ("resolve", "resolve_interval", "nameservers"):
            if word in cluster:
                message = "without effect: no endpoint has a name to look up"
                yield Finding((*loc, word), "key", message, "take it out")


def _pool(loc: Loc, pool: Raw) -> Iterator[Finding]:
    min_idle, max_idle = _value(Pool, pool, "min_idle"), _value(Pool, pool, "max_idle")
    most = _value(Pool, pool, "max_connections")
    if "max_idle" in pool and None not in (max_idle, most) and max_idle > most:
        message = f"{max_idle} idle connections are more than max_connections, which is {most}"
        yield Finding((*loc, "max_idle"), "value", message, "raise max_connections or lower max_idle")
    if "max_idle" in pool and None not in (min_idle, max_idle) and min_idle > max_idle:
        message = f"{min_idle} idle connections are more than max_idle, which is {max_idle}"
        yield Finding((*loc, "min_idle"), "value", message, "raise max_idle or lower min_idle")
    if "max_idle" not in pool and None not in (min_idle, most) and min_idle > most:
        message = f"{min_idle} idle connections are more than max_connections, which is {most}"
        yield Finding((*loc, "min_idle"), "value", message, "raise max_connections or lower min_idle")


# What only a check by a request has.
OF_REQUESTS = ("path", "method", "host", "fields", "status", "body")


def _health(loc: Loc, health: Raw) -> Iterator[Finding]:
    # As with the access log: type = "off" in the file says that the person knows.
    if "type" not in health:
        for key in health:
            if key in Health.model_fields:
                yield Finding((*loc, key), "key", "without effect: no checks are made", 'add type = "http" or "tcp"')
        return
    if health["type"] == "tcp":
        for key in OF_REQUESTS:
            if key in health:
                message = 'without effect: type is "tcp", only a connection is made'
                yield Finding((*loc, key), "key", message, 'take it out, or write type = "http"')
    elif health.get("method") == "HEAD" and _value(Health, health, "body"):
        message = "the answer to HEAD has no body"
        yield Finding((*loc, "body"), "value", message, "take it out, or the method", also=(*loc, "method"))


def _ejection(loc: Loc, ejection: Raw) -> Iterator[Finding]:
    by_interval = ("error_rate", "latency")
    for key in ("interval", "min_requests"):
        if key in ejection and not any(_value(Ejection, ejection, cause) for cause in by_interval):
            message = "without effect: error_rate and latency are off"
            yield Finding((*loc, key), "key", message, "set one of them, or take it out")
    if not any(_value(Ejection, ejection, cause) for cause in ("failures", "errors_5xx", *by_interval)):
        for key in ("time", "max_time", "max_ejected"):
            if key in ejection:
                yield Finding((*loc, key), "key", "without effect: nothing ejects an endpoint", "take it out")
    time, most = _value(Ejection, ejection, "time"), _value(Ejection, ejection, "max_time")
    if "max_time" in ejection and None not in (time, most) and most < time:
        message = "the first ejection takes longer: that is time"
        yield Finding((*loc, "max_time"), "value", message, "raise max_time or lower time")
