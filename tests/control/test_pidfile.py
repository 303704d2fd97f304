from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from weir.control.errors import StartError
from weir.control.pidfile import PidFile

# Takes the file, says so, and stays until its input ends.
OTHER = """
import sys
from weir.control.pidfile import PidFile
file = PidFile(sys.argv[1])
file.take()
file.write()
print("taken", flush=True)
sys.stdin.read()
"""


def other(path: Path) -> subprocess.Popen[str]:
    pipe = subprocess.PIPE
    process = subprocess.Popen([sys.executable, "-c", OTHER, str(path)], stdin=pipe, stdout=pipe, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "taken\n"
    return process


def test_it_has_the_number_while_it_is_served_and_goes(tmp_path: Path) -> None:
    path = tmp_path / "weir.pid"
    file = PidFile(str(path))
    file.take()
    assert path.read_text() == "", "nobody is told to send signals before it serves"
    file.write()
    assert path.read_text() == f"{os.getpid()}\n"
    assert path.stat().st_mode & 0o777 == 0o644
    file.remove()
    assert not path.exists()
    file.remove()


def test_no_file_is_wanted() -> None:
    file = PidFile("")
    file.take()
    file.write()
    file.remove()


def test_a_second_one_is_refused_and_a_killed_one_is_not_in_the_way(tmp_path: Path) -> None:
    path = tmp_path / "weir.pid"
    process = other(path)
    with pytest.raises(StartError, match=f"process {process.pid} runs with this file"):
        PidFile(str(path)).take()
    assert path.read_text() == f"{process.pid}\n"
    process.kill()
    process.communicate()
    # It could not clear up, and its number may be anybody's by now: that nobody holds the lock is what counts.
    path.write_text(f"{os.getppid()}\n")
    file = PidFile(str(path))
    file.take()
    file.write()
    assert path.read_text() == f"{os.getpid()}\n"
    file.remove()


def test_a_longer_number_leaves_nothing_behind(tmp_path: Path) -> None:
    path = tmp_path / "weir.pid"
    path.write_text("12345678901234567890\n")
    file = PidFile(str(path))
    file.take()
    file.write()
    assert path.read_text() == f"{os.getpid()}\n"
    file.remove()


def test_a_child_neither_has_the_lock_nor_loses_it(tmp_path: Path) -> None:
    path = tmp_path / "weir.pid"
    file = PidFile(str(path))
    file.take()
    pid = os.fork()
    if pid == 0:
        file.release()
        os._exit(0)
    assert os.waitpid(pid, 0)[1] == 0
    command = [sys.executable, "-c", OTHER, str(path)]
    assert b"another process runs with this file" in subprocess.run(command, capture_output=True).stderr
    file.remove()


def test_what_is_no_pid_file_is_left_alone(tmp_path: Path) -> None:
    precious = tmp_path / "weir.toml"
    precious.write_text("[[listener]]\n")
    with pytest.raises(StartError, match="something else in it"):
        PidFile(str(precious)).take()
    assert precious.read_text() == "[[listener]]\n"
    link = tmp_path / "link"
    link.symlink_to(precious)
    with pytest.raises(StartError, match="too many levels"):
        PidFile(str(link)).take()
    with pytest.raises(StartError, match="not a regular file"):
        PidFile("/dev/null").take()
    with pytest.raises(StartError, match="no such file or directory"):
        PidFile(str(tmp_path / "missing" / "weir.pid")).take()


def test_a_file_that_somebody_has_replaced_stays(tmp_path: Path) -> None:
    path = tmp_path / "weir.pid"
    file = PidFile(str(path))
    file.take()
    file.write()
    path.unlink()
    path.write_text("1\n")
    file.remove()
    assert path.read_text() == "1\n"
