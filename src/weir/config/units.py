"""Durations, sizes and ratios as a person writes them.

A duration needs its unit, because a bare ``10`` is seconds to one reader and milliseconds to the next. A size may
be a bare number, which means bytes to everybody. Nothing here is lenient: ``"10 s"``, ``"1.5s"`` and ``"64k"`` are
refused with what to write instead, so that one value has one spelling in every file.

Every reader raises ConfigError with one problem that has no place.
"""

from __future__ import annotations

import re

from weir.config.errors import quoted, refuse

__all__ = [
    "DURATION_PATTERN",
    "RATIO_PATTERN",
    "SIZE_PATTERN",
    "SIZE_UNITS",
    "format_duration",
    "format_size",
    "kind_of",
    "parse_duration",
    "parse_ratio",
    "parse_size",
]

# Largest unit first, each at most once: "1h30m" has one reading, "30m1h" and "90m30m" look like slips.
DURATION_UNITS = {"h": 3_600_000, "m": 60_000, "s": 1_000, "ms": 1}
DURATION_PATTERN = "([0-9]+h)?([0-9]+m)?([0-9]+s)?([0-9]+ms)?"
SIZE_UNITS = {
    "B": 1,
    "KiB": 1 << 10,
    "MiB": 1 << 20,
    "GiB": 1 << 30,
    "TiB": 1 << 40,
    "KB": 10**3,
    "MB": 10**6,
    "GB": 10**9,
    "TB": 10**12,
}
SIZE_PATTERN = f"[0-9]+({'|'.join(SIZE_UNITS)})"
RATIO_PATTERN = "[0-9]+%"

_DURATION = re.compile(DURATION_PATTERN)
_DURATION_PART = re.compile(r"([0-9]+)(ms|[hms])")
_SIZE = re.compile(r"([0-9]+)([A-Za-z]+)")
_LOOSE_DURATION = re.compile(r"\s*([0-9]+)\s*([A-Za-z]+)\s*")
# Python refuses to convert very long runs of digits, and nothing sensible has more than these.
_MOST_DIGITS = 18

_DURATION_WORDS = {
    "msec": "ms",
    "millis": "ms",
    "millisecond": "ms",
    "milliseconds": "ms",
    "sec": "s",
    "secs": "s",
    "second": "s",
    "seconds": "s",
    "min": "m",
    "mins": "m",
    "minute": "m",
    "minutes": "m",
    "hr": "h",
    "hour": "h",
    "hours": "h",
}


def kind_of(value: object) -> str:
    """What a TOML value is, in words, with its article."""
    if isinstance(value, bool):
        return "a boolean"
    names = {
        str: "a string",
        int: "a whole number",
        float: "a number with a fraction",
        list: "an array",
        dict: "a table",
    }
    for kind, name in names.items():
        if isinstance(value, kind):
            return name
    return "a date or time"


def parse_duration(value: object) -> int:
    """Milliseconds of a duration such as ``"10s"``, ``"100ms"`` or ``"1h30m"``."""
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        refuse(f"a duration needs its unit, found {value}", f'write "{value:g}s" or "{value:g}ms"')
    if not isinstance(value, str):
        refuse(f"wanted a duration, found {kind_of(value)}", 'for example "10s"')
    if not value or len(value) > _MOST_DIGITS or not _DURATION.fullmatch(value):
        refuse(f"{quoted(value)} is not a duration", _duration_hint(value))
    return sum(int(count) * DURATION_UNITS[unit] for count, unit in _DURATION_PART.findall(value))


def _duration_hint(text: str) -> str:
    loose = _LOOSE_DURATION.fullmatch(text)
    if loose and len(text) <= _MOST_DIGITS:
        count, unit = loose[1], loose[2].lower()
        unit = _DURATION_WORDS.get(unit, unit)
        if unit in DURATION_UNITS:
            return f'write "{count}{unit}"'
        if unit == "d":
            return f'write "{int(count) * 24}h"'
    if re.fullmatch("[0-9]{1,9}", text):
        return f'write "{text}s" or "{text}ms"'
    return 'write whole numbers with h, m, s or ms, the largest first: "10s", "100ms", "1h30m"'


def format_duration(ms: int) -> str:
    """The shortest way to write so many milliseconds; ``parse_duration`` reads it back."""
    parts = []
    rest = ms
    for unit, size in DURATION_UNITS.items():
        count, rest = divmod(rest, size)
        if count:
            parts.append(f"{count}{unit}")
    return "".join(parts) or "0s"


def parse_size(value: object) -> int:
    """Bytes of a size such as ``"32KiB"``, ``"64KB"`` (64 000 bytes) or ``512``."""
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    if not isinstance(value, str):
        refuse(f"wanted a size, found {kind_of(value)}", 'for example "32KiB", or 32768 for bytes')
    match = _SIZE.fullmatch(value)
    if not match or match[2] not in SIZE_UNITS or len(match[1]) > _MOST_DIGITS:
        refuse(f"{quoted(value)} is not a size", _size_hint(value))
    return int(match[1]) * SIZE_UNITS[match[2]]


def _size_hint(text: str) -> str:
    if re.fullmatch(f"[0-9]{{1,{_MOST_DIGITS}}}", text):
        return f'write {int(text)} without quotes for bytes, or "{text}KiB"'
    loose = re.fullmatch(r"\s*([0-9]{1,18})\s*([kmgt])(i?b)?\s*", text, re.ASCII | re.IGNORECASE)
    if loose:
        return f'write "{loose[1]}{loose[2].upper()}iB"'
    return 'write a whole number with its unit: "32KiB", "1MiB", "64KB"; without quotes a number means bytes'


def format_size(size: int) -> str | int:
    """The clearest way to write so many bytes in TOML; ``parse_size`` reads it back."""
    for unit in ("TiB", "GiB", "MiB", "KiB"):
        if size and size % SIZE_UNITS[unit] == 0:
            return f"{size // SIZE_UNITS[unit]}{unit}"
    return size


def parse_ratio(value: object) -> int:
    """Whole percent of a ratio: ``"20%"`` or ``0.2``. A bare ``20`` could be either, and is refused."""
    if isinstance(value, float):
        percent = value * 100
        # Not `0 <= value <= 1` alone: nan fails every comparison, 0.29 * 100 is 28.999999999999996.
        if not 0 <= value <= 1 or abs(percent - round(percent)) > 1e-9:
            refuse(f"{value} is not a ratio of 0.00 to 1.00 in whole percent", 'write "20%" or 0.2')
        return round(percent)
    if isinstance(value, int) and not isinstance(value, bool):
        refuse(f"{value} could be percent or a fraction", f'write "{value}%"' if 0 <= value <= 100 else 'write "20%"')
    if not isinstance(value, str):
        refuse(f"wanted a ratio, found {kind_of(value)}", 'for example "20%" or 0.2')
    if not re.fullmatch(RATIO_PATTERN, value) or len(value) > 4 or int(value[:-1]) > 100:
        refuse(f"{quoted(value)} is not a ratio", 'write whole percent from "0%" to "100%"')
    return int(value[:-1])
