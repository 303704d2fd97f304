"""The screen of `weir top` as lines of pieces of text, from its state; who draws them is `screen`."""

from __future__ import annotations

from typing import Final

from weir.cli.answers import Status
from weir.cli.detail import detail
from weir.cli.table import Line, cut, other_lines, plain, table
from weir.cli.topstate import SORT_KEYS, Top
from weir.cli.units import bytes_text, count_text, elided, shown, time_text, width_of

__all__ = ["HEAD_LINES", "draw"]

# Above the table: three of the head, and one that says what is filtered or wrong. Below it: one of keys.
HEAD_LINES: Final = 4
KEYS: Final = "?help  /filter  <>sort  r reverse  Enter path  space pause  +- interval  q quit"
KEYS_OF_ONE: Final = "Esc back  up down scroll  space pause  +- interval  ?help  q back  Q quit"

HELP: Final = (
    ("up, down, PgUp, PgDn, Home, End", "choose a series"),
    ("Enter", "show it in full: histogram, ledger, reasons"),
    ("Esc", "back to the table; without the filter"),
    ("/", "only paths that contain a text; Enter takes it, Esc leaves it as it was"),
    ("< > F6", "sort by the column before, or after"),
    ("r", "the other way round"),
    ("space", "hold the picture, and go on"),
    ("+ -", "shorter intervals, longer intervals"),
    ("q F10", "quit"),
)


def draw(top: Top, where: str, width: int, height: int) -> list[Line]:
    """At most `height` lines of at most `width` columns. Sets what of the state depends on the height."""
    body_height = max(height - HEAD_LINES - 1, 1)
    top.height = max(body_height - 1, 1)
    if top.help:
        body = help_lines()
    elif top.path is not None:
        body = one_series(top, width)
        top.scroll = max(0, min(top.scroll, len(body) - body_height))
        body = body[top.scroll :]
    else:
        body = table_lines(top, width)
    lines = [*head(top, where, width), note(top, width), *body[:body_height]]
    lines += [[] for _ in range(HEAD_LINES + body_height - len(lines))]
    keys = KEYS if top.path is None else KEYS_OF_ONE
    lines.append([(keys[:width].ljust(width), "keys")])
    return [cut(line, width) for line in lines[:height]]


def head(top: Top, where: str, width: int) -> list[Line]:
    status = top.status
    name = f"weir {shown(status.version)}" if status else "weir"
    state = "PAUSED" if top.paused else f"every {top.interval:g}s"
    up = f"  up {time_text((status.taken - status.started) * 1e6)}" if status else ""
    first = elided(f"{name}  {shown(where)}{up}", max(width - len(state) - 2, 8))
    gap = " " * max(width - width_of(first) - len(state), 1)
    return [
        [(first, "head"), (gap, ""), (state, "bad" if top.paused else "dim")],
        totals(top),
        sizes(status),
    ]


def totals(top: Top) -> Line:
    if top.answer is None:
        return [("waiting for the first answer", "dim")]
    total, seconds = top.answer.total, top.answer.seconds or 1.0
    errors, failed = total.errors / seconds, total.statuses[4] / seconds
    times = total.total
    p50, p99 = (time_text(us) if times.samples else "-" for us in (times.p50_us, times.p99_us))
    return [
        ("requests ", "dim"),
        (f"{count_text(total.rate)}/s", "head"),
        ("  errors ", "dim"),
        (f"{count_text(round(errors, 2))}/s", "bad" if errors else ""),
        ("  5xx ", "dim"),
        (f"{count_text(round(failed, 2))}/s", "bad" if failed else ""),
        ("  sent ", "dim"),
        (f"{bytes_text(total.response_bytes / seconds)}/s", ""),
        ("  p50 ", "dim"),
        (p50, "head"),
        ("  p99 ", "dim"),
        (p99, "head"),
    ]


def sizes(status: Status | None) -> Line:
    if status is None:
        return []
    return [
        ("workers ", "dim"),
        (f"{status.workers}", ""),
        ("  connections ", "dim"),
        (f"{count_text(status.downstream)}", ""),
        (f", {count_text(status.exchanges)} in progress", ""),
        ("  upstream ", "dim"),
        (f"{count_text(status.upstream_open)} open, {count_text(status.upstream_idle)} idle", ""),
        (f", {count_text(status.waiting)} waiting", "bad" if status.waiting else ""),
        ("  series ", "dim"),
        (f"{status.rows_taken} of {status.rows}", ""),
    ]


def note(top: Top, width: int) -> Line:
    """What is wrong, or what is typed, or what is left out."""
    if top.editing is not None:
        # The end of what is typed is what counts.
        return [("/", "head"), (shown(top.editing)[-(width - 3) :], ""), ("_", "head")]
    if top.problem:
        return [(elided(shown(top.problem), width), "bad")]
    said = []
    if top.route:
        said.append(f"route {top.route}")
    if top.prefix:
        said.append(f"paths that begin with {top.prefix}")
    if top.contains:
        said.append(f"paths with {top.contains} in them")
    text = "only " + ", ".join(said) + "; the totals are theirs. " if said and top.path is None else ""
    others = other_lines(top.answer) if top.answer is not None and top.path is None else []
    return [(elided(shown(text + "  ".join(others)), width), "dim")]


def table_lines(top: Top, width: int) -> list[Line]:
    answer = top.answer
    if answer is None:
        return []
    seen = answer._replace(rows=answer.rows[top.offset : top.offset + top.height])
    lines = table(seen, width, sort=top.sort, least=top.least, total=False)
    if not answer.rows:
        lines.append([("nothing has passed", "dim")])
    else:
        place = top.cursor - top.offset + 1
        lines[place] = [(plain([lines[place]])[0].ljust(width), "chosen")]
    return lines


def one_series(top: Top, width: int) -> list[Line]:
    path = top.path
    if path is None or top.answer is None:
        return []
    row = top.gathered or (top.answer.rows[0] if top.answer.rows else None)
    if row is None:
        return [[(elided(shown(path.path), width), "head")], [("nothing has passed since", "dim")]]
    seconds = top.gathered_s if top.gathered is not None else top.answer.seconds
    rate = row.requests / seconds if seconds else 0.0
    return detail(row._replace(rate=rate), seconds, top.answer.relative_error, width)


def help_lines() -> list[Line]:
    width = max(len(keys) for keys, _text in HELP)
    lines: list[Line] = [[("Keys", "head")], []]
    lines += [[(f"  {keys:{width}}  ", ""), (text, "dim")] for keys, text in HELP]
    words = [f"{key} {word}" for key, word in SORT_KEYS.items()]
    lines += [[], [("  sort by", ""), (f"  {', '.join(words[:6])},", "dim")]]
    return [*lines, [(f"           {', '.join(words[6:])}", "dim")], [], [("any key goes back", "dim")]]
