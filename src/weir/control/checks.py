"""The active checks of all endpoints: when each is due, how many are made at a time, and from when on a verdict holds.

Only the worker that has the duty makes them (`weir.control.health`). They must not be felt by those that it serves: a
few are begun in a turn of the loop, however many are due, and what is under way is bounded.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
import random
import resource
import time
from collections.abc import Callable, Iterable
from typing import Any, Final

import weir
from weir.config.plan import ClusterPlan, HealthPlan
from weir.control.probe import LOCAL, Expected, Place, Probe, Reading, Sockets
from weir.plane.head import Method
from weir.plane.plane import Plane
from weir.stats import roster
from weir.stats.roster import Health, Why, why

__all__ = ["Checks", "Streak", "message_of"]

# Checks begun in one turn of the loop, and how much later the next ones are if more are due: 0.1 ms each, so that a
# turn is short. Those that fall due one by one are put together: a turn costs as much as a check.
TURN: Final = 8
TURN_S: Final = 0.002
TOGETHER_S: Final = 0.01
# Under way at a time, as far as the descriptors allow; beyond it checks are late.
MOST: Final = 512


class Streak:
    """From results to verdicts: an endpoint changes sides after so many results in a row that say so.

    The first good one is enough for an endpoint of which nothing is known.
    """

    __slots__ = ("_against", "_plan", "health")

    def __init__(self, plan: HealthPlan, health: Health = Health.UNKNOWN) -> None:
        self._plan = plan
        self._against = 0
        self.health = health

    def add(self, good: bool) -> bool:
        """Whether the verdict has changed: see `health`."""
        side = Health.HEALTHY if good else Health.UNHEALTHY
        if self.health == side:
            self._against = 0
            return False
        if self.health == Health.UNKNOWN:
            needed = 1 if good else self._plan.unhealthy_after
        else:
            needed = self._plan.healthy_after if good else self._plan.unhealthy_after
        self._against += 1
        if self._against < needed:
            return False
        self.health, self._against = side, 0
        return True


# A PROXY header that says: this is weir itself, and no client's connection. Version 1 has no better word for it.
INTRODUCTIONS = {"off": b"", "v1": b"PROXY UNKNOWN\r\n", "v2": b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0"}


def message_of(cluster: ClusterPlan, endpoint: str) -> bytes:
    """The request that checks an endpoint; nothing for a check that only connects."""
    health = cluster.health
    if health.type != "http":
        return b""
    own = endpoint[7:].rstrip("/") if endpoint[:7].lower() == "http://" else endpoint
    if endpoint.startswith(("unix:", "asgi:", "files:")):
        own = "localhost"
    fields = dict(health.fields)
    lines = [f"{health.method} {health.path} HTTP/1.1", f"Host: {health.host or cluster.host or own}"]
    if not any(name.lower() == "user-agent" for name in fields):
        lines.append(f"User-Agent: weir/{weir.__version__} (health check)")
    lines += [f"{name}: {value}" for name, value in fields.items()]
    return INTRODUCTIONS[cluster.proxy_protocol] + "\r\n".join([*lines, "Connection: close", "", ""]).encode()


class _Target:
    """One endpoint of one cluster."""

    __slots__ = ("cluster", "endpoint", "expected", "gone", "message", "new", "number", "plan", "probe", "streak")

    def __init__(self, cluster: int, plan: ClusterPlan, endpoint: str, number: int, health: int) -> None:
        self.cluster, self.endpoint, self.number = cluster, endpoint, number
        self.plan = plan.health
        self.message = message_of(plan, endpoint)
        method = {"GET": Method.M_GET, "HEAD": Method.M_HEAD, "OPTIONS": Method.M_OPTIONS}[plan.health.method]
        self.expected = Expected(
            method,
            plan.health.status,
            plan.health.body.encode(),
            plan.max_response_head_bytes,
            plan.max_response_fields,
        )
        self.streak = Streak(plan.health, Health(health) if health <= Health.UNHEALTHY else Health.UNKNOWN)
        self.probe: Probe | None = None
        self.gone = False
        self.new = True


class Checks:
    """Checks the endpoints of a plane's clusters from start() to stop(); verdicts go into the table `memory`.

    `sync()` takes in members that have come or gone; call it now and then. `on_change()` is called when a verdict has
    changed. Needs a running loop.
    """

    def __init__(
        self, memory: Any, plane: Plane, clusters: tuple[ClusterPlan, ...], on_change: Callable[[], object] = int
    ) -> None:
        self._memory, self._plane, self._on_change = memory, plane, on_change
        self._clusters = [(number, plan) for number, plan in enumerate(clusters) if plan.health.type != "off"]
        self._targets: dict[tuple[int, str], _Target] = {}
        self._due: list[tuple[float, int, _Target]] = []
        self._order = itertools.count()
        self._under_way = 0
        self._timer: asyncio.TimerHandle | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._sockets: Sockets | None = None
        descriptors = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
        self._most = MOST if descriptors == resource.RLIM_INFINITY else min(MOST, max(descriptors // 10, 4))

    def start(self) -> None:
        self._loop = asyncio.get_running_loop()
        if self._clusters:
            self._sockets = Sockets(self._loop)
        self.sync()

    def stop(self) -> None:
        """Nothing is checked any more; what is under way is broken off and says nothing."""
        self._loop = None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        for target in self._targets.values():
            target.gone = True
            if target.probe is not None:
                target.probe.close()
        if self._sockets is not None:
            self._sockets.close()
            self._sockets = None
        self._targets.clear()
        self._due.clear()
        self._under_way = 0

    def sync(self) -> None:
        """Members that have come are checked at once, those that have left no more."""
        for number, plan in self._clusters:
            members = self._plane.endpoints(number)
            for endpoint in members:
                if (number, endpoint) not in self._targets:
                    self._add(number, plan, endpoint)
            self._drop(number, set(members))
        self._schedule()

    def _add(self, cluster: int, plan: ClusterPlan, endpoint: str) -> None:
        place, _addresses = self._plane.endpoint(cluster, endpoint)
        if place < 0:
            return
        standing = roster.standing(self._memory, place)
        health = standing.health if standing.health_reason != Why.UNCHECKED else Health.UNKNOWN
        if plan.health.first == "unhealthy" and health == Health.UNKNOWN:
            # The planes know by themselves; this is for those who look.
            roster.change(self._memory, place, health=Health.UNHEALTHY, health_reason=why(Why.UNCHECKED))
        target = self._targets[cluster, endpoint] = _Target(cluster, plan, endpoint, place, health)
        heapq.heappush(self._due, (time.monotonic(), next(self._order), target))

    def _drop(self, cluster: int, members: set[str]) -> None:
        left = [key for key in self._targets if key[0] == cluster and key[1] not in members]
        for key in left:
            target = self._targets.pop(key)
            target.gone = True
            if target.probe is not None:
                target.probe.close()
                target.probe = None
                self._under_way -= 1
            # If it comes back, it begins anew.
            roster.change(self._memory, target.number, health=Health.UNKNOWN, health_reason=0)

    # -- when

    def _schedule(self) -> None:
        if self._loop is None or self._timer is not None or not self._due or self._under_way >= self._most:
            return
        wait_s = self._due[0][0] - time.monotonic()
        self._timer = self._loop.call_later(wait_s + TOGETHER_S if wait_s > 0 else TURN_S, self._turn)

    def _turn(self) -> None:
        self._timer = None
        now = time.monotonic()
        for _ in range(TURN):
            if not self._due or self._due[0][0] > now or self._under_way >= self._most:
                break
            _due, _order, target = heapq.heappop(self._due)
            if not target.gone:
                self._begin(target, now)
        self._schedule()

    def _begin(self, target: _Target, now: float) -> None:
        assert self._sockets is not None
        plan = target.plan
        try:
            _number, addresses = self._plane.endpoint(target.cluster, target.endpoint)
        except KeyError:  # it has left since the last sync()
            return
        reading = Reading(target.expected) if target.message else None
        probe = Probe(
            self._sockets,
            list(places(addresses, plan.port)),
            lambda verdict, took_us: self._judge(target, verdict, took_us),
            lambda: self._over(target, now),
            target.message,
            reading,
        )
        target.probe = probe
        self._under_way += 1
        probe.start(plan.timeout_ms / 1000)

    def _over(self, target: _Target, began: float) -> None:
        self._under_way -= 1
        target.probe = None
        plan = target.plan
        interval_ms = plan.interval_ms
        if target.streak.health == Health.UNHEALTHY and plan.unhealthy_interval_ms:
            interval_ms = plan.unhealthy_interval_ms
        share = 1 + random.uniform(-1, 1) * plan.jitter_percent / 100
        if target.new:
            # All begin at once: from here on they are spread over the interval.
            target.new, share = False, random.uniform(0.2, 1)
        due = max(began + interval_ms / 1000 * share, time.monotonic())
        heapq.heappush(self._due, (due, next(self._order), target))
        self._schedule()

    # -- what came of it

    def _judge(self, target: _Target, verdict: int, took_us: int) -> None:
        if verdict == LOCAL:
            return
        now_us = time.monotonic_ns() // 1000
        roster.note_check(self._memory, target.number, failed=verdict != 0, took_us=took_us, now_us=now_us)
        before = target.streak.health
        if not target.streak.add(verdict == 0):
            return
        changed = {"health": int(target.streak.health), "health_reason": max(verdict, 0)}
        if verdict == 0 and (before == Health.UNHEALTHY or target.plan.first == "unhealthy"):
            changed["joined_us"] = now_us
        roster.change(self._memory, target.number, **changed)
        self._on_change()


def places(addresses: Iterable[Any], port: int) -> Iterable[Place]:
    """Where a check connects to: an endpoint's addresses, perhaps at another port (a Unix socket has none)."""
    for address in addresses:
        family, place = address.place()
        if port and isinstance(place, tuple):
            place = (place[0], port, *place[2:])
        yield family, place
