"""A small endpoint as a process of its own, to be killed: it answers with the request's body, and keeps a ledger.

    python endpoint.py PORT LEDGER

One line for each request that it has read whole, written and flushed before the answer: method, target, size.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path


async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, ledger: Path) -> None:
    with ledger.open("a", buffering=1) as book:
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                method, target, _ = head.split(b"\r\n", 1)[0].decode().split(" ")
                length = next(
                    (
                        int(line.split(b":")[1])
                        for line in head.split(b"\r\n")
                        if line.lower().startswith(b"content-length")
                    ),
                    0,
                )
                body = await reader.readexactly(length)
                print(method, target, length, file=book)
                await asyncio.sleep(0.01)
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (length, body))
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()


async def main(port: int, ledger: Path) -> None:
    server = await asyncio.start_server(lambda r, w: serve(r, w, ledger), "127.0.0.1", port)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), Path(sys.argv[2])))
