"""Under load: every answer is right, and servers that are killed and started again are survived."""

from __future__ import annotations

import re
import subprocess
import time
from pathlib import Path

import pytest

from .conftest import MakeRig
from .rig import Rig
from .servers import ASGI, NGINX, WSGI, Server, start_nginx, start_wsgi

pytestmark = [pytest.mark.timeout(40), pytest.mark.heavy]


class Load:
    """A running wrk; `finish` returns what it counted."""

    def __init__(self, url: str, seconds: int, connections: int, *options: str) -> None:
        command = ["wrk", "-t", "1", "-c", str(connections), "-d", str(seconds), "--timeout", "5", *options, url]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)

    def finish(self) -> dict[str, int]:
        output = self.process.communicate(timeout=30)[0]
        assert self.process.returncode == 0, output
        found = re.search(r"(\d+) requests in", output)
        assert found is not None, output
        counted = {"requests": int(found[1]), "bad": 0, "connect": 0, "read": 0, "write": 0, "timeout": 0}
        if errors := re.search(r"Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)", output):
            counted |= {
                name: int(n) for name, n in zip(("connect", "read", "write", "timeout"), errors.groups(), strict=True)
            }
        if bad := re.search(r"Non-2xx or 3xx responses: (\d+)", output):
            counted["bad"] = int(bad[1])
        print(" ".join(output.split()))
        return counted


def without_errors(counted: dict[str, int], at_least: int) -> None:
    assert counted["requests"] >= at_least
    assert {name: n for name, n in counted.items() if name != "requests" and n} == {}


@pytest.mark.parametrize(
    ("listener", "path", "connections", "at_least"),
    [
        pytest.param(NGINX, "/empty", 64, 200, id="nginx-empty"),
        pytest.param(NGINX, "/small.txt", 64, 200, id="nginx-1k"),
        pytest.param(NGINX, "/page.html", 64, 100, id="nginx-64k"),
        pytest.param(NGINX, "/large.bin", 8, 5, id="nginx-16m"),
        pytest.param(ASGI, "/chunks", 16, 5, id="uvicorn-chunked"),
        pytest.param(WSGI, "/echo", 16, 10, id="gunicorn"),
    ],
)
def test_no_error_under_load(town: Rig, listener: int, path: str, connections: int, at_least: int) -> None:
    without_errors(Load(town.proxy.url(path, listener), 1, connections).finish(), at_least)


def test_no_error_with_a_connection_per_request(town: Rig) -> None:
    load = Load(town.proxy.url("/small.txt", NGINX), 1, 32, "-H", "Connection: close")
    without_errors(load.finish(), 200)


def test_a_thousand_connections(weir: MakeRig, nginx: Server) -> None:
    rig = weir(endpoints=[nginx.address], pool={"idle_timeout": "300ms"}, log={"access": "off"})
    without_errors(Load(rig.proxy.url("/small.txt"), 2, 1000).finish(), 200)


def killed_and_restarted(rig: Rig, server: Server, path: str) -> None:
    """Kills the server under load and starts it again: errors in between, none afterwards, nothing leaks."""
    load = Load(rig.proxy.url(path), 3, 32)
    time.sleep(0.7)
    server.kill()
    time.sleep(0.5)
    server.restart()
    during = load.finish()
    assert during["requests"] > 50
    assert during["timeout"] == 0
    reasons = {record["reason"] for record in rig.proxy.records() if record["status"] == 502}
    assert "connect_refused" in reasons
    assert reasons <= {"connect_refused", "connect_failed", "upstream_closed", "upstream_reset"}
    without_errors(Load(rig.proxy.url(path), 1, 16).finish(), 20)


def test_nginx_is_killed_and_restarted(weir: MakeRig, tmp_path: Path) -> None:
    directory = tmp_path / "nginx"
    directory.mkdir()
    with start_nginx(directory) as server:
        killed_and_restarted(weir(endpoints=[server.address], pool={"idle_timeout": "300ms"}), server, "/small.txt")


def test_gunicorn_is_killed_and_restarted(weir: MakeRig, tmp_path: Path) -> None:
    directory = tmp_path / "gunicorn"
    directory.mkdir()
    with start_wsgi(directory) as server:
        killed_and_restarted(weir(endpoints=[server.address], pool={"idle_timeout": "300ms"}), server, "/slow")
