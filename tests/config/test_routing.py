"""Routes in a configuration: what may be written, what the plan makes of it, and what is refused."""

from __future__ import annotations

import time
import tomllib
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import jsonschema
import pytest

from weir.config.compile import compile_plan
from weir.config.load import load_text, schema
from weir.config.plan import NO_ROUTER, NOWHERE, MatchPlan, NetworkPlan, Plan, RoutePlan, ValuePlan
from weir.config.route_checks import MOST_LOOKS
from weir.plane.router import Router

Refusals = Callable[[str], list[str]]
LISTENER = '[[listener]]\naddress = ":80"\nto = "app"\n'
CLUSTERS = '[[cluster]]\nname = "app"\nendpoints = ["a:1"]\n[[cluster]]\nname = "shop"\nendpoints = ["b:1"]\n'


def plan_of(text: str) -> Plan:
    return compile_plan(load_text(text + CLUSTERS, "f"))


def routes_of(*routes: str) -> str:
    return "".join(f'[[route]]\nto = "shop"\n{route}\n' for route in routes)


def match_of(route: str) -> MatchPlan:
    ((match,),) = plan_of(LISTENER + routes_of(route)).routers
    return match


# -- the plan ----------------------------------------------------------------------------------------------------


def test_without_routes_there_is_no_router() -> None:
    plan = plan_of(LISTENER + LISTENER.replace("80", "81").replace("app", "shop"))
    assert [listener.router for listener in plan.listeners] == [NO_ROUTER, NO_ROUTER]
    assert plan.routers == ()


def test_a_listener_may_have_nothing_but_routes() -> None:
    plan = plan_of('[[listener]]\naddress = ":80"\n[[route]]\npath = "/a"\nto = "app"\n[[route]]\nto = "shop"\n')
    assert [route.name for route in plan.routes] == [":80", "/a", "/*"]
    assert plan.routes[plan.listeners[0].route].cluster == NOWHERE
    assert [match.path for match in plan.routers[plan.listeners[0].router]] == ["/a", ""]


@pytest.mark.parametrize(
    ("line", "key", "value"),
    [
        ('host = "API.example.com."', "hosts", ("api.example.com",)),
        ('host = ["a.b", "*.b"]', "hosts", ("a.b", "*.b")),
        ('host = "[0::1]"', "hosts", ("[::1]",)),
        ('host = "[::FFFF:c000:201]"', "hosts", ("[::ffff:192.0.2.1]",)),
        ("host = []", "hosts", ()),
        ('path = "/users/{id}/posts"', "path", "/users/{id}/posts"),
        ('path = "/%61%7E%20%7b/ä/%2a"', "path", "/a~%20%7B/%C3%A4/%2A"),
        ('path = "/*"', "path", "/*"),
        ('path = ""', "path", ""),
        ('methods = ["GET"]', "methods", ("GET",)),
        (
            'fields = { "X-A" = "1", "X-B" = true }',
            "fields",
            (ValuePlan("X-A", "equal", "1"), ValuePlan("X-B", "present")),
        ),
        ('fields = { "X-A" = "1*" }', "fields", (ValuePlan("X-A", "prefix", "1"),)),
        ('fields = { "X-A" = "*" }', "fields", (ValuePlan("X-A", "present"),)),
        ("query = { a = false }", "query", (ValuePlan("a", "absent"),)),
        ('query = { "a b" = "" }', "query", (ValuePlan("a b", "equal", ""),)),
        ('clients = ["unix"]', "clients", (NetworkPlan("unix"),)),
        ('name = "x"', "name", "x"),
    ],
)
def test_conditions_reach_the_plan(line: str, key: str, value: object) -> None:
    match = match_of(line)
    assert getattr(match, key) == value
    Router([match])
    jsonschema.validate(tomllib.loads(LISTENER + routes_of(line) + CLUSTERS), schema())


@pytest.mark.parametrize(
    ("lines", "name"),
    [
        ("", "/*"),
        ('path = "/a"', "/a"),
        ('host = ["a.b", "*.b"]\npath = "/a/*"\nmethods = ["GET", "PUT"]', "GET|PUT a.b|*.b/a/*"),
        ('fields = { A = true, B = "1*" }\nquery = { q = false, r = "2" }', "/* A B=1* !?q ?r=2"),
        ('clients = ["10.0.0.0/8"]\nlistener = ":80"', "/* 10.0.0.0/8 (:80)"),
    ],
)
def test_a_route_is_called_by_its_conditions(lines: str, name: str) -> None:
    assert match_of(lines).name == name


