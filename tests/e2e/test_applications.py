"""ASGI applications in weir's own workers: their life, their failures, and what a reload makes of them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from .proxy import Proxy, configuration, python_path
from .wire import eventually

pytestmark = pytest.mark.timeout(120)

SHOP = """
import asyncio, os, pathlib, time

NAME = {name!r}
HERE = pathlib.Path(__file__).parent

def note(what):
    with open(HERE / "notes", "a") as notes:
        notes.write(f"{{NAME}} {{os.getpid()}} {{what}}\\n")

async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        for word in ("startup", "shutdown"):
            await receive()
            note(word)
            await send({{"type": f"lifespan.{{word}}.complete"}})
        return
    if scope["path"] == "/block":
        time.sleep(60)
    if scope["path"] == "/slow":
        note("asked")
        while not (HERE / "go").exists():
            await asyncio.sleep(0.01)
    body = f"{{NAME}} {{os.getpid()}}".encode()
    await send({{"type": "http.response.start", "status": 200, "headers": []}})
    await send({{"type": "http.response.body", "body": body}})
"""

Start = Callable[..., Proxy]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Starts weir in front of `asgi:shop:app`; the module is beside the configuration, and TMPDIR is tmp_path/tmp."""
    started: list[Proxy] = []
    (tmp_path / "tmp").mkdir()

    def make(**more: Any) -> Proxy:
        write(tmp_path, "one")
        started.append(Proxy(tmp_path, settings(**more), environment={"TMPDIR": str(tmp_path / "tmp")}))
        return started[0]

    yield make
    for proxy in started:
        proxy.check_end()
        # Neither a directory nor a socket, however a worker has ended.
        assert os.listdir(tmp_path / "tmp") == []


def settings(**more: Any) -> dict[str, Any]:
    listener = {"address": "127.0.0.1:0", "to": "asgi:shop:app"}
    workers = {} if more.get("single_process") else {"workers": 2}
    return {"admin": {"address": "off"}, **workers, **more, "listener": [listener]}


def write(directory: Path, name: str) -> None:
    (directory / "shop.py").write_text(SHOP.format(name=name))
    # Written within the same second it would be taken for the one that is compiled already.
    cached = directory / "__pycache__"
    for file in cached.iterdir() if cached.exists() else ():
        file.unlink()


def ask(proxy: Proxy, path: str = "/") -> tuple[str, int]:
    """Which version answers, and which process."""
    name, pid = requests.get(proxy.url(path), timeout=20).text.split()
    return name, int(pid)


def notes(directory: Path, what: str) -> list[str]:
    path = directory / "notes"
    return [line for line in path.read_text().splitlines() if line.endswith(what)] if path.exists() else []


def forget(proxy: Proxy, *parts: str) -> str:
    """Takes what a test expects off what weir has said, from the first line with the first part to the end."""
    whole = "\n".join(proxy.stderr)
    assert all(part in whole for part in parts), whole
    first = next(place for place, line in enumerate(proxy.stderr) if parts[0] in line)
    del proxy.stderr[first:]
    return whole


def test_workers_serve_it_and_it_shuts_down_after_the_drain(start: Start, tmp_path: Path) -> None:
    proxy = start()
    assert {ask(proxy)[0] for _ in range(10)} == {"one"}
    assert len(notes(tmp_path, "startup")) == 2
    asked: list[tuple[str, int]] = []
    thread = threading.Thread(target=lambda: asked.append(ask(proxy, "/slow")))
    thread.start()
    eventually(lambda: notes(tmp_path, "asked"))
    proxy.send_signal(signal.SIGTERM)
    # The other worker has nothing to do.
    eventually(lambda: len(notes(tmp_path, "shutdown")) == 1)
    (tmp_path / "go").touch()
    thread.join()
    assert proxy.wait() == 0
    assert [name for name, _pid in asked] == ["one"]
    assert len(notes(tmp_path, "shutdown")) == 2


