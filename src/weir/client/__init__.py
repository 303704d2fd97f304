"""Asks a running weir what it has measured: `Client`, and `AsyncClient` for asyncio.

Answers are the messages of the contract (proto/weir/v1/stats.proto), with types: counts are `int`, times in
microseconds, moments `Timestamp` (`to_datetime()`). They are `weir.client.GetStatsResponse` and so on.
"""

from __future__ import annotations

from weir._gen.stats_pb import (
    GetHistoryResponse,
    GetStatsResponse,
    GetStatusResponse,
    Histogram,
    Point,
    Quantiles,
    Series,
    Sort,
)
from weir.client.aio import AsyncClient
from weir.client.errors import CallError, ClientError, ProtocolError, TimedOutError, UnreachableError
from weir.client.sync import DEFAULT_URL, Client

__all__ = [
    "DEFAULT_URL",
    "AsyncClient",
    "CallError",
    "Client",
    "ClientError",
    "GetHistoryResponse",
    "GetStatsResponse",
    "GetStatusResponse",
    "Histogram",
    "Point",
    "ProtocolError",
    "Quantiles",
    "Series",
    "Sort",
    "TimedOutError",
    "UnreachableError",
]
