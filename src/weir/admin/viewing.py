"""One viewer's question to the live page, and the answer as plain data for JSON.

The server sorts, filters and cuts: a page gets the rows it shows and no more, whatever the table's size.
"""

from __future__ import annotations

import heapq
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from weir.admin.live import WINDOWS, Live
from weir.stats import roster
from weir.stats.columns import COUNTERS
from weir.stats.frame import Frame
from weir.stats.names import Name
from weir.stats.reader import BUCKETS_USED, PARTS_OF_TIME, Counts
from weir.stats.retrywords import RETRY_WORDS
from weir.stats.view import Filter, Quantiles, Row, Sort, View, make_row, query, times_of

__all__ = ["LIMITS", "SORTS", "Question", "QuestionError", "answer"]

# Of text in a question; a path is at most 200 bytes, shown with at most four characters for each.
_MOST_CHARACTERS: Final = 1000
# Rows of the table.
LIMITS: Final = (1, 500)
# Rows of the short lists: what is slow, heavy, failing.
_WORST: Final = 5
_STATUS_5XX: Final = "status_5xx"
SORTS: Final = (*(sort.value for sort in Sort), _STATUS_5XX)
_PLACES: Final = {counter.name: place for place, counter in enumerate(COUNTERS)}
# The counters with the sums of the time ledger's parts, in the order of PARTS_OF_TIME.
_LEDGER: Final = ("request_head_us", "queue_us", "connect_us", "response_head_us", "data_us")

assert len(_LEDGER) == len(PARTS_OF_TIME)


class QuestionError(ValueError):
    """A question that is none; the message says which part and what it may be."""


@dataclass(frozen=True, slots=True)
class Question:
    """What a viewer has chosen.

    `window` is a key of WINDOWS, or 0 for all since the start. `q` and `only` (a route) filter the table. With `path`
    and `route` the answer also has all of that one series.
    """

    sort: str = Sort.REQUESTS.value
    reverse: bool = False
    q: str = ""
    only: str = ""
    limit: int = 50
    window: int = 60
    route: str = ""
    path: str = ""

    @classmethod
    def parse(cls, given: Mapping[str, str]) -> Question:
        """From the parameters of an address; what is missing has its default. QuestionError."""
        usual = cls()
        sort = given.get("sort", usual.sort)
        if sort not in SORTS:
            raise QuestionError(f"sort: one of {', '.join(SORTS)}")
        for name in ("q", "only", "route", "path"):
            if len(given.get(name, "")) > _MOST_CHARACTERS:
                raise QuestionError(f"{name}: at most {_MOST_CHARACTERS} characters")
        window = _number(given, "window", usual.window, (0, max(WINDOWS)))
        if window and window not in WINDOWS:
            raise QuestionError(f"window: one of 0 (since the start), {', '.join(map(str, WINDOWS))} seconds")
        return cls(
            sort=sort,
            reverse=bool(_number(given, "reverse", 0, (0, 1))),
            q=given.get("q", ""),
            only=given.get("only", ""),
            limit=_number(given, "limit", usual.limit, LIMITS),
            window=window,
            route=given.get("route", ""),
            path=given.get("path", ""),
        )


def _number(given: Mapping[str, str], name: str, default: int, bounds: tuple[int, int]) -> int:
    text = given.get(name)
    if text is None:
        return default
    if not (text.isascii() and text.isdigit() and len(text) < 10 and bounds[0] <= int(text) <= bounds[1]):
        raise QuestionError(f"{name}: a whole number from {bounds[0]} to {bounds[1]}")
    return int(text)


async def answer(live: Live, question: Question, chart_after: float = 0.0) -> bytes:
    """The answer as JSON. `chart` has the points after a moment (seconds since 1970): all, if that is yet to come.

    So a viewer whose last point is of a time before the clock was set back is told what there is now. What several
    viewers ask alike is computed once per tick.
    """
    body = live.memo(question, lambda: json.dumps(_answer(live, question), separators=(",", ":")))
    after = chart_after if chart_after <= time.time() else 0.0
    chart = [point for point in live.chart if point.at_s > after]
    extra: dict[str, Any] = {"chart": chart}
    if question.path:
        extra["history"] = await live.minutes(question.route, question.path)
    return f"{body[:-1]},{json.dumps(extra, separators=(',', ':'))[1:]}".encode()


