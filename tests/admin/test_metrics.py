"""Metrics: as promtool and a real Prometheus read them, and equal to what the table says."""

from __future__ import annotations

import asyncio
import json
import math
import shutil
import socket
import struct
import subprocess
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text

from tests.admin.rig import curl, served
from weir._gen import metrics_pb as pb
from weir.admin.exposition import NATIVE_SHIFT, as_openmetrics, as_protobuf, as_text, choose, native_buckets
from weir.admin.families import collect
from weir.admin.metric_table import METRICS
from weir.admin.metrics import Metrics
from weir.admin.state import AdminState
from weir.config.plan import AddressPlan, FaultPlan, ListenerPlan, Plan, RateLimitPlan, RoutePlan
from weir.plane.counters import Counters
from weir.plane.gcra import RateLimit
from weir.reasons import Reason
from weir.stats import layout
from weir.stats.columns import COUNTERS, REASONS_AT
from weir.stats.frame import take
from weir.stats.hooks import BUCKETS_AT, HEADER_BYTES, ROW_BYTES
from weir.stats.publish import publish, write_decisions, write_figures
from weir.stats.reader import BUCKETS_USED
from weir.stats.rules import RuleBook

PLACES = {counter.name: place for place, counter in enumerate(COUNTERS)}
ENDPOINTS = [("app", "127.0.0.1:1"), ("app", "127.0.0.1:2")]
HOSTILE = 'a"\\\n}'


def made() -> layout.Table:
    table = layout.create(6, ["main", HOSTILE], workers=2, endpoints=ENDPOINTS, clusters=["app"])
    for worker in range(2):
        counters = Counters(table, worker)
        for route, path, us in ((0, b"/a", 1000), (0, b"/b", 300_000), (1, b"/a", 40)):
            count(counters, route, path, us)
        publish(
            table,
            worker,
            gauges={"downstreams": 3, "exchanges": 1, "accepted": 70},
            endpoints=[(0, {"open": 5, "idle": 2, "surplus": 1})],
            clusters=[(0, {"queued": 4})],
        )
        write_figures(table, worker, 0, dials=9)
        write_decisions(table, worker, 0, reset=5, budget=1)
    return table


def count(counters: Counters, route: int, path: bytes, us: int, times: int = 10) -> None:
    row = counters.find_row(route, path)
    counters.add(row, PLACES["requests"], times)
    counters.add(row, PLACES["status_2xx"], times - 1)
    counters.add(row, PLACES["errors"], 1)
    counters.add(row, REASONS_AT + Reason.CLIENT_CLOSED, 1)
    counters.add(row, PLACES["total_us"], us * times)
    counters.add(row, PLACES["queue_us"], us * times)
    counters.add(row, PLACES["response_body_bytes"], 100 * times)
    counters.observe_us(row, 0, us, repeat=times)
    for _ in range(times):
        counters.observe_part_us(route, 1, us)


def state_of(table: layout.Table) -> AdminState:
    return AdminState(Plan((), (), ()), table)


def samples(text: bytes) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in parse_text(text.decode())
        for sample in family.samples
    }


async def test_values_are_those_of_the_table() -> None:
    got = samples(as_text(collect(state_of(made()))))
    main = ("route", "main")
    assert got["weir_requests_total", (("code", "2xx"), main)] == 36
    assert got["weir_requests_total", (("code", "5xx"), main)] == 0
    assert got["weir_unanswered_requests_total", (main,)] == 4
    assert got["weir_errors_total", (("reason", "client_closed"), main)] == 4
    assert got["weir_response_body_bytes_total", (main,)] == 4000
    assert got["weir_request_duration_seconds_count", (main,)] == 40
    assert got["weir_request_duration_seconds_sum", (main,)] == pytest.approx(20 * 0.301)
    assert got["weir_request_duration_seconds_bucket", (("le", "0.001024"), main)] == 20
    assert got["weir_request_duration_seconds_bucket", (("le", "0.000512"), main)] == 0
    assert got["weir_request_part_seconds_count", (("part", "Tw"), main)] == 40
    assert got["weir_request_part_seconds_sum", (("part", "Tw"), main)] == pytest.approx(20 * 0.301)
    assert got["weir_request_part_seconds_count", (("part", "Td"), main)] == 0
    assert got["weir_requests_total", (("code", "2xx"), ("route", 'a"\\\\\\x0A}'))] == 18
    assert got["weir_other_requests_total", (main,)] == 0
    assert got["weir_downstream_accepted_total", (("worker", "1"),)] == 70
    assert got["weir_worker_resident_memory_bytes", (("worker", "0"),)] > 1 << 20
    endpoint = (("cluster", "app"), ("endpoint", "127.0.0.1:1"))
    assert got["weir_upstream_dials_total", endpoint] == 18
    assert got["weir_upstream_connections", (*endpoint, ("state", "idle"))] == 6
    assert got["weir_upstream_connections", (*endpoint, ("state", "busy"))] == 4
    assert got["weir_cluster_queued", (("cluster", "app"),)] == 8
    outcomes = {
        labels: value for (name, labels), value in got.items() if name == "weir_upstream_retries_total" and value
    }
    assert outcomes == {
        (("cluster", "app"), ("outcome", "reset")): 10,
        (("cluster", "app"), ("outcome", "budget")): 2,
    }
    assert got["weir_series", ()] == 5


