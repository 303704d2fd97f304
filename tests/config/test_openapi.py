"""Descriptions of APIs: which templates they give, and what is said of those that give none."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.config.conftest import Refusals
from weir.config.compile import compile_plan
from weir.config.errors import ConfigError
from weir.config.load import load_text
from weir.config.openapi import MOST_BYTES, MOST_TEMPLATES, doubles, read_templates
from weir.plane.series import SeriesNames

TEXT = '[[listener]]\naddress = ":8080"\nto = "127.0.0.1:8081"\n[stats]\nopenapi = {}\n'

SHOP = """\
openapi: 3.1.0
info: {title: Shop, version: "1"}
servers:
  - url: https://shop.example.com/v1/
  - url: http://{region}.example.com:{port}/{base}
    variables:
      region: {default: eu}
      port: {default: "8443", enum: ["8443", "443"]}
      base: {default: v1, enum: [v1, v2]}
paths:
  /users: &users
    get: {responses: {}}
  /users/{userId}: *users
  /users/{userId}/orders/{orderId}.pdf:
    parameters: []
  /health:
    servers: [{url: /}]
    get: {}
  /files/{name}:
    get:
      servers: [{url: "https://files.example.com"}]
    put: {}
  x-internal: {get: {}}
components:
  schemas: {Users: {type: array, x-base: &base {a: 1}, properties: {<<: *base}}}
"""
SHOP_TEMPLATES = (
    "/v1/users",
    "/v2/users",
    "/v1/users/{userId}",
    "/v2/users/{userId}",
    "/v1/users/{userId}/orders/{orderId}.pdf",
    "/v2/users/{userId}/orders/{orderId}.pdf",
    "/health",
    "/files/{name}",
    "/v1/files/{name}",
    "/v2/files/{name}",
)


def read(directory: Path, text: str, name: str = "api.yaml") -> tuple[str, ...]:
    (directory / name).write_text(text)
    return read_templates([str(directory / name)])


def said(directory: Path, text: str | bytes, name: str = "api.yaml") -> str:
    """What is said of a description, after the file's name."""
    file = directory / name
    file.write_bytes(text.encode() if isinstance(text, str) else text)
    with pytest.raises(ConfigError) as caught:
        read_templates([str(file)])
    return str(caught.value).removeprefix(json.dumps(str(file))).lstrip(":, ")


def paths(*listed: str, **more: Any) -> str:
    return json.dumps({"openapi": "3.0.3", "paths": {path: {} for path in listed}, **more})


def test_yaml_and_json_give_the_same(tmp_path: Path) -> None:
    assert read(tmp_path, SHOP) == SHOP_TEMPLATES
    assert read(tmp_path, json.dumps(yaml.safe_load(SHOP)), "api.json") == SHOP_TEMPLATES
    assert read(tmp_path, "\ufeff" + json.dumps(yaml.safe_load(SHOP)), "api.yaml") == SHOP_TEMPLATES
    assert read(tmp_path, "\n" + json.dumps(yaml.safe_load(SHOP), indent=1), "api") == SHOP_TEMPLATES


@pytest.mark.parametrize(
    ("base", "expected"),
    [({}, "/a"), ({"basePath": "/"}, "/a"), ({"basePath": "/v2"}, "/v2/a"), ({"basePath": "v2/x/"}, "/v2/x/a")],
)
def test_swagger_2(tmp_path: Path, base: dict[str, str], expected: str) -> None:
    text = json.dumps({"swagger": "2.0", **base, "paths": {"/a": {"get": {}}}})
    assert read(tmp_path, text) == (expected,)
    assert read(tmp_path, text.replace('"2.0"', "2.0")) == (expected,)


