"""weir.v1.Stats over the wire: Connect with JSON by curl, protobuf, gRPC-Web, streams, and what is refused."""

from __future__ import annotations

import asyncio
import json
import socket
import subprocess
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest
from connectrpc.errors import ConnectError

from tests.admin.served import Reply, ask, count, serving
from weir._gen import stats_pb as pb
from weir._gen.health_connect import HealthClient
from weir._gen.health_pb import HealthCheckRequest, HealthCheckResponse
from weir._gen.stats_connect import StatsClient
from weir.plane.counters import Counters
from weir.reasons import Reason
from weir.stats import layout
from weir.stats.publish import publish

SERVICE = "/weir.v1.Stats/"


def made() -> layout.Table:
    table = layout.create(6, ["main", "api"], workers=2, endpoints=[("app", "127.0.0.1:1")])
    for worker in range(2):
        counters = Counters(table, worker)
        count(counters, b"/a", 1000, 10)
        count(counters, b"/b\x1b\xff", 9000, 2, reason=Reason.CLIENT_CLOSED)
        count(counters, b"/" + b"x" * 300, 50, 3)
        count(counters, b"/a", 70, 1, route=1)
        publish(table, worker, gauges={"downstreams": 3}, endpoints=[(0, {"open": 5, "idle": 2, "dials": 9})])
    for number in range(50):
        count(Counters(table, 0), b"/%d" % number, 5, 1)
    return table


@pytest.fixture
async def port() -> AsyncIterator[int]:
    async with serving(made()) as port:
        yield port


async def call(port: int, method: str, **request: object) -> Reply:
    return await ask(port, SERVICE + method, json.dumps(request).encode())


async def test_curl_is_a_client(port: int) -> None:
    url = f"http://127.0.0.1:{port}{SERVICE}GetStats"
    for arguments in (
        ["-d", '{"limit": 1}', "-H", "Content-Type: application/json", url],
        ["-G", "--data-urlencode", 'message={"limit": 1}', "-d", "encoding=json", "-d", "connect=v1", url],
    ):
        done = await asyncio.to_thread(subprocess.run, ["curl", "-sS", *arguments], capture_output=True, check=True)
        answer = json.loads(done.stdout)
        assert answer["series"][0]["path"] == "(other)"
        assert answer["series"][0]["requests"] == "50"


async def test_series(port: int) -> None:
    answer = (await call(port, "GetStats")).json
    series = {(entry["route"], entry["path"]): entry for entry in answer["series"]}
    assert answer["matched"] == len(series) == 5
    assert answer["total"]["requests"] == "82"
    assert answer["relativeError"] == pytest.approx(2 ** (1 / 16) - 1)
    hostile = series["main", "/b\\x1B\\xFF"]
    assert hostile["errors"] == "4"
    assert hostile["reasons"] == [{"reason": "client_closed", "count": "4"}]
    assert hostile["status"] == {"success": "4"}
    assert hostile["responseBodyBytes"] == "400"
    assert hostile["ledger"] == {"responseHeadUs": "36000", "totalUs": "36000"}
    assert hostile["total"]["p99Us"] == pytest.approx(9000, rel=0.0443)
    assert hostile["firstByte"]["count"] == "4"
    assert series["main", "/" + "x" * 199]["truncated"]
    assert series["main", "(other)"]["other"]
    (other,) = answer["others"]
    assert (other["route"], other["requests"]) == ("main", "50")
    assert other["share"] == pytest.approx(50 / 80)
    assert int(other["distinctPaths"]) == pytest.approx(50, rel=0.2)
    assert "totalHistogram" not in hostile


async def test_histograms_can_be_merged(port: int) -> None:
    answer = (await call(port, "GetStats", filter={"path": "/a"}, histograms=True)).json
    assert [(entry["route"], entry["path"]) for entry in answer["series"]] == [("main", "/a"), ("api", "/a")]
    histogram = answer["series"][0]["totalHistogram"]
    assert histogram["scale"] == 3
    assert [int(each) for each in histogram["counts"]] == [20]
    assert 2 ** (histogram["offset"] / 8) < 1000 <= 2 ** ((histogram["offset"] + 1) / 8)


@pytest.mark.parametrize(
    ("request_", "paths"),
    [
        ({"sort": "SORT_P99", "limit": 2}, ["/b\\x1B\\xFF", "/a"]),
        ({"sort": "SORT_ERRORS", "limit": 1}, ["/b\\x1B\\xFF"]),
        ({"sort": "SORT_PATH", "filter": {"route": "main"}, "limit": 2}, ["(other)", "/a"]),
        ({"sort": "SORT_PATH", "reverse": True, "filter": {"route": "main"}, "limit": 1}, ["/" + "x" * 199]),
        ({"filter": {"contains": "OTHER"}}, ["(other)"]),
        ({"filter": {"prefix": "/b"}}, ["/b\\x1B\\xFF"]),
    ],
)
async def test_orders_and_filters(port: int, request_: dict[str, Any], paths: list[str]) -> None:
    assert [entry["path"] for entry in (await call(port, "GetStats", **request_)).json["series"]] == paths


