"""One call of the Connect protocol, without its input and output: bytes to send, bytes received, messages.

Both clients are a few lines around it. A call has a connection of its own: it is to the same machine as a rule, and a
connection that is kept can be found dead.
"""

from __future__ import annotations

import json
import struct
from dataclasses import dataclass
from typing import Any, Final, Generic, TypeVar
from urllib.parse import unquote, urlsplit

import h11
from protobuf import Message

from weir.client.errors import CallError, ProtocolError, UnreachableError

__all__ = ["Address", "Call", "check_token", "parse_address"]

M = TypeVar("M", bound=Message[Any])

SERVICE: Final = "/weir.v1.Stats/"
# All 10 000 series with their histograms are less.
MOST_RESPONSE_BYTES: Final = 64 << 20
PREFIX: Final = struct.Struct(">BI")
COMPRESSED: Final = 1
END: Final = 2
# What an answer without an error of Connect's means: somebody before weir gave it.
CODES: Final = {
    400: "internal",
    401: "unauthenticated",
    403: "permission_denied",
    404: "unimplemented",
    429: "unavailable",
    502: "unavailable",
    503: "unavailable",
    504: "unavailable",
}


@dataclass(frozen=True, slots=True)
class Address:
    """Where to connect: a host and port, or the path of a Unix socket; `text` is what the person wrote."""

    text: str
    host: str = ""
    port: int = 0
    path: str = ""
    tls: bool = False
    authority: str = "localhost"
    prefix: str = ""


def parse_address(text: str) -> Address:
    """`http://host:port`, `https://host:port`, perhaps with a path in front of the calls, or `unix:/path`.

    ValueError for anything else.
    """
    if text.startswith("unix:"):
        path = text.removeprefix("unix:")
        if not path.startswith("/"):
            raise ValueError(f"{text!r}: the path of a Unix socket begins with /, as unix:/run/weir.sock")
        return Address(text, path=path)
    parts = urlsplit(text)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError(f"{text!r}: write http://127.0.0.1:8079, https://HOST, or unix:/PATH")
    if parts.username is not None or parts.query or parts.fragment:
        raise ValueError("an address has no user, query or fragment; a token is given as token=")
    tls = parts.scheme == "https"
    port = parts.port or (443 if tls else 80)
    prefix = parts.path.rstrip("/")
    return Address(text, unquote(parts.hostname), port, tls=tls, authority=parts.netloc, prefix=prefix)


def check_token(token: str) -> str:
    """The same; ValueError if it cannot be sent. No message shows it."""
    if not all("!" <= sign <= "~" for sign in token):
        raise ValueError("a token is one line of visible ASCII characters")
    return token