async def test_rate_limits_and_faults_are_summed_over_listeners_of_the_same_name() -> None:
    limits = (RateLimitPlan("client", (10, 1000)), RateLimitPlan("all", (1, 1000), name="try", dry_run=True))
    listener = ListenerPlan(AddressPlan(":0", "", 0), 0, rate_limits=limits, faults=(FaultPlan(abort=503),))
    rules = RuleBook(Plan((listener, listener), (), ()), workers=1)
    for memories in rules.limits:
        RateLimit(memories[0], 0, limits[0]).spend([b"a"] * 20, 10**15)
    got = samples(as_text(collect(AdminState(Plan((), (), ()), made(), rules))))
    route = ("route", ":0")
    own = (route, ("rule", "client 10/s"))
    assert got["weir_rate_limit_requests_total", (("outcome", "passed"), *own)] == 20
    assert got["weir_rate_limit_requests_total", (("outcome", "limited"), *own)] == 0
    assert got["weir_rate_limit_requests_total", (("outcome", "would_limit"), route, ("rule", "try"))] == 0
    assert (("outcome", "limited"), route, ("rule", "try")) not in {labels for _name, labels in got}
    assert got["weir_rate_limit_evictions_total", own] == 0
    for kind in ("abort", "bandwidth", "delay"):
        assert got["weir_faults_injected_total", (("kind", kind), route, ("rule", "fault 1"))] == 0


async def test_rate_limits_of_routes() -> None:
    limit = RateLimitPlan("client", (10, 1000))
    rules = RuleBook(Plan((), (RoutePlan("a", 0, rate_limits=(limit,), limited_as="api"),), ()), workers=1)
    RateLimit(rules.route_limits[0][0], 0, limit).spend([b"a"] * 20, 10**15)
    got = samples(as_text(collect(AdminState(Plan((), (), ()), made(), rules))))
    labels = (("outcome", "passed"), ("route", "api"), ("rule", "client 10/s"))
    assert got["weir_rate_limit_requests_total", labels] == 10


async def test_hooks() -> None:
    hooked = (("request", "app.guard"), ("log", "app.note"))
    rules = RuleBook(Plan((), (), (), hooked=hooked), workers=2)
    (guard, _note), together = rules.hooks.memories(hooked), rules.hooks.together()
    for number in range(2):
        struct.pack_into("6Q", guard, HEADER_BYTES + number * ROW_BYTES, 10, 1, 2, 3, 4, 5_000_000)
        struct.pack_into("I", guard, HEADER_BYTES + number * ROW_BYTES + BUCKETS_AT + 4 * 8 * 9, 10)
        struct.pack_into("2Q", together, HEADER_BYTES + number * ROW_BYTES, 50, 10)
    got = samples(as_text(collect(AdminState(Plan((), (), ()), made(), rules))))
    labels = (("hook", "app.guard"), ("phase", "request"))
    assert got["weir_hook_duration_seconds_count", labels] == 20
    assert got["weir_hook_duration_seconds_sum", labels] == 0.01
    assert got["weir_hook_failures_total", (labels[0], ("kind", "error"), labels[1])] == 2
    assert got["weir_hook_failures_total", (labels[0], ("kind", "timeout"), labels[1])] == 4
    assert got["weir_hook_skipped_total", labels] == 6
    assert got["weir_hook_over_budget_total", labels] == 8
    assert got["weir_hooked_requests_total", (("met", "true"),)] == 20
    assert got["weir_hooked_requests_total", (("met", "false"),)] == 80


