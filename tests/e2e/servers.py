"""Real servers as endpoints, each a process of its own on a port of its own."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from .proxy import free_port
from .wire import eventually

__all__ = [
    "ASGI",
    "FILES",
    "HTTP10",
    "NGINX",
    "WSGI",
    "Server",
    "running",
    "start_asgi",
    "start_http10",
    "start_nginx",
    "start_wsgi",
]

NGINX, ASGI, WSGI, HTTP10 = range(4)  # the listeners of the proxy in front of all of them

HERE = Path(__file__).parent

# Size in bytes of each file that the static servers have; contents repeat `pattern`.
FILES = {"empty": 0, "small.txt": 1024, "page.html": 65_536, "large.bin": 16 << 20}

NGINX_CONFIGURATION = """
daemon off; master_process off; worker_processes 1; pid {directory}/nginx.pid; error_log {directory}/error.log;
events {{ worker_connections 4096; }}
http {{
    access_log off; keepalive_requests 1000000; sendfile on; default_type application/octet-stream;
    client_body_temp_path {directory}/body; proxy_temp_path {directory}/proxy; fastcgi_temp_path {directory}/fastcgi;
    uwsgi_temp_path {directory}/uwsgi; scgi_temp_path {directory}/scgi;
    server {{
        listen 127.0.0.1:{port} backlog=4096; root {directory}/files;
        location = /ok {{ return 200 "ok"; }}
    }}
}}
"""


def pattern(n: int) -> bytes:
    """`n` bytes in which each place is recognisable: 8-byte counters."""
    return b"".join(i.to_bytes(8, "big") for i in range(n // 8 + 1))[:n]


@dataclass
class Server:
    """A server process and where it listens. `kill` ends it as a crash would."""

    command: Sequence[str]
    port: int
    process: subprocess.Popen[bytes]
    log: Path | None = None

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    def kill(self) -> None:
        """Kills it with its children, as the kernel does when memory runs out."""
        os.killpg(self.process.pid, 9)
        self.process.wait()

    def restart(self) -> None:
        self.process = _spawn(self.command, self.log)
        _wait_port(self)


def _spawn(command: Sequence[str], log: Path | None) -> subprocess.Popen[bytes]:
    environment = {**os.environ, "PYTHONPATH": str(HERE), "PYTHONDONTWRITEBYTECODE": "1"}
    with open(log or os.devnull, "ab") as output:
        return subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, env=environment, start_new_session=True
        )


def _wait_port(server: Server) -> None:
    def accepts() -> bool:
        assert server.process.poll() is None, f"{server.command[:3]} left with {server.process.returncode}"
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", server.port)) == 0

    eventually(accepts, 15.0, f"{server.command[:3]} accepts")


@contextmanager
def running(command: Sequence[str], port: int, log: Path | None = None) -> Iterator[Server]:
    server = Server(command, port, _spawn(command, log), log)
    try:
        _wait_port(server)
        yield server
    finally:
        if server.process.poll() is None:
            server.kill()


@contextmanager
def start_nginx(directory: Path) -> Iterator[Server]:
    """nginx with the FILES, and `/ok`."""
    _write_files(directory / "files")
    port = free_port()
    configuration = directory / "nginx.conf"
    configuration.write_text(NGINX_CONFIGURATION.format(directory=directory, port=port))
    directory.chmod(0o755)
    command = ["nginx", "-c", str(configuration), "-p", str(directory), "-e", str(directory / "error.log")]
    with running(command, port) as server:
        yield server


@contextmanager
def start_asgi(application: str = "asgi", parser: str = "auto") -> Iterator[Server]:
    port = free_port()
    command = [
        sys.executable,
        "-m",
        "uvicorn",
        f"apps:{application}",
        "--http",
        parser,
        "--port",
        str(port),
        "--log-level",
        "warning",
    ]
    with running([*command, "--timeout-keep-alive", "60", "--no-server-header"], port) as server:
        yield server


@contextmanager
def start_wsgi(directory: Path, application: str = "wsgi") -> Iterator[Server]:
    port = free_port()
    command = [sys.executable, "-m", "gunicorn", f"apps:{application}", "-b", f"127.0.0.1:{port}", "-k", "gthread"]
    options = ["-w", "1", "--threads", "16", "--keep-alive", "60", "--worker-tmp-dir", str(directory)]
    with running([*command, *options, "--no-control-socket"], port, directory / "log") as server:
        yield server


@contextmanager
def start_http10(directory: Path) -> Iterator[Server]:
    _write_files(directory)
    port = free_port()
    command = [sys.executable, "-m", "http.server", str(port), "--bind", "127.0.0.1", "--directory", str(directory)]
    with running(command, port) as server:
        yield server


def _write_files(directory: Path) -> None:
    directory.mkdir(exist_ok=True)
    for name, size in FILES.items():
        (directory / name).write_bytes(pattern(size))