def test_each_side_is_a_route() -> None:
    side = 'to = { app = 95, "127.0.0.1:9" = 5 }\nsplit_by = "cookie:id"\nname = "s"\n'
    plan = plan_of(LISTENER + "[[route]]\n" + side + routes_of('path = "/x"'))
    assert [(route.name, plan.clusters[route.cluster].name) for route in plan.routes] == [
        (":80", "app"),
        ("s:app", "app"),
        ("s:127.0.0.1:9", "127.0.0.1:9"),
        ("/x", "shop"),
    ]
    match = plan.routers[0][0]
    assert match.sides == ((1, 95), (2, 5))
    assert match.split_by == "cookie:id"


def test_limits_of_the_listener_hold_for_routes_that_have_none() -> None:
    small = LISTENER + 'max_body = "1KiB"\npaths = "exact"\n'
    plan = plan_of(small + LISTENER.replace("80", "81") + routes_of('path = "/a"', 'path = "/b"\nmax_body = "off"'))
    assert [listener.router for listener in plan.listeners] == [0, 1]
    routed = [[plan.routes[match.sides[0][0]] for match in router] for router in plan.routers]
    assert routed == [
        [RoutePlan("/a", 1, 1_024, "exact"), RoutePlan("/b", 1, 0, "exact")],
        [RoutePlan("/a", 1), RoutePlan("/b", 1)],
    ]


def test_listeners_with_the_same_routes_share_a_router() -> None:
    listeners = "".join(LISTENER.replace("80", str(port)) for port in (80, 81, 82))
    plan = plan_of(listeners + routes_of('path = "/a"', 'listener = ":81"'))
    assert [listener.router for listener in plan.listeners] == [0, 1, 0]
    assert [match.name for match in plan.routers[1]] == ["/a", "/* (:81)"]
    only = plan_of(listeners + routes_of('listener = [":80", ":82"]'))
    assert [listener.router for listener in only.listeners] == [0, NO_ROUTER, 0]


def test_the_table_grows_with_the_routes() -> None:
    text = LISTENER + routes_of(*(f'path = "/{n}"' for n in range(3_000)))
    assert plan_of(text).stats.rows == 2 * 3_001
    assert plan_of("[stats]\nrows = 5000\n" + text).stats.rows == 5_000


def test_the_rate_limits_of_a_route_are_shared_by_its_sides() -> None:
    limits = '[[route.rate_limit]]\nby = "client"\nrate = "10/s"\n[[route.rate_limit]]\nby = "all"\nrate = "1/m"\n'
    more = LISTENER.replace("80", "81") + 'max_body = "1KiB"\n'
    split = '[[route]]\nname = "api"\npath = "/api/*"\nto = { app = 9, shop = 1 }\n' + limits
    plan = plan_of(LISTENER + more + split + routes_of('path = "/b"'))
    found = {route.name: (route.limited_as, [(one.by, one.rate) for one in route.rate_limits]) for route in plan.routes}
    own = ("api", [("client", (10, 1000)), ("all", (1, 60_000))])
    assert found == {":80": ("", []), ":81": ("", []), "api:app": own, "api:shop": own, "/b": ("", [])}
    assert len(plan.routes) == 8, "the listeners differ in what routes have from them"


