"""The metrics: which there are, and their values now. How they are written is `weir.admin.exposition`.

Labels are bounded: routes, status classes, reasons, clusters and endpoints of the configuration; a path only of the
busiest ones, and only for who asks.
"""

from __future__ import annotations

import functools
import heapq
import os
import platform
import resource
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Final, NamedTuple

import weir
from weir.admin.metric_table import METRICS, Metric
from weir.admin.state import AdminState
from weir.reasons import REASONS
from weir.stats import layout, reader, roster
from weir.stats.columns import COUNTERS
from weir.stats.frame import Frame
from weir.stats.hooks import HookCounts
from weir.stats.page import printable
from weir.stats.reader import PARTS_OF_TIME
from weir.stats.retrywords import RETRY_WORDS

__all__ = ["Distribution", "Family", "Labels", "collect"]

# What is counted in microseconds is shown in seconds.
US: Final = 1e-6
PLACES: Final = {counter.name: place for place, counter in enumerate(COUNTERS)}
UPSTREAM_COUNTERS: Final = (
    *("dials", "dial_failures", "reuses", "spoiled", "retired", "passed_over", "races_lost", "races_saved"),
)
CLUSTER_FIGURES: Final = (
    *("queued", "in_progress", "limit", "open_breakers", "breaker_openings"),
    *("overflows", "sticky_bound", "sticky_lost", "hash_keyless", "hash_fallbacks"),
    *("mirrored", "mirrors_skipped", "mirrors_failed"),
)
STATUS_CLASSES: Final = ("1xx", "2xx", "3xx", "4xx", "5xx")

Labels = tuple[tuple[str, str], ...]


class Distribution(NamedTuple):
    """A histogram's value: 216 buckets of microseconds (see `weir.stats.reader`), and the sum in microseconds."""

    buckets: list[int]
    sum_us: int


@dataclass
class Family:
    """A metric and its values, by the values of its labels."""

    metric: Metric
    values: list[tuple[Labels, float | Distribution]] = field(default_factory=list)

    def add(self, value: float | Distribution, *labels: str) -> None:
        """The values of the labels, in the order of Metric.labels."""
        self.values.append((tuple(zip(self.metric.labels, labels, strict=True)), value))


_TICKS: Final = os.sysconf("SC_CLK_TCK")
_PAGE: Final = os.sysconf("SC_PAGE_SIZE")


def collect(state: AdminState, paths: int = 0) -> list[Family]:
    """All metrics with their values now, in the order of METRICS; those of single paths for the `paths` busiest."""
    families = {metric.name: Family(metric) for metric in METRICS}
    collect_routes(state, families)
    collect_workers(state, families)
    collect_endpoints(state, families)
    collect_rules(state, families)
    collect_hooks(state, families)
    collect_paths(state, families, paths)
    for name, value in process_figures(os.getpid()).items():
        families[f"process_{name}"].add(value)
    families["process_max_fds"].add(resource.getrlimit(resource.RLIMIT_NOFILE)[0])
    families["weir_build_info"].add(1, weir.__version__, platform.python_version())
    return list(families.values())


def collect_routes(state: AdminState, families: dict[str, Family]) -> None:
    frame = state.frame()
    parts = reader.route_parts(state.memory)
    by_route: dict[str, list[int]] = {}
    for index, key in enumerate(frame.keys):
        by_route.setdefault(state.names[key].route, []).append(index)
    for number, name in enumerate(layout.route_names(state.memory)):
        shown = state.names[number].route
        indices = by_route.get(shown, [])
        collect_route(families, shown, frame.total(indices), parts[name])
        other = frame.index(number)
        families["weir_other_requests"].add(frame.counters(other)[0] if other >= 0 else 0, shown)
        distinct = reader.distinct(state.memory, number).paths if other >= 0 else 0
        families["weir_other_distinct_paths"].add(distinct, shown)


