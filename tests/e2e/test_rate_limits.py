"""Rate limits with real processes: exact over workers, over reloads and over kills."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import time
import urllib.request
from typing import Any

import pytest

from .askers import Askers
from .conftest import MakeRig
from .peers import ok
from .proxy import free_port
from .rig import ALONE, WORKERS, Rig
from .servers import Server
from .test_load import Load
from .test_reload import RELOADED, children, forget, reload
from .test_workers import wait_successors
from .wire import eventually

pytestmark = pytest.mark.timeout(60)

HOUR = {"by": "client", "rate": "5/h"}


def counted(port: int) -> list[dict[str, Any]]:
    """What the rate limits have counted, by the RPC."""
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/weir.v1.Stats/GetStatus", b"{}", {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=10) as response:
        found: list[dict[str, Any]] = json.loads(response.read()).get("rateLimits", [])
    return found


class Reading:
    """How many have passed, at a moment between `before` and `after`."""

    def __init__(self, port: int) -> None:
        self.before = time.monotonic()
        self.passed = int(counted(port)[0].get("passed", 0))
        self.after = time.monotonic()


def statuses(rig: Rig, n: int, listener: int = 0) -> list[int]:
    """Each request on a connection of its own, so that any worker may get it."""
    return [rig.ask(b"GET / HTTP/1.1\r\nHost: test\r\n\r\n", listener=listener).status for _ in range(n)]


# A build with sanitizers or tracing does not keep up.
@pytest.mark.slow
@pytest.mark.figures
@pytest.mark.parametrize("rate", [500, 3_000])
def test_what_passes_is_the_rate_within_one_percent(weir: MakeRig, nginx: Server, rate: int) -> None:
    port, burst = free_port(), rate // 4
    rig = weir(
        endpoints=[nginx.address],
        listener={"rate_limit": [{"by": "client", "rate": f"{rate}/s", "burst": burst}]},
        top={**WORKERS, "workers": 3, "admin": {"address": f"127.0.0.1:{port}"}},
        log={"access": "off"},
    )
    rig.slack = 2
    eventually(lambda: len(children(rig.proxy.pid)) == 4, 10)
    started = time.monotonic()
    load = Load(rig.proxy.url("/ok"), 16, 64)
    time.sleep(1)  # until the burst is spent
    readings = [Reading(port)]
    shares = []
    # Other programs may take the processors away, so that for a while nobody comes to ask: then fewer pass. Of several
    # spans of time the best says what the limit does by itself.
    for _ in range(6):
        time.sleep(2)
        readings.append(Reading(port))
        one, other = readings[-2:]
        shares.append((other.passed - one.passed) / rate / ((other.before + other.after - one.before - one.after) / 2))
    seen = load.finish()
    print(f"{seen['requests']} requests; of {rate}/s passed: {', '.join(f'{share:.2%}' for share in shares)}")
    assert {seen[name] for name in ("connect", "read", "write", "timeout")} == {0}
    assert min(abs(share - 1) for share in shares) <= 0.01
    for reading in readings:
        assert reading.passed <= burst + rate * (reading.after - started), "never more, whatever the machine does"
    (limit,) = counted(port)
    answered = seen["requests"] - seen["bad"]
    assert answered <= int(limit["passed"]) <= answered + 64
    assert seen["bad"] <= int(limit["limited"]) <= seen["bad"] + 64
    assert "crowded" not in limit
    assert "evicted" not in limit


def test_a_burst_is_exact_over_workers(weir: MakeRig) -> None:
    limit = {"by": "all", "rate": "1/h", "burst": 300}
    rig = weir(listener={"rate_limit": [limit]}, top={**WORKERS, "workers": 4}, log={"access": "off"})
    rig.endpoint.reply(ok(b"ok"))
    askers = Askers(("127.0.0.1", rig.proxy.port), threads=8)
    eventually(lambda: len(askers.ledger.failed) > 300, 20)
    ledger = askers.stop()
    assert ledger.answered == len(rig.endpoint.requests) == 300
    assert all("HTTP/1.1 429 Too Many Requests" in how for _path, _when, how in ledger.failed)


def test_nobody_is_forgiven_by_a_reload_or_a_kill(weir: MakeRig) -> None:
    rig = weir(listener={"rate_limit": [HOUR]}, top=WORKERS)
    assert statuses(rig, 7) == [200] * 5 + [429] * 2
    reload(rig)
    assert statuses(rig, 4) == [429] * 4
    eventually(lambda: len(children(rig.proxy.pid)) == 2, 10)
    before = children(rig.proxy.pid)
    for pid in before:
        os.kill(pid, signal.SIGKILL)
    wait_successors(rig, before, 2)
    forget(rig, RELOADED, "worker ")
    eventually(lambda: statuses(rig, 1) == [429], 5)
    # Another rate is another limit.
    settings = rig.proxy.config_path.read_text()
    rig.proxy.config_path.write_text(settings.replace("5/h", "6/h"))
    reload(rig)
    # Until those of before have closed their sockets they may still be the ones who accept.
    eventually(lambda: len(children(rig.proxy.pid)) == 2, 10)
    assert statuses(rig, 7) == [200] * 6 + [429]
    eventually(lambda: len(children(rig.proxy.pid)) == 2, 10)
    forget(rig, RELOADED, "worker ")


def test_one_process_does_it_too(weir: MakeRig) -> None:
    port = free_port()
    rig = weir(
        listener={"rate_limit": [HOUR, {"by": "path", "rate": "3/h", "dry_run": True}]},
        top={**ALONE, "admin": {"address": f"127.0.0.1:{port}"}},
    )
    rig.slack = 2
    assert statuses(rig, 7) == [200] * 5 + [429] * 2
    by_client, by_path = counted(port)
    assert (by_client["name"], by_client["passed"], by_client["limited"]) == ("client 5/h", "5", "2")
    assert (by_path["dryRun"], by_path["passed"]) == (True, "3")
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as response:
        metrics = response.read().decode()
    label = r'route="127.0.0.1:0",rule="client 5/h",outcome="limited"'
    assert re.search(rf"^weir_rate_limit_requests_total\{{{label}\}} 2(\.0)?$", metrics, re.MULTILINE)
    assert [record["reason"] for record in rig.proxy.logged(2, status=429)] == ["rate_limited"] * 2


def test_a_limit_of_a_route_is_one_for_workers_and_sides_and_is_kept(weir: MakeRig) -> None:
    route = {"name": "split", "path": "/", "rate_limit": [{"by": "all", "rate": "1/h", "burst": 9}]}
    rig = weir(top={**WORKERS, "workers": 3, "route": [route | {"to": {"app": 1, "127.0.0.1:1": 0}}]})
    assert statuses(rig, 12) == [200] * 9 + [429] * 3
    assert rig.ask(b"GET /other HTTP/1.1\r\nHost: test\r\n\r\n").status == 200
    reload(rig)
    assert statuses(rig, 3) == [429] * 3
    eventually(lambda: len(children(rig.proxy.pid)) == 3, 10)
    forget(rig, RELOADED, "worker ")


def test_clients_behind_different_addresses_have_rates_of_their_own(weir: MakeRig) -> None:
    rig = weir(listener={"rate_limit": [HOUR]}, top=WORKERS)

    def ask(source: str) -> bytes:
        address = ("127.0.0.1", rig.proxy.port)
        with socket.create_connection(address, 5, source_address=(source, 0)) as sock:
            sock.sendall(b"GET / HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n")
            return sock.recv(65536)[9:12]

    assert [ask("127.0.0.1") for _ in range(6)] == [b"200"] * 5 + [b"429"]
    assert [ask("127.0.0.2") for _ in range(6)] == [b"200"] * 5 + [b"429"]


def test_what_waits_leaves_at_the_rate(weir: MakeRig) -> None:
    rig = weir(listener={"rate_limit": [{"by": "client", "rate": "20/s", "burst": 1, "delay": 20}]}, top=WORKERS)
    clients = [rig.connect() for _ in range(11)]
    started = time.monotonic()
    for client in clients:
        client.send(b"GET / HTTP/1.1\r\nHost: test\r\n\r\n")
    assert [client.response().status for client in clients] == [200] * 11
    took = time.monotonic() - started
    print(f"11 requests at 20/s: {took:.3f} s")
    assert 0.5 <= took < 10
