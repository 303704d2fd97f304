from __future__ import annotations

import h11
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.plane.feed import refusal
from tests.plane.heads import lines_of, message, plain, request
from weir.plane.fields import ForwardedPolicy
from weir.plane.parsers import check, forward_request, forward_response, parse_request, parse_response
from weir.reasons import Reason

REPLACE, APPEND, KEEP, OFF = (
    ForwardedPolicy.FWD_REPLACE, ForwardedPolicy.FWD_APPEND, ForwardedPolicy.FWD_KEEP, ForwardedPolicy.FWD_OFF,
)  # fmt: skip


def test_nothing_to_do_changes_nothing() -> None:
    data = request(b"Accept: */*", b"x:\ty ", b"User-Agent: z", b"Cookie: a", b"Cookie: b")
    assert forward_request(data, forwarded=KEEP, via=False) == data
    assert forward_request(b"\r\n" + data, forwarded=KEEP, via=False) == data


HOP_BY_HOP = [
    b"Connection: close", b"connection: keep-alive", b"Keep-Alive: timeout=5", b"Proxy-Connection: keep-alive",
    b"Proxy-Authorization: Basic x", b"Proxy: http://evil", b"TE: gzip", b"TE: trailers", b"Upgrade: websocket",
    b"HTTP2-Settings: x",
]  # fmt: skip


@pytest.mark.parametrize("line", HOP_BY_HOP)
def test_hop_by_hop_fields_of_requests(line: bytes) -> None:
    expected = [b"GET /x?y HTTP/1.1", b"Host: a.b", b"a: 1", b"b: 2"]
    assert plain(request(b"a: 1", line, b"b: 2")) == expected
    assert plain(request(line, b"a: 1", line, line, b"b: 2", line)) == expected


ALIASES = [
    b"X_Forwarded_For: 1.2.3.4", b"x-forwarded_for: 1.2.3.4", b"X_FORWARDED_HOST: evil", b"X_Real_IP: 1.2.3.4",
    b"Content_Length: 5", b"Transfer_Encoding: chunked", b"Proxy_Authorization: x", b"Http2_Settings: x",
]  # fmt: skip


@pytest.mark.parametrize("line", ALIASES)
def test_what_weir_vouches_for_has_no_second_spelling(line: bytes) -> None:
    """CGI, WSGI and PHP make one variable of both spellings."""
    assert plain(request(b"a: 1", line, b"b: 2")) == [b"GET /x?y HTTP/1.1", b"Host: a.b", b"a: 1", b"b: 2"]


def test_other_underscores_stay() -> None:
    lines = [b"x_request_id: 1", b"_: 2", b"X_Forwarded_For_: 3", b"_host: 4"]
    assert plain(request(*lines))[2:] == lines


@pytest.mark.parametrize(
    "line", [b"Trailer: X", b"Accept: x", b"Date: x", b"Server: x", b"Via: 1.1 z", b"Forwarded: for=x"]
)
def test_end_to_end_fields_stay(line: bytes) -> None:
    assert plain(request(line))[2:] == [line]


def test_nominated_fields() -> None:
    lines = [
        b"A: 1",
        b"Connection: x-a, CLOSE",
        b"X-a: 2",
        b"b: 3",
        b"x-A: 4",
        b"Connection:\tB ,,user-agent",
        b"User-Agent: z",
    ]
    assert plain(request(*lines))[2:] == [b"A: 1"]
    response = message(b"HTTP/1.1 200 OK", *lines)
    assert lines_of(forward_response(response, via=False, counter=b"")) == [b"HTTP/1.1 200 OK", b"A: 1"]


@pytest.mark.parametrize(
    "name",
    [b"Host", b"Content-Length", b"Expect", b"Via", b"X-Forwarded-For", b"X-Forwarded-Proto", b"X-Forwarded-Host",
     b"X-Real-IP", b"Forwarded"],
)  # fmt: skip
def test_fields_that_cannot_be_nominated(name: bytes) -> None:
    value = {b"Host": b"a.b", b"Content-Length": b"5", b"Expect": b"100-continue"}.get(name, b"v")
    line = name + b": " + value
    data = request(b"Connection: " + name.lower(), line, host=None if name == b"Host" else b"a.b")
    assert line in plain(data)


def test_chunked_cannot_be_nominated() -> None:
    assert plain(request(b"Connection: transfer-encoding", b"Transfer-Encoding: chunked"))[2:] == [
        b"Transfer-Encoding: chunked"
    ]


