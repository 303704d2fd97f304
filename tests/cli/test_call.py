"""Calls: addresses, what goes wrong and what is said then, and answers that are not to be trusted."""

from __future__ import annotations

import contextlib
import re
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from weir.cli import call as call_module
from weir.cli.call import Caller, CallError, parse_target

from .instance import instance


@pytest.mark.parametrize(
    ("text", "kind", "host", "port", "path"),
    [
        ("127.0.0.1:8079", "http", "127.0.0.1", 8079, ""),
        (":8079", "http", "127.0.0.1", 8079, ""),
        ("[::1]:80", "http", "::1", 80, ""),
        ("http://weir.example", "http", "weir.example", 80, ""),
        ("https://weir.example/admin/", "https", "weir.example", 443, "/admin"),
        ("http://[::1]:81/", "http", "::1", 81, ""),
        ("unix:/run/weir.sock", "unix", "localhost", 0, "/run/weir.sock"),
        ("unix:///run/weir.sock", "unix", "localhost", 0, "/run/weir.sock"),
    ],
)
def test_addresses(text: str, kind: str, host: str, port: int, path: str) -> None:
    assert parse_target(text)[:4] == (kind, host, port, path)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "a port of 1 to 65535 is missing"),
        ("localhost", "a port of 1 to 65535 is missing"),
        ("localhost:0", "a port of 1 to 65535 is missing"),
        ("localhost:99999", "a port of 1 to 65535 is missing"),
        ("::1:80", "written [::1]:8079"),
        ("[::1:80", "written [::1]:8079"),
        ("unix:", "needs the path of a socket"),
        ("ftp://x:1", "'ftp' is not known"),
        ("127.0.0.1:80/x", "HOST:PORT has no path"),
        ("http://user@host:1", "only a host, a port and a path"),
        ("http://host:1/a\r\nX: y", "only a host, a port and a path"),
    ],
)
def test_what_is_no_address_says_why(text: str, said: str) -> None:
    with pytest.raises(ValueError) as error:
        parse_target(text)
    assert said in str(error.value)


def _length(head: bytes) -> int:
    found = re.search(rb"(?i)content-length: *(\d+)", head)
    return int(found[1]) if found else 0


