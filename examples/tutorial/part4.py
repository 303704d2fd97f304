"""Part 4: connections to the backend are kept in a queue and used again."""

from __future__ import annotations

import asyncio
from collections import Counter

from http1 import (
    BAD_GATEWAY,
    UNTIL_CLOSE,
    BadMessage,
    Head,
    Stream,
    accept,
    addresses,
    copy_body,
    dial,
    listen,
    read_request,
    read_response,
    run,
)

MOST_PATHS = 4096
request_bytes: Counter[str] = Counter()


class Backends:
    """Connections to the backend that nobody uses now: up to 10 of them."""

    def __init__(self, address: tuple[str, int]) -> None:
        self.address = address
        self.queue: asyncio.Queue[Stream] = asyncio.Queue(10)

    async def get(self) -> Stream:
        """The one that has waited longest; a new one if there is none within 100 ms."""
        while True:
            try:
                async with asyncio.timeout(0.1):
                    backend = await self.queue.get()
            except TimeoutError:
                return await dial(self.address)
            if await backend.is_idle():
                return backend
            backend.close()

    async def put(self, backend: Stream) -> None:
        """Back into the queue; closed if there is no room for it within 1 s."""
        try:
            async with asyncio.timeout(1):
                await self.queue.put(backend)
        except TimeoutError:
            backend.close()


def series(path: str) -> str:
    """Under which name a path is counted: its own while there is room, for clients can think of ever new ones."""
    return path if path in request_bytes or len(request_bytes) < MOST_PATHS else "(other)"


async def main(listen_on: tuple[str, int], backend_at: tuple[str, int]) -> None:
    backends = Backends(backend_at)
    async with asyncio.TaskGroup() as tasks:
        with listen(listen_on) as listener:
            async for client in accept(listener):
                tasks.create_task(handle(client, backends, tasks))


async def handle(client: Stream, backends: Backends, tasks: asyncio.TaskGroup) -> None:
    """One connection: request after request, until either side does not want to go on."""
    with client:
        try:
            while received := await read_request(client):
                if not await proxy(client, backends, tasks, *received):
                    return
        except (BadMessage, OSError) as error:
            print(f"failed: {error!r}", flush=True)


async def proxy(client: Stream, backends: Backends, tasks: asyncio.TaskGroup, request: Head, length: int) -> bool:
    """One request and its response; whether the client may send another."""
    try:
        backend = await backends.get()
    except OSError as error:
        await client.send(BAD_GATEWAY)
        raise error
    reusable = False
    try:
        await backend.send(request.encode())
        await copy_body(client, backend, length)
        response, length = await read_response(backend, request)
        keep = request.keeps_alive and length != UNTIL_CLOSE
        name = series(request.path)
        ours = [f"X-Bytes: {request_bytes[name] + max(length, 0)}"]
        await client.send(response.encode(*ours, *([] if keep else ["Connection: close"])))
        request_bytes[name] += await copy_body(backend, client, length)
        # HTTP/1.0 responses and "Connection: close" mean that there is nothing to use again.
        reusable = response.keeps_alive and length != UNTIL_CLOSE
    finally:
        if reusable:
            tasks.create_task(backends.put(backend))  # the deck's `go queueBackend(be)`: nobody waits for it
        else:
            backend.close()
    print(f"{request.path}: {response.status}", flush=True)
    return keep


if __name__ == "__main__":
    run(main(*addresses(listen="127.0.0.1:8080", backend="127.0.0.1:8081")))
