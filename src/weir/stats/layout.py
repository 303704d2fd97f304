"""The byte map of the shared statistics table (docs/shared-memory.md says it in words).

The structures are those of `weir.stats.bytemap`. The places of the areas follow from the numbers of rows, routes,
endpoints, clusters and workers; they are also in the header, so that another program needs the header only.

    header | routes' names | endpoints | clusters | changes | directory | index | worker 0 | worker 1 | ...

    worker: header | counters | histograms | routes' histograms | routes' sketches
            | endpoints' figures | clusters' figures
"""

from __future__ import annotations

import fcntl
import mmap
import os
import struct
import time
from collections.abc import Sequence
from typing import Any, NamedTuple

from weir.stats.bytemap import (
    CHANGE_BYTES,
    CHANGES,
    CLUSTER_BYTES,
    DIRECTORY,
    DIRECTORY_BYTES,
    ENDPOINT,
    ENDPOINT_BYTES,
    HEADER,
    HEADER_BYTES,
    INDEX_ENTRY_BYTES,
    INDEX_ROW_BITS,
    KIND_FREE,
    KIND_OTHER,
    KIND_SERIES,
    MAGIC,
    MAX_CLUSTERS,
    MAX_ENDPOINTS,
    MAX_ROWS,
    MAX_WORKERS,
    PAGE,
    PATH_BYTES,
    ROUTE,
    ROUTE_BYTES,
    ROUTE_NAME_BYTES,
    VERSION,
    WORKER,
    WORKER_HEADER_BYTES,
    read,
    write,
)
from weir.stats.columns import (
    BUCKETS,
    CLUSTER_PLACES,
    COUNTER_PLACES,
    ENDPOINT_PLACES,
    HISTOGRAMS,
    PARTS,
    REASON_PLACES,
    SKETCH_BYTES,
)
from weir.stats.entries import (
    cluster_names,
    endpoint_key,
    endpoint_names,
    name_clusters,
    name_endpoints,
    name_routes,
    route_names,
)

__all__ = [
    "CLUSTER_BYTES",
    "DIRECTORY",
    "DIRECTORY_BYTES",
    "ENDPOINT",
    "ENDPOINT_BYTES",
    "HEADER",
    "INDEX_ROW_BITS",
    "KIND_FREE",
    "KIND_OTHER",
    "KIND_SERIES",
    "MAGIC",
    "MAX_ENDPOINTS",
    "MAX_ROWS",
    "MAX_WORKERS",
    "PATH_BYTES",
    "REASON_PLACES",
    "ROUTE",
    "ROUTE_NAME_BYTES",
    "VERSION",
    "WORKER",
    "Header",
    "LayoutError",
    "Places",
    "Table",
    "attach",
    "beat",
    "cluster_names",
    "create",
    "endpoint_key",
    "endpoint_names",
    "name_clusters",
    "name_endpoints",
    "name_routes",
    "places",
    "read",
    "read_header",
    "route_names",
    "write",
]


class LayoutError(ValueError):
    """The memory is no statistics table, or one of another version, or its sizes contradict one another."""


class Places(NamedTuple):
    """Sizes and offsets in bytes. Those after `worker_bytes` count from the start of a worker's block."""

    index_entries: int
    routes_at: int
    endpoints_at: int
    clusters_at: int
    changes_at: int
    directory_at: int
    index_at: int
    workers_at: int
    worker_bytes: int
    counters_at: int
    histograms_at: int
    parts_at: int
    sketches_at: int
    endpoint_figures_at: int
    cluster_figures_at: int
    total_bytes: int


class Header(NamedTuple):
    """What the header says: see docs/shared-memory.md. `created_us` is microseconds since 1970.

    `routes`, `endpoints` and `clusters` are places; how many of them have a name is `routes_named` and so on.
    """

    rows: int
    routes: int
    endpoints: int
    clusters: int
    workers: int
    created_us: int
    seeds: tuple[int, int]
    rows_taken: int
    routes_named: int
    endpoints_named: int
    clusters_named: int
    places: Places


