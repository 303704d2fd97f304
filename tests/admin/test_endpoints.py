"""weir.v1.Endpoints by curl: what it writes into the table, and what it refuses."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.admin.rig import Answer, Counted, Server, curl, served
from weir.config.plan import AddressPlan, ClusterPlan, Plan
from weir.stats import layout, roster
from weir.stats.roster import Order, Origin, standing

FIRST = "127.0.0.1:81"
PLAN = Plan((), (), (ClusterPlan("app", (AddressPlan(FIRST, "127.0.0.1", 81),)),))


def counted() -> Counted:
    return Counted(endpoints=[("app", FIRST)])


async def call(server: Server, method: str, question: dict[str, Any]) -> Answer:
    content = ("-H", "Content-Type: application/json", "-d", json.dumps({"cluster": "app", **question}))
    return await curl(*content, f"{server.url}/weir.v1.Endpoints/{method}")


async def test_an_endpoint_is_added_ordered_and_removed() -> None:
    made = counted()
    async with served(made, plan=PLAN) as server:
        answer = await call(server, "AddEndpoint", {"endpoint": "[::1]:82", "weight": 5, "order": "ORDER_DRAIN"})
        assert answer.json["member"] == {
            "cluster": "app",
            "endpoint": "[::1]:82",
            "order": "ORDER_DRAIN",
            "origin": "ORIGIN_RUN_TIME",
            "weight": 5,
            "state": "draining",
        }
        assert layout.endpoint_names(made.table)[1] == ("app", "[::1]:82")
        # Another spelling is the same endpoint.
        answer = await call(server, "ChangeEndpoint", {"endpoint": "[0:0::1]:82", "order": "ORDER_READY", "weight": 0})
        assert (answer.json["member"]["endpoint"], answer.json["member"]["state"]) == ("[::1]:82", "ready")
        assert standing(made.table, 1).weight == 0
        listed = (await call(server, "ListEndpoints", {})).json["members"]
        assert [(one["endpoint"], one["origin"]) for one in listed] == [
            (FIRST, "ORIGIN_CONFIGURATION"),
            ("[::1]:82", "ORIGIN_RUN_TIME"),
        ]
        assert (await call(server, "RemoveEndpoint", {"endpoint": "[::1]:82"})).status == 200
        assert standing(made.table, 1).order == Order.REMOVED
        assert len((await call(server, "ListEndpoints", {})).json["members"]) == 1
        # It comes again, into its place.
        assert (await call(server, "AddEndpoint", {"endpoint": "[::1]:82"})).status == 200
        assert (standing(made.table, 1).order, standing(made.table, 1).origin) == (Order.READY, Origin.RUN_TIME)
        assert len(layout.endpoint_names(made.table)) == 2


async def test_an_endpoint_that_the_configuration_no_longer_has_can_be_added() -> None:
    """Workers that still drain have it, and say so."""
    made = Counted(endpoints=[("app", FIRST), ("app", "127.0.0.1:82")])
    async with served(made, plan=PLAN) as server:
        roster.have_seen(made.table, [1])
        assert (await call(server, "AddEndpoint", {"endpoint": "127.0.0.1:82"})).status == 200
        assert standing(made.table, 1).origin == Origin.RUN_TIME
        assert (await call(server, "AddEndpoint", {"endpoint": FIRST, "weight": 2})).status == 200
        assert (standing(made.table, 0).origin, standing(made.table, 0).weight) == (Origin.FILE, 2)


async def test_an_application_can_be_ordered_as_any_endpoint() -> None:
    made = Counted(endpoints=[("app", "asgi:shop:app")])
    plan = Plan((), (), (ClusterPlan("app", (AddressPlan("asgi:shop:app", app="asgi:shop:app"),)),))
    async with served(made, plan=plan) as server:
        answer = await call(server, "ChangeEndpoint", {"endpoint": "asgi:shop:app", "order": "ORDER_DRAIN"})
        assert answer.json["member"]["state"] == "draining"


async def test_every_change_is_announced() -> None:
    made = counted()
    async with served(made, plan=PLAN) as server:
        seen = {roster.changes(made.table)}
        for order in ("ORDER_DOWN", "ORDER_DRAIN", "ORDER_READY"):
            assert (await call(server, "ChangeEndpoint", {"endpoint": FIRST, "order": order})).status == 200
            seen.add(roster.changes(made.table))
    assert len(seen) == 4


@pytest.mark.parametrize(
    ("method", "question", "code", "message"),
    [
        ("ListEndpoints", {"cluster": "web"}, "not_found", "there is no 'web'; the configuration has: app"),
        ("AddEndpoint", {"endpoint": "https://a"}, "invalid_argument", "TLS to endpoints is not there yet"),
        ("AddEndpoint", {"endpoint": "a" * 63 + "." + "b" * 63 + ":80"}, "invalid_argument", "longer than 120 bytes"),
        ("AddEndpoint", {"endpoint": "asgi:a:b"}, "invalid_argument", "a worker serves what its configuration says"),
        ("ChangeEndpoint", {"endpoint": "asgi:a:b", "weight": 1}, "not_found", "app has no 'asgi:a:b'"),
        ("AddEndpoint", {"endpoint": "a:1", "weight": 1001}, "invalid_argument", "1001 is not 1 to 1000"),
        ("ChangeEndpoint", {"endpoint": FIRST}, "invalid_argument", "order, weight: give one of the two"),
        ("ChangeEndpoint", {"endpoint": FIRST, "order": 9}, "invalid_argument", "9 is none of READY, DRAIN, DOWN"),
        ("ChangeEndpoint", {"endpoint": "a:1", "weight": 1}, "not_found", "app has no 'a:1'"),
        ("RemoveEndpoint", {"endpoint": FIRST}, "failed_precondition", "comes from the configuration"),
    ],
)
async def test_what_is_refused(method: str, question: dict[str, Any], code: str, message: str) -> None:
    made = counted()
    async with served(made, plan=PLAN) as server:
        answer = await call(server, method, question)
    assert answer.json["code"] == code
    assert message in answer.json["message"]
    assert standing(made.table, 0).changed_us == 0


async def test_there_are_so_many_places() -> None:
    made = counted()
    async with served(made, plan=PLAN) as server:
        answers = [await call(server, "AddEndpoint", {"endpoint": f"127.0.0.1:{n}"}) for n in (1, 2, 3)]
    assert [answer.status for answer in answers] == [200, 200, 429]
    assert answers[2].json["code"] == "resource_exhausted"
