"""The admin process: what the supervisor starts beside its workers.

It serves until TERM, or until the supervisor is gone. What happens to it never touches the proxy.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import signal
import socket
from collections.abc import Callable, Sequence
from typing import Any

from weir.admin.server import serve
from weir.config.plan import Plan
from weir.stats.rules import RuleBook

__all__ = ["READY", "Status", "main"]

log = logging.getLogger("weir.admin")

READY = b"R"
# A line of the supervisor's is short; one that is not is not one.
_LINE_BYTES = 1 << 20


class Status:
    """What the supervisor last said of itself: a line of JSON at each change, see `weir.control.supervisor`."""

    def __init__(self) -> None:
        self.latest: dict[str, Any] = {}
        self._rest = bytearray()

    def feed(self, piece: bytes) -> None:
        """Takes what came; ValueError when that is no line of JSON."""
        self._rest += piece
        *lines, rest = self._rest.split(b"\n")
        self._rest = bytearray(rest)
        if len(rest) > _LINE_BYTES:
            raise ValueError("a line without an end")
        if lines:
            self.latest = json.loads(lines[-1])


def main(
    plan: Plan,
    memory: Any,
    sockets: Sequence[socket.socket],
    channel: socket.socket,
    on_signals: Callable[[], None] = lambda: None,
    rules: RuleBook | None = None,
) -> int:
    """Serves on `sockets` until TERM or the end of `channel`, the line to the supervisor; returns the exit status.

    On the channel one byte is written when it serves, and the supervisor's lines are read. `on_signals` is called when
    signals are handled. `rules` is the memory of the plan's rules.
    """
    asyncio.run(_serve(plan, memory, sockets, channel, on_signals, rules))
    return 0


async def _serve(
    plan: Plan,
    memory: Any,
    sockets: Sequence[socket.socket],
    channel: socket.socket,
    on_signals: Callable[[], None],
    rules: RuleBook | None,
) -> None:
    loop = asyncio.get_running_loop()
    end = asyncio.Event()
    status = Status()

    def on_channel() -> None:
        try:
            piece = channel.recv(1 << 16)
            status.feed(piece)
        except (BlockingIOError, InterruptedError):
            return
        except (OSError, ValueError) as error:
            log.error("the supervisor cannot be understood: %s", error)
            piece = b""
        if not piece:
            loop.remove_reader(channel)
            end.set()

    channel.setblocking(False)
    for number in (signal.SIGINT, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2):
        signal.signal(number, signal.SIG_IGN)
    for number in (signal.SIGTERM, signal.SIGQUIT):
        loop.add_signal_handler(number, end.set)
    loop.add_reader(channel, on_channel)
    on_signals()
    async with serve(plan, memory, sockets, token=plan.admin.token, rules=rules):
        with contextlib.suppress(OSError):
            channel.send(READY)
        await end.wait()
