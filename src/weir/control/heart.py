"""What a worker says of itself in the shared table: that it is alive, its connections and its pools."""

from __future__ import annotations

from typing import Any, Final

from weir.config.plan import Plan
from weir.plane.accesslog import AccessLog
from weir.plane.plane import Plane
from weir.stats import layout
from weir.stats.publish import publish, published

__all__ = ["HEARTBEAT_S", "Heart"]

# How often a worker says in the shared table that it is alive.
HEARTBEAT_S: Final = 1.0

# Of an endpoint: what only ever grows.
COUNTED: Final = ("dials", "dial_failures", "reuses", "spoiled")


class Heart:
    """`beat()` about once a second, and when the plane was closed: then nothing is open any more.

    What the worker before it in the same place has counted of its endpoints is gone on with: sums over the workers
    never fall, which a reader would take for a restart of all of them.
    """

    def __init__(self, memory: Any, worker: int, plan: Plan, plane: Plane, log: AccessLog) -> None:
        self._memory, self._worker, self._plane, self._log = memory, worker, plane, log
        places = {names: number for number, names in enumerate(layout.endpoint_names(memory))}
        self._numbers = [
            [places.get(layout.endpoint_key(cluster.name, address.text)) for address in cluster.endpoints]
            for cluster in plan.clusters
        ]
        self._before = {
            number: {name: published(memory, worker, number)[name] for name in COUNTED} for number in places.values()
        }

    def beat(self) -> None:
        """The worker is alive, and this is what it has."""
        told = []
        for cluster, numbers in enumerate(self._numbers):
            queued = self._plane.queued(cluster)
            for number, pool in zip(numbers, self._plane.pools(cluster), strict=True):
                if number is not None:
                    own: dict[str, Any] = {**pool, "queued": queued}
                    for name, before in self._before[number].items():
                        own[name] += before
                    told.append((number, own))
        publish(self._memory, self._worker, gauges=self._gauges(), endpoints=told)

    def _gauges(self) -> dict[str, int]:
        return {
            **self._plane.ledger(),
            "accepted": self._plane.accepted(),
            "log_lines": self._log.lines,
            "log_dropped": self._log.dropped,
        }
