"""The steps of the tutorial: what each part does that the one before it did not."""

from __future__ import annotations

import asyncio
import json
import os
import re
import socket
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from bench.tutorial import BEGIN, END, replaced
from tests.admin.rig import count, served
from tests.e2e.peers import Endpoint, chunked, dial, ok
from tests.e2e.wire import Message, eventually
from tests.examples.support import ALL, CONCURRENT, COUNTED, POOLED, TUTORIAL, StartPart, get, run_client
from weir.plane.counters import Counters
from weir.stats import layout

RPC = "/weir.v1.Stats/GetStats"


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
def test_bytes_that_nobody_asked_for_are_no_answer(start: StartPart, endpoint: Endpoint, name: str) -> None:
    part = start(name)
    endpoint.reply(ok(b"mine"), ok(b"somebody else's"))
    for _ in range(3):
        assert part.get().body == b"mine"
        time.sleep(0.05)  # for the surplus to arrive
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
    series = [{"path": "/a\x1b[2J\n", "requests": "3", "responseBodyBytes": "9007199254740993"}, {"path": "/b"}]
    endpoint.reply(ok(json.dumps({"series": series, "relativeError": 0.04}).encode()))
    assert run_client(("127.0.0.1", endpoint.port)).stdout == "9007199254740993 /a?[2J?\n           0 /b\n"
    [request] = endpoint.requests
    assert (request.head.start, request.body) == (f"POST {RPC} HTTP/1.1", b"{}")


async def test_the_client_asks_weir_as_well() -> None:
    table = layout.create(8, ["main"], workers=1)
    count(Counters(table, 0), b"/often", 1000, times=3)  # 100 bytes each
    count(Counters(table, 0), b"/once", 1000)
    async with served(table) as server:
        done = await asyncio.to_thread(run_client, (server.host, server.port))
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "         300 /often\n         100 /once\n"


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
