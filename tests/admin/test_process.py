"""The admin process alone, with the test as its supervisor; tests/e2e/test_admin.py has the real one."""

from __future__ import annotations

import os
import signal
import socket
import urllib.request
from collections.abc import Iterator

import pytest

from weir.admin.process import READY, Status, main
from weir.config.plan import AddressPlan, AdminPlan, ClusterPlan, HistoryPlan, ListenerPlan, Plan, RoutePlan
from weir.stats import layout


def test_the_latest_line_counts() -> None:
    status = Status()
    status.feed(b'{"generation": 1}\n{"gener')
    assert status.latest == {"generation": 1}
    status.feed(b'ation": 2}\n{"generation": 3}\n')
    assert status.latest == {"generation": 3}


def test_what_is_no_line() -> None:
    with pytest.raises(ValueError):
        Status().feed(b"nonsense\n")
    with pytest.raises(ValueError, match="without an end"):
        Status().feed(b"x" * (2 << 20))


class Child:
    """A forked admin process, and our end of the line to it."""

    def __init__(self) -> None:
        listener = ListenerPlan(AddressPlan(":1", "", 1), 0)
        cluster = ClusterPlan("app", (AddressPlan("127.0.0.1:1", "127.0.0.1", 1),))
        plan = Plan((listener,), (RoutePlan("main", 0),), (cluster,), admin=AdminPlan(), history=HistoryPlan(path=""))
        memory = layout.create(64, ["main"], 1)
        sock = socket.create_server(("127.0.0.1", 0))
        self.port = sock.getsockname()[1]
        self.channel, theirs = socket.socketpair()
        self.channel.settimeout(20)
        self.pid = os.fork()
        if self.pid == 0:
            status = 99
            try:
                self.channel.close()
                status = main(plan, memory, [sock], theirs)
            finally:
                os._exit(status)
        theirs.close()
        sock.close()
        memory.close()

    def wait(self) -> int:
        _pid, status = os.waitpid(self.pid, 0)
        return os.waitstatus_to_exitcode(status)


@pytest.fixture
def child() -> Iterator[Child]:
    made = Child()
    yield made
    made.channel.close()


@pytest.mark.timeout(60)
@pytest.mark.parametrize("how", ["TERM", "the supervisor is gone", "nonsense"])
def test_it_serves_until_it_is_told_to_end(child: Child, how: str) -> None:
    assert child.channel.recv(1) == READY
    child.channel.send(b'{"generation": 1}\n')
    with urllib.request.urlopen(f"http://127.0.0.1:{child.port}/healthz", timeout=10) as response:
        assert response.read() == b"ok\n"
    for number in (signal.SIGHUP, signal.SIGUSR1, signal.SIGINT):
        os.kill(child.pid, number)
    if how == "TERM":
        os.kill(child.pid, signal.SIGTERM)
    elif how == "nonsense":
        child.channel.send(b"nonsense\n")
    else:
        child.channel.close()
    assert child.wait() == 0
