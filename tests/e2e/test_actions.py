"""What routes do, with real processes: nginx, clients of the standard library, scripted endpoints."""

from __future__ import annotations

import http.client
from collections.abc import Iterator

import pytest

from .conftest import MakeRig
from .peers import Endpoint, ok
from .rig import WORKERS, Rig
from .servers import Server
from .wire import eventually

pytestmark = pytest.mark.timeout(60)


@pytest.fixture
def shadow() -> Iterator[Endpoint]:
    """An endpoint that copies go to."""
    endpoint = Endpoint()
    yield endpoint
    endpoint.close()
    assert endpoint.failures == []


def get(rig: Rig, path: str, **headers: str) -> tuple[http.client.HTTPResponse, bytes]:
    """What another HTTP library reads of an answer; its connection is closed."""
    host, _, port = rig.proxy.addresses[0].rpartition(":")
    client = http.client.HTTPConnection(host, int(port), timeout=8)
    client.request("GET", path, headers={"Host": "shop.test:8080", "Connection": "close", **headers})
    response = client.getresponse()
    body = response.read()
    client.close()
    return response, body


def test_redirects_answers_paths_and_fields(weir: MakeRig, nginx: Server) -> None:
    routes = [
        {"host": "*.old.test", "redirect": "https://{host}{target}", "redirect_status": 308},
        {"path": "/gone/{what}", "respond": {"status": 410, "body": "{what} is gone\n"}},
        {"path": "/files/*", "to": nginx.address, "strip_prefix": "/files", "response": {"set": {"Server": "ours"}}},
        {
            "path": "/users/{id}/*",
            "to": "app",
            "rewrite": "/people/{id}/*",
            "request": {"set": {"X-User": "{id}", "X-From": "{client} {field:user-agent}"}, "remove": "X-Debug"},
        },
    ]
    rig = weir(top={"route": routes})
    rig.slack = 1  # what rests at nginx
    response, _ = get(rig, "/a?b", Host="x.old.test:8080")
    assert (response.status, response.headers["Location"]) == (308, "https://x.old.test/a?b")
    response, body = get(rig, "/gone/%3Cb%3E")
    assert (response.status, body) == (410, b"%3Cb%3E is gone\n")
    response, body = get(rig, "/files/small.txt")
    assert (response.status, response.headers.get_all("Server")) == (200, ["ours"])
    assert get(rig, "//%66iles/x/../small.txt")[1] == body
    assert get(rig, "/files/none")[0].status == 404
    response, _ = get(rig, "/users/7/card?x=1", **{"User-Agent": "tester", "X-User": "admin", "X-Debug": "1"})
    assert response.status == 200
    (request,) = rig.endpoint.requests
    assert request.head.target == "/people/7/card?x=1"
    fields = [(name.lower(), value) for name, value in request.head.fields]
    assert [value for name, value in fields if name == "x-user"] == ["7"]
    assert ("x-from", "127.0.0.1 tester") in fields
    assert "x-debug" not in dict(fields)


def test_copies_do_not_disturb(weir: MakeRig, shadow: Endpoint) -> None:
    rig = weir(top={**WORKERS, "route": [{"to": "app", "mirror": shadow.address}]})
    rig.endpoint.reply(ok(b"app"))
    shadow.reply(b"HTTP/1.1 500 Oh\r\nContent-Length: 3\r\n\r\nbad")
    client = rig.connect()
    for number in range(20):
        client.send(f"POST /{number} HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\nab".encode())
        assert client.response().body == b"app"
    eventually(lambda: len(shadow.requests) == 20, 5, "20 copies")
    # Each goes its own way: only of one connection is there an order.
    copied = sorted((one.head.target, one.body) for one in shadow.requests)
    assert copied == sorted((f"/{n}", b"ab") for n in range(20))
    assert len(rig.endpoint.requests) == 20
    shadow.close()
    client.send(b"GET /last HTTP/1.1\r\nHost: h\r\n\r\n")
    assert client.response().body == b"app"
