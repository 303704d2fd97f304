"""Edits as they come out of a composed head: on fake streams."""

from __future__ import annotations

import pytest

import weir
from tests.plane.scene import GET, OK, Scene


def test_what_is_set_replaces_every_line_whatever_its_case_and_keeps_the_others_in_order() -> None:
    @weir.hook("request")
    def edit(request: weir.Request) -> None:
        request.headers["X-B"] = "new"
        request.headers.add("X-D", "one")
        request.headers.add("X-D", "two")
        del request.headers["X-A"]

    scene = Scene(hooks=[edit])
    client = scene.client(b"GET /a HTTP/1.1\r\nHost: h\r\nx-a: 1\r\nX-C: 3\r\nx-b: 2\r\nX-B: 4\r\nX-A: 5\r\n\r\n")
    sent = scene.endpoint().take_sent()
    assert sent == b"GET /a HTTP/1.1\r\nHost: h\r\nX-C: 3\r\nX-B: new\r\nX-D: one\r\nX-D: two\r\n\r\n"
    scene.send(scene.endpoint(), OK)
    assert client.take_sent() == OK
    scene.close()


def test_the_same_edits_are_in_every_attempt() -> None:
    @weir.hook("request")
    def edit(request: weir.Request) -> None:
        request.headers["X-B"] = "new"
        request.target = "/b?c"
        request.host = "other:81"

    scene = Scene(endpoints=2, hooks=[edit])
    client = scene.client(GET)
    wanted = b"GET /b?c HTTP/1.1\r\nHost: other:81\r\nX-B: new\r\n\r\n"
    assert scene.endpoint().take_sent() == wanted
    scene.reset(scene.endpoint())
    scene.wait_ms(500)
    assert scene.dials == 2
    assert scene.endpoint().take_sent() == wanted
    scene.send(scene.endpoint(), OK)
    assert client.take_sent() == OK
    scene.close()


def test_more_than_a_head_may_have_is_refused() -> None:
    told: list[str] = []

    @weir.hook("request")
    def edit(request: weir.Request) -> None:
        for number in range(32):
            request.headers[f"X-{number}"] = "a" * 1000
        with pytest.raises(ValueError, match="more than 32768 bytes") as error:
            request.headers["X-Last"] = "a" * 1000
        told.append(str(error.value))

    scene = Scene(hooks=[edit])
    scene.client(GET)
    sent = scene.endpoint().take_sent()
    assert told
    assert 32_000 < len(sent) < 33_000
    scene.close()


def test_a_response_is_edited_with_its_status() -> None:
    @weir.hook("response")
    def edit(response: weir.Response) -> None:
        response.status = 418
        response.headers["Server"] = "weir"
        response.headers.remove("X-Gone")

    scene = Scene(hooks=[edit])
    client = scene.client(GET)
    scene.send(scene.endpoint(), b"HTTP/1.1 200 Fine\r\nX-Gone: 1\r\nServer: a\r\nContent-Length: 2\r\n\r\nok")
    assert client.take_sent() == b"HTTP/1.1 418 I'm a Teapot\r\nContent-Length: 2\r\nServer: weir\r\n\r\nok"
    assert scene.counters()["status_4xx"] == 1
    scene.close()


def test_a_response_without_a_length_is_edited_and_chunked() -> None:
    @weir.hook("response")
    def edit(response: weir.Response) -> None:
        response.headers["X-Long"] = "v" * 20_000

    scene = Scene(hooks=[edit])
    client = scene.client(GET)
    scene.endpoint().feed(b"HTTP/1.1 200 OK\r\n\r\nab")
    scene.end(scene.endpoint())
    sent = client.take_sent()
    head, _, body = sent.partition(b"\r\n\r\n")
    assert head == b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nX-Long: " + b"v" * 20_000
    assert body == b"2\r\nab\r\n0\r\n\r\n"
    scene.close()


def test_each_attempt_begins_with_the_fields_as_they_were() -> None:
    @weir.hook("request")
    def once(request: weir.Request) -> None:
        request.headers.add("X-Once", "1")

    @weir.hook("upstream")
    def each(request: weir.Request) -> None:
        request.headers.add("X-Try", request.endpoint)

    @weir.hook("request_body")
    def passes(piece: bytes, _request: weir.Request) -> bytes:
        return piece

    scene = Scene(hooks=[once, each, passes], endpoints=2, retry={"backoff_ms": 0})
    scene.dialer.mode = "wait"
    client = scene.client(b"PUT /a HTTP/1.1\r\nHost: h\r\nDigest: of=it\r\nTransfer-Encoding: chunked\r\n\r\n")
    for number in range(2):
        if number == 0:
            scene.endpoint(0).room = 0  # not one byte of it is taken
        scene.endpoint(number).connect()
        scene.turn()
        if number == 0:
            scene.reset(scene.endpoint(0))
    sent = scene.endpoint(1).take_sent()
    assert sent.count(b"X-Once: 1\r\n") == 1
    assert sent.count(b"X-Try: ") == 1
    assert b"X-Try: 192.0.2.2:80\r\n" in sent or b"X-Try: 192.0.2.1:80\r\n" in sent
    assert b"Digest" not in sent, "what a changed body says of its head holds for all attempts"
    scene.reset(client)
    scene.close()


def test_the_next_request_has_fields_of_its_own() -> None:
    @weir.hook("request")
    def once(request: weir.Request) -> None:
        request.headers.add("X-Path", request.path)

    @weir.hook("upstream")
    def each(request: weir.Request) -> None:
        request.headers.add("X-Try", "1")

    scene = Scene(hooks=[once, each])
    client = scene.client(GET)
    for path in (b"/a", b"/b", b"/c"):
        sent = scene.endpoint().take_sent()
        assert sent == b"GET %s HTTP/1.1\r\nHost: h\r\nX-Path: %s\r\nX-Try: 1\r\n\r\n" % (path, path)
        scene.send(scene.endpoint(), OK)
        scene.send(client, GET.replace(b"/a", b"/" + bytes([path[1] + 1])))
    scene.close()
