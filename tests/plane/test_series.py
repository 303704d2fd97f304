"""Which series a path is counted under: first those of a description, then the rule."""

from __future__ import annotations

import re
import time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.plane.scene import OK, Scene
from weir.plane.series import SeriesNames
from weir.plane.templates import template

SHOP = [
    "/",
    "/users",
    "/users/me",
    "/users/{userId}",
    "/users/{userId}/orders",
    "/users/{userId}/orders/{orderId}",
    "/users/{userId}/orders/latest",
    "/reports/{name}.csv",
    "/reports/{name}",
    "/reports/monthly.csv",
    "/reports/{year}-{month}.{format}",
    "/things/{a}{b}/x",
    "/jobs/{job}:cancel",
    "/slash/{x}/",
    "/{tenant}/status",
    "/caf%C3%A9/{größe}",
]


def named(templates: list[str], path: str) -> str:
    return SeriesNames(False, templates).name(path.encode()).decode()


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/", "/"),
        ("/users", "/users"),
        ("/users/me", "/users/me"),
        ("/users/you", "/users/{userId}"),
        ("/users/17", "/users/{userId}"),
        ("/users/{userId}", "/users/{userId}"),
        ("/users/me/orders", "/users/{userId}/orders"),
        ("/users/me/orders/latest", "/users/{userId}/orders/latest"),
        ("/users/me/orders/last", "/users/{userId}/orders/{orderId}"),
        ("/users/status", "/users/{userId}"),
        ("/acme/status", "/{tenant}/status"),
        ("/reports/monthly.csv", "/reports/monthly.csv"),
        ("/reports/weekly.csv", "/reports/{name}.csv"),
        ("/reports/2024-05.csv", "/reports/{name}.csv"),
        ("/reports/2024-05.pdf", "/reports/{year}-{month}.{format}"),
        ("/reports/-05.pdf", "/reports/{name}"),
        ("/reports/.csv", "/reports/{name}"),
        ("/reports/2024-.x", "/reports/{name}"),
        ("/reports/2024-05.", "/reports/{name}"),
        ("/things/ab/x", "/things/{a}{b}/x"),
        ("/things/a/x", "/things/a/x"),
        ("/jobs/17:cancel", "/jobs/{job}:cancel"),
        ("/jobs/:cancel", "/jobs/:cancel"),
        ("/slash/a/", "/slash/{x}/"),
        ("/caf%C3%A9/9", "/caf%C3%A9/{größe}"),
        # none of them: the rule
        ("/users/", "/users/"),
        ("/users/17/", "/users/{id}/"),
        ("/users/17/orders/5/x", "/users/{id}/orders/{id}/x"),
        ("/Users/17", "/Users/{id}"),
        ("/slash/17", "/slash/{id}"),
        ("//status", "//status"),
        ("/a/b/c/17" + "/d" * 99, None),
        ("", ""),
        ("*", "*"),
        ("users/17", "users/{id}"),
    ],
)
def test_templates_come_before_the_rule(path: str, expected: str | None) -> None:
    assert named(SHOP, path) == (template(path.encode()).decode() if expected is None else expected)


def test_exact_is_the_path_itself() -> None:
    for path in (b"/users/17", b"/" + b"a" * 300, b"", b"/users/me"):
        assert SeriesNames(True, SHOP).name(path) == path


def test_without_templates_the_rule_decides() -> None:
    names = SeriesNames(False, [])
    assert names.templates == 0
    assert names.name(b"/users/17") == b"/users/{id}"
    assert names.name(b"/users/me") == b"/users/me"


def test_of_two_that_are_alike_the_first_gives_the_name() -> None:
    assert named(["/a/{x}", "/a/{y}", "/a/{x}"], "/a/5") == "/a/{x}"
    assert named(["/a/{x}-{y}", "/a/{z}-{w}"], "/a/5-6") == "/a/{x}-{y}"


@pytest.mark.parametrize("wrong", ["", "users", "x/y", "/a" * 65])
def test_what_is_no_template_is_refused(wrong: str) -> None:
    with pytest.raises(ValueError, match="1 to 64 segments"):
        SeriesNames(False, ["/a", wrong])


def test_a_long_template_and_many_of_them() -> None:
    deep = "/" + "/".join(f"{{p{n}}}" for n in range(64))
    many = [f"/r{n}/{{id}}/s{n % 7}" for n in range(10_000)]
    names = SeriesNames(False, [*many, deep])
    assert names.templates == 10_001
    assert all(names.name(f"/r{n}/x/s{n % 7}".encode()) == many[n].encode() for n in range(10_000))
    assert names.name(b"/r3/17/s4") == b"/r3/{id}/s4"
    assert names.name(b"/a" * 64) == deep.encode()
    assert names.name(b"/a" * 65) == b"/a" * 65


def test_steps_for_a_path_are_bounded() -> None:
    """A description in which every path leads everywhere: 2^18 ways, of which the last would fit."""
    templates = ["/" + "/".join("a" if n >> bit & 1 else "{x}" for bit in range(8)) + "/end" for n in range(256)]
    templates += [text.replace("/end", "/" + "/".join(["{y}"] * 8) + "/end") for text in templates]
    names = SeriesNames(False, templates)
    started = time.process_time()
    assert names.name(b"/a" * 16 + b"/nowhere", 1000) == b"/a" * 16 + b"/nowhere"
    assert time.process_time() - started < 10


