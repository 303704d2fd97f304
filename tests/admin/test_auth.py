"""Who is let in."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from tests.admin.rig import STATS, Counted, ask, curl, served, served_unix
from weir.admin.auth import is_local_name

TOKEN = "a-token-of-32-characters-or-more"
JSON = ("-H", "Content-Type: application/json", "-d", "{}")


@pytest.mark.parametrize(
    ("name", "local"),
    [
        ("localhost", True),
        ("LOCALHOST:8079", True),
        ("weir.localhost", True),
        ("127.0.0.1:8079", True),
        ("127.8.8.8", True),
        ("[::1]:8079", True),
        ("::1", False),
        ("localhost.example.org", False),
        ("127.0.0.1.example.org", False),
        ("127.0.0.1@example.org", False),
        ("example.org#localhost", False),
        ("192.0.2.7", False),
        ("[::1", False),
        ("", False),
        ("\x00", False),
    ],
)
def test_names_of_this_machine(name: str, local: bool) -> None:
    assert is_local_name(name) is local


async def test_without_a_token_a_page_of_somebody_else_is_not_let_in() -> None:
    """DNS rebinding: the name of their page resolves to this machine, and the browser sends it along."""
    async with served(Counted()) as server:
        for header in (
            "Host: evil.example",
            "Origin: http://evil.example",
            "Origin: null",
            "Origin: file://",
            "Origin: http://[::1",
        ):
            answer = await ask(server, "GetStats", {}, "-H", header)
            assert answer.status == 403, header
            assert answer.json["code"] == "permission_denied"
            assert "configure a token" in answer.json["message"]
            for path in ("/healthz", "/metrics", "/nowhere"):
                assert (await curl("-H", header, server.url + path)).status == 403
        for header in ("Host: localhost:1", f"Origin: {server.url}", "Origin: http://localhost:8079", "Host: [::1]"):
            assert (await ask(server, "GetStats", {}, "-H", header)).status == 200, header


async def test_with_a_token_only_who_has_it_is_let_in() -> None:
    async with served(Counted(), token=TOKEN) as server:
        for given in (
            None,
            "",
            TOKEN,
            f"Basic {TOKEN}",
            f"Bearer {TOKEN[:-1]}",
            f"Bearer {TOKEN}x",
            "Bearer \xff",
            "Bearer",
        ):
            more = () if given is None else ("-H", f"Authorization: {given}")
            for method in ("GetStats", "ResetStats", "GetStatus", "GetHistory"):
                answer = await ask(server, method, {}, *more)
                assert (answer.status, answer.json["code"]) == (401, "unauthenticated"), given
                assert answer.headers["www-authenticate"].startswith("Bearer")
        metrics = await curl(server.url + "/metrics")
        assert (metrics.status, metrics.headers["content-type"]) == (401, "text/plain; charset=utf-8")
        assert TOKEN.encode() not in metrics.body
        for given in (f"Bearer {TOKEN}", f"bearer  {TOKEN} "):
            assert (await ask(server, "GetStats", {}, "-H", f"Authorization: {given}")).status == 200
        # From wherever it comes: the token says who it is.
        elsewhere = await ask(
            server, "GetStats", {}, "-H", f"Authorization: Bearer {TOKEN}", "-H", "Host: weir.example.org"
        )
        assert elsewhere.status == 200
        assert (await curl(server.url + "/healthz")).status == 200


async def test_reflection_health_and_streams_need_the_token_too() -> None:
    names = (
        "/grpc.health.v1.Health/Check",
        "/grpc.health.v1.Health/Watch",
        "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
        "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
        f"{STATS}WatchStats",
    )
    async with served(Counted(), token=TOKEN) as server:
        answers = await asyncio.gather(*(curl(*JSON, server.url + name) for name in names))
    assert [answer.status for answer in answers] == [401] * 5


async def test_a_unix_socket_is_trusted_by_its_permissions(tmp_path: Path) -> None:
    path = tmp_path / "admin.sock"
    async with served_unix(Counted(), path):
        answer = await curl("--unix-socket", str(path), *JSON, f"http://whatever.example{STATS}GetStats")
        assert answer.status == 200
    path.unlink()
    async with served_unix(Counted(), path, token=TOKEN):
        answer = await curl("--unix-socket", str(path), *JSON, f"http://localhost{STATS}GetStats")
        assert answer.status == 401
