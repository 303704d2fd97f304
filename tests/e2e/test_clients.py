"""Real clients through weir to real servers: bodies equal, connections kept, every usual method."""

from __future__ import annotations

import asyncio
import hashlib
import subprocess
from pathlib import Path

import aiohttp
import httpx
import pytest
import requests

from .rig import Rig
from .servers import ASGI, FILES, HTTP10, NGINX, WSGI, pattern

pytestmark = pytest.mark.timeout(30)

METHODS = ["GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS"]
APPS = [pytest.param(ASGI, id="uvicorn"), pytest.param(WSGI, id="gunicorn")]
BODY = pattern(100_003)
STREAMED = b"".join(bytes([n]) * (n * 7) for n in range(200))


def body_for(method: str) -> bytes:
    return BODY if method in ("POST", "PUT", "PATCH") else b""


def expected_for(method: str) -> bytes:
    return b"" if method == "HEAD" else body_for(method)


@pytest.mark.parametrize("listener", APPS)
def test_curl_sends_every_method(town: Rig, tmp_path: Path, listener: int) -> None:
    sent = tmp_path / "sent"
    sent.write_bytes(BODY)
    for method in METHODS:
        command = ["curl", "-sS", "-i", "--max-time", "10", town.proxy.url("/echo", listener)]
        command += ["-I"] if method == "HEAD" else ["-X", method]
        command += ["--data-binary", f"@{sent}"] if body_for(method) else []
        output = subprocess.run(command, check=True, capture_output=True).stdout
        head, _, body = output.partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200 "), (method, head)
        assert f"x-method: {method.lower()}".encode() in head.lower(), (method, head)
        assert body == expected_for(method), method


@pytest.mark.parametrize("listener", APPS)
def test_httpx_sends_every_method(town: Rig, listener: int) -> None:
    with httpx.Client(timeout=10) as client:
        for method in METHODS:
            response = client.request(method, town.proxy.url("/echo", listener), content=body_for(method))
            assert response.status_code == 200, method
            assert response.headers["x-method"] == method
            assert response.content == expected_for(method), method


@pytest.mark.parametrize("listener", APPS)
def test_requests_sends_every_method(town: Rig, listener: int) -> None:
    with requests.Session() as session:
        for method in METHODS:
            response = session.request(method, town.proxy.url("/echo", listener), data=body_for(method), timeout=10)
            assert response.status_code == 200, method
            assert response.headers["x-method"] == method
            assert response.content == expected_for(method), method
        # Every request went over one connection: the proxy never closed it.
        pools = session.get_adapter("http://").poolmanager.pools  # type: ignore[attr-defined]
        assert [pools[key].num_connections for key in pools.keys()] == [1]  # noqa: SIM118 (it is no dict)


@pytest.mark.parametrize("listener", APPS)
def test_aiohttp_sends_many_at_once(town: Rig, listener: int) -> None:
    async def one(session: aiohttp.ClientSession, n: int) -> bool:
        method = METHODS[n % len(METHODS)]
        body = body_for(method)[: n * 300]
        async with session.request(method, town.proxy.url("/echo", listener), data=body or None) as response:
            got = await response.read()
            return response.status == 200 and got == (b"" if method == "HEAD" else body)

    async def run() -> list[bool]:
        connector = aiohttp.TCPConnector(limit=20)
        async with aiohttp.ClientSession(connector=connector, timeout=aiohttp.ClientTimeout(20)) as session:
            return await asyncio.gather(*(one(session, n) for n in range(210)))

    assert asyncio.run(run()) == [True] * 210


@pytest.mark.parametrize("listener", APPS)
def test_streamed_upload_of_a_generator(town: Rig, listener: int) -> None:
    pieces = [bytes([n]) * (n * 11) for n in range(1, 200)]
    with httpx.Client(timeout=10) as client:
        response = client.post(town.proxy.url("/echo", listener), content=iter(pieces))
    assert response.content == b"".join(pieces)


@pytest.mark.parametrize("listener", APPS)
def test_streamed_response_without_length(town: Rig, listener: int) -> None:
    response = requests.get(town.proxy.url("/chunks", listener), timeout=10)
    assert response.content == STREAMED
    assert "Content-Length" not in response.headers


@pytest.mark.parametrize("listener", [pytest.param(NGINX, id="nginx"), pytest.param(HTTP10, id="http.server")])
def test_files_of_every_size(town: Rig, listener: int) -> None:
    with httpx.Client(timeout=10) as client:
        for name, size in FILES.items():
            response = client.get(town.proxy.url(f"/{name}", listener))
            assert response.status_code == 200
            assert int(response.headers["content-length"]) == size
            assert hashlib.sha256(response.content).digest() == hashlib.sha256(pattern(size)).digest(), name


def test_range_and_conditional_requests_pass(town: Rig) -> None:
    url = town.proxy.url("/page.html", NGINX)
    with httpx.Client(timeout=10) as client:
        part = client.get(url, headers={"Range": "bytes=1000-1999"})
        assert part.status_code == 206
        assert part.content == pattern(65_536)[1000:2000]
        unchanged = client.get(url, headers={"If-None-Match": part.headers["etag"]})
        assert (unchanged.status_code, unchanged.content) == (304, b"")


def test_not_found_passes_as_the_server_said_it(town: Rig) -> None:
    response = requests.get(town.proxy.url("/nothing-here", NGINX), timeout=10)
    assert response.status_code == 404
    assert "nginx" in response.text


def test_the_application_sees_one_request_as_it_was_sent(town: Rig) -> None:
    url = town.proxy.url("/describe?a=1&b=%20", ASGI)
    fields = {"X-Custom": "kept as it is", "Accept": "text/x-dvi; q=0.8", "Cookie": "a=b; c=d"}
    seen = httpx.post(url, headers=fields, content=b"12345", timeout=10).json()
    got = dict(seen["fields"])
    assert seen["method"] == "POST"
    assert seen["length"] == 5
    assert {name: got[name.lower()] for name in fields} == fields
    assert got["x-forwarded-for"] == "127.0.0.1"
    assert got["x-forwarded-proto"] == "http"


def test_connections_are_kept_on_both_sides(plain: Rig) -> None:
    client = plain.connect()
    for n in range(30):
        client.send(b"GET /kept/%d HTTP/1.1\r\nHost: test\r\n\r\n" % n)
        assert client.response().status == 200
    assert plain.endpoint.targets() == [f"/kept/{n}" for n in range(30)]
    assert len(plain.endpoint.links) == 1


def test_curl_uploads_a_large_file_with_expect(town: Rig, tmp_path: Path) -> None:
    sent = tmp_path / "sent"
    sent.write_bytes(pattern(5_000_000))
    command = ["curl", "-sSv", "--max-time", "20", "-T", str(sent), "-H", "Expect: 100-continue"]
    for listener in (ASGI, WSGI):
        done = subprocess.run([*command, town.proxy.url("/echo", listener)], check=True, capture_output=True)
        assert b"HTTP/1.1 100" in done.stderr
        assert done.stdout == sent.read_bytes()
