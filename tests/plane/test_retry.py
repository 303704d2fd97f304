"""The decision whether a request is sent once more: every row of the table, the budget, the pauses, the percentile."""

from __future__ import annotations

import itertools
import random
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from weir.config.plan import HedgePlan, RetryPlan
from weir.plane.clock import Clock
from weir.plane.retry import HedgeDelay, Retries
from weir.stats.retrywords import RETRY_WORDS

ALL = ("connect", "reused", "reset", "timeout", "bad_response", "429", "502", "503", "504")
PLENTY = RetryPlan(on=ALL, min_per_second=1000)
INNOCENT = ("connect", "reused")  # what says nothing about the endpoint
GRANTED = {**{failure: failure for failure in ALL[1:5]}, "connect": "unsent", **dict.fromkeys(ALL[5:], "status")}


def make(plan: RetryPlan = PLENTY) -> tuple[Retries, Clock]:
    clock = Clock(fake=True)
    return Retries(clock, plan), clock


def word(number: int) -> str:
    return RETRY_WORDS[number].word


def test_every_row_of_the_table() -> None:
    """docs/retries.md, read independently: the first question that is answered with no is the reason."""
    rows = 0
    for failure, answers in itertools.product(ALL, itertools.product((True, False), repeat=8)):
        named, repeatable, body, left, elsewhere, same, in_time, paid = answers
        on = ALL if named else tuple(one for one in ALL if one != failure)
        budget = 1000 if paid else 0
        retries, _ = make(
            RetryPlan(on=on, attempts=3, same_endpoint=same, min_per_second=budget, ratio_percent=0),
        )
        questions = {
            "not_chosen": named,
            "not_idempotent": repeatable or failure == "connect",
            "body_gone": body,
            "attempts": left,
            "no_endpoint": elsewhere or same or failure in INNOCENT,
            "deadline": in_time,
            "budget": paid,
        }
        wanted = next((reason for reason, answer in questions.items() if not answer), GRANTED[failure])
        number = retries.judge(
            failure,
            repeatable=repeatable,
            body_here=body,
            elsewhere=elsewhere,
            in_time=in_time,
            made=2 if left else 3,
        )
        assert word(number) == wanted, (failure, questions)
        assert (RETRY_WORDS[number].kind == "retried") == all(questions.values())
        counted = retries.counted()
        assert counted[number] == 1
        assert sum(counted) == 1
        rows += 1
    assert rows == 9 * 2**8


def test_what_may_have_been_processed_is_repeated_only_if_that_is_harmless() -> None:
    retries, _ = make()
    for failure in ALL[1:]:
        assert word(retries.judge(failure, repeatable=False)) == "not_idempotent"
    assert word(retries.judge("connect", repeatable=False)) == "unsent"


def test_the_defaults() -> None:
    retries, _ = make(RetryPlan())
    assert [failure for failure in ALL if RETRY_WORDS[retries.judge(failure)].kind == "retried"] == [
        "connect",
        "reused",
        "reset",
        "timeout",
    ]


def test_the_budget_is_a_part_of_the_requests() -> None:
    retries, _ = make(RetryPlan(ratio_percent=20, min_per_second=0))
    granted = 0
    for _ in range(1000):
        retries.pay_in()
        granted += word(retries.judge("reset")) == "reset"
    assert granted == 200


def test_the_budget_has_so_many_a_second_in_any_case() -> None:
    retries, clock = make(RetryPlan(ratio_percent=0, min_per_second=3))
    assert sum(word(retries.judge("reset")) == "reset" for _ in range(100)) == 30, "ten seconds' worth at the start"
    granted = 0
    for _ in range(20_000):
        clock.advance(1_000)
        granted += word(retries.judge("reset")) == "reset"
    assert granted in (59, 60), "asked every millisecond for 20 s"


def test_the_budget_does_not_grow_beyond_a_hundred() -> None:
    retries, clock = make(RetryPlan(ratio_percent=100, min_per_second=1000))
    clock.advance(3_600_000_000)
    for _ in range(10_000):
        retries.pay_in()
    assert sum(word(retries.judge("reset")) == "reset" for _ in range(500)) == 100


def test_a_refusal_costs_nothing() -> None:
    retries, _ = make(RetryPlan(ratio_percent=0, min_per_second=1))
    for _ in range(100):
        retries.judge("reset", repeatable=False)
        retries.judge("502")
    assert sum(word(retries.judge("reset")) == "reset" for _ in range(20)) == 10


@pytest.mark.parametrize("retries_made", range(6))
def test_pauses_grow_are_bounded_and_spread(retries_made: int) -> None:
    retries, _ = make(replace(PLENTY, backoff_ms=20))
    longest = min(20 * 2 ** max(0, retries_made - 1), 200)
    seen = {retries.pause(retries_made, True) for _ in range(2000)}
    assert min(seen) >= longest // 2
    assert max(seen) <= longest
    assert len(seen) > longest // 4, "jitter"


def test_the_first_retry_at_another_endpoint_does_not_wait() -> None:
    retries, _ = make()
    assert retries.pause(0, False) == 0
    assert retries.pause(0, True) > 0
    assert retries.pause(1, False) > 0


def test_a_fixed_delay() -> None:
    delay = HedgeDelay(HedgePlan(after_ms=50))
    assert delay.delay() == 50
    for _ in range(1000):
        delay.see(1)
    assert delay.delay() == 50


def test_a_percentile_is_not_known_at_first() -> None:
    delay = HedgeDelay(HedgePlan(after_permille=950))
    for _ in range(99):
        delay.see(5_000)
    assert delay.delay() == -1
    for _ in range(64):
        delay.see(5_000)
    assert 5 <= delay.delay() <= 7


@settings(max_examples=30)
@given(
    st.lists(st.integers(0, 100_000_000), min_size=200, max_size=600),
    st.sampled_from([500, 900, 950, 990, 999]),
)
def test_a_percentile_is_off_by_at_most_an_eighth(times: list[int], permille: int) -> None:
    delay = HedgeDelay(HedgePlan(after_permille=permille))
    for us in times:
        delay.see(us)
    # It is looked at every 64 observations.
    seen = sorted(times[: len(times) // 64 * 64])
    exact = seen[(len(seen) * permille + 999) // 1000 - 1]
    assert exact // 1000 <= delay.delay() <= exact * 9 / 8 / 1000 + 1.001


def test_a_percentile_follows_what_happens() -> None:
    dice = random.Random(1)
    delay = HedgeDelay(HedgePlan(after_permille=950))
    for _ in range(20_000):
        delay.see(dice.randrange(1_000, 2_000))
    assert delay.delay() <= 3
    for _ in range(20_000):
        delay.see(dice.randrange(100_000, 200_000))
    assert 180 <= delay.delay() <= 230
    delay.see(10**12)
    delay.see(-5)
