"""The parts of the tutorial as processes of their own."""

from __future__ import annotations

import contextlib
import http.client
import json
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from tests.e2e.peers import dial
from tests.e2e.wire import Message, Wire, eventually

__all__ = ["ALL", "CONCURRENT", "COUNTED", "POOLED", "TUTORIAL", "Part", "StartPart", "get", "run_client"]

TUTORIAL = Path(__file__).resolve().parents[2] / "examples" / "tutorial"
POOLED = ["part4", "part5_server"]
COUNTED = ["part3", *POOLED]
CONCURRENT = ["part2", *COUNTED]
ALL = ["part1", *CONCURRENT]


class Part:
    """A running part: `listen` and, of part 5, `rpc` are where it listens."""

    def __init__(self, name: str, backend: str, directory: Path) -> None:
        self.directory = directory
        # Warnings are errors, but not of what is still open when the process ends, where the kernel closes it.
        command = [sys.executable, "-W", "error", "-W", "ignore::ResourceWarning", str(TUTORIAL / f"{name}.py")]
        command += ["--listen", "127.0.0.1:0", "--backend", backend]
        command += ["--rpc", "127.0.0.1:0"] if name == "part5_server" else []
        with open(directory / "out", "wb") as out, open(directory / "err", "wb") as err:
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=err)
        wanted = 2 if name == "part5_server" else 1
        try:
            eventually(lambda: self.ended_or(len(self.places()) == wanted), 15, "listening")
            assert self.process.poll() is None, self.err
        except BaseException:
            self.process.kill()
            self.process.wait()
            raise
        self.listen = self.places()[0]
        self.rpc = self.places()[-1]

    def ended_or(self, condition: bool) -> bool:
        return condition or self.process.poll() is not None

    def places(self) -> list[tuple[str, int]]:
        found = re.findall(r"^listening on ([\d.]+):(\d+)$", self.out, re.MULTILINE)
        return [(host, int(port)) for host, port in found]

    @property
    def out(self) -> str:
        return (self.directory / "out").read_text()

    @property
    def err(self) -> str:
        return (self.directory / "err").read_text()

    def log(self) -> list[str]:
        """What it has printed besides where it listens."""
        return [line for line in self.out.splitlines() if not line.startswith("listening on ")]

    def connect(self) -> Wire:
        return dial(self.listen)

    def ask(self, request: bytes, method: str = "GET") -> Message:
        """One request on a connection of its own."""
        with self.connect() as client:
            client.send(request)
            return client.response(method)

    def get(self, path: str = "/", *fields: str) -> Message:
        return self.ask(get(path, *fields))

    def call(self, method: str, path: str, body: bytes = b"{}") -> tuple[int, dict[str, object]]:
        """An RPC, with its status and answer."""
        connection = http.client.HTTPConnection(*self.rpc, timeout=10)
        with contextlib.closing(connection):
            connection.request(method, path, body, {"Content-Type": "application/json"})
            response = connection.getresponse()
            return response.status, json.load(response)

    def end(self, number: signal.Signals = signal.SIGTERM) -> None:
        self.process.send_signal(number)
        assert self.process.wait(10) == 0, self.err
        assert self.err == ""


StartPart = Callable[..., Part]


def get(path: str, *fields: str, version: str = "1.1", method: str = "GET") -> bytes:
    """A request without a body, or with one that the caller adds."""
    lines = "".join(f"{line}\r\n" for line in ("Host: test", *fields))
    return f"{method} {path} HTTP/{version}\r\n{lines}\r\n".encode("latin-1")


def run_client(rpc: tuple[str, int]) -> subprocess.CompletedProcess[str]:
    """The client of part 5, run to its end."""
    command = [sys.executable, "-W", "error", str(TUTORIAL / "part5_client.py"), "--rpc", f"{rpc[0]}:{rpc[1]}"]
    return subprocess.run(command, capture_output=True, text=True, timeout=30)
