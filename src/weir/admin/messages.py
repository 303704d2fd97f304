"""Rows, points and states of the statistics as messages of the RPC contract (proto/weir/v1/stats.proto)."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from typing import Final

from protobuf.wkt import Duration, Timestamp

import weir
from weir._gen import stats_pb as pb
from weir.admin.history import Point
from weir.admin.state import AdminState
from weir.reasons import REASONS
from weir.stats import layout, reader, roster
from weir.stats.happened import happened
from weir.stats.reader import Counts
from weir.stats.retrywords import RETRY_WORDS
from weir.stats.view import RELATIVE_ERROR, Quantiles, Row, View, times_of

__all__ = ["point_message", "status_message", "timestamp", "view_message"]

SCALE: Final = 3
# Of reader.ClusterState: panics are told beside the clusters, decisions by their words.
NOT_IN_CLUSTER: Final = ("number", "panics", "decisions")


def timestamp(us: int) -> Timestamp:
    """Microseconds since 1970."""
    return Timestamp(seconds=us // 1_000_000, nanos=us % 1_000_000 * 1000)


def view_message(view: View, others: Iterable[pb.Other] = (), *, histograms: bool = False) -> pb.GetStatsResponse:
    return pb.GetStatsResponse(
        since=timestamp(view.since_us),
        taken=timestamp(view.taken_us),
        total=series_message(view.total, histograms),
        series=[series_message(row, histograms) for row in view.rows],
        matched=view.matched,
        relative_error=RELATIVE_ERROR,
        others=list(others),
    )


def series_message(row: Row, histograms: bool) -> pb.Series:
    counts = row.counts
    message = pb.Series(
        route=row.name.route,
        path=row.name.path,
        other=row.name.other,
        truncated=row.name.truncated,
        requests=counts.requests,
        requests_per_second=row.requests_per_second,
        response_body_bytes=counts.response_body_bytes,
        request_body_bytes=counts.request_body_bytes,
        status=status_classes(counts),
        errors=counts.errors,
        reasons=reason_counts(row.reasons),
        retries=counts.retries,
        ledger=ledger_message(counts),
        total=quantiles_message(row.total),
        first_byte=quantiles_message(row.first_byte),
    )
    if histograms:
        message.total_histogram = histogram_message(row.histogram(0))
        message.first_byte_histogram = histogram_message(row.histogram(1))
    return message


def status_classes(counts: Counts) -> pb.StatusClasses:
    return pb.StatusClasses(
        informational=counts.status_1xx,
        success=counts.status_2xx,
        redirection=counts.status_3xx,
        client_error=counts.status_4xx,
        server_error=counts.status_5xx,
    )


def ledger_message(counts: Counts) -> pb.Ledger:
    return pb.Ledger(
        request_head_us=counts.request_head_us,
        queue_us=counts.queue_us,
        connect_us=counts.connect_us,
        response_head_us=counts.response_head_us,
        data_us=counts.data_us,
        total_us=counts.total_us,
    )


def quantiles_message(quantiles: Quantiles) -> pb.Quantiles:
    return pb.Quantiles(
        count=quantiles.samples,
        sum_us=quantiles.sum_us,
        mean_us=quantiles.mean_us,
        p50_us=quantiles.p50_us,
        p90_us=quantiles.p90_us,
        p99_us=quantiles.p99_us,
        p999_us=quantiles.p999_us,
    )


def histogram_message(buckets: list[int]) -> pb.Histogram:
    """Without the empty buckets at both ends."""
    used = [place for place, count in enumerate(buckets) if count]
    if not used:
        return pb.Histogram(scale=SCALE)
    return pb.Histogram(scale=SCALE, offset=used[0], counts=buckets[used[0] : used[-1] + 1])


def reason_counts(reasons: Mapping[str, int]) -> list[pb.ReasonCount]:
    """The most frequent first."""
    ordered = sorted(reasons.items(), key=lambda item: (-item[1], item[0]))
    return [pb.ReasonCount(reason=word, count=count) for word, count in ordered]


def point_message(point: Point) -> pb.Point:
    counts = point.counts
    return pb.Point(
        start=Timestamp(seconds=point.start_s),
        requests=counts.requests,
        errors=counts.errors,
        response_body_bytes=counts.response_body_bytes,
        request_body_bytes=counts.request_body_bytes,
        p50_us=point.p50_us,
        p90_us=point.p90_us,
        p99_us=point.p99_us,
        status=status_classes(counts),
        ledger=ledger_message(counts),
    )


def status_message(state: AdminState) -> pb.GetStatusResponse:
    header = layout.read_header(state.memory)
    workers = reader.workers(state.memory)
    reasons = reader.reasons(state.memory)
    return pb.GetStatusResponse(
        version=weir.__version__,
        started=timestamp(header.created_us),
        taken=timestamp(time.time_ns() // 1000),
        workers=[worker_message(slot, worker) for slot, worker in enumerate(workers) if worker.pid],
        endpoints=endpoint_messages(state),
        changes=change_messages(state),
        panics=[cluster.cluster for cluster in reader.clusters(state.memory) if cluster.panics],
        clusters=[cluster_message(cluster) for cluster in reader.clusters(state.memory)],
        table=pb.Table(
            rows=header.rows,
            rows_taken=header.rows_taken,
            exchanges_full=sum(worker.exchanges_full for worker in workers),
            exchanges_crowded=sum(worker.exchanges_crowded for worker in workers),
            bytes=header.places.total_bytes,
        ),
        reasons=reason_counts(
            {info.word: n for info, n in zip(REASONS, reasons, strict=False) if n and info.word != "none"}
        ),
        rate_limits=limit_messages(state),
        faults=[
            pb.Fault(listener=listener, name=name, **counts)
            for listener, name, _rule, counts in (state.rules.fault_counts() if state.rules is not None else ())
        ],
        hooks=hooks_message(state),
    )


def limit_messages(state: AdminState) -> list[pb.RateLimit]:
    if state.rules is None:
        return []
    return [
        *(
            pb.RateLimit(listener=listener, route="", name=name, by=rule.by, dry_run=rule.dry_run, **counts)
            for listener, name, rule, counts in state.rules.limit_counts()
        ),
        *(
            pb.RateLimit(listener="", route=route, name=name, by=rule.by, dry_run=rule.dry_run, **counts)
            for route, name, rule, counts in state.rules.route_limit_counts()
        ),
    ]


def hooks_message(state: AdminState) -> pb.Hooks:
    if state.rules is None:
        return pb.Hooks()
    found = []
    for hook in state.rules.hooks.counts():
        figures = {name: getattr(hook, name) for name in ("calls", "failures", "timeouts", "skipped", "over_budget")}
        time_ = quantiles_message(times_of(hook.buckets, hook.spent_ns // 1000))
        found.append(pb.Hook(phase=hook.phase, name=hook.name, time=time_, **figures))
    asked, met = state.rules.hooks.share()
    return pb.Hooks(hooks=found, requests=asked, requests_met=met)


def endpoint_messages(state: AdminState) -> list[pb.Endpoint]:
    standings, now_us = roster.standings(state.memory), time.monotonic_ns() // 1000
    since = {(change.cluster, change.endpoint): change.at_us for change in happened(state.memory)}
    found = []
    for endpoint in reader.endpoints(state.memory):
        message = pb.Endpoint(**{name: value for name, value in endpoint._asdict().items() if name != "surplus"})
        if endpoint.number < len(standings):
            standing = standings[endpoint.number]
            add_standing(message, standing, now_us, since.get((endpoint.cluster, endpoint.endpoint), 0))
        found.append(message)
    return found


def add_standing(message: pb.Endpoint, standing: roster.Standing, now_us: int, since_us: int) -> None:
    state = roster.state_of(standing, now_us)
    message.state, message.why = state.word, roster.cause_of(standing, state)
    if since_us:
        message.since = timestamp(since_us)
    if standing.ejected_until_us > now_us:
        message.ejected_for = duration(standing.ejected_until_us - now_us)
    if standing.checked_us:
        message.checked_ago = duration(now_us - standing.checked_us)
    message.member = roster.is_member(standing) and standing.order != roster.Order.REMOVED
    for name in ("ejections", "ejections_made", "checks", "checks_failed", "check_us", "weight"):
        setattr(message, name, getattr(standing, name))


def change_messages(state: AdminState) -> list[pb.EndpointChange]:
    found = []
    for change in happened(state.memory):
        message = pb.EndpointChange(
            at=timestamp(change.at_us),
            cluster=change.cluster,
            endpoint=change.endpoint,
            old=change.old.word,
            new=change.new.word,
            why=roster.why_text(change.why),
        )
        if change.ejected_ms:
            message.ejected_for = duration(change.ejected_ms * 1000)
        found.append(message)
    return found


def duration(us: int) -> Duration:
    """Microseconds; what is negative, by clocks that are read one after the other, is 0."""
    us = max(us, 0)
    return Duration(seconds=us // 1_000_000, nanos=us % 1_000_000 * 1000)


def cluster_message(cluster: reader.ClusterState) -> pb.Cluster:
    made = [
        pb.RetryDecision(word=one.word, count=count)
        for one, count in zip(RETRY_WORDS, cluster.decisions, strict=True)
        if count
    ]
    figures = {name: value for name, value in cluster._asdict().items() if name not in NOT_IN_CLUSTER}
    return pb.Cluster(decisions=made, **figures)


def worker_message(slot: int, worker: reader.WorkerState) -> pb.Worker:
    age_us = max(time.monotonic_ns() // 1000 - worker.heartbeat_us, 0) if worker.heartbeat_us else 0
    return pb.Worker(
        slot=slot,
        pid=worker.pid,
        started=timestamp(worker.started_us),
        heartbeat_age=Duration(seconds=age_us // 1_000_000, nanos=age_us % 1_000_000 * 1000),
        downstream_connections=worker.downstreams,
        exchanges=worker.exchanges,
        upstream_connections=worker.upstreams,
        buffer_bytes=worker.buffer_bytes,
        accepted=worker.accepted,
        log_lines_dropped=worker.log_dropped,
        timers=worker.timers,
    )