def test_a_reload_brings_new_code_and_lets_the_old_finish(start: Start, tmp_path: Path) -> None:
    proxy = start()
    asked: list[tuple[str, int]] = []
    thread = threading.Thread(target=lambda: asked.append(ask(proxy, "/slow")))
    thread.start()
    eventually(lambda: notes(tmp_path, "asked"))
    write(tmp_path, "two")
    proxy.send_signal(signal.SIGHUP)
    eventually(lambda: any("reloaded: " in line for line in proxy.stderr), 20)
    eventually(lambda: ask(proxy)[0] == "two", 10)
    (tmp_path / "go").touch()
    thread.join()
    assert [name for name, _pid in asked] == ["one"]
    eventually(lambda: len([line for line in notes(tmp_path, "shutdown") if line.startswith("one")]) == 2, 10)
    forget(proxy, "reloaded: ")


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("def\n", ("shop cannot be imported", 'shop.py", line 1', "SyntaxError")),
        ("import no_such_library\n", ("shop cannot be imported", 'shop.py", line 1', "no_such_library")),
        ("other = 1\n", ("'shop' has no attribute 'app'",)),
        (
            "async def app(scope, receive, send):\n    await receive()\n"
            "    await send({'type': 'lifespan.startup.failed', 'message': 'no database'})\n",
            ("no database", "the application has refused to start"),
        ),
    ],
)
def test_code_that_cannot_run_keeps_the_old(start: Start, tmp_path: Path, code: str, said: tuple[str, ...]) -> None:
    proxy = start(workers=1)
    before = ask(proxy)
    write(tmp_path, "two")
    (tmp_path / "shop.py").write_text(code)
    proxy.send_signal(signal.SIGHUP)
    eventually(lambda: any("not reloaded" in line for line in proxy.stderr), 20)
    assert ask(proxy) == before
    whole = forget(proxy, *said)
    assert "a worker of the new configuration ended with status 1 before it served" in whole
    assert "importlib" not in whole


@pytest.mark.parametrize("single", [False, True])
def test_code_that_cannot_run_is_said_at_the_start(tmp_path: Path, single: bool) -> None:
    (tmp_path / "shop.py").write_text("\n1 / 0\n")
    (tmp_path / "weir.toml").write_text(
        configuration(settings(**{"single_process": True} if single else {"workers": 1}))
    )
    done = subprocess.run(
        [sys.executable, "-m", "weir", "run", "-c", str(tmp_path / "weir.toml")],
        env=python_path(),
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert done.returncode == 1
    assert "weir: asgi:shop:app: shop cannot be imported\n" in done.stderr
    assert 'shop.py", line 2' in done.stderr
    assert "ZeroDivisionError: division by zero" in done.stderr


@pytest.mark.parametrize("single", [False, True])
def test_it_ends_when_told_to_while_an_application_waits_for_its_database(tmp_path: Path, single: bool) -> None:
    (tmp_path / "shop.py").write_text(
        "import asyncio, pathlib\n\nasync def app(scope, receive, send):\n"
        '    (pathlib.Path(__file__).parent / "begun").touch()\n    await asyncio.sleep(3600)\n'
    )
    (tmp_path / "weir.toml").write_text(
        configuration(settings(**{"single_process": True} if single else {"workers": 1}))
    )
    with open(tmp_path / "err", "wb") as err:
        weir = subprocess.Popen(
            [sys.executable, "-m", "weir", "run", "-c", str(tmp_path / "weir.toml")], env=python_path(), stderr=err
        )
    try:
        eventually(lambda: (tmp_path / "begun").exists(), 20)
        weir.send_signal(signal.SIGTERM)
        # A worker that does not obey is killed after 35 s, one without a supervisor never.
        assert weir.wait(20) == 0
    finally:
        weir.kill()
        weir.wait()
    assert (tmp_path / "err").read_text() == ""


def test_a_killed_worker_leaves_nothing_and_another_one_serves(start: Start, tmp_path: Path) -> None:
    proxy = start(workers=1)
    _name, pid = ask(proxy)
    os.kill(pid, signal.SIGKILL)
    eventually(lambda: len(notes(tmp_path, "startup")) == 2, 10)
    name, other = ask(proxy)
    assert (name, other != pid) == ("one", True)
    assert os.listdir(tmp_path / "tmp") == []
    forget(proxy, "was ended by KILL: it is started again")


def test_an_application_that_blocks_is_replaced(start: Start, tmp_path: Path) -> None:
    """With the loop it blocks its whole worker; the supervisor notices."""
    proxy = start(workers=1, heartbeat_timeout="2s")
    _name, pid = ask(proxy)
    with pytest.raises(requests.ConnectionError):
        ask(proxy, "/block")
    eventually(lambda: len(notes(tmp_path, "startup")) == 2, 10)
    assert ask(proxy)[1] != pid
    # Where it was is said, from the application's line on.
    forget(proxy, "worker 1", 'shop.py", line')


def test_one_process_without_a_supervisor(start: Start, tmp_path: Path) -> None:
    proxy = start(single_process=True)
    assert ask(proxy) == ("one", proxy.pid)
    assert proxy.stop() == 0
    assert len(notes(tmp_path, "shutdown")) == 1


def test_check_reads_and_does_not_import(tmp_path: Path) -> None:
    """What is checked need not be installed where it is checked."""
    path = tmp_path / "weir.toml"
    path.write_text(configuration(settings()))
    done = subprocess.run(
        [sys.executable, "-m", "weir", "check", str(path)],
        env=python_path(),
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "send to asgi:shop:app" in done.stdout
