"""Applications that a worker serves itself: ASGI applications and directories of files.

uvicorn serves each in the worker's own loop, on a Unix socket, and to the plane it is an endpoint like any other: no
second HTTP implementation, and a worker without applications imports nothing of this.

What is hard is the socket. It has a name in the file system for the moment between bind and the first look at it only:
a private directory, removed at once. What remains is a descriptor of the nameless file (O_PATH), by which this process
alone can connect. So nobody else ever reaches the application, and a worker that is killed leaves nothing behind.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import importlib.util
import logging
import os
import shutil
import socket
import sys
import tempfile
import traceback
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

import uvicorn
from starlette.applications import Starlette
from starlette.routing import Mount
from starlette.staticfiles import StaticFiles
from uvicorn.lifespan.on import LifespanOn

from weir.control.errors import StartError

__all__ = ["Apps"]

log = logging.getLogger("weir")

# How long requests that were cut off may take to end, and the application's shut-down after them. Together less than
# the supervisor waits for a worker that has drained.
_REQUESTS_S: Final = 1.0
_SHUTDOWN_S: Final = 3.0
# And how long one may take to end that was given up.
_GIVEN_UP_S: Final = 0.5
# weir, who is the only client, closes idle connections itself, and never meets one that is just being closed.
_KEEP_ALIVE_S: Final = 3600
# More than a listener lets through.
_HEAD_BYTES: Final = 256 << 10


class Lifespan(LifespanOn):
    """uvicorn's, which knows the task in which the application lives."""

    task: asyncio.Task[None] | None = None

    async def main(self) -> None:
        self.task = asyncio.current_task()
        await super().main()


class Server(uvicorn.Server):
    """uvicorn's, without its hands on what is the process's (signals, its end), and without waits by the clock.

    `begun` is set when it serves or has given up; `end()` ends it, and `give_up()` what does not.
    """

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.begun, self._ending = asyncio.Event(), asyncio.Event()

    def end(self) -> None:
        self.should_exit = True
        self._ending.set()

    async def serve(self, sockets: list[socket.socket] | None = None) -> None:
        self.config.load()
        if self.config.lifespan_class is LifespanOn:
            self.config.lifespan_class = Lifespan
        await super().serve(sockets)

    async def give_up(self, serving: asyncio.Task[None]) -> None:
        """Cancels `serving`, the task of serve(), and the application's own: of neither anything is left."""
        lifespan: Any = getattr(self, "lifespan", None)
        tasks = {task for task in (serving, getattr(lifespan, "task", None)) if task is not None}
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks, timeout=_GIVEN_UP_S)

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        try:
            await super().startup(sockets)
        except SystemExit:
            self.should_exit = True  # the application does not want to: no reason to end everything else
        finally:
            self.begun.set()

    async def main_loop(self) -> None:
        # 0: a tick at which the Date field is made anew.
        while not await self.on_tick(0):
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._ending.wait(), 1.0)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        for server in self.servers:
            server.close()
        for connection in list(self.server_state.connections):
            connection.shutdown()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_REQUESTS_S):
                while self.server_state.connections or self.server_state.tasks:
                    await asyncio.sleep(0.005)
        if self.server_state.tasks:
            log.warning("%d requests that were cut off do not end: they are cancelled", len(self.server_state.tasks))
        for task in list(self.server_state.tasks):
            task.cancel()
        for connection in list(self.server_state.connections):
            if connection.transport is not None:
                connection.transport.abort()
        await asyncio.sleep(0)
        await self.lifespan.shutdown()


class Files(StaticFiles):
    """The files of a directory, without those whose name, or whose directory's name, begins with a dot.

    Links that lead out of the directory lead nowhere. `.well-known` (RFC 8615) is there for everybody.
    """

    def lookup_path(self, path: str) -> tuple[str, os.stat_result | None]:
        steps = [step for step in path.split("/") if step not in ("", ".")]
        if any(step.startswith(".") for step in (steps[1:] if steps[:1] == [".well-known"] else steps)):
            return "", None
        return super().lookup_path(path)


