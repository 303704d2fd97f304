"""Applications that a worker serves itself, beside a server of the old kind."""

from __future__ import annotations

import asyncio
import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import websockets
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket

import weir
from weir.control import apps as apps_module
from weir.control.apps import Apps, load
from weir.control.errors import StartError

HELLO = """
async def app(scope, receive, send):
    assert scope["type"] == "http"
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"hello"})

def make():
    return app

class Holder:
    app = staticmethod(app)

number = 7
"""


@pytest.fixture
def modules(tmp_path: Path) -> Iterator[Path]:
    """A directory for modules, which are forgotten at the end."""
    before, path = set(sys.modules), list(sys.path)
    yield tmp_path
    sys.path[:] = path
    for name in set(sys.modules) - before:
        del sys.modules[name]


@pytest.mark.parametrize("name", ["app", "make()", "Holder.app"])
def test_applications_are_found(modules: Path, name: str) -> None:
    (modules / "pkg_of_app").mkdir()
    (modules / "pkg_of_app" / "hello.py").write_text(HELLO)
    assert load(f"asgi:pkg_of_app.hello:{name}", str(modules)).__name__ == "app"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("asgi:not_there:app", "asgi:not_there:app: there is no module not_there in /.*, nor where Python looks"),
        ("asgi:hello_app.not_there:app", "no module hello_app.not_there"),
        ("asgi:hello_app:nothing", "'hello_app' has no attribute 'nothing'"),
        ("asgi:hello_app:number", "number is not an ASGI application, but int"),
        (
            "asgi:wrong_syntax:app",
            r"wrong_syntax cannot be imported\n(.*\n)*.*wrong_syntax.py\", line 1\n(.*\n)*SyntaxError",
        ),
        (
            "asgi:wrong_import:app",
            r"wrong_import cannot be imported\nTraceback.*\n.*wrong_import.py\", line 2, (.*\n)*.*no_such_library",
        ),
        ("asgi:wrong_exit:app", r"wrong_exit cannot be imported\n(.*\n)*SystemExit: 3"),
        ("asgi:wrong_make:make()", r"make\(\) has raised\n(.*\n)*ZeroDivisionError"),
        ("files:/not/there", "files:/not/there: there is no such directory"),
    ],
)
def test_what_is_wrong_is_said_with_its_traceback(modules: Path, text: str, said: str) -> None:
    (modules / "hello_app.py").write_text(HELLO)
    (modules / "wrong_syntax.py").write_text("def\n")
    (modules / "wrong_import.py").write_text("\nimport no_such_library\n")
    (modules / "wrong_exit.py").write_text("raise SystemExit(3)\n")
    (modules / "wrong_make.py").write_text("def make():\n    return 1 / 0\n")
    with pytest.raises(StartError, match=said) as caught:
        load(text, str(modules))
    assert "importlib" not in str(caught.value)


async def test_its_socket_has_no_name_and_nobody_else_can_connect() -> None:
    before = set(os.listdir(tempfile.gettempdir()))
    descriptors = len(os.listdir("/proc/self/fd"))
    apps = Apps(["files:/usr/share", "files:/usr/share"])
    await apps.start()
    path = apps.path("files:/usr/share")
    _reader, writer = await asyncio.open_unix_connection(path)
    assert not os.path.exists(os.readlink(path).removesuffix(" (deleted)"))
    assert {name for name in set(os.listdir(tempfile.gettempdir())) - before if name.startswith("weir-")} == set()
    writer.close()
    await writer.wait_closed()
    await apps.stop()
    assert len(os.listdir("/proc/self/fd")) == descriptors


# -- what passes ------------------------------------------------------------------------------------------


async def who(request: Request) -> Response:
    assert request.client is not None
    return PlainTextResponse(f"{request.client.host} {request.url.scheme} {request.headers['host']}")


async def fail(request: Request) -> Response:
    raise LookupError("no such thing")


async def stream(request: Request) -> Response:
    go: asyncio.Event = request.app.state.go

    async def pieces() -> Any:
        yield b"one"
        await go.wait()
        yield b"two"

    return StreamingResponse(pieces())


async def echo(socket: WebSocket) -> None:
    await socket.accept()
    async for text in socket.iter_text():
        await socket.send_text(text.upper())


