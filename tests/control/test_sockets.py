from __future__ import annotations

import socket
import stat
from pathlib import Path

import pytest

from weir.config.plan import AddressPlan, ListenerPlan, Plan
from weir.control.errors import StartError
from weir.control.sockets import bind, bind_copies, bound_text, raise_descriptor_limit, unbind
from weir.control.stock import Stock


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


def test_copies_share_a_port_and_nobody_else_joins() -> None:
    copies = bind_copies(plan("127.0.0.1"), 3)
    sockets = [sock for (sock,) in copies]
    port = sockets[0].getsockname()[1]
    assert {sock.getsockname()[1] for sock in sockets} == {port}
    with pytest.raises(StartError, match="address already in use"):
        bind_copies(plan("127.0.0.1", port), 2)
    with pytest.raises(StartError, match="address already in use"):
        bind(plan("127.0.0.1", port))
    clients = [socket.create_connection(("127.0.0.1", port)) for _ in range(60)]
    found = [accepted(sock) for sock in sockets]
    assert sum(found) == 60
    assert all(found), f"the kernel divides connections among the copies: {found}"
    for sock in (*sockets, *clients):
        sock.close()


def accepted(sock: socket.socket) -> int:
    n = 0
    while True:
        try:
            sock.accept()[0].close()
        except BlockingIOError:
            return n
        n += 1


def test_a_listener_of_one_process_is_nobody_elses() -> None:
    (sock,) = bind(plan("127.0.0.1"))
    with pytest.raises(StartError, match="address already in use"):
        bind_copies(plan("127.0.0.1", sock.getsockname()[1]), 2)
    sock.close()


def whole(*listeners: ListenerPlan) -> Plan:
    return Plan(listeners, (), ())


def free(port_of: ListenerPlan) -> bool:
    """Whether the address of a listener can be bound."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port_of.address.port)) != 0


def test_a_stock_gives_every_worker_its_own_sockets() -> None:
    stock = Stock(whole(plan("127.0.0.1"), plan("127.0.0.1")), 2)
    shares = [stock.share(worker) for worker in range(2)]
    assert [[number for number, _sock in share] for share in shares] == [[0, 1], [0, 1]]
    assert len({sock for share in shares for _number, sock in share}) == 4
    assert len(set(stock.texts())) == 2, "two listeners with port 0 are two listeners"
    stock.close()
    stock.close()


def test_the_next_stock_takes_over_what_stays_and_closes_what_goes() -> None:
    stays, goes, comes = (plan("127.0.0.1", unused_port()) for _ in range(3))
    before = Stock(whole(stays, goes), 2)
    after = Stock(whole(comes, stays), 3, before)
    kept = before.sockets() & after.sockets()
    assert len(kept) == 2
    assert len(after.sockets()) == 6
    before.close(keep=after)
    assert [free(listener) for listener in (stays, goes, comes)] == [False, True, False]
    # Fewer workers: no socket is given up in whose queue somebody may be waiting.
    fewer = Stock(whole(comes, stays), 2, after)
    assert fewer.sockets() == after.sockets()
    shares = [[sock for _number, sock in fewer.share(worker)] for worker in range(2)]
    assert sorted(map(len, shares)) == [2, 4]
    assert {sock for share in shares for sock in share} == fewer.sockets()
    fewer.close()
    assert [free(listener) for listener in (stays, goes, comes)] == [True, True, True]


def test_a_stock_that_cannot_be_had_leaves_the_one_before_alone() -> None:
    stays, comes = plan("127.0.0.1", unused_port()), plan("127.0.0.1", unused_port())
    before = Stock(whole(stays), 2)
    with socket.create_server(("127.0.0.1", 0)) as other:
        with pytest.raises(StartError, match="already in use"):
            Stock(whole(comes, stays, plan("127.0.0.1", other.getsockname()[1])), 4, before)
    assert free(comes)
    assert not free(stays)
    assert all(sock.fileno() >= 0 for sock in before.sockets())
    before.close()


def test_a_unix_socket_is_one_for_all_workers(tmp_path: Path) -> None:
    path = tmp_path / "weir.sock"
    stock = Stock(whole(plan(path=str(path))), 3)
    assert len(stock.sockets()) == 1
    assert [len(stock.share(worker)) for worker in range(3)] == [1, 1, 1]
    stock.close()
    assert not path.exists()


def test_a_place_that_has_gone_is_no_reason_to_fail(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Workers of a new configuration serve by then: there is no way back."""
    directory = tmp_path / "run"
    directory.mkdir()
    listener = plan(path=str(directory / "weir.sock"))
    stock = Stock(whole(listener), 2)
    (directory / "weir.sock").unlink()
    stock.settle(whole(listener))
    assert not caplog.text
    directory.rmdir()
    directory.write_text("something else")
    stock.settle(whole(listener))
    assert f"unix:{directory}/weir.sock keeps its mode: not a directory" in caplog.text
    stock.close()


def unused_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


def test_the_file_of_a_socket_goes_before_the_socket(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Once it is closed the next weir may take the path, and its file must not be removed."""
    (sock,) = bind(plan(path=str(tmp_path / "s")))
    close = socket.socket.close
    following: list[socket.socket] = []

    def close_and_be_followed(self: socket.socket) -> None:
        close(self)
        if self is sock:
            following.extend(bind(plan(path=str(tmp_path / "s"))))

    monkeypatch.setattr(socket.socket, "close", close_and_be_followed)
    unbind(sock)
    assert (tmp_path / "s").exists()
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(tmp_path / "s"))
    monkeypatch.undo()
    unbind(following[0])
