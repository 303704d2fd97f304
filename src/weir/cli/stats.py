"""`weir stats`: what was counted, as a table, one path in full, JSON, CSV or a saved snapshot."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from weir.cli.admin import (
    MomentType,
    admin_options,
    caller,
    colourful,
    columns,
    failures,
    filter_of,
    filter_options,
)
from weir.cli.common import fail
from weir.cli.table import SORTS

if TYPE_CHECKING:
    from weir.cli.answers import Answer
    from weir.cli.call import Caller
    from weir.cli.table import Line

__all__ = ["command", "report"]

DEFAULT_LIMIT = 40
# A stream may be silent for an interval; so much later it is taken for lost.
GRACE_S = 10.0


@click.command()
@click.argument("path", required=False)
@click.option(
    "-s", "--sort", type=click.Choice(list(SORTS)), default="count", show_default=True, help="The greatest comes first."
)
@click.option("-r", "--reverse", is_flag=True, help="The smallest comes first.")
@click.option(
    "-n",
    "--limit",
    type=click.IntRange(1, 10_000),
    default=DEFAULT_LIMIT,
    show_default=True,
    metavar="N",
    help="Most series to show.",
)
@filter_options
@click.option(
    "--since", type=MomentType("parse_since"), metavar="WHEN", help="Count from then on: 15m, 21:30, 2026-11-24T21:30."
)
@click.option(
    "-w",
    "--watch",
    type=MomentType("parse_interval"),
    is_flag=False,
    flag_value="2s",
    metavar="[INTERVAL]",
    help="Again and again: what was counted in each interval (2s).",
)
@click.option("--json", "form", flag_value="json", help="Print JSON.")
@click.option("--csv", "form", flag_value="csv", help="Print CSV.")
@click.option("--save", type=click.Path(path_type=Path), metavar="FILE", help="Save a snapshot, for weir diff.")
@click.option("--endpoints", is_flag=True, help="Show the endpoints with their health, and how it has changed.")
@click.option("--rules", is_flag=True, help="Rate limits and injected faults, with what they have counted.")
@click.option("--hooks", is_flag=True, help="Python hooks: their calls, failures and times.")
@click.option("--reset", is_flag=True, help="Let counting begin anew, for everybody who asks without --since.")
@click.option("--retries", is_flag=True, help="Show what was decided about further attempts, by cluster.")
@click.option("--clusters", is_flag=True, help="How busy clusters are, and how their endpoints were chosen.")
@admin_options
def command(
    path: str | None,
    sort: str,
    reverse: bool,
    limit: int,
    route: str,
    prefix: str,
    contains: str,
    since: dict[str, str] | None,
    watch: float | None,
    form: str | None,
    save: Path | None,
    endpoints: bool,
    rules: bool,
    hooks: bool,
    reset: bool,
    retries: bool,
    clusters: bool,
    admin: str | None,
    token_file: Path | None,
    timeout: float,
) -> None:
    """Show what was counted for each path, or all about PATH.

    \b
    weir stats --sort p99 --since 15m
    weir stats /users/{id}
    weir stats --endpoints
    weir stats --admin unix:/run/weir-admin.sock --json
    """
    if endpoints and (path or since or watch or form == "csv" or save or reset or contains or prefix or route):
        raise click.UsageError("--endpoints stands alone, or with --json: it is not about paths.")
    _check_usage(path, since, watch, form, save, reset, contains or prefix)
    if (rules or hooks) and (path or since or watch or form or save or reset or contains or prefix or route):
        what = "what rate limits and faults have counted" if rules else "what hooks have done"
        raise click.UsageError(f"--{'rules' if rules else 'hooks'} stands alone: {what} is not by path.")
    calling = caller(admin, token_file, timeout)
    if retries or clusters:
        alone = not (path or since or watch or form or save or reset or contains or prefix or (retries and clusters))
        _show_by_cluster(calling, "--clusters" if clusters else "--retries", alone=alone)
        return
    chosen = filter_of(route, prefix, contains, path or "")
    request: dict[str, Any] = {"filter": chosen, "sort": SORTS[sort], "reverse": reverse, "limit": limit}
    request["histograms"] = path is not None
    with failures():
        if endpoints:
            _endpoints(calling, form)
        elif reset:
            _reset(calling)
        elif rules:
            from weir.cli.rules import rule_lines

            click.echo("\n".join(rule_lines(calling.call("GetStatus", {}))))
        elif hooks:
            from weir.cli.hooks import hook_lines

            click.echo("\n".join(hook_lines(calling.call("GetStatus", {}))))
        elif save is not None:
            _save(calling, save, chosen, since or {})
        elif watch is not None:
            _watch(calling, request, watch, path, sort, form)
        else:
            from weir.cli.answers import answer_of

            answer = answer_of(calling.call("GetStats", request | (since or {})))
            if path is not None and not answer.rows:
                _nothing_there(calling, path)
            click.echo("\n".join(report(answer, path, sort, form)))


def _show_by_cluster(calling: Caller, option: str, *, alone: bool) -> None:
    from weir.cli.clusters import cluster_lines
    from weir.cli.retries import retry_lines

    if not alone:
        raise click.UsageError(f"{option} stands alone: it is counted by cluster, since the start.")
    with failures():
        status = calling.call("GetStatus", {})
        click.echo("\n".join(cluster_lines(status) if option == "--clusters" else retry_lines(status)))


def _check_usage(
    path: str | None,
    since: dict[str, str] | None,
    watch: float | None,
    form: str | None,
    save: Path | None,
    reset: bool,
    narrowed: str,
) -> None:
    if path is not None and narrowed:
        raise click.UsageError("PATH is one path exactly; --filter and --prefix choose among many: give one of them.")
    if watch is not None and since is not None:
        raise click.UsageError("--watch counts in intervals: it has no --since.")
    if save is not None and (watch is not None or form):
        raise click.UsageError("--save has its own form and is made once: without --watch, --json and --csv.")
    if reset and (path or since or watch or form or save or narrowed):
        raise click.UsageError("--reset stands alone: counting begins anew for all series.")


def _endpoints(calling: Caller, form: str | None) -> None:
    import json

    from weir.cli.health import changes_of, endpoints_of, health_lines, panics_of
    from weir.cli.table import ansi, plain

    message = calling.call("GetStatus", {})
    if form == "json":
        made: dict[str, Any] = {"endpoints": [row._asdict() for row in endpoints_of(message)]}
        made["changes"] = [row._asdict() for row in changes_of(message)]
        made["panics"] = panics_of(message)
        click.echo(json.dumps(made, indent=2))
        return
    lines = health_lines(message)
    click.echo("\n".join(ansi(lines) if colourful() else plain(lines)))


def _reset(calling: Caller) -> None:
    from weir.cli.answers import moment_of
    from weir.cli.moments import clock_text

    since = moment_of(calling.call("ResetStats", {}), "since")
    click.echo(f"counting begins at {clock_text(since)}")


def _save(calling: Caller, path: Path, chosen: dict[str, str], since: dict[str, str]) -> None:
    from weir.cli.answers import answer_of
    from weir.cli.snapshots import fetch, save

    snapshot = fetch(calling, chosen, since)
    answer = answer_of(snapshot["stats"])
    try:
        save(path, snapshot)
    except OSError as error:
        fail(f"{path}: {error.strerror}", status=1)
    if answer.matched > len(answer.rows):
        click.echo(
            f"weir: only {len(answer.rows)} of {answer.matched} series: choose with --route or --prefix", err=True
        )
    click.echo(f"{path}: {len(answer.rows)} series, {answer.total.requests} requests")


def _nothing_there(calling: Caller, path: str) -> None:
    """Ends the command; says which paths are like the one that is not there."""
    from weir.cli.answers import answer_of
    from weir.cli.units import shown

    text = path.rstrip("/").rpartition("/")[2]
    request = {"filter": {"contains": text}, "sort": SORTS["count"], "limit": 5}
    near = answer_of(calling.call("GetStats", request)).rows if text else ()
    lines = [f"nothing was counted for {shown(path)}", *(f"  there is {shown(row.path)}" for row in near)]
    fail("\n".join([*lines, "an identifier may be counted under a template: weir stats --filter TEXT"]), status=1)


def _watch(
    calling: Caller, request: dict[str, Any], interval: float, path: str | None, sort: str, form: str | None
) -> None:
    from weir.cli.answers import AnswerError, answer_of

    request["interval"] = f"{interval:.3f}s"
    live = columns() is not None and form is None
    try:
        for nth, message in enumerate(calling.watch("WatchStats", request, interval + GRACE_S)):
            stats = message.get("stats")
            if not isinstance(stats, dict):
                raise AnswerError("stats is missing")
            lines = report(answer_of(stats), path, sort, form, nth)
            # Home, and clear what is below: a terminal that is overwritten in place does not flicker.
            text = (
                "\x1b[H" + "".join(f"{line}\x1b[K\n" for line in lines) + "\x1b[J" if live else "\n".join(lines) + "\n"
            )
            click.echo(("\x1b[2J" if live and nth == 0 else "") + text, nl=form is None and not live)
    except KeyboardInterrupt:
        pass


def report(answer: Answer, path: str | None, sort: str, form: str | None, nth: int | None = None) -> list[str]:
    """The lines that are printed for an answer: `form` is json, csv or None.

    `nth` numbers the answers of a watch from 0: each is one line of JSON, and CSV has one heading.
    """
    from weir.cli.exports import csv_lines, json_lines

    if form == "json":
        return json_lines(answer, compact=nth is not None)
    if form == "csv":
        return csv_lines(answer, heading=not nth)
    from weir.cli.table import ansi, plain

    lines = list(_readable(answer, path, sort, columns()))
    return ansi(lines) if colourful() else plain(lines)


def _readable(answer: Answer, path: str | None, sort: str, width: int | None) -> Iterator[Line]:
    from weir.cli.detail import detail
    from weir.cli.moments import clock_text
    from weir.cli.table import other_lines, table
    from weir.cli.units import percent_text, time_text

    if path is not None:
        for number, row in enumerate(answer.rows):
            yield from [[]] * (number > 0)
            yield from detail(row, answer.seconds, answer.relative_error, width)
        return
    yield from table(answer, width, sort=sort)
    yield []
    for line in other_lines(answer):
        yield [(line, "dim")]
    series = f"{len(answer.rows)} of {answer.matched} series" if len(answer.rows) < answer.matched else "all series"
    since, length = clock_text(answer.since), time_text(answer.seconds * 1e6)
    yield [(f"{series}, since {since} ({length}); times within {percent_text(answer.relative_error)} %", "dim")]
