"""`weir.run`: the whole of weir from a person's own script."""

from __future__ import annotations

import asyncio
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
import requests

import weir
from tests.e2e.proxy import python_path

HOOKS = """

import weir

@weir.hook("request", path="/who")
def who(request):
    return weir.Answer(200, body={said!r})
"""

SCRIPT = """
import signal
import weir

if __name__ == "__main__":
    before = signal.getsignal(signal.SIGTERM)
    print("status", weir.run({config}{hooks}))
    assert signal.getsignal(signal.SIGTERM) == before
"""


class Running:
    """A script that calls weir.run."""

    def __init__(self, directory: Path, config: str, hooks: str = "") -> None:
        (directory / "main.py").write_text(SCRIPT.format(config=config, hooks=hooks))
        self.process = subprocess.Popen(
            [sys.executable, "main.py"],
            cwd=directory,
            env=python_path(),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            process_group=0,
        )
        self.url = ""

    def ready(self) -> Running:
        assert self.process.stderr is not None
        line = self.process.stderr.readline()
        assert line.startswith("weir: listening on "), line + self.process.stderr.read()
        self.url = "http://" + line.split()[-1]
        return self

    def end(self) -> tuple[str, str]:
        if self.url:
            self.process.send_signal(signal.SIGTERM)
        return self.process.communicate(timeout=30)


@pytest.mark.parametrize("single", [False, True])
def test_tables_and_hooks_until_it_is_told_to_end(tmp_path: Path, single: bool) -> None:
    (tmp_path / "guards.py").write_text(HOOKS.format(said="one"))
    how = '"single_process": True' if single else '"workers": 1'
    config = (
        f'{{"listener": [{{"address": "127.0.0.1:0", "to": "127.0.0.1:9"}}], "admin": {{"address": "off"}}, {how}}}'
    )
    running = Running(tmp_path, config, ', hooks=__import__("guards")').ready()
    try:
        assert requests.get(f"{running.url}/who", timeout=10).text == "one"
    finally:
        stdout, stderr = running.end()
    assert (stdout, stderr) == ("status 0\n", "")


def test_a_file_is_read_anew_by_a_reload(tmp_path: Path) -> None:
    (tmp_path / "guards.py").write_text(HOOKS.format(said="one"))
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    listener = f'[[listener]]\naddress = "127.0.0.1:{port}"\nto = "127.0.0.1:9"\n'
    (tmp_path / "weir.toml").write_text(f'workers = 1\n[admin]\naddress = "off"\n{listener}')
    running = Running(tmp_path, '"weir.toml"', ', hooks="guards.py"').ready()
    try:
        assert requests.get(f"{running.url}/who", timeout=10).text == "one"
        (tmp_path / "guards.py").write_text(HOOKS.format(said="another one"))
        running.process.send_signal(signal.SIGHUP)
        assert running.process.stderr is not None
        assert "reloaded: configuration 2 is in use" in running.process.stderr.readline()
        # The worker of before may still be the one who accepts, for a moment.
        until = time.monotonic() + 10
        while (said := requests.get(f"{running.url}/who", timeout=10).text) == "one":
            assert time.monotonic() < until
        assert said == "another one"
    finally:
        stdout, stderr = running.end()
    assert (stdout, stderr) == ("status 0\n", "")


def test_what_cannot_be_is_an_exception(tmp_path: Path) -> None:
    _, stderr = Running(tmp_path, '{"listener": [{"address": ":0", "to": "nowhere"}]}').end()
    assert 'ConfigError: listener[0].to: there is no cluster "nowhere"' in stderr
    (tmp_path / "guards.py").write_text("1 / 0\n")
    _, stderr = Running(tmp_path, '{"listener": [{"address": ":0", "to": "a:1"}]}', ', hooks="guards.py"').end()
    assert "ConfigError: hooks " in stderr
    assert "ZeroDivisionError" in stderr


def test_where_it_cannot_be_called() -> None:
    async def inside() -> None:
        weir.run({})

    with pytest.raises(RuntimeError, match=r"async with weir\.Proxy"):
        asyncio.run(inside())
    raised: list[str] = []

    def thread() -> None:
        try:
            weir.run({})
        except RuntimeError as error:
            raised.append(str(error))

    other = threading.Thread(target=thread)
    other.start()
    other.join()
    assert raised == ["weir.run handles signals, which only the main thread can; weir.Proxy handles none"]
    with pytest.raises(TypeError, match="has no file"):
        weir.run({}, hooks=sys)
