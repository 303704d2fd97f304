"""Kinds of values of rate limits and faults: what `weir.config.kinds` is for the other tables."""

from __future__ import annotations

import re
from http import HTTPStatus
from typing import Any

from weir.config import units
from weir.config.errors import quoted, refuse
from weir.config.kinds import OFF, TOKEN, Kind, closest, text_of
from weir.config.plan import RESET

__all__ = ["RATE_UNITS", "abort", "delay", "field_match", "key", "methods", "prefix", "rate", "rule_name", "status"]

RATE_UNITS = {"s": 1_000, "m": 60_000, "h": 3_600_000}
MOST_PER_SECOND = 1_000_000
_RATE = re.compile("([0-9]{1,9})/([smh])")
_RATE_WORDS = {"sec": "s", "second": "s", "min": "m", "minute": "m", "hour": "h", "hr": "h"}
_KEYS = ("client", "path", "all")
_REFUSED_METHODS = ("TRACE", "CONNECT")
_PREFIX = re.compile(r"/[A-Za-z0-9._~%!$&'()*+,;=:@/-]*")
MOST_DELAY_MS = 600_000


def rate() -> Kind:
    """So many requests in a second, minute or hour, read as (requests, milliseconds)."""

    def read(value: object) -> tuple[int, int]:
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            refuse(f"a rate needs its time, found {value}", f'write "{value}/s"')
        text = text_of(value, "a rate", "100/s")
        match = _RATE.fullmatch(text)
        if not match:
            refuse(f"{quoted(text)} is not a rate", _rate_hint(text))
        count, per_ms = int(match[1]), RATE_UNITS[match[2]]
        if count == 0:
            refuse("a rate of 0 lets nothing in", "write 1 or more, or take the rate limit out")
        if count * 1_000 > MOST_PER_SECOND * per_ms:
            refuse(f"{quoted(text)} is more than a million a second", "take the rate limit out")
        return count, per_ms

    def show(value: tuple[int, int]) -> str:
        return f"{value[0]}/{next(unit for unit, ms in RATE_UNITS.items() if ms == value[1])}"

    schema = {"type": "string", "pattern": "^[0-9]{1,9}/[smh]$"}
    return Kind(read, 'rate, `"1/h"` to `"1000000/s"`', schema, show)


def _rate_hint(text: str) -> str:
    match = re.fullmatch(r"\s*([0-9]{1,9})\s*(?:r|req|requests)?\s*(?:/|per)\s*([A-Za-z]+)\s*", text)
    if match:
        word = match[2].lower().removesuffix("s") or "s"
        unit = _RATE_WORDS.get(word, word)
        if unit in RATE_UNITS:
            return f'write "{match[1]}/{unit}"'
        if unit in ("d", "day"):
            return f'write "{max(1, int(match[1]) // 24)}/h"'
    if re.fullmatch("[0-9]{1,9}", text):
        return f'write "{text}/s"'
    return 'requests, a slash, and s, m or h: "100/s", "10/m"'


def key() -> Kind:
    """What requests are counted by: ``client``, ``path``, ``all``, or ``field:`` and a field's name."""

    def read(value: object) -> str:
        text = text_of(value, "what is limited by itself", "client")
        if text in _KEYS:
            return text
        kind, colon, name = text.partition(":")
        if colon and kind in ("field", "header"):
            name = name.strip()
            if kind == "header":
                refuse(f"{quoted(text)} is not known", f"write {quoted('field:' + name)}")
            if not TOKEN.fullmatch(name) or len(name) > 64:
                refuse(f"{quoted(name)} is not a field name", 'for example "field:X-Api-Key"')
            return f"field:{name}"
        meant = closest(text, _KEYS) or {"ip": "client", "address": "client", "listener": "all"}.get(text.lower())
        hint = f"did you mean {quoted(meant)}?" if meant else 'for a request field write "field:X-Api-Key"'
        refuse(f'wanted "client", "path", "all" or "field:" and a name, found {quoted(text)}', hint)

    schema = {"type": "string", "pattern": "^(client|path|all|field:.+)$"}
    return Kind(read, '`"client"`, `"path"`, `"all"`, or `"field:NAME"`', schema)


def rule_name() -> Kind:
    """What a rule is called; ``""``: by what it says."""

    def read(value: object) -> str:
        text = text_of(value, "a name", "logins")
        if len(text) > 64 or not text.isprintable():
            refuse(f"{quoted(text)} is not a name", "at most 64 characters that can be shown")
        return text

    return Kind(read, "name", {"type": "string", "maxLength": 64})


def methods() -> Kind:
    """Request methods, read as a tuple; ``"all"`` for all, read as ()."""

    def read(value: object) -> tuple[str, ...]:
        if value == "all":
            return ()
        if isinstance(value, str):
            value = [value]
        if not isinstance(value, list):
            refuse(f"wanted an array of methods, found {units.kind_of(value)}", 'for example ["POST", "PUT"]')
        if not value:
            refuse("no method", 'write "all", or the methods')
        if len(value) > 16:
            refuse(f"{len(value)} methods", "at most 16")
        return tuple(dict.fromkeys(_method(text_of(method, "a method", "POST")) for method in value))

    def show(value: tuple[str, ...]) -> object:
        return list(value) or "all"

    schema: dict[str, Any] = {
        "type": ["string", "array"],
        "minLength": 1,
        "minItems": 1,
        "items": {"type": "string", "minLength": 1},
    }
    return Kind(read, 'array of methods, or `"all"`', schema, show)


