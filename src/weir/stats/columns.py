"""The counters of a row of the shared table, in order. Made by tools/gen_tables.py from spec/counters.toml; do not edit."""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["BUCKETS", "COUNTERS", "COUNTER_PLACES", "HISTOGRAMS", "PARTS", "REASONS_AT", "REASON_PLACES", "SKETCH_BYTES", "CounterInfo"]


class CounterInfo(NamedTuple):
    """One counter: its name, its unit (UCUM) and what it counts."""

    name: str
    unit: str
    text: str


COUNTER_PLACES = 128
REASONS_AT = 64
REASON_PLACES = 64
HISTOGRAMS = 2
BUCKETS = 256
PARTS = 5
SKETCH_BYTES = 4096

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
