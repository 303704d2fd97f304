"""What routes do: what may be written, what the plan makes of it, and what is refused, with its place."""

from __future__ import annotations

from pathlib import Path

import pytest

from weir.cli.check import summary
from weir.config.action_plan import ActionPlan
from weir.config.compile import compile_plan
from weir.config.errors import ConfigError
from weir.config.load import load_text
from weir.config.phrases import parse, write
from weir.config.plan import NOWHERE, Plan

CLUSTERS = """
[[listener]]
address = ":80"
[[cluster]]
name = "app"
endpoints = ["a:1"]
[[cluster]]
name = "shadow"
endpoints = ["b:1"]
"""
MIRROR = 'mirror = "shadow"\n'


def plan_of(route: str) -> Plan:
    text = f"[[route]]\n{route}\n" + CLUSTERS
    if "shadow" not in route:
        text += '[[listener]]\naddress = ":81"\nto = "shadow"\n'
    if '"app"' not in route:
        text += '[[listener]]\naddress = ":82"\nto = "app"\n'
    return compile_plan(load_text(text, "f"))


def action_of(route: str) -> ActionPlan | None:
    plan = plan_of(route)
    return plan.routes[plan.routers[plan.listeners[0].router][0].sides[0][0]].action


def problems(route: str) -> list[str]:
    with pytest.raises(ConfigError) as error:
        plan_of(route)
    return [str(problem).removeprefix("f:").replace("route[0].", "") for problem in error.value.problems]


def test_a_route_that_only_sends_on_does_nothing_else() -> None:
    assert action_of('to = "app"\npath = "/a/*"') is None


@pytest.mark.parametrize(
    ("route", "action"),
    [
        ('to = "app"\npath = "/api/v1/*"\nstrip_prefix = "/api/"', ActionPlan(strip_segments=1)),
        ('to = "app"\npath = "/api/{v}"\nstrip_prefix = "/%61pi"\nadd_prefix = "/x"', ActionPlan(1, "/x")),
        ('to = "app"\nadd_prefix = "/x/y/"', ActionPlan(add_prefix="/x/y")),
        ('to = "app"\nadd_prefix = "/x;y=1/z%3b"', ActionPlan(add_prefix="/x;y=1/z%3B")),
        (
            'to = "app"\npath = "/users/{id}/*"\nrewrite = "/people/{id}/*"',
            ActionPlan(2, rewrite=(("text", "/people/"), ("segment", 1), ("text", "")), rewrite_rest=True),
        ),
        (
            'to = "app"\npath = "/{a}/{b}"\nrewrite = "/{b}/x/{a}/"',
            ActionPlan(2, rewrite=(("text", "/"), ("segment", 1), ("text", "/x/"), ("segment", 0), ("text", "/"))),
        ),
        ('to = "app"\npath = "/a/*"\nrewrite = "/*"', ActionPlan(1, rewrite=(("text", ""),), rewrite_rest=True)),
        ('to = "app"\nrewrite = "/one"', ActionPlan(rewrite=(("text", "/one"),))),
        (
            'redirect = "https://{host}{target}"',
            ActionPlan(status=307, location=(("text", "https://"), ("host", ""), ("target", ""))),
        ),
        (
            'path = "/u/{id}"\nredirect = "/v/{id}?{query}"\nredirect_status = 301',
            ActionPlan(status=301, location=(("text", "/v/"), ("segment", 1), ("text", "?"), ("query", ""))),
        ),
        ("respond = {}", ActionPlan(status=200)),
        (
            'respond = { status = 503, body = "no {{{client}}}" }',
            ActionPlan(
                status=503,
                content_type="text/plain; charset=utf-8",
                body=(("text", "no {"), ("client", ""), ("text", "}")),
            ),
        ),
        (
            """respond = { body = '{"a": 1}', content_type = "application/json" }""",
            ActionPlan(status=200, content_type="application/json", body=(("text", '{"a": 1}'),)),
        ),
        (
            'to = "app"\n[route.request]\nset = { X-A = "1" }\n'
            'add = { X-B = ["2", "{client}"] }\nremove = "X-C"\nhost = "h"',
            ActionPlan(
                host="h",
                request_drops=("X-A", "X-C"),
                request_lines=(
                    ("X-A", (("text", "1"),)),
                    ("X-B", (("text", "2"),)),
                    ("X-B", (("client", ""),)),
                ),
            ),
        ),
        (
            'to = "app"\n[route.response]\nset = { X-A = "{endpoint} {field:A} {cookie:b}" }',
            ActionPlan(
                response_drops=("X-A",),
                response_lines=(
                    (
                        "X-A",
                        (("endpoint", ""), ("text", " "), ("field", "A"), ("text", " "), ("cookie", "b")),
                    ),
                ),
            ),
        ),
        (
            f'to = "app"\n{MIRROR}mirror_percent = 5\nmirror_max = 7',
            ActionPlan(mirror=1, mirror_percent=5, mirror_max=7),
        ),
    ],
)
def test_what_a_route_does(route: str, action: ActionPlan) -> None:
    assert action_of(route) == action


