"""The log writer: order kept, nothing lost that need not be, the caller never held up."""

from __future__ import annotations

import errno
import fcntl
import logging
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from weir.control.logs import LogWriter

ROOM = 1 << 20


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def fifo(path: Path, room: int = 4096) -> int:
    """A FIFO at `path` with a small buffer; returns its reading end, non-blocking."""
    os.mkfifo(path)
    reading = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    fcntl.fcntl(reading, fcntl.F_SETPIPE_SZ, room)
    return reading


def drain(reading: int) -> bytes:
    pieces = []
    while True:
        try:
            piece = os.read(reading, 65536)
        except BlockingIOError:
            break
        if not piece:
            break
        pieces.append(piece)
    return b"".join(pieces)


def test_batches_are_written_in_order(tmp_path: Path) -> None:
    path = tmp_path / "access.log"
    path.write_bytes(b"before\n")
    writer = LogWriter(str(path), ROOM)
    for number in range(1000):
        writer.write(b"%d\n" % number, 1)
    writer.close()
    assert path.read_bytes() == b"before\n" + b"".join(b"%d\n" % number for number in range(1000))
    assert writer.dropped == 0


def test_close_ends_the_thread_and_gives_the_file_back(tmp_path: Path) -> None:
    threads, descriptors = threading.active_count(), len(os.listdir("/proc/self/fd"))
    writer = LogWriter(str(tmp_path / "log"), ROOM)
    writer.write(b"a\n", 1)
    writer.close()
    writer.close()
    assert threading.active_count() == threads
    assert len(os.listdir("/proc/self/fd")) == descriptors
    writer.write(b"late\n", 1)
    assert writer.dropped == 1
    assert (tmp_path / "log").read_bytes() == b"a\n"


def test_a_new_file_is_not_for_everybody(tmp_path: Path) -> None:
    LogWriter(str(tmp_path / "log"), ROOM).close()
    assert (tmp_path / "log").stat().st_mode & 0o137 == 0


