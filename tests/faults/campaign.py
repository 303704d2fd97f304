"""Many faulty runs at a time, through a few weirs, and the books kept of all of them.

Each weir has lanes: a listener, a cluster and an endpoint of their own, on which one run follows another, so that
every connection belongs to a run. Stalls run on lanes with short timeouts; all else must come to its end without
any timeout, on lanes with long ones. Beside them a bystander makes an honest request again and again.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from tests.e2e.proxy import Proxy
from tests.e2e.rig import ALONE
from tests.faults.exchanges import Exchange
from tests.faults.oracle import Ledgers, complaints
from tests.faults.pipes import Fault
from tests.faults.sockets import Connection, SocketRun

__all__ = ["Campaign", "Job"]

Job = tuple[Exchange, Fault | None]

HOST = "127.0.0.1"
SHORT = "300ms"
LONG = "20s"
SHORT_S = 3.0  # a chain of short timeouts, with a lingering close of 2 s, is over by then
LONG_S = 15.0  # what ends without a timeout ends long before, on the busiest machine
UNREAD_S = 0.7  # a client that reads nothing cannot see that weir has given it up
LOG_S = 1.0  # a line of the log is there so long after its exchange, however busy the machine
TRIES = 4  # of a stall that did not happen
BYSTANDER_S = 0.05
UNLOGGED = {"client_closed", "idle_timeout", "client_stalled"}
LEFT_TO_SAY = 30  # wrong runs that are told in full


class Lane:
    """A listener and an endpoint between which one run at a time is played."""

    def __init__(self, short: bool, find: Callable[[int], Exchange]) -> None:
        self.short = short
        self.find = find
        self.run: SocketRun | None = None
        self.port = 0
        self.server: asyncio.Server | None = None

    async def open(self) -> str:
        self.server = await asyncio.get_running_loop().create_server(self._accept, HOST, 0)
        return f"{HOST}:{self.server.sockets[0].getsockname()[1]}"

    def _accept(self) -> asyncio.BaseProtocol:
        if self.run is None:
            return Late()
        return Connection(self.run, "endpoint", self.run.dialled(self.find))

    async def play(self, run: SocketRun) -> None:
        self.run = run
        fault = run.fault
        seconds = SHORT_S if self.short else LONG_S
        if fault and (fault.side, fault.way, fault.kind) == ("client", "from", "stall"):
            seconds = UNREAD_S
        await run.play(HOST, self.port, seconds)
        self.run = None


class Late(asyncio.Protocol):
    """A connection that weir made for a run that is over."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        transport.close()