async def test_openmetrics_says_the_same() -> None:
    families = collect(state_of(made()))
    text = as_openmetrics(families).decode()
    assert text.endswith("# EOF\n")
    parsed = list(parse_openmetrics(text))  # type: ignore[no-untyped-call]
    assert [family.name for family in parsed] == [metric.name for metric in METRICS]
    values = {(s.name, tuple(sorted(s.labels.items()))): s.value for family in parsed for s in family.samples}
    assert values == samples(as_text(families))


def messages(data: bytes) -> Iterator[pb.MetricFamily]:
    at = 0
    while at < len(data):
        length = shift = 0
        while True:
            byte = data[at]
            at += 1
            length |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                break
        yield pb.MetricFamily.from_binary(data[at : at + length])
        at += length


async def test_protobuf_says_the_same_and_has_native_histograms() -> None:
    families = collect(state_of(made()))
    by_name = {message.name: message for message in messages(as_protobuf(families))}
    assert set(by_name) == {m.name + ("_total" if m.kind == "counter" else "") for m in METRICS}
    (main, _other) = by_name["weir_request_duration_seconds"].metric
    histogram = main.histogram
    assert histogram is not None
    assert (histogram.sample_count, histogram.schema) == (40, 3)
    placed, index, value, deltas = {}, 0, 0, iter(histogram.positive_delta)
    for span in histogram.positive_span:
        index += span.offset
        for _ in range(span.length):
            value += next(deltas)
            placed[index] = value
            index += 1
    # 2^(index/8) s is the upper bound; the true times are 1 ms and 300 ms.
    assert list(placed.values()) == [20, 20]
    for place, true in zip(placed, (0.001, 0.3), strict=True):
        middle = 2 ** ((place - 0.5) / 8)
        assert abs(math.log2(middle / true)) <= (0.5 + 0.453) / 8


@given(st.lists(st.integers(0, 5), min_size=BUCKETS_USED, max_size=BUCKETS_USED))
def test_native_buckets_lose_nothing(buckets: list[int]) -> None:
    spans, deltas = native_buckets(buckets)
    back, index, value, rest = [0] * BUCKETS_USED, 0, 0, iter(deltas)
    for offset, length in spans:
        index += offset
        for _ in range(length):
            value += next(rest)
            back[index - NATIVE_SHIFT] = value
            index += 1
    assert back == buckets
    assert len(deltas) == sum(length for _offset, length in spans) == sum(count > 0 for count in buckets)


@pytest.mark.parametrize(
    ("accept", "format"),
    [
        ("", "text"),
        ("*/*", "text"),
        ("text/html", "text"),
        ("application/openmetrics-text; version=1.0.0", "openmetrics"),
        ("application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.6", "text"),
        (
            "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited;q=0.6,"
            "application/openmetrics-text;version=1.0.0;q=0.5,*/*;q=0.2",
            "protobuf",
        ),
        ("application/vnd.google.protobuf;encoding=text", "text"),
        ("application/openmetrics-text;q=no", "text"),
    ],
)
def test_the_format_is_what_accept_asks_for(accept: str, format: str) -> None:
    assert choose(accept)[0] == format