@pytest.mark.parametrize(
    ("servers", "bases"),
    [
        (None, [""]),
        ([], [""]),
        ([{"url": "/"}], [""]),
        ([{"url": "."}], [""]),
        ([{"url": "v3"}], ["/v3"]),
        ([{"url": "//host/v3"}], ["/v3"]),
        ([{"url": "{root}/v3", "variables": {"root": {"default": "https://h:1/x"}}}], ["/x/v3"]),
        ([{"url": "https://{tenant}.example.com/{tenant}/v3"}], ["/{tenant}/v3"]),
        ([{"url": "/v1"}, {"url": "/v2/"}, {"url": "https://h/v1?x=1"}], ["/v1", "/v2"]),
        ([{"url": "https://h/a b/é"}], ["/a%20b/%C3%A9"]),
    ],
)
def test_servers_are_base_paths(tmp_path: Path, servers: object, bases: list[str]) -> None:
    assert read(tmp_path, paths("/a", servers=servers)) == tuple(f"{base}/a" for base in bases)


def test_templates_are_written_as_requests_have_them(tmp_path: Path) -> None:
    listed = ["/", "/a b/{x y}", "/café/{größe}", "/c%20d/", "/e?f={g}", "/h#i", "/j:k/{l}:m", "/n/{o}-{p}.{q}"]
    assert read(tmp_path, paths(*listed)) == (
        *("/", "/a%20b/{x y}", "/caf%C3%A9/{größe}", "/c%20d/", "/e", "/h", "/j:k/{l}:m", "/n/{o}-{p}.{q}"),
    )


