"""The downstream edge with real peers: PROXY headers from and to HAProxy and nginx, limits of each client."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from .conftest import MakeRig
from .peers import ok
from .proxy import free_port
from .servers import Server, running
from .wire import Truncated, Wire, eventually

GET = b"GET /edge HTTP/1.1\r\nHost: test\r\n\r\n"

HAPROXY = """
global
    maxconn 4096
defaults
    mode http
    timeout connect 5s
    timeout client 30s
    timeout server 30s
"""
NGINX = """
daemon off; master_process off; worker_processes 1; pid {directory}/nginx.pid; error_log {directory}/error.log;
events {{ worker_connections 4096; }}
http {{
    access_log off; keepalive_requests 1000000; keepalive_timeout 60s;
    client_body_temp_path {directory}/body; proxy_temp_path {directory}/proxy; fastcgi_temp_path {directory}/fastcgi;
    uwsgi_temp_path {directory}/uwsgi; scgi_temp_path {directory}/scgi;
    server {{
        listen 127.0.0.1:{port} proxy_protocol;
        location / {{
            add_header X-Connection $connection;
            return 200 "$proxy_protocol_addr $proxy_protocol_port $proxy_protocol_server_port";
        }}
    }}
}}
"""


@contextlib.contextmanager
def haproxy(directory: Path, rest: str, port: int) -> Iterator[Server]:
    configuration = directory / "haproxy.cfg"
    configuration.write_text(HAPROXY + rest)
    with running(["haproxy", "-db", "-f", str(configuration)], port, directory / "haproxy.log") as server:
        yield server


@contextlib.contextmanager
def nginx(directory: Path) -> Iterator[Server]:
    port = free_port()
    configuration = directory / "nginx.conf"
    configuration.write_text(NGINX.format(directory=directory, port=port))
    command = ["nginx", "-c", str(configuration), "-p", str(directory), "-e", str(directory / "error.log")]
    with running(command, port) as server:
        yield server


def dial_from(source: str, port: int) -> Wire:
    """A client with an address of its own: all of 127.0.0.0/8 is this machine."""
    return Wire(socket.create_connection(("127.0.0.1", port), 8, (source, 0)))


def ask(wire: Wire, request: bytes = GET) -> bytes:
    wire.send(request)
    response = wire.response()
    assert response.status == 200
    return response.body


def is_served(source: str, port: int) -> bool:
    with contextlib.suppress(OSError, Truncated), dial_from(source, port) as wire:
        return ask(wire) == b""
    return False


@pytest.mark.parametrize("options", ["send-proxy", "send-proxy-v2", "send-proxy-v2 proxy-v2-options crc32c,unique-id"])
def test_headers_from_haproxy(weir: MakeRig, tmp_path: Path, options: str) -> None:
    """HAProxy says who its clients are; its checks (LOCAL, in version 2) disturb nobody."""
    settings = {"proxy_protocol": "require", "trusted_proxies": ["127.0.0.1"]}
    rig = weir(listener=settings)
    rig.endpoint.respond(lambda request: ok((request.head.get("x-forwarded-for") or "none").encode()))
    port = free_port()
    rest = f"""
listen front
    bind 127.0.0.1:{port}
    unique-id-format %[uuid()]
    http-reuse never
    option httpchk GET /checked
    server weir 127.0.0.1:{rig.proxy.port} {options} check inter 50ms source 127.0.0.1
