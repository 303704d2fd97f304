"""Started by root, serving as another user: these tests are root's, and fail where they are not."""

from __future__ import annotations

import os
import pwd
import signal
import socket
import stat
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from .peers import Endpoint, dial
from .proxy import Proxy, python_path
from .rig import ALONE, WORKERS, Rig, tables
from .test_reload import children, forget, reload, said
from .wire import eventually

pytestmark = pytest.mark.timeout(120)

NOBODY = pwd.getpwnam("nobody")
STARTED: list[Proxy] = []


def closed_to_others() -> Path | None:
    """The directory, if there is one, on the way to this Python that others may not enter: root's home, say."""
    for file in (os.__file__, os.path.realpath(sys.executable)):
        for parent in reversed(Path(file).parents):
            if not parent.stat().st_mode & stat.S_IXOTH:
                return parent
    return None


def opened(below: Path | None) -> list[str]:
    """A command before weir's that lets everybody into that directory, in a mount namespace of weir's own."""
    if below is None:
        return []
    entry = Path(os.__file__).relative_to(below).parts[0]
    script = (
        f"kept=$(mktemp -d) && mount --bind {below} $kept && mount -t tmpfs -o mode=755 none {below} && "
        f"mkdir {below}/{entry} && mount --bind $kept/{entry} {below}/{entry} && umount $kept && rmdir $kept && "
        'exec "$@"'
    )
    return ["unshare", "--mount", "sh", "-c", script, "sh"]


@pytest.fixture
def place() -> Iterator[Path]:
    """A directory that other users may enter, which those of pytest are not."""
    import shutil
    import tempfile

    assert os.geteuid() == 0, "these tests need root: only root can become another user"
    made = Path(tempfile.mkdtemp(prefix="weir-user-"))
    made.chmod(0o755)
    yield made
    while STARTED:
        if (proxy := STARTED.pop()).alive():  # the test has failed
            proxy.process.terminate()
    shutil.rmtree(made)


def start(place: Path, top: dict[str, Any], **more: Any) -> Rig:
    endpoint = Endpoint()
    settings = tables(place, [endpoint.address], top={**top, "user": "nobody"}, **more)
    STARTED.append(Proxy(place, settings, prefix=opened(closed_to_others())))
    rig = Rig(STARTED[-1], endpoint)
    # What the admin process opens in its first second, and the pools' probes.
    rig.slack = 6
    return rig


def finish(rig: Rig) -> None:
    rig.finish()
    rig.endpoint.close()
    rig.proxy.check_end()


def status(pid: int) -> dict[str, list[str]]:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return {line.partition(":")[0]: line.partition(":")[2].split() for line in lines}


def check_unprivileged(pid: int) -> None:
    # A moment after the fork, before anything else.
    eventually(lambda: status(pid)["Uid"] == [str(NOBODY.pw_uid)] * 4, 5, "the user's")
    found = status(pid)
    assert found["Gid"] == [str(NOBODY.pw_gid)] * 4
    assert found["Groups"] == []
    assert [int(found[name][0], 16) for name in ("CapInh", "CapPrm", "CapEff", "CapAmb")] == [0] * 4


