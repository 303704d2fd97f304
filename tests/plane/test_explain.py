"""What is said of a request is what happens to it."""

from __future__ import annotations

import gc
import random
import re
from dataclasses import replace
from typing import Any

import pytest

import weir
from weir.config.plan import (
    NOWHERE,
    AddressPlan,
    ClusterPlan,
    EndpointPlan,
    FaultPlan,
    ListenerPlan,
    MatchPlan,
    NetworkPlan,
    Plan,
    RateLimitPlan,
    RoutePlan,
    StatsPlan,
    StickyPlan,
    ValuePlan,
)
from weir.control.worker import make_table, route_numbers
from weir.plane.accesslog import AccessLog
from weir.plane.clock import Clock
from weir.plane.counters import Counters
from weir.plane.engine import Engine
from weir.plane.fake import FakeDialer, FakeStream
from weir.plane.plane import Plane
from weir.plane.stream import Address
from weir.reasons import REASONS, Reason
from weir.stats.reader import snapshot

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
ROUTES = ("own", "api", "users", "beta", "wild", "local", "small")
LOOPBACK = NetworkPlan("127.0.0.0/8", b"\0" * 10 + b"\xff\xff\x7f" + b"\0" * 3, 104, True)
MATCHES = (
    MatchPlan("api", ((1, 1),), path="/api/*"),
    MatchPlan("users", ((2, 1),), path="/api/users/{id}", methods=("GET", "HEAD")),
    MatchPlan("beta", ((3, 1),), path="/api/*", fields=(ValuePlan("X-Beta", "equal", "1"),)),
    MatchPlan("wild", ((4, 1),), hosts=("*.example",), query=(ValuePlan("q", "present"),)),
    MatchPlan("local", ((5, 1),), path="/local", clients=(LOOPBACK,)),
    MatchPlan("small", ((6, 1),), path="/small", methods=("POST",)),
)  # fmt: skip
PLAN = Plan(
    listeners=(
        ListenerPlan(
            AddressPlan(":80", "", 80),
            0,
            router=0,
            max_fields=4,
            rate_limits=(
                RateLimitPlan("client", (1_000_000, 1000), methods=("GET",)),
                RateLimitPlan("field:X-Key", (1_000_000, 1000)),
            ),
            faults=(FaultPlan("none", delay_ms=(1, 1), delay_percent=0, prefix="/api"),),
        ),
    ),
    routes=tuple(RoutePlan(name, n, max_body_bytes=4 if name == "small" else 0) for n, name in enumerate(ROUTES)),
    clusters=tuple(ClusterPlan(name, (AddressPlan("192.0.2.1:80", "192.0.2.1", 80),)) for name in ROUTES),
    routers=(MATCHES,),
    stats=StatsPlan(rows=64, header="", page="/stats"),
)


class Stage:
    """A plane of a plan on fake streams, with hooks that note that they were met."""

    def __init__(self, plan: Plan) -> None:
        self.met: list[int] = []
        selectors: list[dict[str, Any]] = [
            *({"phase": "request", "path": "/api/*"}, {"phase": "response", "methods": ["GET"]}),
            *({"phase": "log", "host": "*.example"}, {"phase": "upstream", "field": "X-Beta"}, {"phase": "request"}),
        ]
        self.hooks = [self._hook(number, **given) for number, given in enumerate(selectors)]
        self.engine, self.dialer = Engine(Clock(fake=True)), FakeDialer()
        self.memory = make_table(plan, 1)
        numbers = route_numbers(self.memory, plan)
        counters, log = Counters(self.memory, 0), AccessLog("off", 1 << 16)
        self.plane = Plane(
            plan, self.engine, counters, log, lambda: b"page", 10, self.dialer, numbers, hooks=self.hooks
        )
        for number, cluster in enumerate(plan.clusters):
            for endpoint in cluster.endpoints:
                self.plane.set_addresses(number, endpoint.text, [Address(host="192.0.2.1", port=80)])
        self.plane.listen(0, -1)

    def _hook(self, number: int, **given: Any) -> Any:
        @weir.hook(**given)
        def note(_message: object) -> None:
            self.met.append(number)

        return note

    def ask(self, request: bytes, client: str) -> tuple[bytes, str, set[int], set[str]]:
        """Sends it: the answer, the route that it was counted under, hooks that it met, reasons that were counted."""
        reasons, dials = self.plane.reasons(), len(self.dialer.dialled)
        counts, self.met = self._requests(), []
        stream = FakeStream(self.engine, Address(host=client, port=4321))
        stream.feed(request)
        self.plane.welcome(0, stream)
        for _ in range(4):
            self.engine.turn(0)
        if len(self.dialer.dialled) > dials:
            self.dialer.dialled[-1].feed(OK.replace(b"OK", b"OK\r\nConnection: close"))
        stream.feed_end()
        for _ in range(4):
            self.engine.turn(0)
        after = self._requests()
        routes = [route for route, count in after.items() if count > counts.get(route, 0)]
        changed = {
            info.word for info, old, new in zip(REASONS, reasons, self.plane.reasons(), strict=True) if new > old
        }
        return stream.take_sent(), "".join(routes), set(self.met), changed

    def _requests(self) -> dict[str, int]:
        found: dict[str, int] = {}
        for series in snapshot(self.memory).series:
            found[series.route] = found.get(series.route, 0) + series.counters.requests
        return found

    def close(self) -> None:
        self.plane.close()
        self.engine.turn(0)
        self.engine.close()
        del self.plane
        gc.collect()
        self.memory.close()


