"""Both ends of an exchange, without sockets: given what has come, they say what is sent.

The same players play on fake streams and on real ones. Each keeps its ledger: the bytes that came, and how the
connection ended. What they make of it is the oracle's part.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from tests.faults.exchanges import Exchange, Leg
from tests.faults.reader import Message, Nonsense, read_requests, read_responses

__all__ = ["OPEN", "TUNNEL_DOWN", "TUNNEL_UP", "ClientPlayer", "End", "EndpointPlayer", "Sighting", "target_of"]

TUNNEL_UP = b"what the client says in the tunnel"
TUNNEL_DOWN = b"what the endpoint says in the tunnel"

End = str  # how a connection ended for its player:
OPEN, CLEAN, BROKEN = "open", "clean", "broken"


def target_of(run: int, leg: int) -> bytes:
    """A target of the same length for all runs, or positions would not mean the same in each."""
    return b"/%06d/%d" % (run, leg)


class ClientPlayer:
    """The client. `wants_end`: it will send no more, and says so; `done`: it has what it came for."""

    def __init__(self, exchange: Exchange, run: int) -> None:
        self.exchange = exchange
        self.run = run
        self.received = b""
        self.sent = 0
        self.end: End = OPEN
        self.done = False
        self.wants_end = False
        self.leg = 0
        self.piece = 0
        self.in_tunnel = False

    def start(self) -> bytes:
        legs = self.exchange.legs if self.exchange.pipelined else self.exchange.legs[:1]
        return b"".join(self._next_piece(number, leg, 0) for number, leg in enumerate(legs))

    def _next_piece(self, number: int, leg: Leg, piece: int) -> bytes:
        data = leg.send[piece]
        return data.replace(b"@", target_of(self.run, number), 1) if piece == 0 else data

    def on_bytes(self, data: bytes) -> bytes:
        self.received += data
        try:
            return self._react()
        except (Nonsense, ValueError):
            self.done = True  # the oracle will say so
            return b""

    def on_end(self, broken: bool) -> None:
        if self.end == OPEN:
            self.end = BROKEN if broken else CLEAN
        self.done = True

    def _react(self) -> bytes:
        found, rest = read_responses(self.received, self.exchange.methods, False)
        if self.in_tunnel or (found and found[-1].has_head and found[-1].status == 101):
            return self._in_tunnel(rest)
        whole = sum(message.whole for message in found)
        reply = b""
        if whole > self.leg:
            if whole == len(self.exchange.legs) or (found[whole - 1].get("connection") or "").lower() == "close":
                # Not at once: what is sent behind the last response would be missed. The run ends it.
                self.done = True
            elif not self.exchange.pipelined:
                reply = self._next_piece(whole, self.exchange.legs[whole], 0)
            self.leg, self.piece = whole, 0
        elif len(found) > self.leg and 100 in found[-1].interim:
            pieces = self.exchange.legs[self.leg].send
            if self.piece + 1 < len(pieces):
                self.piece += 1
                reply = pieces[self.piece]
        return reply

    def _in_tunnel(self, rest: bytes) -> bytes:
        first = not self.in_tunnel
        self.in_tunnel = True
        if rest == TUNNEL_DOWN:
            self.wants_end = True
        return TUNNEL_UP if first else b""


@dataclass
class Sighting:
    """A request whose head an endpoint has seen: where, and how many had been seen on that connection before."""

    run: int
    leg: int
    connection: int
    number: int
    message: Message


@dataclass
class EndpointPlayer:
    """One connection as the endpoint sees it. `find` tells the exchange of a run; `sightings` are all endpoints'."""

    find: Callable[[int], Exchange]
    connection: int = 0
    received: bytes = b""
    end: End = OPEN
    wants_close: bool = False
    wants_end: bool = False
    seen: list[Sighting] = field(default_factory=list)
    hinted: int = 0
    answered: int = 0
    in_tunnel: bool = False
    nonsense: str = ""

    def on_bytes(self, data: bytes) -> bytes:
        if self.wants_close:
            return b""  # it has closed already, and what was on its way is lost
        self.received += data
        if self.in_tunnel:
            return b""
        try:
            return self._react()
        except (Nonsense, ValueError) as error:
            self.nonsense = f"{error!r} in {self.received[:300]!r}"
            self.wants_close = True
            return b""

    def on_end(self, broken: bool) -> None:
        if self.end == OPEN:
            self.end = BROKEN if broken else CLEAN
        if self.in_tunnel and not broken:
            self.wants_end = True
        else:
            self.wants_close = True

    def _react(self) -> bytes:
        reply = b""
        found = [message for message in read_requests(self.received) if message.has_head]
        for number, message in enumerate(found):
            if number == len(self.seen):
                _, run, leg = message.target.split("/")
                self.seen.append(Sighting(int(run), int(leg), self.connection, number, message))
            sighting = self.seen[number]
            sighting.message = message
            leg_played = self.find(sighting.run).legs[sighting.leg]
            if self.hinted == number:
                self.hinted += 1
                reply += leg_played.hints
            if self.answered == number and (message.whole or 0 <= leg_played.early <= len(message.body)):
                self.answered += 1
                reply += leg_played.answer
                self.wants_close = self.wants_close or leg_played.closes
                if leg_played.tunnel:
                    self.in_tunnel = True
                    return reply + TUNNEL_DOWN
        return reply

    @property
    def tunnelled(self) -> bytes:
        """What came behind the request that was upgraded."""
        head = self.received.find(b"\r\n\r\n")
        return self.received[head + 4 :] if self.in_tunnel else b""
