"""Who does worse than the others, and who only seems to."""

from __future__ import annotations

import asyncio

from hypothesis import given
from hypothesis import strategies as st

from weir.config.plan import AddressPlan, ClusterPlan, EjectionPlan, ListenerPlan, Plan, RoutePlan
from weir.control.outliers import Outliers, Sums, failing, slow
from weir.control.worker import Worker
from weir.plane.engine import Engine
from weir.plane.selector import EngineSelector
from weir.stats.publish import write_figures
from weir.stats.roster import State, standing, state_of, why_text

PLAN = EjectionPlan(error_rate_percent=50, latency_percent=300, min_requests=100, interval_ms=1_000)


def good(n: int = 1000, us: int = 2_000) -> Sums:
    return Sums(0, 0, n, n * us)


def test_errors() -> None:
    assert failing({0: good(), 1: Sums(0, 600, 1000, 0), 2: good()}, PLAN) == {1: 60}
    assert failing({0: good(), 1: Sums(600, 0, 400, 0)}, PLAN) == {1: 60}, "two are enough"
    assert failing({0: good(), 1: Sums(0, 400, 1000, 0)}, PLAN) == {}
    assert failing({0: good(), 1: Sums(0, 60, 60, 0)}, PLAN) == {}, "that is too few to say"
    assert failing({0: Sums(0, 600, 1000, 0), 1: Sums(0, 590, 1000, 0)}, PLAN) == {}, "it is the same everywhere"
    assert failing({0: Sums(0, 600, 1000, 0)}, PLAN) == {}, "there is nobody to compare it with"
    assert list(failing({0: Sums(0, 60, 100, 0), 1: Sums(0, 90, 100, 0), 2: good(9000)}, PLAN)) == [1, 0]


def test_latency() -> None:
    assert slow({0: good(us=20_000), 1: good(us=90_000), 2: good(us=22_000)}, PLAN) == {1: 429}
    assert slow({0: good(us=20_000), 1: good(us=50_000), 2: good(us=22_000)}, PLAN) == {}
    assert slow({0: good(us=100), 1: good(us=900), 2: good(us=100)}, PLAN) == {}, "these are no times to eject for"
    assert slow({0: good(us=20_000), 1: good(50, us=90_000)}, PLAN) == {}
    assert slow({1: good(us=90_000)}, PLAN) == {}


SUMS = st.builds(Sums, *[st.integers(0, 10_000)] * 3, st.integers(0, 10**9))


@given(st.dictionaries(st.integers(0, 9), SUMS, max_size=8))
def test_never_all_of_them(interval: dict[int, Sums]) -> None:
    for found in (failing(interval, PLAN), slow(interval, PLAN)):
        assert set(found) < set(interval) or not interval


def test_an_outlier_of_all_workers_figures_is_ejected() -> None:
    engine = Engine()

    async def main() -> None:
        names = tuple(AddressPlan(f"192.0.2.{n}:80", f"192.0.2.{n}", 80) for n in range(1, 5))
        plan = Plan(
            (ListenerPlan(AddressPlan("127.0.0.1:0", "127.0.0.1", 0), 0),),
            (RoutePlan("main", 0),),
            (ClusterPlan("app", names, ejection=PLAN),),
        )
        worker = Worker(plan, engine)
        outliers = Outliers(worker.memory, worker.plane, plan.clusters)
        outliers.start()
        await asyncio.sleep(0.2)
        for number in range(4):
            write_figures(worker.memory, 0, number, responses=500, response_us=500 * 2_000)
        write_figures(worker.memory, 0, 1, responses=500, errors_5xx=400)
        write_figures(worker.memory, 0, 3, responses=500, response_us=500 * 80_000)
        async with asyncio.timeout(10):
            while not standing(worker.memory, 3).ejections:
                await asyncio.sleep(0.02)
        outliers.stop()
        states = [state_of(standing(worker.memory, number)) for number in range(4)]
        assert states == [State.READY, State.EJECTED, State.READY, State.EJECTED]
        assert why_text(standing(worker.memory, 1).ejection_reason) == "80 % errors"
        assert why_text(standing(worker.memory, 3).ejection_reason) == "latency 40.0 times the median"
        outliers.judge(PLAN, {0: Sums(900, 0, 0, 0), 1: good(), 2: good(), 3: good()})
        assert standing(worker.memory, 0).ejections == 0, "half of them are ejected already"
        await worker.stop()

    selector = EngineSelector(engine)
    with asyncio.Runner(loop_factory=lambda: asyncio.SelectorEventLoop(selector)) as runner:
        runner.run(main())
