from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from weir.config.plan import AddressPlan, ListenerPlan, Plan
from weir.control import passed as module
from weir.control.errors import StartError
from weir.control.passed import Passed
from weir.control.sockets import PassedSocket, unbind
from weir.control.stock import Stock


def tcp(port: int, host: str = "127.0.0.1") -> AddressPlan:
    return AddressPlan(f"{host}:{port}", host, port)


def listening(address: str = "127.0.0.1", port: int = 0, *, shared: bool = False) -> PassedSocket:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    sock = PassedSocket(family)
    if shared:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    sock.bind((address, port))
    sock.listen()
    return sock


@pytest.fixture
def sock() -> Iterator[PassedSocket]:
    with listening() as made:
        yield made


def test_nothing_was_passed() -> None:
    for environment in ({}, {"LISTEN_FDS": "2"}, {"LISTEN_FDS": "2", "LISTEN_PID": "1", "LISTEN_FDNAMES": "a:b"}):
        passed = Passed.from_environment(environment)
        assert environment == {}, "a child must not take them for its own"
        assert passed.take(tcp(80)) == []
        passed.close_rest()
    with pytest.raises(StartError, match="no socket of that name was passed, none was"):
        Passed().take(AddressPlan("systemd:web", passed="web"))


def test_what_was_passed_and_what_is_no_listening_socket(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    # At descriptors that this process has no other use for.
    first = 200
    monkeypatch.setattr(module, "_FIRST", first)
    with listening() as good, socket.socket() as deaf, open("/dev/null") as file:
        for place, fd in enumerate((good.fileno(), deaf.fileno(), file.fileno())):
            os.dup2(fd, first + place, inheritable=True)
        port = good.getsockname()[1]
    names = {"LISTEN_FDNAMES": "web:deaf:file:missing"}
    passed = Passed.from_environment({"LISTEN_FDS": "4", "LISTEN_PID": str(os.getpid()), **names})
    said = capsys.readouterr().err
    assert [name in said for name in ("web", "(deaf)", "(file)", "(missing)")] == [False, True, True, True]
    ((taken,),) = passed.take(tcp(port))
    assert taken.fileno() == first
    assert not os.get_inheritable(first)
    assert not taken.getblocking()
    taken.close()
    with pytest.raises(OSError, match="Bad file"):
        os.fstat(first + 1)


def test_by_address_and_by_name(sock: PassedSocket, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    port = sock.getsockname()[1]
    with listening("::1") as six, listening("0.0.0.0") as everywhere, PassedSocket(socket.AF_UNIX) as unix:
        path = str(tmp_path / "weir.sock")
        unix.bind(path)
        unix.listen()
        passed = Passed([("web", sock), ("six", six), ("all", everywhere), ("unix", unix)])
        assert passed.take(tcp(port + 1)) == []
        assert passed.take(AddressPlan("unix:/x", path="/x")) == []
        assert passed.take(AddressPlan(":0", "", 0)) == []
        assert passed.take(AddressPlan("u", path=path)) == [[unix]]
        assert passed.take(AddressPlan("systemd:six", passed="six")) == [[six]]
        assert passed.take(AddressPlan(":1", "", everywhere.getsockname()[1])) == [[everywhere]]
        with pytest.raises(StartError, match="passed, all, six, unix, web was"):
            passed.take(AddressPlan("systemd:admin", passed="admin"))
        assert passed.sockets() == {sock}
        passed.close_rest()
        assert capsys.readouterr().err == f"weir: no listener for 127.0.0.1:{port} (web), which was passed: closed\n"
        assert sock.fileno() == -1
        unbind(unix)
        assert os.path.exists(path), "the file is the service manager's"


def test_workers_share_one_and_divide_several() -> None:
    with listening(shared=True) as one:
        port = one.getsockname()[1]
        with listening(port=port, shared=True) as two, listening("::1") as other:
            passed = Passed([("a", one), ("a", two), ("b", other)])
            plan = Plan((ListenerPlan(tcp(port), 0), ListenerPlan(tcp(other.getsockname()[1], "::1"), 1)), (), ())
            stock = Stock(plan, 3, None, passed)
            shares = [stock.share(worker) for worker in range(3)]
            assert shares == [[(0, one), (1, other)], [(0, two), (1, other)], [(0, one), (1, other)]]
            # A reload with more workers, and one with fewer: no socket is without a worker.
            more = Stock(plan, 4, stock)
            assert [more.share(3), len(more.listeners)] == [[(0, two), (1, other)], 2]
            fewer = Stock(plan, 1, more)
            assert fewer.share(0) == [(0, one), (0, two), (1, other)]
            fewer.close()
            assert one.fileno() == two.fileno() == other.fileno() == -1
