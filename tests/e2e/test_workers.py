"""Several workers under a supervisor: who dies is replaced, nothing counted is lost, nobody is left behind."""

from __future__ import annotations

import os
import random
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from .askers import Askers
from .conftest import MakeRig
from .peers import Endpoint, Link, ok
from .proxy import free_port, python_path
from .rig import ALONE, WORKERS, Rig, tables
from .test_reload import children, forget, said, wait_counted
from .test_signals import _time_to_first_answer
from .wire import Truncated, eventually

pytestmark = pytest.mark.timeout(120)

# One a second; `make reloads` goes on for a minute.
KILLS = int(os.environ.get("WEIR_KILLS", "10"))


def is_gone(pid: int) -> bool:
    """Whether a process has ended, waited for or not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except (FileNotFoundError, ProcessLookupError):
        return True


def worker_of(rig: Rig, sock: socket.socket) -> int:
    """The worker that has the other end of a client's connection."""
    local = sock.getsockname()[1]
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    inode = next(row[9] for row in rows if int(row[2].rpartition(":")[2], 16) == local and row[9] != "0")
    for pid in children(rig.proxy.pid):
        for entry in Path(f"/proc/{pid}/fd").iterdir():
            if os.readlink(entry) == f"socket:[{inode}]":
                return pid
    raise AssertionError(f"no worker has socket {inode}")


def wait_successors(rig: Rig, before: set[int], n: int) -> None:
    eventually(lambda: len(children(rig.proxy.pid) - before) == n, 15, f"{n} successors")


@pytest.mark.parametrize("workers", [1, 2, 4])
def test_all_workers_count_in_one_table(weir: MakeRig, workers: int) -> None:
    rig = weir(top={**WORKERS, "workers": workers})
    rig.endpoint.reply(ok(b"x" * 100))
    for n in range(1, 11):
        assert rig.get("/counted").head.get("X-Bytes") == str(100 * n)
        # It is counted when its last byte has gone, and by then the client may have asked another worker.
        wait_counted(rig, n)
    askers = Askers(("127.0.0.1", rig.proxy.port))
    time.sleep(1.0)
    ledger = askers.stop()
    assert ledger.failed == []
    assert ledger.answered + 10 == len(rig.endpoint.requests)
    wait_counted(rig, ledger.answered + 10)
    assert len(children(rig.proxy.pid)) == workers


# A build with sanitizers or tracing starts more slowly.
@pytest.mark.slow
@pytest.mark.figures
def test_workers_are_ready_about_as_soon_as_one_process(tmp_path: Path) -> None:
    """The bar itself, half a second, is that of one process in test_signals."""
    endpoint = Endpoint()
    best = {}
    for top in (WORKERS, ALONE):
        times = []
        for n in range(5):
            directory = tmp_path / f"{top['single_process']}{n}"
            directory.mkdir()
            port = free_port()
            settings = tables(directory, [endpoint.address], top=top, listener={"address": f"127.0.0.1:{port}"})
            times.append(_time_to_first_answer(directory, settings, port))
        # What else the machine does only adds to it.
        best[bool(top["single_process"])] = min(times)
    endpoint.close()
    print(f"two workers are ready after {best[False] * 1000:.0f} ms, one process after {best[True] * 1000:.0f} ms")
    assert best[False] < best[True] + 0.25


@pytest.mark.timeout(90 + KILLS * 3)
def test_killed_workers_cost_what_was_in_flight_on_them_and_nothing_else(weir: MakeRig) -> None:
    rig = weir(top=WORKERS)
    rig.endpoint.reply(0.002, ok(b"short"))
    threads = 4
    askers = Askers(("127.0.0.1", rig.proxy.port), threads)
    killed = []
    for _ in range(KILLS):
        time.sleep(1.0)
        workers = children(rig.proxy.pid)
        assert len(workers) == 2
        killed.append(time.monotonic())
        os.kill(random.choice(sorted(workers)), signal.SIGKILL)
        wait_successors(rig, workers, 1)
    time.sleep(0.5)
    ledger = askers.stop()
    time.sleep(0.5)
    asked, counted = len(rig.endpoint.requests), rig.proxy.table_requests()
    kills = len(killed)
    print(f"{kills} kills: {ledger.answered} answered, {len(ledger.failed)} failed, {asked} asked, {counted} counted")
    assert ledger.answered > 10 * kills
    # At most one request was in flight for each client at each kill.
    assert len(ledger.failed) <= threads * kills
    for _path, when, how in ledger.failed:
        assert any(0 <= when - at < 0.7 for at in killed), f"failed without a kill: {how}"
    # A request that failed may have reached the endpoint and been counted, or not; every other one was and is.
    reached = {request.head.target for request in rig.endpoint.requests}
    failed_but_reached = sum(path in reached for path, _when, _how in ledger.failed)
    assert asked == ledger.answered + failed_but_reached, "every request that was answered was asked once"
    # Killed between its last byte and counting it, a worker loses one that was answered: on its lap, in flight.
    assert asked - len(ledger.failed) - kills * threads <= counted <= asked
    assert counted >= ledger.answered - kills * threads
    forget(rig, "worker ")


