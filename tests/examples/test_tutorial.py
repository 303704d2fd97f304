"""The parts of the tutorial as processes, between real clients and backends."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from bench.tutorial import BEGIN, END, replaced
from tests.cli.support import listening, running
from tests.e2e.peers import CLOSE, Endpoint, chunked, dial, ok
from tests.e2e.servers import pattern
from tests.e2e.wire import Message, Truncated, Wire, eventually

TUTORIAL = Path(__file__).resolve().parents[2] / "examples" / "tutorial"
POOLED = ["part4", "part5_server"]
COUNTED = ["part3", *POOLED]
CONCURRENT = ["part2", *COUNTED]
ALL = ["part1", *CONCURRENT]
RPC = "/weir.v1.Stats/GetStats"


class Part:
    """A running part: `listen` and, of part 5, `rpc` are where it listens."""

    def __init__(self, name: str, backend: str, directory: Path) -> None:
        self.directory = directory
        # Warnings are errors, but not of what is still open when the process ends, where the kernel closes it.
        command = [sys.executable, "-W", "error", "-W", "ignore::ResourceWarning", str(TUTORIAL / f"{name}.py")]
        command += ["--listen", "127.0.0.1:0", "--backend", backend]
        command += ["--rpc", "127.0.0.1:0"] if name == "part5_server" else []
        with open(directory / "out", "wb") as out, open(directory / "err", "wb") as err:
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=err)
        wanted = 2 if name == "part5_server" else 1
        eventually(lambda: self.ended_or(len(self.places()) == wanted), 15, "listening")
        assert self.process.poll() is None, self.err
        self.listen = self.places()[0]
        self.rpc = self.places()[-1]

    def ended_or(self, condition: bool) -> bool:
        return condition or self.process.poll() is not None

    def places(self) -> list[tuple[str, int]]:
        found = re.findall(r"^listening on ([\d.]+):(\d+)$", self.out, re.MULTILINE)
        return [(host, int(port)) for host, port in found]

    @property
    def out(self) -> str:
        return (self.directory / "out").read_text()

    @property
    def err(self) -> str:
        return (self.directory / "err").read_text()

    def log(self) -> list[str]:
        """What it has printed besides where it listens."""
        return [line for line in self.out.splitlines() if not line.startswith("listening on ")]

    def connect(self) -> Wire:
        return dial(self.listen)

    def ask(self, request: bytes, method: str = "GET") -> Message:
        """One request on a connection of its own."""
        with self.connect() as client:
            client.send(request)
            return client.response(method)

    def get(self, path: str = "/", *fields: str) -> Message:
        return self.ask(get(path, *fields))

    def call(self, method: str, path: str, body: bytes = b"{}") -> tuple[int, dict[str, object]]:
        """An RPC, with its status and answer."""
        connection = http.client.HTTPConnection(*self.rpc, timeout=10)
        with contextlib.closing(connection):
            connection.request(method, path, body, {"Content-Type": "application/json"})
            response = connection.getresponse()
            return response.status, json.load(response)

    def end(self, number: signal.Signals = signal.SIGTERM) -> None:
        self.process.send_signal(number)
        assert self.process.wait(10) == 0, self.err
        assert self.err == ""


StartPart = Callable[..., Part]


def get(path: str, *fields: str, version: str = "1.1", method: str = "GET") -> bytes:
    lines = "".join(f"{line}\r\n" for line in ("Host: test", *fields))
    return f"{method} {path} HTTP/{version}\r\n{lines}\r\n".encode("latin-1")


@pytest.fixture
def endpoint() -> Iterator[Endpoint]:
    """A scripted backend; what it was sent was well-formed, or the test fails."""
    backend = Endpoint()
    yield backend
    backend.close()
    assert backend.failures == []


@pytest.fixture
def start(tmp_path: Path, endpoint: Endpoint) -> Iterator[StartPart]:
    """Starts a part in front of the endpoint. In the end it leaves with 0 on TERM, having written no error."""
    started: list[Part] = []

    def start_part(name: str, backend: str = "") -> Part:
        directory = tmp_path / f"{name}-{len(started)}"
        directory.mkdir()
        started.append(Part(name, backend or endpoint.address, directory))
        return started[-1]

    yield start_part
    try:
        for part in started:
            if part.process.returncode is None:
                part.end()
    finally:
        for part in started:
            if part.process.poll() is None:
                part.process.kill()
                part.process.wait()


@pytest.mark.parametrize("name", ALL)
def test_files_come_through_as_they_are(start: StartPart, tmp_path: Path, name: str) -> None:
    site = tmp_path / "site"
    site.mkdir()
    for file, size in (("empty", 0), ("small", 1000), ("large", 3_000_000)):
        (site / file).write_bytes(pattern(size))
    with running(tmp_path, "files", str(site), "--listen", "127.0.0.1:0") as server:
        part = start(name, listening(server))
        for file in ("empty", "small", "large"):
            assert part.get(f"/{file}?x=1").body == (site / file).read_bytes()
        assert part.get("/none").status == 404
        head = part.ask(get("/small", method="HEAD"), "HEAD")
        assert (head.status, head.head.get("Content-Length")) == (200, "1000")
        eventually(lambda: len(part.log()) == 5)
        assert part.log() == ["/empty: 200", "/small: 200", "/large: 200", "/none: 404", "/small: 200"]
        assert server.stop() == 0


@pytest.mark.parametrize("name", ALL)
def test_bodies_pass_both_ways_with_either_framing(start: StartPart, endpoint: Endpoint, name: str) -> None:
    part = start(name)
    body = pattern(200_000)
    for sent in (
        get("/", f"Content-Length: {len(body)}", method="POST") + body,
        get("/", "Transfer-Encoding: chunked", method="POST")
        + chunked(body[:10], body[10:], last=b"0\r\nA: b\r\n\r\n"),
    ):
        assert part.ask(sent).body == body
    endpoint.reply(
        b"HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", chunked(body)
    )
    response = part.get()
    assert (response.body, response.interim) == (body, [])
    assert [request.body for request in endpoint.requests] == [body, body, b""]


@pytest.mark.parametrize("name", ALL)
def test_a_response_of_http_1_0_ends_with_its_connection(start: StartPart, endpoint: Endpoint, name: str) -> None:
    part = start(name)
    endpoint.reply(b"HTTP/1.0 200 OK\r\nServer: old\r\n\r\n", b"some", b"thing", CLOSE)
    for _ in range(2):
        response = part.get()
        assert (response.head.start, response.body) == ("HTTP/1.1 200 OK", b"something")
        assert response.head.get("Connection") == "close"
    assert len(endpoint.links) == 2


@pytest.mark.parametrize("name", ALL)
def test_what_concerns_one_connection_only_is_not_passed_on(start: StartPart, endpoint: Endpoint, name: str) -> None:
    part = start(name)
    endpoint.reply(ok(b"", "Keep-Alive: timeout=5", "Connection: X-Hop", "X-Hop: 1", "X-End: 2"))
    response = part.get("/", "Connection: X-Mine, upgrade", "X-Mine: 1", "Upgrade: websocket", "X-Yours: 2")
    [request] = endpoint.requests
    assert [request.head.get(field) for field in ("X-Mine", "Upgrade", "X-Yours")] == [None, None, "2"]
    assert [response.head.get(field) for field in ("X-Hop", "Keep-Alive", "X-End")] == [None, None, "2"]


def test_part_1_serves_one_connection_at_a_time(start: StartPart, endpoint: Endpoint) -> None:
    part = start("part1")
    go_on = threading.Event()
    endpoint.respond(lambda request: ok(request.head.target.encode()) if go_on.wait(10) else b"")
    with part.connect() as first, part.connect() as second:
        first.send(get("/first"))
        endpoint.wait_requests(1)
        second.send(get("/second"))
        assert second.silent(0.3)
        assert endpoint.targets() == ["/first"]
        go_on.set()
        for client, body in ((first, b"/first"), (second, b"/second")):
            response = client.response()
            assert (response.body, response.head.get("Connection")) == (body, "close")
            assert client.ended()


@pytest.mark.parametrize("name", CONCURRENT)
def test_later_parts_serve_many_at_once(start: StartPart, endpoint: Endpoint, name: str) -> None:
    part = start(name)
    all_there = threading.Barrier(20)  # the endpoint answers no request before it has all 20

    def answer(request: Message) -> bytes:
        all_there.wait(20)
        return ok(request.head.target.encode())

    endpoint.respond(answer)
    paths = [f"/{i}" for i in range(20)]
    with ThreadPoolExecutor(20) as threads:
        bodies = [response.body.decode() for response in threads.map(part.get, paths)]
    assert bodies == paths


@pytest.mark.parametrize("name", CONCURRENT)
def test_later_parts_keep_a_client_that_wants_it(start: StartPart, endpoint: Endpoint, name: str) -> None:
    part = start(name)
    with part.connect() as client:
        client.send(get("/0") + get("/1") + get("/2"))  # all at once: they wait in the reader
        assert [client.response().head.get("Connection") for _ in range(3)] == [None] * 3
        client.send(get("/3", "Connection: close"))
        assert client.response().head.get("Connection") == "close"
        assert client.ended()
    with part.connect() as client:
        client.send(get("/4", version="1.0"))
        assert client.response().head.get("Connection") == "close"
        assert client.ended()
    assert endpoint.targets() == ["/0", "/1", "/2", "/3", "/4"]


@pytest.mark.parametrize("name", COUNTED)
def test_x_bytes_is_the_running_total_of_a_path(start: StartPart, endpoint: Endpoint, name: str) -> None:
    part = start(name)

    def answer(request: Message) -> bytes:
        if request.head.method == "HEAD":
            return b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n"
        if "chunked" in request.head.target:
            return b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunked(b"x" * 50)
        return ok(b"y" * 100, "X-Bytes: theirs")

    endpoint.respond(answer)

    def total(path: str, method: str = "GET") -> str | None:
        return part.ask(get(path, method=method), method).head.get("X-Bytes")

    assert [total("/a"), total("/a?query"), total("/b"), total("/a")] == ["100", "200", "100", "300"]
    assert total("/a", "HEAD") == "300"  # no body, no bytes
    # Of a chunked body the length is known when it has passed: the next response tells.
    assert [total("/a?chunked"), total("/a")] == ["300", "450"]


@pytest.mark.parametrize("name", COUNTED)
def test_totals_are_exact_under_concurrent_clients(start: StartPart, endpoint: Endpoint, name: str) -> None:
    part = start(name)
    endpoint.respond(lambda request: ok(b"z" * int(request.head.target.rpartition("=")[2])))

    def client(number: int) -> None:
        with part.connect() as connection:
            for n in range(25):
                connection.send(get(f"/path{n % 2}?size={number * 100 + n}"))
                assert len(connection.response().body) == number * 100 + n

    with ThreadPoolExecutor(16) as threads:
        list(threads.map(client, range(16)))
    for odd in (0, 1):
        sent = sum(number * 100 + n for number in range(16) for n in range(25) if n % 2 == odd)
        eventually(lambda odd=odd, sent=sent: part.get(f"/path{odd}?size=0").head.get("X-Bytes") == str(sent))  # type: ignore[misc]


def test_more_paths_than_there_is_room_for_are_counted_together(start: StartPart, endpoint: Endpoint) -> None:
    part = start("part5_server")
    endpoint.reply(ok(b"1234"))
    with part.connect() as client:
        for i in range(4100):
            client.send(get(f"/{i}"))
            last = client.response()
    assert last.head.get("X-Bytes") == "16"
    _, answer = part.call("POST", RPC)
    series = answer["series"]
    assert isinstance(series, list)
    assert len(series) == 4097
    assert series[0] == {"path": "(other)", "responseBodyBytes": "16"}


def test_the_first_parts_connect_for_each_request(start: StartPart, endpoint: Endpoint) -> None:
    part = start("part3")
    with part.connect() as client:
        for _ in range(10):
            client.send(get("/"))
            assert client.response().status == 200
    assert len(endpoint.links) == 10


@pytest.mark.parametrize("name", POOLED)
def test_a_connection_to_the_backend_is_used_again(start: StartPart, endpoint: Endpoint, name: str) -> None:
    part = start(name)
    began = time.monotonic()
    assert part.get().status == 200
    assert time.monotonic() - began >= 0.1  # the queue was empty: it waits before it connects
    for _ in range(20):
        assert part.get().status == 200
    assert [request.link for request in endpoint.requests] == [0] * 21


@pytest.mark.parametrize("name", POOLED)
def test_ten_connections_wait_and_the_others_are_closed(start: StartPart, endpoint: Endpoint, name: str) -> None:
    part = start(name)
    all_there = threading.Barrier(16)

    def answer(request: Message) -> bytes:
        all_there.wait(20)
        return ok()

    endpoint.respond(answer)
    with ThreadPoolExecutor(16) as threads:
        assert {response.status for response in threads.map(part.get, ["/"] * 16)} == {200}
    endpoint.wait_links(10)  # the other six found no room within 1 s
    assert len(endpoint.links) == 16


@pytest.mark.parametrize("name", POOLED)
def test_an_idle_connection_that_the_backend_closes_is_not_used(
    start: StartPart, endpoint: Endpoint, name: str
) -> None:
    part = start(name)
    assert part.get("/1").status == 200
    for number in (2, 3):
        endpoint.close_links()
        endpoint.wait_links(0)
        time.sleep(0.1)  # for the news to arrive
        assert part.get(f"/{number}").status == 200
    assert [request.link for request in endpoint.requests] == [0, 1, 2]


@pytest.mark.parametrize("name", POOLED)
@pytest.mark.parametrize(
    "response",
    [ok(b"x", "Connection: close"), b"HTTP/1.0 200 OK\r\nContent-Length: 1\r\n\r\nx"],
    ids=["close", "HTTP/1.0"],
)
def test_a_connection_that_will_close_is_not_kept(
    start: StartPart, endpoint: Endpoint, name: str, response: bytes
) -> None:
    part = start(name)
    endpoint.reply(response)  # though it says so, it does not close: whether the proxy does is seen
    with part.connect() as client:
        for _ in range(3):
            client.send(get("/"))
            answer = client.response()
            assert (answer.body, answer.head.get("Connection")) == (b"x", None)
    assert [request.link for request in endpoint.requests] == [0, 1, 2]
    endpoint.wait_links(0)


def test_get_stats_answers_exactly_what_was_counted(start: StartPart, endpoint: Endpoint) -> None:
    part = start("part5_server")
    assert part.call("POST", RPC) == (200, {"series": []})
    endpoint.respond(lambda request: ok(b"x" * (10 if request.head.target == "/a" else 7)))
    for path in ("/a", "/b", "/a", "/b?c"):
        part.get(path)
    wanted = [{"path": "/a", "responseBodyBytes": "20"}, {"path": "/b", "responseBodyBytes": "14"}]
    eventually(lambda: part.call("POST", RPC) == (200, {"series": wanted}))
    for method, path in (("GET", RPC), ("POST", "/weir.v1.Stats/Other")):
        status, error = part.call(method, path)
        assert (status, error["code"]) == (404, "unimplemented")
    with dial(part.rpc) as caller:  # a body that is too long is not even read
        caller.send(f"POST {RPC} HTTP/1.1\r\nContent-Length: 4097\r\n\r\n".encode())
        assert caller.ended()


def run_client(rpc: tuple[str, int]) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-W", "error", str(TUTORIAL / "part5_client.py"), "--rpc", f"{rpc[0]}:{rpc[1]}"]
    return subprocess.run(command, capture_output=True, text=True, timeout=30)


def test_the_client_prints_what_it_was_told(start: StartPart, endpoint: Endpoint) -> None:
    part = start("part5_server")
    endpoint.respond(lambda request: ok(b"x" * len(request.head.target)))
    for path in ("/", "/long-path", "/"):
        part.get(path)
    eventually(lambda: len(part.log()) == 3)
    done = run_client(part.rpc)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "          10 /long-path\n           2 /\n"


def test_the_client_says_why_there_is_no_answer(endpoint: Endpoint) -> None:
    with socket.create_server(("127.0.0.1", 0)) as holder:
        free: tuple[str, int] = holder.getsockname()
    done = run_client(free)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(f"GetStats of 127.0.0.1:{free[1]} failed: [Errno 111]")
    body = b'{"code": "internal", "message": "no"}'
    endpoint.reply(ok(body, status="500 Internal Server Error"))
    done = run_client(("127.0.0.1", endpoint.port))
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.endswith("failed: internal: no\n")


def test_the_client_prints_nothing_that_moves_the_cursor(endpoint: Endpoint) -> None:
    """Its server may be another one: of weir's own answer it needs no more than this."""
    series = [{"path": "/a\x1b[2J\n", "requests": "3", "responseBodyBytes": "9007199254740993"}, {"path": "/b"}]
    endpoint.reply(ok(json.dumps({"series": series, "relativeError": 0.04}).encode()))
    assert run_client(("127.0.0.1", endpoint.port)).stdout == "9007199254740993 /a?[2J?\n           0 /b\n"
    [request] = endpoint.requests
    assert (request.head.start, request.body) == (f"POST {RPC} HTTP/1.1", b"{}")


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_whatever_is_going_on(
    start: StartPart, endpoint: Endpoint, name: str, number: signal.Signals
) -> None:
    part = start(name)
    waiting = threading.Event()
    endpoint.respond(lambda request: ok() if waiting.wait(20) or True else b"")
    try:
        with part.connect() as idle, part.connect() as busy:
            if name != "part1":
                busy.send(get("/never"))
                endpoint.wait_requests(1)
            part.end(number)
            for client in (idle, busy):
                assert client.ended()
    finally:
        waiting.set()
    with socket.socket() as probe:
        assert probe.connect_ex(part.listen) != 0


