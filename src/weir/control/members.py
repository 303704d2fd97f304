"""The members of a worker's clusters: those of the configuration, and those that operators have added."""

from __future__ import annotations

import logging
from typing import Any

from weir.config.address import parse_endpoint
from weir.config.errors import ConfigError
from weir.config.plan import ClusterPlan
from weir.control.resolve import Resolver
from weir.plane.plane import Plane
from weir.stats import layout, roster
from weir.stats.roster import Order, Origin

__all__ = ["Members"]

log = logging.getLogger("weir")


class Members:
    """Keeps a plane's clusters at what the shared table says; `keep()` about once a second.

    An endpoint of the configuration is a member for as long as the plan is in use; one that an operator has added is
    one until it is removed. Weights, orders and health are no matter of this: the plane reads them by itself.
    """

    def __init__(self, memory: Any, clusters: tuple[ClusterPlan, ...], plane: Plane, resolver: Resolver) -> None:
        self._memory, self._plane, self._resolver = memory, plane, resolver
        self._numbers = {layout.endpoint_key(plan.name, "")[0]: number for number, plan in enumerate(clusters)}
        self._fixed = [{address.text for address in plan.endpoints} for plan in clusters]
        self._added: list[set[str]] = [set() for _ in clusters]
        self._seen = -1

    def keep(self) -> None:
        """Adds and removes what has changed; says of every member that it is one."""
        changes = roster.changes(self._memory)
        if changes != self._seen:
            # Before it is read: what changes from here on is looked at again.
            self._seen = changes
            self._follow()
        roster.have_seen(self._memory, self._plane.endpoint_numbers())

    def _follow(self) -> None:
        wanted: list[set[str]] = [set() for _ in self._added]
        for number, (cluster, endpoint) in enumerate(layout.endpoint_names(self._memory)):
            place = self._numbers.get(cluster)
            if place is None:
                continue
            standing = roster.standing(self._memory, number)
            if standing.origin == Origin.RUN_TIME and standing.order != Order.REMOVED:
                wanted[place].add(endpoint)
        for place, endpoints in enumerate(wanted):
            for endpoint in endpoints - self._added[place] - self._fixed[place]:
                self._add(place, endpoint)
            for endpoint in self._added[place] - endpoints:
                self._added[place].discard(endpoint)
                self._resolver.forget(place, endpoint)
                self._plane.remove_endpoint(place, endpoint)

    def _add(self, place: int, endpoint: str) -> None:
        try:
            address = parse_endpoint(endpoint)
        except ConfigError as error:
            # Who adds has it checked; this is another program's doing.
            log.warning("the table has an endpoint that cannot be one: %s", error)
            return
        self._added[place].add(endpoint)
        self._plane.add_endpoint(place, endpoint)
        self._resolver.watch(place, address)
