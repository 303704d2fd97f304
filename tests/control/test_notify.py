from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from weir.control.notify import Notifier


def test_nobody_listens() -> None:
    environment: dict[str, str] = {}
    notifier = Notifier(environment)
    notifier.ready("x")
    notifier.alive(1.0)
    notifier.close()
    assert notifier.watchdog_s == 0


@pytest.mark.parametrize("abstract", [False, True])
def test_what_is_said(tmp_path: Path, abstract: bool) -> None:
    path = str(tmp_path / "notify")
    name = f"@weir-test-{os.getpid()}" if abstract else path
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(name.replace("@", "\0"))
        manager.settimeout(5)
        environment = {"NOTIFY_SOCKET": name, "WATCHDOG_USEC": "3000000", "WATCHDOG_PID": str(os.getpid()), "A": "b"}
        notifier = Notifier(environment)
        assert environment == {"A": "b"}, "a child must not speak for us"
        notifier.ready("serving")
        assert manager.recv(1000) == b"READY=1\nSTATUS=serving"
        notifier.reloading()
        assert manager.recv(1000).startswith(b"RELOADING=1\nMONOTONIC_USEC=")
        notifier.stopping()
        assert manager.recv(1000).startswith(b"STOPPING=1\n")
        assert notifier.watchdog_s == 1.5
        for now in (10.0, 10.1, 11.4, 11.5):
            notifier.alive(now)
        assert [manager.recv(1000) for _ in range(2)] == [b"WATCHDOG=1"] * 2
        manager.settimeout(0.05)
        with pytest.raises(TimeoutError):
            manager.recv(1000)
        notifier.close()
    notifier.ready("nobody")


@pytest.mark.parametrize("variables", [{"WATCHDOG_PID": "1"}, {"WATCHDOG_USEC": "x"}, {"WATCHDOG_USEC": "0"}])
def test_a_watchdog_that_is_not_ours(tmp_path: Path, variables: dict[str, str]) -> None:
    environment = {"NOTIFY_SOCKET": str(tmp_path / "n"), "WATCHDOG_USEC": "1000000", **variables}
    notifier = Notifier(environment)
    assert notifier.watchdog_s == 0
    notifier.close()


@pytest.mark.timeout(60)
def test_a_manager_that_watches_weir(tmp_path: Path) -> None:
    config = tmp_path / "weir.toml"
    good = '[admin]\naddress = "off"\n[[listener]]\naddress = "127.0.0.1:0"\nto = "127.0.0.1:1"\n'
    config.write_text(good)
    path = str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(path)
        manager.settimeout(20)

        def heard(wanted: bytes) -> bytes:
            """The next message that is no sign of life."""
            while (message := manager.recv(1000)) == b"WATCHDOG=1":
                pass
            assert message.startswith(wanted), message
            return message

        process = subprocess.Popen(
            [sys.executable, "-m", "weir", "run", "-c", str(config), "--workers", "1"],
            env={**os.environ, "NOTIFY_SOCKET": path, "WATCHDOG_USEC": "400000"},
            stderr=subprocess.DEVNULL,
        )
        heard(b"READY=1\nSTATUS=serving")
        assert [manager.recv(1000) for _ in range(3)] == [b"WATCHDOG=1"] * 3
        process.send_signal(1)
        heard(b"RELOADING=1\n")
        assert b"configuration 2" in heard(b"READY=1\n")
        config.write_text("nonsense")
        process.send_signal(1)
        heard(b"RELOADING=1\n")
        assert b"refused" in heard(b"READY=1\n")
        process.terminate()
        heard(b"STOPPING=1\n")
        assert process.wait(20) == 0
