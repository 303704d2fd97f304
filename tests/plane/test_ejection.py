"""Endpoints that fail again and again get no requests for a while; who is to blame is looked at closely."""

from __future__ import annotations

import errno
from collections.abc import Callable
from typing import Any

import pytest

from tests.plane.scene import GET, OK, Scene
from weir.config.plan import EjectionPlan, HealthPlan
from weir.reasons import Reason
from weir.stats import reader, roster
from weir.stats.roster import Health, State, Why, change, standing, state_of, why, why_text

Stage = Callable[..., Scene]

ERROR = b"HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n"


def cluster(**ejection: Any) -> dict[str, Any]:
    return {"ejection": EjectionPlan(**{"failures": 3, "time_ms": 10_000, **ejection})}


def number_of(scene: Scene, which: int = -1) -> int:
    """Of the endpoint that a connection was dialled to, from 0."""
    peer = scene.endpoint(which).peer
    assert peer is not None
    return int(peer.text.split(":")[0].rpartition(".")[2]) - 1


def ask(scene: Scene, bad: set[int], answer: bytes = b"garbage\r\n\r\n") -> int:
    """One request on a connection of its own; those endpoints in `bad` answer so. Which one it was."""
    scene.client(GET)
    number = number_of(scene)
    scene.send(scene.endpoint(), answer if number in bad else OK.replace(b"OK\r\n", b"OK\r\nConnection: close\r\n"))
    return number


def state(scene: Scene, number: int) -> State:
    return state_of(standing(scene.memory, number), scene.clock.now_us)


def test_failures_in_a_row_eject_for_a_while(stage: Stage) -> None:
    scene = stage(endpoints=3, cluster=cluster())
    asked = [ask(scene, {1}) for _ in range(9)]
    assert asked.count(1) == 3
    assert {ask(scene, set()) for _ in range(6)} == {0, 2}
    told = standing(scene.memory, 1)
    assert state(scene, 1) == State.EJECTED
    assert why_text(told.ejection_reason) == "bad_response"
    assert (told.ejections, told.ejections_made) == (1, 1)
    assert told.ejected_until_us == told.joined_us, "its slow start begins when it comes back"
    scene.wait_ms(10_001)
    assert {ask(scene, set()) for _ in range(6)} == {0, 1, 2}


def test_after_its_time_one_failure_ejects_it_again_for_longer(stage: Stage) -> None:
    scene = stage(endpoints=2, cluster=cluster())
    while state(scene, 1) == State.READY:
        ask(scene, {1})
    scene.wait_ms(10_001)
    asked = [ask(scene, {1}) for _ in range(4)]
    assert asked.count(1) == 1
    assert standing(scene.memory, 1).ejected_until_us - scene.clock.now_us > 15_000_000
    scene.wait_ms(20_001)
    asked = [ask(scene, set()) for _ in range(4)]
    assert asked.count(1) == 2
    asked = [ask(scene, {1}) for _ in range(4)]
    assert asked.count(1) == 2, "it has answered: it takes three failures again"


def test_an_answer_begins_the_count_anew(stage: Stage) -> None:
    scene = stage(endpoints=2, cluster=cluster())
    for _ in range(5):
        assert [ask(scene, {1}) for _ in range(4)].count(1) == 2
        assert [ask(scene, set()) for _ in range(2)].count(1) == 1
    assert state(scene, 1) == State.READY


@pytest.mark.parametrize(("endpoints", "percent", "most"), [(1, 100, 0), (2, 50, 1), (4, 50, 2), (4, 10, 1), (4, 0, 0)])
def test_so_many_and_no_more(stage: Stage, endpoints: int, percent: int, most: int) -> None:
    scene = stage(endpoints=endpoints, cluster=cluster(max_ejected_percent=percent))
    for _ in range(40):
        ask(scene, set(range(endpoints)))
        ejected = sum(state(scene, number) == State.EJECTED for number in range(endpoints))
        assert ejected <= most
    assert ejected == most


def test_members_that_are_ordered_down_do_not_count(stage: Stage) -> None:
    scene = stage(endpoints=3, cluster=cluster())
    change(scene.memory, 1, order=roster.Order.DOWN)
    change(scene.memory, 2, order=roster.Order.DRAIN)
    for _ in range(10):
        assert ask(scene, {0}) == 0
    assert state(scene, 0) == State.READY, "it is the only one"


