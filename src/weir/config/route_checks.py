"""What contradicts itself in routes; the rest is `weir.config.contradictions`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from weir.config.action_checks import actions, speaking
from weir.config.errors import quoted
from weir.config.findings import Finding
from weir.config.kinds import OFF, closest
from weir.config.model import Listener, Route
from weir.config.plan import AddressPlan, NetworkPlan, ValuePlan
from weir.config.positions import Loc
from weir.config.raw import Raw, tables, value
from weir.config.routing import CONDITIONS, name_of, side_names

__all__ = ["MOST_LOOKS", "count_of_routes", "routes"]

# Places and routes that may have to be looked at for one request: some microseconds. Nothing else bounds the search.
MOST_LOOKS = 1_000
MOST_NAME_BYTES = 248  # ROUTE_NAME_BYTES of weir.stats.bytemap
MOST_SHOWN = 8
MOST_SUGGESTIONS = 20  # of what was perhaps meant: more would take long, and nobody reads them


@dataclass(frozen=True)
class _Written:
    """A route of which every condition can be read."""

    place: int
    table: Raw
    listeners: tuple[str, ...]  # (): all
    hosts: tuple[str, ...]  # ("",): any
    path: str  # parameters without their names; "/*": any
    methods: tuple[str, ...]
    fields: tuple[ValuePlan, ...]
    query: tuple[ValuePlan, ...]
    clients: tuple[NetworkPlan, ...]

    @property
    def rank(self) -> tuple[int, int]:
        """Of routes for the same host and path the one with the lowest is preferred."""
        conditions = bool(self.methods) + len(self.fields) + len(self.query) + bool(self.clients)
        return -conditions, self.place


def count_of_routes(raw: Raw) -> int:
    """How many routes, and sides of routes, are counted by themselves."""
    return sum(max(1, len(to)) if isinstance(to := route.get("to"), dict) else 1 for _, route in tables(raw, "route"))


def routes(raw: Raw) -> Iterator[Finding]:
    """All that contradicts itself in [[route]] tables, and listeners from which nothing leads anywhere."""
    listed = tables(raw, "route")
    addresses = [text for _, one in tables(raw, "listener") if isinstance(text := one.get("address"), str)]
    yield from _listeners(raw, addresses)
    written: list[_Written] = []
    clusters = speaking(raw)
    for place, route in listed:
        yield from _route(("route", place), route)
        yield from actions(raw, ("route", place), route, clusters)
        conditions = {key: value(Route, route, key) for key in CONDITIONS}
        if None not in conditions.values():
            written.append(_of(place, route, conditions))
    yield from _names(written, addresses)
    yield from _unreachable(written, addresses)
    yield from _looks(written)


def _of(place: int, route: Raw, conditions: dict[str, Any]) -> _Written:
    segments = ["{}" if part.startswith("{") else part for part in (conditions["path"] or "/*").split("/")]
    rest = {key: conditions[key] for key in ("methods", "fields", "query", "clients")}
    hosts = conditions["host"] or ("",)
    return _Written(place, route, conditions["listener"], hosts, "/".join(segments), **rest)


def _listeners(raw: Raw, addresses: list[str]) -> Iterator[Finding]:
    """Listeners that routes name and that there are not, and those from which nothing leads anywhere."""
    listed = tables(raw, "route")
    known = set(addresses)
    used: set[str] = set()
    everywhere = False
    unknown = 0
    for place, route in listed:
        taken = value(Route, route, "listener")
        everywhere = everywhere or not taken
        for nth, text in enumerate(taken or ()):
            used.add(text)
            if text not in known:
                loc: Loc = ("route", place, "listener")
                unknown += 1
                near = closest(text, addresses) if unknown <= MOST_SUGGESTIONS else None
                there = ", ".join(quoted(address) for address in addresses[:MOST_SHOWN])
                hint = f"did you mean {quoted(near)}?" if near else f"there is {there}"
                where = (*loc, nth) if isinstance(route["listener"], list) else loc
                yield Finding(where, "value", f"no listener has the address {quoted(text)}", hint)
    for place, listener in tables(raw, "listener"):
        # A key that is not known was perhaps meant to be the one that is missing.
        if listener.get("to", OFF) != OFF or everywhere or set(listener) - set(Listener.model_fields):
            continue
        if listener.get("address") not in used:
            message = "nothing says where its requests go" if listed else "missing: every [[listener]] needs it"
            hint = 'for example to = "app"' + (", or a [[route]] for this listener" if listed else "")
            yield Finding(("listener", place, "to"), "key", message, hint)


def _route(loc: Loc, route: Raw) -> Iterator[Finding]:
    if "split_by" in route and not isinstance(route.get("to"), dict):
        message = "without effect: there are no weights"
        yield Finding((*loc, "split_by"), "key", message, "write to = { app = 95, canary = 5 }, or take it out")
    if value(Route, route, "paths") == "exact" and route.get("openapi", OFF) not in (OFF, "listener"):
        message = 'without effect: paths is "exact", every path is counted by itself'
        yield Finding((*loc, "openapi"), "key", message, "take one of them out")


def _names(written: list[_Written], addresses: list[str]) -> Iterator[Finding]:
    """Names that stand for two: what they say in statistics would be said of both."""
    seen: dict[str, Loc | None] = dict.fromkeys(addresses)
    for route in written:
        loc: Loc = ("route", route.place)
        given = value(Route, route.table, "name")
        conditions = {key: value(Route, route.table, key) for key in CONDITIONS}
        sides: list[str | AddressPlan] = [to for to, _ in value(Route, route.table, "to") or (("", 1),)]
        for name in side_names(given or name_of(conditions), sides):
            where: Loc = (*loc, "name") if given else loc
            if name in seen:
                message = f"{quoted(name)} is what a listener's own route is called"
                message = message if seen[name] is None else f"another route is called {quoted(name)}"
                # The same conditions are found by themselves.
                if given or not _same_as_any(route, written):
                    yield Finding(where, "value", message, "give it another name", also=seen[name])
            elif len(name.encode()) > MOST_NAME_BYTES:
                message = f"its conditions are too long for a name: more than {MOST_NAME_BYTES} bytes"
                yield Finding(where, "key", message, 'give it one: name = "api"')
            seen.setdefault(name, where)


def _same_as_any(route: _Written, written: list[_Written]) -> bool:
    return any(other.place < route.place and _covers(other, route) and other.path == route.path for other in written)


# -- routes that are never taken ---------------------------------------------------------------------------------


def _unreachable(written: list[_Written], addresses: list[str]) -> Iterator[Finding]:
    """Routes whose requests are all taken by others that are preferred, and those that are there twice.

    For another host, or another path, there are always requests left that only this one takes: a more specific route
    never takes all of a less specific one's. So the conditions of routes for the same host and path are compared.
    """
    together: dict[tuple[str, str], list[_Written]] = {}
    for route in written:
        for host in route.hosts:
            together.setdefault((host, route.path), []).append(route)
    # With more there is something to say already (_looks), and comparing each with each would take minutes.
    together = {key: group for key, group in together.items() if len(group) <= MOST_LOOKS}
    preferred: dict[tuple[str, str, int], tuple[list[_Written], bool]] = {}
    for key, group in together.items():
        group.sort(key=lambda route: route.rank)
        apart = any(one.listeners for one in group)
        for nth, route in enumerate(group):
            preferred[(*key, route.place)] = (group[:nth], apart)
    for route in written:
        taken: list[_Written] = []
        left = False
        for host in route.hosts:
            before, told_apart = preferred.get((host, route.path, route.place), ([], False))
            # Where no route names a listener, all listeners are alike.
            for listener in route.listeners or addresses[: None if told_apart else 1]:
                by = _taken_by(route, [one for one in before if listener in (one.listeners or (listener,))])
                taken += [by] if by else []
                left = left or by is None
        same = next((one for one in taken if _covers(one, route) and _covers(route, one)), None)
        loc: Loc = ("route", route.place)
        if same is not None:
            also: Loc = ("route", same.place)
            yield Finding(loc, "key", "another route has the same conditions", "take one of them out", also=also)
        elif taken and not left:
            message = "no request is left for it: another route is always preferred"
            yield Finding(
                loc, "key", message, "give it more conditions, or the other one fewer", ("route", taken[0].place)
            )


def _taken_by(route: _Written, before: list[_Written]) -> _Written | None:
    """Who takes all requests of a route, of those that are preferred to it; the last of several that do it together."""
    methods: set[str] = set()
    for other in before:
        if not _covers(other, route, but_methods=True):
            continue
        methods |= set(other.methods)
        if not other.methods or (route.methods and methods >= set(route.methods)):
            return other
    return None


def _covers(one: _Written, other: _Written, *, but_methods: bool = False) -> bool:
    """Whether each request that meets the conditions of `other`, beside host and path, meets those of `one`."""
    if not but_methods and one.methods and not set(one.methods) >= set(other.methods or ("",)):
        return False
    return (
        all(any(_implies(given, wanted, same_case=False) for given in other.fields) for wanted in one.fields)
        and all(any(_implies(given, wanted, same_case=True) for given in other.query) for wanted in one.query)
        and (
            not one.clients
            or (bool(other.clients) and all(any(_within(net, wide) for wide in one.clients) for net in other.clients))
        )
    )


def _implies(given: ValuePlan, wanted: ValuePlan, *, same_case: bool) -> bool:
    if given.name != wanted.name and (same_case or given.name.lower() != wanted.name.lower()):
        return False
    if wanted.test in ("present", "absent"):
        return (given.test == "absent") == (wanted.test == "absent")
    if wanted.test == "equal":
        return given.test == "equal" and given.value == wanted.value
    return given.test in ("equal", "prefix") and given.value.startswith(wanted.value)


def _within(network: NetworkPlan, wide: NetworkPlan) -> bool:
    if not network.packed or not wide.packed:
        return network.packed == wide.packed
    shift = 128 - wide.bits
    first, other = (int.from_bytes(one.packed, "big") >> shift for one in (network, wide))
    return network.is_ipv4 == wide.is_ipv4 and network.bits >= wide.bits and first == other


# -- what a search may cost --------------------------------------------------------------------------------------


@dataclass
class _Place:
    """A place of the tree that `weir.plane.router` makes of the paths."""

    literals: dict[str, _Place] = field(default_factory=dict)
    parameter: _Place | None = None
    exact: list[int] = field(default_factory=list)
    prefix: list[int] = field(default_factory=list)

    def add(self, segments: list[str], route: int) -> None:
        if segments == ["*"]:
            self.prefix.append(route)
        elif not segments:
            self.exact.append(route)
        elif segments[0] == "{}":
            self.parameter = self.parameter or _Place()
            self.parameter.add(segments[1:], route)
        else:
            self.literals.setdefault(segments[0], _Place()).add(segments[1:], route)

    def looks(self) -> tuple[int, int]:
        """How much is looked at for one path at most, and the last route there."""
        most, last = max((below.looks() for below in self.literals.values()), default=(0, -1))
        if self.parameter is not None:
            more, other = self.parameter.looks()
            most, last = most + more, max(last, other)
        most, last = max((most, last), (len(self.exact), max(self.exact, default=-1)))
        return 1 + len(self.prefix) + most, max(last, *self.prefix, -1)


def _looks(written: list[_Written]) -> Iterator[Finding]:
    roots: dict[str, _Place] = {}
    for route in written:
        for host in route.hosts:
            roots.setdefault(host, _Place()).add(route.path.split("/")[1:], route.place)
    costs = {host: root.looks() for host, root in roots.items()}
    worst, last = 0, -1
    for host in costs:
        labels = host.removeprefix("*.").split(".")
        covering = {host, ""} | {"*." + ".".join(labels[n:]) for n in range(1, len(labels))}
        found = [costs[one] for one in covering if one in costs]
        worst, last = max((worst, last), (sum(cost for cost, _ in found), max(route for _, route in found)))
    if worst > MOST_LOOKS:
        message = f"for one request {worst} routes and segments may have to be looked at, and {MOST_LOOKS} are the most"
        hint = "have fewer routes for the same path, or fewer that begin with parameters"
        yield Finding(("route", last), "key", message, hint)
