"""`weir explain`: what it says of requests."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from weir.cli.explain import request_head

from .support import weir

CONFIG = """\
hooks = "app.py"

[[listener]]
address = "127.0.0.1:8080"
to = "app"
max_body = "1MiB"
  [[listener.rate_limit]]
  by = "client"
  rate = "10/s"
  methods = ["GET"]
  [[listener.fault]]
  delay = "100ms"
  prefix = "/api"

[[listener]]
address = "127.0.0.1:8443"
to = "app"

[[route]]
name = "users"
path = "/api/users/{id}"
methods = ["GET"]
to = "users"

[[route]]
name = "canary"
path = "/api/*"
listener = "127.0.0.1:8080"
to = { app = 9, users = 1 }
[[route.rate_limit]]
by = "all"
rate = "5/s"

[[route]]
name = "old"
path = "/old/*"
redirect = "/new"

[[route]]
name = "shop"
path = "/shop/{item}"
to = "app"
strip_prefix = "/shop"
request.set = { X-Item = "{item}" }
response.remove = ["Server"]

[[cluster]]
name = "app"
endpoints = ["127.0.0.1:8081", { address = "127.0.0.1:8082", weight = 3 }]
response_header_timeout = "5s"

[[cluster]]
name = "users"
endpoints = ["127.0.0.1:8083"]
policy = "hash"
hash_by = "path"
"""
APP = """\
import weir

@weir.hook("request", path="/api/*")
def guard(request):
    pass

@weir.hook("log", methods=["PUT"])
def note(request):
    pass

@weir.startup
def never():
    raise RuntimeError("nothing is started")