def collect_route(families: dict[str, Family], route: str, total: Frame, parts: list[list[int]]) -> None:
    counts = dict(zip(PLACES, total.counters(0), strict=True))
    answered = 0
    for code in STATUS_CLASSES:
        answered += counts[f"status_{code}"]
        families["weir_requests"].add(counts[f"status_{code}"], route, code)
    families["weir_unanswered_requests"].add(max(counts["requests"] - answered, 0), route)
    durations = Distribution(total.histogram(0, 0), counts["total_us"])
    families["weir_request_duration_seconds"].add(durations, route)
    families["weir_first_byte_seconds"].add(Distribution(total.histogram(0, 1), counts["first_byte_us"]), route)
    sums = ("request_head_us", "queue_us", "connect_us", "response_head_us", "data_us")
    for part, buckets, name in zip(PARTS_OF_TIME, parts, sums, strict=True):
        families["weir_request_part_seconds"].add(Distribution(buckets, counts[name]), route, part)
    for name in ("response_body_bytes", "request_body_bytes", "retries"):
        families[f"weir_{name}"].add(counts[name], route)
    for info, count in zip(REASONS, total.reasons(0), strict=False):
        if count and info.word != "none":
            families["weir_errors"].add(count, route, info.word)


def collect_workers(state: AdminState, families: dict[str, Family]) -> None:
    header = layout.read_header(state.memory)
    families["weir_series"].add(header.rows_taken)
    families["weir_series_limit"].add(header.rows)
    for info, count in zip(REASONS, reader.reasons(state.memory), strict=False):
        if info.word != "none":
            families["weir_ends"].add(count, info.word)
    now_us = time.monotonic_ns() // 1000
    for slot, worker in enumerate(reader.workers(state.memory)):
        if not worker.pid:
            continue
        process = process_figures(worker.pid)
        for name, value in (
            ("weir_downstream_connections", worker.downstreams if process else 0),
            ("weir_downstream_accepted", worker.accepted),
            ("weir_exchanges", worker.exchanges if process else 0),
            ("weir_buffer_bytes", worker.buffer_bytes if process else 0),
            ("weir_log_lines_dropped", worker.log_dropped),
            ("weir_worker_start_time_seconds", worker.started_us * US),
        ):
            families[name].add(value, str(slot))
        if process:
            if worker.heartbeat_us:
                age = max(now_us - worker.heartbeat_us, 0) * US
                families["weir_worker_heartbeat_age_seconds"].add(age, str(slot))
            for own in ("cpu_seconds", "resident_memory_bytes", "open_fds"):
                families[f"weir_worker_{own}"].add(process[own], str(slot))


