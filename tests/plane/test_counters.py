"""Counters: rows claimed once and only once, sums exact, buckets on OpenTelemetry's grid."""

from __future__ import annotations

import os
import random
import time
from bisect import bisect_left
from collections.abc import Callable
from fractions import Fraction

import pytest

from weir.plane.counters import Counters
from weir.stats import layout
from weir.stats.columns import COUNTERS
from weir.stats.reader import BUCKETS_USED, Snapshot, snapshot

REQUESTS, BYTES = 0, 1


def test_columns_have_the_places_of_the_table() -> None:
    assert [counter.name for counter in COUNTERS][:2] == ["requests", "response_body_bytes"]


def test_a_path_keeps_its_row() -> None:
    table = layout.create(64, ["main", "api"], workers=2)
    one, other = Counters(table, 0), Counters(table, 1)
    assert (one.rows, one.routes, one.workers, other.worker) == (64, 2, 2, 1)
    rows = [one.find_row(0, b"/a"), one.find_row(0, b"/b"), one.find_row(1, b"/a"), one.find_row(0, b"")]
    assert rows == [2, 3, 4, 5]
    assert [
        other.find_row(0, b"/a"),
        other.find_row(0, b"/b"),
        other.find_row(1, b"/a"),
        other.find_row(0, b""),
    ] == rows


