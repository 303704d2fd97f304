"""What becomes of a worker that is told to end: while it starts, and when it serves."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from weir.control.worker import Worker

__all__ = ["drain_or_stop", "start_unless"]

log = logging.getLogger("weir")


async def start_unless(worker: Worker, told: asyncio.Event) -> bool:
    """Starts, and returns whether it serves; if it is told to end before that, it has stopped.

    An application or a startup function may take its time, or wait for a database that never comes. Raises what
    worker.start() raises.
    """
    starting = asyncio.create_task(worker.start())
    ending = asyncio.create_task(told.wait())
    await asyncio.wait((starting, ending), return_when=asyncio.FIRST_COMPLETED)
    ending.cancel()
    if not starting.done():
        starting.cancel()
        await asyncio.wait((starting,))
    if starting.cancelled():
        await worker.stop()
        return False
    starting.result()
    return True


async def drain_or_stop(worker: Worker, now: asyncio.Event, grace_s: float = 0.0) -> None:
    """Drains until all is done, the plan's time is over, or `now` is set; then stops.

    It stops, too, where draining fails; what failed is raised afterwards.
    """
    draining = asyncio.create_task(worker.drain(grace_s))
    stopping = asyncio.create_task(now.wait())
    await asyncio.wait((draining, stopping), return_when=asyncio.FIRST_COMPLETED)
    try:
        if draining.done() and not draining.result():
            log.warning("drain timeout: connections were cut")
    finally:
        draining.cancel()
        stopping.cancel()
        await worker.stop()
