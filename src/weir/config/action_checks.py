"""What contradicts itself in what routes do; the rest of routes is `weir.config.route_checks`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from weir.config import phrases
from weir.config.action_kinds import BODY_VARIABLES
from weir.config.action_plan import Phrase
from weir.config.actions import places, segments
from weir.config.errors import ConfigError, quoted
from weir.config.findings import Finding
from weir.config.kinds import OFF
from weir.config.model import Listener, RequestEdits, Respond, ResponseEdits, Route, Stats
from weir.config.positions import Loc
from weir.config.raw import Raw, table, tables, value

__all__ = ["ACTIONS", "actions", "speaking"]

# Each says by itself what becomes of a request.
ACTIONS = ("to", "redirect", "respond")
ONLY_WITH_TO = ("strip_prefix", "add_prefix", "rewrite", "mirror", "request")
OWN_ANSWERS = ("content-type", "date", "location", "server")
BODILESS = (204, 205, 304)
MOST_LINES_BYTES = 32_768  # LINES_MOST of weir.plane.action


def actions(raw: Raw, loc: Loc, route: Raw, clusters: Mapping[object, int]) -> Iterator[Finding]:
    """All that contradicts itself in what one route does. `clusters`: the places of those that speak for one client, by
    name."""
    said = [key for key in ACTIONS if route.get(key, OFF) != OFF]
    if not said and not set(route) - set(Route.model_fields):
        message = "missing: every [[route]] needs it, or redirect, or respond"
        yield Finding((*loc, "to"), "key", message, 'for example to = "app"')
    for key in said[1:]:
        yield Finding(
            (*loc, key), "key", f"{said[0]} says already what becomes of the requests", "take one of them out"
        )
    if said and "to" not in said:
        for key in ONLY_WITH_TO:
            if route.get(key, OFF) != OFF:
                message = f"without effect: with {said[0]} nothing is sent on"
                yield Finding((*loc, key), "key", message, "take it out")
    if "redirect_status" in route and route.get("redirect", OFF) == OFF:
        yield Finding((*loc, "redirect_status"), "key", "without effect: there is no redirect", "take it out")
    yield from _respond(loc, route)
    yield from _paths(loc, route)
    yield from _fields(raw, loc, route)
    yield from _phrases(loc, route)
    yield from _mirror(loc, route, clusters)


def _respond(loc: Loc, route: Raw) -> Iterator[Finding]:
    respond = table(route, "respond")
    there = [key for key in ("body", "file") if key in respond and (key == "body" or respond[key] != OFF)]
    if len(there) == 2:
        yield Finding((*loc, "respond", "file"), "key", "body says it too", "take one of the two out")
    status = value(Respond, respond, "status")
    if status in BODILESS and there:
        message = f"without effect: a response with status {status} has no body"
        yield Finding((*loc, "respond", there[0]), "key", message, "take it out, or choose another status")
    if "content_type" in respond and not there:
        yield Finding((*loc, "respond", "content_type"), "key", "without effect: there is no body", "take it out")


def _paths(loc: Loc, route: Raw) -> Iterator[Finding]:
    path = value(Route, route, "path")
    if path is None:
        return
    strip, rewrite = value(Route, route, "strip_prefix"), value(Route, route, "rewrite")
    own = segments(path)
    if strip and segments(strip) != own[: len(segments(strip))]:
        message = f"the route's path does not begin with {quoted(strip)}"
        yield Finding((*loc, "strip_prefix"), "value", message, f"write path = {quoted(strip + '/*')}")
    if rewrite:
        for key in ("strip_prefix", "add_prefix"):
            if value(Route, route, key):
                yield Finding(
                    (*loc, key), "key", "rewrite says already what becomes of the path", "take one of them out"
                )
        for name in places(rewrite):
            if name not in places(path):
                yield Finding((*loc, "rewrite"), "value", *phrases.unknown(name, list(places(path))))
        if rewrite.endswith("*") and path and not path.endswith("*"):
            message = "nothing follows the route's path: the asterisk stands for nothing"
            yield Finding((*loc, "rewrite"), "value", message, "take it out, or write path with /* at its end")


def _fields(raw: Raw, loc: Loc, route: Raw) -> Iterator[Finding]:
    taken = value(Route, route, "listener") or ()
    listeners = [one for _, one in tables(raw, "listener") if not taken or one.get("address") in taken]
    counter = (value(Stats, table(raw, "stats"), "header") or "").lower()
    for key, model in (("request", RequestEdits), ("response", ResponseEdits)):
        edits = table(route, key)
        names = {name: [one for one, _ in value(model, edits, name) or ()] for name in ("set", "add")}
        removed = value(model, edits, "remove") or ()
        least = sum(_least(line) for name in ("set", "add") for line in value(model, edits, name) or ())
        if least > MOST_LINES_BYTES:
            message = f"its fields have {least} bytes, and {MOST_LINES_BYTES} at most are added to one head"
            yield Finding((*loc, key), "key", message, "say less in them")
        for nth, name in enumerate(removed):
            if name.lower() in (one.lower() for one in names["set"]):
                at: Loc = (*loc, key, "remove", nth) if isinstance(edits["remove"], list) else (*loc, key, "remove")
                yield Finding(at, "value", f"without effect: set says what {name} is", "take one of them out")
        for name, where in [*((one, what) for what, listed in names.items() for one in listed)]:
            if key == "response" and counter and name.lower() == counter:
                message = f"{name}: weir writes this field itself ([stats] header)"
                yield Finding((*loc, key, where, name), "key", message, "choose another name, or switch that off")
            if key == "response" and name.lower() in OWN_ANSWERS and {"redirect", "respond"} & set(route):
                hint = "write content_type in respond" if name.lower() == "content-type" else "take it out"
                yield Finding(
                    (*loc, key, where, name), "key", f"{name}: weir's own answers have this field already", hint
                )
            if name.lower() == "x-request-id" and any(
                value(Listener, one, "request_id") not in (None, "pass") for one in listeners
            ):
                message = f"{name}: weir writes this field itself (request_id of the listener)"
                yield Finding((*loc, key, where, name), "key", message, "take one of the two out")


def _least(line: tuple[str, Phrase]) -> int:
    """How long the line of a field is at least, whatever its variables are."""
    name, phrase = line
    texts = [str(what) for kind, what in phrase if kind == "text"]
    return len(f"{name}: \r\n{''.join(texts)}".encode()) if texts else 0


def _phrases(loc: Loc, route: Raw) -> Iterator[Finding]:
    """Variables that there are not: parameters that the path does not have, or names that mean two things."""
    path = value(Route, route, "path")
    if path is None:
        return
    found: list[tuple[Loc, Phrase]] = [((*loc, "redirect"), value(Route, route, "redirect") or ())]
    respond = table(route, "respond")
    if isinstance(respond.get("body"), str) and not respond.get("content_type") and respond.get("file", OFF) == OFF:
        try:
            found.append(((*loc, "respond", "body"), phrases.parse(respond["body"], BODY_VARIABLES)))
        except ConfigError as error:
            yield Finding((*loc, "respond", "body"), "value", error.problems[0].message, error.problems[0].hint)
    for key, model in (("request", RequestEdits), ("response", ResponseEdits)):
        for where in ("set", "add"):
            for name, phrase in value(model, table(route, key), where) or ():
                found.append(((*loc, key, where, name), phrase))
    own = list(places(path))
    for at, phrase in found:
        for name in phrases.parameters(phrase):
            if name not in own:
                yield Finding(at, "value", *phrases.unknown(name, own))
        for kind, _ in phrase:
            if kind in own:
                message = f"{{{kind}}} is a parameter of the path, and a variable of weir's"
                yield Finding(at, "value", message, f"give the parameter another name, such as {{{kind}_name}}")


def speaking(raw: Raw) -> dict[object, int]:
    """The places of clusters whose connections begin with a PROXY header, by name."""
    return {
        cluster["name"]: place
        for place, cluster in tables(raw, "cluster")
        if isinstance(cluster.get("name"), str) and cluster.get("proxy_protocol", OFF) != OFF
    }


def _mirror(loc: Loc, route: Raw, clusters: Mapping[object, int]) -> Iterator[Finding]:
    mirror = value(Route, route, "mirror")
    for key in ("mirror_percent", "mirror_max"):
        if key in route and not mirror:
            yield Finding((*loc, key), "key", "without effect: nothing is mirrored", 'add mirror = "shadow"')
    if mirror and mirror == route.get("to"):
        message = f"{quoted(mirror)} gets the requests already: each would come twice"
        yield Finding((*loc, "mirror"), "value", message, "name another cluster")
    if mirror and mirror in clusters:
        message = f"no copy goes to {quoted(mirror)}: its connections have a PROXY header, and speak for one client"
        also: Loc = ("cluster", clusters[mirror], "proxy_protocol")
        yield Finding((*loc, "mirror"), "value", message, "name another cluster", also)
