"""The functions of a hooks file that are called once in each worker, and the end of its background tasks."""

from __future__ import annotations

import asyncio
import inspect
import logging
import traceback
from collections.abc import Sequence
from typing import Final

from weir.control.errors import StartError
from weir.hooks.life import Beside, Step
from weir.hooks.loading import Found

__all__ = ["Life"]

log = logging.getLogger("weir.hooks")

# Who is told to end at once has 5 s, and writes its log as well.
_END_S: Final = 4.0


class Life:
    """`begin()` before the worker listens, `end()` after its last exchange. A worker without any of it pays nothing.

    `found` is what a hooks file has; `has_steps`: some of it is called here.
    """

    def __init__(self, found: Sequence[Found]) -> None:
        steps = [one for one in found if isinstance(one, Step)]
        self._startup = [step for step in steps if step.when == "startup"]
        self._shutdown = [step for step in steps if step.when == "shutdown"]
        self.has_steps = bool(steps)
        self._beside: Beside | None = None
        self._begun = False

    async def begin(self) -> None:
        """Calls what is to be called at the start. Raises StartError, which says what has failed, and where."""
        self._beside = Beside.enter()
        for step in self._startup:
            try:
                await self._call(step, step.timeout_s)
            except (Exception, SystemExit) as error:
                raise StartError(f"startup {step.name} {_told(step, error)}") from error
        self._begun = True

    async def end(self) -> None:
        """Ends background tasks, then calls what is to be called at the end. Twice is once."""
        beside, self._beside = self._beside, None
        steps, self._begun = self._shutdown if self._begun else [], False
        try:
            async with asyncio.timeout(_END_S):
                if beside is not None:
                    await beside.leave()
                for step in steps:
                    await self._end_step(step)
        except TimeoutError:
            log.error("the end of background tasks and of shutdown hooks took longer than %.0f s: cut off", _END_S)

    async def _end_step(self, step: Step) -> None:
        try:
            await self._call(step, _END_S)
        except (Exception, SystemExit):
            log.exception("shutdown %s failed", step.name)

    async def _call(self, step: Step, timeout_s: float) -> None:
        said = step.function()
        if inspect.isawaitable(said):
            try:
                async with asyncio.timeout(timeout_s) as limit:
                    await said
            except TimeoutError:
                # A function may raise one of its own: of a connection, say.
                if limit.expired():
                    raise _TooLongError from None
                raise


class _TooLongError(Exception):
    """A function has taken longer than it may."""


def _told(step: Step, error: BaseException) -> str:
    if isinstance(error, _TooLongError):
        return f"took longer than {step.timeout_s:g} s"
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename != __file__]
    lines = traceback.format_list(frames) + traceback.format_exception_only(type(error), error)
    return "failed\n" + "".join(lines).rstrip()
