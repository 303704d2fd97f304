"""`weir run` as a process: its options, its errors, its signals."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from .support import fetch, listening, running, taken_port, weir


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "Say what to run"),
        (("--listen", ":0"), "Missing --to"),
        (("--to", "127.0.0.1:1"), "Missing --listen"),
        (("-c", "weir.toml", "--listen", ":0"), "--config and --listen exclude each other"),
        (("-c", "weir.toml", "--to", "127.0.0.1:1", "--stats-page", "/s"), "--config and --to, --stats-page exclude"),
    ],
)
def test_wrong_combinations_are_usage_errors(arguments: tuple[str, ...], message: str) -> None:
    done = weir("run", *arguments)
    assert done.returncode == 2
    assert message in done.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--listen", "8080", "--to", "127.0.0.1:1"), '--listen: "8080"'),
        (("--listen", ":0", "--to", "127.0.0.1"), '--to: "127.0.0.1": no port'),
        (("--listen", ":0", "--to", "127.0.0.1:1", "--stats-page", "stats"), "--stats-page: "),
        (("--listen", ":0", "--to", "127.0.0.1:1", "--access-log", "stdout", "--log-format", "x"), "--log-format: "),
        (("-c", "/nonexistent/weir.toml"), "/nonexistent/weir.toml: cannot be read"),
    ],
)
def test_wrong_values_are_named_by_their_option(arguments: tuple[str, ...], message: str) -> None:
    done = weir("run", *arguments)
    assert done.returncode == 2
    assert message in done.stderr
    assert "Traceback" not in done.stderr


def test_a_taken_port_is_said_in_one_line() -> None:
    with taken_port() as address:
        done = weir("run", "--listen", address, "--to", "127.0.0.1:1", "--admin", "off")
    assert done.returncode == 1
    assert done.stderr.startswith(f"weir: cannot listen on {address}: address already in use")
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_forwards_and_ends_with_status_0(tmp_path: Path, number: int) -> None:
    files = tmp_path / "files"
    files.mkdir()
    (files / "hello.txt").write_text("hello\n")
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    with running(tmp_path / "a", "files", str(files), "--listen", "127.0.0.1:0") as endpoint:
        arguments = ("--listen", "127.0.0.1:0", "--to", listening(endpoint), "--stats-page", "/stats", "--admin", "off")
        with running(tmp_path / "b", "run", *arguments, "--access-log", "stdout", "--log-format", "short") as proxy:
            address = listening(proxy)
            for total in ("6", "12"):
                response, body = fetch(address, "/hello.txt")
                assert (response.status, body, response.headers["X-Bytes"]) == (200, b"hello\n", total)
            assert b"/hello.txt" in fetch(address, "/stats")[1]
            assert proxy.stop(number) == 0
            assert proxy.out == "/hello.txt: 200\n" * 2
            assert proxy.err == f"weir: listening on {address}\n"


def test_it_runs_from_a_configuration_file(tmp_path: Path) -> None:
    config = tmp_path / "weir.toml"
    config.write_text('[[listener]]\naddress = "127.0.0.1:0"\nto = "127.0.0.1:1"\n')
    with running(tmp_path, "run", "-c", str(config), "--admin", "off") as proxy:
        response, body = fetch(listening(proxy))
        assert response.status == 502
        assert b"connect_refused" in body
        assert proxy.stop() == 0
