"""Fixtures of the tests of examples."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.peers import Endpoint
from tests.examples.parts import RedisServer
from tests.examples.support import Part, StartPart


@pytest.fixture
def endpoint() -> Iterator[Endpoint]:
    """A scripted backend; what it was sent was well-formed, or the test fails."""
    backend = Endpoint()
    yield backend
    backend.close()
    assert backend.failures == []


@pytest.fixture
def start(tmp_path: Path, endpoint: Endpoint) -> Iterator[StartPart]:
    """Starts a part in front of the endpoint. In the end it leaves with 0 on TERM, having written no error."""
    started: list[Part] = []

    def start_part(name: str, backend: str = "") -> Part:
        directory = tmp_path / f"{name}-{len(started)}"
        directory.mkdir()
        started.append(Part(name, backend or endpoint.address, directory))
        return started[-1]

    yield start_part
    try:
        for part in started:
            if part.process.returncode is None:
                part.end()
    finally:
        for part in started:
            if part.process.poll() is None:
                part.process.kill()
                part.process.wait()


@pytest.fixture
def redis_server(monkeypatch: pytest.MonkeyPatch) -> Iterator[RedisServer]:
    """Redis, where REDIS_URL says."""
    # Not in pytest's directory: the path of a socket has 107 bytes at most.
    with tempfile.TemporaryDirectory(prefix="weir-") as directory:
        server = RedisServer(Path(directory))
        monkeypatch.setenv("REDIS_URL", server.url)
        try:
            yield server
        finally:
            server.stop()
