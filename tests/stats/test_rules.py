"""The memory of rules: what is shared, what a reload keeps, and what is counted."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest

from weir.config.plan import AddressPlan, FaultPlan, ListenerPlan, Plan, RateLimitPlan, RoutePlan
from weir.plane.gcra import RateLimit
from weir.stats import rules
from weir.stats.rules import RuleBook

LIMIT = RateLimitPlan("client", (10, 1000))
FAULT = FaultPlan(abort=503)
HEADER = Path(rules.__file__).parents[1] / "plane" / "rule.pxd"


def plan(*limits: RateLimitPlan, faults: tuple[FaultPlan, ...] = (), address: str = ":8080") -> Plan:
    return Plan((ListenerPlan(AddressPlan(address, "", 8080), 0, rate_limits=limits, faults=faults),), (), ())


def test_every_rule_has_a_memory_of_its_own() -> None:
    book = RuleBook(plan(LIMIT, LIMIT, replace(LIMIT, by="all"), faults=(FAULT, FAULT)), workers=3)
    memories = [*book.limits[0], *book.faults[0]]
    assert len({id(memory) for memory in memories}) == 5
    assert len(memories[0]) > 2 << 20
    assert len(memories[2]) < 10_000, "all together are one key"
    assert len(memories[3]) == 8192


@pytest.mark.parametrize(
    ("before", "after", "kept"),
    [
        (LIMIT, LIMIT, True),
        (LIMIT, replace(LIMIT, status=503, dry_run=True, delay=7, name="x"), True),
        (LIMIT, replace(LIMIT, rate=(20, 1000)), False),
        (LIMIT, replace(LIMIT, burst=5), False),
        (LIMIT, replace(LIMIT, prefix="/a"), False),
        (LIMIT, replace(LIMIT, max_keys=9), False),
    ],
)
def test_a_new_plan_goes_on_with_what_is_as_before(before: RateLimitPlan, after: RateLimitPlan, kept: bool) -> None:
    old = RuleBook(plan(before), workers=2)
    new = RuleBook(plan(replace(LIMIT, by="path"), after), workers=2, before=old)
    assert (new.limits[0][1] is old.limits[0][0]) == kept
    again = RuleBook(plan(after, address=":9090"), workers=2, before=new)
    assert again.limits[0][0] is not new.limits[0][1], "another listener is another matter"


def routed(*routes: RoutePlan) -> Plan:
    return replace(plan(LIMIT), routes=routes)


def test_the_limits_of_a_route_are_one_for_all_its_sides() -> None:
    """And for all listeners: what differs is what they have of them, not whose requests are counted."""
    one = RoutePlan("api:a", 0, rate_limits=(LIMIT, LIMIT), limited_as="api")
    book = RuleBook(routed(one, replace(one, name="api:b", max_body_bytes=7), RoutePlan("x", 0)), workers=2)
    first, second, none = book.route_limits
    assert [id(memory) for memory in first] == [id(memory) for memory in second]
    assert first[0] is not first[1]
    assert none == []
    assert len({id(memory) for memory in (*book.limits[0], *first)}) == 3
    RateLimit(first[1], 1, LIMIT).spend([b"a"] * 20, 10**15)
    assert [(name, rule, counts["passed"]) for name, rule, _, counts in book.route_limit_counts()] == [
        ("api", "client 10/s", 0),
        ("api", "client 10/s", 10),
    ]
    again = RuleBook(routed(RoutePlan("x", 0), replace(one, cluster=3, rate_limits=(LIMIT,))), 2, before=book)
    assert again.route_limits[1][0] is first[0], "a reload forgives nobody"
    other = RuleBook(routed(replace(one, limited_as="other")), 2, before=book)
    assert other.route_limits[0][0] is not first[0]


def test_counts_are_summed_over_workers() -> None:
    book = RuleBook(plan(LIMIT, faults=(FAULT,)), workers=3)
    for worker in range(3):
        RateLimit(book.limits[0][0], worker, LIMIT).spend([b"%d" % worker] * 20, 10**15)
    ((listener, name, rule, counts),) = book.limit_counts()
    assert (listener, name, rule) == (":8080", "client 10/s", LIMIT)
    assert counts == {"passed": 30, "delayed": 0, "limited": 0, "evicted": 0, "crowded": 0}
    assert [name for _listener, name, *_ in book.fault_counts()] == ["fault 1"]


@pytest.mark.parametrize(
    ("rule", "name"),
    [
        (LIMIT, "client 10/s"),
        (RateLimitPlan("field:X", (5, 60_000)), "field:X 5/m"),
        (RateLimitPlan("all", (5, 3_600_000)), "all 5/h"),
        (replace(LIMIT, name="a"), "a"),
        (FAULT, "fault 3"),
        (replace(FAULT, name="b"), "b"),
    ],
)
def test_names(rule: RateLimitPlan | FaultPlan, name: str) -> None:
    assert rules.rule_name(rule, 2) == name


def test_the_plane_knows_the_same_bytes() -> None:
    text = HEADER.read_text()
    for name in ("seed_1", "sequence"):
        assert f"offsetof(weir_rule_header, {name}) == {rules.HEADER[name][1]}," in text
    assert f"sizeof(weir_rule_bucket) == {rules.BUCKET_BYTES}," in text
    assert f"marks[{rules.BUCKET_KEYS}]" in text
    places = re.search(r"RULE_COUNTERS = ([0-9]+)", text)
    assert places is not None
    assert int(places[1]) * 8 == rules.COUNTERS_BYTES
    assert max(len(rules.LIMIT_COUNTERS), len(rules.FAULT_COUNTERS)) <= int(places[1])