def test_too_many_options() -> None:
    assert plain(request(b"Connection: " + b",".join([b"close"] * 64)))[2:] == []
    assert refusal(plain, request(b"Connection: " + b",".join([b"x"] * 65))) == Reason.BAD_REQUEST
    assert refusal(plain, request(*[b"Connection: x"] * 65)) == Reason.BAD_REQUEST


@pytest.mark.parametrize("lines", [[b"Connection: " + b",".join([b"x"] * 65)], [b"Connection: x"] * 65])
def test_too_many_options_of_a_response(lines: list[bytes]) -> None:
    # What it nominates beyond the bound would have gone on.
    assert answered(message(b"HTTP/1.1 200 OK", *lines[1:], b"x: y", lines[0][:-2]))[1:] == []
    assert refusal(forward_response, message(b"HTTP/1.1 200 OK", *lines, b"x: y")) == Reason.BAD_RESPONSE


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (b"Content-Length: 5", b"Content-Length: 5"),
        (b"content-length:0005", b"Content-Length: 5"),
        (b"Content-Length: 0", b"Content-Length: 0"),
        (b"Content-Length: 9223372036854775807", b"Content-Length: 9223372036854775807"),
        (b"transfer-encoding: CHUNKED", b"Transfer-Encoding: chunked"),
    ],
)
def test_framing_is_written_anew(line: bytes, expected: bytes) -> None:
    assert plain(request(line, b"a: b", start=b"POST / HTTP/1.1"))[2:] == [b"a: b", expected]


@pytest.mark.parametrize("line", [b"CONNECT a.b:80 HTTP/1.1", b"TRACE / HTTP/1.1"])
def test_refused_methods(line: bytes) -> None:
    assert refusal(plain, request(start=line)) == Reason.METHOD_REFUSED


def test_host_by_policy() -> None:
    expected = [b"GET /x?y HTTP/1.1", b"Host: in.side:81", b"x: y"]
    assert plain(request(b"x: y"), host=b"in.side:81") == expected
    assert plain(message(b"GET /x?y HTTP/1.1", b"x: y", b"hOsT: a"), host=b"in.side:81") == expected
    assert plain(request(b"x: y", start=b"GET /x?y HTTP/1.0", host=None), host=b"in.side:81") == expected
    assert plain(request(b"x: y", start=b"GET http://a.b/x?y HTTP/1.1"), host=b"in.side:81") == expected


@pytest.mark.parametrize("version", [b"1.0", b"1.2", b"1.9"])
def test_version_that_goes_on(version: bytes) -> None:
    assert plain(request(start=b"GET / HTTP/" + version))[0] == b"GET / HTTP/1.1"


# Expect, Upgrade, TE

POST = b"POST / HTTP/1.1"
BODY = b"Content-Length: 5"


@pytest.mark.parametrize(
    ("start", "lines", "expect", "kept"),
    [
        (POST, [b"Expect: 100-continue", BODY], True, True),
        (POST, [b"Expect: 100-Continue", b"Transfer-Encoding: chunked"], True, True),
        (POST, [b"Expect: 100-continue", b"Content-Length: 0"], False, True),
        (POST, [b"Expect: 100-continue"], False, True),
        (b"POST / HTTP/1.0", [b"Expect: 100-continue", BODY], False, False),
        (POST, [BODY], False, False),
    ],
)
def test_expect(start: bytes, lines: list[bytes], expect: bool, kept: bool) -> None:
    data = request(*lines, start=start)
    assert check(data) == (False, False, expect)
    assert (lines[0] in plain(data)) is kept or lines == [BODY]


@pytest.mark.parametrize(
    "value", [b"", b"200-ok", b"100-continue, x", b"100-continue;a", b"100-continued", b"100-continu"]
)
def test_other_expectations(value: bytes) -> None:
    assert refusal(check, request(b"Expect: " + value, BODY, start=POST)) == Reason.EXPECTATION_FAILED


def test_expect_twice() -> None:
    assert refusal(check, request(*[b"Expect: 100-continue"] * 2, BODY, start=POST)) == Reason.EXPECTATION_FAILED


