"""Clients that ask all the time, in threads, and take down what became of each request."""

from __future__ import annotations

import itertools
import socket
import threading
import time
from dataclasses import dataclass, field

__all__ = ["Askers", "Ledger"]


# A connection without a request is closed half a second after a reload (control/worker). Who gets no processor for so
# long between connecting and asking has been late, as any client may be that HTTP/1.1 lets ask again.
LATE_S = 0.25


class LateError(Exception):
    """The request was sent so late that its connection may have been closed for want of one."""


@dataclass
class Ledger:
    """What clients saw: for each request that failed, its path, when it failed and how."""

    answered: int = 0
    body_bytes: int = 0
    late: int = 0
    failed: list[tuple[str, float, str]] = field(default_factory=list)


class Askers:
    """`threads` clients, each with one request at a time, every one on a connection of its own.

    Each request has a path of its own below `prefix`, so that it can be found again in the endpoint's books.
    """

    def __init__(
        self, address: tuple[str, int], threads: int = 4, prefix: str = "/short", pause_s: float = 0.0
    ) -> None:
        self.address = address
        self.prefix = prefix
        self.pause_s = pause_s
        self.ledger = Ledger()
        self._numbers = itertools.count()
        self._lock = threading.Lock()
        self._end = threading.Event()
        self._threads = [threading.Thread(target=self._run, daemon=True) for _ in range(threads)]
        for thread in self._threads:
            thread.start()

    def stop(self) -> Ledger:
        self._end.set()
        for thread in self._threads:
            thread.join(20)
            assert not thread.is_alive(), "a request hangs"
        return self.ledger

    def _run(self) -> None:
        while not self._end.is_set():
            path = f"{self.prefix}/{next(self._numbers)}"
            try:
                body = ask(self.address, path)
            except LateError:
                with self._lock:
                    self.ledger.late += 1
            except (OSError, ValueError) as error:
                with self._lock:
                    self.ledger.failed.append((path, time.monotonic(), repr(error)))
            else:
                with self._lock:
                    self.ledger.answered += 1
                    self.ledger.body_bytes += body
            if self.pause_s:
                time.sleep(self.pause_s)


def ask(address: tuple[str, int], path: str, timeout_s: float = 15.0) -> int:
    """One request on a new connection; returns the length of the body.

    LateError when it was sent late and nothing came back, OSError or ValueError when it is not answered otherwise.
    """
    started = time.monotonic()
    late, received = False, bytearray()
    try:
        with socket.create_connection(address, timeout_s) as sock:
            sock.sendall(f"GET {path} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n".encode())
            late = time.monotonic() - started > LATE_S
            while piece := sock.recv(65536):
                received += piece
    except ConnectionError:
        if not late or received:
            raise
    if late and not received:
        raise LateError
    head, end, body = bytes(received).partition(b"\r\n\r\n")
    if not end or not head.startswith(b"HTTP/1.1 200 "):
        raise ValueError(f"answered with {bytes(received[:60])!r}")
    return len(body)
