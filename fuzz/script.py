"""A play of clients, endpoints and time, read out of bytes.

The first byte chooses the plane's settings. After it, bytes below 0x80 are what the present speaker says, except
`~`; the others are stage directions (`Say`). So an input is readable, and what libFuzzer does to bytes (insert,
erase, copy, exchange) makes another play of nearly the same messages.

Tags are what makes mixing visible: `Say.TAG` is written out as a number that no other part of the play has, in what
a client says a new one, in what an endpoint says that of the request it has read last. Nobody can say a tag in any
other way, because `~` is left out.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any

from fuzz.witness import requests_seen
from tests.plane.scene import Scene
from weir.config.retry_kinds import FAILURES
from weir.plane.fake import FakeStream

__all__ = ["SETTINGS", "Endpoint", "Party", "Play", "Say", "play", "tag_in", "tags_in"]


class Say(IntEnum):
    """Stage directions. Values that are not named here do nothing."""

    LITERAL = 0x80  # the next byte is said as it is, whatever it is
    CLIENT_0 = 0x81  # from here on this client speaks; it connects when it does for the first time
    CLIENT_1 = 0x82
    ENDPOINT_NEWEST = 0x83  # the peer of the connection that was dialled last
    ENDPOINT_0 = 0x84  # the peer of the first connection
    ENDPOINT_1 = 0x85
    ENDPOINT_2 = 0x86
    TURN = 0x88  # what was said arrives, and the engine turns once
    SETTLE = 0x89  # ... until nothing is to be done
    END = 0x8A  # the speaker closes its sending side
    RESET = 0x8B  # it resets the connection
    SHUT_WINDOW = 0x8C  # it reads no more
    NARROW_WINDOW = 0x8D  # it reads 20 bytes more
    OPEN_WINDOW = 0x8E  # it reads everything
    TAG = 0x90
    MANY = 0x91  # 3000 bytes of body
    VERY_MANY = 0x92  # 70000 bytes of body
    DRIP = 0x94  # from here on each byte arrives alone
    POUR = 0x95  # and from here on they arrive together again
    WAIT_5_MS = 0x98
    WAIT_50_MS = 0x99
    WAIT_500_MS = 0x9A
    WAIT_4_S = 0x9B
    WAIT_11_S = 0x9C
    WAIT_61_S = 0x9D
    WAIT_301_S = 0x9E
    DIAL_WAITS = 0xA0  # connections that are dialled from here on come about later
    DIAL_CONNECTS = 0xA1  # ... at once
    DIAL_FAILS = 0xA2  # ... not at all
    CONNECTED = 0xA3  # the connection of the endpoint that speaks has come about
    REFUSED = 0xA4  # ... or has not
    NO_MEMORY = 0xA8  # the next buffer cannot be had
    DRAIN = 0xA9  # the worker is told to stop
    LITTLE_MEMORY = 0xAA  # buffers for reads are small from here on


NAMED = frozenset(Say)
WAITS_MS = {
    Say.WAIT_5_MS: 5,
    Say.WAIT_50_MS: 50,
    Say.WAIT_500_MS: 500,
    Say.WAIT_4_S: 4_000,
    Say.WAIT_11_S: 11_000,
    Say.WAIT_61_S: 61_000,
    Say.WAIT_301_S: 301_000,
}
ENDPOINTS = {Say.ENDPOINT_0: 0, Say.ENDPOINT_1: 1, Say.ENDPOINT_2: 2}
REFUSED_ERRNO = 111
NARROW_BYTES = 20
# Directions after which nobody has a reason to wait, once all windows are open: what was said has to be where it
# belongs.
QUIET = {
    *(Say.CLIENT_0, Say.CLIENT_1, Say.ENDPOINT_NEWEST, Say.ENDPOINT_0, Say.ENDPOINT_1, Say.ENDPOINT_2),
    *(Say.SHUT_WINDOW, Say.NARROW_WINDOW, Say.OPEN_WINDOW),
    *(Say.TURN, Say.SETTLE, Say.DRIP, Say.POUR, Say.WAIT_5_MS, Say.WAIT_50_MS, Say.WAIT_500_MS),
    Say.LITTLE_MEMORY,
}
# Of directions that cost time, so many are followed.
MOST_SETTLED = 60

SETTINGS: tuple[dict[str, Any], ...] = (
    {},
    {"listener": {"max_requests": 2, "half_close": "abort"}, "pool": {"max_requests": 2}},
    {"pool": {"max_connections": 1}, "queue": {"size": 1}},
    {
        "listener": {"max_head_bytes": 200, "max_fields": 5, "max_target_bytes": 40},
        "cluster": {"max_response_head_bytes": 120, "max_response_fields": 4},
    },
    {"route": {"max_body_bytes": 40}, "stats": {"header": "X-Bytes"}},
    {"listener": {"forwarded": "replace", "via": "both"}, "cluster": {"host": "in.side"}, "stats": {"header": "X-B"}},
    {"pool": {"max_idle": 1, "wait_idle_ms": 100, "give_back_ms": 1000}, "stats": {"page": "/stats"}},
    {
        "endpoints": 2,
        "retry": {"attempts": 3},
        "listener": {"forwarded": "append", "request_id": "keep", "trace": "join", "server_timing": "on"},
    },
    {
        "endpoints": 2,
        "retry": {
            "on": FAILURES,
            "attempts": 4,
            "attempt_timeout_ms": 400,
            "same_endpoint": True,
            "max_replay_body_bytes": 5000,
            "ratio_percent": 100,
        },
    },
    {"endpoints": 3, "hedge": {"after_ms": 40}, "retry": {"on": FAILURES, "ratio_percent": 100}},
)

_TAG = re.compile(rb"~([0-9]+)~")


def tags_in(text: bytes) -> set[int]:
    """The tags that a text has."""
    return {int(tag) for tag in _TAG.findall(text)}


def tag_in(text: bytes) -> int | None:
    """The first tag that a text has, if it has one."""
    match = _TAG.search(text)
    return int(match[1]) if match else None


@dataclass
class Party:
    """A client or an endpoint: its stream, what it said and what it was told."""

    stream: FakeStream
    said: bytearray = field(default_factory=bytearray)
    heard: bytearray = field(default_factory=bytearray)
    ended: bool = False
    broke: bool = False

    def listen(self) -> None:
        """Takes what has come."""
        self.heard += self.stream.take_sent()


@dataclass
class Endpoint(Party):
    """The peer of a connection that the plane dialled."""


class Play:
    """One play: who took part in it, and the plane in the middle."""

    def __init__(self, settings: dict[str, Any]) -> None:
        self.scene = Scene(**settings)
        self.quiet = not settings
        self.clients: dict[int, Party] = {}
        self.endpoints: list[Endpoint] = []
        self.speaker: Party | None = None
        self.pending = bytearray()
        self.drips = False
        self.drained = False
        self.tags = 0
        self.settled = 0

    @property
    def is_quiet(self) -> bool:
        """Whether nobody has a reason to wait."""
        return self.quiet and all(party.stream.room < 0 for party in (*self.clients.values(), *self.endpoints))

    def deliver(self) -> None:
        """What was said arrives at the plane."""
        said, self.pending = bytes(self.pending), bytearray()
        speaker = self.speaker
        if speaker is None or not said or speaker.ended or speaker.broke:
            return
        for piece in [said[at : at + 1] for at in range(len(said))] if self.drips and len(said) < 2000 else [said]:
            if speaker.stream.is_closed:
                return
            speaker.said += piece
            speaker.stream.feed(piece)
            if self.drips:
                self.scene.turn(1)

    def listen(self) -> None:
        """Everybody takes what has come; who was dialled meanwhile takes part from here on."""
        for stream in self.scene.dialer.dialled[len(self.endpoints) :]:
            self.endpoints.append(Endpoint(stream))
        for party in (*self.clients.values(), *self.endpoints):
            party.listen()

    def settle(self, ms: int = 0) -> None:
        """Time passes, and everything happens that is due."""
        self.settled += 1
        if self.settled <= MOST_SETTLED:
            self.scene.wait_ms(ms)
        self.listen()

    def call(self, number: int) -> None:
        """A client is the speaker from here on."""
        if number not in self.clients:
            stream = self.scene.client()
            self.clients[number] = Party(stream)
        self.speaker = self.clients[number]

    def call_endpoint(self, number: int) -> None:
        """The peer of a connection is the speaker from here on, if there is such a connection."""
        self.listen()
        if -len(self.endpoints) <= number < len(self.endpoints):
            self.speaker = self.endpoints[number]

    def tag(self) -> bytes:
        """The tag that the speaker says: none for an endpoint that has not read its last request up to its tag.

        What such an endpoint says is taken for the answer to a request that it cannot know. A window that is shut
        makes it possible here; a kernel takes the beginning of a request at once.
        """
        if isinstance(self.speaker, Endpoint):
            self.listen()
            requests = requests_seen(bytes(self.speaker.heard)).requests
            if not requests or not requests[-1].has_head or self.speaker.stream.room >= 0:
                return b""
            told = tag_in(requests[-1].target)
            return b"" if told is None else b"~%d~" % told
        self.tags += 1
        return b"~%d~" % self.tags


def _direct_speaker(play: Play, speaker: Party, say: int) -> None:
    """A direction for who speaks."""
    stream = speaker.stream
    if say == Say.END and not speaker.broke:
        speaker.ended = True
        stream.feed_end()
    elif say == Say.RESET:
        speaker.broke = True
        stream.break_off()
    elif say == Say.SHUT_WINDOW:
        stream.room = 0
    elif say == Say.NARROW_WINDOW:
        stream.room = NARROW_BYTES
    elif say == Say.OPEN_WINDOW:
        stream.room = -1
    elif say == Say.CONNECTED and isinstance(speaker, Endpoint):
        stream.connect()
    elif say == Say.REFUSED and isinstance(speaker, Endpoint) and not speaker.said:
        stream.connect(REFUSED_ERRNO)
        speaker.broke = True


def _direct(play: Play, say: int) -> None:
    """A direction for the whole stage."""
    if say in (Say.CLIENT_0, Say.CLIENT_1):
        play.call(say - Say.CLIENT_0)
    elif say == Say.ENDPOINT_NEWEST:
        play.call_endpoint(-1)
    elif say in ENDPOINTS:
        play.call_endpoint(ENDPOINTS[Say(say)])
    elif say == Say.TURN:
        play.scene.turn(1)
        play.listen()
    elif say == Say.SETTLE:
        play.settle()
    elif say in WAITS_MS:
        play.settle(WAITS_MS[Say(say)])
    elif say in (Say.DRIP, Say.POUR):
        play.drips = say == Say.DRIP
    elif say in (Say.DIAL_WAITS, Say.DIAL_CONNECTS, Say.DIAL_FAILS):
        play.scene.dialer.mode = {Say.DIAL_WAITS: "wait", Say.DIAL_CONNECTS: "connect"}.get(Say(say), REFUSED_ERRNO)
    elif say == Say.NO_MEMORY:
        play.scene.plane.refuse_memory(1)
    elif say == Say.LITTLE_MEMORY:
        play.scene.plane.save_memory()
    elif say == Say.DRAIN and not play.drained:
        play.drained = True
        play.scene.plane.drain(lambda: None)


def _said(play: Play, data: Iterator[int]) -> Iterator[int]:
    """Follows the script; gives the directions among it, and collects the words between them."""
    for byte in data:
        if byte == Say.LITERAL:
            byte = next(data, 0)
        elif byte == Say.TAG:
            play.pending += play.tag()
            continue
        elif byte in (Say.MANY, Say.VERY_MANY):
            play.pending += b"x" * (3000 if byte == Say.MANY else 70_000)
            continue
        elif byte >= 0x80:
            yield byte
            continue
        if byte != ord("~"):
            play.pending.append(byte)


def play(data: bytes) -> Play:
    """Plays a script to its last word. The plane is left as it is then."""
    it = Play(SETTINGS[data[0] % len(SETTINGS)])
    it.call(0)
    for say in _said(it, iter(data[1:])):
        it.deliver()
        it.quiet = it.quiet and (say in QUIET or say not in NAMED)
        if it.speaker is not None:
            _direct_speaker(it, it.speaker, say)
        _direct(it, say)
    it.deliver()
    it.settle()
    return it
