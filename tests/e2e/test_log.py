"""The access log: one line for each request, in its format, through rotation, to a file or to stdout."""

from __future__ import annotations

import json
import re
import signal
import threading
from pathlib import Path

import pytest

from .conftest import MakeRig
from .peers import ok
from .proxy import Proxy
from .rig import WORKERS, Rig, tables
from .wire import eventually

pytestmark = pytest.mark.timeout(20)

COMBINED = re.compile(
    r"(?P<client>\S+) - - \[\d\d/[A-Z][a-z]{2}/\d{4}:\d\d:\d\d:\d\d [+-]\d{4}\] "
    r'"(?P<request>[^"]*)" (?P<status>\d{3}|-) (?P<bytes>\d+|-)'
    r'(?: "(?P<referer>[^"]*)" "(?P<agent>[^"]*)")?'
)
REQUEST = (
    b"POST /logged?q=1 HTTP/1.1\r\nHost: log.example\r\nUser-Agent: tester/1\r\nReferer: http://from/\r\n"
    b"Content-Length: 4\r\n\r\nbody"
)


def log_lines(rig: Rig, n: int) -> list[str]:
    eventually(lambda: rig.proxy.log_path.read_text().count("\n") >= n, 3, f"{n} lines")
    return rig.proxy.log_path.read_text().splitlines()


def test_json_lines(weir: MakeRig) -> None:
    rig = weir()
    rig.endpoint.reply(0.05, ok(b"r" * 321, status="201 Created"))
    rig.ask(REQUEST, "POST")
    (record,) = rig.proxy.logged(target="/logged?q=1")
    expected = {
        "client": "127.0.0.1",
        "method": "POST",
        "version": "HTTP/1.1",
        "host": "log.example",
        "status": 201,
        "reason": "none",
        "request_body_bytes": 4,
        "response_body_bytes": 321,
        "endpoint": rig.endpoint.address,
        "retries": 0,
        "user_agent": "tester/1",
        "referer": "http://from/",
    }
    assert {key: record[key] for key in expected} == expected
    assert 49 <= record["first_byte_ms"] <= record["total_ms"] < 500


@pytest.mark.parametrize("name", ["combined", "common"])
def test_lines_of_the_common_formats(weir: MakeRig, name: str) -> None:
    rig = weir(log={"format": name})
    rig.endpoint.reply(ok(b"r" * 321))
    rig.ask(REQUEST, "POST")
    (line,) = log_lines(rig, 1)
    match = COMBINED.fullmatch(line)
    assert match is not None, line
    assert match["client"] == "127.0.0.1"
    assert match["request"] == "POST /logged?q=1 HTTP/1.1"
    assert (match["status"], match["bytes"]) == ("200", "321")
    agent = ("http://from/", "tester/1") if name == "combined" else (None, None)
    assert (match["referer"], match["agent"]) == agent


def test_short_lines_are_those_of_the_tutorial(weir: MakeRig) -> None:
    rig = weir(log={"format": "short"})
    rig.ask(REQUEST, "POST")
    assert log_lines(rig, 1) == ["/logged: 200"]


def test_refused_requests_are_logged(plain: Rig) -> None:
    before = len(plain.proxy.records())
    assert plain.ask(b"NONSENSE\r\n\r\n").status == 400
    eventually(lambda: len(plain.proxy.records()) > before, 3)
    record = plain.proxy.records()[-1]
    assert (record["status"], record["reason"], record["method"]) == (400, "bad_request", None)


@pytest.mark.parametrize("name", ["json", "combined"])
def test_nobody_can_forge_a_line(weir: MakeRig, name: str) -> None:
    rig = weir(log={"format": name})
    agent = b'evil" 200 0 "-" "\\\x1b[31m\xff\xc3\xa9'
    rig.ask(b'GET /"quoted"?\\ HTTP/1.1\r\nHost: test\r\nUser-Agent: ' + agent + b"\r\n\r\n")
    (line,) = log_lines(rig, 1)
    assert line.isprintable()
    if name == "json":
        assert json.loads(line)["status"] in (200, 400)
    else:
        assert COMBINED.fullmatch(line) is not None, line


