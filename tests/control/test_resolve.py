from __future__ import annotations

import asyncio
import logging
import socket
from typing import Any, cast

import pytest

from weir.config.plan import AddressPlan, ClusterPlan
from weir.control.resolve import Resolver
from weir.plane.plane import Plane


class Told:
    """Takes down what the plane would be told."""

    def __init__(self) -> None:
        self.addresses: dict[tuple[int, str], list[str]] = {}

    def set_addresses(self, cluster: int, endpoint: str, addresses: list[Any]) -> None:
        self.addresses[cluster, endpoint] = [address.text for address in addresses]


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

    async def look_up(host: str, port: int, **_options: object) -> list[Any]:
        found = answers.pop(0) if len(answers) > 1 else answers[0]
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in found]

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", look_up)
    told = Told()
    one = resolver(told, AddressPlan("app:80", "app", 80))
    one.start()
    await one.wait_first(1)
    assert told.addresses == {(0, "app:80"): ["192.0.2.1:80", "192.0.2.2:80"]}
    await asyncio.sleep(0.1)
    assert told.addresses == {(0, "app:80"): ["192.0.2.3:80"]}
    await one.stop()


async def test_a_failing_look_up_is_said_once_and_keeps_the_last_answer(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    calls = 0

    async def look_up(host: str, port: int, **_options: object) -> list[Any]:
        nonlocal calls
        calls += 1
        if calls > 1:
            raise socket.gaierror(-2, "Name or service not known")
        return [(socket.AF_INET6, socket.SOCK_STREAM, 6, "", ("fe80::1%lo", port, 0, 1))]

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", look_up)
    told = Told()
    one = resolver(told, AddressPlan("app:80", "app", 80))
    with caplog.at_level(logging.WARNING, "weir.resolve"):
        one.start()
        await asyncio.sleep(0.15)
    await one.stop()
    assert calls > 3
    assert told.addresses == {(0, "app:80"): ["[fe80::1]:80"]}
    assert [record.getMessage() for record in caplog.records] == [
        "cluster app: cannot resolve endpoint app:80: Name or service not known (trying again)"
    ]


async def test_the_first_look_up_holds_nothing_up_for_long(monkeypatch: pytest.MonkeyPatch) -> None:
    async def look_up(host: str, port: int, **_options: object) -> list[Any]:
        await asyncio.sleep(30)
        return []

    loop = asyncio.get_running_loop()
    monkeypatch.setattr(loop, "getaddrinfo", look_up)
    told = Told()
    one = resolver(told, AddressPlan("app:80", "app", 80))
    one.start()
    began = loop.time()
    await one.wait_first(0.05)
    assert loop.time() - began < 1
    assert told.addresses == {}
    await one.stop()
