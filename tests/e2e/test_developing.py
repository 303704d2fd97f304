"""A hooks file in real processes: saved while weir runs, what begins and ends with a worker, what is counted."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.support import Running, fetch, listening, running

from .wire import eventually

pytestmark = pytest.mark.timeout(120)

ANSWER = """\
import weir

@weir.hook("request")
def answer(request):
    return weir.Answer(200, {text!r})
"""

LIFE = """\
import asyncio, os, pathlib
import weir

HERE = pathlib.Path(__file__).parent
seen = []

def note(text):
    with open(HERE / "notes", "a") as file:
        file.write(text + chr(10))

async def tick():
    try:
        while True:
            seen.append(1)
            await asyncio.sleep(0.01)
    finally:
        note("background ended")

@weir.startup
async def begin():
    if (HERE / "broken").exists():
        raise OSError("no database")
    note("started")
    weir.background(tick())

@weir.shutdown
def end():
    note("ended")

@weir.hook("request", path="/pid", name="pid")
def pid(request):
    return weir.Answer(200, str(os.getpid()))

@weir.hook("request", path="/ticks", name="ticks")
def ticks(request):
    return weir.Answer(200, str(len(seen)))
"""


def options(hooks: Path) -> list[str]:
    # Nobody is at the endpoint: the hooks answer.
    return ["run", "--listen", "127.0.0.1:0", "--to", "127.0.0.1:9", "--hooks", str(hooks)]


@contextlib.contextmanager
def serving(tmp_path: Path, *more: str) -> Iterator[tuple[Running, str]]:
    """weir with the hooks file app.py, and where it listens; it ends well."""
    with running(tmp_path, *options(tmp_path / "app.py"), *more) as weir:
        yield weir, listening(weir)
        assert weir.stop() == 0


def text(address: str, path: str = "/") -> str:
    return fetch(address, path)[1].decode()


def test_what_is_saved_is_in_use_and_a_mistake_keeps_the_old_one(tmp_path: Path) -> None:
    app = tmp_path / "app.py"
    app.write_text(ANSWER.format(text="one"))
    with serving(tmp_path, "--reload", "--admin", "off") as (weir, address):
        assert text(address) == "one"
        app.write_text(ANSWER.format(text="two"))
        weir.wait_for("weir: reloaded: configuration 2 is in use")
        assert text(address) == "two"
        app.write_text("def answer(:\n")
        weir.wait_for("weir: not reloaded")
        assert text(address) == "two"
        (tmp_path / "helper.py").write_text("TEXT = 'three'\n")
        app.write_text("from helper import TEXT\n" + ANSWER.format(text="").replace("''", "TEXT"))
        weir.wait_for("weir: reloaded: configuration 3 is in use")
        assert text(address) == "three"
        (tmp_path / "helper.py").write_text("TEXT = 'fours'\n")
        weir.wait_for("weir: reloaded: configuration 4 is in use")
        assert text(address) == "fours"
        assert weir.err.count("SyntaxError: invalid syntax") == 1


def test_reload_needs_a_supervisor(tmp_path: Path) -> None:
    app = tmp_path / "app.py"
    app.write_text(ANSWER.format(text="one"))
    with running(tmp_path, *options(app), "--reload", "--single-process") as weir:
        assert weir.process.wait(15) == 2
        assert "--reload needs a supervisor, which --single-process leaves out." in weir.err


@pytest.mark.parametrize("more", [("--workers", "1"), ("--single-process",)])
def test_what_begins_and_ends_with_a_worker(tmp_path: Path, more: tuple[str, ...]) -> None:
    (tmp_path / "app.py").write_text(LIFE)
    notes = tmp_path / "notes"
    with serving(tmp_path, "--admin", "off", *more) as (_weir, address):
        assert notes.read_text() == "started\n"
        first = int(text(address, "/ticks"))
        eventually(lambda: int(text(address, "/ticks")) > first, 10, "the background task runs")
    assert notes.read_text() == "started\nbackground ended\nended\n"


def test_a_startup_that_fails_lets_weir_not_start_and_a_reload_not_take_over(tmp_path: Path) -> None:
    app, broken = tmp_path / "app.py", tmp_path / "broken"
    app.write_text(LIFE)
    broken.touch()
    for more in (("--workers", "1"), ("--single-process",)):
        with running(tmp_path, *options(app), "--admin", "off", *more) as weir:
            assert weir.process.wait(15) == 1
            assert "weir: startup app.begin failed" in weir.err
            assert "OSError: no database" in weir.err
    broken.unlink()
    with serving(tmp_path, "--admin", "off", "--workers", "1") as (weir, address):
        before = text(address, "/pid")
        broken.touch()
        weir.process.send_signal(signal.SIGHUP)
        weir.wait_for("weir: not reloaded")
        assert "startup app.begin failed" in weir.err
        assert text(address, "/pid") == before


def test_counts_outlive_a_killed_worker_and_a_reload(tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text(LIFE)
    admin = f"unix:{tmp_path}/admin"

    def calls() -> dict[str, int]:
        command = [sys.executable, "-m", "weir", "stats", "--hooks", "--admin", admin]
        done = subprocess.run(command, capture_output=True, text=True, timeout=15, check=True)
        rows = [line.split() for line in done.stdout.splitlines() if line.startswith("request ")]
        return {row[1]: int(row[2]) for row in rows}

    with serving(tmp_path, "--workers", "1", "--admin", admin) as (weir, address):
        worker = int(text(address, "/pid"))
        text(address, "/ticks")
        os.kill(worker, signal.SIGKILL)
        eventually(lambda: int(text(address, "/pid")) != worker, 10, "another worker serves")
        asked = calls()
        assert asked["pid"] >= 2
        assert asked["ticks"] == 1
        weir.process.send_signal(signal.SIGHUP)
        weir.wait_for("weir: reloaded")
        text(address, "/ticks")
        assert calls() == {"pid": asked["pid"], "ticks": 2}


def test_a_hook_that_blocks_its_worker_is_named(tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text(
        "import time, weir\n\n"
        "@weir.hook('request', name='slow')\n"
        "async def slow(request):\n"
        "    time.sleep(1.2)\n"
        "    return weir.Answer(200, 'done')\n"
    )
    with serving(tmp_path, "--workers", "1", "--admin", "off") as (weir, address):
        assert text(address) == "done"
        assert "hook slow blocks the worker" in weir.err
        assert "time.sleep(1.2)" in weir.err
