"""The byte map of the shared statistics table (docs/shared-memory.md says it in words).

Every number lies in the machine's own byte order at a multiple of its size, so that it is read and written in one
piece. The places of the four areas follow from the number of rows, routes and workers; they are also in the header, so
that another program needs the header only.

    header | routes' names | directory | index | worker 0: header, counters, histograms | worker 1 | ...
"""

from __future__ import annotations

import fcntl
import mmap
import os
import struct
import time
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

from weir.stats.columns import BUCKETS, COUNTER_PLACES, HISTOGRAMS

__all__ = [
    "DIRECTORY",
    "HEADER",
    "MAGIC",
    "MAX_ROWS",
    "MAX_WORKERS",
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
    "places",
    "read_header",
]

MAGIC: Final = b"weirstat"
VERSION: Final = 1
# An index entry keeps row + 1 in 24 bits.
MAX_ROWS: Final = (1 << 24) - 2
MAX_WORKERS: Final = 1024
# Bytes of a path (of a route's name) that the directory keeps; a longer path is known by its hash and its length.
PATH_BYTES: Final = 200
ROUTE_NAME_BYTES: Final = 248
# u64 counters, by the number of the reason; more than there are reasons.
REASON_PLACES: Final = 64

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
    # On a cache line of its own: every claim writes it, every find reads the lines above.
    "rows_taken": ("I", 192),
}
HEADER_BYTES: Final = 4096

ROUTE: Final[dict[str, tuple[str, int]]] = {
    "name_length": ("I", 0),
    "name": (f"{ROUTE_NAME_BYTES}s", 8),
}
ROUTE_BYTES: Final = 256

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
    "reasons": (f"{8 * REASON_PLACES}s", 512),
}
WORKER_HEADER_BYTES: Final = 4096
PAGE: Final = 4096


class LayoutError(ValueError):
    """The memory is no statistics table, or one of another version, or its sizes contradict one another."""


class Places(NamedTuple):
    """Sizes and offsets in bytes. `counters_at` and `histograms_at` count from the start of a worker's block."""

    index_entries: int
    routes_at: int
    directory_at: int
    index_at: int
    workers_at: int
    worker_bytes: int
    counters_at: int
    histograms_at: int
    total_bytes: int


class Header(NamedTuple):
    """What the header says: see docs/shared-memory.md. `created_us` is microseconds since 1970."""

    rows: int
    routes: int
    workers: int
    created_us: int
    seeds: tuple[int, int]
    rows_taken: int
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


def places(rows: int, routes: int, workers: int) -> Places:
    """Where everything lies. ValueError for numbers out of range, or when no row is left for a path."""
    if not 0 < routes < rows <= MAX_ROWS:
        raise ValueError(f"rows must be more than the {routes} routes and at most {MAX_ROWS}: {rows}")
    if not 0 < workers <= MAX_WORKERS:
        raise ValueError(f"workers must be 1 to {MAX_WORKERS}: {workers}")
    # At most a quarter full, so that a search ends after one or two looks.
    index_entries = 1 << (4 * rows - 1).bit_length()
    routes_at = HEADER_BYTES
    directory_at = routes_at + whole_pages(routes * ROUTE_BYTES)
    index_at = directory_at + whole_pages(rows * DIRECTORY_BYTES)
    workers_at = index_at + whole_pages(index_entries * INDEX_ENTRY_BYTES)
    counters_at = WORKER_HEADER_BYTES
    histograms_at = counters_at + whole_pages(rows * COUNTER_PLACES * 8)
    worker_bytes = histograms_at + whole_pages(rows * HISTOGRAMS * BUCKETS * 4)
    total_bytes = workers_at + workers * worker_bytes
    return Places(
        index_entries,
        routes_at,
        directory_at,
        index_at,
        workers_at,
        worker_bytes,
        counters_at,
        histograms_at,
        total_bytes,
    )


def create(rows: int, route_names: Sequence[str], workers: int) -> Table:
    """A new, empty table in memory that processes share: by fork, or by the descriptor `fd` (see attach()).

    Row r below the number of routes is the `(other)` row of route r; the rest are claimed as paths appear. A route's
    name longer than 248 bytes of UTF-8 is cut. The memory's size is sealed: nobody who holds the descriptor can
    shrink it under the others. OSError if there is no memory; ValueError as in places().
    """
    where = places(rows, len(route_names), workers)
    fd = os.memfd_create("weir-statistics", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    try:
        os.ftruncate(fd, where.total_bytes)
        fcntl.fcntl(fd, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL)
        table = Table(fd, where.total_bytes)
    except BaseException:
        os.close(fd)
        raise
    for number, name in enumerate(route_names):
        text = name.encode()[:ROUTE_NAME_BYTES].decode(errors="ignore").encode()
        write(table, where.routes_at + number * ROUTE_BYTES, ROUTE, name_length=len(text), name=text)
        write(table, where.directory_at + number * DIRECTORY_BYTES, DIRECTORY, kind=KIND_OTHER, route=number)
    write_header(table, rows, len(route_names), workers, where)
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
        where = places(fields["rows"], fields["routes"], fields["workers"])
    except ValueError as error:
        raise LayoutError(str(error)) from None
    expected: dict[str, int] = {**where._asdict(), **constants()}
    for name, value in expected.items():
        if fields[name] != value:
            raise LayoutError(f"{name} is {fields[name]} and should be {value}")
    if len(memory) < where.total_bytes:
        raise LayoutError(f"{len(memory)} bytes are mapped of {where.total_bytes}")
    return Header(
        fields["rows"],
        fields["routes"],
        fields["workers"],
        fields["created_us"],
        (fields["seed_0"], fields["seed_1"]),
        fields["rows_taken"],
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
    }


def write_header(table: Table, rows: int, routes: int, workers: int, where: Places) -> None:
    seed_0, seed_1 = struct.unpack("QQ", os.urandom(16))
    write(table, 0, HEADER, **where._asdict(), **constants())
    write(table, 0, HEADER, rows=rows, routes=routes, workers=workers, rows_taken=routes)
    write(table, 0, HEADER, created_us=time.time_ns() // 1000, seed_0=seed_0, seed_1=seed_1)
    # The magic comes last: memory that has it has all the rest.
    write(table, 0, HEADER, magic=MAGIC, version=VERSION)
