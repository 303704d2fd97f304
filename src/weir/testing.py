"""For tests: a proxy on a free port around an application or a server, with what passed through it.

    async with weir.testing.proxy(app) as proxy:
        await client.get(f"{proxy.url}/users/17")
        proxy.assert_passed("GET", "/users/17", status=200)

`with` instead of `async with` runs the proxy in a thread of its own, for tests that are plain functions.
"""

from __future__ import annotations

import asyncio
import json
import re
import threading
from collections import deque
from collections.abc import Coroutine, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Final, Self, TypeVar

from weir.embedding import Hooks, Proxy
from weir.stats.reader import Snapshot

__all__ = ["Exchange", "ObservedProxy", "proxy"]

T = TypeVar("T")

# What is remembered; of more, the last ones.
MOST_EXCHANGES: Final = 100_000
# How long tasks that an application has left running may take to end.
_LEFT_S: Final = 1.0
# How often it is looked at whether the thread of a proxy lives.
_LOOK_S: Final = 0.2
# Of those that passed, how many a failed assertion shows.
_MOST_SHOWN: Final = 20


@dataclass(frozen=True, slots=True)
class Exchange:
    """One request with what became of it, as in the access log. Times are in milliseconds.

    What is not known, because the head of a request never came, is "" or 0.
    """

    method: str
    target: str  # as the client sent it, with the query
    path: str
    host: str
    status: int  # that the client got; 0: none
    reason: str  # why it ended: "none" is well, "client_closed", ...; see docs/reasons.md
    request_bytes: int  # of the body
    response_bytes: int
    total_ms: float
    first_byte_ms: float | None  # None: the endpoint sent none
    parts_ms: Mapping[str, float]  # the time ledger: TR, Tw, Tc, Tr, Td
    endpoint: str  # "": nobody was asked
    retries: int
    client: str
    request_id: str
    user_agent: str

    def __str__(self) -> str:
        status = self.status or "no answer"
        said = "" if self.reason == "none" else f" ({self.reason})"
        return f"{self.method or '?'} {self.target or '?'}: {status}{said}"


class ObservedProxy:
    """A proxy, and what has passed through it. Made by proxy(); entered with `async with` or `with`."""

    def __init__(self, made: Proxy) -> None:
        self._proxy = made
        self._sink = _Sink()
        made._sink = self._sink
        self._thread: _Thread | None = None

    async def __aenter__(self) -> Self:
        await self._proxy.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._proxy.__aexit__(kind, error, trace)

    def __enter__(self) -> Self:
        self._thread = _Thread()
        try:
            self._thread.run(self._proxy.__aenter__())
        except BaseException:
            self._thread.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._thread is not None
        thread, self._thread = self._thread, None
        try:
            thread.run(self._proxy.__aexit__(kind, error, trace))
        finally:
            thread.close()

    @property
    def url(self) -> str:
        """As of weir.Proxy."""
        return self._proxy.url

    @property
    def address(self) -> str:
        """As of weir.Proxy."""
        return self._proxy.address

    @property
    def addresses(self) -> list[str]:
        """As of weir.Proxy."""
        return self._proxy.addresses

    def stats(self) -> Snapshot:
        """As of weir.Proxy."""
        return self._proxy.stats()

    @property
    def exchanges(self) -> list[Exchange]:
        """What has passed, in the order in which it ended: an exchange whose response a client has whole is there."""
        if self._thread is not None and not self._thread.is_here():
            self._thread.run(self._collect())
        else:
            self._proxy._flush()
        return list(self._sink.exchanges)

    def clear(self) -> None:
        """Forgets what has passed."""
        self.exchanges  # noqa: B018  # what waits to be written is forgotten, too
        self._sink.exchanges.clear()

    def assert_passed(
        self,
        method: str | None = None,
        path: str | re.Pattern[str] | None = None,
        *,
        status: int | None = None,
        reason: str | None = None,
        endpoint: str | None = None,
        times: int | None = None,
    ) -> list[Exchange]:
        """Asserts that such an exchange has passed, and returns all of them.

        What is None may be anything. `path` is without the query; a pattern has to match all of it. `times` is how
        often exactly; None: at least once. AssertionError lists what has passed instead.
        """
        passed = self.exchanges
        wanted: dict[str, object] = {"method": method, "status": status, "reason": reason, "endpoint": endpoint}
        found = [
            exchange
            for exchange in passed
            if all(value is None or getattr(exchange, name) == value for name, value in wanted.items())
            and _matches(path, exchange.path)
        ]
        if len(found) == times or (times is None and found):
            return found
        named = {"path": path.pattern if isinstance(path, re.Pattern) else path, **wanted}
        what = " ".join(f"{name}={value!r}" for name, value in named.items() if value is not None) or "anything"
        often = "at least once" if times is None else f"{times} {'time' if times == 1 else 'times'}"
        shown = [f"  {exchange}" for exchange in passed[-_MOST_SHOWN:]]
        if len(passed) > len(shown):
            shown.insert(0, f"  ... {len(passed) - len(shown)} before these")
        raise AssertionError(
            f"{what} should have passed {often}, and passed {len(found)}.\n"
            + ("\n".join(["What passed:", *shown]) if passed else "Nothing passed.")
        )

    async def _collect(self) -> None:
        self._proxy._flush()