# -- what is refused ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ('host = "*"', 'host: "*" is not a host; for any host take `host` out'),
        ('host = "a.b:80"', 'host: "a.b:80": the port of a host does not count; write "a.b"'),
        ('host = "*b.c"', 'host: "*b.c": an asterisk stands for everything below a domain; "*." and the rest of the'),
        ('host = "bücher.example"', 'host: "bücher.example": clients send such a name encoded; write "xn--bcher-kva'),
        ('host = "a b"', 'host: "a b" is not a host; for example "api.example.com" or "*.example.com"'),
        ('host = ["a", "A"]', 'host: "a" is there twice; take one out'),
        ('host = "[::g]"', 'host: "[::g]" is not a host; an IPv6 address in brackets, without a port'),
        (
            '[[route.rate_limit]]\nby = "client"\nrate = "1/s"\n[[route.rate_limit]]\nby = "client"\nrate = "1/s"',
            'rate_limit[1].rate: another rate limit of this route is called "client 1/s" (line 8); give it a name',
        ),
        ('[[route.rate_limit]]\nby = "client"', "rate_limit[0].rate: missing: every [[route.rate_limit]] needs it"),
        ('host = "[::1"', 'host: "[::1" is not a host; an IPv6 address in brackets, without a port'),
        ('host = "[::1%lo]"', 'host: "[::1%lo]" is not a host; an IPv6 address in brackets, without a port'),
        ('host = "[0::1]:80"', 'host: "[0::1]:80": the port of a host does not count; write "[::1]"'),
        ('host = "::1"', 'host: "::1": an IPv6 address stands in brackets; write "[::1]"'),
        ('host = ["[::1]", "[0::1]"]', 'host: "[::1]" is there twice; take one out'),
        ('path = "api"', 'path: "api" does not start with /; write "/api"'),
        (
            'path = "/api*"',
            'path: "/api*": an asterisk stands for the rest of a path; for one segment write "{name}", f',
        ),
        (
            'path = "/*/x"',
            'path: "/*/x": an asterisk stands for the rest of a path; for one segment write "{name}", for',
        ),
        ('path = "/x{id}"', 'path: "/x{id}": a parameter is a whole segment; for the rest of a path write "/*"'),
        ('path = "/{id}.html"', 'path: "/{id}.html": a parameter is a whole segment; a name in braces: "/users/{id}"'),
        ('path = "/{a}/{a}"', 'path: "/{a}/{a}": {a} is there twice; give each a name of its own'),
        ('path = "//x"', 'path: "//x": an empty segment leads nowhere; take one of the slashes out'),
        (
            'path = "/a/../b"',
            'path: "/a/../b": requests are compared by what their path leads to; write the path witho',
        ),
        (
            'path = "/a%2Fb"',
            'path: "/a%2Fb": requests are compared by what their path leads to; write the path without',
        ),
        (
            'path = "/a%5Cb"',
            'path: "/a%5Cb": requests are compared by what their path leads to; write the path without',
        ),
        (
            'path = "/a;b"',
            'path: "/a;b": what follows a semicolon in a segment does not count; take it out, or write "%3B"',
        ),
        (f'path = "/{"ä" * 100}"', "has more than 512 bytes when it is percent-encoded; write a shorter one"),
        ('path = "/a?b"', 'path: "/a?b": a path has no query; write `query` for it'),
        ('path = "/a b"', 'path: "/a b" is not a path; percent-encode what is no part of one'),
        ('fields = "X-A"', 'fields: wanted a table, found a string; for example { "X-Beta" = "1" }'),
        ('fields = { "X A" = true }', 'fields: "X A" is not a field name; for example { "X-Beta" = "1" }'),
        ('fields = { Host = "a" }', "fields: for Host there is the key `host`; write that"),
        (
            "fields = { A = 1 }",
            "fields: wanted true, false or the value of a field, a string, found a whole number; fo",
        ),
        (
            'fields = { A = "" }',
            'fields: "" is not the value of a field; no spaces around it; for any value write true',
        ),
        ('fields = { A = "a*b" }', 'fields: "a*b": an asterisk stands for the rest of a value; write it at the end'),
        ('fields = { A = "1", a = "1" }', 'fields: "a" is there twice; take one out'),
        ('clients = "10.0.0.0/8"', 'clients: wanted an array of networks, found a string; write ["10.0.0.0/8"]'),
        (
            'split_by = "client"',
            "split_by: without effect: there are no weights; write to = { app = 95, canary = 5 }, or",
        ),
        ('paths = "exact"\nopenapi = "x.yaml"', 'openapi: "x.yaml" cannot be read: no such file or directory'),
    ],
)
def test_refused(refusals: Refusals, line: str, said: str) -> None:
    found = refusals(LISTENER + routes_of(line) + CLUSTERS)
    assert any(said in one for one in found), found


@pytest.mark.parametrize(
    ("to", "said"),
    [
        ('"ap"', 'f:5:6: route[0].to: there is no cluster "ap"; did you mean "app"?'),
        ("{ app = 1 }", 'f:5:6: route[0].to: weights are for two clusters or more; for one write its name: to = "app"'),
        (
            "{ app = 0, shop = 0 }",
            "f:5:6: route[0].to: every weight is 0: no request goes anywhere; give one of them a weight of 1 or more",
        ),
        ("{ app = 1, shop = -1 }", "f:5:24: route[0].to.shop: -1 is less than 0; from 0 to 1000000"),
        ("{ app = 1, shp = 1 }", 'f:5:23: route[0].to.shp: there is no cluster "shp"; did you mean "shop"?'),
        ('"127.0.0.1:80"', 'f:5:6: route[0].to: "127.0.0.1:80" is the listener itself: requests would go round for'),
    ],
)
def test_destinations(refusals: Refusals, to: str, said: str) -> None:
    found = refusals(LISTENER + f"[[route]]\nto = {to}\n" + CLUSTERS)
    assert any(one.startswith(said) for one in found), found


