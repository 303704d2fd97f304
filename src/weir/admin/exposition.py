"""Metrics as Prometheus reads them: text 0.0.4, OpenMetrics 1.0, and protobuf with native histograms.

The text is written by hand: a library's writer takes ten times as long for thousands of lines. Classic buckets are
whole octaves of the statistics' grid (64 us, 128 us, ... 67 s), so their counts are exact. Native histograms have the
grid's resolution (schema 3), but bounds of 2^(i/8) seconds, and ours are 2^(i/8) microseconds: 0.45 of a bucket beside
them. A bucket goes where its middle lies, which moves a value by at most 4 %.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Final

from weir._gen import metrics_pb as pb
from weir.admin.families import Distribution, Family, Labels
from weir.stats.reader import BUCKETS_USED, bucket_end_us

__all__ = ["NATIVE_SHIFT", "as_openmetrics", "as_protobuf", "as_text", "choose", "native_buckets"]

TEXT: Final = "text/plain; version=0.0.4; charset=utf-8"
OPENMETRICS: Final = "application/openmetrics-text; version=1.0.0; charset=utf-8"
PROTOBUF: Final = "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited"

SCHEMA: Final = 3
# Buckets whose upper bounds are 2^6 to 2^26 us.
CLASSIC: Final = tuple(8 * octave - 1 for octave in range(6, 27))
CLASSIC_BOUNDS: Final = tuple(bucket_end_us(bucket) / 1e6 for bucket in CLASSIC)
# Index of a native bucket less that of ours: the native bucket i ends at 2^(i/8) s.
NATIVE_SHIFT: Final = math.ceil(0.5 - 8 * math.log2(1e6))


def choose(accept: str) -> tuple[str, str]:
    """The name of the format that an Accept field asks for ("text", "openmetrics", "protobuf"), and its media type.

    What has the greatest weight, and of equals what stands first; text if nothing is known.
    """
    best, chosen = 0.0, ("text", TEXT)
    for part in accept.lower().split(","):
        media, *parameters = (piece.strip() for piece in part.split(";"))
        weight = 1.0
        for parameter in parameters:
            if parameter.startswith("q="):
                try:
                    weight = float(parameter[2:])
                except ValueError:
                    weight = 0.0
        found = None
        if media == "application/vnd.google.protobuf" and "encoding=delimited" in parameters:
            found = ("protobuf", PROTOBUF)
        elif media == "application/openmetrics-text":
            found = ("openmetrics", OPENMETRICS)
        elif media in ("text/plain", "text/*", "*/*"):
            found = ("text", TEXT)
        if found is not None and weight > best:
            best, chosen = weight, found
    return chosen


def as_text(families: Iterable[Family]) -> bytes:
    """Prometheus's text format 0.0.4."""
    lines: list[str] = []
    for family in families:
        metric = family.metric
        # Here a counter's name is that of its samples.
        name = f"{metric.name}_total" if metric.kind == "counter" else metric.name
        lines += [f"# HELP {name} {help_text(metric.text)}", f"# TYPE {name} {metric.kind}"]
        add_samples(lines, family)
    return ("\n".join(lines) + "\n").encode()


def as_openmetrics(families: Iterable[Family]) -> bytes:
    """OpenMetrics 1.0."""
    lines: list[str] = []
    for family in families:
        metric = family.metric
        lines.append(f"# TYPE {metric.name} {metric.kind if not metric.name.endswith('_info') else 'gauge'}")
        if metric.unit:
            lines.append(f"# UNIT {metric.name} {metric.unit}")
        lines.append(f"# HELP {metric.name} {help_text(metric.text)}")
        add_samples(lines, family)
    return ("\n".join([*lines, "# EOF"]) + "\n").encode()


def add_samples(lines: list[str], family: Family) -> None:
    name = family.metric.name
    suffix = "_total" if family.metric.kind == "counter" else ""
    for labels, value in family.values:
        if isinstance(value, Distribution):
            add_histogram(lines, name, labels, value)
        else:
            lines.append(f"{name}{suffix}{label_text(labels)} {number_text(value)}")


