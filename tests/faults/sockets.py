"""Faulty runs on real connections: players and pipes behind asyncio's transports.

Seen from weir it makes no difference whether a fault happens in a relay between it and a peer, or in the peer
itself; the latter costs a third of the connections.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import socket
import struct
from collections.abc import Callable
from typing import cast

from tests.faults.exchanges import Exchange
from tests.faults.pipes import SIDES, WAYS, Fault, Pipe
from tests.faults.players import ClientPlayer, EndpointPlayer

__all__ = ["Connection", "SocketRun"]

SPLIT_S = 0.015  # longer than weir waits for the body of a response whose head is there
QUIET_S = 0.03  # a delayed direction goes on when the other has been silent for so long
SMALL_BUFFER = 4096  # of a peer that will not read, so that weir feels it


class SocketRun:
    """One run of an exchange with a fault."""

    def __init__(self, exchange: Exchange, number: int, fault: Fault | None) -> None:
        self.exchange = exchange
        self.number = number
        self.fault = fault
        self.pipes = {
            (side, way): Pipe(fault if fault and (fault.side, fault.way) == (side, way) else None)
            for side in SIDES
            for way in WAYS
        }
        self.client = ClientPlayer(exchange, number)
        self.endpoints: list[EndpointPlayer] = []
        self.connections: list[Connection] = []
        self.decided = asyncio.Event()
        self.find_run: Callable[[int], SocketRun | None] = lambda number: None
        self.end = "open"

    @property
    def is_without_fault(self) -> bool:
        """Whether the fault has not happened at all."""
        return not any(pipe.met for pipe in self.pipes.values())

    def dialled(self, find: Callable[[int], Exchange]) -> EndpointPlayer:
        """Weir has made another connection to the endpoint."""
        self.endpoints.append(EndpointPlayer(find, len(self.endpoints)))
        return self.endpoints[-1]

    async def play(self, host: str, port: int, seconds: float) -> None:
        """Until the client has its answers, or the end of its connection, or `seconds` are over."""
        loop = asyncio.get_running_loop()
        await loop.create_connection(lambda: Connection(self, "client", self.client), host, port)
        with contextlib.suppress(TimeoutError):  # the oracle has a word for it
            await asyncio.wait_for(self.decided.wait(), seconds)
        self.end = self.client.end
        for connection in self.connections:
            connection.leave()
        for connection in self.connections:
            await connection.closed


class Connection(asyncio.Protocol):
    """A connection of a run, on either side."""

    def __init__(self, run: SocketRun, side: str, player: ClientPlayer | EndpointPlayer) -> None:
        self.run = run
        self.side = side
        self.player = player
        self.gone = False
        self.shut = {"to": False, "from": False}
        self.timer: asyncio.TimerHandle | None = None
        self.loop = asyncio.get_running_loop()
        self.transport: asyncio.Transport
        self.made = False
        self.closed: asyncio.Future[None] = self.loop.create_future()
        self.left = False
        self.heard = False
        run.connections.append(self)

    # -- what asyncio tells

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self.made = True
        if self.left:
            transport.close()
            return
        fault = self.run.fault
        if fault and (fault.side, fault.way, fault.kind) == (self.side, "from", "stall"):
            self._socket().setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SMALL_BUFFER)
            if fault.at == 0 or self.run.pipes[self.side, "from"].met:
                self.run.pipes[self.side, "from"].met = True
                self._stop_reading()
        if isinstance(self.player, ClientPlayer):
            self._send(self.player.start())

    def data_received(self, data: bytes) -> None:
        if self.gone or self.shut["from"]:
            return
        if not self.heard and self.side == "endpoint" and self._is_of_another_run(data):
            return
        self.heard = True
        pipe = self.run.pipes[self.side, "from"]
        if pipe.met and self.timer is not None and pipe.fault:
            pipe.held += data
            self._hold()
            return
        met = pipe.met
        now = pipe.push(data)
        self._hear(now)
        if pipe.met and not met:
            self._fault("from")
        elif self.timer is not None:
            self._hold()  # the other direction still speaks

    def _is_of_another_run(self, data: bytes) -> bool:
        """Whether weir sends what is left of the run before, whose client went away. It goes into that one's ledger."""
        target = re.match(rb"[A-Z]+ /(\d{6})/", data)
        if target is None or int(target[1]) == self.run.number:
            return False
        other = self.run.find_run(int(target[1]))
        if other is not None:
            other.dialled(lambda number: other.exchange).on_bytes(data)
        self.run.endpoints = [player for player in self.run.endpoints if player is not self.player]
        self.gone = True
        self.transport.close()
        return True

    def eof_received(self) -> bool:
        if not self.gone and not self.shut["from"]:
            if self.timer is not None and self.run.pipes[self.side, "from"].fault:
                self._release()
            self.player.on_end(False)
            self._after()
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.gone and not self.left:
            self.gone = True
            self.player.on_end(exc is not None)
            self._after()
        if self.timer is not None:
            self.timer.cancel()
        if not self.closed.done():
            self.closed.set_result(None)

    # -- what the player does

    def _hear(self, data: bytes) -> None:
        if data:
            self._send(self.player.on_bytes(data))
            self._after()

    def _send(self, data: bytes) -> None:
        if not data or self.gone or self.shut["to"]:
            return
        pipe = self.run.pipes[self.side, "to"]
        if pipe.met and self.timer is not None and pipe.fault:
            pipe.held += data
            return
        met = pipe.met
        self.transport.write(pipe.push(data))
        if pipe.met and not met:
            self._fault("to")

    def _after(self) -> None:
        player = self.player
        if isinstance(player, ClientPlayer) and player.done:
            self.run.decided.set()
        wants = player.wants_end or (isinstance(player, EndpointPlayer) and player.wants_close)
        if not wants or self.gone or self.shut["to"] or self.timer is not None:
            return
        self.shut["to"] = True
        if isinstance(player, EndpointPlayer) and player.wants_close:
            self.gone = True
            self.transport.close()
        elif self.transport.can_write_eof():
            self.transport.write_eof()

    # -- faults

    def _fault(self, way: str) -> None:
        assert self.run.fault is not None
        kind = self.run.fault.kind
        if kind in ("cut", "reset"):
            self.gone = True
            if kind == "reset":
                self._reset()
            else:
                self.transport.close()
            self.player.on_end(kind == "reset")
            self._after()
        elif kind == "half" and way == "to":
            self.shut["to"] = True
            self.transport.write_eof()
        elif kind == "half":
            self.shut["from"] = True
            self.player.on_end(False)
            self._after()
        elif kind == "stall" and way == "to":
            self.shut["to"] = True
        elif kind == "stall":
            self._stop_reading()
        else:
            self.timer = self.loop.call_later(SPLIT_S if kind == "split" else QUIET_S, self._release)

    def _hold(self) -> None:
        if self.timer is not None and self.run.fault is not None and self.run.fault.kind == "delay":
            self.timer.cancel()
            self.timer = self.loop.call_later(QUIET_S, self._release)

    def _release(self) -> None:
        if self.timer is not None:
            self.timer.cancel()
            self.timer = None
        if self.gone or self.run.fault is None:
            return
        way = self.run.fault.way
        held = self.run.pipes[self.side, way].take_held()
        if way == "to":
            self.transport.write(held)
            self._after()
        else:
            self._hear(held)

    def _stop_reading(self) -> None:
        self.shut["from"] = True
        self.transport.pause_reading()

    def _socket(self) -> socket.socket:
        return cast(socket.socket, self.transport.get_extra_info("socket"))

    def _reset(self) -> None:
        self._socket().setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.transport.abort()

    def leave(self) -> None:
        """The run is over: whatever is still open is closed."""
        self.left = True
        if self.timer is not None:
            self.timer.cancel()
        if not self.made or self.closed.done():
            return  # it is closed when it is told of, or it is closed already
        if self.shut["from"] and self.run.fault and self.run.fault.kind == "stall":
            self._reset()
        else:
            self.transport.close()
