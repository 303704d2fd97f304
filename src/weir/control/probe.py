"""One active check: a connection, a request if wanted, and what is thought of the answer.

What is hard here: a worker that checks 1000 endpoints every other second does this 500 times a second beside serving.
So there are no streams and tasks of asyncio, which cost ten times as much, but a socket that is tried at once and
watched only if the kernel makes it wait; all of them in one epoll set, of which the loop knows one descriptor. The
answer is read by the plane's own parser: what it would refuse from an endpoint is no good answer to a check either.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import select
import socket
import time
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

from weir.plane.framing import BodyKind
from weir.plane.head import Method
from weir.plane.parsers import Refused, rechunk, response_framing, response_status
from weir.reasons import Reason
from weir.stats.roster import Why, why

__all__ = ["LOCAL", "Expected", "Place", "Probe", "Reading", "Sockets"]

# Family and address, as `weir.plane.stream.Address.place()` has them.
Place = tuple[int, bytes | tuple[str, int] | tuple[str, int, int, int]]

# What is read of a body, and how much is read at a time.
BODY_BYTES: Final = 64 << 10
READ_BYTES: Final = 16 << 10
MOST_INTERIM: Final = 16
# Sockets with news that are served in one turn of the loop.
MOST_READY: Final = 16

# These say something of this machine and nothing of the endpoint.
LOCAL_ERRORS: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM, errno.EADDRNOTAVAIL})
# ENOENT: nobody made the Unix socket. EAGAIN: its backlog is full (unix(7)).
REFUSED_ERRORS: Final = frozenset({errno.ECONNREFUSED, errno.ENOENT, errno.EAGAIN})

# The verdict of a check that could not be made.
LOCAL: Final = -1


class Expected(NamedTuple):
    """What a good answer is."""

    method: Method
    status: Sequence[tuple[int, int]]  # first and last
    body: bytes = b""  # what the body has in it; b"": anything
    head_bytes: int = 32_768
    fields: int = 100


class Reading:
    """Reads an answer as it comes. `verdict` is None until it is known, 0 for a good one, else what why() makes;
    `over`: nothing more is to be read."""

    def __init__(self, expected: Expected) -> None:
        self.verdict: int | None = None
        self.over = False
        self._expected = expected
        self._data = bytearray()
        self._interim = 0
        self._kind: BodyKind | None = None
        self._length = 0

    def feed(self, data: bytes) -> None:
        """More of it has come."""
        self._data += data
        try:
            if self._kind is None:
                self._read_head()
            if self._kind is not None and not self.over:
                self._read_body(False)
        except Refused as refused:
            # A chunk is called the client's by the scanner, which serves both sides.
            reason = Reason.BAD_RESPONSE_FRAMING if refused.reason == Reason.BAD_CHUNK else refused.reason
            self._decide(why(reason))

    def end(self) -> None:
        """The endpoint sends no more."""
        if self._kind is None:
            self._decide(why(Reason.UPSTREAM_TRUNCATED if self._data or self._interim else Reason.UPSTREAM_CLOSED))
        elif not self.over:
            try:
                self._read_body(True)
            except Refused:
                self._decide(why(Reason.BAD_RESPONSE_FRAMING))
        self.over = True

    def _decide(self, verdict: int) -> None:
        if self.verdict is None:
            self.verdict = verdict
        self.over = self.over or verdict != 0

    def _read_head(self) -> None:
        expected = self._expected
        while self._data and not self.over:
            data = bytes(self._data)
            head = response_status(data, head_bytes=expected.head_bytes, fields=expected.fields)
            if head is None:
                return
            status, length = head
            if 100 <= status < 200 and status != 101:
                self._interim += 1
                if self._interim > MOST_INTERIM:
                    self._decide(why(Reason.BAD_RESPONSE))
                del self._data[:length]
                continue
            if not any(first <= status <= last for first, last in expected.status):
                self._decide(why(Why.STATUS, status))
                return
            kind, self._length, _has_length, _keep_alive = response_framing(data, expected.method)
            self._kind = BodyKind(kind)
            del self._data[:length]
            if not expected.body:
                self._decide(0)
            return

    def _read_body(self, ended: bool) -> None:
        body, whole = bytes(self._data), ended or len(self._data) >= BODY_BYTES
        if self._kind in (BodyKind.B_NONE, BodyKind.B_TUNNEL):
            body, whole = b"", True
        elif self._kind == BodyKind.B_LENGTH:
            body = body[: self._length]
            whole = whole or len(body) == self._length
        elif self._kind == BodyKind.B_CHUNKED and (self._expected.body or body.endswith(b"\r\n\r\n")):
            body, _consumed, _payload, complete = rechunk(body, decode=True)
            whole = whole or complete
        if self._expected.body and self.verdict is None:
            if self._expected.body in body[:BODY_BYTES]:
                self._decide(0)
            elif whole:
                self._decide(why(Why.BODY))
        self.over = self.over or whole


class Sockets:
    """Watches the sockets of many checks: an epoll set in the loop's. close() forgets them all."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self._epoll = select.epoll()
        self._calls: dict[int, Callable[[], None]] = {}
        loop.add_reader(self._epoll.fileno(), self._on_ready)

    def watch(self, fd: int, events: int, call: Callable[[], None]) -> None:
        """`call()` is called when there is one of the events, again and again, until something else is wanted."""
        if fd in self._calls:
            self._epoll.modify(fd, events)
        else:
            self._epoll.register(fd, events)
        self._calls[fd] = call

    def forget(self, fd: int) -> None:
        """It is closed right now, which takes it out of the set."""
        self._calls.pop(fd, None)

    def close(self) -> None:
        self._calls.clear()
        self.loop.remove_reader(self._epoll.fileno())
        self._epoll.close()

    def _on_ready(self) -> None:
        for fd, _events in self._epoll.poll(0, MOST_READY):
            call = self._calls.get(fd)
            if call is not None:
                call()


