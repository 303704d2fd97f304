"""`weir stats` against a real instance."""

from __future__ import annotations

import csv
import io
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from weir.cli.main import group

from .instance import Instance, instance
from .support import fetch, listening, running, weir
from .terminal import terminal


@pytest.fixture(scope="module")
def counted() -> Iterator[Instance]:
    with instance() as made:
        made.count("/", [1000] * 50, size=100)
        made.count("/users/{id}", [20_000] * 30, size=2000, errors=3, server_errors=3)
        made.count(b"/evil\x1b]0;gotcha\x07\xff", [100] * 10)
        made.count("/users/{id}", [500] * 5, route=1)
        made.settle()
        yield made


def _stats(counted: Instance, *arguments: str) -> Result:
    return CliRunner().invoke(group, ["stats", "--admin", counted.address, *arguments])


def _paths(counted: Instance, *arguments: str) -> list[str]:
    """Paths in the order of the table; the last line of it is the sum."""
    result = _stats(counted, *arguments)
    assert result.exit_code == 0, result.output
    lines = result.stdout.partition("\n\n")[0].splitlines()
    assert lines[0].startswith("COUNT")
    assert lines[-1].endswith("all of these")
    place = lines[0].index("PATH")
    return [line[place:] for line in lines[1:-1]]


EVIL = r"/evil\x1B]0;gotcha\x07\xFF"


def test_a_table_of_what_was_counted(counted: Instance) -> None:
    assert _paths(counted) == ["main /", "main /users/{id}", f"main {EVIL}", "api /users/{id}"]
    result = _stats(counted, "--route", "main")
    assert "all series, since " in result.stdout
    assert "times within 4.4 %" in result.stdout
    line = next(line for line in result.stdout.splitlines() if line.endswith("/users/{id}"))
    count, _rate, size, average, errors, failed, *times = line.split()
    assert (count, size, average, errors, failed) == ("30", "58.6K", "1.95K", "3", "3")
    assert times[5:10] == ["1.0", "4.0", "5.0", "60", "30"]
    assert "\x1b" not in result.stdout


def test_sorting_and_choosing(counted: Instance) -> None:
    assert _paths(counted, "--sort", "p99")[0] == "main /users/{id}"
    assert _paths(counted, "--sort", "p99", "--reverse")[0] == f"main {EVIL}"
    assert _paths(counted, "--sort", "path", "-n", "2") == ["api /users/{id}", "main /"]
    assert _paths(counted, "--filter", "USERS", "--route", "main") == ["/users/{id}"]
    assert _paths(counted, "--prefix", "/e") == [EVIL]
    assert "2 of 4 series" in _stats(counted, "-n", "2").stdout


def test_since_is_asked_for_and_what_it_really_is_is_said(counted: Instance) -> None:
    assert _paths(counted, "--since", "2020-01-01") == _paths(counted)
    whole = json.loads(_stats(counted, "--json").stdout)
    for asked in ("1s", datetime.now().isoformat()):
        answer = json.loads(_stats(counted, "--since", asked, "--json").stdout)
        # As near as the records allow: never later, and in a short life maybe all of it.
        assert whole["since"] <= answer["since"] <= answer["taken"]
        assert answer["matched"] in (0, 4)


def test_one_path_in_full(counted: Instance) -> None:
    text = _stats(counted, "/users/{id}", "--route", "main").stdout
    for said in (
        "main /users/{id}",
        "2xx 27 5xx 3",
        "errors  3 (10 %): upstream_reset 3",
        "where the time goes",
        "####",
    ):
        assert said in text
    # Of two routes: both.
    assert "api /users/{id}" in _stats(counted, "/users/{id}").stdout


def test_a_path_that_is_not_there(counted: Instance) -> None:
    result = _stats(counted, "/v2/users")
    assert result.exit_code == 1
    assert "nothing was counted for /v2/users" in result.stderr
    assert "there is /users/{id}" in result.stderr


