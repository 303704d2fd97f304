"""`weir check`: is this configuration right, and what does it say."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from weir.cli.common import config_path_type, fail

if TYPE_CHECKING:
    from weir.config.plan import FaultPlan, ListenerPlan, Plan, RateLimitPlan

__all__ = ["command", "fault_text", "limit_text", "summary"]

MOST_DOUBLES = 10


@click.command()
@click.argument("path", required=False, type=config_path_type())
@click.option("-c", "--config", type=config_path_type(), help="The same as PATH.")
@click.option("--schema", is_flag=True, help="Print the JSON Schema of the configuration, for editors, and exit.")
def command(path: Path | None, config: Path | None, schema: bool) -> None:
    """Check a configuration file.

    What it sets up is printed.

    Every problem is printed, with file, line and column; exit status 2 if there is one.
    """
    if schema:
        _print_schema()
        return
    if path is not None and config is not None:
        raise click.UsageError("PATH and --config name the same thing: give one of them.")
    chosen = path or config
    if chosen is None:
        raise click.UsageError("Missing PATH: the configuration file to check.")

    from weir.config.compile import compile_plan
    from weir.config.errors import ConfigError
    from weir.config.load import load_file

    try:
        plan = compile_plan(load_file(chosen))
    except ConfigError as error:
        fail(str(error), status=2)
    click.echo(f"{chosen}: good")
    for line in summary(plan):
        click.echo(f"  {line}")


def _print_schema() -> None:
    import json

    from weir.config.load import schema

    click.echo(json.dumps(schema(), indent=2))


def summary(plan: Plan) -> list[str]:
    """What a plan sets up: a line for each listener, each cluster, and for whatever is not as it is by default."""
    lines = []
    for listener in plan.listeners:
        lines.append(f"listen on {listener.address.text}{_destination(plan, listener)}")
        lines += _rules(listener)
        lines += _actions(plan, listener)
    for cluster in plan.clusters:
        lines.append(f"{cluster.name}: {', '.join(endpoint.text for endpoint in cluster.endpoints)}")
    if plan.single_process:
        lines.append("one process, without a supervisor")
    elif plan.workers:
        lines.append(f"workers: {plan.workers}")
    if plan.admin.written:
        where = plan.admin.address.text if plan.admin.address is not None else "off"
        lines.append(f"admin: {where}{' (with a token)' if plan.admin.token else ''}")
    if plan.stats.page:
        lines.append(f"statistics page: {plan.stats.page}")
    lines += _counting("statistics", plan.stats.paths, plan.stats.openapi)
    for route in plan.routes:
        if route.paths != "stats" or route.openapi is not None:
            paths = plan.stats.paths if route.paths == "stats" else route.paths
            lines += _counting(f"statistics of {route.name}", paths, route.openapi)
    if plan.log.access != "off":
        lines.append(f"access log: {plan.log.access} ({plan.log.format})")
    return lines


def _destination(plan: Plan, listener: ListenerPlan) -> str:
    """Where a listener's requests go, in words."""
    from weir.config.plan import NO_ROUTER, NOWHERE

    routes = len(plan.routers[listener.router]) if listener.router != NO_ROUTER else 0
    cluster = plan.routes[listener.route].cluster
    parts = [f"{routes} route{'s' if routes > 1 else ''}"] if routes else []
    parts += [f"send {'the rest ' if routes else ''}to {plan.clusters[cluster].name}"] if cluster != NOWHERE else []
    return "".join(f", {part}" for part in parts)


def _rules(listener: ListenerPlan) -> list[str]:
    """A listener's rate limits and faults, in words."""
    lines = [f"  {limit_text(limit)}" for limit in listener.rate_limits]
    return lines + [f"  FAULT: {fault_text(fault)}" for fault in listener.faults]


def limit_text(limit: RateLimitPlan) -> str:
    """A rate limit in words."""
    from weir.config.limit_kinds import rate

    whom = {"client": "each client", "path": "each path", "all": "all requests together"}
    text = f"{whom.get(limit.by) or f'each value of {limit.by[6:]}'}: {rate().show(limit.rate)}"
    text += f", {limit.burst or limit.rate[0]} at once"
    text += f", {limit.delay} more wait" if limit.delay else ""
    return f"{text}{_whose(limit)}{'; counted only (dry run)' if limit.dry_run else ''}"


def fault_text(fault: FaultPlan) -> str:
    """An injected fault in words."""
    from weir.config.limit_kinds import abort, delay
    from weir.config.units import format_size

    parts = []
    if fault.delay_ms[1]:
        parts.append(f"{fault.delay_percent} % wait {delay().show(fault.delay_ms)}")
    if fault.abort:
        parts.append(f"{fault.abort_percent} % are {_aborted(abort().show(fault.abort))}")
    if fault.bandwidth_bytes:
        parts.append(f"{fault.bandwidth_percent} % get {format_size(fault.bandwidth_bytes)} a second")
    return f"{', '.join(parts)}{_whose(fault)}{f'; {fault.field}' if fault.field else ''}"


def _actions(plan: Plan, listener: ListenerPlan) -> list[str]:
    """What a listener's routes do beside sending requests on, a line for each that does; in words."""
    from weir.cli.actions import action_text
    from weir.config.plan import NO_ROUTER

    lines = []
    for match in plan.routers[listener.router] if listener.router != NO_ROUTER else ():
        text = action_text(plan, match.sides[0][0], match.path)
        lines += [f"  {match.name}: {text}"] if text else []
        lines += [f"  {match.name}: {limit_text(limit)}" for limit in plan.routes[match.sides[0][0]].rate_limits]
    return lines


def _aborted(how: object) -> str:
    return "reset" if how == "reset" else f"answered with {how}"


def _whose(rule: RateLimitPlan | FaultPlan) -> str:
    """Which requests a rule is about, if not all."""
    methods, prefix = " or ".join(rule.methods), f"{rule.prefix}..." if rule.prefix else ""
    return f"; {' '.join(filter(None, (methods, prefix)))}" if methods or prefix else ""


def _counting(what: str, paths: str, templates: tuple[str, ...] | None) -> list[str]:
    """How paths are counted, unless it is by the rule alone; with templates that never give their name to a series."""
    if paths == "exact":
        return [f"{what}: each path by itself"]
    if not templates:
        return []
    from weir.config.openapi import doubles

    found = doubles(templates)
    lines = [f"{what}: {len(templates)} path templates from descriptions"]
    lines += [f"  {template} is counted as {other}" for template, other in found[:MOST_DOUBLES]]
    return lines + ([f"  and {len(found) - MOST_DOUBLES} more are doubles"] if len(found) > MOST_DOUBLES else [])
