"""Part 5: the proxy of part 4, which also tells over RPC what it has counted.

GetStats speaks the Connect protocol, as weir's own does: an HTTP POST whose body is JSON, and so is the answer's.

    curl -H 'Content-Type: application/json' -d '{}' http://127.0.0.1:8079/weir.v1.Stats/GetStats
"""

from __future__ import annotations

import asyncio
import json
from socket import socket

from http1 import BadMessage, Stream, accept, addresses, listen, read_request, run
from part4 import Backends, handle, request_bytes

MOST_BYTES = 4096  # of a call's body


async def main(listen_on: tuple[str, int], backend_at: tuple[str, int], rpc_on: tuple[str, int]) -> None:
    backends = Backends(backend_at)
    with listen(listen_on) as listener, listen(rpc_on) as rpc_listener:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(serve_rpc(rpc_listener, tasks))
            async for client in accept(listener):
                tasks.create_task(handle(client, backends, tasks))


async def serve_rpc(listener: socket, tasks: asyncio.TaskGroup) -> None:
    async for caller in accept(listener):
        tasks.create_task(answer(caller))


async def answer(caller: Stream) -> None:
    """One call per connection."""
    with caller:
        try:
            if (received := await read_request(caller)) is None:
                return
            request, length = received
            if not 0 <= length <= MOST_BYTES:
                raise BadMessage("the body of a call is too long, or does not say how long it is")
            await caller.reader.readexactly(length)  # GetStats has no arguments
            if request.start.split(" ")[:2] == ["POST", "/weir.v1.Stats/GetStats"]:
                status, reply = "200 OK", get_stats()
            else:
                status, reply = "404 Not Found", {"code": "unimplemented", "message": "only GetStats is known here"}
            body = json.dumps(reply).encode()
            fields = f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\nConnection: close"
            await caller.send(f"HTTP/1.1 {status}\r\n{fields}\r\n\r\n".encode() + body)
        except (BadMessage, EOFError, OSError) as error:
            print(f"failed: {error!r}", flush=True)


def get_stats() -> dict[str, object]:
    """Every path with its bytes, the most first. JSON's numbers are exact only up to 2^53, hence strings."""
    return {"series": [{"path": path, "responseBodyBytes": str(n)} for path, n in request_bytes.most_common()]}


if __name__ == "__main__":
    run(main(*addresses(listen="127.0.0.1:8080", backend="127.0.0.1:8081", rpc="127.0.0.1:8079")))
