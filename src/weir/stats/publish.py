"""What a worker tells of itself: a heartbeat, its connections, and the state of its pools, into the shared table."""

from __future__ import annotations

import itertools
import struct
import time
from collections.abc import Iterable, Mapping
from typing import Any, Final, NamedTuple

from weir.stats import layout
from weir.stats.columns import (
    CLUSTER_FIGURES,
    CLUSTER_PLACES,
    DECISIONS_AT,
    ENDPOINT_FIGURES,
    ENDPOINT_PLACES,
    FigureInfo,
)
from weir.stats.retrywords import RETRY_WORDS

__all__ = ["clear", "publish", "write_decisions", "write_figures"]


class Run(NamedTuple):
    """Gauges that lie side by side: written in one piece."""

    offset: int
    form: struct.Struct
    names: tuple[str, ...]


def gauges_of(figures: tuple[FigureInfo, ...]) -> tuple[Run, ...]:
    runs: list[Run] = []
    for gauge, found in itertools.groupby(enumerate(figures), lambda one: one[1].kind != "counter"):
        part = list(found)
        if gauge:
            runs.append(Run(part[0][0] * 8, struct.Struct(f"{len(part)}Q"), tuple(one.name for _place, one in part)))
    return tuple(runs)


# Of a worker's header: what is so at the moment, and is nothing when the worker is gone.
WORKER_GAUGES: Final = ("downstreams", "exchanges", "upstreams", "buffers", "buffer_bytes", "timers")
ENDPOINT_GAUGES: Final = gauges_of(ENDPOINT_FIGURES)
CLUSTER_GAUGES: Final = gauges_of(CLUSTER_FIGURES)


def publish(
    memory: Any,
    worker: int,
    *,
    gauges: Mapping[str, int],
    endpoints: Iterable[tuple[int, Mapping[str, Any]]] = (),
    clusters: Iterable[tuple[int, Mapping[str, Any]]] = (),
) -> None:
    """Worker `worker` is alive, and this is what it has.

    `gauges` are fields of the worker's header by name ("downstreams", "accepted", ...: `weir.stats.bytemap.WORKER`);
    `endpoints` and `clusters` are pairs of a number in the table and its gauges by name (spec/figures.toml; those that
    are missing are 0). What is counted the worker counts in place, by itself. Meant to be called about once a second.
    KeyError for a gauge that there is not; ValueError for a worker, an endpoint or a cluster that the table has no
    place for; LayoutError as in read_header().
    """
    header = layout.read_header(memory)
    if not 0 <= worker < header.workers:
        raise ValueError(f"worker {worker} of {header.workers}")
    at = header.places.workers_at + worker * header.places.worker_bytes
    layout.write(memory, at, layout.WORKER, **gauges)
    for number, numbers in endpoints:
        if not 0 <= number < header.endpoints:
            raise ValueError(f"endpoint {number} of {header.endpoints}")
        store(memory, at + header.places.endpoint_figures_at + number * ENDPOINT_PLACES * 8, ENDPOINT_GAUGES, numbers)
    for number, numbers in clusters:
        if not 0 <= number < header.clusters:
            raise ValueError(f"cluster {number} of {header.clusters}")
        store(memory, at + header.places.cluster_figures_at + number * CLUSTER_PLACES * 8, CLUSTER_GAUGES, numbers)
    # Last: who sees it sees the rest.
    layout.write(memory, at, layout.WORKER, heartbeat_us=time.monotonic_ns() // 1000)


def write_figures(memory: Any, worker: int, endpoint: int, **figures: int) -> None:
    """Writes an endpoint's figures by name, counters as well, as the plane of that worker would: for tests.

    KeyError for a figure that there is not; LayoutError as in read_header().
    """
    where = layout.read_header(memory).places
    at = where.workers_at + worker * where.worker_bytes + where.endpoint_figures_at + endpoint * ENDPOINT_PLACES * 8
    places = {figure.name: place for place, figure in enumerate(ENDPOINT_FIGURES)}
    for name, value in figures.items():
        struct.pack_into("Q", memory, at + places[name] * 8, value)


def write_decisions(memory: Any, worker: int, cluster: int, **counts: int) -> None:
    """Writes a cluster's counters and its decisions about retries, by name and word, as the plane of that worker would:
    for tests.

    KeyError for one that there is not; LayoutError as in read_header().
    """
    where = layout.read_header(memory).places
    at = where.workers_at + worker * where.worker_bytes + where.cluster_figures_at + cluster * CLUSTER_PLACES * 8
    places = {figure.name: place for place, figure in enumerate(CLUSTER_FIGURES)}
    places |= {one.word: DECISIONS_AT + place for place, one in enumerate(RETRY_WORDS)}
    for word, count in counts.items():
        struct.pack_into("Q", memory, at + places[word] * 8, count)


def store(memory: Any, at: int, gauges: tuple[Run, ...], numbers: Mapping[str, Any]) -> None:
    for run in gauges:
        run.form.pack_into(memory, at + run.offset, *[numbers.get(name, 0) for name in run.names])


def clear(memory: Any, worker: int) -> None:
    """Worker `worker` is gone: nothing of it is open or in progress. What it has counted stays.

    ValueError and LayoutError as in publish().
    """
    header = layout.read_header(memory)
    if not 0 <= worker < header.workers:
        raise ValueError(f"worker {worker} of {header.workers}")
    at = header.places.workers_at + worker * header.places.worker_bytes
    layout.write(memory, at, layout.WORKER, **dict.fromkeys(WORKER_GAUGES, 0))
    for number in range(header.endpoints_named):
        store(memory, at + header.places.endpoint_figures_at + number * ENDPOINT_PLACES * 8, ENDPOINT_GAUGES, {})
    for number in range(header.clusters_named):
        store(memory, at + header.places.cluster_figures_at + number * CLUSTER_PLACES * 8, CLUSTER_GAUGES, {})
