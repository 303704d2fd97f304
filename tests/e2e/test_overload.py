"""Three times as many requests as the endpoint can serve: it goes on serving what it can, the others are told soon."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.overload import MEANS, TIMEOUT_MS, capacity_of, endpoint, measure, proxy

WORKERS = 4
SERVICE_MS = 50

pytestmark = pytest.mark.figures  # it measures answers a second


@pytest.mark.slow
@pytest.mark.parametrize("means", [means for means in MEANS if means != "no limit"])
def test_goodput_at_three_times_the_capacity(tmp_path: Path, means: str, capsys: pytest.CaptureFixture[str]) -> None:
    with endpoint(tmp_path, WORKERS, SERVICE_MS) as behind, proxy(tmp_path, behind, WORKERS, means) as port:
        before = capacity_of(behind, WORKERS, 2.0)
        # An adaptive limit begins too high, and learns from each answer.
        warm = 8.0 if "adaptive limit" in means else 2.0
        result = measure(port, before, times=3.0, warm=warm, seconds=warm + 5.0)
        # What else the machine has to do changes what can be served: the lesser of two measurements counts.
        capacity = min(before, capacity_of(behind, WORKERS, 2.0))
    with capsys.disabled():
        print(
            f"\n{means}: {result.goodput:.0f}/s of {capacity:.0f}/s, p99 {result.served_p99_ms:.0f} ms; "
            f"{result.refused:.0f}/s refused, p99 {result.refused_p99_ms:.0f} ms"
        )
    assert result.others == 0
    assert result.goodput >= 0.9 * capacity
    assert result.refused > 0
    assert result.refused_p99_ms <= TIMEOUT_MS + 250
