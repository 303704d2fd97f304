"""Which route a request takes: always the one that a slow and obvious search finds."""

from __future__ import annotations

import ipaddress
import math
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.plane.scene import OK, Scene
from weir.config.plan import NOWHERE, MatchPlan, NetworkPlan, RoutePlan, ValuePlan
from weir.plane.filters import plain
from weir.plane.router import Router
from weir.stats.reader import snapshot

Stage = Callable[..., Scene]


def request(target: str = "/", *fields: str, host: str = "h", method: str = "GET") -> bytes:
    lines = [f"{method} {target} HTTP/1.1", f"Host: {host}", *fields]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


def match(path: str = "", *hosts: str, to: int = 0, **more: Any) -> MatchPlan:
    return MatchPlan(f"{hosts}{path}", ((to, 1),), path=path, hosts=hosts, **more)


def router_of(*paths: str) -> Router:
    return Router([match(path, to=number) for number, path in enumerate(paths)])


# -- against a search through all of them, by the words of docs/routing.md ---------------------------------------


def host_rank(pattern: str, host: str) -> tuple[int, int] | None:
    """How good a host fits, the best first; None: it does not."""
    host = host.lower().rpartition(":")[0] if ":" in host else host.lower()
    host = host.removesuffix(".")
    if not pattern:
        return 2, 0
    if pattern.startswith("*."):
        return (1, -len(pattern.split("."))) if host.endswith(pattern[1:]) and host != pattern[1:] else None
    return (0, 0) if host == pattern else None


def path_rank(pattern: str, path: str) -> tuple[int, ...] | None:
    """For each segment 0 for a literal, 1 for a parameter, 2 for the rest, and 0 for an end; None: it does not fit."""
    parts, segments = (pattern or "/*").split("/")[1:], path.split("/")[1:]
    ranks: list[int] = []
    for place, part in enumerate(parts):
        if part == "*" and place == len(parts) - 1:
            return (*ranks, 2)
        if place >= len(segments):
            return None
        if part.startswith("{"):
            if not segments[place]:
                return None
            ranks.append(1)
        elif plain(f"/{part}".encode())[1:].decode() == segments[place]:
            ranks.append(0)
        else:
            return None
    return (*ranks, 0) if len(parts) == len(segments) else None


def meets(test: ValuePlan, values: list[str]) -> bool:
    if test.test in ("present", "absent"):
        return bool(values) == (test.test == "present")
    if len(values) != 1:
        return False
    return values[0] == test.value if test.test == "equal" else values[0].startswith(test.value)


Asked = tuple[str, str, str, list[tuple[str, str]], list[tuple[str, str]], str]


def failing(plan: MatchPlan, asked: Asked) -> str:
    _, _, method, fields, query, client = asked
    if plan.methods and method not in plan.methods:
        return "methods"
    if not all(meets(t, [v for n, v in fields if n.lower() == t.name.lower()]) for t in plan.fields):
        return "fields"
    networks = [ipaddress.ip_network(network.text) for network in plan.clients]
    if networks and not any(ipaddress.ip_address(client) in network for network in networks):
        return "clients"
    if not all(meets(t, [v for n, v in query if n == t.name]) for t in plan.query):
        return "query"
    return ""


def expected(plans: list[MatchPlan], asked: Asked) -> list[tuple[int, str]]:
    """What has to be looked at, in order, up to the one that is taken."""
    host, target, *_ = asked
    path = plain(target.encode()).decode()
    found = []
    for number, plan in enumerate(plans):
        for pattern in plan.hosts or ("",):
            ranks = host_rank(pattern, host), path_rank(plan.path, path)
            if None not in ranks:
                conditions = bool(plan.methods) + len(plan.fields) + len(plan.query) + bool(plan.clients)
                found.append((*ranks, -conditions, number))
    looked: list[tuple[int, str]] = []
    for *_, number in sorted(found):
        looked.append((number, failing(plans[number], asked)))
        if not looked[-1][1]:
            break
    return looked


