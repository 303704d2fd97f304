"""A flood of connections that each send half a head and then nothing.

Run as `python flood.py PORT COUNT`. Prints how many connections were made, and holds them until its standard input
ends; prints then how many of them are still open.
"""

from __future__ import annotations

import contextlib
import resource
import socket
import sys

HALF = b"GET /half HTTP/1.1\r\nHost: flood\r\nX-And: "


def is_open(sock: socket.socket) -> bool:
    try:
        return sock.recv(4096) != b""
    except BlockingIOError:
        return True
    except ConnectionError:
        return False


def main() -> None:
    port, count = int(sys.argv[1]), int(sys.argv[2])
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    sockets = []
    for _ in range(count):
        sock = socket.create_connection(("127.0.0.1", port), 10)
        with contextlib.suppress(ConnectionError):  # it may have had to make room already
            sock.send(HALF)
        sock.setblocking(False)
        sockets.append(sock)
    print(len(sockets), flush=True)
    sys.stdin.read()
    print(sum(map(is_open, sockets)), flush=True)


if __name__ == "__main__":
    main()
