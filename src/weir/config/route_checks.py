"""What contradicts itself in routes; the rest is `weir.config.contradictions`."""

from __future__ import annotations

from collections.abc import Iterator

from weir.config.action_checks import actions
from weir.config.errors import quoted
from weir.config.findings import Finding
from weir.config.kinds import OFF, closest
from weir.config.model import Listener, Route
from weir.config.positions import Loc
from weir.config.raw import Raw, tables, value

__all__ = ["count_of_routes", "routes"]


def count_of_routes(raw: Raw) -> int:
    """How many routes, and sides of routes, are counted by themselves."""
    return sum(len(value(Route, route, "to") or ("",)) for _, route in tables(raw, "route"))


def routes(raw: Raw) -> Iterator[Finding]:
    """All that contradicts itself in [[route]] tables, and listeners from which nothing leads anywhere."""
    listed = tables(raw, "route")
    addresses = {text: place for place, one in tables(raw, "listener") if isinstance(text := one.get("address"), str)}
    used: set[str] = set()
    everywhere = False
    for place, route in listed:
        loc: Loc = ("route", place)
        taken = value(Route, route, "listener")
        everywhere = everywhere or taken is None or taken == ()
        for nth, text in enumerate(taken or ()):
            used.add(text)
            if text not in addresses:
                where = (*loc, "listener", nth) if isinstance(route["listener"], list) else (*loc, "listener")
                near = closest(text, list(addresses))
                hint = f"did you mean {quoted(near)}?" if near else f"there is {', '.join(map(quoted, addresses))}"
                yield Finding(where, "value", f"no listener has the address {quoted(text)}", hint)
        yield from _route(loc, route)
        yield from actions(raw, loc, route)
    for place, listener in tables(raw, "listener"):
        # A key that is not known was perhaps meant to be the one that is missing.
        if listener.get("to", OFF) == OFF and not (everywhere or set(listener) - set(Listener.model_fields)):
            if listener.get("address") in used:
                continue
            message = "nothing says where its requests go" if listed else "missing: every [[listener]] needs it"
            hint = 'for example to = "app"' + (", or a [[route]] for this listener" if listed else "")
            yield Finding(("listener", place, "to"), "key", message, hint)


def _route(loc: Loc, route: Raw) -> Iterator[Finding]:
    if "split_by" in route and not isinstance(route.get("to"), dict):
        message = "without effect: there are no weights"
        yield Finding((*loc, "split_by"), "key", message, "write to = { app = 95, canary = 5 }, or take it out")
