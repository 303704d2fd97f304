"""The live page's files, and its answers over HTTP: headers, streams that end, viewers who read slowly."""

from __future__ import annotations

import ctypes
import gc
import gzip
import hashlib
import json
import re
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tools.live_page import Site, Traffic, flowing
from weir.admin.page import STREAMS_PER_BROWSER, load_assets

STATIC = Path(__file__).parents[2] / "src" / "weir" / "admin" / "static"
MOST_COMPRESSED = 200 << 10


@pytest.fixture
def traffic() -> Traffic:
    made = Traffic(rows=64)
    made.count(0, b"/a", 1000, times=3)
    return made


@pytest.fixture
def site(traffic: Traffic) -> Iterator[Site]:
    with Site(traffic.table) as site:
        yield site


@pytest.fixture
def client(site: Site) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=site.address, timeout=10) as client:
        yield client


def test_the_files_are_small() -> None:
    assets = load_assets()
    sizes = {name: len(asset.zipped) for name, asset in assets.items()}
    assert {"index.html", "page.js", "page.css", "icon.svg"} <= sizes.keys()
    print(f"{sum(sizes.values())} bytes compressed")
    assert sum(sizes.values()) < MOST_COMPRESSED


def test_what_is_from_elsewhere_is_what_it_was() -> None:
    folder = STATIC / "vendor" / "uplot-1.6.32"
    sums = [line.split() for line in (folder / "SHA256SUMS").read_text().splitlines()]
    assert {name for _sum, name in sums} == {path.name for path in folder.iterdir()} - {"SHA256SUMS"}
    for wanted, name in sums:
        assert hashlib.sha256((folder / name).read_bytes()).hexdigest() == wanted
    assert "MIT" in (folder / "LICENSE").read_text()


def test_nothing_is_loaded_from_elsewhere_and_no_text_becomes_markup() -> None:
    for path in STATIC.glob("*.*"):
        text = path.read_text()
        others = set(re.findall(r"https?://[\w./]+", text))
        assert others <= {"http://www.w3.org/2000/svg"}, path
        assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\b|new Function", text), (
            path
        )
    index = (STATIC / "index.html").read_text()
    assert " style=" not in index
    assert re.findall(r"\son\w+=", index) == []
    assert re.findall(r"<script[^>]*></script>", index) == re.findall(r"<script.*?</script>", index, re.DOTALL)
    mentioned = set(re.findall(r'(?:href|src)="/assets/([^"]+)"', index))
    assert mentioned | {"index.html"} == set(load_assets())


