"""What is decided about workers, without processes; tests/e2e/test_workers.py and test_reload.py have those."""

from __future__ import annotations

import contextlib
import errno
import json
import math
import os
import signal
import socket
import subprocess
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from weir.config.plan import Plan
from weir.control import crew
from weir.control.crew import Member, Place, worker_count
from weir.control.notify import Notifier
from weir.control.pidfile import PidFile
from weir.control.processes import Processes
from weir.control.spawn import fork
from weir.control.status import StatusLine
from weir.control.supervisor import Supervisor
from weir.control.upgrade import Upgrading
from weir.control.watching import LOOK_S, Watching
from weir.stats import layout


def place_after(lives_s: list[float], monkeypatch: pytest.MonkeyPatch) -> Place:
    """A place whose workers have lived so long, one after the other."""
    now = [1000.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    place = Place(0)
    ours, theirs = socket.socketpair()
    with ours, theirs:
        for life in lives_s:
            place.member = Member(1, "worker", ours, 0)
            now[0] += life
            place.left(place.member)
    return place


def test_who_fails_at_once_again_and_again_waits_longer_each_time(monkeypatch: pytest.MonkeyPatch) -> None:
    pauses = [place_after([0.1] * n, monkeypatch).pause() for n in range(1, 13)]
    assert pauses[:6] == [0.0, 0.1, 0.2, 0.4, 0.8, 1.6]
    assert pauses[-1] == 10.0
    assert place_after([0.1] * 5000, monkeypatch).pause() == 10.0


def test_who_has_served_for_a_while_is_replaced_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    place = place_after([0.1] * 8 + [2.0], monkeypatch)
    assert (place.failures, place.pause()) == (0, 0.0)
    assert place.due == time.monotonic()


def test_the_number_of_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(crew, "available", lambda: 3)
    assert worker_count(Plan((), (), ())) == 3
    assert worker_count(Plan((), (), (), workers=7)) == 7


def test_the_admin_process_hears_what_is_new_and_nothing_twice() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.setblocking(False)
        theirs.setblocking(False)
        admin, worker = Member(1, "admin", ours), Member(2, "worker", ours, 5)
        status = StatusLine()
        for generation in (1, 1, 2):
            status.tell(admin, [admin, worker], generation=generation)
        status.tell(None, [worker], generation=3)
        lines = [json.loads(line) for line in theirs.recv(10_000).splitlines()]
        assert [line["generation"] for line in lines] == [1, 2]
        assert lines[0]["workers"] == [{"pid": 2, "worker": 5, "stage": "starting"}]
        # Its successor has heard nothing yet.
        status.tell(Member(3, "admin", ours), [worker], generation=2)
        assert json.loads(theirs.recv(10_000))["generation"] == 2


def test_an_admin_process_that_does_not_read_holds_nothing_up() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.setblocking(False)
        admin = Member(1, "admin", ours)
        status = StatusLine()
        for generation in range(100_000):
            status.tell(admin, [], generation=generation)
        theirs.setblocking(False)
        received = b""
        with contextlib.suppress(BlockingIOError):
            while True:
                received += theirs.recv(1 << 20)
        whole, _, rest = received.rpartition(b"\n")
        assert all(json.loads(line) for line in whole.splitlines())
        assert admin.line_ended or rest == b""


def test_no_descriptors_are_no_end(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    def none() -> tuple[socket.socket, socket.socket]:
        raise OSError(errno.ENFILE, "Too many open files in system")

    with layout.create(8, ["main"], 2) as table:
        processes, place = Processes(table, [0, 1], lambda _keep: None), Place(0)
        with monkeypatch.context() as patched:
            patched.setattr(socket, "socketpair", none)
            assert not processes.start(place, "worker 1", [], lambda _line: 0, 0)
        assert place.member is None
        assert place.due > time.monotonic()
        assert processes.free == {0, 1}
        assert "cannot start worker 1: too many open files in system; trying again" in caplog.text
        assert processes.start(place, "worker 1", [], lambda _line: 0, 0)
        processes.kill()


def pid_of(table: layout.Table, slot: int) -> int:
    where = layout.read_header(table).places
    return int(layout.read(table, where.workers_at + slot * where.worker_bytes, layout.WORKER, "pid"))


def set_pid(table: layout.Table, slot: int, pid: int) -> None:
    where = layout.read_header(table).places
    layout.write(table, where.workers_at + slot * where.worker_bytes, layout.WORKER, pid=pid)


def test_a_slot_says_whose_it_is_from_the_fork_on() -> None:
    """Its worker says so itself, but later: an earlier weir that is killed leaves one that has not begun."""
    with layout.create(8, ["main"], 2) as table:
        processes, place = Processes(table, [0, 1], lambda _keep: None), Place(0)
        assert processes.start(place, "worker 1", [], lambda line: len(line.recv(1)), 1)
        assert place.member is not None
        assert pid_of(table, 1) == place.member.pid
        processes.kill()


def test_slots_of_an_earlier_weir_are_free_when_their_workers_are_gone() -> None:
    with layout.create(8, ["main"], 6) as table, subprocess.Popen(["sleep", "60"]) as other:
        lives, has_ended = [fork(lambda: time.sleep(60) or 0) for _ in range(2)]  # type: ignore[func-returns-value]
        os.kill(has_ended, signal.SIGKILL)
        while "Z" not in Path(f"/proc/{has_ended}/stat").read_text():
            pass
        # One that works, one that nobody waits for, another program's number, nobody's number, no number yet.
        for slot, pid in enumerate([lives, has_ended, other.pid, 2**22 + 1, 0]):
            set_pid(table, slot, pid)
        processes = Processes(table, [5], lambda _keep: None)
        try:
            processes.reclaim()
            assert processes.free == {1, 2, 3, 4, 5}
            assert processes.elsewhere == {0}
            os.kill(lives, signal.SIGKILL)
            os.waitpid(lives, 0)
            processes.reclaim()
            assert (processes.elsewhere, processes.free) == (set(), set(range(6)))
        finally:
            other.kill()
            for pid in (lives, has_ended):
                with contextlib.suppress(OSError):
                    os.kill(pid, signal.SIGKILL)
                    os.waitpid(pid, 0)


def test_a_slot_of_a_weir_that_was_killed_is_not_given_away_before_its_worker_can_have_begun(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = [1000.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    with layout.create(8, ["main"], 3) as table:
        processes = Processes(table, [0, 1, 2], lambda _keep: None)
        processes.free -= {1, 2}
        processes.left_behind({1, 2})
        processes.reclaim()
        assert (processes.free, processes.are_sure()) == ({0}, False)
        set_pid(table, 2, os.getpid())
        now[0] += 1.1
        processes.reclaim()
        assert (processes.free, processes.elsewhere, processes.are_sure()) == ({0, 1}, {2}, True)


def test_a_successor_that_dies_as_it_begins_to_serve_takes_over_nothing() -> None:
    said: list[str] = []
    upgrading = Upgrading(
        cast(Any, SimpleNamespace(left_behind=lambda slots: said.append(str(slots)))), PidFile(""), Notifier({})
    )
    upgrading.successor = cast(
        Any,
        SimpleNamespace(
            pid=1, is_ready=True, free={3}, reap=lambda: -9, failed=lambda _now: "gone", cancel=lambda: said.append("x")
        ),
    )
    assert not upgrading.work(0.0)
    assert (upgrading.handed_over, upgrading.successor, said) == (False, None, ["x", "{3}"])


def test_it_sleeps_while_the_weir_before_still_has_the_admin_address() -> None:
    supervisor: Any = Supervisor.__new__(Supervisor)
    never = SimpleNamespace(deadline=lambda: math.inf)
    supervisor.reloading = supervisor.upgrading = never
    supervisor.notifier, supervisor.processes = SimpleNamespace(watchdog_s=0.0), []
    supervisor.crew, supervisor.coming = SimpleNamespace(places=[]), None
    supervisor.admin = SimpleNamespace(sockets=["one"], place=Place(0))
    supervisor.started, supervisor.ending, supervisor.watching = True, 0, None
    supervisor.predecessor = SimpleNamespace(may_admin=False)
    assert supervisor._pause() > 0.1
    supervisor.predecessor.may_admin = True
    assert supervisor._pause() == 0


def test_it_wakes_to_look_at_files() -> None:
    supervisor: Any = Supervisor.__new__(Supervisor)
    never = SimpleNamespace(deadline=lambda: math.inf)
    supervisor.reloading = supervisor.upgrading = never
    supervisor.notifier, supervisor.processes = SimpleNamespace(watchdog_s=0.0), []
    supervisor.crew, supervisor.coming = SimpleNamespace(places=[]), None
    supervisor.admin = SimpleNamespace(sockets=[], place=Place(0))
    supervisor.started, supervisor.ending, supervisor.predecessor = True, 0, None
    supervisor.watching = Watching([], time.monotonic())
    assert supervisor._pause() <= LOOK_S