class Weir:
    """A weir with its lanes, its log and its bystander."""

    def __init__(self, directory: Path, short_lanes: int, long_lanes: int, find: Callable[[int], Exchange]) -> None:
        self.directory = directory
        self.lanes = [Lane(number < short_lanes, find) for number in range(short_lanes + long_lanes)]
        self.proxy: Proxy | None = None
        self.log_at = 0
        self.lines: dict[str, list[dict[str, Any]]] = {}
        self.reasons: Counter[str] = Counter()
        self.replays = 0
        self.over = False
        self.bystander_asked = 0
        self.bystander_slowest_ms = 0.0

    async def start(self) -> None:
        endpoints = [await lane.open() for lane in self.lanes]
        self.honest = await asyncio.start_server(self._answer, HOST, 0)
        endpoints.append(f"{HOST}:{self.honest.sockets[0].getsockname()[1]}")
        shorts = [lane.short for lane in self.lanes] + [False]
        tables = {
            **ALONE,
            "log": {"access": str(self.directory / "access.log"), "format": "json", "flush": "20ms"},
            "stats": {"header": "X-Bytes", "page": "/weir-stats"},
            "listener": [self._listener(n, SHORT if short else LONG) for n, short in enumerate(shorts)],
            "cluster": [self._cluster(n, endpoints[n], SHORT if short else LONG) for n, short in enumerate(shorts)],
        }
        self.proxy = await asyncio.to_thread(Proxy, self.directory, tables)
        for number, lane in enumerate(self.lanes):
            lane.port = self._port(number)

    def _port(self, listener: int) -> int:
        assert self.proxy is not None
        address = self.proxy.address(listener)
        assert not isinstance(address, str)
        return address[1]

    def _listener(self, number: int, wait: str) -> dict[str, Any]:
        waits = dict.fromkeys(("request_header_timeout", "idle_timeout", "send_timeout"), wait)
        return {"address": f"{HOST}:0", "to": f"lane{number}", "forwarded": "off", "via": "off", **waits}

    def _cluster(self, number: int, endpoint: str, wait: str) -> dict[str, Any]:
        waits = {"response_header_timeout": wait, "stream_idle_timeout": wait}
        retry = {"ratio": "100%", "min_per_second": 1000}
        return {"name": f"lane{number}", "endpoints": [endpoint], "retry": retry, **waits}

    async def stop(self) -> list[str]:
        """What is wrong with what it leaves behind."""
        wrong = []
        assert self.proxy is not None
        for lane in self.lanes:
            assert lane.server is not None
            lane.server.close()
        self.honest.close()
        self.read_log()
        wrong += await self._compare()
        try:
            # The pool's probe, which rests on to see when the endpoint closes it, may be there still.
            await asyncio.to_thread(self.proxy.check_ledger, 2)
            await asyncio.to_thread(self.proxy.check_end)
        except AssertionError as error:
            wrong.append(str(error))
        twice = [target for target, lines in self.lines.items() if len(lines) > 1]
        if twice:
            wrong.append(f"more than one line for {twice[:5]}")
        return wrong

    def kill(self) -> None:
        """In case that it could not be stopped in order."""
        if self.proxy is not None and self.proxy.alive():
            self.proxy.process.kill()
            self.proxy.wait()

    async def _compare(self) -> list[str]:
        """The counters against the lines of the log: all of them, and by reason."""
        reader, writer = await asyncio.open_connection(HOST, self._port(0))
        writer.write(b"GET /weir-stats HTTP/1.0\r\nHost: h\r\n\r\n")
        page = await reader.read()
        writer.close()
        await writer.wait_closed()
        rows = [line.split() for line in page.partition(b"\r\n\r\n")[2].decode().splitlines()]
        counted = sum(int(row[0]) for row in rows[1:] if len(row) > 2)
        logged = sum(self.reasons.values())
        wrong = []
        if counted != logged:
            wrong.append(f"{counted} requests on the page of statistics, {logged} lines in the log")
        # Reasons of connections without an exchange have no line.
        words = [row for row in rows if len(row) == 2 and row[1] not in UNLOGGED]
        wrong += [
            f"{row} on the page, {self.reasons[row[1]]} lines" for row in words if int(row[0]) != self.reasons[row[1]]
        ]
        return wrong

    def read_log(self) -> None:
        with (self.directory / "access.log").open("rb") as log:
            log.seek(self.log_at)
            whole = log.read().rpartition(b"\n")[0]
        if not whole:
            return
        self.log_at += len(whole) + 1
        for text in whole.split(b"\n"):
            line = json.loads(text)
            self.reasons[line["reason"]] += 1
            self.replays += line["retries"]
            target = str(line["target"]).removeprefix("http://h")
            if target != "None" and not target.startswith("/bystander"):
                self.lines.setdefault(target, []).append(line)

    # -- the bystander

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                target = head.split(b" ")[1]
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(target), target))
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    async def stand_by(self) -> None:
        """One connection for the whole campaign, one honest request after another: none may be disturbed."""
        reader, writer = await asyncio.open_connection(HOST, self._port(len(self.lanes)))
        try:
            while not self.over:
                target = b"/bystander/n%d" % self.bystander_asked
                started = time.monotonic()
                writer.write(b"GET %b HTTP/1.1\r\nHost: h\r\n\r\n" % target)
                head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 10)
                body = await asyncio.wait_for(reader.readexactly(len(target)), 10)
                assert head.startswith(b"HTTP/1.1 200 "), head
                assert body == target, body
                self.bystander_asked += 1
                self.bystander_slowest_ms = max(self.bystander_slowest_ms, (time.monotonic() - started) * 1000)
                await asyncio.sleep(BYSTANDER_S)
        finally:
            writer.close()


