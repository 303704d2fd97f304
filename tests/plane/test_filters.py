"""Which requests a rule takes: by what their path leads to, by method and by field."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.plane.scene import Scene
from weir.config.plan import FaultPlan
from weir.plane.filters import plain

Stage = Callable[..., Scene]


@pytest.mark.parametrize(
    ("path", "leads_to"),
    [
        (b"/login", b"/login"),
        (b"/login/", b"/login/"),
        (b"//login", b"/login"),
        (b"/%6Cogin", b"/login"),
        (b"/%6c%6f%67in", b"/login"),
        (b"/a/../login", b"/login"),
        (b"/a/%2e%2E/login", b"/login"),
        (b"/a%2f..%2Flogin", b"/login"),
        (b"/../../login", b"/login"),
        (b"/./login/.", b"/login/"),
        (b"/login/..", b"/"),
        (b"/a/b/..", b"/a/"),
        (b"/a/b/../", b"/a/"),
        (b"/...", b"/..."),
        (b"/.a/..b", b"/.a/..b"),
        (b"/100%", b"/100%"),
        (b"/%zz%4", b"/%zz%4"),
        (b"/%2", b"/%2"),
        (b"/%25%36%43", b"/%6C"),
        # Tomcat and Jetty leave out what follows a semicolon, and resolve then; what is encoded is a part of a name.
        (b"/login;jsessionid=1", b"/login"),
        (b"/login;/a;b=c;d/e", b"/login/a/e"),
        (b"/a/..;/login", b"/login"),
        (b"/a/%2e.;x=%2F..%2F/login", b"/login"),
        (b"/;x/login/;y", b"/login/"),
        (b"/a%3Bb", b"/a;b"),
        # Servers of Windows take it for a slash.
        (b"/a\\b", b"/a/b"),
        (b"/\\login", b"/login"),
        (b"/x%5c..\\login%5C", b"/login/"),
        (b"", b"/"),
        (b"/", b"/"),
        (b"*", b"/*"),
    ],
)
def test_a_path_is_what_it_leads_to(path: bytes, leads_to: bytes) -> None:
    assert plain(path) == leads_to


@given(st.text(alphabet="/.%2eEfa;\\5c3B", max_size=40))
def test_what_a_path_leads_to_has_nothing_to_resolve(path: str) -> None:
    found = plain(b"/" + path.encode())
    assert found.startswith(b"/")
    assert b"//" not in found
    assert not {b".", b".."} & set(found.split(b"/"))
    assert len(found) <= len(path) + 1


def request(line: bytes = b"GET /a", *fields: bytes) -> bytes:
    return line + b" HTTP/1.1\r\nHost: h\r\n" + b"".join(field + b"\r\n" for field in fields) + b"\r\n"


@pytest.mark.parametrize(
    ("rule", "asked", "taken"),
    [
        ({}, request(), True),
        ({"methods": ("POST", "PUT")}, request(), False),
        ({"methods": ("POST", "GET")}, request(), True),
        ({"methods": ("PURGE",)}, request(b"PURGE /a"), True),
        ({"methods": ("PURGE", "REPORT")}, request(b"REPORT /a"), True),
        ({"methods": ("PURGE",)}, request(b"PURGE2 /a"), False),
        ({"methods": ("PURGE",)}, request(), False),
        ({"prefix": "/api/"}, request(b"GET /api/x?y"), True),
        ({"prefix": "/api/"}, request(b"GET /ap%69/x"), True),
        ({"prefix": "/api/"}, request(b"GET /b/..//api/x"), True),
        ({"prefix": "/api/"}, request(b"GET /api;v=1/x"), True),
        ({"prefix": "/api/"}, request(b"GET /a-long-one\\..\\api\\x"), True),
        ({"prefix": "/api/"}, request(b"GET /a-long-one/..;/api/x"), True),
        ({"prefix": "/api/"}, request(b"GET /api/../b"), False),
        ({"prefix": "/api/"}, request(b"GET /api"), False),
        ({"prefix": "/a%62c"}, request(b"GET /abcd"), True),
        ({"prefix": "/"}, request(b"GET http://h"), True),
        ({"field": "X-Weir-Fault"}, request(), False),
        ({"field": "X-Weir-Fault"}, request(b"GET /a", b"x-weir-fault: slow"), True),
        ({"field": "X-Weir-Fault"}, request(b"GET /a", b"x-weir-fault: a", b"X-Weir-Fault: b"), True),
        ({"field": "X-Weir-Fault: slow"}, request(b"GET /a", b"x-weir-fault:  slow "), True),
        ({"field": "X-Weir-Fault: slow"}, request(b"GET /a", b"x-weir-fault: slower"), False),
        ({"field": "X-Weir-Fault: slow"}, request(b"GET /a", b"x-weir-fault: slow", b"x-weir-fault: slow"), False),
        # CGI and its heirs take the two for the same, others do not: it is there, and equals nothing.
        ({"field": "X-Weir-Fault"}, request(b"GET /a", b"x_Weir-fault: slow"), True),
        ({"field": "X_Weir_Fault"}, request(b"GET /a", b"X-Weir-Fault: slow"), True),
        ({"field": "X-Weir-Fault: slow"}, request(b"GET /a", b"X_Weir_Fault: slow"), False),
        ({"field": "X-Weir-Fault: slow"}, request(b"GET /a", b"X_Weir-Fault: a", b"X-Weir-Fault: slow"), False),
        ({"field": "X-Weir-Fault: slow"}, request(b"GET /a", b"X-Weir-Fault: slow", b"X_Weir-Fault: a"), False),
        ({"field": "User-Agent"}, request(b"GET /a", b"user_agent: curl"), True),
        ({"field": "User-Agent: curl"}, request(b"GET /a", b"user-agent: curl"), True),
        ({"field": "User-Agent: curl"}, request(b"GET /a", b"user-agent: curl", b"user_agent: b"), False),
        ({"field": "Authorization"}, request(b"GET /a", b"authorization: Basic x"), True),
        ({"field": "Authorization"}, request(), False),
        ({"field": "Authorization: Basic x"}, request(b"GET /a", b"Authorization: Basic x"), True),
        ({"methods": ("GET",), "prefix": "/a", "field": "X"}, request(b"GET /a", b"X: 1"), True),
        ({"methods": ("GET",), "prefix": "/b", "field": "X"}, request(b"GET /a", b"X: 1"), False),
    ],
)
def test_who_is_taken(stage: Stage, rule: dict[str, Any], asked: bytes, taken: bool) -> None:
    scene = stage(listener={"faults": (FaultPlan(abort=503, **rule),)})
    client = scene.client(asked)
    assert client.take_sent().startswith(b"HTTP/1.1 503 ") == taken
    assert scene.dials == (not taken)