VALUES = st.one_of(
    st.sampled_from([("present", ""), ("absent", ""), ("equal", "1"), ("equal", "12"), ("prefix", "1"), ("prefix", "")])
)


def wanted(names: list[str]) -> st.SearchStrategy[tuple[ValuePlan, ...]]:
    one = st.builds(lambda name, value: ValuePlan(name, *value), st.sampled_from(names), VALUES)
    return st.lists(one, max_size=2, unique_by=lambda value: value.name).map(tuple)


NETWORKS = {
    text: NetworkPlan(text, b"\0" * 10 + b"\xff\xff" + bytes(map(int, text.split("/")[0].split("."))), 96 + bits, True)
    for text, bits in (("10.0.0.0/8", 8), ("10.1.0.0/16", 16), ("192.0.2.1/32", 32))
}
PLANS = st.lists(
    st.builds(
        lambda hosts, segments, end, methods, fields, query, clients: MatchPlan(
            name="",
            sides=((0, 1),),
            hosts=tuple(hosts),
            path="/" + "/".join([*segments, *end]) if segments or end else "",
            methods=tuple(methods),
            fields=fields,
            query=query,
            clients=tuple(NETWORKS[text] for text in clients),
        ),
        st.lists(st.sampled_from(["t", "a.t", "b.a.t", "*.t", "*.a.t", "*.b.a.t"]), max_size=2, unique=True),
        st.lists(st.sampled_from(["a", "b", "{x}", "%61", "c"]), max_size=3),
        st.sampled_from([[], ["*"], [""]]),
        st.lists(st.sampled_from(["GET", "POST", "PURGE", "REPORT"]), max_size=2, unique=True),
        wanted(["X-A", "Cookie"]),
        wanted(["q", "r"]),
        st.lists(st.sampled_from(sorted(NETWORKS)), max_size=1),
    ),
    min_size=1,
    max_size=12,
)
ASKED = st.tuples(
    st.sampled_from(["t", "a.t", "A.T.", "b.a.t:80", "c.b.a.t", "u"]),
    st.lists(st.sampled_from(["a", "b", "c", "%61", "", ".", "..", "a%2Fb", "%zz", "{x}", "*"]), max_size=4).map(
        lambda segments: "/" + "/".join(segments)
    ),
    st.sampled_from(["GET", "POST", "PURGE", "REPORT2"]),
    st.lists(st.tuples(st.sampled_from(["x-a", "X-A", "cookie"]), st.sampled_from(["1", "12", "2"])), max_size=2),
    st.lists(st.tuples(st.sampled_from(["q", "r", "s"]), st.sampled_from(["1", "12", ""])), max_size=3),
    st.sampled_from(["10.0.0.1", "10.1.2.3", "192.0.2.1", "198.51.100.7"]),
)


@given(PLANS, ASKED)
def test_the_route_is_the_one_that_a_search_through_all_finds(plans: list[MatchPlan], asked: Asked) -> None:
    host, target, method, fields, query, client = asked
    target += "?" + "&".join(f"{name}={value}" for name, value in query) if query else ""
    head = request(target, *(f"{name}: {value}" for name, value in fields), host=host, method=method)
    plans = [MatchPlan(**{**vars(plan), "sides": ((number, 1),)}) for number, plan in enumerate(plans)]
    taken, tried = Router(plans).explain(head, client)
    looked = expected(plans, asked)
    assert tried == looked
    assert taken == (looked[-1][0] if looked and not looked[-1][1] else -1)


