"""The byte map: what is made is what the document says, and nothing else is taken for a table."""

from __future__ import annotations

import gc
import os
import re
import struct
import time
from pathlib import Path

import pytest

from weir.stats import bytemap, layout, reader
from weir.stats.columns import CLUSTER_FIGURES, COUNTERS, ENDPOINT_FIGURES, FigureInfo
from weir.stats.publish import write_figures
from weir.stats.roster import change, standing

DOCUMENT = Path(__file__).parents[2] / "docs" / "shared-memory.md"
FORMATS = {"u32": "I", "u64": "Q"}


def documented(heading: str) -> dict[str, tuple[str, int]]:
    """The table under a heading of the document, in the form of the layout's own tables."""
    section = DOCUMENT.read_text().split(f"\n## {heading}\n")[1].split("\n## ")[0]
    fields = {}
    for offset, kind, name in re.findall(r"^\| (\d+) \| ([^|]+) \| `(\w+)` \|", section, re.MULTILINE):
        form = FORMATS[kind] if kind in FORMATS else f"{int(kind.removesuffix(' bytes'))}s"
        fields[name] = (form, int(offset))
    return fields


@pytest.mark.parametrize(
    ("heading", "fields"),
    [
        ("Header", layout.HEADER),
        ("Route", layout.ROUTE),
        ("Endpoint", {**layout.ENDPOINT, **bytemap.STANDING}),
        ("Cluster", bytemap.CLUSTER),
        ("Directory", layout.DIRECTORY),
        ("Worker", layout.WORKER),
    ],
)
def test_document_and_layout_agree(heading: str, fields: dict[str, tuple[str, int]]) -> None:
    assert documented(heading) == fields


def test_document_names_the_counters() -> None:
    section = DOCUMENT.read_text().split("\n## Counters\n")[1].split("\n## ")[0]
    rows = re.findall(r"^\| (\d+) \| `(\w+)` \| (\w*) ?\| (.*) \|$", section, re.MULTILINE)
    units = {"1": "", "By": "bytes", "us": "microseconds"}
    assert rows == [
        (str(place), counter.name, units[counter.unit], counter.text) for place, counter in enumerate(COUNTERS)
    ]


@pytest.mark.parametrize(("kind", "figures"), [("Endpoint", ENDPOINT_FIGURES), ("Cluster", CLUSTER_FIGURES)])
def test_document_names_the_figures(kind: str, figures: tuple[FigureInfo, ...]) -> None:
    section = DOCUMENT.read_text().split(f"\n## {kind}'s figures\n")[1].split("\n## ")[0]
    rows = re.findall(r"^\| (\d+) \| `(\w+)` \| (\w+) \| (.*) \|$", section, re.MULTILINE)
    assert rows == [(str(place), figure.name, figure.kind, figure.text) for place, figure in enumerate(figures)]


@pytest.mark.parametrize(
    "fields",
    [
        layout.HEADER,
        layout.ROUTE,
        {**layout.ENDPOINT, **bytemap.STANDING},
        bytemap.CLUSTER,
        layout.DIRECTORY,
        layout.WORKER,
    ],
)
def test_fields_are_aligned_and_apart(fields: dict[str, tuple[str, int]]) -> None:
    end = 0
    for form, offset in sorted(fields.values(), key=lambda field: field[1]):
        assert offset >= end
        size = struct.calcsize(form)
        assert form.endswith("s") or offset % size == 0
        end = offset + size


@pytest.mark.parametrize("rows", [2, 3, 100, 4096, 5000])
@pytest.mark.parametrize("workers", [1, 3])
@pytest.mark.parametrize("endpoints", [0, 40])
def test_areas_follow_one_another(rows: int, workers: int, endpoints: int) -> None:
    where = layout.places(rows, 1, workers, endpoints, 2)
    assert where.index_entries >= 4 * rows
    assert where.index_entries & (where.index_entries - 1) == 0
    assert where.routes_at == bytemap.HEADER_BYTES
    assert where.directory_at >= where.endpoints_at + endpoints * layout.ENDPOINT_BYTES
    assert where.index_at >= where.directory_at + rows * layout.DIRECTORY_BYTES
    assert where.workers_at >= where.index_at + 8 * where.index_entries
    assert where.histograms_at >= where.counters_at + rows * 128 * 8
    assert where.endpoints_at >= where.routes_at + bytemap.ROUTE_BYTES
    assert where.parts_at >= where.histograms_at + rows * 2 * 256 * 4
    assert where.sketches_at >= where.parts_at + 5 * 256 * 4
    assert where.endpoint_figures_at >= where.sketches_at + 4096
    assert where.cluster_figures_at >= where.endpoint_figures_at + endpoints * 32 * 8
    assert where.worker_bytes >= where.cluster_figures_at + 2 * 64 * 8
    assert where.total_bytes == where.workers_at + workers * where.worker_bytes
    assert not any(value % 4096 for name, value in where._asdict().items() if name != "index_entries")


@pytest.mark.parametrize(("rows", "routes", "workers"), [(1, 1, 1), (8, 0, 1), (8, 1, 0), (8, 9, 1), (1 << 24, 1, 1)])
def test_impossible_sizes_are_refused(rows: int, routes: int, workers: int) -> None:
    with pytest.raises(ValueError):
        layout.places(rows, routes, workers)


