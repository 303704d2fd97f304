"""The command `weir` as a process of its own, for tests."""

from __future__ import annotations

import contextlib
import http.client
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

__all__ = ["Running", "fetch", "listening", "running", "taken_port", "weir"]

DEADLINE_S = 15.0


def weir(*arguments: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Run a command to its end."""
    command = [sys.executable, "-m", "weir", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=DEADLINE_S, check=False, cwd=cwd)


class Running:
    """A server that runs, with all it has written so far."""

    def __init__(self, process: subprocess.Popen[bytes], out: Path, err: Path) -> None:
        self.process = process
        self._out = out
        self._err = err

    @property
    def out(self) -> str:
        return self._out.read_text()

    @property
    def err(self) -> str:
        return self._err.read_text()

    def wait_for(self, text: str, *, on: str = "err") -> str:
        """What was written on a stream, as soon as it holds `text`."""
        deadline = time.monotonic() + DEADLINE_S
        while time.monotonic() < deadline:
            written = self.err if on == "err" else self.out
            if text in written:
                return written
            if self.process.poll() is not None:
                break
            time.sleep(0.01)
        raise AssertionError(f"{text!r} was not written; status {self.process.poll()}\n{self.out}\n{self.err}")

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Send a signal and return the exit status."""
        self.process.send_signal(number)
        return self.process.wait(DEADLINE_S)


@contextlib.contextmanager
def running(tmp_path: Path, *arguments: str) -> Iterator[Running]:
    """A command that serves; it is killed if it still runs in the end."""
    out, err = tmp_path / "weir.out", tmp_path / "weir.err"
    with open(out, "wb") as out_file, open(err, "wb") as err_file:
        process = subprocess.Popen([sys.executable, "-m", "weir", *arguments], stdout=out_file, stderr=err_file)
    try:
        yield Running(process, out, err)
    finally:
        if process.poll() is None:
            process.kill()
            process.wait(DEADLINE_S)


def listening(server: Running) -> str:
    """The first address that a server says it listens on."""
    mark = "weir: listening on "
    written = server.wait_for(mark)
    while "\n" not in written.partition(mark)[2]:
        written = server.wait_for("\n")
    return written.partition(mark)[2].splitlines()[0]


def fetch(address: str, path: str = "/", method: str = "GET") -> tuple[http.client.HTTPResponse, bytes]:
    """One request to host:port on a connection of its own: the response and its body."""
    host, _, port = address.rpartition(":")
    connection = http.client.HTTPConnection(host.strip("[]"), int(port), timeout=DEADLINE_S)
    try:
        connection.request(method, path)
        response = connection.getresponse()
        return response, response.read()
    finally:
        connection.close()


@contextlib.contextmanager
def taken_port() -> Iterator[str]:
    """An address on which somebody listens already."""
    with socket.create_server(("127.0.0.1", 0)) as holder:
        yield f"127.0.0.1:{holder.getsockname()[1]}"
