"""The members of a worker's clusters follow the table."""

from __future__ import annotations

from typing import Any, cast

from weir.config.plan import AddressPlan, ClusterPlan
from weir.control.members import Members
from weir.control.resolve import Resolver
from weir.plane.plane import Plane
from weir.stats import layout, roster
from weir.stats.roster import Order, Origin, change, standing


class Told:
    """Takes down what plane and resolver are told."""

    def __init__(self) -> None:
        self.said: list[tuple[Any, ...]] = []
        self.numbers: list[int] = []

    def add_endpoint(self, cluster: int, endpoint: str) -> None:
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


def test_members_are_seen() -> None:
    told = Told()
    with layout.create(8, ["main"], 1, endpoints=[("app", "a:1"), ("app", "b:1")]) as table:
        for number in range(2):
            change(table, number, seen_us=1)
        told.numbers = [1]
        members = Members(table, (), cast(Plane, told), cast(Resolver, told))
        members.keep()
        assert [roster.is_member(standing(table, number)) for number in range(2)] == [False, True]