class Probe:
    """A check of one endpoint, begun by start().

    `on_verdict(verdict, took_us)` is called once: 0 is good, LOCAL says nothing of the endpoint, else it is what why()
    makes. `on_over()` is called when the connection is closed, which may be later: an answer is read to its end, so
    that the endpoint does not find itself cut off. Both within `timeout_s`. `message` is sent, and `reading` reads the
    answer; without, that the connection is made is enough. close() ends it without a word.
    """

    __slots__ = (
        "_addresses",
        "_began",
        "_connected",
        "_message",
        "_on_over",
        "_on_verdict",
        "_reading",
        "_reads",
        "_sock",
        "_sockets",
        "_timer",
        "_told",
        "_tried",
    )

    def __init__(
        self,
        sockets: Sockets,
        addresses: Sequence[Place],
        on_verdict: Callable[[int, int], None],
        on_over: Callable[[], None],
        message: bytes = b"",
        reading: Reading | None = None,
    ) -> None:
        self._sockets = sockets
        self._addresses = addresses
        self._on_verdict, self._on_over = on_verdict, on_over
        self._message, self._reading = message, reading
        self._sock: socket.socket | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._tried = 0
        self._began = 0
        self._connected = self._reads = self._told = False

    def start(self, timeout_s: float) -> None:
        self._began = time.monotonic_ns()
        if not self._addresses:
            self._end(why(Reason.NO_ENDPOINT))
            return
        self._timer = self._sockets.loop.call_later(timeout_s, self._on_timeout)
        self._connect()

    def close(self) -> None:
        """Ends it; nobody is told."""
        self._told = True
        self._on_over = _nothing
        self._release()

    # -- the connection

    def _connect(self) -> None:
        family, place = self._addresses[self._tried]
        self._tried += 1
        try:
            self._sock = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
        except OSError as error:
            self._connect_failed(error.errno or 0)
            return
        failed = self._sock.connect_ex(place)
        if failed not in (0, errno.EINPROGRESS):
            self._connect_failed(failed)
            return
        # On this machine it is made already.
        self._try_it()

    def _try_it(self) -> None:
        """Goes on if the connection is made, else waits until there is news of it."""
        assert self._sock is not None
        try:
            if self._message:
                self._message = self._message[self._sock.send(self._message) :]
            else:
                self._sock.getpeername()
        except BlockingIOError:
            self._watch_writes()
            return
        except OSError as error:
            if error.errno == errno.ENOTCONN and not self._message:
                failed = self._sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
                if not failed:
                    self._watch_writes()
                    return
                error = OSError(failed, "")
            self._broken(error.errno or 0)
            return
        self._connected = True
        if self._reading is None:
            self._end(0)
        elif self._message:
            self._watch_writes()
        else:
            self._await_answer()

    def _await_answer(self) -> None:
        assert self._sock is not None
        self._sockets.watch(self._sock.fileno(), select.EPOLLIN, self._on_readable)
        self._reads = True

    def _broken(self, failed: int) -> None:
        if not self._connected:
            self._connect_failed(failed)
        elif self._reading is not None and not self._reads:
            # It takes no more, but may have answered before it closed.
            self._await_answer()
        else:
            self._end(why(Reason.UPSTREAM_RESET))

    def _connect_failed(self, failed: int) -> None:
        self._let_go()
        if failed in LOCAL_ERRORS:
            self._end(LOCAL)
        elif self._tried < len(self._addresses):
            self._connect()
        elif failed in REFUSED_ERRORS:
            self._end(why(Reason.CONNECT_REFUSED))
        else:
            self._end(why(Reason.CONNECT_TIMEOUT if failed == errno.ETIMEDOUT else Reason.CONNECT_FAILED))

    # -- the answer

    def _on_readable(self) -> None:
        assert self._sock is not None
        assert self._reading is not None
        reading = self._reading
        try:
            data = self._sock.recv(READ_BYTES)
        except BlockingIOError:
            return
        except OSError as error:
            self._end(LOCAL if error.errno in LOCAL_ERRORS else why(Reason.UPSTREAM_RESET))
            return
        if data:
            reading.feed(data)
        else:
            reading.end()
        if reading.over:
            assert reading.verdict is not None
            self._end(reading.verdict)
        elif reading.verdict is not None:
            self._tell(reading.verdict)

    def _on_timeout(self) -> None:
        self._timer = None
        self._end(why(Reason.RESPONSE_TIMEOUT if self._connected else Reason.CONNECT_TIMEOUT))

    # -- the end

    def _tell(self, verdict: int) -> None:
        if not self._told:
            self._told = True
            self._on_verdict(verdict, (time.monotonic_ns() - self._began) // 1000)

    def _end(self, verdict: int) -> None:
        # First the connection: whoever is told may begin the next check.
        self._release()
        self._tell(verdict)
        self._on_over()

    def _release(self) -> None:
        self._let_go()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _let_go(self) -> None:
        if self._sock is not None:
            self._sockets.forget(self._sock.fileno())
            with contextlib.suppress(OSError):
                self._sock.close()
            self._sock = None

    def _watch_writes(self) -> None:
        assert self._sock is not None
        self._sockets.watch(self._sock.fileno(), select.EPOLLOUT, self._on_writable)

    def _on_writable(self) -> None:
        assert self._sock is not None
        if not self._connected:
            failed = self._sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            if failed:
                self._connect_failed(failed)
                return
        self._try_it()


def _nothing() -> None:
    pass
