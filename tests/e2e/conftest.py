"""Fixtures of the end-to-end tests: weir as a process, with a ledger after each test."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from .peers import Endpoint
from .proxy import Proxy
from .rig import Rig, tables
from .servers import Server, start_asgi, start_http10, start_nginx, start_wsgi

MakeRig = Callable[..., Rig]


class Shared:
    """The proxy with default settings that most tests share; started again should one have killed it."""

    def __init__(self, make_directory: Callable[[], Path]) -> None:
        self.make_directory = make_directory
        self.rig: Rig | None = None

    def take(self) -> Rig:
        if self.rig is None or not self.rig.proxy.alive():
            directory = self.make_directory()
            endpoint = self.rig.endpoint if self.rig is not None else Endpoint()
            self.rig = Rig(Proxy(directory, tables(directory, [endpoint.address])), endpoint)
        return self.rig


@pytest.fixture(scope="session")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shared]:
    proxies = Shared(lambda: tmp_path_factory.mktemp("shared"))
    yield proxies
    if proxies.rig is not None:
        proxies.rig.endpoint.close()
        proxies.rig.proxy.check_end()


@pytest.fixture
def plain(shared: Shared) -> Iterator[Rig]:
    """A rig with default settings; its process outlives the test, its connections do not."""
    rig = shared.take()
    rig.endpoint.reset_script()
    yield rig
    try:
        rig.forget()
        rig.finish()
    finally:
        rig.endpoint.failures.clear()


@pytest.fixture
def weir(tmp_path: Path) -> Iterator[MakeRig]:
    """Makes rigs with settings of their own: `weir(pool={"max_idle": 1})`; see `rig.tables`.

    Without `endpoints` the rig has a scripted endpoint. At the end each process is stopped, must have
    left nothing open, leave with status 0 and have printed nothing but where it listens.
    """
    rigs: list[Rig] = []

    def make(
        endpoints: list[str] | None = None, endpoint: Endpoint | None = None, descriptor_limit: int = 0, **options: Any
    ) -> Rig:
        directory = tmp_path / f"weir{len(rigs)}"
        directory.mkdir()
        if endpoints is None and endpoint is None:
            endpoint = Endpoint()
        addresses = endpoints if endpoints is not None else [endpoint.address] if endpoint else []
        try:
            proxy = Proxy(directory, tables(directory, addresses, **options), descriptor_limit=descriptor_limit)
        except BaseException:
            if endpoint is not None:
                endpoint.close()
            raise
        rigs.append(Rig(proxy, endpoint))
        return rigs[-1]

    yield make
    with contextlib.ExitStack() as ends:  # so that every process is stopped, whatever fails
        for rig in rigs:
            ends.callback(rig.proxy.check_end)
            if rig._endpoint is not None:
                ends.callback(rig.endpoint.close)
            rig.stopped = rig.proxy.process.poll() == rig.proxy.expected_status
            ends.callback(rig.finish)


@pytest.fixture(scope="session")
def nginx(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """nginx serving static files: see `servers.start_nginx`."""
    with start_nginx(tmp_path_factory.mktemp("nginx")) as server:
        yield server


@pytest.fixture(scope="session")
def asgi() -> Iterator[Server]:
    """uvicorn with the application of `apps.asgi`."""
    with start_asgi() as server:
        yield server


@pytest.fixture(scope="session")
def wsgi(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """gunicorn with the application of `apps.wsgi`."""
    with start_wsgi(tmp_path_factory.mktemp("gunicorn")) as server:
        yield server


@pytest.fixture(scope="session")
def http10(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Python's http.server, which answers in HTTP/1.0."""
    with start_http10(tmp_path_factory.mktemp("http10")) as server:
        yield server


@pytest.fixture(scope="session")
def town_proxy(
    tmp_path_factory: pytest.TempPathFactory, nginx: Server, asgi: Server, wsgi: Server, http10: Server
) -> Iterator[Proxy]:
    """One weir with a listener for each real server."""
    directory = tmp_path_factory.mktemp("town")
    servers = {"nginx": nginx, "asgi": asgi, "wsgi": wsgi, "http10": http10}
    settings = tables(directory, ["127.0.0.1:1"])
    settings["listener"] = [{"address": "127.0.0.1:0", "to": name} for name in servers]
    settings["cluster"] = [
        {"name": name, "endpoints": [server.address], "pool": {"idle_timeout": "300ms"}}
        for name, server in servers.items()
    ]
    proxy = Proxy(directory, settings)
    yield proxy
    proxy.check_end()


@pytest.fixture
def town(town_proxy: Proxy) -> Iterator[Rig]:
    """A rig in front of the real servers; `listener` is NGINX, ASGI, WSGI or HTTP10 of `servers`."""
    rig = Rig(town_proxy)
    yield rig
    rig.finish()
