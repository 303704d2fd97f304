"""/metrics of weir as people run it: requests, connections and pools of real workers, over the death of one."""

from __future__ import annotations

import os
import signal

import pytest
from prometheus_client.parser import text_string_to_metric_families

from .conftest import MakeRig
from .rig import Rig
from .test_admin import admin_of, ask, started
from .test_reload import children, forget
from .test_workers import wait_successors
from .wire import eventually

pytestmark = pytest.mark.timeout(60)


def total(port: int, name: str, **labels: str) -> float:
    """The sum of all samples of a name that have these labels."""
    status, body = ask(port, "/metrics")
    assert status == 200
    return sum(
        sample.value
        for family in text_string_to_metric_families(body.decode())
        for sample in family.samples
        if sample.name == name and labels.items() <= sample.labels.items()
    )


def requests(rig: Rig, times: int) -> None:
    for _ in range(times):
        assert rig.get("/").status == 200


def test_what_workers_have_and_have_counted(weir: MakeRig) -> None:
    rig, port = started(weir)
    requests(rig, 20)
    # An answer is a second old at most, and so is a heartbeat.
    eventually(lambda: total(port, "weir_requests_total", code="2xx") == 20, 10)
    sent = ("weir_upstream_dials_total", "weir_upstream_reuses_total")
    eventually(lambda: sum(total(port, name) for name in sent) == 20, 10)
    assert total(port, "weir_upstream_dials_total") >= 1
    eventually(lambda: total(port, "weir_downstream_accepted_total") >= 1, 10)
    assert total(port, "weir_request_duration_seconds_count") == 20
    # Ours, of this moment, lacks the connection that asks and what lists the descriptors.
    assert abs(total(port, "process_open_fds") - len(os.listdir(f"/proc/{admin_of(rig, port)}/fd"))) <= 3
    assert total(port, "weir_worker_resident_memory_bytes") > 1 << 20


def test_counters_do_not_fall_when_a_worker_is_killed(weir: MakeRig) -> None:
    rig, port = started(weir)
    requests(rig, 20)
    sent = ("weir_upstream_dials_total", "weir_upstream_reuses_total")
    eventually(lambda: sum(total(port, name) for name in sent) == 20, 10)
    before = children(rig.proxy.pid)
    admin = admin_of(rig, port)
    for worker in before:
        if worker != admin:
            os.kill(worker, signal.SIGKILL)
    wait_successors(rig, before, 2)
    requests(rig, 5)
    eventually(lambda: sum(total(port, name) for name in sent) == 25, 15)
    assert total(port, "weir_requests_total", code="2xx") == 25
    assert len(forget(rig, "worker ")) == 2