@pytest.mark.parametrize(
    ("routes", "said"),
    [
        (
            ('path = "/a"', 'path = "/%61"'),
            ["f:7:1: route[1]: another route has the same conditions (line 4); take one of them out"],
        ),
        (
            ('path = "/{a}"', 'path = "/{b}"'),
            ["f:7:1: route[1]: another route has the same conditions (line 4); take one of the"],
        ),
        (
            ("", 'path = "/*"'),
            ["f:7:1: route[1]: another route has the same conditions (line 4); take one of them out"],
        ),
        (
            ('host = ["a", "b"]', 'host = ["b", "c"]'),
            ["f:7:1: route[1]: another route has the same conditions (line 4); take on"],
        ),
        (('host = "a"', 'host = "*.a"', 'path = "/a"', 'path = "/{a}"', 'path = "/a/*"'), []),
        (
            ('methods = ["GET", "PUT"]', 'methods = ["GET"]'),
            ["f:7:1: route[1]: no request is left for it: another rout"],
        ),
        (('methods = ["GET"]', 'methods = ["GET", "PUT"]'), []),
        (
            ('methods = ["GET"]', 'methods = ["PUT"]', 'methods = ["PUT", "GET"]'),
            ["f:10:1: route[2]: no request is left for it: another route is always preferred (line 7); give it more"],
        ),
        (
            ('fields = { A = "1*" }', 'fields = { a = "12" }'),
            ["f:7:1: route[1]: no request is left for it: another ro"],
        ),
        (('fields = { A = "12" }', 'fields = { a = "1*" }'), []),
        (("fields = { A = true }", "fields = { A = false }"), []),
        (
            ("query = { q = true }", 'query = { q = "1" }'),
            ["f:7:1: route[1]: no request is left for it: another route"],
        ),
        (("query = { q = true }", 'query = { Q = "1" }'), []),
        (("query = { q = true }", 'query = { q = "1" }\nmethods = ["GET"]'), []),
        (
            ('clients = ["10.0.0.0/8"]', 'clients = ["10.1.0.0/16"]'),
            ["f:7:1: route[1]: no request is left for it: ano"],
        ),
        (('clients = ["10.1.0.0/16"]', 'clients = ["10.0.0.0/8"]'), []),
        (('clients = ["::/0"]', 'clients = ["10.0.0.0/8"]'), []),
        (('listener = ":80"\npath = "/a"', 'path = "/a"'), ["f:8:1: route[1]: another route has the same conditions"]),
        (('path = "/a"', 'listener = ":80"\npath = "/a"'), ["f:7:1: route[1]: another route has the same conditions"]),
        (('listener = ":81"',), ['f:6:12: route[0].listener: no listener has the address ":81"; did you mean ":80"?']),
        (
            ('name = ":80"',),
            ['f:6:8: route[0].name: ":80" is what a listener\'s own route is called; give it another n'],
        ),
        (
            ('name = "x"\npath = "/a"', 'name = "x"'),
            ['f:10:8: route[1].name: another route is called "x" (line 6); give it another name'],
        ),
        (
            ('fields = { A = "%s" }' % ("x" * 250),),
            ["f:4:1: route[0]: its conditions are too long for a name: more tha"],
        ),
    ],
)
def test_conflicts(refusals: Refusals, routes: tuple[str, ...], said: list[str]) -> None:
    if not said:
        assert plan_of(LISTENER + routes_of(*routes)).routers
        return
    found = refusals(LISTENER + routes_of(*routes) + CLUSTERS)
    assert len(found) == len(said)
    assert all(one.startswith(start) for one, start in zip(found, said, strict=True)), found


def test_a_listener_without_a_way(refusals: Refusals) -> None:
    listener = '[[listener]]\naddress = ":81"\n'
    assert refusals(listener + CLUSTERS)[0] == (
        'f:1:1: listener[0].to: missing: every [[listener]] needs it; for example to = "app"'
    )
    assert refusals(LISTENER + listener + routes_of('listener = ":80"') + CLUSTERS) == [
        'f:4:1: listener[1].to: nothing says where its requests go; for example to = "app", or a [[route]] for this '
        "listener"
    ]
    assert plan_of(LISTENER + listener + routes_of('listener = ":81"')).listeners[1].router == 0
    assert plan_of(LISTENER.replace('"app"', '"off"') + "[[route]]\nto = { app = 1, shop = 1 }\n").routers


