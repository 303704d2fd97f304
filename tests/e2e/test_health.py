"""Endpoints that die, hang, refuse, fail and flap: they are found out in time, by one worker for all."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import re
import signal
import struct
import subprocess
import sys
import time
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from weir.control.health import DUTY_LOCK_AT
from weir.stats import layout
from weir.stats.ejection import most_ejected
from weir.stats.happened import happened
from weir.stats.roster import Health, Standing, State, standings, state_of, why_text

from .askers import Askers
from .conftest import MakeRig
from .proxy import Proxy, free_port, python_path
from .rig import WORKERS, Rig
from .servers import Server, running, start_nginx
from .test_reload import children, forget, reload
from .wire import eventually

pytestmark = pytest.mark.timeout(90)

INTERVAL_S, TIMEOUT_S, AFTER = 0.2, 0.3, 2
CHECKS = {"type": "http", "interval": "200ms", "timeout": "300ms", "unhealthy_after": AFTER, "healthy_after": AFTER}
# What a busy machine may add.
SLACK_S = 5.0
# Said of endpoints that fail.
SAID = ("cluster app:",)


class Moody:
    """A process of its own that answers as it is told."""

    def __init__(self, server: Server, file: Path) -> None:
        self.server, self.file = server, file

    def be(self, mood: str) -> None:
        # Replaced, so that nobody reads it half written.
        new = self.file.with_suffix(".new")
        new.write_text(mood)
        new.replace(self.file)

    def signal(self, number: signal.Signals) -> None:
        os.killpg(self.server.process.pid, number)


@contextmanager
def endpoints(directory: Path, count: int) -> Iterator[list[Moody]]:
    with ExitStack() as stack:
        made = []
        for number in range(count):
            file, port = directory / f"mood{number}", free_port()
            file.write_text("ok")
            command = [sys.executable, str(Path(__file__).parent / "moody.py"), str(port), str(file)]
            made.append(Moody(stack.enter_context(running(command, port)), file))
        yield made
        for one in made:
            with contextlib.suppress(ProcessLookupError):
                one.signal(signal.SIGCONT)


@contextmanager
def table_of(proxy: Proxy, flags: int = os.O_RDONLY) -> Iterator[layout.Table]:
    with layout.attach(os.open(proxy.table_file(), flags)) as table:
        yield table


def now_us() -> int:
    return time.monotonic_ns() // 1000


def wait_for(table: layout.Table, number: int, health: Health, seconds: float) -> Standing:
    eventually(lambda: standings(table)[number].health == health, seconds, f"endpoint {number} {health.name}")
    return standings(table)[number]


def answers(rig: Rig, times: int) -> Counter[tuple[int, str]]:
    """Statuses and who has sent them, of requests on connections of their own."""
    found: Counter[tuple[int, str]] = Counter()
    for _ in range(times):
        response = rig.get("/")
        found[response.head.status, response.body.decode(errors="replace")] += 1
    return found


@pytest.mark.parametrize(
    ("what", "why"),
    [
        ("killed", "connect_refused"),
        ("stopped", "_timeout"),
        ("500", "status 500"),
        ("garbage", "bad_response"),
        ("silent", "response_timeout"),
        ("close", "upstream_closed"),
    ],
)
def test_who_fails_is_found_out_in_time_and_comes_back(weir: MakeRig, tmp_path: Path, what: str, why: str) -> None:
    with endpoints(tmp_path, 3) as behind:
        # One process, without an admin address: it needs neither.
        rig = weir(
            endpoints=[one.server.address for one in behind],
            cluster={"health": CHECKS, "ejection": {"failures": "off"}},
        )
        with table_of(rig.proxy) as table:
            for number in range(3):
                wait_for(table, number, Health.HEALTHY, 10)
            began = time.monotonic()
            if what == "killed":
                behind[0].server.kill()
            elif what == "stopped":
                behind[0].signal(signal.SIGSTOP)
            else:
                behind[0].be(what)
            told = wait_for(table, 0, Health.UNHEALTHY, 20)
            took = time.monotonic() - began
            bound = AFTER * max(INTERVAL_S * 1.1, TIMEOUT_S) + INTERVAL_S * 1.1 + TIMEOUT_S
            print(f"{what}: unhealthy after {took:.2f} s (bound {bound:.2f} s): {why_text(told.health_reason)}")
            assert took < bound + SLACK_S
            assert why_text(told.health_reason).endswith(why)
            ports = {str(one.server.port) for one in behind[1:]}
            assert set(answers(rig, 30)) == {(200, port) for port in ports}
            began = time.monotonic()
            if what == "killed":
                behind[0].server.restart()
            behind[0].signal(signal.SIGCONT)
            behind[0].be("ok")
            told = wait_for(table, 0, Health.HEALTHY, 20)
            took = time.monotonic() - began
            print(f"{what}: healthy again after {took:.2f} s")
            assert took < (AFTER + 1) * INTERVAL_S * 1.1 + TIMEOUT_S + SLACK_S
            assert told.joined_us > 0
            assert set(answers(rig, 12)) == {(200, str(one.server.port)) for one in behind}
            eventually(lambda: len(happened(table)) == 2, 5, "both changes are noted")
            assert [(one.old, one.new) for one in happened(table)] == [
                (State.READY, State.UNHEALTHY),
                (State.UNHEALTHY, State.READY),
            ]
        eventually(lambda: sum(line.startswith(SAID) for line in rig.proxy.stderr) >= 2, 5, "both are said")
        said = forget(rig, *SAID)
        address = behind[0].server.address
        assert [re.sub(": .*", "", line.removeprefix("cluster app: ")) for line in said] == [
            f"endpoint {address} is unhealthy, was ready",
            f"endpoint {address} is ready, was unhealthy",
        ]


def test_one_that_flaps_stays_where_it_is(weir: MakeRig, tmp_path: Path) -> None:
    with endpoints(tmp_path, 2) as behind:
        behind[0].be("flap")
        rig = weir(endpoints=[one.server.address for one in behind], cluster={"health": CHECKS})
        with table_of(rig.proxy) as table:
            wait_for(table, 0, Health.HEALTHY, 10)
            eventually(lambda: standings(table)[0].checks >= 12, 20)
            told = standings(table)[0]
            assert told.health == Health.HEALTHY
            assert told.checks_failed >= 4
            assert happened(table) == []


def holder(table: layout.Table) -> int:
    """The process that has the duty; 0: none."""
    asked = struct.pack("hhqqi4x", fcntl.F_WRLCK, os.SEEK_SET, DUTY_LOCK_AT, 1, 0)
    kind, _whence, _start, _length, pid = struct.unpack("hhqqi4x", fcntl.fcntl(table.fd, fcntl.F_GETLK, asked))
    return 0 if kind == fcntl.F_UNLCK else pid


def hands_over(table: layout.Table, first: int) -> Callable[[], bool]:
    return lambda: holder(table) not in (0, first)


def checks_on(table: layout.Table) -> Callable[[], bool]:
    before = standings(table)[0].checks
    return lambda: standings(table)[0].checks > before + 1


def test_when_the_one_who_checks_is_killed_another_one_does(weir: MakeRig, tmp_path: Path) -> None:
    with endpoints(tmp_path, 3) as behind:
        rig = weir(endpoints=[one.server.address for one in behind], cluster={"health": CHECKS}, top=WORKERS)
        with table_of(rig.proxy, os.O_RDWR) as table:
            wait_for(table, 0, Health.HEALTHY, 10)
            for _ in range(3):
                first = holder(table)
                workers = children(rig.proxy.pid)
                assert first in workers
                os.kill(first, signal.SIGKILL)
                began = time.monotonic()
                eventually(hands_over(table, first), 10, "another one has the duty")
                took = time.monotonic() - began
                print(f"another one has the duty after {took:.2f} s")
                assert took < 2 + SLACK_S
                eventually(checks_on(table), 10, "it checks")
                eventually(lambda: len(children(rig.proxy.pid)) == 2, 10, "two workers again")
            behind[0].server.kill()
            wait_for(table, 0, Health.UNHEALTHY, 10)
            eventually(lambda: len(happened(table)) == 1, 5)
            # Verdicts outlive a worker, and are not said again.
            os.kill(holder(table), signal.SIGKILL)
            eventually(lambda: holder(table) != 0, 10)
            time.sleep(1.5)
            assert len(happened(table)) == 1
            assert set(answers(rig, 20)) == {(200, str(one.server.port)) for one in behind[1:]}
        forget(rig, *SAID, "worker ")


def test_a_reload_hands_the_duty_over_and_switches_checks_off(weir: MakeRig, tmp_path: Path) -> None:
    with endpoints(tmp_path, 2) as behind:
        addresses = [one.server.address for one in behind]
        rig = weir(endpoints=addresses, cluster={"health": CHECKS}, top=WORKERS)
        with table_of(rig.proxy, os.O_RDWR) as table:
            behind[0].server.kill()
            wait_for(table, 0, Health.UNHEALTHY, 10)
            before = holder(table)
            reload(rig)
            eventually(hands_over(table, before), 10, "a new worker has the duty")
            assert standings(table)[0].health == Health.UNHEALTHY, "a reload forgets nothing"
            settings = rig.proxy.config_path.read_text()
            rig.proxy.config_path.write_text(settings.replace('type = "http"', 'type = "off"'))
            reload(rig)
            wait_for(table, 0, Health.UNKNOWN, 10)
            behind[0].server.restart()
            assert set(answers(rig, 20)) == {(200, str(one.server.port)) for one in behind}
        forget(rig, *SAID, "reloaded", "weir: reloaded")


def test_who_dies_is_ejected_and_no_client_sees_it(weir: MakeRig, tmp_path: Path) -> None:
    with endpoints(tmp_path, 3) as behind:
        rig = weir(
            endpoints=[one.server.address for one in behind],
            cluster={"ejection": {"failures": 3, "time": "1s", "max_time": "3s"}},
            top=WORKERS,
        )
        with table_of(rig.proxy) as table:
            askers = Askers(("127.0.0.1", rig.proxy.port), 4)
            time.sleep(0.5)
            behind[2].server.kill()
            # What was in flight on it may be lost; from here on nothing is.
            eventually(lambda: state_of(standings(table)[2]) == State.EJECTED, 10, "ejected")
            lost = len(askers.ledger.failed)
            time.sleep(3.0)
            ledger = askers.stop()
            print(f"{ledger.answered} answered, {lost} lost as it died, {len(ledger.failed) - lost} after that")
            assert len(ledger.failed) == lost
            assert standings(table)[2].ejections_made >= 2, "it was tried again, and ejected again"
            behind[2].server.restart()
            eventually(lambda: state_of(standings(table)[2]) == State.READY, 10)
            eventually(lambda: (200, str(behind[2].server.port)) in answers(rig, 6), 10)
        said = forget(rig, *SAID)
        assert re.search(r"is ejected for [0-3] s, was ready: (connect_refused|upstream_)", said[0])


def test_never_more_are_ejected_than_may_be(weir: MakeRig, tmp_path: Path) -> None:
    with endpoints(tmp_path, 5) as behind:
        for one in behind:
            one.be("garbage")
        ejection = {"failures": 2, "time": "1s", "max_time": "1s", "max_ejected": "40%"}
        rig = weir(
            endpoints=[one.server.address for one in behind],
            cluster={"ejection": ejection},
            top={**WORKERS, "workers": 4},
        )
        most, seen, samples = most_ejected(5, 40), 0, 0
        with table_of(rig.proxy) as table:
            askers = Askers(("127.0.0.1", rig.proxy.port), 8)
            end = time.monotonic() + 5
            while time.monotonic() < end:
                # One that is read late may have ended meanwhile, never the other way round.
                ejected = sum(one.ejected_until_us > now_us() for one in standings(table))
                assert ejected <= most
                seen, samples = max(seen, ejected), samples + 1
                time.sleep(0.001)
            askers.stop()
            made = sum(one.ejections_made for one in standings(table))
        print(f"{made} ejections, at most {seen} of 5 at a time in {samples} looks")
        assert seen == most
        assert made >= 6
        forget(rig, *SAID)


def stats(port: int, *arguments: str) -> str:
    command = [sys.executable, "-m", "weir", "stats", "--endpoints", *arguments, "--admin", f"127.0.0.1:{port}"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, env=python_path(), check=False)
    return done.stdout if done.returncode == 0 else done.stderr


def test_panic_asks_all_and_everybody_can_see_it(weir: MakeRig, tmp_path: Path) -> None:
    with endpoints(tmp_path, 3) as behind:
        port = free_port()
        rig = weir(
            endpoints=[one.server.address for one in behind],
            cluster={"health": {**CHECKS, "path": "/up"}, "ejection": {"failures": "off"}, "panic_below": "50%"},
            top={**WORKERS, "admin": {"address": f"127.0.0.1:{port}"}},
        )
        rig.slack = 4
        with table_of(rig.proxy) as table:
            wait_for(table, 2, Health.HEALTHY, 10)
            for one in behind[:2]:
                one.be("500")
            for number in range(2):
                wait_for(table, number, Health.UNHEALTHY, 10)
            eventually(lambda: len(happened(table)) == 2, 5)
        found = answers(rig, 24)
        assert {port for _status, port in found} == {str(one.server.port) for one in behind}, "all are asked"
        eventually(lambda: "all are asked" in stats(port), 15)
        shown = stats(port)
        print(shown)
        assert shown.count("status 500") == 4
        assert len(re.findall("^unhealthy ", shown, re.MULTILINE)) == 2
        told: dict[str, Any] = json.loads(stats(port, "--json"))
        assert told["panics"] == ["app"]
        assert sorted(one["state"] for one in told["endpoints"]) == ["ready", "unhealthy", "unhealthy"]
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
            metrics = answer.read().decode()
        assert metrics.count('weir_upstream_healthy{cluster="app",endpoint="127.0.0.1:') == 3
        assert len(re.findall(r"^weir_upstream_healthy\{.*\} 0$", metrics, re.MULTILINE)) == 2
        assert re.search(r'^weir_cluster_panics\{cluster="app"\} 2$', metrics, re.MULTILINE)
        said = forget(rig, *SAID)
        assert any("too few of its endpoints are usable, all are asked" in line for line in said)


def all_checked(table: layout.Table) -> Callable[[], bool]:
    return lambda: all(one.health for one in standings(table))


# A build with sanitizers or tracing is slower by far.
@pytest.mark.slow
@pytest.mark.figures
def test_a_thousand_endpoints_cost_little_and_nobody_waits(weir: MakeRig, tmp_path: Path) -> None:
    names = [f"127.2.{n // 250}.{n % 250 + 1}" for n in range(1000)]
    with start_nginx(tmp_path) as server:
        configuration = tmp_path / "nginx.conf"
        lines = "".join(f"listen {name}:{server.port};" for name in names)
        configuration.write_text(
            configuration.read_text().replace(f"listen 127.0.0.1:{server.port} backlog=4096;", lines)
        )
        server.kill()
        port = server.port
        process = subprocess.Popen([*server.command], stderr=subprocess.DEVNULL, start_new_session=True)
        try:
            spent, worst, pings = {}, {}, {}
            for kind, health in (("off", {"type": "off"}), ("http", {"type": "http", "path": "/ok"})):
                rig = weir(endpoints=[f"{name}:{port}" for name in names], cluster={"health": health})
                with table_of(rig.proxy) as table:
                    if kind == "http":
                        eventually(all_checked(table), 20)
                    client = rig.connect()
                    cpu, began, longest = rig.proxy.cpu_seconds(), time.monotonic(), []
                    while time.monotonic() < began + 6:
                        sent = time.monotonic()
                        client.send(b"GET /ok HTTP/1.1\r\nHost: h\r\n\r\n")
                        client.response("GET")
                        longest.append(time.monotonic() - sent)
                        time.sleep(0.005)
                    spent[kind] = (rig.proxy.cpu_seconds() - cpu) / (time.monotonic() - began)
                    worst[kind] = sorted(longest)[-3] * 1000
                    pings[kind] = sorted(longest)[len(longest) // 2] * 1000
                    client.close()
        finally:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    for kind in spent:
        print(
            f"1000 endpoints, checks {kind}: {spent[kind] * 100:.1f} % of a core; a request takes"
            f" {pings[kind]:.2f} ms, the third slowest {worst[kind]:.1f} ms"
        )
    assert spent["http"] - spent["off"] < 0.25
    assert worst["http"] < worst["off"] + 60
