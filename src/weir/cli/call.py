"""Calls of the admin address without an RPC library: Connect with JSON over the standard library's HTTP client.

A unary call is a POST of JSON; a server stream is a POST answered by messages, each behind five bytes (flags, length).
The protocol: https://connectrpc.com/docs/protocol. What is sent and received is plain JSON of weir.v1; `answers` reads
it. An answer is not trusted: its size and the time it may take are bounded; who shows what it says escapes it.
"""

from __future__ import annotations

import contextlib
import http.client
import io
import json
import socket
import struct
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, Final, NamedTuple, cast

if TYPE_CHECKING:
    import ssl

__all__ = ["DEFAULT_ADMIN", "CallError", "Caller", "Target", "parse_target"]

DEFAULT_ADMIN: Final = "127.0.0.1:8079"
# 10,000 series, the most that one answer has, with two full histograms each are a good 40 MiB.
MOST_BYTES: Final = 64 << 20
SERVICE: Final = "/weir.v1.Stats/"
# Of a frame: the message is compressed (we never ask for it); the frame ends the stream and may hold an error.
COMPRESSED, LAST = 0x01, 0x02

Answer = dict[str, Any]


class Target(NamedTuple):
    """Where to call: `kind` is http, https or unix; `path` is the socket's, or what stands before the method's."""

    kind: str
    host: str
    port: int
    path: str
    text: str


class CallError(Exception):
    """A call failed. The text says what, where and what to do, on one line or more.

    `code` is Connect's word for it (`unavailable`, `unauthenticated`, `invalid_argument`, ...), `retry` whether the
    same call may succeed a little later.
    """

    def __init__(self, message: str, code: str, *, retry: bool = False) -> None:
        super().__init__(message)
        self.code = code
        self.retry = retry


def parse_target(text: str) -> Target:
    """An address as a person writes it: HOST:PORT, :PORT, http://..., https://..., unix:/PATH.

    ValueError says what is wrong with it.
    """
    if text.startswith("unix:"):
        path = text.removeprefix("unix:").removeprefix("//")
        if not path:
            raise ValueError("unix: needs the path of a socket, as in unix:/run/weir-admin.sock")
        return Target("unix", "localhost", 0, path, f"unix:{path}")
    scheme, found, rest = text.partition("://")
    if not found:
        scheme, rest = "http", text
    if scheme not in ("http", "https"):
        raise ValueError(f"{scheme!r} is not known: give HOST:PORT, http://..., https://... or unix:/PATH")
    place, slash, path = rest.partition("/")
    if not found and slash:
        raise ValueError("HOST:PORT has no path; a Unix socket is written unix:/PATH")
    host, port = _host_and_port(place, (443 if scheme == "https" else 80) if found else 0)
    prefix = (slash + path).rstrip("/")
    if not (prefix + host).isprintable() or any(sign in prefix + host for sign in " ?#@"):
        raise ValueError("only a host, a port and a path are expected")
    shown = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    return Target(scheme, host, port, prefix, f"{scheme}://{shown}{prefix}" if found else shown)


def _host_and_port(place: str, default: int) -> tuple[str, int]:
    if place.startswith("["):
        host, bracket, rest = place[1:].partition("]")
        if not bracket or (rest and not rest.startswith(":")):
            raise ValueError("an IPv6 address with a port is written [::1]:8079")
        number = rest[1:]
    else:
        host, _, number = place.rpartition(":") if ":" in place else (place, "", "")
        if ":" in host:
            raise ValueError("an IPv6 address with a port is written [::1]:8079")
    if not number and default:
        return host or "127.0.0.1", default
    if not number.isascii() or not number.isdigit() or not 0 < int(number) < 65536:
        raise ValueError(f"a port of 1 to 65535 is missing, as in {DEFAULT_ADMIN}")
    return host or "127.0.0.1", int(number)


class UnixConnection(http.client.HTTPConnection):
    """HTTP over a Unix socket."""

    def __init__(self, path: str, timeout: float) -> None:
        super().__init__("localhost", timeout=timeout)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


class Reading(io.RawIOBase):
    """What a socket brings, up to a moment: a timeout of the socket's own is for each piece, and pieces may be many.

    `ends()` is the moment, of time.monotonic(). TimeoutError beyond it.
    """

    def __init__(self, sock: socket.socket, ends: Callable[[], float]) -> None:
        self._sock, self._ends = sock, ends
        self._raw = sock.makefile("rb", buffering=0)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        left = self._ends() - time.monotonic()
        if left <= 0:
            raise TimeoutError
        self._sock.settimeout(left)
        return self._raw.readinto(buffer)

    def close(self) -> None:
        self._raw.close()
        super().close()


