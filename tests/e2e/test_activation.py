"""Sockets that a service manager has bound: a stand-in for systemd passes descriptors as systemd does."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from .conftest import MakeRig
from .peers import Endpoint, dial, ok
from .proxy import Proxy, free_port
from .rig import ALONE, WORKERS, Rig, tables
from .test_reload import children, forget, reload, said
from .test_upgrade import end, is_there, upgrade
from .wire import eventually

pytestmark = pytest.mark.timeout(60)

# What systemd does between fork and exec: descriptors from 3 on, and three variables.
PASS = """
import os, sys
numbers, names, command = sys.argv[1].split(","), sys.argv[2], sys.argv[3:]
high = [os.dup(int(number)) for number in numbers]
while min(high) < 3 + len(high):
    high = [os.dup(fd) for fd in high]
for number in numbers:
    os.close(int(number))
for place, fd in enumerate(high):
    os.dup2(fd, 3 + place, inheritable=True)
os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS=str(len(high)), LISTEN_FDNAMES=names)
os.execvp(command[0], command)
"""


class Manager:
    """Holds sockets, and starts services with them."""

    def __init__(self) -> None:
        self.sockets: list[tuple[str, socket.socket]] = []

    def listen(self, name: str, address: tuple[str, int] | str, *, shared: bool = False) -> socket.socket:
        sock = socket.socket(socket.AF_UNIX if isinstance(address, str) else socket.AF_INET)
        if shared:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        sock.bind(address)
        sock.listen(128)
        self.sockets.append((name, sock))
        return sock

    def start(self, directory: Path, settings: dict[str, Any], options: Sequence[str] | None = None) -> Proxy:
        directory.mkdir(exist_ok=True)
        numbers = [sock.fileno() for _name, sock in self.sockets]
        names = ":".join(name for name, _sock in self.sockets)
        prefix = [sys.executable, "-c", PASS, ",".join(map(str, numbers)), names]
        return Proxy(directory, settings, options, prefix=prefix, pass_fds=numbers)


@pytest.fixture
def manager() -> Iterator[Manager]:
    made = Manager()
    yield made
    for _name, sock in made.sockets:
        sock.close()


@pytest.fixture
def endpoint() -> Iterator[Endpoint]:
    made = Endpoint()
    yield made
    made.close()


def ask(address: tuple[str, int] | str) -> int:
    with dial(address) as client:
        client.send(b"GET / HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n")
        return client.response().status


@pytest.mark.parametrize("top", [WORKERS, ALONE], ids=["workers", "one process"])
def test_by_address_and_by_name_and_what_is_left_over(
    manager: Manager, endpoint: Endpoint, tmp_path: Path, top: dict[str, Any]
) -> None:
    path, admin = str(tmp_path / "weir.sock"), str(tmp_path / "admin.sock")
    by_address = manager.listen("weir.socket", ("127.0.0.1", 0)).getsockname()
    by_name = manager.listen("web", ("127.0.0.1", 0)).getsockname()
    also_web = manager.listen("web", path)
    left = manager.listen("other", ("127.0.0.1", 0)).getsockname()
    manager.listen("admin", admin)
    own = free_port()
    settings = tables(tmp_path, [endpoint.address], top={**top, "admin": {"address": f"unix:{admin}"}})
    addresses = [f"127.0.0.1:{by_address[1]}", "systemd:web", f"127.0.0.1:{own}"]
    settings["listener"] = [{"address": address, "to": "app"} for address in addresses]
    proxy = manager.start(tmp_path / "w", settings)
    rig = Rig(proxy, endpoint)
    for address in (by_address, by_name, path, ("127.0.0.1", own)):
        assert ask(address) == 200
    if top is ALONE:
        assert len(proxy.addresses) == 4
    eventually(lambda: bool(said(rig, "weir: no listener")), 5)
    assert forget(rig, "weir: no listener") == [
        f"weir: no listener for 127.0.0.1:{left[1]} (other), which was passed: closed"
    ]
    with dial(admin) as client:
        client.send(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        assert client.response().status == 200
    proxy.check_end()
    # They are the manager's: their files stay, and who connects now waits for the next weir.
    assert os.path.exists(path)
    assert os.path.exists(admin)
    assert also_web.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
    with dial(by_name) as waiting, dial(path) as also_waiting:
        for client in (waiting, also_waiting):
            client.send(b"GET / HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n")
        with socket.socket() as probe:
            assert probe.connect_ex(("127.0.0.1", own)) != 0
        proxy = manager.start(tmp_path / "w", settings)
        assert [client.response().status for client in (waiting, also_waiting)] == [200, 200]
    forget(Rig(proxy, endpoint), "weir: no listener")
    proxy.check_end()


def test_a_restart_refuses_nobody(manager: Manager, endpoint: Endpoint, tmp_path: Path) -> None:
    address = manager.listen("web", ("127.0.0.1", 0)).getsockname()
    settings = tables(tmp_path, [endpoint.address], top=WORKERS)
    settings["listener"] = [{"address": "systemd:web", "to": "app"}]
    proxy = manager.start(tmp_path / "w", settings)
    failures: list[str] = []
    answered = 0
    over = threading.Event()

    def keep_asking() -> None:
        nonlocal answered
        while not over.is_set():
            try:
                assert ask(address) == 200
                answered += 1
            except (OSError, AssertionError) as error:
                failures.append(repr(error))
            time.sleep(0.005)

    thread = threading.Thread(target=keep_asking)
    thread.start()
    for _ in range(3):
        time.sleep(0.3)
        proxy.check_end()
        proxy = manager.start(tmp_path / "w", settings)
    time.sleep(0.3)
    over.set()
    thread.join()
    proxy.check_end()
    print(f"{answered} answered over three restarts")
    assert failures == []
    assert answered > 20


def test_several_for_one_address_are_divided_and_survive_reload_and_upgrade(
    manager: Manager, endpoint: Endpoint, tmp_path: Path
) -> None:
    address = manager.listen("web", ("127.0.0.1", 0), shared=True).getsockname()
    for _ in range(2):
        manager.listen("web", address, shared=True)
    settings = tables(tmp_path, [endpoint.address], top=WORKERS)
    settings["listener"] = [{"address": "systemd:web", "to": "app"}]
    rig = Rig(manager.start(tmp_path / "w", settings), endpoint)

    def sockets_of(pid: int) -> set[str]:
        links = set()
        for entry in Path(f"/proc/{pid}/fd").iterdir():
            with contextlib.suppress(FileNotFoundError):
                links.add(os.readlink(entry))
        return {f"socket:[{os.fstat(sock.fileno()).st_ino}]" for _name, sock in manager.sockets} & links

    assert sorted(len(sockets_of(pid)) for pid in children(rig.proxy.pid)) == [1, 2]
    reload(rig)
    for _ in range(30):
        assert ask(address) == 200
    second = upgrade(rig)
    eventually(lambda: not is_there(rig.proxy.process.pid), 20)
    for _ in range(30):
        assert ask(address) == 200
    assert len(sockets_of(second)) == 3
    forget(rig, "weir: reloaded")
    end(rig, second)
    assert all(sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN) for _name, sock in manager.sockets)


def test_a_name_that_was_not_passed(weir: MakeRig, manager: Manager, endpoint: Endpoint, tmp_path: Path) -> None:
    import subprocess

    from .proxy import configuration, python_path

    settings = tables(tmp_path, [endpoint.address], top=WORKERS)
    settings["listener"] = [{"address": "systemd:web", "to": "app"}]
    config = tmp_path / "weir.toml"
    config.write_text(configuration(settings))
    command = [sys.executable, "-m", "weir", "run", "-c", str(config)]
    done = subprocess.run(command, env=python_path(), capture_output=True, text=True, timeout=20)
    assert done.returncode == 1
    assert done.stderr == (
        "weir: cannot listen on systemd:web: no socket of that name was passed, none was; "
        "FileDescriptorName= of the .socket unit is the name\n"
    )
    # The same at a reload of a weir that runs.
    rig = weir(top=WORKERS)
    text = rig.proxy.config_path.read_text()
    rig.proxy.config_path.write_text(text.replace('address = "127.0.0.1:0"', 'address = "systemd:web"'))
    rig.proxy.send_signal(signal.SIGHUP)
    eventually(lambda: bool(said(rig, "weir: not reloaded")), 10)
    assert rig.get("/").status == 200
    forget(rig, "weir: not reloaded", "weir: cannot listen on systemd:web")


def test_slow_answers_outlive_the_listener_that_the_manager_keeps(
    manager: Manager, endpoint: Endpoint, tmp_path: Path
) -> None:
    address = manager.listen("web", ("127.0.0.1", 0)).getsockname()
    endpoint.reply(1.0, ok(b"late"))
    settings = tables(tmp_path, [endpoint.address], top=WORKERS)
    settings["listener"] = [{"address": "systemd:web", "to": "app"}]
    proxy = manager.start(tmp_path / "w", settings)
    with dial(address) as client:
        client.send(b"GET /late HTTP/1.1\r\nHost: test\r\n\r\n")
        endpoint.wait_requests(1)
        proxy.send_signal(signal.SIGTERM)
        assert client.response().body == b"late"
    proxy.check_end()
