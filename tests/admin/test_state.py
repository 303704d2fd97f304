"""What is shared between those who ask, and what is kept for questions about short times."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from tests.admin.rig import PLAN, Counted
from weir.admin import state as module
from weir.admin.state import AdminState
from weir.config.plan import HistoryPlan, Plan
from weir.stats.view import query


def requests(span: module.Span) -> int:
    return query(span.frame, span.names).total.counts.requests


async def test_those_who_ask_at_the_same_time_share_a_frame(monkeypatch: pytest.MonkeyPatch) -> None:
    state = AdminState(PLAN, Counted().table)
    assert state.frame() is state.frame()
    monkeypatch.setattr(module, "FRESH_S", 0.0)
    assert state.frame() is not state.frame()


async def test_reset_is_a_moment_and_changes_nothing_in_the_table() -> None:
    counted = Counted()
    counted.count(b"/a", 5)
    state = AdminState(PLAN, counted.table)
    assert requests(state.total()) == 5
    since = state.reset().taken_us
    counted.count(b"/a", 2)
    state._frame = None
    assert requests(state.total()) == 2
    assert state.total().frame.since_us == since
    assert AdminState(PLAN, counted.table).total().frame.column(0) == [7]


async def test_recent_frames_are_bounded_in_time_and_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    counted = Counted()
    counted.count(b"/a", 5)
    monkeypatch.setattr(module, "FRESH_S", 0.0)
    state = AdminState(PLAN, counted.table)
    one = len(state.frame().pack())
    for _ in range(20):
        state._keep_recent()
    assert len(state._recent) == 20
    assert state._recent_bytes == sum(len(packed) for _, packed in state._recent)
    monkeypatch.setattr(module, "RECENT_BYTES", 3 * one)
    state._keep_recent()
    assert len(state._recent) == 3
    monkeypatch.setattr(module, "RECENT_FOR_S", 0.0)
    state._keep_recent()
    assert len(state._recent) == 1


async def test_a_moment_is_answered_from_the_nearest_frame_before_it(monkeypatch: pytest.MonkeyPatch) -> None:
    counted = Counted()
    monkeypatch.setattr(module, "FRESH_S", 0.0)
    state = AdminState(PLAN, counted.table)
    await state.open()
    try:
        moments = []
        for number in range(1, 4):
            state._keep_recent()
            moments.append(state._recent[-1][0])
            counted.count(b"/a", number)
        for moment, expected in zip(moments, (6, 5, 3), strict=True):
            for later in (0, 1):
                span = await state.since((moment + later) / 1e6)
                assert (span.frame.since_us, requests(span)) == (moment, expected)
        span = await state.since(0)
        assert requests(span) == 6
    finally:
        await state.close()


async def test_the_history_is_written_when_it_closes(tmp_path: Path) -> None:
    plan = Plan((), (), (), history=HistoryPlan(path=str(tmp_path / "history.db")))
    for expected in (5, 10):
        counted = Counted()
        state = AdminState(plan, counted.table)
        await state.open()
        counted.count(b"/a", 5)
        await state.close()
        assert state.stopping.is_set()
        again = AdminState(plan, Counted().table)
        await again.open()
        assert requests(await again.since(0)) == expected
        await again.close()


async def test_an_unknown_route_is_an_error() -> None:
    state = AdminState(PLAN, Counted().table)
    assert [state.route_number(name) for name in ("main", "api")] == [0, 1]
    with pytest.raises(ValueError):
        state.route_number("other")


async def test_a_part_that_has_ended_does_not_keep_the_history_open(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    counted = Counted()
    plan = Plan((), (), (), history=HistoryPlan(path=str(tmp_path / "h.db")))
    state = AdminState(plan, counted.table)

    async def end() -> None:
        raise OSError("what nobody thought of")

    monkeypatch.setattr(state.live, "run", end)
    await state.open()
    await asyncio.sleep(0.01)
    counted.count(b"/a", 5)
    await state.close()
    assert "what nobody thought of" in caplog.text
    again = AdminState(plan, Counted().table)
    await again.open()
    assert requests(await again.since(0)) == 5
    await again.close()


async def test_the_number_of_a_route_by_the_name_that_is_shown() -> None:
    state = AdminState(PLAN, Counted(routes=("main", "a\\b")).table)
    assert state.names[1].route == "a\\\\b"
    assert state.route_number("a\\\\b") == 1