class Caller:
    """Calls methods of weir.v1.Stats, or of the service that stands before them, as in
    `weir.v1.Endpoints/ListEndpoints`, at one address. Each call has a connection of its own.

    `token` is sent as a bearer token if it is not empty. `timeout_s` bounds a unary call as a whole, and the start of a
    stream. Not to be used by two threads at once, but for close().
    """

    def __init__(self, target: Target, token: str = "", timeout_s: float = 10.0) -> None:
        self.target = target
        self._token = token
        self._timeout_s = timeout_s
        self._open: http.client.HTTPConnection | None = None
        self._socket: socket.socket | None = None
        self._closed = False
        self._waited_s, self._ends = 0.0, 0.0
        self._tls: ssl.SSLContext | None = None

    def again(self) -> Caller:
        """Another one for the same address, for another thread or after close()."""
        return Caller(self.target, self._token, self._timeout_s)

    def to(self, target: Target) -> Caller:
        """One for another address, with the same token."""
        return Caller(target, self._token, self._timeout_s)

    def call(self, method: str, request: Answer) -> Answer:
        """One request, one answer. CallError if there is none that can be used."""
        try:
            response = self._post(method, json.dumps(request).encode(), "application/json")
            body = self._read_all(response)
            if response.status != 200:
                raise self._refused(response.status, body)
            return self._decode(body)
        except (OSError, http.client.HTTPException) as error:
            raise self._failed(error) from None
        finally:
            self._drop()

    def watch(self, method: str, request: Answer, silence_s: float) -> Iterator[Answer]:
        """One request, answers as they come, until the server ends the stream or `silence_s` pass without one.

        CallError, with `retry` if calling again makes sense; the end of the stream is an error as well.
        """
        body = json.dumps(request).encode()
        try:
            response = self._post(method, struct.pack(">BI", 0, len(body)) + body, "application/connect+json")
            if response.status != 200:
                raise self._refused(response.status, self._read_all(response))
            while True:
                self._wait(silence_s)
                message = self._read_frame(response)
                if message is None:
                    raise CallError(f"weir at {self.target.text} has ended the stream.", "unavailable", retry=True)
                yield message
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise self._failed(error) from None
        finally:
            self._drop()

    def close(self) -> None:
        """Ends the call that is under way, if one is, and all later ones; their thread gets a CallError."""
        # In this order: a call that has not seen the mark has shown its socket.
        self._closed = True
        used = self._socket
        if used is not None:
            # Wakes a thread that waits for bytes. To close what another thread reads from is that thread's own part.
            with contextlib.suppress(OSError):
                used.shutdown(socket.SHUT_RDWR)

    def _drop(self) -> None:
        connection, self._open, self._socket = self._open, None, None
        if connection is not None:
            connection.close()

    def _post(self, method: str, body: bytes, content_type: str) -> http.client.HTTPResponse:
        self._wait(self._timeout_s)
        connection = self._connection()
        connection.response_class = cast("type[http.client.HTTPResponse]", self._response)
        self._open = connection
        headers = {
            "Content-Type": content_type,
            "Connect-Protocol-Version": "1",
            "Accept-Encoding": "identity",
            "User-Agent": "weir-cli",
        }
        if self._token:
            headers["Authorization"] = f"Bearer {self._token}"
        prefix = "" if self.target.kind == "unix" else self.target.path
        connection.request(
            "POST", f"{prefix}/{method}" if "/" in method else f"{prefix}{SERVICE}{method}", body, headers
        )
        self._socket = connection.sock
        if self._closed:
            raise CallError("the call was given up", "canceled", retry=True)
        return connection.getresponse()

    def _wait(self, seconds: float) -> None:
        """What is read from now on has to be there within so long."""
        self._waited_s, self._ends = seconds, time.monotonic() + seconds

    def _response(self, sock: socket.socket, *arguments: Any, **more: Any) -> http.client.HTTPResponse:
        response = http.client.HTTPResponse(sock, *arguments, **more)
        response.fp.close()
        response.fp = io.BufferedReader(Reading(sock, lambda: self._ends))
        return response

    def _connection(self) -> http.client.HTTPConnection:
        target = self.target
        if target.kind == "unix":
            return UnixConnection(target.path, self._timeout_s)
        if target.kind == "https":
            if self._tls is None:
                import ssl

                self._tls = ssl.create_default_context()
            return http.client.HTTPSConnection(target.host, target.port, timeout=self._timeout_s, context=self._tls)
        return http.client.HTTPConnection(target.host, target.port, timeout=self._timeout_s)

    def _read_all(self, response: http.client.HTTPResponse) -> bytes:
        pieces, size = [], 0
        while piece := response.read1(1 << 20):
            pieces.append(piece)
            size += len(piece)
            if size > MOST_BYTES:
                raise self._no_weir(f"the answer has more than {MOST_BYTES >> 20} MiB")
        return b"".join(pieces)

    def _read_frame(self, response: http.client.HTTPResponse) -> Answer | None:
        """The next message of a stream; None at its orderly end."""
        head = response.read(5)
        if len(head) < 5:
            raise http.client.IncompleteRead(head)
        flags, length = struct.unpack(">BI", head)
        if length > MOST_BYTES or flags & COMPRESSED:
            raise self._no_weir("the stream is not framed as expected")
        body = response.read(length) if length else b""
        if len(body) < length:
            raise http.client.IncompleteRead(body)
        message = self._decode(body or b"{}")
        if not flags & LAST:
            return message
        error = message.get("error")
        if isinstance(error, dict):
            raise self._named(str(error.get("code", "unknown")), str(error.get("message", "")))
        return None

    def _decode(self, body: bytes) -> Answer:
        try:
            message = json.loads(body)
        except (ValueError, RecursionError):
            raise self._no_weir("the answer is not JSON") from None
        if not isinstance(message, dict):
            raise self._no_weir("the answer is not a JSON object")
        return message

    def _refused(self, status: int, body: bytes) -> CallError:
        """What an answer with another status than 200 means: Connect's error object, or somebody else's page."""
        try:
            message = json.loads(body)
        except (ValueError, RecursionError):
            message = None
        if isinstance(message, dict) and isinstance(message.get("code"), str):
            return self._named(message["code"], str(message.get("message", "")))
        if status == 401:
            return self._named("unauthenticated", "")
        if status == 403:
            return self._named("permission_denied", "")
        return self._no_weir(f"it answered with status {status}")

    def _named(self, code: str, said: str) -> CallError:
        where = f"weir at {self.target.text}"
        said = "".join(sign if sign.isprintable() else " " for sign in said[:500])
        more = f": {said}" if said else ""
        if code in ("unauthenticated", "permission_denied"):
            what = "a token" if not self._token else "another token: this one is not accepted"
            return CallError(f"{where} demands {what}{more}\nset WEIR_TOKEN, or --token-file FILE", code)
        if code == "unimplemented":
            return CallError(f"{where} does not know this call{more}\nit is another version: see weir version", code)
        return CallError(f"{where} says {code}{more}", code, retry=code in ("unavailable", "deadline_exceeded"))

    def _no_weir(self, why: str) -> CallError:
        return CallError(
            f"what listens at {self.target.text} is not weir's admin address: {why}\n"
            "give the right one with --admin HOST:PORT or WEIR_ADMIN; it is none that the proxy serves clients on",
            "unknown",
        )

    def _failed(self, error: Exception) -> CallError:
        """What the operating system or the HTTP client has met, in words that help."""
        where = self.target.text
        if isinstance(error, TimeoutError):
            return CallError(
                f"weir at {where} did not answer within {self._waited_s:g} s", "deadline_exceeded", retry=True
            )
        if isinstance(error, ConnectionRefusedError | FileNotFoundError):
            return CallError(
                f"nothing listens at {where}\nis weir running, with its admin address there? "
                "(another one: --admin HOST:PORT or WEIR_ADMIN)",
                "unavailable",
                retry=True,
            )
        if isinstance(error, socket.gaierror):
            return CallError(f"the name in {where} cannot be resolved: {error.strerror}", "unavailable", retry=True)
        if isinstance(error, PermissionError):
            return CallError(f"{where}: permission denied\nis this user allowed to use the socket?", "unavailable")
        if isinstance(error, http.client.BadStatusLine) and not isinstance(error, http.client.RemoteDisconnected):
            return self._no_weir("it does not speak HTTP")
        if type(error).__name__ in ("SSLError", "SSLCertVerificationError"):
            return CallError(f"{where}: no TLS connection: {error}", "unavailable")
        if isinstance(error, OSError) and not isinstance(error, ConnectionError) and error.strerror:
            return CallError(f"{where} cannot be reached: {error.strerror}", "unavailable", retry=True)
        return CallError(f"the connection to weir at {where} was lost", "unavailable", retry=True)