def test_the_log_is_reopened_and_no_line_is_lost(weir: MakeRig) -> None:
    rig = weir()
    log = rig.proxy.log_path
    stop, asked = threading.Event(), [0] * 4

    def ask(n: int) -> None:
        client = rig.connect()
        while not stop.is_set():
            client.send(b"GET /rotated HTTP/1.1\r\nHost: test\r\n\r\n")
            assert client.response().status == 200
            asked[n] += 1

    threads = [threading.Thread(target=ask, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    olds = []
    for n in range(4):
        eventually(lambda: log.exists() and log.stat().st_size > 1000)
        olds.append(log.rename(log.with_name(f"old-{n}")))
        rig.proxy.send_signal(signal.SIGUSR1)
    eventually(log.exists)
    stop.set()
    for thread in threads:
        thread.join()
    files = [*olds, log]

    def lines() -> list[str]:
        return [line for file in files for line in file.read_text().splitlines()]

    eventually(lambda: len(lines()) >= sum(asked), 3, f"{sum(asked)} lines")
    assert len(lines()) == sum(asked)
    assert all(json.loads(line)["target"] == "/rotated" for line in lines())


def test_the_log_goes_to_stdout(weir: MakeRig) -> None:
    rig = weir(log={"access": "stdout", "format": "short"})
    for _ in range(3):
        rig.get("/to-stdout")
    assert rig.proxy.stop() == 0
    assert rig.proxy.stdout_path.read_text().splitlines() == ["/to-stdout: 200"] * 3


def test_lines_of_the_last_moment_are_written_at_the_end(weir: MakeRig) -> None:
    rig = weir(log={"flush": "1m"})
    for _ in range(5):
        rig.get("/last-moment")
    assert rig.proxy.records() == []
    assert rig.proxy.stop() == 0
    assert [record["target"] for record in rig.proxy.records()] == ["/last-moment"] * 5


def test_an_old_log_is_continued(tmp_path: Path) -> None:
    (tmp_path / "access.log").write_text("what was there\n")
    proxy = Proxy(tmp_path, tables(tmp_path, ["127.0.0.1:1"], log={"format": "short"}))
    with proxy.connect() as client:
        client.send(b"GET /new HTTP/1.1\r\nHost: test\r\n\r\n")
        assert client.response().status == 502
    proxy.check_end()
    assert (tmp_path / "access.log").read_text().splitlines() == ["what was there", "/new: 502"]


def test_the_time_ledger_and_the_ids_of_an_exchange(weir: MakeRig) -> None:
    rig = weir(listener={"request_id": "keep", "trace": "join", "server_timing": "on"})
    rig.endpoint.reply(0.08, ok(b"r" * 100, "Server-Timing: db;dur=1")[:-50], 0.06, b"r" * 50)
    trace = "0af7651916cd43dd8448eb211c80319c"
    asked = REQUEST.replace(
        b"\r\nContent",
        f"\r\nX-Request-Id: order-7\r\ntraceparent: 00-{trace}-b7ad6b7169203331-01\r\nContent".encode(),
        1,
    )
    answer = rig.ask(asked, "POST")
    (record,) = rig.proxy.logged(target="/logged?q=1")
    assert (record["request_id"], record["trace_id"], record["parent_id"]) == ("order-7", trace, "b7ad6b7169203331")
    seen = rig.endpoint.requests[-1].head
    assert seen.all("x-request-id") == ["order-7"]
    assert seen.all("traceparent") == [f"00-{trace}-{record['span_id']}-01"]
    assert answer.head.all("x-request-id") == ["order-7"]
    own, ours = answer.head.all("server-timing")
    assert own == "db;dur=1"
    said = dict(re.findall(r"(T\w);dur=(\d+\.\d{3})", ours))
    parts = {name: record[name] for name in ("TR", "Tw", "Tc", "Tr", "Td")}
    assert {name: float(value) for name, value in said.items()} == {name: parts[name] for name in said}
    assert list(said) == ["TR", "Tw", "Tc", "Tr"]
    assert sum(round(1000 * part) for part in parts.values()) == round(1000 * record["Ta"])
    assert record["Ta"] == record["total_ms"]
    assert parts["Tr"] >= 79
    assert parts["Tr"] + parts["Td"] >= 139, "when the head arrived, between the two, is the kernel's to say"
    assert parts["Td"] > 0
    assert parts["Tc"] > 0


def test_lines_with_the_ledger(weir: MakeRig) -> None:
    rig = weir(log={"format": "ledger"})
    rig.ask(REQUEST, "POST")
    (line,) = log_lines(rig, 1)
    common, _, rest = line.rpartition('" 200 ')
    assert COMBINED.fullmatch(common + '" 200 5')
    match = re.fullmatch(r"\d+ ([\d./]+) none (\S+) - -", rest)
    assert match is not None, line
    assert match[2] == rig.endpoint.address
    *parts, total = [round(1000 * float(ms)) for ms in match[1].split("/")]
    assert len(parts) == 4
    assert sum(parts) <= total


def test_ids_of_several_workers_differ(weir: MakeRig) -> None:
    rig = weir(listener={"request_id": "replace"}, top=WORKERS)
    ids = [rig.get("/").head.get("x-request-id") for _ in range(60)]
    assert len(set(ids)) == 60
    workers = {line["request_id"] for line in rig.proxy.logged(60)}
    assert workers == set(ids)
