"""Look-ups in the DNS, against a name server of the tests' own."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from weir.config.plan import AddressPlan
from weir.control.dns import Dns, DnsError, Found, Target

from .nameserver import NameServer

SRV = AddressPlan("srv:_http._tcp.app.test", "_http._tcp.app.test", srv=True)


@pytest.fixture
def server() -> Iterator[NameServer]:
    made = NameServer()
    yield made
    made.close()


def asking(server: NameServer) -> Dns:
    return Dns([AddressPlan(server.text, "127.0.0.1", server.port)])


async def test_addresses_of_both_kinds_with_the_smaller_ttl(server: NameServer) -> None:
    server.records[("app.test.", "A")] = (7, ["192.0.2.2", "192.0.2.1"])
    server.records[("app.test.", "AAAA")] = (5, ["2001:db8::1"])
    answer = await asking(server).look_up(AddressPlan("app.test:80", "app.test", 80))
    assert [target.text for target in answer.targets] == ["192.0.2.1:80", "192.0.2.2:80", "[2001:db8::1]:80"]
    assert answer.ttl_s == 5


async def test_one_kind_will_do(server: NameServer) -> None:
    server.records[("app.test.", "AAAA")] = (5, ["2001:db8::1"])
    answer = await asking(server).look_up(AddressPlan("app.test:80", "app.test", 80))
    assert answer == Found((Target("2001:db8::1", 80),), 5)


async def test_services_have_ports_ranks_and_weights(server: NameServer) -> None:
    server.records[("_http._tcp.app.test.", "SRV")] = (
        30,
        ["10 60000 8081 a.test.", "10 30 8082 b.test.", "20 0 8083 b.test.", "20 5 8084 gone.test."],
    )
    server.records[("a.test.", "A")] = (4, ["192.0.2.1"])
    server.records[("b.test.", "A")] = (60, ["192.0.2.2", "192.0.2.3"])
    answer = await asking(server).look_up(SRV)
    assert answer.ttl_s == 4
    assert answer.targets == (
        Target("192.0.2.1", 8081, 0, 1000),
        Target("192.0.2.2", 8082, 0, 1),
        Target("192.0.2.2", 8083, 1, 1),
        Target("192.0.2.3", 8082, 0, 1),
        Target("192.0.2.3", 8083, 1, 1),
    )


async def test_a_service_that_is_decidedly_not_there(server: NameServer) -> None:
    server.records[("_http._tcp.app.test.", "SRV")] = (30, ["0 0 0 ."])
    with pytest.raises(DnsError, match="no SRV record names a host"):
        await asking(server).look_up(SRV)


async def test_what_does_not_exist(server: NameServer) -> None:
    for address in (AddressPlan("app.test:80", "app.test", 80), SRV):
        with pytest.raises(DnsError, match="does not exist"):
            await asking(server).look_up(address)


async def test_a_server_that_is_silent(server: NameServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("weir.control.dns.LIFETIME_S", 0.3)
    server.silent = True
    with pytest.raises(DnsError, match=r"timed out|lifetime expired"):
        await asking(server).look_up(SRV)
    assert server.asked


async def test_very_many_are_cut(server: NameServer) -> None:
    server.records[("app.test.", "A")] = (1, [f"10.0.{n // 200}.{n % 200}" for n in range(30)])
    server.records[("_http._tcp.app.test.", "SRV")] = (1, [f"1 1 {port} app.test." for port in range(1, 12)])
    answer = await asking(server).look_up(SRV)
    assert len(answer.targets) == 256