async def upload(request: Request) -> Response:
    return PlainTextResponse(str(len(await request.body())))


def make_app() -> Starlette:
    app = Starlette(
        routes=[
            Route("/who", who),
            Route("/fail", fail),
            Route("/stream", stream),
            Route("/upload", upload, methods=["POST"]),
            WebSocketRoute("/echo", echo),
        ]
    )
    app.state.go = asyncio.Event()
    return app


async def test_it_knows_its_client_and_not_what_the_client_says() -> None:
    async with weir.Proxy(app=make_app()) as proxy, httpx.AsyncClient() as client:
        answer = await client.get(f"{proxy.url}/who", headers={"X-Forwarded-For": "9.9.9.9", "Host": "shop.example"})
        assert answer.text == "127.0.0.1 http shop.example"


async def test_an_application_that_raises(caplog: pytest.LogCaptureFixture) -> None:
    async with weir.Proxy(app=make_app()) as proxy, httpx.AsyncClient() as client:
        assert (await client.get(f"{proxy.url}/fail")).status_code == 500
        assert (await client.get(f"{proxy.url}/who")).status_code == 200
    assert "no such thing" in caplog.text


async def test_bodies_stream() -> None:
    app = make_app()
    async with weir.Proxy(app=app) as proxy, httpx.AsyncClient() as client:
        async with client.stream("GET", f"{proxy.url}/stream") as answer:
            pieces = answer.aiter_raw()
            assert await anext(pieces) == b"one"
            app.state.go.set()
            assert await anext(pieces) == b"two"

        async def body() -> Any:
            for _ in range(64):
                yield bytes(65_536)

        assert (await client.post(f"{proxy.url}/upload", content=body())).text == str(64 * 65_536)


async def test_websockets() -> None:
    async with weir.Proxy(app=make_app()) as proxy:
        async with websockets.connect(f"ws://{proxy.address}/echo") as socket:
            for text in ("hello", "there"):
                await socket.send(text)
                assert await socket.recv() == text.upper()


async def test_old_and_new_side_by_side() -> None:
    """One process, one cluster: half of the requests go to the server of before."""

    async def old(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"old"})

    async with weir.Proxy(app=old) as before:
        tables = {
            "listener": [{"address": "127.0.0.1:0", "to": "both"}],
            "cluster": [{"name": "both", "endpoints": [before.address, "asgi:tests.control.new:app"]}],
        }
        async with weir.Proxy(tables) as proxy, httpx.AsyncClient() as client:
            answers = [(await client.get(f"{proxy.url}/")).text for _ in range(10)]
    assert sorted(set(answers)) == ["new", "old"]
    assert answers.count("new") == 5


# -- files ------------------------------------------------------------------------------------------------


@pytest.fixture
def site(tmp_path: Path) -> Path:
    root = tmp_path / "site"
    for name in ("docs", ".git", ".well-known"):
        (root / name).mkdir(parents=True)
        (root / name / "index.html").write_text(f"<p>{name}")
    (root / "index.html").write_text("<p>home")
    (root / "numbers.txt").write_bytes(bytes(range(48, 58)))
    (root / ".env").write_text("secret")
    (root / "docs" / ".hidden").write_text("secret")
    (tmp_path / "outside.txt").write_text("secret")
    (root / "link.txt").symlink_to(tmp_path / "outside.txt")
    return root


@pytest.mark.parametrize(
    ("path", "status", "body"),
    [
        ("/", 200, "<p>home"),
        ("/docs/", 200, "<p>docs"),
        ("/numbers.txt", 200, "0123456789"),
        ("/.well-known/", 200, "<p>.well-known"),
        ("/nothing", 404, "Not Found"),
        ("/.env", 404, "Not Found"),
        ("/.git/index.html", 404, "Not Found"),
        ("/docs/.hidden", 404, "Not Found"),
        ("/.well-known/../.env", 404, "Not Found"),
        ("/link.txt", 404, "Not Found"),
        ("/%2e%2e/outside.txt", 404, "Not Found"),
        ("/docs/%2e%2e/%2e%2e/outside.txt", 404, "Not Found"),
        ("/%2eenv", 404, "Not Found"),
        ("/docs%2f.hidden", 404, "Not Found"),
    ],
)
async def test_files_and_what_is_not_for_others(site: Path, path: str, status: int, body: str) -> None:
    async with weir.Proxy(to=f"files:{site}") as proxy:
        reader, writer = await asyncio.open_connection(*proxy.address.split(":"))
        writer.write(f"GET {path} HTTP/1.0\r\nHost: h\r\n\r\n".encode())  # httpx would take the dots out
        head, _, content = (await reader.read()).partition(b"\r\n\r\n")
        writer.close()
    assert (int(head.split()[1]), content.decode()) == (status, body)


