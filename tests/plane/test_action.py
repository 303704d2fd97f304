"""What routes do beside sending requests on: answers, redirects, fields, with what is known of a request in them."""

from __future__ import annotations

from typing import Any

import pytest

import weir
from tests.plane.scene import GET, OK, Scene
from weir.config.action_plan import ActionPlan, Phrase

A = b"GET /a/b?c=d HTTP/1.1\r\nHost: h.example:8080\r\n\r\n"
ALL = ("client", "host", "path", "query", "target", "method", "scheme", "request_id", "route", "cluster", "listener")


def text(what: str) -> Phrase:
    return (("text", what),)


def acting(listener: dict[str, Any] | None = None, hooks: Any = (), **action: Any) -> Scene:
    """A scene whose route has an action."""
    route: dict[str, Any] = {"action": ActionPlan(**action)}
    if "status" in action:
        route["cluster"] = -1
    return Scene(route=route, listener=listener, hooks=hooks)


def forwarded(request: bytes, response: bytes = OK, **options: Any) -> tuple[bytes, bytes]:
    """What the endpoint and what the client gets."""
    scene = acting(**options)
    client = scene.client(request)
    sent = scene.endpoint().take_sent()
    scene.send(scene.endpoint(), response)
    answer = client.take_sent()
    scene.close()
    return sent, answer


def answered(request: bytes, **options: Any) -> bytes:
    """What the client gets, and nobody else."""
    scene = acting(**options)
    client = scene.client(request)
    answer = client.take_sent()
    assert scene.dials == 0
    scene.close()
    return answer


def test_request_fields_are_set_added_and_removed_on_the_wire() -> None:
    sent, answer = forwarded(
        b"GET / HTTP/1.1\r\nHost: h\r\nx-SET: evil\r\nX-Gone: 1\r\nX-Add: 1\r\nX-Set: again\r\n\r\n",
        request_drops=("X-Set", "X-Gone"),
        request_lines=(("X-Set", text("1")), ("X-Add", text("2"))),
    )
    assert sent == b"GET / HTTP/1.1\r\nHost: h\r\nX-Add: 1\r\nX-Set: 1\r\nX-Add: 2\r\n\r\n"
    assert answer == OK


def test_other_spellings_of_the_same_to_cgi_are_removed_too() -> None:
    sent, _ = forwarded(
        b"GET / HTTP/1.1\r\nHost: h\r\nX_client: evil\r\nx-Real_id: evil\r\nX_Clients: 1\r\n\r\n",
        request_drops=("X-Client", "X-Real-Id"),
        request_lines=(("X-Client", text("1")),),
    )
    assert sent == b"GET / HTTP/1.1\r\nHost: h\r\nX_Clients: 1\r\nX-Client: 1\r\n\r\n"


def test_response_fields_likewise() -> None:
    sent, answer = forwarded(
        GET,
        b"HTTP/1.1 200 OK\r\nServer: secret\r\nX-a: 1\r\nContent-Length: 2\r\n\r\nok",
        response_drops=("server", "X-A"),
        response_lines=(("X-A", text("2")), ("X-End", (("endpoint", ""),))),
    )
    assert sent == GET
    assert answer == b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX-A: 2\r\nX-End: 192.0.2.1:80\r\n\r\nok"


def test_all_that_is_known_of_a_request() -> None:
    lines = tuple((f"X-{name}", ((name, ""),)) for name in ALL)
    sent, _ = forwarded(A, listener={"request_id": "replace"}, request_lines=lines)
    said = dict(line.split(b": ", 1) for line in sent.split(b"\r\n")[2:-2])
    identity = said.pop(b"X-Request-Id")
    assert said == {
        b"X-client": b"unix:",
        b"X-host": b"h.example",
        b"X-path": b"/a/b",
        b"X-query": b"c=d",
        b"X-target": b"/a/b?c=d",
        b"X-method": b"GET",
        b"X-scheme": b"http",
        b"X-request_id": identity,
        b"X-route": b"main",
        b"X-cluster": b"app",
        b"X-listener": b"main",
    }


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (b"GET http://other/x HTTP/1.1\r\nHost: other", b"other /x /x "),
        (b"GET http://other:81?q HTTP/1.0", b"other / /?q q"),
        (b"GET /x? HTTP/1.1\r\nHost: [::1]:80", b"[::1] /x /x? "),
        (b"OPTIONS * HTTP/1.1\r\nHost: h", b"h / / "),
    ],
)
def test_forms_of_targets(line: bytes, said: bytes) -> None:
    phrase = (("host", ""), ("text", " "), ("path", ""), ("text", " "), ("target", ""), ("text", " "), ("query", ""))
    sent, _ = forwarded(line + b"\r\n\r\n", request_lines=(("X-Said", phrase),))
    assert b"\r\nX-Said: " + said.rstrip() + b"\r\n" in sent


