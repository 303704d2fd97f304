"""Names of hosts, looked up as the system does it, in threads that nobody waits for.

getaddrinfo cannot be broken off, and may take half a minute where a name server is silent. asyncio calls it in the
threads of a loop's executor: whoever ends the loop waits for them, and whoever else wants one of them does, too.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import socket
import threading
from collections.abc import Callable
from typing import Any

__all__ = ["look_up"]


def look_up(host: str, port: int, ended: Callable[[], object] = int) -> asyncio.Future[list[Any]]:
    """What socket.getaddrinfo() says of a host, for streams: awaited, it is that, or raises what that raises.

    `ended` is called in the running loop when the thread has ended, also if nobody waits for the answer any more.
    OSError at once, and nothing is called, if there is no thread.
    """
    loop = asyncio.get_running_loop()
    answer: asyncio.Future[list[Any]] = loop.create_future()

    def tell(said: list[Any] | Exception) -> None:
        ended()
        if answer.done():
            return
        if isinstance(said, Exception):
            answer.set_exception(said)
        else:
            answer.set_result(said)

    def call() -> None:
        said: list[Any] | Exception
        try:
            said = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except Exception as error:
            said = error
        # RuntimeError: the loop is closed by now, and nobody waits for it.
        with contextlib.suppress(RuntimeError):
            loop.call_soon_threadsafe(tell, said)

    # A daemon: one that hangs must not keep the process from ending.
    thread = threading.Thread(target=call, name="weir-names", daemon=True)
    try:
        thread.start()
    except RuntimeError as error:
        raise OSError(errno.EAGAIN, "there is no thread for it") from error
    return answer
