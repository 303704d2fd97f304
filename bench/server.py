"""Server processes that the benchmark starts, and surely ends."""

from __future__ import annotations

import ctypes
import os
import resource
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from bench.measure import tree

__all__ = ["Server", "ServerError", "free_port", "get", "prepare_child"]

_LIBC = ctypes.CDLL(None, use_errno=True)
_PR_SET_PDEATHSIG = 1
STOP_SECONDS = 5.0


class ServerError(Exception):
    """A server did not start, died, or answered wrongly; the message has the end of what it wrote."""


_given_ports: set[int] = set()


def free_port() -> int:
    """A TCP port on 127.0.0.1 that nobody listens on now, and that was not given before: its server may yet begin."""
    while True:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port: int = probe.getsockname()[1]
        if port not in _given_ports:
            _given_ports.add(port)
            return port


def prepare_child(cpu: int) -> Callable[[], None]:
    """What a child does before exec: go to CPU `cpu`, take all descriptors it may have, and end when we are killed."""

    def prepare() -> None:
        os.sched_setaffinity(0, {cpu})
        _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)

    return prepare


def raise_descriptor_limit() -> int:
    """Raises this process's descriptor limit (children inherit it) as far as it may go; returns the limit."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard


def get(port: int, path: str, timeout: float = 5.0) -> tuple[bytes, bytes]:
    """One GET over a new connection that the server is asked to close: head and body as received.

    Raises OSError if it cannot connect or receive.
    """
    request = f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: close\r\n\r\n"
    pieces = []
    with socket.create_connection(("127.0.0.1", port), timeout) as connection:
        connection.sendall(request.encode())
        while piece := connection.recv(262144):
            pieces.append(piece)
    head, _, body = b"".join(pieces).partition(b"\r\n\r\n")
    return head, body


class Server:
    """A server process with its own process group, pinned to one CPU.

    Parameters: `name` for messages; `argv` and additional environment `env`; `port` where it will listen;
    `directory` for
    its output, which goes to NAME.out there. Attribute `ready_seconds`: from just before fork to the first answer.
    """

    def __init__(
        self, name: str, argv: list[str], port: int, cpu: int, directory: Path, env: Mapping[str, str] | None = None
    ) -> None:
        self.name = name
        self.argv = argv
        self.port = port
        self.cpu = cpu
        self.output = directory / f"{name}.out"
        self.env = {**os.environ, **(env or {})}
        self.ready_seconds = 0.0
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, path: str = "/small", timeout: float = 20.0) -> None:
        """Starts it and waits until it answers GET `path` with 200. Raises ServerError if it does not in
        `timeout` s.
        """
        began = time.monotonic()
        with self.output.open("wb") as output:
            self._process = subprocess.Popen(
                self.argv,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=self.env,
                start_new_session=True,
                preexec_fn=prepare_child(self.cpu),
            )
        while not self._answers(path):
            if self._process.poll() is not None:
                raise ServerError(f"{self.name} ended with status {self._process.returncode}\n{self._tail()}")
            if time.monotonic() - began > timeout:
                self.stop()
                raise ServerError(f"{self.name} does not answer within {timeout:.0f} s\n{self._tail()}")
            time.sleep(0.001)
        self.ready_seconds = time.monotonic() - began

    def tree(self) -> list[int]:
        """The process and its descendants. Raises ServerError if it has ended."""
        if self._process is None or self._process.poll() is not None:
            status = None if self._process is None else self._process.returncode
            raise ServerError(f"{self.name} is not running (status {status})\n{self._tail()}")
        return tree(self._process.pid)

    def stop(self) -> None:
        """Ends it and its descendants: TERM first, KILL what is left after STOP_SECONDS."""
        process, self._process = self._process, None
        if process is None:
            return
        family = tree(process.pid)
        process.terminate()
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        left = set(family) - {process.pid}
        deadline = time.monotonic() + 1.0
        while (left := {pid for pid in left if self._in_our_session(pid, process.pid)}) and time.monotonic() < deadline:
            time.sleep(0.01)
        for pid in left:
            os.kill(pid, signal.SIGKILL)

    @staticmethod
    def _in_our_session(pid: int, session: int) -> bool:
        # A number that the kernel has given to somebody else meanwhile is of another session.
        try:
            return os.getsid(pid) == session
        except ProcessLookupError:
            return False

    def _answers(self, path: str) -> bool:
        try:
            head, _ = get(self.port, path)
        except OSError:
            return False
        return b" 200 " in head.partition(b"\r\n")[0]

    def _tail(self) -> str:
        try:
            return "\n".join(self.output.read_text(errors="replace").splitlines()[-15:])
        except OSError:
            return ""
