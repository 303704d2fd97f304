"""A rig: weir between a scripted endpoint and scripted clients, with a ledger."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from .peers import Endpoint, ok
from .proxy import Proxy
from .wire import Malformed, Message, Truncated, Wire

__all__ = ["ALONE", "WORKERS", "Rig", "tables"]

Options = Mapping[str, Any]

# One process without an admin address, of which a test measures memory and descriptors. Tests of several say
# `top=WORKERS`.
ALONE = {"single_process": True, "admin": {"address": "off"}}
WORKERS = {"single_process": False, "workers": 2}


def tables(
    directory: Path,
    endpoints: Sequence[str],
    *,
    listener: Options | None = None,
    cluster: Options | None = None,
    pool: Options | None = None,
    queue: Options | None = None,
    retry: Options | None = None,
    stats: Options | None = None,
    log: Options | None = None,
    top: Options | None = None,
) -> dict[str, Any]:
    """A configuration with one listener and one cluster; every option overrides a default of these tests."""
    app: dict[str, Any] = {"name": "app", "endpoints": list(endpoints), **(cluster or {})}
    for name, options in (("pool", pool), ("queue", queue), ("retry", retry)):
        if options:
            app[name] = dict(options)
    return {
        **ALONE,
        **(top or {}),
        "log": {"access": str(directory / "access.log"), "format": "json", "flush": "20ms", **(log or {})},
        "stats": {"header": "X-Bytes", "page": "/weir-stats", **(stats or {})},
        "listener": [{"address": "127.0.0.1:0", "to": "app", **(listener or {})}],
        "cluster": [app],
    }


class Rig:
    """A `Proxy`, its `Endpoint`, and the clients that a test opens; `finish` closes the books."""

    def __init__(self, proxy: Proxy, endpoint: Endpoint | None = None) -> None:
        self.proxy = proxy
        self._endpoint = endpoint
        self.clients: list[Wire] = []
        self.stopped = False  # the test has stopped weir itself
        self.resident_limit = 64 << 20  # how much it may have grown
        self.slack = 0  # descriptors that may stay open: warm connections that the test asked for

    @property
    def endpoint(self) -> Endpoint:
        assert self._endpoint is not None, "this rig has no scripted endpoint"
        return self._endpoint

    def connect(self, timeout: float = 8.0, receive_buffer: int = 0, listener: int = 0) -> Wire:
        client = self.proxy.connect(listener, timeout, receive_buffer)
        self.clients.append(client)
        return client

    def ask(self, request: bytes, method: str = "GET", listener: int = 0) -> Message:
        """One request on a connection of its own, and its response."""
        client = self.connect(listener=listener)
        client.send(request)
        response = client.response(method)
        client.close()
        return response

    def get(self, path: str = "/", *fields: str) -> Message:
        lines = "".join(f"{line}\r\n" for line in fields)
        return self.ask(f"GET {path} HTTP/1.1\r\nHost: test\r\n{lines}\r\n".encode("latin-1"))

    def reason(self, path: str) -> str:
        """The reason word that the log has for the only request with this target."""
        records = self.proxy.logged(target=path)
        assert len(records) == 1, records
        return str(records[0]["reason"])

    def forget(self) -> None:
        """Ends with two requests on one connection, well answered, and lets weir close what it has.

        The proxy that tests share learns from what they do to it: after this, that nothing is wrong.
        """
        answers = iter([ok()])
        self.endpoint.respond(lambda request: next(answers, ok(b"", "Connection: close")))
        self.endpoint.script = self.endpoint._serve
        self.endpoint.close_links()
        with contextlib.suppress(OSError, AssertionError, Malformed, Truncated):
            for _ in range(2):
                with self.proxy.connect(0, 0.5) as last:
                    last.send(b"GET /forget HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n")
                    assert last.response().status == 200

    def finish(self) -> None:
        """Closes every connection of both sides, and checks that weir, if it still runs, holds nothing any more."""
        for client in self.clients:
            client.close()
        self.clients.clear()
        if self._endpoint is not None:
            self._endpoint.close_links()
        if not self.stopped:
            self.proxy.check_ledger(self.slack, self.resident_limit)
        if self._endpoint is not None:
            assert not self._endpoint.failures, self._endpoint.failures
