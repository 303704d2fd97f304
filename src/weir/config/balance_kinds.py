"""Kinds of values that say how requests are spread over endpoints."""

from __future__ import annotations

import re
from functools import cache
from typing import Any

from weir.config.address import parse_member
from weir.config.errors import ConfigError, quoted, refuse
from weir.config.kinds import OFF, TOKEN, Kind, address_text, closest, ratio, text_of, whole_number
from weir.config.plan import AddressPlan, EndpointPlan
from weir.config.units import kind_of

__all__ = ["cookie_name", "cookie_path", "hash_key", "member", "part", "secret", "zone"]

MOST_WEIGHT = 1_000
MOST_PRIORITY = 100
_ZONE = "[A-Za-z0-9][A-Za-z0-9_.-]{0,62}"
_PARTS = ("client", "path", "host", "cookie:NAME", "field:NAME")
_MEMBER_KEYS = ("address", "weight", "priority", "zone")


_SECRET = "for example the output of: openssl rand -hex 16"


@cache
def member() -> Kind:
    """An endpoint: its address, read as AddressPlan, or a table that says more of it, read as EndpointPlan."""

    def read(value: object) -> object:
        if not isinstance(value, dict):
            return _address(value)
        for key in value:
            if key not in _MEMBER_KEYS:
                near = closest(str(key), _MEMBER_KEYS)
                hint = f"did you mean {quoted(near)}?" if near else f"known here: {', '.join(_MEMBER_KEYS)}"
                refuse("unknown key", hint, str(key))
        if "address" not in value:
            refuse("an endpoint needs its address", 'for example { address = "127.0.0.1:8081", weight = 2 }')
        address = _of(
            "address", value, lambda found: parse_member(address_text(found, "an address", "127.0.0.1:", "80"))
        )
        return EndpointPlan.of(
            address,
            weight=_of("weight", value, lambda found: _in(found, 0, MOST_WEIGHT)) if "weight" in value else 1,
            priority=_of("priority", value, lambda found: _in(found, 0, MOST_PRIORITY)) if "priority" in value else 0,
            zone=_of("zone", value, zone().read) if "zone" in value else "",
        )

    table = {
        "type": "object",
        "properties": {
            "address": {"type": "string", "minLength": 1},
            "weight": {"type": "integer", "minimum": 0, "maximum": MOST_WEIGHT},
            "priority": {"type": "integer", "minimum": 0, "maximum": MOST_PRIORITY},
            "zone": {"type": "string", "pattern": f"^{_ZONE}$"},
        },
        "required": ["address"],
        "additionalProperties": False,
    }
    schema = {"anyOf": [{"type": "string", "minLength": 1}, table]}
    return Kind(read, "address of an endpoint, or a table with its address", schema, lambda value: value.text)


def _address(value: object) -> AddressPlan:
    return parse_member(address_text(value, "an address", "127.0.0.1:", "8081"))


def _of(key: str, table: dict[str, Any], read: Any) -> Any:
    """A value of an endpoint's table; what is wrong with it is said of its key."""
    try:
        return read(table[key])
    except ConfigError as error:
        refuse(error.problems[0].message, error.problems[0].hint, key)


def _in(value: object, low: int, high: int) -> int:
    return whole_number(value, low, high, [])


def hash_key() -> Kind:
    """What a request is hashed by."""

    def read(value: object) -> str:
        text = text_of(value, "what requests are hashed by", "client")
        part, colon, name = text.partition(":")
        wanted = "one of " + ", ".join(quoted(word) for word in _PARTS)
        if colon and part in ("cookie", "field"):
            if not TOKEN.fullmatch(name) or len(name) > 64:
                refuse(f"{quoted(name)} is not the name of a {part}", f'for example "{part}:{_EXAMPLES[part]}"')
            return text
        if not colon and text in ("client", "path", "host"):
            return text
        if not colon and text in ("cookie", "field", "header"):
            part = "field" if text == "header" else text
            refuse(f"{quoted(text)} needs a name", f'for example "{part}:{_EXAMPLES[part]}"')
        if part == "header" and name:
            refuse(f"wanted {wanted}, found {quoted(text)}", f"write {quoted('field:' + name)}")
        near = closest(text, ("client", "path", "host"))
        refuse(f"wanted {wanted}, found {quoted(text)}", f"did you mean {quoted(near)}?" if near else "")

    schema = {"type": "string", "pattern": "^(client|path|host|(cookie|field):.+)$"}
    return Kind(read, ", ".join(f'`"{word}"`' for word in _PARTS), schema)


_EXAMPLES = {"cookie": "session", "field": "X-User"}


def cookie_name() -> Kind:
    """The name of a cookie (RFC 6265: a token)."""

    def read(value: object) -> str:
        text = text_of(value, "the name of a cookie", "WEIRID")
        if text == OFF:
            return ""
        if not TOKEN.fullmatch(text) or len(text) > 64:
            refuse(f"{quoted(text)} is not the name of a cookie", 'letters, digits, _ and -: for example "WEIRID"')
        return text

    return Kind(read, 'name of a cookie, or `"off"`', {"type": "string", "maxLength": 64}, lambda value: value or OFF)


def cookie_path() -> Kind:
    """The path that a cookie is for."""

    def read(value: object) -> str:
        text = text_of(value, "a path", "/")
        if not re.fullmatch(r"/[A-Za-z0-9._~!$&'()*+,=:@%/-]*", text) or len(text) > 256:
            refuse(f"{quoted(text)} is not the path of a cookie", 'it starts with /, for example "/shop"')
        return text

    return Kind(read, "path", {"type": "string", "pattern": "^/[^;]*$", "maxLength": 256})


def part() -> Kind:
    """A part of a whole that is not nothing, read as whole percent."""
    of_all = ratio()

    def read(value: object) -> object:
        if of_all.read(value) == 0:
            refuse(f"{value} is no part at all", 'from "1%" to "100%"')
        return of_all.read(value)

    return Kind(read, 'ratio, `"1%"` to `"100%"`, or 0.01 to 1.0', of_all.schema, of_all.show)


def secret() -> Kind:
    """A key for digests; ``"off"`` for none, read as ``""``."""

    def read(value: object) -> str:
        # Never shown: neither in a message nor anywhere else.
        if not isinstance(value, str):
            refuse(
                f"wanted a secret, a string, found {kind_of(value)}", "for example the output of: openssl rand -hex 16"
            )
        if value == OFF:
            return ""
        if not 16 <= len(value) <= 256 or not value.isascii() or not value.isprintable():
            refuse("a secret has 16 to 256 printable characters", _SECRET)
        return value

    schema = {"type": "string", "pattern": "^(off|[ -~]{16,256})$"}
    return Kind(read, '16 to 256 characters, or `"off"`', schema, lambda value: OFF)


def zone() -> Kind:
    """The name of a zone; ``"off"`` or ``""`` for none, read as ``""``."""

    def read(value: object) -> str:
        text = text_of(value, "the name of a zone", "eu-1a")
        if text in ("", OFF):
            return ""
        if not re.fullmatch(_ZONE, text):
            hint = "a letter or digit first, then letters, digits, _, - and ., 63 in all"
            refuse(f"{quoted(text)} is not the name of a zone", hint)
        return text

    schema = {"type": "string", "pattern": f"^({_ZONE})?$"}
    return Kind(read, 'name of a zone, or `"off"`', schema, lambda value: value or OFF)