def test_of_several_files_the_first_gives_the_name(tmp_path: Path) -> None:
    names = []
    for number, listed in enumerate([("/a/{x}", "/b"), ("/b", "/a/{y}", "/c")]):
        (tmp_path / f"{number}.json").write_text(paths(*listed))
        names.append(str(tmp_path / f"{number}.json"))
    templates = ("/a/{x}", "/b", "/a/{y}", "/c")
    assert read_templates(names) == templates
    assert doubles(templates) == [("/a/{y}", "/a/{x}")]
    assert SeriesNames(False, templates).name(b"/a/5") == b"/a/{x}"
    toml = TEXT.format(json.dumps(names))
    assert compile_plan(load_text(toml, "f")).stats.openapi == templates
    toml = TEXT.format(json.dumps(names[1]))
    assert compile_plan(load_text(toml, "f")).stats.openapi == ("/b", "/a/{y}", "/c")
    assert compile_plan(load_text(TEXT.format('"off"'), "f")).stats.openapi == ()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "the file is empty"),
        ("just text", "not a description of an API; OpenAPI 3 or Swagger 2, as JSON or YAML"),
        ("- a\n- b\n", "not a description of an API; OpenAPI 3 or Swagger 2, as JSON or YAML"),
        ("a: [b\nc: d\n", "not YAML: did not find expected ',' or ']' at line 2, column"),
        ("a: \x07", "not YAML: unacceptable character #x0007: control characters are not allowed"),
        ("asyncapi: 3.0.0\npaths: {}\n", "neither OpenAPI 3 nor Swagger 2"),
        ("openapi: 4.0.0\npaths: {/a: {}}\n", 'neither OpenAPI 3 nor Swagger 2; openapi: "3.1.0" or swagger: "2.0"'),
        ("swagger: '1.2'\n", "neither OpenAPI 3 nor Swagger 2"),
        ("openapi: 3.1.0\nwebhooks: {}\n", "has no paths"),
        ("openapi: 3.1.0\npaths:\n", "line 2, column 1: paths: has no paths"),
        ("openapi: 3.1.0\npaths: {x-a: {}}\n", "line 2, column 1: paths: has no paths"),
        ("openapi: 3.1.0\npaths: [/a]\n", "line 2, column 1: paths: has no paths"),
        (
            "openapi: 3.1.0\npaths:\n  /a: {}\n  b/c: {}\n",
            'line 4, column 3: paths: "b/c": a path begins with /; write "/b/c"',
        ),
        (
            "openapi: 3.1.0\npaths:\n  $ref: paths.yaml\n",
            'line 3, column 3: paths: "$ref": a path begins with /; put the file\'s parts into one file first',
        ),
        (
            "openapi: 3.1.0\npaths:\n  /a/{b: {}\n",
            'line 3, column 3: paths: "/a/{b": not a path template; parameters are written {name}, without slashes in',
        ),
        ("openapi: 3.1.0\npaths:\n  /a/{}: {}\n", "not a path template"),
        ("openapi: 3.1.0\npaths:\n  /{a/b}: {}\n", "not a path template"),
        ("openapi: 3.1.0\npaths:\n  '/a{b}}': {}\n", "not a path template"),
        ('openapi: 3.1.0\npaths:\n  "/{a\\x1b[31m}": {}\n', "it has characters that cannot be shown"),
        ("openapi: 3.1.0\npaths:\n  /a: {}\n  /a: {}\n", 'line 4, column 3: paths: "/a": is there twice'),
        ("openapi: 3.1.0\npaths: *a\n", "line 2, column 1: paths: nothing has the anchor"),
        ("openapi: 3.1.0\npaths: {/a: {}}\n---\nb: 1\n", "more than one document in the file"),
        ("openapi: 3.1.0\npaths:\n  ? [a]\n  : {}\n", "line 3, column 5: paths: a key that is no text"),
        (
            "openapi: 3.1.0\nx: &x {/a: {}}\npaths:\n  <<: *x\n  /b: {}\n",
            'line 4, column 3: paths: "<<": merge keys are no part of OpenAPI; write the paths out',
        ),
        ("openapi: 3.1.0\npaths:\n  ? /" + "a" * 1024 + "\n  : {}\n", "more than 64 segments or 1024 bytes"),
        ("openapi: 3.1.0\npaths:\n  " + "/a" * 65 + ": {}\n", "more than 64 segments or 1024 bytes"),
        ("openapi: 3.1.0\nservers: /v1\npaths: {/a: {}}\n", "line 2, column 1: servers: wanted an array of servers"),
        (
            "openapi: 3.1.0\nservers:\n- {}\npaths: {/a: {}}\n",
            'line 2, column 1: servers: 0: a server has a url; for example url: "https://example.com/v1"',
        ),
        (
            "openapi: 3.1.0\nservers:\n- url: http://[/\npaths: {/a: {}}\n",
            'line 2, column 1: servers: "http://[/" is not a URL',
        ),
        (
            "openapi: 3.1.0\npaths:\n  /a:\n    get:\n      servers:\n      - name: x\n",
            'line 5, column 7: paths: "/a": get: servers: 0: a server has a url',
        ),
        (
            "openapi: 3.1.0\nservers: &s [*s]\npaths: {/a: {}}\n",
            "line 2, column 1: servers: 0: a server has a url",
        ),
    ],
)
def test_what_is_said_of_yaml(tmp_path: Path, text: str, expected: str) -> None:
    assert expected in said(tmp_path, text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            '{"openapi": "3.1.0",\n "paths": {,}}',
            "not JSON: Expecting property name enclosed in double quotes at line 2",
        ),
        ('{"openapi": "3.1.0", "paths": {"a": {}}}', 'paths: a: a path begins with /; write "/a"'),
        ('{"openapi": 3, "paths": {"/a": {}}}', "neither OpenAPI 3 nor Swagger 2"),
        ('{"a": ' + "[" * 200_000, "not a description of an API: nested too deeply"),
        ('{"a": ' + "1" * 5_000 + "}", "not a description of an API: nested too deeply, or with a number too long"),
    ],
)
def test_what_is_said_of_json(tmp_path: Path, text: str, expected: str) -> None:
    assert said(tmp_path, text, "api.json").startswith(expected)


