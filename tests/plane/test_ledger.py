"""The time ledger: every microsecond of an exchange belongs to one of its five parts, whatever its end."""

from __future__ import annotations

import errno
import json
from collections.abc import Callable

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.plane.scene import GET, OK, Scene
from weir.plane.fake import FakeStream
from weir.plane.stream import Address
from weir.stats.reader import snapshot

Stage = Callable[..., Scene]

PARTS = ("request_head_us", "queue_us", "connect_us", "response_head_us", "data_us")
HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n"
MS = 1000


def parts(scene: Scene, path: str = "/a") -> tuple[int, ...]:
    """TR, Tw, Tc, Tr, Td of the one exchange with a path, in milliseconds; checks that they sum to its total."""
    counters = scene.counters(path)
    assert counters["requests"] == 1
    assert sum(counters[name] for name in PARTS) == counters["total_us"]
    assert all(counters[name] % MS == 0 for name in PARTS), "what happens at a moment of its own takes no time here"
    return tuple(counters[name] // MS for name in PARTS)


def get(path: str) -> bytes:
    return b"GET %s HTTP/1.1\r\nHost: h\r\n\r\n" % path.encode()


def slow_head(scene: Scene, ms: int, path: str = "/a", client: FakeStream | None = None) -> FakeStream:
    """A client whose request head takes a while."""
    head = get(path)
    if client is None:
        client = scene.client(head[:9])
    else:
        scene.send(client, head[:9])
    scene.wait_ms(ms)
    scene.send(client, head[9:])
    return client


# -- exchanges that end well ----------------------------------------------------------------------------------


def test_all_five_parts(stage: Stage) -> None:
    scene = stage()
    scene.dialer.mode = "wait"
    client = slow_head(scene, 3)
    scene.wait_ms(5)
    scene.endpoint().connect()
    scene.turn()
    scene.wait_ms(7)
    scene.send(scene.endpoint(), HEAD + b"abc")
    scene.wait_ms(11)
    scene.send(scene.endpoint(), b"def")
    assert client.take_sent().endswith(b"abcdef")
    assert parts(scene) == (3, 0, 5, 7, 11)
    assert scene.counters()["first_byte_us"] == 15 * MS


def test_a_connection_used_before_costs_no_connect(stage: Stage) -> None:
    scene = stage()
    client = scene.client(get("/first"))
    scene.send(scene.endpoint(), OK)
    scene.wait_ms(100)
    slow_head(scene, 2, client=client)
    scene.wait_ms(4)
    scene.send(scene.endpoint(), OK)
    assert parts(scene) == (2, 0, 0, 4, 0), "the rest between two requests is no part of either"


def test_a_head_that_comes_at_once_takes_no_time(stage: Stage) -> None:
    scene = stage()
    scene.client(GET)
    scene.wait_ms(6)
    scene.send(scene.endpoint(), OK)
    assert parts(scene) == (0, 0, 0, 6, 0)


def test_a_pipelined_request_begins_when_the_one_before_it_ends(stage: Stage) -> None:
    scene = stage()
    scene.client(get("/first") + GET)
    scene.wait_ms(9)
    scene.send(scene.endpoint(), OK)
    scene.wait_ms(2)
    scene.send(scene.endpoint(), OK)
    assert parts(scene, "/first") == (0, 0, 0, 9, 0)
    assert parts(scene) == (0, 0, 0, 2, 0)


def test_the_upload_belongs_to_the_wait_for_the_response_head(stage: Stage) -> None:
    scene = stage()
    client = scene.client(b"POST /a HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\n")
    scene.wait_ms(5)
    scene.send(client, b"ab")
    scene.wait_ms(6)
    scene.send(scene.endpoint(), OK)
    assert parts(scene) == (0, 0, 0, 11, 0)


def test_a_response_before_the_request_has_ended(stage: Stage) -> None:
    scene = stage()
    client = scene.client(b"POST /a HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\na")
    scene.wait_ms(3)
    scene.send(scene.endpoint(), HEAD + b"abc")
    scene.wait_ms(4)
    scene.send(client, b"b")
    scene.wait_ms(5)
    scene.send(scene.endpoint(), b"def")
    assert parts(scene) == (0, 0, 0, 3, 9)


def test_interim_responses_are_before_the_response_head(stage: Stage) -> None:
    scene = stage()
    scene.client(GET)
    scene.wait_ms(3)
    scene.send(scene.endpoint(), b"HTTP/1.1 103 Early Hints\r\n\r\n")
    scene.wait_ms(4)
    scene.send(scene.endpoint(), OK)
    assert parts(scene) == (0, 0, 0, 7, 0)


def test_a_head_that_waits_for_its_body_has_come(stage: Stage) -> None:
    scene = stage()
    scene.client(GET)
    scene.wait_ms(3)
    scene.send(scene.endpoint(), HEAD)
    scene.wait_ms(1)
    scene.send(scene.endpoint(), b"abcdef")
    assert parts(scene) == (0, 0, 0, 3, 1)


def test_a_tunnel_is_data(stage: Stage) -> None:
    scene = stage()
    client = scene.client(GET[:-2] + b"Connection: upgrade\r\nUpgrade: x\r\n\r\n")
    scene.wait_ms(3)
    scene.send(scene.endpoint(), b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n")
    scene.wait_ms(40)
    scene.end(client)
    scene.end(scene.endpoint())
    assert parts(scene) == (0, 0, 0, 3, 40)


# -- waiting for a connection ---------------------------------------------------------------------------------


def test_the_queue(stage: Stage) -> None:
    scene = stage(pool={"max_connections": 1})
    scene.client(get("/first"))
    slow_head(scene, 1)
    scene.wait_ms(8)
    scene.send(scene.endpoint(), OK)
    scene.wait_ms(2)
    scene.send(scene.endpoint(), OK)
    assert parts(scene) == (1, 8, 0, 2, 0)


def test_the_queue_and_then_a_connect(stage: Stage) -> None:
    scene = stage(pool={"max_connections": 1})
    scene.client(get("/first"))
    scene.client(GET)
    scene.wait_ms(8)
    scene.dialer.mode = "wait"
    scene.send(scene.endpoint(), OK[:-8] + b"2\r\nConnection: close\r\n\r\nok")
    scene.wait_ms(5)
    scene.endpoint().connect()
    scene.turn()
    scene.wait_ms(2)
    scene.send(scene.endpoint(), OK)
    assert parts(scene) == (0, 8, 5, 2, 0)


def test_a_connection_given_back_while_another_is_dialled(stage: Stage) -> None:
    scene = stage()
    scene.client(get("/first"))
    scene.dialer.mode = "wait"
    scene.client(GET)
    scene.wait_ms(4)
    scene.send(scene.endpoint(0), OK)
    scene.wait_ms(2)
    scene.send(scene.endpoint(0), OK)
    assert parts(scene) == (0, 4, 0, 2, 0), "it waited for a connection, and its own was not a new one"


def test_a_dial_begun_for_somebody_else(stage: Stage) -> None:
    scene = stage(pool={"max_connections": 1})
    scene.dialer.mode = "wait"
    gone = scene.client(get("/gone"))
    scene.wait_ms(10)
    scene.reset(gone)
    scene.wait_ms(20)
    scene.client(GET)
    scene.wait_ms(5)
    scene.endpoint().connect()
    scene.turn()
    scene.send(scene.endpoint(), OK)
    assert parts(scene, "/gone") == (0, 0, 10, 0, 0)
    assert parts(scene) == (0, 0, 5, 0, 0), "only as far as the exchange was there"


def test_the_tutorial_wait_for_an_idle_connection(stage: Stage) -> None:
    scene = stage(pool={"wait_idle_ms": 96})
    scene.client(get("/first"))
    scene.dialer.mode = "wait"
    scene.client(GET)
    scene.wait_ms(104)
    assert scene.dials == 2
    scene.wait_ms(7)
    scene.endpoint().connect()
    scene.turn()
    scene.send(scene.endpoint(), OK)
    assert parts(scene) == (0, 104, 7, 0, 0)


def test_the_second_address_of_a_name(stage: Stage) -> None:
    scene = stage()
    two = [Address(host="192.0.2.8", port=80), Address(host="192.0.2.9", port=80)]
    scene.plane.set_addresses(0, "192.0.2.1:80", two)
    scene.dialer.mode = "wait"
    scene.client(GET)
    scene.wait_ms(30)
    scene.endpoint(0).connect(errno.ENETUNREACH)
    scene.turn()
    scene.wait_ms(4)
    scene.endpoint(1).connect()
    scene.turn()
    scene.send(scene.endpoint(1), OK)
    assert parts(scene) == (0, 30, 4, 0, 0), "the connect is that of the attempt that succeeded"


def test_another_endpoint_after_a_failed_connect(stage: Stage) -> None:
    scene = stage(endpoints=2)
    scene.dialer.mode = "wait"
    scene.client(GET)
    scene.wait_ms(30)
    scene.endpoint(0).connect(errno.ECONNREFUSED)
    scene.turn()
    scene.wait_ms(4)
    scene.endpoint(1).connect()
    scene.turn()
    scene.wait_ms(2)
    scene.send(scene.endpoint(1), OK)
    assert parts(scene) == (0, 30, 4, 2, 0)


def test_a_request_sent_again(stage: Stage) -> None:
    scene = stage()
    client = scene.client(get("/first"))
    scene.send(scene.endpoint(), OK)
    scene.dialer.mode = "wait"
    scene.send(client, GET)
    scene.wait_ms(13)
    scene.end(scene.endpoint(0))
    assert scene.dials == 2
    scene.wait_ms(5)
    scene.endpoint(1).connect()
    scene.turn()
    scene.wait_ms(2)
    scene.send(scene.endpoint(1), OK)
    assert scene.counters()["retries"] == 1
    assert parts(scene) == (0, 13, 5, 2, 0), "the failed attempt was a wait"


# -- early ends: the time goes to the part in which it ends ------------------------------------------------------


def other_parts(scene: Scene) -> tuple[int, ...]:
    """The parts of what has no series: `(other)`."""
    return parts(scene, "(other)")


def test_a_head_that_never_ends(stage: Stage) -> None:
    scene = stage(listener={"request_header_timeout_ms": 80})
    client = scene.client(b"GET / HT")
    scene.wait_ms(96)
    assert client.take_sent().startswith(b"HTTP/1.1 408 ")
    assert other_parts(scene) == (96, 0, 0, 0, 0)


def test_a_refused_request(stage: Stage) -> None:
    scene = stage()
    client = scene.client(b"GET / HTTP/1.1\r\nHost: h\r\n")
    scene.wait_ms(4)
    scene.send(client, b"Content-Length: x\r\n\r\n")
    assert client.take_sent().startswith(b"HTTP/1.1 400 ")
    assert other_parts(scene) == (4, 0, 0, 0, 0)


def test_queue_timeout(stage: Stage) -> None:
    scene = stage(pool={"max_connections": 1}, queue={"timeout_ms": 400})
    scene.client(get("/first"))
    client = slow_head(scene, 2)
    scene.wait_ms(408)
    assert b"queue_timeout" in client.take_sent()
    assert parts(scene) == (2, 408, 0, 0, 0)


def test_queue_full(stage: Stage) -> None:
    scene = stage(pool={"max_connections": 1}, queue={"size": 0})
    scene.client(get("/first"))
    slow_head(scene, 2)
    assert parts(scene) == (2, 0, 0, 0, 0)


def test_a_client_that_leaves_the_queue(stage: Stage) -> None:
    scene = stage(pool={"max_connections": 1})
    scene.client(get("/first"))
    client = scene.client(GET)
    scene.wait_ms(7)
    scene.reset(client)
    assert parts(scene) == (0, 7, 0, 0, 0)


def test_connect_refused(stage: Stage) -> None:
    scene = stage()
    scene.dialer.mode = "wait"
    client = scene.client(GET)
    scene.wait_ms(7)
    scene.endpoint().connect(errno.ECONNREFUSED)
    scene.turn()
    assert client.take_sent().startswith(b"HTTP/1.1 502 ")
    assert parts(scene) == (0, 0, 7, 0, 0)


def test_connect_timeout_after_the_queue(stage: Stage) -> None:
    scene = stage(pool={"max_connections": 1}, cluster={"connect_timeout_ms": 320})
    scene.client(get("/first"))
    client = scene.client(GET)
    scene.wait_ms(5)
    scene.dialer.mode = "wait"
    scene.end(scene.endpoint(0))
    scene.wait_ms(328)
    assert client.take_sent().startswith(b"HTTP/1.1 504 ")
    assert parts(scene) == (0, 5, 328, 0, 0)


def test_the_last_of_two_connects_that_fail(stage: Stage) -> None:
    scene = stage(endpoints=2)
    scene.dialer.mode = "wait"
    scene.client(GET)
    for number in (0, 1):
        scene.wait_ms(10 + number)
        scene.endpoint(number).connect(errno.ECONNREFUSED)
        scene.turn()
    assert parts(scene) == (0, 10, 11, 0, 0)


def test_a_client_that_leaves_while_its_connection_is_dialled(stage: Stage) -> None:
    scene = stage()
    scene.dialer.mode = "wait"
    client = scene.client(GET)
    scene.wait_ms(7)
    scene.reset(client)
    assert parts(scene) == (0, 0, 7, 0, 0)


def test_no_response(stage: Stage) -> None:
    scene = stage(cluster={"response_header_timeout_ms": 160})
    client = scene.client(GET)
    scene.wait_ms(168)
    assert client.take_sent().startswith(b"HTTP/1.1 504 ")
    assert parts(scene) == (0, 0, 0, 168, 0)


def test_a_response_that_is_none(stage: Stage) -> None:
    scene = stage()
    scene.client(GET)
    scene.wait_ms(3)
    scene.send(scene.endpoint(), b"nonsense\r\n\r\n")
    assert parts(scene) == (0, 0, 0, 3, 0)


def test_a_retry_that_finds_no_connection(stage: Stage) -> None:
    scene = stage()
    client = scene.client(get("/first"))
    scene.send(scene.endpoint(), OK)
    scene.send(client, GET)
    scene.dialer.mode = "wait"
    scene.wait_ms(13)
    scene.end(scene.endpoint(0))
    scene.wait_ms(5)
    scene.endpoint(1).connect(errno.ECONNREFUSED)
    scene.turn()
    assert parts(scene) == (0, 13, 5, 0, 0)


def test_a_response_that_is_cut(stage: Stage) -> None:
    scene = stage()
    scene.client(GET)
    scene.wait_ms(3)
    scene.send(scene.endpoint(), HEAD + b"abc")
    scene.wait_ms(4)
    scene.end(scene.endpoint())
    assert parts(scene) == (0, 0, 0, 3, 4)


def test_a_client_that_leaves_during_the_response(stage: Stage) -> None:
    scene = stage()
    client = scene.client(GET)
    scene.wait_ms(3)
    scene.send(scene.endpoint(), HEAD + b"abc")
    scene.wait_ms(4)
    scene.reset(client)
    assert parts(scene) == (0, 0, 0, 3, 4)


# -- whatever happens -----------------------------------------------------------------------------------------

ACTIONS = ("client", "piece", "gone", "connect", "refuse", "answer", "half", "rest", "interim", "close", "reset")
SAID = {"answer": OK, "half": HEAD + b"abc", "rest": b"def", "interim": b"HTTP/1.1 103 Early Hints\r\n\r\n"}


class Players:
    """The peers of a scene, and what they do when they are told to, if there is one that can."""

    def __init__(self, scene: Scene, mode: str) -> None:
        self.scene = scene
        self.clients: list[FakeStream] = []
        self.dialled: set[FakeStream] = set()  # what is still to come about
        self.wait = mode == "wait"
        self.seen = 0
        scene.dialer.mode = mode

    def play(self, action: str, which: int, number: int) -> None:
        if self.wait:
            self.dialled.update(self.scene.dialer.dialled[self.seen :])
            self.seen = self.scene.dials
        if action == "client":
            head = get(f"/{number}")
            self.clients.append(self.scene.client(head[:12] if which % 3 == 0 else head))
        elif action in ("piece", "gone"):
            self.play_client(action, which, number)
        else:
            self.play_endpoint(action, which)

    def play_client(self, action: str, which: int, number: int) -> None:
        there = [client for client in self.clients if not client.is_closed]
        if there and action == "piece":
            self.scene.send(there[which % len(there)], get(f"/{number}")[12 * (which % 2) :])
        elif there:
            self.scene.reset(there[which % len(there)])

    def play_endpoint(self, action: str, which: int) -> None:
        dials = action in ("connect", "refuse")
        there = [s for s in self.scene.dialer.dialled if not s.is_closed and (s in self.dialled) == dials]
        if not there:
            return
        endpoint = there[which % len(there)]
        if dials:
            self.dialled.discard(endpoint)
            endpoint.connect(errno.ECONNREFUSED if action == "refuse" else 0)
            self.scene.turn()
        elif action == "close":
            self.scene.end(endpoint)
        elif action == "reset":
            self.scene.reset(endpoint)
        else:
            self.scene.send(endpoint, SAID[action])


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from(ACTIONS), st.integers(0, 7), st.integers(0, 700_000)), max_size=40),
    st.sampled_from(["connect", "wait"]),
    st.integers(1, 3),
)
def test_the_parts_always_sum_to_the_total(plays: list[tuple[str, int, int]], mode: str, connections: int) -> None:
    scene = Scene(
        endpoints=2,
        pool={"max_connections": connections},
        queue={"size": 2, "timeout_ms": 500},
        cluster={"connect_timeout_ms": 300, "response_header_timeout_ms": 600},
        stats={"rows": 128},
    )
    players = Players(scene, mode)
    for number, (action, which, us) in enumerate(plays):
        scene.clock.advance(us)
        scene.turn()
        players.play(action, which, number)
    whole = sum(action == "client" and which % 3 != 0 for action, which, _us in plays)
    scene.close_plane()
    for line in scene.log.take().splitlines():
        entry = json.loads(line)
        logged = [round(1000 * entry[name]) for name in ("TR", "Tw", "Tc", "Tr", "Td")]
        assert min(logged) >= 0
        assert sum(logged) == round(1000 * entry["Ta"])
    rows = [series.counters for series in snapshot(scene.memory).series]
    assert sum(row.requests for row in rows) >= whole
    for row in rows:
        spent = [getattr(row, name) for name in PARTS]
        assert sum(spent) == row.total_us
        assert max(spent) <= row.total_us, "one that had gone below zero would have wrapped around"
    scene.close()
