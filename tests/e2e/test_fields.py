"""Field lines on their way through: what is taken out, what is added, what stays as it is."""

from __future__ import annotations

import pytest

from .conftest import MakeRig
from .peers import ok
from .rig import Rig
from .wire import Head

pytestmark = pytest.mark.timeout(15)

HOP_BY_HOP = [
    "Connection: keep-alive, X-Private",
    "Keep-Alive: timeout=5",
    "Proxy-Connection: keep-alive",
    "TE: gzip",
    "X-Private: secret",
]


def names(head: Head) -> list[str]:
    return [name.lower() for name, _ in head.fields]


# -- hop-by-hop fields, both ways


def test_hop_by_hop_fields_of_a_request_end_here(plain: Rig) -> None:
    plain.get(
        "/hop", *HOP_BY_HOP, "Proxy-Authorization: Basic Zm9v", "Proxy: http://evil/", "Upgrade: h2c", "X-Kept: 1"
    )
    seen = plain.endpoint.requests[0].head
    gone = {
        "keep-alive",
        "proxy-connection",
        "te",
        "x-private",
        "proxy-authorization",
        "proxy",
        "upgrade",
        "connection",
    }
    assert gone.isdisjoint(names(seen)), seen.raw
    assert seen.get("X-Kept") == "1"


def test_hop_by_hop_fields_of_a_response_end_here(plain: Rig) -> None:
    plain.endpoint.reply(ok(b"", *HOP_BY_HOP, "Upgrade: h2c", "X-Kept: 1"))
    head = plain.get("/hop").head
    gone = {"keep-alive", "proxy-connection", "te", "x-private", "connection", "upgrade"}
    assert gone.isdisjoint(names(head)), head.raw
    assert head.get("X-Kept") == "1"


def test_connection_cannot_nominate_what_the_message_needs(plain: Rig) -> None:
    response = plain.ask(
        b"POST / HTTP/1.1\r\nHost: test\r\nConnection: host, content-length, x-forwarded-for\r\n"
        b"Content-Length: 3\r\n\r\nabc",
        "POST",
    )
    if response.status == 400:
        assert plain.endpoint.requests == []
        return
    (seen,) = plain.endpoint.requests
    assert (seen.head.get("Host"), seen.body) == ("test", b"abc")
    assert seen.head.get("X-Forwarded-For") == "127.0.0.1"


def test_te_trailers_is_told_to_the_endpoint(plain: Rig) -> None:
    plain.get("/te", "TE: trailers, deflate", "Connection: TE")
    seen = plain.endpoint.requests[0].head
    if seen.get("TE") is not None:  # RFC 9110 section 10.1.4: then Connection must name it
        assert seen.get("TE") == "trailers"
        assert "te" in (seen.get("Connection") or "").lower()


def test_everything_else_passes_byte_by_byte_and_in_order(plain: Rig) -> None:
    lines = [
        "x-LOWER: a",
        "X-Empty:",
        "X-Twice: 1",
        "Accept: */*",
        "X-Twice: 2",
        "X-Obs: caf\xe9",
        "X-Long: " + "v" * 4000,
    ]
    plain.endpoint.reply(ok(b"", *lines))
    response = plain.get("/fields", *lines).head
    wanted = [tuple(part.strip() for part in line.split(":", 1)) for line in lines]
    for head in (plain.endpoint.requests[0].head, response):
        assert [field for field in head.fields if field in wanted] == wanted


def test_several_cookies_stay_several(plain: Rig) -> None:
    plain.endpoint.reply(ok(b"", "Set-Cookie: a=1; Path=/", "Set-Cookie: b=2, c"))
    assert plain.get("/cookies").head.all("Set-Cookie") == ["a=1; Path=/", "b=2, c"]


def test_server_and_date_are_the_endpoints_own(plain: Rig) -> None:
    plain.endpoint.reply(ok(b"", "Server: mine/1", "Date: Thu, 01 Jan 1970 00:00:00 GMT"))
    head = plain.get("/").head
    assert (head.get("Server"), head.get("Date")) == ("mine/1", "Thu, 01 Jan 1970 00:00:00 GMT")


# -- X-Forwarded-*

SPOOFED = ["X-Forwarded-For: 192.0.2.7", "X-Forwarded-Proto: https", "X-Forwarded-Host: spoofed"]


@pytest.mark.parametrize(
    ("policy", "expected"),
    [
        ("replace", ("127.0.0.1", "http", "test")),
        ("append", ("192.0.2.7, 127.0.0.1", "https", "spoofed")),
        ("keep", ("192.0.2.7", "https", "spoofed")),
        ("off", (None, None, None)),
    ],
)
def test_forwarded_policies(weir: MakeRig, policy: str, expected: tuple[str | None, ...]) -> None:
    rig = weir(listener={"forwarded": policy})
    rig.get("/told", *SPOOFED)
    rig.get("/untold")
    told, untold = (request.head for request in rig.endpoint.requests)
    fields = ("X-Forwarded-For", "X-Forwarded-Proto", "X-Forwarded-Host")
    assert tuple(told.get(name) for name in fields) == expected
    fresh = ("127.0.0.1", "http", "test") if policy in ("replace", "append") else (None, None, None)
    assert tuple(untold.get(name) for name in fields) == fresh


def test_append_joins_several_lines(weir: MakeRig) -> None:
    rig = weir(listener={"forwarded": "append"})
    rig.get("/", "X-Forwarded-For: 192.0.2.1", "X-Forwarded-For: 192.0.2.2")
    lines = rig.endpoint.requests[0].head.all("X-Forwarded-For")
    assert ", ".join(lines) == "192.0.2.1, 192.0.2.2, 127.0.0.1"


# -- Via


@pytest.mark.parametrize(
    ("policy", "request_via", "response_via"),
    [("request", True, False), ("response", False, True), ("both", True, True), ("off", False, False)],
)
def test_via_policies(weir: MakeRig, policy: str, request_via: bool, response_via: bool) -> None:
    rig = weir(listener={"via": policy})
    rig.endpoint.reply(ok(b"", "Via: 1.0 behind"))
    response = rig.get("/", "Via: 1.0 before").head
    seen = rig.endpoint.requests[0].head
    request_values = ", ".join(seen.all("Via")).split(", ")
    response_values = ", ".join(response.all("Via")).split(", ")
    assert request_values[0] == "1.0 before"
    assert response_values[0] == "1.0 behind"
    assert [value.startswith("1.1 ") for value in request_values[1:]] == [True] * request_via
    assert [value.startswith("1.1 ") for value in response_values[1:]] == [True] * response_via


# -- Host


def test_host_is_kept(plain: Rig) -> None:
    plain.ask(b"GET / HTTP/1.1\r\nHost: Kept.Example:8080\r\n\r\n")
    assert plain.endpoint.requests[0].head.get("Host") == "Kept.Example:8080"


def test_host_is_replaced(weir: MakeRig) -> None:
    rig = weir(cluster={"host": "inner.example"})
    rig.ask(b"GET / HTTP/1.1\r\nHost: outer.example\r\n\r\n")
    seen = rig.endpoint.requests[0].head
    assert seen.get("Host") == "inner.example"
    assert seen.get("X-Forwarded-Host") == "outer.example"


def test_an_http10_request_without_host_gets_one(plain: Rig) -> None:
    plain.ask(b"GET /hostless HTTP/1.0\r\n\r\n")
    seen = plain.endpoint.requests[0].head
    assert seen.start == "GET /hostless HTTP/1.1"
    assert seen.get("Host") is not None
