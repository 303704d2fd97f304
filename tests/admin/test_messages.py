"""Rows and histograms as messages."""

from __future__ import annotations

import struct
import time

from hypothesis import given
from hypothesis import strategies as st

from tests.admin.rig import PLAN, Counted
from weir.admin.messages import histogram_message, reason_counts, status_message, timestamp, view_message
from weir.admin.state import AdminState
from weir.config.plan import AddressPlan, FaultPlan, ListenerPlan, Plan, RateLimitPlan, RoutePlan
from weir.plane.counters import Counters
from weir.plane.gcra import RateLimit
from weir.reasons import Reason
from weir.stats import layout, roster
from weir.stats.columns import REASONS_AT
from weir.stats.ejection import eject
from weir.stats.frame import take
from weir.stats.happened import Notes
from weir.stats.hooks import BUCKETS_AT, HEADER_BYTES, ROW_BYTES
from weir.stats.names import TableNames
from weir.stats.publish import publish, write_decisions
from weir.stats.reader import BUCKETS_USED
from weir.stats.rules import RuleBook
from weir.stats.view import query

BUCKETS = st.lists(st.integers(0, 2**63), min_size=BUCKETS_USED, max_size=BUCKETS_USED)
SPARSE = st.dictionaries(st.integers(0, BUCKETS_USED - 1), st.integers(1, 2**40), max_size=5).map(
    lambda used: [used.get(place, 0) for place in range(BUCKETS_USED)]
)


@given(BUCKETS | SPARSE)
def test_a_histogram_comes_back(buckets: list[int]) -> None:
    message = histogram_message(buckets)
    counts = list(message.counts)
    assert message.scale == 3
    assert [0] * message.offset + counts + [0] * (BUCKETS_USED - message.offset - len(counts)) == buckets
    assert not counts or (counts[0] and counts[-1])


def test_moments() -> None:
    assert (timestamp(1_500_000).seconds, timestamp(1_500_000).nanos) == (1, 500_000_000)


def test_the_most_frequent_reason_comes_first() -> None:
    assert [(each.reason, each.count) for each in reason_counts({"b": 1, "a": 1, "c": 9})] == [
        ("c", 9),
        ("a", 1),
        ("b", 1),
    ]


def test_a_series_has_its_reasons_and_its_ledger() -> None:
    counted = Counted()
    counted.count(b"/a", 4, errors=2, queue_us=300, retries=1, first_byte_us=800, first_bytes=4)
    row = counted.workers[0].find_row(0, b"/a")
    counted.workers[0].add(row, REASONS_AT + Reason.CLIENT_CLOSED, 2)
    view = query(take(counted.table), TableNames(counted.table))
    (series,) = view_message(view).series
    assert [(each.reason, each.count) for each in series.reasons] == [("client_closed", 2)]
    assert series.ledger is not None
    assert series.first_byte is not None
    assert (series.ledger.queue_us, series.ledger.total_us) == (300, 4000)
    assert (series.retries, series.errors, series.first_byte.count, series.first_byte.mean_us) == (1, 2, 4, 200.0)


async def test_status_has_the_endpoints_of_all_workers() -> None:
    table = layout.create(8, ["main"], workers=3, endpoints=[("app", "127.0.0.1:1")], clusters=["app"])
    for number in range(2):
        Counters(table, number)
        publish(
            table,
            number,
            gauges={"downstreams": 3, "accepted": 7},
            endpoints=[(0, {"open": 5, "idle": 2, "queued": 1})],
        )
        write_decisions(table, number, 0, reset=2, hedge_won=1)
    status = status_message(AdminState(PLAN, table))
    (cluster,) = status.clusters
    assert cluster.cluster == "app"
    assert [(one.word, one.count) for one in cluster.decisions] == [("reset", 4), ("hedge_won", 2)]
    assert [(worker.slot, worker.downstream_connections, worker.accepted) for worker in status.workers] == [
        (0, 3, 7),
        (1, 3, 7),
    ]
    (endpoint,) = status.endpoints
    assert (endpoint.cluster, endpoint.endpoint, endpoint.open, endpoint.idle) == ("app", "127.0.0.1:1", 10, 4)
    assert status.table is not None
    assert (status.table.rows, status.table.rows_taken) == (8, 1)