def _method(text: str) -> str:
    if not TOKEN.fullmatch(text) or len(text) > 32:
        refuse(f"{quoted(text)} is not a method", 'for example "POST"')
    if text in _REFUSED_METHODS:
        refuse(f"{text} is refused in any case", "take it out")
    if text != text.upper() and text.upper() in ("GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH"):
        refuse(f"{quoted(text)} is another method than {text.upper()}", f"write {quoted(text.upper())}")
    return text


def prefix() -> Kind:
    """The beginning of a path; ``""`` for all."""

    def read(value: object) -> str:
        text = text_of(value, "the beginning of a path", "/api/")
        if text and not text.startswith("/"):
            refuse(f"{quoted(text)} does not start with /", f"write {quoted('/' + text)}")
        if text and (not _PREFIX.fullmatch(text) or len(text) > 256):
            refuse(f"{quoted(text)} is not the beginning of a path", "no query, no spaces, at most 256 characters")
        if ";" in text:
            message = f"{quoted(text)}: what follows a semicolon in a segment does not count"
            refuse(message, 'take it out, or write "%3B"')
        return text

    return Kind(read, 'beginning of a path, or `""`', {"type": "string", "pattern": "^(/.*|)$", "maxLength": 256})


def status() -> Kind:
    """A status of 400 to 599 that has a meaning."""

    def read(value: object) -> int:
        if not isinstance(value, int) or isinstance(value, bool):
            refuse(f"wanted a status, found {units.kind_of(value)}", "for example 429")
        _check_status(value)
        return value

    return Kind(read, "status, 400 to 599", {"type": "integer", "minimum": 400, "maximum": 599})


def _check_status(value: int) -> None:
    if not 400 <= value <= 599:
        refuse(f"{value} is not the status of an error", "from 400 to 599")
    try:
        HTTPStatus(value)
    except ValueError:
        refuse(f"{value} is not a status that is defined", "for example 429 or 503")


def abort() -> Kind:
    """A status, or ``"reset"``; ``"off"`` for none, read as 0."""

    def read(value: object) -> int:
        if value == OFF:
            return 0
        if value == "reset":
            return RESET
        if not isinstance(value, int) or isinstance(value, bool):
            found = quoted(value) if isinstance(value, str) else units.kind_of(value)
            refuse(f'wanted a status or "reset", found {found}', "for example 503")
        _check_status(value)
        return value

    schema = {"type": ["integer", "string"], "minimum": 400, "maximum": 599, "pattern": "^(reset|off)$"}
    words = {0: OFF, RESET: "reset"}
    return Kind(read, 'status, 400 to 599, `"reset"`, or `"off"`', schema, lambda value: words.get(value, value))


def delay() -> Kind:
    """A duration, or two with a dash between them; ``"off"`` for none; read as (from, to) in milliseconds."""

    def read(value: object) -> tuple[int, int]:
        if value == OFF:
            return (0, 0)
        parts = value.split("-") if isinstance(value, str) else [value]
        if len(parts) > 2:
            refuse(f"{quoted(str(value))} is not a delay", '"100ms", or from and to: "100ms-2s"')
        found = [units.parse_duration(part.strip() if isinstance(part, str) else part) for part in parts]
        if max(found) > MOST_DELAY_MS:
            refuse(f"{quoted(units.format_duration(max(found)))} is more than 10m", "at most 10m")
        if found[0] > found[-1]:
            refuse(f"{quoted(str(value))} ends before it begins", "write the shorter time first")
        if found[-1] == 0:
            refuse(f"{quoted(str(value))} is no time at all", 'write "off"')
        return found[0], found[-1]

    def show(value: tuple[int, int]) -> str:
        if value == (0, 0):
            return OFF
        return "-".join(units.format_duration(ms) for ms in dict.fromkeys(value))

    pattern = f"^({units.DURATION_PATTERN}( ?- ?{units.DURATION_PATTERN})?|off)$"
    schema = {"type": "string", "minLength": 2, "pattern": pattern}
    return Kind(read, 'duration up to `"10m"`, or two: `"100ms-2s"`, or `"off"`', schema, show)


def field_match() -> Kind:
    """A request field: ``Name``, or ``Name: value``; ``""`` for any request."""

    def read(value: object) -> str:
        text = text_of(value, "a field", "X-Weir-Fault")
        if not text:
            return ""
        name, colon, content = text.partition(":")
        if not TOKEN.fullmatch(name) or len(name) > 64:
            refuse(f"{quoted(name)} is not a field name", 'for example "X-Weir-Fault" or "X-Weir-Fault: slow"')
        content = content.strip()
        if colon and (not content or not content.isprintable() or not content.isascii() or len(content) > 256):
            refuse(f"{quoted(text)} has no value that a field can have", f"for any value write {quoted(name)}")
        return f"{name}: {content}" if colon else name

    return Kind(read, 'field, `"NAME"` or `"NAME: VALUE"`, or `""`', {"type": "string", "maxLength": 324})
