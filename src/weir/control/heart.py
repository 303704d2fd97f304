"""What a worker says of itself in the shared table: that it is alive, its connections and its pools."""

from __future__ import annotations

from typing import Any, Final

from weir.config.plan import Plan
from weir.plane.accesslog import AccessLog
from weir.plane.plane import Plane
from weir.stats.publish import publish

__all__ = ["HEARTBEAT_S", "Heart"]

# How often a worker says in the shared table that it is alive.
HEARTBEAT_S: Final = 1.0


class Heart:
    """`beat()` about once a second, and when the plane was closed: then nothing is open any more."""

    def __init__(self, memory: Any, worker: int, plan: Plan, plane: Plane, log: AccessLog) -> None:
        self._memory, self._worker, self._plane, self._log = memory, worker, plane, log
        self._clusters = range(len(plan.clusters))

    def beat(self) -> None:
        """The worker is alive, and this is what it has."""
        endpoints: list[tuple[int, Any]] = []
        clusters: list[tuple[int, Any]] = []
        for cluster in self._clusters:
            for pool in self._plane.pools(cluster):
                number = pool["number"]
                if isinstance(number, int) and number >= 0:
                    endpoints.append((number, pool))
            if (number := self._plane.cluster_number(cluster)) >= 0:
                clusters.append((number, self._plane.load(cluster)))
        publish(self._memory, self._worker, gauges=self._gauges(), endpoints=endpoints, clusters=clusters)

    def _gauges(self) -> dict[str, int]:
        return {
            **self._plane.ledger(),
            "timers": self._plane.timers(),
            "accepted": self._plane.accepted(),
            "log_lines": self._log.lines,
            "log_dropped": self._log.dropped,
        }
