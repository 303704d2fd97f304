"""The state machines: the table is sound, and every move in it is one that the plane makes.

Each scenario plays a transcript that makes the moves it is named for. Together they walk the whole table, and
nothing that is not in the table ever happens (the plane counts such a move as a bug, which fails any scene).
"""

from __future__ import annotations

import asyncio
import errno
from collections.abc import AsyncIterator, Callable

import pytest

import weir
from tests.plane.scene import GET, OK, Scene
from weir.config.action_plan import ActionPlan
from weir.config.plan import RateLimitPlan
from weir.plane.machines import MACHINES, Machine

Stage = Callable[..., Scene]
BAD = b"G@T / HTTP/1.1\r\n\r\n"
UPGRADE = b"GET /a HTTP/1.1\r\nHost: h\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n"
SWITCH = b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n"


def served(stage: Stage) -> Scene:
    scene = stage()
    client = scene.client(GET)
    scene.send(scene.endpoint(), OK)
    scene.end(client)
    scene.end(scene.endpoint())
    return scene


def head_in_pieces(stage: Stage) -> Scene:
    scene = stage(stats={"page": "/page"})
    client = scene.client(GET[:5])
    scene.send(client, GET[5:])
    scene.send(scene.endpoint(), OK)
    scene.send(client, b"GET /page HT")
    scene.send(client, b"TP/1.1\r\nHost: h\r\n\r\n")
    scene.send(client, GET[:5])
    scene.end(client)
    return scene


def refused(stage: Stage) -> Scene:
    scene = stage()
    scene.end(scene.client(BAD))
    slow = scene.client(b"GET / HT")
    scene.wait_ms(10_100)
    scene.end(slow)
    full = scene.client()
    full.room = 10
    scene.send(full, BAD)
    full.room = -1
    scene.turn()
    scene.end(full)
    return scene


def refused_with_a_full_socket(stage: Stage) -> Scene:
    scene = stage()
    client = scene.client(GET[:3])
    client.room = 10
    scene.send(client, b"@ / HTTP/1.1\r\n\r\n")
    scene.end(scene.client())
    stalled = scene.client(GET[:3])
    stalled.room = 10
    scene.send(stalled, b"@ / HTTP/1.1\r\n\r\n")
    scene.wait_ms(60_100)
    assert stalled.is_closed
    scene.reset(client)
    return scene


