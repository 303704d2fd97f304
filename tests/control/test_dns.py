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
    # The same words each time: whoever repeats them need not say them again.
    for _ in range(2):
        with pytest.raises(DnsError, match=r"^_http\._tcp\.app\.test SRV: timed out, no answer within 0\.3 s$"):
            await asking(server).look_up(SRV)
    assert server.asked


APP = AddressPlan("app.test:80", "app.test", 80)


def texts(answer: Found) -> list[str]:
    return [target.text for target in answer.targets]


async def test_a_kind_that_is_not_answered_once_takes_no_address_away(
    server: NameServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("weir.control.dns.LIFETIME_S", 0.3)
    server.records[("app.test.", "A")] = (60, ["192.0.2.1"])
    server.records[("app.test.", "AAAA")] = (60, ["2001:db8::1"])
    dns = asking(server)
    both = ["192.0.2.1:80", "[2001:db8::1]:80"]
    assert texts(await dns.look_up(APP)) == both
    for failing in (server.ignored, server.broken):
        failing.add(("app.test.", "A"))
        server.records[("app.test.", "AAAA")] = (60, ["2001:db8::2"])
        answer = await dns.look_up(APP)
        assert texts(answer) == ["192.0.2.1:80", "[2001:db8::2]:80"]
        assert answer.ttl_s == 5, "it is asked again soon"
        failing.clear()
        # What a server says is gone is gone.
        kept = server.records.pop(("app.test.", "A"))
        assert texts(await dns.look_up(APP)) == ["[2001:db8::2]:80"]
        server.records[("app.test.", "A")] = kept
        assert texts(await dns.look_up(APP)) == ["192.0.2.1:80", "[2001:db8::2]:80"]
    # If nothing at all is answered, that is no answer.
    server.broken |= {("app.test.", "A"), ("app.test.", "AAAA")}
    with pytest.raises(DnsError):
        await dns.look_up(APP)
    # A server that has always failed for one kind of address is as if there were none.
    server.broken = {("app.test.", "AAAA")}
    answer = await asking(server).look_up(APP)
    assert (texts(answer), answer.ttl_s) == (["192.0.2.1:80"], 60)


async def test_a_host_that_is_not_answered_once_stays(server: NameServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("weir.control.dns.LIFETIME_S", 0.3)
    server.records[("_http._tcp.app.test.", "SRV")] = (30, ["1 1 81 a.test.", "1 1 82 b.test.", "1 1 83 c.test."])
    for number, name in enumerate("abc"):
        server.records[(f"{name}.test.", "A")] = (60, [f"192.0.2.{number}"])
    dns = asking(server)
    every = ["192.0.2.0:81", "192.0.2.1:82", "192.0.2.2:83"]
    assert texts(await dns.look_up(SRV)) == every
    server.ignored |= {("b.test.", "A"), ("b.test.", "AAAA")}
    del server.records[("c.test.", "A")]
    answer = await dns.look_up(SRV)
    assert texts(answer) == every[:2]
    assert answer.ttl_s == 5
    server.ignored |= {("a.test.", "A"), ("a.test.", "AAAA")}
    with pytest.raises(DnsError):
        await dns.look_up(SRV)


async def test_the_systems_name_servers_may_become_others(server: NameServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """As /etc/resolv.conf says: it is read again when nobody answers."""
    import dns.asyncresolver
    import dns.nameserver
    from dns.asyncresolver import Resolver

    monkeypatch.setattr("weir.control.dns.LIFETIME_S", 0.3)
    server.records[("app.test.", "A")] = (60, ["192.0.2.1"])
    ports = iter([9, server.port])

    def configured(configure: bool) -> Resolver:
        assert configure
        made = Resolver(configure=False)
        made.nameservers = [dns.nameserver.Do53Nameserver("127.0.0.1", next(ports))]
        return made

    monkeypatch.setattr(dns.asyncresolver, "Resolver", configured)
    system = Dns()
    with pytest.raises(DnsError):
        await system._ask("app.test", "A")
    assert texts(await system.look_up(APP)) == ["192.0.2.1:80"]


async def test_what_is_kept_and_what_is_asked_at_a_time_is_bounded(
    server: NameServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("weir.control.dns.MOST_KEPT", 3)
    monkeypatch.setattr("weir.control.dns.MOST_QUESTIONS", 2)
    dns = asking(server)
    for number in range(5):
        server.records[(f"{number}.test.", "A")] = (60, ["192.0.2.1"])
        await dns.look_up(AddressPlan(f"{number}.test:80", f"{number}.test", 80))
    assert list(dns._kept) == [(f"{number}.test", "A") for number in (2, 3, 4)]


async def test_very_many_are_cut(server: NameServer) -> None:
    server.records[("app.test.", "A")] = (1, [f"10.0.{n // 200}.{n % 200}" for n in range(30)])
    server.records[("_http._tcp.app.test.", "SRV")] = (1, [f"1 1 {port} app.test." for port in range(1, 12)])
    answer = await asking(server).look_up(SRV)
    assert len(answer.targets) == 256
