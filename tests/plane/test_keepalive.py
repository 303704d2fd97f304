"""What is learned of an endpoint's idle timeout, and that nothing it does leads astray for ever."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from weir.plane.keepalive import IdleLearner
from weir.plane.parsers import keep_alive_timeout

ASSUMED_LIMIT_MS, ASSUMED_SAFE_MS = 4000, 1000
LONGEST_LIMIT_MS = 72_000
FORGOTTEN = 64


def apart(learner: IdleLearner, *rests_ms: int, start_ms: int = 1000) -> int:
    """Closes a second apart, others left each time; returns the time after them."""
    for rest_ms in rests_ms:
        learner.closed(rest_ms, start_ms, 3)
        start_ms += 1000
    learner.settle(start_ms)
    return start_ms


def at_once(learner: IdleLearner, *rests_ms: int, left: int, now_ms: int = 1000) -> None:
    """Closes of one moment, with `left` idle connections behind the last of them."""
    for place, rest_ms in enumerate(rests_ms, 1):
        learner.closed(rest_ms, now_ms, left + len(rests_ms) - place)
    learner.settle(now_ms + 1000)


# -- closes


def test_what_holds_until_something_is_learned() -> None:
    learner = IdleLearner()
    assert (learner.limit_ms, learner.safe_ms, learner.learned_ms) == (ASSUMED_LIMIT_MS, ASSUMED_SAFE_MS, 0)


def test_one_close_makes_careful_and_two_that_agree_retire() -> None:
    learner = IdleLearner()
    apart(learner, 2010)
    assert (learner.limit_ms, learner.safe_ms, learner.learned_ms) == (ASSUMED_LIMIT_MS, 1000, 0)
    apart(learner, 2000, start_ms=9000)
    assert (learner.limit_ms, learner.safe_ms, learner.learned_ms) == (1600, 1000, 2000)


def test_a_close_counts_for_what_cannot_be_repeated_at_once() -> None:
    learner = IdleLearner()
    learner.closed(300, 1000, 3)
    assert learner.safe_ms == 150


def test_closes_that_do_not_agree_retire_nothing() -> None:
    learner = IdleLearner()
    apart(learner, 700, 1100, 2500, 3900)
    assert (learner.limit_ms, learner.safe_ms, learner.learned_ms) == (ASSUMED_LIMIT_MS, 350, 0)


def test_a_restart_teaches_nothing() -> None:
    learner = IdleLearner()
    for restart in range(5):
        at_once(learner, 20, 500, 1800, 3100, left=0, now_ms=10_000 * (restart + 1))
    assert (learner.limit_ms, learner.safe_ms, learner.seen) == (ASSUMED_LIMIT_MS, ASSUMED_SAFE_MS, [])


def test_after_a_restart_whoever_answers_may_be_another() -> None:
    learner = IdleLearner()
    for n in range(8):
        learner.survived(ASSUMED_LIMIT_MS, 1000 * n, True)
    assert learner.safe_ms == 2500
    at_once(learner, 20, 3100, left=0, now_ms=20_000)
    assert learner.safe_ms == ASSUMED_SAFE_MS


def test_a_coarse_sweep_is_learned_from_the_longest_rest_of_each() -> None:
    learner = IdleLearner()
    for sweep in range(4):
        at_once(learner, 2050, 2400, 2900, left=5, now_ms=10_000 * (sweep + 1))
    assert learner.learned_ms == 2900
    assert learner.safe_ms <= 1450 < 2000, "half of twice the timeout at most"


def test_a_sweep_that_leaves_none_is_no_restart() -> None:
    """gunicorn, asked seldom: once a second it closes what has rested for 2 s, and that is all there is."""
    learner = IdleLearner()
    at_once(learner, 2002, 2132, 2651, left=0)
    at_once(learner, 2040, 2500, left=0, now_ms=9000)
    assert learner.learned_ms == 2500
    assert learner.safe_ms == 1000


def test_connections_of_one_moment_are_one_close() -> None:
    learner = IdleLearner()
    at_once(learner, 2000, 2001, 2002, 2003, left=0)
    assert learner.seen == [(2000, 1, 0)]


def test_closed_as_soon_as_it_rests() -> None:
    """An endpoint that closes after each response and does not say so: nothing is kept, nothing unsafe reused."""
    learner = IdleLearner()
    apart(learner, 1)
    assert (learner.limit_ms, learner.safe_ms) == (ASSUMED_LIMIT_MS, -1)
    apart(learner, 0, 2, 0, 99, 1, 0)
    assert learner.limit_ms == ASSUMED_LIMIT_MS
    apart(learner, 1)
    assert (learner.limit_ms, learner.safe_ms) == (-1, -1)
    assert learner.begin_probe(50_000) == 1000, "but whether it still does so is found out"
    learner.probed(1000, 51_000)
    assert (learner.limit_ms, learner.safe_ms) == (ASSUMED_LIMIT_MS, ASSUMED_SAFE_MS)


def test_after_a_short_rest_calm_is_enough() -> None:
    """Nobody asks but what cannot be repeated, so no rest ends well; but none is closed at once any more."""
    learner = IdleLearner()
    apart(learner, 3)
    learner.settle(90_000)
    assert learner.safe_ms == -1, "nothing has rested since"
    learner.rests(90_000)
    learner.rests(90_090)
    learner.settle(90_100)
    assert learner.safe_ms == -1
    learner.settle(90_101)
    assert learner.safe_ms == ASSUMED_SAFE_MS
    learner.rests(95_000)
    learner.closed(1, 95_001, 0)
    learner.settle(95_500)
    assert learner.safe_ms == -1


def test_a_short_rest_is_no_timeout_where_others_end_well() -> None:
    """A crash, or a close after so many requests: careful until the next rest has ended well, however short."""
    learner = IdleLearner()
    for _ in range(20):
        apart(learner, 3)
        assert learner.safe_ms == -1
        assert learner.watch_ms == 0
        learner.survived(0, 5000, False)
        assert (learner.limit_ms, learner.safe_ms, learner.seen) == (ASSUMED_LIMIT_MS, ASSUMED_SAFE_MS, [])


def test_closes_with_many_longer_rests_between_them_are_no_timeout() -> None:
    """Requests per connection counted out, say: closed after rests of 500 ms, one in ten."""
    learner = IdleLearner()
    now_ms = 0
    for _ in range(20):
        now_ms = apart(learner, 500, start_ms=now_ms + 1000)
        for _ in range(9):
            learner.survived(1000, now_ms, False)
    assert learner.limit_ms == ASSUMED_LIMIT_MS
    assert learner.safe_ms == 250


def test_of_several_servers_behind_one_address_the_shortest_counts() -> None:
    learner = IdleLearner()
    apart(learner, 3000, 1500, 3010, 1490)
    assert learner.learned_ms == 1490
    assert learner.limit_ms == 1490 - 298


def test_the_margin_is_a_round_trip_at_least() -> None:
    learner = IdleLearner()
    for _ in range(50):
        learner.connected(300_000)
    apart(learner, 1000, 1000)
    assert learner.limit_ms <= 1000 - 300 - 16
    learner.connected(-5)
    learner.connected(10**15)


# -- growing again


def test_probes_double_what_is_known() -> None:
    learner = IdleLearner()
    now_ms, targets = 0, []
    while learner.limit_ms < LONGEST_LIMIT_MS:
        target = learner.begin_probe(now_ms)
        targets.append(target)
        now_ms += target
        learner.probed(target, now_ms)
        assert len(targets) < 30
    assert targets == [10_000] * 4 + [20_000] * 4 + [40_000] * 4 + [80_000] * 4 + [90_000] * 4
    assert learner.safe_ms == ASSUMED_SAFE_MS, "probes alone say nothing for what cannot be repeated"
    assert learner.begin_probe(now_ms + 59_999) == 0, "nothing is in doubt"
    assert learner.begin_probe(now_ms + 60_000) == 90_000


def test_connections_that_come_through_back_what_cannot_be_repeated() -> None:
    learner = IdleLearner()
    for n in range(8):
        assert learner.safe_ms == ASSUMED_SAFE_MS
        learner.survived(ASSUMED_LIMIT_MS, 1000 * n, True)
    assert learner.safe_ms == 2500


def test_a_timeout_beyond_the_limit_is_found_by_probes() -> None:
    learner = IdleLearner()
    now_ms = 0
    for _ in range(40):
        target = learner.begin_probe(now_ms)
        if target == 0:
            break
        now_ms += min(target, 75_003)
        if target <= 75_000:
            learner.probed(target, now_ms)
        else:
            learner.closed(75_003, now_ms, 0)
            now_ms += 1000
            learner.settle(now_ms)
    assert learner.learned_ms == 75_003
    assert learner.limit_ms == 60_003


def test_a_timeout_that_has_grown_is_found_again() -> None:
    learner = IdleLearner()
    now_ms = apart(learner, 1000, 1000)
    assert learner.limit_ms == 800
    probes = 0
    while learner.limit_ms < ASSUMED_LIMIT_MS:
        target = learner.begin_probe(now_ms)
        now_ms += target or 1000
        if target:
            assert target == 2000
            learner.probed(target, now_ms)
            probes += 1
    assert probes == 8
    assert learner.safe_ms == 500, "what cannot be repeated takes longer"
    for n in range(FORGOTTEN):
        learner.survived(ASSUMED_LIMIT_MS, now_ms + n, True)
    assert learner.seen == []
    assert learner.safe_ms == 2500


# -- a bound, and what the endpoint says


def test_a_written_bound_is_kept_and_learned_below() -> None:
    learner = IdleLearner(50_000)
    assert (learner.limit_ms, learner.safe_ms) == (50_000, ASSUMED_SAFE_MS)
    assert learner.begin_probe(10**6) == 0, "there is nothing beyond it to find"
    apart(learner, 5000, 5000)
    assert learner.limit_ms == ASSUMED_LIMIT_MS
    assert learner.begin_probe(10**6) == 10_000
    short = IdleLearner(10)
    assert short.limit_ms == 10
    apart(short, 1500, 1500)
    assert short.limit_ms == 10


def test_what_the_endpoint_says_is_believed_until_it_closes_earlier() -> None:
    learner = IdleLearner()
    learner.said(60_000)
    assert (learner.learned_ms, learner.limit_ms, learner.safe_ms) == (60_000, 48_000, ASSUMED_SAFE_MS)
    apart(learner, 5000, 5000)
    assert (learner.learned_ms, learner.limit_ms) == (5000, 4000)
    learner = IdleLearner()
    learner.said(86_400_000)
    assert learner.limit_ms == LONGEST_LIMIT_MS


def test_the_least_that_is_said_counts_until_it_is_not_said_any_more() -> None:
    learner = IdleLearner()
    for seconds in (20, 5, 20, 30):
        learner.said(seconds * 1000)
    assert learner.learned_ms == 5000
    for _ in range(61):
        learner.said(30_000)
    assert learner.learned_ms == 5000
    learner.said(25_000)
    assert learner.learned_ms == 20_000, "the least of them"


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (b"timeout=5", 5),
        (b"timeout=5, max=100", 5),
        (b"max=100,timeout=75", 75),
        (b"  Timeout=1  ", 1),
        (b"timeout=86400", 86_400),
        (b"x, timeout=5", 5),
        (b"timeout=0", 0),
        (b"timeout=86401", 0),
        (b"timeout=99999999999999999999999999", 0),
        (b"timeout=-5", 0),
        (b"timeout=5s", 0),
        (b"timeout=5.5", 0),
        (b"timeout=", 0),
        (b"timeout", 0),
        (b"timeout =5", 0),
        (b'timeout="5"', 0),
        (b"timeout=5, timeout=6", 0),
        (b"timeout=5;max=100", 0),
        (b"max=x, timeout=5", 0),
        (b"mytimeout=5", 0),
        (b"=5", 0),
        (b"", 0),
        (b",,,", 0),
    ],
)
def test_the_keep_alive_field(value: bytes, seconds: int) -> None:
    head = b"HTTP/1.1 200 OK\r\nKeep-Alive: %b\r\nContent-Length: 0\r\n\r\n" % value
    assert keep_alive_timeout(head) == seconds * 1000


def test_two_keep_alive_fields_say_nothing() -> None:
    assert keep_alive_timeout(b"HTTP/1.1 200 OK\r\nKeep-Alive: timeout=5\r\nKeep-Alive: timeout=5\r\n\r\n") == 0
    assert keep_alive_timeout(b"HTTP/1.1 200 OK\r\n\r\n") == 0


@given(st.binary(max_size=40).filter(lambda value: not set(value) & set(b"\r\n\0")))
def test_a_keep_alive_field_of_any_bytes_is_bounded(value: bytes) -> None:
    head = b"HTTP/1.1 200 OK\r\nKeep-Alive: timeout=%b\r\n\r\n" % bytes(c for c in value if 32 <= c < 127)
    assert 0 <= keep_alive_timeout(head) <= 86_400_000


# -- whatever happens

EVENTS = st.one_of(
    st.tuples(st.just("closed"), st.integers(-5, 200_000), st.integers(0, 300), st.integers(0, 3)),
    st.tuples(st.just("survived"), st.integers(0, 90_000), st.booleans()),
    st.tuples(st.just("said"), st.integers(0, 86_400_000)),
    st.tuples(st.just("connected"), st.integers(0, 4_000_000)),
    st.tuples(
        st.just("probe"),
    ),
)


def play(learner: IdleLearner, events: list[tuple[object, ...]]) -> int:
    """Plays events; returns the time after them. What has to hold always is asserted after each."""
    now_ms = 1000
    for name, *numbers in events:
        if name == "closed":
            rest_ms, after_ms, left = (int(str(number)) for number in numbers)
            now_ms += after_ms
            learner.closed(rest_ms, now_ms, left)
            assert learner.safe_ms <= (rest_ms // 2 if rest_ms >= 100 else -1), "a close counts at once"
        elif name == "survived":
            now_ms += 500
            learner.survived(int(str(numbers[0])), now_ms, bool(numbers[1]))
        elif name == "said":
            learner.said(int(str(numbers[0])))
        elif name == "connected":
            learner.connected(int(str(numbers[0])))
        elif target := learner.begin_probe(now_ms):
            now_ms += target
            learner.probed(target, now_ms)
        assert learner.limit_ms <= LONGEST_LIMIT_MS
        assert learner.safe_ms <= 45_000
        assert learner.learned_ms >= 0
        assert len(learner.seen) <= 8
        for rest_ms, closes, doubts in learner.seen:
            assert rest_ms >= 0
            assert 1 <= closes <= 2
            assert doubts < FORGOTTEN
            assert learner.safe_ms <= rest_ms // 2
            assert learner.watch_ms <= rest_ms + rest_ms // 8
    return now_ms


@given(st.lists(EVENTS, max_size=200))
@settings(max_examples=300, deadline=None)
def test_nothing_that_an_endpoint_does_lowers_it_for_ever(events: list[tuple[object, ...]]) -> None:
    learner = IdleLearner()
    now_ms = play(learner, events)
    # From now on it behaves: whatever is left to rest comes through, and it says nothing that is short.
    for _ in range(300):
        learner.connected(1000)
        learner.said(60_000)
        target = learner.begin_probe(now_ms)
        now_ms += max(target, 60_000)
        if target:
            learner.probed(target, now_ms)
        if learner.limit_ms > 0:
            learner.survived(learner.limit_ms, now_ms, True)
    assert learner.limit_ms >= ASSUMED_LIMIT_MS
    assert learner.safe_ms >= ASSUMED_SAFE_MS


# -- endpoints, played


@dataclass(order=True)
class Resting:
    closes_ms: float  # when the endpoint closes it
    since_ms: float = field(compare=False)


@dataclass
class Played:
    """A pool in front of an endpoint model, as `weir.plane.pool` uses the learner: what became of its requests."""

    lost_posts: int = 0
    lost_gets: int = 0
    reuses: int = 0
    limits: list[int] = field(default_factory=list)


Model = Callable[[random.Random, float], float]


def sweeps(timeout_ms: float, interval_ms: float) -> Model:
    def closes(chance: random.Random, since_ms: float) -> float:
        return (int((since_ms + timeout_ms) / interval_ms) + 1) * interval_ms

    return closes


MODELS: dict[str, tuple[Model, int]] = {  # and what the limit has to lie under at the end
    "gunicorn": (sweeps(2000, 1000), 2500),
    "uvicorn": (lambda chance, since: since + 5000 + chance.uniform(0, 3), 5000),
    "short": (lambda chance, since: since + 150 + chance.uniform(0, 2), 150),
    "coarse": (sweeps(1500, 1500), 3000),
    "two servers": (lambda chance, since: since + chance.choice([1200, 3000]), 1200),
    "nginx": (lambda chance, since: since + 75_000, 75_000),
    "never": (lambda chance, since: since + 10**9, LONGEST_LIMIT_MS + 1),
    "at random": (lambda chance, since: since + chance.expovariate(1 / 2000), LONGEST_LIMIT_MS + 1),
}


def play_pool(model: Model, chance: random.Random, gaps_ms: Callable[[], float], requests: int) -> Played:
    """Requests, half of them POSTs, each answered in 1 ms; a close is under way for 1 ms before it is seen."""
    learner, played = IdleLearner(), Played()
    idle: list[Resting] = []
    probe: tuple[Resting, float] | None = None
    now_ms = 0.0

    def closed(rest: Resting) -> None:
        learner.closed(int(rest.closes_ms - rest.since_ms), int(rest.closes_ms), len(idle))

    for _ in range(requests):
        until_ms = now_ms + gaps_ms()
        # What happens while nobody asks, in order.
        while True:
            events = [(rest.closes_ms + 1, 0, rest) for rest in idle]
            events += [(rest.since_ms + max(learner.limit_ms, 1), 1, rest) for rest in idle]
            if probe is not None:
                events.append((min(probe[0].closes_ms + 1, probe[0].since_ms + probe[1]), 2, probe[0]))
            if not events:
                break
            at_ms, what, rest = min(events, key=lambda event: event[:2])
            if at_ms > until_ms:
                break
            if what == 2:
                assert probe is not None
                if rest.closes_ms + 1 <= at_ms:
                    closed(rest)
                else:
                    learner.probed(int(at_ms - rest.since_ms), int(at_ms))
                probe = None
                continue
            idle.remove(rest)
            if what == 0:
                closed(rest)
                continue
            learner.survived(int(at_ms - rest.since_ms), int(at_ms), True)
            if probe is None and (target := learner.begin_probe(int(at_ms))) > at_ms - rest.since_ms:
                probe = (rest, target)
        now_ms = until_ms
        learner.settle(int(now_ms))
        played.limits.append(learner.limit_ms)
        post = chance.random() < 0.5
        newest = max(idle, key=lambda rest: rest.since_ms, default=None)
        if newest is not None and now_ms - newest.since_ms <= (learner.safe_ms if post else learner.limit_ms):
            idle.remove(newest)
            played.reuses += 1
            if newest.closes_ms <= now_ms + 1:  # it is being closed while the request is on its way
                played.lost_posts += post
                played.lost_gets += not post
                learner.closed(int(now_ms - newest.since_ms), int(now_ms), len(idle))
        since_ms = now_ms + 1
        idle.append(Resting(model(chance, since_ms), since_ms))
    return played


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("seed", range(3))
def test_endpoints_of_many_kinds(name: str, seed: int) -> None:
    model, below_ms = MODELS[name]
    chance = random.Random(f"{name} {seed}")
    around_ms = [100, 1000, 1500, 2000, 5000, 500]

    def gaps_ms() -> float:
        return max(chance.gauss(chance.choice(around_ms), 200), 1)

    played = play_pool(model, chance, gaps_ms, 3000)
    if name != "at random":  # whose closes no rest is short enough to escape
        assert played.lost_posts == 0
    assert played.lost_gets <= 3000 // 100
    assert max(played.limits[1000:]) <= below_ms
    assert played.reuses > 200