def test_what_is_too_much(tmp_path: Path) -> None:
    assert said(tmp_path, paths(*(f"/a{n}" for n in range(MOST_TEMPLATES + 1)))).endswith("10000 path templates")
    assert len(read(tmp_path, paths(*(f"/a{n}" for n in range(MOST_TEMPLATES))))) == MOST_TEMPLATES
    assert "is larger than 32 MiB" in said(tmp_path, b" " * (MOST_BYTES + 1))
    assert "is not UTF-8: byte 0xFF at 1; save the file as UTF-8" in said(tmp_path, b"a\xff")
    assert "more than 100 base paths" in said(tmp_path, paths("/a", servers=[{"url": f"/{n}"} for n in range(101)]))
    many = {"default": "0", "enum": [str(n) for n in range(101)]}
    server = {"url": "/{a}{b}", "variables": {"a": many, "b": many}}
    assert "its variables have too many values" in said(tmp_path, paths("/a", servers=[server]))
    deep = "openapi: 3.1.0\npaths: {/a: {}}\nx: " + "[" * 20_000
    assert "not YAML" in said(tmp_path, deep)
    two = [str(tmp_path / name) for name in ("1.json", "2.json")]
    for number, name in enumerate(two):
        Path(name).write_text(paths(*(f"/a{number}{n}" for n in range(6_000))))
    with pytest.raises(ConfigError, match=r'2\.json" there are more than 10000 path templates; files with'):
        read_templates(two)
    with pytest.raises(ConfigError, match="101 files are more than 100"):
        read_templates(["a"] * 101)


def test_aliases_of_aliases_cost_nothing(tmp_path: Path) -> None:
    lines = ["openapi: 3.1.0", "paths: {/a: {}}", "a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 40)]
    lines += ["m0: &m0 {k: v}", *(f"m{n}: &m{n} {{<<: [*m{n - 1}, *m{n - 1}]}}" for n in range(1, 40))]
    started = time.perf_counter()
    assert read(tmp_path, "\n".join(lines)) == ("/a",)
    for last, expected in (
        ("openapi: 3.1.0\npaths: {/a: {servers: *a39}}", "a server has a url"),
        ("openapi: 3.1.0\npaths: {/a: {servers: [{url: '/{v}', variables: {v: {enum: *a39}}}]}}", ("/{v}/a",)),
        ("openapi: 3.1.0\npaths: {/a: {servers: [{url: '/{v}', variables: {v: {default: *m39}}}]}}", ("/{v}/a",)),
        ("openapi: *a39", "neither OpenAPI 3 nor Swagger 2"),
        ("swagger: 2.0\nbasePath: *a39\npaths: {/a: {}}", ("/a",)),
        ("openapi: 3.1.0\npaths: *a39", "has no paths"),
        ("openapi: 3.1.0\npaths: *m39", "a path begins with /"),
        ("*a39", "a key that is no text"),
    ):
        text = "\n".join([*lines[2:], last])
        if isinstance(expected, tuple):
            assert read(tmp_path, text) == expected
        else:
            assert expected in said(tmp_path, text if last != "*a39" else text + ": 1")
    assert time.perf_counter() - started < 30


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_a_damaged_file_is_refused_or_read(data: st.DataObject) -> None:
    """Whatever is in it, the answer is templates that the plane takes, or one problem; nothing else leaves."""
    text = data.draw(st.sampled_from([SHOP, json.dumps(yaml.safe_load(SHOP)), paths("/a/{b}", "/c")]))
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(text)))
        gone = data.draw(st.integers(0, 12))
        put = data.draw(st.one_of(st.text("{}[]:,-?&*!<>'\"\n\t #%@|~0a/", max_size=6), st.text(max_size=3)))
        text = text[:at] + put + text[at + gone :]
    with tempfile.NamedTemporaryFile(suffix=data.draw(st.sampled_from([".yaml", ".json"]))) as file:
        Path(file.name).write_bytes(text.encode(errors="surrogatepass"))
        message: str = ""
        found: tuple[str, ...] = ()
        try:
            found = read_templates([file.name])
        except ConfigError as error:
            message = str(error)
    assert bool(message) != bool(found)
    assert message.isprintable()  # on one line, nothing that a terminal would act on
    assert SeriesNames(False, found).templates == len(found)


def test_tags_construct_nothing(tmp_path: Path) -> None:
    made = tmp_path / "made"
    text = f"openapi: 3.1.0\npaths: {{/a: {{}}}}\nx: !!python/object/apply:os.mkdir [{made}]\n"
    assert read(tmp_path, text) == ("/a",)
    assert not made.exists()


