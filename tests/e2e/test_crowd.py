"""Ten thousand clients at once: they are served, they cost little memory and, when idle, no time."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from .conftest import MakeRig
from .servers import Server

COUNT = 10_000
BYTES_PER_CONNECTION = 1024  # of weir's memory, for an idle client connection
IDLE_SECONDS = 3.0
IDLE_SHARE = 0.01  # of one processor, over IDLE_SECONDS


class Crowd:
    """A running crowd.py."""

    def __init__(self, port: int, count: int) -> None:
        self.process = subprocess.Popen(
            [sys.executable, str(Path(__file__).with_name("crowd.py")), str(port), str(count)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self.answer() == count

    def answer(self) -> int:
        assert self.process.stdout is not None
        word, number = self.process.stdout.readline().split()
        assert word == "ok"
        return int(number)

    def ask(self) -> int:
        assert self.process.stdin is not None
        self.process.stdin.write("ask\n")
        self.process.stdin.flush()
        return self.answer()


@contextmanager
def crowd(port: int, count: int) -> Iterator[Crowd]:
    people = Crowd(port, count)
    try:
        yield people
    finally:
        people.process.kill()
        people.process.communicate()


# With sanitizers every object has a border of its own, and a look at each access has its price in time.
@pytest.mark.figures
@pytest.mark.timeout(60)
def test_ten_thousand_idle_connections(weir: MakeRig, nginx: Server) -> None:
    rig = weir(endpoints=[nginx.address], pool={"idle_timeout": "500ms"}, log={"access": "off"})
    with crowd(rig.proxy.port, 100) as few:
        assert few.ask() == 100  # so that what is made at first use is not counted
    rig.proxy.check_ledger()
    before = rig.proxy.memory("Pss")
    started = time.monotonic()
    with crowd(rig.proxy.port, COUNT) as many:
        connected = time.monotonic()
        assert many.ask() == COUNT
        assert many.ask() == COUNT
        asked = time.monotonic()
        time.sleep(1.0)  # the endpoint's connections go, and buffers with them
        each = (rig.proxy.memory("Pss") - before) / COUNT
        cpu = rig.proxy.cpu_seconds()
        time.sleep(IDLE_SECONDS)
        share = (rig.proxy.cpu_seconds() - cpu) / IDLE_SECONDS
        descriptors = len(rig.proxy.descriptors()) - len(rig.proxy.idle_descriptors)
        print(
            f"{COUNT} connections in {connected - started:.1f} s, {2 * COUNT} requests in {asked - connected:.1f} s; "
            f"idle: {each:.0f} bytes each, {share:.2%} of a processor"
        )
        assert descriptors == COUNT
        assert each < BYTES_PER_CONNECTION
        assert share <= IDLE_SHARE


@pytest.mark.timeout(30)
def test_connections_beyond_the_limit_wait_and_are_served(weir: MakeRig) -> None:
    rig = weir(listener={"max_connections": 5})
    clients = [rig.connect() for _ in range(8)]
    for client in clients:
        client.send(b"GET / HTTP/1.1\r\nHost: test\r\n\r\n")
    for client in clients[:5]:
        assert client.response().status == 200
    assert clients[5].silent(0.2)
    for client in clients[:3]:
        client.close()
    for client in clients[5:]:
        assert client.response().status == 200