REFUSED = {
    "no HTTP": b"hello\r\n\r\n",
    "two lengths": get("/", "Content-Length: 1", "Content-Length: 2", method="POST") + b"ab",
    "length and chunks": get("/", "Content-Length: 5", "Transfer-Encoding: chunked", method="POST") + b"0\r\n\r\n",
    "unknown coding": get("/", "Transfer-Encoding: gzip, chunked", method="POST") + b"0\r\n\r\n",
    "negative length": get("/", "Content-Length: -1", method="POST"),
    "escape in the target": get("/\x1b[2J"),
    "space before the colon": get("/", "Content-Length : 5", method="POST") + b"hello",
    "folded line": get("/", "A: b", " c"),
    "bare line feed": get("/", "A: b\nContent-Length: 5"),
    "long head": get("/", "A: " + "x" * 100_000),
}


@pytest.mark.parametrize("name", ALL)
def test_what_is_no_clear_request_gets_no_further(start: StartPart, endpoint: Endpoint, name: str) -> None:
    part = start(name)
    for what, request in REFUSED.items():
        with part.connect() as client:
            with contextlib.suppress(ConnectionError):  # it need not wait for all of it
                client.send(request)
            assert client.ended(), what
    assert endpoint.requests == []
    assert part.get("/fine").status == 200
    assert len([line for line in part.log() if line.startswith("failed: BadMessage")]) == len(REFUSED)


