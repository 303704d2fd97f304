"""The reader: sums, differences, and snapshots while others count."""

from __future__ import annotations

import os
import random
import signal
import time
from pathlib import Path
from typing import Any

import pytest

from weir.plane.counters import Counters
from weir.stats import layout
from weir.stats.columns import BUCKETS, COUNTERS
from weir.stats.publish import clear, publish, write_figures
from weir.stats.reader import (
    BUCKETS_USED,
    OTHER,
    PARTS_OF_TIME,
    ClusterState,
    Counts,
    EndpointState,
    bucket_end_us,
    clusters,
    difference,
    distinct,
    endpoints,
    route_parts,
    snapshot,
)


def test_counts_are_the_columns() -> None:
    assert list(Counts._fields) == [counter.name for counter in COUNTERS]


def test_an_empty_table_has_the_other_rows() -> None:
    with layout.create(8, ["main", "api"], workers=2) as table:
        taken = snapshot(table)
    assert [(series.route, series.path, series.is_other) for series in taken.series] == [
        ("main", OTHER, True),
        ("api", OTHER, True),
    ]
    assert all(series.counters == Counts() for series in taken.series)
    assert [worker.pid for worker in taken.workers] == [0, 0]
    assert (taken.rows, taken.rows_taken) == (8, 2)


def test_workers_are_summed() -> None:
    table = layout.create(8, ["main", "api"], workers=3)
    for number in range(3):
        counters = Counters(table, number)
        row = counters.find_row(1, b"/a")
        for place in range(len(COUNTERS)):
            counters.add(row, place, 10**number * (place + 1))
        counters.observe_us(row, 0, 1000 * 8**number)
        counters.observe_us(row, 1, 7)
    series = snapshot(table).series[2]
    assert (series.row, series.route, series.path, series.path_bytes, series.is_other) == (2, "api", "/a", 2, False)
    assert series.counters == Counts(*(111 * (place + 1) for place in range(len(COUNTERS))))
    assert len(series.total) == len(series.first_byte) == BUCKETS
    assert {bucket: count for bucket, count in enumerate(series.total) if count} == {79: 1, 103: 1, 127: 1}
    assert {bucket: count for bucket, count in enumerate(series.first_byte) if count} == {22: 3}
    without = snapshot(table, histograms=False).series[2]
    assert without.counters == series.counters
    assert not without.total
    assert [worker.pid for worker in snapshot(table).workers] == [os.getpid()] * 3


def test_counters_above_32_bits() -> None:
    table = layout.create(8, ["main"], workers=2)
    for number in range(2):
        Counters(table, number).add(0, 1, 2**62)
    assert snapshot(table).series[0].counters.response_body_bytes == 2**63


def test_paths_come_back_as_they_were() -> None:
    table = layout.create(600, ["main"], workers=1)
    counters = Counters(table, 0)
    paths = [bytes([byte]) * 3 for byte in range(256)] + ["/é/ü".encode(), b"/" + b"x" * 199, b""]
    for path in paths:
        counters.find_row(0, path)
    series = snapshot(table).series[1:]
    assert [each.path.encode(errors="surrogateescape") for each in series] == paths
    assert [each.path_bytes for each in series] == [len(path) for path in paths]


def test_a_long_path_is_shown_cut() -> None:
    table = layout.create(8, ["main"], workers=1)
    counters = Counters(table, 0)
    for last in b"ab":
        counters.find_row(0, b"/" + b"x" * 4000 + bytes([last]))
    one, other = snapshot(table).series[1:]
    assert one.path == other.path == "/" + "x" * 199
    assert one.path_bytes == other.path_bytes == 4002


def test_difference() -> None:
    table = layout.create(8, ["main"], workers=1)
    counters = Counters(table, 0)
    row = counters.find_row(0, b"/a")
    counters.add(row, 0, 5)
    counters.observe_us(row, 0, 1000, repeat=5)
    before = snapshot(table)
    counters.add(row, 0, 2)
    counters.observe_us(row, 0, 1000, repeat=2)
    counters.add(counters.find_row(0, b"/b"), 0, 1)
    changed = difference(snapshot(table), before)
    assert [series.counters.requests for series in changed.series] == [0, 2, 1]
    assert [sum(series.total) for series in changed.series] == [0, 2, 0]


def test_a_difference_of_two_tables_is_refused() -> None:
    with layout.create(8, ["main"], 1) as one, layout.create(8, ["main"], 1) as other, pytest.raises(ValueError):
        difference(snapshot(one), snapshot(other))


