"""Kinds of values that are about sending requests again."""

from __future__ import annotations

import re

from weir.config import units
from weir.config.errors import quoted, refuse
from weir.config.kinds import OFF, Kind, closest

__all__ = ["FAILURES", "failures", "hedge_after"]

# What may be tried again, in the order of weir.plane.retry.
FAILURES = ("connect", "reused", "reset", "timeout", "bad_response", "429", "502", "503", "504")
# What other proxies call it.
_ALSO = {
    "conn-failure": "connect",
    "connect-failure": "connect",
    "empty-response": "reset",
    "error": "reset",
    "invalid_header": "bad_response",
    "junk-response": "bad_response",
    "response-timeout": "timeout",
}
_LEAST_MS, _MOST_MS = 1, 60_000
_PERCENTILE = re.compile(r"p([0-9]{2})(?:\.([0-9]))?")


def failures() -> Kind:
    """An array of what may be tried again, read as a tuple of words; ``"off"`` for nothing."""

    def read(value: object) -> tuple[str, ...]:
        if value == OFF:
            return ()
        if not isinstance(value, list):
            hint = f"write [{quoted(value)}]" if value in FAILURES and isinstance(value, str) else ""
            refuse(f"wanted an array, found {units.kind_of(value)}", hint or 'for example ["connect", "reused"]')
        if not value:
            refuse("nothing", 'write "off"')
        words = [_word(one) for one in value]
        twice = next((word for place, word in enumerate(words) if word in words[:place]), None)
        if twice:
            refuse(f"{quoted(twice)} is there twice")
        return tuple(word for word in FAILURES if word in words)

    schema = {
        "type": ["array", "string"],
        "minItems": 1,
        "uniqueItems": True,
        "items": {"type": ["string", "integer"], "enum": [*FAILURES, 429, 502, 503, 504]},
        "pattern": "^off$",
    }
    text = "array of " + ", ".join(f'`"{word}"`' for word in FAILURES) + ', or `"off"`'
    return Kind(read, text, schema, lambda value: list(value) or OFF)


def _word(value: object) -> str:
    word = str(value) if isinstance(value, int) and not isinstance(value, bool) else value
    if isinstance(word, str) and word in FAILURES:
        return word
    found = quoted(word) if isinstance(word, str) else units.kind_of(value)
    meant = _ALSO.get(word) or closest(word, FAILURES) if isinstance(word, str) else None
    all_of_them = "one of " + ", ".join(quoted(one) for one in FAILURES)
    refuse(f"wanted {all_of_them}, found {found}", f"did you mean {quoted(meant)}?" if meant else "")


def hedge_after() -> Kind:
    """A duration or a percentile (``"p95"``), read as milliseconds and permille, one of which is 0; or ``"off"``."""

    def read(value: object) -> tuple[int, int]:
        if value == OFF:
            return 0, 0
        percentile = _PERCENTILE.fullmatch(value) if isinstance(value, str) else None
        if percentile:
            permille = int(percentile[1]) * 10 + int(percentile[2] or 0)
            if permille < 500:
                refuse(f"{quoted(str(value))} would send most requests twice", 'from "p50" to "p99.9"')
            return 0, permille
        if isinstance(value, str) and value.startswith("p"):
            refuse(f"{quoted(value)} is not a percentile", 'for example "p95"')
        found = units.parse_duration(value)
        if not _LEAST_MS <= found <= _MOST_MS:
            refuse(f"{units.format_duration(found)} is not {_LEAST_MS}ms to 1m")
        return found, 0

    def show(value: tuple[int, int]) -> str:
        after_ms, permille = value
        if permille:
            return f"p{permille // 10}" + (f".{permille % 10}" if permille % 10 else "")
        return units.format_duration(after_ms) if after_ms else OFF

    pattern = f"^(off|p[5-9][0-9]([.][0-9])?|{units.DURATION_PATTERN})$"
    schema = {"type": "string", "minLength": 2, "pattern": pattern}
    return Kind(read, 'percentile, `"p50"` to `"p99.9"`, duration, `"1ms"` to `"1m"`, or `"off"`', schema, show)
