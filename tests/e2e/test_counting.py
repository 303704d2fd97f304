"""What passes is counted: X-Bytes and the statistics page say exactly what the clients received."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass

import pytest

from .conftest import MakeRig
from .peers import CLOSE, chunked, ok
from .rig import Rig
from .wire import Message, Truncated, eventually

pytestmark = pytest.mark.timeout(20)

LENGTH = ok(b"a" * 100)
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunked(b"b" * 30, b"c" * 13)
UNTIL_CLOSE = b"HTTP/1.1 200 OK\r\n\r\n" + b"d" * 7
NONE = b"HTTP/1.1 204 No Content\r\n\r\n"


@dataclass
class Row:
    """A line of the statistics page."""

    count: int
    total_bytes: int
    average_bytes: float
    mean_ms: float
    mean_first_byte_ms: float


def page(rig: Rig) -> dict[str, Row]:
    response = rig.get("/weir-stats")
    assert response.status == 200
    assert (response.head.get("Content-Type") or "").startswith("text/plain")
    rows = {}
    for line in response.body.decode().splitlines():
        cells = line.split()
        if len(cells) == 6 and cells[-1].startswith("/"):
            numbers = [0.0 if cell == "-" else float(cell) for cell in cells[:-1]]
            rows[cells[-1]] = Row(int(numbers[0]), int(numbers[1]), *numbers[2:])
    return rows


def row(rig: Rig, path: str, count: int) -> Row:
    """The page's line of `path`, once `count` requests of it have been counted."""
    eventually(lambda: page(rig).get(path, Row(0, 0, 0, 0, 0)).count >= count, 3, f"{count} requests of {path}")
    return page(rig)[path]


def total(response: Message) -> int:
    return int(response.head.get("X-Bytes") or -1)


def test_running_totals_over_mixed_framings(weir: MakeRig) -> None:
    rig = weir()
    replies = [LENGTH, CHUNKED, LENGTH, UNTIL_CLOSE, NONE, LENGTH, CHUNKED, CHUNKED]
    # The body of this response is in its total when its length is known from its head, else in the next one's.
    expected = [100, 100, 243, 243, 250, 350, 350, 393]
    got = []
    for reply in replies:
        rig.endpoint.reply(reply, *([CLOSE] if reply is UNTIL_CLOSE else []))
        got.append(total(rig.get("/mixed")))
    assert got == expected
    assert row(rig, "/mixed", 8).total_bytes == 436


def test_paths_are_counted_apart_and_queries_together(weir: MakeRig) -> None:
    rig = weir()
    rig.endpoint.reply(LENGTH)
    totals = [total(rig.get(target)) for target in ("/a", "/b", "/a?x=1", "/b?y", "/a/", "/A", "/a?", "/a?x=1&x=2")]
    assert totals == [100, 100, 200, 200, 100, 100, 300, 400]
    assert total(rig.ask(b"GET http://test/a?z HTTP/1.1\r\nHost: test\r\n\r\n")) == 500
    rows = page(rig)
    assert {path: (rows[path].count, rows[path].total_bytes) for path in ("/a", "/b", "/a/", "/A")} == {
        "/a": (5, 500),
        "/b": (2, 200),
        "/a/": (1, 100),
        "/A": (1, 100),
    }


def test_methods_without_a_response_body_count_no_bytes(weir: MakeRig) -> None:
    rig = weir()
    rig.endpoint.reply(b"HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n")
    assert total(rig.ask(b"HEAD /head HTTP/1.1\r\nHost: test\r\n\r\n", "HEAD")) == 0
    rig.endpoint.reply(b"HTTP/1.1 304 Not Modified\r\nContent-Length: 5000\r\n\r\n")
    assert total(rig.get("/head")) == 0
    rig.endpoint.reply(LENGTH)
    assert total(rig.get("/head")) == 100
    assert row(rig, "/head", 3).total_bytes == 100


def test_only_what_was_sent_is_counted(weir: MakeRig) -> None:
    rig = weir()
    rig.endpoint.reply(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n" + b"h" * 400, 0.05, CLOSE)
    client = rig.connect()
    client.send(b"GET /half HTTP/1.1\r\nHost: test\r\n\r\n")
    with pytest.raises(Truncated):
        client.response()
    assert row(rig, "/half", 1).total_bytes == 400


def test_the_pages_figures(weir: MakeRig) -> None:
    rig = weir()
    rig.endpoint.respond(lambda request: [0.1, b"HTTP/1.1 200 OK\r\nContent-Length: 90\r\n\r\n", 0.1, b"x" * 90])
    for _ in range(3):
        assert rig.get("/timed").status == 200
    figures = row(rig, "/timed", 3)
    assert (figures.count, figures.total_bytes, figures.average_bytes) == (3, 270, 90)
    assert 95 <= figures.mean_first_byte_ms < 160
    assert 195 <= figures.mean_ms < 280


def test_the_page_is_not_passed_on(weir: MakeRig) -> None:
    rig = weir()
    assert page(rig) == {}
    assert rig.endpoint.requests == []
    hidden = weir(stats={"page": "off"})
    assert hidden.get("/weir-stats").body == b""
    assert hidden.endpoint.targets() == ["/weir-stats"]


def test_the_field_can_be_renamed_or_left_out(weir: MakeRig) -> None:
    rig = weir(stats={"header": "X-So-Far"})
    rig.endpoint.reply(LENGTH)
    head = rig.get("/").head
    assert (head.get("X-So-Far"), head.get("X-Bytes")) == ("100", None)
    without = weir(stats={"header": "off"})
    without.endpoint.reply(LENGTH)
    assert "100" not in [value for name, value in without.get("/").head.fields if name != "Content-Length"]


def test_the_endpoints_own_x_bytes_is_replaced(weir: MakeRig) -> None:
    rig = weir()
    rig.endpoint.reply(ok(b"a" * 100, "X-Bytes: 777777"))
    assert rig.get("/").head.all("X-Bytes") == ["100"]


def test_no_count_is_lost_under_concurrency(weir: MakeRig) -> None:
    rig = weir()
    rig.endpoint.respond(lambda request: CHUNKED if request.head.target.endswith("?c") else LENGTH)

    def ask(n: int) -> None:
        client = rig.connect()
        for k in range(50):
            client.send(f"GET /many{'?c' if (n + k) % 2 else ''} HTTP/1.1\r\nHost: test\r\n\r\n".encode())
            assert client.response().status == 200

    threads = [threading.Thread(target=ask, args=(n,)) for n in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    figures = row(rig, "/many", 800)
    assert (figures.count, figures.total_bytes) == (800, 400 * 100 + 400 * 43)


def test_paths_beyond_the_table_are_counted_together(weir: MakeRig) -> None:
    rig = weir(stats={"rows": 16})
    rig.endpoint.reply(LENGTH)
    client = rig.connect()
    for n in range(200):
        client.send(b"GET /p-%s HTTP/1.1\r\nHost: test\r\n\r\n" % bytes([97 + n // 26, 97 + n % 26]))
        assert client.response().status == 200
    time.sleep(0.05)
    lines = rig.get("/weir-stats").body.decode().splitlines()
    counted = [(int(line.split()[0]), line) for line in lines if line.split()[0].isdigit()]
    assert sum(count for count, _ in counted) == 200
    assert len(counted) <= 16
    assert any("(other)" in line for _, line in counted)