def test_header_is_read_back() -> None:
    with layout.create(64, ["main", "other"], workers=3) as table:
        header = layout.read_header(table)
        assert (header.rows, header.routes, header.workers) == (64, 2, 3)
        assert header.rows_taken == 2
        assert header.places == layout.places(64, 2, 3)
        assert len(table) == header.places.total_bytes


def test_each_table_has_its_own_seed() -> None:
    with layout.create(8, ["a"], 1) as one, layout.create(8, ["a"], 1) as other:
        assert layout.read_header(one).seeds != layout.read_header(other).seeds


def test_a_long_route_name_is_cut_at_a_character() -> None:
    with layout.create(8, ["é" * 200], 1) as table:
        at = layout.read_header(table).places.routes_at
        length = layout.read(table, at, layout.ROUTE, "name_length")
        assert layout.read(table, at, layout.ROUTE, "name")[:length].decode() == "é" * 124


def test_new_names_take_spare_places_and_known_ones_keep_theirs() -> None:
    with layout.create(8, ["a", "b"], 1, spare_routes=2, endpoints=[("app", ":1")], spare_endpoints=1) as table:
        assert layout.read_header(table).routes == 4
        assert layout.name_routes(table, ["b", "c", "a", "c"]) == [1, 2, 0, 2]
        assert layout.route_names(table) == ["a", "b", "c"]
        with pytest.raises(ValueError, match="places for 4 routes, 3 are taken and 2 are new"):
            layout.name_routes(table, ["d", "e"])
        assert layout.name_routes(table, ["a", "d"]) == [0, 3]
        assert layout.route_names(table) == ["a", "b", "c", "d"]
        assert layout.name_endpoints(table, [("web", ":1"), ("app", ":1")]) == [1, 0]
        assert layout.endpoint_names(table) == [("app", ":1"), ("web", ":1")]
        header = layout.read_header(table)
        assert (header.routes_named, header.endpoints_named) == (4, 2)
        layout.write(table, 0, layout.HEADER, routes_named=5)
        with pytest.raises(layout.LayoutError, match="more names than places"):
            layout.read_header(table)


def test_the_place_of_an_endpoint_that_has_left_is_given_again() -> None:
    with layout.create(8, ["main"], 2, endpoints=[("app", ":1"), ("app", ":2")]) as table:
        write_figures(table, 1, 0, dials=7)
        change(table, 0, weight=3)
        with pytest.raises(ValueError, match="places for 2 endpoints, 2 are taken and 1 are new"):
            layout.name_endpoints(table, [("app", ":3")])
        long_ago = time.monotonic_ns() // 1000 - 601_000_000
        change(table, 0, seen_us=max(long_ago, 1))
        assert layout.name_endpoints(table, [("app", ":3"), ("app", ":2")]) == [0, 1]
        assert layout.endpoint_names(table) == [("app", ":3"), ("app", ":2")]
        assert standing(table, 0).weight == 0
        assert reader.endpoints(table)[0].dials == 0


def test_attach_through_the_descriptor() -> None:
    with layout.create(8, ["main"], 1) as table:
        layout.beat(table, 0, 12345)
        with layout.attach(os.dup(table.fd)) as other:
            at = layout.read_header(other).places.workers_at
            assert layout.read(other, at, layout.WORKER, "heartbeat_us") == 12345
            with pytest.raises(TypeError):
                other[0] = 0
        with pytest.raises(ValueError):
            layout.beat(table, 1, 1)


def test_descriptors_are_given_back() -> None:
    gc.collect()  # what earlier tests left to the collector closes descriptors too
    before = len(os.listdir("/proc/self/fd"))
    with layout.create(8, ["main"], 1):
        assert len(os.listdir("/proc/self/fd")) > before
    layout.create(8, ["main"], 1)
    assert len(os.listdir("/proc/self/fd")) == before


def test_nobody_can_shrink_the_memory() -> None:
    with layout.create(8, ["main"], 1) as table, pytest.raises(PermissionError):
        os.ftruncate(table.fd, 4096)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("magic", b"weirstar", "not a statistics table"),
        ("version", 1, "layout version 1"),
        ("rows", 9999, "is .* and should be"),
        ("workers", 2, "total_bytes is"),
        ("workers", 0, "workers must be"),
        ("buckets", 128, "buckets is 128"),
        ("index_at", 4096, "index_at is 4096"),
    ],
)
def test_what_is_no_table_is_refused(name: str, value: int | bytes, message: str) -> None:
    with layout.create(64, ["main"], 1) as table:
        layout.write(table, 0, layout.HEADER, **{name: value})
        with pytest.raises(layout.LayoutError, match=message):
            layout.read_header(table)
        fd = os.dup(table.fd)
        with pytest.raises(layout.LayoutError):
            layout.attach(fd)
        os.close(fd)


def test_a_short_mapping_is_refused() -> None:
    with layout.create(64, ["main"], 1) as table:
        with pytest.raises(layout.LayoutError, match="are mapped"):
            layout.read_header(bytes(table[:8192]))
        with pytest.raises(layout.LayoutError):
            layout.read_header(b"")
    with open(os.devnull, "rb") as file, pytest.raises(layout.LayoutError, match="too short"):
        layout.attach(file.fileno())
