"""Requests and responses as hooks see them."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Callable
from typing import Any

import pytest

import weir
from tests.plane.scene import GET, OK, Scene
from tests.plane.test_meeting import in_loop, turns


def seen(look: Callable[[weir.Request], object], data: bytes = GET, **options: Any) -> object:
    """What `look` says of a request, in a hook of phase "request"."""
    found: list[object] = []

    @weir.hook("request")
    def meet(request: weir.Request) -> None:
        found.append(look(request))

    scene = Scene(hooks=[meet], **options)
    client = scene.client(data, host="198.51.100.7")
    scene.send(scene.endpoint(), OK)
    assert client.take_sent().endswith(b"ok")
    scene.close()
    (answer,) = found
    return answer


def test_what_a_request_says_of_itself() -> None:
    data = b"PUT http://x.example:81/a%20b?c=d?e HTTP/1.1\r\nHost: x.example:81\r\nContent-Length: 0\r\n\r\n"

    def look(request: weir.Request) -> object:
        return (
            *(request.method, request.target, request.path, request.query, request.host, request.scheme),
            *(request.version, request.client, request.route, request.cluster, request.endpoint, request.status),
            *(request.reason, request.id, request.bytes_received, request.bytes_sent, request.response),
        )

    assert seen(look, data) == (
        *("PUT", "/a%20b?c=d?e", "/a%20b", "c=d?e", "x.example:81", "http"),
        *("1.1", "198.51.100.7", "main", "app", "", 0),
        *("", "", 0, 0, None),
    )


def test_headers_are_read_in_any_case_in_order_and_joined() -> None:
    data = b"GET /a HTTP/1.1\r\nHost: h\r\nX-A: 1\r\nX-B: caf\xe9\r\nx-a:  2\r\nCookie: a=b\r\n\r\n"

    def look(request: weir.Request) -> object:
        headers = request.headers
        with pytest.raises(KeyError):
            headers["x-none"]
        return (
            *(headers["X-a"], headers.get("x-none"), headers.get("x-none", "d"), headers.get_all("x-A")),
            *(headers.items(), list(headers), len(headers), "COOKIE" in headers, "x-none" in headers),
        )

    assert seen(look, data) == (
        *("1, 2", None, "d", ["1", "2"]),
        [("Host", "h"), ("X-A", "1"), ("X-B", "café"), ("x-a", "2"), ("Cookie", "a=b")],
        *(["host", "x-a", "x-b", "cookie"], 4, True, False),
    )


def test_what_was_changed_is_what_is_read() -> None:
    def look(request: weir.Request) -> object:
        request.headers["X-A"] = "2"
        request.headers.add("x-a", "3")
        request.path = "/other"
        request.host = "elsewhere"
        del request.headers["Cookie"]
        with pytest.raises(KeyError):
            del request.headers["Cookie"]
        request.state["kept"] = 1
        return request.headers.items(), request.target, request.host, request.state

    assert seen(look, b"GET /a?q HTTP/1.1\r\nHost: h\r\nX-A: 1\r\nCookie: a\r\n\r\n") == (
        *([("Host", "h"), ("X-A", "2"), ("x-a", "3")], "/other?q", "elsewhere"),
        {"kept": 1},
    )


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda r: r.headers.__setitem__("X A", "1"), "not the name of a field"),
        (lambda r: r.headers.add("", "1"), "not the name of a field"),
        (lambda r: r.headers.add("X-A", "1\r\nX-B: 2"), "not the value of a field"),
        (lambda r: r.headers.add("X-A", "1\n"), "not the value of a field"),
        (lambda r: r.headers.add("X-A", "\x00"), "not the value of a field"),
        (lambda r: r.headers.add("X-A", " 1"), "not the value of a field"),
        (lambda r: r.headers.add("X-A", "€"), "characters up to U"),
        (lambda r: r.headers.add("Content-Length", "1"), "only weir writes"),
        (lambda r: r.headers.add("transfer-encoding", "chunked"), "only weir writes"),
        (lambda r: r.headers.remove("Connection"), "only weir writes"),
        (lambda r: r.headers.add("X-Forwarded-For", "1"), "only weir writes"),
        (lambda r: r.headers.__setitem__("Host", "x"), "request.host"),
        (lambda r: setattr(r, "host", "a b"), "not a host"),
        (lambda r: setattr(r, "host", "a\r\nX: y"), "not a host"),
        (lambda r: setattr(r, "target", "a"), "not a path"),
        (lambda r: setattr(r, "target", "/a b"), "not a path"),
        (lambda r: setattr(r, "target", "/a\r\n"), "not a path"),
        (lambda r: setattr(r, "target", "/ä"), "not a path"),
        (lambda r: setattr(r, "target", "/" + "a" * 9000), "8192"),
        (lambda r: setattr(r, "path", "/a?b"), "has a query"),
        (lambda r: setattr(r, "cluster", "nowhere"), "no cluster 'nowhere'"),
        (lambda r: setattr(r, "series", ""), "cannot be a series"),
        (lambda r: setattr(r, "series", "a" * 9000), "cannot be a series"),
        (lambda r: setattr(r, "series", "(other)"), "cannot be a series"),
        (lambda r: setattr(r, "series", "a\nb"), "cannot be a series"),
    ],
)
def test_what_cannot_be_is_refused_and_changes_nothing(change: Callable[[weir.Request], object], said: str) -> None:
    def look(request: weir.Request) -> object:
        before = request.headers.items(), request.target, request.host
        with pytest.raises(ValueError, match=said):
            change(request)
        return before == (request.headers.items(), request.target, request.host)

    assert seen(look) is True


def test_a_request_is_counted_under_the_series_that_it_is_given() -> None:
    late: list[weir.Request] = []

    @weir.hook("request")
    def name(request: weir.Request) -> None:
        assert request.series == request.path
        request.series = "query First"
        request.series = request.headers["X-Operation"]
        assert request.series == request.headers["X-Operation"]

    @weir.hook("request", path="/own")
    def answer(request: weir.Request) -> weir.Answer:
        return weir.Answer(204)

    @weir.hook("response")
    def respond(response: weir.Response) -> None:
        late.append(response.request)
        with pytest.raises(RuntimeError, match="has gone on"):
            response.request.series = "late"

    @weir.hook("log")
    def log(request: weir.Request) -> None:
        late.append(request)
        with pytest.raises(RuntimeError, match="has gone on"):
            request.series = "late"

    scene = Scene(hooks=[name, answer, respond, log], stats={"rows": 8, "header": "X-Bytes"})
    client = scene.client(b"GET /a HTTP/1.1\r\nHost: h\r\nX-Operation: query GetUser\r\n\r\n")
    scene.send(scene.endpoint(), OK)
    assert b"X-Bytes: 2\r\n" in client.take_sent()
    scene.send(client, b"GET /own HTTP/1.1\r\nHost: h\r\nX-Operation: query GetUser\r\n\r\n")
    assert scene.counters("query GetUser")["requests"] == 2
    assert scene.counters("/a")["requests"] == scene.counters("query First")["requests"] == 0
    assert len(late) == 3
    # As paths: the table is bounded, and what finds no room is counted together.
    for number in range(10):
        scene.send(client, f"GET /own HTTP/1.1\r\nHost: h\r\nX-Operation: {number}\r\n\r\n".encode())
    assert scene.counters("(other)")["requests"] > 0
    assert scene.counters("late") == {}
    scene.close()


def test_its_series_is_the_template_that_it_would_be_counted_under() -> None:
    assert seen(lambda request: request.series, b"GET /users/17?a HTTP/1.1\r\nHost: h\r\n\r\n") == "/users/{id}"
    exact = {"stats": {"paths": "exact"}}
    assert seen(lambda request: request.series, b"GET /users/17?a HTTP/1.1\r\nHost: h\r\n\r\n", **exact) == "/users/17"


def test_a_post_that_a_hook_calls_idempotent_is_tried_again() -> None:
    post = b"POST %s HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\nhi"

    @weir.hook("request", path="/again")
    def again(request: weir.Request) -> None:
        assert not request.idempotent
        request.idempotent = True
        assert request.idempotent

    scene = Scene(endpoints=2, hooks=[again])
    client = scene.client(post % b"/once")
    scene.end(scene.endpoint())
    assert client.take_sent().startswith(b"HTTP/1.1 502")
    scene.send(client, post % b"/again")
    scene.end(scene.endpoint())
    scene.wait_ms(50)
    assert b"hi" in scene.endpoint().take_sent()
    scene.send(scene.endpoint(), OK)
    assert client.take_sent() == OK
    scene.close()


def test_another_head_parsed_meanwhile_does_not_confuse_it() -> None:
    kept: list[weir.Request] = []

    @weir.hook("request", path="/a")
    def keep(request: weir.Request) -> None:
        kept.append(request)

    scene = Scene(hooks=[keep])
    scene.client(b"GET /a HTTP/1.1\r\nHost: first\r\n\r\n")
    scene.client(b"GET /b HTTP/1.1\r\nHost: second\r\nX-More: 1\r\n\r\n")
    assert kept[0].host == "first"
    assert kept[0].headers.items() == [("Host", "first")]
    with pytest.raises(RuntimeError, match="the request has gone on"):
        kept[0].headers["X-A"] = "1"
    scene.close()


def test_nothing_outlives_the_exchange() -> None:
    kept: list[Any] = []

    @weir.hook("response")
    def keep(response: weir.Response) -> None:
        kept.extend([response, response.request, response.headers, response.request.headers])

    scene = Scene(hooks=[keep])
    client = scene.client(GET)
    scene.send(scene.endpoint(), b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nok")
    response, request, headers, asked = kept
    with pytest.raises(RuntimeError, match="the response's head has gone on"):
        response.headers["X-A"] = "1"
    with pytest.raises(RuntimeError, match="the response's head has gone on"):
        _ = response.headers["Content-Length"]
    assert response.status == 200, "what the client was told"
    assert request.response is response
    scene.send(scene.endpoint(), b"ok")
    assert client.take_sent().endswith(b"okok")
    uses: tuple[Callable[[], object], ...] = (
        *(lambda: response.status, lambda: request.method, lambda: request.state, lambda: headers["a"]),
        *(lambda: asked["a"], lambda: asked.items(), lambda: request.duration, lambda: asked.add("a", "b")),
    )
    for use in uses:
        with pytest.raises(RuntimeError, match="the exchange is over"):
            use()
    assert "over" in repr(request)
    assert "over" in repr(response)
    scene.close()


@pytest.mark.parametrize("status", [100, 199, 204, 205, 304, 600, 0])
def test_a_status_that_changes_the_framing_is_refused(status: int) -> None:
    told: list[str] = []

    @weir.hook("response")
    def change(response: weir.Response) -> None:
        with pytest.raises(ValueError, match="both have to be statuses with a body") as error:
            response.status = status
        told.append(str(error.value))

    scene = Scene(hooks=[change])
    client = scene.client(GET)
    scene.send(scene.endpoint(), OK)
    assert client.take_sent() == OK
    assert told
    scene.close()


def test_answers() -> None:
    answer = weir.Answer(418, "tea", {"X-A": "1"})
    assert (answer.status, answer.body, answer.headers) == (418, b"tea", [("X-A", "1")])
    assert repr(answer) == "Answer(418, b'tea', [('X-A', '1')])"
    assert weir.Answer(204).body == b""


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ((100,), "200 to 599"),
        ((204, b"x"), "has no body"),
        ((200, b"", {"Content-Length": "1"}), "only weir writes"),
        ((200, b"", {"a b": "1"}), "not the name"),
        ((200, b"", [("a", "b\n")]), "not the value"),
        ((200, b"", [("a", "b" * 70_000)]), "more than 65536 bytes of fields"),
        ((200, bytes((16 << 20) + 1)), "16777216 at most"),
    ],
)
def test_answers_that_cannot_be(given: tuple[Any, ...], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        weir.Answer(*given)


@pytest.mark.parametrize("awaited", [False, True])
def test_a_request_that_met_python_is_no_garbage(awaited: bool) -> None:
    """Nothing of it waits for the collector: all of it goes when the exchange does."""

    def touch(message: weir.Request | weir.Response) -> None:
        message.headers["X-A"] = message.headers.get("Host", "b")
        assert repr(message)

    async def touch_later(message: weir.Request | weir.Response) -> None:
        await asyncio.sleep(0)
        touch(message)

    hooks = [weir.hook(phase)(touch_later if awaited else touch) for phase in ("request", "response")]

    @weir.hook("log")
    def log(request: weir.Request) -> None:
        assert request.response is not None
        assert request.response.request is request
        request.state["seen"] = request.headers

    async def play() -> None:
        scene = Scene(hooks=[*hooks, log])
        client = scene.client()

        async def ask() -> None:
            client.feed(GET)
            await turns(scene)
            scene.endpoint().feed(OK)
            await turns(scene)
            assert client.take_sent().startswith(b"HTTP/1.1 200 OK")

        await ask()
        gc.collect()
        gc.disable()
        try:
            for _ in range(20):
                await ask()
            assert gc.collect() == 0
        finally:
            gc.enable()
        scene.close()

    in_loop(play)


def wants(name: str) -> Any:
    """A hook that sends requests to the endpoint of that name."""

    @weir.hook("request")
    def choose(request: weir.Request) -> None:
        assert request.endpoint == ""
        request.endpoint = name

    return choose


def test_the_endpoint_that_a_hook_names_is_asked() -> None:
    asked: list[str] = []

    @weir.hook("upstream")
    def note(request: weir.Request) -> None:
        asked.append(request.endpoint)

    scene = Scene(endpoints=5, hooks=[wants("192.0.2.4:80"), note])
    client = scene.client()
    for _ in range(12):
        scene.send(client, GET)
        scene.send(scene.endpoint(), OK)
        assert client.take_sent() == OK
    assert asked == ["192.0.2.4:80"] * 12
    assert scene.dials == 1
    scene.close()


def test_who_fails_is_not_waited_for_though_a_hook_names_it() -> None:
    scene = Scene(endpoints=2, hooks=[wants("192.0.2.2:80")])
    client = scene.client(GET)
    scene.reset(scene.endpoint())
    scene.wait_ms(50)
    scene.send(scene.endpoint(), OK)
    assert client.take_sent() == OK
    scene.close()


@pytest.mark.parametrize("name", ["192.0.2.9:80", "", "192.0.2.1"])
def test_an_endpoint_that_there_is_not_cannot_be_named(name: str) -> None:
    said: list[str] = []

    @weir.hook("request")
    def choose(request: weir.Request) -> None:
        with pytest.raises(ValueError, match="has no endpoint") as caught:
            request.endpoint = name
        said.append(str(caught.value))

    @weir.hook("upstream")
    def late(request: weir.Request) -> None:
        with pytest.raises(RuntimeError, match="has gone on"):
            request.endpoint = "192.0.2.1:80"
        said.append(request.endpoint)

    scene = Scene(hooks=[choose, late])
    client = scene.client(GET)
    scene.send(scene.endpoint(), OK)
    assert client.take_sent() == OK
    assert said == [f"cluster 'app' has no endpoint '{name}'", "192.0.2.1:80"]
    scene.close()


def test_what_a_hook_says_of_ids_and_times_is_said_once() -> None:
    @weir.hook("request")
    def asks(request: weir.Request) -> None:
        request.headers["X-Request-ID"] = "mine"
        request.headers["traceparent"] = "00-" + "a" * 32 + "-" + "b" * 16 + "-01"

    @weir.hook("response")
    def answers(response: weir.Response) -> None:
        response.headers["X-Request-Id"] = "its"
        response.headers["Server-Timing"] = "db;dur=1"

    listener = {"request_id": "keep", "trace": "join", "server_timing": True}
    scene = Scene(hooks=[asks, answers], listener=listener)
    client = scene.client(GET.replace(b"\r\n\r\n", b"\r\nX-Request-Id: theirs\r\n\r\n"))
    asked = scene.endpoint().take_sent().lower()
    assert asked.count(b"x-request-id:") == asked.count(b"x-request-id: mine\r\n") == 1
    assert asked.count(b"traceparent:") == asked.count(b"traceparent: 00-aaaa") == 1
    scene.send(scene.endpoint(), OK)
    answered = client.take_sent().lower()
    assert answered.count(b"x-request-id:") == answered.count(b"x-request-id: its\r\n") == 1
    assert answered.count(b"server-timing:") == answered.count(b"server-timing: db;dur=1\r\n") == 1
    scene.close()


def twice(first: Callable[[weir.Request | weir.Response], object], phase: str = "response") -> list[list[object]]:
    """What is kept of two requests that a client sends one after the other, and of their responses."""
    kept: list[object] = []
    places: list[object] = []

    @weir.hook(phase)  # type: ignore[arg-type]
    def meet(message: Any) -> None:
        request = asked(message)
        assert request.target == ("/one", "/two")[len(places)]
        assert request.state == {}, "another exchange's"
        assert request.series == ("/one", "/two")[len(places)]
        request.state["n"] = len(places)
        message.headers[f"X-{len(places)}"] = "y"
        places.append(id(request))
        kept.append(first(message))

    scene = Scene(hooks=[meet])
    client = scene.client()
    for number in range(2):
        client.feed(b"GET %s HTTP/1.1\r\nHost: h\r\n\r\n" % (b"/one", b"/two")[number])
        scene.turn()
        endpoint = scene.endpoint()
        scene.send(endpoint, OK)
        sent = client.take_sent() if phase == "response" else endpoint.take_sent()
        assert (b"X-0: y" in sent, b"X-1: y" in sent) == (number == 0, number == 1)
    scene.close()
    return [kept, places]


@pytest.mark.parametrize("phase", ["request", "upstream", "response"])
def test_what_nobody_kept_serves_the_next_exchange(phase: str) -> None:
    _, places = twice(lambda message: None, phase)
    assert places[0] == places[1]


def asked(message: Any) -> Any:
    return message if isinstance(message, weir.Request) else message.request


@pytest.mark.parametrize("phase", ["request", "response"])
@pytest.mark.parametrize(
    "keep",
    [
        lambda message: message,
        lambda message: message.headers,
        lambda message: asked(message),
        lambda message: asked(message).headers,
        lambda message: message.headers.get,
    ],
    ids=["message", "headers", "request", "its headers", "method"],
)
def test_what_somebody_has_kept_stays_over(keep: Callable[[Any], object], phase: str) -> None:
    (first, _), places = twice(keep, phase)
    assert places[0] != places[1]
    with pytest.raises(RuntimeError, match="over"):
        touch_kept(first)


def touch_kept(kept: Any) -> None:
    if isinstance(kept, weir.Headers):
        kept.items()
    elif callable(kept):
        kept("x")
    else:
        kept.headers.items()
