"""The client goes away in each phase of an exchange: nothing is left running for nobody."""

from __future__ import annotations

import time

import pytest

from .conftest import MakeRig
from .peers import Link, ok
from .rig import Rig
from .wire import Truncated, Wire, eventually

pytestmark = pytest.mark.timeout(20)

MIB = 1 << 20


def leave(client: Wire, how: str) -> None:
    {"close": client.close, "reset": client.reset}[how]()


BOTH = pytest.mark.parametrize("how", ["close", "reset"])


@BOTH
def test_in_the_middle_of_a_head(plain: Rig, how: str) -> None:
    client = plain.connect()
    client.send(b"GET /never HTTP/1.1\r\nHos")
    time.sleep(0.05)
    leave(client, how)
    plain.proxy.check_ledger()
    assert plain.endpoint.requests == []


@BOTH
def test_in_the_middle_of_an_upload(plain: Rig, how: str) -> None:
    seen: list[str] = []

    def script(link: Link) -> None:
        link.head()
        link.read_exactly(5000)
        try:
            link.read_exactly(95_000)
        except Truncated as error:
            seen.append(str(error))

    plain.endpoint.handle(script)
    client = plain.connect()
    path = f"/left-uploading-{how}"
    client.send(f"POST {path} HTTP/1.1\r\nHost: test\r\nContent-Length: 100000\r\n\r\n".encode() + b"u" * 5000)
    eventually(lambda: plain.endpoint.links and plain.endpoint.links[0].received >= 5000)
    leave(client, how)
    eventually(lambda: seen, what="the endpoint learns that the upload ended")
    assert plain.reason(path) == "client_closed"


def test_in_the_middle_of_a_chunked_upload(plain: Rig) -> None:
    seen: list[str] = []

    def script(link: Link) -> None:
        link.head()
        try:
            link.read_until(b"0\r\n\r\n")
        except Truncated as error:
            seen.append(str(error))

    plain.endpoint.handle(script)
    client = plain.connect()
    client.send(b"POST /left-chunked HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n")
    eventually(lambda: plain.endpoint.links and b"hello" in plain.endpoint.links[0].buffer)
    client.close()
    eventually(lambda: seen, what="the endpoint learns that the upload ended")
    assert plain.reason("/left-chunked") == "client_closed"


@BOTH
def test_in_the_middle_of_a_download(plain: Rig, how: str) -> None:
    broken: list[bool] = []

    def script(link: Link) -> None:
        link.head()
        link.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (200 * MIB))
        try:
            link.send(bytes(200 * MIB))
        except ConnectionError:
            broken.append(True)

    plain.endpoint.handle(script)
    client = plain.connect()
    path = f"/left-downloading-{how}"
    client.send(f"GET {path} HTTP/1.1\r\nHost: test\r\n\r\n".encode())
    client.read_exactly(5 * MIB)
    leave(client, how)
    eventually(lambda: broken, what="the endpoint learns that nobody reads")
    assert plain.reason(path) == "client_closed"
    record = plain.proxy.logged(target=path)[0]
    assert record["status"] == 200


def test_while_waiting_for_an_answer(plain: Rig) -> None:
    ended: list[bool] = []

    def script(link: Link) -> None:
        link.request()
        ended.append(link.ended(3))

    plain.endpoint.handle(script)
    client = plain.connect()
    client.send(b"GET /left-waiting HTTP/1.1\r\nHost: test\r\n\r\n")
    eventually(lambda: plain.endpoint.links and plain.endpoint.links[0].received)
    client.reset()
    eventually(lambda: ended, what="the endpoint sees its connection end")
    assert ended == [True]
    assert plain.reason("/left-waiting") == "client_closed"


