"""Why exchanges and connections end other than well. Made by tools/gen_tables.py from spec/reasons.toml; do not edit."""

from __future__ import annotations

from enum import IntEnum
from typing import NamedTuple

__all__ = ["REASONS", "Reason", "ReasonInfo"]


class ReasonInfo(NamedTuple):
    """One row of the table: see spec/reasons.toml."""

    word: str
    status: int
    side: str
    text: str


class Reason(IntEnum):
    """The number of a reason, the same in the compiled plane."""

    NONE = 0
    BAD_REQUEST = 1
    BAD_FRAMING = 2
    BAD_HOST = 3
    BAD_CHUNK = 4
    BAD_VERSION = 5
    METHOD_REFUSED = 6
    UNSUPPORTED_CODING = 7
    EXPECTATION_FAILED = 8
    TARGET_TOO_LONG = 9
    HEAD_TOO_LARGE = 10
    BODY_TOO_LARGE = 11
    HEAD_TIMEOUT = 12
    BODY_TIMEOUT = 13
    CLIENT_CLOSED = 14
    CLIENT_STALLED = 15
    IDLE_TIMEOUT = 16
    NO_ENDPOINT = 17
    CONNECT_REFUSED = 18
    CONNECT_FAILED = 19
    CONNECT_TIMEOUT = 20
    UPSTREAM_CLOSED = 21
    UPSTREAM_RESET = 22
    UPSTREAM_TRUNCATED = 23
    BAD_RESPONSE = 24
    BAD_RESPONSE_FRAMING = 25
    RESPONSE_HEAD_TOO_LARGE = 26
    RESPONSE_TIMEOUT = 27
    STREAM_TIMEOUT = 28
    QUEUE_FULL = 29
    QUEUE_TIMEOUT = 30
    OUT_OF_DESCRIPTORS = 31
    DRAINING = 32
    INTERNAL = 33
    EVICTED = 34
    OUT_OF_MEMORY = 35
    OUT_OF_PORTS = 36
    RATE_LIMITED = 37
    FAULT_INJECTED = 38
    BAD_PROXY_HEADER = 39
    PROXY_HEADER_TIMEOUT = 40
    UNTRUSTED_PROXY = 41
    CLIENT_LIMIT = 42
    BODY_TOO_SLOW = 43
    CLIENT_TOO_SLOW = 44
    CIRCUIT_OPEN = 45
    BAD_DEADLINE = 46
    DEADLINE_PASSED = 47
    HOOK_FAILED = 48
    HOOK_TIMEOUT = 49
    NO_ROUTE = 50
    RESPONSE_TOO_LARGE = 51


