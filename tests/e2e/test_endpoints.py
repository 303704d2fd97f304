"""Endpoints that are added, drained and removed while weir runs, as an operator does it."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from .conftest import MakeRig
from .peers import Endpoint, ok
from .proxy import free_port, python_path
from .rig import WORKERS, Rig
from .test_reload import RELOADED, forget, reload
from .wire import eventually

pytestmark = pytest.mark.timeout(60)


class Fleet:
    """A weir with two workers, two endpoints in its cluster and one that is not in it."""

    def __init__(self, weir: MakeRig) -> None:
        self.endpoints = [Endpoint() for _ in range(3)]
        for number, endpoint in enumerate(self.endpoints):
            endpoint.reply(ok(b"%d" % number))
        self.port = free_port()
        self.rig: Rig = weir(
            endpoints=[endpoint.address for endpoint in self.endpoints[:2]],
            top={**WORKERS, "admin": {"address": f"127.0.0.1:{self.port}"}, "history": {"path": "off"}},
        )
        eventually(lambda: self.weir("list").returncode == 0, 10, "the admin address answers")
        # Answering, the admin process was no part of the idle self.
        self.rig.slack = 4

    def weir(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "weir", "endpoint", *arguments, "--admin", f"127.0.0.1:{self.port}"]
        return subprocess.run(command, capture_output=True, text=True, timeout=20, env=python_path(), check=False)

    def said(self, *arguments: str) -> str:
        done = self.weir(*arguments)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def states(self) -> dict[str, str]:
        return {one["endpoint"]: one["state"] for one in json.loads(self.said("list", "--json"))}

    def asked(self, times: int = 40) -> Counter[str]:
        """Which endpoints answer, over many connections, so that every worker is asked."""
        return Counter(self.rig.get("/").body.decode() for _ in range(times))

    def close(self) -> None:
        for endpoint in self.endpoints:
            endpoint.close()
            assert not endpoint.failures


def test_an_operators_day(weir: MakeRig, tmp_path: Path) -> None:
    fleet = Fleet(weir)
    first, second, third = (endpoint.address for endpoint in fleet.endpoints)
    assert fleet.states() == {first: "ready", second: "ready"}
    assert set(fleet.asked()) == {"0", "1"}
    # Draining holds at once, for all workers.
    assert "draining" in fleet.said("drain", "app", first)
    assert set(fleet.asked()) == {"1"}
    # A new one: every worker has it when the order is answered, so the others may go at once.
    assert third in fleet.said("add", "app", third)
    fleet.said("down", "app", second)
    assert set(fleet.asked()) == {"2"}
    # A reload changes nothing of it.
    reload(fleet.rig)
    forget(fleet.rig, RELOADED)
    eventually(lambda: set(fleet.asked(20)) == {"2"}, 5, "what was said is kept")
    fleet.said("ready", "app", first)
    fleet.said("ready", "app", second)
    fleet.said("remove", "app", third)
    eventually(lambda: set(fleet.asked(20)) == {"0", "1"}, 5, "the removed one is asked no more")
    eventually(lambda: fleet.states() == {first: "ready", second: "ready"}, 5)
    assert fleet.said("weight", "app", first, "7").split()[-6:-5] == ["7"]
    forget(fleet.rig, "cluster app: endpoint ")
    fleet.close()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("add", "ap", "127.0.0.1:1"), "there is no 'ap'; the configuration has: app"),
        (("add", "app", "127.0.0.1"), 'no port; write "127.0.0.1:80"'),
        (("drain", "app", "127.0.0.1:1"), "app has no '127.0.0.1:1'"),
        (("remove", "app", "{first}"), "comes from the configuration: it can be drained or ordered down"),
    ],
)
def test_what_cannot_be(weir: MakeRig, arguments: tuple[str, ...], message: str) -> None:
    fleet = Fleet(weir)
    done = fleet.weir(*(argument.format(first=fleet.endpoints[0].address) for argument in arguments))
    assert done.returncode == 1
    assert message in done.stderr
    assert set(fleet.states().values()) == {"ready"}
    fleet.close()


def test_one_that_was_removed_comes_back_by_the_configuration(weir: MakeRig) -> None:
    fleet = Fleet(weir)
    second, third = (endpoint.address for endpoint in fleet.endpoints[1:])
    fleet.said("add", "app", third)
    fleet.said("remove", "app", third)
    path = fleet.rig.proxy.config_path
    path.write_text(path.read_text().replace(f'"{second}"', f'"{third}"'))
    reload(fleet.rig)
    forget(fleet.rig, RELOADED)
    eventually(lambda: set(fleet.asked(20)) == {"0", "2"}, 5, "the configuration says who is asked")
    assert fleet.states()[third] == "ready"
    done = fleet.weir("remove", "app", third)
    assert "comes from the configuration" in done.stderr
    forget(fleet.rig, "cluster app: endpoint ")
    fleet.close()