def test_json_has_every_number(counted: Instance) -> None:
    answer = json.loads(_stats(counted, "--json").stdout)
    assert [series["requests"] for series in answer["series"]] == [50, 30, 10, 5]
    assert answer["total"]["requests"] == 95
    assert answer["series"][0]["errors"] == 0
    assert answer["series"][1]["reasons"] == {"upstream_reset": 3}
    assert "total_histogram" not in answer["series"][0]
    one = json.loads(_stats(counted, "/", "--json").stdout)
    assert sum(one["series"][0]["total_histogram"]["counts"]) == 50


def test_csv_is_read_back(counted: Instance) -> None:
    rows = list(csv.DictReader(io.StringIO(_stats(counted, "--csv").stdout)))
    assert [(row["route"], row["path"], row["requests"]) for row in rows][:3] == [
        ("main", "/", "50"),
        ("main", "/users/{id}", "30"),
        ("main", EVIL, "10"),
    ]
    assert float(rows[0]["total_p50_us"]) == pytest.approx(1000, rel=0.05)
    parts = sum(int(rows[0][f"{part}_us"]) for part in ("TR", "Tw", "Tc", "Tr", "Td"))
    assert parts == int(rows[0]["Ta_us"]) == 50_000


def test_a_snapshot_is_saved_whole(counted: Instance, tmp_path: Path) -> None:
    file = tmp_path / "now.json"
    result = _stats(counted, "--save", str(file))
    assert result.stdout == f"{file}: 4 series, 95 requests\n"
    assert len(json.loads(file.read_text())["stats"]["series"]) == 4
    assert list(tmp_path.iterdir()) == [file]
    assert _stats(counted, "--save", str(tmp_path / "none" / "x")).exit_code == 1


def test_reset_lets_counting_begin_anew() -> None:
    with instance() as made:
        made.count("/before", [10])
        made.settle()
        assert _stats(made, "--reset").stdout.startswith("counting begins at ")
        made.count("/after", [10])
        made.settle()
        assert _paths(made) == ["/after"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["/a", "--filter", "b"], "PATH is one path exactly"),
        (["--watch", "--since", "5m"], "it has no --since"),
        (["--save", "x", "--json"], "--save has its own form"),
        (["--reset", "--json"], "--reset stands alone"),
        (["--since", "soon"], "no moment"),
        (["--watch=0.01"], "is not 0.2s to 1h"),
        (["--sort", "speed"], "'speed' is not one of"),
        (["--limit", "0"], "--limit"),
        (["--admin", "nowhere"], "a port of 1 to 65535 is missing"),
    ],
)
def test_wrong_use_is_explained(arguments: list[str], said: str) -> None:
    result = CliRunner().invoke(group, ["stats", *arguments])
    assert result.exit_code == 2
    assert said in result.output


def test_the_address_and_the_token_may_come_from_the_environment(tmp_path: Path) -> None:
    secret = tmp_path / "token"
    secret.write_text("s3cret\n")
    with instance(token="s3cret") as made:
        run = CliRunner(env={"WEIR_ADMIN": made.address})
        refused = run.invoke(group, ["stats"])
        assert (refused.exit_code, "demands a token" in refused.stderr) == (1, True)
        assert run.invoke(group, ["stats"], env={"WEIR_TOKEN": "s3cret"}).exit_code == 0
        assert run.invoke(group, ["stats", "--token-file", str(secret)]).exit_code == 0


def test_watching_prints_each_interval(counted: Instance) -> None:
    command = [sys.executable, "-m", "weir", "stats", "--watch=0.2", "--json", "--admin", counted.address]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        lines = [json.loads(process.stdout.readline()) for _ in range(2)]
        process.send_signal(signal.SIGINT)
        assert process.wait(15) == 0
    assert [line["total"]["requests"] for line in lines] == [0, 0]
    assert lines[0]["taken"] <= lines[1]["since"]


def test_watching_in_a_terminal_draws_in_place(counted: Instance) -> None:
    with terminal("stats", "-w", "0.2", "--admin", counted.address, columns=80, lines=20) as screen:
        screen.wait_for("PATH")
        counted.count("/new", [1000] * 3, route=1)
        screen.wait_for("/new")
        screen.wait_for(lambda: "/new" not in screen.text)
        assert screen.text.count("PATH") == 1
        screen.press("\x03")
        assert screen.ended() == 0


