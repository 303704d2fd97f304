from __future__ import annotations

import time

import h11
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.plane.feed import as_dict, head_of, outcome, refused_head
from weir.plane.head import FieldId, Method, TargetForm
from weir.plane.parsers import has_token, is_lower, parse_fields, parse_request, parse_response
from weir.reasons import Reason

REQUEST = (
    b"GET /static/app.js?v=3 HTTP/1.1\r\nHost: example.org\r\nUser-Agent: x/1 (a; b)\r\nAccept: */*\r\n"
    b"Connection: keep-alive\r\n\r\n"
)
RESPONSE = b"HTTP/1.1 200 OK\r\nServer: x\r\nContent-Length: 5\r\nSet-Cookie: a=1\r\nSet-Cookie: b=2\r\n\r\n"
BAD, VERSION = Reason.BAD_REQUEST, Reason.BAD_VERSION
LARGE, LONG = Reason.HEAD_TOO_LARGE, Reason.TARGET_TOO_LONG


def test_request() -> None:
    head = head_of(parse_request, REQUEST)
    assert (head.method, head.method_name, head.version_minor) == (Method.M_GET, b"GET", 1)
    assert (head.target, head.path, head.query) == (b"/static/app.js?v=3", b"/static/app.js", b"?v=3")
    assert head.target_form == TargetForm.T_ORIGIN
    assert head.length == len(REQUEST)
    assert head.fields == [
        (b"Host", b"example.org"),
        (b"User-Agent", b"x/1 (a; b)"),
        (b"Accept", b"*/*"),
        (b"Connection", b"keep-alive"),
    ]
    assert head.ids == [FieldId.F_HOST, FieldId.F_USER_AGENT, FieldId.F_OTHER, FieldId.F_CONNECTION]


def test_response() -> None:
    head = head_of(parse_response, RESPONSE)
    assert (head.status, head.reason_phrase, head.version_minor, head.length) == (200, b"OK", 1, len(RESPONSE))
    assert head.fields[2:] == [(b"Set-Cookie", b"a=1"), (b"Set-Cookie", b"b=2")]
    assert head.ids == [FieldId.F_SERVER, FieldId.F_CONTENT_LENGTH, FieldId.F_OTHER, FieldId.F_OTHER]


@pytest.mark.parametrize("name", ["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE"])
def test_methods(name: str) -> None:
    assert head_of(parse_request, name.encode() + b" / HTTP/1.1\r\n\r\n").method == Method[f"M_{name}"]


@pytest.mark.parametrize("name", [b"get", b"GETS", b"PURGE", b"PROPFIND", b"X", b"!#$%&'*+-.^_`|~09", b"M" * 64])
def test_other_methods(name: bytes) -> None:
    head = head_of(parse_request, name + b" / HTTP/1.1\r\n\r\n")
    assert (head.method, head.method_name) == (Method.M_OTHER, name)


@pytest.mark.parametrize(
    ("line", "form", "authority", "path", "query"),
    [
        (b"GET /", "T_ORIGIN", b"", b"/", b""),
        (b"GET /?", "T_ORIGIN", b"", b"/", b"?"),
        (b"GET //a?b?c", "T_ORIGIN", b"", b"//a", b"?b?c"),
        (b'GET /a|b\\"<>^`{}[]', "T_ORIGIN", b"", b'/a|b\\"<>^`{}[]', b""),
        (b"GET http://a.b", "T_ABSOLUTE", b"a.b", b"", b""),
        (b"GET HTTP://a.b:80/c?d", "T_ABSOLUTE", b"a.b:80", b"/c", b"?d"),
        (b"GET https://[::1]:1?d", "T_ABSOLUTE", b"[::1]:1", b"", b"?d"),
        (b"CONNECT a.b:443", "T_AUTHORITY", b"a.b:443", b"", b""),
        (b"CONNECT [::1]:443", "T_AUTHORITY", b"[::1]:443", b"", b""),
        (b"OPTIONS *", "T_ASTERISK", b"", b"*", b""),
        (b"OPTIONS /x", "T_ORIGIN", b"", b"/x", b""),
        (b"OPTIONS http://a", "T_ABSOLUTE", b"a", b"", b""),
    ],
)
def test_targets(line: bytes, form: str, authority: bytes, path: bytes, query: bytes) -> None:
    head = head_of(parse_request, line + b" HTTP/1.1\r\n\r\n")
    assert head.target_form == TargetForm[form]
    assert (head.authority, head.path, head.query) == (authority, path, query)


