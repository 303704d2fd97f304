"""Slow clients by the hundred, and half-open requests by the ten thousand: good clients are served as before."""

from __future__ import annotations

import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from .conftest import MakeRig
from .good import GoodClients, patient_endpoint
from .proxy import Proxy
from .rig import Rig, tables
from .wire import eventually

# Times and memory of the build that people use: a build with sanitizers is several times as slow.
pytestmark = [pytest.mark.timeout(60), pytest.mark.figures]

BEFORE_S = 0.5
SLOW_S = 3
SLOW = 1000
FLOOD = 20_000
FLOODERS = 4
BYTES_EACH = 8192  # of weir's memory, at most, for a connection with half a head
# A bound that says "served as before" on a busy machine too: each attack would hold a client up for seconds.
GOOD_MS = 500.0

ATTACKS = {
    "heads": ["-H", "-i", "1", "-x", "20", "-u", "/slow"],
    "bodies": ["-B", "-i", "1", "-s", "8192", "-x", "10", "-u", "/slow"],
    "reads": ["-X", "-w", "256", "-y", "512", "-n", "1", "-z", "16", "-k", "2", "-u", "/large"],
}


@pytest.fixture
def endpoint() -> Iterator[str]:
    with patient_endpoint() as address:
        yield address


def serve_as_before(good: GoodClients, p99_before: float, p99: float) -> None:
    assert good.wrong == []
    assert p99 < max(GOOD_MS, 20 * p99_before)


@pytest.mark.parametrize(
    "what",
    [
        pytest.param("heads", marks=pytest.mark.alone),
        pytest.param("bodies", marks=pytest.mark.slow),
        pytest.param("reads", marks=pytest.mark.slow),
    ],
)
def test_slow(tmp_path: Path, endpoint: str, what: str) -> None:
    """Good clients share listener and endpoint with the slow ones; only what slow readers ask for keeps an endpoint
    busy by itself, so there the good ones have one of their own, and share nothing but weir.
    """
    with patient_endpoint() as other:
        settings = tables(tmp_path, [endpoint], pool={"max_connections": 2 * SLOW})
        settings["listener"].append({"address": "127.0.0.1:0", "to": "good"})
        settings["cluster"].append({"name": "good", "endpoints": [other]})
        rig = Rig(Proxy(tmp_path, settings))
        try:
            attack(rig, what)
            eventually(lambda: len(rig.proxy.descriptors()) < 100, 10)
        finally:
            rig.proxy.check_end()


def attack(rig: Rig, what: str) -> None:
    good = GoodClients(rig.proxy.address(1 if what == "reads" else 0))
    try:
        before = good.lap(BEFORE_S, "before")
        options = [rig.proxy.url(option) if option.startswith("/") else option for option in ATTACKS[what]]
        good.times_ms = []
        slow = subprocess.Popen(
            ["slowhttptest", "-c", str(SLOW), "-r", "1000", "-l", str(SLOW_S), "-p", "3", *options],
            stdout=subprocess.PIPE,
            text=True,
        )
        most = 0
        ending = time.monotonic() + SLOW_S + 10
        while slow.poll() is None and time.monotonic() < ending:
            most = max(most, len(rig.proxy.descriptors()) - len(rig.proxy.idle_descriptors))
            time.sleep(0.2)
        slow.kill()
        text = slow.communicate()[0]
        during = good.report(f"during slow {what}")
    finally:
        good.stop()
    text = re.sub(r"\x1b\[[0-9;]*m", "", text)
    assert "service available:   YES" in text, text[-1500:]
    print(f"at most {most} connections at a time")
    assert most > SLOW // 2, "that was no attack"
    serve_as_before(good, before, during)


@pytest.mark.alone
def test_twenty_thousand_half_open_requests(weir: MakeRig, endpoint: str) -> None:
    rig = weir(endpoints=[endpoint], listener={"request_header_timeout": "30s"}, descriptor_limit=FLOOD)
    good = GoodClients(rig.proxy.address())
    flood = Path(__file__).with_name("flood.py")
    before = good.lap(BEFORE_S, "before")
    started = time.monotonic()
    good.times_ms = []
    flooders = [
        subprocess.Popen(
            [sys.executable, str(flood), str(rig.proxy.port), str(FLOOD // FLOODERS)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(FLOODERS)
    ]
    try:
        made = [int(flooder.stdout.readline()) for flooder in flooders if flooder.stdout]
        rising = good.report(f"while {sum(made)} half-open requests come in {time.monotonic() - started:.1f} s")
        held = sum(descriptor == "socket" for descriptor in rig.proxy.descriptors())
        during = good.lap(1.0, f"while {held} of them are held")
        assert sum(made) == FLOOD
        still_open = sum(int(flooder.communicate("")[0]) for flooder in flooders)
    finally:
        good.stop()
        for flooder in flooders:
            flooder.kill()
            flooder.communicate()
    print(f"{still_open} of {FLOOD} were still open at the end")
    # 80 % of the descriptors are for clients; who came first has made room.
    assert 0.7 * FLOOD < held < FLOOD
    assert 0 < still_open < FLOOD
    serve_as_before(good, before, max(rising, during))
    eventually(lambda: len(rig.proxy.descriptors()) < 100, 10)
    grown = rig.proxy.memory("Rss") - rig.proxy.resident_at_start
    print(f"grown by {grown >> 10} KiB, {grown // held} bytes for each that was held")
    assert grown < held * BYTES_EACH
    rig.resident_limit = held * BYTES_EACH
