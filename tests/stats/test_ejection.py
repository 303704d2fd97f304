"""Never too many are ejected, whoever ejects, and each for as long as it should."""

from __future__ import annotations

import fcntl
import os
import random
import time
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from weir.stats import layout
from weir.stats.ejection import EJECT_LOCK_AT, eject, ejections_now, most_ejected
from weir.stats.roster import Standing, standing, standings

SECOND = 1_000_000


def make(endpoints: int) -> layout.Table:
    return layout.create(8, ["main"], 1, endpoints=[("app", f":{n}") for n in range(endpoints)])


@pytest.fixture
def table() -> Iterator[layout.Table]:
    with make(4) as made:
        yield made


def out(table: layout.Table, number: int, now_us: int, *, percent: int = 50, members: int = 4) -> bool:
    return eject(
        table,
        number,
        range(members),
        1,
        percent=percent,
        time_us=10 * SECOND,
        max_time_us=35 * SECOND,
        now_us=now_us,
    )


def test_each_in_a_row_takes_longer_up_to_a_limit(table: layout.Table) -> None:
    now, lasted = SECOND, []
    for _ in range(5):
        assert out(table, 0, now)
        assert not out(table, 0, now + 1), "it is ejected already"
        until = standing(table, 0).ejected_until_us
        lasted.append((until - now) // SECOND)
        now = until
    assert lasted == [10, 20, 30, 35, 35]
    assert standing(table, 0).ejections_made == 5


@given(st.integers(0, 50), st.integers(0, 100 * SECOND), st.integers(1, 20 * SECOND))
def test_time_forgives(ejections: int, spent_us: int, time_us: int) -> None:
    before = Standing(ejections=ejections, ejected_until_us=7 * SECOND)
    left = ejections_now(before, 7 * SECOND + spent_us, time_us)
    assert left == max(ejections - spent_us // time_us, 0)
    assert ejections_now(before, 0, time_us) == ejections, "while it lasts nothing is forgiven"


@given(st.integers(0, 1000), st.integers(0, 100))
def test_somebody_is_always_left(members: int, percent: int) -> None:
    most = most_ejected(members, percent)
    assert 0 <= most <= max(members - 1, 0)
    assert most == 0 or most <= max(members * percent // 100, 1)
    assert (most == 0) == (percent == 0 or members < 2)


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 8 * SECOND)), max_size=40), st.integers(0, 100))
def test_the_cap_holds_at_every_moment(tries: list[tuple[int, int]], percent: int) -> None:
    now = SECOND
    with make(6) as table:
        for number, later_us in tries:
            now += later_us
            out(table, number, now, percent=percent, members=6)
            ejected = sum(one.ejected_until_us > now for one in standings(table))
            assert ejected <= most_ejected(6, percent)


def test_the_cap_holds_among_processes() -> None:
    members, percent, found = 40, 25, 0
    for _round in range(10):
        with make(members) as table:
            children = []
            begin = time.monotonic() + 0.05
            for _ in range(4):
                pid = os.fork()
                if pid == 0:
                    numbers = random.sample(range(members), members)
                    while time.monotonic() < begin:
                        pass
                    for number in numbers * 3:
                        out(table, number, SECOND, percent=percent, members=members)
                    os._exit(0)
                children.append(pid)
            for pid in children:
                assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
            ejected = [one for one in standings(table) if one.ejected_until_us > SECOND]
            assert len(ejected) == most_ejected(members, percent)
            assert all(one.ejections == one.ejections_made == 1 for one in ejected)
            found += 1
    assert found == 10


def test_nobody_waits_for_one_that_was_stopped_with_the_lock(table: layout.Table) -> None:
    parent, child = os.pipe()
    pid = os.fork()
    if pid == 0:
        fcntl.lockf(table.fd, fcntl.LOCK_EX, 1, EJECT_LOCK_AT)
        os.write(child, b"x")
        time.sleep(60)
        os._exit(0)
    os.read(parent, 1)
    try:
        began = time.monotonic()
        assert not out(table, 0, SECOND)
        assert time.monotonic() - began < 5
    finally:
        os.kill(pid, 9)
        os.waitpid(pid, 0)
        os.close(parent)
        os.close(child)
    assert out(table, 0, SECOND), "the kernel has let go of it"


def test_there_must_be_such_an_endpoint(table: layout.Table) -> None:
    with pytest.raises(ValueError, match="endpoint 4 of 4"):
        out(table, 4, SECOND)
