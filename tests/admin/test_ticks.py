"""What watchers share, and what a slow one may cost."""

from __future__ import annotations

import pytest

from tests.admin.rig import Counted
from weir.admin.ticks import LostError, Ticks
from weir.stats.frame import Frame, take


class Table(Counted):
    """Frames at moments that a test says."""

    newest: Frame

    def tick(self, at_us: int) -> None:
        self.newest = take(self.table).spanning(0, at_us)

    def take(self) -> Frame:
        return self.newest


def requests(frame: Frame) -> int:
    return sum(frame.column(0))


@pytest.fixture
def table() -> Table:
    made = Table()
    made.count(b"/a", 5)
    made.tick(1000)
    return made


def test_each_step_is_the_difference_to_the_one_before(table: Table) -> None:
    ticks: Ticks[int] = Ticks(table.take)
    watcher = ticks.begin()
    for number in range(1, 4):
        table.count(b"/a", number)
        table.tick(1000 + number)
        assert watcher.step("sum", requests) == number
    assert watcher.step("sum", requests) == 0, "nothing has passed since"


def test_the_same_question_is_answered_once_for_all(table: Table) -> None:
    ticks: Ticks[int] = Ticks(table.take)
    asked: list[tuple[int, int]] = []

    def answer(frame: Frame) -> int:
        asked.append((frame.since_us, frame.taken_us))
        return requests(frame)

    crowd = [ticks.begin() for _ in range(50)]
    late = ticks.begin()
    for at in (2000, 3000):
        table.count(b"/a", 2)
        table.tick(at)
        assert [watcher.step("sum", answer) for watcher in crowd] == [2] * 50
    assert asked == [(1000, 2000), (2000, 3000)]
    assert late.step("sum", answer) == 4
    assert late.step("another", answer) == 0
    assert asked[2:] == [(1000, 3000), (3000, 3000)]


def test_who_comes_late_shares_the_frame_of_the_moment(table: Table) -> None:
    """However long it takes to answer all: else each would get a frame of its own, which takes longer still."""
    ticks: Ticks[int] = Ticks(table.take)
    asked: list[tuple[int, int]] = []

    def answer(frame: Frame) -> int:
        asked.append((frame.since_us, frame.taken_us))
        return requests(frame)

    crowd = [ticks.begin() for _ in range(20)]
    for moment in (20_000, 30_000):
        for number, watcher in enumerate(crowd):
            table.count(b"/a")
            table.tick(moment + number)
            assert watcher.step("sum", answer, moment) == (1 if moment == 20_000 else 20)
    assert asked == [(1000, 20_000), (20_000, 30_000)]
    # Nobody gets a frame from before its moment, nor the one it has had.
    assert crowd[0].step("sum", answer, 30_020) == 19
    assert crowd[0].step("sum", answer, 30_000) == 0


def test_watchers_of_two_intervals_do_not_undo_what_the_others_share(table: Table) -> None:
    ticks: Ticks[int] = Ticks(table.take)
    calls = 0

    def answer(frame: Frame) -> int:
        nonlocal calls
        calls += 1
        return requests(frame)

    often, seldom = [[ticks.begin() for _ in range(10)] for _ in range(2)]
    for at in (2000, 3000):
        table.count(b"/a")
        table.tick(at)
        if at == 2000:
            assert [watcher.step("sum", answer) for watcher in often] == [1] * 10
    calls = 0
    steps = [watcher.step("sum", answer) for pair in zip(often, seldom, strict=True) for watcher in pair]
    assert steps == [1, 2] * 10
    assert calls == 2


def test_slow_watchers_are_exact_and_bounded(table: Table) -> None:
    ticks: Ticks[int] = Ticks(table.take)
    slow = []
    for number in range(40):
        slow.append(ticks.begin())
        table.count(b"/%d" % number)
        table.tick(2000 + number)
    fast = ticks.begin()
    assert 0 < ticks.held_bytes < 40 * 4096
    assert [watcher.step("sum", requests) for watcher in slow] == list(range(40, 0, -1))
    assert ticks.held_bytes == 0
    for watcher in (*slow, fast):
        watcher.close()


def test_the_slowest_loses_its_place_when_all_hold_too_much(table: Table) -> None:
    one = len(table.newest.pack())
    ticks: Ticks[int] = Ticks(table.take, held_bytes=3 * one)
    slow = []
    for number in range(6):
        slow.append(ticks.begin())
        table.count(b"/a")
        table.tick(2000 + number)
    fast = ticks.begin()
    assert ticks.held_bytes <= 3 * one
    with pytest.raises(LostError):
        slow[0].step("sum", requests)
    assert slow[-1].step("sum", requests) == 1
    assert fast.step("sum", requests) == 0
    for watcher in (*slow, fast):
        watcher.close()
    assert ticks.held_bytes == 0


def test_answers_are_not_kept_without_end(table: Table) -> None:
    ticks: Ticks[int] = Ticks(table.take)
    watchers = [ticks.begin() for _ in range(300)]
    table.count(b"/a", 3)
    table.tick(2000)
    assert [watcher.step(number, requests) for number, watcher in enumerate(watchers)] == [3] * 300
    assert len(ticks._answers) <= 64
    for watcher in watchers:
        watcher.close()
    assert not ticks._answers
    assert not ticks._deltas
