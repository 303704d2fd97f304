"""Load that does not wait for answers: requests begin when their time has come, as those of many people do.

wrk and its like ask again when they have an answer; so a server that is slow gets fewer requests, and overload never
shows. Here every request has a moment of its own, and a connection of its own.
"""

from __future__ import annotations

import asyncio
import random
import time
from dataclasses import dataclass, field

__all__ = ["Answers", "offer", "saturate"]

TIMEOUT_SECONDS = 30.0
REQUEST = b"GET /small HTTP/1.1\r\nHost: bench\r\nConnection: close\r\n\r\n"


@dataclass
class Answers:
    """When each answer was there (seconds since the load began), how long it took, and its status; 0: none."""

    began: float = 0.0
    all: list[tuple[float, float, int]] = field(default_factory=list)

    def note(self, since: float, status: int) -> None:
        now = time.monotonic()
        self.all.append((now - self.began, now - since, status))

    def times(self, status: int, after: float = 0.0, before: float = 1e9) -> list[float]:
        """How long the answers of a status took that came between two moments, sorted."""
        return sorted(took for at, took, found in self.all if found == status and after <= at < before)

    def statuses(self) -> dict[int, int]:
        found = [status for _, _, status in self.all]
        return {status: found.count(status) for status in sorted(set(found))}


async def _ask(port: int) -> int:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(REQUEST)
        head = await reader.readuntil(b"\r\n\r\n")
        await reader.read(1 << 20)
        return int(head.split(b" ", 2)[1])
    finally:
        writer.close()


async def _one(port: int, answers: Answers) -> None:
    since = time.monotonic()
    status = 0
    try:
        async with asyncio.timeout(TIMEOUT_SECONDS):
            status = await _ask(port)
    except (OSError, TimeoutError, ValueError, asyncio.IncompleteReadError):
        pass
    answers.note(since, status)


async def _offer(port: int, rate: float, seconds: float) -> Answers:
    answers = Answers(time.monotonic())
    at = answers.began
    tasks = set()
    while at < answers.began + seconds:
        at += random.expovariate(rate)
        await asyncio.sleep(max(0.0, at - time.monotonic()))
        task = asyncio.create_task(_one(port, answers))
        tasks.add(task)
        task.add_done_callback(tasks.discard)
    await asyncio.gather(*tasks)
    return answers


async def _saturate(port: int, clients: int, seconds: float) -> Answers:
    answers = Answers(time.monotonic())

    async def client() -> None:
        while time.monotonic() < answers.began + seconds:
            await _one(port, answers)

    await asyncio.gather(*(client() for _ in range(clients)))
    return answers


def offer(port: int, rate: float, seconds: float) -> Answers:
    """`rate` requests a second, at random moments, whatever becomes of them."""
    return asyncio.run(_offer(port, rate, seconds))


def saturate(port: int, clients: int, seconds: float) -> Answers:
    """`clients` that ask again as soon as they have an answer: what a server can do at most."""
    return asyncio.run(_saturate(port, clients, seconds))
