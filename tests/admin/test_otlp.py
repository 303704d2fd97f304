"""OTLP: what a collector is sent says what the table says; a collector that is slow, full or gone is outlived."""

from __future__ import annotations

import asyncio
import gzip
import http.server
import json
import logging
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
from google.protobuf import json_format
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest

from tests.admin.rig import count
from weir.admin.otlp import Exporter, payload
from weir.admin.state import AdminState
from weir.config.plan import OtlpPlan, Plan
from weir.plane.counters import Counters
from weir.stats import layout, reader
from weir.stats.frame import take


class Collector(http.server.ThreadingHTTPServer):
    """A real server that keeps what it was sent, and answers as it was told: (status, fields, pause in seconds)."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.got: list[tuple[dict[str, str], bytes]] = []
        self.answers: list[tuple[int, dict[str, str], float]] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class Handler(http.server.BaseHTTPRequestHandler):
    server: Collector

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.got.append(({name.lower(): value for name, value in self.headers.items()}, body))
        status, fields, pause = self.server.answers.pop(0) if self.server.answers else (200, {}, 0.0)
        time.sleep(pause)
        self.send_response(status)
        for name, value in {**fields, "Content-Length": "2"}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(b"{}")

    def log_message(self, format: str, *args: Any) -> None:
        pass


@pytest.fixture
def collector() -> Iterator[Collector]:
    with Collector() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def state() -> AdminState:
    table = layout.create(8, ["main"], workers=1)
    count(Counters(table, 0), b"/a", 1000, 10)
    count(Counters(table, 0), b"/b", 30_000, 5)
    return AdminState(Plan((), (), ()), table)


def decoded(body: bytes) -> dict[str, Any]:
    """Metrics by name, as OpenTelemetry's own messages."""
    message = ExportMetricsServiceRequest()
    json_format.Parse(gzip.decompress(body), message)
    (resource,) = message.resource_metrics
    assert {a.key: a.value.string_value for a in resource.resource.attributes}["service.name"] == "weir"
    (scope,) = resource.scope_metrics
    return {metric.name: metric for metric in scope.metrics}


async def test_it_says_what_the_table_says(collector: Collector) -> None:
    exporter = Exporter(state(), OtlpPlan(endpoint=collector.url, headers=(("X-Key", "secret"),)))
    assert await exporter.export()
    ((fields, body),) = collector.got
    assert (fields["content-type"], fields["x-key"]) == ("application/json", "secret")
    metrics = decoded(body)
    requests = metrics["weir.requests"]
    assert requests.sum.is_monotonic
    assert requests.sum.aggregation_temporality == 2
    by_code = {point.attributes[1].value.string_value: point.as_int for point in requests.sum.data_points}
    assert by_code == {"1xx": 0, "2xx": 15, "3xx": 0, "4xx": 0, "5xx": 0}
    duration = metrics["weir.request_duration"]
    assert duration.unit == "us"
    (point,) = duration.exponential_histogram.data_points
    assert (point.count, point.scale, point.sum) == (15, 3, 160_000)
    filled = {point.positive.offset + i: n for i, n in enumerate(point.positive.bucket_counts) if n}
    assert list(filled.values()) == [10, 5]
    for bucket, us in zip(filled, (1000, 30_000), strict=True):
        assert 2 ** (bucket / 8) < us <= 2 ** ((bucket + 1) / 8)
    assert 0 < point.start_time_unix_nano < point.time_unix_nano <= time.time_ns()
    assert metrics["weir.series"].gauge.data_points[0].as_int == 3


async def test_histograms_are_exact_copies(collector: Collector) -> None:
    table = layout.create(8, ["main"], workers=1)
    counters = Counters(table, 0)
    times = [0, 1, 2, 3, 900, 1000, 1_000_000, 99_000_000, 1 << 40]
    for us in times:
        count(counters, b"/a", us, 1)
    assert await Exporter(AdminState(Plan((), (), ()), table), OtlpPlan(endpoint=collector.url)).export()
    (point,) = decoded(collector.got[0][1])["weir.request_duration"].exponential_histogram.data_points
    frame = take(table)
    buckets = frame.total().histogram(0, 0)
    sent = [0] * len(buckets)
    for place, n in enumerate(point.positive.bucket_counts, point.positive.offset):
        sent[place] = n
    assert sent == buckets
    assert (point.count, point.sum) == (len(times), sum(times))