def some_request(dice: random.Random) -> bytes:
    """One that is good, as a rule."""
    paths = ("/", "/api", "/api/users/7", "/api/%75sers/7", "/x/../api/a", "/local", "/small", "/stats", "*", "nothing")
    method = dice.choice(("GET", "GET", "HEAD", "POST", "PUT", "BREW", "CONNECT"))
    fields = [f"Host: {dice.choice(('a', 'b.example', 'c.example:80', 'b a'))}"]
    more = ("X-Beta: 1", "X-Beta: 2", "X-Key: k", "Content-Length: 9", "Content-Length: 2", "Content-Length: 0",
            "Expect: unknown", "Bad Name: 1", "Transfer-Encoding: gzip")  # fmt: skip
    fields += dice.sample(more, dice.choice((0, 0, 1, 1, 2, 3)))
    line = f"{method} {dice.choice(paths)}{dice.choice(('', '?q=1', '?r'))} HTTP/1.{dice.choice('1112')}"
    return "\r\n".join([line, *fields, "", ""]).encode()


def test_what_is_said_is_what_happens() -> None:
    dice = random.Random(6)
    stage = Stage(PLAN)
    refusals = set()
    for _ in range(400):
        request, client = some_request(dice), dice.choice(("127.0.0.1", "198.51.100.7"))
        said = stage.plane.explain(0, request, client)
        assert stage.plane.explain(0, request, client) == said
        whole = request + b"x" * (9 if b"Length: 9" in request else 2 if b"Length: 2" in request else 0)
        answer, route, met, reasons = stage.ask(whole, client)
        word = REASONS[said["refused"]].word
        if said["refused"]:
            refusals.add(word)
            assert word in reasons, (request, said, answer)
            named = ROUTES[said["route"]] if said["route"] is not None else "own"
            assert (met, route in ("", named)) == (set(), True), request
        elif said["page"]:
            assert (answer.startswith(b"HTTP/1.1 200 OK"), met, route) == (True, set(), ""), request
        else:
            assert (route, met) == (ROUTES[said["route"]], set(said["hooks"])), (request, said, reasons)
            assert said["cluster"] == said["route"]
            assert said["order"] == ["192.0.2.1:80"]
    # The requests were such that it matters.
    assert {"bad_request", "bad_host", "body_too_large", "expectation_failed"} <= refusals
    stage.close()


def test_rules_and_who_they_are_about() -> None:
    stage = Stage(PLAN)
    for request, limits, faults in (
        (b"GET /api/x HTTP/1.1\r\nHost: h\r\nX-Key: a\r\n\r\n", [0, 1], [0]),
        (b"PUT /x HTTP/1.1\r\nHost: h\r\n\r\n", [], []),
    ):
        said = stage.plane.explain(0, request, "192.0.2.9")
        assert (said["limits"], said["faults"]) == (limits, faults)
    stage.close()


def test_rules_of_a_route_stand_behind_those_of_the_listener() -> None:
    own = (RateLimitPlan("all", (1, 1000), methods=("PUT",)), RateLimitPlan("client", (1, 1000)))
    routes = (PLAN.routes[0], replace(PLAN.routes[1], rate_limits=own, limited_as="api"), *PLAN.routes[2:])
    stage = Stage(replace(PLAN, routes=routes))
    for line, limits in ((b"GET /api/x", [0, 3]), (b"PUT /api/x", [2, 3]), (b"PUT /x", [])):
        assert stage.plane.explain(0, line + b" HTTP/1.1\r\nHost: h\r\n\r\n", "192.0.2.9")["limits"] == limits
    stage.close()


