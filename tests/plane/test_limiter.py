"""The adaptive limit beside endpoints of a known capacity, with time that is only a number."""

from __future__ import annotations

import heapq
import random
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from weir.plane.limiter import Limiter


@dataclass
class Endpoint:
    """Serves `capacity` requests at a time; the others wait inside it, where nobody sees them."""

    capacity: int
    service_us: Callable[[], float]
    busy: int = 0
    waiting: deque[int] = field(default_factory=deque)


@dataclass
class Outcome:
    """What became of the requests that came after the first `warm_s` seconds."""

    answered: int = 0
    refused: int = 0
    limits: list[int] = field(default_factory=list)

    def limit(self) -> float:
        return sum(self.limits) / len(self.limits)


def simulate(
    limiter: Limiter,
    endpoint: Endpoint,
    *,
    rate: Callable[[float], float],
    seconds: float,
    warm_s: float,
    queue: int = 100,
) -> Outcome:
    """Requests come at random, `rate(t)` a second; a queue of `queue` places stands before the limit."""
    rng = random.Random(7)
    outcome = Outcome()
    events: list[tuple[int, int, str, int]] = []
    held: deque[int] = deque()
    at_us = 0
    number = 0

    def begin(now_us: int) -> None:
        if endpoint.busy < endpoint.capacity:
            endpoint.busy += 1
            serve(now_us, now_us)
        else:
            endpoint.waiting.append(now_us)

    def serve(now_us: int, begun_us: int) -> None:
        nonlocal number
        number += 1
        heapq.heappush(events, (now_us + max(1, int(endpoint.service_us())), number, "done", begun_us))

    heapq.heappush(events, (0, 0, "come", 0))
    while at_us < seconds * 1e6:
        at_us, _, what, begun_us = heapq.heappop(events)
        late = at_us >= warm_s * 1e6
        if what == "come":
            number += 1
            heapq.heappush(events, (at_us + max(1, int(rng.expovariate(rate(at_us / 1e6)) * 1e6)), number, "come", 0))
            if not held and limiter.take(at_us):
                begin(at_us)
            elif len(held) < queue:
                held.append(at_us)
            else:
                outcome.refused += late
        else:
            outcome.answered += late
            endpoint.busy -= 1
            if endpoint.waiting:
                endpoint.busy += 1
                serve(at_us, endpoint.waiting.popleft())
            limiter.give(at_us, at_us - begun_us)
            if late:
                outcome.limits.append(limiter.limit)
        while held and at_us - held[0] > 1_000_000:
            held.popleft()
            outcome.refused += late
        while held and limiter.take(at_us):
            held.popleft()
            begin(at_us)
    return outcome


def fixed(us: float) -> Callable[[], float]:
    return lambda: us


def mixed(us: float) -> Callable[[], float]:
    """Times with as much spread as their mean."""
    rng = random.Random(3)
    return lambda: rng.expovariate(1 / us)


@pytest.mark.parametrize("capacity", [1, 2, 4, 10, 40, pytest.param(150, marks=pytest.mark.slow)])
@pytest.mark.parametrize("spread", [fixed, mixed])
def test_three_times_the_capacity_is_limited_near_it(
    capacity: int, spread: Callable[[float], Callable[[], float]]
) -> None:
    limiter = Limiter(1000, 1)
    rate = capacity / 0.02
    # It learns from answers, of which one at a time makes few.
    warm_s = 30 if capacity < 4 else 10
    endpoint = Endpoint(capacity, spread(20_000))
    outcome = simulate(
        limiter, endpoint, rate=lambda _: 3 * rate, seconds=warm_s + 20, warm_s=warm_s, queue=2 * capacity + 10
    )
    goodput = outcome.answered / 20 / rate
    print(f"capacity {capacity} {spread.__name__}: limit {outcome.limit():.1f}, goodput {goodput:.3f}")
    assert capacity <= outcome.limit() <= 2 * capacity + 2
    assert goodput >= 0.9


def test_without_overload_nothing_is_refused() -> None:
    limiter = Limiter(1000, 3)
    outcome = simulate(limiter, Endpoint(50, mixed(20_000)), rate=lambda _: 1500, seconds=30, warm_s=0)
    assert outcome.refused == 0, "neither while it measures"


def test_the_limit_follows_a_capacity_that_changes() -> None:
    limiter = Limiter(1000, 2)
    endpoint = Endpoint(40, fixed(20_000))

    def rate(at_s: float) -> float:
        if at_s > 20:
            endpoint.capacity = 8
        return 6000

    outcome = simulate(limiter, endpoint, rate=rate, seconds=70, warm_s=50)
    assert 8 <= outcome.limit() <= 18


def test_overload_from_the_first_request_on_is_seen_through() -> None:
    """The first baseline is that of overload: the next probes bring it down."""
    limiter = Limiter(1000, 1)
    outcome = simulate(limiter, Endpoint(3, fixed(50_000)), rate=lambda _: 600, seconds=60, warm_s=30)
    assert 3 <= outcome.limit() <= 8
    assert limiter.baseline_us < 75_000


def test_a_slower_endpoint_is_not_taken_for_a_full_one() -> None:
    times = [20_000.0]
    limiter = Limiter(1000, 1)
    endpoint = Endpoint(20, lambda: times[0])

    def rate(at_s: float) -> float:
        times[0] = 20_000 if at_s < 20 else 60_000
        return 2000

    outcome = simulate(limiter, endpoint, rate=rate, seconds=90, warm_s=60)
    assert outcome.limit() >= 20
    assert outcome.answered / 30 >= 0.9 * 20 / 0.06


def test_a_fixed_limit_stands() -> None:
    limiter = Limiter(5)
    assert [limiter.take(0) for _ in range(6)] == [True] * 5 + [False]
    limiter.give(10, 10)
    assert limiter.take(10)
    assert limiter.limit == limiter.admitted == 5


def test_answers_that_do_not_come_lower_it() -> None:
    limiter = Limiter(1000, 2)
    now = 0
    for _ in range(400):
        now += 10_000
        taken = 0
        while limiter.take(now):
            taken += 1
        for _ in range(taken):
            limiter.give(now + 5_000, 0, dropped=True)
    assert limiter.limit == 2


@settings(deadline=None, max_examples=200)
@given(
    bounds=st.tuples(st.integers(1, 50), st.integers(0, 300)),
    moves=st.lists(
        st.tuples(st.integers(0, 400_000), st.integers(0, 2), st.integers(0, 5_000_000), st.booleans()), max_size=400
    ),
)
def test_whatever_happens_it_keeps_its_bounds(bounds: tuple[int, int], moves: list[tuple[int, int, int, bool]]) -> None:
    least, most = bounds[0], bounds[0] + bounds[1]
    limiter = Limiter(most, least)
    now = 0
    out = 0
    for after_us, takes, us, dropped in moves:
        now += after_us
        for _ in range(takes):
            if limiter.take(now):
                out += 1
                assert out <= most
            else:
                assert out >= least
        if out:
            limiter.give(now, us, dropped)
            out -= 1
        assert least <= limiter.limit <= most
        assert limiter.admitted == out
