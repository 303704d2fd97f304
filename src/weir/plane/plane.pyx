"""The data plane of one worker: made from a plan, driven by the engine, watched by control."""

import time

from libc.stdint cimport uint64_t

from weir.plane.accesslog cimport AccessLog
from weir.plane.cluster cimport Cluster
from weir.plane.codes cimport REASON_COUNT
from weir.plane.counters cimport Counters
from weir.plane.engine cimport Engine
from weir.plane.explain cimport explain_request
from weir.plane.fake cimport FakeStream
from weir.plane.hooks cimport Hook, Hooks
from weir.plane.listener cimport Listener
from weir.plane.options cimport ListenerOptions, Route
from weir.plane.mirror cimport end_copies
from weir.plane.mirrors cimport Mirrors
from weir.plane.pool cimport Pool
from weir.plane.roster cimport Roster
from weir.plane.router cimport Router
from weir.plane.series cimport SeriesNames
from weir.plane.states cimport CB_CLOSED, STATE_PLACES
from weir.plane.stream cimport Address, Dialer, TcpDialer
from weir.plane.syscalls cimport AF_UNIX, sockaddr_storage
from weir.plane.upstream cimport UpstreamUser
from weir.plane.workspace cimport Workspace

from weir.config.plan import NO_ROUTER, NOWHERE, ClusterPlan
from weir.plane.machines import MACHINES
from weir.stats.columns import ENDPOINT_FIGURES
from weir.stats.rules import RuleBook


cdef enum:
    ALL = 0x7fffffff


