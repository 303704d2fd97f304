"""What is noted of endpoints: each change once, the last ones, whoever notes."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import pytest

from weir.reasons import Reason
from weir.stats import layout
from weir.stats.bytemap import CHANGES, HEADER, read
from weir.stats.happened import Change, Notes, happened
from weir.stats.roster import Health, Order, State, Why, change, why

SECOND = 1_000_000


@pytest.fixture
def table() -> Iterator[layout.Table]:
    with layout.create(8, ["main"], 1, endpoints=[("app", ":1"), ("app", ":2")], spare_endpoints=2) as made:
        yield made


def short(changes: list[Change]) -> list[tuple[str, State, State]]:
    return [(one.endpoint, one.old, one.new) for one in changes]


def test_each_change_is_noted_once(table: layout.Table) -> None:
    notes = Notes(table)
    assert notes.look(1) == []
    change(table, 1, health=Health.UNHEALTHY, health_reason=why(Why.STATUS, 503))
    (made,) = notes.look(2)
    assert made[1:] == (1, "app", ":2", State.READY, State.UNHEALTHY, why(Why.STATUS, 503), 0)
    assert notes.look(3) == []
    assert Notes(table).look(4) == [], "who takes over finds that it was noted"
    change(table, 1, health=Health.HEALTHY, health_reason=0)
    assert short(notes.look(5)) == [(":2", State.UNHEALTHY, State.READY)]
    assert happened(table)[0] == made
    assert len(happened(table)) == 2


def test_an_ejection_ends_without_anybody_saying_so(table: layout.Table) -> None:
    notes = Notes(table)
    change(table, 0, ejected_until_us=11 * SECOND, ejection_reason=why(Reason.CONNECT_REFUSED))
    (made,) = notes.look(SECOND)
    assert (made.new, made.why, made.ejected_ms) == (State.EJECTED, Reason.CONNECT_REFUSED, 10_000)
    assert notes.look(10 * SECOND) == []
    (made,) = notes.look(11 * SECOND)
    assert (made.old, made.new, made.why) == (State.EJECTED, State.READY, 0)
    assert notes.look(30 * SECOND) == []


def test_orders_and_new_endpoints_are_seen(table: layout.Table) -> None:
    notes = Notes(table)
    notes.look(1)
    layout.name_endpoints(table, [("app", ":3")])
    change(table, 2, order=Order.DRAIN)
    change(table, 0, order=Order.DOWN)
    assert short(notes.look(2)) == [(":1", State.READY, State.DOWN), (":3", State.READY, State.DRAINING)]


def test_that_checks_begin_is_no_news(table: layout.Table) -> None:
    notes = Notes(table)
    change(table, 0, health=Health.UNHEALTHY, health_reason=why(Why.UNCHECKED))
    assert notes.look(1) == []
    change(table, 0, health=Health.HEALTHY, health_reason=0)
    assert notes.look(2) == []


def test_the_last_ones_are_kept(table: layout.Table) -> None:
    notes = Notes(table)
    for n in range(CHANGES + 10):
        change(table, 0, order=Order.DRAIN if n % 2 == 0 else Order.DOWN)
        notes.look(n)
    kept = happened(table)
    assert read(table, 0, HEADER, "changes_made") == CHANGES + 10
    assert len(kept) == CHANGES
    assert short(kept)[-1] == (":1", State.DRAINING, State.DOWN)
    assert all(one.new != after.new for one, after in itertools.pairwise(kept))


def test_long_names_are_cut_and_nothing_else(table: layout.Table) -> None:
    layout.name_endpoints(table, [("ä" * 100, "x" * 200)])
    change(table, 2, order=Order.DOWN)
    (made,) = Notes(table).look(1)
    assert (made.cluster, made.endpoint) == ("ä" * 60, "x" * 120)
    assert happened(table) == [made]