REASONS: tuple[ReasonInfo, ...] = (
    ReasonInfo("none", 0, "weir", "Nothing went wrong."),
    ReasonInfo("bad_request", 400, "downstream", "The request is not well-formed HTTP."),
    ReasonInfo("bad_framing", 400, "downstream", "The length of the request body is ambiguous or malformed."),
    ReasonInfo("bad_host", 400, "downstream", "The request needs exactly one valid Host that agrees with its target."),
    ReasonInfo("bad_chunk", 400, "downstream", "A chunk of the request body is malformed."),
    ReasonInfo("bad_version", 505, "downstream", "Only HTTP/1.0 and HTTP/1.1 are spoken here."),
    ReasonInfo("method_refused", 405, "downstream", "This method is not served here."),
    ReasonInfo("unsupported_coding", 501, "downstream", "This transfer coding is not supported; only chunked is."),
    ReasonInfo("expectation_failed", 417, "downstream", "The only expectation supported is 100-continue."),
    ReasonInfo("target_too_long", 414, "downstream", "The request target is longer than the limit."),
    ReasonInfo("head_too_large", 431, "downstream", "The request head is larger than the limit, or has too many fields."),
    ReasonInfo("body_too_large", 413, "downstream", "The request body is larger than the limit."),
    ReasonInfo("head_timeout", 408, "downstream", "The request head did not arrive in time."),
    ReasonInfo("body_timeout", 408, "downstream", "The request body stopped arriving."),
    ReasonInfo("client_closed", 0, "downstream", "The client closed the connection before the exchange was complete."),
    ReasonInfo("client_stalled", 0, "downstream", "The client did not read its response in time."),
    ReasonInfo("idle_timeout", 0, "downstream", "The connection was idle for too long between two requests."),
    ReasonInfo("no_endpoint", 502, "upstream", "The cluster has no endpoint with a known address."),
    ReasonInfo("connect_refused", 502, "upstream", "The endpoint refused the connection."),
    ReasonInfo("connect_failed", 502, "upstream", "The endpoint could not be reached."),
    ReasonInfo("connect_timeout", 504, "upstream", "The endpoint did not accept the connection in time."),
    ReasonInfo("upstream_closed", 502, "upstream", "The endpoint closed the connection before it answered."),
    ReasonInfo("upstream_reset", 502, "upstream", "The connection to the endpoint broke before it answered."),
    ReasonInfo("upstream_truncated", 502, "upstream", "The endpoint ended its response before it was complete."),
    ReasonInfo("bad_response", 502, "upstream", "The endpoint's answer is not well-formed HTTP."),
    ReasonInfo("bad_response_framing", 502, "upstream", "The length of the endpoint's response is ambiguous or malformed."),
    ReasonInfo("response_head_too_large", 502, "upstream", "The head of the endpoint's response is larger than the limit."),
    ReasonInfo("response_timeout", 504, "upstream", "The endpoint did not answer in time."),
    ReasonInfo("stream_timeout", 504, "upstream", "The stream made no progress for too long."),
    ReasonInfo("queue_full", 503, "weir", "Queue full."),
    ReasonInfo("queue_timeout", 503, "weir", "No connection to an endpoint became free in time."),
    ReasonInfo("out_of_descriptors", 503, "weir", "No more connections can be opened at the moment."),
    ReasonInfo("draining", 503, "weir", "The proxy is stopping."),
    ReasonInfo("internal", 500, "weir", "The proxy failed to handle the request."),
    ReasonInfo("evicted", 0, "weir", "The connection was closed to make room for others: it had waited longest, without a request in progress."),
    ReasonInfo("out_of_memory", 503, "weir", "There is no memory for this request at the moment."),
    ReasonInfo("out_of_ports", 503, "weir", "No more connections to the endpoint can be opened at the moment."),
    ReasonInfo("rate_limited", 429, "downstream", "Too many requests: a rate limit was reached."),
    ReasonInfo("fault_injected", 503, "weir", "A fault was injected on purpose, for a test."),
    ReasonInfo("bad_proxy_header", 0, "downstream", "The connection did not begin with a valid PROXY protocol header."),
    ReasonInfo("proxy_header_timeout", 0, "downstream", "The PROXY protocol header did not arrive in time."),
    ReasonInfo("untrusted_proxy", 0, "downstream", "PROXY protocol headers are taken from trusted proxies only, and this was none."),
    ReasonInfo("client_limit", 503, "downstream", "This client has as many connections open, or requests in progress, as it may have."),
    ReasonInfo("body_too_slow", 408, "downstream", "The request body came too slowly."),
    ReasonInfo("client_too_slow", 0, "downstream", "The client took its response too slowly."),
    ReasonInfo("circuit_open", 503, "weir", "The endpoints fail too often; requests to them are paused."),
    ReasonInfo("bad_deadline", 400, "downstream", "The deadline is not a number of milliseconds of at most a day."),
    ReasonInfo("deadline_passed", 504, "weir", "The time that the client will wait is over."),
    ReasonInfo("hook_failed", 500, "weir", "A hook has failed."),
    ReasonInfo("hook_timeout", 504, "weir", "A hook has taken too long."),
    ReasonInfo("no_route", 404, "downstream", "No route takes this request."),
    ReasonInfo("response_too_large", 502, "weir", "The response is larger than a hook may read."),
)
