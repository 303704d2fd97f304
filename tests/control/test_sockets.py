from __future__ import annotations

import socket
import stat
from pathlib import Path

import pytest

from weir.config.plan import AddressPlan, ListenerPlan
from weir.control.errors import StartError
from weir.control.sockets import bind, bound_text, raise_descriptor_limit, unbind


def plan(host: str | None = None, port: int = 0, path: str | None = None, mode: int = 0o666) -> ListenerPlan:
    return ListenerPlan(AddressPlan(path or f"{host}:{port}", host, port, path), 0, unix_mode=mode)


def test_a_tcp_listener_is_bound_and_does_not_block() -> None:
    (sock,) = bind(plan("127.0.0.1"))
    assert not sock.getblocking()
    assert bound_text(sock) == f"127.0.0.1:{sock.getsockname()[1]}"
    socket.create_connection(sock.getsockname()).close()
    unbind(sock)


def test_a_taken_port_says_where_and_why() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(StartError, match=rf"cannot listen on 127\.0\.0\.1:{port}: address already in use"):
            bind(plan("127.0.0.1", port))


def test_an_address_of_another_machine() -> None:
    with pytest.raises(StartError, match="this machine does not have that address"):
        bind(plan("192.0.2.1", 8080))


def test_no_host_is_every_address() -> None:
    (sock,) = bind(plan(""))
    port = sock.getsockname()[1]
    for host in ("127.0.0.1", "::1"):
        socket.create_connection((host, port)).close()
    unbind(sock)


def test_unix_socket_comes_with_its_mode_and_goes(tmp_path: Path) -> None:
    path = tmp_path / "weir.sock"
    (sock,) = bind(plan(path=str(path), mode=0o600))
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert bound_text(sock) == f"unix:{path}"
    unbind(sock)
    assert not path.exists()


def test_a_stale_unix_socket_is_replaced_a_live_one_and_a_file_are_not(tmp_path: Path) -> None:
    path = tmp_path / "weir.sock"
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
    (sock,) = bind(plan(path=str(path)))
    with pytest.raises(StartError, match="address already in use"):
        bind(plan(path=str(path)))
    unbind(sock)
    path.write_text("precious")
    with pytest.raises(StartError, match="address already in use"):
        bind(plan(path=str(path)))
    assert path.read_text() == "precious"


def test_descriptor_limit() -> None:
    import resource

    assert raise_descriptor_limit() == resource.getrlimit(resource.RLIMIT_NOFILE)[1]