def test_patterns_of_a_segment_are_bounded() -> None:
    """Each that is tried is a step; those with the longest literals are tried first."""
    names = SeriesNames(False, [f"/jobs/{{job}}:{'x' * n}" for n in range(1, 201)])
    assert names.name(b"/jobs/17:" + b"x" * 200) == b"/jobs/{job}:" + b"x" * 200
    assert names.name(b"/jobs/17:" + b"x" * 100) == b"/jobs/{job}:" + b"x" * 100
    assert names.name(b"/jobs/17:" + b"x" * 10) == b"/jobs/17:" + b"x" * 10


segments = st.sampled_from(["a", "b", "ab", "a-b", "a-b.c", "{x}", "{x}{y}", "{x}-{y}", "a{x}", "{x}.c", "{x}-b", ""])
shapes = st.lists(segments, min_size=1, max_size=4).map(lambda parts: "/" + "/".join(parts))
parts = st.sampled_from(["a", "b", "ab", "aa", "a-b", "a-b.c", "x.c", "x-b", "-", "a-", "5", ""])
paths = st.lists(parts, min_size=1, max_size=4).map(lambda found: "/" + "/".join(found))


def precedence(shape: str) -> list[Any]:
    """What is tried first, segment by segment: literals, then the most literal bytes, then parameters."""
    order: list[Any] = []
    for segment in shape.split("/")[1:]:
        literals = tuple(re.split(r"\{[^}]+\}", segment))
        kind = 0 if len(literals) == 1 else 2 if literals == ("", "") else 1
        order.append((kind, -len("".join(literals)), literals))
    return order


@settings(max_examples=500, deadline=None)
@given(st.lists(shapes, max_size=8), paths)
def test_it_finds_what_trying_them_all_finds(templates: list[str], path: str) -> None:
    fits = [
        shape for shape in templates if re.fullmatch("[^/]+".join(map(re.escape, re.split(r"\{[^}]+\}", shape))), path)
    ]
    expected = min(fits, key=precedence) if fits else template(path.encode()).decode()
    assert named(templates, path) == expected


def test_requests_are_counted_under_templates() -> None:
    scene = Scene(stats={"openapi": ("/things/{thingId}/parts",)})
    client = scene.client()
    for target in ("/a/1", "/a/22?q=1", "/a/x", "http://h/a/333", "/things/blue/parts", "/things/red/parts", "/a/1"):
        client.feed(f"GET {target} HTTP/1.1\r\nHost: h\r\n\r\n".encode())
        scene.turn()
        scene.send(scene.endpoint(), OK)
    counts = {path: scene.counters(path) for path in ("/a/{id}", "/a/x", "/things/{thingId}/parts")}
    assert {path: (row["requests"], row["response_body_bytes"]) for path, row in counts.items()} == {
        "/a/{id}": (4, 8),
        "/a/x": (1, 2),
        "/things/{thingId}/parts": (2, 4),
    }
    scene.close()


def test_exact_requests_are_counted_by_path() -> None:
    scene = Scene(stats={"paths": "exact"})
    client = scene.client()
    for target in ("/a/1", "/a/2", "/a/1"):
        client.feed(f"GET {target} HTTP/1.1\r\nHost: h\r\n\r\n".encode())
        scene.turn()
        scene.send(scene.endpoint(), OK)
    assert (scene.counters("/a/1")["requests"], scene.counters("/a/2")["requests"]) == (2, 1)
    assert scene.counters("/a/{id}") == {}
    scene.close()


def test_a_route_may_count_in_its_own_way() -> None:
    for route, expected in (
        ({"paths": "exact"}, "/things/blue/parts"),
        ({"paths": "template"}, "/things/{thingId}/parts"),
        ({"openapi": ("/things/{it}/parts",)}, "/things/{it}/parts"),
        ({"openapi": ()}, "/things/blue/parts"),
        ({"paths": "stats", "openapi": None}, "/things/{thingId}/parts"),
    ):
        scene = Scene(stats={"openapi": ("/things/{thingId}/parts",)}, route=route)
        scene.client(b"GET /things/blue/parts HTTP/1.1\r\nHost: h\r\n\r\n")
        scene.send(scene.endpoint(), OK)
        assert scene.counters(expected)["requests"] == 1
        scene.close()


# A time of the build that people use: others check or trace each step.
@pytest.mark.alone
@pytest.mark.figures
def test_it_costs_the_same_with_many_templates() -> None:
    names = SeriesNames(False, [f"/api/r{n}/{{id}}/part{n % 9}" for n in range(10_000)])

    def cost_ns(path: bytes) -> float:
        turns, times = 20_000, []
        for _ in range(7):
            started = time.process_time_ns()
            names.name(path, turns)
            times.append(time.process_time_ns() - started)
        return min(times) / turns

    assert cost_ns(b"/api/r4321/123456/part1") < 250
    assert cost_ns(b"/api/r4321/123456/unknown") < 300