async def test_promtool_has_nothing_to_say() -> None:
    promtool = shutil.which("promtool")
    assert promtool is not None, "it is in the package prometheus"
    text = as_text(collect(state_of(made()), paths=100))
    done = subprocess.run([promtool, "check", "metrics"], input=text, capture_output=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")


async def test_answers_are_kept_for_a_moment() -> None:
    table = made()
    metrics = Metrics(state_of(table))
    first = metrics.written("text")
    count(Counters(table, 0), 0, b"/a", 1)
    assert metrics.written("text") is first
    metrics._made.clear()
    await asyncio.sleep(0.12)
    assert metrics.written("text") != first


exchanges = st.tuples(
    st.integers(0, 1),  # worker
    st.integers(0, 1),  # route
    st.sampled_from([b"/a", b"/b", b"/c", b"/d", b'/"\n\\\xff']),
    st.integers(0, 200_000_000),
    st.integers(1, 5),
)


@settings(max_examples=40, deadline=None)
@given(st.lists(exchanges, max_size=30))
def test_sums_are_those_of_the_frame(counted: list[tuple[int, int, bytes, int, int]]) -> None:
    table = layout.create(6, ["main", HOSTILE], workers=2)
    workers = [Counters(table, number) for number in range(2)]
    for worker, route, path, us, times in counted:
        count(workers[worker], route, path, us, times)
    got = samples(as_text(collect(state_of(table), paths=100)))

    def total(name: str) -> float:
        return sum(value for (sample, _labels), value in got.items() if sample == name)

    frame = take(table)
    for name, place in (
        ("weir_request_duration_seconds_count", "requests"),
        ("weir_path_requests_total", "requests"),
        ("weir_path_duration_seconds_count", "requests"),
        ("weir_errors_total", "errors"),
        ("weir_path_errors_total", "errors"),
        ("weir_response_body_bytes_total", "response_body_bytes"),
        ("weir_path_response_body_bytes_total", "response_body_bytes"),
    ):
        assert total(name) == sum(frame.column(PLACES[place])), name
    for name in ("weir_request_duration_seconds_sum", "weir_path_duration_seconds_sum"):
        assert total(name) == pytest.approx(sum(frame.column(PLACES["total_us"])) / 1e6)
    answered = total("weir_requests_total") + total("weir_unanswered_requests_total")
    assert answered == sum(frame.column(PLACES["requests"]))
    # Each classic bucket has exactly those at or below its bound: bounds lie on the grid.
    for (sample, labels), value in got.items():
        if sample == "weir_request_duration_seconds_bucket" and ("route", "main") in labels:
            bound = float(dict(labels)["le"])
            assert value == sum(times for _w, route, _p, us, times in counted if route == 0 and us / 1e6 <= bound)


async def test_single_paths_are_for_who_asks() -> None:
    table = layout.create(300, ["main"], workers=1)
    counters = Counters(table, 0)
    long = b"/" + b"x" * 250
    for path, times in ((b"/much", 30), (b"/<b>\n", 20), (long + b"1", 10), (long + b"2", 9), (b"/rare", 1)):
        count(counters, 0, path, 1000, times)
    async with served(table) as server:

        async def paths(query: str) -> dict[str, float]:
            reply = await curl(f"{server.url}/metrics{query}")
            assert reply.status == 200, reply.body
            found = samples(reply.body)
            return {
                dict(labels)["path"]: n for (name, labels), n in found.items() if name == "weir_path_requests_total"
            }

        assert await paths("") == await paths("?paths=0") == {}
        assert await paths("?paths=2") == {"/much": 30, "/<b>\\x0A": 20}
        # The table keeps 200 bytes of a path, and two samples of one name would spoil the scrape.
        assert (await paths("?paths=4"))["/" + "x" * 199 + "..."] == 19
        for wrong in ("101", "-1", "x", "\u0663", "9" * 5000):
            assert (await curl(f"{server.url}/metrics?paths={urllib.parse.quote(wrong)}")).status == 400
        reply = await curl("-H", "Accept: application/openmetrics-text", f"{server.url}/metrics?paths=100")
        assert list(parse_openmetrics(reply.body.decode()))  # type: ignore[no-untyped-call]


async def test_figures_of_the_process_itself() -> None:
    got = samples(as_text(collect(state_of(made()))))
    assert got["process_open_fds", ()] <= got["process_max_fds", ()]
    assert 1 << 20 < got["process_resident_memory_bytes", ()] < got["process_virtual_memory_bytes", ()]
    used = time.process_time()
    assert used - 1 <= got["process_cpu_seconds_total", ()] <= used + 1
    assert time.time() - 3600 < got["process_start_time_seconds", ()] <= time.time() + 1
    assert 0 <= got["weir_worker_heartbeat_age_seconds", (("worker", "0"),)] < 60


# A time of the build that people use.
@pytest.mark.alone
@pytest.mark.figures
async def test_a_full_table_is_written_in_good_time() -> None:
    table = layout.create(4200, [f"route {number}" for number in range(50)], workers=2)
    for worker in range(2):
        counters = Counters(table, worker)
        for path in range(4096):
            count(counters, path % 50, b"/%d" % path, 1000, times=1)
    state = state_of(table)
    for name, write in (("text", as_text), ("OpenMetrics", as_openmetrics), ("protobuf", as_protobuf)):
        best, size = 10.0, 0
        for _ in range(4):
            await asyncio.sleep(0.11)
            started = time.process_time()
            size = len(write(collect(state)))
            best = min(best, time.process_time() - started)
        print(f"{name}: {best * 1000:.0f} ms, {size / 1000:.0f} KB")
        # A tenth of a second is what it is to take; the rest is for a machine that has other things to do.
        assert best < 0.3, name


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as sock:
        return int(sock.getsockname()[1])


@contextmanager
def prometheus(folder: Path, target: int, *options: str) -> Iterator[int]:
    """A real one that scrapes 127.0.0.1:`target` every half second; its port."""
    config = folder / "prometheus.yml"
    job = {"job_name": "weir", "static_configs": [{"targets": [f"127.0.0.1:{target}"]}]}
    config.write_text(json.dumps({"global": {"scrape_interval": "500ms"}, "scrape_configs": [job]}))
    port = free_port()
    program = shutil.which("prometheus")
    assert program is not None, "it is in the package prometheus"
    process = subprocess.Popen(
        [
            program,
            f"--config.file={config}",
            f"--storage.tsdb.path={folder / 'data'}",
            f"--web.listen-address=127.0.0.1:{port}",
            *options,
        ],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        yield port
    finally:
        process.terminate()
        process.wait(20)


def query(port: int, asked: str) -> dict[tuple[tuple[str, str], ...], float]:
    url = f"http://127.0.0.1:{port}/api/v1/query?query={urllib.parse.quote(asked)}"
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            found = json.load(answer)["data"]["result"]
    except OSError:
        return {}
    return {tuple(sorted(entry["metric"].items())): float(entry["value"][1]) for entry in found}


# With native histograms Prometheus asks for protobuf and keeps no classic buckets; without, it asks for OpenMetrics.
@pytest.mark.parametrize("kind", ["classic", "native"])
async def test_a_real_prometheus_reads_them(tmp_path: Path, kind: str) -> None:
    table = made()
    counters = Counters(table, 0)
    options = ["--enable-feature=native-histograms"] if kind == "native" else []
    of_times = {
        "native": "sum by (route) (rate(weir_request_duration_seconds[1m]))",
        "classic": "sum by (route, le) (rate(weir_request_duration_seconds_bucket[1m]))",
    }
    async with served(table) as server:
        with prometheus(tmp_path, server.port, *options) as port:
            route = (("route", "main"),)
            queries = {
                "quantile": f"histogram_quantile(0.4, {of_times[kind]})",
                # Of all requests that came meanwhile, nine tenths were answered.
                "share": "sum by (route) (rate(weir_requests_total[1m]))"
                " / sum by (route) (rate(weir_response_body_bytes_total[1m])) * 100",
                "rate": "sum by (route) (rate(weir_requests_total[1m]))",
                "count": 'sum by (route) (weir_requests_total{code="2xx"})',
            }
            answers: dict[str, dict[tuple[tuple[str, str], ...], float]] = {}
            deadline = time.monotonic() + 40
            while time.monotonic() < deadline:
                count(counters, 0, b"/a", 1000)
                await asyncio.sleep(0.3)
                answers = {name: await asyncio.to_thread(query, port, asked) for name, asked in queries.items()}
                if all(math.isfinite(answer.get(route, math.nan)) for answer in answers.values()):
                    break
            got = {name: answer.get(route, math.nan) for name, answer in answers.items()}
            print(got)
            assert got["count"] >= 36
            # 9 answered requests every 0.3 s or, on a busy machine, more seldom. rate() extrapolates a little.
            assert 0 < got["rate"] < 45
            assert got["share"] == pytest.approx(0.9)
            # All that was counted meanwhile took 1 ms.
            if kind == "classic":
                # The bucket from 0.512 ms to 1.024 ms, interpolated linearly.
                assert got["quantile"] == pytest.approx(0.000512 * 1.4)
            else:
                # Half a bucket of the grid, 0.45 of one for the other bounds, half a bucket for interpolation.
                assert abs(math.log2(got["quantile"] / 0.001)) <= 1.45 / 8
