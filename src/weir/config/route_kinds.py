"""Kinds of values of routes: what requests have to look like, and where they go."""

from __future__ import annotations

import re
import socket
from collections.abc import Callable
from typing import Any
from urllib.parse import quote, unquote_to_bytes

from weir.config import units
from weir.config.errors import ConfigError, quoted, refuse
from weir.config.kinds import OFF, TOKEN, Kind, destination, text_of, whole_number
from weir.config.plan import AddressPlan, ValuePlan

__all__ = [
    "AS_LISTENER",
    "Side",
    "fields",
    "hosts",
    "inherited",
    "listeners",
    "path",
    "query",
    "route_name",
    "split_key",
    "to",
]

AS_LISTENER = "listener"  # a limit of the listener's that holds for a route, too
MOST_HOSTS = 100
MOST_SEGMENTS = 64  # ROUTER_SEGMENTS of weir.plane.router
MOST_PATH_BYTES = 512
MOST_VALUES = 16
MOST_VALUE_BYTES = 256
MOST_SIDES = 16
MOST_WEIGHT = 1_000_000

# A side of a route: where its requests go, and how often beside the others.
Side = tuple[str | AddressPlan, int]

_LABEL = "(?!-)[a-z0-9_-]{1,63}(?<!-)"
_HOST = re.compile(rf"(\*\.)?{_LABEL}(\.{_LABEL})*")
_PARAMETER = re.compile(r"\{[A-Za-z_][A-Za-z0-9_]{0,31}\}")
# RFC 3986 section 3.3, and what is not ASCII; the asterisk is left out, which stands for all the rest.
_SEGMENT = re.compile(r"(?:[A-Za-z0-9._~!$&'()+,;=:@-]|%[0-9A-Fa-f]{2}|[^\x00-\x7f])*")
_SAFE = "!$&'()+,=:@-._~"


def route_name() -> Kind:
    """What a route is called; ``""``: by its conditions."""

    def read(value: object) -> str:
        text = text_of(value, "a name", "api")
        if len(text.encode()) > 120 or not text.isprintable():
            refuse(f"{quoted(text)} is not a name", "at most 120 bytes that can be shown")
        return text

    return Kind(read, "name", {"type": "string", "maxLength": 120})


def _several(what: str, example: str, most: int, one: Callable[[str], str]) -> Callable[[object], tuple[str, ...]]:
    """Reads a text, or an array of several, as a tuple."""

    def read(value: object) -> tuple[str, ...]:
        listed = value if isinstance(value, list) else [value]
        if len(listed) > most:
            refuse(f"{len(listed)} are more than {most}", "make several routes")
        found = tuple(one(text_of(text, f"{what}, or an array of them", example)) for text in listed)
        for place, text in enumerate(found):
            if text in found[:place]:
                refuse(f"{quoted(text)} is there twice", "take one out")
        return found

    return read


def _one_or_all(value: tuple[str, ...]) -> object:
    return value[0] if len(value) == 1 else list(value)


def _several_schema(most: int) -> dict[str, Any]:
    text = {"type": "string", "minLength": 1}
    return {"type": ["string", "array"], "minLength": 1, "maxItems": most, "items": text}


def listeners() -> Kind:
    """Addresses of listeners as they are written there, read as a tuple; () for all."""
    read = _several("the address of a listener", ":8080", MOST_HOSTS, lambda text: text)
    text = "address of a listener, or array of them"
    return Kind(read, text, _several_schema(MOST_HOSTS), _one_or_all)


def hosts() -> Kind:
    """A host or several, read as a tuple in lower case; () for any."""
    read = _several("a host", "api.example.com", MOST_HOSTS, _host)
    text = 'host, `"*."` and a domain, or array of them'
    return Kind(read, text, _several_schema(MOST_HOSTS), _one_or_all)


def _host(text: str) -> str:
    if text == "*":
        refuse('"*" is not a host', "for any host take `host` out")
    if text.startswith("["):
        return _ipv6_host(text)
    if _ipv6_text(text):
        refuse(f"{quoted(text)}: an IPv6 address stands in brackets", f"write {quoted(f'[{text}]')}")
    host = text.lower().removesuffix(".")
    if ":" in host and re.fullmatch("[0-9]*", host.rpartition(":")[2]):
        refuse(f"{quoted(text)}: the port of a host does not count", f"write {quoted(host.rpartition(':')[0])}")
    if not host.isascii():
        try:
            coded = host.encode("idna").decode()
        except UnicodeError:
            coded = "xn--..."
        refuse(f"{quoted(text)}: clients send such a name encoded", f"write {quoted(coded)}")
    if "*" in host.removeprefix("*."):
        hint = f'"*." and the rest of the name: {quoted("*." + host.rpartition("*")[2].lstrip("."))}'
        refuse(f"{quoted(text)}: an asterisk stands for everything below a domain", hint)
    if len(host) > 253 or not _HOST.fullmatch(host):
        refuse(f"{quoted(text)} is not a host", 'for example "api.example.com" or "*.example.com"')
    return host


