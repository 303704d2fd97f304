"""Networks of trusted proxies: what is read, and what is refused."""

from __future__ import annotations

import pytest

from tests.config.conftest import Refusals
from weir.config.load import load_text
from weir.config.plan import NetworkPlan

LISTENER = '[[listener]]\naddress = ":8080"\nto = "127.0.0.1:8081"\n'
MAPPED = bytes(10) + b"\xff\xff"


def read(text: str) -> tuple[NetworkPlan, ...]:
    return load_text(f"{LISTENER}trusted_proxies = [{text}]", "f").listener[0].trusted_proxies


@pytest.mark.parametrize(
    ("text", "network"),
    [
        ("unix", NetworkPlan("unix")),
        ("10.0.0.0/8", NetworkPlan("10.0.0.0/8", MAPPED + b"\x0a\0\0\0", 104, True)),
        ("192.0.2.1", NetworkPlan("192.0.2.1", MAPPED + b"\xc0\0\x02\x01", 128, True)),
        ("0.0.0.0/0", NetworkPlan("0.0.0.0/0", MAPPED + bytes(4), 96, True)),
        ("::1", NetworkPlan("::1", bytes(15) + b"\1", 128)),
        ("2001:DB8::/32", NetworkPlan("2001:DB8::/32", b"\x20\x01\x0d\xb8" + bytes(12), 32)),
        ("::/0", NetworkPlan("::/0", bytes(16), 0)),
        ("::ffff:10.0.0.0/104", NetworkPlan("::ffff:10.0.0.0/104", MAPPED + b"\x0a\0\0\0", 104, True)),
    ],
)
def test_networks(text: str, network: NetworkPlan) -> None:
    assert read(f'"{text}"') == (network,)


def test_none_and_several() -> None:
    assert read("") == ()
    assert [network.text for network in read('"::1", "unix", "10.0.0.0/8"')] == ["::1", "unix", "10.0.0.0/8"]


EXAMPLES = 'for example "10.0.0.0/8", "2001:db8::/32", "192.0.2.1", or "unix"'


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ('"10.0.0.0/8"', 'wanted an array of networks, found a string; write ["10.0.0.0/8"]'),
        ("1", 'wanted an array of networks, found a whole number; for example ["10.0.0.0/8"]'),
        ("[1]", 'wanted a network, a string, found a whole number; for example "10.0.0.0/8"'),
        ('["lb.internal"]', f'"lb.internal" is neither an address nor a network; {EXAMPLES}'),
        ('["10.0.0.0/33"]', f'"10.0.0.0/33" is neither an address nor a network; {EXAMPLES}'),
        ('["10.0.0"]', f'"10.0.0" is neither an address nor a network; {EXAMPLES}'),
        ('["fe80::%eth0/64"]', f'"fe80::%eth0/64": zones of IPv6 addresses are not supported; {EXAMPLES}'),
        (
            '["10.0.0.0/255.0.0.0"]',
            '"10.0.0.0/255.0.0.0": the size of a network is a number of bits; write "10.0.0.0/8"',
        ),
        (
            '["10.1.2.3/8"]',
            '"10.1.2.3/8": bits are set behind the first 8; write "10.0.0.0/8", or "10.1.2.3" for the one address',
        ),
        ('["::1", "unix", "::1"]', '"::1" is there twice; take one out'),
        (
            "[" + ",".join(f'"10.0.{n >> 8}.{n & 255}"' for n in range(1001)) + "]",
            "1001 networks are more than 1000; take larger networks",
        ),
    ],
)
def test_refused(refusals: Refusals, value: str, said: str) -> None:
    text = f"{LISTENER}trusted_proxies = {value}"
    assert refusals(text) == [f"f:4:19: listener[0].trusted_proxies: {said}"]
