"""The state of `weir top`: what is shown, and what each key does to it. Knows of no terminal and no connection."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from weir.cli.answers import Answer, Ledger, Row, Status
from weir.cli.detail import merged, quantiles_of
from weir.cli.feed import Asked, Update
from weir.cli.table import COLUMNS, SORTS

__all__ = ["INTERVALS", "SORT_KEYS", "Top"]

# Seconds between two answers, for + and -.
INTERVALS: Final = (0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0)
SORT_KEYS: Final = {
    "c": "count",
    "b": "bytes",
    "a": "average",
    "e": "errors",
    "s": "error-share",
    "t": "time",
    "5": "p50",
    "0": "p90",
    "9": "p99",
    "f": "first-byte-p99",
    "n": "path",
}
# < and > go through what has a column.
CYCLE: Final = (*(column.sort for column in COLUMNS if column.sort), "path")
# More series are asked for than are shown, so that scrolling does not ask anew for each line.
STEP: Final = 50
MOST_SERIES: Final = 10_000
LONGEST_FILTER: Final = 200


@dataclass
class Top:
    """What is shown. `height` is the number of series that fit on the screen, set by who draws."""

    interval: float = 1.0
    sort: str = "count"
    reverse: bool = False
    route: str = ""
    prefix: str = ""
    contains: str = ""
    height: int = 20
    cursor: int = 0
    offset: int = 0
    help: bool = False
    paused: bool = False
    editing: str | None = None
    path: Row | None = None  # the series that is shown in full
    gathered: Row | None = None  # its sum since it is shown
    gathered_s: float = 0.0
    scroll: int = 0  # lines of it that are above the screen
    answer: Answer | None = None
    status: Status | None = None
    problem: str = ""
    # Widths of columns, so that they stand still.
    least: list[int] = field(default_factory=lambda: [4 if column.heading.endswith("%") else 6 for column in COLUMNS])
    ended: bool = False

    @property
    def asked(self) -> Asked:
        """What has to be watched for this."""
        chosen = {"route": self.route, "prefix": self.prefix, "contains": self.contains}
        limit = min(MOST_SERIES, (self.offset + self.height) // STEP * STEP + 2 * STEP)
        if self.path is not None:
            chosen, limit = {"route": self.path.route, "path": self.path.path}, 1
        given = {name: text for name, text in chosen.items() if text}
        return Asked(given, SORTS[self.sort], self.reverse, limit, self.interval, self.path is not None)

    @property
    def rows(self) -> tuple[Row, ...]:
        """The series that are there to be shown."""
        return self.answer.rows if self.answer is not None else ()

    def take(self, update: Update) -> None:
        """Show an update: not while paused, and not if something else was asked for meanwhile."""
        if update.asked != self.asked:
            return
        self.problem = update.problem
        if update.answer is None:
            return
        if self.paused:
            return
        self.status = update.status
        self.answer = update.answer
        if self.path is not None and not update.first and update.answer.rows:
            row = update.answer.rows[0]
            self.gathered = row if self.gathered is None else added(self.gathered, row)
            self.gathered_s += update.answer.seconds
        self._keep_inside()

    def key(self, key: str) -> None:
        """Do what a key says: a character, or curses' name of it (KEY_UP). What means nothing does nothing."""
        if self.editing is not None:
            self._edit(key)
        elif self.help:
            self.help = False
        elif key in ("q", "Q", "KEY_F(10)"):
            if self.path is not None and key == "q":
                self._leave()
            else:
                self.ended = True
        elif key in ("?", "h", "KEY_F(1)"):
            self.help = True
        elif key == " ":
            self.paused = not self.paused
        elif key in "+-=":
            self._change_interval(slower=key == "-")
        elif self.path is not None:
            if key in (moves := self._moves(99)):
                self.scroll = max(0, self.scroll + moves[key])
            elif key in ("\x1b", "\n", "\r", "KEY_LEFT", "KEY_ENTER", "KEY_BACKSPACE", "\x7f", "\b"):
                self._leave()
        else:
            self._table_key(key)

    def _table_key(self, key: str) -> None:
        last = len(self.rows) - 1
        if key in (moves := self._moves(last)):
            self.cursor += moves[key]
            self._keep_inside()
        elif key in SORT_KEYS:
            self._sort_by(SORT_KEYS[key])
        elif key in ("<", ">", ",", ".", "KEY_F(6)"):
            place = CYCLE.index(self.sort) if self.sort in CYCLE else 0
            self._sort_by(CYCLE[(place + (-1 if key in "<," else 1)) % len(CYCLE)])
        elif key == "r":
            self.reverse = not self.reverse
            self.cursor = self.offset = 0
        elif key == "/":
            self.editing = self.contains
        elif key == "\x1b":
            self.contains = ""
        elif key in ("\n", "\r", "KEY_ENTER", "KEY_RIGHT") and 0 <= self.cursor <= last:
            self.path, self.gathered, self.gathered_s = self.rows[self.cursor], None, 0.0
            self.scroll = 0

    def _moves(self, last: int) -> dict[str, int]:
        """How far a key moves what it moves, which has so many lines."""
        lines = {"KEY_UP": 1, "k": 1, "KEY_PPAGE": self.height, "KEY_HOME": last}
        down = {"KEY_DOWN": 1, "j": 1, "KEY_NPAGE": self.height, "KEY_END": last}
        return {key: -by for key, by in lines.items()} | down

    def _leave(self) -> None:
        self.path = self.gathered = self.answer = None

    def _sort_by(self, sort: str) -> None:
        self.sort = sort
        self.cursor = self.offset = 0

    def _change_interval(self, *, slower: bool) -> None:
        others = [seconds for seconds in INTERVALS if (seconds > self.interval if slower else seconds < self.interval)]
        if others:
            self.interval = others[0] if slower else others[-1]

    def _edit(self, key: str) -> None:
        text = self.editing or ""
        if key in ("\n", "\r", "KEY_ENTER"):
            self.contains, self.editing = text, None
            self.cursor = self.offset = 0
        elif key == "\x1b":
            self.editing = None
        elif key in ("KEY_BACKSPACE", "\x7f", "\b"):
            self.editing = text[:-1]
        elif key == "\x15":
            self.editing = ""
        elif len(key) == 1 and key.isprintable() and len(text) < LONGEST_FILTER:
            self.editing = text + key

    def _keep_inside(self) -> None:
        """The cursor on a series, and on the screen."""
        self.cursor = max(0, min(self.cursor, len(self.rows) - 1))
        self.offset = max(0, min(self.offset, self.cursor, len(self.rows) - 1))
        self.offset = max(self.offset, self.cursor - self.height + 1)


