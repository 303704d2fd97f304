"""Messages read off bytes that may end anywhere: the ledgers of both ends are made with it.

Independent of weir, and never repairing: what is not HTTP raises `Nonsense`. A message that is not whole is
returned as far as it came, for it is the question of these tests whether a cut can be seen.
"""

from __future__ import annotations

from dataclasses import dataclass, field

__all__ = ["Message", "Nonsense", "read_requests", "read_responses"]


class Nonsense(Exception):
    """The bytes are not HTTP."""


@dataclass
class Message:
    """A message as far as it came. `whole`: its own framing says that nothing is missing."""

    start: str = ""
    fields: list[tuple[str, str]] = field(default_factory=list)
    body: bytes = b""
    trailers: list[tuple[str, str]] = field(default_factory=list)
    interim: list[int] = field(default_factory=list)
    has_head: bool = False
    whole: bool = False
    raw: bytes = b""
    until_close: bool = False  # only the end of its connection ends it

    @property
    def method(self) -> str:
        return self.start.split(" ", 1)[0]

    @property
    def target(self) -> str:
        return self.start.split(" ")[1]

    @property
    def status(self) -> int:
        return int(self.start.split(" ", 2)[1])

    def get(self, name: str) -> str | None:
        values = [value for key, value in self.fields if key.lower() == name]
        if len(values) > 1:
            raise Nonsense(f"{name} more than once in {self.fields}")
        return values[0] if values else None


def read_requests(data: bytes) -> list[Message]:
    """The requests that `data` begins with; the last may be incomplete."""
    found: list[Message] = []
    at = 0
    while at < len(data):
        message = Message()
        end = _read_head(data, at, message)
        if message.has_head:
            end = _read_body(data, end, message, message.get("content-length") or "0", False)
        message.raw = data[at:end]
        found.append(message)
        if not message.whole or message.get("upgrade"):
            break
        at = end
    return found


def read_responses(data: bytes, methods: list[str], ended: bool) -> tuple[list[Message], bytes]:
    """The responses to requests with these methods, and what is behind them. `ended`: `data` ended cleanly."""
    found: list[Message] = []
    at = 0
    for method in methods:
        if at >= len(data):
            break
        message = Message()
        begin = at
        while True:
            at = _read_head(data, at, message)
            if not message.has_head or not 100 <= message.status < 200 or message.status == 101:
                break
            message.interim.append(message.status)
            message.start, message.fields, message.has_head = "", [], False
        if message.has_head:
            if method == "HEAD" or message.status in (101, 204, 304):
                message.whole = True
            else:
                at = _read_body(data, at, message, message.get("content-length"), ended)
        message.raw = data[begin:at]
        found.append(message)
        if not message.whole or message.status == 101:
            break
    return found, data[at:]


def _read_head(data: bytes, at: int, message: Message) -> int:
    end = data.find(b"\r\n\r\n", at)
    if end < 0:
        return len(data)
    lines = data[at:end].decode("latin-1").split("\r\n")
    message.start = lines[0]
    message.fields = [_field(line) for line in lines[1:]]
    message.has_head = True
    return end + 4


def _field(line: str) -> tuple[str, str]:
    name, colon, value = line.partition(":")
    if not colon or not name or name != name.strip():
        raise Nonsense(f"field line {line!r}")
    return name, value.strip(" \t")


def _read_body(data: bytes, at: int, message: Message, length: str | None, ended: bool) -> int:
    if message.get("transfer-encoding"):
        if length not in (None, "0") or message.get("content-length") is not None:
            raise Nonsense("both lengths")
        return _read_chunks(data, at, message)
    if length is None:
        message.until_close = True
        message.body = data[at:]
        message.whole = ended
        return len(data)
    message.body = data[at : at + int(length)]
    message.whole = len(message.body) == int(length)
    return at + len(message.body)


def _read_chunks(data: bytes, at: int, message: Message) -> int:
    body = []
    while True:
        end = data.find(b"\r\n", at)
        if end < 0:
            break
        size = int(data[at:end].split(b";")[0].strip(), 16)
        if size == 0:
            at = _read_trailers(data, end + 2, message)
            break
        chunk = data[end + 2 : end + 2 + size]
        body.append(chunk)
        at = end + 4 + size
        mark = data[at - 2 : at]
        if len(chunk) == size and mark and not b"\r\n".startswith(mark):
            raise Nonsense(f"a chunk of {size} bytes ends with {mark!r}")
        if len(mark) < 2:
            break
    message.body = b"".join(body)
    return min(at, len(data)) if message.whole else len(data)


def _read_trailers(data: bytes, at: int, message: Message) -> int:
    while (end := data.find(b"\r\n", at)) >= 0:
        if end == at:
            message.whole = True
            return at + 2
        message.trailers.append(_field(data[at:end].decode("latin-1")))
        at = end + 2
    return len(data)