def test_while_a_silent_stream_waits_for_its_next_event(plain: Rig) -> None:
    ended: list[bool] = []

    def script(link: Link) -> None:
        link.request()
        link.send(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\ndata: 1\n\n")
        ended.append(link.ended(3))

    plain.endpoint.handle(script)
    client = plain.connect()
    client.send(b"GET /left-streaming HTTP/1.1\r\nHost: test\r\n\r\n")
    assert client.head().status == 200
    client.read_until(b"data: 1\n\n")
    client.reset()
    eventually(lambda: ended, what="the endpoint sees its connection end")
    assert ended == [True]
    assert plain.reason("/left-streaming") == "client_closed"


def test_half_closed_clients_are_served(plain: Rig) -> None:
    plain.endpoint.reply(0.2, ok(b"still here"))
    client = plain.connect()
    client.send(b"GET /half HTTP/1.1\r\nHost: test\r\n\r\n")
    client.half_close()
    assert client.response().body == b"still here"
    assert client.ended()
    assert plain.reason("/half") == "none"


def test_half_closed_clients_are_given_up_when_so_configured(weir: MakeRig) -> None:
    rig = weir(listener={"half_close": "abort"})
    ended: list[bool] = []

    def script(link: Link) -> None:
        link.request()
        ended.append(link.ended(3))

    rig.endpoint.handle(script)
    client = rig.connect()
    client.send(b"GET /half HTTP/1.1\r\nHost: test\r\n\r\n")
    eventually(lambda: rig.endpoint.links and rig.endpoint.links[0].received)
    client.half_close()
    assert client.ended()
    eventually(lambda: ended)
    assert ended == [True]
    assert rig.reason("/half") == "client_closed"


@pytest.mark.parametrize("how", ["close", "reset"])
def test_while_queued(weir: MakeRig, how: str) -> None:
    rig = weir(pool={"max_connections": 1}, queue={"size": 10, "timeout": "5s"})
    rig.endpoint.respond(lambda request: [0.6 if request.head.target == "/blocks" else 0.0, ok(b"done")])
    blocking, leaving, staying = rig.connect(), rig.connect(), rig.connect()
    blocking.send(b"GET /blocks HTTP/1.1\r\nHost: test\r\n\r\n")
    rig.endpoint.wait_requests(1)
    leaving.send(b"GET /leaves HTTP/1.1\r\nHost: test\r\n\r\n")
    time.sleep(0.1)
    staying.send(b"GET /stays HTTP/1.1\r\nHost: test\r\n\r\n")
    time.sleep(0.1)
    leave(leaving, how)
    assert blocking.response().body == b"done"
    assert staying.response().body == b"done"
    assert rig.endpoint.targets() == ["/blocks", "/stays"]
    assert rig.reason("/leaves") == "client_closed"


def test_the_connection_to_the_endpoint_is_kept_when_the_answer_was_whole(plain: Rig) -> None:
    client = plain.connect()
    client.send(b"GET /one HTTP/1.1\r\nHost: test\r\n\r\n")
    assert client.response().status == 200
    client.reset()
    assert plain.get("/two").status == 200
    assert len(plain.endpoint.links) == 1


def test_a_client_that_says_nothing_is_let_go(weir: MakeRig) -> None:
    rig = weir(listener={"idle_timeout": "300ms", "request_header_timeout": "300ms"})
    silent, idle, half, dripping = (rig.connect() for _ in range(4))
    half.send(b"GET / HTTP/1.1\r\nHost: te")
    idle.send(b"GET /one HTTP/1.1\r\nHost: test\r\n\r\n")
    assert idle.response().status == 200
    assert idle.ended()
    assert silent.ended()
    started = time.monotonic()
    try:
        for byte in b"GET / HTTP/1.1\r\nHost: test\r\nX-Slow: " + b"x" * 100:
            dripping.send(bytes([byte]))
            time.sleep(0.05)
    except ConnectionError:
        pass
    assert time.monotonic() - started < 5
    response = half.response()
    assert response.status == 408
    assert b"head_timeout" in response.body
    assert half.ended()


def test_an_upload_that_stops_is_let_go(weir: MakeRig) -> None:
    rig = weir(cluster={"stream_idle_timeout": "300ms"})
    client = rig.connect()
    client.send(b"POST /stops HTTP/1.1\r\nHost: test\r\nContent-Length: 100\r\n\r\nhalf")
    assert client.response("POST").status == 408
    assert client.ended()
    assert rig.reason("/stops") == "body_timeout"
