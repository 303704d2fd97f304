"""The service weir.v1.Stats: questions of proto/weir/v1/stats.proto, answered from the admin side's state."""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import AsyncIterator
from typing import Any, Final

from connectrpc.code import Code
from connectrpc.errors import ConnectError
from protobuf.wkt import Duration, Timestamp

from weir._gen import stats_pb as pb
from weir._gen.stats_connect import Stats
from weir.admin.history import Point
from weir.admin.messages import point_message, status_message, timestamp, view_message
from weir.admin.state import AdminState, Span
from weir.admin.ticks import LostError, Ticks
from weir.stats import reader
from weir.stats.frame import Frame
from weir.stats.view import Filter, Sort, query

__all__ = ["StatsService"]

DEFAULT_LIMIT: Final = 100
MOST_LIMIT: Final = 10_000
LEAST_INTERVAL_S: Final = 0.2
MOST_INTERVAL_S: Final = 3600.0
# A frame that was taken so long before the moment that a watcher waited for, or so long ago, will do for it.
EARLY_S: Final = 0.02
OLDEST_S: Final = 1.0
MOST_WATCHERS: Final = 500
DEFAULT_HISTORY_S: Final = 3600.0
# A moment before this, or so far in the future, is a slip of units.
EARLIEST_S: Final = 946_684_800

_SORTS: Final = {getattr(pb.Sort, sort.name): sort for sort in Sort} | {pb.Sort.UNSPECIFIED: Sort.REQUESTS}


class StatsService(Stats):
    """One for all clients. Errors are Connect's: INVALID_ARGUMENT names the field and says what would do."""

    def __init__(self, state: AdminState) -> None:
        self.state = state
        self._watchers = 0
        self._ticks: Ticks[pb.WatchStatsResponse] = Ticks(state.frame)

    async def get_stats(self, request: pb.GetStatsRequest, ctx: Any) -> pb.GetStatsResponse:
        moment = _moment(request.since, request.window)
        span = self.state.total() if moment is None else await self._span(moment)
        return self._answer(span, request)

    async def watch_stats(self, request: pb.WatchStatsRequest, ctx: Any) -> AsyncIterator[pb.WatchStatsResponse]:
        interval = _seconds(request.interval) if request.interval is not None else 1.0
        if not LEAST_INTERVAL_S <= interval <= MOST_INTERVAL_S:
            raise _invalid(f"interval: {interval:g} s is not {LEAST_INTERVAL_S:g} s to {MOST_INTERVAL_S:g} s")
        question = (*_check(request), request.reverse, request.histograms)
        if self._watchers >= MOST_WATCHERS:
            raise ConnectError(
                Code.RESOURCE_EXHAUSTED, f"{MOST_WATCHERS} clients watch already; ask again with GetStats"
            )

        def answer(frame: Frame) -> pb.WatchStatsResponse:
            return pb.WatchStatsResponse(stats=self._answer(Span(frame, self.state.names), request))

        self._watchers += 1
        watcher = self._ticks.begin()
        try:
            # Moments are the same for all who have the same interval, so that they share frames and answers. The next
            # one is made when the last one was sent: nothing waits for a client that reads slowly.
            while (fresh_us := await self._next_tick(interval)) is not None:
                yield watcher.step(question, answer, fresh_us)
        except LostError:
            raise ConnectError(
                Code.RESOURCE_EXHAUSTED, "this client reads too slowly, its place is lost: watch again, or less often"
            ) from None
        finally:
            watcher.close()
            self._watchers -= 1

    async def reset_stats(self, request: pb.ResetStatsRequest, ctx: Any) -> pb.ResetStatsResponse:
        return pb.ResetStatsResponse(since=timestamp(self.state.reset().taken_us))

    async def get_history(self, request: pb.GetHistoryRequest, ctx: Any) -> pb.GetHistoryResponse:
        moment = _moment(request.since, request.window)
        since = moment if moment is not None else time.time() - DEFAULT_HISTORY_S
        step = _seconds(request.step) if request.step is not None else 60.0
        if step < 60 or step % 60:
            raise _invalid(f"step: {step:g} s is not a whole number of minutes")
        points = await self._points(since, int(step), request.route, request.path)
        return pb.GetHistoryResponse(
            points=[point_message(point) for point in points], step=Duration(seconds=int(step))
        )

    async def get_status(self, request: pb.GetStatusRequest, ctx: Any) -> pb.GetStatusResponse:
        return status_message(self.state)

    async def _points(self, since: float, step: int, route: str, path: str) -> list[Point]:
        try:
            return await self.state.history.points(since, step_s=step, route=route, path=path)
        except ValueError as error:
            raise _invalid(str(error)) from None
        except sqlite3.Error as error:
            raise ConnectError(Code.UNAVAILABLE, f"the history cannot be read: {error}") from error

    async def _span(self, since_s: float) -> Span:
        try:
            return await self.state.since(since_s)
        except sqlite3.Error as error:
            raise ConnectError(Code.UNAVAILABLE, f"the history cannot be read: {error}") from error

    def _answer(self, span: Span, request: pb.GetStatsRequest | pb.WatchStatsRequest) -> pb.GetStatsResponse:
        filter, sort, limit = _check(request)
        view = query(span.frame, span.names, filter, sort=sort, reverse=request.reverse, limit=limit)
        return view_message(view, self._others(span, filter.route), histograms=request.histograms)

    def _others(self, span: Span, route: str | None) -> list[pb.Other]:
        """Of the routes that have counted something under (other): their share, and how many paths that was."""
        frame, names = span
        columns = zip(frame.keys, frame.column(0), strict=True)
        requests: dict[str, int] = {}
        others: dict[str, int] = {}
        for key, count in columns:
            name = names[key]
            requests[name.route] = requests.get(name.route, 0) + count
            if name.other:
                others[name.route] = count
        found = []
        for name_of_route, count in others.items():
            if route in (None, name_of_route):
                found.append(self._other(name_of_route, count, requests[name_of_route]))
        return found

    def _other(self, route: str, count: int, requests: int) -> pb.Other:
        try:
            distinct = reader.distinct(self.state.memory, self.state.route_number(route))
        except ValueError:
            distinct = reader.Distinct(0, 0.0)  # a route of a configuration before this one
        return pb.Other(
            route=route,
            requests=count,
            share=count / requests if requests else 0.0,
            distinct_paths=distinct.paths,
            distinct_relative_error=distinct.relative_error,
        )

    async def _next_tick(self, interval: float) -> int | None:
        """Waits for the next multiple of the interval; None when the server stops.

        Returns from when on a frame will do, in microseconds since 1970: since that multiple, or since a second ago.
        Whoever comes late shares what the first one took: else, where it takes long to answer all, each would get a
        frame and an answer of its own, which takes longer still, and never ends.
        """
        now = time.time()
        wait = interval - now % interval
        # No shorter than half an interval: it would say little, and the first would nearly always be.
        wait += interval if wait < interval / 2 else 0.0
        try:
            await asyncio.wait_for(self.state.stopping.wait(), wait)
        except TimeoutError:
            # A timer may be early by a little, and late by much.
            moment, now = now + wait - EARLY_S, time.time()
            return int(max(moment, now - now % interval, now - OLDEST_S) * 1e6)
        return None


