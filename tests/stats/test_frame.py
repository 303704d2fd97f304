"""Frames: the same figures as the plain reader, and sums, differences and packing that lose nothing."""

from __future__ import annotations

import gc
import math
import pickle
import random
import struct
import time
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from weir.plane.counters import Counters
from weir.reasons import Reason
from weir.stats import layout
from weir.stats.columns import COUNTERS, REASONS_AT
from weir.stats.frame import Frame, empty, from_series, quantile_of, take, unpack
from weir.stats.reader import BUCKETS_USED, snapshot

REQUESTS, ERRORS = 0, 8
ERROR_BOUND = 2 ** (1 / 16) - 1

Counted = list[tuple[int, int, int]]
# What is counted: (path, worker, microseconds).
counted = st.lists(
    st.tuples(st.integers(0, 6), st.integers(0, 1), st.integers(0, 2**30)),
    max_size=30,
)


def made(rows: int = 16) -> layout.Table:
    return layout.create(rows, ["main"], workers=2, spare_routes=1)


def count(table: layout.Table, what: Counted) -> None:
    workers = [Counters(table, number) for number in range(2)]
    for path, worker, us in what:
        row = workers[worker].find_row(0, b"/%d" % path)
        workers[worker].add(row, REQUESTS, 1)
        workers[worker].observe_us(row, 0, us)
        workers[worker].observe_us(row, 1, us // 2)
        if path == 3:
            workers[worker].add(row, ERRORS, 1)
            workers[worker].add(row, REASONS_AT + Reason.CLIENT_CLOSED, 1)


def figures(frame: Frame) -> dict[int, tuple[list[int], ...]]:
    return {
        key: (frame.counters(i), frame.reasons(i), frame.histogram(i, 0), frame.histogram(i, 1))
        for i, key in enumerate(frame.keys)
    }


@given(counted)
def test_a_frame_says_what_the_plain_reader_says(what: Counted) -> None:
    table = made()
    count(table, what)
    frame = take(table)
    plain = {series.row: series for series in snapshot(table).series if series.counters.requests}
    assert frame.keys == sorted(plain)
    assert len(frame) == len(plain)
    for index, key in enumerate(frame.keys):
        series = plain[key]
        assert frame.index(key) == index
        assert frame.counters(index) == list(series.counters)
        assert frame.histogram(index, 0) == list(series.total[:BUCKETS_USED])
        assert frame.histogram(index, 1) == list(series.first_byte[:BUCKETS_USED])
        failed = series.counters.errors
        assert frame.reasons(index)[Reason.CLIENT_CLOSED] == sum(frame.reasons(index)) == failed
    for place in range(len(COUNTERS)):
        assert frame.column(place) == [frame.counters(i)[place] for i in range(len(frame))]
    assert frame.index(10**9) == -1


@given(counted, counted, counted)
def test_a_difference_is_what_came_between_and_the_sum_gives_it_back(
    one: Counted, two: Counted, three: Counted
) -> None:
    table = made()
    count(table, one)
    first = take(table)
    count(table, two)
    second = take(table)
    count(table, three)
    third = take(table)
    alone = made()
    count(alone, two)
    between = second.minus(first)
    # Rows are given as paths appear, so the other table's keys are not the same: compare without them.
    assert sorted(figures(between).values()) == sorted(figures(take(alone)).values())
    assert figures(first.plus(between)) == figures(second)
    assert figures(first.plus(between).plus(third.minus(second))) == figures(third)
    assert figures(first.plus(between.plus(third.minus(second)))) == figures(third)
    assert figures(between.plus(first)) == figures(second)
    assert (between.since_us, between.taken_us) == (first.taken_us, second.taken_us)
    assert len(third.minus(third)) == 0


def test_an_exchange_that_was_half_counted_is_not_lost() -> None:
    """A worker counts a request and observes its time in two steps; a frame may be taken between."""
    table = made()
    counters = Counters(table, 0)
    row = counters.find_row(0, b"/")
    counters.add(row, REQUESTS, 1)
    before = take(table)
    counters.observe_us(row, 0, 1000)
    between = take(table).minus(before)
    assert between.column(REQUESTS) == [0]
    assert sum(between.histogram(0, 0)) == 1


@given(counted)
def test_packed_and_unpacked_it_is_the_same(what: Counted) -> None:
    table = made()
    count(table, what)
    frame = take(table)
    for copy in (unpack(frame.pack()), pickle.loads(pickle.dumps(frame))):
        assert figures(copy) == figures(frame)
        assert (copy.table, copy.since_us, copy.taken_us) == (frame.table, frame.since_us, frame.taken_us)
    series = [(key, frame.pack_series(i)) for i, key in enumerate(frame.keys)]
    random.Random(1).shuffle(series)
    assert figures(from_series(series, frame.table, 0, 0)) == figures(frame)
    assert figures(from_series(series + series, frame.table, 0, 0)) == figures(frame.plus(frame))


@given(counted, st.data())
def test_chosen_and_summed_series(what: Counted, data: st.DataObject) -> None:
    table = made()
    count(table, what)
    frame = take(table)
    chosen = data.draw(st.lists(st.sampled_from(range(len(frame))), unique=True) if len(frame) else st.just([]))
    some = frame.select(chosen)
    assert figures(some) == {frame.keys[i]: figures(frame)[frame.keys[i]] for i in sorted(chosen)}
    total = frame.total(chosen)
    assert total.keys == [0]
    assert total.counters(0) == [sum(some.column(place)) for place in range(len(COUNTERS))]
    assert total.histogram(0, 0) == [
        sum(bucket) for bucket in zip(*(some.histogram(i, 0) for i in range(len(some))), strict=False)
    ] or (not chosen and not any(total.histogram(0, 0)))
    assert figures(frame.total()) == figures(frame.total(range(len(frame))))
    halves = frame.rekey([key // 2 for key in frame.keys], (1, 2, 3))
    assert halves.keys == sorted({key // 2 for key in frame.keys})
    assert halves.table == (1, 2, 3)
    assert sum(halves.column(REQUESTS)) == sum(frame.column(REQUESTS))


@given(st.lists(st.integers(1, 100_000_000), min_size=1, max_size=200), st.floats(0, 1))
def test_a_quantile_is_within_its_bound(times: list[int], share: float) -> None:
    """Nearest rank: the smallest time that is not exceeded by that share of all."""
    table = layout.create(4, ["main"], workers=1)
    counters = Counters(table, 0)
    row = counters.find_row(0, b"/")
    counters.add(row, REQUESTS, len(times))
    for us in times:
        counters.observe_us(row, 0, us)
    frame = take(table)
    true = sorted(times)[max(math.ceil(share * len(times)), 1) - 1]
    (found,) = frame.quantiles(0, share)
    assert abs(found / true - 1) <= ERROR_BOUND * (1 + 1e-9)
    assert found == quantile_of(frame.histogram(0, 0), share)
    assert frame.quantiles(1, share) == [0.0]


def test_frames_of_two_tables_are_kept_apart() -> None:
    one, other = take(made()), take(made())
    for refused in (one.minus, one.plus):
        with pytest.raises(ValueError, match="two different tables"):
            refused(other)


def test_what_is_out_of_range_is_refused() -> None:
    table = made()
    count(table, [(1, 0, 5)])
    frame = take(table)
    for refused in (
        lambda: frame.column(64),
        lambda: frame.column(-1),
        lambda: frame.counters(1),
        lambda: frame.histogram(0, 2),
        lambda: frame.histogram(-1, 0),
        lambda: frame.select([1]),
        lambda: frame.total([1]),
    ):
        with pytest.raises(IndexError):
            refused()
    for wrong in (lambda: frame.quantiles(0, 1.1), lambda: quantile_of([1], 0.5), lambda: frame.rekey([], (0, 0, 0))):
        with pytest.raises(ValueError):
            wrong()


@given(st.binary(max_size=200))
def test_bytes_that_are_no_frame_are_refused(data: bytes) -> None:
    with pytest.raises(ValueError):
        unpack(data)


def test_damaged_bytes_make_a_frame_or_an_error_but_nothing_else() -> None:
    table = made()
    count(table, [(path, 0, 10**path) for path in range(6)])
    packed = take(table).pack()
    chance = random.Random(7)
    outcomes = set()
    for _ in range(3000):
        damaged = bytearray(packed[: chance.randrange(len(packed) + 1)])
        for _ in range(chance.randrange(3)):
            if damaged:
                damaged[chance.randrange(len(damaged))] = chance.randrange(256)
        try:
            unpack(bytes(damaged))
            outcomes.add("frame")
        except ValueError:
            outcomes.add("error")
    assert outcomes == {"frame", "error"}
    for claimed in (2**32 - 1, 1000):
        at = struct.calcsize("<8sqqq")
        with pytest.raises(ValueError, match="cut off"):
            unpack(packed[:at] + struct.pack("<I", claimed) + packed[at + 4 :])


def test_series_that_cannot_be_packed_so_are_refused() -> None:
    def refused(data: bytes) -> str:
        with pytest.raises(ValueError) as error:
            from_series([(1, data)], (0, 0, 0), 0, 0)
        return str(error.value)

    assert "cut off" in refused(b"\x00")
    assert "cut off" in refused(b"\x80")
    assert "malformed" in refused(b"\xff" * 20)
    assert "more numbers" in refused(b"\xff\xff\x03\x01")
    assert from_series([(1, b"\x00\x05")], (0, 0, 0), 0, 0).counters(0)[REQUESTS] == 5


def test_an_empty_frame() -> None:
    frame = empty((1, 2, 3))
    assert (len(frame), frame.keys, frame.table) == (0, [], (1, 2, 3))
    assert figures(unpack(frame.pack())) == {}
    assert sum(sum(numbers) for numbers in figures(frame.total())[0]) == 0


def test_nothing_holds_the_mapping_afterwards() -> None:
    with made() as table:
        count(table, [(1, 0, 5)])
        gc.collect()
        frame = take(table)
    assert table.closed
    assert frame.column(REQUESTS) == [1]


def timed_ms(call: object, turns: int = 5) -> float:
    assert callable(call)
    times = []
    for _ in range(turns):
        started = time.process_time()
        call()
        times.append((time.process_time() - started) * 1000)
    return min(times)


# A time of the build that people use.
@pytest.mark.alone
@pytest.mark.figures
def test_a_full_table_of_four_workers_is_taken_in_some_milliseconds() -> None:
    table = layout.create(4096, ["main"], workers=4)
    times: Sequence[int] = [100, 250, 900]
    for worker in range(4):
        counters = Counters(table, worker)
        for path in range(4095):
            row = counters.find_row(0, b"/%d" % path)
            counters.add(row, REQUESTS, len(times))
            for us in times:
                counters.observe_us(row, 0, us)
    frame = take(table)
    assert len(frame) == 4095
    assert timed_ms(lambda: take(table)) < 40
    assert timed_ms(lambda: frame.quantiles(0, 0.99)) < 10