def test_what_a_killed_worker_had_open_is_not_shown_any_more(weir: MakeRig) -> None:
    rig = weir(top={**WORKERS, "workers": 1})
    clients = [rig.connect() for _ in range(5)]
    for client in clients:
        client.send(b"GET / HTTP/1.1\r\nHost: test\r\n\r\n")
        assert client.response().status == 200

    def shown() -> tuple[int, int, int]:
        taken = rig.proxy.table()
        return sum(w.downstreams for w in taken.workers), sum(w.upstreams for w in taken.workers), taken.open

    eventually(lambda: shown()[0] == 5 and min(shown()) > 0, 5, "shown")
    (worker,) = children(rig.proxy.pid)
    os.kill(worker, signal.SIGKILL)
    eventually(lambda: shown() == (0, 0, 0), 2, "nothing is open")
    wait_successors(rig, {worker}, 1)
    forget(rig, "worker ")


def test_who_waits_in_the_queue_of_a_dead_worker_is_served_by_its_successor(weir: MakeRig) -> None:
    rig = weir(top={**WORKERS, "workers": 1})
    (worker,) = children(rig.proxy.pid)
    os.kill(worker, signal.SIGSTOP)
    clients = [rig.connect() for _ in range(10)]
    for n, client in enumerate(clients):
        client.send(f"GET /waits/{n} HTTP/1.1\r\nHost: test\r\n\r\n".encode())
    os.kill(worker, signal.SIGKILL)
    assert [client.response().status for client in clients] == [200] * 10
    assert forget(rig, "worker 1 ") == [f"worker 1 (process {worker}) was ended by KILL: it is started again"]


def test_a_worker_that_hangs_is_replaced(weir: MakeRig) -> None:
    rig = weir(top={**WORKERS, "heartbeat_timeout": "2s"})
    before = children(rig.proxy.pid)
    hung = min(before)
    os.kill(hung, signal.SIGSTOP)
    started = time.monotonic()
    eventually(lambda: len(children(rig.proxy.pid) - before) == 1 and is_gone(hung), 15, "replaced")
    print(f"replaced after {time.monotonic() - started:.1f} s")
    assert time.monotonic() - started > 1.5
    assert children(rig.proxy.pid) >= before - {hung}, "the other one is left alone"
    for n in range(20):
        assert rig.get(f"/{n}").status == 200
    assert len(forget(rig, "worker ")) >= 2


def test_a_worker_that_is_told_to_end_hands_over_and_drains(weir: MakeRig) -> None:
    rig = weir(top=WORKERS)
    rig.endpoint.reply(1.0, ok(b"slow"))
    client = rig.connect()
    client.send(b"GET /slow HTTP/1.1\r\nHost: test\r\n\r\n")
    rig.endpoint.wait_requests(1)
    before = children(rig.proxy.pid)
    busy = worker_of(rig, client.sock)
    os.kill(busy, signal.SIGTERM)
    eventually(lambda: len(children(rig.proxy.pid)) == 3, 5, "a successor beside it")
    assert client.response().body == b"slow"
    eventually(lambda: is_gone(busy), 5)
    assert children(rig.proxy.pid) > before - {busy}
    forget(rig, "worker ")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_end_drains_all(weir: MakeRig, number: signal.Signals) -> None:
    rig = weir(top={**WORKERS, "workers": 4})
    rig.endpoint.reply(1.0, ok(b"late"))
    clients = [rig.connect() for _ in range(12)]
    for client in clients:
        client.send(b"GET /late HTTP/1.1\r\nHost: test\r\n\r\n")
    rig.endpoint.wait_requests(12)
    workers = children(rig.proxy.pid)
    port = rig.proxy.port
    rig.proxy.send_signal(number)
    # As a terminal does it: to all processes of the group.
    for worker in workers:
        os.kill(worker, number)

    def refused() -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", port)) != 0

    eventually(refused, 2)
    assert [client.response().body for client in clients] == [b"late"] * 12
    assert rig.proxy.wait(5) == 0
    assert all(is_gone(worker) for worker in workers)


