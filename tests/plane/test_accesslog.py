"""The access log: each format read back, foreign bytes harmless, the batch never overrun."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Mapping
from typing import Any

import pytest

from weir.plane.accesslog import AccessLog
from weir.reasons import REASONS, Reason

BATCH = 1 << 20
# 2026-11-24 04:07:28 UTC
WALL_S = 1795493248
RECORD: Mapping[str, Any] = {
    "wall_s": WALL_S,
    "client": b"192.0.2.17",
    "method": b"GET",
    "target": b"/assets/app.js?v=12345",
    "path": b"/assets/app.js",
    "status": 200,
    "response_body_bytes": 12345,
    "host": b"example.org",
    "referer": b"https://example.org/index.html",
    "user_agent": b"Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/120.0.0.0",
    "endpoint": b"127.0.0.1:8081",
    "total_us": 12_345,
    "first_byte_us": 9_006,
    "parts_us": (1, 20, 300, 9_000, 3_024),
}
COMBINED = re.compile(
    r'(?P<client>\S+) - - \[(?P<time>[^]]+)\] "(?P<request>[^"]*)" (?P<status>\d{3}|-) (?P<bytes>\d+)'
    r'( "(?P<referer>[^"]*)" "(?P<user_agent>[^"]*)")?'
)


def line(log_format: str, **changes: Any) -> str:
    log = AccessLog(log_format, BATCH)
    log.add_for_test(**{**RECORD, **changes})
    text = log.take().decode("ascii")
    assert text.endswith("\n")
    assert text.count("\n") == 1
    return text[:-1]


def fields(text: str) -> dict[str, str]:
    match = COMBINED.fullmatch(text)
    assert match is not None, text
    return match.groupdict()


def unescape(text: str) -> bytes:
    return re.sub(rb"\\x([0-9A-F]{2})", lambda found: bytes.fromhex(found[1].decode()), text.encode())


def test_combined() -> None:
    assert fields(line("combined")) == {
        "client": "192.0.2.17",
        "time": "24/Nov/2026:04:07:28 +0000",
        "request": "GET /assets/app.js?v=12345 HTTP/1.1",
        "status": "200",
        "bytes": "12345",
        "referer": "https://example.org/index.html",
        "user_agent": RECORD["user_agent"].decode(),
    }


def test_common_is_combined_without_the_last_two() -> None:
    assert line("combined").startswith(line("common") + ' "')
    assert fields(line("common"))["referer"] is None


def test_what_is_not_known_is_a_dash() -> None:
    log = AccessLog("combined", BATCH)
    log.add_for_test(has_head=False, status=400)
    assert log.take() == b'- - - [01/Jan/1970:00:00:00 +0000] "-" 400 0 "-" "-"\n'
    assert fields(line("combined", status=0))["status"] == "-"
    assert fields(line("combined", version_minor=0))["request"].endswith(" HTTP/1.0")


def test_short() -> None:
    assert line("short") == "/assets/app.js: 200"
    assert line("short", has_head=False, status=400) == "-: 400"
    assert line("short", status=0) == "/assets/app.js: -"
    assert line("short", path=b"", target=b"*") == "*: 200"
    assert line("short", path=b"/a\nb: 200") == "/a\\x0Ab: 200: 200"


def test_ledger() -> None:
    common = line("common")
    trace = b"0af7651916cd43dd8448eb211c80319c" + b"00f067aa0ba902b7" + b"b7ad6b7169203331"
    assert line("ledger") == common + " 0.001/0.020/0.300/9.000/12.345 none 127.0.0.1:8081 - -"
    assert line("ledger", id=b"7f00", trace=trace, reason=int(Reason.CLIENT_CLOSED), endpoint=b"") == (
        common + " 0.001/0.020/0.300/9.000/12.345 client_closed - 7f00 0af7651916cd43dd8448eb211c80319c"
    )


def test_json_ids() -> None:
    entry = json.loads(line("json", id=b'a"b', trace=b"1" * 32 + b"2" * 16 + b"3" * 16))
    assert entry["request_id"] == 'a"b'
    assert (entry["trace_id"], entry["span_id"], entry["parent_id"]) == ("1" * 32, "2" * 16, "3" * 16)


def test_json() -> None:
    assert json.loads(line("json", reason=int(Reason.UPSTREAM_RESET), retries=2, request_body_bytes=7)) == {
        "time": "2026-11-24T04:07:28Z",
        "client": "192.0.2.17",
        "method": "GET",
        "target": "/assets/app.js?v=12345",
        "version": "HTTP/1.1",
        "host": "example.org",
        "status": 200,
        "reason": "upstream_reset",
        "request_body_bytes": 7,
        "response_body_bytes": 12345,
        "total_ms": 12.345,
        "first_byte_ms": 9.006,
        "TR": 0.001,
        "Tw": 0.02,
        "Tc": 0.3,
        "Tr": 9.0,
        "Td": 3.024,
        "Ta": 12.345,
        "endpoint": "127.0.0.1:8081",
        "retries": 2,
        "request_id": None,
        "trace_id": None,
        "span_id": None,
        "parent_id": None,
        "user_agent": RECORD["user_agent"].decode(),
        "referer": "https://example.org/index.html",
    }


def test_json_of_what_is_not_known_is_null() -> None:
    log = AccessLog("json", BATCH)
    log.add_for_test(has_head=False, reason=int(Reason.BAD_REQUEST))
    entry = json.loads(log.take())
    unknown = {"client", "method", "target", "version", "host", "status", "first_byte_ms", "endpoint", "user_agent"}
    unknown |= {"referer", "request_id", "trace_id", "span_id", "parent_id"}
    assert {key for key, value in entry.items() if value is None} == unknown
    assert (entry["reason"], entry["total_ms"]) == ("bad_request", 0.0)


@pytest.mark.parametrize("reason", list(Reason))
def test_reasons_have_their_words(reason: Reason) -> None:
    assert json.loads(line("json", reason=int(reason)))["reason"] == REASONS[reason].word


EVERY_BYTE = bytes(range(256))
LONG_TEXTS = [("target", 8192), ("referer", 8192), ("user_agent", 8192)]


@pytest.mark.parametrize("name", ["client", "method", "target", "referer", "user_agent"])
@pytest.mark.parametrize("log_format", ["combined", "common"])
def test_hostile_bytes_in_combined(log_format: str, name: str) -> None:
    text = line(log_format, **{name: EVERY_BYTE.replace(b" ", b"") if name == "client" else EVERY_BYTE})
    assert all(0x20 <= ord(character) <= 0x7E for character in text)
    entry = fields(text)
    assert entry["status"] == "200"
    expected = EVERY_BYTE.replace(b" ", b"") if name == "client" else EVERY_BYTE
    if name in ("method", "target"):
        assert expected in unescape(entry["request"])
    elif entry[name] is not None:
        assert unescape(entry[name]) == expected


@pytest.mark.parametrize("name", ["client", "method", "target", "host", "endpoint", "referer", "user_agent"])
def test_hostile_bytes_in_json(name: str) -> None:
    entry = json.loads(line("json", **{name: EVERY_BYTE}))
    assert entry[name].encode("latin-1") == EVERY_BYTE
    assert entry["status"] == 200


@pytest.mark.parametrize(
    ("name", "bound"),
    [*((name, 512) for name in ("client", "method", "host", "endpoint")), *LONG_TEXTS],
)
def test_long_text_is_cut(name: str, bound: int) -> None:
    for length in (bound - 1, bound, bound + 1, 60_000):
        entry = json.loads(line("json", **{name: b"\xff" * length}))
        assert entry[name] == "\xff" * min(length, bound)


@pytest.mark.parametrize("log_format", ["combined", "common", "json", "short", "ledger"])
def test_numbers_at_their_limits(log_format: str) -> None:
    text = line(
        log_format,
        response_body_bytes=2**64 - 1,
        request_body_bytes=2**64 - 1,
        total_us=2**63 - 1,
        first_byte_us=2**63 - 1,
        status=65535,
        retries=255,
    )
    assert "65535" in text
    assert log_format == "short" or "18446744073709551615" in text
    assert log_format != "json" or json.loads(text)["total_ms"] == pytest.approx((2**63 - 1) / 1000)


@pytest.mark.parametrize("us", [0, 1, 9, 10, 99, 100, 999, 1000, 1001, 59_999_999])
def test_milliseconds(us: int) -> None:
    assert f'"total_ms":{us // 1000}.{us % 1000:03},' in line("json", total_us=us)


@pytest.mark.parametrize("number", [0, 9, 10, 99, 100, 101, 999, 1000, 12345, 10**19])
def test_numbers(number: int) -> None:
    assert fields(line("common", response_body_bytes=number))["bytes"] == str(number)


@pytest.mark.parametrize("log_format", ["combined", "json", "short", "ledger"])
def test_a_full_batch_drops_and_counts(log_format: str) -> None:
    """Whatever fits is whole; nothing is written beyond the batch (a guard: the sizes come out even)."""
    worst = {"target": b"\x00" * 9000, "path": b"\x00" * 9000, "referer": b'"' * 9000, "user_agent": b"\xff" * 9000}
    for size in (1, 1000, 5000, 300_000, BATCH):
        log = AccessLog(log_format, size)
        log.add_for_test(**{**RECORD, **worst}, repeat=50)
        log.add_for_test(**RECORD, repeat=20_000)
        batch = log.take()
        assert len(batch) <= size
        assert batch.count(b"\n") == log.lines
        assert log.lines + log.dropped == 20_050
        assert not batch or batch.endswith(b"\n")
        assert size < 300_000 or log.lines


def test_taking_makes_room() -> None:
    log = AccessLog("common", 8192)
    log.add_for_test(**RECORD, repeat=200)
    dropped, lines, wanted = log.dropped, log.lines, log.wanted
    assert dropped
    log.take()
    assert (wanted, log.wanted) == (True, False)
    assert log.take() == b""
    log.add_for_test(**RECORD)
    assert (log.dropped, log.lines) == (dropped, lines + 1)


def test_wanted_at_64_kib() -> None:
    log = AccessLog("common", BATCH)
    log.add_for_test(**RECORD)
    each = len(log.take())
    log.add_for_test(**RECORD, repeat=65535 // each)
    assert not log.wanted
    log.add_for_test(**RECORD)
    assert log.wanted


def test_off() -> None:
    log = AccessLog("off", BATCH)
    assert not log.enabled
    log.add_for_test(**RECORD)
    assert (log.take(), log.lines, log.dropped) == (b"", 0, 0)
    assert AccessLog("short", BATCH).enabled


def test_what_cannot_be_is_refused() -> None:
    for log_format, size in (("fancy", BATCH), ("", BATCH), ("json", 0), ("json", -1), ("json", 1 << 31)):
        with pytest.raises(ValueError):
            AccessLog(log_format, size)


@pytest.mark.parametrize(
    ("wall_s", "stamp"),
    [
        (0, "01/Jan/1970:00:00:00 +0000"),
        (951_782_400, "29/Feb/2000:00:00:00 +0000"),
        (1_798_761_599, "31/Dec/2026:23:59:59 +0000"),
        (4_102_444_800, "01/Jan/2100:00:00:00 +0000"),
    ],
)
def test_the_stamp_follows_the_clock(wall_s: int, stamp: str) -> None:
    log = AccessLog("common", BATCH)
    for second in (WALL_S, wall_s, WALL_S):
        log.add_for_test(**{**RECORD, "wall_s": second})
    stamps = [fields(text)["time"] for text in log.take().decode().splitlines()]
    assert stamps == ["24/Nov/2026:04:07:28 +0000", stamp, "24/Nov/2026:04:07:28 +0000"]


# A time of the build that people use: others check or trace each step.
@pytest.mark.alone
@pytest.mark.figures
@pytest.mark.parametrize("log_format", ["combined", "json"])
def test_a_line_is_cheap(log_format: str) -> None:
    """Under 1 us, on a machine that is not idle."""
    log = AccessLog(log_format, 1 << 27)
    times = []
    for _ in range(5):
        started = time.process_time_ns()
        log.add_for_test(**RECORD, repeat=100_000)
        times.append((time.process_time_ns() - started) / 100_000)
        assert log.take()
    assert log.dropped == 0
    assert min(times) < 1000
