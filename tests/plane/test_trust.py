"""Trusted proxies: who the client is, and what of X-Forwarded-* goes on."""

from __future__ import annotations

import json
import time
from collections.abc import Callable

import pytest

from tests.plane.scene import GET, OK, Scene
from weir.config.network_kinds import networks
from weir.plane.parsers import client_of
from weir.plane.trust import Networks

Stage = Callable[..., Scene]

TRUSTED = ["10.0.0.0/8", "192.0.2.1", "2001:db8::/33", "unix"]


def trusting(*texts: str) -> Networks:
    plans = networks().read(list(texts))
    assert isinstance(plans, tuple)
    return Networks(plans)


def asking(*fields: str) -> bytes:
    return GET[:-2] + "".join(f"{field}\r\n" for field in fields).encode("latin-1") + b"\r\n"


def walked(hop: str, *values: str, trusted: Networks | None = None) -> tuple[str, int]:
    fields = [f"X-Forwarded-For: {value}" for value in values]
    return client_of(asking(*fields), hop.encode(), trusted or trusting(*TRUSTED))[:2]


@pytest.mark.parametrize(
    ("network", "inside", "outside"),
    [
        ("10.0.0.0/8", ["10.0.0.0", "10.255.255.255"], ["9.255.255.255", "11.0.0.0", "::10.0.0.1"]),
        ("192.0.2.1", ["192.0.2.1", "::ffff:192.0.2.1"], ["192.0.2.0", "192.0.2.2"]),
        ("192.0.2.128/25", ["192.0.2.128", "192.0.2.255"], ["192.0.2.127", "192.0.3.128"]),
        ("0.0.0.0/0", ["0.0.0.0", "255.255.255.255"], ["::", "2001:db8::1"]),
        ("::/0", ["::", "2001:db8::1"], ["192.0.2.1"]),
        ("2001:db8::/33", ["2001:db8:7fff::1"], ["2001:db8:8000::1", "2001:db9::"]),
        ("::ffff:10.0.0.0/104", ["10.1.2.3"], ["11.0.0.0"]),
        ("unix", ["unix:"], ["0.0.0.0", "::"]),
    ],
)
def test_networks(network: str, inside: list[str], outside: list[str]) -> None:
    trusted = trusting(network)
    for address in inside:
        assert walked(address, "203.0.113.9", trusted=trusted) == ("203.0.113.9", 0), address
    for address in outside:
        assert walked(address, "203.0.113.9", trusted=trusted)[0] != "203.0.113.9", address


@pytest.mark.parametrize(
    ("values", "client"),
    [
        ([], "10.0.0.1"),
        (["203.0.113.9"], "203.0.113.9"),
        (["1.1.1.1, 203.0.113.9"], "203.0.113.9"),
        (["203.0.113.9, 10.0.0.2"], "203.0.113.9"),
        (["1.1.1.1, 203.0.113.9, 10.0.0.2, 192.0.2.1,10.9.9.9"], "203.0.113.9"),
        (["1.1.1.1", "203.0.113.9", "10.0.0.2"], "203.0.113.9"),
        (["1.1.1.1,203.0.113.9", "10.0.0.2, 10.0.0.3"], "203.0.113.9"),
        (["10.0.0.5, 10.0.0.2"], "10.0.0.5"),
        ([""], "10.0.0.1"),
        ([", ,"], "10.0.0.1"),
        ([", 203.0.113.9,,\t,"], "203.0.113.9"),
        (["203.0.113.9, unix:, 10.0.0.2"], "203.0.113.9"),
        (["203.0.113.9\t"], "203.0.113.9"),
        (["2001:DB8:8000::1"], "2001:db8:8000::1"),
        (["203.0.113.9, 2001:db8::5"], "203.0.113.9"),
        (["::ffff:203.0.113.9"], "203.0.113.9"),
        (["[2001:db9::1]"], "2001:db9::1"),
    ],
)
def test_the_walk(values: list[str], client: str) -> None:
    assert walked("10.0.0.1", *values) == (client, 0)


@pytest.mark.parametrize(
    ("value", "client"),
    [
        ("203.0.113.9:1234", ("203.0.113.9", 1234)),
        ("203.0.113.9:1234, 10.0.0.2:80", ("203.0.113.9", 1234)),
        ("[2001:db9::1]:65535", ("2001:db9::1", 65535)),
        ("[::ffff:203.0.113.9]:80", ("203.0.113.9", 80)),
    ],
)
def test_ports(value: str, client: tuple[str, int]) -> None:
    assert walked("10.0.0.1", value) == client