# -- what is written in docs/routing.md --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "routes", "taken"),
    [
        ("/users/me", ("/users/{id}", "/users/me"), 1),
        ("/users/me/posts", ("/users/me/*", "/users/{id}/posts"), 0),
        ("/users/me/posts", ("/users/me", "/users/{id}/posts"), 1),
        ("/api", ("/api/*", "/api"), 1),
        ("/api/", ("/api/*", "/api"), 0),
        ("/api/", ("/api/*", "/api/"), 1),
        ("/apis", ("/api/*", "/api"), -1),
        ("/users/", ("/users/{id}",), -1),
        ("/a/b/../../api/x", ("/api/*",), 0),
        ("/api/x/../../secret", ("/api/*", "/secret"), 1),
        ("//api", ("/api",), 0),
        ("/%61p%69", ("/api",), 0),
        ("/a%2Fb", ("/a/b", "/a/*"), 0),
        ("/API", ("/api",), -1),
        ("/{id}", ("/%7Bid%7D", "/{id}"), 0),
        ("/x/*", ("/x/%2A", "/x/*"), 0),
        ("/", ("/",), 0),
        ("/", ("",), 0),
        ("http://h", ("/",), 0),
        ("http://h?q", ("/", ""), 0),
        ("/caf%C3%A9", ("/caf%C3%A9",), 0),
        ("/" + "a/" * 100, ("/a/*", "/{x}"), 0),
        ("/a/b/c", ("/a/b/c/d", "/a/b/{x}/*"), 1),
    ],
)
def test_paths(path: str, routes: tuple[str, ...], taken: int) -> None:
    assert router_of(*routes).explain(request(path))[0] == taken


def test_the_asterisk_of_options_is_no_path() -> None:
    head = request("*", method="OPTIONS")
    assert router_of("/{x}", "/*").explain(head)[0] == 1
    assert router_of("/{x}", "/%2A").explain(head)[0] == -1


@pytest.mark.parametrize(
    ("host", "taken"),
    [
        ("api.example.com", 0),
        ("API.Example.COM:8080", 0),
        ("api.example.com.", 0),
        ("api.example.com.:80", 0),
        ("x.api.example.com", 1),
        ("y.x.api.example.com", 1),
        ("www.example.com", 2),
        ("example.com", 3),
        ("badexample.com", 3),
        ("[::1]:80", 4),
        ("[::1]", 4),
        ("[0::1]", 4),
        ("[0000:0000:0000:0000:0000:0000:0000:0001]:80", 4),
        ("[::0.0.0.1]", 4),
        ("[::2]", 3),
        ("[::FFFF:192.0.2.1]", 5),
        ("[0:0:0:0:0:ffff:c000:201]:8080", 5),
        ("[::g]", 3),
        ("[]", 3),
        ("[" + "0" * 60 + "::1]", 3),
        (".example.com", 3),
        ("a" * 300 + ".example.com", 3),
        ("a." * 150 + "example.com", 3),
        ("a." * 100 + "example.com", 2),
    ],
)
def test_hosts(host: str, taken: int) -> None:
    hosts = ("api.example.com", "*.api.example.com", "*.example.com", "", "[::1]", "[::ffff:192.0.2.1]")
    router = Router([match("", *filter(None, (name,)), to=number) for number, name in enumerate(hosts)])
    assert router.explain(request(host=host))[0] == taken


def test_a_target_with_a_host_goes_before_host() -> None:
    router = Router([match("/x", "a.t", to=1), match("", "b.t", to=2)])
    assert router.explain(request("http://a.t:80/x", host="a.t:80"))[0] == 1
    assert router.explain(b"GET http://b.t HTTP/1.0\r\n\r\n")[0] == 2
    assert router.explain(b"GET / HTTP/1.0\r\n\r\n")[0] == -1


@pytest.mark.parametrize(
    ("query", "value", "met"),
    [
        ("?a=1", ValuePlan("a", "equal", "1"), True),
        ("?b=2&a=1&c", ValuePlan("a", "equal", "1"), True),
        ("?a=%31", ValuePlan("a", "equal", "1"), True),
        ("?%61=1", ValuePlan("a", "equal", "1"), True),
        ("?a=1+2", ValuePlan("a", "equal", "1 2"), True),
        ("?a=1%2B2", ValuePlan("a", "equal", "1+2"), True),
        ("?a=1=2", ValuePlan("a", "equal", "1=2"), True),
        ("?a=12", ValuePlan("a", "equal", "1"), False),
        ("?a=12", ValuePlan("a", "prefix", "1"), True),
        ("?a", ValuePlan("a", "equal", ""), True),
        ("?a=", ValuePlan("a", "present"), True),
        ("?a=1&a=1", ValuePlan("a", "equal", "1"), False),
        ("?a=1&a=2", ValuePlan("a", "present"), True),
        ("?ab=1", ValuePlan("a", "present"), False),
        ("?ab=1", ValuePlan("a", "absent"), True),
        ("?", ValuePlan("a", "absent"), True),
        ("", ValuePlan("a", "present"), False),
        ("?&&a=1&", ValuePlan("a", "equal", "1"), True),
        ("?a=%4", ValuePlan("a", "equal", "%4"), True),
    ],
)
def test_query(query: str, value: ValuePlan, met: bool) -> None:
    assert Router([match(query=(value,))]).explain(request(f"/{query}")) == (
        (0, [(0, "")]) if met else (-1, [(0, "query")])
    )