@pytest.mark.parametrize("length", [*range(1, 70), 199, 200, 201, 1000, 8192])
def test_every_byte_of_a_path_counts(length: int) -> None:
    table = layout.create(3 + length, ["main"], workers=1)
    counters = Counters(table, 0)
    path = b"x" * length
    whole = counters.find_row(0, path)
    places = {0, length // 2, length - 1, max(0, length - 17), min(length - 1, 15), min(length - 1, 200)}
    rows = {counters.find_row(0, path[:place] + b"y" + path[place + 1 :]) for place in places}
    assert len(rows) == len(places)
    assert whole not in rows
    assert 0 not in rows
    assert counters.find_row(0, path) == whole


def test_workers_add_up() -> None:
    table = layout.create(8, ["main"], workers=3)
    workers = [Counters(table, number) for number in range(3)]
    for number, counters in enumerate(workers):
        counters.add(counters.find_row(0, b"/a"), BYTES, 10**number, repeat=3)
    assert [counters.total_of(1, BYTES) for counters in workers] == [333] * 3
    assert workers[0].total_of(1, REQUESTS) == 0


def test_a_full_table_counts_under_other() -> None:
    table = layout.create(8, ["main", "api"], workers=1)
    counters = Counters(table, 0)
    rows = [counters.find_row(0, b"/%d" % number) for number in range(10)]
    assert rows == [2, 3, 4, 5, 6, 7, 0, 0, 0, 0]
    assert counters.find_row(1, b"/new") == 1
    assert counters.find_row(0, b"/3") == 5, "what has a row keeps it"
    taken = snapshot(table)
    assert taken.workers[0].exchanges_full == 5
    assert taken.workers[0].rows_claimed == 6
    assert taken.rows_taken == 8


def test_a_crowded_index_counts_under_other() -> None:
    table = layout.create(64, ["main"], workers=1)
    where = layout.read_header(table).places
    strange = (0xABCDEF << layout.INDEX_ROW_BITS | 1).to_bytes(8, "little")
    table[where.index_at : where.index_at + 8 * where.index_entries] = strange * where.index_entries
    counters = Counters(table, 0)
    assert counters.find_row(0, b"/a") == 0
    assert snapshot(table).workers[0].exchanges_crowded == 1


def test_the_hash_is_seeded() -> None:
    def hashes() -> list[int]:
        table = layout.create(64, ["main"], workers=1)
        counters = Counters(table, 0)
        for number in range(20):
            counters.find_row(0, b"/%d" % number)
        at = layout.read_header(table).places.directory_at
        return [layout.read(table, at + row * layout.DIRECTORY_BYTES, layout.DIRECTORY, "hash") for row in range(1, 21)]

    assert not set(hashes()) & set(hashes())


def test_the_hash_spreads() -> None:
    """Like thrown balls: of 16384 places, 4095 similar paths take nearly 3622."""
    table = layout.create(4096, ["main"], workers=1)
    counters = Counters(table, 0)
    for number in range(4095):
        counters.find_row(0, b"/articles/%d/comments" % number)
    where = layout.read_header(table).places
    places = {
        layout.read(table, where.directory_at + row * layout.DIRECTORY_BYTES, layout.DIRECTORY, "hash")
        % where.index_entries
        for row in range(1, 4096)
    }
    expected = where.index_entries * (1 - (1 - 1 / where.index_entries) ** 4095)
    assert abs(len(places) - expected) < 150


def in_processes(table: layout.Table, work: Callable[[Counters], None]) -> None:
    """Runs `work` in one forked process per worker, all let go at the same moment."""
    workers = layout.read_header(table).workers
    gate, opener = os.pipe()
    children = []
    for worker in range(workers):
        child = os.fork()
        if child == 0:
            status = 1
            try:
                os.close(opener)
                counters = Counters(table, worker)
                os.read(gate, 1)
                work(counters)
                status = 0
            finally:
                os._exit(status)
        children.append(child)
    os.close(gate)
    os.close(opener)
    assert [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children] == [0] * workers


def stock(taken: Snapshot, table: layout.Table) -> None:
    """No row is there twice, and none is lost: each is a series' or some worker's spare."""
    keys = [(series.route, series.path, series.path_bytes) for series in taken.series if not series.is_other]
    assert len(keys) == len(set(keys))
    where = layout.read_header(table).places
    spares = [
        layout.read(table, where.workers_at + number * where.worker_bytes, layout.WORKER, "spare_row")
        for number in range(len(taken.workers))
    ]
    held = [spare - 1 for spare in spares if spare]
    assert sorted([series.row for series in taken.series] + held) == list(range(taken.rows_taken))


def test_processes_that_race_for_the_same_paths() -> None:
    table = layout.create(2048, ["main"], workers=4)
    paths = [b"/race/%d" % number for number in range(1500)]

    def work(counters: Counters) -> None:
        for path in paths:
            counters.add(counters.find_row(0, path), REQUESTS, 1)
        order = paths * 4
        random.Random(counters.worker).shuffle(order)
        for path in order:
            row = counters.find_row(0, path)
            counters.add(row, REQUESTS, 1)
            counters.add(row, BYTES, len(path))
            counters.observe_us(row, 0, 1000)

    in_processes(table, work)
    taken = snapshot(table)
    stock(taken, table)
    counts = {series.path.encode(): series for series in taken.series}
    assert counts.pop(b"(other)").counters.requests == 0
    assert set(counts) == set(paths)
    assert {series.counters.requests for series in counts.values()} == {20}
    assert all(series.counters.response_body_bytes == 16 * len(path) for path, series in counts.items())
    assert {sum(series.total) for series in counts.values()} == {16}
    assert sum(worker.rows_claimed for worker in taken.workers) == len(paths)


def test_processes_that_race_for_the_last_rows() -> None:
    table = layout.create(300, ["main"], workers=4)

    def work(counters: Counters) -> None:
        for number in range(200):
            for path in (b"/own/%d/%d" % (counters.worker, number), b"/shared/%d" % number):
                counters.add(counters.find_row(0, path), REQUESTS, 1)

    in_processes(table, work)
    taken = snapshot(table)
    stock(taken, table)
    assert taken.rows_taken == 300
    assert sum(series.counters.requests for series in taken.series) == 4 * 400
    lost = sum(worker.exchanges_full for worker in taken.workers)
    assert taken.series[0].counters.requests == lost > 0


def test_a_successor_goes_on() -> None:
    """Counters, and the row that was held when the predecessor died, are taken over."""
    table = layout.create(8, ["main"], workers=1)
    first = Counters(table, 0)
    row = first.find_row(0, b"/a")
    first.add(row, REQUESTS, 5)
    where = layout.read_header(table).places
    layout.write(table, 0, layout.HEADER, rows_taken=3)
    layout.write(table, where.workers_at, layout.WORKER, spare_row=3)
    second = Counters(table, 0)
    assert second.find_row(0, b"/a") == row
    second.add(row, REQUESTS, 1)
    assert second.total_of(row, REQUESTS) == 6
    assert second.find_row(0, b"/b") == 2, "the spare row"
    assert second.find_row(0, b"/c") == 3, "a fresh one"


def test_a_successor_does_not_give_a_published_row_again() -> None:
    """The predecessor was killed between publishing its row and noting that it had."""
    table = layout.create(8, ["main"], workers=1)
    row = Counters(table, 0).find_row(0, b"/a")
    layout.write(table, layout.read_header(table).places.workers_at, layout.WORKER, spare_row=row + 1)
    counters = Counters(table, 0)
    assert counters.find_row(0, b"/b") != row
    assert counters.find_row(0, b"/a") == row


def exact_bucket(us: int) -> int:
    """By the definition, in whole numbers: the least i with us <= 2^((i + 1) / 8), that is us^8 <= 2^(i + 1)."""
    return min(BUCKETS_USED - 1, max(0, bisect_left(range(400), us**8, key=lambda i: 2 ** (i + 1))))


def test_buckets_are_opentelemetrys() -> None:
    durations = set(range(-1, 3000))
    for bucket in range(BUCKETS_USED + 8):
        near = int(Fraction(2 ** ((bucket + 1) // 8)) * Fraction(2.0 ** ((bucket + 1) % 8 / 8)))
        durations |= {near - 1, near, near + 1}
    durations |= {10**8, 1 << 27, (1 << 27) + 1, 1 << 40, (1 << 63) - 1, -(1 << 63)}
    table = layout.create(4, ["main"], workers=1)
    counters = Counters(table, 0)
    where = layout.read_header(table).places
    at = where.workers_at + where.histograms_at + 256 * 4
    with memoryview(table) as view, view[at : at + 256 * 4].cast("I") as histogram:
        for us in sorted(durations):
            expected = exact_bucket(max(us, 1))
            before = histogram[expected]
            counters.observe_us(0, 1, us)
            assert histogram[expected] == before + 1, us
        assert sum(histogram) == len(durations)


def test_a_bucket_saturates() -> None:
    table = layout.create(4, ["main"], workers=1)
    counters = Counters(table, 0)
    where = layout.read_header(table).places
    at = where.workers_at + where.histograms_at
    with memoryview(table) as view, view[at : at + 256 * 4].cast("I") as histogram:
        histogram[exact_bucket(1000)] = 2**32 - 2
        counters.observe_us(0, 0, 1000, repeat=5)
        assert histogram[exact_bucket(1000)] == 2**32 - 1
        assert sum(histogram) == 2**32 - 1


def test_what_is_out_of_range_is_refused() -> None:
    table = layout.create(8, ["main"], workers=1)
    counters = Counters(table, 0)
    for refused in (
        lambda: counters.find_row(1, b"/"),
        lambda: counters.add(8, 0, 1),
        lambda: counters.add(0, 128, 1),
        lambda: counters.observe_us(0, 2, 1),
        lambda: counters.observe_part_us(0, 5, 1),
        lambda: counters.total_of(-1, 0),
    ):
        with pytest.raises(IndexError):
            refused()
    with pytest.raises(ValueError):
        Counters(table, 1)
    with layout.attach(os.dup(table.fd)) as reading, pytest.raises(ValueError, match="reading only"):
        Counters(reading, 0)
    with pytest.raises(BufferError):
        table.close()


# A time of the build that people use: others check or trace each step.
@pytest.mark.alone
@pytest.mark.figures
def test_counting_is_cheap() -> None:
    """Well below the 0.3 us that counting may cost per exchange, on a machine that is not idle."""
    table = layout.create(4096, ["main"], workers=1)
    counters = Counters(table, 0)
    path = b"/assets/images/logo-large.png?"
    turns = 100_000

    def cost_ns(work: Callable[[], object]) -> float:
        times = []
        for _ in range(5):
            started = time.process_time_ns()
            work()
            times.append(time.process_time_ns() - started)
        return min(times) / turns

    assert cost_ns(lambda: counters.find_row(0, path, turns)) < 100
    assert cost_ns(lambda: counters.observe_us(1, 0, 12345, turns)) < 30