def test_workers_and_the_admin_process_are_the_users_and_the_supervisor_is_roots(place: Path) -> None:
    admin, history = place / "admin.sock", place / "state" / "history.db"
    history.parent.mkdir()
    os.chown(history.parent, NOBODY.pw_uid, NOBODY.pw_gid)
    pid_file = place / "weir.pid"
    top = {
        **WORKERS,
        "admin": {"address": f"unix:{admin}"},
        "history": {"path": str(history), "flush": "1s"},
        "pid_file": str(pid_file),
    }
    rig = start(place, top, listener={"address": f"unix:{place}/weir.sock"})
    eventually(lambda: len(children(rig.proxy.pid)) == 3 and history.exists(), 20, "with the admin process")
    before = children(rig.proxy.pid)
    for pid in before:
        check_unprivileged(pid)
    assert status(rig.proxy.pid)["Uid"] == ["0"] * 4
    assert rig.get("/as-nobody").status == 200
    rig.proxy.logged(1)
    for path in (rig.proxy.log_path, history, admin, place / "weir.sock"):
        assert (path.stat().st_uid, path.stat().st_gid) == (NOBODY.pw_uid, NOBODY.pw_gid), path
    assert stat.S_IMODE(admin.stat().st_mode) == 0o600
    assert pid_file.stat().st_uid == 0

    # The directory of the log is root's: only the supervisor can make a new one.
    os.rename(rig.proxy.log_path, place / "access.log.1")
    rig.proxy.send_signal(signal.SIGUSR1)
    eventually(lambda: rig.proxy.log_path.exists(), 5, "the supervisor has made it")
    assert rig.proxy.log_path.stat().st_uid == NOBODY.pw_uid
    eventually(lambda: rig.get("/after").status == 200 and bool(rig.proxy.records()), 10, "the workers write into it")

    reload(rig)
    eventually(lambda: len(children(rig.proxy.pid)) == 3 and not children(rig.proxy.pid) & before, 20, "the next ones")
    for pid in children(rig.proxy.pid):
        check_unprivileged(pid)
    assert rig.get("/still").status == 200
    forget(rig, "weir: reloaded")
    finish(rig)
    assert not (place / "weir.sock").exists()
    assert not pid_file.exists()


def test_a_port_below_1024_is_bound_at_a_reload_too(place: Path) -> None:
    ports = []
    for port in range(1000, 1023):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) != 0:
                ports.append(port)
    rig = start(place, WORKERS, listener={"address": f"127.0.0.1:{ports[0]}"})
    assert rig.get("/low").status == 200
    text = rig.proxy.config_path.read_text()
    rig.proxy.config_path.write_text(text.replace(f":{ports[0]}", f":{ports[1]}"))
    reload(rig)
    with dial(("127.0.0.1", ports[1])) as client:
        client.send(b"GET /low HTTP/1.1\r\nHost: test\r\n\r\n")
        assert client.response().status == 200
    rig.proxy.config_path.write_text(text.replace('user = "nobody"', 'user = "daemon"'))
    rig.proxy.send_signal(signal.SIGHUP)
    eventually(lambda: said(rig, "weir: not reloaded"), 10)
    assert forget(rig, "weir: user cannot be changed by a reload: it is nobody, and daemon in the configuration")
    forget(rig, "weir: reloaded", "weir: not reloaded")
    finish(rig)


@pytest.mark.heavy
def test_one_process_changes_itself(place: Path) -> None:
    pid_file = place / "weir.pid"
    rig = start(place, {**ALONE, "pid_file": str(pid_file)}, listener={"address": "127.0.0.1:0"})
    check_unprivileged(rig.proxy.pid)
    for thread in Path(f"/proc/{rig.proxy.pid}/task").iterdir():
        assert f"Uid:\t{NOBODY.pw_uid}\t" in (thread / "status").read_text(), "every thread"
    assert pid_file.read_text() == f"{rig.proxy.pid}\n"
    assert rig.get("/").status == 200
    rig.proxy.logged(1)
    finish(rig)


@pytest.mark.heavy
def test_root_only(place: Path) -> None:
    import subprocess

    config = place / "weir.toml"
    config.write_text('user = "daemon"\n[admin]\naddress = "off"\n[[listener]]\naddress = ":0"\nto = "127.0.0.1:1"\n')
    command = [sys.executable, "-m", "weir", "run", "-c", str(config)]
    ids = [f"--reuid={NOBODY.pw_uid}", f"--regid={NOBODY.pw_gid}", "--clear-groups"]
    prefix = [*opened(closed_to_others()), "setpriv", *ids]
    done = subprocess.run([*prefix, *command], env=python_path(), capture_output=True, text=True, timeout=20)
    assert done.returncode == 1
    message = "weir: user daemon: only root can start weir as another user; start it as root, or take user out\n"
    assert done.stderr == message
    # As the user itself it is no contradiction: a service manager has done it already.
    config.write_text(config.read_text().replace("daemon", "nobody"))
    weir = subprocess.Popen([*prefix, *command], env=python_path(), stderr=subprocess.PIPE, text=True)
    assert weir.stderr is not None
    assert weir.stderr.readline().startswith("weir: listening on")
    weir.terminate()
    assert weir.wait(10) == 0
    weir.stderr.close()
