"""`weir diff`: which paths have become slower, faster, or fail more or less often, beyond noise."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from weir.cli.admin import admin_options, caller, colourful, columns, failures, filter_of, filter_options
from weir.cli.common import fail

if TYPE_CHECKING:
    from weir.cli.answers import Row
    from weir.cli.call import Caller
    from weir.cli.comparison import Comparison, Finding
    from weir.cli.table import Line
    from weir.stats.compare import Interval

__all__ = ["Side", "command", "lines_of", "read_side", "without_overlap"]

# With --exit-code: neither 1 (it failed) nor 2 (used wrongly).
CHANGED = 3
# Of changes within a bucket, which are many when requests are: shown without --all.
SMALL_SHOWN = 5


class Side(NamedTuple):
    """What is compared: `started` tells instances apart; times are seconds since 1970."""

    name: str
    started: float
    since: float
    taken: float
    rows: tuple[Row, ...]
    left_out: int = 0


class SpanCommand(click.Command):
    """A span may begin with a minus, as in -2h..-1h, and is no option then."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Without that minus, which changes nothing: a duration is always ago."""
        return super().parse_args(ctx, [re.sub(r"^-(?=\d\S*\.\.)", "", text) for text in args])


@click.command(cls=SpanCommand)
@click.argument("before", metavar="A")
@click.argument("after", metavar="[B]", required=False)
@filter_options
@click.option(
    "-q",
    "--rate",
    type=click.FloatRange(0, 0.5, min_open=True),
    default=0.05,
    show_default=True,
    help="False discovery rate: which share of what is named may be chance.",
)
@click.option(
    "--all", "everything", is_flag=True, help="Also all changes that are smaller than the histogram's buckets."
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.option("--exit-code", is_flag=True, help=f"Exit with {CHANGED} if something has changed.")
@admin_options
def command(
    before: str,
    after: str | None,
    contains: str,
    prefix: str,
    route: str,
    rate: float,
    everything: bool,
    as_json: bool,
    exit_code: bool,
    admin: str | None,
    token_file: Path | None,
    timeout: float,
) -> None:
    """Name the paths that have changed beyond noise.

    Which have become slower or faster, or fail more or less often, from A to B.
    A and B are each a file of weir stats --save, a span of time FROM..TO of the instance at --admin, or the admin
    address of an instance. Without B: what that instance has counted since.

    \b
    weir diff before.json
    weir diff 2h..1h 1h..
    weir diff 10.0.0.1:8079 10.0.0.2:8079
    """
    calling = caller(admin, token_file, timeout)
    chosen = filter_of(route, prefix, contains)

    from weir.cli.comparison import compare

    with failures():
        first = read_side(before, calling, chosen)
        second = read_side(after, calling, chosen) if after is not None else running(calling, chosen)
        first, second, warnings = without_overlap(first, second)
        for side in (first, second):
            if side.left_out:
                warnings.append(f"{side.name}: {side.left_out} series more; choose with --route or --prefix")
        try:
            result = compare(first.rows, second.rows, rate)
        except ValueError as error:
            fail(str(error), status=1)
        for warning in warnings:
            click.echo(f"weir: {warning}", err=True)
        if as_json:
            click.echo(json_text(first, second, result, warnings))
        else:
            from weir.cli.table import ansi, plain

            lines = lines_of(first, second, result, columns(), everything=everything)
            click.echo("\n".join(ansi(lines) if colourful() else plain(lines)))
    sys.exit(CHANGED if exit_code and result.findings else 0)


def read_side(text: str, calling: Caller, chosen: dict[str, str]) -> Side:
    """What A or B means: a file that is there, a span of time, or an address."""
    from weir.cli.call import parse_target
    from weir.cli.moments import parse_span
    from weir.cli.snapshots import SnapshotError, load

    if Path(text).is_file():
        try:
            return side_of(text, load(Path(text)), chosen)
        except SnapshotError as error:
            fail(str(error), status=1)
    if ".." in text and "/" not in text:
        try:
            return span(calling, chosen, *parse_span(text))
        except ValueError as error:
            raise click.BadParameter(str(error), param_hint="A or B") from None
    try:
        target = parse_target(text)
    except ValueError as error:
        raise click.BadParameter(
            f"{text!r} is no file, no span of time such as 2h..1h, and no address: {error}", param_hint="A or B"
        ) from None
    return running(calling.to(target), chosen)


def running(calling: Caller, chosen: dict[str, str]) -> Side:
    """All that an instance has counted."""
    from weir.cli.snapshots import fetch

    return side_of(calling.target.text, fetch(calling, chosen, {}), {})


def side_of(name: str, snapshot: dict[str, Any], chosen: dict[str, str]) -> Side:
    """A snapshot's series; of a file's, those that are asked for."""
    from weir.cli.answers import answer_of, moment_of

    answer = answer_of(snapshot["stats"])
    rows = tuple(
        row
        for row in answer.rows
        if chosen.get("route", row.route) == row.route
        and row.path.startswith(chosen.get("prefix", ""))
        and chosen.get("contains", "").casefold() in row.path.casefold()
    )
    left_out = answer.matched - len(answer.rows)
    return Side(name, moment_of(snapshot["status"], "started"), answer.since, answer.taken, rows, max(left_out, 0))


def span(calling: Caller, chosen: dict[str, str], start: float, end: float | None) -> Side:
    """What was counted between two moments: all since the first, less all since the second, unless that is now."""
    from weir.cli.answers import moment_text
    from weir.cli.comparison import minus
    from weir.cli.snapshots import fetch

    whole = side_of(calling.target.text, fetch(calling, chosen, {"since": moment_text(start)}), {})
    if end is None:
        return whole
    later = side_of(calling.target.text, fetch(calling, chosen, {"since": moment_text(end)}), {})
    return whole._replace(taken=later.since, rows=minus(whole.rows, later.rows))


def without_overlap(first: Side, second: Side) -> tuple[Side, Side, list[str]]:
    """Both sides, the later without what it shares with the earlier, if that can be taken out; else a warning."""
    from weir.cli.comparison import minus

    if not first.started or first.started != second.started:
        return first, second, []
    if first.since == second.since and first.taken != second.taken:
        # Counted from the same moment: the later one contains the earlier one.
        if second.taken > first.taken:
            return first, second._replace(since=first.taken, rows=minus(second.rows, first.rows)), []
        return first._replace(since=second.taken, rows=minus(first.rows, second.rows)), second, []
    if first.since < second.taken and second.since < first.taken:
        return first, second, ["A and B have some of the same requests: differences are understated"]
    return first, second, []


def lines_of(
    first: Side, second: Side, result: Comparison, width: int | None, *, everything: bool = False
) -> list[Line]:
    """A line for each finding, and what was tested."""
    from weir.cli.units import percent_text, shown

    lines: list[Line] = [side_line("A", first), side_line("B", second), []]
    large = [finding for finding in result.findings if not finding.within_a_bucket]
    small = [finding for finding in result.findings if finding.within_a_bucket]
    shown_small = small if everything else small[:SMALL_SHOWN]
    several = len({finding.route for finding in result.findings}) > 1
    if result.findings:
        head = f"{'':12}  {'A':>7}  {'B':>7}  {'FACTOR':23}  {'Q':>7}  PATH"
        lines.append([(head, "head")])
        lines += [finding_line(finding, width, several) for finding in large]
        if shown_small:
            lines.append(
                [("less than a bucket of the histogram (9 %): a change, but how much it is, is not sure", "dim")]
            )
            lines += [finding_line(finding, width, several) for finding in shown_small]
        if len(small) > len(shown_small):
            lines.append([(f"and {len(small) - len(shown_small)} more so small: --all", "dim")])
        lines.append([])
    else:
        lines += [[("no change beyond noise", "")], []]
    tested = (
        f"{result.compared} series in both, {result.tests} tests; false discovery rate {percent_text(result.rate)} %"
    )
    lines.append([(tested, "dim")])
    for word, paths in (("A", result.only_before), ("B", result.only_after)):
        if paths:
            some = ", ".join(shown(path) for path in paths[:3])
            lines.append([(f"only in {word}: {len(paths)} series: {some}{', ..' if len(paths) > 3 else ''}", "dim")])
    return lines


def side_line(letter: str, side: Side) -> Line:
    from weir.cli.moments import clock_text
    from weir.cli.units import count_text, shown

    requests = count_text(sum(row.requests for row in side.rows))
    span = f"{clock_text(side.since)} to {clock_text(side.taken)}"
    return [(f"{letter}  ", "head"), (f"{shown(side.name)}, {span}, {requests} requests", "")]


def finding_line(finding: Finding, width: int | None, with_route: bool) -> Line:
    from weir.cli.comparison import SHARES
    from weir.cli.units import elided, percent_text, shown, time_text

    if finding.kind in SHARES:
        before, after = (f"{percent_text(side.value)} %" for side in (finding.before, finding.after))
        change = f"{percent_text(finding.before.low)}-{percent_text(finding.before.high)}"
        change += f" % > {percent_text(finding.after.low)}-{percent_text(finding.after.high)} %"
    else:
        before, after = (time_text(side.value) for side in (finding.before, finding.after))
        change = factor_text(finding.factor)
    figures = f"  {before:>7}  {after:>7}  {change:23}  {finding.adjusted_p:7.0e}  "
    path = f"{shown(finding.route)} {shown(finding.path)}" if with_route else shown(finding.path)
    worse = finding.word.startswith(("slower", "more"))
    left = None if width is None else max(width - 12 - len(figures), 10)
    return [
        (f"{finding.word:12}", "bad" if worse else "good"),
        (figures, ""),
        (path if left is None else elided(path, left), ""),
    ]


def factor_text(factor: Interval | None) -> str:
    if factor is None:
        return ""
    low = f"{factor.low:.2f}" if factor.low > 0 else "?"
    high = f"{factor.high:.2f}" if factor.high < float("inf") else "?"
    return f"x{factor.value:.2f} ({low}-{high})"


def json_text(first: Side, second: Side, result: Comparison, warnings: list[str]) -> str:
    """All findings, in full; an infinite bound is null."""
    import json
    import math

    from weir.cli.answers import moment_text

    def bounds(interval: Interval | None) -> list[float | None] | None:
        if interval is None:
            return None
        return [bound if math.isfinite(bound) else None for bound in interval]

    sides = {
        letter: {
            "name": side.name,
            "since": moment_text(side.since),
            "taken": moment_text(side.taken),
            "requests": sum(row.requests for row in side.rows),
        }
        for letter, side in (("a", first), ("b", second))
    }
    findings = [
        finding._asdict() | {name: bounds(getattr(finding, name)) for name in ("before", "after", "factor")}
        for finding in result.findings
    ]
    whole = sides | {
        "false_discovery_rate": result.rate,
        "tests": result.tests,
        "compared": result.compared,
        "findings": findings,
        "only_in_a": result.only_before,
        "only_in_b": result.only_after,
        "warnings": warnings,
    }
    return json.dumps(whole, indent=2)
