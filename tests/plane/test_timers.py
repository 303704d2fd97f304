from __future__ import annotations

import random
from functools import partial
from typing import Any

import pytest

from weir.plane.clock import Clock
from weir.plane.timers import Alarms

TICK_MS = 8


@pytest.fixture
def clock() -> Clock:
    return Clock(fake=True)


def test_rings_once_and_not_before(clock: Clock) -> None:
    alarms = Alarms(clock)
    rung: list[Any] = []
    alarm = alarms.arm(lambda: rung.append(clock.now_us // 1000), 100)
    start = clock.now_us // 1000
    for _ in range(300):
        clock.advance(1000)
        alarms.expire()
    assert len(rung) == 1
    assert 100 <= rung[0] - start <= 100 + TICK_MS
    assert alarms.linked == 0
    del alarm


def test_next_ms_leads_to_the_slot(clock: Clock) -> None:
    alarms = Alarms(clock)
    rung: list[Any] = []
    assert alarms.next_ms() == -1
    alarm = alarms.arm(lambda: rung.append(1), 5_000)
    wait = alarms.next_ms()
    assert 5_000 <= wait <= 5_000 + TICK_MS
    clock.advance(wait * 1000)
    alarms.expire()
    assert rung == [1]
    assert alarms.next_ms() == -1
    del alarm


def test_later_deadline_is_lazy_and_kept(clock: Clock) -> None:
    alarms = Alarms(clock)
    rung: list[Any] = []
    alarm = alarms.arm(lambda: rung.append(1), 100)
    alarms.arm(None, 1_000, alarm)
    clock.advance(500_000)
    alarms.expire()
    assert rung == []
    clock.advance(510_000)
    alarms.expire()
    assert rung == [1]


def test_earlier_deadline_moves(clock: Clock) -> None:
    alarms = Alarms(clock)
    rung: list[Any] = []
    alarm = alarms.arm(lambda: rung.append(1), 10_000)
    alarms.arm(None, 50, alarm)
    clock.advance(60_000)
    alarms.expire()
    assert rung == [1]


def test_disarmed_never_rings_and_is_unlinked_when_met(clock: Clock) -> None:
    alarms = Alarms(clock)
    rung: list[Any] = []
    alarm = alarms.arm(lambda: rung.append(1), 50)
    alarms.disarm(alarm)
    clock.advance(100_000)
    alarms.expire()
    assert rung == []
    assert alarms.linked == 0


def test_dead_owner_leaves_the_wheel(clock: Clock) -> None:
    alarms = Alarms(clock)
    alarm = alarms.arm(lambda: None, 50)
    assert alarms.linked == 1
    del alarm
    assert alarms.linked == 0


def test_beyond_one_round_of_the_wheel(clock: Clock) -> None:
    alarms = Alarms(clock)
    rung: list[Any] = []
    alarm = alarms.arm(lambda: rung.append(1), 100_000)
    for _ in range(99):
        clock.advance(1_000_000)
        alarms.expire()
    assert rung == []
    clock.advance(1_010_000)
    alarms.expire()
    assert rung == [1]
    del alarm


def test_a_jump_of_the_clock_serves_everything_due(clock: Clock) -> None:
    alarms = Alarms(clock)
    rung: list[Any] = []
    held = [alarms.arm(partial(rung.append, n), n * 7) for n in range(2_000)]
    clock.advance(3_600_000_000)
    alarms.expire()
    alarms.expire()
    assert sorted(rung) == list(range(2_000))
    assert alarms.linked == 0
    del held


def test_an_owner_may_arm_and_disarm_while_it_rings(clock: Clock) -> None:
    alarms = Alarms(clock)
    rung: list[Any] = []
    other = alarms.arm(lambda: rung.append("other"), 40)

    def ring() -> None:
        rung.append("first")
        alarms.disarm(other)
        alarms.arm(None, 40, first)

    first = alarms.arm(ring, 40)
    # Both stand in one slot; the one armed last rings last, so `other` may ring before it is disarmed.
    clock.advance(50_000)
    alarms.expire()
    assert rung.count("first") == 1
    clock.advance(50_000)
    alarms.expire()
    assert rung.count("first") == 2


def test_an_exception_of_an_owner_loses_no_other_alarm(clock: Clock) -> None:
    alarms = Alarms(clock)
    rung: list[Any] = []

    def fail() -> None:
        raise RuntimeError("ring")

    held = [alarms.arm(fail, 16), alarms.arm(lambda: rung.append(1), 16), alarms.arm(lambda: rung.append(2), 16)]
    clock.advance(30_000)
    with pytest.raises(RuntimeError, match="ring"):
        alarms.expire()
    clock.advance(30_000)
    alarms.expire()
    assert sorted(rung) == [1, 2]
    del held


def test_an_exception_of_an_owner_delays_no_other_alarm(clock: Clock) -> None:
    alarms = Alarms(clock)
    rung: list[Any] = []

    def fail() -> None:
        raise RuntimeError("ring")

    held = [alarms.arm(fail, 16), alarms.arm(lambda: rung.append(1), 16), alarms.arm(lambda: rung.append(2), 48)]
    clock.advance(64_000)
    with pytest.raises(RuntimeError, match="ring"):
        alarms.expire()
    clock.advance(8_000)
    alarms.expire()
    assert sorted(rung) == [1, 2]
    assert alarms.next_ms() == -1
    del held


def test_random_deadlines_against_a_plain_list(clock: Clock) -> None:
    rng = random.Random(7)
    alarms = Alarms(clock)
    rung: dict[int, int] = {}
    due: dict[int, int] = {}
    held: dict[int, Any] = {}

    def ring(number: int) -> None:
        rung[number] = clock.now_us // 1000

    for step in range(3_000):
        number = rng.randrange(200)
        after = rng.choice((3, 30, 300, 3_000, 40_000))
        held[number] = alarms.arm(partial(ring, number), after, held.get(number))
        due[number] = clock.now_us // 1000 + after
        clock.advance(rng.randrange(20_000))
        alarms.expire()
        now = clock.now_us // 1000
        for n in [n for n, at in due.items() if at + 2 * TICK_MS < now]:
            assert rung.pop(n, None) is not None, f"alarm {n} is {now - due[n]} ms late at step {step}"
            del due[n]
        for n in list(rung):
            assert due.get(n, now) <= now + TICK_MS
            rung.pop(n)
            due.pop(n, None)
