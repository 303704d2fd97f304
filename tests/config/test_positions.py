"""Lines and columns of keys, values and tables, for every way TOML has of writing them."""

from __future__ import annotations

from typing import Literal

import pytest

from weir.config.positions import Loc, Positions, line_column

TEXT = '''"é".w = 1
drain = "x"
log.access.q = "ö" # c
[stats]
value = 1
value_raw = { value = [1, { q = 1 }] }
[[cluster]]
name = "ö"
[cluster.pool]
x = ["""
[cluster]
""",
[1]
]
  [[ cluster . "pool" . z ]]
[[cluster]]
[cluster.pool]
[cluster.retry]   # c
i = { "é" = 1, a.b = 1 }
[a.b.c]
'''


@pytest.fixture(scope="module")
def positions() -> Positions:
    return Positions(TEXT)


@pytest.mark.parametrize(
    ("loc", "key", "value"),
    [
        (("é", "w"), (1, 5), (1, 9)),
        (("drain",), (2, 1), (2, 9)),
        (("log", "access", "q"), (3, 12), (3, 16)),
        (("stats", "value"), (5, 1), (5, 9)),
        (("stats", "value_raw"), (6, 1), (6, 13)),
        (("stats", "value_raw", "value", 1, "q"), (6, 29), (6, 33)),
        (("cluster", 0, "name"), (8, 1), (8, 8)),
        (("cluster", 0, "pool", "x"), (10, 1), (10, 5)),
        (("cluster", 0, "pool", "x", 1, 0), (13, 2), (13, 2)),
        (("cluster", 1, "retry", "i", "a", "b"), (19, 18), (19, 22)),
    ],
)
def test_keys_and_values(positions: Positions, loc: Loc, key: tuple[int, int], value: tuple[int, int]) -> None:
    assert positions.find(loc, "key") == key
    assert positions.find(loc, "value") == value


@pytest.mark.parametrize("at", ["key", "value"])
@pytest.mark.parametrize(
    ("loc", "place"),
    [
        (("log",), (3, 1)),
        (("log", "access"), (3, 5)),
        (("stats",), (4, 1)),
        (("cluster",), (7, 1)),
        (("cluster", 0), (7, 1)),
        (("cluster", 0, "pool"), (9, 1)),
        (("cluster", 0, "pool", "z"), (15, 3)),
        (("cluster", 0, "pool", "z", 0), (15, 3)),
        (("cluster", 1), (16, 1)),
        (("cluster", 1, "pool"), (17, 1)),
        (("cluster", 1, "retry"), (18, 1)),
        (("cluster", 1, "retry", "i", "a"), (19, 16)),
        (("a",), (20, 1)),
        (("a", "b"), (20, 1)),
        (("a", "b", "c"), (20, 1)),
    ],
)
def test_tables(positions: Positions, loc: Loc, place: tuple[int, int], at: Literal["key", "value"]) -> None:
    assert positions.find(loc, at) == place


@pytest.mark.parametrize(
    ("loc", "place"),
    [
        (("cluster", 1, "missing"), (16, 1)),
        (("cluster", 0, "pool", "missing", "more"), (9, 1)),
        (("drain", "deeper"), (2, 1)),
        (("cluster", 7), (7, 1)),
        (("no",), (1, 1)),
        ((), (1, 1)),
    ],
)
def test_what_is_not_there_is_where_it_belongs(positions: Positions, loc: Loc, place: tuple[int, int]) -> None:
    assert positions.find(loc, "key") == place


def test_lines_that_end_in_carriage_return() -> None:
    positions = Positions('[log]\r\naccess = "ö"\r\n[stats]\r\n[[listener]]\r\n')
    assert positions.find(("log", "access"), "value") == (2, 10)
    assert positions.find(("stats",), "key") == (3, 1)
    assert positions.find(("listener", 0), "key") == (4, 1)


@pytest.mark.parametrize(("offset", "place"), [(0, (1, 1)), (2, (1, 3)), (3, (2, 1)), (5, (3, 1)), (6, (3, 2))])
def test_line_and_column_of_an_offset(offset: int, place: tuple[int, int]) -> None:
    assert line_column("éb\nc\nd", offset) == place
