"""The byte map of the shared statistics table (docs/shared-memory.md says it in words).

Every number lies in the machine's own byte order at a multiple of its size, so that it is read and written in one
piece. The places of the areas follow from the numbers of rows, routes, endpoints and workers; they are also in the
header, so that another program needs the header only.

    header | routes' names | endpoints' names | directory | index | worker 0 | worker 1 | ...

    worker: header | counters | histograms | routes' histograms | routes' sketches | endpoints' gauges
"""

from __future__ import annotations

import fcntl
import mmap
import os
import struct
import time
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

from weir.stats.columns import BUCKETS, COUNTER_PLACES, HISTOGRAMS, PARTS, REASON_PLACES, SKETCH_BYTES

__all__ = [
    "DIRECTORY",
    "ENDPOINT",
    "GAUGES",
    "GAUGE_NAMES",
    "HEADER",
    "MAGIC",
    "MAX_ENDPOINTS",
    "MAX_ROWS",
    "MAX_WORKERS",
    "MOMENTARY",
    "MOMENTARY_GAUGES",
    "PATH_BYTES",
    "REASON_PLACES",
    "ROUTE",
    "VERSION",
    "WORKER",
    "Header",
    "LayoutError",
    "Places",
    "Table",
    "attach",
    "beat",
    "create",
    "endpoint_key",
    "endpoint_names",
    "name_endpoints",
    "name_routes",
    "places",
    "read_header",
    "route_names",
]

MAGIC: Final = b"weirstat"
VERSION: Final = 2
# An index entry keeps row + 1 in 24 bits.
MAX_ROWS: Final = (1 << 24) - 2
MAX_WORKERS: Final = 1024
MAX_ENDPOINTS: Final = 1 << 20
# Bytes of a path (of a route's name) that the directory keeps; a longer path is known by its hash and its length.
PATH_BYTES: Final = 200
ROUTE_NAME_BYTES: Final = 248
ENDPOINT_NAME_BYTES: Final = 120
# u64 numbers of an endpoint that each worker publishes, spare ones included, and the names of those in use.
GAUGES: Final = 16
GAUGE_NAMES: Final = (
    *("open", "idle", "surplus", "connecting", "waiting"),
    *("dials", "dial_failures", "reuses", "spoiled", "queued"),
)

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
    "gauges": ("I", 148),
    "endpoints_at": ("Q", 152),
    "parts_at": ("Q", 160),
    "sketches_at": ("Q", 168),
    "gauges_at": ("Q", 176),
    # On a cache line of its own: every claim writes it, every find reads the lines above.
    "rows_taken": ("I", 192),
    # Written by the supervisor alone, when a configuration brings new names.
    "routes_named": ("I", 256),
    "endpoints_named": ("I", 260),
}
HEADER_BYTES: Final = 4096

ROUTE: Final[dict[str, tuple[str, int]]] = {
    "name_length": ("I", 0),
    "name": (f"{ROUTE_NAME_BYTES}s", 8),
}
ROUTE_BYTES: Final = 256

ENDPOINT: Final[dict[str, tuple[str, int]]] = {
    "cluster_length": ("I", 0),
    "endpoint_length": ("I", 4),
    "cluster": (f"{ENDPOINT_NAME_BYTES}s", 8),
    "endpoint": (f"{ENDPOINT_NAME_BYTES}s", 128),
}
ENDPOINT_BYTES: Final = 256

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
    "reasons": (f"{8 * REASON_PLACES}s", 512),
}
WORKER_HEADER_BYTES: Final = 4096
# Of a worker, and of its endpoints: what is so at the moment, and is nothing when the worker is gone.
MOMENTARY: Final = ("downstreams", "exchanges", "upstreams", "buffers", "buffer_bytes")
MOMENTARY_GAUGES: Final = ("open", "idle", "surplus", "connecting", "waiting", "queued")
PAGE: Final = 4096


class LayoutError(ValueError):
    """The memory is no statistics table, or one of another version, or its sizes contradict one another."""


class Places(NamedTuple):
    """Sizes and offsets in bytes. Those from `counters_at` to `gauges_at` count from the start of a worker's block."""

    index_entries: int
    routes_at: int
    endpoints_at: int
    directory_at: int
    index_at: int
    workers_at: int
    worker_bytes: int
    counters_at: int
    histograms_at: int
    parts_at: int
    sketches_at: int
    gauges_at: int
    total_bytes: int


class Header(NamedTuple):
    """What the header says: see docs/shared-memory.md. `created_us` is microseconds since 1970.

    `routes` and `endpoints` are places; how many of them have a name is `routes_named`, `endpoints_named`.
    """

    rows: int
    routes: int
    endpoints: int
    workers: int
    created_us: int
    seeds: tuple[int, int]
    rows_taken: int
    routes_named: int
    endpoints_named: int
    places: Places