def test_routes_have_histograms_of_the_parts() -> None:
    table = layout.create(8, ["main", "api"], workers=2, spare_routes=1)
    for worker in range(2):
        counters = Counters(table, worker)
        for part in range(len(PARTS_OF_TIME)):
            counters.observe_part_us(1, part, 10**part)
    parts = route_parts(table)
    assert list(parts) == ["main", "api"]
    assert not any(any(part) for part in parts["main"])
    for number, histogram in enumerate(parts["api"]):
        (bucket,) = (place for place, count in enumerate(histogram) if count)
        assert histogram[bucket] == 2
        assert bucket_end_us(bucket) >= 10**number
        assert bucket == 0 or bucket_end_us(bucket - 1) < 10**number


@pytest.mark.parametrize("paths", [0, 1, 100, 3_000, 12_000, 200_000])
def test_distinct_paths_under_other_are_estimated(paths: int) -> None:
    """Within five standard errors; each path comes again, and at both workers, which changes nothing."""
    table = layout.create(2, ["main"], workers=2)
    workers = [Counters(table, number) for number in range(2)]
    workers[0].find_row(0, b"/the only one with a row")
    numbers = [*range(paths), *range(0, paths, 7)]
    random.Random(paths).shuffle(numbers)
    for turn, number in enumerate(numbers):
        assert workers[turn % 2].find_row(0, b"/item/%d/page" % number) == 0
    estimate = distinct(table, 0)
    assert estimate.relative_error == 1.04 / 64
    assert abs(estimate.paths - paths) <= 5 * estimate.relative_error * paths
    with pytest.raises(IndexError):
        distinct(table, 1)


def test_endpoints_and_workers_say_what_they_have() -> None:
    table = layout.create(
        8, ["main"], workers=2, endpoints=[("app", "127.0.0.1:1"), ("app", "127.0.0.1:2")], clusters=["app"]
    )
    pools: list[tuple[int, dict[str, Any]]]
    pools = [(1, {"open": 5, "idle": 3, "dials": 9, "endpoint": "of no interest"}), (0, {"waiting": 1})]
    for worker in range(2):
        gauges = {"downstreams": 7, "accepted": 100 + worker}
        publish(table, worker, gauges=gauges, endpoints=pools, clusters=[(0, {"queued": 4})])
        write_figures(table, worker, 1, attempts=8)
    assert endpoints(table) == [
        EndpointState(0, "app", "127.0.0.1:1", waiting=2, queued=8),
        EndpointState(1, "app", "127.0.0.1:2", open=10, idle=6, attempts=16, queued=8),
    ]
    assert clusters(table) == [ClusterState(0, "app", queued=8)]
    states = snapshot(table).workers
    assert [(state.downstreams, state.accepted) for state in states] == [(7, 100), (7, 101)]
    assert all(0 <= time.monotonic() - state.heartbeat_us / 1e6 < 60 for state in states)
    with pytest.raises(ValueError, match="worker 2 of 2"):
        publish(table, 2, gauges={})
    with pytest.raises(ValueError, match="endpoint 2 of 2"):
        publish(table, 0, gauges={}, endpoints=[(2, {})])
    with pytest.raises(ValueError, match="cluster 1 of 1"):
        publish(table, 0, gauges={}, clusters=[(1, {})])
    with pytest.raises(KeyError):
        write_figures(table, 0, 1, attemps=8)
    with pytest.raises(KeyError):
        publish(table, 0, gauges={"upstreem": 1})


def test_a_worker_that_is_gone_has_nothing_open_and_what_it_counted_stays() -> None:
    pairs = [("app", "127.0.0.1:1"), ("app", "127.0.0.1:2")]
    table = layout.create(8, ["main"], workers=2, endpoints=pairs, clusters=["app"], spare_endpoints=3)
    momentary = {"downstreams": 7, "exchanges": 6, "upstreams": 5, "buffers": 4, "buffer_bytes": 3}
    pool = {"open": 5, "idle": 3, "surplus": 1, "connecting": 1, "waiting": 2, "active": 1}
    for worker in range(2):
        gauges = {**momentary, "accepted": 100, "log_lines": 50, "log_dropped": 2}
        publish(table, worker, gauges=gauges, endpoints=[(1, pool)], clusters=[(0, {"queued": 4})])
        write_figures(table, worker, 1, attempts=8)
        Counters(table, worker).add(0, 0, 9)
    clear(table, 1)
    alive, gone = snapshot(table).workers
    assert {name: getattr(alive, name) for name in momentary} == momentary
    assert {name: getattr(gone, name) for name in momentary} == dict.fromkeys(momentary, 0)
    assert (gone.accepted, gone.log_lines, gone.log_dropped) == (100, 50, 2)
    assert endpoints(table)[1] == EndpointState(1, "app", "127.0.0.1:2", **pool, attempts=16, queued=4)
    assert clusters(table) == [ClusterState(0, "app", queued=4)]
    assert snapshot(table).series[0].counters.requests == 18
    with pytest.raises(ValueError, match="worker 2 of 2"):
        clear(table, 2)


