"""Part 2: every connection has a task of its own, and is kept for the client's next request."""

from __future__ import annotations

import asyncio

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


async def main(listen_on: tuple[str, int], backend_at: tuple[str, int]) -> None:
    async with asyncio.TaskGroup() as tasks:
        with listen(listen_on) as listener:
            async for client in accept(listener):
                tasks.create_task(handle(client, backend_at))  # the deck's `go handleConnection(conn)`


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
        # A body that only the end of the connection ends is so for the client as well.
        keep = request.keeps_alive and length != UNTIL_CLOSE
        await client.send(response.encode(*([] if keep else ["Connection: close"])))
        await copy_body(backend, client, length)
    print(f"{request.path}: {response.status}", flush=True)
    return keep


if __name__ == "__main__":
    run(main(*addresses(listen="127.0.0.1:8080", backend="127.0.0.1:8081")))