def test_rows_for_routes(refusals: Refusals) -> None:
    text = "[stats]\nrows = 16\n" + LISTENER + routes_of(*(f'path = "/{n}"' for n in range(15))) + CLUSTERS
    assert refusals(text) == [
        "f:2:8: stats.rows: 16 rows are not enough for 1 listeners and 15 routes, which take one each; write 32 or more"
    ]


def test_a_search_that_would_cost_too_much(refusals: Refusals) -> None:
    same_path = [f'fields = {{ A = "{n}" }}\nname = "{n}"' for n in range(MOST_LOOKS)]
    (found,) = refusals(LISTENER + routes_of(*same_path) + CLUSTERS)
    assert found.startswith(
        f"f:{4 + 4 * (MOST_LOOKS - 1)}:1: route[{MOST_LOOKS - 1}]: for one request {MOST_LOOKS + 1} "
    )
    assert plan_of(LISTENER + routes_of(*same_path[:-1]))
    # Each segment is a literal or a parameter: a path of ten leads to a thousand places.
    both = ["/" + "/".join("a" if n >> bit & 1 else f"{{x{bit}}}" for bit in range(10)) for n in range(1_024)]
    (found,) = refusals(LISTENER + routes_of(*(f'path = "{path}"' for path in both)) + CLUSTERS)
    assert "have fewer routes for the same path, or fewer that begin with parameters" in found


# -- many --------------------------------------------------------------------------------------------------------


def large(count: int) -> str:
    shapes = ("/api/v1/res{}/*", "/users{}/{{id}}", "/a{}/{{x}}/posts", "/exact/{}", "/deep/a/b/c/d{}/*")
    return LISTENER + routes_of(
        *(f'host = "h{n // 100}.test"\npath = "{shapes[n % 5].format(n)}"' for n in range(count))
    )


def test_ten_thousand_routes_are_found_by_the_plan_alone() -> None:
    plan = plan_of(large(10_000))
    router = Router(plan.routers[0])
    for number in (0, 1_234, 9_999):
        path = plan.routers[0][number].path.replace("{id}", "17").replace("{x}", "y").replace("*", "z/z")
        head = f"GET {path} HTTP/1.1\r\nHost: h{number // 100}.test\r\n\r\n".encode()
        taken, tried = router.explain(head)
        assert plan.routes[taken].name == plan.routers[0][number].name
        assert tried == [(number, "")]


@pytest.mark.figures("a reload with a thousand routes takes less than a second of a processor")
def test_a_thousand_routes_are_read_quickly() -> None:
    times: list[tuple[float, ...]] = []
    for _ in range(3):
        moments = [time.process_time()]
        config: Any = load_text(large(1_000) + CLUSTERS, "f")
        moments.append(time.process_time())
        plan = compile_plan(config)
        moments.append(time.process_time())
        Router(plan.routers[0])
        moments.append(time.process_time())
        times.append(tuple(later - earlier for earlier, later in pairwise(moments)))
    read, compiled, made = (min(column) for column in zip(*times, strict=True))
    print(f"read {read:.3f} s, compiled {compiled:.3f} s, router {made:.3f} s")
    assert read + compiled + 2 * made < 0.7


@pytest.mark.figures("what is wrong with five thousand routes is told within ten seconds of a processor")
def test_what_is_wrong_with_many_routes_is_told_soon(refusals: Refusals) -> None:
    """Each was minutes while every route was compared with every other."""
    count = 5_000
    clusters = "".join(f'[[cluster]]\nname = "c{n}"\nendpoints = ["127.0.0.1:{n + 1000}"]\n' for n in range(count))
    listeners = "".join(f'[[listener]]\naddress = ":{n + 1}"\nto = "app"\n' for n in range(200))
    made = {
        "for the same path": routes_of(*(f'name = "{n}"\npath = "/a"\nfields = {{ A = "{n}" }}' for n in range(count))),
        "alike": routes_of(*('path = "/a"' for _ in range(count))),
        "misspelt": routes_of(*(f'path = "/{n}"\nzzqqx = 1' for n in range(count))),
        "of no listener": listeners + routes_of(*(f'path = "/{n}"\nlistener = ":{n + 900}"' for n in range(count))),
        "with mirrors": clusters + routes_of("x = 1", *(f'path = "/{n}"\nmirror = "c{n}"' for n in range(count))),
    }
    for what, text in made.items():
        begun = time.process_time()
        assert refusals(LISTENER + text + CLUSTERS)
        took = time.process_time() - begun
        print(f"{count} routes {what}: {took:.2f} s")
        assert took < 10, what
