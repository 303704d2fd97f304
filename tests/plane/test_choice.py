"""Whom the policies choose: exactly where that can be said, within the bounds of chance where not."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Sequence

import pytest

from tests.plane.scene import GET, OK, Scene
from weir.plane.fake import FakeStream
from weir.stats.roster import Health, Order, change

Stage = Callable[..., Scene]
POLICIES = ("round_robin", "random", "least_requests", "least_time", "hash")


def weighted(*weights: int) -> list[dict[str, int]]:
    return [{"weight": weight} for weight in weights]


def chi_square(found: Sequence[int], parts: Sequence[float]) -> float:
    """Pearson's statistic of numbers of places against the parts that they should have."""
    counts, total = Counter(found), sum(parts)
    expected = [len(found) * part / total for part in parts]
    return sum((counts[place] - e) ** 2 / e for place, e in enumerate(expected))


# The statistic's 99.9 % quantiles. With a fixed seed a test always comes out alike.
CRITICAL = {1: 10.83, 2: 13.82, 3: 16.27, 4: 18.47, 9: 27.88}


def test_equal_weights_go_round(stage: Stage) -> None:
    assert stage(endpoints=3).plane.picks(0, 7) == [0, 1, 2, 0, 1, 2, 0]


@pytest.mark.parametrize(
    "weights", [(5, 1, 1), (3, 2), (1, 2), (1, 1, 2), (1000, 1), (7, 5, 3, 2), (10, 10, 1), tuple(range(1, 40))]
)
def test_weighted_turns_are_exact_and_smooth(stage: Stage, weights: tuple[int, ...]) -> None:
    scene = stage(members=weighted(*weights))
    total = sum(weights)
    found = scene.plane.picks(0, 3 * total)
    for period in range(3):
        counts = Counter(found[period * total : (period + 1) * total])
        assert [counts[place] for place in range(len(weights))] == list(weights)
    had = [0] * len(weights)
    for number, place in enumerate(found, 1):
        had[place] += 1
        for nth, weight in enumerate(weights):
            assert abs(had[nth] - number * weight / total) < 1, f"after {number} turns"


def test_the_order_of_nginx_example(stage: Stage) -> None:
    # nginx says of {5, 1, 1}: "a, a, b, a, c, a, a instead of c, b, a, a, a, a, a". This one is as smooth.
    found = stage(members=weighted(5, 1, 1)).plane.picks(0, 7)
    assert "".join("abc"[place] for place in found) == "abaacaa"


@pytest.mark.heavy
def test_turns_go_on_for_very_long(stage: Stage) -> None:
    # Long enough for the clock of the turns to be set back some times (turns.pyx, REBASE_BITS).
    scene = stage(members=weighted(1, 2))
    scene.plane.pick_ns(0, 3_000_000)
    assert Counter(scene.plane.picks(0, 3_000)) == {0: 1_000, 1: 2_000}


def test_who_is_tried_is_not_chosen_and_its_turn_is_not_made_up_for(stage: Stage) -> None:
    scene = stage(members=weighted(8, 1, 1))
    assert set(scene.plane.picks(0, 50, tried=[0])) == {1, 2}
    after = Counter(scene.plane.picks(0, 100))
    assert abs(after[0] - 80) <= 1
    assert abs(after[1] - 10) <= 1
    assert abs(after[2] - 10) <= 1


def test_a_change_of_weights_does_not_begin_anew(stage: Stage) -> None:
    # A weight that changes with every request: the heaviest would get them all, if turns began with it each time.
    scene = stage(members=weighted(3, 2, 2))
    found = []
    for number in range(700):
        change(scene.memory, 1, weight=2 + number % 2)
        found += scene.plane.picks(0, 1)
    counts = Counter(found)
    assert 270 < counts[0] < 300
    assert 220 < counts[1] < 245
    assert 175 < counts[2] < 195


@pytest.mark.parametrize("policy", ["random", "least_requests", "least_time"])
@pytest.mark.parametrize("weights", [(1, 1, 1, 1), (1, 2, 3, 4), (90, 10), (0, 1, 1), (1000, 1, 1)])
def test_at_rest_those_that_draw_draw_by_weight(stage: Stage, policy: str, weights: tuple[int, ...]) -> None:
    scene = stage(members=weighted(*weights), cluster={"policy": policy})
    found = scene.plane.picks(0, 20_000, seed=7)
    parts = [weight for weight in weights if weight]
    if not weights[0]:
        assert 0 not in found
        found = [place - 1 for place in found]
    assert chi_square(found, parts) < CRITICAL[len(parts) - 1]


