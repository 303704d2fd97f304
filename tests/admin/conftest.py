"""A clock and a place for a history."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.admin.recorded import DAY, Clock
from weir.config.plan import HistoryPlan


@pytest.fixture
def clock() -> Clock:
    return Clock(1_800_000_000.0 // DAY * DAY)


@pytest.fixture
def plan(tmp_path: Path) -> HistoryPlan:
    return HistoryPlan(path=str(tmp_path / "history.db"))