@pytest.mark.parametrize(
    ("method", "request_", "message"),
    [
        ("GetStats", {"limit": 10_001}, "limit: 10001 is more than 10000"),
        ("GetStats", {"since": "2026-01-01T00:00:00Z", "window": "5s"}, "since, window: give one of the two"),
        ("GetStats", {"since": "1971-01-01T00:00:00Z"}, "since: that was before the year 2000"),
        ("GetStats", {"window": "-5s"}, "window: -5 s is no time that was counted"),
        ("GetHistory", {"step": "90s"}, "step: 90 s is not a whole number of minutes"),
        ("GetHistory", {"window": "31536000s"}, "step: that is more than 10000 points"),
    ],
)
async def test_what_cannot_be_meant_is_refused(port: int, method: str, request_: dict[str, Any], message: str) -> None:
    refused = await call(port, method, **request_)
    assert refused.status == 400
    assert refused.json["code"] == "invalid_argument"
    assert refused.json["message"].startswith(message)


async def test_garbage_is_refused(port: int) -> None:
    for body in (b"{", b"[]", b'{"limit": "many"}', b'{"sort": "SORT_BY_TASTE"}', b"\xff\xfe"):
        assert 400 <= (await ask(port, SERVICE + "GetStats", body)).status < 500
    assert (await ask(port, SERVICE + "GetNothing", b"{}")).status == 404
    too_long = json.dumps({"filter": {"contains": "x" * 100_000}}).encode()
    assert 400 <= (await ask(port, SERVICE + "GetStats", too_long)).status < 500


async def test_a_reset_begins_anew_and_changes_nothing_else() -> None:
    table = made()
    async with serving(table) as port:
        since = (await call(port, "ResetStats")).json["since"]
        await asyncio.sleep(0.12)
        count(Counters(table, 0), b"/a", 1000, 7)
        answer = (await call(port, "GetStats")).json
        assert answer["since"] == since
        assert answer["total"]["requests"] == "7"
        assert [entry["path"] for entry in answer["series"]] == ["/a"]
        metrics = (await ask(port, "/metrics")).body.decode()
        assert 'weir_response_body_bytes_total{route="main"} 8700' in metrics


async def test_since_counts_from_then_on() -> None:
    table = made()
    async with serving(table) as port:
        moment = datetime.now(UTC) + timedelta(milliseconds=1)
        await asyncio.sleep(0.12)
        count(Counters(table, 0), b"/a", 1000, 7)
        for request in ({"since": moment.isoformat().replace("+00:00", "Z")}, {"window": "0.05s"}):
            answer = (await call(port, "GetStats", **request)).json
            assert answer["total"]["requests"] == "7"
            assert answer["since"] <= moment.isoformat()
        answer = (await call(port, "GetStats", window="3600s")).json
        assert answer["total"]["requests"] == "89"


async def test_history_and_status(port: int) -> None:
    answer = (await call(port, "GetHistory", window="120s")).json
    assert answer["step"] == "60s"
    assert sum(int(point.get("requests", 0)) for point in answer["points"]) == 82
    answer = (await call(port, "GetHistory", route="main", path="/a")).json
    assert sum(int(point.get("requests", 0)) for point in answer["points"]) == 20
    status = (await call(port, "GetStatus")).json
    assert [worker["downstreamConnections"] for worker in status["workers"]] == ["3", "3"]
    (endpoint,) = status["endpoints"]
    assert (endpoint["cluster"], endpoint["endpoint"], endpoint["open"]) == ("app", "127.0.0.1:1", "10")
    assert status["table"]["rows"] == status["table"]["rowsTaken"] == 6


def envelopes(data: bytes) -> list[tuple[int, Any]]:
    """The messages of a Connect stream in JSON, each with its flags."""
    found = []
    while data:
        length = int.from_bytes(data[1:5], "big")
        found.append((data[0], json.loads(data[5 : 5 + length])))
        data = data[5 + length :]
    return found


async def watch(port: int, seconds: float, **request: object) -> list[Any]:
    """What a watcher is told within some seconds, by the generated client."""
    got = []
    async with StatsClient(f"http://127.0.0.1:{port}") as client:
        answers = client.watch_stats(pb.WatchStatsRequest.from_json(json.dumps(request)))
        try:
            async with asyncio.timeout(seconds):
                async for answer in answers:
                    got.append(answer.stats)
        except (TimeoutError, ConnectError):
            await answers.aclose()  # type: ignore[attr-defined]
    return got


