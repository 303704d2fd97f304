"""What is decided about workers, without processes; tests/e2e/test_workers.py and test_reload.py have those."""

from __future__ import annotations

import contextlib
import json
import socket
import time

import pytest

from weir.config.plan import Plan
from weir.control import crew
from weir.control.crew import Member, Place, worker_count
from weir.control.status import StatusLine


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
