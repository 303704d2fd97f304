"""The names in the shared table: routes, clusters and endpoints, each with a number that it keeps."""

from __future__ import annotations

import fcntl
import time
from collections.abc import Sequence
from typing import Any, Final

from weir.stats.bytemap import (
    CLUSTER,
    CLUSTER_BYTES,
    ENDPOINT,
    ENDPOINT_BYTES,
    ENDPOINT_NAME_BYTES,
    HEADER,
    ROUTE,
    ROUTE_BYTES,
    ROUTE_NAME_BYTES,
    STANDING,
    read,
    write,
)
from weir.stats.columns import ENDPOINT_PLACES

__all__ = [
    "cluster_names",
    "endpoint_key",
    "endpoint_names",
    "name_clusters",
    "name_endpoints",
    "name_routes",
    "route_names",
]

# The byte of the table's file whose lock (fcntl) is held to give out numbers.
NAMES_LOCK_AT: Final = 1
# An endpoint keeps its place, with its figures, for so long after no worker has it as a member any more.
LEFT_FOR_S: Final = 600.0


def name_routes(table: Any, names: Sequence[str]) -> list[int]:
    """The numbers of routes by name, in the order given; a name that is new gets the next free place.

    Equal names have equal numbers: a route keeps its figures when a new configuration moves it. Any process may do it.
    ValueError, with nothing changed, if there are more new names than places left.
    """
    texts = [(cut(name, ROUTE_NAME_BYTES),) for name in names]
    return name_all(table, "route", ROUTE_BYTES, ROUTE, texts)


def name_endpoints(table: Any, names: Sequence[tuple[str, str]]) -> list[int]:
    """As name_routes(), of pairs of cluster and endpoint."""
    texts = [(cut(cluster, ENDPOINT_NAME_BYTES), cut(name, ENDPOINT_NAME_BYTES)) for cluster, name in names]
    return name_all(table, "endpoint", ENDPOINT_BYTES, ENDPOINT, texts)


def name_clusters(table: Any, names: Sequence[str]) -> list[int]:
    """As name_routes(), of clusters."""
    return name_all(table, "cluster", CLUSTER_BYTES, CLUSTER, [(cut(name, ENDPOINT_NAME_BYTES),) for name in names])


def route_names(memory: Any) -> list[str]:
    """The routes' names, by number."""
    return [name.decode() for (name,) in known_names(memory, "route", ROUTE_BYTES, ROUTE)]


def endpoint_names(memory: Any) -> list[tuple[str, str]]:
    """The endpoints, as cluster and endpoint, by number."""
    known = known_names(memory, "endpoint", ENDPOINT_BYTES, ENDPOINT)
    return [(cluster.decode(), endpoint.decode()) for cluster, endpoint in known]


def cluster_names(memory: Any) -> list[str]:
    """The clusters' names, by number."""
    return [name.decode() for (name,) in known_names(memory, "cluster", CLUSTER_BYTES, CLUSTER)]


def endpoint_key(cluster: str, endpoint: str) -> tuple[str, str]:
    """A cluster and an endpoint as endpoint_names() has them: long names are cut."""
    return cut(cluster, ENDPOINT_NAME_BYTES).decode(), cut(endpoint, ENDPOINT_NAME_BYTES).decode()


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


def known_names(memory: Any, kind: str, size: int, fields: dict[str, tuple[str, int]]) -> list[tuple[bytes, ...]]:
    # No more than there are places, whatever the memory says: nothing is read beyond its area.
    count = min(read(memory, 0, HEADER, f"{kind}s_named"), read(memory, 0, HEADER, f"{kind}s"))
    return read_names(memory, read(memory, 0, HEADER, f"{kind}s_at"), size, fields, count)


def name_all(
    table: Any, kind: str, size: int, fields: dict[str, tuple[str, int]], texts: Sequence[tuple[bytes, ...]]
) -> list[int]:
    # The kernel lets go of it if this process is killed. The bytes that are locked are not those that are written.
    fcntl.lockf(table.fd, fcntl.LOCK_EX, 1, NAMES_LOCK_AT)
    try:
        return name_new(table, kind, size, fields, texts)
    finally:
        fcntl.lockf(table.fd, fcntl.LOCK_UN, 1, NAMES_LOCK_AT)


def left_places(table: Any, at: int, count: int) -> list[int]:
    """Endpoints that no worker has had for long: their places may be given again."""
    oldest_us = time.monotonic_ns() // 1000 - int(LEFT_FOR_S * 1e6)
    return [
        number for number in range(count) if read(table, at + number * ENDPOINT_BYTES, STANDING, "seen_us") < oldest_us
    ]


def clear_endpoint(table: Any, at: int, number: int) -> None:
    """Nothing is left of the endpoint in this place: neither its standing nor its figures."""
    place = at + number * ENDPOINT_BYTES
    table[place : place + ENDPOINT_BYTES] = bytes(ENDPOINT_BYTES)
    block = read(table, 0, HEADER, "workers_at") + read(table, 0, HEADER, "endpoint_figures_at")
    for worker in range(read(table, 0, HEADER, "workers")):
        place = block + worker * read(table, 0, HEADER, "worker_bytes") + number * ENDPOINT_PLACES * 8
        table[place : place + ENDPOINT_PLACES * 8] = bytes(ENDPOINT_PLACES * 8)


def name_new(
    table: Any, kind: str, size: int, fields: dict[str, tuple[str, int]], texts: Sequence[tuple[bytes, ...]]
) -> list[int]:
    counter, at = f"{kind}s_named", read(table, 0, HEADER, f"{kind}s_at")
    count = read(table, 0, HEADER, counter)
    numbers = {name: number for number, name in enumerate(read_names(table, at, size, fields, count))}
    new = [name for name in dict.fromkeys(texts) if name not in numbers]
    room = read(table, 0, HEADER, f"{kind}s")
    free = list(range(count, room))[: len(new)]
    if kind == "endpoint" and len(free) < len(new):
        free = left_places(table, at, count)[: len(new) - len(free)] + free
    if len(free) < len(new):
        raise ValueError(f"the table has places for {room} {kind}s, {count} are taken and {len(new)} are new")
    parts = [name for name in fields if not name.endswith("_length")]
    for number, name in zip(free, new, strict=True):
        if number < count:
            clear_endpoint(table, at, number)
        for part, text in zip(parts, name, strict=True):
            entry: dict[str, int | bytes] = {f"{part}_length": len(text), part: text}
            write(table, at + size * number, fields, **entry)
        if kind == "endpoint":
            write(table, at + size * number, STANDING, seen_us=time.monotonic_ns() // 1000)
        numbers[name] = number
    # The count comes last: who reads it finds the names.
    write(table, 0, HEADER, **{counter: max(count, *(number + 1 for number in free), 0)})
    return [numbers[name] for name in texts]
