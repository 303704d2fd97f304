"""Where it listens and where it connects to: IPv4, IPv6, Unix sockets, names."""

from __future__ import annotations

import os
import socket
import stat
from pathlib import Path

import pytest

from .conftest import MakeRig
from .peers import Endpoint, dial
from .proxy import Proxy, free_port
from .rig import Rig, tables

pytestmark = pytest.mark.timeout(20)


def test_ipv6_both_ways(weir: MakeRig) -> None:
    rig = weir(endpoint=Endpoint(("::1", 0)), listener={"address": "[::1]:0"})
    assert rig.proxy.address()[0] == "::1"
    assert rig.get("/six").status == 200
    seen = rig.endpoint.requests[0].head
    assert seen.get("X-Forwarded-For") == "::1"


def test_unix_sockets_both_ways(weir: MakeRig, tmp_path: Path) -> None:
    path = tmp_path / "weir.sock"
    rig = weir(endpoint=Endpoint(tmp_path / "app.sock"), listener={"address": f"unix:{path}", "unix_mode": "0660"})
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o660
    client = rig.connect()
    for n in range(5):
        client.send(b"POST /unix HTTP/1.1\r\nHost: test\r\nContent-Length: 4\r\n\r\nabc%d" % n)
        assert client.response("POST").body == b"abc%d" % n
    assert len(rig.endpoint.links) == 1
    assert rig.proxy.stop() == 0
    assert not path.exists()


def test_a_stale_unix_socket_is_replaced(weir: MakeRig, tmp_path: Path) -> None:
    path = tmp_path / "weir.sock"
    with socket.socket(socket.AF_UNIX) as stale:
        stale.bind(str(path))
    rig = weir(listener={"address": f"unix:{path}"})
    assert rig.get("/").status == 200


def test_every_address_of_this_machine(weir: MakeRig) -> None:
    port = free_port()
    rig = weir(listener={"address": f":{port}"})
    for host in ("127.0.0.1", "::1"):
        client = dial((host, port))
        rig.clients.append(client)
        client.send(b"GET / HTTP/1.1\r\nHost: test\r\n\r\n")
        assert client.response().status == 200
    forwarded = [request.head.get("X-Forwarded-For") for request in rig.endpoint.requests]
    assert forwarded == ["127.0.0.1", "::1"]


def test_an_endpoint_by_name(weir: MakeRig) -> None:
    endpoint = Endpoint()
    rig = weir(endpoints=[f"localhost:{endpoint.port}"], endpoint=endpoint)
    for _ in range(3):
        assert rig.get("/named").status == 200
    assert len(endpoint.links) == 1


def test_an_endpoint_whose_name_is_unknown(weir: MakeRig) -> None:
    rig = weir(endpoints=["does-not-exist.invalid:80"])
    response = rig.get("/nowhere")
    assert response.status == 502
    assert b"no_endpoint" in response.body
    assert rig.reason("/nowhere") == "no_endpoint"
    # Trouble with a name is worth a warning, of one line.
    warnings = [line for line in rig.proxy.stderr if "does-not-exist.invalid" in line]
    assert len(warnings) <= 1
    for line in warnings:
        rig.proxy.stderr.remove(line)


def test_one_good_name_of_two_is_enough(weir: MakeRig) -> None:
    endpoint = Endpoint()
    rig = weir(endpoints=["does-not-exist.invalid:80", endpoint.address], endpoint=endpoint)
    assert [rig.get("/").status for _ in range(4)] == [200] * 4
    rig.proxy.stderr[:] = [line for line in rig.proxy.stderr if "does-not-exist.invalid" not in line]


def test_a_unix_endpoint_that_is_not_there(weir: MakeRig, tmp_path: Path) -> None:
    rig = weir(endpoints=[f"unix:{tmp_path}/missing.sock"])
    assert rig.get("/missing").status == 502
    assert rig.reason("/missing") in ("connect_refused", "connect_failed")


def test_requests_are_spread_over_the_endpoints(weir: MakeRig) -> None:
    others = [Endpoint() for _ in range(3)]
    rig = weir(endpoints=[endpoint.address for endpoint in others])
    for _ in range(30):
        assert rig.get("/spread").status == 200
    counts = [len(endpoint.requests) for endpoint in others]
    for endpoint in others:
        endpoint.close()
    assert counts == [10, 10, 10]


def test_several_listeners_and_clusters(tmp_path: Path) -> None:
    first, second = Endpoint(), Endpoint()
    settings = tables(tmp_path, [first.address])
    settings["listener"] = [{"address": "127.0.0.1:0", "to": name} for name in ("app", "other", second.address)]
    settings["cluster"].append({"name": "other", "endpoints": [second.address]})
    proxy = Proxy(tmp_path, settings)
    rig = Rig(proxy)
    statuses = [rig.ask(b"GET / HTTP/1.1\r\nHost: test\r\n\r\n", listener=n).status for n in (0, 1, 1, 2)]
    first.close()
    second.close()
    rig.finish()
    proxy.check_end()
    assert statuses == [200] * 4
    assert (len(first.requests), len(second.requests)) == (1, 3)