@pytest.mark.parametrize(
    ("start", "lines", "upgrade"),
    [
        (b"GET / HTTP/1.1", [b"Connection: Upgrade", b"Upgrade: websocket"], True),
        (b"GET / HTTP/1.1", [b"Upgrade: a, b/2", b"x: y", b"Connection: keep-alive, upgrade"], True),
        (b"GET / HTTP/1.1", [b"Upgrade: websocket"], False),
        (b"GET / HTTP/1.1", [b"Connection: close", b"Upgrade: websocket"], False),
        (b"GET / HTTP/1.1", [b"Connection: upgrade"], False),
        (b"GET / HTTP/1.0", [b"Connection: upgrade", b"Upgrade: websocket"], False),
        (b"GET / HTTP/1.1", [b"Connection: upgrade, HTTP2-Settings", b"Upgrade: h2c", b"HTTP2-Settings: x"], False),
        (b"GET / HTTP/1.1", [b"Connection: upgrade", b"Upgrade: websocket, H2C"], False),
        (b"GET / HTTP/1.1", [b"Connection: upgrade", b"Upgrade: websocket", b"Upgrade: h2c"], False),
        # With a body: there are servers that take it for the other protocol.
        (b"POST / HTTP/1.1", [b"Connection: upgrade", b"Upgrade: x", b"Content-Length: 0"], True),
        (b"POST / HTTP/1.1", [b"Connection: upgrade", b"Upgrade: x", b"Content-Length: 1"], False),
        (b"POST / HTTP/1.1", [b"Connection: upgrade", b"Upgrade: x", b"Transfer-Encoding: chunked"], False),
    ],
)
def test_upgrade(start: bytes, lines: list[bytes], upgrade: bool) -> None:
    data = request(*lines, start=start)
    assert check(data) == (upgrade, False, False)
    forwarded = plain(data)
    assert [line for line in forwarded if line.startswith(b"Upgrade")] == (
        [line for line in lines if line.startswith(b"Upgrade")] if upgrade else []
    )
    assert [line for line in forwarded if line.startswith(b"Connection")] == (
        [b"Connection: upgrade"] if upgrade else []
    )


@pytest.mark.parametrize("name", [b"upgrade", b"Upgrade"])
def test_upgrade_survives_its_nomination(name: bytes) -> None:
    data = request(b"Connection: " + name, b"Upgrade: websocket", b"Content-Length: 0", start=POST)
    assert plain(data)[2:] == [b"Upgrade: websocket", b"Content-Length: 0", b"Connection: upgrade"]


@pytest.mark.parametrize(
    ("start", "lines", "te"),
    [
        (b"GET / HTTP/1.1", [b"TE: trailers", b"Connection: TE"], True),
        (b"GET / HTTP/1.1", [b"TE: gzip;q=0.5, Trailers", b"Connection: close, te"], True),
        (b"GET / HTTP/1.1", [b"TE: trailers"], False),
        (b"GET / HTTP/1.1", [b"TE: gzip", b"Connection: te"], False),
        (b"GET / HTTP/1.0", [b"TE: trailers", b"Connection: te"], False),
    ],
)
def test_te(start: bytes, lines: list[bytes], te: bool) -> None:
    data = request(*lines, start=start)
    assert check(data) == (False, te, False)
    assert plain(data)[2:] == ([b"TE: trailers", b"Connection: TE"] if te else [])


def test_te_and_upgrade() -> None:
    data = request(b"TE: trailers", b"Connection: te, upgrade", b"Upgrade: x")
    assert plain(data)[2:] == [b"Upgrade: x", b"TE: trailers", b"Connection: TE, upgrade"]


# X-Forwarded-*, Via

RECEIVED = [
    b"X-Forwarded-For: 10.0.0.1",
    b"X-Real-IP: 10.0.0.2",
    b"x-forwarded-for: 10.0.0.3",
    b"X-Forwarded-Proto: https",
    b"X-Forwarded-Host: c.d",
    b"Forwarded: for=x",
]
OURS = [b"X-Forwarded-For: 192.0.2.1", b"X-Forwarded-Proto: http", b"X-Forwarded-Host: a.b"]


@pytest.mark.parametrize(
    ("policy", "received", "expected"),
    [
        (REPLACE, [], OURS),
        (REPLACE, RECEIVED, OURS),
        (APPEND, [], OURS),
        (APPEND, RECEIVED, [RECEIVED[1], *RECEIVED[3:], b"X-Forwarded-For: 10.0.0.1, 10.0.0.3, 192.0.2.1"]),
        (APPEND, [b"X-Forwarded-For:"], OURS),
        (KEEP, [], []),
        (KEEP, RECEIVED, RECEIVED),
        (OFF, [], []),
        (OFF, RECEIVED, []),
    ],
)
def test_forwarded(policy: ForwardedPolicy, received: list[bytes], expected: list[bytes]) -> None:
    assert lines_of(forward_request(request(*received), forwarded=policy, via=False))[2:] == expected


