"""Look-ups in threads that nobody waits for; tests/control/test_resolve.py has those of endpoints."""

from __future__ import annotations

import asyncio
import socket
import threading
from typing import Any

import pytest

from weir.names import look_up


async def test_what_the_system_says() -> None:
    ended: list[int] = []
    places = [info[4][:2] for info in await look_up("127.0.0.1", 80, lambda: ended.append(1))]
    assert places == [("127.0.0.1", 80)]
    assert ended == [1]


@pytest.mark.parametrize("error", [socket.gaierror(-2, "Name or service not known"), UnicodeError("label too long")])
async def test_what_it_raises_is_raised(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    def fails(*_arguments: object, **_options: object) -> list[Any]:
        raise error

    monkeypatch.setattr(socket, "getaddrinfo", fails)
    with pytest.raises(type(error)) as caught:
        await look_up("app", 80)
    assert caught.value is error


async def test_one_that_is_given_up_ends_when_its_thread_does(monkeypatch: pytest.MonkeyPatch) -> None:
    go_on, ended = threading.Event(), asyncio.Event()

    def hangs(*_arguments: object, **_options: object) -> list[Any]:
        assert go_on.wait(30)
        return []

    monkeypatch.setattr(socket, "getaddrinfo", hangs)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.02):
            await look_up("app", 80, ended.set)
    assert not ended.is_set()
    go_on.set()
    async with asyncio.timeout(20):
        await ended.wait()


async def test_without_a_thread_it_says_so_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    def none(_self: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", none)
    with pytest.raises(OSError, match="there is no thread for it"):
        look_up("app", 80)