def _answer(live: Live, question: Question) -> dict[str, Any]:
    frame = live.window(question.window)
    return {
        "tick": live.ticks,
        "tick_ms": round(live.tick_ms, 1),
        "started": live.created_s,
        "now": live.now(),
        "worst": live.memo(("worst", question.window), lambda: _worst(live, frame)),
        "table": _table(live, frame, question),
        "others": live.others(),
        "routes": live.memo("routes", lambda: sorted({live.names[key].route for key in live.frame.keys})),
        "workers": [worker._asdict() for worker in live.workers if worker.pid],
        "endpoints": live.memo("endpoints", lambda: _endpoints(live)),
        "clusters": live.memo("clusters", lambda: _clusters(live)),
        "limits": live.memo("limits", lambda: _limits(live)),
        "faults": live.memo("faults", lambda: _faults(live)),
        "hooks": live.memo("hooks", lambda: _hooks(live)),
        "path": _one(live, frame, question) if question.path else None,
    }


def _endpoints(live: Live) -> list[dict[str, Any]]:
    found = []
    for endpoint, standing in zip(live.endpoints, live.standings, strict=False):
        state = roster.state_of(standing)
        found.append({**endpoint._asdict(), "state": state.word, "why": roster.cause_of(standing, state)})
    return found


def _clusters(live: Live) -> list[dict[str, Any]]:
    """Clusters that have endpoints, with what was decided about their retries: [word, kind, count]."""
    named = {endpoint.cluster for endpoint in live.endpoints}
    found = []
    for cluster in live.clusters:
        if cluster.cluster in named:
            made = zip(RETRY_WORDS, cluster.decisions, strict=True)
            decisions = [(one.word, one.kind, count) for one, count in made if count]
            found.append({**cluster._asdict(), "decisions": decisions})
    return found


def _limits(live: Live) -> list[dict[str, Any]]:
    if live.rules is None:
        return []
    return [
        {"of": owner, "name": name, "by": rule.by, "dry_run": rule.dry_run, **counted}
        for owner, name, rule, counted in (*live.rules.limit_counts(), *live.rules.route_limit_counts())
    ]


