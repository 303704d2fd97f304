"""The thread that watches, against real instances."""

from __future__ import annotations

import os
import select
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from weir.cli.call import Caller, parse_target
from weir.cli.feed import Asked, Feed, Update

from .instance import instance

ASKED = Asked({}, "SORT_REQUESTS", False, 10, 0.2, False)
DEADLINE_S = 20.0


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    read, write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    yield read, write
    os.close(read)
    os.close(write)


def _until(feed: Feed, wake: int, wanted: Callable[[Update], bool]) -> Update:
    deadline = time.monotonic() + DEADLINE_S
    while time.monotonic() < deadline:
        select.select([wake], [], [], 0.5)
        update = feed.take()
        if update is not None and wanted(update):
            return update
    raise AssertionError("no such update came")


def _no_thread() -> bool:
    return not any(thread.name == "weir-feed" for thread in threading.enumerate())


def test_answers_come_and_a_change_is_answered_at_once(pipe: tuple[int, int]) -> None:
    with instance() as weir:
        weir.count("/a", [1000] * 3)
        weir.settle()
        feed = Feed(Caller(parse_target(weir.address)).again, pipe[1])
        feed.ask(ASKED)
        first = _until(feed, pipe[0], lambda update: update.answer is not None)
        assert first.status is not None
        assert first.status.rows == 256
        _until(feed, pipe[0], lambda update: not update.first)
        # An interval of a minute: only the first picture can be there so soon.
        slow = ASKED._replace(interval=60.0, sort="SORT_PATH")
        feed.ask(slow)
        start = time.monotonic()
        assert _until(feed, pipe[0], lambda update: update.asked == slow).first
        feed.ask(ASKED)
        _until(feed, pipe[0], lambda update: update.asked == ASKED)
        assert time.monotonic() - start < 15
        feed.close()
        assert feed.take() is None or True
    assert _no_thread()


def test_a_lost_instance_is_told_and_found_again(pipe: tuple[int, int]) -> None:
    with instance() as weir:
        address = weir.address
        feed = Feed(Caller(parse_target(address)).again, pipe[1])
        feed.ask(ASKED)
        _until(feed, pipe[0], lambda update: not update.first)
    lost = _until(feed, pipe[0], lambda update: bool(update.problem))
    assert lost.answer is None
    assert address in lost.problem
    assert "trying again in" in lost.problem
    refused = _until(feed, pipe[0], lambda update: "nothing listens" in update.problem)
    assert "\n" not in refused.problem
    with instance(address=address):
        _until(feed, pipe[0], lambda update: update.answer is not None and not update.first)
        feed.close()
    assert _no_thread()


def test_what_time_does_not_heal_is_told_without_a_promise(pipe: tuple[int, int]) -> None:
    with instance(token="s3cret") as weir:
        feed = Feed(Caller(parse_target(weir.address)).again, pipe[1])
        feed.ask(ASKED)
        update = _until(feed, pipe[0], lambda update: bool(update.problem))
        assert "demands a token" in update.problem
        assert "again" not in update.problem
        feed.close()
    assert _no_thread()


def test_updates_that_nobody_takes_are_not_kept(pipe: tuple[int, int]) -> None:
    with instance() as weir:
        feed = Feed(Caller(parse_target(weir.address)).again, pipe[1])
        feed.ask(ASKED)
        time.sleep(1.2)
        feed.close()
    assert feed.take() is not None
    assert feed.take() is None


def test_a_feed_that_was_never_asked_ends(pipe: tuple[int, int]) -> None:
    Feed(Caller(parse_target("127.0.0.1:1")).again, pipe[1]).close()
