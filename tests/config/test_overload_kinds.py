"""Limits, breakers and the order of the queue, as they are written."""

from __future__ import annotations

import pytest

from weir.config.compile import compile_plan
from weir.config.errors import ConfigError
from weir.config.load import load_text
from weir.config.plan import ADAPTIVE, BreakerPlan, ClusterPlan, LimitPlan

START = '[[listener]]\naddress = ":8080"\nto = "app"\n[[cluster]]\nname = "app"\nendpoints = ["10.0.0.1:80"]\n'


def cluster(text: str) -> ClusterPlan:
    return compile_plan(load_text(START + text, "f")).clusters[0]


@pytest.mark.parametrize(
    ("text", "plan"),
    [
        ("", LimitPlan()),
        ('max_requests = "off"', LimitPlan()),
        ("max_requests = 1", LimitPlan(max_requests=1)),
        ('max_requests = "adaptive"', LimitPlan(max_requests=ADAPTIVE)),
        ('max_requests = "adaptive"\nmax = 2', LimitPlan(max_requests=ADAPTIVE, min=2, max=2)),
        ('max_requests = "adaptive"\nmin = 2000', LimitPlan(max_requests=ADAPTIVE, min=2000, max=2000)),
        ('max_requests = "adaptive"\nmin = 5\nmax = 9', LimitPlan(max_requests=ADAPTIVE, min=5, max=9)),
    ],
)
def test_limits(text: str, plan: LimitPlan) -> None:
    assert cluster(f"[cluster.limit]\n{text}\n").limit == plan


def test_breakers() -> None:
    assert cluster('[cluster.breaker]\nfailures = "off"\n').breaker == BreakerPlan()
    assert cluster("[cluster.breaker]\nfailures = 0.25\n").breaker == BreakerPlan(failures_percent=25)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "[cluster.limit]\nmax_requests = 0",
            '8:16: cluster.app.limit.max_requests: 0 is not a limit; for no limit write "off"',
        ),
        ('[cluster.limit]\nmax_requests = "adaptiv"', 'did you mean "adaptive"?'),
        ('[cluster.limit]\nmax_requests = "50"', "write 50, without quotes"),
        ("[cluster.limit]\nmax_requests = 1.5", "cluster.app.limit.max_requests: wanted a whole number"),
        (
            "[cluster.limit]\nmax_requests = 5\nmin = 2",
            "9:1: cluster.app.limit.min: without effect: max_requests is not adaptive",
        ),
        ("[cluster.limit]\nmax = 2", "8:1: cluster.app.limit.max: without effect: max_requests is not adaptive"),
        (
            '[cluster.limit]\nmax_requests = "adaptive"\nmin = 5\nmax = 4',
            "9:7: cluster.app.limit.min: 5 is more than max, which is 4",
        ),
        ('[cluster.breaker]\nfailures = "0%"', "a breaker that opens at 0% would never close"),
        ("[cluster.breaker]\nfailures = 50", "50 could be percent or a fraction"),
        ("[cluster.breaker]\nvolume = 50", "8:1: cluster.app.breaker.volume: without effect: no breaker"),
        (
            '[cluster.queue]\nsize = 0\norder = "adaptive"',
            "9:1: cluster.app.queue.order: without effect: the queue's size is 0",
        ),
        ('[cluster.queue]\norder = "lifo"', '8:9: cluster.app.queue.order: wanted one of "fifo", "adaptive"'),
    ],
)
def test_what_is_refused(text: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load_text(START + text + "\n", "f")
    assert message in str(caught.value)