@pytest.mark.parametrize("policy", POLICIES)
def test_no_policy_chooses_who_has_the_mark_and_all_are_reached(stage: Stage, policy: str) -> None:
    chance = random.Random(11)
    for _ in range(12):
        count = chance.choice((1, 2, 3, 10, 40))
        weights = [chance.choice((1, 1, 1, 2, 7, 1000)) for _ in range(count)]
        scene = stage(members=weighted(*weights), cluster={"policy": policy})
        for _ in range(10):
            keys = [chance.getrandbits(64) for _ in range(chance.choice((0, 20)))]
            tried = chance.sample(range(count), chance.randrange(count + 1))
            found = scene.plane.picks(0, 20, keys=keys, tried=tried)
            assert not set(found) & set(tried)
            assert (-1 in found) == (len(tried) == count)
        # Whoever is asked and fails is marked: one choice meets every endpoint once, and then ends.
        left: list[int] = []
        for _ in range(count):
            (place,) = scene.plane.picks(0, 1, keys=keys[:1], tried=left)
            left.append(place)
        assert sorted(left) == list(range(count))
        assert scene.plane.picks(0, 1, tried=left) == [-1]


def place_of(endpoint: FakeStream) -> int:
    """The place among the members of the endpoint that a connection leads to."""
    assert endpoint.peer is not None
    return int(endpoint.peer.text.split(":")[0].rpartition(".")[2]) - 1


def places(scene: Scene, times: int) -> list[int]:
    """Which endpoints a number of requests went to that are all in progress."""
    before = scene.dials
    for _ in range(times):
        scene.client(GET)
    return [place_of(scene.endpoint(number)) for number in range(before, scene.dials)]


def test_least_requests_evens_out_what_is_in_progress(stage: Stage) -> None:
    scene = stage(members=weighted(1, 1, 2), cluster={"policy": "least_requests"})
    held = Counter(places(scene, 200))
    # Two choices keep the fullest within a few of its part; drawing alone would be off by some ten.
    assert abs(held[0] - 50) <= 4
    assert abs(held[1] - 50) <= 4
    assert abs(held[2] - 100) <= 4


def test_least_requests_counts_those_that_wait_for_a_connection(stage: Stage) -> None:
    scene = stage(endpoints=2, cluster={"policy": "least_requests"})
    scene.dialer.mode = "wait"
    assert abs(Counter(places(scene, 100))[0] - 50) <= 2


def answered(scene: Scene, times: int, after_ms: dict[int, int], status: bytes = b"200 OK") -> Counter[int]:
    """One request after the other; each endpoint takes its time."""
    found: Counter[int] = Counter()
    for _ in range(times):
        scene.client(GET)
        endpoint = scene.endpoint()
        place = place_of(endpoint)
        found[place] += 1
        scene.wait_ms(after_ms[place])
        scene.send(endpoint, OK.replace(b"200 OK\r\n", status + b"\r\nConnection: close\r\n"))
    return found


def test_least_time_goes_to_the_quicker_one_and_looks_at_the_slower_again(stage: Stage) -> None:
    scene = stage(endpoints=2, cluster={"policy": "least_time"})
    found = answered(scene, 300, {0: 5, 1: 50})
    assert found[0] > 280
    assert found[1] >= 1
    # It has become quick. What was remembered of it fades, so that this is found out.
    found = answered(scene, 8_000, {0: 5, 1: 1})
    assert found[1] > 1_000


def test_least_time_does_not_run_after_quick_errors(stage: Stage) -> None:
    scene = stage(endpoints=2, cluster={"policy": "least_time"})
    answered(scene, 20, {0: 5, 1: 20})
    for place in (0, 1):
        assert scene.plane.pools(0)[place]["responses"]
    change(scene.memory, 0, order=Order.DRAIN)
    answered(scene, 50, {1: 0}, b"500 Bad")
    change(scene.memory, 0, order=Order.READY)
    assert answered(scene, 20, {0: 5, 1: 20})[0] > 15


