"""Requests spread over real endpoints by several workers."""

from __future__ import annotations

import os
import re
import signal
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from weir.stats import layout
from weir.stats.roster import Health, Order, change

from .conftest import MakeRig
from .peers import Endpoint, ok
from .proxy import configuration
from .rig import WORKERS, Rig, tables
from .wire import eventually

pytestmark = pytest.mark.timeout(60)

Farm = Callable[[int], list[Endpoint]]


@pytest.fixture
def farm() -> Iterator[Farm]:
    """Endpoints that answer with their number."""
    with ExitStack() as ends:

        def make(count: int) -> list[Endpoint]:
            made = [Endpoint() for _ in range(count)]
            for number, endpoint in enumerate(made):
                ends.callback(endpoint.close)
                endpoint.reply(ok(b"%d" % number))
            return made

        yield make


def told(endpoints: list[Endpoint], *more: dict[str, Any]) -> list[Any]:
    """Endpoints for the configuration, with what is said of each."""
    return [{"address": endpoint.address, **about} for endpoint, about in zip(endpoints, more, strict=True)]


def ask(rig: Rig, times: int, *fields: str) -> Counter[int]:
    """Who has answered how many requests, each on a connection of its own, so that all workers are met."""
    found: Counter[int] = Counter()
    for number in range(times):
        answer = rig.get(f"/{number}", *fields)
        assert answer.status == 200
        found[int(answer.body)] += 1
    return found


def orders(rig: Rig, number: int, **fields: int) -> None:
    """Writes to the standing of an endpoint as an operator's command or a check of its health does."""
    links = [e for e in Path(f"/proc/{rig.proxy.pid}/fd").iterdir() if "weir-statistics" in os.readlink(e)]
    with layout.attach(os.open(links[0], os.O_RDWR), writable=True) as table:
        change(table, number, **fields)


def reload(rig: Rig) -> None:
    rig.proxy.send_signal(signal.SIGHUP)
    eventually(lambda: any(line.startswith("weir: reloaded") for line in rig.proxy.stderr), 20, "reloaded")
    rig.proxy.stderr[:] = [line for line in rig.proxy.stderr if not line.startswith("weir: reloaded")]


@pytest.mark.parametrize(("policy", "slack"), [("round_robin", 4), ("random", 60), ("least_requests", 60)])
def test_shares_are_those_of_the_weights(weir: MakeRig, farm: Farm, policy: str, slack: int) -> None:
    endpoints = told(farm(3), {"weight": 1}, {"weight": 2}, {"weight": 5})
    rig = weir(endpoints=endpoints, top=WORKERS, cluster={"policy": policy})
    found = ask(rig, 400)
    print(policy, dict(found))
    for number, part in enumerate((50, 100, 250)):
        assert abs(found[number] - part) <= slack


def test_all_workers_hash_alike(weir: MakeRig, farm: Farm) -> None:
    endpoints = [endpoint.address for endpoint in farm(4)]
    rig = weir(endpoints=endpoints, top=WORKERS, cluster={"policy": "hash", "hash_by": "field:X-User"})
    homes = set()
    for user in range(20):
        found = ask(rig, 8, f"X-User: {user}")
        assert len(found) == 1, "one user, one endpoint"
        homes |= set(found)
    assert len(homes) >= 3
    assert len(ask(rig, 40)) == 4, "without the field: in turn"


COOKIE = re.compile("WEIRID=([0-9a-f]{16}); Path=/; SameSite=Lax; HttpOnly")


def cookie_of(rig: Rig) -> tuple[int, str]:
    answer = rig.get("/")
    found = COOKIE.fullmatch(answer.head.get("Set-Cookie") or "")
    assert found, answer.head
    return int(answer.body), found[1]


@pytest.mark.parametrize("secret", ["", "0123456789abcdef"])
def test_sticky_sessions_survive_a_reload_and_with_a_secret_a_restart(
    weir: MakeRig, farm: Farm, tmp_path: Path, secret: str
) -> None:
    endpoints = [endpoint.address for endpoint in farm(3)]
    options = {"sticky": {"cookie": "WEIRID", **({"secret": secret} if secret else {})}}
    rig = weir(endpoints=endpoints, top=WORKERS, cluster=options)
    values = dict(cookie_of(rig) for _ in range(24))
    assert sorted(values) == [0, 1, 2]

    def stays(rig: Rig) -> bool:
        return all(set(ask(rig, 8, f"Cookie: WEIRID={value}")) == {place} for place, value in values.items())

    assert stays(rig)
    # The same endpoints in another order, and one more; other workers.
    (another,) = farm(1)
    another.reply(ok(b"9"))
    addresses = [*reversed(endpoints), another.address]
    settings = tables(rig.proxy.config_path.parent, addresses, top=WORKERS, cluster=options)
    rig.proxy.config_path.write_text(configuration(settings))
    reload(rig)
    assert stays(rig)
    other = weir(endpoints=endpoints, top=WORKERS, cluster=options)
    assert stays(other) == bool(secret)


def test_a_drained_endpoint_keeps_its_clients_and_gets_no_new_ones(weir: MakeRig, farm: Farm) -> None:
    rig = weir(
        endpoints=[e.address for e in farm(2)], top=WORKERS, cluster={"sticky": {"cookie": "WEIRID", "forward": False}}
    )
    values = dict(cookie_of(rig) for _ in range(16))
    assert sorted(values) == [0, 1]
    orders(rig, 0, order=Order.DRAIN)
    assert set(ask(rig, 8)) == {1}
    assert set(ask(rig, 8, f"Cookie: WEIRID={values[0]}")) == {0}
    orders(rig, 0, order=Order.DOWN)
    assert set(ask(rig, 8, f"Cookie: WEIRID={values[0]}")) == {1}


def test_overflow_when_endpoints_are_down(weir: MakeRig, farm: Farm) -> None:
    made = farm(6)
    rig = weir(endpoints=told(made, *[{}] * 4, *[{"priority": 1}] * 2), top=WORKERS)
    assert set(ask(rig, 40)) == {0, 1, 2, 3}
    for number in (0, 1):
        orders(rig, number, health=Health.UNHEALTHY)
    found = ask(rig, 140)
    print(dict(found))
    # Half of the first level is there: 50 / 70 of the requests stay with it.
    assert abs(found[2] + found[3] - 100) <= 6
    assert not {0, 1} & set(found)
    # And without anybody who has noticed: who does not answer the phone is passed over.
    for number in (0, 1):
        orders(rig, number, health=Health.HEALTHY)
    for endpoint in made[:4]:
        endpoint.close()
    eventually(lambda: set(ask(rig, 4)) <= {4, 5}, 5)
    assert set(ask(rig, 40)) == {4, 5}


def test_the_own_zone_first(weir: MakeRig, farm: Farm) -> None:
    endpoints = told(farm(3), {"zone": "a"}, {"zone": "a"}, {"zone": "b"})
    rig = weir(endpoints=endpoints, top={**WORKERS, "zone": "b"})
    assert set(ask(rig, 20)) == {2}
    orders(rig, 2, health=Health.UNHEALTHY)
    assert set(ask(rig, 20)) == {0, 1}


def test_least_time_learns_who_is_slow(weir: MakeRig, farm: Farm) -> None:
    made = farm(2)
    made[1].reply(0.03, ok(b"1"))
    rig = weir(endpoints=[endpoint.address for endpoint in made], cluster={"policy": "least_time"})
    found = ask(rig, 150)
    print(dict(found))
    assert found[0] > 130