def test_files_over_http(client: httpx.Client) -> None:
    answer = client.get("/")
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    policy = answer.headers["content-security-policy"]
    assert policy.startswith("default-src 'self';")
    assert "unsafe" not in policy
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["content-encoding"] == "gzip"
    assert answer.content == (STATIC / "index.html").read_bytes()
    plain = client.get("/assets/page.js", headers={"Accept-Encoding": "identity"})
    assert "content-encoding" not in plain.headers
    assert plain.headers["content-type"] == "text/javascript; charset=utf-8"
    assert plain.content == (STATIC / "page.js").read_bytes()
    again = client.get("/assets/page.js", headers={"If-None-Match": plain.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    assert again.headers["etag"] == plain.headers["etag"]
    assert gzip.decompress(load_assets()["page.js"].zipped) == plain.content
    # Python files, checksums and folders above are no assets.
    for name in ("../page.py", "..%2fpage.py", "vendor/uplot-1.6.32/SHA256SUMS", "vendor", ""):
        assert client.get(f"/assets/{name}").status_code == 404


def test_a_snapshot(client: httpx.Client) -> None:
    answer = client.get("/snapshot", params={"window": 0})
    assert answer.headers["cache-control"] == "no-store"
    assert answer.json()["table"]["rows"][0][2] == "/a"
    for where in ("/snapshot", "/events"):
        refused = client.get(where, params={"limit": "many"})
        assert (refused.status_code, refused.text) == (400, "limit: a whole number from 1 to 500\n")
        assert client.get(where, params={"after": "soon"}).status_code == 400


def answers(response: httpx.Response) -> Iterator[dict[str, object]]:
    for line in response.iter_lines():
        if line.startswith("data: {") and line != "data: {}":
            yield json.loads(line.removeprefix("data: "))


def test_a_stream_has_an_answer_each_tick(client: httpx.Client, traffic: Traffic) -> None:
    with client.stream("GET", "/events", params={"window": 0, "q": "/a"}) as response:
        assert response.headers["content-type"].startswith("text/event-stream")
        assert "content-length" not in response.headers
        stream = answers(response)
        first = next(stream)
        traffic.count(0, b"/a", 1000, times=4)
        second, third = next(stream), next(stream)
    assert third["tick"] == first["tick"] + 2  # type: ignore[operator]
    assert third["table"]["total"][0] == 7  # type: ignore[index]
    assert second["chart"] is not None


def test_a_browser_gets_so_many_streams_and_others_theirs(client: httpx.Client, site: Site) -> None:
    def open_stream(browser: str) -> socket.socket:
        sock = socket.create_connection(("127.0.0.1", site.port), timeout=10)
        sock.sendall(f"GET /events?browser={browser} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode())
        return sock

    streams = [open_stream("one") for _ in range(STREAMS_PER_BROWSER)]
    assert all(sock.recv(12) == b"HTTP/1.1 200" for sock in streams)
    refused = client.get("/events", params={"browser": "one"})
    assert refused.status_code == 503
    other = open_stream("two")
    assert other.recv(12) == b"HTTP/1.1 200"
    streams.pop().close()
    deadline = time.monotonic() + 10
    while True:
        with open_stream("one") as again:
            status = again.recv(12)
        if status == b"HTTP/1.1 200":
            break
        assert time.monotonic() < deadline
        time.sleep(0.1)
    for sock in [*streams, other]:
        sock.close()


def test_streams_end_when_the_admin_side_does(traffic: Traffic) -> None:
    with httpx.Client(timeout=10) as client:
        with Site(traffic.table) as site:
            response = client.send(client.build_request("GET", f"{site.address}events"), stream=True)
            lines = response.iter_lines()
            assert next(lines).startswith("data: {")
            began = time.monotonic()
        took = time.monotonic() - began
        assert list(lines)[-3:-1] == ["event: end", "data: {}"]
        response.close()
    assert took < 10


def resident_kib() -> int:
    # What was freed, by other tests as well, is given back first.
    gc.collect()
    ctypes.CDLL("libc.so.6").malloc_trim(0)
    status = Path("/proc/self/status").read_text()
    return int(re.findall(r"VmRSS:\s+(\d+)", status)[0])


@pytest.mark.figures  # memory of a build with sanitizers is another
def test_a_viewer_who_does_not_read_costs_no_memory() -> None:
    traffic = Traffic(paths=400, rows=1024)
    for path in traffic.story:
        traffic.count(1, path, 1000)
    with Site(traffic.table) as site, flowing(traffic, 0.05):
        slow = []
        for _ in range(30):
            sock = socket.socket()
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            sock.connect(("127.0.0.1", site.port))
            sock.sendall(b"GET /events?limit=400&window=0 HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
            slow.append(sock)
        time.sleep(5)
        before = resident_kib()
        time.sleep(10)
        grown = resident_kib() - before
        # An answer is some 60 KiB: 30 viewers for 10 s would have queued 18 MiB.
        assert len(httpx.get(f"{site.address}snapshot?limit=400&window=0").content) > 50_000
        for sock in slow:
            sock.close()
    print(f"grown by {grown} KiB")
    assert grown < 9 << 10


def test_with_a_token_only_the_page_itself_is_open(traffic: Traffic) -> None:
    with Site(traffic.table, token="let me in") as site, httpx.Client(base_url=site.address) as client:
        assert client.get("/").status_code == client.get("/assets/page.css").status_code == 200
        for where in ("/snapshot", "/events"):
            assert client.get(where).status_code == 401
            assert client.get(where, headers={"Authorization": "Bearer something"}).status_code == 401
        allowed = client.get("/snapshot", headers={"Authorization": "Bearer let me in"})
        assert allowed.status_code == 200
