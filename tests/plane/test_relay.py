"""One direction of bytes: backpressure, and nothing lost or added."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.plane.scene import GET, OK, Scene

Stage = Callable[..., Scene]


def test_a_client_that_does_not_read_stops_the_endpoint(stage: Stage) -> None:
    scene = stage()
    client = scene.client(GET)
    client.room = 100
    endpoint = scene.endpoint()
    scene.send(endpoint, b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n")
    scene.send(endpoint, b"x" * 500_000)
    scene.send(endpoint, b"y" * 500_000)
    assert scene.plane.ledger()["buffer_bytes"] <= 512 * 1024
    first = client.take_sent()
    assert len(first) == 100
    received = first
    while len(received) < 1_000_000:
        client.room = 70_000
        scene.turn(1)
        piece = client.take_sent()
        assert piece, "nothing moved"
        received += piece
    body = received.partition(b"\r\n\r\n")[2]
    scene.turn()
    body += client.take_sent()
    assert body == b"x" * 500_000 + b"y" * 500_000


def test_an_endpoint_that_does_not_read_stops_the_client(stage: Stage) -> None:
    scene = stage()
    client = scene.client(b"POST /a HTTP/1.1\r\nHost: h\r\nContent-Length: 900000\r\n\r\n")
    endpoint = scene.endpoint()
    endpoint.take_sent()
    endpoint.room = 1000
    scene.send(client, b"z" * 900_000)
    assert scene.plane.ledger()["buffer_bytes"] <= 512 * 1024
    body = b""
    for _ in range(1000):
        body += endpoint.take_sent()
        if len(body) == 900_000:
            break
        endpoint.room = 50_000
        scene.turn(1)
    assert body == b"z" * 900_000
    endpoint.room = -1
    scene.send(endpoint, OK)
    assert client.take_sent() == OK


def test_a_stalled_client_is_cut(stage: Stage) -> None:
    scene = stage(listener={"send_timeout_ms": 1000})
    client = scene.client(GET)
    client.room = 10
    scene.send(scene.endpoint(), OK)
    scene.wait_ms(900)
    assert not client.is_closed
    scene.wait_ms(200)
    assert scene.endpoint().is_closed
    assert scene.reasons() == {"client_stalled": 1}


# -- any split, any window --------------------------------------------------------------------------------


def in_chunks(body: bytes, size: int) -> bytes:
    pieces = [body[at : at + size] for at in range(0, len(body), size)]
    return b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"


def body_of(message: bytes) -> bytes:
    """The body of a response: chunked or plain."""
    head, _, rest = message.partition(b"\r\n\r\n")
    if b"Transfer-Encoding: chunked" not in head:
        return rest
    body = b""
    while True:
        size, _, rest = rest.partition(b"\r\n")
        length = int(size, 16)
        if length == 0:
            assert rest == b"\r\n"
            return body
        body += rest[:length]
        assert rest[length : length + 2] == b"\r\n"
        rest = rest[length + 2 :]


@pytest.mark.parametrize("version", [b"1.0", b"1.1"])
@pytest.mark.parametrize("framing", ["length", "chunked", "close"])
@settings(max_examples=25)
@given(
    body=st.binary(max_size=3000),
    chunk=st.integers(1, 900),
    cuts=st.lists(st.integers(1, 500), min_size=1, max_size=12),
    rooms=st.lists(st.integers(1, 700), min_size=1, max_size=12),
)
def test_a_body_arrives_whole_whatever_the_splits_and_windows(
    framing: str, version: bytes, body: bytes, chunk: int, cuts: list[int], rooms: list[int]
) -> None:
    scene = Scene()
    client = scene.client(b"GET /a HTTP/" + version + b"\r\nHost: h\r\n\r\n")
    client.room = 0
    answer = (
        b"HTTP/1.1 200 OK\r\n"
        + {
            "length": b"Content-Length: %d\r\n\r\n%s" % (len(body), body),
            "chunked": b"Transfer-Encoding: chunked\r\n\r\n" + in_chunks(body, chunk),
            "close": b"\r\n" + body,
        }[framing]
    )
    at = step = 0
    received = b""
    while at < len(answer):
        cut = cuts[step % len(cuts)]
        scene.send(scene.endpoint(), answer[at : at + cut])
        at += cut
        client.room = rooms[step % len(rooms)]
        scene.turn(2)
        received += client.take_sent()
        step += 1
    if framing == "close":
        scene.end(scene.endpoint())
    client.room = -1
    scene.turn(8)
    received += client.take_sent()
    assert body_of(received) == body
    assert scene.counters()["response_body_bytes"] == len(body)
    assert scene.reasons() == {}
    scene.close()


@pytest.mark.parametrize("chunked", [False, True])
@settings(max_examples=25)
@given(
    body=st.binary(min_size=1, max_size=3000),
    chunk=st.integers(1, 900),
    cuts=st.lists(st.integers(1, 500), min_size=1, max_size=12),
    rooms=st.lists(st.integers(1, 700), min_size=1, max_size=12),
)
def test_an_upload_arrives_whole_and_the_next_request_is_found(
    chunked: bool, body: bytes, chunk: int, cuts: list[int], rooms: list[int]
) -> None:
    scene = Scene()
    client = scene.client()
    framing = b"Transfer-Encoding: chunked" if chunked else b"Content-Length: %d" % len(body)
    sent = b"POST /a HTTP/1.1\r\nHost: h\r\n" + framing + b"\r\n\r\n"
    sent += (in_chunks(body, chunk) if chunked else body) + GET
    at = step = 0
    seen = b""
    while at < len(sent):
        cut = cuts[step % len(cuts)]
        scene.send(client, sent[at : at + cut])
        at += cut
        if scene.dials:
            scene.endpoint().room = rooms[step % len(rooms)]
            scene.turn(2)
            seen += scene.endpoint().take_sent()
        step += 1
    scene.endpoint().room = -1
    scene.turn(8)
    seen += scene.endpoint().take_sent()
    assert body_of(seen) == body
    scene.send(scene.endpoint(), OK)
    assert scene.endpoint().take_sent() == GET
    scene.send(scene.endpoint(), OK)
    assert client.take_sent() == OK * 2
    assert scene.counters()["request_body_bytes"] == len(body)
    scene.close()


@pytest.mark.parametrize(
    ("request_head", "response"),
    [
        pytest.param(GET, b"HTTP/1.1 204 No Content\r\n\r\n" + b"j" * 10_000, id="bytes-that-nobody-asked-for"),
        pytest.param(
            b"GET /a HTTP/1.0\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX: " + b"t" * 10_000,
            id="half-a-trailer-section",
        ),
        pytest.param(
            GET,
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nX: " + b"x" * 4000 + b"\r\n\r\n5;" + b"e" * 200,
            id="half-a-chunk-header",
        ),
    ],
)
def test_what_stands_behind_a_body_has_room_when_the_head_is_cut(
    stage: Stage, request_head: bytes, response: bytes
) -> None:
    """The rest of the head and all that was read behind it go to one buffer, which has to be made for both."""
    scene = stage()
    client = scene.client(request_head)
    client.room = 10
    scene.send(scene.endpoint(), response)
    client.room = -1
    scene.turn()
    head, _, rest = client.take_sent().partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 20")
    assert rest == b""
    scene.end(client)


def test_where_memory_is_short_a_head_may_still_be_as_long_as_it_may(stage: Stage) -> None:
    scene = stage()
    scene.plane.save_memory()
    client = scene.client(GET)
    fields = b"".join(b"X-%d: %s\r\n" % (n, b"x" * 1000) for n in range(25))
    scene.send(scene.endpoint(), b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n" + fields + b"\r\nok")
    sent = client.take_sent()
    assert sent.startswith(b"HTTP/1.1 200 OK\r\n")
    assert fields in sent
    assert sent.endswith(b"\r\n\r\nok")


def test_where_memory_is_short_trailers_may_still_be_as_long_as_they_may(stage: Stage) -> None:
    scene = stage()
    scene.plane.save_memory()
    client = scene.client(GET)
    scene.send(scene.endpoint(), b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n")
    trailers = b"".join(b"X-%d: %s\r\n" % (n, b"x" * 1000) for n in range(25))
    scene.send(scene.endpoint(), b"0\r\n" + trailers + b"\r\n")
    assert client.take_sent().endswith(b"\r\n\r\n2\r\nok\r\n0\r\n" + trailers + b"\r\n")
    assert scene.reasons() == {}


# -- the end of a chunked body ----------------------------------------------------------------------------

CHUNKED = b"POST /a HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"


def test_the_last_chunk_of_a_request_waits_for_its_trailers(stage: Stage) -> None:
    scene = stage()
    client = scene.client(CHUNKED + b"2\r\nab\r\n0\r\n")
    endpoint = scene.endpoint()
    assert endpoint.take_sent() == CHUNKED + b"2\r\nab\r\n"
    scene.send(client, b"X-Sum: 1\r\n")
    assert endpoint.take_sent() == b""
    assert scene.plane.ledger()["buffer_bytes"] <= 16384, "what waits holds no large buffer"
    scene.send(client, b"\r\n" + GET)
    assert endpoint.take_sent() == b"0\r\nX-Sum: 1\r\n\r\n"
    scene.send(endpoint, OK)
    assert endpoint.take_sent() == GET
    scene.send(endpoint, OK)
    assert client.take_sent() == OK + OK


@pytest.mark.parametrize("at", range(1, 12))
def test_a_request_whose_trailers_are_refused_never_looks_whole(stage: Stage, at: int) -> None:
    scene = stage()
    data = b"2\r\nab\r\n0\r\nX Y: 1\r\n\r\n"
    client = scene.client(CHUNKED + data[:at])
    scene.send(client, data[at:])
    assert b"bad_chunk" in client.take_sent()
    assert scene.endpoint().is_closed
    assert b"\r\n0\r\n" not in scene.endpoint().take_sent()


def test_a_response_whose_trailers_are_refused_never_looks_whole(stage: Stage) -> None:
    scene = stage()
    client = scene.client(GET)
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    scene.send(scene.endpoint(), head + b"2\r\nok\r\n0\r\n")
    assert client.take_sent() == head + b"2\r\nok\r\n"
    scene.send(scene.endpoint(), b"X Y: 1\r\n\r\n")
    assert client.take_sent() == b""
    assert client.is_closed
    assert scene.reasons() == {"bad_response_framing": 1}


def test_trailers_of_a_response_whose_connection_names_a_field_are_left_out(stage: Stage) -> None:
    scene = stage()
    client = scene.client(GET)
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n"
    scene.send(scene.endpoint(), head + b"Connection: X-Sum\r\n\r\n2\r\nok\r\n0\r\nX-Sum: 1\r\n\r\n")
    assert client.take_sent() == head + b"\r\n2\r\nok\r\n0\r\n\r\n"


def test_of_a_body_that_is_too_large_no_end_goes_on(stage: Stage) -> None:
    """The endpoint would act on a request that the client is told was refused."""
    scene = stage(route={"max_body_bytes": 10})
    client = scene.client(CHUNKED)
    endpoint = scene.endpoint()
    assert endpoint.take_sent() == CHUNKED
    scene.send(client, b"b\r\nhello world\r\n0\r\n\r\n")
    assert client.take_sent().startswith(b"HTTP/1.1 413 ")
    assert endpoint.is_closed
    assert endpoint.take_sent() == b""
    assert scene.reasons() == {"body_too_large": 1}


def test_half_a_chunk_header_holds_no_large_buffer(stage: Stage) -> None:
    scene = stage()
    client = scene.client(CHUNKED)
    scene.send(client, b"2\r\nab\r\n5;a")
    assert scene.plane.ledger()["buffer_bytes"] <= 16384
    scene.send(client, b"\r\nhello\r\n0\r\n\r\n")
    assert scene.endpoint().take_sent() == CHUNKED + b"2\r\nab\r\n5\r\nhello\r\n0\r\n\r\n"
    scene.send(scene.endpoint(), OK)
    assert client.take_sent() == OK


def test_a_body_that_was_sent_holds_no_large_buffer_until_the_response(stage: Stage) -> None:
    scene = stage(retry={"max_replay_body_bytes": 0})
    client = scene.client(b"POST /a HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nab")
    scene.send(client, b"cde" + GET)
    assert scene.endpoint().take_sent().endswith(b"abcde")
    assert scene.plane.ledger()["buffer_bytes"] == 4096, "that of its head"
    scene.send(client, b"")
    scene.send(scene.endpoint(), OK)
    scene.send(scene.endpoint(), OK)
    assert client.take_sent() == OK + OK


def test_what_stands_behind_a_chunked_body_holds_a_small_one(stage: Stage) -> None:
    scene = stage()
    client = scene.client(b"POST /a HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n")
    scene.send(client, b"2\r\nab\r\n0\r\n\r\n" + GET)
    assert scene.endpoint().take_sent().endswith(b"2\r\nab\r\n0\r\n\r\n")
    assert scene.plane.ledger()["buffer_bytes"] == 8192
    scene.send(scene.endpoint(), OK)
    scene.send(scene.endpoint(), OK)
    assert client.take_sent() == OK + OK
