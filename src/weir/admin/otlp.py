"""Export of the metrics over OTLP/HTTP: the same figures as /metrics, pushed at an interval.

The body is OTLP's JSON (https://opentelemetry.io/docs/specs/otlp/#json-protobuf-encoding), which every collector
takes. Everything is cumulative since the table was made. Times are exponential histograms of scale 3 in microseconds
(unit "us"): an exact copy of the table's buckets. In seconds, as the semantic conventions would have it, each bucket
would have to be moved by 0.45 of its width.
"""

from __future__ import annotations

import asyncio
import gzip
import http.client
import json
import logging
import random
import socket
import ssl
import time
from typing import Any, Final
from urllib.parse import urlsplit

import weir
from weir.admin.families import Distribution, Family, Labels, collect
from weir.admin.state import AdminState
from weir.config.plan import OtlpPlan
from weir.stats import layout

__all__ = ["ExportError", "Exporter", "payload"]

log = logging.getLogger("weir.admin")

SCALE: Final = 3
CUMULATIVE: Final = 2
# OTLP: these may be tried again; anything else would be refused again.
RETRIED: Final = (429, 502, 503, 504)
TRIES: Final = 4
FIRST_WAIT_S: Final = 1.0
# Of an answer: what is said in an error.
ANSWER_BYTES: Final = 1000


class ExportError(Exception):
    """The collector did not take it. `wait_s`: it may be tried again, after so long a pause; None: it may not."""

    def __init__(self, message: str, wait_s: float | None = None) -> None:
        super().__init__(message)
        self.wait_s = wait_s


class Exporter:
    """Sends what there is at every interval. One export at a time: one that takes too long is followed by the next."""

    def __init__(self, state: AdminState, plan: OtlpPlan) -> None:
        self.state = state
        self.plan = plan
        self.sent = 0
        self.failed = 0
        self._failing = False

    async def run(self) -> None:
        """Until it is cancelled."""
        interval = self.plan.interval_ms / 1000
        while True:
            started = time.monotonic()
            await self.export()
            await asyncio.sleep(max(interval - (time.monotonic() - started), 0.1))

    async def export(self) -> bool:
        """Once, with some tries within the interval. False if the collector did not take it; that is logged once."""
        body = gzip.compress(json.dumps(payload(self.state, time.time_ns()), separators=(",", ":")).encode(), 1)
        ends = time.monotonic() + self.plan.interval_ms / 1000
        wait = FIRST_WAIT_S
        for attempt in range(TRIES):
            try:
                await asyncio.to_thread(send, self.plan, body)
            except ExportError as error:
                pause = max(error.wait_s or 0.0, wait * random.uniform(0.5, 1.0))
                if error.wait_s is None or attempt == TRIES - 1 or time.monotonic() + pause >= ends:
                    self._note_failure(str(error))
                    return False
                await asyncio.sleep(pause)
                wait *= 2
            else:
                break
        self.sent += 1
        if self._failing:
            log.warning("otlp: %s takes metrics again", self.plan.endpoint)
            self._failing = False
        return True

    def _note_failure(self, why: str) -> None:
        self.failed += 1
        if not self._failing:
            log.error("otlp: %s: %s; metrics are sent again at the next interval", self.plan.endpoint, why)
        self._failing = True


def send(plan: OtlpPlan, body: bytes) -> None:
    """One POST, in a thread. ExportError if it was not taken."""
    url = urlsplit(plan.endpoint)
    connection: http.client.HTTPConnection
    host, timeout = url.hostname or "", plan.timeout_ms / 1000
    if url.scheme == "https":
        context = ssl.create_default_context()
        connection = http.client.HTTPSConnection(host, url.port, timeout=timeout, context=context)
    else:
        connection = http.client.HTTPConnection(host, url.port, timeout=timeout)
    fields = {"Content-Type": "application/json", "Content-Encoding": "gzip", "User-Agent": f"weir/{weir.__version__}"}
    fields.update(plan.headers)
    try:
        connection.request("POST", url.path or "/v1/metrics", body, fields)
        answer = connection.getresponse()
        said = answer.read(ANSWER_BYTES)
        if answer.status in RETRIED:
            raise ExportError(f"it answered {answer.status}", retry_after_s(answer.getheader("Retry-After")))
        if not 200 <= answer.status < 300:
            raise ExportError(f"it answered {answer.status}: {said.decode(errors='replace').strip()[:200]!r}")
    except (OSError, http.client.HTTPException) as error:
        raise ExportError(f"{type(error).__name__}: {error}", 0.0) from error
    finally:
        connection.close()


def retry_after_s(value: str | None) -> float:
    """Seconds of a Retry-After; 0 for a date, or none."""
    return float(value) if value is not None and value.isdecimal() else 0.0


def payload(state: AdminState, now_ns: int) -> dict[str, Any]:
    """An ExportMetricsServiceRequest with all metrics."""
    start_ns = layout.read_header(state.memory).created_us * 1000
    metrics = [metric for family in collect(state) if (metric := metric_json(family, start_ns, now_ns)) is not None]
    resource = {
        "service.name": "weir",
        "service.version": weir.__version__,
        "service.instance.id": f"{socket.gethostname()}:{start_ns}",
        "host.name": socket.gethostname(),
    }
    scope = {"name": "weir", "version": weir.__version__}
    return {
        "resourceMetrics": [
            {
                "resource": {"attributes": attributes(tuple(resource.items()))},
                "scopeMetrics": [{"scope": scope, "metrics": metrics}],
            }
        ]
    }


def metric_json(family: Family, start_ns: int, now_ns: int) -> dict[str, Any] | None:
    """One metric; None if it has no values."""
    if not family.values:
        return None
    metric = family.metric
    points = [
        {**point_json(value), "attributes": attributes(labels), "timeUnixNano": str(now_ns)}
        for labels, value in family.values
    ]
    made: dict[str, Any] = {"name": metric.name.replace("weir_", "weir.", 1), "description": metric.text}
    if metric.kind == "gauge":
        return {**made, "unit": UNITS[metric.unit], "gauge": {"dataPoints": points}}
    for point in points:
        point["startTimeUnixNano"] = str(start_ns)
    data = {"aggregationTemporality": CUMULATIVE, "dataPoints": points}
    if metric.kind == "counter":
        return {**made, "unit": UNITS[metric.unit], "sum": {**data, "isMonotonic": True}}
    made["name"] = made["name"].removesuffix("_seconds")
    return {**made, "unit": "us", "exponentialHistogram": data}


UNITS: Final = {"": "1", "seconds": "s", "bytes": "By"}


def point_json(value: float | Distribution) -> dict[str, Any]:
    if not isinstance(value, Distribution):
        # 64-bit numbers are texts in protobuf's JSON.
        return {"asInt": str(int(value))} if value == int(value) else {"asDouble": value}
    used = [place for place, count in enumerate(value.buckets) if count]
    counts = value.buckets[used[0] : used[-1] + 1] if used else []
    return {
        "count": str(sum(value.buckets)),
        "sum": value.sum_us,
        "scale": SCALE,
        "zeroCount": "0",
        "positive": {"offset": used[0] if used else 0, "bucketCounts": [str(count) for count in counts]},
    }


def attributes(labels: Labels) -> list[dict[str, Any]]:
    return [{"key": name, "value": {"stringValue": value}} for name, value in labels]
