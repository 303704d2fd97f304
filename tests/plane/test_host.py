from __future__ import annotations

import pytest

from tests.plane.feed import refusal
from tests.plane.heads import plain, request
from weir.reasons import Reason


@pytest.mark.parametrize(
    "host",
    [
        b"a",
        b"a.b:80",
        b"A.B",
        b"a:",
        b"127.0.0.1:8080",
        b"[::1]",
        b"[::ffff:1.2.3.4]:65535",
        b"a_b~c",
        b"a%20b",
        b"a!$&'()*+;=",
        b"0",
    ],
)
def test_valid_hosts(host: bytes) -> None:
    assert plain(request(host=host)) == [b"GET /x?y HTTP/1.1", b"Host: " + host]


@pytest.mark.parametrize(
    "host",
    [
        b"", b":80", b"a b", b"a,b", b"a/b", b"u@a", b"a?b", b"a#b", b"a\\b", b"a:b", b"a:80:80", b"a:+1", b"a:65536",
        b"a:99999999999",
        b"[::1", b"::1", b"[]", b"[:]", b"[g::1]", b"[::1]x", b"[::1]:x", b"[fe80::1%25eth0]", b"a%", b"a%2", b"a%zz",
        b"a\xe9",
        b"a<", b"a\"", b"a|", b"http://a", b"a\tb", b"[v1.x]",
    ],
)  # fmt: skip
def test_bad_hosts(host: bytes) -> None:
    assert refusal(plain, request(host=host)) == Reason.BAD_HOST
    assert refusal(plain, request(host=host, start=b"GET / HTTP/1.0")) == Reason.BAD_HOST


def test_how_many_hosts() -> None:
    assert refusal(plain, request(host=None)) == Reason.BAD_HOST
    assert refusal(plain, request(b"Host: a.b")) == Reason.BAD_HOST
    assert refusal(plain, request(b"host: c", start=b"GET / HTTP/1.0")) == Reason.BAD_HOST
    # HTTP/1.0 needs none, but the endpoint is spoken to in HTTP/1.1, which does.
    assert plain(request(host=None, start=b"GET / HTTP/1.0")) == [b"GET / HTTP/1.1", b"Host: "]
    assert plain(request(start=b"GET / HTTP/1.0")) == [b"GET / HTTP/1.1", b"Host: a.b"]


def test_asterisk_may_name_no_host() -> None:
    assert plain(request(host=b"", start=b"OPTIONS * HTTP/1.1")) == [b"OPTIONS * HTTP/1.1", b"Host: "]
    assert plain(request(start=b"OPTIONS * HTTP/1.1")) == [b"OPTIONS * HTTP/1.1", b"Host: a.b"]


@pytest.mark.parametrize(
    ("target", "host", "forwarded"),
    [
        (b"http://a.b/c?d", b"a.b", b"/c?d"),
        (b"http://A.b/c", b"a.B", b"/c"),
        (b"http://a.b", b"a.b", b"/"),
        (b"http://a.b?q", b"a.b", b"/?q"),
        (b"http://a.b:80/", b"a.b", b"/"),
        (b"http://a.b/", b"a.b:80", b"/"),
        (b"http://a.b:/", b"a.b:80", b"/"),
        (b"https://a.b:443/", b"a.b", b"/"),
        (b"http://a.b:8080/", b"a.b:8080", b"/"),
        (b"http://[::1]:80/", b"[::1]", b"/"),
    ],
)
def test_absolute_form(target: bytes, host: bytes, forwarded: bytes) -> None:
    data = request(b"x: y", start=b"GET " + target + b" HTTP/1.1", host=host)
    assert plain(data) == [b"GET " + forwarded + b" HTTP/1.1", b"Host: " + host, b"x: y"]


@pytest.mark.parametrize(
    ("target", "host"),
    [
        (b"http://a.b/", b"a.c"), (b"http://a.b:81/", b"a.b"), (b"http://a.b/", b"a.b:81"), (b"https://a.b:80/",
        b"a.b"),
        (b"http://a.b:443/", b"a.b"), (b"http://a.b:81/", b"a.b:82"), (b"http://a.b/", b""), (b"http://a,b/", b"a,b"),
        (b"http://a.b:x/", b"a.b:x"), (b"http://a.b/", b"a.b."), (b"http://a.b.c/", b"a.b"),
    ],
)  # fmt: skip
def test_target_and_host_disagree(target: bytes, host: bytes) -> None:
    assert refusal(plain, request(start=b"GET " + target + b" HTTP/1.1", host=host)) == Reason.BAD_HOST


def test_absolute_form_without_host() -> None:
    data = request(start=b"GET http://a.b:81/c HTTP/1.0", host=None)
    assert plain(data) == [b"GET /c HTTP/1.1", b"Host: a.b:81"]
    assert refusal(plain, request(start=b"GET http://a,b/c HTTP/1.0", host=None)) == Reason.BAD_HOST


@pytest.mark.parametrize(
    ("target", "forwarded"), [(b"http://a.b", b"*"), (b"http://a.b/", b"/"), (b"http://a.b?q", b"/?q")]
)
def test_options_of_a_server(target: bytes, forwarded: bytes) -> None:
    assert plain(request(start=b"OPTIONS " + target + b" HTTP/1.1"))[0] == b"OPTIONS " + forwarded + b" HTTP/1.1"
