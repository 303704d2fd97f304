"""The client for asyncio: the same calls as `weir.client.sync.Client`, awaited."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime
from types import TracebackType
from typing import Any, Self, TypeVar

from protobuf import Message

from weir._gen import stats_pb as pb
from weir.client.calls import Call, check_token, parse_address
from weir.client.errors import TimedOutError, UnreachableError
from weir.client.questions import Moment, Seconds, history_request, stats_request, watch_request
from weir.client.sync import DEFAULT_URL, READ_BYTES

__all__ = ["AsyncClient"]

M = TypeVar("M", bound=Message[Any])


class AsyncClient:
    """Asks the admin address of a running weir; see `Client` for what is given and what is raised.

    async with AsyncClient() as weir:
        async for stats in weir.watch_stats(interval=1):
            print(stats.total.requests_per_second)
    """

    def __init__(self, url: str = DEFAULT_URL, *, token: str = "", timeout: float = 10.0) -> None:
        self.address = parse_address(url)
        self.timeout = timeout
        self._token = check_token(token)
        self._streams: set[asyncio.StreamWriter] = set()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Ends the streams that are still open."""
        for writer in list(self._streams):
            writer.close()
        self._streams.clear()

    async def get_stats(
        self,
        *,
        route: str = "",
        prefix: str = "",
        contains: str = "",
        path: str = "",
        sort: pb.Sort | str = "requests",
        reverse: bool = False,
        limit: int = 100,
        since: Moment | None = None,
        window: Seconds | None = None,
        histograms: bool = False,
    ) -> pb.GetStatsResponse:
        """As Client.get_stats()."""
        request = stats_request(
            filter=pb.Filter(route=route, prefix=prefix, contains=contains, path=path),
            sort=sort,
            reverse=reverse,
            limit=limit,
            since=since,
            window=window,
            histograms=histograms,
        )
        return await self._call("GetStats", request, pb.GetStatsResponse)

    def watch_stats(
        self,
        *,
        route: str = "",
        prefix: str = "",
        contains: str = "",
        path: str = "",
        sort: pb.Sort | str = "requests",
        reverse: bool = False,
        limit: int = 100,
        interval: Seconds = 1.0,
        histograms: bool = False,
    ) -> AsyncIterator[pb.GetStatsResponse]:
        """As Client.watch_stats()."""
        request = watch_request(
            filter=pb.Filter(route=route, prefix=prefix, contains=contains, path=path),
            sort=sort,
            reverse=reverse,
            limit=limit,
            interval=interval,
            histograms=histograms,
        )
        pause = request.interval.to_seconds() if request.interval is not None else 0.0
        return self._watch(request, 2 * pause + self.timeout)

    async def reset_stats(self) -> datetime:
        """As Client.reset_stats()."""
        answer = await self._call("ResetStats", pb.ResetStatsRequest(), pb.ResetStatsResponse)
        assert answer.since is not None
        return answer.since.to_datetime()

    async def get_history(
        self,
        *,
        route: str = "",
        path: str = "",
        since: Moment | None = None,
        window: Seconds | None = None,
        step: Seconds = 60,
    ) -> pb.GetHistoryResponse:
        """As Client.get_history()."""
        request = history_request(route=route, path=path, since=since, window=window, step=step)
        return await self._call("GetHistory", request, pb.GetHistoryResponse)

    async def get_status(self) -> pb.GetStatusResponse:
        """As Client.get_status()."""
        return await self._call("GetStatus", pb.GetStatusRequest(), pb.GetStatusResponse)

    async def _call(self, method: str, request: Message[Any], answer: type[M]) -> M:
        call = Call(self.address, self._token, method, request, answer, stream=False)
        try:
            async with asyncio.timeout(self.timeout), self._connected() as (reader, writer):
                writer.write(call.start())
                await writer.drain()
                while True:
                    if messages := call.receive(await reader.read(READ_BYTES)):
                        return messages[0]
        except TimeoutError:
            raise TimedOutError(f"{self.address.text}: no answer in {self.timeout:g} s") from None
        except OSError as error:
            raise UnreachableError(f"{self.address.text}: {error.strerror or error}") from error
        except UnicodeError:
            raise UnreachableError(f"{self.address.text}: the host is no name") from None

    async def _watch(self, request: pb.WatchStatsRequest, patience: float) -> AsyncIterator[pb.GetStatsResponse]:
        call = Call(self.address, self._token, "WatchStats", request, pb.WatchStatsResponse, stream=True)
        try:
            async with self._connected() as (reader, writer):
                self._streams.add(writer)
                try:
                    writer.write(call.start())
                    while not call.done:
                        async with asyncio.timeout(patience):
                            data = await reader.read(READ_BYTES)
                        if not data and writer not in self._streams:
                            return  # close() was called
                        for message in call.receive(data):
                            if message.stats is not None:
                                yield message.stats
                finally:
                    self._streams.discard(writer)
        except TimeoutError:
            raise TimedOutError(f"{self.address.text}: nothing came for {patience:g} s") from None
        except OSError as error:
            raise UnreachableError(f"{self.address.text}: {error.strerror or error}") from error
        except UnicodeError:
            raise UnreachableError(f"{self.address.text}: the host is no name") from None

    @asynccontextmanager
    async def _connected(self) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
        address = self.address
        async with asyncio.timeout(self.timeout):
            if address.path:
                reader, writer = await asyncio.open_unix_connection(address.path)
            else:
                context = ssl.create_default_context() if address.tls else None
                reader, writer = await asyncio.open_connection(address.host, address.port, ssl=context)
        try:
            yield reader, writer
        finally:
            # What is left unsent says nothing to anybody any more.
            writer.transport.abort()