@contextlib.contextmanager
def speaking(answer: bytes, *, hold: float = 0.0) -> Iterator[Caller]:
    """Somebody who answers every request with these bytes, whatever it is, and then closes."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(10)
        done = threading.Event()

        def serve() -> None:
            with contextlib.suppress(OSError):
                while not done.is_set():
                    client, _ = server.accept()
                    with client:
                        # A request may come in pieces: what is left unread would reset the connection and the answer.
                        taken = b""
                        while not (head := taken.partition(b"\r\n\r\n"))[1] or len(head[2]) < _length(head[0]):
                            piece = client.recv(65536)
                            if not piece:
                                break
                            taken += piece
                        client.sendall(answer)
                        done.wait(hold)

        thread = threading.Thread(target=serve)
        thread.start()
        target = parse_target(f"127.0.0.1:{server.getsockname()[1]}")
        try:
            yield Caller(target, timeout_s=0.6)
        finally:
            done.set()
            with contextlib.suppress(OSError):
                server.shutdown(socket.SHUT_RDWR)
            thread.join(10)


def _http(body: bytes, status: str = "200 OK") -> bytes:
    return b"HTTP/1.1 %s\r\nContent-Length: %d\r\n\r\n%s" % (status.encode(), len(body), body)


@pytest.mark.parametrize(
    ("answer", "said", "code"),
    [
        (b"SSH-2.0-OpenSSH_9\r\n", "does not speak HTTP", "unknown"),
        (b"", "the connection to weir at", "unavailable"),
        (_http(b"<html>"), "the answer is not JSON", "unknown"),
        (_http(b"[" * 100_000), "the answer is not JSON", "unknown"),
        (_http(b"[]"), "not a JSON object", "unknown"),
        (_http(b"gone", "404 Not Found"), "it answered with status 404", "unknown"),
        (_http(b"no", "401 Unauthorized"), "demands a token", "unauthenticated"),
        (_http(b"[1]", "403 Forbidden"), "demands a token", "permission_denied"),
        (_http(b'{"code":"invalid_argument","message":"limit\\u001b[2J"}', "400 Bad"), "limit [2J", "invalid_argument"),
        (_http(b'{"code":"unimplemented"}', "501 No"), "does not know this call", "unimplemented"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{", "not JSON", "unknown"),
    ],
)
def test_what_is_no_answer_is_named(answer: bytes, said: str, code: str) -> None:
    with speaking(answer) as caller, pytest.raises(CallError) as error:
        caller.call("GetStats", {})
    assert said in str(error.value)
    assert error.value.code == code
    assert "\x1b" not in str(error.value)
    assert caller.target.text in str(error.value)


def test_an_answer_that_does_not_come_and_one_that_trickles_are_given_up() -> None:
    with speaking(b"", hold=5) as caller, pytest.raises(CallError, match=r"did not answer within 0\.6 s") as error:
        caller.call("GetStats", {})
    assert error.value.retry
    with speaking(b"HTTP/1.1 200 OK\r\n\r\n{", hold=5) as caller, pytest.raises(CallError, match="did not answer"):
        caller.call("GetStats", {})


@pytest.mark.parametrize("begin", [b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 99999\r\n\r\n", b""])
@pytest.mark.parametrize("stream", [False, True])
def test_an_answer_that_comes_byte_by_byte_is_given_up(begin: bytes, stream: bool) -> None:
    """Each byte is in time; all together they are not, wherever they belong."""
    done = threading.Event()

    def serve(server: socket.socket) -> None:
        client, _ = server.accept()
        with client, contextlib.suppress(OSError):
            client.recv(65536)
            client.sendall(begin + (b"\0\0\0\xff\xff" if stream and b"Length" in begin else b""))
            while not done.wait(0.05):
                client.sendall(b"X")

    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=serve, args=(server,))
        thread.start()
        caller = Caller(parse_target(f"127.0.0.1:{server.getsockname()[1]}"), timeout_s=0.5)
        begun = time.monotonic()
        try:
            with pytest.raises(CallError, match=r"did not answer within 0\.[57] s"):
                list(caller.watch("WatchStats", {}, 0.7)) if stream else caller.call("GetStats", {})
        finally:
            done.set()
            thread.join(10)
        assert time.monotonic() - begun < 8


def test_an_answer_without_end_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(call_module, "MOST_BYTES", 1 << 20)
    with (
        speaking(b"HTTP/1.1 200 OK\r\n\r\n" + b" " * (3 << 20)) as caller,
        pytest.raises(CallError, match="more than 1"),
    ):
        caller.call("GetStats", {})


@pytest.mark.parametrize(
    ("frames", "said"),
    [
        (b"\x00\xff\xff\xff\xff", "not framed"),
        (b"\x01\x00\x00\x00\x02{}", "not framed"),
        (b"\x02\x00\x00\x00\x02{}", "has ended the stream"),
        (b'\x02\x00\x00\x00\x20{"error":{"code":"unavailable"}}', "says unavailable"),
        (b"\x00\x00", "was lost"),
        (b"\x00\x00\x00\x00\x09{", "was lost"),
    ],
)
def test_a_stream_that_is_none_is_named(frames: bytes, said: str) -> None:
    with speaking(_http(frames)) as caller, pytest.raises(CallError) as error:
        list(caller.watch("WatchStats", {}, 1.0))
    assert said in str(error.value)


def test_nobody_there(tmp_path: Path) -> None:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        target = parse_target(f"127.0.0.1:{bound.getsockname()[1]}")
        with pytest.raises(CallError, match=r"nothing listens at 127\.0\.0\.1") as error:
            Caller(target).call("GetStats", {})
        assert error.value.retry
        assert "--admin" in str(error.value)
    with pytest.raises(CallError, match="nothing listens at unix:"):
        Caller(parse_target(f"unix:{tmp_path}/none")).call("GetStats", {})


def test_a_real_instance_answers_over_tcp_and_a_unix_socket(tmp_path: Path) -> None:
    for unix in (None, tmp_path / "admin.sock"):
        with instance(unix=unix) as weir:
            weir.count("/a", [1000] * 3)
            weir.settle()
            caller = Caller(parse_target(weir.address))
            assert caller.call("GetStats", {})["series"][0]["requests"] == "3"
            watching = caller.watch("WatchStats", {"interval": "0.2s"}, 5.0)
            assert next(watching)["stats"]["total"].get("requests") is None
            watching.close()  # type: ignore[attr-defined]


def test_a_token_is_sent_and_its_lack_explained() -> None:
    with instance(token="s3cret") as weir:
        target = parse_target(weir.address)
        assert Caller(target, "s3cret").call("GetStatus", {})["version"]
        with pytest.raises(CallError, match="demands a token") as error:
            Caller(target).call("GetStatus", {})
        assert "WEIR_TOKEN" in str(error.value)
        with pytest.raises(CallError, match="this one is not accepted") as error:
            Caller(target, "guess").call("GetStatus", {})
        assert "guess" not in str(error.value)


def test_close_from_another_thread_ends_a_stream_at_once() -> None:
    with instance() as weir:
        caller = Caller(parse_target(weir.address))
        timer = threading.Timer(0.3, caller.close)
        timer.start()
        start = time.monotonic()
        with pytest.raises(CallError) as error:
            list(caller.watch("WatchStats", {"interval": "60s"}, 100.0))
        assert error.value.retry
        assert time.monotonic() - start < 10
        timer.join()
        with pytest.raises(CallError, match="given up"):
            caller.call("GetStatus", {})
        assert caller.again().call("GetStatus", {})
        assert caller.to(caller.target).call("GetStatus", {})