class Campaign:
    """Plays all jobs and judges each run when its lines of the log are there."""

    def __init__(self, directory: Path, say: Callable[[str], None], weirs: int = 2, lanes: int = 40) -> None:
        self.say = say
        self.exchanges: list[Exchange] = []  # by number of the run
        self.weirs = []
        for number in range(weirs):
            (directory / f"weir{number}").mkdir()
            self.weirs.append(Weir(directory / f"weir{number}", lanes * 3 // 4, lanes - lanes * 3 // 4, self._find))
        self.runs: dict[int, SocketRun] = {}  # those that are not judged yet
        self.kinds: Counter[str] = Counter()
        self.wrong: list[str] = []
        self.finished: list[tuple[float, Weir, SocketRun]] = []
        self.judged = 0
        self.late = 0

    def _find(self, run: int) -> Exchange:
        return self.exchanges[run]

    async def play(self, jobs: Iterable[Job]) -> None:
        """All jobs; afterwards `wrong` says what was not as it must be."""
        todo = list(jobs)
        self.exchanges = [exchange for exchange, _ in todo]
        numbered = list(enumerate(todo))
        stalls = iter([job for job in numbered if job[1][1] is not None and job[1][1].kind == "stall"])
        others = iter([job for job in numbered if job[1][1] is None or job[1][1].kind != "stall"])
        try:
            for weir in self.weirs:
                await weir.start()
            await self._play(len(todo), stalls, others)
        finally:
            for weir in self.weirs:
                weir.kill()

    async def _play(self, total: int, stalls: Iterable[tuple[int, Job]], others: Iterable[tuple[int, Job]]) -> None:
        started = time.monotonic()
        bystanders = [asyncio.create_task(weir.stand_by()) for weir in self.weirs]
        lanes = [
            asyncio.create_task(self._work(weir, lane, stalls if lane.short else others))
            for weir in self.weirs
            for lane in weir.lanes
        ]
        judge = asyncio.create_task(self._judge_all(total, started))
        await asyncio.gather(*lanes)
        await judge
        for weir in self.weirs:
            weir.over = True  # they are not cancelled: in 3.11 wait_for() may swallow that
        for error in await asyncio.gather(*bystanders, return_exceptions=True):
            if error is not None:
                self.wrong.append(f"the bystander was disturbed: {error!r}")
        await asyncio.sleep(LOG_S)
        for weir in self.weirs:
            self.wrong += await weir.stop()
        self._sum_up(time.monotonic() - started)

    async def _work(self, weir: Weir, lane: Lane, jobs: Iterable[tuple[int, Job]]) -> None:
        for number, (exchange, fault) in jobs:
            for left in reversed(range(TRIES)):
                run = self.runs[number] = SocketRun(exchange, number, fault)
                run.find_run = self.runs.get
                await lane.play(run)
                if not (lane.short and left and run.is_without_fault):
                    break
                # This process was so busy that a timeout came before the stall: that says nothing.
                self.late += 1
                number = len(self.exchanges)
                self.exchanges.append(exchange)
            self.kinds[fault.kind if fault else "no fault"] += 1
            self.finished.append((time.monotonic(), weir, run))

    async def _judge_all(self, total: int, started: float) -> None:
        said = time.monotonic()
        while self.judged < total:
            await asyncio.sleep(0.2)
            ripe = time.monotonic() - LOG_S
            for weir in self.weirs:
                weir.read_log()
            while self.finished and self.finished[0][0] < ripe:
                self._judge(*self.finished.pop(0)[1:])
            if time.monotonic() - said > 5:
                said = time.monotonic()
                rate = self.judged / (said - started)
                self.say(f"{self.judged} of {total} runs, {rate:.0f}/s, {len(self.wrong)} wrong")

    def _judge(self, weir: Weir, run: SocketRun) -> None:
        self.judged += 1
        del self.runs[run.number]
        lines = []
        for leg in range(len(run.exchange.legs)):
            lines += weir.lines.get(f"/{run.number:06d}/{leg}", [])
        found = [player.nonsense for player in run.endpoints if player.nonsense] + complaints(
            Ledgers(
                run.exchange,
                run.number,
                run.fault,
                run.client.received,
                run.end,
                [sighting for player in run.endpoints for sighting in player.seen],
                b"".join(player.tunnelled for player in run.endpoints),
                lines,
                any(pipe.met for pipe in run.pipes.values()),
                left_early=run.fault is not None and run.fault.side == "client",
            )
        )
        if found:
            self.wrong.append(f"{run.exchange.name}, {run.fault}: {'; '.join(found)}")
            if len(self.wrong) <= LEFT_TO_SAY:
                self.say(self.wrong[-1])

    def _sum_up(self, seconds: float) -> None:
        reasons = sum((weir.reasons for weir in self.weirs), Counter[str]())
        asked = sum(weir.bystander_asked for weir in self.weirs)
        slowest = max(weir.bystander_slowest_ms for weir in self.weirs)
        self.say(f"{self.judged} runs in {seconds:.0f} s: {dict(self.kinds)}")
        replays = sum(weir.replays for weir in self.weirs)
        self.say(f"lines of the log by reason: {dict(reasons.most_common())}; {replays} requests sent again")
        self.say(f"{asked} requests of bystanders, the slowest took {slowest:.0f} ms")
        if self.late:
            self.say(f"{self.late} runs again: a timeout had come before the stall")
        self.say(f"{len(self.wrong)} wrong outcomes")
