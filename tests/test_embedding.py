"""weir inside another program: in its loop, with its objects, and gone without a trace."""

from __future__ import annotations

import asyncio
import gc
import json
import logging
import os
import resource
import signal
import sys
import threading
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

import weir

Scope = Any


class App:
    """An ASGI application that notes what happens to it. /wait waits for `go`, /echo answers with the body."""

    def __init__(self, name: str = "app") -> None:
        self.name = name
        self.events: list[str] = []
        self.loop: asyncio.AbstractEventLoop | None = None
        self.began, self.go = asyncio.Event(), asyncio.Event()

    async def __call__(self, scope: Scope, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            for word in ("startup", "shutdown"):
                assert (await receive())["type"] == f"lifespan.{word}"
                self.events.append(word)
                await send({"type": f"lifespan.{word}.complete"})
            return
        self.loop = asyncio.get_running_loop()
        self.events.append(scope["path"])
        self.began.set()
        if scope["path"] == "/wait":
            await self.go.wait()
        body = b""
        while scope["path"] == "/echo":
            message = await receive()
            body += message["body"]
            if not message["more_body"]:
                break
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": body or self.name.encode()})


@pytest.fixture(autouse=True)
async def _ledger() -> AsyncIterator[None]:
    """What the process has is what it had, from descriptors to the module path."""
    before = holdings()
    gc.disable()  # what only the collector would find is a leak, too
    yield
    after = holdings()
    gc.enable()
    # Threads of tests before this one, in the same process, may end at any time; none may be added.
    assert set(after.pop("threads")) <= set(before.pop("threads"))
    assert after == before


def holdings() -> dict[str, Any]:
    descriptors = set()
    for fd in os.listdir("/proc/self/fd"):
        try:
            descriptors.add((fd, os.readlink(f"/proc/self/fd/{fd}")))
        except FileNotFoundError:
            continue  # listdir's own
    return {
        "descriptors": descriptors,
        "threads": threading.enumerate(),
        "tasks": len(asyncio.all_tasks()),
        "signals": [handler(number) for number in sorted(signal.valid_signals())],
        "limit": resource.getrlimit(resource.RLIMIT_NOFILE),
        "path": list(sys.path),
        "handlers": [list(logging.getLogger(name).handlers) for name in ("", "weir", "uvicorn", "uvicorn.error")],
        "umask": Path("/proc/self/status").read_text().partition("Umask:")[2].split()[0],
        "directory": os.getcwd(),
    }


def handler(number: int) -> object:
    """That of INT is a partial of each task that a Runner runs."""
    found = signal.getsignal(number)
    return getattr(found, "func", found)


async def get(url: str, **more: Any) -> httpx.Response:
    async with httpx.AsyncClient() as client:
        return await client.get(url, **more)


async def test_an_application_in_ones_own_loop() -> None:
    app = App()
    async with weir.Proxy(app=app) as proxy:
        assert app.events == ["startup"]
        answer = await get(f"{proxy.url}/users/17")
        assert (answer.status_code, answer.text) == (200, "app")
        assert app.loop is asyncio.get_running_loop()
        assert proxy.addresses == [proxy.address]
        assert proxy.url == f"http://{proxy.address}"
        series = {series.path: series.counters.requests for series in proxy.stats().series}
        assert series["/users/{id}"] == 1
    assert app.events == ["startup", "/users/17", "shutdown"]
    assert {series.path: series.counters.requests for series in proxy.stats().series} == series
    with pytest.raises(httpx.ConnectError):
        await get(f"{proxy.url}/")


async def test_a_server_and_tables() -> None:
    async with weir.Proxy(app=App()) as behind:
        async with weir.Proxy(to=behind.url, listener={"max_body": "1KiB"}, stats={"page": "/stats"}) as proxy:
            assert (await get(f"{proxy.url}/")).text == "app"
            assert "Total Bytes" in (await get(f"{proxy.url}/stats")).text
            async with httpx.AsyncClient() as client:
                assert (await client.post(f"{proxy.url}/", content=b"x" * 2_000)).status_code == 413


async def test_a_mapping_and_a_file(tmp_path: Path) -> None:
    async with weir.Proxy(app=App()) as behind:
        tables = {"listener": [{"address": "127.0.0.1:0", "to": behind.address}] * 2, "admin": {"address": "off"}}
        async with weir.Proxy(tables) as proxy:
            assert len(set(proxy.addresses)) == 2
            assert (await get(f"{proxy.url}/")).text == "app"
        path = tmp_path / "weir.toml"
        path.write_text(f'[[listener]]\naddress = "unix:{tmp_path}/s"\nto = "{behind.address}"\n')
        async with weir.Proxy(path) as proxy:
            assert proxy.address == f"unix:{tmp_path}/s"
            with pytest.raises(RuntimeError, match="no URL"):
                proxy.url  # noqa: B018
            async with httpx.AsyncClient(transport=httpx.AsyncHTTPTransport(uds=f"{tmp_path}/s")) as client:
                assert (await client.get("http://h/")).text == "app"
        assert not (tmp_path / "s").exists()


async def test_several_proxies_in_one_process() -> None:
    apps = [App(f"app{number}") for number in range(3)]
    async with weir.Proxy(app=apps[0]) as one, weir.Proxy(app=apps[1]) as two, weir.Proxy(app=apps[2]) as three:
        answers = await asyncio.gather(*(get(f"{proxy.url}/") for proxy in (one, two, three) for _ in range(5)))
        assert [answer.text for answer in answers] == [f"app{number}" for number in range(3) for _ in range(5)]
        for proxy in (one, two, three):
            assert sum(series.counters.requests for series in proxy.stats().series) == 5


async def test_leaving_finishes_what_is_in_progress() -> None:
    app = App()
    proxy = weir.Proxy(app=app)
    await proxy.__aenter__()
    async with httpx.AsyncClient() as client:
        asking = asyncio.create_task(client.get(f"{proxy.url}/wait"))
        await app.began.wait()
        leaving = asyncio.create_task(proxy.__aexit__(None, None, None))
        await asyncio.sleep(0.02)
        assert not leaving.done()
        with pytest.raises(httpx.ConnectError):
            await get(f"{proxy.url}/")
        app.go.set()
        assert (await asking).text == "app"
        await leaving


async def test_leaving_by_an_exception_does_not_wait() -> None:
    app = App()

    async def main(client: httpx.AsyncClient) -> None:
        async with weir.Proxy(app=app) as proxy:
            asking = asyncio.create_task(client.get(f"{proxy.url}/wait"))
            await app.began.wait()
            asking.add_done_callback(lambda task: task.exception())
            raise LookupError

    async with httpx.AsyncClient() as client:
        with pytest.raises(LookupError):
            await asyncio.wait_for(main(client), 10)
    assert app.events[-1] == "shutdown"


async def test_cancelled_again_it_still_leaves_nothing_behind() -> None:
    begun, go, ended = asyncio.Event(), asyncio.Event(), []

    @weir.shutdown
    async def close() -> None:
        begun.set()
        await go.wait()
        ended.append(1)

    async def serve() -> None:
        async with weir.Proxy(app=App(), hooks=[close]):
            pass

    serving = asyncio.create_task(serve())
    await begun.wait()
    for _ in range(2):
        serving.cancel()
        await asyncio.sleep(0.01)
    assert not serving.done()
    go.set()
    with pytest.raises(asyncio.CancelledError):
        await serving
    assert ended == [1]


async def test_cancelled_while_it_drains_it_ends_at_once() -> None:
    app = App()
    proxy = weir.Proxy(app=app)
    await proxy.__aenter__()
    async with httpx.AsyncClient() as client:
        asking = asyncio.create_task(client.get(f"{proxy.url}/wait"))
        await app.began.wait()
        leaving = asyncio.create_task(proxy.__aexit__(None, None, None))
        await asyncio.sleep(0.02)
        leaving.cancel()
        with pytest.raises(asyncio.CancelledError):
            await leaving
        with pytest.raises(httpx.TransportError):
            await asking


async def test_what_is_wrong_is_said() -> None:
    with pytest.raises(weir.ConfigError, match=r"listener\[0\]\.max_body.*nonsense"):
        await weir.Proxy(to="127.0.0.1:9", listener={"max_body": "nonsense"}).__aenter__()
    with pytest.raises(weir.ConfigError, match="cannot be read"):
        await weir.Proxy("/nowhere/weir.toml").__aenter__()
    with pytest.raises(TypeError, match="one of"):
        weir.Proxy()
    with pytest.raises(TypeError, match="one of"):
        weir.Proxy(to="127.0.0.1:9", app=App())
    with pytest.raises(TypeError, match="its own"):
        weir.Proxy({}, listen=":80")
    with pytest.raises(RuntimeError, match="not serve yet"):
        weir.Proxy(to="127.0.0.1:9").url  # noqa: B018
    with pytest.raises(RuntimeError, match="not serve yet"):
        weir.Proxy(to="127.0.0.1:9").stats()
    proxy = weir.Proxy(to="127.0.0.1:9")
    async with proxy:
        pass
    with pytest.raises(RuntimeError, match="another one"):
        await proxy.__aenter__()


async def test_what_cannot_begin_leaves_nothing(tmp_path: Path) -> None:
    async with weir.Proxy(app=App()) as other:
        app = App()
        with pytest.raises(weir.StartError, match="already in use"):
            await weir.Proxy(app=app, listen=other.address).__aenter__()
        assert app.events == []

    async def refuses(scope: Scope, receive: Any, send: Any) -> None:
        assert scope["type"] == "lifespan"
        await receive()
        await send({"type": "lifespan.startup.failed", "message": "no database"})

    with pytest.raises(weir.StartError, match="refused to start"):
        await weir.Proxy(app=refuses).__aenter__()
    # A log has a thread, which is there only if all else is.
    (tmp_path / "no_hooks_at_all.py").write_text("raise LookupError\n")
    tables = {"listener": [{"address": "127.0.0.1:0", "to": "127.0.0.1:9"}], "log": {"access": str(tmp_path / "log")}}
    path = list(sys.path)
    with pytest.raises(weir.StartError, match="LookupError"):
        await weir.Proxy({**tables, "hooks": str(tmp_path / "no_hooks_at_all.py")}).__aenter__()
    sys.path[:] = path
    with pytest.raises(weir.StartError, match="cannot write the access log"):
        await weir.Proxy({**tables, "log": {"access": str(tmp_path / "nowhere" / "log")}}).__aenter__()


async def test_one_that_is_cancelled_while_its_application_starts_leaves_nothing() -> None:
    async def never_begins(scope: Scope, receive: Any, send: Any) -> None:
        assert scope["type"] == "lifespan"
        await asyncio.sleep(3600)

    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05), weir.Proxy(app=never_begins):
            pass


