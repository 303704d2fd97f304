"""`weir explain`: what would become of a request."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from weir.cli.common import config_path_type, fail

if TYPE_CHECKING:
    from weir.config.action_plan import ActionPlan
    from weir.config.plan import ListenerPlan, Plan
    from weir.hooks import Hook

__all__ = ["command", "explain", "request_head"]

PORTS = {"http": 80, "https": 443}
MISMATCHES = {
    "methods": "its methods are others",
    "fields": "a field that it wants is not so",
    "query": "a parameter that it wants is not so",
    "clients": "it is for other clients",
}


@click.command()
@click.argument("method")
@click.argument("url")
@click.option("-H", "--header", "fields", multiple=True, metavar="FIELD", help="A request field: 'Name: value'.")
@click.option("--client", metavar="ADDRESS", default="127.0.0.1", help="Whom it comes from. [default: 127.0.0.1]")
@click.option("--at", metavar="ADDRESS", help="The listener that it comes to. [default: by the port of URL]")
@click.option("-c", "--config", type=config_path_type(), help="Configuration file, instead of --listen and --to.")
@click.option("-l", "--listen", multiple=True, metavar="ADDRESS", help="As in weir run.")
@click.option("-t", "--to", multiple=True, metavar="ADDRESS", help="As in weir run.")
@click.option("--hooks", metavar="FILE", help="As in weir run.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def command(
    method: str,
    url: str,
    fields: tuple[str, ...],
    client: str,
    at: str | None,
    config: Path | None,
    listen: tuple[str, ...],
    to: tuple[str, ...],
    hooks: str | None,
    as_json: bool,
) -> None:
    """Say what would become of a request.

    The route that it takes, rules and hooks that it meets, the cluster, its endpoints and limits. Nothing is sent, and
    no address is bound; the hooks file is imported, since only that says which hooks there are. Exit status 1 if the
    request would be refused.

    \b
    weir explain -c weir.toml GET http://api.example.com/users/7 -H "Cookie: beta=1"
    weir explain --listen :8080 --to 127.0.0.1:8081 --hooks app.py GET /admin
    """
    plan = _plan(config, listen, to, hooks)
    found = _hooks(plan)
    listener = _listener(plan, at, url)
    try:
        said = explain(plan, found, listener, request_head(method, url, fields), client)
    except ValueError as error:
        fail(str(error), status=2)
    if as_json:
        click.echo(json.dumps(said, indent=2))
    else:
        for line in _lines(said):
            click.echo(line)
    sys.exit(1 if said["refused"] else 0)


def explain(plan: Plan, hooks: Sequence[Hook[..., Any]], listener: int, head: bytes, client: str) -> dict[str, Any]:
    """What becomes of a request, in words and figures. ValueError if `client` is no address."""
    from weir.config.plan import NOWHERE
    from weir.control.worker import make_table, route_numbers
    from weir.plane.accesslog import AccessLog
    from weir.plane.counters import Counters
    from weir.plane.engine import Engine
    from weir.plane.plane import Plane
    from weir.reasons import REASONS

    memory = make_table(plan, 1)
    engine = Engine()
    try:
        numbers = route_numbers(memory, plan)
        counters, log = Counters(memory, 0), AccessLog("off", plan.log.buffer_bytes)
        plane = Plane(plan, engine, counters, log, bytes, 1, route_numbers=numbers, hooks=hooks)
        asked = plane.explain(listener, head, client)
    finally:
        engine.close()
    told = plan.listeners[listener]
    refused = REASONS[asked["refused"]]
    said: dict[str, Any] = {
        "request": head.partition(b"\r\n")[0].decode("utf-8", "backslashreplace"),
        "client": asked["client"],
        "listener": told.address.text,
        "refused": None,
        **_routes(plan, told, asked),
    }
    if asked["refused"]:
        said["refused"] = {"reason": refused.word, "status": refused.status, "text": refused.text}
    if "order" not in asked:
        return said
    said["statistics_page"] = asked["page"]
    said["rules"] = _rules(plan, told, asked)
    said["hooks"] = [
        {"phase": hooks[place].phase, "name": hooks[place].name, "on_error": hooks[place].on_error}
        for place in asked["hooks"]
    ]
    action = plan.routes[asked["route"]].action
    path = said["route"].get("path", "")
    said["edits"] = [] if action is None else _edits(plan, action, path)
    said["answer"] = _answer(action, path) if action is not None and asked["answers"] else None
    said["cluster"] = None if asked["cluster"] == NOWHERE else _cluster(plan, asked)
    said["limits"] = _limits(plan, told, asked)
    return said


def request_head(method: str, url: str, fields: Sequence[str] = ()) -> bytes:
    """The head that a client sends. What cannot be is not put right: weir says what it thinks of it."""
    target, host = _target(method, url)
    lines = [f"{method} {target} HTTP/1.1"]
    if not any(line.partition(":")[0].strip().lower() == "host" for line in fields):
        lines.append(f"Host: {host}")
    return os.fsencode("\r\n".join([*lines, *fields, "", ""]))


def _target(method: str, url: str) -> tuple[str, str]:
    """The target and the Host of a request for a URL; a path alone is asked of "localhost"."""
    if method == "CONNECT":
        return url, url
    scheme, there, rest = url.partition("://")
    if not there or scheme.lower() not in PORTS:
        return url.partition("#")[0], "localhost"
    end = min((place for place in map(rest.find, "/?#") if place >= 0), default=len(rest))
    target = rest[end:].partition("#")[0]
    return target if target.startswith("/") else f"/{target}", rest[:end].rpartition("@")[2]


def _plan(config: Path | None, listen: tuple[str, ...], to: tuple[str, ...], hooks: str | None) -> Plan:
    from weir.cli.run import check_usage, configuration
    from weir.config.compile import compile_plan
    from weir.config.errors import ConfigError

    if config is None and not listen and not to:
        raise click.UsageError("Say what is to be explained: --config FILE, or --listen ADDRESS --to ADDRESS.")
    check_usage(config, {"--listen": listen, "--to": to})
    settings: dict[tuple[str, ...], tuple[str, object]] = {("hooks",): ("--hooks", hooks)} if hooks else {}
    try:
        directory = os.path.abspath(config.parent if config is not None else "")
        return compile_plan(configuration(config, listen, to, None, None, None, settings), directory)
    except ConfigError as error:
        fail(str(error), status=2)


def _hooks(plan: Plan) -> Sequence[Hook[..., Any]]:
    from weir.control.errors import StartError
    from weir.control.worker import read_hooks
    from weir.hooks import Hook

    try:
        return [hook for hook in read_hooks(plan) if isinstance(hook, Hook)]
    except StartError as error:
        fail(str(error), status=2)


def _listener(plan: Plan, at: str | None, url: str) -> int:
    """The number of the listener that a request comes to."""
    texts = [listener.address.text for listener in plan.listeners]
    if at is not None:
        if at not in texts:
            fail(f"no listener is at {at!r}; there are {', '.join(texts)}", status=2)
        return texts.index(at)
    if len(texts) == 1:
        return 0
    scheme, there, rest = url.partition("://")
    port = rest.partition("/")[0].rpartition("@")[2].rpartition(":")[2]
    wanted = int(port) if port.isascii() and port.isdigit() else PORTS.get(scheme.lower(), 0)
    fit = [number for number, listener in enumerate(plan.listeners) if there and listener.address.port == wanted]
    if len(fit) != 1:
        fail(f"which listener it comes to is not clear: say --at with one of {', '.join(texts)}", status=2)
    return fit[0]


def _routes(plan: Plan, listener: ListenerPlan, asked: dict[str, Any]) -> dict[str, Any]:
    from weir.config.plan import NO_ROUTER

    matches = plan.routers[listener.router] if listener.router != NO_ROUTER else ()
    if asked["route"] is None:
        return {"route": None, "passed_over": []}
    route: dict[str, Any] = {"name": plan.routes[asked["route"]].name, "of": "listener"}
    passed = []
    for number, unmet in asked["tried"]:
        match = matches[number]
        if unmet:
            passed.append({"name": match.name, "unmet": unmet})
            continue
        route |= {"of": "route", "hosts": list(match.hosts), "path": match.path or "/*", "methods": list(match.methods)}
        if len(match.sides) > 1:
            route["split_by"] = match.split_by or "chance"
            route["sides"] = [{"name": plan.routes[side].name, "weight": weight} for side, weight in match.sides]
    return {"route": route, "passed_over": passed}


def _rules(plan: Plan, listener: ListenerPlan, asked: dict[str, Any]) -> list[dict[str, Any]]:
    from weir.cli.check import fault_text, limit_text
    from weir.stats.rules import rule_name

    rules = []
    limits = listener.rate_limits + plan.routes[asked["route"]].rate_limits
    for limit in (limits[place] for place in asked["limits"]):
        rules.append({"rate_limit": rule_name(limit), "says": limit_text(limit)})
    for place in asked["faults"]:
        fault = listener.faults[place]
        rules.append({"fault": rule_name(fault, place), "says": fault_text(fault)})
    return rules


def _edits(plan: Plan, action: ActionPlan, path: str) -> list[str]:
    """What a route changes of requests and responses, by its keys."""
    from weir.cli.actions import named
    from weir.config.phrases import write

    edits = []
    if action.strip_segments and not action.rewrite:
        segments = f"{action.strip_segments} segment{'s' if action.strip_segments > 1 else ''}"
        edits.append(f"strip_prefix: {segments} of the path")
    if action.add_prefix:
        edits.append(f"add_prefix: {action.add_prefix}")
    if action.rewrite:
        edits.append(f"rewrite: {write(named(action.rewrite, path))}{'/*' if action.rewrite_rest else ''}")
    if action.host:
        edits.append(f"host: {action.host}")
    for message, drops, lines in (
        ("request", action.request_drops, action.request_lines),
        ("response", action.response_drops, action.response_lines),
    ):
        edits += [f"{message}: without {name}" for name in drops]
        edits += [f"{message}: {name}: {write(named(value, path))}" for name, value in lines]
    if action.mirror >= 0:
        edits.append(f"mirror: {action.mirror_percent}% to {plan.clusters[action.mirror].name}")
    return edits


def _answer(action: ActionPlan, path: str) -> dict[str, Any]:
    """What a route answers by itself."""
    from weir.cli.actions import named
    from weir.config.phrases import write

    return {"status": action.status, "location": write(named(action.location, path)) or None}


def _cluster(plan: Plan, asked: dict[str, Any]) -> dict[str, Any]:
    cluster = plan.clusters[asked["cluster"]]
    known = {address.text: address for address in cluster.endpoints}
    endpoints = []
    for text in asked["order"]:
        address = known[text]
        weight, priority = getattr(address, "weight", 1), getattr(address, "priority", 0)
        endpoints.append({"endpoint": text, "weight": weight, "priority": priority})
    return {
        "name": cluster.name,
        "policy": f"hash {cluster.hash_by}" if cluster.policy == "hash" else cluster.policy,
        "sticky_cookie": cluster.sticky.cookie or None,
        "host": cluster.host or None,
        "endpoints": endpoints,
        "not_looked_up": [address.text for address in cluster.endpoints if cluster.stands_for_several(address)],
    }


def _limits(plan: Plan, listener: ListenerPlan, asked: dict[str, Any]) -> dict[str, object]:
    """By their keys in the configuration."""
    from weir.config.plan import ADAPTIVE, NOWHERE
    from weir.config.units import format_duration, format_size

    limits: dict[str, object] = {
        "max_body": format_size(plan.routes[asked["route"]].max_body_bytes) or "none",
        "max_head": format_size(listener.max_head_bytes),
        "send_timeout": format_duration(listener.send_timeout_ms),
    }
    if asked["cluster"] == NOWHERE:
        return limits
    cluster = plan.clusters[asked["cluster"]]
    most = cluster.limit.max_requests
    return limits | {
        "connect_timeout": format_duration(cluster.connect_timeout_ms),
        "response_header_timeout": format_duration(cluster.response_header_timeout_ms),
        "stream_idle_timeout": format_duration(cluster.stream_idle_timeout_ms),
        "queue.size": cluster.queue.size,
        "queue.timeout": format_duration(cluster.queue.timeout_ms),
        "limit.max_requests": "adaptive" if most == ADAPTIVE else most or "none",
        "retry.attempts": cluster.retry.attempts,
        "retry.on": ", ".join(cluster.retry.on) or "off",
    }


def _lines(said: dict[str, Any]) -> list[str]:
    """For people: what comes in a row's first column stands there once."""
    from weir.cli.units import shown

    rows = [("request", f"{said['request']}, from {said['client']}"), ("listener", said["listener"])]
    rows += [("passed over", f"{one['name']}: {MISMATCHES[one['unmet']]}") for one in said["passed_over"]]
    if said["route"] is not None:
        rows.append(("route", _route_text(said["route"])))
    if said["refused"]:
        refused = said["refused"]
        rows.append(("refused", f"{refused['status'] or 'no answer'}, {refused['reason']}: {refused['text']}"))
    if said.get("statistics_page"):
        rows.append(("answer", "the statistics page: what follows is not met"))
    rows += [("rate limit" if "rate_limit" in rule else "fault", rule["says"]) for rule in said.get("rules", ())]
    rows += [(f"hook, {hook['phase']}", hook["name"]) for hook in said.get("hooks", ())]
    rows += [("edit", edit) for edit in said.get("edits", ())]
    if said.get("answer"):
        location = said["answer"]["location"]
        rows.append(("answer", f"{said['answer']['status']}{f', Location: {location}' if location else ''}"))
    if said.get("cluster"):
        rows += _cluster_rows(said["cluster"])
    rows += [("limit", f"{name} = {value}") for name, value in said.get("limits", {}).items()]
    lines, before = [], ""
    for name, text in rows:
        lines.append(f"{name if name != before else '':<18}{shown(text)}")
        before = name
    return lines


def _route_text(route: dict[str, Any]) -> str:
    if route["of"] == "listener":
        return f"{route['name']} (the listener's own)"
    parts = [" ".join(route["methods"]), "|".join(route["hosts"]) + route["path"]]
    text = f"{route['name']} ({' '.join(filter(None, parts))})"
    if "sides" in route:
        sides = ", ".join(f"{side['name']} {side['weight']}" for side in route["sides"])
        text += f"; by {route['split_by']} of {sides}"
    return text


def _cluster_rows(cluster: dict[str, Any]) -> list[tuple[str, str]]:
    rows = [("cluster", f"{cluster['name']}, {cluster['policy']}")]
    if cluster["sticky_cookie"]:
        rows.append(("cluster", f"bound by the cookie {cluster['sticky_cookie']}"))
    rows += [
        ("endpoint", f"{one['endpoint']}, weight {one['weight']}, priority {one['priority']}")
        for one in cluster["endpoints"]
    ]
    return rows + [("endpoint", f"{text}: whatever the name stands for") for text in cluster["not_looked_up"]]
