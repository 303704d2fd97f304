"""Reads the shared table while workers count in it, without stopping anybody.

What a snapshot promises: every counter is read in one piece and never goes back from one snapshot to the next, and a
series that is shown stays. What it cannot promise: that two counters belong to the same moment, since an exchange may
be counted between the two reads. Differences of two snapshots are right to the few exchanges that ended meanwhile.

`struct` in native order and `memoryview.tolist()` load each number at once; a copy with `bytes()` would not have to.
"""

from __future__ import annotations

import math
from array import array
from collections import Counter
from operator import add, sub
from typing import Any, Final, NamedTuple

from weir.stats import layout
from weir.stats.bytemap import INDEX_ENTRY_BYTES
from weir.stats.columns import (
    BUCKETS,
    CLUSTER_FIGURES,
    CLUSTER_PLACES,
    COUNTER_PLACES,
    DECISIONS_AT,
    ENDPOINT_FIGURES,
    ENDPOINT_PLACES,
    HISTOGRAMS,
    PARTS,
    SKETCH_BYTES,
    FigureInfo,
)
from weir.stats.retrywords import RETRY_WORDS

__all__ = [
    "BUCKETS_USED",
    "OTHER",
    "PARTS_OF_TIME",
    "ClusterState",
    "Counts",
    "Distinct",
    "EndpointState",
    "Series",
    "Snapshot",
    "WorkerState",
    "bucket_end_us",
    "clusters",
    "difference",
    "distinct",
    "endpoints",
    "reasons",
    "route_parts",
    "snapshot",
    "workers",
]

# How the row of what found no row of its own is called where a path would stand.
OTHER: Final = "(other)"
# Of the places of a histogram; the last counts everything that took longer as well.
BUCKETS_USED: Final = 216
# The parts of the time ledger, in the order of a route's histograms: see docs/statistics.md.
PARTS_OF_TIME: Final = ("TR", "Tw", "Tc", "Tr", "Td")
# Of an estimate of distinct paths: 1.04 / sqrt(registers), the standard error of HyperLogLog.
_DISTINCT_ERROR: Final = 1.04 / SKETCH_BYTES**0.5


class Counts(NamedTuple):
    """The counters of a series, summed over the workers: see spec/counters.toml for meanings and units."""

    requests: int = 0
    response_body_bytes: int = 0
    request_body_bytes: int = 0
    status_1xx: int = 0
    status_2xx: int = 0
    status_3xx: int = 0
    status_4xx: int = 0
    status_5xx: int = 0
    errors: int = 0
    retries: int = 0
    total_us: int = 0
    first_byte_us: int = 0
    first_bytes: int = 0
    request_head_us: int = 0
    queue_us: int = 0
    connect_us: int = 0
    response_head_us: int = 0
    data_us: int = 0


class Series(NamedTuple):
    """One row of the table.

    `path` is the template, or the path as received, decoded as UTF-8 with `surrogateescape` (what is no UTF-8 comes
    back with `path.encode(errors="surrogateescape")`); `(other)` where `is_other`; its first 200 bytes where
    `path_bytes`, its length, is more. `total` and `first_byte` are histograms, BUCKETS counts each (see
    bucket_end_us()); empty if the snapshot was taken without.
    """

    row: int
    route: str
    path: str
    path_bytes: int
    is_other: bool
    counters: Counts
    total: array[int]
    first_byte: array[int]


class WorkerState(NamedTuple):
    """What a worker says of itself; times in microseconds, `started_us` since 1970, `heartbeat_us` CLOCK_MONOTONIC."""

    pid: int
    started_us: int
    heartbeat_us: int
    rows_claimed: int
    claims_lost: int
    exchanges_full: int
    exchanges_crowded: int
    # What it has at the moment of its last heartbeat, and what it has counted since its start.
    downstreams: int
    exchanges: int
    upstreams: int
    buffers: int
    buffer_bytes: int
    accepted: int
    log_lines: int
    log_dropped: int
    timers: int = 0