def cut(stage: Stage) -> Scene:
    scene = stage()
    client = scene.client(b"GET /a HTTP/1.0\r\n\r\n")
    scene.send(scene.endpoint(), b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n")
    scene.reset(scene.endpoint())
    assert client.is_closed
    return scene


def unreachable(stage: Stage) -> Scene:
    scene = stage()
    scene.dialer.mode = errno.ECONNREFUSED
    scene.client(GET)
    scene.dialer.mode = "wait"
    scene.client(GET)
    scene.endpoint().connect(errno.ECONNREFUSED)
    scene.turn()
    return scene


def lost_and_sent_again(stage: Stage) -> Scene:
    scene = served_twice(stage)
    scene.end(scene.endpoint(0))
    assert scene.dials == 2
    scene.send(scene.endpoint(), OK)
    return scene


def served_twice(stage: Stage) -> Scene:
    scene = stage()
    client = scene.client(GET)
    scene.send(scene.endpoint(), OK)
    scene.send(client, GET)
    return scene


def lost(stage: Stage) -> Scene:
    scene = stage()
    scene.client(GET)
    scene.reset(scene.endpoint())
    return scene


def tunnel(stage: Stage) -> Scene:
    scene = stage()
    client = scene.client(UPGRADE)
    scene.send(scene.endpoint(), SWITCH)
    scene.end(client)
    scene.end(scene.endpoint())
    return scene


def dials(stage: Stage) -> Scene:
    scene = stage(pool={"min_idle": 1, "max_idle": 1, "give_back_ms": 1000})
    scene.dialer.mode = "wait"
    first, second = scene.client(GET), scene.client(GET)
    scene.endpoint(0).connect()  # busy: somebody waits
    scene.turn()
    scene.reset(second)
    for number in range(1, scene.dials):
        scene.endpoint(number).connect()  # idle, then surplus: nobody waits any more
        scene.turn()
    scene.send(scene.endpoint(0), OK)
    scene.reset(first)
    return scene


def surplus(stage: Stage) -> Scene:
    scene = stage(pool={"max_idle": 1, "give_back_ms": 1000})
    clients = [scene.client(GET) for _ in range(3)]
    for number in range(3):
        scene.send(scene.endpoint(number), OK)  # idle, surplus, surplus
    scene.send(clients[0], GET)  # takes the idle one: a surplus one is promoted
    scene.send(clients[1], GET)
    scene.send(clients[2], GET)
    for number in range(3):
        scene.send(scene.endpoint(number), OK)
    scene.wait_ms(1100)
    return scene


def surplus_taken(stage: Stage) -> Scene:
    scene = stage(pool={"max_idle": 0, "give_back_ms": 1000})
    client = scene.client(GET)
    scene.send(scene.endpoint(), OK)
    scene.send(client, GET)
    assert scene.dials == 1
    scene.send(scene.endpoint(), OK)
    return scene


def probe(stage: Stage) -> Scene:
    scene = stage()
    scene.client(GET)
    scene.send(scene.endpoint(), OK)
    scene.wait_ms(4010)
    scene.end(scene.endpoint())
    return scene


def in_line(stage: Stage) -> Scene:
    scene = stage(pool={"max_connections": 1})
    scene.client(GET)
    scene.client(GET)
    scene.send(scene.endpoint(), OK)
    scene.send(scene.endpoint(), OK)
    return scene


def paused(stage: Stage) -> Scene:
    scene = stage(retry={"same_endpoint": True, "attempts": 3})
    client = scene.client(GET)
    scene.end(scene.endpoint())
    scene.wait_ms(40)  # the pause is over
    scene.dialer.mode = errno.ECONNREFUSED
    scene.end(scene.endpoint())
    scene.end(client)
    scene.wait_ms(100)
    scene.dialer.mode = "connect"
    scene.client(GET)
    scene.end(scene.endpoint())
    scene.close_plane()  # in the pause
    return scene


def paused_since_nobody_else_is_there(stage: Stage) -> Scene:
    scene = stage(endpoints=2, retry={"same_endpoint": True})
    scene.client(GET)
    scene.dialer.mode = errno.ECONNREFUSED
    scene.end(scene.endpoint(0))
    scene.dialer.mode = "connect"
    scene.wait_ms(40)
    scene.send(scene.endpoint(1), OK)
    return scene


def hedged(stage: Stage) -> Scene:
    scene = stage(endpoints=2, hedge={"after_ms": 50})
    scene.client(GET)
    scene.wait_ms(60)
    scene.send(scene.endpoint(1), OK)
    return scene


def hedged_in_vain(stage: Stage) -> Scene:
    scene = stage(endpoints=2, hedge={"after_ms": 50})
    scene.client(GET)
    scene.dialer.mode = "wait"
    scene.wait_ms(60)
    scene.send(scene.endpoint(0), OK)
    return scene


def introduced(stage: Stage) -> Scene:
    scene = stage(listener={"proxy_protocol": "require"}, cluster={"proxy_protocol": "v1"})
    header = b"PROXY TCP4 192.0.2.7 192.0.2.8 1 2\r\n"
    client = scene.client(header[:9])
    scene.send(client, header[9:] + GET)
    scene.send(scene.endpoint(), OK)
    scene.send(client, GET)
    scene.send(scene.endpoint(), OK)
    scene.client(GET)
    return scene


def held(stage: Stage) -> Scene:
    scene = stage(listener={"rate_limits": (RateLimitPlan("all", (1, 1000), delay=1),)})
    scene.client(GET)
    leaves = scene.client(GET)
    scene.client(GET)  # refused
    scene.wait_ms(500)
    scene.reset(leaves)
    scene.wait_ms(1500)
    scene.client(GET)
    scene.client(GET)
    scene.wait_ms(1100)
    return scene


def breaker(stage: Stage) -> Scene:
    scene = stage(breaker={"failures_percent": 100, "volume": 1, "open_for_ms": 1000})

    def answered(status: bytes) -> None:
        scene.client(GET)
        scene.send(scene.endpoint(), b"HTTP/1.1 %s\r\nContent-Length: 0\r\n\r\n" % status)

    answered(b"500 x")  # closed, open
    scene.wait_ms(1100)
    answered(b"500 x")  # half open, open
    scene.wait_ms(1100)
    for _ in range(3):  # half open, closed
        answered(b"200 OK")
    return scene


def mirrored(stage: Stage) -> Scene:
    scene = stage(route={"action": ActionPlan(mirror=1)}, shadow={})
    client = scene.client(GET)
    scene.send(scene.endpoint(0), OK)
    scene.send(scene.endpoint(1), OK)
    scene.dialer.mode = errno.ECONNREFUSED
    scene.reset(scene.endpoint(0))
    scene.send(client, GET)
    return scene


def made(stage: Stage) -> Scene:
    async def pieces() -> AsyncIterator[bytes]:
        yield b"piece"

    @weir.hook("request")
    def answers(_request: weir.Request) -> weir.Answer:
        return weir.Answer(200, pieces())

    async def play() -> Scene:
        scene = stage(hooks=[answers])
        client = scene.client(GET)
        for _ in range(8):
            await asyncio.sleep(0)
            scene.turn(1)
        assert client.take_sent().endswith(b"5\r\npiece\r\n0\r\n\r\n")
        return scene

    return asyncio.run(play())


SCENARIOS = (
    *(served, head_in_pieces, refused, refused_with_a_full_socket, cut, unreachable, lost_and_sent_again, lost, tunnel),
    *(dials, surplus, surplus_taken, probe, in_line, introduced, breaker, held, made),
    *(paused, paused_since_nobody_else_is_there, hedged, hedged_in_vain, mirrored),
)


@pytest.mark.parametrize("machine", MACHINES, ids=lambda machine: machine.name)
def test_the_table_is_sound(machine: Machine) -> None:
    assert len(set(machine.states)) == len(machine.states) <= 8
    assert len(set(machine.moves)) == len(machine.moves)
    assert {state for move in machine.moves for state in move} == set(machine.states)
    reached = {machine.first}
    ending = set(machine.final)
    for _ in machine.states:
        reached |= {new for old, new in machine.moves if old in reached}
        ending |= {old for old, new in machine.moves if new in ending}
    assert reached == set(machine.states), "every state can be reached"
    assert ending == set(machine.states), "from every state there is a way to the end"


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.__name__)
def test_no_scenario_leaves_the_table(stage: Stage, scenario: Callable[[Stage], Scene]) -> None:
    made = scenario(stage).plane.moves()
    for machine in MACHINES:
        assert set(made[machine.name]) <= set(machine.moves)


def test_the_scenarios_walk_the_whole_table(stage: Stage) -> None:
    made: dict[str, set[tuple[str, str]]] = {machine.name: set() for machine in MACHINES}
    for scenario in SCENARIOS:
        scene = scenario(stage)
        scene.plane.close()
        for name, moves in scene.plane.moves().items():
            made[name] |= set(moves)
    assert made == {machine.name: set(machine.moves) for machine in MACHINES}