@pytest.mark.parametrize(
    ("field", "value", "met"),
    [
        ("X-Internal: 1", ValuePlan("X-Internal", "absent"), False),
        ("X_Internal: 1", ValuePlan("X-Internal", "absent"), False),
        ("x-internal: 1", ValuePlan("X_Internal", "absent"), False),
        ("XInternal: 1", ValuePlan("X-Internal", "absent"), True),
        ("X_Internal: 1", ValuePlan("X-Internal", "present"), True),
        ("X_Internal: 1", ValuePlan("X-Internal", "equal", "1"), False),
        ("X-Internal: 1", ValuePlan("X-Internal", "equal", "1"), True),
    ],
)
def test_fields_in_either_spelling(field: str, value: ValuePlan, met: bool) -> None:
    assert Router([match(fields=(value,))]).explain(request("/", field)) == (
        (0, [(0, "")]) if met else (-1, [(0, "fields")])
    )


def test_a_path_with_too_many_segments_is_none() -> None:
    with pytest.raises(ValueError, match="65 segments; 64 are the most"):
        router_of("/a" * 65)
    assert router_of("/a" * 64, "/a" * 63 + "/*").explain(request("/a" * 64))[0] == 0


# -- sides -------------------------------------------------------------------------------------------------------


def sides(router: Router, heads: list[bytes], client: str = "unix:") -> Counter[int]:
    return Counter(router.explain(head, client)[0] for head in heads)


def test_each_request_is_drawn() -> None:
    router = Router([MatchPlan("s", ((4, 90), (5, 10), (6, 0)))])
    found = sides(router, [request()] * 20_000)
    assert set(found) == {4, 5}
    # Ten standard deviations: nothing that happens by chance.
    assert abs(found[5] - 2_000) < 10 * math.sqrt(20_000 * 0.1 * 0.9)


@pytest.mark.parametrize(("split_by", "field"), [("cookie:id", "Cookie: x=1; id={}"), ("field:X-User", "X-User: {}")])
def test_a_key_keeps_its_side(split_by: str, field: str) -> None:
    heads = [request("/", field.format(f"user{n}")) for n in range(5_000)]
    router, other = (Router([MatchPlan("s", ((0, 9), (1, 1)), split_by=split_by)]) for _ in range(2))
    chosen = [router.explain(head)[0] for head in heads]
    assert chosen == [other.explain(head, "192.0.2.1")[0] for head in heads]
    assert abs(sum(chosen) - 500) < 10 * math.sqrt(5_000 * 0.1 * 0.9)
    # Who was on the second side stays there as it grows.
    more = Router([MatchPlan("s", ((0, 8), (1, 2)), split_by=split_by)])
    assert all(more.explain(head)[0] == 1 for head, side in zip(heads, chosen, strict=True) if side == 1)


def test_without_the_key_the_client_keeps_its_side() -> None:
    router = Router([MatchPlan("s", ((0, 1), (1, 1)), split_by="cookie:id")])
    by_client = [sides(router, [request()] * 5, f"192.0.2.{n}") for n in range(100)]
    assert all(len(found) == 1 for found in by_client)
    assert {next(iter(found)) for found in by_client} == {0, 1}
    assert len(sides(router, [request()] * 200)) == 2, "who comes by a Unix socket has no address"


# -- in the plane ------------------------------------------------------------------------------------------------


