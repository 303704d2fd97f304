"""Faulty runs on fake streams and a fake clock: after each the plane's own ledger is checked to the last buffer."""

from __future__ import annotations

import json
from typing import Any

from tests.faults.exchanges import Exchange
from tests.faults.oracle import Ledgers, complaints
from tests.faults.pipes import SIDES, WAYS, Fault, Pipe
from tests.faults.players import ClientPlayer, EndpointPlayer, Sighting
from tests.plane.scene import Scene
from weir.config.retry_kinds import FAILURES
from weir.plane.fake import FakeStream
from weir.stats.reader import snapshot

__all__ = ["Stage", "lengths"]

TIMEOUT_MS = 500
STEP_MS = 250
STEPS = 8  # of STEP_MS: the longest chain of timeouts is a head's, a body's and a linger of 2 s


class Link:
    """A connection between weir and a player."""

    def __init__(self, side: str, stream: FakeStream, player: ClientPlayer | EndpointPlayer) -> None:
        self.side = side
        self.stream = stream
        self.player = player
        self.gone = False  # cut: nothing passes in either direction
        self.shut = {"to": False, "from": False}
        self.end_told = False


class Stage:
    """A scene in which an exchange is run again and again, each time with another fault.

    `retried`: there are two endpoints, and all that may be done twice is tried again.
    """

    def __init__(self, exchange: Exchange, retried: bool = False) -> None:
        self.exchange = exchange
        self.retried = retried
        retry: dict[str, Any] = {"ratio_percent": 100, "min_per_second": 1000}
        if retried:
            retry |= {"on": FAILURES, "attempt_timeout_ms": TIMEOUT_MS // 2, "backoff_ms": 1}
        self.scene = Scene(
            listener=dict.fromkeys(("request_header_timeout_ms", "idle_timeout_ms", "send_timeout_ms"), TIMEOUT_MS),
            cluster={"response_header_timeout_ms": TIMEOUT_MS, "stream_idle_timeout_ms": TIMEOUT_MS},
            stats={"header": "X-Bytes"},
            endpoints=1 + retried,
            retry=retry,
        )
        self.scene.dialer.mode = "wait"  # so that a connection's room is known before anything is written to it
        self.runs = 0
        self.lines = 0
        self.errors = 0
        self.reasons: dict[str, int] = {}

    def run(self, fault: Fault | None) -> list[str]:
        """One run. What is wrong with it, by the oracle and by the plane's ledger."""
        self.runs += 1
        run = FakeRun(self.scene, self.exchange, self.runs, fault, self.retried)
        run.play()
        lines = [json.loads(line) for line in self.scene.log.take().splitlines()]
        for line in lines:
            self.lines += 1
            self.errors += line["reason"] != "none"
            self.reasons[line["reason"]] = self.reasons.get(line["reason"], 0) + 1
        wrong = run.judge(lines)
        left = {name: count for name, count in self.scene.plane.ledger().items() if count}
        if left:
            wrong.append(f"left over: {left}")
        if self.scene.engine.bugs:
            wrong.append("an exception left a source")
        return wrong

    def close(self) -> list[str]:
        """Ends the scene. What is wrong with the counters, which have to agree with all lines of the log."""
        series = snapshot(self.scene.memory).series
        counted = sum(row.counters.requests for row in series), sum(row.counters.errors for row in series)
        words = {word: n for word, n in self.reasons.items() if word != "none"}
        silent = {"client_closed", "idle_timeout", "client_stalled"}  # also of connections without an exchange
        told = {word: n for word, n in self.scene.reasons().items() if word not in silent or word in words}
        self.scene.close()
        wrong = []
        if counted != (self.lines, self.errors):
            wrong.append(f"counted {counted} requests and errors, logged {(self.lines, self.errors)}")
        if {**told, **{word: words.get(word, 0) for word in silent & told.keys()}} != words:
            wrong.append(f"counted {told}, logged {words}")
        return wrong


class FakeRun:
    def __init__(
        self, scene: Scene, exchange: Exchange, number: int, fault: Fault | None, retried: bool = False
    ) -> None:
        self.scene = scene
        self.retried = retried
        self.exchange = exchange
        self.number = number
        self.fault = fault
        self.pipes = {
            (side, way): Pipe(fault if fault and (fault.side, fault.way) == (side, way) else None)
            for side in SIDES
            for way in WAYS
        }
        self.client = ClientPlayer(exchange, number)
        self.links: list[Link] = []
        self.dialled = scene.dials
        self.needed_ms = 0

    def play(self) -> None:
        stream = FakeStream(self.scene.engine)
        link = Link("client", stream, self.client)
        self._limit(link)
        self.links.append(link)
        self.scene.plane.welcome(self.scene.listener, stream)
        self._send(link, self.client.start())
        self._settle()
        # A held head goes on after a moment; what stalls ends after its time.
        for step in [20] + [STEP_MS] * STEPS:
            if self.client.done:
                break
            self.needed_ms += step
            self.scene.wait_ms(step)
            self._settle()
        self.end = self.client.end
        self._leave()

    def judge(self, lines: list[dict[str, Any]]) -> list[str]:
        endpoints = [link.player for link in self.links if isinstance(link.player, EndpointPlayer)]
        sightings: list[Sighting] = [sighting for player in endpoints for sighting in player.seen]
        wrong = [player.nonsense for player in endpoints if player.nonsense]
        met = any(pipe.met for pipe in self.pipes.values())
        tunnelled = b"".join(player.tunnelled for player in endpoints)
        wrong += complaints(
            Ledgers(
                self.exchange,
                self.number,
                self.fault,
                self.client.received,
                self.end,
                sightings,
                tunnelled,
                lines,
                met,
                self.retried,
            )
        )
        if self.needed_ms > STEP_MS and not (self.fault and self.fault.kind == "stall"):
            wrong.append(f"needed {self.needed_ms} ms, although nothing stalled")
        return wrong

    # -- moving bytes

    def _settle(self) -> None:
        """Until neither the players nor weir have anything more to say."""
        while True:
            self.scene.turn(3)
            busy = self._welcome_dials()
            for link in list(self.links):
                busy = self._move(link) or busy
            if not busy:
                return

    def _welcome_dials(self) -> bool:
        fresh = self.scene.dialer.dialled[self.dialled :]
        self.dialled += len(fresh)
        for stream in fresh:
            link = Link("endpoint", stream, EndpointPlayer(lambda run: self.exchange, len(self.links)))
            self._limit(link)
            self.links.append(link)
            stream.connect()
        return bool(fresh)

    def _limit(self, link: Link) -> None:
        """A peer that will stop reading has a window that ends there."""
        pipe = self.pipes[link.side, "from"]
        if self.fault and self.fault.kind == "stall" and (pipe.fault or pipe.met):
            link.stream.room = 0 if pipe.met else pipe.room
            if link.stream.room == 0:
                pipe.met = link.shut["from"] = True

    def _move(self, link: Link) -> bool:
        sent = link.stream.take_sent()
        if sent:
            self._receive(link, sent)
        ended = (link.stream.write_closed or link.stream.is_closed) and not link.end_told
        if ended:
            link.end_told = True
            if not link.gone and not link.shut["from"]:
                link.player.on_end(link.stream.was_reset)
        return bool(sent or ended) or self._close_if_wanted(link)

    def _close_if_wanted(self, link: Link) -> bool:
        player = link.player
        wants = player.wants_end or (isinstance(player, EndpointPlayer) and player.wants_close)
        if not wants or link.gone or link.shut["to"]:
            return False
        link.shut["to"] = True
        link.gone = isinstance(player, EndpointPlayer) and player.wants_close
        link.stream.feed_end()
        return True

    def _receive(self, link: Link, data: bytes) -> None:
        """Bytes from weir to a player."""
        if link.gone:
            link.stream.break_off()  # nobody is there any more: the kernel answers with RST
            return
        if link.shut["from"]:
            return
        pipe = self.pipes[link.side, "from"]
        met = pipe.met
        now = pipe.push(data)
        if now:
            self._send(link, link.player.on_bytes(now))
        if pipe.met and not met:
            self._fault(link, "from")

    def _send(self, link: Link, data: bytes) -> None:
        """Bytes from a player to weir."""
        if not data or link.gone or link.shut["to"]:
            return
        pipe = self.pipes[link.side, "to"]
        met = pipe.met
        now = pipe.push(data)
        if now:
            link.stream.feed(now)
        if pipe.met and not met:
            self._fault(link, "to")

    def _fault(self, link: Link, way: str) -> None:
        assert self.fault is not None
        pipe = self.pipes[link.side, way]
        kind = self.fault.kind
        if kind in ("cut", "reset"):
            link.gone = True
            if kind == "cut":
                link.stream.feed_end()
            else:
                link.stream.break_off()
            link.player.on_end(kind == "reset")
        elif kind in ("half", "stall"):
            link.shut[way] = True
            if kind == "half" and way == "to":
                link.stream.feed_end()
            elif kind == "half":
                link.player.on_end(False)
        else:
            self.scene.turn(3)
            self.scene.wait_ms(20)
            held = pipe.take_held()
            if held and way == "to":
                link.stream.feed(held)
            elif held:
                self._send(link, link.player.on_bytes(held))

    def _leave(self) -> None:
        """Both players close everything; nothing may be left of the run."""
        for link in self.links:
            if link.side == "client":
                link.stream.feed_end()
                self.scene.turn(2)
                link.stream.break_off()
            else:
                link.stream.feed_end()
        self.scene.turn(3)
        for stream in self.scene.dialer.dialled[self.dialled :]:  # dialled meanwhile, for nobody
            stream.connect()
            stream.feed_end()
        self.scene.turn(3)


def lengths(exchange: Exchange) -> tuple[dict[tuple[str, str], int], list[str]]:
    """How many bytes pass on each side in each direction when nothing goes wrong, and what went wrong nevertheless."""
    stage = Stage(exchange)
    run = FakeRun(stage.scene, exchange, 0, None)
    run.play()
    wrong = run.judge([json.loads(line) for line in stage.scene.log.take().splitlines()])
    stage.scene.close()
    return {key: pipe.passed for key, pipe in run.pipes.items()}, wrong