cdef class Plane:
    """Listeners, routes, clusters and pools of a plan (`weir.config.plan.Plan`).

    `max_connections` bounds the client connections of all listeners together. `counters` and `log` are this
    worker's; `make_page()` returns the statistics page as bytes; `dialer` is for tests; `route_numbers` are the
    routes' places in the statistics table, unless they are those in the plan. `rules` is the memory of the plan's rules
    (`weir.stats.rules.RuleBook`), for as many workers as the table; without it they are this plane's alone. Nothing
    `hooks` are `weir.hooks.Hook`s, in the order in which they are
    called. Nothing listens until listen() is called, and endpoints are unknown until set_addresses().
    """

    def __init__(self, plan, Engine engine, Counters counters, AccessLog log, make_page, int max_connections,
                 Dialer dialer=None, route_numbers=None, rules=None, hooks=()):
        cdef Cluster nowhere
        cdef Workspace workspace = Workspace(engine, counters, log, dialer if dialer is not None else TcpDialer())
        workspace.max_downstreams = max_connections
        self.workspace = workspace
        roster = Roster(counters)
        self.clusters = [Cluster(workspace, roster, cluster) for cluster in plan.clusters]
        numbers = range(len(plan.routes)) if route_numbers is None else route_numbers
        if not all([0 <= number < <int>counters.routes for number in numbers]):
            raise ValueError(f"routes {list(numbers)} and a statistics table with {counters.routes}")
        series = {}     # routes that count alike have one between them
        # ... and so have the sides of one route, which have its mirror and how much it may do at a time.
        sides = {side: match.name for router in plan.routers for match in router for side, _ in match.sides}
        mirrors = {}
        # A cluster of nobody stands for the one that a route does not have, so that nobody has to ask whether it has.
        nowhere = Cluster(workspace, roster, ClusterPlan("", ()))
        nowhere.nowhere = True
        places = {NOWHERE: nowhere, **dict(enumerate(self.clusters))}
        by_name = {cluster.name: cluster for cluster in self.clusters}
        book = RuleBook(plan, counters.workers) if rules is None else rules
        memories = book.hooks.memories([(hook.phase, hook.name) for hook in hooks])
        made = [Hook(hook, memory, counters.worker) for hook, memory in zip(hooks, memories, strict=True)]
        self.routes = [
            Route(
                route, number, places[route.cluster], series_of(plan.stats, route, series),
                Hooks(made, book.hooks.together(), counters.worker) if made else None, by_name,
                mirrors_of(route, self.clusters, sides.get(place, place), mirrors),
            )
            for place, (route, number) in enumerate(zip(plan.routes, numbers, strict=True))
        ]
        routers = {NO_ROUTER: None, **{number: Router(matches) for number, matches in enumerate(plan.routers)}}
        self.options = [
            (
                ListenerOptions(
                    listener, plan.stats, self.routes, routers[listener.router], make_page, limits, faults,
                    counters.worker, limits_of_routes(plan, listener.router, numbers, book.route_limits),
                ),
                listener.max_connections or max_connections,
            )
            for listener, limits, faults in zip(plan.listeners, book.limits, book.faults, strict=True)
        ]
        self.listeners = []

    def listen(self, int number, int fd) -> int:
        """Accepts on a bound, listening, non-blocking socket, which stays the caller's to close.

        `number` is the listener's place in the plan; a listener may have several sockets. With fd -1 it
        accepts nothing but what welcome() brings. Returns the place in `listeners`.
        """
        self.workspace.engine.enter()
        cdef Listener listener = Listener(self.workspace, *self.options[number])
        self.listeners.append(listener)
        if fd >= 0:
            listener.listen(fd)
        return len(self.listeners) - 1

    def on_log_wanted(self, call) -> None:
        """`call()` is called when the access log's batch should be taken before its next flush is due."""
        self.workspace.on_log_wanted = call

    def on_hooks_met(self, call) -> None:
        """`call()` is called before the first request of each route meets a hook."""
        cdef Route route
        for route in self.routes:
            if route.hooks is not None:
                route.hooks.on_met = call

    def add_endpoint(self, int cluster, str endpoint, str name="") -> None:
        """A new member of a cluster, by its text; nothing happens if there is one of that text.

        `name` is what stands for it in the plan's endpoints, if anything does: its weight, priority and zone are those.
        """
        self.workspace.engine.enter()
        (<Cluster>self.clusters[cluster]).add(endpoint, name if name else endpoint)

    def remove_endpoint(self, int cluster, str endpoint) -> None:
        """A member leaves: exchanges in progress with it end as they would have; nothing new goes there."""
        self.workspace.engine.enter()
        (<Cluster>self.clusters[cluster]).remove(endpoint)

    def endpoints(self, int cluster) -> list[str]:
        """The members of a cluster, by their texts."""
        return list((<Cluster>self.clusters[cluster]).members)

    def endpoint(self, int cluster, str endpoint) -> tuple[int, list]:
        """A member's number in the statistics table, -1 if it has none, and its addresses as set_addresses() has told.

        KeyError if the cluster has no such member.
        """
        cdef Pool pool = (<Cluster>self.clusters[cluster]).member(endpoint)
        if pool is None:
            raise KeyError(endpoint)
        return pool.entry.number, list(pool.addresses)

    def panics(self, int cluster) -> bool:
        """Whether so few of a cluster's members may be used that all are asked."""
        cdef Cluster found = self.clusters[cluster]
        if found.is_stale():
            found.look()
        return found.panics

    def endpoint_numbers(self) -> list[int]:
        """The numbers in the statistics table of all members of all clusters that have one."""
        cdef Cluster cluster
        cdef Pool pool
        return [pool.entry.number for cluster in self.clusters for pool in cluster.pools if pool.entry.number >= 0]

    def set_addresses(self, int cluster, str endpoint, addresses) -> None:
        """What an endpoint's name resolves to now: `weir.plane.stream.Address`es, in order of preference.

        KeyError if the cluster has no such member.
        """
        cdef Pool pool = (<Cluster>self.clusters[cluster]).member(endpoint)
        if pool is None:
            raise KeyError(endpoint)
        new = list(addresses)
        if [address.text for address in new] == [address.text for address in pool.addresses]:
            return
        self.workspace.engine.enter()
        pool.addresses = new
        pool.preferred = 0
        if pool.min_idle:
            pool.keep_warm()
        if pool.owner.queue.length:
            self.workspace.engine.put_ready(pool.owner)     # it is somewhere to go

    def stop_listening(self) -> None:
        """Accepts no more; everything else goes on."""
        cdef Listener listener
        self.workspace.engine.enter()
        for listener in self.listeners:
            listener.stop()

    def drain(self, on_quiet, bint idle=True, int most=ALL) -> bool:
        """Accepts no more, closes what is idle, lets exchanges finish; then calls on_quiet().

        With idle=False connections that wait for a request stay open, and the next answer is their last: for a moment
        before the rest is closed by another drain(), since a request may be on its way on each of them. At most `most`
        are closed, so that those in progress are not held up; True if there are more.
        """
        cdef Listener listener
        cdef Cluster cluster
        cdef Pool pool
        cdef bint more = False
        self.workspace.engine.enter()
        self.workspace.draining = True
        self.workspace.on_quiet = None
        for listener in self.listeners:
            if idle:
                more = listener.drain(most) or more
            else:
                listener.stop()
        for cluster in self.clusters:
            for pool in cluster.pools:
                if self.workspace.exchanges == 0:
                    pool.close_all()
        if self.workspace.downstreams == 0:
            on_quiet()
        else:
            self.workspace.on_quiet = on_quiet
        return more

    def close(self) -> None:
        """Closes everything at once; exchanges in progress are cut."""
        cdef Listener listener
        cdef Cluster cluster
        cdef Pool pool
        self.workspace.engine.enter()
        self.workspace.draining = True
        self.workspace.on_quiet = None
        self.workspace.on_log_wanted = None
        for listener in self.listeners:
            listener.close_all()
        for route in self.routes:
            if (<Route>route).mirrors is not None:
                end_copies((<Route>route).mirrors)
        for cluster in self.clusters:
            for pool in cluster.pools:
                pool.close_all()
        self.workspace.spare_exchange = None

    def accepted(self) -> int:
        """Client connections that were accepted so far."""
        return sum([(<Listener>listener).accepted for listener in self.listeners])

    def ledger(self) -> dict[str, int]:
        """What is open, in progress or taken now; all of it is 0 when nothing is connected and pools are empty."""
        return {
            "downstreams": self.workspace.downstreams,
            "exchanges": self.workspace.exchanges,
            "upstreams": self.workspace.upstreams,
            "buffers": self.workspace.buffers.live,
            "buffer_bytes": self.workspace.buffers.live_bytes,
        }

    def timers(self) -> int:
        """Timers that run, those that were stopped and not met since included."""
        return self.workspace.wheel.linked

    def clients_counted(self) -> int:
        """Connections, and requests behind trusted proxies, that count for `max_connections_per_client` now."""
        cdef ListenerOptions options
        return sum([options.clients.held for options, _ in self.options if options.clients is not None])

    def reasons(self) -> list[int]:
        """How often each reason (`weir.reasons.REASONS`, in order) has ended something."""
        return [self.workspace.reasons[number] for number in range(REASON_COUNT)]

    def moves(self) -> dict[str, dict[tuple[str, str], int]]:
        """How often each move of each state machine (`weir.plane.machines`) was made, those never made left out."""
        made = {}
        for number, machine in enumerate(MACHINES):
            made[machine.name] = {
                (old, new): self.workspace.moves[number][STATE_PLACES * i + j]
                for i, old in enumerate(machine.states)
                for j, new in enumerate(machine.states)
                if self.workspace.moves[number][STATE_PLACES * i + j]
            }
        return made

    def refuse_memory(self, int times) -> None:
        """For tests: the next `times` requests for a buffer fail as if there were no memory."""
        self.workspace.buffers.refusals = times

    def save_memory(self) -> None:
        """For tests: buffers for reads are as small as when very many are out already."""
        self.workspace.buffers.generous_limit = -1

    def pools(self, int cluster) -> list[dict[str, object]]:
        """The state of each endpoint's pool."""
        cdef Pool pool
        states = []
        for pool in (<Cluster>self.clusters[cluster]).pools:
            states.append({
                "number": pool.entry.number,
                "endpoint": pool.name,
                "addresses": [address.text for address in pool.addresses],
                "open": pool.open,
                "idle": pool.idle_count,
                "surplus": pool.surplus_count,
                "connecting": pool.connecting,
                "active": pool.active(),
                "weight": pool.weight,
                "ramp": pool.ramp,
                "level": pool.level,
                "waiting": pool.line.length,
                **{
                    figure.name: pool.entry.figures[place]
                    for place, figure in enumerate(ENDPOINT_FIGURES)
                    if figure.kind == "counter"
                },
                "idle_limit_ms": max(pool.learner.limit_ms, 1),      # 0 means nothing known
                "learned_idle_timeout_ms": pool.learner.learned_ms,
            })
        return states

    def picks(self, int cluster, int times, keys=(), seed=None, tried=()) -> list[int]:
        """For tests: whom the policy would choose, by place in pools(); -1 for nobody. Nothing is sent.

        The n-th choice is for the key keys[n], if there is one; `tried` are places that have the mark.
        """
        cdef Cluster group = <Cluster>self.clusters[cluster]
        cdef UpstreamUser user = UpstreamUser.__new__(UpstreamUser)
        cdef Pool pool
        if seed is not None:
            group.balancer.random_state = seed
        group.look()
        places = {pool: place for place, pool in enumerate(group.pools)}
        found = []
        for number in range(times):
            group.stamp += 1
            for place in tried:
                (<Pool>group.pools[place]).mark = group.stamp
            user.keyed = number < len(keys)
            user.key = keys[number] if user.keyed else 0
            pool = group.balancer.pick(user, group.stamp)
            found.append(-1 if pool is None else places[pool])
        return found

    def age(self, int cluster) -> None:
        """For tests: as if it had made nearly as many choices as it can count."""
        (<Cluster>self.clusters[cluster]).stamp = 0xFFFFFFFE

    def busy(self, int cluster) -> int:
        """For tests: exchanges that have a connection of the cluster, as its bound of loads counts them."""
        return (<Cluster>self.clusters[cluster]).busy

    def pick_ns(self, int cluster, int times, bint keyed=False) -> float:
        """For tests: what one choice costs, measured over `times`."""
        cdef Cluster group = <Cluster>self.clusters[cluster]
        cdef UpstreamUser user = UpstreamUser.__new__(UpstreamUser)
        cdef int _i
        user.keyed = keyed
        group.look()
        begun = time.perf_counter_ns()
        for _i in range(times):
            group.stamp += 1
            user.key += <uint64_t>0x9E3779B97F4A7C15
            group.balancer.pick(user, group.stamp)
        return (time.perf_counter_ns() - begun) / times

    def explain(self, int listener, bytes request not None, str client="unix:") -> dict:
        """What would become of a request (its whole head) that comes to a listener of the plan from a client.

        "refused": the number of the reason (`weir.reasons.Reason`), NONE if it is not; "client": who it is, if a
        trusted proxy tells; "tried": routes as `Router.explain` says; "route": index into Plan.routes, None if it does
        not come so far, and then nothing of what follows is there. "page": whether the statistics page is the answer;
        "answers": whether the route answers by itself; "limits", "faults", "hooks": places of those that take it, of
        limits in the listener's and behind them the route's own; "cluster": index into Plan.clusters, NOWHERE for none;
        "order": endpoints in the order in which they would be tried. ValueError for what is no address.
        """
        said = explain_request(<ListenerOptions>self.options[listener][0], request, client.encode())
        if "cluster" not in said:
            return said
        group = said.pop("cluster")
        key = said.pop("key")
        bound = said.pop("bound")
        said["cluster"] = self.clusters.index(group) if group in self.clusters else NOWHERE
        said["order"] = [] if said["cluster"] == NOWHERE else self._order(said["cluster"], key)
        if bound is not None:
            said["order"] = [bound, *(name for name in said["order"] if name != bound)]
        return said

    def _order(self, int cluster, key) -> list[str]:
        cdef Pool pool
        cdef list tried = []
        keys = [] if key is None else [key]
        while True:
            place = self.picks(cluster, 1, keys, tried=tried)[0]
            if place < 0 or place in tried:
                break
            tried.append(place)
        pools = (<Cluster>self.clusters[cluster]).pools
        found = []
        for place in tried:
            pool = pools[place]
            found.append(pool.name)
        return found

    def queued(self, int cluster) -> int:
        """Exchanges in a cluster's queue."""
        return (<Cluster>self.clusters[cluster]).queue.length

    def load(self, int cluster) -> dict[str, int]:
        """The gauges of a cluster by name (spec/figures.toml)."""
        cdef Cluster of = self.clusters[cluster]
        return {
            "queued": of.queue.length,
            "panics": self.panics(cluster),
            "in_progress": of.busy if of.limiter is None else of.limiter.admitted,
            "limit": 0 if of.limiter is None else of.limiter.limit,
            "open_breakers": of.breaker is not None and of.breaker.state != CB_CLOSED,
        }

    def retries(self, int cluster) -> list[int]:
        """How often each decision about a retry (`weir.stats.retrywords.RETRY_WORDS`, in order) was made."""
        return (<Cluster>self.clusters[cluster]).retry.counted()

    def cluster_number(self, int cluster) -> int:
        """Its number in the statistics table; -1 if it has none."""
        return (<Cluster>self.clusters[cluster]).group.number

    def welcome(self, int listener, FakeStream stream not None) -> None:
        """For tests: a client's connection that is no socket. It comes from the stream's peer, if it has one."""
        cdef sockaddr_storage peer
        peer.ss_family = AF_UNIX
        if stream.peer is not None:
            peer = (<Address?>stream.peer).storage
        (<Listener>self.listeners[listener]).accepted += 1
        (<Listener>self.listeners[listener]).welcome(stream, &peer)


def series_of(stats, route, made) -> SeriesNames:
    """How a route's paths become series; taken from `made`, or made and put there."""
    exact = (stats.paths if route.paths == "stats" else route.paths) == "exact"
    templates = stats.openapi if route.openapi is None else route.openapi
    if (exact, templates) not in made:
        made[exact, templates] = SeriesNames(exact, templates)
    return made[exact, templates]


def limits_of_routes(plan, router, numbers, memories):
    """The rate limits of a router's routes: number in the statistics table, RateLimitPlans, and their memories."""
    if router == NO_ROUTER:
        return ()
    reached = {side for match in plan.routers[router] for side, _weight in match.sides}
    return [
        (numbers[place], plan.routes[place].rate_limits, memories[place])
        for place in sorted(reached) if plan.routes[place].rate_limits
    ]


def mirrors_of(route, clusters, name, made):
    """Where a route's requests are copied to, None: nowhere; taken from `made` by the route's name, or put there."""
    action = route.action
    if action is None or action.mirror == NOWHERE:
        return None
    if name not in made:
        made[name] = Mirrors(clusters[action.mirror], action.mirror_percent, action.mirror_max)
    return made[name]
