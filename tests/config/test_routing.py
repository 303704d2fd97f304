"""Routes in a configuration: what may be written, what the plan makes of it, and what is refused."""

from __future__ import annotations

from weir.config.compile import compile_plan
from weir.config.load import load_text
from weir.config.plan import NO_ROUTER, NOWHERE, Plan

CLUSTERS = '[[cluster]]\nname = "app"\nendpoints = ["a:1"]\n[[cluster]]\nname = "shop"\nendpoints = ["b:1"]\n'


def plan_of(text: str) -> Plan:
    return compile_plan(load_text(text + CLUSTERS, "f"))


def test_without_routes_there_is_no_router() -> None:
    plan = plan_of('[[listener]]\naddress = ":80"\nto = "app"\n[[listener]]\naddress = ":81"\nto = "shop"\n')
    assert [listener.router for listener in plan.listeners] == [NO_ROUTER, NO_ROUTER]
    assert plan.routers == ()


def test_a_listener_may_have_nothing_but_routes() -> None:
    plan = plan_of('[[listener]]\naddress = ":80"\n[[route]]\npath = "/a"\nto = "app"\n[[route]]\nto = "shop"\n')
    assert [route.name for route in plan.routes] == [":80", "/a", "/*"]
    assert plan.routes[plan.listeners[0].route].cluster == NOWHERE
    assert [match.path for match in plan.routers[plan.listeners[0].router]] == ["/a", ""]
