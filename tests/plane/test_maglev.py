"""The same key, the same endpoint: how evenly, how few keys move, bounded loads, and what the key is."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from tests.plane.scene import OK, Scene
from tests.plane.test_choice import CRITICAL, chi_square, place_of, weighted
from weir.stats.roster import Health, Order, change

Stage = Callable[..., Scene]

CHANCE = random.Random(5)
KEYS = [CHANCE.getrandbits(64) for _ in range(20_000)]


def by_hash(stage: Stage, *weights: int, **cluster: Any) -> Scene:
    return stage(members=weighted(*weights), cluster={"policy": "hash", **cluster})


def chosen(scene: Scene, keys: Sequence[int] = KEYS) -> list[int]:
    return scene.plane.picks(0, len(keys), keys=keys)


@pytest.mark.parametrize("weights", [(1,) * 10, (1, 2, 3, 4), (90, 10)])
def test_keys_are_spread_by_weight(stage: Stage, weights: tuple[int, ...]) -> None:
    found = chosen(by_hash(stage, *weights))
    assert chi_square(found, weights) < CRITICAL[len(weights) - 1]


def test_all_workers_and_all_orders_of_the_file_agree(stage: Stage) -> None:
    scene, other = by_hash(stage, 1, 1, 1, 1), by_hash(stage, 1, 1, 1, 1)
    assert chosen(scene) == chosen(other)
    one = [scene.plane.endpoints(0)[place] for place in chosen(scene)]
    third = stage(endpoints=1, cluster={"policy": "hash"})
    third.plane.remove_endpoint(0, third.plane.endpoints(0)[0])
    for name in reversed(scene.plane.endpoints(0)):
        third.plane.add_endpoint(0, name)
    assert one == [third.plane.endpoints(0)[place] for place in chosen(third)]


@pytest.mark.parametrize("count", [2, 10, 100])
def test_only_the_keys_of_an_endpoint_that_is_ill_move_and_they_come_back(stage: Stage, count: int) -> None:
    scene = by_hash(stage, *[1] * count)
    before = chosen(scene)
    for way in ({"health": Health.UNHEALTHY}, {"order": Order.DRAIN}, {"order": Order.DOWN}):
        change(scene.memory, 1, **way)
        during = chosen(scene)
        assert all(now == then for now, then in zip(during, before, strict=True) if then != 1)
        moved = Counter(now for now, then in zip(during, before, strict=True) if then == 1)
        assert 1 not in moved
        assert len(moved) > 0.7 * (count - 1), "the others share them"
        assert max(moved.values()) < 3 * len(KEYS) / count / (count - 1) + 10
        change(scene.memory, 1, health=Health.HEALTHY, order=Order.READY)
        assert chosen(scene) == before


@pytest.mark.parametrize(("count", "most"), [(3, 1.10), (10, 1.15), (100, 1.80)])
def test_few_keys_move_when_a_member_leaves_or_comes(
    stage: Stage, count: int, most: float, capsys: pytest.CaptureFixture[str]
) -> None:
    """`most`: how many keys move, as a multiple of those that have to."""
    scene = by_hash(stage, *[1] * count)
    names = scene.plane.endpoints(0)
    before = [names[place] for place in chosen(scene)]
    leaving = names[count // 2]
    scene.plane.remove_endpoint(0, leaving)
    left = scene.plane.endpoints(0)
    after = [left[place] for place in chosen(scene)]
    moved = sum(one != other for one, other in zip(before, after, strict=True))
    had_to = before.count(leaving)
    with capsys.disabled():
        print(f"\n{count} endpoints, one leaves: {moved / len(KEYS):.2%} of keys move, {had_to / len(KEYS):.2%} must")
    assert moved <= most * had_to
    scene.plane.add_endpoint(0, leaving)
    again = scene.plane.endpoints(0)
    assert [again[place] for place in chosen(scene)] == before


def test_few_keys_move_with_a_weight(stage: Stage) -> None:
    scene = by_hash(stage, *[10] * 10)
    before = chosen(scene)
    change(scene.memory, 3, weight=5)
    after = chosen(scene)
    moved = sum(one != other for one, other in zip(before, after, strict=True))
    assert moved / len(KEYS) < 0.10, "5 % have to"


def test_in_a_slow_start_keys_come_by_and_by(stage: Stage) -> None:
    scene = by_hash(stage, 1, 1, 1, slow_start_ms=10_000)
    scene.wait_ms(60_000)
    before = chosen(scene)
    change(scene.memory, 0, joined_us=scene.clock.now_us)
    had: set[int] = set()
    for _ in range(10):
        now = chosen(scene)
        assert all(one == other for one, other in zip(now, before, strict=True) if other != 0)
        has = {place for place, one in enumerate(now) if one == 0}
        assert had <= has, "a key that came stays"
        had = has
        scene.wait_ms(1_001)
    assert chosen(scene) == before


def test_a_request_without_a_key_goes_to_the_next_in_turn(stage: Stage) -> None:
    assert by_hash(stage, 1, 1, 1).plane.picks(0, 6) == [0, 1, 2, 0, 1, 2]
    assert Counter(by_hash(stage, 3, 1).plane.picks(0, 40)) == {0: 30, 1: 10}


def test_with_one_of_very_many_left_it_is_found(stage: Stage) -> None:
    scene = by_hash(stage, *[1] * 500)
    for place in range(499):
        change(scene.memory, place, order=Order.DOWN)
    assert set(chosen(scene, KEYS[:500])) == {499}


GET = b"GET %s HTTP/1.1\r\nHost: %s\r\n%s\r\n"


def ask(scene: Scene, path: bytes = b"/a", host: bytes = b"h", fields: bytes = b"") -> int:
    """To which endpoint one request goes; it is answered, and its connection closed."""
    scene.client(GET % (path, host, fields))
    endpoint = scene.endpoint()
    scene.send(endpoint, OK.replace(b"OK\r\n", b"OK\r\nConnection: close\r\n"))
    return place_of(endpoint)


def by(stage: Stage, hash_by: str) -> Scene:
    return by_hash(stage, *[1] * 20, hash_by=hash_by)


def test_by_path(stage: Stage) -> None:
    scene = by(stage, "path")
    assert len({ask(scene, b"/a?%d" % n) for n in range(10)}) == 1, "the query does not count"
    assert len({ask(scene, b"/%d" % n) for n in range(30)}) > 10
    assert ask(scene, b"/a") == ask(scene, b"http://h/a")


def test_by_host(stage: Stage) -> None:
    scene = by(stage, "host")
    assert len({ask(scene, b"/%d" % n, b"a.example") for n in range(5)} | {ask(scene, host=b"A.EXAMPLE")}) == 1
    assert ask(scene, host=b"a.example") == ask(scene, b"http://a.example/", b"a.example")
    assert len({ask(scene, host=b"%d.example" % n) for n in range(30)}) > 10


def test_by_cookie(stage: Stage) -> None:
    scene = by(stage, "cookie:id")
    found = {
        ask(scene, fields=cookie)
        for cookie in (
            b"Cookie: id=7\r\n",
            b"cookie: a=1; id=7; b=2\r\n",
            b"Cookie: ID=8; xid=9;id=7\r\n",
            b"Cookie: a=1\r\nCookie:  id=7 ;z\r\n",
            b"Cookie: ;;id;=;id=7;id=8\r\n",
        )
    }
    assert len(found) == 1
    assert len({ask(scene, fields=b"Cookie: id=%d\r\n" % n) for n in range(30)}) > 10
    without = [ask(scene, fields=b"Cookie: i=1; id; idd=3; id=\r\n") for n in range(20)]
    assert sorted(without) == list(range(20)), "in turn"


def test_by_field(stage: Stage) -> None:
    scene = by(stage, "field:X-User")
    assert (
        len({ask(scene, fields=field) for field in (b"X-User: 7\r\n", b"x-user:  7 \r\n", b"A: b\r\nX-USER: 7\r\n")})
        == 1
    )
    assert len({ask(scene, fields=b"X-User: user-number-%d\r\n" % n) for n in range(30)}) > 10
    assert sorted(ask(scene) for _ in range(20)) == list(range(20))


def test_by_client(stage: Stage) -> None:
    scene = by(stage, "client")
    assert len({ask(scene, b"/%d" % n) for n in range(10)}) == 1, "one client, whatever it asks for"


def held(scene: Scene, times: int, fields: bytes) -> Counter[int]:
    for _ in range(times):
        scene.client(GET % (b"/a", b"h", fields))
    return Counter(place_of(scene.endpoint(number)) for number in range(scene.dials))


def test_bounded_loads(stage: Stage) -> None:
    scene = by_hash(stage, 1, 1, 1, 1, hash_by="field:k")
    assert list(held(scene, 40, b"k: 1\r\n").values()) == [40], "without a bound all go to one"
    scene = by_hash(stage, 1, 1, 1, 1, hash_by="field:k", hash_balance_percent=150)
    loads = held(scene, 40, b"k: 1\r\n")
    assert max(loads.values()) <= 15, "1.5 times its part of the 40 in progress"
    assert len(loads) >= 3
    assert scene.plane.busy(0) == 40
    scene = by_hash(stage, 3, 1, hash_by="field:k", hash_balance_percent=120)
    found = [held(scene, 1, b"k: %d\r\n" % n) for n in range(40)][-1]
    assert found[0] <= 36, "by weight"
    assert found[1] <= 12


def test_with_a_bound_one_at_rest_is_never_refused(stage: Stage) -> None:
    scene = by_hash(stage, *[1] * 20, hash_by="field:k", hash_balance_percent=101)
    assert len({ask(scene, fields=b"k: 1\r\n") for _ in range(10)}) == 1


@pytest.mark.alone
@pytest.mark.figures
def test_the_table_of_a_thousand_is_made_in_a_moment(stage: Stage, capsys: pytest.CaptureFixture[str]) -> None:
    import time

    costs = {}
    for name, weights in (
        ("equal", [1] * 1000),
        ("one heavy", [1000] + [1] * 999),
        ("mixed", [1 + n % 50 for n in range(1000)]),
    ):
        scene = by_hash(stage, *weights)
        taken = []
        for weight in range(2, 7):
            change(scene.memory, 5, weight=weight)
            begun = time.process_time()
            scene.plane.picks(0, 1)
            taken.append((time.process_time() - begun) * 1000)
        costs[name] = min(taken)
    with capsys.disabled():
        print("\n" + ", ".join(f"{name}: {ms:.1f} ms" for name, ms in costs.items()))
    assert max(costs.values()) < 200