class EndpointState(NamedTuple):
    """One endpoint: figures summed over the workers (spec/figures.toml says what they are, and which are the least of
    the workers' instead), gauges as they were at the last heartbeats.

    `number` is its place in the table; `queued` is the queue of its cluster, the same for all its endpoints.
    """

    number: int
    cluster: str
    endpoint: str
    open: int = 0
    idle: int = 0
    surplus: int = 0
    connecting: int = 0
    waiting: int = 0
    active: int = 0
    dials: int = 0
    dial_failures: int = 0
    reuses: int = 0
    spoiled: int = 0
    attempts: int = 0
    failures: int = 0
    errors_5xx: int = 0
    responses: int = 0
    response_us: int = 0
    retired: int = 0
    passed_over: int = 0
    races_lost: int = 0
    races_saved: int = 0
    learned_idle_timeout_ms: int = 0
    idle_limit_ms: int = 0
    queued: int = 0


class ClusterState(NamedTuple):
    """One cluster, as EndpointState."""

    number: int
    cluster: str
    queued: int = 0
    retries: int = 0
    retries_denied: int = 0
    panics: int = 0  # workers in which all its endpoints are asked, since too few may be used
    in_progress: int = 0
    limit: int = 0
    open_breakers: int = 0
    breaker_openings: int = 0
    overflows: int = 0
    sticky_bound: int = 0
    sticky_lost: int = 0
    hash_keyless: int = 0
    hash_fallbacks: int = 0
    mirrored: int = 0
    mirrors_skipped: int = 0
    mirrors_failed: int = 0
    # How often each decision about a retry (`weir.stats.retrywords.RETRY_WORDS`, in order) was made.
    decisions: tuple[int, ...] = (0,) * len(RETRY_WORDS)


class Distinct(NamedTuple):
    """How many different paths a route's `(other)` row stands for: an estimate, and its relative standard error."""

    paths: int
    relative_error: float


class Snapshot(NamedTuple):
    """All series with a row, in the order of rows: the routes' `(other)` first, then as they appeared."""

    created_us: int
    seeds: tuple[int, int]
    rows: int
    rows_taken: int
    series: list[Series]
    workers: list[WorkerState]
    # How often each reason (`weir.reasons.Reason` is the place) has ended an exchange or a connection.
    reasons: tuple[int, ...] = ()


def snapshot(memory: Any, *, histograms: bool = True) -> Snapshot:
    """Sums the table up over its workers. `memory` is a `layout.Table` or any buffer with one.

    Without `histograms` it costs a small part of the time. LayoutError if there is no table.
    """
    header = layout.read_header(memory)
    with memoryview(memory) as view:
        routes = layout.route_names(view)
        columns = [Columns(view, header, worker) for worker in range(header.workers)]
        try:
            series = [read_series(view, header, row, routes, columns, histograms) for row in live_rows(view, header)]
        finally:
            for column in columns:
                column.release()
        states = [worker_state(view, header, worker) for worker in range(header.workers)]
        rows_taken = layout.read(view, 0, layout.HEADER, "rows_taken")
        ends = read_reasons(view, header)
    return Snapshot(header.created_us, header.seeds, header.rows, rows_taken, series, states, ends)


def difference(after: Snapshot, before: Snapshot) -> Snapshot:
    """What was counted between two snapshots of the same table; a new series counts from 0.

    ValueError if they are of two tables. Histograms are those that both snapshots have.
    """
    if (after.created_us, after.seeds) != (before.created_us, before.seeds):
        raise ValueError("the snapshots are of two different tables")
    earlier = {series.row: series for series in before.series}
    changed = [series if (old := earlier.get(series.row)) is None else subtract(series, old) for series in after.series]
    ends = tuple(map(sub, after.reasons, before.reasons))
    return after._replace(series=changed, reasons=ends)


def workers(memory: Any) -> list[WorkerState]:
    """What the workers say of themselves, by slot; `pid` is 0 in a slot that nobody has had."""
    header = layout.read_header(memory)
    with memoryview(memory) as view:
        return [worker_state(view, header, worker) for worker in range(header.workers)]


def reasons(memory: Any) -> tuple[int, ...]:
    """How often each reason (`weir.reasons.Reason` is the place) has ended an exchange or a connection."""
    header = layout.read_header(memory)
    with memoryview(memory) as view:
        return read_reasons(view, header)


