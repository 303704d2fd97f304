"""Questions to a frame: filters, orders and rows."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from weir.plane.counters import Counters
from weir.reasons import Reason
from weir.stats import layout
from weir.stats.columns import COUNTERS, REASONS_AT
from weir.stats.frame import take
from weir.stats.names import Name, TableNames
from weir.stats.view import Filter, Sort, View, query

PLACES = {counter.name: place for place, counter in enumerate(COUNTERS)}

EVERYTHING = Filter()

# path: (times in us, response bytes each, errors)
TRAFFIC = {
    b"/a": ([1000] * 8, 10, 0),
    b"/a/b": ([500] * 4 + [90_000], 1000, 1),
    b"/B/x": ([2000, 3000], 0, 2),
    b"/c\x1b[2J\xff": ([7], 5, 0),
}


def count(counters: Counters, route: int, path: bytes, times: list[int], size: int, errors: int) -> None:
    row = counters.find_row(route, path)
    counters.add(row, PLACES["requests"], len(times))
    counters.add(row, PLACES["total_us"], sum(times))
    counters.add(row, PLACES["response_body_bytes"], size * len(times))
    counters.add(row, PLACES["errors"], errors)
    counters.add(row, REASONS_AT + Reason.CLIENT_CLOSED, errors)
    for us in times:
        counters.observe_us(row, 0, us)


def made() -> layout.Table:
    table = layout.create(7, ["main", "api"], workers=1)
    counters = Counters(table, 0)
    for path, what in TRAFFIC.items():
        count(counters, 0, path, *what)
    count(counters, 1, b"/a", [10], 1, 0)
    count(counters, 1, b"/found no row", [20] * 3, 1, 0)
    return table


def ask(filter: Filter = EVERYTHING, *, sort: Sort = Sort.REQUESTS, reverse: bool = False, limit: int = 100) -> View:
    table = made()
    return query(take(table), TableNames(table), filter, sort=sort, reverse=reverse, limit=limit)


def shown(view: View) -> list[str]:
    return [f"{row.name.route} {row.name.path}" for row in view.rows]


HOSTILE = "main /c\\x1B[2J\\xFF"


@pytest.mark.parametrize(
    ("sort", "order"),
    [
        (Sort.REQUESTS, ["main /a", "main /a/b", "api (other)", "main /B/x", "api /a", HOSTILE]),
        (Sort.RESPONSE_BYTES, ["main /a/b", "main /a", HOSTILE, "api (other)", "api /a", "main /B/x"]),
        (Sort.AVERAGE_BYTES, ["main /a/b", "main /a", HOSTILE, "api (other)", "api /a", "main /B/x"]),
        (Sort.ERRORS, ["main /B/x", "main /a/b", "api (other)", "api /a", "main /a", HOSTILE]),
        (Sort.ERROR_SHARE, ["main /B/x", "main /a/b", "api (other)", "api /a", "main /a", HOSTILE]),
        (Sort.TIME, ["main /a/b", "main /a", "main /B/x", "api (other)", "api /a", HOSTILE]),
        (Sort.MEAN, ["main /a/b", "main /B/x", "main /a", "api (other)", "api /a", HOSTILE]),
        (Sort.P50, ["main /B/x", "main /a", "main /a/b", "api (other)", "api /a", HOSTILE]),
        (Sort.P99, ["main /a/b", "main /B/x", "main /a", "api (other)", "api /a", HOSTILE]),
        (Sort.PATH, ["api (other)", "api /a", "main /B/x", "main /a", "main /a/b", HOSTILE]),
    ],
)
def test_orders(sort: Sort, order: list[str]) -> None:
    view = ask(sort=sort)
    assert shown(view) == order
    assert shown(ask(sort=sort, limit=2)) == order[:2]
    assert view.matched == ask(sort=sort, limit=2).matched == 6


def test_every_order_works_and_can_be_turned_round() -> None:
    for sort in Sort:
        assert sorted(shown(ask(sort=sort))) == sorted(shown(ask(sort=sort, reverse=True)))
    assert shown(ask(sort=Sort.PATH, reverse=True)) == shown(ask(sort=Sort.PATH))[::-1]
    assert shown(ask(sort=Sort.MEAN, reverse=True)) == shown(ask(sort=Sort.MEAN))[::-1]


@pytest.mark.parametrize(
    ("filter", "found"),
    [
        (Filter(route="api"), ["api (other)", "api /a"]),
        (Filter(prefix="/a"), ["main /a", "main /a/b", "api /a"]),
        (Filter(contains="/b"), ["main /a/b", "main /B/x"]),
        (Filter(path="/a"), ["main /a", "api /a"]),
        (Filter(route="main", path="/a"), ["main /a"]),
        (Filter(route="main", prefix="/a", contains="B"), ["main /a/b"]),
        (Filter(route="none"), []),
    ],
)
def test_filters(filter: Filter, found: list[str]) -> None:
    view = ask(filter)
    assert shown(view) == found
    assert view.matched == len(found)
    assert view.total.counts.requests == sum(row.counts.requests for row in view.rows)
    assert view.total.counts.total_us == sum(row.counts.total_us for row in view.rows)
    assert view.total.name == Name("", "")


def test_a_row_says_all_of_its_series() -> None:
    (row,) = ask(Filter(path="/a/b")).rows
    assert row.counts.requests == 5
    assert row.total.samples == 5
    assert row.total.sum_us == 92_000
    assert row.total.mean_us == 18_400
    assert row.total.p50_us == pytest.approx(500, rel=0.0443)
    assert row.total.p90_us == row.total.p999_us == pytest.approx(90_000, rel=0.0443)
    assert row.first_byte == (0, 0, 0.0, 0.0, 0.0, 0.0, 0.0)
    assert row.reasons == {"client_closed": 1}
    assert sum(row.histogram(0)) == 5
    assert not any(row.histogram(1))
    assert row.requests_per_second > 0
    assert ask(Filter(path="/a/b")).total.reasons == {"client_closed": 1}


def test_names() -> None:
    rows = {row.name.path: row.name for row in ask().rows}
    assert rows["(other)"] == Name("api", "(other)", other=True)
    assert not rows["/a"].other
    table = layout.create(4, ["a\n"], workers=1)
    counters = Counters(table, 0)
    number = counters.find_row(0, b"/" + b"x" * 300)
    names = TableNames(table)
    assert names[number] == Name("a\\x0A", "/" + "x" * 199, truncated=True)
    with pytest.raises(KeyError):
        names[4]


def test_a_name_that_a_reload_brings_is_found() -> None:
    table = layout.create(8, ["one"], workers=1, spare_routes=1)
    names = TableNames(table)
    assert names[0].route == "one"
    (number,) = layout.name_routes(table, ["two"])
    assert names[Counters(table, 0).find_row(number, b"/")] == Name("two", "/")


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(1, 50)), min_size=1, max_size=20), st.integers(1, 8))
def test_the_first_of_an_order_are_the_first_of_all(traffic: list[tuple[int, int]], limit: int) -> None:
    table = layout.create(16, ["main"], workers=1)
    counters = Counters(table, 0)
    for path, times in traffic:
        count(counters, 0, b"/%d" % path, [100] * times, path, times % 2)
    frame, names = take(table), TableNames(table)
    for sort in Sort:
        whole = query(frame, names, sort=sort)
        assert shown(query(frame, names, sort=sort, limit=limit)) == shown(whole)[:limit]
        assert whole.total.counts.requests == sum(times for _path, times in traffic)
