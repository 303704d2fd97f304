"""The admin process beside the workers: there when it can be, never in the way of the proxy."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from .conftest import MakeRig
from .proxy import descriptors_of, free_port, python_path
from .rig import WORKERS, Rig
from .test_reload import RELOADED, children, forget, reload
from .test_workers import is_gone, wait_successors
from .wire import eventually

pytestmark = pytest.mark.timeout(60)

TOKEN = "0123456789abcdef-secret"


def ask(port: int, path: str = "/healthz", token: str = "") -> tuple[int, bytes]:
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=10) as response:
            return int(response.status), bytes(response.read())
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read()


def admin_of(rig: Rig, port: int) -> int:
    """The process that has the admin address, besides the supervisor."""
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    inodes = {f"socket:[{row[9]}]" for row in rows if row[3] == "0A" and int(row[1].rpartition(":")[2], 16) == port}
    holders = [pid for pid in children(rig.proxy.pid) if inodes & set(descriptors_of(pid).values())]
    assert len(holders) == 1, "workers do not hold the admin address"
    return holders[0]


def started(weir: MakeRig, **admin: str) -> tuple[Rig, int]:
    port = free_port()
    settings = {"address": f"127.0.0.1:{port}", **admin}
    rig = weir(top={**WORKERS, "admin": settings, "history": {"path": "off"}})
    eventually(lambda: len(children(rig.proxy.pid)) == 3, 10)
    assert ask(port) == (200, b"ok\n")
    # Waiting for the first answer, the admin process was no part of the idle self.
    rig.slack = 2
    return rig, port


def test_it_answers_and_ends_with_the_others(weir: MakeRig) -> None:
    rig, port = started(weir)
    everybody = children(rig.proxy.pid)
    admin_of(rig, port)
    assert rig.get("/").status == 200
    assert rig.proxy.stop() == 0
    assert all(is_gone(pid) for pid in everybody)
    with pytest.raises(OSError, match="refused"):
        ask(port)


def test_its_death_is_no_matter_for_the_proxy(weir: MakeRig) -> None:
    rig, port = started(weir)
    before = children(rig.proxy.pid)
    admin = admin_of(rig, port)
    os.kill(admin, signal.SIGKILL)
    for n in range(20):
        assert rig.get(f"/{n}").status == 200
    # Who asks meanwhile waits in its queue.
    assert ask(port) == (200, b"ok\n")
    wait_successors(rig, before, 1)
    assert before - children(rig.proxy.pid) == {admin}
    assert len(forget(rig, "the admin process")) == 1


def test_a_token_is_asked_for_and_never_shown(weir: MakeRig, tmp_path: Path) -> None:
    (tmp_path / "token").write_text(TOKEN + "\n")
    rig, port = started(weir, token_file=str(tmp_path / "token"))
    assert ask(port, "/weir.v1.Stats/GetStats")[0] == 401
    assert ask(port, "/weir.v1.Stats/GetStats", token=TOKEN)[0] != 401
    assert ask(port, "/weir.v1.Stats/GetStats", token=TOKEN + "x")[0] == 401
    for pid in (rig.proxy.pid, *children(rig.proxy.pid)):
        assert TOKEN.encode() not in Path(f"/proc/{pid}/cmdline").read_bytes()
    assert TOKEN not in "".join(rig.proxy.stderr)


def test_a_reload_starts_it_anew_on_the_same_socket(weir: MakeRig) -> None:
    rig, port = started(weir)
    admin = admin_of(rig, port)
    reload(rig)
    eventually(lambda: is_gone(admin), 10)
    assert ask(port) == (200, b"ok\n")
    assert admin_of(rig, port) != admin
    forget(rig, RELOADED)


def test_a_reload_may_move_it_or_switch_it_off(weir: MakeRig) -> None:
    rig, port = started(weir)
    text = rig.proxy.config_path.read_text()
    other = free_port()
    rig.proxy.config_path.write_text(text.replace(f"127.0.0.1:{port}", f"127.0.0.1:{other}"))
    reload(rig)
    assert ask(other) == (200, b"ok\n")
    with pytest.raises(OSError, match="refused"):
        ask(port)
    rig.proxy.config_path.write_text(text.replace(f"127.0.0.1:{port}", "off"))
    reload(rig)
    eventually(lambda: len(children(rig.proxy.pid)) == 2, 10)
    with pytest.raises(OSError, match="refused"):
        ask(other)
    forget(rig, RELOADED)


def test_an_address_that_was_written_must_be_had(weir: MakeRig) -> None:
    rig = weir()
    taken = f"127.0.0.1:{rig.proxy.port}"
    options = ["--listen", "127.0.0.1:0", "--to", "127.0.0.1:1", "--admin", taken]
    command = [sys.executable, "-m", "weir", "run", *options]
    for more in ([], ["--single-process"]):
        done = subprocess.run([*command, *more], env=python_path(), capture_output=True, text=True, timeout=20)
        assert done.returncode == 1
        assert done.stderr == (
            f"weir: admin: cannot listen on {taken}: address already in use: another process listens there; "
            "choose another address, or off\n"
        )


def test_the_default_address_gives_way(tmp_path: Path) -> None:
    """Whoever else has it: this test, or another weir of this machine."""
    with socket.socket() as holder:
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            holder.bind(("127.0.0.1", 8079))
            holder.listen()
        except OSError:
            pass
        command = [sys.executable, "-m", "weir", "run", "--listen", "127.0.0.1:0", "--to", "127.0.0.1:1"]
        process = subprocess.Popen(command, env=python_path(), stderr=subprocess.PIPE, text=True)
        assert process.stderr is not None
        lines = [process.stderr.readline(), process.stderr.readline()]
        process.terminate()
        assert process.wait(20) == 0
        process.stderr.close()
    assert lines[0].startswith("admin: cannot listen on 127.0.0.1:8079: address already in use")
    assert lines[1].startswith("weir: listening on 127.0.0.1:")


def test_one_process_serves_it_as_well(weir: MakeRig) -> None:
    port = free_port()
    rig = weir(top={"admin": {"address": f"127.0.0.1:{port}"}, "history": {"path": "off"}})
    assert ask(port) == (200, b"ok\n")
    assert rig.get("/").status == 200
    rig.slack = 2
    assert children(rig.proxy.pid) == set()


def test_a_unix_socket_is_for_its_user(weir: MakeRig, tmp_path: Path) -> None:
    path = tmp_path / "admin.sock"
    rig = weir(top={**WORKERS, "admin": {"address": f"unix:{path}"}, "history": {"path": "off"}})
    assert path.stat().st_mode & 0o777 == 0o600
    with socket.socket(socket.AF_UNIX) as sock:
        sock.settimeout(10)
        sock.connect(str(path))
        sock.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        received = b""
        while piece := sock.recv(4096):
            received += piece
    assert received.startswith(b"HTTP/1.1 200")
    assert rig.proxy.stop() == 0
    assert not path.exists()


def test_what_can_be_reached_from_elsewhere_needs_a_token() -> None:
    options = ["--listen", "127.0.0.1:0", "--to", "127.0.0.1:1", "--admin", ":0"]
    command = [sys.executable, "-m", "weir", "run", *options]
    done = subprocess.run(command, env=python_path(), capture_output=True, text=True, timeout=20)
    assert done.returncode == 2
    assert done.stderr.startswith(
        'weir: --admin: ":0" can be reached from other machines, and there is no token; write'
    )
    assert json.dumps("127.0.0.1:0") in done.stderr
