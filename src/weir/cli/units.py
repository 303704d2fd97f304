"""Figures and texts as a person reads them in a terminal: short, aligned, and harmless.

Figures are ASCII, so that they look the same in every locale.
"""

from __future__ import annotations

import unicodedata
from typing import Final

__all__ = ["bytes_text", "count_text", "elided", "fitted", "percent_text", "shown", "time_text", "width_of"]

THOUSANDS: Final = ("", "k", "M", "G", "T", "P", "E")
BINARY: Final = ("", "K", "M", "G", "T", "P", "E")
TIMES: Final = ((1.0, "us"), (1e3, "ms"), (1e6, "s"))


def count_text(value: float) -> str:
    """At most five characters: 7, 0.25, 1234, 12.3k, 4.56M (powers of 1000). What is whole stays whole."""
    if value < 10_000:
        return str(int(value)) if value == int(value) else three_digits(value)
    return scaled(value, 1000, THOUSANDS)


def bytes_text(value: float) -> str:
    """Bytes, as `ls -h` writes them: 512, 1.50K, 3.21M (powers of 1024)."""
    return str(round(value)) if value < 1024 else scaled(value, 1024, BINARY)


def time_text(us: float) -> str:
    """A time given in microseconds with three digits: 87us, 1.23ms, 45.6ms, 1.23s, 12.3m, 3.20h."""
    if us <= 0:
        return "0"
    if us < 100:
        return f"{us:.0f}us" if us >= 10 else f"{us:.1f}us"
    if us >= 5999.5e6:
        return three_digits(us / 3.6e9) + "h"
    if us >= 99.95e6:
        return three_digits(us / 6e7) + "m"
    size, unit = next((pair for pair in TIMES if us < 999.5 * pair[0]), TIMES[-1])
    return three_digits(us / size) + unit


def percent_text(share: float) -> str:
    """A share, 0 to 1, in percent without the sign: 0, <0.1, 0.4, 7.5, 42, 100; 100 only if it is all."""
    percent = share * 100
    if percent <= 0:
        return "0"
    if percent < 0.1:
        return "<0.1"
    if percent < 9.95:
        return f"{percent:.1f}"
    return f"{percent:.0f}" if percent >= 100 or percent < 99.5 else "99"


def three_digits(value: float) -> str:
    if value < 9.995:
        return f"{value:.2f}"
    return f"{value:.1f}" if value < 99.95 else f"{value:.0f}"


def scaled(value: float, base: int, units: tuple[str, ...]) -> str:
    place = 0
    while value >= min(999.5, base) and place < len(units) - 1:
        value /= base
        place += 1
    return three_digits(value) + units[place]


def shown(text: str) -> str:
    """Text of others, without what a terminal may act on: such a byte is \\xHH. A server has escaped paths already."""
    if text.isprintable():
        return text
    return "".join(sign if sign.isprintable() else escape(sign) for sign in text)


def escape(sign: str) -> str:
    return "".join(f"\\x{byte:02X}" for byte in sign.encode(errors="surrogatepass"))


def width_of(text: str) -> int:
    """Columns that a text takes in a terminal: 2 for a wide character, none for one that is put over another."""
    if text.isascii():
        return len(text)
    return sum(sign_width(sign) for sign in text)


def sign_width(sign: str) -> int:
    if unicodedata.combining(sign) or unicodedata.category(sign) in ("Mn", "Me"):
        return 0
    return 2 if unicodedata.east_asian_width(sign) in "WF" else 1


def elided(text: str, width: int) -> str:
    """At most `width` columns of a text; if it is longer, its middle is `..`: both ends of a path tell paths apart."""
    if width_of(text) <= width:
        return text
    if width <= 2:
        return ".."[: max(width, 0)]
    tail = (width - 2) // 2
    return fitted(text, width - 2 - tail) + ".." + fitted(text[::-1], tail)[::-1]


def fitted(text: str, width: int) -> str:
    """The longest beginning of a text that fits into `width` columns."""
    if text.isascii():
        return text[: max(width, 0)]
    used = 0
    for place, sign in enumerate(text):
        used += sign_width(sign)
        if used > width:
            return text[:place]
    return text
