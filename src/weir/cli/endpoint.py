"""`weir endpoint`: who is in a cluster and who gets requests, while weir runs."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from weir.cli.admin import admin_options, caller, failures

__all__ = ["command", "lines"]

SERVICE = "weir.v1.Endpoints"
HEADINGS = ("CLUSTER", "ENDPOINT", "STATE", "WEIGHT", "ACTIVE", "OPEN", "ATTEMPTS", "FAILURES", "FROM", "WHY")
FROM = {"ORIGIN_CONFIGURATION": "configuration", "ORIGIN_RUN_TIME": "added", "ORIGIN_NAME": "name"}

Member = dict[str, Any]


@click.group("endpoint")
def command() -> None:
    """Show who is in a cluster, and say who gets requests.

    All workers obey at once (a new endpoint: within a second). What is said here is kept over reloads and forgotten
    when weir ends.

    \b
    weir endpoint list
    weir endpoint drain app 127.0.0.1:8081
    weir endpoint add app 127.0.0.1:8083 --weight 5
    """


@command.command("list")
@click.argument("cluster", required=False, default="")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@admin_options
def show(cluster: str, as_json: bool, admin: str | None, token_file: Path | None, timeout: float) -> None:
    """Show the endpoints of CLUSTER, or of all."""
    with failures():
        answer = caller(admin, token_file, timeout).call(f"{SERVICE}/ListEndpoints", {"cluster": cluster})
        found = members(answer)
        click.echo(json.dumps(found, indent=2) if as_json else "\n".join(lines(found)))


@command.command()
@click.argument("cluster")
@click.argument("endpoint")
@click.option("--weight", type=click.IntRange(1, 1000), metavar="N", help="Its weight. [default: 1]")
@click.option("--drain", is_flag=True, help="It gets no requests until it is ordered ready.")
@admin_options
def add(
    cluster: str,
    endpoint: str,
    weight: int | None,
    drain: bool,
    admin: str | None,
    token_file: Path | None,
    timeout: float,
) -> None:
    """Add ENDPOINT, an address as in the configuration, to CLUSTER."""
    request = {"cluster": cluster, "endpoint": endpoint, "weight": weight or 0}
    request["order"] = "ORDER_DRAIN" if drain else "ORDER_READY"
    ask(admin, token_file, timeout, "AddEndpoint", request)


@command.command()
@click.argument("cluster")
@click.argument("endpoint")
@admin_options
def remove(cluster: str, endpoint: str, admin: str | None, token_file: Path | None, timeout: float) -> None:
    """Remove an ENDPOINT that was added; what it is working on ends as it would have."""
    ask(admin, token_file, timeout, "RemoveEndpoint", {"cluster": cluster, "endpoint": endpoint})


@command.command()
@click.argument("cluster")
@click.argument("endpoint")
@admin_options
def ready(cluster: str, endpoint: str, admin: str | None, token_file: Path | None, timeout: float) -> None:
    """Let ENDPOINT have requests again."""
    order("ORDER_READY", cluster, endpoint, admin, token_file, timeout)


@command.command()
@click.argument("cluster")
@click.argument("endpoint")
@admin_options
def drain(cluster: str, endpoint: str, admin: str | None, token_file: Path | None, timeout: float) -> None:
    """Give ENDPOINT no new requests, but those that a sticky cookie binds to it."""
    order("ORDER_DRAIN", cluster, endpoint, admin, token_file, timeout)


@command.command()
@click.argument("cluster")
@click.argument("endpoint")
@admin_options
def down(cluster: str, endpoint: str, admin: str | None, token_file: Path | None, timeout: float) -> None:
    """Give ENDPOINT no new requests at all."""
    order("ORDER_DOWN", cluster, endpoint, admin, token_file, timeout)


@command.command()
@click.argument("cluster")
@click.argument("endpoint")
@click.argument("weight", type=click.IntRange(0, 1000))
@admin_options
def weight(
    cluster: str, endpoint: str, weight: int, admin: str | None, token_file: Path | None, timeout: float
) -> None:
    """Give ENDPOINT the weight WEIGHT, 1 to 1000; 0: that of the configuration."""
    ask(admin, token_file, timeout, "ChangeEndpoint", {"cluster": cluster, "endpoint": endpoint, "weight": weight})


def order(word: str, cluster: str, endpoint: str, admin: str | None, token_file: Path | None, timeout: float) -> None:
    ask(admin, token_file, timeout, "ChangeEndpoint", {"cluster": cluster, "endpoint": endpoint, "order": word})


def ask(admin: str | None, token_file: Path | None, timeout: float, method: str, request: dict[str, Any]) -> None:
    """Calls, and shows what the endpoint is now."""
    with failures():
        answer = caller(admin, token_file, timeout).call(f"{SERVICE}/{method}", request)
        if "member" in answer:
            click.echo("\n".join(lines(members({"members": [answer["member"]]}))))


def members(answer: Any) -> list[Member]:
    """The members of an answer; AnswerError if it is none of the contract's."""
    from weir.cli.answers import AnswerError

    listed = answer.get("members", []) if isinstance(answer, dict) else None
    if not isinstance(listed, list) or not all(isinstance(one, dict) for one in listed):
        raise AnswerError("members is no list of objects")
    return listed


def lines(found: Sequence[Member]) -> list[str]:
    """A table of members, with its headings; numbers stand to the right."""
    from weir.cli.units import shown, width_of

    rows: list[tuple[str, ...]] = [HEADINGS]
    for one in found:
        numbers = (str(one.get(name, 0)) for name in ("active", "open", "attempts", "failures"))
        origin = str(one.get("origin", ""))
        names = (str(one.get(name, "")) for name in ("cluster", "endpoint", "state"))
        weight, why = str(one.get("weight", "")) or "-", shown(str(one.get("why", "")))
        rows.append((*map(shown, names), weight, *numbers, FROM.get(origin, shown(origin)), why))
    widths = [max(width_of(row[place]) for row in rows) for place in range(len(HEADINGS))]
    made = []
    for row in rows:
        cells = []
        for place, text in enumerate(row):
            space = " " * (widths[place] - width_of(text))
            cells.append(space + text if 3 <= place <= 7 else text + space)
        made.append("  ".join(cells).rstrip())
    return made
