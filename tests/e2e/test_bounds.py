"""Whatever either side sends, and however much of it: memory, time and descriptors stay bounded."""

from __future__ import annotations

import contextlib
import signal
import time
from collections import Counter

import pytest

from .conftest import MakeRig
from .peers import Link, ok
from .rig import Rig
from .wire import Truncated, Wire, eventually

pytestmark = pytest.mark.timeout(30)

MIB = 1 << 20
GROWTH = 8 * MIB


class Growth:
    """How much memory and time weir takes from here on."""

    def __init__(self, rig: Rig) -> None:
        self.proxy = rig.proxy
        self.before = rig.proxy.memory("Rss")
        rig.proxy.forget_peak()

    def bytes(self) -> int:
        return self.proxy.peak_memory() - self.before

    def cpu_share(self, seconds: float = 0.5) -> float:
        """The share of a processor that it takes for the next `seconds`."""
        before = self.proxy.cpu_seconds()
        time.sleep(seconds)
        return (self.proxy.cpu_seconds() - before) / seconds


def send_until_stuck(wire: Wire, data: bytes, limit: int) -> int:
    """Sends `data` again and again until nothing is taken for 0.4 s. Returns how many bytes were."""
    sent = 0
    wire.sock.settimeout(0.4)
    with contextlib.suppress(TimeoutError):
        while sent < limit:
            sent += wire.sock.send(data)
    wire.sock.settimeout(8)
    return sent


# -- clients


@pytest.mark.heavy
def test_pipelined_requests_without_end(plain: Rig) -> None:
    plain.endpoint.reply(ok(b"x" * 1000))
    growth = Growth(plain)
    client = plain.connect(receive_buffer=8192)
    sent = send_until_stuck(client, b"GET /flood HTTP/1.1\r\nHost: test\r\n\r\n" * 20_000, 100 * MIB)
    print(f"pipelined: {sent >> 10} KiB taken, grown by {growth.bytes() >> 10} KiB")
    assert sent < 32 * MIB
    assert growth.bytes() < GROWTH
    assert growth.cpu_share() < 0.05