def test_run_time_weights_go_before_those_of_the_file(stage: Stage) -> None:
    scene = stage(members=weighted(1, 1))
    assert Counter(scene.plane.picks(0, 100)) == {0: 50, 1: 50}
    change(scene.memory, 0, source_weight=3)
    assert Counter(scene.plane.picks(0, 100)) == {0: 75, 1: 25}
    change(scene.memory, 0, weight=9)
    assert Counter(scene.plane.picks(0, 100)) == {0: 90, 1: 10}
    change(scene.memory, 0, weight=0, source_weight=0)
    assert Counter(scene.plane.picks(0, 100)) == {0: 50, 1: 50}


def test_without_weight_there_is_nobody_until_an_operator_gives_one(stage: Stage) -> None:
    scene = stage(members=weighted(0, 0))
    assert scene.plane.picks(0, 2) == [-1, -1]
    assert b"no_endpoint" in scene.client(GET).take_sent()
    change(scene.memory, 1, weight=1)
    assert scene.plane.picks(0, 2) == [1, 1]


def test_who_is_ill_is_asked_before_who_has_no_weight(stage: Stage) -> None:
    scene = stage(members=weighted(0, 1))
    change(scene.memory, 1, health=Health.UNHEALTHY)
    assert scene.plane.picks(0, 2) == [1, 1]


# -- priorities and zones -------------------------------------------------------------------------------------


def levels(*priorities: int) -> list[dict[str, int]]:
    return [{"priority": priority} for priority in priorities]


@pytest.mark.parametrize("policy", POLICIES)
def test_the_first_priority_has_it_all_while_it_can_carry_it(stage: Stage, policy: str) -> None:
    scene = stage(members=levels(0, 0, 0, 0, 1), cluster={"policy": policy})
    assert 4 not in scene.plane.picks(0, 400, keys=range(0, 4000, 10), seed=1)
    change(scene.memory, 0, health=Health.UNHEALTHY)  # 75 % are left
    found = scene.plane.picks(0, 400, keys=range(0, 4000, 10))
    assert set(found) == {1, 2, 3}


@pytest.mark.parametrize("policy", POLICIES)
def test_overflow(stage: Stage, policy: str) -> None:
    scene = stage(members=levels(0, 0, 0, 0, 1, 1), cluster={"policy": policy})
    for place in (0, 1):
        change(scene.memory, place, health=Health.UNHEALTHY)
    # Half of it is left: 50 / 70 of the requests stay.
    chance = random.Random(3)
    found = scene.plane.picks(0, 7_000, keys=[chance.getrandbits(64) for _ in range(7_000)])
    stayed = sum(place < 4 for place in found)
    assert abs(stayed - 5_000) < (150 if policy == "hash" else 5), "a level is chosen evenly, or by the key"
    assert set(found) == {2, 3, 4, 5}
    change(scene.memory, 2, ejected_until_us=scene.clock.now_us + 1_000_000)
    change(scene.memory, 3, order=Order.DOWN)
    assert set(scene.plane.picks(0, 50)) == {4, 5}
    for place in (4, 5):
        change(scene.memory, place, health=Health.UNHEALTHY)
    # Nobody is usable: then all are taken for usable, but for the one that an operator has taken down.
    assert set(scene.plane.picks(0, 400)) == {0, 1, 2}


def test_there_is_no_panic_while_other_levels_can_carry_it(stage: Stage) -> None:
    scene = stage(members=levels(0, 0, 0, 0, 1, 1), cluster={"panic_below_percent": 50})
    for place in range(4):
        change(scene.memory, place, health=Health.UNHEALTHY)
    assert set(scene.plane.picks(0, 20)) == {4, 5}, "a third of all is usable, and that is a whole level"
    change(scene.memory, 4, health=Health.UNHEALTHY)
    assert set(scene.plane.picks(0, 40)) == {0, 1, 2, 3}, "half of a level is not enough: all are asked"


def test_overflow_is_even(stage: Stage) -> None:
    scene = stage(members=levels(0, 0, 1), cluster={"overflow_at_percent": 100})
    change(scene.memory, 0, health=Health.UNHEALTHY)
    found = scene.plane.picks(0, 100)
    assert Counter(found) == {1: 50, 2: 50}
    assert all(1 in found[i : i + 3] and 2 in found[i : i + 3] for i in range(98))


