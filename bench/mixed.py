"""An endpoint that does all kinds of things, and now and then something wrong: `python -m bench.mixed PORT [proxy]`.

What it does is in the path: /fast, /slow (80 ms), /large (256 KiB), /stream (chunks for half a second), /upload (reads
a body and tells its length), /echo (an upgrade, then echoes), /fails (500, reset or cut, one in three times).
With `proxy` each connection begins with a PROXY header of version 1.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import socket
import struct
import sys

LARGE = b"x" * 262_144


async def body_of(reader: asyncio.StreamReader, head: bytes) -> int:
    """Reads a body; how long it was."""
    for line in head.split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            left = whole = int(value)
            while left:
                piece = await reader.read(min(left, 65_536))
                if not piece:
                    raise ConnectionError
                left -= len(piece)
            return whole
        if name.lower() == b"transfer-encoding":
            whole = 0
            while size := int(await reader.readuntil(b"\r\n"), 16):
                await reader.readexactly(size + 2)
                whole += size
            await reader.readexactly(2)
            return whole
    return 0


def answer(body: bytes, status: bytes = b"200 OK") -> bytes:
    return b"HTTP/1.1 %b\r\nContent-Length: %d\r\n\r\n%b" % (status, len(body), body)


def reset(writer: asyncio.StreamWriter) -> None:
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


async def respond(path: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, length: int) -> bool:
    """Whether the connection goes on."""
    if path.startswith(b"/slow"):
        await asyncio.sleep(0.08)
        writer.write(answer(b"slow"))
    elif path.startswith(b"/large"):
        writer.write(answer(LARGE))
    elif path.startswith(b"/stream"):
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        for _ in range(10):
            writer.write(b"5\r\nhello\r\n")
            await asyncio.sleep(0.05)
        writer.write(b"0\r\n\r\n")
    elif path.startswith(b"/echo"):
        writer.write(b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
        while piece := await reader.read(65_536):
            writer.write(piece)
        return False
    elif path.startswith(b"/fails") and (dice := random.random()) < 0.33:
        if dice < 0.11:
            writer.write(answer(b"", b"500 No"))
        elif dice < 0.22:
            reset(writer)
            return False
        else:
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\ncut")
            return False
    else:
        writer.write(answer(b"%d" % length))
    await writer.drain()
    return True


async def serve(port: int, proxied: bool) -> None:
    async def client(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            if proxied:
                await reader.readuntil(b"\r\n")
            while True:
                head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 30)
                length = await body_of(reader, head)
                if not await respond(head.split(b" ", 2)[1], reader, writer, length):
                    break
        except (ConnectionError, asyncio.IncompleteReadError, TimeoutError):
            pass
        finally:
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()

    server = await asyncio.start_server(client, "127.0.0.1", port, backlog=1024)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1]), "proxy" in sys.argv[2:]))