BAD_CHUNKS = [b"5\r\nhelloX\r\n0\r\n\r\n", b"+5\r\nhello\r\n0\r\n\r\n", b"0x5\r\nhello\r\n0\r\n\r\n", b"-1\r\n\r\n"]


@pytest.mark.parametrize("name", ALL)
def test_chunks_that_are_none_end_the_connection(start: StartPart, name: str) -> None:
    part = start(name)
    for chunks in BAD_CHUNKS:
        with part.connect() as client:
            client.send(get("/", "Transfer-Encoding: chunked", method="POST") + chunks)
            assert client.ended(), chunks
    assert part.get("/fine").status == 200


@pytest.mark.parametrize("name", ALL)
def test_a_body_that_breaks_off_is_not_taken_for_whole(start: StartPart, endpoint: Endpoint, name: str) -> None:
    part = start(name)
    for response in (
        b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n",
    ):
        endpoint.reply(response, CLOSE)
        with pytest.raises(Truncated):
            part.get()
    endpoint.reply(ok(b"whole"))
    assert part.get().body == b"whole"


@pytest.mark.parametrize("name", ALL)
def test_without_a_backend_the_client_is_told(start: StartPart, endpoint: Endpoint, name: str) -> None:
    part = start(name)
    endpoint.close()
    for _ in range(2):
        with part.connect() as client:
            client.send(get("/"))
            if name != "part1":
                assert client.response().status == 502
            assert client.ended()
    assert len([line for line in part.log() if line.startswith("failed: ConnectionRefusedError")]) == 2


