from __future__ import annotations

import asyncio
import logging
import socket
import threading
import time
from collections.abc import Iterator
from typing import Any, cast

import pytest

from weir.config.plan import AddressPlan, ClusterPlan
from weir.control import resolve
from weir.control.resolve import Resolver
from weir.plane.plane import Plane


class Told:
    """Takes down what the plane would be told."""

    def __init__(self) -> None:
        self.addresses: dict[tuple[int, str], list[str]] = {}
        self.history: list[list[str]] = []

    def set_addresses(self, cluster: int, endpoint: str, addresses: list[Any]) -> None:
        self.addresses[cluster, endpoint] = [address.text for address in addresses]
        self.history.append(self.addresses[cluster, endpoint])


def resolver(told: Told, *endpoints: AddressPlan, interval_ms: int = 20) -> Resolver:
    clusters = (ClusterPlan("app", endpoints, resolve_interval_ms=interval_ms),)
    return Resolver(cast(Plane, told), clusters)


async def test_literals_are_told_at_once() -> None:
    told = Told()
    names = (
        AddressPlan("a", "192.0.2.1", 80),
        AddressPlan("b", "::1", 81),
        AddressPlan("c", path="/run/x.sock"),
    )
    one = resolver(told, *names)
    one.start()
    assert told.addresses == {(0, "a"): ["192.0.2.1:80"], (0, "b"): ["[::1]:81"], (0, "c"): ["unix:/run/x.sock"]}
    await one.wait_first(0.1)
    await one.stop()


async def test_a_name_is_looked_up_again_and_again(monkeypatch: pytest.MonkeyPatch) -> None:
    answers = [["192.0.2.1", "192.0.2.1", "192.0.2.2"], ["192.0.2.3"]]

    def look_up(host: str, port: int, **_options: object) -> list[Any]:
        found = answers.pop(0) if len(answers) > 1 else answers[0]
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in found]

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    told = Told()
    one = resolver(told, AddressPlan("app:80", "app", 80))
    one.start()
    await one.wait_first(20)
    assert told.history[0] == ["192.0.2.1:80", "192.0.2.2:80"]
    async with asyncio.timeout(20):
        while told.addresses != {(0, "app:80"): ["192.0.2.3:80"]}:
            await asyncio.sleep(0.005)
    await one.stop()


async def test_a_failing_look_up_is_said_once_and_keeps_the_last_answer(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    calls = 0

    def look_up(host: str, port: int, **_options: object) -> list[Any]:
        nonlocal calls
        calls += 1
        if calls > 1:
            raise socket.gaierror(-2, "Name or service not known")
        return [(socket.AF_INET6, socket.SOCK_STREAM, 6, "", ("fe80::1%lo", port, 0, 1))]

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    told = Told()
    one = resolver(told, AddressPlan("app:80", "app", 80))
    with caplog.at_level(logging.WARNING, "weir.resolve"):
        one.start()
        async with asyncio.timeout(20):
            while calls <= 3:
                await asyncio.sleep(0.005)
    await one.stop()
    assert told.addresses == {(0, "app:80"): ["[fe80::1]:80"]}
    assert [record.getMessage() for record in caplog.records] == [
        "cluster app: cannot resolve endpoint app:80: Name or service not known (trying again)"
    ]


@pytest.fixture
def hanging(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """The names that look-ups hang for, in the order in which they were asked for; in the end they all go on."""
    asked: list[str] = []
    go_on = threading.Event()
    threads = set(threading.enumerate())

    def look_up(host: str, port: int, **_options: object) -> list[Any]:
        asked.append(host)
        assert go_on.wait(30)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("192.0.2.1", port))]

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    yield asked
    go_on.set()
    for thread in set(threading.enumerate()) - threads:
        thread.join(30)


async def test_the_first_look_up_holds_nothing_up_for_long(hanging: list[str]) -> None:
    loop = asyncio.get_running_loop()
    told = Told()
    one = resolver(told, AddressPlan("app:80", "app", 80))
    one.start()
    began = loop.time()
    await one.wait_first(0.05)
    assert loop.time() - began < 1
    assert told.addresses == {}
    await one.stop()


def test_one_that_hangs_does_not_hold_up_the_end_of_a_loop(hanging: list[str]) -> None:
    async def main() -> None:
        one = resolver(Told(), AddressPlan("app:80", "app", 80))
        one.start()
        await one.wait_first(0.01)
        await one.stop()

    # Nor of its executor, as asyncio.run ends it.
    began = time.monotonic()
    asyncio.run(main())
    assert time.monotonic() - began < 10
    assert hanging == ["app"]


async def test_no_more_than_some_threads_hang(hanging: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resolve, "MOST_AT_A_TIME", 2)
    one = resolver(Told(), *[AddressPlan(f"{name}:80", name, 80) for name in "abcd"])
    one.start()
    async with asyncio.timeout(20):
        while len(hanging) < 2:
            await asyncio.sleep(0.005)
    # Whoever gives one up has not ended its thread.
    one.forget(0, "a:80")
    await one.wait_first(0.05)
    assert hanging == ["a", "b"]
    await one.stop()


async def test_where_there_is_no_thread_it_is_tried_again(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def none(_self: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    told = Told()
    one = resolver(told, AddressPlan("app:80", "127.0.0.2.", 80))
    monkeypatch.setattr(resolve, "literal", lambda _address: None)
    monkeypatch.setattr(resolve, "MOST_AT_A_TIME", 1)
    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", none)
        one.start()
        await one.wait_first(20)
    assert "cannot resolve endpoint app:80: there is no thread for it (trying again)" in caplog.text
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_a, **_o: [(socket.AF_INET, 1, 6, "", ("192.0.2.1", 80))])
    async with asyncio.timeout(10):
        while not told.addresses:
            await asyncio.sleep(0.01)
    await one.stop()


async def test_whoever_comes_later_leaves_nothing_behind() -> None:
    """Endpoints that operators add and remove, day after day."""
    one = resolver(Told())
    one.start()
    for number in range(3):
        one.watch(0, AddressPlan(f"app{number}:80", "localhost", 80))
        one.forget(0, f"app{number}:80")
    assert (one._first, one._tasks) == ([], {})
    await one.stop()
