"""Becoming another user. These tests are root's: where they are not, they fail and say so."""

from __future__ import annotations

import grp
import os
import pwd
import signal
import socket
import stat
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from weir.config.plan import HistoryPlan, LogPlan, Plan
from weir.control import identity
from weir.control.errors import StartError
from weir.control.identity import Identity, identity_of, own_files, own_sockets
from weir.control.sockets import PassedSocket
from weir.control.spawn import fork

ENTRY = pwd.getpwnam("nobody")
NOBODY = Identity("nobody", ENTRY.pw_uid, ENTRY.pw_gid)


def plan(user: str = "", group: str = "", log: str = "off", history: str = "") -> Plan:
    return Plan((), (), (), user=user, group=group, log=LogPlan(access=log), history=HistoryPlan(path=history))


def in_a_child(call: Callable[[], None]) -> str:
    """What `call` raised in a process of its own; "" for nothing."""
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        said = ""
        try:
            call()
        except BaseException as error:
            said = f"{type(error).__name__}: {error}"
        os.write(writing, said.encode())
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as pipe:
        said = pipe.read()
    os.waitpid(pid, 0)
    return said


@pytest.fixture(autouse=True)
def root() -> None:
    assert os.geteuid() == 0, "these tests need root: only root can become another user"


def test_it_is_another_user_and_nothing_else() -> None:
    def become() -> None:
        os.setgroups([0, 4, 24])
        NOBODY.become()
        assert os.getresuid() == (NOBODY.uid,) * 3
        assert os.getresgid() == (NOBODY.gid,) * 3
        assert os.getgroups() == []
        assert identity.capabilities("CapEff") == identity.capabilities("CapPrm") == 0
        with pytest.raises(PermissionError):
            os.setuid(0)
        with pytest.raises(PermissionError):
            os.setgid(0)
        with pytest.raises(PermissionError):
            os.setgroups([0])

    assert in_a_child(become) == ""


def test_a_way_back_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    def only_effective(real: int, effective: int, saved: int) -> None:
        os.seteuid(effective)

    def become() -> None:
        monkeypatch.setattr(os, "setresuid", only_effective)
        NOBODY.become()

    assert in_a_child(become) == "RuntimeError: this process did not become user nobody"


def test_privileges_that_stay_are_noticed() -> None:
    import ctypes

    def become() -> None:
        ctypes.CDLL(None).prctl(8, 1, 0, 0, 0)  # PR_SET_KEEPCAPS
        NOBODY.become()

    assert in_a_child(become) == "RuntimeError: user nobody has privileges left"


@pytest.fixture
def readable(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if everybody could read this Python, which is not so where it is in root's home."""
    monkeypatch.setattr(identity, "unreadable", lambda identity, files: "")


def test_a_python_that_the_user_cannot_read(tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    (closed / "module.py").write_text("")
    files = ("/etc/passwd", str(closed / "module.py"))
    assert identity.unreadable(NOBODY, files) == files[1]
    assert identity.unreadable(NOBODY, files[:1]) == ""


@pytest.mark.usefixtures("readable")
def test_whom() -> None:
    assert identity_of(plan()) is None
    assert identity_of(plan("nobody")) == NOBODY
    assert identity_of(plan("65534", "daemon")) == Identity("65534", 65534, grp.getgrnam("daemon").gr_gid)
    assert identity_of(plan("65534", "7")) == Identity("65534", 65534, 7)
    with pytest.raises(StartError, match="no such user"):
        identity_of(plan("nobody-at-all"))


def test_who_is_not_root_is_told() -> None:
    def ask() -> None:
        NOBODY.become()
        assert identity_of(plan("nobody")) is None, "it is that user already"
        identity_of(plan("daemon"))

    assert in_a_child(ask).startswith("StartError: user daemon: only root can start weir as another user;")


def test_root_without_the_privileges_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(identity, "capabilities", lambda which: 1 << 0 | 1 << 6 | 1 << 7)
    with pytest.raises(StartError, match="root lacks CAP_KILL here"):
        identity_of(plan("nobody"))


def test_files_have_the_right_owner(tmp_path: Path) -> None:
    log, history = tmp_path / "access.log", tmp_path / "h.db"
    history.write_text("x")
    (tmp_path / "h.db-wal").write_text("x")
    own_files(plan(log=str(log), history=str(history)), NOBODY)
    for path in (log, history, tmp_path / "h.db-wal"):
        assert (path.stat().st_uid, path.stat().st_gid) == (NOBODY.uid, NOBODY.gid), path
    assert stat.S_IMODE(log.stat().st_mode) == 0o640
    assert not (tmp_path / "h.db-shm").exists()
    own_files(plan(log="stdout"), NOBODY)
    own_files(plan(log=str(tmp_path / "none" / "a.log")), None)
    with pytest.raises(StartError, match="cannot write the access log"):
        own_files(plan(log=str(tmp_path / "none" / "a.log")), NOBODY)


def test_what_a_link_leads_to_is_not_given_away(tmp_path: Path) -> None:
    """A directory of the user's own: where a log was, it may have put anything."""
    secret = tmp_path / "shadow"
    secret.write_text("root's")
    (tmp_path / "symbolic.log").symlink_to(secret)
    os.link(secret, tmp_path / "hard.log")
    own_files(plan(log=str(tmp_path / "symbolic.log")), NOBODY)
    own_files(plan(log=str(tmp_path / "hard.log"), history=str(tmp_path / "symbolic.log")), NOBODY)
    assert secret.stat().st_uid == 0


def test_a_fifo_holds_nobody_up(tmp_path: Path) -> None:
    """The directory of the history is the user's, and root opens what is in it."""
    os.mkfifo(tmp_path / "h.db")

    def own() -> int:
        own_files(plan(history=str(tmp_path / "h.db")), NOBODY)
        return 0

    started, pid = time.monotonic(), fork(own)
    while os.waitpid(pid, os.WNOHANG) == (0, 0):
        if time.monotonic() - started > 5:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            raise AssertionError("it waits for somebody to write")
        time.sleep(0.002)
    assert (tmp_path / "h.db").stat().st_uid == 0


def test_sockets_have_the_right_owner(tmp_path: Path) -> None:
    ours, theirs = str(tmp_path / "ours"), str(tmp_path / "theirs")
    with socket.socket(socket.AF_UNIX) as one, PassedSocket(socket.AF_UNIX) as two, socket.socket() as three:
        one.bind(ours)
        two.bind(theirs)
        own_sockets([one, two, three], NOBODY)
        assert os.stat(ours).st_uid == NOBODY.uid
        assert os.stat(theirs).st_uid == 0, "the service manager's"
        os.unlink(ours)
        with pytest.raises(StartError, match="cannot be given to user nobody"):
            own_sockets([one], NOBODY)
