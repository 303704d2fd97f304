"""`weir demo`: both servers in one process, and what it says."""

from __future__ import annotations

import re
import signal
from pathlib import Path

import pytest

from weir.cli.demo import connectable, greeting

from .support import fetch, running, taken_port, weir


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_serves_the_documentation_through_the_proxy(tmp_path: Path, number: int) -> None:
    with running(tmp_path, "demo", "--listen", "127.0.0.1:0", "--files", "127.0.0.1:0") as demo:
        opened = re.search(r"open +http://(\S+)/", demo.wait_for("Ctrl-C", on="out"))
        assert opened is not None
        address = opened[1]
        response, body = fetch(address)
        assert response.status == 200
        assert b"<title>weir" in body
        assert int(response.headers["X-Bytes"]) == len(body)
        again = fetch(address)[0]
        assert int(again.headers["X-Bytes"]) == 2 * len(body)
        assert fetch(address, "/docs/cli.html")[0].status == 200
        assert fetch(address, "/nothing")[0].status == 404
        page = fetch(address, "/stats")[1].decode()
        assert re.search(rf"\b2\b.*\b{2 * len(body)}\b.*/$", page, re.MULTILINE)
        demo.wait_for("/nothing: 404\n", on="out")
        assert demo.stop(number) == 0
        assert demo.out.endswith("/: 200\n/: 200\n/docs/cli.html: 200\n/nothing: 404\n")
        assert demo.err == ""


@pytest.mark.parametrize(("option", "variable"), [("--listen", "LISTEN"), ("--files", "FILES")])
def test_a_taken_port_is_said_with_what_changes_it(option: str, variable: str) -> None:
    other = "--files" if option == "--listen" else "--listen"
    with taken_port() as address:
        done = weir("demo", option, address, other, "127.0.0.1:0")
    assert done.returncode == 1
    first, second = done.stderr.splitlines()
    assert first.startswith(f"weir: cannot listen on {address}: address already in use")
    assert f"weir demo {option} " in second
    assert f"make demo {variable}=" in second


def test_bad_values_are_named_by_their_option() -> None:
    done = weir("demo", "--files", "x")
    assert (done.returncode, done.stderr.startswith('weir: --files: "x"')) == (2, True)
    done = weir("demo", "--files", "127.0.0.1:0", "--stats-page", "stats")
    assert (done.returncode, done.stderr.startswith("weir: --stats-page: ")) == (2, True)


def test_what_is_opened_can_be_connected_to() -> None:
    assert connectable("[::]:8080") == "[::1]:8080"
    assert connectable("0.0.0.0:8080") == "127.0.0.1:8080"
    assert connectable("192.0.2.1:8080") == "192.0.2.1:8080"
    assert "open   http://[::1]:8080/\n" in greeting("[::]:8080", "127.0.0.1:8081", "/stats")
    assert "curl --unix-socket /run/w.sock http://localhost/stats\n" in greeting("unix:/run/w.sock", "x", "/stats")