def test_fields_cookies_and_parameters_and_what_says_nothing() -> None:
    lines: tuple[tuple[str, Phrase], ...] = (
        ("X-Field", (("field", "Accept"),)),
        ("X-Cookie", (("text", "id="), ("cookie", "id"))),
        ("X-Parameter", (("segment", 1),)),
        ("X-Nothing", (("cookie", "none"), ("field", "None"), ("segment", 7))),
        ("X-Text", (("text", "a "), ("cookie", "none"))),
    )
    request = (
        b"GET /u/%41/../b%20c HTTP/1.1\r\nHost: h\r\nAccept: a\r\nCookie: x=1; id=7\r\nACCEPT: b\r\n"
        b"X-Nothing: evil\r\n\r\n"
    )
    sent, _ = forwarded(request, request_lines=lines, request_drops=("X-Nothing",))
    assert sent.endswith(b"X-Field: a, b\r\nX-Cookie: id=7\r\nX-Parameter: b%20c\r\nX-Text: a\r\n\r\n")
    assert b"X-Nothing" not in sent


def test_the_host_that_endpoints_are_told() -> None:
    sent, _ = forwarded(GET, host="inner:8080")
    assert sent == GET.replace(b"Host: h", b"Host: inner:8080")


def test_lines_that_do_not_fit_are_no_request() -> None:
    lines = (("X-Long", tuple([("target", "")] * 12)),)
    scene = acting(request_lines=lines)
    client = scene.client(b"GET /%s HTTP/1.1\r\nHost: h\r\n\r\n" % (b"a" * 4000))
    assert client.take_sent().startswith(b"HTTP/1.1 500 ")
    assert scene.reasons() == {"internal": 1}
    scene.close()


def test_an_attempt_after_the_first_has_the_same_head() -> None:
    scene = Scene(
        endpoints=2,
        route={
            "action": ActionPlan(strip_segments=1, request_drops=("X-A",), request_lines=(("X-A", (("client", ""),)),))
        },
    )
    client = scene.client(b"GET /a/b HTTP/1.1\r\nHost: h\r\nX-A: 1\r\n\r\n")
    first = scene.endpoint().take_sent()
    assert first == b"GET /b HTTP/1.1\r\nHost: h\r\nX-A: unix:\r\n\r\n"
    other = scene.client(GET)
    scene.reset(scene.endpoint(0))
    assert scene.endpoint(2).take_sent() == first
    scene.send(scene.endpoint(2), OK)
    assert client.take_sent() == OK
    del other
    scene.close()


# -- with hooks ----------------------------------------------------------------------------------------------


def test_hooks_see_what_is_forwarded_and_can_change_it() -> None:
    seen: list[object] = []

    @weir.hook("request")
    def look(request: weir.Request) -> None:
        seen.append((request.target, request.host, request.headers.get_all("x-a"), request.headers.get("X-Gone")))
        request.headers["X-A"] = "hook"

    sent, _ = forwarded(
        b"GET /api/x?q HTTP/1.1\r\nHost: h\r\nX-A: client\r\nX-Gone: 1\r\n\r\n",
        hooks=[look],
        strip_segments=1,
        host="inner",
        request_drops=("X-A", "X-Gone"),
        request_lines=(("X-A", (("cluster", ""),)),),
    )
    assert seen == [("/x?q", "inner", ["app"], None)]
    assert sent == b"GET /x?q HTTP/1.1\r\nHost: inner\r\nX-A: hook\r\n\r\n"


def test_what_a_route_says_of_responses_holds_whatever_a_hook_says() -> None:
    @weir.hook("response")
    def change(response: weir.Response) -> None:
        response.headers["X-A"] = "hook"
        response.headers["X-B"] = "hook"
        response.headers["X-Gone"] = "hook"

    _, answer = forwarded(
        GET, hooks=[change], response_drops=("X-A", "X-Gone"), response_lines=(("X-A", text("route")),)
    )
    assert answer == b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX-B: hook\r\nX-A: route\r\n\r\nok"