def test_of_what_each_worker_learns_by_itself_the_least_counts() -> None:
    table = layout.create(8, ["main"], workers=3, endpoints=[("app", "a"), ("app", "b")], clusters=["app"])
    for worker, learned in enumerate((0, 5000, 2000)):
        publish(table, worker, gauges={}, endpoints=[(1, {"learned_idle_timeout_ms": learned, "idle_limit_ms": 4000})])
    assert [(end.learned_idle_timeout_ms, end.idle_limit_ms) for end in endpoints(table)] == [(0, 0), (2000, 4000)]


def test_bucket_ends() -> None:
    assert bucket_end_us(7) == 2.0
    assert bucket_end_us(79) == 1024.0
    assert bucket_end_us(BUCKETS_USED - 1) == 2.0**27
    assert bucket_end_us(0) == pytest.approx(1.0905077)


def test_nothing_holds_the_mapping_afterwards() -> None:
    with layout.create(8, ["main"], workers=2) as table:
        snapshot(table)
    assert table.closed


def test_a_row_that_is_not_published_is_not_shown() -> None:
    table = layout.create(8, ["main"], workers=1)
    Counters(table, 0).find_row(0, b"/a")
    where = layout.read_header(table).places
    table[where.index_at : where.index_at + 8 * where.index_entries] = bytes(8 * where.index_entries)
    assert [series.path for series in snapshot(table).series] == [OTHER]


def test_what_is_no_table_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(bytes(10_000))
    with pytest.raises(layout.LayoutError):
        snapshot((tmp_path / "file").read_bytes())


@pytest.mark.heavy
def test_counters_never_go_back_while_others_count() -> None:
    """A child that counts as fast as it can, numbers that need all of a u64's halves, and a reader beside it."""
    table = layout.create(64, ["main"], workers=1)
    child = os.fork()
    if child == 0:
        try:
            counters = Counters(table, 0)
            number = 0
            while True:
                row = counters.find_row(0, b"/%d" % (number % 60))
                # Each step carries from the lower half of the sum into the upper one.
                counters.add(row, 1, 2**32 - 1, repeat=200)
                counters.observe_us(row, 0, 5, repeat=200)
                counters.add(row, 0, 200)
                number += 1
        finally:
            os._exit(1)
    try:
        last = snapshot(table)
        deadline = time.monotonic() + 20
        while last.series[-1].counters.requests < 10_000 or len(last.series) < 60:
            assert time.monotonic() < deadline
            taken = snapshot(table)
            # A row that was being claimed when the last snapshot passed by comes before rows that are known already.
            rows = {series.path: series for series in taken.series}
            for old in last.series:
                new = rows[old.path]
                assert all(a <= b for a, b in zip(old.counters, new.counters, strict=True))
                assert all(a <= b for a, b in zip(old.total, new.total, strict=True))
                assert new.counters.response_body_bytes % (2**32 - 1) == 0, "a torn read"
            last = taken
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


def test_a_full_table_is_read_in_reasonable_time() -> None:
    table = layout.create(4096, ["main"], workers=4)
    for number in range(4):
        counters = Counters(table, number)
        for path in range(4095):
            row = counters.find_row(0, b"/%d" % path)
            counters.add(row, 0, 1)
            counters.observe_us(row, 0, 100 + path)
    started = time.process_time()
    taken = snapshot(table)
    whole = time.process_time() - started
    started = time.process_time()
    snapshot(table, histograms=False)
    counters_only = time.process_time() - started
    assert {series.counters.requests for series in taken.series[1:]} == {4}
    assert whole < 2.0
    assert counters_only < 0.5