def test_a_route_that_answers_has_no_cluster() -> None:
    plan = plan_of("respond = { status = 404 }")
    assert [route.cluster for route in plan.routes if route.name == "/*"] == [NOWHERE]


def test_a_body_from_a_file(tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    page.write_text("<p>{client}\n")
    action = action_of(f'respond = {{ status = 503, file = "{page}" }}')
    assert action == ActionPlan(status=503, content_type="text/html; charset=utf-8", body=(("text", "<p>{client}\n"),))
    page.write_bytes(b"\xff")
    assert "is not UTF-8: byte 0xFF at 0" in problems(f'respond = {{ file = "{page}" }}')[0]
    page.write_text("a" * 131_073)
    assert "is larger than 128 KiB" in problems(f'respond = {{ file = "{page}" }}')[0]
    assert "cannot be read: no such file" in problems('respond = { file = "none.html" }')[0]


@pytest.mark.parametrize(
    ("route", "said"),
    [
        ('path = "/a"', '1:1: to: missing: every [[route]] needs it, or redirect, or respond; for example to = "app"'),
        (
            f'to = "app"\nadd_prefix = "/{"ä" * 200}"',
            "has more than 512 bytes when it is percent-encoded; write a shorter one",
        ),
        (
            'to = "app"\nrequest.set = { ' + ", ".join(f'X-{n} = "{"a" * 4000}"' for n in range(9)) + " }",
            "3:1: request: its fields have 36063 bytes, and 32768 at most are added to one head; say less in them",
        ),
        (
            'to = "app"\nredirect = "/x"',
            "3:1: redirect: to says already what becomes of the requests; take one of them out",
        ),
        (
            'redirect = "/x"\nadd_prefix = "/y"',
            "3:1: add_prefix: without effect: with redirect nothing is sent on; take it out",
        ),
        (
            'to = "app"\nredirect_status = 301',
            "3:1: redirect_status: without effect: there is no redirect; take it out",
        ),
        (
            'redirect = "/x"\nredirect_status = 300',
            "3:19: redirect_status: 300 is no status of a redirect; 301, 302, 303, 307 or 308",
        ),
        (
            'redirect = "//evil/x"',
            '2:12: redirect: "//evil/x" leads to another host; write "https://evil/x", or one slash',
        ),
        (
            'redirect = "{target}"',
            '2:12: redirect: "{target}" is not an address: a scheme, a host, and what follows it; for '
            'example "https://{host}{target}", or a path: "/new{path}"',
        ),
        ('redirect = "/{client}"', '2:12: redirect: "/{client}" : {client} cannot be said here'),
        ('redirect = "/a b"', '2:12: redirect: "/a b" is not an address; percent-encode what is no part of one'),
        ('path = "/{a}"\nredirect = "https://h{a}/"', '3:12: redirect: "https://h{a}/" is not an address'),
        ('redirect = "/{id}"', "2:12: redirect: there is no variable {id}"),
        (
            'to = "app"\nrespond = { status = 100 }',
            "3:22: respond.status: 100 is not the status of an answer; a number of 200 to 599",
        ),
        (
            'respond = { status = 204, body = "x" }',
            "2:27: respond.body: without effect: a response with status 204 has no body",
        ),
        (
            'respond = { content_type = "text/html" }',
            "2:13: respond.content_type: without effect: there is no body; take it out",
        ),
        ('respond = { body = "{endpoint}" }', "{endpoint} cannot be said here; there is {client}, {host}"),
        ('respond = { body = "a } b" }', 'a brace without its counterpart; for the character write "}}"'),
        (
            'to = "app"\npath = "/a/*"\nstrip_prefix = "/b"',
            '4:16: strip_prefix: the route\'s path does not begin with "/b"; write path = "/b/*"',
        ),
        ('to = "app"\nstrip_prefix = "/b"', '3:16: strip_prefix: the route\'s path does not begin with "/b"'),
        ('to = "app"\nadd_prefix = "/{x}"', '3:14: add_prefix: "/{x}": a prefix has no asterisk and no parameter'),
        ('to = "app"\nadd_prefix = "/"', '3:14: add_prefix: "/" is before every path; take it out'),
        (
            'to = "app"\npath = "/a"\nrewrite = "/b/*"',
            "4:11: rewrite: nothing follows the route's path: the asterisk stands for nothing",
        ),
        (
            'to = "app"\npath = "/a/{x}"\nrewrite = "/b/{y}"',
            "4:11: rewrite: there is no variable {y}; of the path: {x}",
        ),
        (
            'to = "app"\nrewrite = "/x"\nadd_prefix = "/y"',
            "4:1: add_prefix: rewrite says already what becomes of the path",
        ),
        ('to = "app"\nrequest.set = { Via = "x" }', "Via: only weir writes this field; take it out"),
        ('to = "app"\nrequest.remove = "Host"', "Host: only weir writes this field; write `host` beside it"),
        (
            'to = "app"\nrequest.set = { X-Forwarded-For = "x" }',
            "what is said there is chosen by the listener's `forwarded`",
        ),
        ('to = "app"\nresponse.add = { Content-Length = "1" }', "Content-Length: only weir writes this field"),
        (
            'to = "app"\nrequest.set = { X-A = "a\\nX-B: b" }',
            "is not the value of a field; one line, without spaces around it",
        ),
        ('to = "app"\nrequest.set = { X-A = "" }', "is not the value of a field"),
        ('to = "app"\nrequest.set = { X-A = "{clint}" }', "there is no variable {clint}; did you mean {client}?"),
        (
            'to = "app"\nrequest.set = { X-A = "{cli-ent}" }',
            "there is no variable {cli-ent}; there is {client}, {host}, {path}",
        ),
        (
            'to = "app"\nrequest.set = { X-A = "{field:a b}" }',
            '"a b" is not the name of a field; for example "{field:X-Id}"',
        ),
        (
            'to = "app"\npath = "/{host}"\nrequest.set = { X-A = "{host}" }',
            "{host} is a parameter of the path, and a variable of weir's",
        ),
        ('to = "app"\nrequest = { set = { X-A = "a" }, remove = ["x-a"] }', "without effect: set says what x-a is"),
        ('to = "app"\nresponse.set = { X-Bytes = "a" }', "X-Bytes: weir writes this field itself ([stats] header)"),
        (
            'redirect = "/x"\nresponse.set = { Location = "a" }',
            "3:18: response.set.Location: Location: weir's own answers have this field already; take it out",
        ),
        ('to = "app"\nmirror = "shadw"', '3:10: mirror: there is no cluster "shadw"; did you mean "shadow"?'),
        ('to = "app"\nmirror = "app"', '3:10: mirror: "app" gets the requests already: each would come twice'),
        ('to = "app"\nmirror_max = 5', '3:1: mirror_max: without effect: nothing is mirrored; add mirror = "shadow"'),
    ],
)
def test_what_is_refused(route: str, said: str) -> None:
    found = problems(route)
    assert any(said.replace('" : ', '": ') in problem for problem in found), found


def test_a_mirror_whose_connections_speak_for_one_client() -> None:
    text = f'[[route]]\nto = "app"\n{MIRROR}' + CLUSTERS + 'proxy_protocol = "v2"\n'
    with pytest.raises(ConfigError) as error:
        load_text(text, "f")
    assert [str(problem) for problem in error.value.problems] == [
        'f:3:10: route[0].mirror: no copy goes to "shadow": its connections have a PROXY header, and speak for one '
        "client (line 13); name another cluster"
    ]


def test_an_id_that_weir_writes_itself() -> None:
    text = (
        '[[route]]\nto = "app"\nrequest.set = { X-Request-Id = "1" }\n'
        + CLUSTERS.replace('address = ":80"', 'address = ":80"\nrequest_id = "keep"')
        + '[[listener]]\naddress = ":81"\nto = "shadow"\n'
    )
    with pytest.raises(ConfigError, match="weir writes this field itself"):
        load_text(text, "f")
    load_text(text.replace("keep", "pass"), "f")


@pytest.mark.parametrize("text", ["", "a", "{client}", "{{}}", "a{{b}}{field:X}c", "{id}-{cookie:a}"])
def test_phrases_are_written_as_they_are_read(text: str) -> None:
    assert write(parse(text)) == text


def test_a_summary_of_what_routes_do() -> None:
    route = (
        f'name = "api"\nto = "app"\npath = "/api/*"\nstrip_prefix = "/api"\nadd_prefix = "/v1"\n{MIRROR}'
        'request = { set = { X-A = "1" }, remove = "X-B", host = "h" }\nresponse.remove = "Server"\n'
        '[[route]]\nhost = "a.example"\nredirect = "https://b.example{path}"\n'
        '[[route]]\npath = "/old/{id}"\nrespond = { status = 410 }\n'
        '[[route]]\npath = "/u/{id}/*"\nto = "app"\nrewrite = "/p/{id}/*"'
    )
    lines = summary(plan_of(route))
    assert lines[1:5] == [
        "  api: path without 1 segment behind /v1; request +X-A -X-B; response -Server; Host h; mirror to shadow",
        "  a.example/*: 307 to https://b.example{path}",
        "  /old/{id}: answer 410",
        "  /u/{id}/*: path /p/{id}/*",
    ]