@pytest.mark.parametrize(
    "line",
    [
        b"GET  / HTTP/1.1", b"GET /  HTTP/1.1", b" GET / HTTP/1.1", b"GET\t/ HTTP/1.1", b"GET / HTTP/1.1 ",
        b"GET /a b HTTP/1.1", b"GET /#x HTTP/1.1", b"GET /\x7f HTTP/1.1", b"GET /\xc3\xa9 HTTP/1.1",
        b"GET /\x00 HTTP/1.1", b"GET x HTTP/1.1", b"GET x.org:80 HTTP/1.1", b"GET * HTTP/1.1", b"OPTIONS ** HTTP/1.1",
        b"GET http:// HTTP/1.1", b"GET http:///x HTTP/1.1", b"GET http://?x HTTP/1.1", b"GET http://u@h/ HTTP/1.1",
        b"GET http://u:p@h HTTP/1.1", b"GET ftp://h/ HTTP/1.1", b"GET http:/h HTTP/1.1", b"CONNECT / HTTP/1.1",
        b"CONNECT h HTTP/1.1", b"CONNECT h: HTTP/1.1", b"CONNECT :1 HTTP/1.1", b"CONNECT http://h:1 HTTP/1.1",
        b"CONNECT u@h:1 HTTP/1.1", b"CONNECT h?:1 HTTP/1.1", b"CONNECT * HTTP/1.1", b"(GET) / HTTP/1.1",
        b"G@T / HTTP/1.1", b"\x00", b"{", b"M" * 65 + b" / HTTP/1.1", b"M" * 300, b"GET", b"GET /", b"GET / ",
        b"GET / HTTP/1.", b"GET / HTTP/11", b"GET / HTTP/1.10", b"GET / HTTP/01.1", b"GET / http/1.1",
        b"GET / HTTP/a.1", b"GET / HTTP/1,1", b"GET / HTP/1.1", b"GET / HTTP 1.1", b"GET / HTTP/2.0x",
        b"GET / HTTP/1.1\r", b"GET / HTTP/1.1\rX", b"\r\n\r\nGET / HTTP/1.1", b"\nGET / HTTP/1.1",
        b"\rGET / HTTP/1.1", b"\r\n GET / HTTP/1.1",
    ],
)  # fmt: skip
def test_bad_request_lines(line: bytes) -> None:
    assert refused_head(parse_request, line + b"\r\nHost: a\r\n\r\n") == BAD


@pytest.mark.parametrize("version", [b"0.9", b"2.0", b"3.1", b"9.9"])
def test_other_versions(version: bytes) -> None:
    assert refused_head(parse_request, b"GET / HTTP/" + version + b"\r\n\r\n") == VERSION
    assert refused_head(parse_response, b"HTTP/" + version + b" 200 OK\r\n\r\n") == Reason.BAD_RESPONSE


