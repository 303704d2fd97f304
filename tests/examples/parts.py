"""What the examples of hooks stand between: a Redis server, an application for uvicorn, and the files themselves."""

from __future__ import annotations

import contextlib
import importlib.util
import json
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

from tests.e2e.wire import eventually

__all__ = ["HOOKS", "RedisServer", "echo", "example"]

HOOKS = Path(__file__).resolve().parents[2] / "examples" / "hooks"


class RedisServer:
    """Debian's redis-server on a socket of its own, which can be stopped and started again."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.socket = directory / "redis.sock"
        self.url = f"unix://{self.socket}"
        self.process: subprocess.Popen[bytes] | None = None
        self.start()

    def start(self) -> None:
        command = ["redis-server", "--port", "0", "--unixsocket", str(self.socket), "--save", ""]
        with open(self.directory / "redis.log", "ab") as log:
            self.process = subprocess.Popen(
                command, cwd=self.directory, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        try:
            eventually(self.answers, 15, "redis-server")
        except BaseException:
            self.stop()
            raise

    def answers(self) -> bool:
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as link:
            link.connect(str(self.socket))
            link.sendall(b"PING\r\n")
            return link.recv(100) == b"+PONG\r\n"
        return False

    def stop(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None


@contextlib.contextmanager
def example(name: str) -> Iterator[ModuleType]:
    """An example, imported anew: what it reads of the environment it reads now."""
    spec = importlib.util.spec_from_file_location(f"example_{name}", HOOKS / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    try:
        spec.loader.exec_module(module)
        yield module
    finally:
        sys.modules.pop(spec.name, None)  # gone already if it was imported twice


async def echo(scope: Any, receive: Any, send: Any) -> None:
    """An application that answers with what it was asked, as JSON."""
    assert scope["type"] == "http"
    body, more = b"", True
    while more:
        message = await receive()
        body, more = body + message.get("body", b""), message.get("more_body", False)
    told = {
        "method": scope["method"],
        "target": scope["raw_path"].decode() + ("?" + scope["query_string"].decode() if scope["query_string"] else ""),
        "headers": [[name.decode("latin-1"), value.decode("latin-1")] for name, value in scope["headers"]],
        "body": body.decode("latin-1"),
    }
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"application/json")]})
    await send({"type": "http.response.body", "body": json.dumps(told).encode()})
