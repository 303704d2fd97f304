"""What a worker tells of itself: a heartbeat, its connections, and the state of its pools, into the shared table."""

from __future__ import annotations

import struct
import time
from collections.abc import Iterable, Mapping
from typing import Any

from weir.stats import layout

__all__ = ["clear", "publish", "published"]


def publish(
    memory: Any,
    worker: int,
    *,
    gauges: Mapping[str, int],
    endpoints: Iterable[tuple[int, Mapping[str, Any]]] = (),
) -> None:
    """Worker `worker` is alive, and this is what it has.

    `gauges` are fields of the worker's header by name ("downstreams", "accepted", ...; see `weir.stats.layout.WORKER`);
    `endpoints` are pairs of an endpoint's number in the table and its pool's numbers by name (GAUGE_NAMES; those that
    are missing are 0). Meant to be called about once a second. KeyError for a gauge that there is not; ValueError for a
    worker or an endpoint that the table has no place for; LayoutError as in read_header().
    """
    header = layout.read_header(memory)
    if not 0 <= worker < header.workers:
        raise ValueError(f"worker {worker} of {header.workers}")
    at = header.places.workers_at + worker * header.places.worker_bytes
    layout.write(memory, at, layout.WORKER, **gauges)
    for number, numbers in endpoints:
        if not 0 <= number < header.endpoints:
            raise ValueError(f"endpoint {number} of {header.endpoints}")
        own = [int(numbers.get(name, 0)) for name in layout.GAUGE_NAMES]
        struct.pack_into(f"{len(own)}Q", memory, at + header.places.gauges_at + number * layout.GAUGES * 8, *own)
    # Last: who sees it sees the rest.
    layout.write(memory, at, layout.WORKER, heartbeat_us=time.monotonic_ns() // 1000)


def published(memory: Any, worker: int, endpoint: int) -> dict[str, int]:
    """What worker `worker`, or who had its place before, has last said of an endpoint: by GAUGE_NAMES.

    ValueError and LayoutError as in publish().
    """
    header = layout.read_header(memory)
    if not 0 <= worker < header.workers:
        raise ValueError(f"worker {worker} of {header.workers}")
    if not 0 <= endpoint < header.endpoints:
        raise ValueError(f"endpoint {endpoint} of {header.endpoints}")
    at = header.places.workers_at + worker * header.places.worker_bytes + header.places.gauges_at
    names = layout.GAUGE_NAMES
    own = struct.unpack_from(f"{len(names)}Q", memory, at + endpoint * layout.GAUGES * 8)
    return dict(zip(names, own, strict=True))


def clear(memory: Any, worker: int) -> None:
    """Worker `worker` is gone: nothing of it is open or in progress. What it has counted stays.

    ValueError and LayoutError as in publish().
    """
    header = layout.read_header(memory)
    if not 0 <= worker < header.workers:
        raise ValueError(f"worker {worker} of {header.workers}")
    at = header.places.workers_at + worker * header.places.worker_bytes
    layout.write(memory, at, layout.WORKER, **dict.fromkeys(layout.MOMENTARY, 0))
    places = [number for number, name in enumerate(layout.GAUGE_NAMES) if name in layout.MOMENTARY_GAUGES]
    for endpoint in range(header.endpoints_named):
        row = at + header.places.gauges_at + endpoint * layout.GAUGES * 8
        for place in places:
            struct.pack_into("Q", memory, row + place * 8, 0)
