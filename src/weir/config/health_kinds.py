"""Kinds of values of health checks and of ejection."""

from __future__ import annotations

import re

from weir.config import units
from weir.config.admin_kinds import fields as any_fields
from weir.config.errors import quoted, refuse
from weir.config.kinds import OFF, Kind, text_of

__all__ = ["body", "fields", "multiple", "statuses", "target"]

_STATUSES = re.compile("([1-5][0-9][0-9])(?:-([1-5][0-9][0-9]))?")
# RFC 3986 sections 3.3 and 3.4, without "#".
_TARGET = re.compile(r"/[A-Za-z0-9._~%!$&'()*+,;=:@/?-]*")
_TARGET_BYTES = 1024
_BODY_BYTES = 256
_MOST_RANGES = 16
_FIELDS = 16
# What a check says of itself: a second one would make it another message.
_OWN = ("host", "connection", "content-length", "transfer-encoding", "upgrade", "te", "trailer", "expect")


def target() -> Kind:
    """A path, with or without a query."""

    def read(value: object) -> str:
        text = text_of(value, "a path", "/health")
        if not _TARGET.fullmatch(text) or len(text) > _TARGET_BYTES:
            refuse(f"{quoted(text)} is not a path", 'begin with "/", escape what is not ASCII: for example "/health"')
        return text

    schema = {"type": "string", "pattern": "^/", "maxLength": _TARGET_BYTES}
    return Kind(read, "path, with or without a query", schema)


def statuses() -> Kind:
    """Statuses and ranges of them, ``"200"``, ``"200-399"`` or several, as pairs of first and last."""

    def one(value: object) -> tuple[int, int]:
        text = str(value) if isinstance(value, int) and not isinstance(value, bool) else value
        found = _STATUSES.fullmatch(text) if isinstance(text, str) else None
        if found is None:
            shown = quoted(text) if isinstance(text, str) else units.kind_of(value)
            refuse(f"{shown} is no status", 'write "200", "200-399" or ["200-299", "404"]')
        first, last = int(found[1]), int(found[2] or found[1])
        if last < first:
            refuse(f"{quoted(found[0])} ends before it begins", f'write "{last}-{first}"')
        return first, last

    def read(value: object) -> tuple[tuple[int, int], ...]:
        values = value if isinstance(value, list) else [value]
        if not 0 < len(values) <= _MOST_RANGES:
            refuse(f"wanted 1 to {_MOST_RANGES} statuses, found {len(values)}", 'write "200-399"')
        return tuple(map(one, values))

    def show(value: tuple[tuple[int, int], ...]) -> object:
        texts = [str(first) if first == last else f"{first}-{last}" for first, last in value]
        return texts[0] if len(texts) == 1 else texts

    element = {"type": ["string", "integer"], "pattern": f"^{_STATUSES.pattern}$", "minimum": 100, "maximum": 599}
    schema = {
        "anyOf": [element, {"type": "array", "items": element, "minItems": 1, "maxItems": _MOST_RANGES}],
    }
    return Kind(read, "status or range, or several of them", schema, show)


def body() -> Kind:
    """A text that a body must have in it; ``"off"`` and ``""`` for none, read as ``""``."""

    def read(value: object) -> str:
        text = text_of(value, 'a text, or "off"', '"status":"ok"')
        if len(text.encode()) > _BODY_BYTES:
            refuse(f"the text has more than {_BODY_BYTES} bytes", "a short one will do")
        return "" if text == OFF else text

    return Kind(read, 'text, or `"off"`', {"type": "string", "maxLength": _BODY_BYTES}, lambda value: value or OFF)


def fields() -> Kind:
    """Field lines of a check, as pairs of name and value."""
    kind = any_fields()

    def read(value: object) -> tuple[tuple[str, str], ...]:
        found = kind.read(value)
        assert isinstance(found, tuple)
        if len(found) > _FIELDS:
            refuse(f"{len(found)} fields are more than {_FIELDS}", "a check needs few")
        for name, text in found:
            if name.lower() in _OWN:
                refuse(f"{quoted(name)} is a field that a check writes by itself", "take it out, or write `host`")
            if len(text) > _TARGET_BYTES:
                refuse(f"the value of {quoted(name)} is longer than {_TARGET_BYTES} characters")
        return found

    return Kind(read, kind.text, kind.schema, kind.show)


def multiple() -> Kind:
    """How many times as much, 1.5 to 100, read as percent; ``"off"`` is read as 0."""

    def read(value: object) -> int:
        if value == OFF:
            return 0
        if isinstance(value, bool) or not isinstance(value, int | float):
            refuse(f"wanted a number, found {units.kind_of(value)}", 'write 3, 2.5 or "off"')
        if not 1.5 <= value <= 100:
            refuse(f"{value:g} is not 1.5 to 100", 'write 3, or "off"')
        return round(value * 100)

    schema = {"type": ["number", "string"], "minimum": 1.5, "maximum": 100, "pattern": f"^{OFF}$"}
    return Kind(read, '1.5 to 100, or `"off"`', schema, lambda value: value / 100 if value else OFF)
