"""From checks to verdicts: how many in a row, when, of whom."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from weir.config.plan import AddressPlan, ClusterPlan, HealthPlan, ListenerPlan, Plan, RoutePlan
from weir.control.checks import Checks, Streak, message_of, places
from weir.control.worker import Worker, make_table
from weir.plane.engine import Engine
from weir.plane.parsers import read_proxy_header
from weir.plane.selector import EngineSelector
from weir.plane.stream import Address
from weir.stats import layout
from weir.stats.roster import Health, standing, why_text

FAST = HealthPlan(type="http", interval_ms=100, timeout_ms=200, unhealthy_after=2)


@given(st.lists(st.booleans(), max_size=60), st.integers(1, 5), st.integers(1, 5), st.sampled_from([*Health]))
def test_a_verdict_takes_so_many_in_a_row(results: list[bool], rise: int, fall: int, begin: Health) -> None:
    streak = Streak(HealthPlan(healthy_after=rise, unhealthy_after=fall), begin)
    changes = []
    for n, good in enumerate(results):
        before = streak.health
        if streak.add(good):
            changes.append(n)
            assert streak.health != before
            needed = 1 if good and before == Health.UNKNOWN else rise if good else fall
            # The last so many, back to the change before at most, say the same: and one fewer would not have done.
            start = changes[-2] + 1 if len(changes) > 1 else 0
            row = results[start : n + 1]
            assert row[-needed:] == [good] * needed
        else:
            assert streak.health == before
            side = Health.HEALTHY if good else Health.UNHEALTHY
            if before not in (side, Health.UNKNOWN):
                start = changes[-1] + 1 if changes else 0
                run = len(list(itertools.takewhile(good.__eq__, reversed(results[start : n + 1]))))
                assert run < (rise if good else fall)


def cluster(**health: object) -> ClusterPlan:
    return ClusterPlan("app", (), health=replace(FAST, **health))  # type: ignore[arg-type]


def test_what_is_asked() -> None:
    text = message_of(cluster(path="/up?x=1", method="HEAD"), "127.0.0.1:81").decode()
    first, *lines = text.split("\r\n")
    assert first == "HEAD /up?x=1 HTTP/1.1"
    assert lines[0] == "Host: 127.0.0.1:81"
    assert lines[1].startswith("User-Agent: weir/")
    assert lines[2:] == ["Connection: close", "", ""]
    own = cluster(fields=(("user-agent", "me"), ("X-Key", "k")), host="h")
    assert b"weir/" not in message_of(own, "a:1")
    assert b"Host: h\r\nuser-agent: me\r\nX-Key: k\r\n" in message_of(own, "a:1")
    for local in ("unix:/run/a.sock", "asgi:shop:app", "files:/var/www"):
        assert b"Host: localhost\r\n" in message_of(cluster(), local)
    assert b"Host: b:80\r\n" in message_of(cluster(), "http://b:80/")
    assert b"Host: c\r\n" in message_of(replace(cluster(), host="c"), "b:80")
    assert message_of(cluster(type="tcp"), "b:80") == b""


@pytest.mark.parametrize(
    ("version", "said"),
    [("v1", b"PROXY UNKNOWN\r\n"), ("v2", b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0")],
)
def test_a_check_introduces_itself_where_connections_have_to(version: str, said: bytes) -> None:
    plan = replace(cluster(), proxy_protocol=version)
    message = message_of(plan, "a:1")
    assert message == said + message_of(cluster(), "a:1")
    read = read_proxy_header(message)
    assert read is not None
    assert read == (len(said), False, None, None)


def test_where_it_connects_to() -> None:
    addresses = [Address(host="192.0.2.1", port=80), Address(host="::1", port=80), Address(path="/run/a")]
    assert [place for _family, place in places(addresses, 0)] == [("192.0.2.1", 80), ("::1", 80, 0, 0), b"/run/a"]
    assert [place for _family, place in places(addresses, 9)] == [("192.0.2.1", 9), ("::1", 9, 0, 0), b"/run/a"]


class Endpoint:
    """Answers checks as it is told: a status, or 0 for never."""

    def __init__(self) -> None:
        self.status = 200
        self.asked = 0
        self.text = ""
        self.links: set[asyncio.Transport] = set()


class Link(asyncio.Protocol):
    """A connection to an endpoint."""

    def __init__(self, endpoint: Endpoint) -> None:
        self.endpoint = endpoint

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self.endpoint.links.add(transport)

    def data_received(self, data: bytes) -> None:
        self.endpoint.asked += 1
        if self.endpoint.status:
            head = b"HTTP/1.1 %d X\r\nContent-Length: 0\r\nConnection: close\r\n\r\n" % self.endpoint.status
            self.transport.write(head)
            self.transport.close()

    def connection_lost(self, error: Exception | None) -> None:
        self.endpoint.links.discard(self.transport)


@asynccontextmanager
async def endpoints(count: int) -> AsyncIterator[list[Endpoint]]:
    loop = asyncio.get_running_loop()
    made = [Endpoint() for _ in range(count)]
    servers = [await loop.create_server(lambda one=one: Link(one), "127.0.0.1", 0) for one in made]  # type: ignore[misc]
    for one, server in zip(made, servers, strict=True):
        one.text = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield made
    finally:
        for one, server in zip(made, servers, strict=True):
            server.close()
            for link in list(one.links):
                link.abort()
        await until(lambda: not any(one.links for one in made))


@asynccontextmanager
async def checking(
    engine: Engine, behind: list[Endpoint], health: HealthPlan
) -> AsyncIterator[tuple[layout.Table, Worker, Checks]]:
    addresses = tuple(AddressPlan(one.text, "127.0.0.1", int(one.text.rpartition(":")[2])) for one in behind)
    plan = Plan(
        (ListenerPlan(AddressPlan("127.0.0.1:0", "127.0.0.1", 0), 0),),
        (RoutePlan("main", 0),),
        (ClusterPlan("app", addresses, health=replace(health, type="off")),),
    )
    table = make_table(plan, 1)
    worker = Worker(plan, engine, None)
    worker.resolver.start()
    # The worker's own have nothing to do; these are looked at.
    checks = Checks(worker.memory, worker.plane, (replace(plan.clusters[0], health=health),))
    checks.start()
    try:
        yield worker.memory, worker, checks
    finally:
        checks.stop()
        await worker.stop()
        table.close()


def run(main: object) -> None:
    engine = Engine()
    selector = EngineSelector(engine)
    with asyncio.Runner(loop_factory=lambda: asyncio.SelectorEventLoop(selector)) as runner:
        runner.run(main(engine))  # type: ignore[operator]


async def until(condition: object, seconds: float = 10.0) -> None:
    async with asyncio.timeout(seconds):
        while not condition():  # type: ignore[operator]
            await asyncio.sleep(0.01)


def test_a_verdict_falls_and_rises() -> None:
    async def main(engine: Engine) -> None:
        async with endpoints(2) as behind, checking(engine, behind, FAST) as (table, _worker, _checks):
            await until(lambda: all(standing(table, n).health == Health.HEALTHY for n in range(2)))
            assert standing(table, 0).joined_us == 0, "it was usable all the time"
            behind[1].status = 500
            await until(lambda: standing(table, 1).health == Health.UNHEALTHY)
            assert why_text(standing(table, 1).health_reason) == "status 500"
            assert standing(table, 0).health == Health.HEALTHY
            behind[1].status = 0
            await until(lambda: standing(table, 1).checks_failed >= 5)
            behind[1].status = 200
            await until(lambda: standing(table, 1).health == Health.HEALTHY)
            told = standing(table, 1)
            assert (told.health_reason, told.joined_us > 0) == (0, True)
            assert 0 < told.check_us < 200_000 * 5
            assert told.checks > told.checks_failed > 4

    run(main)


def test_a_new_endpoint_may_have_to_prove_itself() -> None:
    async def main(engine: Engine) -> None:
        health = replace(FAST, first="unhealthy", interval_ms=10_000)
        async with endpoints(2) as behind:
            behind[1].status = 503
            async with checking(engine, behind, health) as (table, _worker, _checks):
                assert {why_text(standing(table, n).health_reason) for n in range(2)} == {"not checked yet"}
                await until(lambda: standing(table, 0).health == Health.HEALTHY)
                await until(lambda: standing(table, 1).checks == 1)
                assert why_text(standing(table, 1).health_reason) == "not checked yet"

    run(main)


def test_members_come_and_go() -> None:
    async def main(engine: Engine) -> None:
        async with endpoints(2) as behind, checking(engine, behind[:1], FAST) as (table, worker, checks):
            behind[1].status = 500
            layout.name_endpoints(table, [("app", behind[1].text)])
            worker.plane.add_endpoint(0, behind[1].text)
            port = int(behind[1].text.rpartition(":")[2])
            worker.plane.set_addresses(0, behind[1].text, [Address(host="127.0.0.1", port=port)])
            checks.sync()
            (number, _addresses) = worker.plane.endpoint(0, behind[1].text)
            await until(lambda: standing(table, number).health == Health.UNHEALTHY)
            worker.plane.remove_endpoint(0, behind[1].text)
            checks.sync()
            assert standing(table, number).health == Health.UNKNOWN
            await asyncio.sleep(0.05)
            asked = behind[1].asked
            await asyncio.sleep(0.3)
            assert behind[1].asked == asked

    run(main)


def test_an_unhealthy_one_may_be_asked_more_often() -> None:
    async def main(engine: Engine) -> None:
        health = replace(FAST, interval_ms=60_000, unhealthy_interval_ms=100, unhealthy_after=1, jitter_percent=0)
        async with endpoints(1) as behind, checking(engine, behind, health) as (table, _worker, _checks):
            behind[0].status = 500
            # The second check is somewhere in the first interval, so this one is the first.
            await until(lambda: standing(table, 0).health == Health.UNHEALTHY)
            await until(lambda: standing(table, 0).checks >= 4, 5)
            behind[0].status = 200
            await until(lambda: standing(table, 0).health == Health.HEALTHY, 5)

    run(main)


def test_so_many_under_way_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("weir.control.checks.MOST", 3)

    async def main(engine: Engine) -> None:
        async with endpoints(20) as behind:
            for one in behind:
                one.status = 0
            async with checking(engine, behind, replace(FAST, timeout_ms=500)) as (table, _worker, _checks):
                await asyncio.sleep(0.3)
                assert sum(one.asked for one in behind) == 3
                await until(lambda: sum(standing(table, n).checks for n in range(20)) >= 6)
                assert sum(one.asked for one in behind) <= 9

    run(main)
