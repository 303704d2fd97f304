"""Scripted peers: an endpoint that answers exactly what a test says, and clients that send exactly that.

An `Endpoint` runs a thread per connection. What a test scripts is either a reply for each request
(`reply`) or a function that is given the bare connection (`handle`).
"""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterable
from pathlib import Path

from .wire import DEADLINE, Malformed, Message, Truncated, Wire, eventually

__all__ = ["CLOSE", "RESET", "Endpoint", "Link", "chunked", "dial", "ok"]

CLOSE = "close"  # in a reply: close the connection here
RESET = "reset"  # in a reply: break it with RST

Part = bytes | float | str  # bytes to send, seconds to pause, CLOSE or RESET
Reply = bytes | Iterable[Part]


def ok(body: bytes = b"", *fields: str, status: str = "200 OK") -> bytes:
    """A response with Content-Length and the given field lines."""
    lines = "".join(f"{line}\r\n" for line in fields)
    return f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n{lines}\r\n".encode("latin-1") + body


def chunked(*pieces: bytes, last: bytes = b"0\r\n\r\n") -> bytes:
    """The chunked form of `pieces`, one chunk each."""
    return b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces) + last


def dial(address: tuple[str, int] | str, timeout: float = DEADLINE, receive_buffer: int = 0) -> Wire:
    """A client connection to (host, port), or to the path of a Unix socket."""
    if isinstance(address, str):
        sock = socket.socket(socket.AF_UNIX)
    else:
        sock = socket.socket(socket.AF_INET6 if ":" in address[0] else socket.AF_INET)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if receive_buffer:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    sock.settimeout(timeout)
    sock.connect(address)
    return Wire(sock, timeout)


class Link(Wire):
    """One connection as the endpoint sees it. `over` is true once its thread has finished with it."""

    def __init__(self, sock: socket.socket, number: int) -> None:
        super().__init__(sock, timeout=60.0)
        self.number = number
        self.over = False

    def play(self, reply: Reply) -> None:
        """Sends a reply, part by part."""
        for part in [reply] if isinstance(reply, bytes) else reply:
            if isinstance(part, bytes):
                self.send(part)
            elif isinstance(part, float):
                time.sleep(part)
            elif part == CLOSE:
                self.close()
            else:
                self.reset()


class Endpoint:
    """A listening socket whose connections are served by a script.

    `requests` holds every request read, in order of arrival; `links` every connection accepted.
    `failures` holds what went wrong in a script itself: a fixture asserts that there is none.
    """

    def __init__(self, address: tuple[str, int] | Path = ("127.0.0.1", 0)) -> None:
        if isinstance(address, Path):
            self.sock = socket.socket(socket.AF_UNIX)
            self.sock.bind(str(address))
            self.address = f"unix:{address}"
        else:
            self.sock = socket.socket(socket.AF_INET6 if ":" in address[0] else socket.AF_INET)
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            self.sock.bind(address)
            host, self.port = self.sock.getsockname()[:2]
            self.address = f"[{host}]:{self.port}" if ":" in host else f"{host}:{self.port}"
        self.sock.listen(1024)
        self.lock = threading.Lock()
        self.reset_script()
        self.failures: list[BaseException] = []
        self.thread = threading.Thread(target=self._accept, daemon=True)
        self.thread.start()

    def reset_script(self) -> None:
        """Forgets what was recorded, and answers every request with 200 and its own body."""
        self.requests: list[Message] = []
        self.links: list[Link] = []
        self.script: Callable[[Link], None] = self._serve
        self.answer: Callable[[Message], Reply] = lambda request: ok(request.body)

    # -- scripting

    def reply(self, *parts: Part) -> None:
        """Every request is answered with these parts."""
        self.answer = lambda request: list(parts)

    def respond(self, answer: Callable[[Message], Reply]) -> None:
        """Every request is answered with what `answer` returns for it."""
        self.answer = answer

    def handle(self, script: Callable[[Link], None]) -> None:
        """Every connection is given to `script` in its own thread; it is closed when that returns."""
        self.script = script

    def record(self, message: Message | None, link: Link) -> Message:
        """Notes a request that a script has read by itself."""
        assert message is not None
        message.link = link.number
        with self.lock:
            self.requests.append(message)
        return message

    # -- looking

    @property
    def open_links(self) -> list[Link]:
        return [link for link in self.links if not link.over]

    def wait_requests(self, n: int, timeout: float = 5.0) -> list[Message]:
        eventually(lambda: len(self.requests) >= n, timeout, f"{n} requests at the endpoint")
        return self.requests

    def wait_links(self, n: int, timeout: float = 5.0) -> list[Link]:
        """Waits until exactly `n` connections are open."""
        eventually(lambda: len(self.open_links) == n, timeout, f"{n} open connections at the endpoint")
        return self.open_links

    def targets(self) -> list[str]:
        return [request.head.target for request in self.requests]

    # -- ends

    def close_links(self) -> None:
        for link in self.open_links:
            link.close()

    def close(self) -> None:
        """Stops listening (later connects are refused) and closes every connection."""
        with contextlib.suppress(OSError):
            self.sock.shutdown(socket.SHUT_RDWR)
        self.sock.close()
        self.thread.join(2)
        self.close_links()

    # -- threads

    def _accept(self) -> None:
        while True:
            try:
                sock, _ = self.sock.accept()
            except OSError:
                return
            if sock.family != socket.AF_UNIX:
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with self.lock:
                link = Link(sock, len(self.links))
                self.links.append(link)
            threading.Thread(target=self._run, args=(link, self.script), daemon=True).start()

    def _run(self, link: Link, script: Callable[[Link], None]) -> None:
        try:
            script(link)
        except (OSError, Truncated):
            pass  # the other side left: what tests look at is what was recorded
        except (AssertionError, Malformed, Exception) as error:
            self.failures.append(error)
        finally:
            link.close()
            link.over = True

    def _serve(self, link: Link) -> None:
        while (request := link.request()) is not None:
            self.record(request, link)
            link.play(self.answer(request))