class Table(mmap.mmap):
    """The mapping, with the descriptor of its memory as `fd`. Forked children inherit both.

    close() closes both; so does the last reference when it goes.
    """

    fd: int = -1

    def __new__(cls, fd: int, size: int, *, writable: bool = True) -> Table:
        protection = mmap.PROT_READ | (mmap.PROT_WRITE if writable else 0)
        table = super().__new__(cls, fd, size, flags=mmap.MAP_SHARED, prot=protection)
        table.fd = fd
        return table

    def close(self) -> None:
        """BufferError while somebody (Counters, a memoryview) still uses the mapping."""
        super().close()
        self._close_fd()

    def __del__(self) -> None:
        self._close_fd()

    def _close_fd(self) -> None:
        # -1: the mapping failed, or close() was here before.
        fd, self.fd = self.fd, -1
        if fd >= 0:
            os.close(fd)


def places(rows: int, routes: int, workers: int, endpoints: int = 0) -> Places:
    """Where everything lies. ValueError for numbers out of range, or when no row is left for a path."""
    if not 0 < routes < rows <= MAX_ROWS:
        raise ValueError(f"rows must be more than the {routes} routes and at most {MAX_ROWS}: {rows}")
    if not 0 < workers <= MAX_WORKERS:
        raise ValueError(f"workers must be 1 to {MAX_WORKERS}: {workers}")
    if not 0 <= endpoints <= MAX_ENDPOINTS:
        raise ValueError(f"endpoints must be at most {MAX_ENDPOINTS}: {endpoints}")
    # At most a quarter full, so that a search ends after one or two looks.
    index_entries = 1 << (4 * rows - 1).bit_length()
    shared, workers_at = lay_out(
        HEADER_BYTES,
        routes * ROUTE_BYTES,
        endpoints * ENDPOINT_BYTES,
        rows * DIRECTORY_BYTES,
        index_entries * INDEX_ENTRY_BYTES,
    )
    own, worker_bytes = lay_out(
        WORKER_HEADER_BYTES,
        rows * COUNTER_PLACES * 8,
        rows * HISTOGRAMS * BUCKETS * 4,
        routes * PARTS * BUCKETS * 4,
        routes * SKETCH_BYTES,
        endpoints * GAUGES * 8,
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
    spare_routes: int = 0,
    spare_endpoints: int = 0,
) -> Table:
    """A new, empty table in memory that processes share: by fork, or by the descriptor `fd` (see attach()).

    Row r below the number of routes' places is the `(other)` row of route r; the rest are claimed as paths appear.
    `endpoints` are pairs of cluster and endpoint. The spare places are for names that name_routes() and
    name_endpoints() bring later. A route's name longer than 248 bytes of UTF-8 (a cluster's or an endpoint's longer
    than 120) is cut. The memory's size is sealed: nobody who holds the descriptor can shrink it under the others.
    OSError if there is no memory; ValueError as in places().
    """
    routes, named = len(route_names) + spare_routes, len(endpoints) + spare_endpoints
    where = places(rows, routes, workers, named)
    fd = os.memfd_create("weir-statistics", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    try:
        os.ftruncate(fd, where.total_bytes)
        fcntl.fcntl(fd, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL)
        table = Table(fd, where.total_bytes)
    except BaseException:
        os.close(fd)
        raise
    for number in range(routes):
        write(table, where.directory_at + number * DIRECTORY_BYTES, DIRECTORY, kind=KIND_OTHER, route=number)
    write_header(table, rows, routes, workers, named, where)
    name_routes(table, route_names)
    name_endpoints(table, endpoints)
    return table


def name_routes(table: Table, names: Sequence[str]) -> list[int]:
    """The numbers of routes by name, in the order given; a name that is new gets the next free place.

    Equal names have equal numbers: a route keeps its figures when a new configuration moves it. For the one process
    that owns the table. ValueError, with nothing changed, if there are more new names than places left.
    """
    where = read_header(table).places
    texts = [(cut(name, ROUTE_NAME_BYTES),) for name in names]
    return name_all(table, "route", where.routes_at, ROUTE_BYTES, ROUTE, texts)


def name_endpoints(table: Table, names: Sequence[tuple[str, str]]) -> list[int]:
    """As name_routes(), of pairs of cluster and endpoint."""
    where = read_header(table).places
    texts = [(cut(cluster, ENDPOINT_NAME_BYTES), cut(name, ENDPOINT_NAME_BYTES)) for cluster, name in names]
    return name_all(table, "endpoint", where.endpoints_at, ENDPOINT_BYTES, ENDPOINT, texts)


def route_names(memory: Any) -> list[str]:
    """The routes' names, by number."""
    header = read_header(memory)
    known = read_names(memory, header.places.routes_at, ROUTE_BYTES, ROUTE, header.routes_named)
    return [name.decode() for (name,) in known]


def endpoint_names(memory: Any) -> list[tuple[str, str]]:
    """The endpoints, as cluster and endpoint, by number."""
    header = read_header(memory)
    known = read_names(memory, header.places.endpoints_at, ENDPOINT_BYTES, ENDPOINT, header.endpoints_named)
    return [(names[0].decode(), names[1].decode()) for names in known]


def endpoint_key(cluster: str, endpoint: str) -> tuple[str, str]:
    """A cluster and an endpoint as endpoint_names() has them: long names are cut."""
    return cut(cluster, ENDPOINT_NAME_BYTES).decode(), cut(endpoint, ENDPOINT_NAME_BYTES).decode()


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
        where = places(fields["rows"], fields["routes"], fields["workers"], fields["endpoints"])
    except ValueError as error:
        raise LayoutError(str(error)) from None
    if fields["routes_named"] > fields["routes"] or fields["endpoints_named"] > fields["endpoints"]:
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
        fields["workers"],
        fields["created_us"],
        (fields["seed_0"], fields["seed_1"]),
        fields["rows_taken"],
        fields["routes_named"],
        fields["endpoints_named"],
        where,
    )


