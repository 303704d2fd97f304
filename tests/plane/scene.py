"""A stage for transcripts: a whole plane on fake streams and a fake clock.

A scene owns an engine, a plane and their clock. `client()` connects a client, `endpoint()` is the peer of the
newest connection that the plane dialled; both are `FakeStream`s: `feed` what they send, `take_sent` what they
were sent. Nothing happens until `turn()`.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from weir.config.plan import (
    NO_ROUTER,
    AddressPlan,
    BreakerPlan,
    ClusterPlan,
    EndpointPlan,
    HedgePlan,
    LimitPlan,
    ListenerPlan,
    MatchPlan,
    Plan,
    PoolPlan,
    QueuePlan,
    RetryPlan,
    RoutePlan,
    StatsPlan,
)
from weir.hooks import Hook
from weir.plane.accesslog import AccessLog
from weir.plane.clock import Clock
from weir.plane.counters import Counters
from weir.plane.engine import Engine
from weir.plane.fake import FakeDialer, FakeStream
from weir.plane.plane import Plane
from weir.plane.stream import Address
from weir.reasons import Reason
from weir.stats import layout
from weir.stats.hooks import HookCounts
from weir.stats.reader import snapshot
from weir.stats.retrywords import RETRY_WORDS
from weir.stats.rules import RuleBook

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
GET = b"GET /a HTTP/1.1\r\nHost: h\r\n\r\n"


SHADOW = AddressPlan(text="203.0.113.1:80", host="203.0.113.1", port=80)


class Scene:
    """One listener, one route, one cluster of `endpoints` endpoints, or one for each of `members` (EndpointPlan's).

    `matches` say which requests take which of `routes`, which are counted from 1.
    With `shadow` (settings of a cluster) there is a second cluster, with one endpoint.
    """

    def __init__(
        self,
        *,
        endpoints: int = 1,
        members: Sequence[dict[str, Any]] = (),
        listener: dict[str, Any] | None = None,
        cluster: dict[str, Any] | None = None,
        pool: dict[str, Any] | None = None,
        queue: dict[str, Any] | None = None,
        retry: dict[str, Any] | None = None,
        limit: dict[str, Any] | None = None,
        breaker: dict[str, Any] | None = None,
        hedge: dict[str, Any] | None = None,
        route: dict[str, Any] | None = None,
        routes: Sequence[RoutePlan] = (),
        matches: Sequence[MatchPlan] = (),
        stats: dict[str, Any] | None = None,
        log_format: str = "json",
        make_page: Callable[[], bytes] = lambda: b"page\n",
        hooks: Sequence[Hook[..., Any]] = (),
        shadow: dict[str, Any] | None = None,
    ) -> None:
        endpoints = len(members) or endpoints
        hosts = [f"192.0.2.{n + 1}" if n < 250 else f"198.51.{100 + n // 250}.{n % 250}" for n in range(endpoints)]
        names: list[AddressPlan] = [AddressPlan(text=f"{host}:80", host=host, port=80) for host in hosts]
        if members:
            names = [EndpointPlan(f"{h}:80", h, 80, **more) for h, more in zip(hosts, members, strict=True)]
        self.plan = Plan(
            listeners=(
                replace(
                    ListenerPlan(AddressPlan(text="test", host="", port=80), 0, forwarded="off", via="off"),
                    router=0 if matches else NO_ROUTER,
                    **(listener or {}),
                ),
            ),
            routes=(RoutePlan(**{"name": "main", "cluster": 0, **(route or {})}), *routes),
            routers=(tuple(matches),) if matches else (),
            clusters=(
                ClusterPlan(
                    "app",
                    tuple(names),
                    pool=PoolPlan(**(pool or {})),
                    queue=QueuePlan(**(queue or {})),
                    retry=RetryPlan(**(retry or {})),
                    limit=LimitPlan(**(limit or {})),
                    breaker=BreakerPlan(**(breaker or {})),
                    hedge=HedgePlan(**(hedge or {})),
                    **(cluster or {}),
                ),
                *([] if shadow is None else [ClusterPlan("shadow", (SHADOW,), **shadow)]),
            ),
            stats=replace(StatsPlan(rows=64, header=""), **(stats or {})),
            hooked=tuple((hook.phase, hook.name) for hook in hooks),
        )
        self.clock = Clock(fake=True)
        self.engine = Engine(self.clock)
        self.memory = layout.create(
            self.plan.stats.rows,
            [one.name for one in self.plan.routes],
            workers=1,
            endpoints=[("app", name.text) for name in names] + [("shadow", SHADOW.text)] * (shadow is not None),
            clusters=[cluster.name for cluster in self.plan.clusters],
            spare_endpoints=8,
        )
        self.log = AccessLog(log_format, 1 << 20)
        self.dialer = FakeDialer()
        self.rules = RuleBook(self.plan, workers=1)
        self.plane = Plane(
            self.plan,
            self.engine,
            Counters(self.memory, 0),
            self.log,
            make_page,
            1000,
            dialer=self.dialer,
            rules=self.rules,
            hooks=hooks,
        )
        self.listener = self.plane.listen(0, -1)
        for host in hosts:
            self.plane.set_addresses(0, f"{host}:80", [Address(host=host, port=80)])
        if shadow is not None:
            self.plane.set_addresses(1, SHADOW.text, [Address(host=SHADOW.host or "", port=80)])

    def turn(self, times: int = 4) -> None:
        """Lets the engine serve what is there."""
        for _ in range(times):
            self.engine.turn(0)

    def wait_ms(self, ms: int) -> None:
        """Time passes, and what is due happens."""
        self.clock.advance(ms * 1000)
        self.turn()

    def client(self, data: bytes = b"", host: str | None = None, port: int = 4321) -> FakeStream:
        """A client connects, from an address or (without `host`) by a Unix socket, and sends `data`."""
        stream = FakeStream(self.engine, None if host is None else Address(host=host, port=port))
        if host is not None:
            stream.local = Address(host="2001:db8::80" if ":" in host else "192.0.2.80", port=80)
        if data:
            stream.feed(data)
        self.plane.welcome(self.listener, stream)
        self.turn()
        return stream

    def endpoint(self, number: int = -1) -> FakeStream:
        """The peer of a connection that the plane dialled."""
        return self.dialer.dialled[number]

    @property
    def dials(self) -> int:
        """How many connections were dialled."""
        return len(self.dialer.dialled)

    def send(self, stream: FakeStream, data: bytes) -> None:
        """The peer sends, and the plane acts on it."""
        stream.feed(data)
        self.turn()

    def end(self, stream: FakeStream) -> None:
        """The peer closes its sending side."""
        stream.feed_end()
        self.turn()

    def reset(self, stream: FakeStream) -> None:
        """The peer resets the connection."""
        stream.break_off()
        self.turn()

    def hooked(self, name: str) -> HookCounts:
        """What was counted of a hook."""
        return next(counts for counts in self.rules.hooks.counts() if counts.name == name)

    def reasons(self) -> dict[str, int]:
        """What ended otherwise than well, by word."""
        counts = self.plane.reasons()
        return {reason.name.lower(): counts[reason] for reason in Reason if counts[reason]}

    def retries(self) -> dict[str, int]:
        """What was decided about retries, by word."""
        counts = self.plane.retries(0)
        return {one.word: count for one, count in zip(RETRY_WORDS, counts, strict=True) if count}

    def counters(self, path: str = "/a") -> dict[str, int]:
        """The counters of a path's row."""
        for series in snapshot(self.memory).series:
            if series.path == path:
                return dict(series.counters._asdict())
        return {}

    def close_plane(self) -> None:
        """Ends what is in progress, as a worker does that stops; the counters are still there."""
        self.plane.close()
        self.turn()

    def close(self) -> None:
        """Ends the scene and checks the ledger: nothing is open, taken or registered any more."""
        self.close_plane()
        ledger = self.plane.ledger()
        assert not any(ledger.values()), f"left over: {ledger}"
        assert self.plane.clients_counted() == 0
        assert self.plane.busy(0) == 0
        assert self.engine.sources == 0
        assert self.engine.bugs == 0, "an exception left a source"
        for stream in self.dialer.dialled:
            assert stream.is_closed, f"connection to {stream.peer} is still open"
        self.engine.close()
        del self.plane
        gc.collect()
        self.memory.close()
