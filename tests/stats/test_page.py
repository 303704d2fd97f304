"""The plain-text page."""

from __future__ import annotations

import struct

import pytest

from weir.plane.counters import Counters
from weir.reasons import Reason
from weir.stats import layout
from weir.stats.page import SharedPage, printable, render
from weir.stats.reader import Counts, snapshot


def count(counters: Counters, route: int, path: bytes, **values: int) -> None:
    row = counters.find_row(route, path)
    for name, value in values.items():
        counters.add(row, Counts._fields.index(name), value)


def test_a_long_page_ends_with_how_many_are_left_out() -> None:
    table = layout.create(6000, ["main"], workers=1)
    counters = Counters(table, 0)
    for number in range(5000):
        count(counters, 0, b"/%04d" % number + b"\xff" * 100, requests=2 if number < 10 else 1)
    page = render(table)
    assert 990_000 < len(page) < 1_010_000
    lines = page.decode().splitlines()
    shown = len(lines) - 2
    assert lines[1].endswith("/0000" + "\\xFF" * 100)
    assert lines[-1] == f"... and {5000 - shown} more"


def test_the_page() -> None:
    table = layout.create(5, ["main"], workers=2)
    for number in range(2):
        counters = Counters(table, number)
        count(counters, 0, b"/pkg/", requests=500, response_body_bytes=5_000_000, total_us=1_000_000)
        count(counters, 0, b"/pkg/", first_bytes=250, first_byte_us=100_000)
        count(counters, 0, b"/", requests=1, response_body_bytes=999, total_us=1_500, errors=1)
        count(counters, 0, b"/nothing yet")
    for path in (b"/x", b"/y"):
        count(counters, 0, path, requests=7, response_body_bytes=15, total_us=70_000)
    assert render(table).decode().splitlines() == [
        "Count  Total Bytes  Avg Bytes  Avg ms  Avg FB ms  URL",
        " 1000     10000000      10000    2.00       0.40  /pkg/",
        "    7           15          2   10.00          -  (other)",
        "    7           15          2   10.00          -  /x",
        "    2         1998        999    1.50          -  /",
    ]


def test_an_empty_table_has_the_heading_only() -> None:
    with layout.create(5, ["main"], workers=1) as table:
        assert render(table) == b"Count  Total Bytes  Avg Bytes  Avg ms  Avg FB ms  URL\n"


def test_routes_are_told_apart() -> None:
    table = layout.create(8, ["main", "api\n"], workers=1)
    counters = Counters(table, 0)
    count(counters, 0, b"/a", requests=1)
    count(counters, 1, b"/a", requests=1)
    assert [line.split("  ")[-1] for line in render(table).decode().splitlines()[1:]] == ["api\\x0A /a", "main /a"]


def test_hostile_paths_stay_on_their_line() -> None:
    table = layout.create(300, ["main"], workers=1)
    counters = Counters(table, 0)
    paths = [b"/" + bytes([byte]) + "/é\u2028\u202e".encode() for byte in range(256)]
    for path in paths:
        count(counters, 0, path, requests=1)
    page = render(table).decode()
    assert len(page.split("\n")) == len(paths) + 2
    assert all(character.isprintable() for line in page.split("\n") for character in line)
    assert "/\\x1B/é\\xE2\\x80\\xA8\\xE2\\x80\\xAE" in page


def test_a_cut_path_is_marked() -> None:
    table = layout.create(8, ["main"], workers=1)
    counters = Counters(table, 0)
    count(counters, 0, b"/" + b"x" * 199, requests=1)
    count(counters, 0, b"/" + b"y" * 200, requests=1)
    cut, whole = sorted(line.split("  ")[-1] for line in render(table).decode().splitlines()[1:])
    assert {cut, whole} == {"/" + "x" * 199, "/" + "y" * 199 + "..."}


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("/plain", "/plain"),
        ("/é", "/é"),
        ("/a\\b", "/a\\\\b"),
        ("/\x1b[2J", "/\\x1B[2J"),
        ("/\udcff", "/\\xFF"),
        ("", ""),
    ],
)
def test_printable(text: str, shown: str) -> None:
    assert printable(text) == shown


def test_reasons_stand_below_the_table() -> None:
    with layout.create(5, ["main"], workers=2) as table:
        for worker, times in ((0, 3), (1, 120_000)):
            at = layout.read_header(table).places.workers_at + worker * layout.read_header(table).places.worker_bytes
            at += layout.WORKER["reasons"][1]
            struct.pack_into("Q", table, at + 8 * Reason.BAD_HOST, times)
            struct.pack_into("Q", table, at + 8 * Reason.EVICTED, times * worker)
        assert snapshot(table).reasons[Reason.BAD_HOST] == 120_003
        assert render(table).decode().splitlines()[1:] == ["", "120003  bad_host", "120000  evicted"]


def test_a_page_that_takes_long_to_make_is_shared() -> None:
    now, took, made = 100.0, 0.001, 0

    def make(memory: object) -> bytes:
        nonlocal now, made
        now, made = now + took, made + 1
        return b"%d" % made

    page = SharedPage(None, make, lambda: now)
    assert [page(), page(), page()] == [b"1", b"2", b"3"]
    took = 0.5
    assert [page(), page()] == [b"4", b"4"]
    now += 4.9
    assert page() == b"4"
    now += 0.2
    took = 0.001
    assert [page(), page()] == [b"5", b"6"]