def requests_of(scene: Scene) -> dict[tuple[str, str], int]:
    series = snapshot(scene.memory).series
    return {(one.route, one.path): one.counters.requests for one in series if one.counters.requests}


def test_routes_are_counted_by_themselves(stage: Stage) -> None:
    scene = stage(routes=[RoutePlan("api", 0)], matches=[match("/api/*", to=1)])
    client = scene.client(request("/api/x"))
    scene.send(scene.endpoint(), OK)
    scene.send(client, request("/other"))
    scene.send(scene.endpoint(), OK)
    assert client.take_sent().count(b"200 OK") == 2
    assert requests_of(scene) == {("api", "/api/x"): 1, ("main", "/other"): 1}


def test_what_no_route_takes_is_answered(stage: Stage) -> None:
    scene = stage(route={"cluster": NOWHERE}, routes=[RoutePlan("api", 0)], matches=[match("/api/*", to=1)])
    client = scene.client(request("/a") + request("/api/x"))
    answer = client.take_sent()
    assert answer.startswith(b"HTTP/1.1 404 Not Found\r\n")
    assert b"no_route: No route takes this request.\n" in answer
    # The connection goes on.
    scene.send(scene.endpoint(), OK)
    assert client.take_sent().startswith(b"HTTP/1.1 200 OK")
    assert scene.reasons() == {"no_route": 1}
    assert requests_of(scene) == {("api", "/api/x"): 1, ("main", "/a"): 1}


def test_a_body_that_no_route_takes_ends_the_connection(stage: Stage) -> None:
    scene = stage(route={"cluster": NOWHERE}, routes=[RoutePlan("api", 0)], matches=[match("/api/*", to=1)])
    client = scene.client(request("/a", "Content-Length: 100", method="POST") + b"half")
    assert client.take_sent().startswith(b"HTTP/1.1 404 Not Found\r\n")
    assert scene.dials == 0
    scene.end(client)
    assert client.is_closed


@pytest.mark.parametrize("chunked", [False, True])
def test_a_route_has_a_limit_of_its_own(stage: Stage, chunked: bool) -> None:
    scene = stage(routes=[RoutePlan("small", 0, max_body_bytes=5)], matches=[match("/small", to=1)])
    framing, body = ("Transfer-Encoding: chunked", b"6\r\nsixsix\r\n") if chunked else ("Content-Length: 6", b"sixsix")
    client = scene.client(request("/small", framing, method="POST") + body)
    assert client.take_sent().startswith(b"HTTP/1.1 413 ")
    assert {route for route, _ in requests_of(scene)} == {"small"}
    other = scene.client(request("/large", framing, method="POST") + body)
    assert other.take_sent() == b""
    assert scene.endpoint().take_sent().endswith(body)


# -- what it costs -----------------------------------------------------------------------------------------------


def many(count: int) -> list[MatchPlan]:
    shapes = ("/api/v1/res{}/*", "/users{}/{{id}}", "/a{}/{{x}}/posts", "/exact/{}", "/deep/a/b/c/d{}/*")
    return [
        match(shapes[n % 5].format(n), *([f"h{n // 100}.example.com"] if n % 5 else []), to=n) for n in range(count)
    ]


@pytest.mark.figures("10,000 routes cost what one costs: a part of a microsecond")
def test_the_cost_does_not_grow_with_the_routes() -> None:
    heads = [
        request("/users1/17", host="h0.example.com"),
        request("/api/v1/res0/x/y", host="h0.example.com"),
        request("/no/where/at/all", host="other.example.com"),
    ]
    few, all_of_them = Router(many(5)), Router(many(10_000))
    assert all_of_them.explain(heads[0])[0] == 1
    for head in heads:
        costs = [[router.find_ns(head, 20_000) for router in (few, all_of_them)] for _ in range(15)]
        one, other = (min(cost) for cost in zip(*costs, strict=True))
        print(f"{one:.0f} ns with 5 routes, {other:.0f} ns with 10,000")
        # 5 % of a request's cost are more than 300 ns.
        assert other < one + 300
