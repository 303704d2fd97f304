"""Real servers that note how they understood each request, and the recorder whose reading is the measure.

nginx and HAProxy serve no applications: they pass what they understood on to a recorder of their own.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from tests.e2e.peers import Endpoint, Reply, ok
from tests.e2e.proxy import Proxy, free_port
from tests.e2e.rig import Rig, tables
from tests.e2e.servers import Server, running, start_asgi, start_wsgi
from tests.e2e.wire import Message

__all__ = ["NAMES", "Request", "start_endpoints"]

Request = list[str]  # method, target, Host, length and digest of the body

HERE = Path(__file__).parent

# The order of weir's listeners. The first is the recorder itself: what it read is what weir passed on.
NAMES = ("recorder", "nginx", "haproxy", "gunicorn", "uvicorn with httptools", "uvicorn with h11", "node")

NGINX = """
daemon off; master_process off; worker_processes 1; pid {directory}/nginx.pid; error_log {directory}/error.log;
events {{ worker_connections 512; }}
http {{
    access_log off; keepalive_requests 1000000; keepalive_timeout 60s;
    client_body_temp_path {directory}/body; proxy_temp_path {directory}/proxy; fastcgi_temp_path {directory}/fastcgi;
    uwsgi_temp_path {directory}/uwsgi; scgi_temp_path {directory}/scgi;
    # Nothing is to be left out or changed on the way: it is nginx's reading that is asked for, not its taste.
    underscores_in_headers on; ignore_invalid_headers off; client_header_buffer_size 64k;
    large_client_header_buffers 8 64k; client_max_body_size 0; proxy_buffer_size 64k; proxy_buffers 8 64k;
    server {{
        listen 127.0.0.1:{port};
        location / {{
            proxy_pass http://{recorder}; proxy_http_version 1.1;
            proxy_set_header Host $http_host; proxy_set_header Connection "";
        }}
    }}
}}
"""

HAPROXY = """
global
    maxconn 256
    tune.bufsize 131072
defaults
    mode http
    timeout connect 5s
    timeout client 60s
    timeout server 60s
frontend weir
    bind 127.0.0.1:{port}
    default_backend recorder
backend recorder
    server recorder {recorder}
"""


class Recorder(Endpoint):
    """An endpoint that notes what it reads as the others do."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[Request] = []
        self.respond(self._note)

    def _note(self, request: Message) -> Reply:
        if request.head.target == "/seen":
            told, self.seen = json.dumps(self.seen).encode(), []
            return ok(told)
        body = f"{len(request.body)} {hashlib.sha256(request.body).hexdigest()}"
        self.seen.append([request.head.method, request.head.target, request.head.get("Host") or "", body])
        return ok()


@contextmanager
def _start_nginx(directory: Path, recorder: str) -> Iterator[Server]:
    port = free_port()
    configuration = directory / "nginx.conf"
    configuration.write_text(NGINX.format(directory=directory, port=port, recorder=recorder))
    command = ["nginx", "-c", str(configuration), "-p", str(directory), "-e", str(directory / "error.log")]
    with running(command, port) as server:
        yield server


@contextmanager
def _start_haproxy(directory: Path, recorder: str) -> Iterator[Server]:
    port = free_port()
    configuration = directory / "haproxy.cfg"
    configuration.write_text(HAPROXY.format(port=port, recorder=recorder))
    with running(["haproxy", "-db", "-f", str(configuration)], port, directory / "haproxy.log") as server:
        yield server


@contextmanager
def _start_node() -> Iterator[Server]:
    port = free_port()
    with running(["node", str(HERE / "endpoint.js"), str(port)], port) as server:
        yield server


@contextmanager
def _start_all(directory: Path) -> Iterator[tuple[list[str], list[Recorder]]]:
    """The addresses of all, in the order of NAMES, and the recorders among and behind them."""
    with contextlib.ExitStack() as ends:
        recorders = [Recorder() for _ in range(3)]
        for recorder in recorders:
            ends.callback(recorder.close)
        servers: list[AbstractContextManager[Server]] = [
            _start_nginx(directory, recorders[1].address),
            _start_haproxy(directory, recorders[2].address),
            start_wsgi(directory, "seen_wsgi"),
            start_asgi("seen_asgi", "httptools"),
            start_asgi("seen_asgi", "h11"),
            _start_node(),
        ]
        addresses = [recorders[0].address]
        for server in servers:
            addresses.append(ends.enter_context(server).address)
        yield addresses, recorders


@contextmanager
def start_endpoints(directory: Path) -> Iterator[Rig]:
    """One weir with a listener for each endpoint, in the order of NAMES."""
    directory.chmod(0o755)
    with _start_all(directory) as (addresses, recorders):
        settings = tables(directory, ["127.0.0.1:1"])
        names = [name.replace(" ", "-") for name in NAMES]
        settings["listener"] = [{"address": "127.0.0.1:0", "to": name} for name in names]
        settings["cluster"] = [
            {"name": name, "endpoints": [address]} for name, address in zip(names, addresses, strict=True)
        ]
        proxy = Proxy(directory, settings)
        try:
            yield Rig(proxy)
        finally:
            proxy.check_end()
        assert [recorder.failures for recorder in recorders] == [[], [], []]
