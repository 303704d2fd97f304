"""Routes with real processes: who gets which request, exact counts of each side, and reloads that change them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import pytest

from .askers import Askers
from .conftest import MakeRig
from .peers import Endpoint, ok
from .rig import WORKERS, Rig
from .servers import Server
from .test_reload import RELOADED, forget, reload
from .wire import eventually

pytestmark = pytest.mark.timeout(60)


@pytest.fixture
def other() -> Iterator[Endpoint]:
    """A second endpoint, which says so."""
    endpoint = Endpoint()
    endpoint.reply(ok(b"other"))
    yield endpoint
    endpoint.close()
    assert endpoint.failures == []


def ask(rig: Rig, path: str, host: str = "test", method: str = "GET", *fields: str, listener: int = 0) -> str:
    lines = "".join(f"{line}\r\n" for line in fields)
    head = f"{method} {path} HTTP/1.1\r\nHost: {host}\r\n{lines}\r\n"
    response = rig.ask(head.encode(), method, listener)
    return response.body.decode() if response.status == 200 else str(response.status)


def counted(rig: Rig, requests: int) -> dict[str, int]:
    """Requests by route, once so many were counted."""

    def read() -> Counter[str]:
        found: Counter[str] = Counter()
        for series in rig.proxy.table().series:
            found[series.route] += series.counters.requests
        return +found

    eventually(lambda: read().total() >= requests, 5, f"{requests} requests counted")
    return dict(read())


def test_requests_go_where_routes_say(weir: MakeRig, other: Endpoint, nginx: Server) -> None:
    routes = [
        {"host": "other.test", "to": other.address},
        {"host": "*.other.test", "path": "/api/*", "methods": ["GET"], "to": other.address},
        {"path": "/static/*", "to": other.address, "fields": {"X-Beta": "1"}},
        {"path": "/small.bin", "to": nginx.address},
    ]
    rig = weir(top={"route": routes})
    rig.endpoint.reply(ok(b"app"))
    assert ask(rig, "/", "other.test:80") == "other"
    assert ask(rig, "/") == "app"
    assert ask(rig, "/api", "x.other.test") == "other"
    assert ask(rig, "/v/%2e%2E/ap%69/x", "X.OTHER.test") == "other"
    assert ask(rig, "/api", "x.other.test", "DELETE") == "app"
    assert ask(rig, "/static/x", "test", "GET", "x-beta: 1") == "other"
    assert ask(rig, "/static/x", "test", "GET", "x-beta: 2") == "app"
    assert ask(rig, "http://other.test/", "other.test") == "other"
    # What is forwarded stays as it came, but for dot segments.
    assert [request.head.target for request in other.requests][2] == "/ap%69/x"


def test_nothing_but_routes(weir: MakeRig, other: Endpoint) -> None:
    route = {"path": "/api/*", "to": {"app": 1, other.address: 0}, "name": "api", "max_body": 10}
    rig = weir(listener={"to": "off"}, top={"route": [route]})
    client = rig.connect()
    for path, status in (("/", 404), ("/api/x", 200), ("/apis", 404), ("/api", 200)):
        client.send(f"GET {path} HTTP/1.1\r\nHost: test\r\n\r\n".encode())
        assert client.response().status == status
    assert rig.reason("/apis") == "no_route"
    assert ask(rig, "/api/y", "test", "POST", "Content-Length: 11") == "413"
    assert counted(rig, 5) == {"127.0.0.1:0": 2, "api:app": 3}


def test_each_side_is_counted_exactly(weir: MakeRig, other: Endpoint) -> None:
    route = {"path": "/shop/*", "to": {"app": 70, other.address: 30}, "split_by": "cookie:id", "name": "shop"}
    rig = weir(top={**WORKERS, "route": [route]})
    rig.endpoint.reply(ok(b"app"))
    sides: dict[int, set[str]] = {}
    for n in range(300):
        user = n % 60
        sides.setdefault(user, set()).add(ask(rig, "/shop/x", "test", "GET", f"Cookie: id=user{user}"))
    # Whichever worker it was: nobody has changed sides, and both have somebody.
    assert all(len(seen) == 1 for seen in sides.values())
    found = {"shop:app": len(rig.endpoint.requests), f"shop:{other.address}": len(other.requests)}
    assert sum(found.values()) == 300
    assert min(found.values()) > 0
    assert counted(rig, 300) == found


def test_a_reload_moves_everybody_to_the_other_side(weir: MakeRig, other: Endpoint) -> None:
    route = {"name": "all", "to": {"app": 1, other.address: 0}}
    rig = weir(listener={"to": "off"}, top={**WORKERS, "route": [route]})
    rig.endpoint.reply(ok(b"app"))
    askers = Askers(("127.0.0.1", rig.proxy.port))
    eventually(lambda: len(rig.endpoint.requests) > 20, 10, "requests before")
    text = rig.proxy.config_path.read_text()
    rig.proxy.config_path.write_text(
        text.replace("app = 1", "app = 0").replace(f'"{other.address}" = 0', f'"{other.address}" = 1')
    )
    reload(rig)
    eventually(lambda: len(other.requests) > 20, 10, "requests behind")
    ledger = askers.stop()
    assert ledger.failed == []
    found = {"all:app": len(rig.endpoint.requests), f"all:{other.address}": len(other.requests)}
    assert counted(rig, sum(found.values())) == found
    assert len(forget(rig, RELOADED)) == 1


def test_clients_are_those_that_trusted_proxies_tell_of(weir: MakeRig, other: Endpoint) -> None:
    route = {"path": "/admin/*", "clients": ["10.0.0.0/8"], "to": other.address}
    rig = weir(listener={"trusted_proxies": ["127.0.0.1"]}, top={"route": [route]})
    rig.endpoint.reply(ok(b"app"))
    client = rig.connect()
    for chain, body in (("10.1.2.3", b"other"), ("192.0.2.1", b"app"), ("10.1.2.3, 192.0.2.1", b"app")):
        client.send(f"GET /admin/x HTTP/1.1\r\nHost: test\r\nX-Forwarded-For: {chain}\r\n\r\n".encode())
        assert client.response().body == body
    assert ask(rig, "/admin/x") == "app"