def _ipv6_host(text: str) -> str:
    """As `weir.plane.router` writes the host of a request, whichever of its spellings the client has used."""
    inner, bracket, rest = text[1:].partition("]")
    found = _ipv6_text(inner)
    if not found or not bracket or (rest and not re.fullmatch(":[0-9]*", rest)):
        refuse(f"{quoted(text)} is not a host", "an IPv6 address in brackets, without a port")
    if rest:
        refuse(f"{quoted(text)}: the port of a host does not count", f"write {quoted(f'[{found}]')}")
    return f"[{found}]"


def _ipv6_text(text: str) -> str:
    """The one spelling of an IPv6 address; "" if it is none."""
    try:
        return socket.inet_ntop(socket.AF_INET6, socket.inet_pton(socket.AF_INET6, text))
    except (OSError, ValueError):
        return ""


def path(*, forwarded: bool = False) -> Kind:
    """A path, a pattern or a prefix, read with each segment percent-encoded in one way; ``""`` for any.

    `forwarded`: it is not compared with requests', but put in their place.
    """

    def read(value: object) -> str:
        text = text_of(value, "a path", "/api/*")
        if text == "":
            return ""
        if not text.startswith("/"):
            refuse(f"{quoted(text)} does not start with /", f"write {quoted('/' + text)}")
        if "?" in text or "#" in text:
            refuse(f"{quoted(text)}: a path has no query", "write `query` for it")
        segments = text.split("/")[1:]
        if len(segments) > MOST_SEGMENTS or len(text.encode()) > MOST_PATH_BYTES:
            refuse(f"a path has at most {MOST_SEGMENTS} segments and {MOST_PATH_BYTES} bytes")
        if ";" in text and not forwarded:
            message = f"{quoted(text)}: what follows a semicolon in a segment does not count"
            refuse(message, 'take it out, or write "%3B"')
        found = [_segment(text, segment, place == len(segments) - 1) for place, segment in enumerate(segments)]
        names = [segment for segment in found if segment.startswith("{")]
        for place, name in enumerate(names):
            if name in names[:place]:
                refuse(f"{quoted(text)}: {name} is there twice", "give each a name of its own")
        if sum(len(segment) + 1 for segment in found) > MOST_PATH_BYTES:
            message = f"{quoted(text)} has more than {MOST_PATH_BYTES} bytes when it is percent-encoded"
            refuse(message, "write a shorter one")
        return "/" + "/".join(found)

    schema = {"type": "string", "pattern": "^(/.*|)$", "maxLength": MOST_PATH_BYTES}
    return Kind(read, 'path: `"/login"`, `"/users/{id}"`, `"/api/*"`, or `""`', schema)


def _segment(text: str, segment: str, is_last: bool) -> str:
    if segment == "*" and is_last:
        return segment
    if segment.startswith("{"):
        if not _PARAMETER.fullmatch(segment):
            refuse(f"{quoted(text)}: a parameter is a whole segment", 'a name in braces: "/users/{id}"')
        return segment
    if "*" in segment:
        hint = 'for one segment write "{name}", for the rest "/*" at the end, for the character "%2A"'
        refuse(f"{quoted(text)}: an asterisk stands for the rest of a path", hint)
    if "{" in segment or "}" in segment:
        refuse(f"{quoted(text)}: a parameter is a whole segment", 'for the rest of a path write "/*"')
    if not _SEGMENT.fullmatch(segment):
        refuse(f"{quoted(text)} is not a path", "percent-encode what is no part of one")
    if not segment and not is_last:
        refuse(f"{quoted(text)}: an empty segment leads nowhere", "take one of the slashes out")
    plain = unquote_to_bytes(segment)
    if plain in (b".", b"..") or b"/" in plain or b"\\" in plain:
        refuse(f"{quoted(text)}: requests are compared by what their path leads to", "write the path without it")
    # A semicolon that is written is not one that is encoded.
    return ";".join(quote(unquote_to_bytes(part), safe=_SAFE) for part in segment.split(";"))


def _values(what: str, example: str, check: Callable[[str], None]) -> Kind:
    """A table of names, each with what its value has to be, read as a tuple of ValuePlan."""

    def read(value: object) -> tuple[ValuePlan, ...]:
        if not isinstance(value, dict):
            refuse(f"wanted a table, found {units.kind_of(value)}", f"for example {{ {example} }}")
        if len(value) > MOST_VALUES:
            refuse(f"{len(value)} are more than {MOST_VALUES}", "fewer will do")
        found: list[ValuePlan] = []
        for name, wanted in value.items():
            check(name)
            if name.lower() in (one.name.lower() for one in found) and what == "field":
                refuse(f"{quoted(name)} is there twice", "take one out")
            found.append(_value(what, name, wanted))
        return tuple(found)

    def show(value: tuple[ValuePlan, ...]) -> object:
        return {one.name: _shown(one) for one in value}

    wanted = {"type": ["string", "boolean"], "maxLength": MOST_VALUE_BYTES}
    schema = {"type": "object", "maxProperties": MOST_VALUES, "additionalProperties": wanted}
    return Kind(read, f"table: `{{ {example} }}`", schema, show)


