"""Pipelined requests are answered in order, whatever their methods and sizes."""

from __future__ import annotations

import contextlib
import selectors
import time
from collections.abc import Iterator

import pytest

from .peers import chunked, ok
from .rig import Rig
from .wire import Message, Wire

CLIENTS, REQUESTS = 100, 50


def request_and_body(client: int, n: int) -> tuple[str, bytes, bytes]:
    """The n-th request of a client: its method, its bytes, and the body that the answer must have."""
    target = f"/c{client}/n{n}"
    size = (0, 10, 700, 5000)[(client + n) % 4]
    payload = f"{target};".encode() * (size // 8)
    head = f"HTTP/1.1\r\nHost: test\r\nX-Number: {n}\r\n"
    if n % 5 == 3:
        return "POST", f"POST {target} {head}Content-Length: {len(payload)}\r\n\r\n".encode() + payload, payload
    if n % 5 == 4:
        framed = chunked(payload) if payload else chunked()
        return "POST", f"POST {target} {head}Transfer-Encoding: chunked\r\n\r\n".encode() + framed, payload
    if n % 7 == 6:
        return "HEAD", f"HEAD {target} {head}\r\n".encode(), b""
    return "GET", f"GET {target} {head}\r\n".encode(), target.encode()


def answer(request: Message) -> bytes:
    """The body back, or the target; every third without a length, in chunks."""
    number = int(request.head.get("X-Number") or -1)
    body = request.body if request.head.method == "POST" else request.head.target.encode()
    tag = f"X-Target: {request.head.target}"
    if request.head.method == "HEAD" or number % 3:
        reply = ok(body, tag)
        return reply.removesuffix(body) if request.head.method == "HEAD" and body else reply
    framed = chunked(body) if body else chunked()
    return f"HTTP/1.1 200 OK\r\n{tag}\r\nTransfer-Encoding: chunked\r\n\r\n".encode() + framed


@pytest.mark.timeout(60)
def test_a_hundred_clients_with_fifty_requests_each(plain: Rig) -> None:
    plain.endpoint.respond(answer)
    clients = [plain.connect(timeout=30) for _ in range(CLIENTS)]
    pending = {n: b"".join(request_and_body(n, k)[1] for k in range(REQUESTS)) for n in range(CLIENTS)}
    # All is sent before anything is read, except where weir rightly stops reading: then reading goes first.
    with selectors.DefaultSelector() as selector:
        for n, client in enumerate(clients):
            selector.register(client.sock, selectors.EVENT_READ | selectors.EVENT_WRITE, n)
        deadline = time.monotonic() + 30
        while pending:
            assert time.monotonic() < deadline
            for key, events in selector.select(1):
                _move(clients[key.data], key.data, events, pending, selector)
    for n, client in enumerate(clients):
        for k, (method, body, response) in enumerate(_responses(n, client)):
            assert response.head.get("X-Target") == f"/c{n}/n{k}"
            assert response.body == body, (n, k, method)
    assert len(plain.endpoint.requests) == CLIENTS * REQUESTS
    assert len(set(plain.endpoint.targets())) == CLIENTS * REQUESTS


def _move(client: Wire, n: int, events: int, pending: dict[int, bytes], selector: selectors.BaseSelector) -> None:
    if events & selectors.EVENT_READ:
        assert client.fill(), f"client {n} was closed"
    if events & selectors.EVENT_WRITE and n in pending:
        client.sock.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            pending[n] = pending[n][client.sock.send(pending[n]) :]
        client.sock.settimeout(30)
        if not pending[n]:
            del pending[n]
            selector.modify(client.sock, selectors.EVENT_READ, n)


def _responses(n: int, client: Wire) -> Iterator[tuple[str, bytes, Message]]:
    for k in range(REQUESTS):
        method, _, body = request_and_body(n, k)
        yield method, body, client.response(method)


@pytest.mark.timeout(15)
def test_a_slow_first_answer_holds_back_the_later_ones(plain: Rig) -> None:
    plain.endpoint.respond(
        lambda request: [0.2 if request.head.target == "/slow" else 0.0, ok(request.head.target.encode())]
    )
    client = plain.connect()
    client.send(b"".join(b"GET %s HTTP/1.1\r\nHost: test\r\n\r\n" % target for target in (b"/slow", b"/b", b"/c")))
    assert [client.response().body for _ in range(3)] == [b"/slow", b"/b", b"/c"]


@pytest.mark.timeout(15)
def test_requests_split_anywhere(plain: Rig) -> None:
    requests = b"".join(request_and_body(1, k)[1] for k in range(12))
    for size in (1, 7, 61, 997):
        client = plain.connect()
        plain.endpoint.respond(answer)
        for at in range(0, len(requests), size):
            client.send(requests[at : at + size])
            if size == 1 and at > 1500:
                client.send(requests[at + 1 :])
                break
        for k in range(12):
            method, _, body = request_and_body(1, k)
            assert client.response(method).body == body, (size, k)


@pytest.mark.timeout(15)
def test_close_in_the_middle_of_a_pipeline(plain: Rig) -> None:
    client = plain.connect()
    client.send(
        b"GET /one HTTP/1.1\r\nHost: test\r\n\r\n"
        b"GET /two HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n"
        b"GET /three HTTP/1.1\r\nHost: test\r\n\r\n"
    )
    assert client.response().status == 200
    assert client.response().status == 200
    assert client.ended()
    assert plain.endpoint.targets() == ["/one", "/two"]


@pytest.mark.timeout(15)
def test_a_bad_request_in_a_pipeline_is_answered_in_its_turn(plain: Rig) -> None:
    plain.endpoint.reply(0.1, ok(b"good"))
    client = plain.connect()
    client.send(b"GET /good HTTP/1.1\r\nHost: test\r\n\r\nBROKEN\r\n\r\nGET /after HTTP/1.1\r\nHost: test\r\n\r\n")
    assert client.response().body == b"good"
    assert client.response().status == 400
    assert client.ended()
    assert plain.endpoint.targets() == ["/good"]


@pytest.mark.timeout(15)
def test_a_client_that_half_closes_after_its_requests_gets_every_answer(plain: Rig) -> None:
    plain.endpoint.reply(0.05, ok(b"answer"))
    client = plain.connect()
    client.send(b"GET / HTTP/1.1\r\nHost: test\r\n\r\n" * 4)
    client.half_close()
    assert [client.response().body for _ in range(4)] == [b"answer"] * 4
    assert client.ended()
