"""The metrics, as data. Made by tools/gen_tables.py from spec/metrics.toml; do not edit."""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["METRICS", "Metric"]


class Metric(NamedTuple):
    """One metric: see spec/metrics.toml."""

    name: str
    kind: str
    unit: str
    labels: tuple[str, ...]
    text: str


METRICS: tuple[Metric, ...] = (
    Metric("weir_requests", "counter", "", ("route", "code"), "Exchanges that ended with an answer, by its status class."),
    Metric("weir_unanswered_requests", "counter", "", ("route",), "Exchanges that ended without an answer."),
    Metric("weir_request_duration_seconds", "histogram", "seconds", ("route",), "First byte of the request head to the last byte of the response."),
    Metric("weir_first_byte_seconds", "histogram", "seconds", ("route",), "First byte of the request head to the response head from the endpoint."),
    Metric("weir_request_part_seconds", "histogram", "seconds", ("route", "part"), "Parts of the time ledger: TR, Tw, Tc, Tr, Td."),
    Metric("weir_response_body_bytes", "counter", "bytes", ("route",), "Bytes of response bodies sent to clients."),
    Metric("weir_request_body_bytes", "counter", "bytes", ("route",), "Bytes of request bodies received from clients."),
    Metric("weir_errors", "counter", "", ("route", "reason"), "Exchanges that ended with a reason."),
    Metric("weir_retries", "counter", "", ("route",), "Requests sent again on another connection."),
    Metric("weir_other_requests", "counter", "", ("route",), "Exchanges of paths without a series of their own."),
    Metric("weir_other_distinct_paths", "gauge", "", ("route",), "How many paths those were: an estimate."),
    Metric("weir_ends", "counter", "", ("reason",), "Exchanges and connections that ended with a reason."),
    Metric("weir_series", "gauge", "", (), "Rows of the statistics table in use."),
    Metric("weir_series_limit", "gauge", "", (), "Rows that the statistics table has."),
    Metric("weir_downstream_connections", "gauge", "", ("worker",), "Client connections open."),
    Metric("weir_downstream_accepted", "counter", "", ("worker",), "Client connections accepted since the worker's start."),
    Metric("weir_exchanges", "gauge", "", ("worker",), "Exchanges in progress."),
    Metric("weir_buffer_bytes", "gauge", "bytes", ("worker",), "Memory taken by buffers."),
    Metric("weir_log_lines_dropped", "counter", "", ("worker",), "Access log lines lost since the worker's start."),
    Metric("weir_worker_start_time_seconds", "gauge", "seconds", ("worker",), "When the worker began, since 1970."),
    Metric("weir_worker_heartbeat_age_seconds", "gauge", "seconds", ("worker",), "Time since the worker last said that it is alive: about a second, as a rule."),
    Metric("weir_worker_cpu_seconds", "counter", "seconds", ("worker",), "Processor time of the worker."),
    Metric("weir_worker_resident_memory_bytes", "gauge", "bytes", ("worker",), "Resident memory of the worker."),
    Metric("weir_worker_open_fds", "gauge", "", ("worker",), "Open descriptors of the worker."),
    Metric("weir_upstream_connections", "gauge", "", ("cluster", "endpoint", "state"), "Connections to an endpoint: idle, busy, connecting."),
    Metric("weir_upstream_waiting", "gauge", "", ("cluster", "endpoint"), "Exchanges in line for a connection to an endpoint."),
    Metric("weir_upstream_dials", "counter", "", ("cluster", "endpoint"), "Connections begun."),
    Metric("weir_upstream_dial_failures", "counter", "", ("cluster", "endpoint"), "Connections that did not come about."),
    Metric("weir_upstream_reuses", "counter", "", ("cluster", "endpoint"), "Requests on a connection that had carried one before."),
    Metric("weir_upstream_retries", "counter", "", ("cluster", "outcome"), "Decisions about a further attempt at a request, by what was decided and why: docs/retry-words.md."),
    Metric("weir_upstream_spoiled", "counter", "", ("cluster", "endpoint"), "Idle connections found closed or with bytes nobody asked for."),
    Metric("weir_upstream_retired", "counter", "", ("cluster", "endpoint"), "Idle connections closed because the endpoint would have closed them soon."),
    Metric("weir_upstream_passed_over", "counter", "", ("cluster", "endpoint"), "Requests that took no idle connection, for it had rested for longer than is safe for what cannot be repeated."),
    Metric("weir_upstream_races_lost", "counter", "", ("cluster", "endpoint"), "Connections that broke as they were used again: the endpoint was just closing them."),
    Metric("weir_upstream_races_saved", "counter", "", ("cluster", "endpoint"), "Requests on those that were answered after all, by being repeated."),
    Metric("weir_upstream_learned_idle_timeout_seconds", "gauge", "seconds", ("cluster", "endpoint"), "After what rest the endpoint closes a connection, as far as is known: the least of the workers'."),
    Metric("weir_upstream_idle_limit_seconds", "gauge", "seconds", ("cluster", "endpoint"), "After what rest its connections are closed: the least of the workers'."),
    Metric("weir_upstream_healthy", "gauge", "", ("cluster", "endpoint"), "0 while an endpoint is unhealthy or ejected, else 1."),
    Metric("weir_upstream_ejections", "counter", "", ("cluster", "endpoint"), "Ejections of an endpoint."),
    Metric("weir_upstream_checks", "counter", "", ("cluster", "endpoint"), "Active checks of an endpoint."),
    Metric("weir_upstream_checks_failed", "counter", "", ("cluster", "endpoint"), "Active checks that failed."),
    Metric("weir_cluster_panics", "gauge", "", ("cluster",), "Workers in which all endpoints of a cluster are asked, since too few are usable."),
    Metric("weir_cluster_queued", "gauge", "", ("cluster",), "Exchanges in the queue of a cluster."),
    Metric("weir_cluster_in_progress", "gauge", "", ("cluster",), "Exchanges in progress with a cluster."),
    Metric("weir_cluster_limit", "gauge", "", ("cluster",), "How many exchanges may be in progress with a cluster at a time now; 0: no limit."),
    Metric("weir_cluster_open_breakers", "gauge", "", ("cluster",), "Workers whose circuit breaker of a cluster is open, or half open."),
    Metric("weir_cluster_breaker_openings", "counter", "", ("cluster",), "How often a circuit breaker of a cluster has opened."),
    Metric("weir_cluster_overflows", "counter", "", ("cluster",), "Attempts at endpoints of a cluster below its first level: of a lower priority, or of another zone."),
    Metric("weir_cluster_sticky_bound", "counter", "", ("cluster",), "Attempts at the endpoint that the client's cookie names."),
    Metric("weir_cluster_sticky_lost", "counter", "", ("cluster",), "Attempts at another endpoint than the client's cookie names."),
    Metric("weir_cluster_hash_keyless", "counter", "", ("cluster",), "Attempts without a key, of a cluster that hashes."),
    Metric("weir_cluster_hash_fallbacks", "counter", "", ("cluster",), "Attempts at another endpoint than the key's own, of a cluster that hashes."),
    Metric("weir_cluster_mirrored", "counter", "", ("cluster",), "Copies of requests that were sent to it, as the mirror of a route."),
    Metric("weir_cluster_mirrors_skipped", "counter", "", ("cluster",), "Copies that were not made, since too many were in progress, the body had not come, or no endpoint had room."),
    Metric("weir_cluster_mirrors_failed", "counter", "", ("cluster",), "Copies that came to nothing."),
    Metric("weir_rate_limit_requests", "counter", "", ("route", "rule", "outcome"), "Requests that a rate limit was asked about: passed, delayed (and passed then), limited (refused), or would_limit (of a dry run)."),
    Metric("weir_rate_limit_evictions", "counter", "", ("route", "rule"), "Keys that a rate limit has forgotten before their time: more than max_keys were in use."),
    Metric("weir_rate_limit_crowded", "counter", "", ("route", "rule"), "Requests that passed without being charged, since their key's place was not to be had."),
    Metric("weir_faults_injected", "counter", "", ("route", "rule", "kind"), "Faults that were injected for tests: delay, abort or bandwidth."),
    Metric("weir_hook_duration_seconds", "histogram", "seconds", ("phase", "hook"), "Time of a hook's call, what it awaits included."),
    Metric("weir_hook_failures", "counter", "", ("phase", "hook", "kind"), "Calls of a hook that failed: error (it raised, or returned what makes no sense) or timeout."),
    Metric("weir_hook_over_budget", "counter", "", ("phase", "hook"), "Calls of a hook that took longer than its budget."),
    Metric("weir_hook_skipped", "counter", "", ("phase", "hook"), "Calls of a hook that were left out, since it had taken more than its budget on average."),
    Metric("weir_hooked_requests", "counter", "", ("met",), "Requests that hooks could have been about, by whether they met one (true, false)."),
    Metric("weir_build_info", "gauge", "", ("version", "python"), "1; the version is in the labels."),
    Metric("weir_path_requests", "counter", "", ("route", "path"), "Exchanges of the busiest paths, for who asks for /metrics?paths=N."),
    Metric("weir_path_errors", "counter", "", ("route", "path"), "Those of them that ended with a reason."),
    Metric("weir_path_response_body_bytes", "counter", "bytes", ("route", "path"), "Bytes of response bodies of the busiest paths."),
    Metric("weir_path_duration_seconds", "histogram", "seconds", ("route", "path"), "Times of the busiest paths, as weir_request_duration_seconds."),
    Metric("process_cpu_seconds", "counter", "seconds", (), "Processor time of the process that answers /metrics."),
    Metric("process_resident_memory_bytes", "gauge", "bytes", (), "Its resident memory."),
    Metric("process_virtual_memory_bytes", "gauge", "bytes", (), "Its address space."),
    Metric("process_start_time_seconds", "gauge", "seconds", (), "When it began, since 1970."),
    Metric("process_open_fds", "gauge", "", (), "Its open descriptors."),
    Metric("process_max_fds", "gauge", "", (), "How many descriptors it may have."),
)
