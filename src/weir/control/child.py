"""The life of a process that the supervisor has forked to serve: one worker, told by signals when to end.

TERM drains (however often it comes), QUIT ends at once, USR1 opens the log anew. INT is the supervisor's: a terminal
sends it to all processes together. `channel` is the line to the supervisor: one byte is written when clients are
accepted and one when a drain begins; its end means that there is no supervisor any more.
"""

from __future__ import annotations

import asyncio
import contextlib
import faulthandler
import gc
import logging
import os
import signal
import socket

from weir.config.plan import Plan
from weir.control.errors import StartError
from weir.control.orders import drain_or_stop, start_unless
from weir.control.spawn import allow_signals, hold_signals
from weir.control.status import say
from weir.control.worker import Bound, Seat, Worker
from weir.plane.engine import Engine
from weir.plane.selector import EngineSelector

__all__ = ["DRAINING", "READY", "serve"]

log = logging.getLogger("weir")

READY = b"R"
DRAINING = b"D"

# When another worker takes over, connections that wait for a request stay open for so long: on each of them one may be
# on its way, and on new ones it certainly is.
GRACE_S = 0.5


def serve(plan: Plan, seat: Seat, bound: Bound, channel: socket.socket) -> int:
    """Serves until it is told to end; returns the exit status: 0, or 1 if it could not begin."""
    # A worker that hangs is sent ABRT first, so that it says where.
    faulthandler.enable()
    # What the supervisor has made is nothing for this process's collector, nor is what is made before the first
    # request: looking at it would copy pages, and make a large configuration slow to start.
    gc.freeze()
    gc.disable()
    engine = Engine()
    selector = EngineSelector(engine)
    with asyncio.Runner(loop_factory=lambda: asyncio.SelectorEventLoop(selector)) as runner:
        try:
            runner.run(_serve(plan, engine, seat, bound, channel))
        except StartError as error:
            say(str(error))
            return 1
    return 0


async def _serve(plan: Plan, engine: Engine, seat: Seat, bound: Bound, channel: socket.socket) -> None:
    loop = asyncio.get_running_loop()
    worker = Worker(plan, engine, seat)
    worker.adopt(bound)
    drain, now = asyncio.Event(), asyncio.Event()

    def on_quit() -> None:
        drain.set()
        now.set()

    def on_channel() -> None:
        # Nothing is ever written to it: it has ended.
        loop.remove_reader(channel)
        if not drain.is_set():
            log.error("the supervisor is gone: this worker (process %d) drains and ends", os.getpid())
        drain.set()

    for number in (signal.SIGINT, signal.SIGHUP, signal.SIGUSR2):
        signal.signal(number, signal.SIG_IGN)
    loop.add_signal_handler(signal.SIGTERM, drain.set)
    loop.add_signal_handler(signal.SIGQUIT, on_quit)
    loop.add_signal_handler(signal.SIGUSR1, worker.reopen_logs)
    loop.add_reader(channel, on_channel)
    allow_signals()
    if await start_unless(worker, drain):
        # What exists now lives as long as the process: the collector need not look at it again.
        gc.collect()
        gc.freeze()
        gc.enable()
        tell(channel, READY)
        await drain.wait()
        worker.leave()
        tell(channel, DRAINING)
        await drain_or_stop(worker, now, GRACE_S)
    loop.remove_reader(channel)
    # The loop takes its handlers away when it closes; a second TERM must not make a failure of this.
    hold_signals()


def tell(channel: socket.socket, word: bytes) -> None:
    """The supervisor may be gone; then there is nobody to tell."""
    with contextlib.suppress(OSError):
        channel.send(word)
