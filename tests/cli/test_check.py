"""`weir check`: what it prints and its exit status."""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema

from .support import weir

GOOD = """\
[log]
access = "stdout"
format = "json"

[stats]
page = "/stats"

[[listener]]
address = ":8080"
to = "app"

[[cluster]]
name = "app"
endpoints = ["127.0.0.1:8081", "unix:/run/app.sock"]
"""


def test_a_good_file_is_summed_up(tmp_path: Path) -> None:
    (tmp_path / "weir.toml").write_text(GOOD)
    done = weir("check", "weir.toml", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == [
        "weir.toml: good",
        "  listen on :8080, send to app",
        "  app: 127.0.0.1:8081, unix:/run/app.sock",
        "  statistics page: /stats",
        "  access log: stdout (json)",
    ]
    assert weir("check", "-c", "weir.toml", cwd=tmp_path).stdout == done.stdout


def test_how_paths_are_counted_is_summed_up(tmp_path: Path) -> None:
    (tmp_path / "api.yaml").write_text("openapi: 3.1.0\npaths: {/users: {}, '/users/{id}': {}}\n")
    good = GOOD.replace("[stats]\n", '[stats]\nopenapi = "api.yaml"\n')
    (tmp_path / "weir.toml").write_text(good)
    assert "  statistics: 2 path templates from descriptions" in weir("check", "weir.toml", cwd=tmp_path).stdout
    more = "".join(f"'/{{a}}/{n}': {{}}, '/{{b}}/{n}': {{}}, " for n in range(12))
    (tmp_path / "api.yaml").write_text(f"openapi: 3.1.0\npaths: {{{more}}}\n")
    lines = weir("check", "weir.toml", cwd=tmp_path).stdout.splitlines()
    assert "  statistics: 24 path templates from descriptions" in lines
    assert [line for line in lines if "is counted as" in line] == [
        f"    /{{b}}/{n} is counted as /{{a}}/{n}" for n in range(10)
    ]
    assert "    and 2 more are doubles" in lines
    own = good.replace('to = "app"', 'to = "app"\npaths = "exact"')
    (tmp_path / "weir.toml").write_text(own)
    assert "  statistics of :8080: each path by itself" in weir("check", "weir.toml", cwd=tmp_path).stdout
    (tmp_path / "weir.toml").write_text(good.replace("openapi = ", 'paths = "exact" # '))
    assert "  statistics: each path by itself" in weir("check", "weir.toml", cwd=tmp_path).stdout
    (tmp_path / "api.yaml").write_text("openapi: 3.1.0\npaths:\n  users: {}\n")
    (tmp_path / "weir.toml").write_text(good)
    done = weir("check", "weir.toml", cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr == (
        'weir: weir.toml:6:11: stats.openapi: "api.yaml", line 3, column 3: paths: users: a path begins with /; '
        'write "/users"\n'
    )


def test_every_problem_is_printed_with_its_place(tmp_path: Path) -> None:
    (tmp_path / "weir.toml").write_text(GOOD.replace("stdout", "").replace('":8080"', '"8080"') + "nmae = 1\n")
    done = weir("check", "weir.toml", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    lines = done.stderr.splitlines()
    for place in ("weir: weir.toml:2:", "weir: weir.toml:9:", "weir: weir.toml:15:"):
        assert any(line.startswith(place) for line in lines), (place, lines)


def test_a_missing_file_is_a_problem() -> None:
    done = weir("check", "/nonexistent/weir.toml")
    assert done.returncode == 2
    assert done.stderr == "weir: /nonexistent/weir.toml: cannot be read: no such file or directory\n"


def test_no_file_and_two_files_are_usage_errors() -> None:
    assert (weir("check").returncode, weir("check", "a.toml", "-c", "b.toml").returncode) == (2, 2)


def test_the_schema_is_one() -> None:
    done = weir("check", "--schema")
    assert done.returncode == 0
    schema = json.loads(done.stdout)
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.validate({"listener": [{"address": ":8080", "to": "127.0.0.1:8081"}]}, schema)


def test_rate_limits_and_faults_are_summed_up(tmp_path: Path) -> None:
    path = tmp_path / "weir.toml"
    path.write_text(
        '[[listener]]\naddress = ":8080"\nto = "127.0.0.1:8081"\n'
        '[[listener.rate_limit]]\nby = "field:X-Api-Key"\nrate = "10/m"\ndelay = 5\nprefix = "/login"\n'
        'methods = ["POST", "PUT"]\ndry_run = true\n'
        '[[listener.rate_limit]]\nby = "client"\nrate = "100/s"\nburst = 20\n'
        '[[listener.fault]]\ndelay = "100ms-2s"\ndelay_percentage = "10%"\nabort = "reset"\nbandwidth = "64KiB"\n'
        'field = "X-Weir-Fault"\n[[listener.fault]]\nabort = 503\nabort_percentage = "1%"\nprefix = "/api/"\n'
    )
    assert weir("check", str(path)).stdout.splitlines()[1:-1] == [
        "  listen on :8080, send to 127.0.0.1:8081",
        "    each value of X-Api-Key: 10/m, 10 at once, 5 more wait; POST or PUT /login...; counted only (dry run)",
        "    each client: 100/s, 20 at once",
        "    FAULT: 10 % wait 100ms-2s, 100 % are reset, 100 % get 64KiB a second; X-Weir-Fault",
        "    FAULT: 1 % are answered with 503; /api/...",
    ]


def test_rate_limits_of_routes_are_summed_up(tmp_path: Path) -> None:
    path = tmp_path / "weir.toml"
    path.write_text(
        '[[listener]]\naddress = ":8080"\nto = "127.0.0.1:8081"\n'
        '[[route]]\nname = "api"\npath = "/api/*"\nto = { "127.0.0.1:8082" = 1, "127.0.0.1:8083" = 1 }\n'
        '[[route.rate_limit]]\nby = "client"\nrate = "100/s"\n'
    )
    assert weir("check", str(path)).stdout.splitlines()[2] == "    api: each client: 100/s, 100 at once"
