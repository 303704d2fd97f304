"""Clients that keep many connections and use each of them now and then, as browsers and pools of clients do.

They are well-behaved: before a request they look whether the connection was closed meanwhile, and an answer that says
`Connection: close` is the last one. A request that fails all the same has lost a race with the close.
"""

from __future__ import annotations

import random
import select
import socket
import threading
import time
from dataclasses import dataclass, field

__all__ = ["Keepers"]

REQUEST = b"GET /kept HTTP/1.1\r\nHost: test\r\n\r\n"


@dataclass
class Books:
    """Requests `answered`, those that `failed` (when and how), and connections that were `closed` while they were idle
    or with a last answer."""

    answered: int = 0
    closed: int = 0
    failed: list[tuple[float, str]] = field(default_factory=list)


class Keepers:
    """`threads` clients with `connections` each. Responses must have a Content-Length."""

    def __init__(self, address: tuple[str, int], connections: int, threads: int = 2, pause_s: float = 0.0) -> None:
        self.address = address
        self.pause_s = pause_s
        self.books = Books()
        self._connections = connections
        self._lock = threading.Lock()
        self._end = threading.Event()
        self._ready = threading.Barrier(threads + 1)
        self._threads = [threading.Thread(target=self._run, daemon=True) for _ in range(threads)]
        for thread in self._threads:
            thread.start()
        self._ready.wait(60)

    def stop(self) -> Books:
        self._end.set()
        for thread in self._threads:
            thread.join(20)
            assert not thread.is_alive(), "a request hangs"
        return self.books

    def _connect(self) -> socket.socket:
        sock = socket.create_connection(self.address, 10)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return sock

    def _run(self) -> None:
        choice = random.Random()
        sockets = [self._connect() for _ in range(self._connections)]
        for place in range(len(sockets)):
            self._ask(sockets, place)
        self._ready.wait(60)
        while not self._end.is_set():
            place = choice.randrange(len(sockets))
            if is_closed(sockets[place]):
                sockets[place].close()
                sockets[place] = self._connect()
                with self._lock:
                    self.books.closed += 1
            self._ask(sockets, place)
            if self.pause_s:
                time.sleep(self.pause_s)
        for sock in sockets:
            sock.close()

    def _ask(self, sockets: list[socket.socket], place: int) -> None:
        sock = sockets[place]
        try:
            sock.sendall(REQUEST)
            last = receive(sock)
        except (OSError, ValueError) as error:
            with self._lock:
                self.books.failed.append((time.monotonic(), repr(error)))
            last = True
        else:
            with self._lock:
                self.books.answered += 1
                self.books.closed += last
        if last:
            sock.close()
            sockets[place] = self._connect()


def is_closed(sock: socket.socket) -> bool:
    """Nothing is owed to us: whatever there is to read is the end."""
    poll = select.poll()
    poll.register(sock, select.POLLIN)
    return bool(poll.poll(0))


def receive(sock: socket.socket) -> bool:
    """Reads one response; whether it was the connection's last. OSError or ValueError if there is none."""
    received = b""
    while b"\r\n\r\n" not in received:
        piece = sock.recv(65536)
        if not piece:
            raise ValueError(f"closed after {len(received)} bytes")
        received += piece
    head, _, body = received.partition(b"\r\n\r\n")
    lines = [line.lower() for line in head.split(b"\r\n")]
    if not lines[0].startswith(b"http/1.1 200"):
        raise ValueError(f"answered with {lines[0]!r}")
    length = next(int(line.split(b":")[1]) for line in lines if line.startswith(b"content-length:"))
    while len(body) < length:
        piece = sock.recv(65536)
        if not piece:
            raise ValueError("cut")
        body += piece
    return b"connection: close" in lines