def process_figures(pid: int) -> dict[str, float]:
    """Of /proc, by name; nothing for a process that is gone, or not to be looked at."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            # The name may have any characters in it; it ends at the last parenthesis.
            fields = file.read().rpartition(b")")[2].split()
        descriptors = len(os.listdir(f"/proc/{pid}/fd"))
    except OSError:
        return {}
    return {
        "cpu_seconds": (int(fields[11]) + int(fields[12])) / _TICKS,
        "start_time_seconds": booted_s() + int(fields[19]) / _TICKS,
        "virtual_memory_bytes": float(fields[20]),
        "resident_memory_bytes": float(int(fields[21]) * _PAGE),
        "open_fds": float(descriptors),
    }


@functools.cache
def booted_s() -> float:
    """When the machine began, since 1970: /proc counts from there."""
    return time.time() - time.clock_gettime(time.CLOCK_BOOTTIME)


def collect_endpoints(state: AdminState, families: dict[str, Family]) -> None:
    endpoints = reader.endpoints(state.memory)
    for end in endpoints:
        labels = (end.cluster, end.endpoint)
        busy = max(end.open - end.idle - end.surplus, 0)
        for name, value in (("idle", end.idle + end.surplus), ("busy", busy), ("connecting", end.connecting)):
            families["weir_upstream_connections"].add(value, *labels, name)
        families["weir_upstream_waiting"].add(end.waiting, *labels)
        for name in UPSTREAM_COUNTERS:
            families[f"weir_upstream_{name}"].add(getattr(end, name), *labels)
        for name, ms in (("learned_idle_timeout", end.learned_idle_timeout_ms), ("idle_limit", end.idle_limit_ms)):
            if ms:
                families[f"weir_upstream_{name}_seconds"].add(ms / 1000, *labels)
    # Clusters that were there before a reload have no endpoints any more.
    named = {end.cluster for end in endpoints}
    for cluster in reader.clusters(state.memory):
        for one, count in zip(RETRY_WORDS, cluster.decisions, strict=True):
            families["weir_upstream_retries"].add(count, cluster.cluster, one.word)
        if cluster.cluster in named:
            for name in CLUSTER_FIGURES:
                families[f"weir_cluster_{name}"].add(getattr(cluster, name), cluster.cluster)
    collect_health(state, families, endpoints)


def collect_health(state: AdminState, families: dict[str, Family], endpoints: list[reader.EndpointState]) -> None:
    now_us = time.monotonic_ns() // 1000
    for end, standing in zip(endpoints, roster.standings(state.memory), strict=False):
        labels = (end.cluster, end.endpoint)
        bad = roster.state_of(standing, now_us) in (roster.State.UNHEALTHY, roster.State.EJECTED)
        families["weir_upstream_healthy"].add(0 if bad else 1, *labels)
        families["weir_upstream_ejections"].add(standing.ejections_made, *labels)
        families["weir_upstream_checks"].add(standing.checks, *labels)
        families["weir_upstream_checks_failed"].add(standing.checks_failed, *labels)
    for cluster in reader.clusters(state.memory):
        families["weir_cluster_panics"].add(cluster.panics, cluster.cluster)


def collect_rules(state: AdminState, families: dict[str, Family]) -> None:
    if state.rules is None:
        return
    # Listeners on port 0 have the same name, and so may their rules: there is one sample for them.
    sums: Counter[tuple[str, ...]] = Counter()
    for listener, name, limit, counts in (*state.rules.limit_counts(), *state.rules.route_limit_counts()):
        labels = (printable(listener), printable(name))
        refused = "would_limit" if limit.dry_run else "limited"
        for outcome, count in (
            ("passed", counts["passed"] - counts["delayed"]),
            ("delayed", counts["delayed"]),
            (refused, counts["limited"]),
        ):
            sums["weir_rate_limit_requests", *labels, outcome] += count
        sums["weir_rate_limit_evictions", *labels] += counts["evicted"]
        sums["weir_rate_limit_crowded", *labels] += counts["crowded"]
    for listener, name, _fault, counts in state.rules.fault_counts():
        labels = (printable(listener), printable(name))
        for kind, counter in (("delay", "delayed"), ("abort", "aborted"), ("bandwidth", "paced")):
            sums["weir_faults_injected", *labels, kind] += counts[counter]
    for (metric, *values), count in sums.items():
        families[metric].add(count, *values)


def collect_hooks(state: AdminState, families: dict[str, Family]) -> None:
    if state.rules is None:
        return
    # Hooks of one name at one phase: there is one sample for them.
    alike: dict[tuple[str, str], list[HookCounts]] = {}
    for hook in state.rules.hooks.counts():
        alike.setdefault((hook.phase, printable(hook.name)), []).append(hook)
    for labels, hooks in alike.items():
        buckets = [sum(column) for column in zip(*(hook.buckets for hook in hooks), strict=True)]
        spent_us = sum(hook.spent_ns for hook in hooks) // 1000
        families["weir_hook_duration_seconds"].add(Distribution(buckets, spent_us), *labels)
        families["weir_hook_failures"].add(sum(hook.failures for hook in hooks), *labels, "error")
        families["weir_hook_failures"].add(sum(hook.timeouts for hook in hooks), *labels, "timeout")
        families["weir_hook_over_budget"].add(sum(hook.over_budget for hook in hooks), *labels)
        families["weir_hook_skipped"].add(sum(hook.skipped for hook in hooks), *labels)
    if alike:
        asked, met = state.rules.hooks.share()
        families["weir_hooked_requests"].add(met, "true")
        families["weir_hooked_requests"].add(max(asked - met, 0), "false")


def collect_paths(state: AdminState, families: dict[str, Family], most: int) -> None:
    frame = state.frame()
    requests = frame.column(PLACES["requests"])
    keys = frame.keys
    busiest = heapq.nlargest(most, (index for index, count in enumerate(requests) if count), key=requests.__getitem__)
    # Long paths that begin alike have the same label: there is one sample for them, for two would spoil the scrape.
    by_label: dict[tuple[str, str], list[int]] = {}
    for index in busiest:
        name = state.names[keys[index]]
        by_label.setdefault((name.route, name.path + "..." * name.truncated), []).append(index)
    for labels, indices in by_label.items():
        total = frame.total(indices)
        counts = dict(zip(PLACES, total.counters(0), strict=True))
        for counter in ("requests", "errors", "response_body_bytes"):
            families[f"weir_path_{counter}"].add(counts[counter], *labels)
        families["weir_path_duration_seconds"].add(Distribution(total.histogram(0, 0), counts["total_us"]), *labels)