def _value(what: str, name: str, wanted: object) -> ValuePlan:
    if isinstance(wanted, bool):
        return ValuePlan(name, "present" if wanted else "absent")
    text = text_of(wanted, f"true, false or the value of a {what}", "1")
    if text == "*":
        return ValuePlan(name, "present")
    prefix, star, rest = text.partition("*")
    if rest:
        refuse(f"{quoted(text)}: an asterisk stands for the rest of a value", "write it at the end")
    if len(text.encode()) > MOST_VALUE_BYTES or not text.isprintable():
        refuse(f"{quoted(text)} is not the value of a {what}", f"at most {MOST_VALUE_BYTES} bytes that can be shown")
    if what == "field" and (text != text.strip() or not text):
        refuse(f"{quoted(text)} is not the value of a field", "no spaces around it; for any value write true")
    return ValuePlan(name, "prefix" if star else "equal", prefix)


def _shown(value: ValuePlan) -> object:
    if value.test in ("present", "absent"):
        return value.test == "present"
    return value.value + ("*" if value.test == "prefix" else "")


def fields() -> Kind:
    """Fields that a request has to have, by name."""

    def check(name: str) -> None:
        if not TOKEN.fullmatch(name) or len(name) > 64:
            refuse(f"{quoted(name)} is not a field name", 'for example { "X-Beta" = "1" }')
        if name.lower() == "host":
            refuse("for Host there is the key `host`", "write that")

    return _values("field", '"X-Beta" = "1"', check)


def query() -> Kind:
    """Parameters of the query, by name."""

    def check(name: str) -> None:
        if not name or len(name.encode()) > 64 or not name.isprintable():
            refuse(f"{quoted(name)} is not the name of a parameter", 'for example { debug = "1" }')

    return _values("parameter", 'debug = "1"', check)


def to() -> Kind:
    """Where requests go: a cluster or an endpoint, or several with weights; read as a tuple of sides; "off": ()."""
    one = destination()

    def read(value: object) -> tuple[Side, ...]:
        if value == OFF:
            return ()
        if not isinstance(value, dict):
            return ((_destination(value), 1),)
        if len(value) < 2:
            refuse("weights are for two clusters or more", 'for one write its name: to = "app"')
        if len(value) > MOST_SIDES:
            refuse(f"{len(value)} sides are more than {MOST_SIDES}", "fewer will do")
        found = tuple((_destination(name), _weight(name, weight)) for name, weight in value.items())
        if not any(weight for _, weight in found):
            refuse("every weight is 0: no request goes anywhere", "give one of them a weight of 1 or more")
        return found

    def _destination(value: object) -> str | AddressPlan:
        found = one.read(value)
        assert isinstance(found, str | AddressPlan)
        return found

    weight = {"type": "integer", "minimum": 0, "maximum": MOST_WEIGHT}
    table = {"type": "object", "minProperties": 2, "maxProperties": MOST_SIDES, "additionalProperties": weight}
    schema = {"anyOf": [one.schema, table]}
    text = "a cluster's name, the address of an endpoint, or a table of weights"
    return Kind(read, text, schema, _show_sides)


def _weight(name: str, value: object) -> int:
    try:
        return whole_number(value, 0, MOST_WEIGHT, [])
    except ConfigError as error:
        refuse(error.problems[0].message, error.problems[0].hint, name)


def _show_sides(value: tuple[Side, ...]) -> object:
    texts = [(side.text if isinstance(side, AddressPlan) else side, weight) for side, weight in value]
    return dict(texts) if len(texts) > 1 else texts[0][0] if texts else OFF


def split_key() -> Kind:
    """What keeps its side of a split; ``"off"`` for nothing, read as ``""``."""

    def read(value: object) -> str:
        text = text_of(value, "what keeps its side", "client")
        if text in (OFF, ""):
            return ""
        part, colon, name = text.partition(":")
        if text == "client":
            return text
        if colon and part in ("cookie", "field"):
            if not TOKEN.fullmatch(name) or len(name) > 64:
                refuse(f"{quoted(name)} is not the name of a {part}", 'for example "cookie:session"')
            return text
        wanted = '"client", "cookie:NAME", "field:NAME" or "off"'
        if part == "header" and name:
            refuse(f"wanted {wanted}, found {quoted(text)}", f"write {quoted('field:' + name)}")
        refuse(f"wanted {wanted}, found {quoted(text)}", 'for example "cookie:session"')

    schema = {"type": "string", "pattern": "^(client|off|(cookie|field):.+|)$"}
    text = '`"client"`, `"cookie:NAME"`, `"field:NAME"`, or `"off"`'
    return Kind(read, text, schema, lambda value: value or OFF)


def inherited(kind: Kind) -> Kind:
    """A kind of a listener's key; ``"listener"``, as it says there, is read as None."""

    def read(value: object) -> object:
        return None if value == AS_LISTENER else kind.read(value)

    schema = {"anyOf": [kind.schema, {"const": AS_LISTENER}]}
    return Kind(
        read, f'{kind.text}, or `"{AS_LISTENER}"`', schema, lambda v: AS_LISTENER if v is None else kind.show(v)
    )
