"""Injected faults with real processes: said at the start, felt by clients, written in the log."""

from __future__ import annotations

import time

import pytest

from weir.config.plan import FaultPlan
from weir.plane.fault import Fault
from weir.stats import rules

from .conftest import MakeRig
from .peers import ok
from .rig import ALONE, WORKERS, Rig
from .test_reload import RELOADED, forget, reload
from .wire import Truncated, eventually

pytestmark = pytest.mark.timeout(60)

SAID = "weir: faults are injected into requests to 127.0.0.1:0, for tests: "


def faulty(weir: MakeRig, *faults: dict[str, object], top: dict[str, object] = ALONE) -> Rig:
    """A rig that has said what it will do."""
    rig = weir(listener={"fault": list(faults)}, top=top)
    assert len(forget(rig, SAID)) == 1
    return rig


def test_faults_are_named_at_the_start_and_after_a_reload(weir: MakeRig) -> None:
    rig = weir(
        listener={"fault": [{"abort": 503, "field": "X"}, {"delay": "1s", "name": "slow", "field": "Y"}]}, top=WORKERS
    )
    assert forget(rig, SAID) == [SAID + "fault 1, slow"]
    reload(rig)
    eventually(lambda: any(line.startswith(SAID) for line in rig.proxy.stderr), 5)
    forget(rig, SAID, RELOADED)


def test_a_test_asks_for_its_fault_by_a_field(weir: MakeRig) -> None:
    rig = faulty(
        weir,
        {"field": "X-Weir-Fault: slow", "delay": "300ms"},
        {"field": "X-Weir-Fault: down", "abort": 503},
        {"field": "X-Weir-Fault: gone", "abort": "reset"},
    )

    def ask(fault: str) -> tuple[int, float]:
        started = time.monotonic()
        status = rig.get(f"/{fault}", f"X-Weir-Fault: {fault}").status
        return status, time.monotonic() - started

    assert ask("none")[0] == 200
    status, took = ask("slow")
    assert status == 200
    assert took >= 0.3
    assert ask("down")[0] == 503
    with pytest.raises(Truncated, match=r"ConnectionResetError.* after 0 bytes"):
        ask("gone")
    ends: list[tuple[str, int | None, str]] = [
        ("/none", 200, "none"),
        ("/slow", 200, "fault_injected"),
        ("/down", 503, "fault_injected"),
        ("/gone", None, "fault_injected"),
    ]
    for target, answered, reason in ends:
        assert rig.proxy.logged(target=target, status=answered, reason=reason)
    assert [request.head.target for request in rig.endpoint.requests] == ["/none", "/slow"]


def test_the_same_seed_fails_the_same_requests_whoever_serves_them(weir: MakeRig) -> None:
    rig = faulty(weir, {"abort": 500, "abort_percentage": "30%", "seed": 4711}, top={**WORKERS, "workers": 3})
    seen = [rig.get("/").status == 500 for _ in range(200)]
    plan = FaultPlan(abort=500, abort_percent=30, seed=4711)
    assert seen == [aborts for _delay, aborts, _rate in Fault(rules.create(1), 0, plan).plays(200)]


# A build with sanitizers or tracing takes its own time.
@pytest.mark.figures
def test_a_response_has_the_bandwidth_that_was_wanted(weir: MakeRig) -> None:
    rig = faulty(weir, {"bandwidth": 200_000, "prefix": "/slow"})
    body = bytes(300_000)
    rig.endpoint.reply(ok(body))
    started = time.monotonic()
    assert rig.get("/slow").body == body
    took = time.monotonic() - started
    print(f"300 KB at 200 KB/s: {took:.3f} s")
    assert 1.45 <= took < 6
    quick: list[float] = []
    while not quick or (quick[-1] > 1.0 and len(quick) < 5):
        started = time.monotonic()
        assert rig.get("/quick").body == body
        quick.append(time.monotonic() - started)
    assert quick[-1] < 1.0


def test_a_client_that_leaves_a_delayed_request_is_not_waited_for(weir: MakeRig) -> None:
    rig = faulty(weir, {"delay": "10m"})
    client = rig.connect()
    client.send(b"GET /left HTTP/1.1\r\nHost: test\r\n\r\n")
    time.sleep(0.1)
    client.close()
    assert rig.proxy.logged(target="/left", reason="client_closed")
    assert rig.endpoint.requests == []
