"""What all processes know of the endpoints."""

from __future__ import annotations

import pytest

from weir.stats import layout
from weir.stats.bytemap import HEADER, read
from weir.stats.roster import Health, Order, Standing, announce, change, standing


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
