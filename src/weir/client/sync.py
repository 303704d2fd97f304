"""The client for programs without an event loop."""

from __future__ import annotations

import socket
import ssl
import time
from collections.abc import Iterator
from datetime import datetime
from types import TracebackType
from typing import Any, Final, Self, TypeVar

from protobuf import Message

from weir._gen import stats_pb as pb
from weir.client.calls import Call, check_token, parse_address
from weir.client.errors import TimedOutError, UnreachableError
from weir.client.questions import Moment, Seconds, history_request, stats_request, watch_request

__all__ = ["DEFAULT_URL", "Client"]

DEFAULT_URL: Final = "http://127.0.0.1:8079"
READ_BYTES: Final = 1 << 16

M = TypeVar("M", bound=Message[Any])


class Client:
    """Asks the admin address of a running weir.

    `url` is `http://host:port`, `https://host` or `unix:/path`; `token` the one that is configured there, if any;
    `timeout` the seconds that a call may take (that a stream may be late with a message). Each call has a connection
    of its own, so a client may be used by several threads. Errors are those of `weir.client.errors`; ValueError for an
    address, a token, an order or a moment that is none.

        with Client() as weir:
            for series in weir.get_stats(sort="p99", limit=10).series:
                print(series.path, series.requests, series.total.p99_us)
    """

    def __init__(self, url: str = DEFAULT_URL, *, token: str = "", timeout: float = 10.0) -> None:
        self.address = parse_address(url)
        self.timeout = timeout
        self._token = check_token(token)
        self._streams: set[socket.socket] = set()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Ends the streams that are still open."""
        for stream in list(self._streams):
            stream.close()
        self._streams.clear()

    def get_stats(
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
        """The first `limit` series in an order, and the sum of all that match.

        Those that match have this `route`, a path that begins with `prefix`, has `contains` in it (capitals or not), or
        is `path`; "" is whatever it is. `sort` is a word of the order (`requests`, `p99`, ...: see `weir.client.Sort`),
        the greatest first unless `reverse`. What is counted: from the moment `since` on, or in the last `window`; with
        neither, since the last reset_stats() or the start. `histograms` adds those of each series.
        """
        request = stats_request(
            filter=pb.Filter(route=route, prefix=prefix, contains=contains, path=path),
            sort=sort,
            reverse=reverse,
            limit=limit,
            since=since,
            window=window,
            histograms=histograms,
        )
        return self._call("GetStats", request, pb.GetStatsResponse)

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
    ) -> Iterator[pb.GetStatsResponse]:
        """As get_stats(), of each `interval` (seconds, 0.2 to 3600) as it ends, until the server or the caller ends it.

        Who takes longer than an interval gets a longer one next: `since` and `taken` say which.
        """
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

    def reset_stats(self) -> datetime:
        """get_stats() without `since` counts from now on; the moment. History and metrics go on as they were."""
        answer = self._call("ResetStats", pb.ResetStatsRequest(), pb.ResetStatsResponse)
        assert answer.since is not None
        return answer.since.to_datetime()

    def get_history(
        self,
        *,
        route: str = "",
        path: str = "",
        since: Moment | None = None,
        window: Seconds | None = None,
        step: Seconds = 60,
    ) -> pb.GetHistoryResponse:
        """One series, one route, or everything, step by step; the last hour unless `since` or `window` says otherwise.

        `step` is a whole number of minutes; steps in which nothing passed are there with zeros.
        """
        request = history_request(route=route, path=path, since=since, window=window, step=step)
        return self._call("GetHistory", request, pb.GetHistoryResponse)

    def get_status(self) -> pb.GetStatusResponse:
        """Workers, endpoints with their connections, the statistics table, and all reasons since the start."""
        return self._call("GetStatus", pb.GetStatusRequest(), pb.GetStatusResponse)

    def _call(self, method: str, request: Message[Any], answer: type[M]) -> M:
        call = Call(self.address, self._token, method, request, answer, stream=False)
        until = time.monotonic() + self.timeout
        try:
            with self._connect() as connection:
                connection.sendall(call.start())
                while True:
                    # A peer that sends a byte now and then does not stretch the time.
                    connection.settimeout(max(until - time.monotonic(), 0.001))
                    if messages := call.receive(connection.recv(READ_BYTES)):
                        return messages[0]
        except TimeoutError:
            raise TimedOutError(f"{self.address.text}: no answer in {self.timeout:g} s") from None
        except OSError as error:
            raise UnreachableError(f"{self.address.text}: {error.strerror or error}") from error
        except UnicodeError:
            raise UnreachableError(f"{self.address.text}: the host is no name") from None

    def _watch(self, request: pb.WatchStatsRequest, patience: float) -> Iterator[pb.GetStatsResponse]:
        call = Call(self.address, self._token, "WatchStats", request, pb.WatchStatsResponse, stream=True)
        connection: socket.socket | None = None
        try:
            connection = self._connect()
            self._streams.add(connection)
            connection.sendall(call.start())
            connection.settimeout(patience)
            while not call.done:
                for message in call.receive(connection.recv(READ_BYTES)):
                    if message.stats is not None:
                        yield message.stats
        except TimeoutError:
            raise TimedOutError(f"{self.address.text}: nothing came for {patience:g} s") from None
        except OSError as error:
            if connection is not None and connection.fileno() < 0:
                return  # close() was called
            raise UnreachableError(f"{self.address.text}: {error.strerror or error}") from error
        except UnicodeError:
            raise UnreachableError(f"{self.address.text}: the host is no name") from None
        finally:
            if connection is not None:
                self._streams.discard(connection)
                connection.close()

    def _connect(self) -> socket.socket:
        address = self.address
        if address.path:
            connection = socket.socket(socket.AF_UNIX)
            try:
                connection.settimeout(self.timeout)
                connection.connect(address.path)
            except BaseException:
                connection.close()
                raise
            return connection
        connection = socket.create_connection((address.host, address.port), self.timeout)
        if address.tls:
            try:
                return ssl.create_default_context().wrap_socket(connection, server_hostname=address.host)
            except BaseException:
                connection.close()
                raise
        return connection
