"""Endpoints' names: looked up off the loop, again and again, never waited for by a request."""

from __future__ import annotations

import asyncio
import logging
import socket
from typing import Any, Final

from weir.config.plan import AddressPlan, ClusterPlan, is_ip
from weir.names import look_up
from weir.plane.plane import Plane
from weir.plane.stream import Address

__all__ = ["Resolver"]

log = logging.getLogger("weir.resolve")

# Of a worker's. Further names wait until one of them is known, or was given up by the system.
MOST_AT_A_TIME: Final = 32


def literal(address: AddressPlan) -> Address | None:
    """The address itself if it needs no look-up: a Unix socket's path or an IP address; else None."""
    if address.path is not None:
        return Address(path=address.path)
    return Address(host=address.host, port=address.port) if is_ip(address.host or "") else None


class Resolver:
    """Tells the plane what the endpoints' names stand for.

    Literals are told at once by start(). Names are looked up in the background every
    `resolve_interval_ms`; while a look-up fails the last answer stays, and until the first one an
    endpoint has no address (a request for it is answered with 502, no_endpoint).
    """

    def __init__(self, plane: Plane, clusters: tuple[ClusterPlan, ...]) -> None:
        self._plane = plane
        self._clusters = clusters
        self._tasks: dict[tuple[int, str], asyncio.Task[None]] = {}
        # Those of start(): who comes later is not waited for.
        self._first: list[asyncio.Event] = []
        self._turns = asyncio.Semaphore(MOST_AT_A_TIME)

    def start(self) -> None:
        """Begins; needs a running loop."""
        for number, cluster in enumerate(self._clusters):
            for address in cluster.endpoints:
                # Where an application is, who serves it knows.
                if address.app is None and not cluster.stands_for_several(address):
                    self._first.append(self.watch(number, address))

    def watch(self, cluster: int, address: AddressPlan) -> asyncio.Event:
        """A member of a cluster, which the plane has by `address.text`: tells its addresses now and from now on.

        The event is set when it was tried once."""
        event = asyncio.Event()
        known = literal(address)
        if known is not None:
            self._plane.set_addresses(cluster, address.text, [known])
            event.set()
            return event
        self._tasks[cluster, address.text] = asyncio.create_task(
            self._watch(cluster, address, self._clusters[cluster], event)
        )
        return event

    def forget(self, cluster: int, endpoint: str) -> None:
        """It is no member any more."""
        task = self._tasks.pop((cluster, endpoint), None)
        if task is not None:
            task.cancel()

    async def wait_first(self, timeout_s: float) -> None:
        """Waits until each name was tried once, but no longer than timeout_s."""
        waits = [asyncio.create_task(event.wait()) for event in self._first if not event.is_set()]
        if waits:
            _done, pending = await asyncio.wait(waits, timeout=timeout_s)
            for task in pending:
                task.cancel()

    async def stop(self) -> None:
        """Ends the look-ups."""
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._tasks.clear()

    async def _watch(self, number: int, address: AddressPlan, cluster: ClusterPlan, first: asyncio.Event) -> None:
        failing = ""
        while True:
            try:
                found = await self._look_up(address)
            except OSError as error:
                if str(error) != failing:
                    failing = str(error)
                    log.warning(
                        "cluster %s: cannot resolve endpoint %s: %s (trying again)",
                        cluster.name,
                        address.text,
                        error.strerror or error,
                    )
                pause_s = min(1.0, cluster.resolve_interval_ms / 1000)
            else:
                if failing:
                    failing = ""
                    log.warning("cluster %s: endpoint %s is resolved again", cluster.name, address.text)
                self._plane.set_addresses(number, address.text, found)
                pause_s = cluster.resolve_interval_ms / 1000
            first.set()
            await asyncio.sleep(pause_s)

    async def _look_up(self, address: AddressPlan) -> list[Address]:
        found: dict[str, Address] = {}
        for family, _type, _protocol, _name, place in await self._ask(address.host or "", address.port):
            # (host, port) of IPv4, (host, port, flow, scope) of IPv6
            fields: tuple[Any, ...] = place
            scope = fields[3] if family == socket.AF_INET6 else 0
            resolved = Address(host=fields[0].partition("%")[0], port=address.port, scope=scope)
            found.setdefault(resolved.text, resolved)
        return list(found.values())

    async def _ask(self, host: str, port: int) -> list[Any]:
        await self._turns.acquire()
        try:
            # The turn is over when the thread is: one that hangs counts, also if nobody waits for it any more.
            answer = look_up(host, port, self._turns.release)
        except OSError:
            self._turns.release()
            raise
        return await answer