def test_a_terminal_has_colours_unless_they_are_not_wanted(counted: Instance) -> None:
    for wanted, environment in ((True, {}), (False, {"NO_COLOR": "1"}), (False, {"TERM": "dumb"})):
        with terminal("stats", "--admin", counted.address, columns=70, environment=environment) as screen:
            screen.ended()
        assert (b"\x1b[1mPATH" in screen.received) == wanted
        assert max(map(len, screen.lines)) <= 70
        assert "gotcha" in screen.text
        assert screen.screen.title == ""


def test_a_reader_that_leaves_is_no_error(counted: Instance) -> None:
    command = f"{sys.executable} -m weir stats --watch=0.2 --admin {counted.address} | head -1"
    done = subprocess.run(command, shell=True, capture_output=True, text=True, timeout=20, check=True)
    assert done.stdout.startswith("COUNT")
    assert done.stderr == ""


def test_what_is_not_there_is_told_with_what_to_do() -> None:
    done = weir("stats", "--admin", "unix:/nonexistent/weir.sock")
    assert done.returncode == 1
    assert done.stderr.startswith("weir: nothing listens at unix:/nonexistent/weir.sock\nweir: is weir running")


HEAVY = ("asyncio", "pydantic", "starlette", "uvicorn", "connectrpc", "protobuf", "curses", "sqlite3")


@pytest.mark.heavy
def test_it_imports_nothing_heavy(counted: Instance) -> None:
    code = (
        "import sys\nfrom weir.cli.main import group\n"
        f"try: group(['stats', '--admin', {counted.address!r}])\nexcept SystemExit: pass\n"
        f"print('loaded:', [name for name in {HEAVY!r} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30, check=True)
    assert done.stdout.splitlines()[-1] == "loaded: []"


@pytest.mark.alone
@pytest.mark.figures  # a build that traces or checks each line answers later
def test_it_answers_at_once(counted: Instance) -> None:
    # The bar is 300 ms from the shell. It waits for nothing but its one answer, so that what it takes is what it
    # computes, which a busy machine does not change: some 80 ms of processor time.
    best = float("inf")
    for _ in range(5):
        process = subprocess.Popen(
            [sys.executable, "-m", "weir", "stats", "--admin", counted.address], stdout=subprocess.DEVNULL
        )
        _pid, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        assert process.returncode == 0
        best = min(best, usage.ru_utime + usage.ru_stime)
    assert best < 0.3


def test_a_weir_that_runs_is_asked_and_tells_what_passed(tmp_path: Path) -> None:
    (tmp_path / "hello.txt").write_text("hello")
    (tmp_path / "files").mkdir()
    with running(tmp_path / "files", "files", str(tmp_path), "--listen", "127.0.0.1:0") as endpoint:
        options = ("--listen", "127.0.0.1:0", "--to", listening(endpoint), "--admin", f"unix:{tmp_path}/admin.sock")
        with running(tmp_path, "run", *options) as proxy:
            address = listening(proxy)
            for _ in range(7):
                assert fetch(address, "/hello.txt")[0].status == 200
            assert fetch(address, "/none")[0].status == 404
            asked = ("stats", "--admin", f"unix:{tmp_path}/admin.sock", "--json")
            deadline = time.monotonic() + 15
            # The admin process comes up beside the proxy, which does not wait for it.
            while (done := weir(*asked)).returncode or len(json.loads(done.stdout)["series"]) < 2:
                assert time.monotonic() < deadline, done
            series = json.loads(done.stdout)["series"]
            assert [(row["path"], row["requests"], row["response_body_bytes"]) for row in series] == [
                ("/hello.txt", 7, 35),
                ("/none", 1, series[1]["response_body_bytes"]),
            ]
            assert series[1]["status"]["4xx"] == 1
            with terminal("top", *asked[1:3], "-i", "0.3") as screen:
                screen.wait_for("workers ")
                screen.press("q")
                assert screen.ended() == 0
            assert proxy.stop() == 0