async def test_watchers_are_told_what_was_counted_in_each_interval() -> None:
    table = made()
    counters = Counters(table, 0)
    async with serving(table) as port:

        async def traffic() -> int:
            for _ in range(20):
                count(counters, b"/a", 1000, 1)
                await asyncio.sleep(0.05)
            return 20

        watching = asyncio.create_task(watch(port, 2.5, interval="0.2s"))
        await asyncio.sleep(0.7)
        counted = await traffic()
        got = await watching
    assert len(got) >= 5
    assert sum(stats.total.requests for stats in got) == counted
    assert all(later.since.to_nanos() == earlier.taken.to_nanos() for earlier, later in pairwise(got))


async def test_a_hundred_watchers_and_one_that_does_not_read() -> None:
    table = made()
    counters = Counters(table, 0)
    async with serving(table) as port:
        body = b'{"interval": "0.2s", "histograms": true}'
        envelope = b"\x00" + len(body).to_bytes(4, "big") + body
        request = (
            b"POST %bWatchStats HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/connect+json\r\n"
            b"Content-Length: %d\r\n\r\n%b" % (SERVICE.encode(), len(envelope), envelope)
        )
        silent = socket.create_connection(("127.0.0.1", port))
        silent.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        silent.sendall(request)
        watchers = []
        for _ in range(100):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(request)
            watchers.append((reader, writer))
        deadline = time.monotonic() + 4
        while time.monotonic() < deadline:
            count(counters, b"/a", 1000, 1)
            await asyncio.sleep(0.05)
        started = time.monotonic()
        assert (await call(port, "GetStats", limit=1)).status == 200
        assert time.monotonic() - started < 2
        for reader, writer in watchers:
            head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 5)
            assert b" 200 " in head.split(b"\r\n")[0]
            assert len(await asyncio.wait_for(reader.read(100), 5)) > 0
            writer.close()
        silent.close()


async def test_a_watcher_says_how_often(port: int) -> None:
    for interval in ("0.1s", "3601s"):
        body = json.dumps({"interval": interval}).encode()
        envelope = b"\x00" + len(body).to_bytes(4, "big") + body
        reply = await ask(port, SERVICE + "WatchStats", envelope, fields={"Content-Type": "application/connect+json"})
        ((flags, end),) = envelopes(reply.body)
        assert flags == 2
        assert end["error"]["code"] == "invalid_argument"
        assert "is not 0.2 s to 3600 s" in end["error"]["message"]


async def test_protobuf_and_the_generated_client(port: int) -> None:
    async with StatsClient(f"http://127.0.0.1:{port}") as client:
        answer = await client.get_stats(pb.GetStatsRequest(sort=pb.Sort.P99, limit=1))
    assert [series.path for series in answer.series] == ["/b\\x1B\\xFF"]


async def test_grpc_web(port: int) -> None:
    message = pb.GetStatsRequest(limit=1).to_binary()
    framed = b"\x00" + len(message).to_bytes(4, "big") + message
    reply = await ask(
        port,
        SERVICE + "GetStats",
        framed,
        fields={"Content-Type": "application/grpc-web+proto", "X-Grpc-Web": "1"},
    )
    assert reply.status == 200
    length = int.from_bytes(reply.body[1:5], "big")
    answer = pb.GetStatsResponse.from_binary(reply.body[5 : 5 + length])
    assert answer.series[0].path == "(other)"
    trailers = reply.body[5 + length :]
    assert trailers[0] == 0x80
    assert b"grpc-status: 0" in trailers


async def test_the_standard_health_service(port: int) -> None:
    async with HealthClient(f"http://127.0.0.1:{port}") as client:
        for service in ("", "weir.v1.Stats"):
            answer = await client.check(HealthCheckRequest(service=service))
            assert answer.status == HealthCheckResponse.ServingStatus.SERVING
    reply = await ask(port, "/grpc.health.v1.Health/Check", b'{"service": "none"}')
    assert (reply.status, reply.json["code"]) == (404, "not_found")


# A time of the build that people use.
@pytest.mark.figures
async def test_get_stats_of_a_full_table_is_quick() -> None:
    table = layout.create(4097, ["main"], workers=2)
    for worker in range(2):
        counters = Counters(table, worker)
        for number in range(4096):
            count(counters, b"/%d" % number, 100 + number, 2)
    async with serving(table) as port:
        best = 10.0
        for _ in range(6):
            await asyncio.sleep(0.12)
            started = time.perf_counter()
            assert (await call(port, "GetStats", sort="SORT_P99")).status == 200
            best = min(best, time.perf_counter() - started)
    print(f"{best * 1000:.1f} ms")
    assert best < 0.06