def _hooks(live: Live) -> dict[str, Any]:
    if live.rules is None:
        return {"requests": 0, "met": 0, "hooks": []}
    asked, met = live.rules.hooks.share()
    found = []
    for hook in live.rules.hooks.counts():
        about = {name: value for name, value in hook._asdict().items() if name != "buckets"}
        times = times_of(hook.buckets, hook.spent_ns // 1000)
        found.append({**about, "mean_us": times.mean_us, "p99_us": times.p99_us})
    return {"requests": asked, "met": met, "hooks": found}


def _faults(live: Live) -> list[dict[str, Any]]:
    counts = live.rules.fault_counts() if live.rules is not None else ()
    return [{"listener": listener, "name": name, **counted} for listener, name, _rule, counted in counts]


def _table(live: Live, frame: Frame, question: Question) -> dict[str, Any]:
    view = _view(live, frame, question)
    return {
        "since": view.since_us / 1e6,
        "seconds": round(view.total.seconds, 1),
        "matched": view.matched,
        "used": len(live.frame),
        "total": _figures(view.total),
        "rows": [_line(live, row) for row in view.rows],
        "spark": live.spark_ages(),
    }


def _view(live: Live, frame: Frame, question: Question) -> View:
    filter = Filter(route=question.only or None, contains=question.q)
    if question.sort != _STATUS_5XX:
        return query(
            frame, live.names, filter, sort=Sort(question.sort), reverse=question.reverse, limit=question.limit
        )
    view = query(frame, live.names, filter, limit=0)
    meant = filter.test()
    keys = frame.keys
    chosen = [i for i, key in enumerate(keys) if meant is None or meant(live.names[key])]
    values = frame.column(_PLACES[_STATUS_5XX])
    rows = _rows(live, frame, chosen, values, question.reverse, question.limit)
    return View(tuple(rows), view.total, view.matched, view.since_us, view.taken_us)


def _rows(
    live: Live, frame: Frame, chosen: Sequence[int], values: Sequence[float], reverse: bool, limit: int
) -> list[Row]:
    keys, names, sign = frame.keys, live.names, 1 if reverse else -1
    first = heapq.nsmallest(limit, chosen, key=lambda i: (sign * values[i], names[keys[i]][:2]))
    seconds = max((frame.taken_us - frame.since_us) / 1e6, 0.0)
    rows = []
    for i in first:
        own = frame.select([i])
        rows.append(Row(keys[i], names[keys[i]], Counts(*own.counters(0)), seconds, own))
    return rows


def _worst(live: Live, frame: Frame) -> dict[str, list[Any]]:
    """The worst few by three measures: 99th percentile, share of all time, failures."""
    everyone = range(len(frame))
    times = frame.column(_PLACES["total_us"])
    all_time = sum(times) or 1
    # An error of weir's own answers with a 5xx, too: the greater of both counts each exchange once, or nearly.
    failures = list(map(max, frame.column(_PLACES["errors"]), frame.column(_PLACES[_STATUS_5XX])))
    slow = _rows(live, frame, everyone, frame.quantiles(0, 0.99), False, _WORST)
    heavy = _rows(live, frame, everyone, times, False, _WORST)
    failing = _rows(live, frame, [i for i in everyone if failures[i]], failures, False, _WORST)
    return {
        "slow": [(row.name.route, row.name.path, row.total.p99_us) for row in slow],
        "heavy": [(row.name.route, row.name.path, row.counts.total_us / all_time) for row in heavy],
        "failing": [
            (
                row.name.route,
                row.name.path,
                max(row.counts.errors, row.counts.status_5xx),
                max(row.counts.errors, row.counts.status_5xx) / max(row.counts.requests, 1),
            )
            for row in failing
        ],
    }


def _line(live: Live, row: Row) -> list[Any]:
    """A row of the table: key, route, path, 1 (other) and 2 (truncated), figures, spark."""
    flags = row.name.other + 2 * row.name.truncated
    return [row.key, row.name.route, row.name.path, flags, _figures(row), live.spark(row.key)]


def _figures(row: Row) -> list[Any]:
    """Requests, a second, bytes, average, errors, 5xx, p50, p90, p99, first byte p50, p99, time, ledger in 1/1000."""
    counts = row.counts
    return [
        counts.requests,
        round(row.requests_per_second, 2),
        counts.response_body_bytes,
        round(counts.response_body_bytes / counts.requests) if counts.requests else 0,
        counts.errors,
        counts.status_5xx,
        round(row.total.p50_us),
        round(row.total.p90_us),
        round(row.total.p99_us),
        round(row.first_byte.p50_us),
        round(row.first_byte.p99_us),
        counts.total_us,
        _ledger(counts),
    ]


def _ledger(counts: Counts) -> list[int] | None:
    """The parts of the time, in thousandths; None if they were not taken down."""
    sums = [getattr(counts, name, 0) for name in _LEDGER]
    total = sum(sums)
    return [round(1000 * part / total) for part in sums] if total else None


def _one(live: Live, frame: Frame, question: Question) -> dict[str, Any]:
    """All of one series; zeros where it counted nothing in the window. `known` is whether there is such a one."""
    filter = Filter(route=question.route or None, path=question.path)
    view = query(frame, live.names, filter, limit=1)
    known = view.rows or query(live.frame, live.names, filter, limit=1).rows
    if not known:
        return {"known": False, "route": question.route, "path": question.path}
    name: Name = known[0].name
    row = view.rows[0] if view.rows else make_row(_nothing(frame), name, view.total.seconds)
    counts = row.counts
    return {
        "known": True,
        "route": name.route,
        "path": name.path,
        "flags": name.other + 2 * name.truncated,
        "figures": _figures(row),
        "request_bytes": counts.request_body_bytes,
        "retries": counts.retries,
        "status": [counts.status_1xx, counts.status_2xx, counts.status_3xx, counts.status_4xx, counts.status_5xx],
        "reasons": sorted(row.reasons.items(), key=lambda item: -item[1]),
        "total": _times(row.total),
        "first_byte": _times(row.first_byte),
        "histograms": [_trimmed(row.histogram(which)) if counts.requests else [0, []] for which in (0, 1)],
        "parts": live.parts(name.route),
        "spark": live.spark(known[0].key),
    }


def _nothing(frame: Frame) -> Frame:
    return frame.total([])


def _times(quantiles: Quantiles) -> list[float]:
    return [quantiles.samples, *(round(us, 1) for us in quantiles[2:])]


def _trimmed(buckets: Sequence[int]) -> list[Any]:
    """The first bucket that counted anything, and the counts from there to the last one."""
    used = [bucket for bucket, count in enumerate(buckets[:BUCKETS_USED]) if count]
    return [used[0], list(buckets[used[0] : used[-1] + 1])] if used else [0, []]