def test_a_client_that_a_trusted_proxy_tells_of() -> None:
    plan = replace(PLAN, listeners=(replace(PLAN.listeners[0], trusted_proxies=(LOOPBACK,)),))
    stage = Stage(plan)
    request = b"GET /local HTTP/1.1\r\nHost: h\r\nX-Forwarded-For: 192.0.2.7\r\n\r\n"
    said = stage.plane.explain(0, request, "127.0.0.1")
    assert (said["client"], said["tried"]) == ("192.0.2.7", [(4, "clients")])
    assert stage.plane.explain(0, request, "192.0.2.1")["client"] == "192.0.2.1"
    stage.close()
    stage = Stage(replace(plan, listeners=(replace(plan.listeners[0], proxy_protocol="require"),)))
    assert stage.plane.explain(0, request, "192.0.2.1")["refused"] == Reason.UNTRUSTED_PROXY
    with pytest.raises(ValueError, match="no address: 'nobody'"):
        stage.plane.explain(0, request, "nobody")
    stage.close()


def test_the_order_of_endpoints_is_that_of_the_policy() -> None:
    members = tuple(
        EndpointPlan(f"192.0.2.{n}:80", f"192.0.2.{n}", 80, weight=n % 4, priority=n // 8) for n in range(1, 12)
    )
    cluster = ClusterPlan("own", members, policy="hash", hash_by="field:X-User")
    stage = Stage(replace(PLAN, clusters=(cluster, *PLAN.clusters[1:])))

    def order(user: str) -> list[str]:
        request = f"GET / HTTP/1.1\r\nHost: h\r\nX-User: {user}\r\n\r\n".encode()
        found: list[str] = stage.plane.explain(0, request)["order"]
        return found

    orders = {tuple(order(f"user {n}")) for n in range(20)}
    assert order("user 1") == order("user 1")
    assert len({one[0] for one in orders}) > 2
    for one in orders:
        assert len(one) == len(set(one))
        # Without a weight none is chosen.
        assert not {"192.0.2.4:80", "192.0.2.8:80"} & set(one)
    stage.close()


def test_a_request_that_takes_no_route() -> None:
    routes = (replace(PLAN.routes[0], cluster=NOWHERE), *PLAN.routes[1:])
    stage = Stage(replace(PLAN, routes=routes))
    said = stage.plane.explain(0, b"GET / HTTP/1.1\r\nHost: h\r\n\r\n")
    assert (said["refused"], said["cluster"], said["order"]) == (Reason.NO_ROUTE, NOWHERE, [])
    assert said["hooks"] == [1, 4]
    stage.close()


def test_the_page_is_there_without_a_route() -> None:
    stage = Stage(replace(PLAN, routes=(replace(PLAN.routes[0], cluster=NOWHERE), *PLAN.routes[1:])))
    request = b"GET /stats HTTP/1.1\r\nHost: h\r\n\r\n"
    said = stage.plane.explain(0, request, "192.0.2.9")
    assert (said["page"], said["refused"]) == (True, Reason.NONE)
    assert stage.ask(request, "192.0.2.9")[0].startswith(b"HTTP/1.1 200 OK\r\n")
    stage.close()


@pytest.mark.parametrize(("value", "refused"), [("soon", "BAD_DEADLINE"), ("0", "DEADLINE_PASSED"), ("9", "NONE")])
def test_deadlines(value: str, refused: str) -> None:
    stage = Stage(replace(PLAN, listeners=(replace(PLAN.listeners[0], deadline_field="X-Timeout"),)))
    request = f"GET / HTTP/1.1\r\nHost: h\r\nX-Timeout: {value}\r\n\r\n".encode()
    said = stage.plane.explain(0, request, "192.0.2.9")
    assert said["refused"] == Reason[refused]
    stage.engine.clock.advance(1_000_000)
    assert stage.ask(request, "192.0.2.9")[3] == ({REASONS[Reason[refused]].word} if said["refused"] else set())
    stage.close()


def test_the_endpoint_that_a_cookie_names_is_the_first() -> None:
    members = tuple(AddressPlan(f"192.0.2.{n}:80", f"192.0.2.{n}", 80) for n in range(1, 9))
    cluster = ClusterPlan("own", members, sticky=StickyPlan("at", secret="s" * 32))
    stage = Stage(replace(PLAN, clusters=(cluster, *PLAN.clusters[1:])))

    def attempts() -> dict[Any, Any]:
        return {pool["endpoint"]: pool["attempts"] for pool in stage.plane.pools(0)}

    for _ in range(5):
        at = re.search(rb"at=[0-9a-f]+", stage.ask(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n", "192.0.2.9")[0])
        assert at is not None
        request = b"GET / HTTP/1.1\r\nHost: h\r\nCookie: a=b; %s\r\n\r\n" % at[0]
        order = stage.plane.explain(0, request)["order"]
        assert sorted(order) == [member.text for member in members]
        before = attempts()
        stage.ask(request, "192.0.2.9")
        assert [name for name, count in attempts().items() if count > before[name]] == order[:1]
    stage.close()