def test_a_tunnel_that_nobody_reads_from(plain: Rig) -> None:
    taken: list[int] = []

    def script(link: Link) -> None:
        link.head()
        link.send(b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n")
        taken.append(send_until_stuck(link, b"e" * MIB, 200 * MIB))
        eventually(lambda: link.sock.fileno() < 0, 15)

    plain.endpoint.handle(script)
    growth = Growth(plain)
    client = plain.connect()
    client.send(b"GET /tunnel-flood HTTP/1.1\r\nHost: test\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n")
    assert client.head().status == 101
    taken.append(send_until_stuck(client, b"c" * MIB, 200 * MIB))
    eventually(lambda: len(taken) == 2)
    print(f"tunnel: {[n >> 20 for n in taken]} MiB taken, grown by {growth.bytes() >> 10} KiB")
    assert max(taken) < 32 * MIB
    assert growth.bytes() < GROWTH
    assert growth.cpu_share() < 0.05


def test_heads_that_never_end(weir: MakeRig) -> None:
    rig = weir(listener={"request_header_timeout": "1s"})
    clients = [rig.connect() for _ in range(500)]
    growth = Growth(rig)
    for client in clients:
        client.send(b"GET /never HTTP/1.1\r\nHost: test\r\nX: " + b"x" * 5000)
    time.sleep(0.2)
    print(f"500 half heads: grown by {growth.bytes() >> 10} KiB")
    assert growth.bytes() < 500 * 24_576
    assert {client.response().status for client in clients} == {408}
    assert rig.endpoint.links == []


@pytest.mark.figures  # the sanitizers keep what was freed for a while
def test_connections_that_are_reset_at_once(plain: Rig) -> None:
    growth = Growth(plain)
    for _ in range(2000):
        plain.proxy.connect().reset()
    plain.proxy.check_ledger()
    assert growth.bytes() < 2 * MIB
    assert plain.get("/still-here").status == 200


def test_few_descriptors(weir: MakeRig) -> None:
    rig = weir(descriptor_limit=80)
    rig.endpoint.reply(0.2, ok(b"answer"))
    clients = [rig.connect(timeout=5) for _ in range(120)]
    for client in clients:
        client.send(b"GET /few HTTP/1.1\r\nHost: test\r\n\r\n")
    growth = Growth(rig)
    statuses: Counter[int] = Counter()
    for client in clients:
        statuses[client.response().status] += 1
        client.close()
    print(f"80 descriptors, 120 clients: {dict(statuses)}")
    assert set(statuses) <= {200, 503}
    assert statuses[200] > 10
    assert growth.cpu_share() < 0.05
    assert rig.get("/few-afterwards").status == 200
    reasons = {record["reason"] for record in rig.proxy.logged(120, target="/few")}
    assert reasons <= {"none", "out_of_descriptors"}


# -- endpoints


@pytest.mark.parametrize("version", ["1.0", "1.1"])
def test_interim_responses_without_end(weir: MakeRig, version: str) -> None:
    rig = weir(cluster={"response_header_timeout": "1s"})

    def script(link: Link) -> None:
        link.head()
        while True:
            link.send(b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" * 1000)

    rig.endpoint.handle(script)
    growth = Growth(rig)
    client = rig.connect()
    client.send(f"GET /endless HTTP/{version}\r\nHost: test\r\n\r\n".encode())
    assert client.response().status in (502, 504)
    assert growth.bytes() < GROWTH
    rig.endpoint.wait_links(0)


@pytest.mark.parametrize("drip", [b"x", b"HTTP/1.1 103 Early Hints\r\n\r\n"], ids=["bytes", "interim"])
def test_a_response_head_that_drips(weir: MakeRig, drip: bytes) -> None:
    rig = weir(cluster={"response_header_timeout": "500ms"})

    def script(link: Link) -> None:
        link.head()
        link.send(b"HTTP/1.1 200 OK\r\nX: " if drip == b"x" else b"")
        for _ in range(40):
            link.send(drip)
            time.sleep(0.1)

    rig.endpoint.handle(script)
    started = time.monotonic()
    assert rig.get("/drips").status == 504
    assert 0.4 < time.monotonic() - started < 3.5, "it drips for four seconds"


def test_a_response_that_follows_no_request(plain: Rig) -> None:
    """What comes behind a response that has no body is never taken for the next one."""
    late = {
        "HEAD": b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison",
        "PUT": b"HTTP/1.1 204 No Content\r\n\r\npoison",
    }
    plain.endpoint.respond(lambda request: late.get(request.head.method, ok(b"good")))
    client = plain.connect()
    for method in ("HEAD", "PUT", "HEAD", "PUT"):
        client.send(f"{method} /late HTTP/1.1\r\nHost: test\r\nContent-Length: 0\r\n\r\n".encode())
        assert client.response(method).status in (200, 204)
        for follower in ("GET", "POST"):
            client.send(f"{follower} /good HTTP/1.1\r\nHost: test\r\nContent-Length: 0\r\n\r\n".encode())
            assert client.response().body == b"good"


def test_an_answer_before_the_body_was_sent_keeps_requests_apart(plain: Rig) -> None:
    def script(link: Link) -> None:
        while link.buffer or link.fill():
            head = link.head()
            link.send(ok(head.target.encode()))
            link.read_exactly(int(head.get("Content-Length") or 0))

    plain.endpoint.handle(script)
    for _ in range(20):
        client = plain.connect()
        client.send(b"POST /early HTTP/1.1\r\nHost: test\r\nContent-Length: 300000\r\n\r\n")
        assert client.response("POST").body == b"/early"
        with contextlib.suppress(ConnectionError, Truncated):
            client.send(b"GET /inside HTTP/1.1\r\nHost: test\r\n\r\n".ljust(300_000, b"u"))
            client.send(b"GET /after HTTP/1.1\r\nHost: test\r\n\r\n")
            assert client.response().body == b"/after"


# -- stopping in the middle of things


def test_a_stop_while_exchanges_are_queued(weir: MakeRig) -> None:
    rig = weir(pool={"max_connections": 1}, queue={"size": 10, "timeout": "5s"})
    rig.endpoint.reply(0.2, ok(b"done"))
    clients = [rig.connect() for _ in range(4)]
    for client in clients:
        client.send(b"GET /queued HTTP/1.1\r\nHost: test\r\n\r\n")
    rig.endpoint.wait_requests(1)
    time.sleep(0.05)
    rig.proxy.send_signal(signal.SIGTERM)
    assert [client.response().status for client in clients] == [200] * 4
    assert rig.proxy.wait(3) == 0


def test_a_stop_in_the_middle_of_transfers_both_ways(weir: MakeRig) -> None:
    rig = weir()

    def script(link: Link) -> None:
        head = link.head()
        if head.method == "GET":
            link.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (20 * MIB))
            for _ in range(20):
                link.send(b"d" * MIB)
                time.sleep(0.02)
        else:
            link.send(ok(b"%d" % len(link.read_exactly(20 * MIB))))

    rig.endpoint.handle(script)
    down, up = rig.connect(), rig.connect()
    down.send(b"GET /down HTTP/1.1\r\nHost: test\r\n\r\n")
    up.send(b"POST /up HTTP/1.1\r\nHost: test\r\nContent-Length: %d\r\n\r\n" % (20 * MIB))
    up.send(b"u" * MIB)
    assert down.head().status == 200
    rig.proxy.send_signal(signal.SIGTERM)
    for _ in range(19):
        up.send(b"u" * MIB)
    assert up.response("POST").body == b"%d" % (20 * MIB)
    assert len(down.read_exactly(20 * MIB)) == 20 * MIB
    assert rig.proxy.wait(3) == 0
