"""USR2: the next weir takes over from the one that runs, without a closed port; or it does not, and nothing happens."""

from __future__ import annotations

import os
import re
import signal
import socket
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from .askers import Askers
from .conftest import MakeRig
from .peers import Endpoint, Link, dial, ok
from .proxy import Proxy, configuration, free_port
from .rig import WORKERS, Rig, tables
from .test_reload import children, forget, said, write
from .wire import eventually

pytestmark = pytest.mark.timeout(120)

UPGRADED = "weir: upgraded: process "


def upgrade(rig: Rig) -> int:
    """Upgrades, and returns the process that runs from now on. The rig's proxy stands for it."""
    old, before = rig.proxy.pid, len(said(rig, UPGRADED))
    os.kill(old, signal.SIGUSR2)
    eventually(lambda: len(said(rig, UPGRADED)) > before, 60, f"upgraded; it says {rig.proxy.stderr}")
    new = int(said(rig, UPGRADED)[-1].removeprefix(UPGRADED).split()[0])
    assert new != old
    rig.proxy.pid = new
    return new


def is_there(pid: int) -> bool:
    """Whether a process runs; one that nobody has waited for does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def end(rig: Rig, pid: int) -> None:
    """Ends the weir that has taken over, and the books of the rig."""
    eventually(
        lambda: len(rig.proxy.descriptors()) <= len(rig.proxy.idle_descriptors), 10, "no descriptor is left over"
    )
    os.kill(pid, signal.SIGTERM)
    eventually(lambda: not is_there(pid), 20, "the new one has ended")
    assert rig.proxy.wait(10) == 0
    rig.stopped = True
    forget(rig, "weir: upgrad")


@pytest.fixture
def upgradable(weir: MakeRig) -> Iterator[MakeRig]:
    """As `weir`; whatever a test leaves running is ended."""
    made: list[Rig] = []

    def make(*given: Any, **options: Any) -> Rig:
        made.append(weir(*given, **options))
        return made[-1]

    yield make
    for rig in made:
        if rig.proxy.pid != rig.proxy.process.pid and is_there(rig.proxy.pid):
            os.kill(rig.proxy.pid, signal.SIGKILL)


def test_under_load_nothing_is_lost_and_statistics_go_on(upgradable: MakeRig, tmp_path: Path) -> None:
    endpoint = Endpoint()
    pieces = 0
    streaming = threading.Event()

    def serve(link: Link) -> None:
        nonlocal pieces
        while (request := link.request()) is not None:
            endpoint.record(request, link)
            if request.head.target != "/stream":
                link.send(ok(b"short"))
                continue
            link.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
            streaming.set()
            while streaming.is_set():
                link.send(b"5\r\npiece\r\n")
                pieces += 1
                time.sleep(0.05)
            link.send(b"0\r\n\r\n")

    endpoint.handle(serve)
    pid_file = tmp_path / "weir.pid"
    rig = upgradable(endpoint=endpoint, top={**WORKERS, "drain_timeout": "60s", "pid_file": str(pid_file)})
    first = rig.proxy.pid
    assert pid_file.read_text() == f"{first}\n"
    stream = rig.connect(timeout=90)
    stream.send(b"GET /stream HTTP/1.1\r\nHost: test\r\n\r\n")
    assert streaming.wait(5)
    askers = Askers(("127.0.0.1", rig.proxy.port))
    time.sleep(0.5)
    second = upgrade(rig)
    eventually(lambda: pid_file.read_text() == f"{second}\n", 10, "the pid file names the new one")
    time.sleep(0.5)
    assert is_there(first), "the stream still runs there"
    ledger = askers.stop()
    streaming.clear()
    response = stream.response()
    assert response.body == b"piece" * pieces
    eventually(lambda: not is_there(first), 10, "the old one ends when its stream does")
    print(f"{ledger.answered} short requests, {pieces} pieces of the stream")
    assert ledger.failed == []
    assert ledger.answered > 50
    asked = len(endpoint.requests)
    assert asked == ledger.answered + 1
    eventually(lambda: rig.proxy.table_requests() >= asked, 5, "counted")
    assert rig.proxy.table_requests() == asked, "in the table that both have used, each once"
    end(rig, second)
    assert not pid_file.exists()


def test_again_and_again_with_reloads_between(upgradable: MakeRig) -> None:
    rig = upgradable(top=WORKERS)
    askers = Askers(("127.0.0.1", rig.proxy.port), threads=2, pause_s=0.005)
    pid = rig.proxy.pid
    for round_ in range(3):
        old = pid
        pid = upgrade(rig)
        eventually(lambda old=old: not is_there(old), 20, "the one before has ended")  # type: ignore[misc]
        before = len(said(rig, "weir: reloaded"))
        os.kill(pid, signal.SIGHUP)
        eventually(lambda n=before: len(said(rig, "weir: reloaded")) > n, 30, "reloaded")  # type: ignore[misc]
        assert len(children(pid)) >= 2, round_
    ledger = askers.stop()
    assert ledger.failed == []
    eventually(lambda: rig.proxy.table_requests() == ledger.answered, 5, "each counted once")
    forget(rig, "weir: reloaded")
    end(rig, pid)


def test_a_new_one_that_cannot_begin_leaves_the_old_one(upgradable: MakeRig, tmp_path: Path) -> None:
    pid_file = tmp_path / "weir.pid"
    rig = upgradable(top={**WORKERS, "pid_file": str(pid_file)})
    pid, before = rig.proxy.pid, children(rig.proxy.pid)
    good = rig.proxy.config_path.read_text()
    for text, why in (
        ("nonsense = 1\n" + good, "ended with status 2 before it served"),
        (good.replace(str(rig.proxy.log_path), "/nowhere/access.log"), "ended with status 1 before it served"),
        ("single_process = true\n" + re.sub("(?m)^(single_process|workers) = .*$", "", good), "ended with status 1"),
    ):
        rig.proxy.config_path.write_text(text)
        os.kill(pid, signal.SIGUSR2)
        eventually(lambda: said(rig, "weir: not upgraded"), 30, "said")
        assert why in forget(rig, "weir: not upgraded")[0]
        assert rig.get("/still").status == 200
        eventually(lambda: children(pid) == before, 10, "nobody is left of it")
        assert pid_file.read_text() == f"{pid}\n"
    rig.proxy.config_path.write_text(good)
    forget(rig, "weir: upgrading", f"weir: {rig.proxy.config_path}", "weir: cannot write", "weir: single_process")
    # Its descriptors are free again, and an upgrade is still possible.
    rig.proxy.check_ledger()
    end(rig, upgrade(rig))


def test_another_program(upgradable: MakeRig, tmp_path: Path) -> None:
    program = tmp_path / "weir-2"
    program.write_text(f'#!/bin/sh\necho "weir: this is the second version" >&2\nexec {sys.executable} -m weir "$@"\n')
    rig = upgradable(top={**WORKERS, "upgrade_program": str(program)})
    os.kill(rig.proxy.pid, signal.SIGUSR2)
    eventually(lambda: said(rig, "weir: not upgraded"), 20)
    forget(rig, "weir: not upgraded", "weir: upgrading")
    assert forget(rig, f"weir: {program}") == [f"weir: {program} cannot be started: permission denied"]
    program.chmod(0o755)
    second = upgrade(rig)
    assert forget(rig, "weir: this is the second version")
    assert rig.get("/").status == 200
    end(rig, second)


def test_what_the_new_configuration_says_holds(upgradable: MakeRig, tmp_path: Path) -> None:
    """Listeners come and go, other workers in number, and a table of another size, which begins anew."""
    ports = [free_port(), free_port()]
    path = tmp_path / "weir.sock"
    rig = upgradable(top={**WORKERS, "workers": 2}, listener={"address": f"127.0.0.1:{ports[0]}"})
    assert rig.get("/").status == 200
    settings = tables(
        rig.proxy.config_path.parent,
        [rig.endpoint.address],
        top={**WORKERS, "workers": 1},
        stats={"rows": 64},
        listener={"address": f"127.0.0.1:{ports[1]}"},
    )
    settings["listener"] += [{"address": f"unix:{path}", "to": "app"}]
    write(rig, settings)
    second = upgrade(rig)
    assert forget(rig, "statistics begin anew") == ["statistics begin anew: stats.rows is 64 now, and was 4096"]
    for address in (("127.0.0.1", ports[1]), str(path)):
        with dial(address) as client:
            client.send(b"GET /new HTTP/1.1\r\nHost: test\r\n\r\n")
            assert client.response().status == 200

    def refused() -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", ports[0])) != 0

    eventually(refused, 10, "the address that has gone is closed")
    eventually(lambda: len(children(second)) == 1, 10, "one worker")
    end(rig, second)
    assert not path.exists()


def test_unix_sockets_and_the_admin_address_are_handed_over(upgradable: MakeRig, tmp_path: Path) -> None:
    path, admin = tmp_path / "weir.sock", tmp_path / "admin.sock"
    history = tmp_path / "history.db"
    top = {**WORKERS, "admin": {"address": f"unix:{admin}"}, "history": {"path": str(history)}}
    rig = upgradable(top=top, listener={"address": f"unix:{path}"})

    def ask_admin() -> bytes:
        with dial(str(admin)) as client:
            client.send(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            return client.response().body

    eventually(lambda: b"weir_" in ask_admin(), 10)
    inodes = (path.stat().st_ino, admin.stat().st_ino)
    failures: list[Exception] = []
    over = threading.Event()

    def keep_asking() -> None:
        while not over.is_set():
            try:
                assert b"weir_" in ask_admin()
            except (OSError, AssertionError) as error:
                failures.append(error)
            time.sleep(0.02)

    thread = threading.Thread(target=keep_asking)
    thread.start()
    second = upgrade(rig)
    eventually(lambda: not is_there(rig.proxy.process.pid), 20, "the old one has ended")
    time.sleep(0.3)
    over.set()
    thread.join()
    assert failures == []
    assert (path.stat().st_ino, admin.stat().st_ino) == inodes, "the very sockets"
    assert rig.get("/").status == 200
    end(rig, second)
    assert not path.exists()
    assert not admin.exists()
    assert said(rig, "history") == []


def test_an_old_one_that_is_killed_is_succeeded_all_the_same(upgradable: MakeRig, tmp_path: Path) -> None:
    pid_file = tmp_path / "weir.pid"
    rig = upgradable(top={**WORKERS, "pid_file": str(pid_file), "drain_timeout": "20s"})
    rig.endpoint.reply(1.5, ok(b"late"))
    client = rig.connect()
    client.send(b"GET /late HTTP/1.1\r\nHost: test\r\n\r\n")
    rig.endpoint.wait_requests(1)
    old = rig.proxy.pid
    second = upgrade(rig)
    os.kill(old, signal.SIGKILL)
    assert client.response().body == b"late"
    eventually(lambda: pid_file.read_text() == f"{second}\n", 10)
    rig.proxy.expected_status = -signal.SIGKILL
    rig.proxy.process.wait()
    forget(rig, "the supervisor is gone")
    os.kill(second, signal.SIGTERM)
    eventually(lambda: not is_there(second), 20)
    rig.stopped = True
    assert not pid_file.exists()
    forget(rig, "weir: upgrad")


def test_the_service_manager_follows(tmp_path: Path) -> None:
    endpoint = Endpoint()
    path = str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(path)
        manager.settimeout(30)

        def heard() -> dict[str, str]:
            while (message := manager.recv(1000).decode()) == "WATCHDOG=1":
                pass
            return dict(line.split("=", 1) for line in message.splitlines())

        settings = tables(tmp_path, [endpoint.address], top=WORKERS)
        proxy = Proxy(tmp_path, settings, environment={"NOTIFY_SOCKET": path, "WATCHDOG_USEC": "10000000"})
        assert heard()["READY"] == "1"
        rig = Rig(proxy, endpoint)
        second = upgrade(rig)
        assert heard() == {"MAINPID": str(second)}
        assert heard()["READY"] == "1", "said by the new one"
        manager.settimeout(10)
        assert manager.recv(1000) == b"WATCHDOG=1", "and that it is alive"
        os.kill(second, signal.SIGTERM)
        assert heard()["STOPPING"] == "1"
        eventually(lambda: not is_there(second), 20)
        assert proxy.wait() == 0
    endpoint.close()


def test_process_1_is_not_upgraded(tmp_path: Path) -> None:
    """In a container its end would be the container's. Here: in a namespace of processes of its own."""
    endpoint = Endpoint()
    settings = tables(tmp_path, [endpoint.address], top=WORKERS)
    proxy = Proxy(tmp_path, settings, prefix=["unshare", "--pid", "--fork", "--mount-proc", "--kill-child"])
    (weir,) = children(proxy.pid)
    os.kill(weir, signal.SIGUSR2)
    rig = Rig(proxy, endpoint)
    eventually(lambda: said(rig, "weir: not upgraded: this is process 1"), 10)
    os.kill(weir, signal.SIGTERM)
    proxy.wait()
    endpoint.close()


