"""The file server on somebody else's loop."""

from __future__ import annotations

import asyncio
import signal
import socket
from pathlib import Path

import pytest

from weir.demo import SITE
from weir.demo.fileserver import file_app, serving


async def _get(address: tuple[str, int], path: str) -> bytes:
    reader, writer = await asyncio.open_connection(*address)
    writer.write(f"GET {path} HTTP/1.0\r\nHost: x\r\n\r\n".encode())
    received = await reader.read()
    writer.close()
    await writer.wait_closed()
    return received


def _listening() -> tuple[socket.socket, tuple[str, int]]:
    bound = socket.create_server(("127.0.0.1", 0))
    return bound, bound.getsockname()[:2]


async def test_it_serves_while_the_context_is_open(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "a.txt").write_text("text")
    bound, address = _listening()
    async with serving(file_app(tmp_path, log=True), [bound]):
        assert (await _get(address, "/a.txt")).endswith(b"\r\n\r\ntext")
        assert (await _get(address, "/b%0a.txt")).startswith(b"HTTP/1.1 404 ")
    assert capsys.readouterr() == ("/a.txt: 200\n/b%0a.txt: 404\n", "")
    with pytest.raises(ConnectionRefusedError):
        await _get(address, "/a.txt")


async def test_it_leaves_signals_to_the_owner_of_the_process(tmp_path: Path) -> None:
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    bound, _ = _listening()
    async with serving(file_app(tmp_path), [bound]):
        assert {number: signal.getsignal(number) for number in before} == before


async def test_leaving_does_not_wait_for_idle_connections(tmp_path: Path) -> None:
    bound, address = _listening()
    async with asyncio.timeout(3):
        async with serving(file_app(tmp_path), [bound]):
            reader, writer = await asyncio.open_connection(*address)
        assert await reader.read() == b""
    writer.close()
    await writer.wait_closed()


async def test_a_socket_file_is_removed(tmp_path: Path) -> None:
    path = tmp_path / "files.sock"
    bound = socket.socket(socket.AF_UNIX)
    bound.bind(str(path))
    bound.listen()
    async with serving(file_app(tmp_path), [bound]):
        assert path.exists()
    assert not path.exists()


def test_the_documentation_is_part_of_the_package() -> None:
    for name in ("index.html", "404.html", "style.css", "docs/index.html"):
        assert (SITE / name).is_file()
