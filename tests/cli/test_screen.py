"""`weir top` in a terminal: what is on the screen while a real instance counts, and how it leaves the terminal."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
from collections.abc import Iterator

import pytest

from .instance import Instance, instance
from .terminal import Terminal, terminal

# What TERM=linux says that its keys send.
ENTER, ESCAPE, DOWN, END, F6, REDRAW = "\r", "\x1b", "\x1b[B", "\x1b[4~", "\x1b[17~", "\x0c"
EVIL = b"/evil\x1b]0;gotcha\x07\xff"


@contextlib.contextmanager
def traffic(made: Instance) -> Iterator[None]:
    """Counts a little of everything all the time."""
    done = threading.Event()

    def run() -> None:
        while not done.wait(0.05):
            made.count("/often", [1000] * 20, size=100)
            made.count("/slow/{id}", [50_000] * 5, errors=1, server_errors=1)
            made.count(EVIL, [100])
            for number in range(40):
                made.count(f"/seldom/{number}", [2000])

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


@pytest.fixture(scope="module")
def busy() -> Iterator[Instance]:
    with instance() as made, traffic(made):
        yield made


@contextlib.contextmanager
def top(made: Instance, *arguments: str, **size: int) -> Iterator[Terminal]:
    with terminal("top", "--admin", made.address, "-i", "0.3", *arguments, **size) as screen:  # type: ignore[arg-type]
        screen.wait_for("/often")
        yield screen


def _series(screen: Terminal) -> list[str]:
    """Paths in the order of the screen."""
    heading = next((number for number, line in enumerate(screen.lines) if line.lstrip().startswith("COUNT")), None)
    if heading is None:
        return []
    place = screen.lines[heading].index("PATH")
    return [line[place:] for line in screen.lines[heading + 1 : -1] if line[place:]]


def test_head_table_and_keys(busy: Instance) -> None:
    with top(busy) as screen:
        screen.wait_for(lambda: "errors 0/s" not in screen.text and _series(screen)[:2] == ["/often", "/slow/{id}"])
        screen.wait_for("q quit")
        screen.wait_for("series 45 of 256")
        lines = screen.lines
        assert lines[0].startswith(f"weir 0.1.0  {busy.address}  up ")
        assert lines[0].endswith("every 0.3s")
        assert "p50" in lines[1]
        assert lines[2].startswith("workers 1  connections 0, 0 in progress")
        assert lines[2].endswith("series 45 of 256")
        assert lines[-1].startswith("?help")
        screen.press("q")
        assert screen.ended() == 0


def test_sorting_turns_the_table(busy: Instance) -> None:
    with top(busy) as screen:
        screen.press("9")
        screen.wait_for(lambda: _series(screen)[:1] == ["/slow/{id}"])
        screen.press("r")
        screen.wait_for(lambda: _series(screen)[:1] == [r"/evil\x1B]0;gotcha\x07\xFF"])
        screen.press("rc")
        screen.wait_for(lambda: _series(screen)[:1] == ["/often"])
        screen.press("<")
        screen.wait_for(lambda: "".join(_series(screen)[:1]).startswith("/evil"))
        screen.press(">" + F6)
        screen.wait_for(lambda: _series(screen)[:1] == ["/slow/{id}"])  # by bytes
        assert screen.screen.title == ""


def test_a_filter_is_typed_and_taken_back(busy: Instance) -> None:
    with top(busy) as screen:
        screen.press("/SLOW")
        screen.wait_for("/SLOW_")
        screen.press(ENTER)
        screen.wait_for(lambda: _series(screen) == ["/slow/{id}"])
        assert "only paths with SLOW in them" in screen.lines[3]
        screen.press(ESCAPE)
        screen.wait_for(lambda: _series(screen)[:1] == ["/often"])


def test_one_path_in_full_and_back(busy: Instance) -> None:
    with top(busy, lines=45) as screen:
        screen.press(DOWN + ENTER)
        screen.wait_for(lambda: "main /slow/{id}" in screen.text and "upstream_reset" in screen.text)
        for said in ("where the time goes", " R Tr  response head", "total time", "first byte", "####"):
            screen.wait_for(said)
        screen.press(ESCAPE)
        screen.wait_for(lambda: "COUNT" in screen.text and _series(screen)[:1] == ["/often"])


def test_scrolling_to_the_end(busy: Instance) -> None:
    with top(busy, lines=16) as screen:
        screen.wait_for(lambda: len(_series(screen)) == 10)
        screen.press(END)
        screen.wait_for(lambda: len(_series(screen)) == 10 and "/often" not in screen.text)


def test_a_pause_holds_the_picture(busy: Instance) -> None:
    with top(busy) as screen:
        screen.press(" ")
        screen.wait_for("PAUSED")
        screen.settle()
        before = screen.lines
        for _ in range(8):
            screen.read(0.1)
        assert screen.lines == before
        # What was drawn bit by bit is what is drawn as a whole.
        received = len(screen.received)
        screen.press(REDRAW)
        screen.wait_for(lambda: len(screen.received) > received + 1000)
        screen.settle()
        assert screen.lines == before
        screen.press(" ")
        screen.wait_for("every 0.3s")


def test_the_interval_and_help(busy: Instance) -> None:
    with top(busy) as screen:
        screen.press("-")
        screen.wait_for("every 0.5s")
        screen.press("?")
        screen.wait_for("any key goes back")
        assert "sort by" in screen.text
        screen.press("x")
        screen.wait_for("COUNT")


def test_a_resize_fills_the_new_size(busy: Instance) -> None:
    with top(busy) as screen:
        screen.resize(60, 12)
        screen.wait_for(lambda: screen.lines[-1].startswith("?help") and len(_series(screen)) == 6)
        screen.resize(160, 40)
        screen.wait_for(lambda: screen.lines[-1].startswith("?help") and len(_series(screen)) == 34)
        screen.wait_for("Td%")


@pytest.mark.parametrize("how", ["q", "Q", "\x03", "TERM", "INT", "HUP"])
def test_the_terminal_is_left_as_it_was(busy: Instance, how: str) -> None:
    with terminal("top", "--admin", busy.address, environment={"TERM": "xterm-256color"}) as screen:
        assert screen.echoes()
        screen.wait_for("/often")
        assert not screen.echoes()
        if len(how) == 1:
            screen.press(how)
        else:
            os.kill(screen.process.pid, getattr(signal, f"SIG{how}"))
        assert screen.ended() == 0
        assert screen.echoes()
        # The picture that was there before is back: the alternate screen was left.
        assert screen.received.count(b"\x1b[?1049h") == screen.received.count(b"\x1b[?1049l") == 1


def test_a_lost_instance_is_said_and_found_again() -> None:
    with instance() as made:
        made.count("/first", [1000])
        made.settle()
        address = made.address
        with terminal("top", "--admin", address, "-i", "0.3") as screen:
            screen.wait_for("series 3 of 256")
            screen.wait_for("/first")
            _lose_and_find(screen, made, address)


def _lose_and_find(screen: Terminal, made: Instance, address: str) -> None:
    made.stop()
    screen.wait_for("trying again in")
    assert address in screen.lines[3]
    with instance(address=address, rows=128) as other:
        with traffic(other):
            screen.wait_for("/often")
            screen.wait_for(lambda: "again" not in screen.text and "of 128" in screen.text)
            screen.press("q")
            assert screen.ended() == 0


def test_no_terminal_and_a_terminal_that_can_do_nothing(busy: Instance) -> None:
    with terminal("top", "--admin", busy.address, environment={"TERM": "unknown-kind"}) as screen:
        assert screen.ended() == 1
        assert b"weir top cannot use this terminal" in screen.received
    with terminal("top", "--admin", "127.0.0.1:1") as screen:
        assert screen.ended() == 1
        assert b"nothing listens at 127.0.0.1:1" in screen.received
        assert b"\x1b[?1049h" not in screen.received


def test_a_locale_without_other_letters_shows_the_rest(busy: Instance) -> None:
    with instance() as made:
        made.count("/日本", [1000])
        made.settle()
        environment = {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"}
        with terminal("top", "--admin", made.address, environment=environment) as screen:
            screen.wait_for("/??")
            screen.press("q")
            assert screen.ended() == 0


@pytest.mark.alone
@pytest.mark.figures  # of the build that people use, and of an interpreter that nobody watches
def test_it_costs_less_than_a_hundredth_of_a_core() -> None:
    with instance(rows=4100) as made:
        for number in range(4000):
            made.count(f"/path/number/{number}", [number + 1])
        with terminal("top", "--admin", made.address, columns=120, lines=40) as screen:
            screen.wait_for("series 4002")
            busy_paths = [f"/path/number/{number}" for number in range(0, 4000, 10)]
            before, start = _cpu_s(screen.process.pid), time.monotonic()
            while time.monotonic() - start < 6:
                for path in busy_paths:
                    made.count(path, [1000, 2000])
                screen.read(0.3)
            used = _cpu_s(screen.process.pid) - before
        # 1 % and as much again for a machine that is busy with other things, and the clock's own step of 10 ms.
        assert used / 6 < 0.02, used


def _cpu_s(pid: int) -> float:
    with open(f"/proc/{pid}/stat") as file:
        fields = file.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
