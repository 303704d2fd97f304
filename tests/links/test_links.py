"""weir between links that are slow, and links that are cut without a word: found out by timeouts and checks alone."""

from __future__ import annotations

import contextlib
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.askers import Askers
from tests.e2e.peers import Endpoint, Link, dial, ok
from tests.e2e.proxy import Proxy
from tests.e2e.rig import tables
from tests.e2e.wire import Truncated, Wire, eventually
from tests.links.spaces import Spaces
from weir.stats import layout, roster

pytestmark = pytest.mark.timeout(60)

Start = Callable[..., Proxy]
CHECKS = {"type": "http", "interval": "200ms", "timeout": "300ms", "unhealthy_after": 2, "healthy_after": 2}
LARGE = bytes(range(256)) * 16_384  # 4 MiB


@pytest.fixture
def endpoint(spaces: Spaces) -> Iterator[Callable[[str], Endpoint]]:
    """Makes endpoints in a place."""
    made: list[Endpoint] = []

    def make(place: str) -> Endpoint:
        made.append(spaces.inside(place, lambda: Endpoint((spaces.address(place), 0))))
        return made[-1]

    yield make
    for one in made:
        one.close()
        assert one.failures == []


@pytest.fixture
def start(spaces: Spaces, tmp_path: Path) -> Iterator[Start]:
    """weir in the middle, listening on port 80 of all links; at the end it must have let go of everything."""
    proxies: list[Proxy] = []

    def make(*endpoints: Endpoint, **options: Any) -> Proxy:
        listener = {"address": "0.0.0.0:80", **options.pop("listener", {})}
        settings = tables(tmp_path, [one.address for one in endpoints], listener=listener, **options)
        prefix = ["ip", "netns", "exec", spaces.name("weir")]
        proxies.append(Proxy(tmp_path, settings, prefix=prefix))
        return proxies[-1]

    yield make
    for proxy in proxies:
        proxy.check_end()


def ask_from(spaces: Spaces, place: str, **options: Any) -> Askers:
    return spaces.inside(place, lambda: Askers((spaces.middle(place), 80), **options))


def client_in(spaces: Spaces, place: str, timeout: float = 15.0, receive_buffer: int = 0) -> Wire:
    return spaces.inside(place, lambda: dial((spaces.middle(place), 80), timeout, receive_buffer))


def states(proxy: Proxy) -> list[bool]:
    """Whether each endpoint counts as healthy, as the shared table has it."""
    with layout.attach(os.open(proxy.table_file(), os.O_RDONLY)) as table:
        return [one.health != roster.Health.UNHEALTHY for one in roster.standings(table)]


def test_an_endpoint_behind_a_cut_link_is_found_out_and_nobody_notices(
    spaces: Spaces, endpoint: Callable[[str], Endpoint], start: Start
) -> None:
    near, far = endpoint("near"), endpoint("far")
    cluster = {"connect_timeout": "400ms", "response_header_timeout": "4s", "health": CHECKS}
    proxy = start(near, far, cluster=cluster, retry={"attempt_timeout": "400ms", "ratio": "100%"})
    askers = ask_from(spaces, "client", threads=4, pause_s=0.005)
    posts = Posts(spaces)
    eventually(lambda: len(near.requests) > 50 and len(far.requests) > 50, 10)
    spaces.cut("far")
    cut_at = time.monotonic()
    eventually(lambda: states(proxy) == [True, False], 10, "the cut link is found out")
    found_after = time.monotonic() - cut_at
    seen = len(near.requests)
    eventually(lambda: len(near.requests) > seen + 50, 10, "the other one serves all")
    spaces.mend("far")
    eventually(lambda: states(proxy) == [True, True], 10, "it is back")
    back = len(far.requests)
    eventually(lambda: len(far.requests) > back + 20, 10, "it gets requests again")
    ledger = askers.stop()
    answered, unknown = posts.stop()
    counts = f"{ledger.answered} GETs, {len(answered)} POSTs, {len(unknown)} without an answer"
    print(f"found out after {found_after:.2f} s; {counts}")
    assert ledger.failed == []
    served = [request.head.target for one in (near, far) for request in one.requests]
    gets = [target for target in served if target.startswith("/short")]
    assert len(set(gets)) == ledger.answered, "the two ledgers: each that was answered was served"
    sent = [target for target in served if target.startswith("/post")]
    assert len(sent) == len(set(sent)), "no POST is seen twice"
    assert answered <= set(sent)
    assert set(sent) <= answered | unknown


class Posts:
    """A client whose POSTs each have a path of their own; who was answered, and who cannot know."""

    def __init__(self, spaces: Spaces) -> None:
        self.answered: set[str] = set()
        self.unknown: set[str] = set()
        self._end = threading.Event()
        self._thread = spaces.inside("client", lambda: self._start((spaces.middle("client"), 80)))

    def _start(self, address: tuple[str, int]) -> threading.Thread:
        thread = threading.Thread(target=self._run, args=(address,))
        thread.start()
        return thread

    def _run(self, address: tuple[str, int]) -> None:
        number = 0
        while not self._end.is_set():
            number += 1
            path = f"/post/{number}"
            with dial(address, 15) as client:
                client.send(f"POST {path} HTTP/1.1\r\nHost: test\r\nContent-Length: 4\r\n\r\nbody".encode())
                (self.answered if client.response("POST").status == 200 else self.unknown).add(path)
            time.sleep(0.01)

    def stop(self) -> tuple[set[str], set[str]]:
        self._end.set()
        self._thread.join(20)
        assert not self._thread.is_alive()
        return self.answered, self.unknown