def endpoints(memory: Any) -> list[EndpointState]:
    """Each endpoint that has ever been configured."""
    header = layout.read_header(memory)
    names, queues = layout.endpoint_names(memory), {state.cluster: state.queued for state in clusters(memory)}
    sums = sums_of_figures(
        memory, header, header.places.endpoint_figures_at, ENDPOINT_PLACES, len(names), ENDPOINT_FIGURES
    )
    return [
        EndpointState._make((number, cluster, name, *figures[: len(ENDPOINT_FIGURES)], queues.get(cluster, 0)))
        for number, ((cluster, name), figures) in enumerate(zip(names, sums, strict=True))
    ]


def clusters(memory: Any) -> list[ClusterState]:
    """Each cluster that has ever been configured."""
    header = layout.read_header(memory)
    names = layout.cluster_names(memory)
    sums = sums_of_figures(
        memory, header, header.places.cluster_figures_at, CLUSTER_PLACES, len(names), CLUSTER_FIGURES
    )
    return [
        ClusterState._make(
            (
                number,
                name,
                *figures[: len(CLUSTER_FIGURES)],
                tuple(figures[DECISIONS_AT : DECISIONS_AT + len(RETRY_WORDS)]),
            )
        )
        for number, (name, figures) in enumerate(zip(names, sums, strict=True))
    ]


def sums_of_figures(
    memory: Any, header: layout.Header, at: int, size: int, count: int, figures: tuple[FigureInfo, ...]
) -> list[list[int]]:
    # `count` entries of `size` numbers, which lie at `at` of each worker's block.
    total = [0] * (size * count)
    least = [place for place, figure in enumerate(figures) if figure.kind == "least"]
    kept: list[list[int]] = []
    with memoryview(memory) as view:
        for worker in range(header.workers):
            block = header.places.workers_at + worker * header.places.worker_bytes + at
            with view[block : block + 8 * len(total)].cast("Q") as own:
                numbers = own.tolist()
            total = list(map(add, total, numbers))
            if least:
                kept.append(numbers)
    for number in range(count):
        for place in least:
            total[size * number + place] = min(filter(None, (own[size * number + place] for own in kept)), default=0)
    return [total[size * number : size * (number + 1)] for number in range(count)]


def route_parts(memory: Any) -> dict[str, list[list[int]]]:
    """For each route, by name, the histograms (216 buckets) of the parts of its exchanges' times, as PARTS_OF_TIME."""
    header = layout.read_header(memory)
    found = {}
    with memoryview(memory) as view:
        for number, name in enumerate(layout.route_names(view)):
            parts = [[0] * BUCKETS_USED for _ in range(PARTS)]
            for worker in range(header.workers):
                block = header.places.workers_at + worker * header.places.worker_bytes + header.places.parts_at
                at = block + number * PARTS * BUCKETS * 4
                with view[at : at + PARTS * BUCKETS * 4].cast("I") as own:
                    numbers = own.tolist()
                parts = [
                    list(map(add, part, numbers[BUCKETS * which : BUCKETS * which + BUCKETS_USED]))
                    for which, part in enumerate(parts)
                ]
            found[name] = parts
    return found


def distinct(memory: Any, route: int) -> Distinct:
    """How many different paths were counted under a route's `(other)` since the table was made.

    HyperLogLog with 4096 registers (Flajolet and others, 2007), with linear counting where few were seen. IndexError
    if there is no such route.
    """
    header = layout.read_header(memory)
    if not 0 <= route < header.routes:
        raise IndexError(f"route {route} of {header.routes}")
    registers = bytes(SKETCH_BYTES)
    with memoryview(memory) as view:
        for worker in range(header.workers):
            block = header.places.workers_at + worker * header.places.worker_bytes + header.places.sketches_at
            own = bytes(view[block + route * SKETCH_BYTES : block + (route + 1) * SKETCH_BYTES])
            if own.strip(b"\0"):
                registers = bytes(map(max, registers, own))
    counts = Counter(registers)
    estimate = 0.7213 / (1 + 1.079 / SKETCH_BYTES) * SKETCH_BYTES**2
    estimate /= sum(count * 2.0**-run for run, count in counts.items())
    if estimate <= 2.5 * SKETCH_BYTES and counts[0]:
        estimate = SKETCH_BYTES * math.log(SKETCH_BYTES / counts[0])
    return Distinct(round(estimate), _DISTINCT_ERROR)


