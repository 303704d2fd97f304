"""Destinations that lead nowhere, to nobody, or back to where requests came from: a part of the contradictions."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator

from weir.config.address import address_key
from weir.config.errors import quoted
from weir.config.findings import Finding
from weir.config.kinds import OFF, closest
from weir.config.model import Cluster, Listener, Route
from weir.config.plan import AddressPlan
from weir.config.positions import Loc
from weir.config.raw import Raw, endpoints, tables, value

__all__ = ["destinations", "is_loopback", "loops"]

# Comparing thousands of wrong names with thousands of right ones takes minutes, and nobody reads as many suggestions.
MOST_SUGGESTIONS = 20
MOST_NAMES = 8

# With one of these, what comes back is not the request that took the route.
CHANGING = {"clients", "strip_prefix", "add_prefix", "rewrite", "request"}

# Where a destination is written, and what it is; None: it cannot be read.
Sent = tuple[Loc, str | AddressPlan | None]


def destinations(raw: Raw) -> Iterator[Finding]:
    """Destinations that there are not, and clusters that nothing is sent to."""
    clusters = {cluster["name"]: place for place, cluster in tables(raw, "cluster") if _named(cluster)}
    used: set[str] = set()
    all_known = bool(tables(raw, "listener"))
    unknown = 0
    listed = tables(raw, "route")
    for loc, to in [*_of_listeners(raw), *(sent for n, route in listed for sent in _of_route(n, route))]:
        if isinstance(to, str) and to not in clusters:
            unknown += 1
            near = closest(to, list(clusters)) if unknown <= MOST_SUGGESTIONS else None
            yield Finding(loc, "value", *_unknown_cluster(to, list(clusters), near))
        if to is None or (isinstance(to, str) and to not in clusters):
            all_known = False
        elif isinstance(to, str):
            used.add(to)
    # Where something leads nowhere, the cluster it was meant for is not the mistake; and hooks may choose any.
    if all_known and raw.get("hooks", OFF) in (OFF, ""):
        for name, place in clusters.items():
            if name not in used:
                hint = (
                    f"write to = {quoted(name)} in a [[listener]] or [[route]], hooks if they choose it, or take it out"
                )
                yield Finding(("cluster", place, "name"), "value", "nothing sends requests to this cluster", hint)


def _of_listeners(raw: Raw) -> Iterator[Sent]:
    for place, listener in tables(raw, "listener"):
        if listener.get("to", OFF) != OFF:
            yield ("listener", place, "to"), value(Listener, listener, "to")


def _of_route(place: int, route: Raw) -> Iterator[Sent]:
    loc: Loc = ("route", place, "to")
    if route.get("mirror", OFF) != OFF:
        yield ("route", place, "mirror"), value(Route, route, "mirror")
    if route.get("to", OFF) == OFF:
        return
    sides = value(Route, route, "to")
    if sides is None:
        yield loc, None
        return
    is_table = isinstance(route["to"], dict)
    for name, (to, _weight) in zip(route["to"] if is_table else ("",), sides, strict=True):
        yield (*loc, name) if is_table else loc, to


def _named(cluster: Raw) -> bool:
    return value(Cluster, cluster, "name") is not None


def _unknown_cluster(to: str, names: list[str], near: str | None) -> tuple[str, str]:
    message = f"there is no cluster {quoted(to)}"
    if near:
        return message, f"did you mean {quoted(near)}?"
    if "." in to or to == "localhost":
        return message, f"for an endpoint add the port: {quoted(to + ':80')}"
    if names:
        shown = ", ".join(quoted(name) for name in names[:MOST_NAMES])
        return message, f"there is {shown}{' and others' if len(names) > MOST_NAMES else ''}"
    return message, 'add a [[cluster]] of that name, or write an address: "127.0.0.1:8081"'


def loops(raw: Raw) -> Iterator[Finding]:
    """Listeners that would send requests to themselves."""
    clusters = {cluster["name"]: (place, cluster) for place, cluster in tables(raw, "cluster") if _named(cluster)}
    sent, by_routes = dict(_of_listeners(raw)), list(_by_routes(raw))
    for place, listener in tables(raw, "listener"):
        address = value(Listener, listener, "address")
        if address is None or address.passed is not None or (address.path is None and address.port == 0):
            continue
        here: dict[str | AddressPlan | None, Loc] = {}
        here[sent.get(("listener", place, "to"))] = ("listener", place, "to")
        for taken, loc, to in by_routes:
            if not taken or listener["address"] in taken:
                here.setdefault(to, loc)
        for to, loc in here.items():
            targets: list[tuple[Loc, AddressPlan]] = [(loc, to)] if isinstance(to, AddressPlan) else []
            if isinstance(to, str) and to in clusters:
                number, cluster = clusters[to]
                # With another Host they may take another way the next time.
                if loc[0] == "listener" or not cluster.get("host"):
                    targets = [(("cluster", number, "endpoints", nth), one) for nth, one in endpoints(cluster)]
            for where, endpoint in targets:
                if _reaches(endpoint, address):
                    message = f"{quoted(endpoint.text)} is the listener itself: requests would go round for ever"
                    yield Finding(where, "value", message, also=("listener", place, "address"))


def _by_routes(raw: Raw) -> Iterator[tuple[tuple[str, ...], Loc, str | AddressPlan | None]]:
    """Where routes send requests that come back as the same (not as another client's), and of which listeners; ():
    of all."""
    for place, route in tables(raw, "route"):
        taken = value(Route, route, "listener")
        if taken is not None and not CHANGING & set(route):
            for loc, to in _of_route(place, route):
                yield taken, loc, to


def _reaches(endpoint: AddressPlan, listener: AddressPlan) -> bool:
    """Does a connection to this endpoint certainly arrive at this listener?"""
    if address_key(endpoint) == address_key(listener):
        return True
    everywhere = listener.path is None and listener.host in ("", "::", "0.0.0.0")
    return everywhere and endpoint.port == listener.port and is_loopback(endpoint.host or "")


def is_loopback(host: str) -> bool:
    """Whether a host is this machine's own."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"
