"""Real servers close connections just as requests come: no wrong answer, nothing served twice, and one can see why."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from .conftest import MakeRig
from .peers import Link, ok
from .proxy import free_port
from .rig import Rig
from .test_metrics import total
from .wire import eventually

ROOT = Path(__file__).resolve().parents[2]
POST = b"POST /p HTTP/1.1\r\nHost: test\r\nContent-Length: 5\r\n\r\nhello"


@pytest.mark.timeout(90)
@pytest.mark.heavy  # bursts of requests within milliseconds, beside seven servers
def test_servers_at_their_default_keep_alive() -> None:
    """`make keepalive`, for a short time: see bench/keepalive.py."""
    command = [sys.executable, "-m", "bench.keepalive", "--seconds", "24", "--pools", "1"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=80)
    print(done.stdout)
    assert done.returncode == 0, done.stdout + done.stderr


def with_admin(weir: MakeRig) -> tuple[Rig, int]:
    """One worker, for each learns by itself, and the port of its admin address."""
    port = free_port()
    admin = {"address": f"127.0.0.1:{port}"}
    rig = weir(top={"single_process": False, "workers": 1, "admin": admin, "history": {"path": "off"}})
    rig.slack = 3
    return rig, port


def keep_for(rig: Rig, seconds: float) -> None:
    """The endpoint closes a connection that has rested for so long."""

    def serve(link: Link) -> None:
        link.sock.settimeout(60)
        while (request := link.request()) is not None:
            rig.endpoint.record(request, link)
            link.send(ok(b"done"))
            link.sock.settimeout(seconds)
            with contextlib.suppress(TimeoutError):
                if link.sock.recv(1, socket.MSG_PEEK):
                    continue
            return

    rig.endpoint.handle(serve)


@pytest.mark.timeout(60)
def test_what_is_learned_is_published(weir: MakeRig) -> None:
    rig, port = with_admin(weir)
    keep_for(rig, 0.5)
    for _ in range(3):
        assert rig.get("/").status == 200
        rig.endpoint.wait_links(0)
        time.sleep(0.15)  # closes within 100 ms are one
    assert rig.get("/").status == 200
    eventually(lambda: 0.45 < total(port, "weir_upstream_learned_idle_timeout_seconds") < 0.6, 5)
    assert 0.35 < total(port, "weir_upstream_idle_limit_seconds") < 0.5
    assert total(port, "weir_upstream_spoiled_total") >= 2
    eventually(lambda: total(port, "weir_upstream_retired_total") >= 1, 5)
    spoiled = total(port, "weir_upstream_spoiled_total")
    for _ in range(3):
        assert rig.get("/").status == 200
        time.sleep(0.7)
    # One may rest on as the probe, and be closed by the endpoint: what it is for.
    eventually(lambda: total(port, "weir_upstream_retired_total") >= 3, 5)
    assert total(port, "weir_upstream_spoiled_total") <= spoiled + 2


@pytest.mark.timeout(30)
def test_a_post_takes_no_connection_that_has_rested_for_long(weir: MakeRig) -> None:
    rig = weir()
    assert rig.get("/").status == 200
    time.sleep(1.1)
    assert rig.ask(POST, "POST").status == 200
    assert rig.ask(POST, "POST").status == 200
    assert [request.link for request in rig.endpoint.requests] == [0, 1, 1]


@pytest.mark.timeout(30)
def test_a_race_that_is_lost_is_counted(weir: MakeRig) -> None:
    rig, port = with_admin(weir)

    def once(link: Link) -> None:
        request = link.request()
        while request is not None and link.number > 0:
            rig.endpoint.record(request, link)
            link.send(ok(b"done"))
            request = link.request()
        if request is not None:
            link.send(ok(b"done"))
            link.request()  # read, and the connection closed over it
            link.close()

    rig.endpoint.handle(once)
    assert rig.get("/").status == 200
    assert rig.get("/again").status == 200
    eventually(lambda: total(port, "weir_upstream_races_lost_total") == 1, 5)
    eventually(lambda: total(port, "weir_upstream_races_saved_total") == 1, 5)
