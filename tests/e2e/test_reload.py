"""HUP: a new configuration without a lost request, and a wrong one without any effect."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import signal
import socket
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from .askers import Askers
from .conftest import MakeRig
from .keepers import Keepers
from .peers import Endpoint, Link, dial, ok
from .proxy import configuration, descriptors_of, free_port
from .rig import WORKERS, Rig, tables
from .wire import PATIENCE, eventually

pytestmark = pytest.mark.timeout(120)

RELOADED = "weir: reloaded: "
# With sanitizers each takes seconds.
TIMES = 20 if PATIENCE == 1 else 5


def children(pid: int) -> set[int]:
    return {int(text) for text in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()}


def write(rig: Rig, settings: dict[str, Any]) -> None:
    rig.proxy.config_path.write_text(configuration(settings))


def said(rig: Rig, start: str) -> list[str]:
    return [line for line in rig.proxy.stderr if line.startswith(start)]


def reload(rig: Rig) -> None:
    """Reloads, and waits until the new workers have taken over; takes the message away."""
    before = len(said(rig, RELOADED))
    rig.proxy.send_signal(signal.SIGHUP)
    eventually(lambda: len(said(rig, RELOADED)) > before, 20, "reloaded")


def forget(rig: Rig, *starts: str) -> list[str]:
    """Takes lines that a test expects off what weir has said, for a fixture wants nothing else to be there.

    What weir says is read beside the test: the first line may be still to come, and later ones are expected as well.
    """
    with contextlib.suppress(AssertionError):
        eventually(lambda: any(line.startswith(starts) for line in rig.proxy.stderr), 3)
    rig.proxy.expected_lines += starts
    taken = [line for line in rig.proxy.stderr if line.startswith(starts)]
    for line in taken:
        # Not by a new list: the reader may add a line meanwhile.
        rig.proxy.stderr.remove(line)
    return taken


def wait_counted(rig: Rig, n: int) -> None:
    """An exchange is counted when its last byte has gone, which is about when its client has it."""
    eventually(lambda: rig.proxy.table_requests() >= n, 5, f"{n} requests counted")
    assert rig.proxy.table_requests() == n


def test_twenty_reloads_under_load_lose_nothing(weir: MakeRig) -> None:
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
    rig = weir(endpoint=endpoint, top={**WORKERS, "drain_timeout": f"{50 * PATIENCE:g}s"})
    stream = rig.connect(timeout=60)
    stream.send(b"GET /stream HTTP/1.1\r\nHost: test\r\n\r\n")
    assert streaming.wait(5)
    askers = Askers(("127.0.0.1", rig.proxy.port), pause_s=0.005)
    for _ in range(TIMES):
        reload(rig)
        time.sleep(0.1)
    ledger = askers.stop()
    streaming.clear()
    response = stream.response()
    print(f"{ledger.answered} short requests, {pieces} pieces of the stream")
    assert ledger.failed == []
    # Those that asked too late are the machine's, and few: more would hide what a reload loses.
    assert ledger.late <= ledger.answered // 200
    assert ledger.answered > 100
    assert response.body == b"piece" * pieces
    # The books agree: in the table that outlived so many generations every request is counted, once.
    asked = len(endpoint.requests)
    assert asked == ledger.answered + 1
    wait_counted(rig, asked)
    eventually(lambda: len(children(rig.proxy.pid)) == 2, 10, "only the last generation is left")
    assert len(forget(rig, RELOADED)) == TIMES


def test_who_keeps_connections_loses_no_request_to_a_close(weir: MakeRig) -> None:
    """Idle connections are used again at any moment of a reload, also at that of their close half a second later."""
    rig = weir(top=WORKERS)
    # So few requests that at each close about half of the connections have not been used since the reload.
    keepers = Keepers(("127.0.0.1", rig.proxy.port), connections=300, pause_s=0.002)
    for _ in range(6):
        reload(rig)
        time.sleep(1.0)
    books = keepers.stop()
    print(f"{books.answered} requests answered, {books.closed} connections closed, {len(books.failed)} lost")
    assert books.failed == []
    assert books.answered > 1000
    assert books.closed > 1000, "with a last answer or by a goodbye"
    wait_counted(rig, books.answered)
    forget(rig, RELOADED)


def reload_beside_one_that_hangs(rig: Rig) -> int:
    """Reloads until the new workers serve; of the old ones one is there yet, stopped. Its process id."""
    before = children(rig.proxy.pid)
    held = min(before)
    os.kill(held, signal.SIGSTOP)
    rig.proxy.send_signal(signal.SIGHUP)
    eventually(lambda: children(rig.proxy.pid) & before == {held}, 20)
    assert rig.get("/").status == 200
    assert not said(rig, RELOADED)
    return held


def test_it_is_in_use_when_no_old_worker_accepts_any_more(weir: MakeRig) -> None:
    rig = weir(top={**WORKERS, "heartbeat_timeout": "60s"})
    os.kill(reload_beside_one_that_hangs(rig), signal.SIGCONT)
    eventually(lambda: said(rig, RELOADED), 20)
    forget(rig, RELOADED)


def watched_but_closed(pid: int) -> set[int]:
    """Descriptors that a process has closed, and of which the kernel tells it all the same: others have them open."""
    there = descriptors_of(pid)
    polls = [fd for fd, what in there.items() if what == "anon_inode:[eventpoll]"]
    assert polls
    text = "".join(Path(f"/proc/{pid}/fdinfo/{fd}").read_text() for fd in polls)
    watched = {int(number) for number in re.findall(r"^tfd: *(\d+)", text, re.MULTILINE)}
    assert watched
    return watched - there.keys()


def test_who_drains_is_told_of_no_connection_any_more(weir: MakeRig) -> None:
    rig = weir(top={**WORKERS, "workers": 1})
    (old,) = children(rig.proxy.pid)
    with rig.connect() as held:
        held.send(b"POST /held HTTP/1.1\r\nHost: test\r\nContent-Length: 4\r\n\r\nhe")
        eventually(lambda: rig.endpoint.links, 10)
        assert watched_but_closed(old) == set()
        reload(rig)
        assert old in children(rig.proxy.pid)
        assert watched_but_closed(old) == set()
        held.send(b"ld")
        assert held.response().status == 200
    forget(rig, RELOADED)


def test_it_is_in_use_when_an_old_worker_that_hangs_was_killed(weir: MakeRig) -> None:
    rig = weir(top={**WORKERS, "heartbeat_timeout": "60s"})
    os.kill(reload_beside_one_that_hangs(rig), signal.SIGKILL)
    eventually(lambda: said(rig, RELOADED), 20)
    assert len(forget(rig, RELOADED, "worker ")) == 2


def test_another_reload_waits_for_all_who_were_replaced(weir: MakeRig) -> None:
    rig = weir(top={**WORKERS, "heartbeat_timeout": "60s"})
    held = reload_beside_one_that_hangs(rig)
    between = children(rig.proxy.pid) - {held}
    rig.proxy.send_signal(signal.SIGHUP)
    eventually(lambda: not children(rig.proxy.pid) & between, 20)
    assert [line.split()[3] for line in said(rig, RELOADED)] == ["2"]
    os.kill(held, signal.SIGCONT)
    eventually(lambda: [line.split()[3] for line in said(rig, RELOADED)] == ["2", "3"], 20)
    forget(rig, RELOADED)


def test_a_reload_is_said_before_another_one_is_refused(weir: MakeRig) -> None:
    rig = weir(top={**WORKERS, "heartbeat_timeout": "60s"})
    held = reload_beside_one_that_hangs(rig)
    rig.proxy.config_path.write_text("nonsense")
    rig.proxy.send_signal(signal.SIGHUP)
    eventually(lambda: said(rig, "weir: not reloaded"), 20)
    lines = [line.split(":")[1] for line in rig.proxy.stderr if "reloaded" in line]
    assert lines == [" reloaded", " not reloaded"]
    os.kill(held, signal.SIGCONT)
    forget(rig, RELOADED, "weir: not reloaded", f"weir: {rig.proxy.config_path}:")


def test_a_reload_is_said_before_the_end(weir: MakeRig) -> None:
    rig = weir(top={**WORKERS, "heartbeat_timeout": "60s"})
    held = reload_beside_one_that_hangs(rig)
    rig.proxy.send_signal(signal.SIGTERM)
    eventually(lambda: said(rig, RELOADED), 20)
    os.kill(held, signal.SIGCONT)
    forget(rig, RELOADED)


def test_a_wrong_file_changes_nothing_and_says_why(weir: MakeRig) -> None:
    rig = weir(top=WORKERS)
    before = children(rig.proxy.pid)
    good = rig.proxy.config_path.read_text()
    rig.proxy.config_path.write_text(good + "\nworker = 3\n[[listener]]\n")
    rig.proxy.send_signal(signal.SIGHUP)
    eventually(lambda: said(rig, "weir: not reloaded"), 10)
    problems = said(rig, f"weir: {rig.proxy.config_path}:")
    assert any("unknown key" in line for line in problems), rig.proxy.stderr
    assert rig.get("/").status == 200
    assert children(rig.proxy.pid) == before
    rig.proxy.config_path.write_text(good)
    reload(rig)
    assert rig.get("/").status == 200
    eventually(lambda: len(children(rig.proxy.pid)) == 2, 10)
    assert not children(rig.proxy.pid) & before
    forget(rig, RELOADED, "weir: not reloaded", f"weir: {rig.proxy.config_path}:")


def test_an_address_that_is_taken_changes_nothing(weir: MakeRig, tmp_path: Path) -> None:
    rig, other = weir(top=WORKERS), weir()
    settings = tables(tmp_path, [rig.endpoint.address], top=WORKERS)
    port, taken = rig.proxy.port, other.proxy.port
    settings["listener"] = [{"address": f"127.0.0.1:{p}", "to": "app"} for p in (0, taken)]
    write(rig, settings)
    rig.proxy.send_signal(signal.SIGHUP)
    eventually(lambda: said(rig, "weir: not reloaded"), 10)
    assert forget(rig, "weir: cannot listen") == [
        f"weir: cannot listen on 127.0.0.1:{taken}: address already in use: another process listens there"
    ]
    assert rig.proxy.port == port
    assert rig.get("/").status == 200
    forget(rig, "weir: not reloaded")


def test_listeners_come_and_go_and_workers_change_in_number(weir: MakeRig, tmp_path: Path) -> None:
    ports = [free_port(), free_port()]
    rig = weir(top=WORKERS, listener={"address": f"127.0.0.1:{ports[0]}"})
    assert rig.get("/first").status == 200
    second = Endpoint()
    second.reply(ok(b"second"))
    settings = tables(
        rig.proxy.config_path.parent,
        [second.address],
        top={**WORKERS, "workers": 3},
        listener={"address": f"127.0.0.1:{ports[1]}"},
    )
    write(rig, settings)
    reload(rig)
    eventually(lambda: len(children(rig.proxy.pid)) == 3, 10)
    for _ in range(20):
        with dial(("127.0.0.1", ports[1])) as client:
            client.send(b"GET /second HTTP/1.1\r\nHost: test\r\n\r\n")
            assert client.response().body == b"second"
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", ports[0])) == errno.ECONNREFUSED
    write(rig, {**settings, "workers": 1})
    reload(rig)
    eventually(lambda: len(children(rig.proxy.pid)) == 1, 10)
    # Each of the three sockets goes on to be served.
    for _ in range(20):
        with dial(("127.0.0.1", ports[1])) as client:
            client.send(b"GET /second HTTP/1.1\r\nHost: test\r\n\r\n")
            assert client.response().body == b"second"
    wait_counted(rig, 41)
    second.close()
    forget(rig, RELOADED)


@pytest.mark.parametrize(
    ("old", "new", "why"),
    [
        (
            "[stats]",
            "[stats]\nrows = 64",
            "stats.rows cannot be changed by a reload: it is 4096, and 64 in the configuration",
        ),
        ("single_process = false", "single_process = true", "single_process cannot be changed by a reload"),
        (
            "workers = 2",
            'workers = 2\npid_file = "/run/x.pid"',
            "pid_file cannot be changed by a reload: it is off, and",
        ),
    ],
)
def test_what_cannot_be_changed_is_refused_and_said(weir: MakeRig, old: str, new: str, why: str) -> None:
    rig = weir(top=WORKERS)
    before = children(rig.proxy.pid)
    text = rig.proxy.config_path.read_text()
    if "single" in new:
        text = text.replace("workers = 2\n", "")
    assert old in text
    rig.proxy.config_path.write_text(text.replace(old, new))
    rig.proxy.send_signal(signal.SIGHUP)
    eventually(lambda: said(rig, "weir: not reloaded"), 10)
    (message,) = forget(rig, f"weir: {why}")
    assert "; restart weir for that" in message
    assert rig.get("/").status == 200
    assert children(rig.proxy.pid) == before
    forget(rig, "weir: not reloaded")


def test_backlog_and_mode_of_sockets_that_stay(weir: MakeRig, tmp_path: Path) -> None:
    path = tmp_path / "weir.sock"
    rig = weir(top=WORKERS, listener={"address": f"unix:{path}", "unix_mode": "0600", "backlog": 128})
    inode = path.stat().st_ino
    assert path.stat().st_mode & 0o777 == 0o600
    text = rig.proxy.config_path.read_text()
    rig.proxy.config_path.write_text(text.replace('"0600"', '"0660"'))
    reload(rig)
    eventually(lambda: path.stat().st_mode & 0o777 == 0o660, 5)
    assert path.stat().st_ino == inode
    assert rig.get("/").status == 200
    forget(rig, RELOADED)


def test_more_workers_than_there_is_room_for(weir: MakeRig) -> None:
    rig = weir(top={**WORKERS, "workers": 1})
    text = rig.proxy.config_path.read_text()
    rig.proxy.config_path.write_text(text.replace("workers = 1\n", "workers = 64\n"))
    rig.proxy.send_signal(signal.SIGHUP)
    eventually(lambda: said(rig, "weir: not reloaded"), 10)
    assert forget(rig, "weir: 64 workers")
    assert rig.get("/").status == 200
    forget(rig, "weir: not reloaded")


def test_new_workers_that_cannot_begin_leave_the_old_ones(weir: MakeRig, tmp_path: Path) -> None:
    rig = weir(top=WORKERS)
    before = children(rig.proxy.pid)
    text = rig.proxy.config_path.read_text()
    missing = str(tmp_path / "missing" / "access.log")
    rig.proxy.config_path.write_text(text.replace(str(rig.proxy.log_path), missing))
    rig.proxy.send_signal(signal.SIGHUP)
    eventually(lambda: said(rig, "weir: not reloaded"), 10)
    eventually(lambda: children(rig.proxy.pid) == before, 10)
    assert forget(rig, f"weir: cannot write the access log {missing}: no such file or directory")
    assert rig.get("/").status == 200
    forget(rig, "weir: not reloaded", "weir: a worker of the new configuration")


def test_usr1_reaches_every_worker(weir: MakeRig) -> None:
    rig = weir(top=WORKERS)
    for n in range(20):
        rig.get(f"/before/{n}")
    rig.proxy.logged(20)
    old = rig.proxy.log_path.with_suffix(".1")
    os.rename(rig.proxy.log_path, old)
    rig.proxy.send_signal(signal.SIGUSR1)

    def reopened() -> bool:
        rig.get("/between")
        try:
            links = [os.readlink(fd) for pid in children(rig.proxy.pid) for fd in Path(f"/proc/{pid}/fd").iterdir()]
        except FileNotFoundError:  # closed between the two
            return False
        return links.count(str(rig.proxy.log_path)) == 2 and str(old) not in links

    eventually(reopened, 10)
    for n in range(20):
        rig.get(f"/after/{n}")
    eventually(lambda: sum(r["target"].startswith("/after") for r in rig.proxy.records()) == 20, 5)
