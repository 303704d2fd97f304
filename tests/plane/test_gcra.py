"""The rate limiter: exact against a model, between processes, and when somebody is killed in the middle."""

from __future__ import annotations

import mmap
import os
import random
import signal
import time
from collections.abc import Callable
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from weir.config.plan import RateLimitPlan
from weir.plane.gcra import RateLimit
from weir.stats import rules

SECOND = 1_000_000_000
START = 1000 * SECOND


def limit(rate: tuple[int, int] = (10, 1000), *, keys: int = 1000, burst: int = 0, delay: int = 0) -> RateLimit:
    return RateLimit(rules.create(1, keys), 0, RateLimitPlan("client", rate, burst=burst, delay=delay))


class Bucket:
    """A token bucket, which may owe `delay` tokens: what GCRA is equal to."""

    def __init__(self, interval_ns: int, burst: int, delay: int) -> None:
        self.interval, self.burst, self.delay = interval_ns, burst, delay
        self.tokens = Fraction(burst)
        self.at = 0

    def ask(self, now: int) -> int:
        self.tokens = min(Fraction(self.burst), self.tokens + Fraction(now - self.at, self.interval))
        self.at = now
        missing = 1 - self.tokens  # until this one has its token
        if missing > self.delay:
            return -int((missing - self.delay) * self.interval)
        self.tokens -= 1
        return max(0, int(missing * self.interval))


STEPS = st.lists(
    st.tuples(st.integers(0, 3), st.one_of(st.just(0), st.integers(0, 10**7), st.integers(0, 10**11))), max_size=80
)