def test_what_cannot_be_read(tmp_path: Path, refusals: Refusals) -> None:
    (shown,) = refusals(TEXT.format(json.dumps(str(tmp_path / "none.yaml"))))
    assert shown.startswith("f:5:11: stats.openapi: ")
    assert shown.endswith('none.yaml" cannot be read: no such file or directory')
    assert refusals(TEXT.format(json.dumps(str(tmp_path))))[0].endswith('" is not a file')
    os.mkfifo(tmp_path / "pipe")
    assert refusals(TEXT.format(json.dumps(str(tmp_path / "pipe"))))[0].endswith('pipe" is not a file')
    assert "cannot be read: embedded null byte" in refusals(TEXT.format('"a\\u0000b"'))[0]
    assert 'no file; write "off"' in refusals(TEXT.format("[]"))[0]
    assert "wanted a file, or an array of them, a string, found a whole number" in refusals(TEXT.format("5"))[0]
    assert "found a table" in refusals(TEXT.format("[{}]"))[0]


def test_exact_paths_need_no_description(tmp_path: Path, refusals: Refusals) -> None:
    (tmp_path / "api.yaml").write_text(SHOP)
    (shown,) = refusals(TEXT.format(json.dumps(str(tmp_path / "api.yaml"))) + 'paths = "exact"\n')
    assert shown == (
        'f:5:1: stats.openapi: without effect: paths is "exact", every path is counted by itself; take one of them out'
    )


def test_a_listener_has_its_own(tmp_path: Path, refusals: Refusals) -> None:
    (tmp_path / "api.yaml").write_text(SHOP)
    (tmp_path / "other.json").write_text(paths("/a"))
    api, other = (json.dumps(str(tmp_path / name)) for name in ("api.yaml", "other.json"))
    listeners = "".join(
        f'[[listener]]\naddress = ":808{n}"\nto = "h:1"\n{line}\n'
        for n, line in enumerate(["", 'paths = "exact"', f"openapi = {other}", 'openapi = "off"', 'openapi = "stats"'])
    )
    plan = compile_plan(load_text(f"[stats]\nopenapi = {api}\n" + listeners, "f"))
    assert plan.stats.openapi == SHOP_TEMPLATES
    assert [(route.paths, route.openapi) for route in plan.routes] == [
        *(("stats", None), ("exact", None), ("stats", ("/a",)), ("stats", ()), ("stats", None)),
    ]
    for line in ('paths = "exact"', ""):
        text = f'{listeners}{line}\nopenapi = {api}\n[stats]\npaths = "exact"\n'
        assert refusals(text.replace('openapi = "stats"\n', ""))[-1].endswith("take one of them out")
    # Where one listener goes by templates, those of [stats] are for it.
    text = TEXT.format(api) + 'paths = "exact"\n'
    assert refusals(text)
    assert load_text(text.replace("[stats]", 'paths = "template"\n[stats]'), "f").stats.paths == "exact"


def test_what_is_read_is_what_the_plane_takes(tmp_path: Path) -> None:
    names = SeriesNames(False, read(tmp_path, SHOP))
    assert names.name(b"/v2/users/17/orders/9.pdf") == b"/v2/users/{userId}/orders/{orderId}.pdf"
    longest = "/{a}" * 63 + "/" + "b" * 700
    assert SeriesNames(False, read(tmp_path, paths(longest))).templates == 1


def test_yaml_is_imported_only_when_there_is_some(tmp_path: Path) -> None:
    (tmp_path / "api.json").write_text(paths("/a"))
    program = """\
import sys
from weir.config.load import load_text
load_text(sys.argv[1], "f")
print([name for name in ("yaml", "json") if name in sys.modules])
"""
    for value, modules in (("off", []), (str(tmp_path / "api.json"), ["json"])):
        command = [sys.executable, "-c", program, TEXT.format(json.dumps(value))]
        loaded = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        assert "yaml" not in loaded
        assert all(name in loaded for name in modules)
