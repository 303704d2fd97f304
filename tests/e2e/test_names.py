"""Names that stand for several endpoints, while the name server changes its mind."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import pytest

from tests.control.nameserver import NameServer

from .conftest import MakeRig
from .peers import Endpoint, ok
from .rig import WORKERS, Rig
from .test_reload import forget
from .wire import eventually

pytestmark = pytest.mark.timeout(60)


@pytest.fixture
def names() -> Iterator[NameServer]:
    made = NameServer()
    yield made
    made.close()


@pytest.fixture
def endpoints() -> Iterator[list[Endpoint]]:
    """Three endpoints on one port of three addresses."""
    first = Endpoint(("127.0.0.1", 0))
    made = [first, *(Endpoint((f"127.0.0.{n}", first.port)) for n in (2, 3))]
    for number, endpoint in enumerate(made, 1):
        endpoint.reply(ok(b"%d" % number))
    yield made
    for endpoint in made:
        endpoint.close()
        assert not endpoint.failures


def asked(rig: Rig, times: int = 20) -> Counter[str]:
    return Counter(rig.get("/").body.decode() for _ in range(times))


def test_each_address_is_an_endpoint(weir: MakeRig, names: NameServer, endpoints: list[Endpoint]) -> None:
    names.records[("app.test.", "A")] = (1, ["127.0.0.1", "127.0.0.2"])
    cluster = {"resolve": "each", "nameservers": [names.text]}
    rig = weir(endpoints=[f"app.test:{endpoints[0].port}"], cluster=cluster, top=WORKERS)
    rig.slack = 6
    eventually(lambda: set(asked(rig)) == {"1", "2"}, 10, "both endpoints")
    # The TTL is a second.
    names.records[("app.test.", "A")] = (1, ["127.0.0.2", "127.0.0.3"])
    eventually(lambda: set(asked(rig)) == {"2", "3"}, 10, "the name's new endpoints")
    # While nothing is found the last answer stays.
    names.records.clear()
    before = names.asked
    eventually(lambda: names.asked > before + 4, 10)
    assert set(asked(rig)) == {"2", "3"}
    names.records[("app.test.", "A")] = (1, ["127.0.0.1"])
    eventually(lambda: set(asked(rig)) == {"1"}, 10)
    forget(rig, "cluster app: ")


def test_services_of_the_dns(weir: MakeRig, names: NameServer, endpoints: list[Endpoint]) -> None:
    port = endpoints[0].port
    names.records[("_http._tcp.app.test.", "SRV")] = (1, [f"1 1 {port} one.test.", f"1 1 {port} two.test."])
    names.records[("one.test.", "A")] = (60, ["127.0.0.1"])
    names.records[("two.test.", "A")] = (60, ["127.0.0.2"])
    rig = weir(endpoints=["srv:_http._tcp.app.test"], cluster={"nameservers": [names.text]})
    rig.slack = 6
    eventually(lambda: set(asked(rig)) == {"1", "2"}, 10, "both endpoints")


def test_a_name_that_nobody_knows_yet(weir: MakeRig, names: NameServer, endpoints: list[Endpoint]) -> None:
    cluster = {"resolve": "each", "nameservers": [names.text]}
    rig = weir(endpoints=[f"app.test:{endpoints[0].port}"], cluster=cluster)
    rig.slack = 6
    assert rig.get("/").head.status == 502
    assert rig.reason("/") == "no_endpoint"
    names.records[("app.test.", "A")] = (1, ["127.0.0.3"])
    eventually(lambda: rig.get("/").body == b"3", 10)
    forget(rig, "cluster app: ")