class Table(mmap.mmap):
    """The mapping, with the descriptor of its memory as `fd`. Forked children inherit both.

    close() closes both; so does the last reference when it goes. If it is `private`, the descriptor is good for locks
    only, and nobody can attach: but the mapping, which has no copy of the descriptor then, may outlive it.
    """

    fd: int = -1

    def __new__(cls, fd: int, size: int, *, writable: bool = True, private: bool = False) -> Table:
        protection = mmap.PROT_READ | (mmap.PROT_WRITE if writable else 0)
        table = super().__new__(cls, -1 if private else fd, size, flags=mmap.MAP_SHARED, prot=protection)
        table.fd = fd
        return table

    def close(self) -> None:
        """BufferError while somebody (Counters, a memoryview) still uses the mapping."""
        super().close()
        self.close_fd()

    def __del__(self) -> None:
        self.close_fd()

    def close_fd(self) -> None:
        """Closes the descriptor alone: the mapping stays for whoever reads it."""
        # -1: the mapping failed, or close() was here before.
        fd, self.fd = self.fd, -1
        if fd >= 0:
            os.close(fd)


def places(rows: int, routes: int, workers: int, endpoints: int = 0, clusters: int = 0) -> Places:
    """Where everything lies. ValueError for numbers out of range, or when no row is left for a path."""
    if not 0 < routes < rows <= MAX_ROWS:
        raise ValueError(f"rows must be more than the {routes} routes and at most {MAX_ROWS}: {rows}")
    if not 0 < workers <= MAX_WORKERS:
        raise ValueError(f"workers must be 1 to {MAX_WORKERS}: {workers}")
    if not 0 <= endpoints <= MAX_ENDPOINTS:
        raise ValueError(f"endpoints must be at most {MAX_ENDPOINTS}: {endpoints}")
    if not 0 <= clusters <= MAX_CLUSTERS:
        raise ValueError(f"clusters must be at most {MAX_CLUSTERS}: {clusters}")
    # At most a quarter full, so that a search ends after one or two looks.
    index_entries = 1 << (4 * rows - 1).bit_length()
    shared, workers_at = lay_out(
        HEADER_BYTES,
        routes * ROUTE_BYTES,
        endpoints * ENDPOINT_BYTES,
        clusters * CLUSTER_BYTES,
        CHANGES * CHANGE_BYTES,
        rows * DIRECTORY_BYTES,
        index_entries * INDEX_ENTRY_BYTES,
    )
    own, worker_bytes = lay_out(
        WORKER_HEADER_BYTES,
        rows * COUNTER_PLACES * 8,
        rows * HISTOGRAMS * BUCKETS * 4,
        routes * PARTS * BUCKETS * 4,
        routes * SKETCH_BYTES,
        endpoints * ENDPOINT_PLACES * 8,
        clusters * CLUSTER_PLACES * 8,
    )
    total = workers_at + workers * worker_bytes
    return Places._make((index_entries, *shared, workers_at, worker_bytes, *own, total))


def lay_out(start: int, *sizes: int) -> tuple[list[int], int]:
    """Where areas of such sizes begin, one after the other in whole pages, and where the last one ends."""
    begins = []
    for size in sizes:
        begins.append(start)
        start += whole_pages(size)
    return begins, start


