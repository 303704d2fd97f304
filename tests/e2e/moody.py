"""An endpoint whose mood is in a file: `python moody.py PORT FILE`. The file is read for each request.

Moods: ok, 500, garbage, silent (no answer), close (none either), flap (every other request fails). Answers carry the
port.
"""

from __future__ import annotations

import asyncio
import itertools
import sys
from pathlib import Path


async def serve(port: int, file: Path) -> None:
    turn = itertools.count()

    async def answer(streams: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                await streams.readuntil(b"\r\n\r\n")
                mood = file.read_text().strip()
                if mood == "flap":
                    mood = "ok" if next(turn) % 2 else "500"
                if mood == "silent":
                    await asyncio.sleep(3600)
                if mood == "close":
                    break
                if mood == "garbage":
                    writer.write(b"\x16\x03\x01 this is not HTTP\r\n\r\n")
                    break
                status = b"500 No" if mood == "500" else b"200 OK"
                text = b"%d" % port
                writer.write(b"HTTP/1.1 %s\r\nContent-Length: %d\r\n\r\n%s" % (status, len(text), text))
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", port, backlog=1024)
    await server.serve_forever()


asyncio.run(serve(int(sys.argv[1]), Path(sys.argv[2])))