def test_forwarded_host_is_the_received_one() -> None:
    assert lines_of(forward_request(request(), host=b"in.side", via=False))[1:] == [b"Host: in.side", *OURS]
    data = request(start=b"GET http://e.f/ HTTP/1.0", host=None)
    assert lines_of(forward_request(data, via=False))[-1] == b"X-Forwarded-Host: e.f"
    data = request(start=b"GET / HTTP/1.0", host=None)
    assert lines_of(forward_request(data, via=False)) == [b"GET / HTTP/1.1", b"Host: ", *OURS[:2]]


def test_forwarded_client_without_address() -> None:
    data = request(b"X-Forwarded-For: 10.0.0.1")
    assert lines_of(forward_request(data, forwarded=APPEND, client=b"", proto=b"", via=False))[2:] == (
        [b"X-Forwarded-For: 10.0.0.1", b"X-Forwarded-Host: a.b"]
    )


@pytest.mark.parametrize("version", [b"1.0", b"1.1"])
def test_via(version: bytes) -> None:
    data = request(b"Via: 1.0 x", b"a: b", start=b"GET / HTTP/" + version)
    assert lines_of(forward_request(data, forwarded=OFF))[2:] == [b"Via: 1.0 x", b"a: b", b"Via: " + version + b" weir"]
    answer = message(b"HTTP/" + version + b" 200 OK", b"Via: 1.0 x")
    assert lines_of(forward_response(answer, counter=b""))[1:] == [b"Via: 1.0 x", b"Via: " + version + b" weir"]


# Responses


def answered(data: bytes, **options: bool) -> list[bytes]:
    return lines_of(forward_response(data, via=False, counter=b"", **options))


def test_response_to_which_nothing_is_done() -> None:
    data = message(
        b"HTTP/1.1 200 OK", b"Date: x", b"Content-Length: 5", b"Server:y", b"Set-Cookie: a", b"Set-Cookie: b"
    )
    assert forward_response(data, via=False, counter=b"") == data


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (b"HTTP/1.0 200 OK", b"HTTP/1.1 200 OK"),
        (b"HTTP/1.7 200 OK", b"HTTP/1.1 200 OK"),
        (b"HTTP/1.1 404", b"HTTP/1.1 404 "),
        (b"HTTP/1.0 404", b"HTTP/1.1 404 "),
        (b"HTTP/1.1 404 ", b"HTTP/1.1 404 "),
        (b"HTTP/1.1 299  \xe9\t", b"HTTP/1.1 299  \xe9\t"),
    ],
)
def test_status_line(line: bytes, expected: bytes) -> None:
    assert answered(message(line, b"a: b")) == [expected, b"a: b"]


@pytest.mark.parametrize(
    "line",
    [b"Connection: close", b"Keep-Alive: timeout=5", b"Proxy-Connection: close", b"Proxy-Authenticate: Basic",
     b"Proxy-Authentication-Info: x", b"TE: x", b"Transfer-Encoding: chunked", b"Upgrade: h2c"],
)  # fmt: skip
def test_hop_by_hop_fields_of_responses(line: bytes) -> None:
    assert answered(message(b"HTTP/1.1 200 OK", b"a: b", line, b"c: d")) == [b"HTTP/1.1 200 OK", b"a: b", b"c: d"]


@pytest.mark.parametrize(
    ("status", "options", "kept"),
    [
        (200, {}, True),
        (304, {}, True),
        (204, {}, False),
        (103, {}, False),
        (200, {"chunked": True}, False),
        (200, {"interim": True}, False),
    ],
)
def test_content_length_of_responses(status: int, options: dict[str, bool], kept: bool) -> None:
    lines = answered(message(b"HTTP/1.1 %d x" % status, b"Content-Length: 5"), **options)
    assert (b"Content-Length: 5" in lines) is kept
    assert (b"Transfer-Encoding: chunked" in lines) is options.get("chunked", False)


