"""A crowd of clients in one process: many connections, kept alive, each asking in its turn.

Run as `python crowd.py PORT CONNECTIONS`. It connects them all, then obeys lines on standard input:
`ask` has every connection make one request, at most WINDOW at a time, and `quit` ends it. After each it
prints one line: `ok` and how many answers were right.
"""

from __future__ import annotations

import resource
import select
import socket
import sys

WINDOW = 100
REQUEST = b"GET /small.txt HTTP/1.1\r\nHost: crowd\r\n\r\n"
BODY_BYTES = 1024


def connect_all(port: int, count: int) -> list[socket.socket]:
    sockets = []
    for _ in range(count):
        sock = socket.create_connection(("127.0.0.1", port), 10)
        sock.setblocking(False)
        sockets.append(sock)
    return sockets


def ask_all(sockets: list[socket.socket]) -> int:
    """One request on each connection. Returns how many got a whole and right answer."""
    good = 0
    by_number = {sock.fileno(): sock for sock in sockets}
    waiting = list(sockets)
    partial: dict[int, bytes] = {}
    poll = select.epoll()
    while waiting or partial:
        while waiting and len(partial) < WINDOW:
            sock = waiting.pop()
            sock.send(REQUEST)
            poll.register(sock.fileno(), select.EPOLLIN)
            partial[sock.fileno()] = b""
        ready = poll.poll(10)
        if not ready:
            break
        for number, _ in ready:
            data = by_number[number].recv(65_536)
            partial[number] += data
            head, _, body = partial[number].partition(b"\r\n\r\n")
            if len(body) == BODY_BYTES or not data:
                good += len(body) == BODY_BYTES and head.startswith(b"HTTP/1.1 200 ")
                poll.unregister(number)
                del partial[number]
    poll.close()
    return good


def main() -> None:
    port, count = int(sys.argv[1]), int(sys.argv[2])
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    sockets = connect_all(port, count)
    print(f"ok {len(sockets)}", flush=True)
    for line in sys.stdin:
        if line.strip() != "ask":
            break
        print(f"ok {ask_all(sockets)}", flush=True)


if __name__ == "__main__":
    main()