def beat(memory: Any, worker: int, monotonic_us: int) -> None:
    """A worker says that it is alive: CLOCK_MONOTONIC in microseconds. LayoutError as in read_header()."""
    header = read_header(memory)
    if not 0 <= worker < header.workers:
        raise ValueError(f"worker {worker} of {header.workers}")
    at = header.places.workers_at + worker * header.places.worker_bytes
    write(memory, at, WORKER, heartbeat_us=monotonic_us)


def read(memory: Any, at: int, fields: dict[str, tuple[str, int]], name: str) -> Any:
    """One field of the structure that lies at `at`."""
    form, offset = fields[name]
    return struct.unpack_from(form, memory, at + offset)[0]


def write(memory: Any, at: int, fields: dict[str, tuple[str, int]], **values: int | bytes) -> None:
    """Some fields of the structure that lies at `at`."""
    for name, value in values.items():
        form, offset = fields[name]
        struct.pack_into(form, memory, at + offset, value)


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
        "gauges": GAUGES,
    }


def cut(name: str, most: int) -> bytes:
    """UTF-8 of at most so many bytes, cut at a character."""
    return name.encode()[:most].decode(errors="ignore").encode()


def read_names(
    memory: Any, at: int, size: int, fields: dict[str, tuple[str, int]], count: int
) -> list[tuple[bytes, ...]]:
    """`count` entries of names; each field "x" has its length in "x_length"."""
    parts = [name for name in fields if not name.endswith("_length")]
    return [
        tuple(
            read(memory, at + size * number, fields, part)[: read(memory, at + size * number, fields, f"{part}_length")]
            for part in parts
        )
        for number in range(count)
    ]


def name_all(
    table: Table, kind: str, at: int, size: int, fields: dict[str, tuple[str, int]], texts: Sequence[tuple[bytes, ...]]
) -> list[int]:
    counter = f"{kind}s_named"
    count = read(table, 0, HEADER, counter)
    numbers = {name: number for number, name in enumerate(read_names(table, at, size, fields, count))}
    new = [name for name in dict.fromkeys(texts) if name not in numbers]
    room = read(table, 0, HEADER, f"{kind}s")
    if count + len(new) > room:
        raise ValueError(f"the table has places for {room} {kind}s, {count} are taken and {len(new)} are new")
    parts = [name for name in fields if not name.endswith("_length")]
    for number, name in enumerate(new, count):
        for part, text in zip(parts, name, strict=True):
            entry: dict[str, int | bytes] = {f"{part}_length": len(text), part: text}
            write(table, at + size * number, fields, **entry)
        numbers[name] = number
    # The count comes last: who reads it finds the names.
    write(table, 0, HEADER, **{counter: count + len(new)})
    return [numbers[name] for name in texts]


def write_header(table: Table, rows: int, routes: int, workers: int, endpoints: int, where: Places) -> None:
    seed_0, seed_1 = struct.unpack("QQ", os.urandom(16))
    write(table, 0, HEADER, **where._asdict(), **constants())
    write(table, 0, HEADER, rows=rows, routes=routes, workers=workers, endpoints=endpoints, rows_taken=routes)
    write(table, 0, HEADER, created_us=time.time_ns() // 1000, seed_0=seed_0, seed_1=seed_1)
    # The magic comes last: memory that has it has all the rest.
    write(table, 0, HEADER, magic=MAGIC, version=VERSION)