@pytest.mark.parametrize(
    "wrong",
    [
        *("unknown", "_hidden", "203.0.113.256", "203.0.113", "0203.0.113.9", "203.0.113.9:", "203.0.113.9:65536"),
        *("203.0.113.9:8x", "203.0.113.9:123456", "[203.0.113.9]", "[2001:db9::1", "2001:db9::1]", "[]", "[]:80"),
        *("[::1]:", "[::1]80", "2001:db9::1%eth0", "2001:db9", "::1::1", "203.0.113.9 1.1.1.1"),
        *('"203.0.113.9"', "for=203.0.113.9"),
        *("unix", "unix:x", "UNIX:", "h", ":", "[", "]", "." * 48, "1" * 60, "localhost", "\xff", "203.0.113.9;x"),
    ],
)
def test_what_is_no_address_ends_the_walk(wrong: str) -> None:
    assert walked("10.0.0.1", wrong) == ("10.0.0.1", 0)
    assert walked("10.0.0.1", f"203.0.113.9, {wrong}") == ("10.0.0.1", 0)
    assert walked("10.0.0.1", f"203.0.113.9, {wrong}, 10.0.0.2") == ("10.0.0.2", 0), "who said it has been seen"
    assert walked("10.0.0.1", f"{wrong}, 203.0.113.9") == ("203.0.113.9", 0), "nobody looks so far"


def test_who_is_not_trusted_is_not_asked() -> None:
    assert walked("198.51.100.1", "203.0.113.9") == ("198.51.100.1", 0)
    assert walked("unix:", "203.0.113.9", trusted=trusting("10.0.0.0/8")) == ("unix:", 0)


def test_the_walk_is_bounded() -> None:
    hops = ["203.0.113.9", *(f"10.0.1.{n}" for n in range(100))]
    assert walked("10.9.9.9", ", ".join(hops)) == ("10.0.1.68", 0), "the 32nd from the right"
    assert walked("10.9.9.9", ", ".join([hops[0], *hops[-31:]])) == ("203.0.113.9", 0)


@pytest.mark.heavy
def test_the_walk_costs_little_whatever_is_sent() -> None:
    """Commas and spaces, trusted hops among a thousand networks: far less than ten milliseconds."""
    trusted = trusting(*(f"10.{n >> 8}.{n & 255}.0/24" for n in range(1000)))
    for value in ("," * 30_000, " " * 15_000 + "," * 15_000, "10.3.231.1," * 2500):
        data = asking(f"X-Forwarded-For: {value}")
        started = time.process_time()
        client_of(data, b"10.3.231.1", trusted, repeat=100)
        assert time.process_time() - started < 1


@pytest.mark.parametrize(
    ("fields", "proto", "host"),
    [
        ([], False, False),
        (["X-Forwarded-Proto: https", "X-Forwarded-Host: a.b:8080"], True, True),
        (["X-Forwarded-Proto: HTTP", "X-Forwarded-Host: [::1]"], True, True),
        (["X-Forwarded-Proto: ftp", "X-Forwarded-Host: a b"], False, False),
        (["X-Forwarded-Proto: https,http", "X-Forwarded-Host: a,b"], False, False),
        (["X-Forwarded-Proto:", "X-Forwarded-Host:"], False, False),
        (["X-Forwarded-Proto: http", "X-Forwarded-Proto: http"], False, False),
        (["X-Forwarded-Host: a", "X-Forwarded-Host: a"], False, False),
        (["X-Forwarded-Host: a/b"], False, False),
        (["X-Forwarded-Host: a:65536"], False, False),
        (["X-Forwarded-Host: user@a"], False, False),
    ],
)
def test_what_may_go_on(fields: list[str], proto: bool, host: bool) -> None:
    assert client_of(asking(*fields), b"10.0.0.1", trusting(*TRUSTED))[2:] == (proto, host)


# What goes on, by policy

SAID = (
    *("X-Forwarded-For: 203.0.113.9, 10.0.0.2", "X-Forwarded-Proto: https", "X-Forwarded-Host: shop.example"),
    *("X-Real-IP: 203.0.113.9", "Forwarded: for=203.0.113.9"),
)


def forwarded(stage: Stage, policy: str, hop: str | None, *fields: str, trusted: list[str] | None = None) -> list[str]:
    """Fields about the client that go on."""
    plans = networks().read(TRUSTED if trusted is None else trusted)
    scene = stage(listener={"forwarded": policy, "trusted_proxies": plans})
    scene.client(asking(*fields), hop)
    seen = scene.endpoint().take_sent().decode("latin-1").split("\r\n")[2:-2]
    return seen


