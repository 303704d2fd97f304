"""The structures of the shared statistics table: where each field lies (docs/shared-memory.md says it in words).

Every number lies in the machine's own byte order at a multiple of its size, so that it is read and written in one
piece.
"""

from __future__ import annotations

import struct
from typing import Any, Final

from weir.stats.columns import REASON_PLACES

MAGIC: Final = b"weirstat"
VERSION: Final = 3
# An index entry keeps row + 1 in 24 bits.
MAX_ROWS: Final = (1 << 24) - 2
MAX_WORKERS: Final = 1024
MAX_ENDPOINTS: Final = 1 << 20
MAX_CLUSTERS: Final = 1 << 16
# Bytes of a path (of a route's name) that the directory keeps; a longer path is known by its hash and its length.
PATH_BYTES: Final = 200
ROUTE_NAME_BYTES: Final = 248
ENDPOINT_NAME_BYTES: Final = 120
# name -> (struct format, offset). The formats are native ("I" is 4 bytes, "Q" 8).
HEADER: Final[dict[str, tuple[str, int]]] = {
    "magic": ("8s", 0),
    "version": ("I", 8),
    "header_bytes": ("I", 12),
    "total_bytes": ("Q", 16),
    "created_us": ("Q", 24),
    "rows": ("I", 32),
    "routes": ("I", 36),
    "workers": ("I", 40),
    "counters": ("I", 44),
    "histograms": ("I", 48),
    "buckets": ("I", 52),
    "index_entries": ("I", 56),
    "path_bytes": ("I", 60),
    "routes_at": ("Q", 64),
    "directory_at": ("Q", 72),
    "index_at": ("Q", 80),
    "workers_at": ("Q", 88),
    "worker_bytes": ("Q", 96),
    "counters_at": ("Q", 104),
    "histograms_at": ("Q", 112),
    "seed_0": ("Q", 120),
    "seed_1": ("Q", 128),
    "endpoints": ("I", 136),
    "parts": ("I", 140),
    "sketch_bytes": ("I", 144),
    "endpoint_figures": ("I", 148),
    "endpoints_at": ("Q", 152),
    "parts_at": ("Q", 160),
    "sketches_at": ("Q", 168),
    "endpoint_figures_at": ("Q", 176),
    # On a cache line of its own: every claim writes it, every find reads the lines above.
    "rows_taken": ("I", 192),
    # Written with the lock of the names, when a new one comes.
    "routes_named": ("I", 256),
    "endpoints_named": ("I", 260),
    "clusters_named": ("I", 264),
    # On a cache line of its own: every choice of an endpoint looks at it.
    "endpoints_changed": ("Q", 320),
    "clusters": ("I", 384),
    "cluster_figures": ("I", 388),
    "clusters_at": ("Q", 392),
    "cluster_figures_at": ("Q", 400),
    "changes": ("I", 448),
    "changes_at": ("Q", 456),
    # Written by one process at a time: see `weir.stats.happened`.
    "changes_made": ("Q", 464),
}
HEADER_BYTES: Final = 4096

ROUTE: Final[dict[str, tuple[str, int]]] = {
    "name_length": ("I", 0),
    "name": (f"{ROUTE_NAME_BYTES}s", 8),
}
ROUTE_BYTES: Final = 256

CLUSTER: Final[dict[str, tuple[str, int]]] = {
    "cluster_length": ("I", 0),
    "cluster": (f"{ENDPOINT_NAME_BYTES}s", 8),
}
CLUSTER_BYTES: Final = 256

ENDPOINT: Final[dict[str, tuple[str, int]]] = {
    "cluster_length": ("I", 0),
    "endpoint_length": ("I", 4),
    "cluster": (f"{ENDPOINT_NAME_BYTES}s", 8),
    "endpoint": (f"{ENDPOINT_NAME_BYTES}s", 128),
}
ENDPOINT_BYTES: Final = 512

# What all processes know of an endpoint, in the same entry: see `weir.stats.roster`.
STANDING: Final[dict[str, tuple[str, int]]] = {
    "order": ("I", 256),
    "weight": ("I", 260),
    "health": ("I", 264),
    "health_reason": ("I", 268),
    "ejected_until_us": ("Q", 272),
    "ejections": ("I", 280),
    "ejection_reason": ("I", 284),
    "joined_us": ("Q", 288),
    "changed_us": ("Q", 296),
    "checks": ("Q", 304),
    "checks_failed": ("Q", 312),
    "check_us": ("Q", 320),
    "checked_us": ("Q", 328),
    "origin": ("I", 336),
    "priority": ("I", 340),
    "source_weight": ("I", 344),
    "noted": ("I", 348),
    "seen_us": ("Q", 352),
    "ejections_made": ("Q", 360),
}

# A change of an endpoint's state: see `weir.stats.happened`.
CHANGE: Final[dict[str, tuple[str, int]]] = {
    "number": ("Q", 0),
    "at_us": ("Q", 8),
    "endpoint_number": ("I", 16),
    "old": ("I", 20),
    "new": ("I", 24),
    "why": ("I", 28),
    "ejected_ms": ("Q", 32),
    "cluster": (f"{ENDPOINT_NAME_BYTES}s", 64),
    "endpoint": (f"{ENDPOINT_NAME_BYTES}s", 184),
}
CHANGE_BYTES: Final = 320
CHANGES: Final = 512

DIRECTORY: Final[dict[str, tuple[str, int]]] = {
    "kind": ("I", 0),
    "route": ("I", 4),
    "hash": ("Q", 8),
    "path_length": ("I", 16),
    "path": (f"{PATH_BYTES}s", 56),
}
DIRECTORY_BYTES: Final = 256
KIND_FREE, KIND_OTHER, KIND_SERIES = 0, 1, 2

INDEX_ROW_BITS: Final = 24
INDEX_ENTRY_BYTES: Final = 8

WORKER: Final[dict[str, tuple[str, int]]] = {
    "pid": ("I", 0),
    "spare_row": ("I", 4),
    "started_us": ("Q", 8),
    "heartbeat_us": ("Q", 16),
    "rows_claimed": ("Q", 24),
    "claims_lost": ("Q", 32),
    "exchanges_full": ("Q", 40),
    "exchanges_crowded": ("Q", 48),
    "downstreams": ("Q", 64),
    "exchanges": ("Q", 72),
    "upstreams": ("Q", 80),
    "buffers": ("Q", 88),
    "buffer_bytes": ("Q", 96),
    "accepted": ("Q", 104),
    "log_lines": ("Q", 112),
    "log_dropped": ("Q", 120),
    "timers": ("Q", 128),
    "reasons": (f"{8 * REASON_PLACES}s", 512),
}
WORKER_HEADER_BYTES: Final = 4096
PAGE: Final = 4096


def read(memory: Any, at: int, fields: dict[str, tuple[str, int]], name: str) -> Any:
    """One field of the structure that lies at `at`."""
    form, offset = fields[name]
    return struct.unpack_from(form, memory, at + offset)[0]


def write(memory: Any, at: int, fields: dict[str, tuple[str, int]], **values: int | bytes) -> None:
    """Some fields of the structure that lies at `at`."""
    for name, value in values.items():
        form, offset = fields[name]
        struct.pack_into(form, memory, at + offset, value)