def test_a_file_that_cannot_be_opened(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        LogWriter(str(tmp_path / "none" / "log"), ROOM)
    os.mkfifo(tmp_path / "fifo")
    with pytest.raises(OSError, match="No such device"):
        LogWriter(str(tmp_path / "fifo"), ROOM)


def test_reopen_after_a_rename(tmp_path: Path) -> None:
    path, old = tmp_path / "log", tmp_path / "log.1"
    writer = LogWriter(str(path), ROOM)
    for number in range(100):
        writer.write(b"old %d\n" % number, 1)
    path.rename(old)
    writer.write(b"old, after the rename\n", 1)
    writer.reopen()
    writer.write(b"new\n", 1)
    writer.close()
    assert path.read_bytes() == b"new\n"
    assert old.read_bytes().splitlines() == [b"old %d" % number for number in range(100)] + [b"old, after the rename"]


def test_a_reopen_that_fails_goes_on_with_the_old_file(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "dir").mkdir()
    path = tmp_path / "dir" / "log"
    writer = LogWriter(str(path), ROOM)
    (tmp_path / "dir").rename(tmp_path / "moved")
    writer.reopen()
    writer.write(b"a\n", 1)
    writer.close()
    assert (tmp_path / "moved" / "log").read_bytes() == b"a\n"
    assert [record.levelname for record in caplog.records] == ["ERROR"]
    assert "cannot open" in caplog.text


def test_a_reader_that_does_not_read_costs_bounded_memory(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    reading = fifo(tmp_path / "pipe")
    writer = LogWriter(str(tmp_path / "pipe"), 100_000)
    batch = b"".join(b"%04d\n" % number for number in range(1000))
    slowest = 0.0
    for _ in range(100):
        started = time.perf_counter()
        writer.write(batch, 1000)
        slowest = max(slowest, time.perf_counter() - started)
    assert slowest < 0.1, "write() waited"
    assert writer.dropped == 80_000, "100 000 bytes are 20 batches of 5000"
    received = bytearray()

    def all_there() -> bool:
        received.extend(drain(reading))
        return len(received) >= 20 * len(batch)

    wait_until(all_there)
    assert bytes(received) == batch * 20, "whole batches, in order, in spite of partial writes"
    writer.close()
    os.close(reading)
    assert writer.dropped == 80_000
    warnings = [record.getMessage() for record in caplog.records]
    assert sum(int(text.split()[2]) for text in warnings) == 80_000
    assert len(warnings) <= 2


def test_warnings_come_once_a_minute(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("weir.control.logs._WARN_EVERY_S", 0.3)
    writer = LogWriter(str(tmp_path / "log"), 10)
    for _ in range(50):
        writer.write(b"far too long\n", 1)
        time.sleep(0.002)
    wait_until(lambda: sum(int(record.getMessage().split()[2]) for record in caplog.records) == 50)
    assert len(caplog.records) == 2, "the first at once, the rest together, without another write"
    writer.close()
    assert len(caplog.records) == 2


def test_closing_does_not_wait_for_a_reader_that_does_not_read(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    reading = fifo(tmp_path / "pipe")
    writer = LogWriter(str(tmp_path / "pipe"), ROOM)
    for _ in range(3):
        writer.write(b"0123456789abcde\n" * 512, 512)
    started = time.monotonic()
    writer.close(timeout=0.3)
    assert time.monotonic() - started < 10
    wait_until(lambda: not writer._thread.is_alive())
    got = drain(reading)
    os.close(reading)
    assert got.count(b"\n") + writer.dropped == 3 * 512
    assert "does not read" in caplog.text


def test_a_reader_that_has_gone(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    reading = fifo(tmp_path / "pipe")
    writer = LogWriter(str(tmp_path / "pipe"), ROOM)
    os.close(reading)
    for _ in range(20):
        writer.write(b"a\nb\n", 2)
    wait_until(lambda: writer.dropped == 40)
    again = os.open(tmp_path / "pipe", os.O_RDONLY | os.O_NONBLOCK)
    writer.write(b"c\n", 1)
    writer.close()
    assert drain(again) == b"c\n"
    os.close(again)
    assert sum("Broken pipe" in record.getMessage() for record in caplog.records) == 1
    assert "can be written again" in caplog.text


def test_a_full_disk(caplog: pytest.LogCaptureFixture) -> None:
    writer = LogWriter("/dev/full", ROOM)
    for _ in range(5):
        writer.write(b"a\nb\n", 2)
    writer.close()
    assert writer.dropped == 10
    assert sum("No space left" in record.getMessage() for record in caplog.records) == 1


def test_a_line_cut_by_a_failure_is_not_continued(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The disk is full in the middle of the second line, and then nothing fits at all; later there is room again."""
    path = tmp_path / "log"
    real = os.write
    room = [8]

    def write(fd: int, data: memoryview) -> int:
        if threading.current_thread().name != "weir-log":
            return real(fd, data)
        if room[0] == 0:
            raise OSError(errno.ENOSPC, "No space left on device")
        written = real(fd, data[: room[0]])
        room[0] -= written
        return written

    monkeypatch.setattr(os, "write", write)
    writer = LogWriter(str(path), ROOM)
    writer.write(b"first\nsecond\nthird\n", 3)
    writer.write(b"fourth\n", 1)
    wait_until(lambda: writer.dropped == 3)
    room[0] = 1000
    writer.write(b"fifth\nsixth\n", 2)
    writer.close()
    assert path.read_bytes() == b"first\nse\nfifth\nsixth\n"
    assert writer.dropped == 3
    assert [record.levelname for record in caplog.records].count("ERROR") == 1


SCRIPT = """
import os, sys
from weir.control.logs import LogWriter
os.set_blocking(1, sys.argv[1] == "blocking")
writer = LogWriter("stdout", 1 << 24)
for number in range(200):
    writer.write(b"%06d\\n" % number * 1000, 1000)
writer.reopen()
writer.close(20)
sys.exit(writer.dropped)
"""


@pytest.mark.parametrize("mode", ["blocking", "nonblocking"])
def test_stdout(mode: str) -> None:
    """Through a pipe that is read slowly, whether or not stdout is non-blocking."""
    with subprocess.Popen([sys.executable, "-c", SCRIPT, mode], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        time.sleep(0.3)
        text = process.stdout.read()
    assert process.returncode == 0
    assert text == b"".join(b"%06d\n" % number * 1000 for number in range(200))


def test_levels_are_those_of_the_project(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, logger="weir"):
        writer = LogWriter("/dev/full", ROOM)
        writer.write(b"a\n", 1)
        writer.close()
    assert {record.name for record in caplog.records} == {"weir"}
    assert {record.levelname for record in caplog.records} == {"ERROR", "WARNING"}


TOGETHER = """
import os, sys
from weir.control.logs import LogWriter
turns = os.memfd_create("turns") if sys.argv[1] == "turns" else -1
os.fork()
letter = b"a" if os.fork() else b"b"
writer = LogWriter("stdout", 1 << 24, turns)
for number in range(50):
    writer.write((letter * 99 + b"\\n") * 200, 200)
writer.close(20)
sys.stdout.flush()
os._exit(writer.dropped)
"""


def torn_lines(turns: str) -> int:
    """How many lines of four processes that write to one pipe are not as they were written."""
    with subprocess.Popen([sys.executable, "-c", TOGETHER, turns], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        time.sleep(0.3)
        text = process.stdout.read()
    assert process.returncode == 0
    lines = text.split(b"\n")
    assert lines.pop() == b""
    good = {b"a" * 99, b"b" * 99}
    assert len(text) == 4 * 50 * 200 * 100
    return sum(line not in good for line in lines)


def test_processes_that_share_stdout_take_turns() -> None:
    assert torn_lines("turns") == 0
    assert any(torn_lines("none") for _ in range(10)), "without turns lines are torn: the test sees something"


def test_who_dies_gives_its_turn_back() -> None:
    turns = os.memfd_create("turns")
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        fcntl.lockf(turns, fcntl.LOCK_EX)
        os.write(writing, b".")
        time.sleep(60)  # it hangs with the lock
        os._exit(0)
    assert os.read(reading, 1) == b"."
    os.close(reading)
    os.close(writing)
    program = (
        "import sys; from weir.control.logs import LogWriter; w = LogWriter('stdout', 9999, int(sys.argv[1]));"
        "w.write(b'line\\n', 1); w.close(20); sys.exit(w.dropped)"
    )
    command = [sys.executable, "-c", program, str(turns)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, pass_fds=[turns]) as process:
        assert process.stdout is not None
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(1)
        os.kill(pid, 9)
        os.waitpid(pid, 0)
        assert process.stdout.read() == b"line\n"
    assert process.returncode == 0
    os.close(turns)
