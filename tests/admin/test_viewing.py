"""Questions to the live page and their answers: orders, filters, and what there is to say of one path."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tools.live_page import Traffic
from weir.admin.live import Live
from weir.admin.viewing import LIMITS, SORTS, Question, QuestionError, answer
from weir.reasons import Reason
from weir.stats.frame import take
from weir.stats.names import TableNames


def live_of(traffic: Traffic) -> Live:
    return Live(traffic.table, lambda: take(traffic.table), TableNames(traffic.table))


async def ask(live: Live, **changes: Any) -> Any:
    return json.loads(await answer(live, Question(**{"window": 0, **changes})))


@pytest.fixture
def traffic() -> Traffic:
    made = Traffic(rows=64)
    made.count(0, b"/many", 1000, times=50, size=10)
    made.count(0, b"/slow", 800_000, times=2, size=1000)
    made.count(0, b"/down", 5000, times=3, status=500)
    made.count(0, b"/down", 9000, status=504, reason=Reason.RESPONSE_TIMEOUT)
    made.count(1, b"/many", 300, times=7, size=1 << 20)
    made.count(1, b"/<b>\x1b[2J\xff", 100)
    return made


def paths(data: Any) -> list[str]:
    return [f"{row[1]} {row[2]}" for row in data["table"]["rows"]]


async def test_the_table(traffic: Traffic) -> None:
    data = await ask(live_of(traffic))
    assert paths(data)[:2] == ["api /many", "files /many"]
    figures = data["table"]["rows"][0][4]
    assert figures[0] == 50
    assert figures[2:6] == [500, 10, 0, 0]
    assert figures[6] == pytest.approx(1000, rel=0.05)
    assert figures[11] == 50_000
    assert sum(figures[12]) == pytest.approx(1000, abs=3)
    assert data["table"]["total"][0] == 50 + 2 + 4 + 7 + 1
    assert (data["table"]["matched"], data["table"]["used"]) == (5, 5)
    assert data["routes"] == ["api", "files"]
    assert "files /<b>\\x1B[2J\\xFF" in paths(data)


@pytest.mark.parametrize(
    ("sort", "first"),
    [
        ("p99", "api /slow"),
        ("time", "api /slow"),
        ("errors", "api /down"),
        ("status_5xx", "api /down"),
        ("response_bytes", "files /many"),
        ("path", "api /down"),
    ],
)
async def test_orders(traffic: Traffic, sort: str, first: str) -> None:
    live = live_of(traffic)
    assert paths(await ask(live, sort=sort))[0] == first
    assert paths(await ask(live, sort=sort, limit=2)) == paths(await ask(live, sort=sort))[:2]
    assert paths(await ask(live, sort=sort, reverse=True))[-1] == first


@pytest.mark.parametrize("sort", ["requests", "status_5xx"])
async def test_filters(traffic: Traffic, sort: str) -> None:
    live = live_of(traffic)
    data = await ask(live, q="MANY", sort=sort)
    assert sorted(paths(data)) == ["api /many", "files /many"]
    assert (data["table"]["matched"], data["table"]["total"][0]) == (2, 57)
    assert paths(await ask(live, q="many", only="files", sort=sort)) == ["files /many"]
    assert paths(await ask(live, q="nothing like it", sort=sort)) == []


async def test_what_is_worst(traffic: Traffic) -> None:
    worst = (await ask(live_of(traffic)))["worst"]
    assert worst["slow"][0][:2] == ["api", "/slow"]
    assert worst["heavy"][0][:2] == ["api", "/slow"]
    assert worst["heavy"][0][2] > 0.9
    # Each exchange once, though one of them is an error and a 5xx.
    assert worst["failing"] == [["api", "/down", 4, 1.0]]


async def test_one_path(traffic: Traffic) -> None:
    live = live_of(traffic)
    one = (await ask(live, route="api", path="/down"))["path"]
    assert one["known"]
    assert one["status"] == [0, 0, 0, 0, 4]
    assert one["reasons"] == [["response_timeout", 1]]
    assert one["total"][0] == sum(one["histograms"][0][1]) == 4
    assert one["histograms"][0][0] == 8 * 12 + 2  # 5000 us lie above 2^(98/8) = 4871
    assert len(one["parts"]) == 5
    # Not counted in this window, but known; and not known at all.
    quiet = (await ask(live, route="api", path="/down", window=60))["path"]
    assert (quiet["known"], quiet["figures"][0], quiet["histograms"]) == (True, 0, [[0, []]] * 2)
    assert not (await ask(live, route="files", path="/down"))["path"]["known"]
    assert (await ask(live))["path"] is None


async def test_points_of_the_chart_come_once(traffic: Traffic) -> None:
    live = live_of(traffic)
    live.chart.extend(live.now()._replace(at_s=float(at)) for at in (10, 20, 30))
    assert [point[0] for point in json.loads(await answer(live, Question()))["chart"]] == [10, 20, 30]
    assert [point[0] for point in json.loads(await answer(live, Question(), 20.0))["chart"]] == [30]
    # The clock was set back since: what the viewer has is of another time.
    later = time.time() + 3600
    assert [point[0] for point in json.loads(await answer(live, Question(), later))["chart"]] == [10, 20, 30]


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"sort": "colour"}, "sort: one of requests"),
        ({"limit": "0"}, "limit: a whole number from 1 to 500"),
        ({"limit": "501"}, "limit: a whole number"),
        ({"limit": "²"}, "limit: a whole number"),
        ({"window": "61"}, "window: one of 0"),
        ({"reverse": "yes"}, "reverse: a whole number from 0 to 1"),
        ({"q": "x" * 1001}, "q: at most 1000 characters"),
    ],
)
def test_what_is_no_question(given: dict[str, str], says: str) -> None:
    with pytest.raises(QuestionError, match=says):
        Question.parse(given)


def test_questions() -> None:
    assert Question.parse({}) == Question()
    full = {
        "sort": "p99",
        "reverse": "1",
        "q": "a",
        "only": "b",
        "limit": "7",
        "window": "0",
        "route": "r",
        "path": "/p",
    }
    assert Question.parse(full) == Question("p99", True, "a", "b", 7, 0, "r", "/p")


@given(
    st.dictionaries(
        st.sampled_from(["sort", "reverse", "q", "only", "limit", "window", "route", "path", "other"]), st.text()
    )
)
def test_any_question_is_answered_or_refused(given: dict[str, str]) -> None:
    try:
        question = Question.parse(given)
    except QuestionError:
        return
    assert question.sort in SORTS
    assert LIMITS[0] <= question.limit <= LIMITS[1]
    assert question.q == given.get("q", "")


@pytest.mark.alone
@pytest.mark.figures  # the time of a build that traces lines says nothing
async def test_a_tick_of_5000_paths_costs_little() -> None:
    traffic = Traffic(paths=5000, rows=5200)
    for path in traffic.story:
        traffic.count(1, path, 5000, times=20)
    live = live_of(traffic)
    assert len(live.frame) > 5000
    took = []
    for _ in range(5):
        traffic.pass_time(0.5)
        began = time.process_time()
        live.tick()
        for sort in ("p99", "status_5xx", "requests"):
            body = await answer(live, Question(sort=sort, limit=100, window=0, q="/pages"))
        took.append(time.process_time() - began)
    assert json.loads(body)["table"]["matched"] == 5000
    print(f"a tick and three questions: {min(took) * 1000:.0f} ms, {len(body)} bytes")
    # Measured: some 30 ms on a quiet machine, with three questions.
    assert min(took) < 0.2


async def test_clusters_rules_and_retries(traffic: Traffic) -> None:
    traffic.publish()
    data = await ask(traffic.live())
    clusters = {cluster["cluster"]: cluster for cluster in data["clusters"]}
    assert list(clusters) == ["api", "files"]
    assert clusters["api"]["in_progress"] == 31
    assert clusters["api"]["sticky_bound"] == 5150
    assert ("reset", "retried", 41) in [tuple(one) for one in clusters["api"]["decisions"]]
    assert clusters["files"]["decisions"] == []
    assert [(limit["name"], limit["by"], limit["limited"]) for limit in data["limits"]] == [
        ("client 50/s", "client", 87)
    ]
    assert [(fault["name"], fault["delayed"]) for fault in data["faults"]] == [("slow checkout", 12)]


async def test_without_rules_there_are_none(traffic: Traffic) -> None:
    data = await ask(live_of(traffic))
    assert (data["limits"], data["faults"]) == ([], [])
    assert data["hooks"] == {"requests": 0, "met": 0, "hooks": []}
