"""A client's connection: heads, order, errors, closing."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.plane.scene import GET, OK, Scene
from weir.config.action_plan import ActionPlan
from weir.plane.fake import FakeStream

Stage = Callable[..., Scene]


def test_an_idle_connection_owns_no_buffer(stage: Stage) -> None:
    scene = stage()
    client = scene.client()
    assert scene.plane.ledger()["buffers"] == 0
    scene.send(client, GET[:10])
    assert scene.plane.ledger()["buffers"] == 1
    scene.send(client, GET[10:])
    scene.send(scene.endpoint(), OK)
    assert scene.plane.ledger()["buffers"] == 0


def test_pipelined_requests_are_answered_in_order(stage: Stage) -> None:
    scene = stage()
    requests = [b"GET /%d HTTP/1.1\r\nHost: h\r\n\r\n" % n for n in range(50)]
    client = scene.client(b"".join(requests))
    for number, request in enumerate(requests):
        assert scene.endpoint().take_sent() == request
        assert scene.plane.ledger()["exchanges"] == 1
        body = b"n%d" % number
        scene.send(scene.endpoint(), b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))
        assert client.take_sent().endswith(b"\r\n\r\n" + body)
    assert scene.dials == 1
    assert scene.plane.ledger()["buffers"] == 0


@pytest.mark.parametrize("size", [1, 13, 1000])
def test_pipelined_requests_with_bodies(stage: Stage, size: int) -> None:
    scene = stage()
    one = b"POST /1 HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabc"
    two = b"POST /2 HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nwxyz\r\n0\r\n\r\n"
    three = b"GET /3 HTTP/1.1\r\nHost: h\r\n\r\n"
    whole = one + two + three
    client = scene.client()
    for at in range(0, len(whole), size):
        client.feed(whole[at : at + size])
        scene.turn(2)
    for request in (one, two, three):
        scene.turn()
        assert scene.endpoint().take_sent() == request
        scene.send(scene.endpoint(), OK)
        assert client.take_sent() == OK


def test_an_upload_in_pieces_with_the_next_request_in_the_last(stage: Stage) -> None:
    scene = stage()
    client = scene.client(b"POST /1 HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nwx")
    scene.send(client, b"yz\r\n0\r\n\r\n" + GET + GET)
    assert scene.endpoint().take_sent().endswith(b"wxyz\r\n0\r\n\r\n")
    scene.send(scene.endpoint(), OK)
    assert scene.endpoint().take_sent() == GET
    scene.send(scene.endpoint(), OK)
    assert scene.endpoint().take_sent() == GET
    scene.send(scene.endpoint(), OK)
    assert client.take_sent() == OK * 3


def test_error_answers_keep_their_place_in_the_pipeline(stage: Stage) -> None:
    scene = stage()
    client = scene.client(GET + b"nonsense\r\n\r\n" + GET)
    scene.send(scene.endpoint(), OK)
    sent = client.take_sent()
    assert sent.startswith(OK + b"HTTP/1.1 400 Bad Request\r\n")
    assert sent.count(b"HTTP/1.1 ") == 2
    assert scene.endpoint().take_sent() == GET


@pytest.mark.parametrize(
    ("request_bytes", "status", "reason"),
    [
        (b"GET / HTTP/1.1\r\n\r\n", 400, "bad_host"),
        (b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400, "bad_host"),
        (b"GET  / HTTP/1.1\r\nHost: h\r\n\r\n", 400, "bad_request"),
        (b"GET / HTTP/2.0\r\nHost: h\r\n\r\n", 505, "bad_version"),
        (b"GET / HTTP/1.1\r\nHost : h\r\n\r\n", 400, "bad_request"),
        (b"GET / HTTP/1.1\r\nHost: h\r\nX: a\r\n b\r\n\r\n", 400, "bad_request"),
        (b"GET / HTTP/1.1\nHost: h\n\n", 400, "bad_request"),
        (b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\na", 400, "bad_framing"),
        (b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", 400, "bad_framing"),
        (b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", 501, "unsupported_coding"),
        (b"POST / HTTP/1.0\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n", 400, "bad_framing"),
        (b"CONNECT h:1 HTTP/1.1\r\nHost: h:1\r\n\r\n", 405, "method_refused"),
        (b"GET / HTTP/1.1\r\nHost: h\r\nExpect: magic\r\n\r\n", 417, "expectation_failed"),
        (b"GET /" + b"a" * 9000 + b" HTTP/1.1\r\nHost: h\r\n\r\n", 414, "target_too_long"),
        (b"GET / HTTP/1.1\r\nHost: h\r\nX: " + b"a" * 40000 + b"\r\n\r\n", 431, "head_too_large"),
        (b"GET / HTTP/1.1\r\nHost: h\r\n" + b"X: a\r\n" * 200 + b"\r\n", 431, "head_too_large"),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400, "bad_request"),
    ],
)
def test_what_is_no_request_is_refused_and_closed(stage: Stage, request_bytes: bytes, status: int, reason: str) -> None:
    scene = stage()
    client = scene.client(request_bytes)
    sent = client.take_sent()
    assert sent.startswith(b"HTTP/1.1 %d " % status), sent
    assert b"\r\nConnection: close\r\n" in sent
    assert reason.encode() in sent.partition(b"\r\n\r\n")[2]
    assert client.write_closed
    assert scene.dials == 0
    assert scene.reasons() == {reason: 1}
    assert scene.counters("(other)")["errors"] == 1


def test_error_answer_to_head_has_no_body(stage: Stage) -> None:
    scene = stage()
    scene.plane.set_addresses(0, "192.0.2.1:80", [])
    client = scene.client(b"HEAD /a HTTP/1.1\r\nHost: h\r\n\r\n")
    head, _, body = client.take_sent().partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 502 ")
    assert body == b""


def test_slow_head_is_answered_with_408(stage: Stage) -> None:
    scene = stage(listener={"request_header_timeout_ms": 1000})
    client = scene.client(GET[:5])
    for byte in range(5, 9):
        scene.wait_ms(240)
        scene.send(client, GET[byte : byte + 1])
    assert client.take_sent() == b""
    scene.wait_ms(100)
    assert client.take_sent().startswith(b"HTTP/1.1 408 Request Timeout\r\n")
    assert scene.reasons() == {"head_timeout": 1}


def test_a_client_that_says_nothing_is_closed(stage: Stage) -> None:
    scene = stage(listener={"request_header_timeout_ms": 1000})
    client = scene.client()
    scene.wait_ms(1020)
    assert client.is_closed
    assert client.take_sent() == b""


def test_idle_timeout_between_requests(stage: Stage) -> None:
    scene = stage(listener={"request_header_timeout_ms": 1000, "idle_timeout_ms": 5000})
    client = scene.client(GET)
    scene.send(scene.endpoint(), OK)
    scene.wait_ms(4900)
    assert not client.is_closed
    scene.send(client, GET)
    scene.send(scene.endpoint(), OK)
    scene.wait_ms(4900)
    assert not client.is_closed
    scene.wait_ms(120)
    assert client.is_closed


def test_connection_close_is_honoured(stage: Stage) -> None:
    scene = stage()
    client = scene.client(b"GET /a HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
    assert scene.endpoint().take_sent() == GET
    scene.send(scene.endpoint(), OK)
    assert client.take_sent() == b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok"
    assert client.is_closed
    assert not scene.endpoint().is_closed


def test_requests_of_one_connection_are_limited(stage: Stage) -> None:
    scene = stage(listener={"max_requests": 2})
    client = scene.client(GET + GET + GET)
    scene.send(scene.endpoint(), OK)
    scene.send(scene.endpoint(), OK)
    sent = client.take_sent()
    assert sent.count(b"HTTP/1.1 200 OK") == 2
    assert sent.count(b"Connection: close") == 1
    assert client.write_closed
    scene.end(client)
    assert client.is_closed


def test_a_lingering_close_ends_by_itself(stage: Stage) -> None:
    scene = stage()
    client = scene.client(b"bad\r\n\r\n")
    assert client.write_closed
    assert not client.is_closed
    scene.send(client, b"x" * 100_000)
    scene.wait_ms(2100)
    assert client.is_closed


def test_error_answer_to_a_client_that_does_not_read(stage: Stage) -> None:
    scene = stage(listener={"send_timeout_ms": 1000})
    client = scene.client()
    client.room = 20
    scene.send(client, b"bad\r\n\r\n")
    assert len(client.take_sent()) == 20
    client.room = 10_000
    scene.turn()
    assert client.take_sent().endswith(b"\n")
    assert client.write_closed
    other = scene.client()
    other.room = 20
    scene.send(other, b"bad\r\n\r\n")
    scene.wait_ms(1020)
    assert other.is_closed


def test_statistics_page(stage: Stage) -> None:
    scene = stage(stats={"page": "/stats"}, make_page=lambda: b"the page\n" * 1000)
    client = scene.client(
        b"GET /stats?x HTTP/1.1\r\nHost: h\r\n\r\n" + b"HEAD /stats HTTP/1.1\r\nHost: h\r\n\r\n" + GET
    )
    sent = client.take_sent()
    first, _, rest = sent.partition(b"\r\n\r\n")
    assert first.startswith(b"HTTP/1.1 200 OK\r\n")
    assert b"Content-Length: 9000" in first
    assert rest[:9000] == b"the page\n" * 1000
    assert rest[9000:].startswith(b"HTTP/1.1 200 OK\r\n")
    assert rest.endswith(b"\r\n\r\n")
    scene.send(scene.endpoint(), OK)
    assert client.take_sent() == OK


def test_drain_lets_go_of_idle_ones_and_finishes_the_rest(stage: Stage) -> None:
    scene = stage()
    quiet: list[int] = []
    idle, new = scene.client(GET), scene.client()
    scene.send(scene.endpoint(0), OK)
    busy = scene.client(b"GET /b HTTP/1.1\r\nHost: h\r\n\r\n" + GET)
    scene.plane.drain(lambda: quiet.append(1))
    assert idle.write_closed
    assert new.write_closed
    assert quiet == []
    scene.send(scene.endpoint(-1), OK)
    assert b"Connection: close\r\n" in busy.take_sent()
    scene.end(busy)
    assert busy.is_closed
    scene.end(idle)
    assert idle.is_closed
    assert quiet == []
    scene.wait_ms(2100)
    assert new.is_closed, "a client that does not close is not waited for much longer"
    assert quiet == [1]
    assert scene.plane.ledger()["upstreams"] == 0
    assert scene.reasons() == {}


def test_a_request_that_is_here_when_the_drain_comes_is_served(stage: Stage) -> None:
    scene = stage()
    idle, half = scene.client(GET), scene.client(GET)
    for number in range(2):
        scene.send(scene.endpoint(number), OK)
    idle.take_sent()
    # In the kernel's buffer, and nobody was told yet.
    idle.feed(GET)
    half.feed(GET[:10])
    scene.plane.drain(lambda: None)
    scene.turn()
    scene.send(scene.endpoint(), OK)
    assert b"Connection: close\r\n" in idle.take_sent()
    scene.end(idle)
    half.take_sent()
    scene.send(half, GET[10:])
    scene.send(scene.endpoint(0), OK)
    assert b"Connection: close\r\n" in half.take_sent()
    scene.end(half)
    assert scene.plane.ledger()["downstreams"] == 0
    assert scene.reasons() == {}


def test_a_request_that_crosses_the_goodbye_is_counted(stage: Stage) -> None:
    scene = stage()
    idle = scene.client(GET)
    scene.send(scene.endpoint(), OK)
    idle.take_sent()
    scene.plane.drain(lambda: None)
    scene.send(idle, GET)
    scene.send(idle, GET)
    assert idle.was_reset is False
    assert scene.plane.ledger()["downstreams"] == 1, "no reset: the client sees a clean end"
    scene.end(idle)
    assert idle.is_closed
    assert idle.take_sent() == b""
    assert scene.reasons() == {"draining": 1}


def test_a_connection_that_was_promised_to_stay_waits_for_one_more_request(stage: Stage) -> None:
    """The drain comes between a head that says nothing of a close and the end of its body."""
    for sends in (True, False):
        scene = stage()
        client = scene.client(GET)
        scene.send(scene.endpoint(), OK[:-1])
        scene.plane.drain(lambda: None)
        scene.send(scene.endpoint(), OK[-1:])
        assert b"Connection: close" not in client.take_sent()
        assert not client.write_closed
        if sends:
            scene.send(client, GET)
            scene.send(scene.endpoint(), OK)
            assert b"Connection: close\r\n" in client.take_sent()
        else:
            scene.wait_ms(600)
            assert client.write_closed
        scene.end(client)
        assert scene.plane.ledger()["downstreams"] == 0
        assert scene.reasons() == {}


def test_goodbyes_are_said_in_turns_and_to_everybody_once(stage: Stage) -> None:
    scene = stage()
    clients = [scene.client() for _ in range(10)]
    clients[0].feed(GET[:7])  # at the front of those that wait, and stays
    scene.turn()
    turns = 0
    while scene.plane.drain(lambda: None, most=3):
        turns += 1
        assert sum(client.write_closed for client in clients) <= 3 * turns
    assert turns == 3
    assert [client.write_closed for client in clients] == [False] + [True] * 9
    scene.send(clients[0], GET[7:])
    scene.send(scene.endpoint(), OK)
    assert b"Connection: close\r\n" in clients[0].take_sent()


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"HEAD / HTTP/1.1\r\nHo", b"408 "),
        (b"\r\nHEAD /", b"408 "),
        (b"HEAD / HTTP/1.1\r\nbad line\r\n\r\n", b"400 "),
        (b"HEAD / HTTP/3.0\r\n\r\n", b"505 "),
        (b"HEAD / HTTP/1.1\r\n\r\n", b"400 "),
    ],
)
def test_a_head_that_is_refused_gets_no_body(stage: Stage, data: bytes, reason: bytes) -> None:
    scene = stage(listener={"request_header_timeout_ms": 500})
    client = scene.client(data)
    scene.wait_ms(600)
    sent = client.take_sent()
    assert sent.startswith(b"HTTP/1.1 " + reason)
    assert sent.endswith(b"\r\n\r\n")
    assert sent.count(b"\r\n\r\n") == 1


@pytest.mark.parametrize("data", [b"HEA", b"HEADS / ", b"GET /HEAD ", b"\r\nGET"])
def test_what_may_not_be_a_head_gets_a_body(stage: Stage, data: bytes) -> None:
    scene = stage(listener={"request_header_timeout_ms": 500})
    client = scene.client(data)
    scene.wait_ms(600)
    assert b"\nhead_timeout: " in client.take_sent()


def test_who_takes_an_answer_slowly_is_not_idle(stage: Stage) -> None:
    action = ActionPlan(status=200, body=(("text", "x" * 100_000),))
    scene = stage(listener={"idle_timeout_ms": 1000, "send_timeout_ms": 3000}, route={"cluster": -1, "action": action})
    slow, stalled = scene.client(), scene.client()
    for client in (slow, stalled):
        client.room = 1000
        scene.send(client, GET)
    scene.wait_ms(1100)
    slow.room = -1
    scene.turn()
    assert slow.take_sent().endswith(b"x" * 100_000)
    scene.wait_ms(900)
    assert scene.reasons() == {}, "it is idle since it has taken its answer"
    scene.wait_ms(1100)
    assert slow.is_closed
    assert stalled.was_reset
    assert scene.reasons() == {"idle_timeout": 1, "client_stalled": 1}


@pytest.mark.parametrize("request_", [GET, GET + GET[:5], GET.replace(b"Host", b"Connection: close\r\nHost")])
def test_who_takes_some_of_an_answer_has_the_time_for_the_rest_anew(stage: Stage, request_: bytes) -> None:
    action = ActionPlan(status=200, body=(("text", "x" * 100_000),))
    scene = stage(listener={"send_timeout_ms": 1000}, route={"cluster": -1, "action": action})
    client = scene.client()
    client.room = 1000
    scene.send(client, request_)
    for _ in range(5):
        scene.wait_ms(900)
        client.room = 1000
        scene.turn()
    assert len(client.take_sent()) == 6000
    assert scene.reasons() == {}
    scene.wait_ms(1100)
    assert client.was_reset
    assert scene.reasons() == {"client_stalled": 1}


@pytest.mark.parametrize("request_", [GET, GET + GET[:5]])
def test_who_sends_and_takes_no_answer_has_no_more_time_for_it(stage: Stage, request_: bytes) -> None:
    action = ActionPlan(status=200, body=(("text", "x" * 100_000),))
    scene = stage(listener={"send_timeout_ms": 1000}, route={"cluster": -1, "action": action})
    client = scene.client()
    client.room = 1000
    scene.send(client, request_)
    for _ in range(3):
        scene.wait_ms(400)
        scene.send(client, b"x")
    assert client.was_reset
    assert scene.reasons() == {"client_stalled": 1}


def test_a_connection_that_the_kernel_does_not_watch_is_not_kept(stage: Stage) -> None:
    scene = stage()
    stream = FakeStream(scene.engine)
    stream.unwatched = True
    scene.plane.welcome(scene.listener, stream)
    assert stream.was_reset
    assert scene.plane.ledger()["downstreams"] == 0
    assert scene.reasons() == {"out_of_memory": 1}
