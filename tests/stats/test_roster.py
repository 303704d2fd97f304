"""What all processes know of the endpoints."""

from __future__ import annotations

import pytest

from weir.reasons import Reason
from weir.stats import layout
from weir.stats.bytemap import HEADER, STANDING, read, write
from weir.stats.roster import (
    Health,
    Order,
    Standing,
    State,
    Why,
    announce,
    cause_of,
    change,
    changes,
    note_check,
    place,
    standing,
    standings,
    state_of,
    why,
    why_text,
)


def test_a_change_is_read_back_dated_and_announced() -> None:
    with layout.create(8, ["main"], 1, endpoints=[("app", ":1"), ("app", ":2")]) as table:
        assert standing(table, 1)._replace(seen_us=0) == Standing()
        before = read(table, 0, HEADER, "endpoints_changed")
        change(table, 1, order=Order.DRAIN, health=Health.UNHEALTHY, weight=7)
        made = standing(table, 1)
        assert made == Standing(order=1, health=2, weight=7, changed_us=made.changed_us, seen_us=made.seen_us)
        assert made.changed_us >= layout.read_header(table).created_us
        assert standing(table, 0)._replace(seen_us=0) == Standing(), "its neighbour is as it was"
        assert layout.endpoint_names(table) == [("app", ":1"), ("app", ":2")], "and so are the names"
        after = read(table, 0, HEADER, "endpoints_changed")
        assert after != before
        announce(table)
        assert read(table, 0, HEADER, "endpoints_changed") not in (before, after)


def test_there_must_be_such_an_endpoint() -> None:
    with layout.create(8, ["main"], 1, endpoints=[("app", ":1")]) as table:
        for number in (-1, 1):
            with pytest.raises(ValueError, match=f"endpoint {number} of 1"):
                standing(table, number)
            with pytest.raises(ValueError, match=f"endpoint {number} of 1"):
                change(table, number, weight=1)


def test_all_standings_are_read_alike() -> None:
    with layout.create(8, ["main"], 1, endpoints=[("app", ":1"), ("app", ":2")], spare_endpoints=3) as table:
        values = {name: n + 1 for n, name in enumerate(Standing._fields)}
        for name, value in values.items():
            write(table, place(table, 1), STANDING, **{name: value})
        assert standing(table, 1) == Standing(**values)
        assert standings(table) == [standing(table, 0), standing(table, 1)]
        assert standings(table)[0].seen_us > 0


def test_a_state_in_a_word() -> None:
    assert state_of(Standing()).word == "ready"
    assert state_of(Standing(health=Health.UNHEALTHY, ejected_until_us=1 << 60)) == State.UNHEALTHY
    assert state_of(Standing(ejected_until_us=5), 4) == State.EJECTED
    assert state_of(Standing(ejected_until_us=5), 5) == State.READY
    assert state_of(Standing(ejected_until_us=5)) == State.READY
    assert state_of(Standing(order=Order.DRAIN, health=Health.UNHEALTHY)) == State.DRAINING
    assert state_of(Standing(order=Order.DOWN)) == State.DOWN
    assert state_of(Standing(order=Order.REMOVED)) == State.REMOVED


def test_reasons_in_words() -> None:
    assert why_text(0) == ""
    assert why_text(why(Reason.CONNECT_REFUSED)) == "connect_refused"
    assert why_text(why(Why.STATUS, 503)) == "status 503"
    assert why_text(why(Why.ERROR_RATE, 75)) == "75 % errors"
    assert why_text(why(Why.LATENCY, 325)) == "latency 3.2 times the median"
    assert why_text(why(Why.LATENCY, 1 << 40)) != ""
    assert why_text(127) == "", "of a version that knows more"
    said = Standing(health_reason=why(Why.BODY), ejection_reason=why(Why.ERRORS_5XX, 7))
    assert cause_of(said, State.UNHEALTHY) == "the body does not match"
    assert cause_of(said, State.EJECTED) == "7 errors 5xx in a row"
    assert cause_of(said, State.READY) == ""


def test_checks_are_counted_and_nobody_has_to_look() -> None:
    with layout.create(8, ["main"], 1, endpoints=[("app", ":1")]) as table:
        before = changes(table)
        note_check(table, 0, failed=False, took_us=70, now_us=5)
        note_check(table, 0, failed=True, took_us=90, now_us=6)
        told = standing(table, 0)
        assert (told.checks, told.checks_failed, told.check_us, told.checked_us) == (2, 1, 90, 6)
        assert changes(table) == before