async def test_a_series_keeps_its_type_and_begins_with_its_worker(collector: Collector) -> None:
    table = layout.create(8, ["main"], workers=1)
    await asyncio.sleep(0.01)
    Counters(table, 0)
    exporter = Exporter(AdminState(Plan((), (), ()), table), OtlpPlan(endpoint=collector.url))
    assert await exporter.export()
    metrics = decoded(collector.got[0][1])
    (accepted,) = metrics["weir.downstream_accepted"].sum.data_points
    (retries,) = metrics["weir.retries"].sum.data_points
    created_us = layout.read_header(table).created_us
    assert retries.start_time_unix_nano == created_us * 1000
    assert accepted.start_time_unix_nano == reader.workers(table)[0].started_us * 1000 > created_us * 1000
    for name in ("weir.worker_cpu_seconds", "process.cpu_seconds"):
        (point,) = metrics[name].sum.data_points
        assert point.WhichOneof("value") == "as_double"
    assert metrics["process.open_fds"].gauge.data_points[0].WhichOneof("value") == "as_int"


async def test_a_table_without_traffic_can_be_sent(collector: Collector) -> None:
    empty = AdminState(Plan((), (), ()), layout.create(8, ["main"], workers=1))
    assert await Exporter(empty, OtlpPlan(endpoint=collector.url)).export()
    (point,) = decoded(collector.got[0][1])["weir.request_duration"].exponential_histogram.data_points
    assert (point.count, list(point.positive.bucket_counts)) == (0, [])


async def test_a_full_collector_is_asked_again_when_it_says(collector: Collector) -> None:
    collector.answers = [(503, {"Retry-After": "1"}, 0.0)]
    started = time.monotonic()
    assert await Exporter(state(), OtlpPlan(endpoint=collector.url)).export()
    assert time.monotonic() - started >= 1
    assert len(collector.got) == 2


async def test_what_would_be_refused_again_is_not_sent_again(
    collector: Collector, caplog: pytest.LogCaptureFixture
) -> None:
    collector.answers = [(400, {}, 0.0), (400, {}, 0.0), (200, {}, 0.0)]
    exporter = Exporter(state(), OtlpPlan(endpoint=collector.url))
    with caplog.at_level(logging.WARNING):
        assert [await exporter.export() for _ in range(3)] == [False, False, True]
    assert len(collector.got) == 3
    assert caplog.text.count("it answered 400") == 1
    assert "takes metrics again" in caplog.text
    assert (exporter.sent, exporter.failed) == (1, 2)


async def test_a_collector_that_is_not_there_or_slow_holds_up_nothing(
    collector: Collector, caplog: pytest.LogCaptureFixture
) -> None:
    url = collector.url
    collector.answers = [(200, {}, 1.0)] * 5
    slow = Exporter(state(), OtlpPlan(endpoint=url, timeout_ms=200, interval_ms=1000))
    exporting = asyncio.create_task(slow.export())
    longest, last = 0.0, time.monotonic()
    while not exporting.done():
        await asyncio.sleep(0.01)
        longest, last = max(longest, time.monotonic() - last), time.monotonic()
    assert not await exporting
    assert longest < 0.5, "the loop stood still"
    gone = Exporter(state(), OtlpPlan(endpoint="http://127.0.0.1:9", interval_ms=1000))
    assert not await gone.export()
    assert "metrics are sent again at the next interval" in caplog.text


async def test_a_long_retry_after_is_honoured_over_the_interval(collector: Collector) -> None:
    collector.answers = [(429, {"Retry-After": "2"}, 0.0)]
    exporter = Exporter(state(), OtlpPlan(endpoint=collector.url, interval_ms=200))
    running = asyncio.create_task(exporter.run())
    started = time.monotonic()
    async with asyncio.timeout(20):
        while not exporter.sent:
            await asyncio.sleep(0.02)
    assert time.monotonic() - started >= 2
    assert len(collector.got) == 2
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running


async def test_a_table_that_cannot_be_read_ends_nothing(caplog: pytest.LogCaptureFixture) -> None:
    broken = state()
    layout.write(broken.memory, 0, layout.HEADER, version=99)
    exporter = Exporter(broken, OtlpPlan(endpoint="http://127.0.0.1:9", interval_ms=100))
    running = asyncio.create_task(exporter.run())
    async with asyncio.timeout(20):
        while exporter.failed < 3:
            await asyncio.sleep(0.02)
    assert not running.done()
    assert caplog.text.count("the metrics could not be made") == 1
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running


def test_the_payload_is_json() -> None:
    async def made() -> dict[str, Any]:
        return payload(state(), time.time_ns())

    assert json.loads(json.dumps(asyncio.run(made())))["resourceMetrics"]
