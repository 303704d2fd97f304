"""Part 3: the bytes of each path are counted, and every response says so in X-Bytes."""

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
# Response body bytes by path. The deck needs a mutex around this; here another task runs only where one awaits, so
# what is written without an `await` in between cannot be interrupted.
request_bytes: Counter[str] = Counter()


def series(path: str) -> str:
    """Under which name a path is counted: its own while there is room, for clients can think of ever new ones."""
    return path if path in request_bytes or len(request_bytes) < MOST_PATHS else "(other)"


async def main(listen_on: tuple[str, int], backend_at: tuple[str, int]) -> None:
    async with asyncio.TaskGroup() as tasks:
        with listen(listen_on) as listener:
            async for client in accept(listener):
                tasks.create_task(handle(client, backend_at))


async def handle(client: Stream, backend_at: tuple[str, int]) -> None:
    """One connection: request after request, until either side does not want to go on."""
    with client:
        try:
            while received := await read_request(client):
                if not await proxy(client, backend_at, *received):
                    return
        except (BadMessage, OSError) as error:
            print(f"failed: {error!r}", flush=True)


async def proxy(client: Stream, backend_at: tuple[str, int], request: Head, length: int) -> bool:
    """One request and its response; whether the client may send another."""
    try:
        backend = await dial(backend_at)
    except OSError as error:
        await client.send(BAD_GATEWAY)
        raise error
    with backend:
        await backend.send(request.encode("Connection: close"))
        await copy_body(client, backend, length)
        response, length = await read_response(backend, request)
        keep = request.keeps_alive and length != UNTIL_CLOSE
        name = series(request.path)
        # The total with this response, or without it where its length is not known yet (below 0).
        ours = [f"X-Bytes: {request_bytes[name] + max(length, 0)}"]
        await client.send(response.encode(*ours, *([] if keep else ["Connection: close"])))
        request_bytes[name] += await copy_body(backend, client, length)
    print(f"{request.path}: {response.status}", flush=True)
    return keep


if __name__ == "__main__":
    run(main(*addresses(listen="127.0.0.1:8080", backend="127.0.0.1:8081")))
