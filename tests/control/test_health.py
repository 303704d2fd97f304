"""Who has the duty, and what is taken back, noted and said."""

from __future__ import annotations

import asyncio
import fcntl
import logging
import os
import time
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from weir.config.plan import AddressPlan, ClusterPlan, EjectionPlan, HealthPlan, ListenerPlan, Plan, RoutePlan
from weir.control.health import DUTY_LOCK_AT, MOST_SAID, Duty, said, take
from weir.control.worker import Seat, Worker, make_table
from weir.plane.engine import Engine
from weir.plane.selector import EngineSelector
from weir.reasons import Reason
from weir.stats.happened import Change, happened
from weir.stats.roster import Health, Order, State, change, standing, why


def make_plan(endpoints: int = 3, **cluster: Any) -> Plan:
    names = tuple(AddressPlan(f"192.0.2.{n}:80", f"192.0.2.{n}", 80) for n in range(1, endpoints + 1))
    listener = ListenerPlan(AddressPlan("127.0.0.1:0", "127.0.0.1", 0), 0)
    return Plan((listener,), (RoutePlan("main", 0),), (ClusterPlan("app", names, **cluster),))


def run(plan: Plan, main: Callable[[Worker], Coroutine[Any, Any, None]]) -> None:
    engine = Engine()

    async def whole() -> None:
        table = make_table(plan, 1)
        worker = Worker(plan, engine, Seat(table, 0, [0]))
        try:
            await main(worker)
        finally:
            await worker.stop()

    selector = EngineSelector(engine)
    with asyncio.Runner(loop_factory=lambda: asyncio.SelectorEventLoop(selector)) as runner:
        runner.run(whole())


def holds(duty: Duty) -> bool:
    return duty.held


def test_one_has_it_until_it_dies() -> None:
    async def main(worker: Worker) -> None:
        table = worker.memory
        parent, child = os.pipe()
        pid = os.fork()
        if pid == 0:
            os.write(child, b"y" if take(table) else b"n")
            time.sleep(60)
            os._exit(0)
        try:
            assert os.read(parent, 1) == b"y"
            duty = Duty(table, worker.plan, worker.plane)
            duty.beat()
            assert not holds(duty)
        finally:
            os.kill(pid, 9)
            os.waitpid(pid, 0)
            os.close(parent)
            os.close(child)
        duty.beat()
        assert holds(duty)
        duty.release()
        duty.beat()
        assert not holds(duty), "who drains does not take it back"
        pid = os.fork()
        if pid == 0:
            os._exit(0 if take(table) else 1)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0

    run(make_plan(), main)


def test_what_nobody_would_take_back_is_taken_back() -> None:
    async def main(worker: Worker) -> None:
        table = worker.memory
        change(table, 0, health=Health.UNHEALTHY, health_reason=why(Reason.CONNECT_REFUSED))
        change(table, 1, ejected_until_us=1 << 60, ejections=2, joined_us=1 << 60, order=Order.DRAIN)
        duty = Duty(table, worker.plan, worker.plane)
        duty.beat()
        assert (standing(table, 0).health, standing(table, 0).health_reason) == (Health.UNKNOWN, 0)
        told = standing(table, 1)
        assert (told.ejected_until_us, told.ejections, told.joined_us, told.order) == (0, 0, 0, Order.DRAIN)
        duty.release()

    run(make_plan(ejection=EjectionPlan(failures=0)), main)


def test_what_is_in_force_stays() -> None:
    async def main(worker: Worker) -> None:
        table = worker.memory
        change(table, 0, health=Health.UNHEALTHY, health_reason=why(Reason.CONNECT_REFUSED))
        change(table, 1, ejected_until_us=1 << 60, ejections=2)
        duty = Duty(table, worker.plan, worker.plane)
        duty.beat()
        assert standing(table, 0).health == Health.UNHEALTHY
        assert standing(table, 1).ejections == 2
        duty.release()

    run(make_plan(health=HealthPlan(type="tcp", interval_ms=60_000)), main)


def test_changes_are_said_once_and_noted(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING, "weir")

    async def main(worker: Worker) -> None:
        table = worker.memory
        duty = Duty(table, worker.plan, worker.plane)
        duty.beat()
        now_us = time.monotonic_ns() // 1000
        change(
            table, 2, ejected_until_us=now_us + 10_500_000, ejection_reason=why(Reason.RESPONSE_TIMEOUT), ejections=1
        )
        duty.beat()
        duty.beat()
        assert caplog.messages == [
            "cluster app: endpoint 192.0.2.3:80 is ejected for 10 s, was ready: response_timeout"
        ]
        assert [one.new for one in happened(table)] == [State.EJECTED]
        caplog.clear()
        for number in range(2):
            change(table, number, order=Order.DOWN)
        duty.beat()
        assert caplog.messages[-1] == "cluster app: too few of its endpoints are usable, all are asked"
        change(table, 0, order=Order.READY)
        caplog.clear()
        duty.beat()
        assert caplog.messages[-1] == "cluster app: enough of its endpoints are usable again"
        duty.release()

    run(make_plan(), main)


def test_a_network_that_fails_does_not_fill_the_log(caplog: pytest.LogCaptureFixture) -> None:
    async def main(worker: Worker) -> None:
        duty = Duty(worker.memory, worker.plan, worker.plane)
        duty.beat()
        for number in range(100):
            change(worker.memory, number, order=Order.DRAIN)
        duty.beat()
        assert len(caplog.messages) == MOST_SAID + 1
        assert caplog.messages[MOST_SAID] == "80 more endpoints have changed: weir stats --endpoints"
        assert len(happened(worker.memory)) == 100
        duty.release()

    run(make_plan(100), main)


def test_a_change_in_words() -> None:
    assert said(Change(0, 0, "app", ":1", State.EJECTED, State.READY)) == "ready, was ejected"
    made = Change(0, 0, "app", ":1", State.READY, State.EJECTED, why(Reason.CONNECT_REFUSED), 30_000)
    assert said(made) == "ejected for 30 s, was ready: connect_refused"


def test_the_lock_is_on_a_byte_of_its_own() -> None:
    from weir.stats.ejection import EJECT_LOCK_AT
    from weir.stats.entries import NAMES_LOCK_AT

    assert len({0, DUTY_LOCK_AT, EJECT_LOCK_AT, NAMES_LOCK_AT}) == 4, "0 is the access log's"
    assert fcntl.LOCK_EX