@pytest.mark.parametrize(("length", "expected"), [(b"05", b"5"), (b"0" * 40, b"0"), (b"00", b"0"), (b"0010", b"10")])
def test_zeros_before_a_length_of_a_response(length: bytes, expected: bytes) -> None:
    head = message(b"HTTP/1.1 200 OK", b"content-length:" + length + b" ", b"a: b")
    assert answered(head) == [b"HTTP/1.1 200 OK", b"a: b", b"Content-Length: " + expected]
    assert answered(head, chunked=True) == [b"HTTP/1.1 200 OK", b"a: b", b"Transfer-Encoding: chunked"]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"close": True}, [b"Connection: close"]),
        ({"keep_alive": True}, [b"Connection: keep-alive"]),
        ({"close": True, "keep_alive": True}, [b"Connection: close"]),
        ({"close": True, "chunked": True}, [b"Transfer-Encoding: chunked", b"Connection: close"]),
        ({"close": True, "chunked": True, "interim": True}, []),
    ],
)
def test_what_weir_says(options: dict[str, bool], expected: list[bytes]) -> None:
    data = message(b"HTTP/1.1 200 OK", b"Connection: x", b"a: b")
    assert answered(data, **options) == [b"HTTP/1.1 200 OK", b"a: b", *expected]


def test_upgrade_of_responses() -> None:
    lines = [b"Upgrade: websocket", b"Connection: Upgrade", b"Sec-WebSocket-Accept: x"]
    expected = [lines[0], lines[2], b"Connection: upgrade"]
    assert answered(message(b"HTTP/1.1 101 x", *lines), upgrade=True)[1:] == expected
    assert answered(message(b"HTTP/1.1 426 x", *lines))[1:] == expected
    assert answered(message(b"HTTP/1.1 426 x", *lines), close=True)[-1] == b"Connection: upgrade, close"
    assert answered(message(b"HTTP/1.1 200 x", *lines))[1:] == [lines[2]]


@pytest.mark.parametrize("value", [0, 7, 10, 1234567890123456789, 2**64 - 1])
def test_counter(value: int) -> None:
    data = message(b"HTTP/1.1 200 OK", b"x-bytes: 1", b"a: b", b"X-BYTES: 2", b"X-Bytess: 3")
    assert lines_of(forward_response(data, via=False, counter_value=value)) == [
        b"HTTP/1.1 200 OK", b"a: b", b"X-Bytess: 3", b"X-Bytes: %d" % value,
    ]  # fmt: skip
    assert lines_of(forward_response(data, via=False, counter_value=value, interim=True))[1:] == [
        b"a: b",
        b"X-Bytess: 3",
    ]


# Whatever comes in, what goes on is a head that strict parsers read alike, and forwarding it again changes nothing.

LINES = st.lists(
    st.sampled_from(
        [
            *HOP_BY_HOP,
            *RECEIVED,
            b"Connection: a, upgrade, te",
            b"A: 1",
            b"b:  2 ",
            b"Via: 1.1 x",
            b"Trailer: a",
            b"X-Bytes: 9",
        ]
    ),
    max_size=12,
)
BODIES = st.sampled_from([[], [b"Content-Length: 7"], [b"Transfer-Encoding: chunked"]])
STARTS = st.sampled_from([b"GET / HTTP/1.1", b"POST /x?y HTTP/1.1", b"PUT http://a.b HTTP/1.1", b"OPTIONS * HTTP/1.1"])


@given(STARTS, LINES, BODIES, st.sampled_from(list(ForwardedPolicy)), st.sampled_from([b"", b"in.side"]))
def test_what_goes_on_is_well_formed(
    start: bytes, lines: list[bytes], body: list[bytes], policy: ForwardedPolicy, host: bytes
) -> None:
    out = forward_request(request(*lines, *body, start=start), forwarded=policy, host=host)
    head = parse_request(out)
    assert head is not None
    assert head.length == len(out)
    server = h11.Connection(h11.SERVER)
    server.receive_data(out)
    event = server.next_event()
    assert isinstance(event, h11.Request)
    assert (event.method, event.target, event.headers.raw_items()) == (head.method_name, head.target, head.fields)
    # What is written behind the run moves there once; after that the order is settled.
    again = forward_request(out, forwarded=KEEP, via=False)
    assert forward_request(again, forwarded=KEEP, via=False) == again
    assert sorted(lines_of(again)) == sorted(lines_of(out))


@given(
    st.sampled_from([b"HTTP/1.1 200 OK", b"HTTP/1.0 404", b"HTTP/1.1 426 x"]),
    LINES,
    BODIES,
    st.booleans(),
    st.booleans(),
)
def test_what_goes_back_is_well_formed(
    start: bytes, lines: list[bytes], body: list[bytes], chunked: bool, close: bool
) -> None:
    out = forward_response(message(start, *lines, *body), chunked=chunked, close=close)
    head = parse_response(out)
    assert head is not None
    assert head.length == len(out)
    names = [name.lower() for name, _ in head.fields]
    assert names.count(b"x-bytes") == 1
    assert (b"transfer-encoding" in names) is chunked
    assert not (chunked and b"content-length" in names)
