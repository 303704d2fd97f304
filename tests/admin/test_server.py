"""The admin server: who may ask, what a socket must be, and that it ends when it is told to."""

from __future__ import annotations

import asyncio
import gc
import os
import socket
import time
from pathlib import Path

import pytest

from tests.admin.served import Reply, ask, serving
from weir.admin.auth import is_local_name
from weir.admin.server import AdminRefusedError, serve
from weir.config.plan import Plan
from weir.stats import layout


@pytest.mark.parametrize(
    ("authority", "local"),
    [
        ("localhost", True),
        ("localhost:8079", True),
        ("weir.localhost:1", True),
        ("127.0.0.1:8079", True),
        ("127.9.9.9", True),
        ("[::1]:8079", True),
        ("LOCALHOST", True),
        ("evil.example", False),
        ("localhost.evil.example", False),
        ("127.0.0.1.evil.example", False),
        ("10.0.0.1", False),
        ("[::2]", False),
        ("", False),
        ("[", False),
    ],
)
def test_names_of_this_machine(authority: str, local: bool) -> None:
    assert is_local_name(authority) is local


async def test_without_a_token_requests_must_name_this_machine() -> None:
    async with serving() as port:
        assert (await ask(port, "/healthz")).status == 200
        for fields in (
            {"Host": "evil.example"},
            {"Origin": "http://evil.example"},
            {"Origin": "null"},
            {"Host": "localhost", "Origin": "https://127.0.0.1.evil.example"},
        ):
            refused = await ask(port, "/healthz", fields=fields)
            assert refused.status == 403
            assert b"names another machine" in refused.body
        assert (await ask(port, "/healthz", fields={"Host": "localhost", "Origin": "http://localhost:1"})).status == 200


async def test_a_token_is_asked_for() -> None:
    async with serving(token="a secret") as port:

        async def stats(**fields: str) -> Reply:
            return await ask(port, "/weir.v1.Stats/GetStats", b"{}", fields=fields)

        for wrong in (
            {},
            {"Authorization": "Bearer"},
            {"Authorization": "Bearer a secre"},
            {"Authorization": "a secret"},
        ):
            refused = await stats(**wrong)
            assert (refused.status, refused.fields["www-authenticate"]) == (401, 'Bearer realm="weir"')
            assert b"a secret" not in refused.body
        assert (await stats(Authorization="Bearer a secret")).status == 200
        assert (await stats(Authorization="bearer a secret", Host="weir.example")).status == 200
        assert (await ask(port, "/metrics")).status == 401
        assert (await ask(port, "/healthz")).status == 200


async def test_a_unix_socket_asks_for_neither(tmp_path: Path) -> None:
    table = layout.create(8, ["main"], workers=1)
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(str(tmp_path / "admin.sock"))
        sock.listen()
        async with serve(Plan((), (), ()), table, [sock]):
            reader, writer = await asyncio.open_unix_connection(str(tmp_path / "admin.sock"))
            writer.write(b"GET /healthz HTTP/1.1\r\nHost: whatever\r\nConnection: close\r\n\r\n")
            assert (await reader.read()).startswith(b"HTTP/1.1 200 ")
            writer.close()
            await writer.wait_closed()


async def test_an_address_for_others_needs_a_token() -> None:
    table = layout.create(8, ["main"], workers=1)
    with socket.create_server(("0.0.0.0", 0)) as sock:
        with pytest.raises(AdminRefusedError, match=r"can be reached from other machines: configure admin\.token_file"):
            async with serve(Plan((), (), ()), table, [sock]):
                pytest.fail("it serves")
        async with serve(Plan((), (), ()), table, [sock], token="t"):
            assert (await ask(sock.getsockname()[1], "/healthz")).status == 200


async def test_it_ends_soon_though_streams_are_open_and_leaves_nothing() -> None:
    async with serving() as port:
        pass  # what is made once by imports
    await asyncio.sleep(0.1)
    gc.collect()  # what earlier tests left to the collector closes descriptors too
    before = len(os.listdir("/proc/self/fd"))
    async with serving() as port:
        streams = []
        body = b'{"interval": "60s"}'
        envelope = b"\x00" + len(body).to_bytes(4, "big") + body
        for _ in range(5):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(
                b"POST /weir.v1.Stats/WatchStats HTTP/1.1\r\nHost: localhost\r\n"
                b"Content-Type: application/connect+json\r\nContent-Length: %d\r\n\r\n%b" % (len(envelope), envelope)
            )
            streams.append((reader, writer))
        await asyncio.sleep(0.3)
        leaving = time.monotonic()
    assert time.monotonic() - leaving < 3
    for reader, writer in streams:
        await asyncio.wait_for(reader.read(), 5)
        writer.close()
        await writer.wait_closed()
    await asyncio.sleep(0.1)
    gc.collect()
    assert len(os.listdir("/proc/self/fd")) <= before
