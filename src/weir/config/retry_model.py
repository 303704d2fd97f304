"""Tables of the configuration that are about sending requests again."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from weir.config import kinds, retry_kinds
from weir.config.plan import RetryPlan
from weir.config.table import Table, setting

__all__ = ["Hedge", "Retry"]


class Retry(Table):
    """Requests that are sent once more, and their budget. See [retries](retries.md)."""

    on: Annotated[tuple[str, ...], retry_kinds.failures()] = setting(
        RetryPlan,
        "on",
        "What may be tried again. `connect`: nothing was sent. `reused`: a connection that had been used before broke. "
        "`reset`: a new one did. `timeout`: `attempt_timeout` was over. `bad_response`: a malformed response head. "
        "Statuses: the response is dropped. All but the first: only what may be done twice.",
        example=["connect", "reused", "503"],
    )
    attempts: Annotated[int, kinds.count(1, 10)] = setting(
        RetryPlan,
        "attempts",
        "Attempts at one request in all, the first included. 1: nothing is repeated. A connection that cannot be made "
        "is no attempt.",
        example=2,
    )
    ratio: Annotated[int, kinds.ratio()] = setting(
        RetryPlan, "ratio_percent", "The budget: retries allowed, as a part of all requests, ...", example="10%"
    )
    min_per_second: Annotated[int, kinds.count(0, 1_000_000)] = setting(
        RetryPlan, "min_per_second", "... and so many a second in any case, per worker.", example=10
    )
    attempt_timeout: Annotated[int, kinds.duration("1ms", "24h", none=True)] = setting(
        RetryPlan,
        "attempt_timeout_ms",
        "Time for one attempt to bring a response head, for requests that may be done twice. Then: another attempt, or "
        "504. `response_header_timeout` bounds all of them together.",
        example="2s",
    )
    backoff: Annotated[int, kinds.duration("1ms", "10s")] = setting(
        RetryPlan,
        "backoff_ms",
        "The first pause between two attempts; each further one is twice as long, up to ten times this, and shorter by "
        "chance by up to a half. The first retry at another endpoint does not wait.",
        example="100ms",
    )
    same_endpoint: Annotated[bool, kinds.flag()] = setting(
        RetryPlan,
        "same_endpoint",
        "If no other endpoint is left, one that has failed the request is asked again. For addresses behind which "
        "there are several servers.",
        example=True,
    )
    idempotency_key: Annotated[bool, kinds.flag()] = setting(
        RetryPlan,
        "idempotency_key",
        "A request with an `Idempotency-Key` may be done twice, whatever its method: the endpoints keep the keys.",
        example=True,
    )
    max_replay_body: Annotated[int, kinds.size(1, "512KiB", none=True)] = setting(
        RetryPlan,
        "max_replay_body_bytes",
        "A copy of a request's body is kept up to this size, until the response begins, if the request may be done "
        "twice. What comes together with the head is kept in any case.",
        example="256KiB",
    )


class Hedge(Table):
    """A second request to another endpoint, while the first has no response yet. See [retries](retries.md#hedging)."""

    after: Annotated[tuple[int, int], retry_kinds.hedge_after()] = Field(
        default=(0, 0),
        description="When it is sent: after a fixed time, or a percentile of how long response heads took lately. Only "
        "GET, HEAD and OPTIONS without a body; it is charged to the budget of retries.",
        examples=["p95"],
    )
