"""Forked children: their signals, their ends, and answers of those that live for one call."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from typing import Any

import pytest

from weir.control.errors import PlanRefused
from weir.control.spawn import Answer, allow_signals, ended, fork, hold_orders
from weir.control.status import say


def wait(pid: int) -> int:
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def test_the_result_is_the_exit_status() -> None:
    assert wait(fork(lambda: 0)) == 0
    assert wait(fork(lambda: 7)) == 7


def test_an_exception_is_shown_and_is_no_success(capfd: pytest.CaptureFixture[str]) -> None:
    def fail() -> int:
        raise RuntimeError("broken")

    def leave() -> int:
        sys.exit(3)

    assert wait(fork(fail)) == 70
    assert "RuntimeError: broken" in capfd.readouterr().err
    assert wait(fork(leave)) == 3


def test_a_signal_that_comes_early_waits_and_is_not_told_to_the_parent() -> None:
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    os.set_blocking(reading, False)
    before = signal.signal(signal.SIGTERM, lambda *_: None)
    old = signal.set_wakeup_fd(writing)
    try:

        def child() -> int:
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(0.05)
            allow_signals()
            return 0

        assert wait(fork(child)) == -signal.SIGTERM
        with pytest.raises(BlockingIOError):
            os.read(reading, 10)
        os.kill(os.getpid(), signal.SIGTERM)
        assert os.read(reading, 10) == bytes([signal.SIGTERM]), "the parent's own signals come through"
    finally:
        signal.set_wakeup_fd(old)
        signal.signal(signal.SIGTERM, before)
        os.close(reading)
        os.close(writing)


def finish(answer: Answer) -> Any:
    while not answer.read():
        pass
    return answer.get()


def test_an_answer_comes_from_another_process_and_leaves_nothing() -> None:
    before = sorted(os.listdir("/proc/self/fd"))
    pid, text = finish(Answer(lambda: (os.getpid(), "x" * 1_000_000), 10))
    assert pid != os.getpid()
    assert text == "x" * 1_000_000
    assert sorted(os.listdir("/proc/self/fd")) == before


def test_a_refusal_comes_out_as_it_was_raised() -> None:
    def refuse() -> None:
        raise PlanRefused("f:1:2: no\nf:3:4: no")

    with pytest.raises(PlanRefused, match=r"f:1:2: no\nf:3:4: no"):
        finish(Answer(refuse, 10))


def test_an_answer_that_does_not_come(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(PlanRefused, match="the process that read it was ended by KILL"):
        finish(Answer(lambda: os.kill(os.getpid(), signal.SIGKILL), 10))
    with pytest.raises(PlanRefused, match="ended with status 70"):
        finish(Answer(lambda: 1 / 0, 10))
    assert "ZeroDivisionError" in capfd.readouterr().err


def test_an_answer_that_is_not_waited_for() -> None:
    before = sorted(os.listdir("/proc/self/fd"))
    answer = Answer(lambda: time.sleep(60), 10)
    began = time.monotonic()
    answer.cancel()
    assert time.monotonic() - began < 5
    with pytest.raises(ProcessLookupError):
        os.kill(answer.pid, 0)
    assert sorted(os.listdir("/proc/self/fd")) == before


@pytest.mark.parametrize(
    ("code", "text"), [(0, "ended with status 0"), (-9, "was ended by KILL"), (-99, "was ended by 99")]
)
def test_ends_in_words(code: int, text: str) -> None:
    assert ended(code) == text


def test_a_stream_that_nobody_reads_keeps_nobody_from_a_fork(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its reader has gone, or its disk is full: signals come through all the same, and so does the child."""
    reading, writing = os.pipe()
    os.close(reading)
    with open(writing, "w", closefd=False) as lost:
        lost.write("x")
        monkeypatch.setattr(sys, "stderr", lost)
        try:
            assert wait(fork(lambda: 7)) == 7
            say("nobody hears this")
        finally:
            monkeypatch.undo()
            with open(os.devnull, "w") as nothing:
                os.dup2(nothing.fileno(), writing)
    os.close(writing)
    assert not signal.pthread_sigmask(signal.SIG_BLOCK, []) & {signal.SIGTERM, signal.SIGCHLD}


def test_who_was_started_with_children_ignored_can_wait_for_them() -> None:
    before = signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    try:
        assert wait(fork(lambda: 7)) == 7
    finally:
        signal.signal(signal.SIGCHLD, before)


def test_orders_wait_until_they_are_let_through() -> None:
    """A child that is forked meanwhile changes nothing of it."""
    seen: list[int] = []
    before = signal.signal(signal.SIGHUP, lambda number, _frame: seen.append(number))
    try:
        hold_orders()
        # To this thread, for whoever runs the tests may have others, which hold nothing; a supervisor has none.
        signal.pthread_kill(threading.get_ident(), signal.SIGHUP)
        assert wait(fork(lambda: 0)) == 0
        assert seen == []
        allow_signals()
        assert seen == [signal.SIGHUP]
    finally:
        allow_signals()
        signal.signal(signal.SIGHUP, before)