def test_clients_behind_a_slow_link_cost_neither_memory_nor_others_time(
    spaces: Spaces, endpoint: Callable[[str], Endpoint], start: Start
) -> None:
    near = endpoint("near")
    near.respond(lambda request: ok(LARGE if request.head.target == "/large" else b"small"))
    proxy = start(near, listener={"send_timeout": "1s"})
    first = ask_from(spaces, "other", threads=2)
    time.sleep(1)
    alone = first.stop().answered
    memory, descriptors = proxy.memory(), len(proxy.descriptors())
    spaces.slow("client", "1mbit")
    slow = [client_in(spaces, "client", receive_buffer=65_536) for _ in range(20)]
    for client in slow:
        client.send(b"GET /large HTTP/1.1\r\nHost: test\r\n\r\n")
    eventually(lambda: sum(request.head.target == "/large" for request in near.requests) == 20, 5)
    good = ask_from(spaces, "other", threads=2)
    time.sleep(1)
    grown = proxy.memory() - memory
    ledger = good.stop()
    print(
        f"{alone} requests in a second without, {ledger.answered} with 20 slow clients; weir grew by {grown >> 10} KiB"
    )
    assert ledger.failed == []
    assert ledger.answered > alone / 3
    assert grown < 20 << 20, "4 MiB for each would be 80"
    # A link that is cut has no more progress: after send_timeout nothing is left of them.
    spaces.cut("client")
    eventually(lambda: len(proxy.descriptors()) <= descriptors, 15, "those behind the cut are let go of")
    assert len(proxy.logged(20, target="/large", reason="client_stalled")) == 20
    for client in slow:
        client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        client.close()


def test_a_link_that_is_cut_in_the_middle_of_an_upload(
    spaces: Spaces, endpoint: Callable[[str], Endpoint], start: Start
) -> None:
    near = endpoint("near")
    got: list[int] = []

    def take(link: Link) -> None:
        link.head()
        with contextlib.suppress(ConnectionError):
            while link.fill():
                pass
        got.append(len(link.buffer))

    near.handle(take)
    proxy = start(near, cluster={"stream_idle_timeout": "1s"})
    client = client_in(spaces, "client")
    client.send(b"POST /up HTTP/1.1\r\nHost: test\r\nContent-Length: 100000\r\n\r\n" + b"x" * 50_000)
    eventually(lambda: near.open_links and len(near.open_links[0].buffer) >= 50_000, 5)
    spaces.cut("client")
    eventually(lambda: got, 10, "the endpoint is told by the end of the connection")
    assert got[0] == 50_000, "it never gets what looks like a whole body"
    assert proxy.logged(target="/up")[0]["reason"] == "body_timeout"
    client.close()


def test_a_link_that_is_cut_in_the_middle_of_a_download(
    spaces: Spaces, endpoint: Callable[[str], Endpoint], start: Start
) -> None:
    near = endpoint("near")
    cut = threading.Event()

    def give(link: Link) -> None:
        near.record(link.request(), link)
        link.send(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n" + b"x" * 50_000)
        cut.wait(20)
        with contextlib.suppress(OSError):
            link.send(b"x" * 50_000)

    near.handle(give)
    proxy = start(near, cluster={"stream_idle_timeout": "1s"})
    client = client_in(spaces, "client")
    client.send(b"GET /down HTTP/1.1\r\nHost: test\r\n\r\n")
    head = client.head()
    assert head.status == 200
    assert len(client.read_exactly(50_000)) == 50_000
    spaces.cut("near")
    cut.set()
    with pytest.raises((Truncated, ConnectionError)):
        client.read_exactly(50_000)
    assert proxy.logged(target="/down")[0]["reason"] == "stream_timeout"
    assert near.targets() == ["/down"], "what has begun is not asked for again"
    client.close()


def test_a_connection_that_rests_behind_a_cut_link_fails_no_request(
    spaces: Spaces, endpoint: Callable[[str], Endpoint], start: Start
) -> None:
    """Half open: the pool has connections whose other end is out of reach, and nobody has said so."""
    near, far = endpoint("near"), endpoint("far")
    proxy = start(near, far, cluster={"connect_timeout": "300ms"}, retry={"attempt_timeout": "300ms"})
    client = client_in(spaces, "client")
    for number in range(10):
        client.send(b"GET /warm/%d HTTP/1.1\r\nHost: test\r\n\r\n" % number)
        assert client.response().status == 200
    assert near.requests
    assert far.requests
    spaces.cut("far")
    for number in range(10):
        client.send(b"GET /cold/%d HTTP/1.1\r\nHost: test\r\n\r\n" % number)
        assert client.response().status == 200
    assert [target for target in far.targets() if "cold" in target] == []
    assert sorted(t for t in near.targets() if "cold" in t) == [f"/cold/{n}" for n in range(10)]
    spaces.mend("far")
    assert proxy.alive()
    client.close()