"""


@pytest.fixture
def home(tmp_path: Path) -> Path:
    (tmp_path / "weir.toml").write_text(CONFIG)
    (tmp_path / "app.py").write_text(APP)
    return tmp_path


def said(home: Path, *arguments: str, status: int = 0) -> dict[str, Any]:
    done = weir("explain", "-c", "weir.toml", "--json", *arguments, cwd=home)
    assert (done.returncode, done.stderr) == (status, "")
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_a_request_for_people(home: Path) -> None:
    done = weir("explain", "-c", "weir.toml", "GET", "http://api.example:8080/api/users/7", cwd=home)
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert lines[:8] == [
        "request           GET /api/users/7 HTTP/1.1, from 127.0.0.1",
        "listener          127.0.0.1:8080",
        "route             users (GET /api/users/{id})",
        "rate limit        each client: 10/s, 10 at once; GET",
        "fault             100 % wait 100ms; /api...",
        "hook, request     app.guard",
        "cluster           users, hash path",
        "endpoint          127.0.0.1:8083, weight 1, priority 0",
    ]
    assert lines[8] == "limit             max_body = 1MiB"
    assert "                  retry.attempts = 3" in lines


def test_the_same_for_programs(home: Path) -> None:
    found = said(home, "PUT", "http://h:8080/api/users/7")
    assert found["route"]["name"] in ("canary:app", "canary:users")
    assert found["route"]["sides"] == [{"name": "canary:app", "weight": 9}, {"name": "canary:users", "weight": 1}]
    assert found["passed_over"] == [{"name": "users", "unmet": "methods"}]
    assert {"rate_limit": "all 5/s", "says": "all requests together: 5/s, 5 at once"} in found["rules"]
    assert [(hook["phase"], hook["name"]) for hook in found["hooks"]] == [("request", "app.guard"), ("log", "app.note")]
    assert (found["refused"], found["client"]) == (None, "127.0.0.1")
    found = said(home, "GET", "/x", "--at", "127.0.0.1:8443", "--client", "192.0.2.1")
    assert found["route"] == {"name": "127.0.0.1:8443", "of": "listener"}
    assert [one["endpoint"] for one in found["cluster"]["endpoints"]] != []
    assert {one["endpoint"]: one["weight"] for one in found["cluster"]["endpoints"]} == {
        "127.0.0.1:8081": 1,
        "127.0.0.1:8082": 3,
    }
    assert found["limits"]["response_header_timeout"] == "5s"
    assert (found["client"], found["rules"]) == ("192.0.2.1", [])


def test_what_routes_do_themselves(home: Path) -> None:
    found = said(home, "GET", "http://h:8080/old/x")
    assert (found["answer"], found["cluster"]) == ({"status": 307, "location": "/new"}, None)
    found = said(home, "GET", "http://h:8080/shop/x")
    assert found["edits"] == [
        "strip_prefix: 1 segment of the path",
        "request: without X-Item",
        "request: X-Item: {item}",
        "response: without Server",
    ]
    assert (found["answer"], found["cluster"]["name"]) == (None, "app")
    lines = weir("explain", "-c", "weir.toml", "GET", "http://h:8080/old/x", cwd=home).stdout.splitlines()
    assert "answer            307, Location: /new" in lines


@pytest.mark.parametrize(
    ("arguments", "reason", "status"),
    [
        (("GET", "http://a b:8080/"), "bad_host", 400),
        (("GET", "http://h:8080/", "-H", "Bad Name: 1"), "bad_request", 400),
        (("POST", "http://h:8080/", "-H", "Content-Length: 9999999"), "body_too_large", 413),
        (("POST", "http://h:8080/", "-H", "Content-Length: 1", "-H", "Transfer-Encoding: chunked"), "bad_framing", 400),
    ],
)
def test_what_would_be_refused(home: Path, arguments: tuple[str, ...], reason: str, status: int) -> None:
    found = said(home, *arguments, status=1)
    assert (found["refused"]["reason"], found["refused"]["status"]) == (reason, status)
    done = weir("explain", "-c", "weir.toml", *arguments, cwd=home)
    assert f"refused           {status}, {reason}: " in done.stdout


def test_parameters_are_said_by_their_names(tmp_path: Path) -> None:
    routes = (
        '[[route]]\npath = "/old/{id}"\nredirect = "https://{host}/new/{id}"\n'
        '[[route]]\npath = "/u/{id}/*"\nto = "app"\nrewrite = "/p/{id}/*"\nrequest = { set = { X-A = "{id}" } }\n'
    )
    rest = '[[listener]]\naddress = ":8080"\nto = "app"\n[[cluster]]\nname = "app"\nendpoints = ["127.0.0.1:8081"]\n'
    (tmp_path / "weir.toml").write_text(routes + rest)
    found = said(tmp_path, "GET", "/old/7")
    assert (found["refused"], found["answer"]) == (None, {"status": 307, "location": "https://{host}/new/{id}"})
    found = said(tmp_path, "GET", "/u/7/x")
    assert found["edits"] == ["rewrite: /p/{id}/*", "request: without X-A", "request: X-A: {id}"]
    assert said(tmp_path, "GET", "/")["edits"] == []


def test_without_a_configuration_file(tmp_path: Path) -> None:
    done = weir("explain", "-l", ":8080", "-t", "127.0.0.1:8081", "GET", "/", "--json", cwd=tmp_path)
    assert json.loads(done.stdout)["cluster"]["name"] == "app"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("GET", "/"), "weir: which listener it comes to is not clear: say --at with one of 127.0.0.1:8080, "),
        (("GET", "/", "--at", ":1"), "weir: no listener is at ':1'; there are 127.0.0.1:8080, 127.0.0.1:8443"),
        (("GET", "http://h:8080/", "--client", "x"), "weir: no address: 'x'"),
        (("GET", "http://h:8080/", "--hooks", "none.py"), "weir: --hooks: there is no file "),
    ],
)
def test_questions_that_make_no_sense(home: Path, arguments: tuple[str, ...], message: str) -> None:
    done = weir("explain", "-c", "weir.toml", *arguments, cwd=home)
    assert done.returncode == 2
    assert done.stderr.startswith(message)


def test_something_has_to_be_explained(tmp_path: Path) -> None:
    done = weir("explain", "GET", "/", cwd=tmp_path)
    assert done.returncode == 2
    assert "Say what is to be explained: --config FILE, or --listen ADDRESS --to ADDRESS." in done.stderr


@pytest.mark.parametrize(
    ("method", "url", "line", "host"),
    [
        ("GET", "http://h", "/", "h"),
        ("GET", "http://u:p@h:80/a?b#c", "/a?b", "h:80"),
        ("GET", "HTTPS://h?b", "/?b", "h"),
        ("GET", "/a b", "/a b", "localhost"),
        ("GET", "http://[::1]:8080/", "/", "[::1]:8080"),
        ("OPTIONS", "*", "*", "localhost"),
        ("CONNECT", "h:443", "h:443", "h:443"),
    ],
)
def test_the_head_is_that_of_a_client(method: str, url: str, line: str, host: str) -> None:
    assert request_head(method, url) == f"{method} {line} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode()


def test_fields_are_sent_as_they_are() -> None:
    assert request_head("GET", "/", ("host : x", "A")) == b"GET / HTTP/1.1\r\nhost : x\r\nA\r\n\r\n"