def test_all_levels_together_may_carry_less_than_all(stage: Stage) -> None:
    scene = stage(members=[*levels(0, 0, 0, 0), *levels(1, 1, 1, 1)])
    for place in (0, 1, 2, 4, 5, 6):
        change(scene.memory, place, health=Health.UNHEALTHY)
    assert abs(Counter(scene.plane.picks(0, 1_000))[3] - 500) <= 3


def test_a_level_that_has_failed_a_request_passes_it_on(stage: Stage) -> None:
    scene = stage(members=levels(0, 0, 5))
    assert set(scene.plane.picks(0, 10, tried=[0, 1])) == {2}
    assert set(scene.plane.picks(0, 10, tried=[0, 2])) == {1}
    assert scene.plane.picks(0, 2, tried=[0, 1, 2]) == [-1, -1]


def test_run_time_priorities_go_before_those_of_the_file(stage: Stage) -> None:
    scene = stage(members=levels(1, 2))
    assert set(scene.plane.picks(0, 10)) == {0}
    change(scene.memory, 0, priority=3)
    assert set(scene.plane.picks(0, 10)) == {1}


def test_a_zone_is_a_level(stage: Stage) -> None:
    near = [{"zone": "a", "near": True}, {"zone": "b", "near": False}, {"near": False, "priority": 1}]
    scene = stage(members=near)
    assert set(scene.plane.picks(0, 10)) == {0}
    change(scene.memory, 0, health=Health.UNHEALTHY)
    assert set(scene.plane.picks(0, 10)) == {1}, "the other zone comes before the next priority"


# -- slow start -----------------------------------------------------------------------------------------------


def test_slow_start_grows_by_time(stage: Stage) -> None:
    scene = stage(endpoints=2, cluster={"slow_start_ms": 10_000})
    scene.wait_ms(60_000)
    assert Counter(scene.plane.picks(0, 100)) == {0: 50, 1: 50}
    change(scene.memory, 0, joined_us=scene.clock.now_us)
    assert Counter(scene.plane.picks(0, 110)) == {0: 10, 1: 100}
    parts = []
    for _ in range(10):
        # Requests go on, so that look() is called as it is in life.
        scene.client(GET)
        parts.append(scene.plane.pools(0)[0]["ramp"])
        scene.wait_ms(1_000)
    assert parts == [10, 15, 25, 35, 45, 55, 60, 70, 80, 90]
    scene.client(GET)
    assert scene.plane.pools(0)[0]["ramp"] == 100
    assert Counter(scene.plane.picks(0, 100)) == {0: 50, 1: 50}


def test_the_end_of_an_ejection_is_a_slow_start(stage: Stage) -> None:
    scene = stage(endpoints=2, cluster={"slow_start_ms": 10_000})
    scene.wait_ms(60_000)
    change(scene.memory, 0, ejected_until_us=scene.clock.now_us + 1_000_000)
    assert set(scene.plane.picks(0, 10)) == {1}
    scene.wait_ms(1_001)
    assert Counter(scene.plane.picks(0, 110)) == {0: 10, 1: 100}


def test_when_all_have_just_joined_they_share_alike(stage: Stage) -> None:
    scene = stage(endpoints=2, cluster={"slow_start_ms": 10_000})
    scene.wait_ms(60_000)
    for place in (0, 1):
        change(scene.memory, place, joined_us=scene.clock.now_us)
    assert Counter(scene.plane.picks(0, 100)) == {0: 50, 1: 50}


# -- what it costs ----------------------------------------------------------------------------------------------


@pytest.mark.alone
@pytest.mark.figures
@pytest.mark.parametrize("policy", POLICIES)
def test_a_choice_is_cheap_among_a_thousand(stage: Stage, policy: str, capsys: pytest.CaptureFixture[str]) -> None:
    costs = {}
    for count in (2, 10, 1000):
        for name, members in (
            ("equal", weighted(*[1] * count)),
            ("weighted", weighted(*[1 + n % 7 for n in range(count)])),
        ):
            scene = stage(members=members, cluster={"policy": policy})
            costs[name, count] = min(scene.plane.pick_ns(0, 20_000, policy == "hash") for _ in range(5))
    with capsys.disabled():
        print(f"\n{policy}: " + ", ".join(f"{name} {count}: {ns:.0f} ns" for (name, count), ns in costs.items()))
    assert max(costs.values()) < 3_000
