"""Draws the pictures of `weir top` in docs/cli.md, from a real run: a proxy, its admin address, an endpoint, traffic.

    python -m tools.picture_of_top    write what stands between the marks in docs/cli.md

What is drawn differs a little each time, as measured figures do; nothing checks that it is fresh.
"""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import random
import re
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from starlette.types import Receive, Scope, Send

from tests.cli.terminal import Terminal, terminal

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "cli.md"
MARKS = re.compile(r"(<!-- picture: (\w+) -->\n```text\n).*?(\n```\n)", re.DOTALL)
COLUMNS, LINES = 118, 20
SECONDS = 6.0

# path: (share of the requests, median time in ms, spread, response bytes, share of failures)
PATHS = {
    "/": (20, 2, 0.4, 14_000, 0.0),
    "/search": (8, 40, 0.8, 6_000, 0.0),
    "/users/{}": (14, 6, 0.5, 900, 0.002),
    "/users/{}/orders": (6, 25, 0.6, 4_000, 0.01),
    "/orders/{}/items/{}": (5, 12, 0.5, 1_500, 0.0),
    "/static/app.js": (16, 1, 0.3, 180_000, 0.0),
    "/static/site.css": (14, 1, 0.3, 22_000, 0.0),
    "/checkout": (2, 90, 0.7, 700, 0.08),
    "/health": (9, 0.5, 0.2, 3, 0.0),
}


async def endpoint(scope: Scope, receive: Receive, send: Send) -> None:
    """Answers as slowly, as long and as badly as the query asks it to."""
    slow, size, status = scope["query_string"].decode().split(",")
    await asyncio.sleep(float(slow))
    head = {"type": "http.response.start", "status": int(status), "headers": [(b"content-length", size.encode())]}
    await send(head)
    await send({"type": "http.response.body", "body": b"x" * int(size)})


def listening() -> socket.socket:
    """A socket whose connections asyncio knows to be TCP, so that it sends small pieces at once."""
    bound = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    bound.bind(("127.0.0.1", 0))
    bound.listen(512)
    return bound


def serve() -> None:
    """The endpoint; prints its address."""
    from weir.demo.fileserver import serving

    async def run(bound: socket.socket) -> None:
        async with serving(endpoint, [bound]):
            print(f"127.0.0.1:{bound.getsockname()[1]}", flush=True)
            await asyncio.Event().wait()

    asyncio.run(run(listening()))


@contextlib.contextmanager
def process(*command: str) -> Iterator[str]:
    """A server; the first line that it writes."""
    whole = [sys.executable, *command]
    with subprocess.Popen(whole, cwd=ROOT, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as server:
        try:
            assert server.stdout is not None
            yield server.stdout.readline().strip()
        finally:
            server.terminate()


@contextlib.contextmanager
def traffic(address: str, clients: int = 12) -> Iterator[None]:
    """Requests to all of PATHS, from some clients, while the context lasts."""
    done = threading.Event()

    def client(seed: int) -> None:
        rng = random.Random(seed)
        connection = http.client.HTTPConnection(address, timeout=10)
        names, shares = list(PATHS), [share for share, *_rest in PATHS.values()]
        while not done.is_set():
            (path,) = rng.choices(names, shares)
            _share, median_ms, spread, size, failing = PATHS[path]
            slow = median_ms / 1000 * rng.lognormvariate(0, spread)
            status = 503 if rng.random() < failing else 200
            filled = path.replace("{}", str(rng.randrange(10_000)))
            connection.request("GET", f"{filled}?{slow:.6f},{size},{status}")
            connection.getresponse().read()

    threads = [threading.Thread(target=client, args=(seed,)) for seed in range(clients)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        done.set()
        for thread in threads:
            thread.join()


def pictures() -> dict[str, str]:
    """The screens, by name."""
    with listening() as free:
        admin = f"127.0.0.1:{free.getsockname()[1]}"
    with contextlib.ExitStack() as stack:
        code = "from tools.picture_of_top import serve; serve()"
        behind = stack.enter_context(process("-c", code))
        options = ["--listen", "127.0.0.1:0", "--to", behind, "--admin", admin]
        ready = stack.enter_context(process("-m", "weir", "run", *options))
        stack.enter_context(traffic(ready.removeprefix("weir: listening on ")))
        time.sleep(1)
        screen = stack.enter_context(terminal("top", "--admin", admin, columns=COLUMNS, lines=LINES))
        screen.wait_for("/checkout")
        watch(screen)
        table = screen.text
        screen.resize(COLUMNS, 40)
        screen.press("/checkout\r")
        screen.wait_for(lambda: "only paths" in screen.text and "/health" not in screen.text)
        screen.press("\r")
        screen.wait_for("total time")
        watch(screen)
        return {"table": table, "path": screen.text}


def watch(screen: Terminal) -> None:
    """Looks on for a while, and on until nothing is being drawn."""
    until = time.monotonic() + SECONDS
    while time.monotonic() < until:
        screen.read(0.1)
    screen.settle()


def main() -> None:
    """Draws them and puts them into the page."""
    drawn = pictures()
    text = PAGE.read_text()
    PAGE.write_text(MARKS.sub(lambda match: match[1] + drawn[match[2]] + match[3], text))


if __name__ == "__main__":
    main()