def proxy(
    around: Any = None,
    *,
    to: str | Sequence[str] | None = None,
    hooks: Hooks | None = None,
    listen: str = "127.0.0.1:0",
    **tables: Any,
) -> ObservedProxy:
    """A proxy on a free port, for `async with` or `with`.

    `around` is an ASGI application, the address or URL of a server (`to` is the same, for several of them), or a whole
    configuration (a mapping with `listener`). `hooks` and `tables` are as of weir.Proxy, for example
    `cluster={"queue": {"size": 1}}`. When the block ends, what is still in progress is cut off after a second, unless
    `drain_timeout` says otherwise.
    """
    tables.setdefault("drain_timeout", "1s")
    if isinstance(around, Mapping):
        return ObservedProxy(Proxy({**tables, **around}, hooks=hooks))
    if isinstance(around, str):
        to, around = around.rstrip("/"), None
    return ObservedProxy(Proxy(to=to, app=around, hooks=hooks, listen=listen, **tables))


def _matches(wanted: str | re.Pattern[str] | None, path: str) -> bool:
    if isinstance(wanted, re.Pattern):
        return wanted.fullmatch(path) is not None
    return wanted is None or wanted == path


class _Sink:
    """Takes the access log in."""

    def __init__(self) -> None:
        self.exchanges: deque[Exchange] = deque(maxlen=MOST_EXCHANGES)

    def write(self, batch: bytes, lines: int) -> None:
        self.exchanges.extend(_exchange(json.loads(line)) for line in batch.splitlines())

    def reopen(self) -> None:
        pass

    def close(self) -> None:
        pass


def _exchange(line: dict[str, Any]) -> Exchange:
    target = line["target"] or ""
    return Exchange(
        method=line["method"] or "",
        target=target,
        path=re.sub("^[a-z]+://[^/?]*", "", target, flags=re.IGNORECASE).partition("?")[0],
        host=line["host"] or "",
        status=line["status"] or 0,
        reason=line["reason"],
        request_bytes=line["request_body_bytes"],
        response_bytes=line["response_body_bytes"],
        total_ms=line["total_ms"],
        first_byte_ms=line["first_byte_ms"],
        parts_ms={part: line[part] for part in ("TR", "Tw", "Tc", "Tr", "Td")},
        endpoint=line["endpoint"] or "",
        retries=line["retries"],
        client=line["client"] or "",
        request_id=line["request_id"] or "",
        user_agent=line["user_agent"] or "",
    )


class _Thread:
    """A loop in a thread of its own."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="weir.testing", daemon=True)
        self._thread.start()

    def is_here(self) -> bool:
        """Whether it is the calling thread, which an application and hooks run in: they would wait for themselves."""
        return threading.get_ident() == self._thread.ident

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Waits for it, here. RuntimeError when the loop has ended, because something in it has exited."""
        result = asyncio.run_coroutine_threadsafe(work, self._loop)
        while self._thread.is_alive():
            with suppress(TimeoutError):
                return result.result(_LOOK_S)
            if result.done():
                return result.result()  # a TimeoutError of its own
        work.close()
        raise RuntimeError("the loop of this proxy has ended: something that ran in it has called sys.exit()")

    def close(self) -> None:
        if not self._thread.is_alive():
            self._loop.close()
            return
        self.run(_cancel_others())
        self.run(self._loop.shutdown_asyncgens())
        self.run(self._loop.shutdown_default_executor())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


async def _cancel_others() -> None:
    """What an application, or a hook, has left running ends as it would with asyncio.run."""
    tasks = asyncio.all_tasks() - {asyncio.current_task()}
    for task in tasks:
        task.cancel()
    if tasks:
        await asyncio.wait(tasks, timeout=_LEFT_S)
