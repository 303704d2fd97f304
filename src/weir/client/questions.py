"""Requests from what a person writes: names of orders, seconds, moments."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final, TypeAlias

from protobuf.wkt import Duration, Timestamp

from weir._gen import stats_pb as pb

__all__ = ["Moment", "Seconds", "history_request", "stats_request", "watch_request"]

# A moment: a datetime with its time zone, or seconds since 1970. A time: a timedelta, or seconds.
Moment: TypeAlias = datetime | float
Seconds: TypeAlias = timedelta | float

MICROSECOND: Final = timedelta(microseconds=1)


def stats_request(
    *,
    filter: pb.Filter,
    sort: pb.Sort | str,
    reverse: bool,
    limit: int,
    since: Moment | None,
    window: Seconds | None,
    histograms: bool,
) -> pb.GetStatsRequest:
    return pb.GetStatsRequest(
        filter=filter,
        sort=sort_of(sort),
        reverse=reverse,
        limit=limit,
        since=None if since is None else timestamp(since),
        window=None if window is None else duration(window),
        histograms=histograms,
    )


def watch_request(
    *, filter: pb.Filter, sort: pb.Sort | str, reverse: bool, limit: int, interval: Seconds, histograms: bool
) -> pb.WatchStatsRequest:
    return pb.WatchStatsRequest(
        filter=filter,
        sort=sort_of(sort),
        reverse=reverse,
        limit=limit,
        interval=duration(interval),
        histograms=histograms,
    )


def history_request(
    *, route: str, path: str, since: Moment | None, window: Seconds | None, step: Seconds
) -> pb.GetHistoryRequest:
    return pb.GetHistoryRequest(
        route=route,
        path=path,
        since=None if since is None else timestamp(since),
        window=None if window is None else duration(window),
        step=duration(step),
    )


def sort_of(sort: pb.Sort | str) -> pb.Sort:
    """ValueError for a word that is no order."""
    if isinstance(sort, pb.Sort):
        return sort
    words = {each.name.lower(): each for each in pb.Sort if each is not pb.Sort.UNSPECIFIED}
    if sort.lower() not in words:
        raise ValueError(f"sort: {sort!r} is none of {', '.join(sorted(words))}")
    return words[sort.lower()]


def duration(time: Seconds) -> Duration:
    return Duration.from_nanos((time // MICROSECOND if isinstance(time, timedelta) else round(time * 1e6)) * 1000)


def timestamp(moment: Moment) -> Timestamp:
    """ValueError for a datetime without its time zone: it would mean another moment elsewhere."""
    if isinstance(moment, datetime):
        if moment.tzinfo is None:
            raise ValueError("since: a datetime needs its time zone, as datetime.now(UTC)")
        return Timestamp.from_datetime(moment)
    return Timestamp.from_nanos(round(moment * 1e6) * 1000)