def _check(request: pb.GetStatsRequest | pb.WatchStatsRequest) -> tuple[Filter, Sort, int]:
    limit = request.limit or DEFAULT_LIMIT
    if limit > MOST_LIMIT:
        raise _invalid(f"limit: {limit} is more than {MOST_LIMIT}; use a filter")
    sort = _SORTS.get(request.sort)
    if sort is None:
        raise _invalid(f"sort: {int(request.sort)} is none of {', '.join(sorted(s.name for s in Sort))}")
    asked = request.filter
    if asked is None:
        return Filter(), sort, limit
    return Filter(asked.route or None, asked.prefix, asked.contains, asked.path or None), sort, limit


def _moment(since: Timestamp | None, window: Duration | None) -> float | None:
    """The moment from which on it is to be counted, in seconds since 1970; None if none was given."""
    if since is not None and window is not None:
        raise _invalid("since, window: give one of the two")
    if since is not None:
        moment = since.seconds + since.nanos / 1e9
        if moment < EARLIEST_S:
            raise _invalid("since: that was before the year 2000; it is a moment, as 2026-01-31T12:00:00Z")
        return moment
    if window is not None:
        seconds = _seconds(window)
        if seconds <= 0 or time.time() - seconds < EARLIEST_S:
            raise _invalid(f"window: {seconds:g} s is no time that was counted; write 60s, say")
        return time.time() - seconds
    return None


def _seconds(duration: Duration) -> float:
    return duration.seconds + duration.nanos / 1e9


def _invalid(message: str) -> ConnectError:
    return ConnectError(Code.INVALID_ARGUMENT, message)
