"""Answers of weir.v1.Stats, read from proto3's JSON into plain values, and checked on the way.

In that JSON a field that is zero is left out, and a 64-bit number is a string. What a field means is said in
proto/weir/v1/stats.proto. AnswerError says which field is not what it should be: the answer is then of no weir, or of
one that speaks another version.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

__all__ = [
    "LEDGER_PARTS",
    "RELATIVE_ERROR",
    "STATUS_CLASSES",
    "Answer",
    "AnswerError",
    "Histogram",
    "Ledger",
    "Other",
    "Quantiles",
    "Row",
    "Status",
    "answer_of",
    "count_of",
    "counts_of",
    "duration_of",
    "moment_of",
    "moment_text",
    "number_of",
    "object_of",
    "objects_of",
    "status_of",
    "text_of",
]

MOST_COUNT: Final = (1 << 64) - 1
# Of a histogram: the grid of scale 3 has 256 places in the server; a finer one would have more.
MOST_BUCKETS: Final = 4096
# Half a bucket of the grid of scale 3; what an answer without its own says.
RELATIVE_ERROR: Final = 0.0443

Json = dict[str, Any]

# Names of the parts of the total time, in their order in time, and what they are.
LEDGER_PARTS: Final = (
    ("TR", "requestHeadUs", "request head"),
    ("Tw", "queueUs", "wait for a connection"),
    ("Tc", "connectUs", "connect"),
    ("Tr", "responseHeadUs", "response head"),
    ("Td", "dataUs", "data"),
)
STATUS_CLASSES: Final = (
    ("1xx", "informational"),
    ("2xx", "success"),
    ("3xx", "redirection"),
    ("4xx", "clientError"),
    ("5xx", "serverError"),
)


class AnswerError(ValueError):
    """A field is not of weir.v1."""


class Quantiles(NamedTuple):
    """Times in microseconds."""

    samples: int
    sum_us: int
    mean_us: float
    p50_us: float
    p90_us: float
    p99_us: float
    p999_us: float


class Histogram(NamedTuple):
    """Bucket i counts times in (2^((offset + i) / 2^scale), 2^((offset + i + 1) / 2^scale)] microseconds."""

    scale: int
    offset: int
    counts: tuple[int, ...]


class Ledger(NamedTuple):
    """Sums in microseconds: the parts in the order of LEDGER_PARTS, and their total."""

    parts: tuple[int, ...]
    total_us: int

    def shares(self) -> tuple[float, ...]:
        """Of the parts, each 0 to 1; all 0 when nothing was counted."""
        whole = sum(self.parts) or 1
        return tuple(part / whole for part in self.parts)


class Row(NamedTuple):
    """A series, or the sum of several. `statuses` in the order of STATUS_CLASSES."""

    route: str
    path: str
    other: bool
    truncated: bool
    requests: int
    rate: float
    response_bytes: int
    request_bytes: int
    statuses: tuple[int, ...]
    errors: int
    reasons: tuple[tuple[str, int], ...]
    retries: int
    ledger: Ledger
    total: Quantiles
    first_byte: Quantiles
    total_histogram: Histogram
    first_byte_histogram: Histogram

    @property
    def average_bytes(self) -> float:
        """Response body bytes per request."""
        return self.response_bytes / self.requests if self.requests else 0.0


class Other(NamedTuple):
    """What the `(other)` row of a route stands for."""

    route: str
    requests: int
    share: float
    distinct_paths: int
    distinct_relative_error: float


class Answer(NamedTuple):
    """A GetStatsResponse; `since` and `taken` are seconds since 1970."""

    since: float
    taken: float
    total: Row
    rows: tuple[Row, ...]
    matched: int
    relative_error: float
    others: tuple[Other, ...]

    @property
    def seconds(self) -> float:
        """How long was counted."""
        return max(self.taken - self.since, 0.0)


class Status(NamedTuple):
    """What the head of `weir top` shows of a GetStatusResponse; the counts are sums over workers or endpoints."""

    version: str
    started: float
    taken: float
    workers: int
    oldest_heartbeat_s: float
    downstream: int
    exchanges: int
    upstream_open: int
    upstream_idle: int
    waiting: int
    rows: int
    rows_taken: int


def answer_of(message: Json) -> Answer:
    """Reads a GetStatsResponse."""
    return Answer(
        moment_of(message, "since"),
        moment_of(message, "taken"),
        row_of(object_of(message, "total")),
        tuple(map(row_of, objects_of(message, "series"))),
        count_of(message, "matched"),
        number_of(message, "relativeError") or RELATIVE_ERROR,
        tuple(map(_other_of, objects_of(message, "others"))),
    )


def counts_of(message: Json, key: str, names: Sequence[str]) -> list[tuple[str, str, Json, list[int]]]:
    """Of each rule of a GetStatusResponse its listener or route, its name, all of it, and its counts of these names."""
    return [
        (
            text_of(rule, "listener") or text_of(rule, "route"),
            text_of(rule, "name"),
            rule,
            [count_of(rule, name) for name in names],
        )
        for rule in objects_of(message, key)
    ]


def status_of(message: Json) -> Status:
    """Reads a GetStatusResponse."""
    workers, endpoints, table = (
        objects_of(message, "workers"),
        objects_of(message, "endpoints"),
        object_of(message, "table"),
    )
    return Status(
        text_of(message, "version"),
        moment_of(message, "started"),
        moment_of(message, "taken"),
        len(workers),
        max((duration_of(worker, "heartbeatAge") for worker in workers), default=0.0),
        sum(count_of(worker, "downstreamConnections") for worker in workers),
        sum(count_of(worker, "exchanges") for worker in workers),
        sum(count_of(endpoint, "open") for endpoint in endpoints),
        sum(count_of(endpoint, "idle") for endpoint in endpoints),
        sum(count_of(endpoint, "waiting") for endpoint in endpoints),
        count_of(table, "rows"),
        count_of(table, "rowsTaken"),
    )


def row_of(series: Json) -> Row:
    """Reads a Series."""
    statuses, ledger = object_of(series, "status"), object_of(series, "ledger")
    return Row(
        text_of(series, "route"),
        text_of(series, "path"),
        series.get("other") is True,
        series.get("truncated") is True,
        count_of(series, "requests"),
        number_of(series, "requestsPerSecond"),
        count_of(series, "responseBodyBytes"),
        count_of(series, "requestBodyBytes"),
        tuple(count_of(statuses, name) for _word, name in STATUS_CLASSES),
        count_of(series, "errors"),
        tuple((text_of(item, "reason"), count_of(item, "count")) for item in objects_of(series, "reasons")),
        count_of(series, "retries"),
        Ledger(tuple(count_of(ledger, name) for _word, name, _meaning in LEDGER_PARTS), count_of(ledger, "totalUs")),
        _quantiles_of(object_of(series, "total")),
        _quantiles_of(object_of(series, "firstByte")),
        _histogram_of(object_of(series, "totalHistogram")),
        _histogram_of(object_of(series, "firstByteHistogram")),
    )


def _quantiles_of(message: Json) -> Quantiles:
    if not message:
        return Quantiles(0, 0, 0.0, 0.0, 0.0, 0.0, 0.0)
    return Quantiles(
        count_of(message, "count"),
        count_of(message, "sumUs"),
        number_of(message, "meanUs"),
        number_of(message, "p50Us"),
        number_of(message, "p90Us"),
        number_of(message, "p99Us"),
        number_of(message, "p999Us"),
    )


def _histogram_of(message: Json) -> Histogram:
    counts = message.get("counts", ())
    if not isinstance(counts, list | tuple) or len(counts) > MOST_BUCKETS:
        raise AnswerError(f"counts is no list of at most {MOST_BUCKETS} numbers")
    scale, offset = message.get("scale", 0), message.get("offset", 0)
    if type(scale) is not int or type(offset) is not int or not 0 <= scale <= 8:
        raise AnswerError(f"scale {scale!r:.40} and offset {offset!r:.40} are of no histogram of times")
    # The ends of the buckets must be numbers, and some way from the greatest one, 2^1023.
    most = 500 * 2**scale
    if offset < -most or offset + len(counts) > most:
        raise AnswerError(f"scale {scale!r:.40} and offset {offset!r:.40} are of no histogram of times")
    return Histogram(scale, offset, tuple(_whole(count, "counts") for count in counts))


def _other_of(message: Json) -> Other:
    return Other(
        text_of(message, "route"),
        count_of(message, "requests"),
        number_of(message, "share"),
        count_of(message, "distinctPaths"),
        number_of(message, "distinctRelativeError"),
    )


def moment_of(message: Json, name: str) -> float:
    """A Timestamp as seconds since 1970; 0.0 where there is none."""
    value = message.get(name)
    if value is None:
        return 0.0
    from datetime import datetime

    try:
        return datetime.fromisoformat(value).timestamp()
    except (ValueError, TypeError, OverflowError):
        raise AnswerError(f"{name} is no moment: {value!r:.60}") from None


def moment_text(seconds: float) -> str:
    """Seconds since 1970 as the JSON of a Timestamp."""
    from datetime import UTC, datetime

    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def duration_of(message: Json, name: str) -> float:
    """Seconds of a Duration; 0.0 where there is none."""
    value = message.get(name, "0s")
    try:
        seconds = float(value.removesuffix("s"))
    except (ValueError, AttributeError):
        seconds = math.nan
    if not math.isfinite(seconds):
        raise AnswerError(f"{name} is no duration: {value!r:.60}")
    return seconds


def object_of(message: Json, name: str) -> Json:
    """An object; an empty one where there is none."""
    value = message.get(name)
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise AnswerError(f"{name} is no object: {value!r:.60}")
    return value


def objects_of(message: Json, name: str) -> list[Json]:
    """The objects of a list; none where there is no list."""
    value = message.get(name)
    if value is None:
        return []
    if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
        raise AnswerError(f"{name} is no list of objects: {value!r:.60}")
    return value


def text_of(message: Json, name: str) -> str:
    """A text; "" where there is none."""
    value = message.get(name, "")
    if not isinstance(value, str):
        raise AnswerError(f"{name} is no text: {value!r:.60}")
    return value


def count_of(message: Json, name: str) -> int:
    """A whole number; 0 where there is none."""
    value = message.get(name)
    return 0 if value is None else _whole(value, name)


def _whole(value: object, name: str) -> int:
    if type(value) is str and len(value) <= 20 and value.isascii() and value.isdigit():
        value = int(value)
    if type(value) is not int or not 0 <= value <= MOST_COUNT:
        raise AnswerError(f"{name} is no count: {value!r:.60}")
    return value


def number_of(message: Json, name: str) -> float:
    """A number that is not negative; 0 where there is none."""
    value = message.get(name, 0.0)
    if type(value) not in (int, float):
        raise AnswerError(f"{name} is no number: {value!r:.60}")
    number = float(value) if abs(value) < 1e300 else math.inf
    if not math.isfinite(number) or number < 0:
        raise AnswerError(f"{name} is no number: {value!r:.60}")
    return number