async def test_an_application_that_never_ends_is_given_up_and_leaves_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("weir.control.apps._SHUTDOWN_S", 0.05)
    monkeypatch.setattr("weir.control.apps._REQUESTS_S", 0.05)

    async def never_ends(scope: Scope, receive: Any, send: Any) -> None:
        assert scope["type"] == "lifespan"
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await asyncio.sleep(3600)

    async with weir.Proxy(app=never_ends):
        pass


async def test_an_access_log_of_ones_own(tmp_path: Path) -> None:
    log = tmp_path / "access.log"
    async with weir.Proxy(app=App(), log={"access": str(log), "format": "json"}) as proxy:
        await get(f"{proxy.url}/a")
    assert [json.loads(line)["target"] for line in log.read_text().splitlines()] == ["/a"]


async def test_a_body_of_megabytes_both_ways() -> None:
    body = os.urandom(3_000_000)
    async with weir.Proxy(app=App()) as proxy, httpx.AsyncClient() as client:
        answer = await client.post(f"{proxy.url}/echo", content=body)
        assert answer.content == body


def test_the_package_has_what_it_says() -> None:
    assert set(weir.__all__) <= set(dir(weir))
    for name in weir.__all__:
        assert getattr(weir, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        weir.nothing  # noqa: B018


@weir.hook("request", path="/teapot")
def teapot(request: weir.Request) -> weir.Answer:
    return weir.Answer(418)


slept: list[asyncio.AbstractEventLoop] = []


@weir.hook("request", path="/late/*")
async def late(request: weir.Request) -> None:
    """It goes on between two turns of the guest, whose clock has stood still meanwhile."""
    await asyncio.sleep(0.15)
    slept.append(asyncio.get_running_loop())


async def test_only_who_meets_a_hook_pays_for_a_watchdog() -> None:
    def watchdogs() -> list[threading.Thread]:
        return [thread for thread in threading.enumerate() if thread.name == "weir watchdog"]

    before = watchdogs()
    async with weir.Proxy(app=App(), hooks=[teapot]) as proxy:
        assert (await get(f"{proxy.url}/else")).text == "app"
        assert watchdogs() == before
        assert (await get(f"{proxy.url}/teapot")).status_code == 418
        assert len(watchdogs()) == len(before) + 1
    assert watchdogs() == before


async def test_hooks_run_in_ones_own_loop(tmp_path: Path) -> None:
    async with weir.Proxy(app=App(), hooks=[teapot, late], cluster={"connect_timeout": "100ms"}) as proxy:
        assert (await get(f"{proxy.url}/teapot")).status_code == 418
        # Nothing else happens meanwhile that would make a turn.
        answers = await asyncio.gather(*(get(f"{proxy.url}/late/{number}") for number in range(5)))
        assert [answer.text for answer in answers] == ["app"] * 5
        assert slept == [asyncio.get_running_loop()] * 5
    async with weir.Proxy(app=App(), hooks=sys.modules[__name__]) as proxy:
        assert (await get(f"{proxy.url}/teapot")).status_code == 418
    # Clusters that only hooks choose.
    tables: dict[str, list[dict[str, object]]] = {
        "listener": [{"address": "127.0.0.1:0", "to": "app"}],
        "cluster": [{"name": name, "endpoints": ["127.0.0.1:1"]} for name in ("app", "other")],
    }
    (tmp_path / "weir.toml").write_text(
        "".join(
            f"[[{table}]]\n" + "".join(f"{key} = {value!r}\n" for key, value in each.items())
            for table, several in tables.items()
            for each in several
        )
    )
    for config in (tables, tmp_path / "weir.toml"):
        async with weir.Proxy(config, hooks=[teapot]) as proxy:
            assert (await get(f"{proxy.url}/teapot")).status_code == 418
        with pytest.raises(weir.ConfigError, match="hooks if they choose it"):
            await weir.Proxy(config).__aenter__()
    path = tmp_path / "wrong_hooks.py"
    path.write_text("1 / 0\n")
    with pytest.raises(weir.StartError, match="ZeroDivisionError"):
        await weir.Proxy(app=App(), hooks=path).__aenter__()
    # A file of hooks finds its neighbours; all else is left alone.
    sys.path.remove(str(tmp_path))