class Apps:
    """The applications of a worker, by their texts (`AddressPlan.app`).

    `directory` is where their modules are looked for first, "" for nowhere but where Python looks. `given` are
    applications that somebody has at hand. start() and stop() are called in the loop that serves them.
    """

    def __init__(self, texts: Iterable[str], directory: str = "", given: Mapping[str, Any] | None = None) -> None:
        self._texts = list(dict.fromkeys(texts))
        self._directory = directory
        self._given = given or {}
        self._running: dict[str, tuple[Server, asyncio.Task[None]]] = {}
        self._places: dict[str, int] = {}

    async def start(self) -> None:
        """Imports and starts them, one after the other; nothing runs if it raises StartError."""
        try:
            for text in self._texts:
                await self._start(text)
        except BaseException:
            await self.stop()
            raise

    def path(self, text: str) -> str:
        """Where an application that was started can be connected to, by this process alone."""
        return f"/proc/self/fd/{self._places[text]}"

    async def stop(self) -> None:
        """Ends what they are doing, lets them shut down, and forgets them."""
        # All at the same time, which is that of one.
        for server, _task in self._running.values():
            server.end()
        if self._running:
            tasks = [task for _server, task in self._running.values()]
            await asyncio.wait(tasks, timeout=_REQUESTS_S + _SHUTDOWN_S)
        for text, (server, task) in self._running.items():
            if not task.done():
                log.warning("%s does not shut down within %d s: it is given up", text, _REQUESTS_S + _SHUTDOWN_S)
                await server.give_up(task)
            elif not task.cancelled() and (error := task.exception()) is not None:
                log.error("%s failed while it shut down", text, exc_info=error)
        self._running.clear()
        for place in self._places.values():
            os.close(place)
        self._places.clear()

    async def _start(self, text: str) -> None:
        app = self._given[text] if text in self._given else load(text, self._directory)
        server = Server(configured(app, lifespan="off" if text.startswith("files:") else "auto"))
        try:
            sock, self._places[text] = private_socket()
        except OSError as error:
            reason = f"{(error.strerror or str(error)).lower()} ({tempfile.gettempdir()})"
            raise StartError(f"{text}: no socket can be made: {reason}") from error
        task = asyncio.create_task(server.serve(sockets=[sock]))
        self._running[text] = (server, task)
        begun = asyncio.create_task(server.begun.wait())
        try:
            await asyncio.wait({task, begun}, return_when=asyncio.FIRST_COMPLETED)
        except asyncio.CancelledError:
            # It need not be waited for: nobody has been served by it.
            del self._running[text]
            await server.give_up(task)
            sock.close()
            raise
        finally:
            begun.cancel()
        if server.started:
            return
        await asyncio.wait({task})
        sock.close()
        del self._running[text]
        if (failed := task.exception()) is not None:
            raise StartError(f"{text}: it cannot be served\n{_traceback(failed)}") from failed
        raise StartError(f"{text}: the application has refused to start: its lifespan failed, see above")


def configured(app: Any, *, lifespan: str) -> uvicorn.Config:
    """uvicorn's settings for a server whose only client is weir."""
    fast = importlib.util.find_spec("httptools") is not None
    websockets = importlib.util.find_spec("websockets") is not None
    return uvicorn.Config(
        app,
        log_config=None,
        access_log=False,
        lifespan="off" if lifespan == "off" else "auto",
        http="httptools" if fast else "h11",
        ws="websockets-sansio" if websockets else "auto",
        server_header=False,
        # The client's address and scheme, as weir says them.
        proxy_headers=True,
        forwarded_allow_ips="*",
        timeout_keep_alive=_KEEP_ALIVE_S,
        h11_max_incomplete_event_size=_HEAD_BYTES,
    )


def private_socket() -> tuple[socket.socket, int]:
    """A bound, listening socket without a name, and the descriptor of its file. OSError if there is none to be had."""
    directory = tempfile.mkdtemp(prefix="weir-")
    try:
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            path = os.path.join(directory, "app")
            sock.bind(path)
            sock.listen(2048)
            sock.setblocking(False)
            return sock, os.open(path, os.O_PATH | os.O_CLOEXEC)
        except BaseException:
            sock.close()
            raise
    finally:
        shutil.rmtree(directory)


def load(text: str, directory: str = "") -> Any:
    """The application that a text names: `files:/directory`, `asgi:module:name` or `asgi:module:name()`.

    StartError says what is wrong, with the traceback of an import that failed.
    """
    kind, _, what = text.partition(":")
    if kind == "files":
        try:
            return Starlette(routes=[Mount("/", Files(directory=what, html=True))])
        except RuntimeError:
            raise StartError(f"{text}: there is no such directory") from None
    module_name, _, name = what.partition(":")
    if directory and directory not in sys.path:
        sys.path.insert(0, directory)
        importlib.invalidate_caches()
    try:
        app: Any = importlib.import_module(module_name)
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt | asyncio.CancelledError):
            raise
        raise StartError(_not_imported(text, module_name, directory, error)) from error
    try:
        for step in name.removesuffix("()").split("."):
            app = getattr(app, step)
    except AttributeError as error:
        raise StartError(f"{text}: {error}") from error
    if name.endswith("()"):
        try:
            app = app()
        except Exception as error:
            raise StartError(f"{text}: {name} has raised\n{_traceback(error)}") from error
    if not callable(app):
        raise StartError(f"{text}: {name} is not an ASGI application, but {type(app).__name__}")
    return app


def _not_imported(text: str, module: str, directory: str, error: BaseException) -> str:
    if isinstance(error, ModuleNotFoundError) and error.name and f"{module}.".startswith(f"{error.name}."):
        where = f" in {directory}" if directory else ""
        return f"{text}: there is no module {error.name}{where}, nor where Python looks for modules"
    return f"{text}: {module} cannot be imported\n{_traceback(error)}"


def _traceback(error: BaseException) -> str:
    """What Python would print, from the application's first line on."""
    begun = error.__traceback__
    while begun is not None and (
        begun.tb_frame.f_code.co_filename == __file__ or "importlib" in begun.tb_frame.f_code.co_filename
    ):
        begun = begun.tb_next
    return "".join(traceback.format_exception(type(error), error, begun)).rstrip()
