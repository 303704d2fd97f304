"""The members of a worker's clusters: those of the configuration, of names that stand for several, and of operators."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable
from typing import Any

from weir.config.address import parse_endpoint
from weir.config.errors import ConfigError
from weir.config.plan import AddressPlan, ClusterPlan
from weir.control.dns import Target
from weir.control.resolve import Resolver
from weir.plane.plane import Plane
from weir.stats import layout, roster
from weir.stats.roster import Order, Origin

__all__ = ["Members", "adopt_endpoints"]

log = logging.getLogger("weir")

# Who brings an operator's endpoints; other sources are names.
OPERATOR = ""


def adopt_endpoints(memory: Any, clusters: Iterable[ClusterPlan]) -> None:
    """The endpoints of a plan that comes into use are the configuration's, whoever has brought them before.

    One that an operator had added and removed gets requests again, and what a look-up said of an endpoint that no name
    stands for any more is forgotten: nobody else would take that back.
    """
    found: list[tuple[str, str, bool]] = []
    for cluster in clusters:
        looked_up = any(cluster.stands_for_several(address) for address in cluster.endpoints)
        found += [(cluster.name, name, looked_up) for name in cluster.members()]
    # Of all at once: each time it reads all names that there are.
    numbers = layout.name_endpoints(memory, [(cluster, name) for cluster, name, _ in found])
    for number, (_cluster, _name, looked_up) in zip(numbers, found, strict=True):
        known = roster.standing(memory, number)
        said: dict[str, int] = {}
        if known.origin != Origin.FILE:
            said["origin"] = Origin.FILE
        if known.order == Order.REMOVED:
            said |= {"order": Order.READY, "joined_us": time.monotonic_ns() // 1000}
        if not looked_up and (known.priority or known.source_weight):
            said |= {"priority": 0, "source_weight": 0}
        if said:
            roster.change(memory, number, **said)


class Members:
    """Keeps a plane's clusters at what is said of them; `keep()` about once a second.

    An endpoint of the configuration is a member for as long as the plan is in use. Others have sources: one that an
    operator has added (in the shared table) is a member until it is removed there, one that a name stands for until the
    name no longer does. Weights, orders and health are no matter of this: the plane reads them by itself.
    """

    def __init__(self, memory: Any, clusters: tuple[ClusterPlan, ...], plane: Plane, resolver: Resolver) -> None:
        self._memory, self._plane, self._resolver = memory, plane, resolver
        self._clusters = clusters
        self._numbers = {layout.endpoint_key(plan.name, "")[0]: number for number, plan in enumerate(clusters)}
        self._fixed = [set(plan.members()) for plan in clusters]
        # For each cluster the members that each source wants, and those that are there for any of them.
        self._wanted: list[dict[str, set[str]]] = [{} for _ in clusters]
        self._there: list[set[str]] = [set() for _ in clusters]
        self._seen = -1

    def keep(self) -> None:
        """Adds and removes what has changed in the table; says of every member that it is one."""
        changes = roster.changes(self._memory)
        if changes != self._seen:
            # Before it is read: what changes from here on is looked at again.
            self._seen = changes
            for cluster, endpoints in enumerate(self._added()):
                self._want(cluster, OPERATOR, endpoints)
        roster.have_seen(self._memory, self._plane.endpoint_numbers())

    def name_stands_for(self, cluster: int, name: str, targets: Iterable[Target]) -> None:
        """What a name in the configuration (`AddressPlan.text`) stands for now."""
        wanted = {target.text: target for target in targets}
        home = self._clusters[cluster].name
        try:
            numbers = layout.name_endpoints(self._memory, [(home, text) for text in wanted])
        except ValueError as error:
            # They serve, without figures and health of their own.
            log.warning("cluster %s: endpoints of %s have no place in the statistics table: %s", home, name, error)
            numbers = []
        for number, target in zip(numbers, wanted.values(), strict=False):
            known = roster.standing(self._memory, number)
            said = {"priority": target.priority, "source_weight": target.weight}
            if target.text not in self._fixed[cluster] and known.origin == Origin.FILE:
                said["origin"] = Origin.NAME
                if name in self._wanted[cluster]:
                    # It has come while others served: its slow start begins.
                    said["joined_us"] = time.monotonic_ns() // 1000
            # Every worker says so: only the first one changes anything.
            if any(getattr(known, field) != value for field, value in said.items()):
                roster.change(self._memory, number, **said)
        self._want(cluster, name, set(wanted))

    def _added(self) -> list[set[str]]:
        """What operators have added, for each cluster."""
        added: list[set[str]] = [set() for _ in self._clusters]
        for number, (cluster, endpoint) in enumerate(layout.endpoint_names(self._memory)):
            place = self._numbers.get(cluster)
            if place is not None:
                standing = roster.standing(self._memory, number)
                if standing.origin == Origin.RUN_TIME and standing.order != Order.REMOVED:
                    added[place].add(endpoint)
        return added

    def _want(self, cluster: int, source: str, endpoints: set[str]) -> None:
        self._wanted[cluster][source] = endpoints
        wanted = set().union(*self._wanted[cluster].values()) - self._fixed[cluster]
        there = self._there[cluster]
        for endpoint in sorted(wanted - there):
            self._add(cluster, endpoint, source)
        for endpoint in sorted(there - wanted):
            there.discard(endpoint)
            self._resolver.forget(cluster, endpoint)
            self._plane.remove_endpoint(cluster, endpoint)

    def _add(self, cluster: int, endpoint: str, source: str) -> None:
        try:
            address: AddressPlan = parse_endpoint(endpoint)
        except ConfigError as error:
            # Who adds has it checked; this is another program's doing.
            log.warning("the table has an endpoint that cannot be one: %s", error)
            return
        self._there[cluster].add(endpoint)
        self._plane.add_endpoint(cluster, endpoint, source)
        self._resolver.watch(cluster, address)