def test_errors_5xx_eject_where_it_is_wanted(stage: Stage) -> None:
    usual = stage(endpoints=2, cluster=cluster())
    for _ in range(20):
        ask(usual, {1}, ERROR)
    assert state(usual, 1) == State.READY
    scene = stage(endpoints=2, cluster=cluster(errors_5xx=4))
    asked = [ask(scene, {1}, ERROR.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")) for _ in range(12)]
    assert asked.count(1) == 4
    assert standing(scene.memory, 1).ejection_reason == why(Why.ERRORS_5XX, 4)


def test_who_refuses_connections_is_ejected_and_nobody_sees_it(stage: Stage) -> None:
    scene = stage(endpoints=2, cluster=cluster())
    scene.dialer.mode = "wait"
    for _ in range(8):
        client = scene.client(GET)
        if number_of(scene) == 1:
            scene.endpoint().connect(errno.ECONNREFUSED)
            scene.turn()
        scene.endpoint().connect()
        scene.turn()
        scene.send(scene.endpoint(), OK.replace(b"OK\r\n", b"OK\r\nConnection: close\r\n"))
        assert client.take_sent().startswith(b"HTTP/1.1 200")
    assert state(scene, 1) == State.EJECTED
    assert why_text(standing(scene.memory, 1).ejection_reason) == "connect_refused"


@pytest.mark.parametrize("code", [errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM, errno.EADDRNOTAVAIL])
def test_what_this_machine_lacks_is_not_the_endpoints_fault(stage: Stage, code: int) -> None:
    scene = stage(endpoints=2, cluster=cluster())
    scene.dialer.mode = code
    for _ in range(10):
        scene.client(GET)
    scene.dialer.mode = "connect"
    assert [state(scene, number) for number in range(2)] == [State.READY] * 2
    assert sum(end.failures for end in reader.endpoints(scene.memory)) > 0


def test_a_connection_that_had_rested_may_have_been_closed_by_chance(stage: Stage) -> None:
    scene = stage(endpoints=2, cluster=cluster(), retry={"attempts": 1})
    change(scene.memory, 0, health=Health.UNHEALTHY)
    for _ in range(6):
        scene.client(GET)
        scene.send(scene.endpoint(), OK)
        # In use again, and closed before it answers: that may be the race.
        client = scene.client(GET)
        scene.end(scene.endpoint())
        assert b"upstream_closed" in client.take_sent()
    assert state(scene, 1) == State.READY


def test_streams_that_are_cut_do_not_sum_up(stage: Stage) -> None:
    scene = stage(endpoints=2, cluster=cluster())
    for _ in range(20):
        scene.client(GET)
        scene.send(scene.endpoint(), b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\ncut")
        scene.end(scene.endpoint())
    assert sum(end.failures for end in reader.endpoints(scene.memory)) == 20
    assert [state(scene, number) for number in range(2)] == [State.READY] * 2


def test_what_was_switched_off_does_nothing(stage: Stage) -> None:
    scene = stage(endpoints=2, cluster=cluster(failures=0))
    for _ in range(20):
        ask(scene, {1})
    assert state(scene, 1) == State.READY


def test_panic_asks_all(stage: Stage) -> None:
    scene = stage(endpoints=4, cluster={"panic_below_percent": 50})
    for number in range(2):
        change(scene.memory, number, health=Health.UNHEALTHY)
    assert {ask(scene, set()) for _ in range(8)} == {2, 3}
    assert not scene.plane.panics(0)
    change(scene.memory, 2, ejected_until_us=scene.clock.now_us + 5_000_000)
    assert scene.plane.panics(0), "it is found out without a request, too"
    assert {ask(scene, set()) for _ in range(8)} == {0, 1, 2, 3}
    scene.wait_ms(5_001)
    assert not scene.plane.panics(0)
    assert {ask(scene, set()) for _ in range(8)} == {2, 3}


def test_a_new_endpoint_waits_for_its_first_check_where_that_is_wanted(stage: Stage) -> None:
    health = HealthPlan(type="tcp", first="unhealthy")
    scene = stage(endpoints=2, cluster={"health": health})
    change(scene.memory, 0, health=Health.HEALTHY)
    assert {ask(scene, set()) for _ in range(4)} == {0}
    change(scene.memory, 1, health=Health.HEALTHY)
    assert {ask(scene, set()) for _ in range(4)} == {0, 1}
    without = stage(endpoints=2, cluster={"health": HealthPlan(type="off", first="unhealthy")})
    change(without.memory, 0, health=Health.HEALTHY)
    assert {ask(without, set()) for _ in range(4)} == {0, 1}


def test_a_member_tells_its_place_and_addresses(stage: Stage) -> None:
    scene = stage(endpoints=2)
    number, addresses = scene.plane.endpoint(0, "192.0.2.2:80")
    assert (number, [address.text for address in addresses]) == (1, ["192.0.2.2:80"])
    with pytest.raises(KeyError):
        scene.plane.endpoint(0, "192.0.2.3:80")


def test_the_first_reason_counts(stage: Stage) -> None:
    assert why_text(why(Reason.RESPONSE_TIMEOUT)) == "response_timeout"
    scene = stage(endpoints=2, cluster={**cluster(failures=1), "response_header_timeout_ms": 500})
    scene.client(GET)
    first = number_of(scene)
    scene.wait_ms(600)
    assert why_text(standing(scene.memory, first).ejection_reason) == "response_timeout"


def test_failures_that_a_retry_makes_good_count_as_well(stage: Stage) -> None:
    scene = stage(endpoints=2, cluster=cluster(), retry={"min_per_second": 100})
    for _ in range(8):
        client = scene.client(GET)
        if number_of(scene) == 1:
            scene.end(scene.endpoint())
            scene.wait_ms(100)
        assert number_of(scene) == 0, "the other one is asked"
        scene.send(scene.endpoint(), OK.replace(b"OK\r\n", b"OK\r\nConnection: close\r\n"))
        assert client.take_sent().startswith(b"HTTP/1.1 200")
    assert state(scene, 1) == State.EJECTED
    assert why_text(standing(scene.memory, 1).ejection_reason) == "upstream_closed"
