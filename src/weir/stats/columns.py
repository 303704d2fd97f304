"""What is counted in the shared table, in order. Made by tools/gen_tables.py from spec/counters.toml and spec/figures.toml; do not edit."""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["BUCKETS", "CLUSTER_FIGURES", "CLUSTER_PLACES", "COUNTERS", "COUNTER_PLACES", "DECISIONS_AT", "ENDPOINT_FIGURES", "ENDPOINT_PLACES", "HISTOGRAMS", "PARTS", "REASONS_AT", "REASON_PLACES", "SKETCH_BYTES", "CounterInfo", "FigureInfo"]


class CounterInfo(NamedTuple):
    """One counter: its name, its unit (UCUM) and what it counts."""

    name: str
    unit: str
    text: str


class FigureInfo(NamedTuple):
    """A figure of an endpoint or a cluster: `kind` is "gauge", "least" or "counter"."""

    name: str
    kind: str
    text: str


COUNTER_PLACES = 128
REASONS_AT = 64
REASON_PLACES = 64
HISTOGRAMS = 2
BUCKETS = 256
PARTS = 5
SKETCH_BYTES = 4096
ENDPOINT_PLACES = 32
CLUSTER_PLACES = 64
DECISIONS_AT = 32

COUNTERS: tuple[CounterInfo, ...] = (
    CounterInfo("requests", "1", "Exchanges that ended, well or not."),
    CounterInfo("response_body_bytes", "By", "Bytes of response bodies sent to clients, without chunk framing: the tutorial's count."),
    CounterInfo("request_body_bytes", "By", "Bytes of request bodies received from clients, without chunk framing."),
    CounterInfo("status_1xx", "1", "Exchanges that ended as a tunnel (101)."),
    CounterInfo("status_2xx", "1", "Exchanges answered with a 2xx status."),
    CounterInfo("status_3xx", "1", "Exchanges answered with a 3xx status."),
    CounterInfo("status_4xx", "1", "Exchanges answered with a 4xx status."),
    CounterInfo("status_5xx", "1", "Exchanges answered with a 5xx status."),
    CounterInfo("errors", "1", "Exchanges that ended with a reason other than none."),
    CounterInfo("retries", "1", "Requests sent again on another connection, with proof that the first was not processed."),
    CounterInfo("total_us", "us", "Sum of the total times: first byte of the request head to the last byte of the response."),
    CounterInfo("first_byte_us", "us", "Sum of the times from the first byte of the request head to the response head from the endpoint."),
    CounterInfo("first_bytes", "1", "Exchanges that have a first byte: what first_byte_us is to be divided by."),
    CounterInfo("request_head_us", "us", "TR: sum of the times from the first byte of the request head to its last."),
    CounterInfo("queue_us", "us", "Tw: sum of the times from there until the exchange had its connection, without Tc; attempts that failed included."),
    CounterInfo("connect_us", "us", "Tc: sum of the times that the connects of these connections took, as far as the exchange was there; 0 for one used before."),
    CounterInfo("response_head_us", "us", "Tr: sum of the times from there to the final response head, the sending of the request included."),
    CounterInfo("data_us", "us", "Td: sum of the times from there to the end. TR, Tw, Tc, Tr and Td sum to total_us."),
)

ENDPOINT_FIGURES: tuple[FigureInfo, ...] = (
    FigureInfo("open", "gauge", "Connections open, in whatever state."),
    FigureInfo("idle", "gauge", "Connections that wait for a request."),
    FigureInfo("surplus", "gauge", "Idle connections beyond `max_idle`, kept for a moment."),
    FigureInfo("connecting", "gauge", "Connections being made."),
    FigureInfo("waiting", "gauge", "Exchanges that wait for one of its connections."),
    FigureInfo("active", "gauge", "Exchanges in progress on its connections."),
    FigureInfo("dials", "counter", "Connections that were begun."),
    FigureInfo("dial_failures", "counter", "Connections that could not be made."),
    FigureInfo("reuses", "counter", "Attempts on a connection that had served before."),
    FigureInfo("spoiled", "counter", "Idle connections that the endpoint has closed or written to."),
    FigureInfo("attempts", "counter", "Attempts: exchanges that were given one of its connections."),
    FigureInfo("failures", "counter", "Attempts that it has failed: no connection, no valid response, or a response cut short."),
    FigureInfo("errors_5xx", "counter", "Responses of it with a status of 500 to 599."),
    FigureInfo("responses", "counter", "Final response heads received."),
    FigureInfo("response_us", "counter", "Sum of the times from the connection being the attempt's to the response head, microseconds."),
    FigureInfo("retired", "counter", "Idle connections closed because the endpoint would have closed them soon."),
    FigureInfo("passed_over", "counter", "Requests that took no idle connection, for it had rested for longer than is safe for what cannot be repeated."),
    FigureInfo("races_lost", "counter", "Connections that broke as they were used again: the endpoint was just closing them."),
    FigureInfo("races_saved", "counter", "Requests on those that were answered after all, by being repeated."),
    FigureInfo("learned_idle_timeout_ms", "least", "After what rest the endpoint closes a connection, as it was seen to do or says, milliseconds; 0: not known."),
    FigureInfo("idle_limit_ms", "least", "After what rest its connections are closed now, milliseconds."),
)

CLUSTER_FIGURES: tuple[FigureInfo, ...] = (
    FigureInfo("queued", "gauge", "Exchanges in the cluster's queue."),
    FigureInfo("retries", "counter", "Attempts after the first, second requests of hedging included."),
    FigureInfo("retries_denied", "counter", "Attempts that would have been safe and that the budget did not allow."),
    FigureInfo("panics", "gauge", "1 while so few of its endpoints may be used that all are asked."),
    FigureInfo("in_progress", "gauge", "Exchanges in progress, of those that the cluster's limit counts; without a limit, with its endpoints."),
    FigureInfo("limit", "gauge", "How many may be in progress at a time now, over all workers; 0: no limit."),
    FigureInfo("open_breakers", "gauge", "Workers whose circuit breaker is open, or half open."),
    FigureInfo("breaker_openings", "counter", "How often a circuit breaker has opened."),
    FigureInfo("overflows", "counter", "Attempts at endpoints below the first level: of a lower priority, or of another zone."),
    FigureInfo("sticky_bound", "counter", "Attempts at the endpoint that the client's cookie names."),
    FigureInfo("sticky_lost", "counter", "Attempts at another endpoint than the client's cookie names: it is unknown, may not be asked, is full or has failed."),
    FigureInfo("hash_keyless", "counter", "Attempts without a key, of clusters that hash: they go round."),
    FigureInfo("hash_fallbacks", "counter", "Attempts at another endpoint than the key's own: it may not be asked, is full or has failed."),
    FigureInfo("mirrored", "counter", "Copies of requests that were sent to it, as the mirror of a route."),
    FigureInfo("mirrors_skipped", "counter", "Copies that were not made: too many in progress, a body that had not come with its head, or no room at an endpoint."),
    FigureInfo("mirrors_failed", "counter", "Copies that came to nothing: no connection, a broken one, no valid response, or none in time."),
)