def test_preface_of_http2_is_a_version() -> None:
    assert refused_head(parse_request, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n") == VERSION


@pytest.mark.parametrize(("digit", "minor"), [(b"0", 0), (b"1", 1), (b"2", 1), (b"9", 1)])
def test_minor_version_is_capped(digit: bytes, minor: int) -> None:
    assert head_of(parse_request, b"GET / HTTP/1." + digit + b"\r\n\r\n").version_minor == minor
    assert head_of(parse_response, b"HTTP/1." + digit + b" 200 OK\r\n\r\n").version_minor == minor


def test_one_empty_line_before_a_request() -> None:
    head = head_of(parse_request, b"\r\n" + REQUEST)
    assert head.length == len(REQUEST) + 2
    assert head.target == b"/static/app.js?v=3"


@pytest.mark.parametrize(
    "line",
    [
        b"a:", b"a: ", b"a:b", b"a:\tb \t", b"a: b\tc", b"!#$%&'*+-.^_`|~: x", b"a: \x80\xff",
        b"a: " + b"x" * 5000, b"x" * 5000 + b": b",
    ],
)  # fmt: skip
def test_field_lines(line: bytes) -> None:
    name, value = line.split(b":", 1)
    for parse, start in ((parse_request, b"GET / HTTP/1.1\r\n"), (parse_response, b"HTTP/1.1 200 OK\r\n")):
        assert head_of(parse, start + line + b"\r\nb: c\r\n\r\n").fields == [(name, value.strip(b" \t")), (b"b", b"c")]
    assert head_of(parse_fields, line + b"\r\n\r\n").fields == [(name, value.strip(b" \t"))]


BAD_CONTROLS = [bytes([c]) for c in range(256) if (c < 32 and c != 9) or c == 127]


@pytest.mark.parametrize(
    "line",
    [
        b"a", b":b", b" a: b", b"\ta: b", b"a : b", b"a\t: b", b"a: b\r\n folded", b"a: b\r\n\tfolded", b"a b: c",
        b"a\x80: b", b"a(: b", b"a: b\nc: d", b"a: b\n", b"a: b\r", b"a: b\rc: d", b"\n", b"\nb: c", b"\ra: b",
        b"a\x00: b", b"a: b\r\n\n", b"a:\n",
        *(b"a: " + c for c in BAD_CONTROLS), *(b"a: 12345678901" + c + b"23456789" for c in BAD_CONTROLS),
    ],
)  # fmt: skip
def test_bad_field_lines(line: bytes) -> None:
    assert refused_head(parse_request, b"GET / HTTP/1.1\r\nx: y\r\n" + line + b"\r\n\r\n") == BAD
    assert refused_head(parse_response, b"HTTP/1.1 200 OK\r\nx: y\r\n" + line + b"\r\n\r\n") == Reason.BAD_RESPONSE
    assert refused_head(parse_fields, b"x: y\r\n" + line + b"\r\n\r\n") == BAD


@pytest.mark.parametrize(
    ("line", "status", "phrase"),
    [
        (b"HTTP/1.1 200 OK", 200, b"OK"),
        (b"HTTP/1.0 404 Not Found", 404, b"Not Found"),
        (b"HTTP/1.1 100 ", 100, b""),
        (b"HTTP/1.1 599", 599, b""),
        (b"HTTP/1.1 200 a\tb \xe9", 200, b"a\tb \xe9"),
        (b"HTTP/1.1 200  two", 200, b"two"),
    ],
)
def test_status_lines(line: bytes, status: int, phrase: bytes) -> None:
    head = head_of(parse_response, line + b"\r\n\r\n")
    assert (head.status, head.reason_phrase) == (status, phrase)


@pytest.mark.parametrize(
    "line",
    [
        b"HTTP/1.1 99 x", b"HTTP/1.1 099 x", b"HTTP/1.1 600 x", b"HTTP/1.1 2000 x", b"HTTP/1.1  200 x", b"HTTP/1.1",
        b"HTTP/1.1 20x y", b"HTTP/1.1\t200 OK", b"HTTP/1.1 200\tOK", b"HTTP/1.1 200 a\x00b", b"HTTP/1.1 200 a\x7f",
        b"HTTP/1.1 200 a\nb", b"http/1.1 200 OK", b"HTTP/1 200 OK", b"ICY 200 OK", b"\r\nHTTP/1.1 200 OK", b"",
        b"HTTP/1.1 -20 x", b"HTTP/1.1 200 OK\r",
    ],
)  # fmt: skip
def test_bad_status_lines(line: bytes) -> None:
    assert refused_head(parse_response, line + b"\r\n\r\n") == Reason.BAD_RESPONSE


@pytest.mark.parametrize(
    "data", [b"\x00", b"{", b"\x16\x03\x01", b" ", b"\n", b"GET / HTTP/1.1\n", b"GET /\n", b"GET /\r\n"]
)
def test_garbage_is_refused_at_once(data: bytes) -> None:
    assert outcome(parse_request, data) == BAD


@pytest.mark.parametrize("data", [b"GET / HTTP/1.1\r\na: b\nc", b"GET / HTTP/1.1\r\na: b\r\n\nc", b"GET / HTTP/1.1\n"])
def test_a_line_without_cr_does_not_hang(data: bytes) -> None:
    assert outcome(parse_request, data) == outcome(parse_request, data, step=1) == BAD


def test_target_limit() -> None:
    fits = b"GET /" + b"a" * 99 + b" HTTP/1.1\r\n\r\n"
    assert head_of(parse_request, fits, target_bytes=100).target == b"/" + b"a" * 99
    assert refused_head(parse_request, fits, target_bytes=99) == LONG


@pytest.mark.parametrize("step", [None, 1, 2, 3, 50, 101, 104, 105, 106])
@pytest.mark.parametrize("before", [b"", b"\r\n"])
def test_target_limit_before_the_line_is_complete(step: int | None, before: bytes) -> None:
    assert outcome(parse_request, before + b"GET /" + b"a" * 99, target_bytes=100, step=step) is None
    assert outcome(parse_request, before + b"GET /" + b"a" * 100, target_bytes=100, step=step) == LONG


@pytest.mark.parametrize("step", [None, 1, 7])
def test_head_limit(step: int | None) -> None:
    n = len(REQUEST)
    assert parse_request(REQUEST, head_bytes=n, step=step) is not None
    assert outcome(parse_request, REQUEST, head_bytes=n - 1, step=step) == LARGE
    assert outcome(parse_request, REQUEST[: n - 1], head_bytes=n, step=step) is None
    assert outcome(parse_request, REQUEST[: n - 2], head_bytes=n - 2, step=step) == LARGE
    n = len(RESPONSE)
    assert parse_response(RESPONSE, head_bytes=n, step=step) is not None
    assert outcome(parse_response, RESPONSE, head_bytes=n - 1, step=step) == Reason.RESPONSE_HEAD_TOO_LARGE


def test_field_limit() -> None:
    def head(n: int) -> bytes:
        return b"GET / HTTP/1.1\r\n" + b"a: b\r\n" * n + b"\r\n"

    assert len(head_of(parse_request, head(100)).fields) == 100
    assert refused_head(parse_request, head(101)) == LARGE
    assert refused_head(parse_request, head(1), fields=0) == LARGE
    assert len(head_of(parse_request, head(256), fields=10_000).fields) == 256
    assert refused_head(parse_request, head(257), fields=10_000) == LARGE
    assert refused_head(parse_response, b"HTTP/1.1 200 OK\r\n" + b"a: b\r\n" * 101 + b"\r\n") == (
        Reason.RESPONSE_HEAD_TOO_LARGE
    )


def test_name_longer_than_its_place() -> None:
    start = b"GET / HTTP/1.1\r\n"
    assert parse_request(start + b"n" * 65535 + b":\r\n\r\n", head_bytes=200_000) is not None
    assert outcome(parse_request, start + b"n" * 65536 + b":\r\n\r\n", head_bytes=200_000) == LARGE


TCHARS = [c for c in range(33, 127) if bytes([c]) not in b'"(),/:;<=>?@[\\]{}']


@pytest.mark.parametrize("place", range(41))
def test_each_byte_at_each_place(place: int) -> None:
    """Names and values are looked at sixteen bytes at a time, where that many are there."""
    for c in range(256):
        word = b"A" * place + bytes([c]) + b"z" * (40 - place)
        for rest in (b"\r\n\r\n", b"\r\nb: " + b"c" * 40 + b"\r\n\r\n"):
            named, said = (outcome(parse_fields, line + rest) for line in (word + b": v", b"n: " + word))
            if c in TCHARS:
                assert isinstance(named, dict)
                assert named["fields"][0] == (word, b"v")
            elif c != 58:
                assert named == BAD
            if c == 9 or (c >= 32 and c != 127):
                assert isinstance(said, dict)
                assert said["fields"][0] == (b"n", word.strip(b" \t"))
            else:
                assert said == BAD


KNOWN = [known for known in FieldId if known != FieldId.F_OTHER]


@pytest.mark.parametrize("known", KNOWN)
def test_no_other_name_is_taken_for_a_known_one(known: FieldId) -> None:
    name = (known.name or "")[2:].replace("_", "-").lower().encode()
    names = [name[:at] + bytes([c]) + name[at + 1 :] for at in range(len(name)) for c in TCHARS]
    for begin in range(0, len(names), 50):
        some = names[begin : begin + 50]
        head = parse_fields(b"".join(one + b": v\r\n" for one in some) + b"\r\n")
        assert head is not None
        assert [found == known for found in head.ids] == [one.lower() == name for one in some]


@pytest.mark.parametrize("known", KNOWN)
def test_known_names(known: FieldId) -> None:
    name = (known.name or "")[2:].replace("_", "-").lower().encode()
    lines = [
        name,
        name.upper(),
        name.title(),
        name + b"x",
        name[:-1] + b"_",
        b"x" + name[1:] if name[0] != 120 else b"y",
    ]
    head = parse_fields(b"".join(line + b": v\r\n" for line in lines) + b"\r\n")
    assert head is not None
    assert head.ids == [known] * 3 + [FieldId.F_OTHER] * 3
    assert (head.first[known], head.count[known]) == (1, 3)
    assert (head.first[FieldId.F_OTHER], head.count[FieldId.F_OTHER]) == (4, 3)


@pytest.mark.parametrize(
    ("value", "token", "found"),
    [
        (b"close", b"close", True), (b"CLOSE", b"close", True), (b" close ,", b"close", True), (b",,\tclose",
        b"close", True),
        (b"a,b , close", b"close", True), (b"closed", b"close", False), (b"clos", b"close", False), (b"", b"close",
        False),
        (b"x close", b"close", False), (b"close;q=1", b"close", True), (b"a;close, b", b"close", False),
        (b'a;b="x,close", c', b"close", False), (b'a;b="\\",close", c', b"close", False), (b"a;b=c,close", b"close",
        True),
        (b"close ; a", b"close", True), (b"keep-alive, Upgrade", b"upgrade", True), (b'a;b="', b"close", False),
        (b"Keep\x0dAlive", b"keep-alive", False),
    ],
)  # fmt: skip
def test_list_has_token(value: bytes, token: bytes, found: bool) -> None:
    assert has_token(value, token) is found


@given(st.binary(max_size=20))
def test_equals_lower(text: bytes) -> None:
    assert is_lower(text, text.lower())
    assert is_lower(text.upper(), text.lower())
    assert is_lower(text, text.swapcase().lower())
    assert not is_lower(b"@" + text, b"`" + text.lower())


def shapes(n: int) -> dict[str, bytes]:
    start = b"GET / HTTP/1.1\r\n"
    return {
        "value": start + b"a: " + b"x" * n + b"\r\n\r\n",
        "target": b"GET /" + b"x" * n + b" HTTP/1.1\r\n\r\n",
        "name": start + b"x" * n,
        "method": b"M" * n,
        "lines": start + b"a:\r\n" * (n // 4),
        "returns": start + b"a: b\r\n" * 200 + b"c: " + b"x" * n,
    }


# Bounded in seconds: a build that traces each line takes longer.
@pytest.mark.figures
@pytest.mark.parametrize("shape", list(shapes(0)))
def test_byte_by_byte_takes_linear_time(shape: str) -> None:
    data = shapes(150_000)[shape]
    start = time.process_time()
    outcome(parse_request, data, step=1, head_bytes=10**6, target_bytes=10**6, fields=256)
    # 0.02 s when linear; a scanner that begins again with each byte takes more than 10 s.
    assert time.process_time() - start < 2


TOKEN = st.text("abcdefghijklmnopqrstuvwxyzABC0123456789!#$%&'*+-.^_`|~", min_size=1, max_size=12).map(str.encode)
VALUE = st.binary(max_size=40).map(lambda b: bytes(c for c in b if c >= 32 and c != 127).strip())
FIELDS = st.lists(st.tuples(TOKEN, VALUE), max_size=8)
TARGET = st.text("abc/?&=%20:@;,+~!$'()*[]", max_size=30).map(lambda s: b"/" + s.encode())


@given(TOKEN.filter(lambda m: m != b"CONNECT"), TARGET, FIELDS, st.sampled_from([b"1.0", b"1.1"]))
def test_what_was_written_is_read(
    method: bytes, target: bytes, fields: list[tuple[bytes, bytes]], version: bytes
) -> None:
    data = method + b" " + target + b" HTTP/" + version + b"\r\n"
    data += b"".join(name + b": " + value + b"\r\n" for name, value in fields) + b"\r\n"
    head = head_of(parse_request, data)
    assert (head.method_name, head.target, head.version_minor) == (method, target, int(version[2:]))
    assert head.path + head.query == target
    assert head.fields == fields


@given(FIELDS, st.integers(100, 599), TARGET)
def test_agrees_with_h11(fields: list[tuple[bytes, bytes]], status: int, target: bytes) -> None:
    # h11 judges framing too, and wants Host: neither is this scanner's business.
    names = (b"content-length", b"transfer-encoding", b"host")
    fields = [(name, value) for name, value in fields if name.lower() not in names]
    lines = b"".join(name + b": " + value + b"\r\n" for name, value in fields) + b"\r\n"
    server = h11.Connection(h11.SERVER)
    request = b"GET " + target + b" HTTP/1.1\r\nHost: a\r\n" + lines
    server.receive_data(request)
    event = server.next_event()
    head = parse_request(request)
    assert isinstance(event, h11.Request)
    assert head is not None
    assert (event.target, event.headers.raw_items()) == (head.target, head.fields)
    client = h11.Connection(h11.CLIENT)
    client.send(
        h11.Request(method="GET", target="/", headers=[("Host", "a"), ("Connection", "Upgrade"), ("Upgrade", "x")])
    )
    response = b"HTTP/1.1 " + str(status).encode() + b" Fine\r\n" + lines
    client.receive_data(response)
    answer = client.next_event()
    head = parse_response(response)
    assert isinstance(answer, h11.Response | h11.InformationalResponse)
    assert head is not None
    assert (answer.status_code, answer.reason, answer.headers.raw_items()) == (
        head.status,
        head.reason_phrase,
        head.fields,
    )


NOISE = st.lists(
    st.sampled_from(
        [b"\r\n", b"\r", b"\n", b" ", b":", b"a", b"GET / HTTP/1.1\r\n", b"HTTP/1.1 200 OK\r\n", b"\x00", b"a: b\r\n"]
    ),
    max_size=12,
).map(b"".join)


@given(NOISE, st.integers(1, 40))
def test_the_cut_does_not_matter(noise: bytes, step: int) -> None:
    # The empty lines complete whatever it is, so that every way of feeding comes to a result.
    data = noise + b"\r\n\r\n\r\n"
    for parse in (parse_request, parse_response, parse_fields):
        limits = {"fields": 4, "head_bytes": 60}
        assert outcome(parse, data, **limits) == outcome(parse, data, step=step, **limits)


@given(st.binary(max_size=200))
def test_bounds_hold_for_any_bytes(data: bytes) -> None:
    for parse, start in (
        (parse_request, b"GET / HTTP/1.1\r\n"),
        (parse_response, b"HTTP/1.1 200 OK\r\n"),
        (parse_fields, b""),
    ):
        for whole in (data, start + data, start + data + b"\r\n\r\n"):
            result = outcome(parse, whole)
            if isinstance(result, dict):
                assert result["length"] <= len(whole)
                assert whole[: result["length"]].endswith(b"\r\n")
                assert as_dict(head_of(parse, whole[: result["length"]])) == result