def bucket_end_us(bucket: int) -> float:
    """The upper bound, inclusive, of a bucket, in microseconds: 2^((bucket + 1) / 8).

    The grid is OpenTelemetry's exponential histogram at scale 3. Bucket 0 also counts what took 1 us or less, the last
    one (BUCKETS_USED - 1) what took longer than its bound.
    """
    return float(2.0 ** ((bucket + 1) / 8))


class Columns:
    """One worker's counters and histograms, as views of their numbers."""

    def __init__(self, view: memoryview, header: layout.Header, worker: int) -> None:
        where = header.places
        start = where.workers_at + worker * where.worker_bytes
        counters = view[start + where.counters_at : start + where.histograms_at]
        histograms = view[start + where.histograms_at : start + where.parts_at]
        self.counters = counters.cast("Q")
        self.histograms = histograms.cast("I")

    def release(self) -> None:
        """The mapping can be closed only when nobody looks at it."""
        self.counters.release()
        self.histograms.release()


def live_rows(view: memoryview, header: layout.Header) -> list[int]:
    """The `(other)` rows, and those that the index names: a row is published there, and nowhere else."""
    at, entries = header.places.index_at, header.places.index_entries
    mask = (1 << layout.INDEX_ROW_BITS) - 1
    with view[at : at + entries * INDEX_ENTRY_BYTES].cast("Q") as index:
        claimed = sorted((entry & mask) - 1 for entry in index.tolist() if entry)
    return [*range(header.routes_named), *claimed]


def read_series(
    view: memoryview,
    header: layout.Header,
    row: int,
    routes: list[str],
    columns: list[Columns],
    histograms: bool,
) -> Series:
    at = header.places.directory_at + row * layout.DIRECTORY_BYTES
    route = layout.read(view, at, layout.DIRECTORY, "route")
    path_bytes = layout.read(view, at, layout.DIRECTORY, "path_length")
    is_other = row < header.routes
    if is_other:
        path = OTHER
    else:
        path = layout.read(view, at, layout.DIRECTORY, "path")[:path_bytes].decode(errors="surrogateescape")
    first = row * COUNTER_PLACES
    used = [column.counters[first : first + len(Counts._fields)].tolist() for column in columns]
    counters = Counts(*used[0]) if len(used) == 1 else Counts(*map(sum, zip(*used, strict=True)))
    counting = [column for column, own in zip(columns, used, strict=True) if own[0]] if histograms else None
    return Series(
        row,
        routes[route],
        path,
        path_bytes,
        is_other,
        counters,
        sum_histogram(counting, row, 0),
        sum_histogram(counting, row, 1),
    )


def sum_histogram(columns: list[Columns] | None, row: int, number: int) -> array[int]:
    """Sums over those workers that have counted; an empty array if histograms are not wanted."""
    if columns is None:
        return array("Q")
    first = (row * HISTOGRAMS + number) * BUCKETS
    total: list[int] | None = None
    for column in columns:
        own = column.histograms[first : first + BUCKETS].tolist()
        total = own if total is None else list(map(add, total, own))
    return array("Q", total) if total is not None else array("Q", bytes(8 * BUCKETS))


def subtract(series: Series, old: Series) -> Series:
    return series._replace(
        counters=Counts(*map(sub, series.counters, old.counters)),
        total=array("Q", map(sub, series.total, old.total)),
        first_byte=array("Q", map(sub, series.first_byte, old.first_byte)),
    )


def read_reasons(view: memoryview, header: layout.Header) -> tuple[int, ...]:
    total = [0] * layout.REASON_PLACES
    for worker in range(header.workers):
        at = header.places.workers_at + worker * header.places.worker_bytes + layout.WORKER["reasons"][1]
        with view[at : at + 8 * layout.REASON_PLACES].cast("Q") as own:
            total = list(map(add, total, own.tolist()))
    return tuple(total)


def worker_state(view: memoryview, header: layout.Header, worker: int) -> WorkerState:
    at = header.places.workers_at + worker * header.places.worker_bytes
    return WorkerState(*(layout.read(view, at, layout.WORKER, name) for name in WorkerState._fields))