"""
    with haproxy(tmp_path, rest, port):
        eventually(lambda: rig.proxy.records() and any(r["target"] == "/checked" for r in rig.proxy.records()))
        for n in range(2, 12):
            with dial_from(f"127.0.0.{n}", port) as client:
                for _ in range(3):
                    assert ask(client) == f"127.0.0.{n}".encode()
        seen = rig.proxy.logged(30, target="/edge")
    assert {record["client"] for record in seen} == {f"127.0.0.{n}" for n in range(2, 12)}
    checks = {record["client"] for record in rig.proxy.records() if record["target"] == "/checked"}
    assert checks == {"127.0.0.1"}
    assert {record["reason"] for record in rig.proxy.records()} <= {"none", "client_closed"}


def test_who_speaks_without_a_header_gets_no_answer(weir: MakeRig) -> None:
    rig = weir(listener={"proxy_protocol": "require"})
    with dial_from("127.0.0.9", rig.proxy.port) as client:
        client.send(GET)
        with pytest.raises(Truncated, match="after 0 bytes"):
            client.read_to_end()
    (record,) = rig.proxy.logged(1, reason="bad_proxy_header")
    assert (record["client"], record["status"]) == ("127.0.0.9", None)
    assert rig.endpoint.requests == []


CLIENTS = 16
ROUNDS = 25


def ask_from_everywhere(port: int) -> list[tuple[str, list[bytes]]]:
    """Clients with addresses of their own, at the same time: address and port of each, and what it was answered."""
    answers: list[tuple[str, list[bytes]]] = []

    def client(n: int) -> None:
        with dial_from(f"127.0.1.{n}", port) as wire:
            host, own_port = wire.sock.getsockname()
            answers.append((f"{host} {own_port} {port}", [ask(wire) for _ in range(ROUNDS)]))

    threads = [threading.Thread(target=client, args=(n,)) for n in range(1, CLIENTS + 1)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    return answers


def each_was_told_of_itself(answers: list[tuple[str, list[bytes]]]) -> None:
    assert len(answers) == CLIENTS
    wrong = [(who, told) for who, told in answers if set(told) != {who.encode()}]
    assert wrong == [], "a connection of another client was used"


@pytest.mark.parametrize("version", ["v1", "v2"])
def test_headers_to_haproxy(weir: MakeRig, tmp_path: Path, version: str) -> None:
    port = free_port()
    rest = f"""
frontend back
    bind 127.0.0.1:{port} accept-proxy
    http-request return status 200 content-type text/plain lf-string "%[src] %[src_port] %[dst_port]"
"""
    with haproxy(tmp_path, rest, port):
        rig = weir(endpoints=[f"127.0.0.1:{port}"], cluster={"proxy_protocol": version})
        each_was_told_of_itself(ask_from_everywhere(rig.proxy.port))


@pytest.mark.parametrize("version", ["v1", "v2"])
def test_headers_to_nginx(weir: MakeRig, tmp_path: Path, version: str) -> None:
    tmp_path.chmod(0o755)
    with nginx(tmp_path) as server:
        # Few connections, so that those of clients that rest have to make room for others.
        rig = weir(
            endpoints=[server.address], cluster={"proxy_protocol": version}, pool={"max_connections": CLIENTS // 2}
        )
        each_was_told_of_itself(ask_from_everywhere(rig.proxy.port))
        with dial_from("127.0.0.77", rig.proxy.port) as client:
            numbers = set()
            for _ in range(20):
                client.send(GET)
                numbers.add(client.response().head.get("x-connection"))
        assert len(numbers) == 1, "a client keeps its connection"
        eventually(
            lambda: len(rig.proxy.descriptors()) <= len(rig.proxy.idle_descriptors), what="no connection is left"
        )


def test_from_haproxy_through_weir_to_nginx(weir: MakeRig, tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    port = free_port()
    with nginx(tmp_path) as server:
        rig = weir(endpoints=[server.address], cluster={"proxy_protocol": "v2"}, listener={"proxy_protocol": "require"})
        rest = f"listen front\n    bind 127.0.0.1:{port}\n    server weir 127.0.0.1:{rig.proxy.port} send-proxy-v2\n"
        with haproxy(tmp_path, rest, port):
            each_was_told_of_itself(ask_from_everywhere(port))


def test_a_client_has_as_many_connections_as_it_may_have(weir: MakeRig) -> None:
    rig = weir(listener={"max_connections_per_client": 5})
    held = [dial_from("127.0.0.5", rig.proxy.port) for _ in range(5)]
    try:
        for wire in held:
            ask(wire)
        assert not any(is_served("127.0.0.5", rig.proxy.port) for _ in range(20))
        with dial_from("127.0.0.6", rig.proxy.port) as other:
            ask(other)
        assert len(rig.proxy.logged(20, reason="client_limit")) == 20
    finally:
        for wire in held:
            wire.close()
    eventually(lambda: is_served("127.0.0.5", rig.proxy.port))
