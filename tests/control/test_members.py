"""The members of a worker's clusters follow the table."""

from __future__ import annotations

from typing import Any, cast

import pytest

from weir.config.plan import AddressPlan, ClusterPlan
from weir.control.dns import Target
from weir.control.members import Members, adopt_endpoints
from weir.control.resolve import Resolver
from weir.plane.plane import Plane
from weir.stats import layout, roster
from weir.stats.roster import Order, Origin, change, standing


class Told:
    """Takes down what plane and resolver are told."""

    def __init__(self) -> None:
        self.said: list[tuple[Any, ...]] = []
        self.numbers: list[int] = []

    def add_endpoint(self, cluster: int, endpoint: str, name: str = "") -> None:
        self.said.append(("add", cluster, endpoint))

    def remove_endpoint(self, cluster: int, endpoint: str) -> None:
        self.said.append(("remove", cluster, endpoint))

    def endpoint_numbers(self) -> list[int]:
        return self.numbers

    def watch(self, cluster: int, address: AddressPlan) -> None:
        self.said.append(("watch", cluster, address))

    def forget(self, cluster: int, endpoint: str) -> None:
        self.said.append(("forget", cluster, endpoint))

    def take(self) -> list[tuple[Any, ...]]:
        said, self.said = self.said, []
        return said


def test_what_is_added_and_removed_is_done_once() -> None:
    told = Told()
    plans = (ClusterPlan("other", ()), ClusterPlan("app", (AddressPlan("a:1", "a", 1),)))
    with layout.create(8, ["main"], 1, endpoints=[("app", "a:1")], spare_endpoints=5) as table:
        members = Members(table, plans, cast(Plane, told), cast(Resolver, told))
        members.keep()
        assert told.take() == []
        names = [("app", "b:2"), ("app", "a:1"), ("gone", "c:3"), ("app", "no address")]
        for number in layout.name_endpoints(table, names):
            change(table, number, origin=Origin.RUN_TIME)
        members.keep()
        assert told.take() == [("add", 1, "b:2"), ("watch", 1, AddressPlan("b:2", "b", 2))]
        members.keep()
        assert told.take() == []
        change(table, 1, order=Order.REMOVED)
        members.keep()
        assert told.take() == [("forget", 1, "b:2"), ("remove", 1, "b:2")]
        change(table, 1, order=Order.DOWN)
        members.keep()
        assert told.take()[0] == ("add", 1, "b:2")


def test_a_name_stands_for_others_and_sources_do_not_disturb_each_other() -> None:
    told = Told()
    fixed = AddressPlan("192.0.2.1:80", "192.0.2.1", 80)
    plans = (ClusterPlan("app", (fixed, AddressPlan("app.test:80", "app.test", 80)), resolve="each"),)
    with layout.create(8, ["main"], 1, endpoints=[("app", fixed.text)], spare_endpoints=5) as table:
        members = Members(table, plans, cast(Plane, told), cast(Resolver, told))
        members.name_stands_for(0, "app.test:80", [Target("192.0.2.1", 80, 2, 7), Target("192.0.2.2", 80, 1, 30)])
        assert told.take() == [
            ("add", 0, "192.0.2.2:80"),
            ("watch", 0, AddressPlan("192.0.2.2:80", "192.0.2.2", 80)),
        ]
        assert (standing(table, 0).origin, standing(table, 1).origin) == (Origin.FILE, Origin.NAME)
        assert (standing(table, 1).priority, standing(table, 1).source_weight) == (1, 30)
        changes = roster.changes(table)
        members.name_stands_for(0, "app.test:80", [Target("192.0.2.1", 80, 2, 7), Target("192.0.2.2", 80, 1, 30)])
        assert (told.take(), roster.changes(table)) == ([], changes), "said twice is said once"
        # Another name stands for it as well, and then only that.
        members.name_stands_for(0, "other.test:80", [Target("192.0.2.2", 80)])
        members.name_stands_for(0, "app.test:80", [])
        assert told.take() == []
        members.name_stands_for(0, "other.test:80", [])
        assert told.take() == [("forget", 0, "192.0.2.2:80"), ("remove", 0, "192.0.2.2:80")]


def test_without_a_place_in_the_table_they_serve(caplog: pytest.LogCaptureFixture) -> None:
    told = Told()
    plans = (ClusterPlan("app", ()),)
    with layout.create(8, ["main"], 1, spare_endpoints=1) as table:
        members = Members(table, plans, cast(Plane, told), cast(Resolver, told))
        members.name_stands_for(0, "app.test:80", [Target("192.0.2.1", 80), Target("192.0.2.2", 80)])
        assert [said[2] for said in told.take() if said[0] == "add"] == ["192.0.2.1:80", "192.0.2.2:80"]
    assert "have no place in the statistics table" in caplog.text


def test_members_are_seen() -> None:
    told = Told()
    with layout.create(8, ["main"], 1, endpoints=[("app", "a:1"), ("app", "b:1")]) as table:
        for number in range(2):
            change(table, number, seen_us=1)
        told.numbers = [1]
        members = Members(table, (), cast(Plane, told), cast(Resolver, told))
        members.keep()
        assert [roster.is_member(standing(table, number)) for number in range(2)] == [False, True]


def test_what_the_configuration_has_is_its_own() -> None:
    """Whatever was said of an endpoint before: an operator had added and removed it, a look-up had weighed it."""
    plans = (ClusterPlan("app", (AddressPlan("a:1", "a", 1), AddressPlan("b:1", "b", 1), AddressPlan("c:1", "c", 1))),)
    with layout.create(8, ["main"], 1, endpoints=[("app", name) for name in ("a:1", "b:1", "c:1")]) as table:
        change(table, 0, origin=Origin.RUN_TIME, order=Order.REMOVED)
        change(table, 1, origin=Origin.NAME, order=Order.DRAIN, weight=7, source_weight=9, priority=2)
        changes = roster.changes(table)
        adopt_endpoints(table, plans)
        assert roster.changes(table) != changes
        first, second, third = (standing(table, number) for number in range(3))
        assert (first.origin, first.order) == (Origin.FILE, Order.READY)
        assert (second.origin, second.order, second.weight) == (Origin.FILE, Order.DRAIN, 7), "orders are kept"
        assert (second.source_weight, second.priority) == (0, 0)
        assert third == standing(table, 2)._replace(changed_us=0)
        changes = roster.changes(table)
        adopt_endpoints(table, plans)
        assert roster.changes(table) == changes


def test_what_a_name_says_of_an_endpoint_of_the_configuration_is_kept() -> None:
    fixed, name = AddressPlan("192.0.2.1:80", "192.0.2.1", 80), AddressPlan("app.test:80", "app.test", 80)
    with layout.create(8, ["main"], 1, endpoints=[("app", fixed.text)]) as table:
        change(table, 0, source_weight=9, priority=2)
        adopt_endpoints(table, (ClusterPlan("app", (fixed, name), resolve="each"),))
        assert (standing(table, 0).source_weight, standing(table, 0).priority) == (9, 2)
