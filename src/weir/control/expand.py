"""Names that stand for several endpoints: looked up again and again, as often as their records' TTL says."""

from __future__ import annotations

import asyncio
import logging

from weir.config.plan import AddressPlan, ClusterPlan
from weir.control.dns import Dns, DnsError, Found
from weir.control.members import Members

__all__ = ["Expander"]

log = logging.getLogger("weir.resolve")

# A TTL of 0 does not mean that every request asks.
LEAST_PAUSE_S = 1.0


class Expander:
    """Tells `members` what the names of a plan's clusters stand for. start() needs a running loop.

    While a look-up fails the last answer stays; until the first one such a name has no endpoints.
    """

    def __init__(self, members: Members, clusters: tuple[ClusterPlan, ...]) -> None:
        self._members = members
        self._clusters = clusters
        self._tasks: list[asyncio.Task[None]] = []
        self._first: list[asyncio.Event] = []

    def start(self) -> None:
        """Begins to look up all names."""
        for number, plan in enumerate(self._clusters):
            dns = Dns(plan.nameservers)
            for address in plan.endpoints:
                if plan.stands_for_several(address):
                    dns.load()
                    self._first.append(asyncio.Event())
                    self._tasks.append(asyncio.create_task(self._watch(number, plan, address, dns, self._first[-1])))

    async def wait_first(self, timeout_s: float) -> None:
        """Waits until each name was tried once, but no longer than timeout_s."""
        waits = [asyncio.create_task(event.wait()) for event in self._first]
        if waits:
            _done, pending = await asyncio.wait(waits, timeout=timeout_s)
            for task in pending:
                task.cancel()

    async def stop(self) -> None:
        """Ends the look-ups."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks.clear()

    async def _watch(
        self, cluster: int, plan: ClusterPlan, address: AddressPlan, dns: Dns, first: asyncio.Event
    ) -> None:
        failing = ""
        most_s = plan.resolve_interval_ms / 1000
        last: Found | None = None
        while True:
            try:
                answer = await dns.look_up(address)
            except DnsError as error:
                if str(error) != failing:
                    failing = str(error)
                    text = "cluster %s: cannot resolve %s: %s (trying again)"
                    log.warning(text, plan.name, address.text, failing)
                pause_s = min(LEAST_PAUSE_S, most_s)
            else:
                if failing:
                    failing = ""
                    log.warning("cluster %s: %s is resolved again", plan.name, address.text)
                # Told each time: a place in the table that was not free may be by now.
                self._members.name_stands_for(cluster, address.text, answer.targets)
                if last is not None and answer.targets != last.targets:
                    count = len(answer.targets)
                    log.warning("cluster %s: %s has changed: %d endpoints", plan.name, address.text, count)
                last = answer
                pause_s = max(LEAST_PAUSE_S, min(answer.ttl_s, most_s))
            first.set()
            await asyncio.sleep(pause_s)
