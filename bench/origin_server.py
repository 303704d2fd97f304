"""The origin: the nginx of bench/origin/nginx.conf, and the bodies that it serves."""

from __future__ import annotations

import getpass
import hashlib
import os
import re
import shutil
from pathlib import Path

from bench.server import Server, ServerError, free_port, get

__all__ = ["BODIES", "Origin", "nginx_user"]

# Path → length of the body in bytes.
BODIES = {"/small": 9, "/0": 0, "/1k": 1024, "/64k": 65536, "/16m": 16 << 20}


def nginx_user() -> str:
    """The `user` line that keeps nginx's worker the user that runs the benchmark; only root may have one."""
    return f"user {getpass.getuser()};" if os.geteuid() == 0 else ""


def body(path: str) -> bytes:
    """The body that the origin serves under `path`: text, so that it can stand in the configuration, and not all the same."""
    if path == "/small":
        return b"It runs.\n"
    length = BODIES[path]
    line = b"Everything flows over the weir, and by flowing over it, is measured. "
    return (line * (length // len(line) + 1))[:length]


class Origin:
    """The origin server, and the check that what comes through a proxy is what it serves."""

    def __init__(self, cpu: int, directory: Path, descriptors: int) -> None:
        nginx = shutil.which("nginx")
        if nginx is None:
            raise ServerError("the origin is an nginx, and nginx is not installed")
        self.port = free_port()
        bodies = directory / "bodies"
        bodies.mkdir()
        for path in ("/64k", "/16m"):
            (bodies / path[1:]).write_bytes(body(path))
        words = {
            "USER": nginx_user(),
            "DIR": str(directory),
            "PORT": str(self.port),
            "KIB": body("/1k").decode(),
            "DESCRIPTORS": str(descriptors),
            "CONNECTIONS": str(descriptors - 100),
        }
        template = (Path(__file__).parent / "origin" / "nginx.conf").read_text()
        configuration = directory / "origin.conf"
        configuration.write_text(re.sub(r"@([A-Z]+)@", lambda match: words[match[1]], template))
        log = str(directory / "origin.log")
        self.server = Server(
            "origin", [nginx, "-e", log, "-p", str(directory), "-c", str(configuration)], self.port, cpu, directory
        )

    def requests(self) -> int:
        """How many requests have come to the origin so far, this one included."""
        _, text = get(self.port, "/status")
        # "Active connections: 1 \nserver accepts handled requests\n 3 3 3 \n"
        return int(text.split(b"\n")[2].split()[2])

    @staticmethod
    def check(server: Server, path: str) -> bytes:
        """Asks a proxy for `path` and returns the head of its answer. Raises ServerError if it is not the origin's."""
        try:
            head, content = get(server.port, path, 20.0)
        except OSError as error:
            raise ServerError(f"{server.name}: GET {path}: {error}") from error
        if b" 200 " not in head.partition(b"\r\n")[0]:
            raise ServerError(f"{server.name}: GET {path}: {head.decode('latin-1')}")
        if hashlib.sha256(content).digest() != hashlib.sha256(body(path)).digest():
            raise ServerError(f"{server.name}: GET {path}: {len(content)} bytes that are not the origin's {BODIES[path]}")
        return head
