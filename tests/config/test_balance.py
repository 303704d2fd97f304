"""How requests are spread over endpoints, as the file says it: what is read, and what is refused and how."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.config.conftest import Refusals
from weir.config.compile import compile_plan
from weir.config.load import load_text, schema
from weir.config.plan import AddressPlan, EndpointPlan, Plan

LISTENER = '[[listener]]\naddress = ":8080"\nto = "app"\n'
CLUSTER = LISTENER + '[[cluster]]\nname = "app"\n'
TWO = 'endpoints = ["10.0.0.1:80", "10.0.0.2:80"]\n'
ONE = 'endpoints = ["10.0.0.1:80"]\n'
HASH = 'policy = "hash"\n'


def plan_of(text: str) -> Plan:
    return compile_plan(load_text(text, "f"))


def test_endpoints_with_and_without_more() -> None:
    plan = plan_of(
        CLUSTER + 'endpoints = [{ address = "http://a:80", weight = 3, priority = 1 }, "b:81", { address = "unix:/c" }]'
    )
    assert plan.clusters[0].endpoints == (
        EndpointPlan("http://a:80", "a", 80, weight=3, priority=1),
        AddressPlan("b:81", "b", 81),
        EndpointPlan("unix:/c", path="/c"),
    )


def test_endpoints_as_an_array_of_tables() -> None:
    text = '[[cluster.endpoints]]\naddress = "a:80"\n[[cluster.endpoints]]\naddress = "b:80"\nweight = 0\n'
    assert [endpoint.text for endpoint in plan_of(CLUSTER + text).clusters[0].endpoints] == ["a:80", "b:80"]


ZONES = 'endpoints = [{ address = "a:80", zone = "x" }, { address = "b:80", zone = "y" }, "c:80"]\n'


def test_zones_become_near_and_far() -> None:
    endpoints = plan_of('zone = "x"\n' + CLUSTER + ZONES).clusters[0].endpoints
    assert [endpoint.near for endpoint in endpoints if isinstance(endpoint, EndpointPlan)] == [True, False, False]


def test_a_zone_that_a_cluster_does_not_have_means_nothing_there() -> None:
    text = (
        'zone = "x"\n' + CLUSTER + ZONES + '[[cluster]]\nname = "b"\nendpoints = [{ address = "a:81", zone = "z" }]\n'
    )
    text += '[[listener]]\naddress = ":8081"\nto = "b"\n'
    (endpoint,) = plan_of(text).clusters[1].endpoints
    assert isinstance(endpoint, EndpointPlan)
    assert endpoint.near


@pytest.mark.parametrize("word", ["client", "path", "host", "cookie:session", "field:X-User"])
def test_keys_of_the_hash(word: str) -> None:
    assert plan_of(CLUSTER + TWO + HASH + f'hash_by = "{word}"').clusters[0].hash_by == word


def test_off_is_off() -> None:
    text = CLUSTER + TWO + HASH + 'hash_by = "path"\nhash_balance = "off"\nslow_start = "off"\n'
    cluster = plan_of(text + '[cluster.sticky]\ncookie = "off"\n').clusters[0]
    assert (cluster.hash_balance_percent, cluster.slow_start_ms, cluster.sticky.cookie) == (0, 0, "")
    sticky = (
        plan_of(CLUSTER + TWO + '[cluster.sticky]\ncookie = "a"\nsecret = "off"\nmax_age = "off"\n').clusters[0].sticky
    )
    assert (sticky.secret, sticky.max_age_ms) == ("", 0)
    assert plan_of('zone = "off"\n' + CLUSTER + TWO)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        # endpoints
        (
            'endpoints = ["a:80", { address = "b:80", wieght = 2 }]',
            '6:51: cluster.app.endpoints[1].wieght: unknown key; did you mean "weight"?',
        ),
        (
            'endpoints = [{ address = "b:80", backup = true }]',
            "6:43: cluster.app.endpoints[0].backup: unknown key; known here: address, weight, priority, zone",
        ),
        (
            "endpoints = [{ weight = 2 }]",
            "6:14: cluster.app.endpoints[0]: an endpoint needs its address; for example "
            '{ address = "127.0.0.1:8081", weight = 2 }',
        ),
        (
            'endpoints = [{ address = "b", weight = 2 }]',
            '6:26: cluster.app.endpoints[0].address: "b": no port; write "b:80"',
        ),
        (
            'endpoints = [{ address = "b:80", weight = 1001 }]',
            "6:43: cluster.app.endpoints[0].weight: 1001 is more than 1000; from 0 to 1000",
        ),
        (
            'endpoints = [{ address = "b:80", priority = "1" }]',
            '6:45: cluster.app.endpoints[0].priority: wanted a whole number, found "1"; write 1, without quotes',
        ),
        (
            'endpoints = [{ address = "b:80", zone = "a b" }]',
            '6:41: cluster.app.endpoints[0].zone: "a b" is not the name of a zone; a letter or digit first, then '
            "letters, digits, _, - and ., 63 in all",
        ),
        (
            'endpoints = ["b:80", { address = "B:80" }]',
            '6:22: cluster.app.endpoints[1]: "B:80" is there twice (line 6)',
        ),
        (
            'endpoints = [{ address = "a:80", weight = 0 }, { address = "b:80", weight = 0 }]',
            "6:13: cluster.app.endpoints: every weight is 0: no request goes anywhere; give one of them a weight of 1 "
            "or more",
        ),
        # policies
        (
            TWO + 'policy = "leastconn"',
            '7:10: cluster.app.policy: wanted one of "round_robin", "least_requests", "least_time", "random", "hash", '
            'found "leastconn"',
        ),
        (
            TWO + HASH,
            "7:10: cluster.app.policy: it does not say by what requests are hashed; add hash_by = "
            '"client", or "cookie:NAME", "field:NAME"',
        ),
        (
            TWO + 'hash_by = "path"',
            '7:1: cluster.app.hash_by: without effect: policy is "round_robin"; write policy = "hash", or take it out',
        ),
        (
            TWO + 'policy = "random"\nhash_balance = 120',
            '8:1: cluster.app.hash_balance: without effect: policy is "random"; write policy = "hash", or take it out',
        ),
        (
            TWO + HASH + 'hash_by = "header:X-A"',
            '8:11: cluster.app.hash_by: wanted one of "client", "path", "host", "cookie:NAME", "field:NAME", found '
            '"header:X-A"; write "field:X-A"',
        ),
        (
            TWO + HASH + 'hash_by = "cookie"',
            '8:11: cluster.app.hash_by: "cookie" needs a name; for example "cookie:session"',
        ),
        (
            TWO + HASH + 'hash_by = "field:a b"',
            '8:11: cluster.app.hash_by: "a b" is not the name of a field; for example "field:X-User"',
        ),
        (
            TWO + HASH + 'hash_by = "hots"',
            '8:11: cluster.app.hash_by: wanted one of "client", "path", "host", "cookie:NAME", "field:NAME", found '
            '"hots"; did you mean "host"?',
        ),
        (
            TWO + HASH + 'hash_by = "path"\nhash_balance = 100',
            "9:16: cluster.app.hash_balance: 100 is less than 101; from 101 to 10000",
        ),
        # levels and slow start
        (
            TWO + 'overflow_at = "50%"',
            "7:1: cluster.app.overflow_at: without effect: all endpoints have the same priority and zone; take it out",
        ),
        (
            'endpoints = ["a:80", { address = "b:80", priority = 1 }]\noverflow_at = "0%"',
            '7:15: cluster.app.overflow_at: 0% is no part at all; from "1%" to "100%"',
        ),
        (
            ONE + 'slow_start = "10s"',
            "7:1: cluster.app.slow_start: without effect: there is one endpoint; take it out",
        ),
        # sticky
        (
            ONE + '[cluster.sticky]\ncookie = "ID"',
            "8:1: cluster.app.sticky.cookie: without effect: there is one endpoint; take [cluster.sticky] out",
        ),
        (
            TWO + '[cluster.sticky]\nmax_age = "1h"',
            '8:1: cluster.app.sticky.max_age: without effect: there is no cookie; add cookie = "WEIRID"',
        ),
        (
            TWO + '[cluster.sticky]\ncookie = "I D"',
            '8:10: cluster.app.sticky.cookie: "I D" is not the name of a cookie; letters, digits, _ and -: for example '
            '"WEIRID"',
        ),
        (
            TWO + '[cluster.sticky]\ncookie = "ID"\nsecret = "short"',
            "9:10: cluster.app.sticky.secret: a secret has 16 to 256 printable characters; for example the output of: "
            "openssl rand -hex 16",
        ),
        (
            TWO + '[cluster.sticky]\ncookie = "ID"\npath = "/a; Domain=b"',
            '9:8: cluster.app.sticky.path: "/a; Domain=b" is not the path of a cookie; it starts with /, for example '
            '"/shop"',
        ),
        (
            TWO + '[cluster.sticky]\ncookie = "ID"\nsame_site = "none"',
            '9:13: cluster.app.sticky.same_site: browsers refuse a cookie with "none" that is not secure; add '
            "secure = true",
        ),
        # zones
        (
            ZONES,
            "6:34: cluster.app.endpoints[0].zone: without effect: it is not said in which zone weir is "
            '("x" is the endpoint\'s); add zone = "x" at the top of the file',
        ),
    ],
)
def test_refusals(refusals: Refusals, text: str, said: str) -> None:
    assert refusals(CLUSTER + text) == [f"f:{said}"]


def test_a_zone_without_endpoints(refusals: Refusals) -> None:
    assert refusals('zone = "z"\n' + CLUSTER + ZONES) == [
        'f:1:8: zone: no endpoint is in the zone "z"; take it out, or correct it'
    ]


def test_a_secret_is_never_shown(refusals: Refusals) -> None:
    (line,) = refusals(CLUSTER + TWO + '[cluster.sticky]\ncookie = "ID"\nsecret = "hush-hush"')
    assert "hush" not in line
    plan = plan_of(CLUSTER + TWO + '[cluster.sticky]\ncookie = "ID"\nsecret = "hush-hush-hush-hush"')
    assert plan.clusters[0].sticky.secret
    assert "hush" not in repr(plan)


def test_the_schema_knows_both_kinds_of_endpoints() -> None:
    made = schema()["$defs"]["Cluster"]["properties"]["endpoints"]["items"]
    assert [kind["type"] for kind in made["anyOf"]] == ["string", "object"]


def test_applications_and_files_are_endpoints(tmp_path: Path) -> None:
    text = f'endpoints = ["a:80", "asgi:shop.web:app", {{ address = "files:{tmp_path}", weight = 2 }}]\n'
    plan = plan_of(CLUSTER + text)
    assert plan.clusters[0].endpoints == (
        AddressPlan("a:80", "a", 80),
        AddressPlan("asgi:shop.web:app", app="asgi:shop.web:app"),
        EndpointPlan(f"files:{tmp_path}", app=f"files:{tmp_path}", weight=2),
    )
    assert plan.clusters[0].members() == ["a:80", "asgi:shop.web:app", f"files:{tmp_path}"]
    # It has no name to look up, and so no addresses that would be endpoints each.
    each = plan_of(CLUSTER + text + 'resolve = "each"\n').clusters[0]
    assert each.members() == ["asgi:shop.web:app", f"files:{tmp_path}"]
    direct = plan_of('[[listener]]\naddress = ":8080"\nto = "asgi:shop:make()"\n')
    assert direct.clusters[0].endpoints == (AddressPlan("asgi:shop:make()", app="asgi:shop:make()"),)


@pytest.mark.parametrize(
    ("endpoint", "said"),
    [
        (
            "asgi:",
            '"asgi:" does not name an application; a module and a name in it, for example "asgi:package.module:app"',
        ),
        ("asgi:shop", '"asgi:shop" does not name an application'),
        ("asgi:shop/web.py:app", "does not name an application"),
        ("asgi:shop:app(1)", "does not name an application"),
        ("asgi:1shop:app", "does not name an application"),
        ("asgi:.shop:app", "does not name an application"),
        ("files:", "the path of a directory starts with /"),
        ("files:www", '"files:www": the path of a directory starts with /; write "files:/'),
        ("files:/not/there", '"files:/not/there": there is no such directory'),
    ],
)
def test_applications_that_cannot_be(refusals: Refusals, endpoint: str, said: str) -> None:
    for text in (CLUSTER + f'endpoints = ["{endpoint}"]\n', f'[[listener]]\naddress = ":1"\nto = "{endpoint}"\n'):
        (found,) = refusals(text)
        assert said in found


def test_what_applications_do_not_go_with(refusals: Refusals) -> None:
    (found,) = refusals(CLUSTER + 'endpoints = ["asgi:shop:app"]\nproxy_protocol = "v2"\n')
    assert '"asgi:shop:app" does not know the PROXY protocol' in found
    (found,) = refusals(CLUSTER + 'endpoints = ["asgi:shop:app", "asgi:shop:app"]\n')
    assert "is there twice" in found