class Call(Generic[M]):
    """A call of `method` with a request. `start()` gives what to send; feed what is received to `receive()`.

    It is `done` when the last message was given out. The errors are those of `weir.client.errors`.
    """

    def __init__(
        self, address: Address, token: str, method: str, request: Message[Any], answer: type[M], *, stream: bool
    ) -> None:
        self.address = address
        self.done = False
        self._connection = h11.Connection(h11.CLIENT)
        self._answer = answer
        self._stream = stream
        self._body = bytearray()
        self._status = 0
        self._type = ""
        content = request.to_binary()
        media = "application/proto"
        if stream:
            content, media = PREFIX.pack(0, len(content)) + content, "application/connect+proto"
        headers = [
            ("Host", address.authority),
            ("User-Agent", "weir-client"),
            ("Content-Type", media),
            ("Content-Length", str(len(content))),
            ("Connect-Protocol-Version", "1"),
            ("Connection", "close"),
        ]
        if token:
            headers.append(("Authorization", f"Bearer {token}"))
        target = address.prefix + SERVICE + method
        self._request = (h11.Request(method="POST", target=target, headers=headers), h11.Data(content))

    def start(self) -> bytes:
        """The whole request."""
        events = (*self._request, h11.EndOfMessage())
        return b"".join(self._connection.send(event) or b"" for event in events)

    def receive(self, data: bytes) -> list[M]:
        """The messages that are complete now; `b""` says that the other side has closed."""
        messages: list[M] = []
        try:
            self._connection.receive_data(data)
            while not self.done:
                event = self._connection.next_event()
                if event is h11.NEED_DATA or event is h11.PAUSED:
                    break
                self._on_event(event, messages)
        except h11.RemoteProtocolError as error:
            if data:
                raise ProtocolError(f"{self.address.text}: this is no HTTP answer: {error}") from None
            raise UnreachableError(f"{self.address.text}: closed before the answer was complete") from None
        return messages

    def _on_event(self, event: object, messages: list[M]) -> None:
        if isinstance(event, h11.Response):
            self._status = event.status_code
            headers = dict(event.headers)
            self._type = headers.get(b"content-type", b"").decode("latin-1").partition(";")[0].strip()
        elif isinstance(event, h11.Data):
            self._body += event.data
            if len(self._body) > MOST_RESPONSE_BYTES:
                raise ProtocolError(f"{self.address.text}: an answer of more than {MOST_RESPONSE_BYTES >> 20} MiB")
            if self._stream and self._status == 200:
                self._on_envelopes(messages)
        elif isinstance(event, h11.EndOfMessage):
            self._on_end(messages)

    def _on_end(self, messages: list[M]) -> None:
        if self._status != 200:
            raise self._refused()
        if self._stream:
            raise UnreachableError(f"{self.address.text}: the stream ended without its end")
        self._check_type("application/proto")
        messages.append(self._decode(bytes(self._body)))
        self.done = True

    def _on_envelopes(self, messages: list[M]) -> None:
        self._check_type("application/connect+proto")
        while len(self._body) >= PREFIX.size and not self.done:
            flags, size = PREFIX.unpack_from(self._body)
            if size > MOST_RESPONSE_BYTES or flags & COMPRESSED:
                raise ProtocolError(f"{self.address.text}: a message that was not asked for (flags {flags})")
            if len(self._body) < PREFIX.size + size:
                return
            message = bytes(self._body[PREFIX.size : PREFIX.size + size])
            del self._body[: PREFIX.size + size]
            if flags & END:
                self.done = True
                self._on_end_of_stream(message)
            else:
                messages.append(self._decode(message))

    def _on_end_of_stream(self, message: bytes) -> None:
        error = self._json(message).get("error")
        if isinstance(error, dict):
            raise CallError(self.address.text, str(error.get("code")), str(error.get("message", "")))

    def _refused(self) -> Exception:
        error = self._json(bytes(self._body)) if self._type == "application/json" else {}
        code = error.get("code")
        if isinstance(code, str):
            return CallError(self.address.text, code, str(error.get("message", "")))
        said = bytes(self._body[:200]).decode(errors="replace").strip()
        printable = "".join(each if each.isprintable() else " " for each in said)
        if self._status in CODES:
            return CallError(self.address.text, CODES[self._status], printable or f"HTTP {self._status}")
        return ProtocolError(f"{self.address.text}: HTTP {self._status} is no answer of weir's: {printable}")

    def _json(self, data: bytes) -> dict[str, Any]:
        try:
            value = json.loads(data or b"{}")
        except ValueError:
            raise ProtocolError(f"{self.address.text}: an error that cannot be read") from None
        return value if isinstance(value, dict) else {}

    def _check_type(self, wanted: str) -> None:
        if self._type != wanted:
            raise ProtocolError(f"{self.address.text}: {self._type or 'an answer without a type'} is not {wanted}")

    def _decode(self, data: bytes) -> M:
        try:
            return self._answer.from_binary(data)
        except Exception as error:
            raise ProtocolError(f"{self.address.text}: a message that cannot be read: {error}") from None
