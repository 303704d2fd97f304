"""Part 1: a proxy that serves one connection at a time, and of each connection one request."""

from __future__ import annotations

from http1 import BadMessage, Stream, accept, addresses, copy_body, dial, listen, read_request, read_response, run


async def main(listen_on: tuple[str, int], backend_at: tuple[str, int]) -> None:
    # 1. Listen for connections for ever.
    with listen(listen_on) as listener:
        # 2. Accept connections.
        async for client in accept(listener):
            try:
                await handle(client, backend_at)
            except (BadMessage, OSError) as error:
                print(f"failed: {error!r}", flush=True)


async def handle(client: Stream, backend_at: tuple[str, int]) -> None:
    with client:
        # 3. Read a request from the client.
        if (received := await read_request(client)) is None:
            return
        request, length = received
        # 4. Connect to the backend.
        with await dial(backend_at) as backend:
            # 5. Send the request to the backend.
            await backend.send(request.encode("Connection: close"))
            await copy_body(client, backend, length)
            # 6. Read the response from the backend.
            response, length = await read_response(backend, request)
            # 7. Send the response to the client.
            await client.send(response.encode("Connection: close"))
            await copy_body(backend, client, length)
            print(f"{request.path}: {response.status}", flush=True)
    # Back at 2: accept the next connection.


if __name__ == "__main__":
    run(main(*addresses(listen="127.0.0.1:8080", backend="127.0.0.1:8081")))
