"""Bodies as coroutines see them: whole, or piece by piece."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, aclosing
from typing import Any, Protocol

__all__ = ["BodyCut", "BodyTooLarge", "Pieces", "bound", "change", "makes_pieces", "read_whole"]


class BodyTooLarge(Exception):
    """A body is larger than what was to be read of it. It can still go on as it is."""


class BodyCut(Exception):
    """A body has ended before its end: its sender has gone, was malformed, or was too slow."""


class Moving(Protocol):
    """A body on its way: `weir.plane.bodies.Body`."""

    def gather(self, limit: int) -> None:
        """From here on it is read into memory, up to `limit` bytes."""

    def gathered(self) -> bytes | None:
        """All of it, None as long as more is to come; BodyTooLarge, BodyCut."""

    def arrival(self) -> asyncio.Future[None]:
        """Done when something has changed about what was read."""

    def take(self) -> bytes | None:
        """A piece; b"" if there is none yet, None at the end; BodyCut."""

    def put(self, piece: bytes) -> bool:
        """Sends a piece on; whether the receiver has to catch up."""

    def room(self) -> asyncio.Future[None]:
        """Done when it has."""

    def done(self, error: BaseException | None) -> None:
        """There are no more pieces."""


PlainFunction = Callable[[bytes], bytes | None]
Generator = Callable[[AsyncIterator[bytes]], AsyncIterator[bytes]]


def makes_pieces(function: Any) -> bool:
    """Whether it is an async generator function, rather than a plain one that is called with each piece."""
    return inspect.isasyncgenfunction(function) or inspect.isasyncgenfunction(getattr(function, "__call__", None))  # noqa: B004


def bound(function: Any, message: object) -> Any:
    """A hook of a phase of bodies, for the body of one message."""
    if makes_pieces(function):

        async def pieces_of(pieces: AsyncIterator[bytes]) -> AsyncGenerator[bytes, None]:
            async with aclosing(function(pieces, message)) as made:
                async for piece in made:
                    yield piece

        return pieces_of
    return lambda piece: function(piece, message)


async def read_whole(body: Moving, limit: int) -> bytes:
    """Reads all of a body."""
    body.gather(limit)
    while (whole := body.gathered()) is None:
        await body.arrival()
    return whole


class Pieces:
    """The pieces of a body, in order, as they come; none is empty."""

    def __init__(self, body: Moving) -> None:
        self._body = body

    def __aiter__(self) -> Pieces:
        return self

    async def __anext__(self) -> bytes:
        while True:
            piece = self._body.take()
            if piece is None:
                raise StopAsyncIteration
            if piece:
                return piece
            await self._body.arrival()


async def each(function: PlainFunction, pieces: AsyncIterator[bytes]) -> AsyncGenerator[bytes, None]:
    """A plain function as a generator."""
    async for piece in pieces:
        yield function(piece) or b""
    yield function(b"") or b""


async def change(body: Moving, functions: Sequence[Any], source: AsyncIterator[bytes] | None = None) -> None:
    """The task of a body: takes its pieces, or those of `source`, through `functions`, and sends on what comes out."""
    try:
        async with AsyncExitStack() as stack:
            pieces: Any = Pieces(body) if source is None else source
            if hasattr(pieces, "aclose"):
                await stack.enter_async_context(aclosing(pieces))
            for function in functions:
                pieces = function(pieces) if makes_pieces(function) else each(function, pieces)
                if hasattr(pieces, "aclose"):
                    await stack.enter_async_context(aclosing(pieces))
            async for piece in pieces:
                if body.put(piece):
                    await body.room()
    except (Exception, SystemExit) as error:  # a function does not end the worker
        body.done(error)
    except BaseException as error:
        body.done(error)
        raise
    else:
        body.done(None)