@pytest.mark.parametrize("name", CONCURRENT)
def test_a_client_that_does_not_read_holds_up_the_backend(start: StartPart, endpoint: Endpoint, name: str) -> None:
    """Backpressure: what the client does not take stays with the backend, not in memory here."""
    part = start(name)
    body = bytes(64 << 20)
    endpoint.reply(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body), body)
    with part.connect() as client:
        client.send(get("/"))
        time.sleep(0.5)
        status = Path(f"/proc/{part.process.pid}/status").read_text()
        resident = re.search(r"VmRSS:\s+(\d+) kB", status)
        assert resident is not None
        assert int(resident[1]) < 48 << 10
        assert len(client.response().body) == len(body)


@pytest.mark.parametrize("name", CONCURRENT)
def test_a_body_does_not_wait_for_the_heads_acknowledgement(start: StartPart, endpoint: Endpoint, name: str) -> None:
    """Nagle's algorithm and delayed acknowledgements make 40 ms of each response that is written in two pieces."""
    part = start(name)
    endpoint.reply(ok(b"body"))

    def seconds_for_40(client: Wire) -> float:
        began = time.monotonic()
        for _ in range(40):
            client.send(get("/"))
            client.response()
        return time.monotonic() - began

    with part.connect() as client:
        assert min(seconds_for_40(client) for _ in range(3)) < 0.8