def create(
    rows: int,
    route_names: Sequence[str],
    workers: int,
    *,
    endpoints: Sequence[tuple[str, str]] = (),
    clusters: Sequence[str] = (),
    spare_routes: int = 0,
    spare_endpoints: int = 0,
    spare_clusters: int = 0,
    private: bool = False,
) -> Table:
    """A new, empty table in memory that processes share: by fork, or by the descriptor `fd` (see attach()).

    Row r below the number of routes' places is the `(other)` row of route r; the rest are claimed as paths appear.
    `endpoints` are pairs of cluster and endpoint. The spare places are for names that name_routes(), name_endpoints()
    and name_clusters() bring later. A route's name longer than 248 bytes of UTF-8 (a cluster's or an endpoint's longer
    than 120) is cut. The memory's size is sealed: nobody who holds the descriptor can shrink it under the others.
    `private` is as of a Table. OSError if there is no memory; ValueError as in places().
    """
    routes, named = len(route_names) + spare_routes, len(endpoints) + spare_endpoints
    groups = len(clusters) + spare_clusters
    where = places(rows, routes, workers, named, groups)
    fd = os.memfd_create("weir-statistics", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    try:
        os.ftruncate(fd, where.total_bytes)
        fcntl.fcntl(fd, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL)
        table = Table(fd, where.total_bytes, private=private)
    except BaseException:
        os.close(fd)
        raise
    for number in range(routes):
        write(table, where.directory_at + number * DIRECTORY_BYTES, DIRECTORY, kind=KIND_OTHER, route=number)
    write_header(table, where, rows=rows, routes=routes, workers=workers, endpoints=named, clusters=groups)
    name_routes(table, route_names)
    name_endpoints(table, endpoints)
    name_clusters(table, clusters)
    return table


def attach(fd: int, *, writable: bool = False) -> Table:
    """Maps the table behind a descriptor, which now belongs to the Table. LayoutError if it is none."""
    size = os.fstat(fd).st_size
    if size < HEADER_BYTES:
        raise LayoutError("too short for a statistics table")
    table = Table(fd, size, writable=writable)
    try:
        read_header(table)
    except LayoutError:
        table.fd = -1  # stays the caller's
        table.close()
        raise
    return table


def read_header(memory: Any) -> Header:
    """Reads and checks the header of a mapped table. LayoutError says what does not fit."""
    if len(memory) < HEADER_BYTES or read(memory, 0, HEADER, "magic") != MAGIC:
        raise LayoutError("not a statistics table")
    fields = {name: read(memory, 0, HEADER, name) for name in HEADER}
    if fields["version"] != VERSION:
        raise LayoutError(f"layout version {fields['version']}; this program reads {VERSION}")
    try:
        where = places(fields["rows"], fields["routes"], fields["workers"], fields["endpoints"], fields["clusters"])
    except ValueError as error:
        raise LayoutError(str(error)) from None
    if any(fields[f"{kind}_named"] > fields[kind] for kind in ("routes", "endpoints", "clusters")):
        raise LayoutError("more names than places for them")
    expected: dict[str, int] = {**where._asdict(), **constants()}
    for name, value in expected.items():
        if fields[name] != value:
            raise LayoutError(f"{name} is {fields[name]} and should be {value}")
    if len(memory) < where.total_bytes:
        raise LayoutError(f"{len(memory)} bytes are mapped of {where.total_bytes}")
    return Header(
        fields["rows"],
        fields["routes"],
        fields["endpoints"],
        fields["clusters"],
        fields["workers"],
        fields["created_us"],
        (fields["seed_0"], fields["seed_1"]),
        fields["rows_taken"],
        fields["routes_named"],
        fields["endpoints_named"],
        fields["clusters_named"],
        where,
    )


def beat(memory: Any, worker: int, monotonic_us: int) -> None:
    """A worker says that it is alive: CLOCK_MONOTONIC in microseconds. LayoutError as in read_header()."""
    header = read_header(memory)
    if not 0 <= worker < header.workers:
        raise ValueError(f"worker {worker} of {header.workers}")
    at = header.places.workers_at + worker * header.places.worker_bytes
    write(memory, at, WORKER, heartbeat_us=monotonic_us)


def whole_pages(size: int) -> int:
    return (size + PAGE - 1) // PAGE * PAGE


def constants() -> dict[str, int]:
    """The header's fields that are the same in every table of this version."""
    return {
        "header_bytes": HEADER_BYTES,
        "counters": COUNTER_PLACES,
        "histograms": HISTOGRAMS,
        "buckets": BUCKETS,
        "path_bytes": PATH_BYTES,
        "parts": PARTS,
        "sketch_bytes": SKETCH_BYTES,
        "endpoint_figures": ENDPOINT_PLACES,
        "cluster_figures": CLUSTER_PLACES,
        "changes": CHANGES,
    }


def write_header(table: Table, where: Places, **sizes: int) -> None:
    seed_0, seed_1 = struct.unpack("QQ", os.urandom(16))
    write(table, 0, HEADER, **where._asdict(), **constants(), **sizes, rows_taken=sizes["routes"])
    write(table, 0, HEADER, created_us=time.time_ns() // 1000, seed_0=seed_0, seed_1=seed_1)
    # The magic comes last: memory that has it has all the rest.
    write(table, 0, HEADER, magic=MAGIC, version=VERSION)