async def test_status_has_rate_limits_and_faults() -> None:
    limits = (RateLimitPlan("client", (10, 1000)), RateLimitPlan("all", (1, 1000), name="all", dry_run=True))
    faults = (FaultPlan(abort=503), FaultPlan(delay_ms=(1, 1), name="slow"))
    listener = ListenerPlan(AddressPlan(":8080", "", 8080), 0, rate_limits=limits, faults=faults)
    rules = RuleBook(Plan((listener,), (), ()), workers=2)
    for number in range(2):
        RateLimit(rules.limits[0][0], number, limits[0]).spend([b"a"] * 20, 10**15)
    status = status_message(AdminState(PLAN, layout.create(8, ["main"], workers=2), rules))
    assert [(limit.listener, limit.name, limit.by, limit.dry_run, limit.passed) for limit in status.rate_limits] == [
        (":8080", "client 10/s", "client", False, 10),
        (":8080", "all", "all", True, 0),
    ]
    assert [(fault.listener, fault.name) for fault in status.faults] == [(":8080", "fault 1"), (":8080", "slow")]


async def test_status_has_rate_limits_of_routes() -> None:
    limit = RateLimitPlan("client", (10, 1000))
    routes = tuple(RoutePlan(f"api:{side}", 0, rate_limits=(limit,), limited_as="api") for side in "ab")
    rules = RuleBook(Plan((), routes, ()), workers=1)
    RateLimit(rules.route_limits[1][0], 0, limit).spend([b"a"] * 20, 10**15)
    (found,) = status_message(AdminState(PLAN, layout.create(8, ["main"], workers=1), rules)).rate_limits
    assert (found.listener, found.route, found.name, found.passed) == ("", "api", "client 10/s", 10)


async def test_status_has_hooks() -> None:
    hooked = (("request", "app.guard"), ("log", "app.note"))
    rules = RuleBook(Plan((), (), (), hooked=hooked), workers=2)
    (guard, _note), together = rules.hooks.memories(hooked), rules.hooks.together()
    for number in range(2):
        struct.pack_into("6Q", guard, HEADER_BYTES + number * ROW_BYTES, 10, 1, 2, 3, 4, 5_000_000)
        struct.pack_into("I", guard, HEADER_BYTES + number * ROW_BYTES + BUCKETS_AT + 4 * 8 * 9, 10)
        struct.pack_into("2Q", together, HEADER_BYTES + number * ROW_BYTES, 50, 10)
    status = status_message(AdminState(PLAN, layout.create(8, ["main"], workers=2), rules))
    assert status.hooks is not None
    assert (status.hooks.requests, status.hooks.requests_met) == (100, 20)
    first, second = status.hooks.hooks
    assert (first.phase, first.name, first.calls, first.failures, first.timeouts) == ("request", "app.guard", 20, 2, 4)
    assert (first.skipped, first.over_budget) == (6, 8)
    assert first.time is not None
    assert (first.time.count, first.time.sum_us, first.time.mean_us) == (20, 10_000, 500)
    assert 512 < first.time.p99_us < 560
    assert (second.name, second.calls) == ("app.note", 0)


async def test_status_has_the_endpoints_health_and_what_became_of_them() -> None:
    table = layout.create(
        8, ["main"], workers=1, endpoints=[("app", ":1"), ("app", ":2"), ("app", ":3")], clusters=["app"]
    )
    Counters(table, 0)
    publish(table, 0, gauges={}, clusters=[(0, {"panics": 1})])
    now_us = time.monotonic_ns() // 1000
    roster.have_seen(table, range(2))
    roster.change(table, 0, health=roster.Health.UNHEALTHY, health_reason=roster.why(roster.Why.STATUS, 503))
    roster.note_check(table, 0, failed=True, took_us=700, now_us=now_us)
    refused = roster.why(Reason.CONNECT_REFUSED)
    assert eject(table, 1, range(3), refused, percent=50, time_us=9_000_000, max_time_us=9_000_000, now_us=now_us)
    Notes(table).look(now_us)
    status = status_message(AdminState(PLAN, table))
    first, second, third = status.endpoints
    assert (first.state, first.why, first.checks, first.checks_failed, first.check_us) == (
        "unhealthy",
        "status 503",
        1,
        1,
        700,
    )
    assert first.checked_ago is not None
    assert first.ejected_for is None
    assert first.since is not None
    assert (second.state, second.why, second.ejections_made, second.checked_ago) == (
        "ejected",
        "connect_refused",
        1,
        None,
    )
    assert second.ejected_for is not None
    assert 0 < second.ejected_for.seconds < 9
    assert (third.state, third.why, third.since) == ("ready", "", None)
    assert [one.member for one in status.endpoints] == [True, True, True]
    assert [(one.endpoint, one.old, one.new, one.why) for one in status.changes] == [
        (":1", "ready", "unhealthy", "status 503"),
        (":2", "ready", "ejected", "connect_refused"),
    ]
    assert list(status.panics) == ["app"]
