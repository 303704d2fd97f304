"""`weir files` as a process."""

from __future__ import annotations

import signal
import socket
import time
from pathlib import Path

import pytest

from .support import fetch, listening, running, taken_port, weir


@pytest.fixture
def site(tmp_path: Path) -> Path:
    directory = tmp_path / "site"
    (directory / "sub").mkdir(parents=True)
    (directory / "index.html").write_text("<p>home</p>")
    (directory / "sub" / "index.html").write_text("<p>sub</p>")
    (directory / "data.bin").write_bytes(bytes(range(256)) * 16)
    return directory


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_serves_files_and_index_pages(tmp_path: Path, site: Path, number: int) -> None:
    with running(tmp_path, "files", str(site), "--listen", "127.0.0.1:0", "--log") as server:
        address = listening(server)
        assert fetch(address)[1] == b"<p>home</p>"
        assert fetch(address, "/sub/")[1] == b"<p>sub</p>"
        assert fetch(address, "/data.bin")[1] == (site / "data.bin").read_bytes()
        assert fetch(address, "/no%1b")[0].status == 404
        assert fetch(address, "/../weir.err")[0].status == 404
        assert server.stop(number) == 0
        assert server.out.splitlines() == ["/: 200", "/sub/: 200", "/data.bin: 200", "/no%1b: 404", "/../weir.err: 404"]
        assert server.err == f"weir: listening on {address}\n"


def test_it_prints_no_requests_unless_asked(tmp_path: Path, site: Path) -> None:
    with running(tmp_path, "files", str(site), "--listen", "[::1]:0") as server:
        assert fetch(listening(server))[0].status == 200
        assert server.stop() == 0
        assert server.out == ""


def test_a_unix_socket_is_served_and_removed(tmp_path: Path, site: Path) -> None:
    path = tmp_path / "files.sock"
    with running(tmp_path, "files", str(site), "--listen", f"unix:{path}") as server:
        assert listening(server) == f"unix:{path}"
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(path))
            client.sendall(b"GET / HTTP/1.0\r\n\r\n")
            assert client.makefile("rb").read().endswith(b"<p>home</p>")
        assert server.stop() == 0
    assert not path.exists()


def test_a_second_signal_cuts_off_a_client_that_does_not_read(tmp_path: Path, site: Path) -> None:
    with open(site / "big", "wb") as big:
        big.truncate(64 << 20)
    with running(tmp_path, "files", str(site), "--listen", "127.0.0.1:0") as server:
        host, _, port = listening(server).rpartition(":")
        with socket.create_connection((host, int(port))) as client:
            client.sendall(b"GET /big HTTP/1.1\r\nHost: x\r\n\r\n")
            assert client.recv(12) == b"HTTP/1.1 200"
            server.process.send_signal(signal.SIGINT)
            time.sleep(0.5)
            assert server.process.poll() is None
            start = time.monotonic()
            assert server.stop(signal.SIGINT) == 0
            assert time.monotonic() - start < 10
        assert "Traceback" not in server.err


def test_a_taken_port_is_said_with_the_option(site: Path) -> None:
    with taken_port() as address:
        done = weir("files", str(site), "--listen", address)
    assert done.returncode == 1
    assert done.stderr.startswith(f"weir: cannot listen on {address}: address already in use")
    assert "--listen" in done.stderr


def test_a_bad_address_and_a_missing_directory_are_usage_errors(site: Path) -> None:
    done = weir("files", str(site), "--listen", "nowhere")
    assert done.returncode == 2
    assert done.stderr.startswith('weir: --listen: "nowhere"')
    assert weir("files", str(site / "missing")).returncode == 2
