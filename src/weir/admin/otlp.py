"""Export of the metrics over OTLP/HTTP: the same figures as /metrics, pushed at an interval.

The body is OTLP's JSON (https://opentelemetry.io/docs/specs/otlp/#json-protobuf-encoding), which every collector
takes. Everything is cumulative since the table was made. Times are exponential histograms of scale 3 in microseconds
(unit "us"): an exact copy of the table's buckets. In seconds, as the semantic conventions would have it, each bucket
would have to be moved by 0.45 of its width.
"""

from __future__ import annotations

import asyncio
import gzip
import json
import logging
import random
import socket
import time
from collections.abc import Mapping
from typing import Any, Final

import weir
from weir.admin.collector import ExportError, send
from weir.admin.families import Distribution, Family, Labels, collect
from weir.admin.state import AdminState
from weir.config.plan import OtlpPlan
from weir.stats import layout, reader

__all__ = ["Exporter", "payload"]

log = logging.getLogger("weir.admin")

SCALE: Final = 3
CUMULATIVE: Final = 2
TRIES: Final = 4
FIRST_WAIT_S: Final = 1.0
# A Retry-After beyond the interval is honoured up to this: nothing is lost by waiting, for all is cumulative.
MOST_WAIT_S: Final = 600.0


class Exporter:
    """Sends what there is at every interval. One export at a time: one that takes too long is followed by the next."""

    def __init__(self, state: AdminState, plan: OtlpPlan) -> None:
        self.state = state
        self.plan = plan
        self.sent = 0
        self.failed = 0
        self._failing = False
        # time.monotonic() before which the collector does not want to be asked.
        self._not_before = 0.0

    async def run(self) -> None:
        """Until it is cancelled."""
        interval = self.plan.interval_ms / 1000
        while True:
            started = time.monotonic()
            try:
                await self.export()
            except Exception:
                # A fault of ours, or a table that cannot be read now: the next may do, and the rest of the process
                # is not to end for it.
                if not self._failing:
                    log.exception("otlp: the metrics could not be made; they are tried again at the next interval")
                self.failed += 1
                self._failing = True
            now = time.monotonic()
            await asyncio.sleep(max(started + interval - now, self._not_before - now, 0.1))

    async def export(self) -> bool:
        """Once, with some tries within the interval. False if the collector did not take it; that is logged once."""
        body = gzip.compress(json.dumps(payload(self.state, time.time_ns()), separators=(",", ":")).encode(), 1)
        ends = time.monotonic() + self.plan.interval_ms / 1000
        wait = FIRST_WAIT_S
        for attempt in range(TRIES):
            try:
                await send(self.plan, body)
            except ExportError as error:
                pause = max(error.wait_s or 0.0, wait * random.uniform(0.5, 1.0))
                if error.wait_s is None or attempt == TRIES - 1 or time.monotonic() + pause >= ends:
                    self._not_before = time.monotonic() + min(error.wait_s or 0.0, MOST_WAIT_S)
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


def payload(state: AdminState, now_ns: int) -> dict[str, Any]:
    """An ExportMetricsServiceRequest with all metrics."""
    start_ns = layout.read_header(state.memory).created_us * 1000
    # What a worker counts of itself begins with it.
    starts = {str(slot): worker.started_us * 1000 for slot, worker in enumerate(reader.workers(state.memory))}
    made = (metric_json(family, start_ns, now_ns, starts) for family in collect(state))
    metrics = [metric for metric in made if metric is not None]
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


def metric_json(family: Family, start_ns: int, now_ns: int, starts: Mapping[str, int]) -> dict[str, Any] | None:
    """One metric; None if it has no values. `starts`: since when each worker counts; all else since `start_ns`."""
    if not family.values:
        return None
    metric = family.metric
    points = [
        {**point_json(value, metric.unit), "attributes": attributes(labels), "timeUnixNano": str(now_ns)}
        for labels, value in family.values
    ]
    made: dict[str, Any] = {"name": metric.name.replace("_", ".", 1), "description": metric.text}
    if metric.kind == "gauge":
        return {**made, "unit": UNITS[metric.unit], "gauge": {"dataPoints": points}}
    for point, (labels, _value) in zip(points, family.values, strict=True):
        point["startTimeUnixNano"] = str(starts.get(dict(labels).get("worker", ""), start_ns))
    data = {"aggregationTemporality": CUMULATIVE, "dataPoints": points}
    if metric.kind == "counter":
        return {**made, "unit": UNITS[metric.unit], "sum": {**data, "isMonotonic": True}}
    made["name"] = made["name"].removesuffix("_seconds")
    return {**made, "unit": "us", "exponentialHistogram": data}


UNITS: Final = {"": "1", "seconds": "s", "bytes": "By"}


def point_json(value: float | Distribution, unit: str) -> dict[str, Any]:
    if not isinstance(value, Distribution):
        # By the metric, not by the value: a series is to keep its type. 64-bit numbers are texts in protobuf's JSON.
        return {"asDouble": float(value)} if unit == "seconds" else {"asInt": str(int(value))}
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