async def test_files_as_caches_and_players_ask_for_them(site: Path) -> None:
    async with weir.Proxy(to=f"files:{site}") as proxy, httpx.AsyncClient(base_url=proxy.url) as client:
        whole = await client.get("/numbers.txt")
        assert whole.headers["content-type"].startswith("text/plain")
        head = await client.head("/numbers.txt")
        assert (head.status_code, head.content, head.headers["content-length"]) == (200, b"", "10")
        for field, value in (
            ("If-None-Match", whole.headers["etag"]),
            ("If-Modified-Since", whole.headers["last-modified"]),
        ):
            assert (await client.get("/numbers.txt", headers={field: value})).status_code == 304
        part = await client.get("/numbers.txt", headers={"Range": "bytes=2-4"})
        assert (part.status_code, part.text, part.headers["content-range"]) == (206, "234", "bytes 2-4/10")
        assert (await client.get("/numbers.txt", headers={"Range": "bytes=99-"})).status_code == 416
        assert (await client.post("/numbers.txt")).status_code == 405
        moved = await client.get("/docs")
        assert (moved.status_code, moved.headers["location"]) == (307, f"{proxy.url}/docs/")


async def test_routes_lead_to_applications_and_files(site: Path) -> None:
    """The old server keeps what no route takes."""
    async with weir.Proxy(app=make_app()) as before:
        tables = {
            "listener": [{"address": "127.0.0.1:0", "to": before.address}],
            "route": [
                {"path": "/new/*", "to": "asgi:tests.control.new:app"},
                {"path": "/docs/*", "to": f"files:{site}"},
            ],
        }
        async with weir.Proxy(tables) as proxy, httpx.AsyncClient(base_url=proxy.url) as client:
            found = [(await client.get(path)).text for path in ("/new/users", "/docs/", "/who")]
    assert found == ["new", "<p>docs", f"127.0.0.1 http {proxy.address}"]


# -- the end ----------------------------------------------------------------------------------------------


async def hangs(scope: Any, receive: Any, send: Any) -> None:
    """Starts, and never shuts down."""
    assert scope["type"] == "lifespan"
    await receive()
    await send({"type": "lifespan.startup.complete"})
    await receive()
    await asyncio.sleep(3600)


async def never_begins(scope: Any, receive: Any, send: Any) -> None:
    """Waits for a database that never comes."""
    assert scope["type"] == "lifespan"
    await asyncio.sleep(3600)


async def test_those_that_do_not_end_are_given_up_together_and_leave_nothing(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(apps_module, "_SHUTDOWN_S", 0.5)
    monkeypatch.setattr(apps_module, "_REQUESTS_S", 0.5)
    before = asyncio.all_tasks()
    apps = Apps([f"asgi:given:{number}" for number in range(8)], given={f"asgi:given:{n}": hangs for n in range(8)})
    await apps.start()
    began = asyncio.get_running_loop().time()
    await apps.stop()
    assert asyncio.get_running_loop().time() - began < 6, "not one after the other"
    assert asyncio.all_tasks() == before
    assert len([record for record in caplog.records if "it is given up" in record.getMessage()]) == 8


async def test_a_start_that_is_cancelled_leaves_nothing_and_is_not_waited_for() -> None:
    before, descriptors = asyncio.all_tasks(), len(os.listdir("/proc/self/fd"))
    apps = Apps(["asgi:given:app"], given={"asgi:given:app": never_begins})
    began = asyncio.get_running_loop().time()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await apps.start()
    assert asyncio.get_running_loop().time() - began < 3
    assert asyncio.all_tasks() == before
    assert len(os.listdir("/proc/self/fd")) == descriptors