@settings(max_examples=300, deadline=None)
@given(
    rate=st.sampled_from([(1, 1000), (3, 1000), (7, 60_000), (100, 1000), (1_000_000, 1000), (1, 3_600_000)]),
    burst=st.integers(1, 8),
    delay=st.integers(0, 4),
    steps=STEPS,
)
def test_it_is_a_token_bucket_for_each_key(
    rate: tuple[int, int], burst: int, delay: int, steps: list[tuple[int, int]]
) -> None:
    tested = limit(rate, burst=burst, delay=delay)
    interval = -(-rate[1] * 1_000_000 // rate[0])
    model = [Bucket(interval, burst, delay) for _ in range(4)]
    now = START
    for key, later in steps:
        now += later
        assert tested.ask(b"key %d" % key, now) == model[key].ask(now)


def test_a_refusal_costs_nothing_and_says_exactly_when() -> None:
    tested = limit((10, 1000), burst=2)
    assert [tested.ask(b"a", START) for _ in range(4)] == [0, 0, -SECOND // 10, -SECOND // 10]
    assert tested.ask(b"a", START + SECOND // 10 - 1) == -1
    assert tested.ask(b"a", START + SECOND // 10) == 0
    assert tested.ask(b"b", START) == 0


def test_the_burst_is_the_rate_unless_it_is_given() -> None:
    assert [limit((3, 60_000)).ask(b"a", START, n) for n in (3, 4)] == [0, -20 * SECOND]


def test_a_charge_can_be_given_back() -> None:
    tested = limit((1, 1000), burst=3)
    assert [tested.ask_and_give_back(b"a", START) for _ in range(5)] == [0] * 5
    assert [tested.ask(b"a", START) for _ in range(4)] == [0, 0, 0, -SECOND]
    assert tested.ask_and_give_back(b"a", START) == -SECOND
    assert tested.ask(b"a", START) == -SECOND


def test_kinds_of_keys_are_kept_apart() -> None:
    tested = limit((1, 1000))
    assert [tested.ask(b"a", START, salt=salt) for salt in (0, 1, 0)] == [0, 0, -SECOND]


def test_as_many_keys_as_promised_have_their_records() -> None:
    memory = rules.create(1, 10_000)
    tested = RateLimit(memory, 0, RateLimitPlan("client", (1, 1000)))
    keys = [b"key %d" % n for n in range(10_000)]
    assert all(tested.ask(key, START) == 0 for key in keys)
    remembered = sum(tested.ask(key, START) < 0 for key in keys)
    assert remembered > 9_900
    assert rules.read_counters(memory, rules.LIMIT_COUNTERS)["crowded"] == 0
    # A second later all of them are free, and others take their places; that a bucket is full then is a rare accident.
    before = rules.read_counters(memory, rules.LIMIT_COUNTERS)["evicted"]
    assert all(tested.ask(b"other %d" % n, START + 2 * SECOND) == 0 for n in range(5_000))
    assert rules.read_counters(memory, rules.LIMIT_COUNTERS)["evicted"] <= before + 5


def test_a_flood_of_keys_pushes_out_those_that_owe_least() -> None:
    memory = rules.create(1, 100)
    tested = RateLimit(memory, 0, RateLimitPlan("client", (1, 1000), burst=50))
    busy = [b"busy %d" % n for n in range(20)]
    for key in busy:
        assert tested.ask(key, START, 60) < 0
    for n in range(100_000):
        assert tested.ask(b"flood %d" % n, START) == 0
    assert rules.read_counters(memory, rules.LIMIT_COUNTERS)["evicted"] > 99_000
    assert all(tested.ask(key, START) < 0 for key in busy)


def test_nobody_is_refused_because_a_bucket_cannot_be_had() -> None:
    memory = rules.create(1, 1)  # one bucket
    tested = RateLimit(memory, 0, RateLimitPlan("client", (1, 1000)))
    assert tested.ask(b"a", START) == 0
    tested.hold(b"b", START)
    started = time.process_time()
    assert tested.ask(b"b", START) == 0
    assert time.process_time() - started < 1
    assert tested.ask(b"a", START) == -SECOND, "whoever has a place needs no lock"
    assert rules.read_counters(memory, rules.LIMIT_COUNTERS)["crowded"] == 1


@pytest.mark.parametrize("claim", [False, True])
def test_a_lock_of_somebody_who_was_killed_is_taken_over(claim: bool) -> None:
    memory = rules.create(1, 1)
    tested = RateLimit(memory, 0, RateLimitPlan("client", (1, 1000)))
    assert tested.ask(b"a", START) == 0
    tested.hold(b"a", START, claim)
    later = START + SECOND // 10
    assert tested.ask(b"b", later) == 0
    assert tested.ask(b"b", later) < 0
    assert tested.ask(b"a", later) == (0 if claim else -SECOND * 9 // 10)
    assert tested.ask(b"a", later) < 0
    assert rules.read_counters(memory, rules.LIMIT_COUNTERS)["crowded"] == 0


def test_only_the_memory_of_a_rule_will_do() -> None:
    plan = RateLimitPlan("client", (1, 1000))
    with pytest.raises(ValueError, match="not the memory of a rule"):
        RateLimit(mmap.mmap(-1, 8192), 0, plan)
    with pytest.raises(ValueError, match="worker 2 of 2"):
        RateLimit(rules.create(2, 10), 2, plan)
    with pytest.raises(ValueError, match="without places"):
        RateLimit(rules.create(2), 0, plan)


# -- several processes ------------------------------------------------------------------------------------


def in_processes(count: int, work: Callable[[int], None]) -> list[int]:
    """Runs work(number) in processes of their own, all beginning together; their ids."""
    gate, opened = os.pipe()
    pids = []
    for number in range(count):
        pid = os.fork()
        if pid == 0:
            status = 1
            try:
                os.close(opened)
                os.read(gate, 1)
                work(number)
                status = 0
            finally:
                os._exit(status)
        pids.append(pid)
    os.close(gate)
    os.close(opened)
    return pids


def wait_for(pids: list[int]) -> None:
    for pid in pids:
        _pid, status = os.waitpid(pid, 0)
        assert os.waitstatus_to_exitcode(status) == 0


def test_workers_that_want_the_same_key_get_it_exactly_as_often_as_allowed() -> None:
    memory = rules.create(4, 100)
    plan = RateLimitPlan("all", (1, 1000), burst=50_000)

    def work(number: int) -> None:
        RateLimit(memory, number, plan).spend([b"all"] * 40_000, START)

    wait_for(in_processes(4, work))
    counts = rules.read_counters(memory, rules.LIMIT_COUNTERS)
    assert counts["passed"] - counts["crowded"] == 50_000
    assert counts["crowded"] < 100


def test_workers_that_meet_new_keys_at_the_same_moment_give_each_one_record() -> None:
    memory = rules.create(4, 40_000)
    plan = RateLimitPlan("client", (1, 1000), burst=3)
    keys = [b"key %d" % n for n in range(10_000)]

    def work(number: int) -> None:
        mine = keys * 4
        # All go the same way, a little apart, so that many a key is new to two of them at once.
        RateLimit(memory, number, plan).spend(mine[number:] + mine[:number], START)

    wait_for(in_processes(4, work))
    counts = rules.read_counters(memory, rules.LIMIT_COUNTERS)
    assert counts["evicted"] == 0
    assert counts["passed"] - counts["crowded"] == 3 * len(keys)


def test_a_rate_holds_over_workers_in_real_time() -> None:
    memory = rules.create(4, 100)
    plan = RateLimitPlan("all", (20_000, 1000), burst=4_000)  # a fifth of a second, in which perhaps nobody runs

    def work(number: int) -> None:
        tested = RateLimit(memory, number, plan)
        end = time.monotonic_ns() + SECOND
        while (now := time.monotonic_ns()) < end:
            tested.spend([b"all"] * 10, now)

    started = time.monotonic_ns()
    wait_for(in_processes(4, work))
    counts = rules.read_counters(memory, rules.LIMIT_COUNTERS)
    passed = counts["passed"] - counts["crowded"]
    assert 20_000 <= passed <= (time.monotonic_ns() - started) * 20_000 // SECOND + 4_000


def test_kills_cost_no_more_than_what_was_on_its_way() -> None:
    memory = rules.create(4, 3_000)
    plan = RateLimitPlan("client", (1, 3_600_000), burst=5)
    keys = [b"key %d" % n for n in range(1_000)]
    kills, dice = 60, random.Random(5)

    def work(number: int) -> None:
        tested = RateLimit(memory, number, plan)
        mine = keys * 3
        dice.shuffle(mine)
        while True:
            tested.spend(mine, time.monotonic_ns())

    pids = in_processes(3, work)
    for turn in range(kills):
        time.sleep(dice.uniform(0.002, 0.02))
        number = turn % 3
        os.kill(pids[number], signal.SIGKILL)
        os.waitpid(pids[number], 0)
        pids[number : number + 1] = in_processes(1, lambda _n, number=number: work(number))  # type: ignore[misc]
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
    tested = RateLimit(memory, 3, plan)
    time.sleep(0.15)  # so that a lock that is left is known to be nobody's
    for _ in range(6):
        tested.spend(keys, time.monotonic_ns())
    counts = rules.read_counters(memory, rules.LIMIT_COUNTERS)
    charged = counts["passed"] - counts["crowded"]
    # Killed between charging and counting: one is lost. Killed while it makes a place: a record may begin anew.
    assert 5 * len(keys) - kills - 3 <= charged <= 5 * len(keys) + 5 * (kills + 3)
    assert all(tested.ask(key, time.monotonic_ns()) < 0 for key in keys)