def test_replace_says_what_a_trusted_proxy_has_seen(stage: Stage) -> None:
    assert forwarded(stage, "replace", "10.0.0.1", *SAID) == [
        *("X-Forwarded-Proto: https", "X-Forwarded-Host: shop.example", "X-Forwarded-For: 203.0.113.9")
    ]
    assert forwarded(stage, "replace", "10.0.0.1", SAID[0], "X-Forwarded-Proto: x", "X-Forwarded-Host: a, b") == [
        *("X-Forwarded-For: 203.0.113.9", "X-Forwarded-Proto: http", "X-Forwarded-Host: h")
    ]


def test_append_adds_the_hop_to_what_a_trusted_proxy_says(stage: Stage) -> None:
    assert forwarded(stage, "append", "10.0.0.1", *SAID[:3]) == [
        *("X-Forwarded-Proto: https", "X-Forwarded-Host: shop.example"),
        "X-Forwarded-For: 203.0.113.9, 10.0.0.2, 10.0.0.1",
    ]


@pytest.mark.parametrize("policy", ["replace", "append"])
def test_nothing_goes_on_of_what_others_say(stage: Stage, policy: str) -> None:
    assert forwarded(stage, policy, "198.51.100.1", *SAID) == [
        *("X-Forwarded-For: 198.51.100.1", "X-Forwarded-Proto: http", "X-Forwarded-Host: h")
    ]


@pytest.mark.parametrize("hop", ["10.0.0.1", "198.51.100.1"])
def test_keep_and_off_do_not_ask_who_it_is(stage: Stage, hop: str) -> None:
    assert forwarded(stage, "keep", hop, *SAID) == list(SAID)
    assert forwarded(stage, "off", hop, *SAID) == []


def test_without_trusted_proxies_nothing_changes(stage: Stage) -> None:
    assert forwarded(stage, "replace", "10.0.0.1", *SAID, trusted=[])[0] == "X-Forwarded-For: 10.0.0.1"
    assert forwarded(stage, "append", "10.0.0.1", *SAID[:1], trusted=[])[0] == (
        "X-Forwarded-For: 203.0.113.9, 10.0.0.2, 10.0.0.1"
    )


def test_by_a_unix_socket(stage: Stage) -> None:
    assert forwarded(stage, "replace", None, *SAID[:1])[0] == "X-Forwarded-For: 203.0.113.9"
    assert forwarded(stage, "replace", None, *SAID[:1], trusted=["10.0.0.0/8"])[0] == "X-Forwarded-For: unix:"


def test_the_log_has_the_client_of_each_request(stage: Stage) -> None:
    scene = stage(listener={"trusted_proxies": networks().read(TRUSTED)})
    client = scene.client(b"", "10.0.0.1")
    for name in ("203.0.113.9", "203.0.113.10", ""):
        scene.send(client, asking(f"X-Forwarded-For: {name}"))
        scene.send(scene.endpoint(), OK)
    scene.send(client, b"BAD\r\n\r\n")
    scene.end(client)
    seen = [json.loads(line)["client"] for line in scene.log.take().splitlines()]
    assert seen == ["203.0.113.9", "203.0.113.10", "10.0.0.1", "10.0.0.1"], "a head that is none tells of nobody"


def test_half_a_head_is_the_hops(stage: Stage) -> None:
    scene = stage(listener={"trusted_proxies": networks().read(TRUSTED)})
    client = scene.client(asking("X-Forwarded-For: 203.0.113.9"), "10.0.0.1")
    scene.send(scene.endpoint(), OK)
    scene.send(client, GET[:9])
    scene.wait_ms(10_100)
    assert b"HTTP/1.1 408 " in client.take_sent()
    scene.end(client)
    assert [json.loads(line)["client"] for line in scene.log.take().splitlines()] == ["203.0.113.9", "10.0.0.1"]


def test_a_refused_request_is_its_clients(stage: Stage) -> None:
    scene = stage(listener={"trusted_proxies": networks().read(TRUSTED)})
    client = scene.client(b"TRACE /a HTTP/1.1\r\nHost: h\r\nX-Forwarded-For: 203.0.113.9\r\n\r\n", "10.0.0.1")
    scene.end(client)
    assert [json.loads(line)["client"] for line in scene.log.take().splitlines()] == ["203.0.113.9"]


def test_a_request_that_is_sent_again_says_the_same(stage: Stage) -> None:
    scene = stage(listener={"trusted_proxies": networks().read(TRUSTED), "forwarded": "replace"})
    client = scene.client(GET, "10.0.0.1")
    scene.send(scene.endpoint(), OK)
    scene.send(client, asking(*SAID))
    scene.endpoint().take_sent()
    scene.reset(scene.endpoint())
    assert scene.dials == 2
    assert b"\r\nX-Forwarded-Host: shop.example\r\nX-Forwarded-For: 203.0.113.9\r\n" in scene.endpoint().take_sent()
