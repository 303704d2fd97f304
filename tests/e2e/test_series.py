"""Paths that differ only in identifiers are one series, as another process reads it from the shared table."""

from __future__ import annotations

import glob
import os
import random
import uuid
from collections import Counter
from pathlib import Path

import pytest

from weir.stats import layout, reader

from .conftest import MakeRig
from .peers import ok
from .rig import Rig
from .wire import eventually

pytestmark = pytest.mark.timeout(30)

API = """\
openapi: 3.1.0
info: {title: Shop, version: "1"}
servers: [{url: "https://shop.example.com/v1"}]
paths:
  /users/me: {get: {}}
  /users/{userId}: {get: {}}
  /users/{userId}/orders/{orderId}: {get: {}}
  /reports/{name}.csv: {get: {}}
"""


def counted(rig: Rig, requests: int) -> dict[str, tuple[int, int]]:
    """Requests and response body bytes by series, once so many requests have been counted."""
    links = glob.glob(f"/proc/{rig.proxy.process.pid}/fd/*")
    link = next(link for link in links if "weir-statistics" in os.readlink(link))
    with layout.attach(os.open(link, os.O_RDONLY)) as table:

        def read() -> dict[str, tuple[int, int]]:
            rows = reader.snapshot(table).series
            return {
                row.path: (row.counters.requests, row.counters.response_body_bytes)
                for row in rows
                if row.counters.requests
            }

        eventually(lambda: sum(count for count, _ in read().values()) >= requests, 3, f"{requests} requests counted")
        return read()


def drive(rig: Rig, targets: list[str]) -> None:
    """Asks for all of them, in some order; the body of a response is its target."""
    rig.endpoint.respond(lambda request: ok(request.head.target.encode()))
    order = list(targets)
    random.Random(5).shuffle(order)
    client = rig.connect()
    for target in order:
        client.send(f"GET {target} HTTP/1.1\r\nHost: test\r\n\r\n".encode())
        assert client.response().body == target.encode()


def expected(series: dict[str, str]) -> dict[str, tuple[int, int]]:
    """What is to be counted of targets, whose series are given."""
    requests = Counter(series.values())
    return {
        name: (count, sum(len(target) for target, found in series.items() if found == name))
        for name, count in requests.items()
    }


def traffic() -> dict[str, str]:
    """Targets and their series by rule."""
    randomness = random.Random(3)
    series = {f"/users/{n}": "/users/{id}" for n in range(300)}
    series |= {f"/users/{n}?page={n}": "/users/{id}" for n in range(20)}
    series |= {f"/v1/users/{n}/orders/{n}.json": "/v1/users/{id}/orders/{id}.json" for n in range(40)}
    series |= {f"/o/{uuid.UUID(int=randomness.getrandbits(128))}": "/o/{id}" for _ in range(60)}
    series |= {f"/o/{randomness.randbytes(20).hex()}": "/o/{id}" for _ in range(60)}
    series |= {f"/log/2024-05-{day:02}": "/log/{date}" for day in range(1, 32)}
    series |= {f"/long/{'x' * 190}/{n}": "/long/{more}" for n in range(20)}
    return series | {word: word for word in ("/", "/v1", "/users", "/users/", "/users/me", "/a/2fa/%31", "/n/user-7")}


def test_identifiers_are_counted_together(weir: MakeRig) -> None:
    rig = weir(stats={"rows": 32})
    series = traffic()
    drive(rig, list(series))
    assert counted(rig, len(series)) == expected(series)
    # The field's total is the series', with this response.
    rig.endpoint.reply(ok(b"x" * 9))
    assert rig.get("/users/987654321").head.get("X-Bytes") == str(expected(series)["/users/{id}"][1] + 9)


def test_exact_paths_are_counted_apart(weir: MakeRig) -> None:
    rig = weir(stats={"paths": "exact"})
    targets = [target for target in traffic() if "?" not in target and len(target) <= 200]
    drive(rig, targets)
    assert counted(rig, len(targets)) == {target: (1, len(target)) for target in targets}


def test_a_description_names_the_series(weir: MakeRig, tmp_path: Path) -> None:
    (tmp_path / "api.yaml").write_text(API)
    rig = weir(stats={"openapi": [str(tmp_path / "api.yaml")]})
    series = {f"/v1/users/{name}": "/v1/users/{userId}" for name in ("17", "ann", "bob?x=1", "{userId}")}
    series |= {"/v1/users/me": "/v1/users/me", "/v1/users/me/orders/9": "/v1/users/{userId}/orders/{orderId}"}
    series |= {f"/v1/users/{n}/orders/last": "/v1/users/{userId}/orders/{orderId}" for n in range(9)}
    series |= {"/v1/reports/a.csv": "/v1/reports/{name}.csv", "/v1/reports/a.pdf": "/v1/reports/a.pdf"}
    series |= {"/users/17": "/users/{id}", "/users/ann": "/users/ann", "/v1/users/17/": "/v1/users/{id}/"}
    drive(rig, list(series))
    assert counted(rig, len(series)) == expected(series)