def added(one: Row, two: Row) -> Row:
    """The sum of two intervals of a series, with quantiles from the sum of their histograms."""
    reasons = dict(one.reasons)
    for word, count in two.reasons:
        reasons[word] = reasons.get(word, 0) + count
    parts = tuple(map(sum, zip(one.ledger.parts, two.ledger.parts, strict=True)))
    total_histogram = merged(one.total_histogram, two.total_histogram)
    first_byte_histogram = merged(one.first_byte_histogram, two.first_byte_histogram)
    return two._replace(
        requests=one.requests + two.requests,
        response_bytes=one.response_bytes + two.response_bytes,
        request_bytes=one.request_bytes + two.request_bytes,
        statuses=tuple(map(sum, zip(one.statuses, two.statuses, strict=True))),
        errors=one.errors + two.errors,
        reasons=tuple(sorted(reasons.items(), key=lambda item: (-item[1], item[0]))),
        retries=one.retries + two.retries,
        ledger=Ledger(parts, one.ledger.total_us + two.ledger.total_us),
        total=quantiles_of(total_histogram, one.total.sum_us + two.total.sum_us),
        first_byte=quantiles_of(first_byte_histogram, one.first_byte.sum_us + two.first_byte.sum_us),
        total_histogram=total_histogram,
        first_byte_histogram=first_byte_histogram,
    )
