"""The statistics page: plain text, a line for each path, as in the tutorial's final program."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, Final

from weir.reasons import REASONS
from weir.stats.reader import Series, snapshot

__all__ = ["SharedPage", "printable", "render"]

# A page that takes longer to make than this is shared for so many times as long: whoever asks for it again and again
# has a tenth of the worker at most. So others find theirs as fresh as they can see.
CHEAP_S: Final = 0.01
SHARED_FOR: Final = 10

PAGE_MOST = 1_000_000  # bytes of the table: what a client does not take at once is kept for it

HEADINGS = ("Count", "Total Bytes", "Avg Bytes", "Avg ms", "Avg FB ms", "URL")


class SharedPage:
    """Calling it returns the page of a table, which may have been made a moment before if making it takes long."""

    def __init__(
        self, memory: Any, make: Callable[[Any], bytes] | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._memory = memory
        self._make = render if make is None else make
        self._clock = clock
        self._page = b""
        self._good_until = -1.0

    def __call__(self) -> bytes:
        now = self._clock()
        if now >= self._good_until:
            self._page = self._make(self._memory)
            made = self._clock()
            self._good_until = made + SHARED_FOR * (made - now) if made - now > CHEAP_S else -1.0
        return self._page


def render(memory: Any) -> bytes:
    """The page as UTF-8, of the table in `memory` (see `weir.stats.reader.snapshot`).

    Columns: requests, bytes of response bodies in all and on average, mean time and mean time to the first byte (over
    those that had one; `-` if none had) in milliseconds, path. The busiest path comes first. Paths that have not been
    answered yet, and `(other)` while nothing is counted there, are left out. Where there is more than one route,
    its name stands before the path. Of a table of more than PAGE_MOST bytes the rest of the paths is left out, and how
    many they are is said. Below: how often each reason has ended an exchange or a connection, if any has.
    """
    taken = snapshot(memory, histograms=False)
    several = len({series.route for series in taken.series}) > 1
    busy = [series for series in taken.series if series.counters.requests]
    busy.sort(key=lambda series: (-series.counters.requests, series.route, series.path))
    lines = [HEADINGS, *(line(series, several) for series in busy)]
    widths = [max(len(cells[column]) for cells in lines) for column in range(len(HEADINGS) - 1)]
    table = [
        "  ".join([*(cell.rjust(width) for cell, width in zip(cells, widths, strict=False)), cells[-1]])
        for cells in lines
    ]
    room = PAGE_MOST
    for number, row in enumerate(table):
        room -= len(row.encode()) + 1
        if room < 0:
            table[number:] = [f"... and {len(table) - number} more"]
            break
    failed = sorted(
        (-count, info.word)
        for info, count in zip(REASONS, taken.reasons, strict=False)
        if count and info.word != "none"
    )
    if failed:
        width = max(len(str(-count)) for count, _word in failed)
        table += ["", *(f"{-count:{max(width, 5)}}  {word}" for count, word in failed)]
    return ("\n".join(table) + "\n").encode()


def line(series: Series, with_route: bool) -> tuple[str, ...]:
    count = series.counters
    path = series.path if series.is_other else printable(series.path)
    if series.path_bytes > len(series.path.encode(errors="surrogateescape")) and not series.is_other:
        path += "..."
    return (
        str(count.requests),
        str(count.response_body_bytes),
        str(count.response_body_bytes // count.requests),
        mean_ms(count.total_us, count.requests),
        mean_ms(count.first_byte_us, count.first_bytes),
        f"{printable(series.route)} {path}" if with_route else path,
    )


def printable(text: str) -> str:
    """Escapes what a terminal may act on or what cannot be shown: each such byte as \\xHH, a backslash as \\\\."""
    if text.isprintable() and "\\" not in text:
        return text
    return "".join(escape(character) for character in text)


def escape(character: str) -> str:
    if character == "\\":
        return "\\\\"
    if character.isprintable():
        return character
    return "".join(f"\\x{byte:02X}" for byte in character.encode(errors="surrogateescape"))


def mean_ms(sum_us: int, count: int) -> str:
    return f"{sum_us / count / 1000:.2f}" if count else "-"