@pytest.mark.parametrize("signals", [[signal.SIGTERM, signal.SIGTERM], [signal.SIGQUIT]])
def test_ended_at_once(weir: MakeRig, signals: list[signal.Signals]) -> None:
    rig = weir(top=WORKERS)
    rig.endpoint.reply(20.0, ok(b"never"))
    client = rig.connect()
    client.send(b"GET /cut HTTP/1.1\r\nHost: test\r\n\r\n")
    rig.endpoint.wait_requests(1)
    workers = children(rig.proxy.pid)
    started = time.monotonic()
    for number in signals:
        rig.proxy.send_signal(number)
        time.sleep(0.2)
    assert rig.proxy.wait() == 0
    assert time.monotonic() - started < 10
    with pytest.raises(Truncated):
        client.response()
    assert all(is_gone(worker) for worker in workers)


def test_a_dead_supervisor_leaves_no_orphans(weir: MakeRig) -> None:
    rig = weir(top=WORKERS)
    rig.endpoint.reply(1.0, ok(b"late"))
    client = rig.connect()
    client.send(b"GET /late HTTP/1.1\r\nHost: test\r\n\r\n")
    rig.endpoint.wait_requests(1)
    workers = children(rig.proxy.pid)
    rig.stopped = True
    rig.proxy.process.kill()
    assert client.response().body == b"late", "what is in flight is finished"
    eventually(lambda: all(is_gone(worker) for worker in workers), 5, "workers have ended")
    assert len(forget(rig, "the supervisor is gone")) == 2
    rig.proxy.process.wait()
    rig.proxy.reader.join(2)
    rig.proxy.expected_status = -signal.SIGKILL


def test_fifty_restarts_leak_nothing(weir: MakeRig) -> None:
    rig = weir(top={**WORKERS, "workers": 8})
    memory = rig.proxy.memory("Rss")
    restarts = 0
    while restarts < 50:
        before = children(rig.proxy.pid)
        # Who lives less than a second is made to wait.
        time.sleep(1.1)
        for worker in before:
            os.kill(worker, signal.SIGKILL)
        wait_successors(rig, before, 8)
        restarts += 8
        assert rig.get("/").status == 200
    rig.proxy.check_ledger()
    print(f"the supervisor: {memory >> 10} KiB, after {restarts} restarts {rig.proxy.memory('Rss') >> 10} KiB")
    assert rig.proxy.memory("Rss") < memory + (4 << 20)
    # Those asked for while there were all eight, and nothing twice; none was killed before it could count.
    wait_counted(rig, restarts // 8)
    forget(rig, "worker ")


def test_a_unix_socket_is_shared_and_goes_with_the_supervisor(weir: MakeRig, tmp_path: Path) -> None:
    path = tmp_path / "weir.sock"
    rig = weir(top=WORKERS, listener={"address": f"unix:{path}"})
    for n in range(20):
        assert rig.get(f"/{n}").status == 200
    worker = min(children(rig.proxy.pid))
    os.kill(worker, signal.SIGTERM)
    eventually(lambda: is_gone(worker), 5)
    assert path.exists(), "the socket is the supervisor's"
    assert rig.get("/still").status == 200
    assert rig.proxy.stop() == 0
    assert not path.exists()
    forget(rig, "worker ")


def test_workers_that_cannot_begin_end_it(tmp_path: Path) -> None:
    log = tmp_path / "missing" / "access.log"
    options = ["--listen", "127.0.0.1:0", "--to", "127.0.0.1:1", "--admin", "off", "--access-log", str(log)]
    command = [sys.executable, "-m", "weir", "run", *options, "--workers", "1"]
    done = subprocess.run(command, env=python_path(), capture_output=True, text=True, timeout=20)
    assert done.returncode == 1
    assert done.stderr == f"weir: cannot write the access log {log}: no such file or directory\n"


def test_a_second_weir_cannot_have_the_same_port(weir: MakeRig) -> None:
    rig = weir(top=WORKERS)
    options = ["--listen", f"127.0.0.1:{rig.proxy.port}", "--to", "127.0.0.1:1", "--admin", "off"]
    command = [sys.executable, "-m", "weir", "run", *options]
    done = subprocess.run(command, env=python_path(), capture_output=True, text=True, timeout=20)
    assert done.returncode == 1
    assert "already in use" in done.stderr


def test_no_hop_is_lost_for_a_tunnel_when_another_worker_dies(weir: MakeRig) -> None:
    rig = weir(top=WORKERS)

    def script(link: Link) -> None:
        link.head()
        link.send(b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n")
        while link.fill():
            link.send(link.take(len(link.buffer)))

    rig.endpoint.handle(script)
    client = rig.connect()
    client.send(b"GET / HTTP/1.1\r\nHost: test\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n")
    assert client.head().status == 101
    mine = worker_of(rig, client.sock)
    (other,) = children(rig.proxy.pid) - {mine}
    os.kill(other, signal.SIGKILL)
    eventually(lambda: said(rig, "worker "), 5)
    client.send(b"still here")
    assert client.read_exactly(10) == b"still here"
    forget(rig, "worker ")
