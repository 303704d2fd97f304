"""Clients that are slow on purpose: they cost little and are cut off, and good ones notice nothing."""

from __future__ import annotations

import re
import socket
import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from .conftest import MakeRig
from .good import GoodClients, patient_endpoint
from .proxy import Proxy
from .rig import Rig, tables
from .wire import eventually

pytestmark = [pytest.mark.timeout(60), pytest.mark.figures]

SLOW = 300
GRACE_S = 2
GOOD_MS = 500.0  # as in test_slow_clients: served as before, on a busy machine too

# slowhttptest sends about 10 bytes, or takes 16, each second; far less than 240.
ATTACKS = {
    "body_too_slow": ["-B", "-i", "1", "-s", "8192", "-x", "10", "-u", "/slow"],
    "client_too_slow": ["-X", "-w", "256", "-y", "512", "-n", "1", "-z", "16", "-k", "1", "-u", "/large"],
}


@pytest.fixture
def endpoint() -> Iterator[str]:
    with patient_endpoint() as address:
        yield address


def beside_good(directory: Path, endpoint: str, good: str, **listener: object) -> Rig:
    """A rig whose second listener is for good clients, with an endpoint of their own."""
    settings = tables(directory, [endpoint], listener=listener, pool={"max_connections": 4 * SLOW})
    settings["listener"].append({"address": "127.0.0.1:0", "to": "good"})
    settings["cluster"].append({"name": "good", "endpoints": [good]})
    return Rig(Proxy(directory, settings))


@pytest.mark.slow
@pytest.mark.parametrize("reason", ATTACKS)
def test_slowhttptest_is_cut_off(tmp_path: Path, endpoint: str, reason: str) -> None:
    with patient_endpoint() as other:
        rig = beside_good(tmp_path, endpoint, other, rate_grace=f"{GRACE_S}s")
        good = GoodClients(rig.proxy.address(1))
        try:
            before = good.lap(0.5, "before")
            options = [rig.proxy.url(option) if option.startswith("/") else option for option in ATTACKS[reason]]
            good.times_ms = []
            slow = subprocess.Popen(
                ["slowhttptest", "-c", str(SLOW), "-r", str(SLOW), "-l", "20", "-p", "3", *options],
                stdout=subprocess.DEVNULL,
            )
            try:
                started = time.monotonic()
                eventually(lambda: held(rig) > SLOW // 2, 10, "an attack")
                # Each is gone soon after the grace, though the attack would go on for 20 seconds.
                eventually(lambda: held(rig) < SLOW // 10, 15, "its end")
                lasted = time.monotonic() - started
            finally:
                slow.kill()
                slow.wait()
            during = good.report(f"during {reason}")
        finally:
            good.stop()
            rig.proxy.check_end()
        reasons = Counter(record["reason"] for record in rig.proxy.records() if record["target"] != "/good")
        print(f"over after {lasted:.1f} s; {dict(reasons)}")
        assert reasons[reason] > SLOW // 2
        assert good.wrong == []
        assert during < max(GOOD_MS, 20 * before)


def held(rig: Rig) -> int:
    return len(rig.proxy.descriptors()) - len(rig.proxy.idle_descriptors)


def kernel_holds(port: int) -> int:
    """Bytes in send buffers of sockets with this local port (ss: `w` of skmem)."""
    command = ["ss", "-tmnHO", f"sport = :{port}"]
    text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return sum(int(found[1]) for found in re.finditer(r"skmem:\([^)]*,w(\d+)", text))


READERS = 200
LARGE = 256 << 10  # what /large of the endpoint has


@pytest.mark.slow
@pytest.mark.parametrize(("lowat", "most"), [("64KiB", 96 << 10), ("off", 2 * LARGE)])
def test_what_a_slow_reader_holds_in_the_kernel(tmp_path: Path, endpoint: str, lowat: str, most: int) -> None:
    """With notsent_lowat a bounded part of the response; without it all of it, up to the limits of the system."""
    with patient_endpoint() as other:
        rig = beside_good(tmp_path, endpoint, other, notsent_lowat=lowat)
        good = GoodClients(rig.proxy.address(1))
        readers: list[socket.socket] = []
        try:
            before = good.lap(0.5, "before")
            for _ in range(READERS):
                reader = socket.socket()
                reader.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
                reader.connect(("127.0.0.1", rig.proxy.port))
                reader.send(b"GET /large HTTP/1.1\r\nHost: slow\r\n\r\n")
                readers.append(reader)
            good.times_ms = []
            time.sleep(1.0)
            each = kernel_holds(rig.proxy.port) // READERS
            during = good.report(f"beside {READERS} slow readers")
        finally:
            good.stop()
            for reader in readers:
                reader.close()
            rig.proxy.check_end()
        print(f"notsent_lowat {lowat}: {each >> 10} KiB in the kernel for each")
        assert each <= most
        if lowat == "off":
            assert each > 96 << 10, "the bound that is tested would hold without it"
        assert good.wrong == []
        assert during < max(GOOD_MS, 20 * before)


def test_a_slow_link_is_no_slow_client(weir: MakeRig, endpoint: str) -> None:
    """Eight kilobytes a second, for longer than grace and send_timeout: a bad line, and nobody's fault."""
    rig = weir(endpoints=[endpoint], listener={"rate_grace": "1s", "send_timeout": "1s"})
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    client.settimeout(10)
    client.connect(("127.0.0.1", rig.proxy.port))
    client.send(b"GET /large HTTP/1.1\r\nHost: far\r\nConnection: close\r\n\r\n")
    got = 0
    for _ in range(40):
        got += len(client.recv(800))
        time.sleep(0.1)
    while more := client.recv(65536):
        got += len(more)
    client.close()
    assert got > LARGE
    assert rig.reason("/large") == "none"