def add_histogram(lines: list[str], name: str, labels: Labels, value: Distribution) -> None:
    for bound, count in zip(CLASSIC_BOUNDS, cumulated(value.buckets), strict=True):
        lines.append(f"{name}_bucket{label_text((*labels, ('le', repr(bound))))} {count}")
    total = sum(value.buckets)
    lines.append(f"{name}_bucket{label_text((*labels, ('le', '+Inf')))} {total}")
    lines.append(f"{name}_sum{label_text(labels)} {number_text(value.sum_us / 1e6)}")
    lines.append(f"{name}_count{label_text(labels)} {total}")


def cumulated(buckets: Sequence[int]) -> list[int]:
    """How many lie at or below each of the classic bounds."""
    sums, total, place = [], 0, 0
    for last in CLASSIC:
        total += sum(buckets[place : last + 1])
        place = last + 1
        sums.append(total)
    return sums


def as_protobuf(families: Iterable[Family]) -> bytes:
    """Prometheus's protobuf format: messages, each behind its length. Histograms are classic and native."""
    kinds = {"counter": pb.MetricType.COUNTER, "gauge": pb.MetricType.GAUGE, "histogram": pb.MetricType.HISTOGRAM}
    parts: list[bytes] = []
    for family in families:
        metric = family.metric
        message = pb.MetricFamily(
            name=f"{metric.name}_total" if metric.kind == "counter" else metric.name,
            help=metric.text,
            type=kinds[metric.kind],
            metric=[metric_message(metric.kind, labels, value) for labels, value in family.values],
        )
        body = message.to_binary()
        parts += [varint(len(body)), body]
    return b"".join(parts)


def metric_message(kind: str, labels: Labels, value: float | Distribution) -> pb.Metric:
    pairs = [pb.LabelPair(name=name, value=text) for name, text in labels]
    if isinstance(value, Distribution):
        return pb.Metric(label=pairs, histogram=histogram_message(value))
    if kind == "counter":
        return pb.Metric(label=pairs, counter=pb.Counter(value=float(value)))
    return pb.Metric(label=pairs, gauge=pb.Gauge(value=float(value)))


def histogram_message(value: Distribution) -> pb.Histogram:
    spans, deltas = native_buckets(value.buckets)
    bounds = zip(CLASSIC_BOUNDS, cumulated(value.buckets), strict=True)
    return pb.Histogram(
        sample_count=sum(value.buckets),
        sample_sum=value.sum_us / 1e6,
        bucket=[pb.Bucket(upper_bound=bound, cumulative_count=count) for bound, count in bounds],
        schema=SCHEMA,
        zero_threshold=1e-128,
        zero_count=0,
        # An empty span says that it is a native histogram without values.
        positive_span=[pb.BucketSpan(offset=offset, length=length) for offset, length in spans or [(0, 0)]],
        positive_delta=deltas,
    )


def native_buckets(buckets: Sequence[int]) -> tuple[list[tuple[int, int]], list[int]]:
    """Spans (gap since the last span, length) and deltas of counts, as native histograms have them."""
    spans: list[tuple[int, int]] = []
    deltas: list[int] = []
    before, end = 0, 0
    for place in range(BUCKETS_USED):
        count = buckets[place]
        if not count:
            continue
        index = place + NATIVE_SHIFT
        if spans and index == end:
            spans[-1] = (spans[-1][0], spans[-1][1] + 1)
        else:
            spans.append((index - end if spans else index, 1))
        end = index + 1
        deltas.append(count - before)
        before = count
    return spans, deltas


def varint(number: int) -> bytes:
    made = bytearray()
    while number >= 0x80:
        made.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*made, number])


def label_text(labels: Labels) -> str:
    if not labels:
        return ""
    return "{" + ",".join(f'{name}="{escaped(value)}"' for name, value in labels) + "}"


def escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def help_text(text: str) -> str:
    return text.replace("\\", "\\\\").replace("\n", "\\n")


def number_text(value: float) -> str:
    return str(int(value)) if value == int(value) else repr(float(value))