@pytest.mark.parametrize("name", [*ALL, "part5_client"])
def test_the_ports_are_the_decks_unless_others_are_given(name: str) -> None:
    done = subprocess.run(
        [sys.executable, str(TUTORIAL / f"{name}.py"), "--help"], capture_output=True, text=True, timeout=30,
        env={**os.environ, "COLUMNS": "200"},
    )  # fmt: skip
    proxy = {"--listen": "127.0.0.1:8080", "--backend": "127.0.0.1:8081"}
    rpc = {"--rpc": "127.0.0.1:8079"} if name.startswith("part5") else {}
    found = dict(re.findall(r"(--\w+) HOST:PORT .*\(default: (\S+)\)", done.stdout))
    assert found == {**({} if name == "part5_client" else proxy), **rpc}


def test_it_needs_nothing_but_the_standard_library() -> None:
    files = sorted(path.name for path in TUTORIAL.glob("*.py"))
    own = {"http1", *(name.removesuffix(".py") for name in files)}
    imported = set()
    for name in files:
        imported |= set(re.findall(r"^(?:from|import) (\w+)", (TUTORIAL / name).read_text(), re.MULTILINE))
    assert imported - own <= set(sys.stdlib_module_names)
    assert files == ["http1.py", "part1.py", "part2.py", "part3.py", "part4.py", "part5_client.py", "part5_server.py"]


def test_the_readme_tells_of_every_program_and_has_figures_of_every_part() -> None:
    text = (TUTORIAL / "README.md").read_text()
    assert [path.name for path in TUTORIAL.glob("*.py") if f"({path.name})" not in text] == []
    for target in re.findall(r"\]\(([^)\s#]+)[^)\s]*\)", text):
        assert (TUTORIAL / target).exists(), target
    figures = text.partition(BEGIN)[2].partition(END)[0]
    assert re.findall(r"^\| (part\d|weir) \| \d+/s \|", figures, re.MULTILINE) == [*(p[:5] for p in ALL), "weir"]
    assert replaced(text, figures) == text
    assert replaced(text, "new\n").partition(BEGIN)[2].startswith(f"new\n{END}")
    with pytest.raises(ValueError, match="no <!-- figures"):
        replaced("a document", figures)