def test_a_configuration_from_options(tmp_path: Path) -> None:
    endpoint = Endpoint()
    options = ["--listen", "127.0.0.1:0", "--to", endpoint.address, "--admin", "off", "--workers", "1"]
    proxy = Proxy(tmp_path, {}, options)
    rig = Rig(proxy, endpoint)
    port = proxy.port
    second = upgrade(rig)
    assert proxy.port == port, "port 0 stays the port that it was"
    assert rig.get("/").status == 200
    for client in rig.clients:
        client.close()
    end(rig, second)
    assert configuration({}) == "\n"
    endpoint.close()


SLOW = """
import os, pathlib, time

here = pathlib.Path(__file__).parent
(here / f"read-{os.getpid()}").touch()
if (here / "slow").exists():
    time.sleep(0.5)
"""


def test_a_reload_that_is_wanted_meanwhile_is_the_new_ones(upgradable: MakeRig, tmp_path: Path) -> None:
    """It may have read the file before it was changed."""
    (tmp_path / "hooks.py").write_text(SLOW)
    rig = upgradable(top={**WORKERS, "hooks": str(tmp_path / "hooks.py")})
    first = rig.proxy.pid
    before = set(tmp_path.glob("read-*"))
    (tmp_path / "slow").touch()
    os.kill(first, signal.SIGUSR2)
    eventually(lambda: set(tmp_path.glob("read-*")) > before, 20, "the new one has read the file")
    os.kill(first, signal.SIGHUP)
    eventually(lambda: said(rig, UPGRADED), 60, "upgraded")
    second = rig.proxy.pid = int(said(rig, UPGRADED)[-1].removeprefix(UPGRADED).split()[0])
    (tmp_path / "slow").unlink()
    eventually(lambda: said(rig, "weir: reloaded"), 30, "reloaded")
    assert not is_there(first)
    forget(rig, "weir: reloaded")
    end(rig, second)