def test_a_hook_may_send_a_request_on_that_its_route_answers() -> None:
    @weir.hook("request", path="/a")
    def send(request: weir.Request) -> None:
        request.cluster = "app"

    scene = acting(hooks=[send], status=404)
    client = scene.client(GET)
    scene.send(scene.endpoint(), OK)
    assert client.take_sent() == OK
    assert scene.client(A).take_sent().startswith(b"HTTP/1.1 404 Not Found\r\n")
    scene.close()


# -- answers -------------------------------------------------------------------------------------------------


def test_an_answer() -> None:
    body = (("text", "closed, "), ("client", ""), ("text", "\n"))
    answer = answered(
        GET, status=503, content_type="text/plain", body=body, response_lines=(("Retry-After", text("5")),)
    )
    assert answer == (
        b"HTTP/1.1 503 Service Unavailable\r\nContent-Type: text/plain\r\nRetry-After: 5\r\nContent-Length: 14\r\n"
        b"Date: Thu, 01 Jan 1970 00:00:01 GMT\r\nServer: weir\r\n\r\nclosed, unix:\n"
    )


def test_answers_on_one_connection_and_what_is_counted() -> None:
    scene = acting(status=200, body=text("hello"))
    post = b"POST /a HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabc"
    client = scene.client(GET + post + GET.replace(b"GET", b"HEAD"))
    sent = client.take_sent()
    assert sent.count(b"\r\n\r\nhello") == 2
    assert sent.count(b"Content-Length: 5\r\n") == 3
    assert not client.is_closed
    assert scene.counters() | {"requests": 3, "status_2xx": 3, "response_body_bytes": 10} == scene.counters()
    scene.send(client, b"POST /a HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\na")
    assert b"Connection: close\r\n" in client.take_sent(), "what is left of its body is not waited for"
    scene.close()


def test_a_status_without_a_body_and_one_without_a_name() -> None:
    assert b"Content-Length" not in answered(GET, status=204)
    assert answered(GET, status=299).startswith(b"HTTP/1.1 299 \r\nContent-Length: 0\r\n")


@pytest.mark.parametrize(
    ("location", "request_line", "leads"),
    [
        ((("text", "https://"), ("host", ""), ("target", "")), b"GET //x/y?z HTTP/1.1", b"https://h.example//x/y?z"),
        ((("text", "/new"), ("path", "")), b"GET /a?b HTTP/1.1", b"/new/a"),
        ((("text", "/"), ("segment", 0)), b"GET /a HTTP/1.1", b"/a"),
        ((("text", "/"), ("path", "")), b"GET //evil.example/x HTTP/1.1", b"/evil.example/x"),
        ((("text", "/"), ("path", "")), b"GET /\\evil.example/x HTTP/1.1", b"/evil.example/x"),
        ((("text", "/"), ("segment", 3)), b"GET /a HTTP/1.1", b"/"),
    ],
)
def test_redirects(location: Phrase, request_line: bytes, leads: bytes) -> None:
    answer = answered(request_line + b"\r\nHost: h.example:8080\r\n\r\n", status=308, location=location)
    assert answer.startswith(b"HTTP/1.1 308 Permanent Redirect\r\nLocation: " + leads + b"\r\nContent-Length: 0\r\n")


def test_a_redirect_to_the_host_of_nobody() -> None:
    answer = answered(b"GET / HTTP/1.0\r\n\r\n", status=307, location=(("text", "https://"), ("host", "")))
    assert answer.startswith(b"HTTP/1.1 400 ")


def test_an_answer_that_does_not_fit() -> None:
    scene = acting(status=200, body=tuple([("target", "")] * 16), listener={"max_head_bytes": 65536})
    scene.plane.ledger()
    client = scene.client(b"GET /%s HTTP/1.1\r\nHost: h\r\n\r\n" % (b"a" * 8100))
    sent = client.take_sent()
    assert sent.startswith(b"HTTP/1.1 200 ")
    assert b"Content-Length: 129616\r\n" in sent
    scene.close()
    scene = acting(status=307, location=(("text", "/"), *[("target", "")] * 16))
    client = scene.client(b"GET /%s HTTP/1.1\r\nHost: h\r\n\r\n" % (b"a" * 8100))
    assert client.take_sent().startswith(b"HTTP/1.1 500 ")
    scene.close()
