"""The endpoint goes away in each phase of an exchange: the client always learns the truth.

Either the exchange is repeated with proof that this is safe, or it is answered with an error, or it is
visibly cut. Never a clean end of a broken message, never a request served twice.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest

from .conftest import MakeRig
from .peers import CLOSE, RESET, Endpoint, Link, Part, chunked, ok
from .proxy import free_port
from .rig import Rig
from .wire import Truncated, eventually

pytestmark = pytest.mark.timeout(20)

GET = b"GET %s HTTP/1.1\r\nHost: test\r\n\r\n"
POST = b"POST %s HTTP/1.1\r\nHost: test\r\nContent-Length: 5\r\n\r\nhello"
BROKEN = {"upstream_closed", "upstream_reset", "upstream_truncated"}


def refusal(rig: Rig, path: str, request: bytes, reasons: set[str], status: int = 502) -> None:
    """`request` is answered with `status`, the body names the reason, and so does the log."""
    response = rig.ask(request)
    assert response.status == status
    word = rig.reason(path)
    assert word in reasons
    assert word.encode() in response.body
    assert rig.proxy.logged(target=path)[0]["status"] == status


# -- before a response


def test_nobody_listens(weir: MakeRig) -> None:
    rig = weir(endpoints=[f"127.0.0.1:{free_port()}"])
    refusal(rig, "/refused", GET % b"/refused", {"connect_refused"})
    refusal(rig, "/refused-too", POST % b"/refused-too", {"connect_refused"})


def test_the_client_stays_connected_after_a_refused_get(weir: MakeRig) -> None:
    rig = weir(endpoints=[f"127.0.0.1:{free_port()}"])
    client = rig.connect()
    for n in range(3):
        client.send(GET % b"/refused")
        assert client.response().status == 502, n


@pytest.mark.parametrize("end", [CLOSE, RESET])
def test_accepted_and_closed_at_once(plain: Rig, end: str) -> None:
    plain.endpoint.handle(lambda link: link.play([end]))
    # A reset may overtake the news that the connection was made: then it was never made.
    refusal(plain, f"/accepted-{end}", GET % f"/accepted-{end}".encode(), BROKEN | {"connect_failed"})


@pytest.mark.parametrize("end", [CLOSE, RESET])
def test_closed_after_the_request(plain: Rig, end: str) -> None:
    plain.endpoint.reply(end)
    for method, request in (("get", GET), ("post", POST)):
        path = f"/after-{method}-{end}"
        refusal(plain, path, request % path.encode(), BROKEN)
    # Fresh connections: that the endpoint had not begun cannot be proved, so each was tried once.
    assert len(plain.endpoint.requests) == 2


@pytest.mark.parametrize("end", [CLOSE, RESET])
def test_closed_in_the_middle_of_the_request_body(plain: Rig, end: str) -> None:
    def script(link: Link) -> None:
        link.head()
        link.read_exactly(1000)
        link.play([end])

    plain.endpoint.handle(script)
    client = plain.connect()
    client.send(b"POST /mid-upload-%s HTTP/1.1\r\nHost: test\r\nContent-Length: 100000\r\n\r\n" % end.encode())
    client.send(b"u" * 2000)
    response = client.response("POST")
    assert response.status == 502
    assert client.ended()
    assert plain.reason(f"/mid-upload-{end}") in BROKEN


@pytest.mark.parametrize("end", [CLOSE, RESET])
def test_closed_in_the_middle_of_the_response_head(plain: Rig, end: str) -> None:
    plain.endpoint.reply(b"HTTP/1.1 200 OK\r\nContent-Le", 0.05, end)
    path = f"/mid-head-{end}"
    refusal(plain, path, GET % path.encode(), BROKEN)
    assert len(plain.endpoint.requests) == 1


def test_no_answer_in_time(weir: MakeRig) -> None:
    rig = weir(cluster={"response_header_timeout": "300ms"})
    rig.endpoint.reply(2.0, CLOSE)
    refusal(rig, "/late", GET % b"/late", {"response_timeout"}, status=504)
    assert rig.endpoint.links[0].ended()


NONSENSE = [
    b"hello, this is not HTTP\r\n\r\n",
    b"HTTP/1.1 abc OK\r\n\r\n",
    b"HTTP/2.0 200 OK\r\nContent-Length: 0\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nNo colon\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nX : 1\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
    b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nX: " + b"x" * 70_000 + b"\r\n\r\n",
    b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 1000 + b"\r\n",
]


@pytest.mark.parametrize("number", range(len(NONSENSE)))
def test_an_answer_that_is_not_http(plain: Rig, number: int) -> None:
    plain.endpoint.reply(NONSENSE[number])
    path = f"/nonsense-{'abcdefghij'[number]}"
    refusal(plain, path, GET % path.encode(), {"bad_response", "bad_response_framing", "response_head_too_large"})
    plain.endpoint.wait_links(0)


# -- in the middle of a response

HALVES: dict[str, list[Part]] = {
    "length": [b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n" + b"h" * 400],
    "chunked": [b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunked(b"h" * 400, last=b"")],
    "in-a-chunk": [b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1000\r\n" + b"h" * 400],
    "in-the-trailers": [b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhhhhh\r\n0\r\nX-Trail"],
    "bad-chunk": [b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhhhhh\r\nzz\r\n"],
}


@pytest.mark.parametrize("end", [CLOSE, RESET])
@pytest.mark.parametrize("half", HALVES)
def test_half_a_response_never_looks_whole(plain: Rig, half: str, end: str) -> None:
    plain.endpoint.reply(*HALVES[half], 0.05, end)
    path = f"/half-{half}-{end}"
    client = plain.connect()
    client.send(GET % path.encode())
    with pytest.raises(Truncated):
        client.response()
    assert plain.reason(path) in BROKEN | {"bad_response", "bad_response_framing"}


def test_a_reset_does_not_end_a_close_delimited_body(plain: Rig) -> None:
    plain.endpoint.reply(b"HTTP/1.1 200 OK\r\n\r\n", b"h" * 400, 0.05, RESET)
    client = plain.connect()
    client.send(GET % b"/half-close-delimited")
    with pytest.raises(Truncated):
        client.response()
    old = plain.connect()
    old.send(b"GET /half-close-delimited-old HTTP/1.0\r\n\r\n")
    with pytest.raises(Truncated):  # nothing but a reset can tell this client
        old.response()
    assert plain.reason("/half-close-delimited") in BROKEN


def test_half_a_chunked_response_to_an_http10_client(plain: Rig) -> None:
    plain.endpoint.reply(*HALVES["chunked"], 0.05, CLOSE)
    old = plain.connect()
    old.send(b"GET /half-old HTTP/1.0\r\n\r\n")
    with pytest.raises(Truncated):
        old.response()


# -- between exchanges


@pytest.mark.parametrize("request_text", [GET, POST], ids=["GET", "POST"])
@pytest.mark.parametrize("end", ["close", "reset", "half-close"])
def test_closed_while_idle(plain: Rig, request_text: bytes, end: str) -> None:
    client = plain.connect()
    client.send(GET % b"/warm")
    assert client.response().status == 200
    link = plain.endpoint.links[0]
    {"close": link.close, "reset": link.reset, "half-close": link.half_close}[end]()
    if end == "reset":
        eventually(lambda: link.over)  # the kernel sends RST when the last thread has let go of the socket
    client.send(request_text % b"/after-idle")
    assert client.response().status == 200
    assert plain.endpoint.targets() == ["/warm", "/after-idle"]
    assert [request.link for request in plain.endpoint.requests] == [0, 1]


def test_unasked_bytes_on_an_idle_connection_spoil_it(plain: Rig) -> None:
    plain.endpoint.reply(ok(b"first"), 0.02, ok(b"poison"))
    client = plain.connect()
    client.send(GET % b"/one")
    assert client.response().body == b"first"
    eventually(lambda: plain.endpoint.links[0].over)
    client.send(GET % b"/two")
    assert client.response().body == b"first"
    assert [request.link for request in plain.endpoint.requests] == [0, 1]


def test_more_than_was_announced_is_not_the_next_answer(plain: Rig) -> None:
    plain.endpoint.reply(ok(b"first") + ok(b"poison"))
    client = plain.connect()
    for path in (b"/one", b"/two", b"/three"):
        client.send(GET % path)
        assert client.response().body == b"first"
    assert [request.link for request in plain.endpoint.requests] == [0, 1, 2]


def closes_reused(endpoint: Endpoint) -> Callable[[Link], None]:
    """A script that answers the first request of each connection, reads the second, and closes."""

    def script(link: Link) -> None:
        endpoint.record(link.request(), link)
        link.send(ok(b"served"))
        second = link.request()
        if second is not None:
            endpoint.record(second, link)

    return script


def test_a_get_on_a_dying_connection_is_replayed_once(plain: Rig) -> None:
    plain.endpoint.handle(closes_reused(plain.endpoint))
    client = plain.connect()
    client.send(GET % b"/first")
    assert client.response().status == 200
    client.send(GET % b"/replayed")
    assert client.response().body == b"served"
    assert plain.endpoint.targets() == ["/first", "/replayed", "/replayed"]
    assert [request.link for request in plain.endpoint.requests] == [0, 0, 1]
    assert plain.proxy.logged(target="/replayed")[0]["retries"] == 1


def test_a_post_whose_bytes_were_taken_is_not_replayed(plain: Rig) -> None:
    plain.endpoint.handle(closes_reused(plain.endpoint))
    client = plain.connect()
    client.send(GET % b"/first")
    assert client.response().status == 200
    client.send(POST % b"/not-replayed")
    response = client.response("POST")
    assert response.status == 502
    assert plain.endpoint.targets() == ["/first", "/not-replayed"]
    assert plain.reason("/not-replayed") in BROKEN


@pytest.mark.parametrize("method", ["PUT", "DELETE", "HEAD", "OPTIONS"])
def test_idempotent_methods_are_replayed(plain: Rig, method: str) -> None:
    plain.endpoint.handle(closes_reused(plain.endpoint))
    client = plain.connect()
    client.send(GET % b"/first")
    assert client.response().status == 200
    client.send(f"{method} /again HTTP/1.1\r\nHost: test\r\nContent-Length: 3\r\n\r\nabc".encode())
    assert client.response(method).status == 200
    assert [request.body for request in plain.endpoint.requests[1:]] == [b"abc", b"abc"]


@pytest.mark.parametrize("method", ["PATCH", "LOCK"])
def test_other_methods_are_not_replayed(plain: Rig, method: str) -> None:
    plain.endpoint.handle(closes_reused(plain.endpoint))
    client = plain.connect()
    client.send(GET % b"/first")
    assert client.response().status == 200
    client.send(f"{method} /once HTTP/1.1\r\nHost: test\r\nContent-Length: 3\r\n\r\nabc".encode())
    assert client.response(method).status == 502
    assert plain.endpoint.targets() == ["/first", "/once"]


def test_a_replay_that_fails_too_is_an_error(plain: Rig) -> None:
    def script(link: Link) -> None:
        plain.endpoint.record(link.request(), link)
        if link.number == 0:
            link.send(ok(b"served"))
            plain.endpoint.record(link.request(), link)

    plain.endpoint.handle(script)
    client = plain.connect()
    client.send(GET % b"/first")
    assert client.response().status == 200
    client.send(GET % b"/twice")
    assert client.response().status == 502
    assert plain.endpoint.targets() == ["/first", "/twice", "/twice"]


def test_a_response_that_began_is_not_replayed(plain: Rig) -> None:
    def script(link: Link) -> None:
        plain.endpoint.record(link.request(), link)
        link.send(ok(b"served"))
        plain.endpoint.record(link.request(), link)
        link.play([b"HTTP/1.1 20", 0.05])

    plain.endpoint.handle(script)
    client = plain.connect()
    client.send(GET % b"/first")
    assert client.response().status == 200
    client.send(GET % b"/begun")
    assert client.response().status == 502
    assert plain.endpoint.targets() == ["/first", "/begun"]


def test_replays_have_a_budget(weir: MakeRig) -> None:
    rig = weir(retry={"ratio": "0%", "min_per_second": 1, "attempts": 2})
    everybody = threading.Barrier(40, timeout=10)
    once = closes_reused(rig.endpoint)

    def script(link: Link) -> None:
        # The first 40 wait for one another, so that as many connections are idle at once.
        if link.number < 40:
            link.fill()
            everybody.wait()
        once(link)

    rig.endpoint.handle(script)
    clients = [rig.connect() for _ in range(40)]
    for client in clients:
        client.send(GET % b"/first")
    assert {client.response().status for client in clients} == {200}
    for client in clients:
        client.send(GET % b"/second")
    statuses = [client.response().status for client in clients]
    # One a second is allowed, and what ten seconds' worth of it has saved up. How many others fail depends on how many
    # closed connections are noticed before they are used again.
    replays = len(rig.endpoint.requests) - 80
    assert 1 <= replays <= 12
    assert statuses.count(502) >= 1
    assert set(statuses) == {200, 502}


def test_an_endpoint_that_closes_whatever_is_used_again_gets_new_connections_only(weir: MakeRig) -> None:
    rig = weir(retry={"ratio": "0%", "min_per_second": 1, "attempts": 2})
    rig.endpoint.handle(closes_reused(rig.endpoint))
    client = rig.connect()
    for n in range(60):
        client.send(GET % b"/n%d" % n)
        assert client.response().status == 200
    assert len(rig.endpoint.requests) - 60 == 8, "then it is known: as many as the budget had saved up, nearly"


def test_replays_can_be_switched_off(weir: MakeRig) -> None:
    rig = weir(retry={"attempts": 1})
    rig.endpoint.handle(closes_reused(rig.endpoint))
    client = rig.connect()
    client.send(GET % b"/first")
    assert client.response().status == 200
    client.send(GET % b"/second")
    assert client.response().status == 502
    assert len(rig.endpoint.requests) == 2


def test_another_endpoint_is_tried_when_one_refuses(weir: MakeRig) -> None:
    endpoint = Endpoint()
    rig = weir(endpoints=[f"127.0.0.1:{free_port()}", endpoint.address], endpoint=endpoint)
    for n in range(6):
        assert rig.ask(POST % b"/either").body == b"hello", n
    assert len(endpoint.requests) == 6
