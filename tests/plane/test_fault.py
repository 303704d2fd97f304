"""Injected faults: what happens to which request, and how it is seen."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.plane.scene import GET, OK, Scene
from weir.config.plan import RESET, FaultPlan
from weir.plane.fault import Fault
from weir.stats import rules

Stage = Callable[..., Scene]


def faulty(stage: Stage, *plans: FaultPlan, **options: Any) -> Scene:
    listener = {"faults": plans, **options.pop("listener", {})}
    return stage(listener=listener, **options)


def lines(scene: Scene) -> list[dict[str, Any]]:
    return [json.loads(line) for line in scene.log.take().splitlines()]


# -- decisions --------------------------------------------------------------------------------------------


def plays(plan: FaultPlan, count: int = 10_000) -> list[tuple[int, bool, int]]:
    return Fault(rules.create(1), 0, plan).plays(count)


def test_the_same_seed_gives_the_same_faults_and_another_one_others() -> None:
    plan = FaultPlan(delay_ms=(1, 100), delay_percent=50, abort=503, abort_percent=50, seed=7)
    assert plays(plan) == plays(plan)
    assert plays(plan) != plays(FaultPlan(delay_ms=(1, 100), delay_percent=50, abort=503, abort_percent=50, seed=8))
    unseeded = FaultPlan(delay_ms=(1, 100), delay_percent=50)
    assert plays(unseeded) != plays(unseeded)


@pytest.mark.parametrize("percent", [0, 1, 10, 50, 99, 100])
def test_percentages_are_kept(percent: int) -> None:
    plan = FaultPlan(
        delay_ms=(10, 20),
        delay_percent=percent,
        abort=503,
        abort_percent=percent,
        bandwidth_bytes=9,
        bandwidth_percent=percent,
        seed=3,
    )
    played = plays(plan, 20_000)
    for hits in ([delay > 0 for delay, _, _ in played], [abort for _, abort, _ in played], [b > 0 for *_, b in played]):
        # Five standard deviations of a binomial distribution.
        assert abs(sum(hits) / 200 - percent) <= 5 * (percent * (100 - percent) / 20_000) ** 0.5
    if percent:
        assert {delay for delay, _, _ in played if delay} <= set(range(10, 21))
    if percent == 100:
        assert {delay for delay, _, _ in played} == set(range(10, 21))


def test_the_three_are_decided_each_for_itself() -> None:
    played = plays(FaultPlan(delay_ms=(5, 5), delay_percent=50, abort=503, abort_percent=50, seed=1), 20_000)
    both = sum(delay > 0 and abort for delay, abort, _ in played)
    assert abs(both - 5_000) < 400


# -- delay ------------------------------------------------------------------------------------------------


def test_a_request_waits_and_is_served(stage: Stage) -> None:
    scene = faulty(stage, FaultPlan(delay_ms=(200, 200)))
    client = scene.client(GET)
    scene.wait_ms(190)
    assert scene.dials == 0
    scene.wait_ms(20)
    scene.send(scene.endpoint(), OK)
    assert client.take_sent().endswith(b"ok")
    scene.wait_ms(1)
    (line,) = lines(scene)
    assert (line["status"], line["reason"]) == (200, "fault_injected")
    assert line["Tw"] >= 200
    assert scene.reasons() == {"fault_injected": 1}
    scene.send(client, GET)
    scene.wait_ms(210)
    scene.send(scene.endpoint(), OK)
    assert client.take_sent().endswith(b"ok")


def test_others_are_served_meanwhile(stage: Stage) -> None:
    scene = faulty(stage, FaultPlan(delay_ms=(200, 200), field="X-Slow"))
    scene.client(GET[:-2] + b"X-Slow: 1\r\n\r\n")
    quick = scene.client(GET)
    scene.send(scene.endpoint(), OK)
    assert quick.take_sent().endswith(b"ok")
    assert scene.dials == 1
    scene.wait_ms(210)
    assert scene.plane.pools(0)[0]["reuses"] == 1


@pytest.mark.parametrize("how", ["end", "reset"])
def test_a_client_may_leave_while_it_waits(stage: Stage, how: str) -> None:
    scene = faulty(stage, FaultPlan(delay_ms=(200, 200)))
    client = scene.client(GET)
    getattr(scene, how)(client)
    assert client.is_closed
    scene.wait_ms(300)
    assert scene.dials == 0
    assert [line["reason"] for line in lines(scene)] == ["client_closed"]


def test_a_body_waits_with_its_head(stage: Stage) -> None:
    scene = faulty(stage, FaultPlan(delay_ms=(200, 200)))
    client = scene.client(b"POST /a HTTP/1.1\r\nHost: h\r\nContent-Length: 6\r\n\r\nabc")
    scene.send(client, b"def" + GET)
    scene.wait_ms(210)
    assert scene.endpoint().take_sent().endswith(b"abcdef")
    scene.send(scene.endpoint(), OK)
    scene.wait_ms(210)
    assert scene.endpoint().take_sent().startswith(b"GET ")
    scene.send(scene.endpoint(), OK)
    assert client.take_sent().count(b"ok") == 2


def test_a_worker_that_stops_does_not_wait(stage: Stage) -> None:
    scene = faulty(stage, FaultPlan(delay_ms=(60_000, 60_000)))
    scene.client(GET)
    scene.close_plane()
    assert [line["reason"] for line in lines(scene)] == ["draining"]


# -- abort ------------------------------------------------------------------------------------------------


def test_a_request_is_answered_in_place_of_being_sent(stage: Stage) -> None:
    scene = faulty(stage, FaultPlan(abort=418, prefix="/a"))
    client = scene.client(GET)
    sent = client.take_sent()
    assert sent.startswith(b"HTTP/1.1 418 I'm a Teapot\r\n")
    assert b"\nfault_injected: " in sent
    assert not client.is_closed
    scene.send(client, GET.replace(b"/a", b"/b"))
    scene.send(scene.endpoint(), OK)
    assert client.take_sent().endswith(b"ok")
    assert scene.dials == 1
    assert [(line["status"], line["reason"]) for line in lines(scene)] == [(418, "fault_injected"), (200, "none")]
    assert scene.counters("/a")["status_4xx"] == 1


def test_an_abort_of_its_own_status_is_json_for_who_wants_it(stage: Stage) -> None:
    scene = faulty(stage, FaultPlan(abort=504))
    sent = scene.client(GET[:-2] + b"Accept: application/json\r\n\r\n").take_sent()
    body = json.loads(sent.partition(b"\r\n\r\n")[2])
    assert (body["status"], body["title"], body["reason"]) == (504, "Gateway Timeout", "fault_injected")


def test_delay_comes_before_abort(stage: Stage) -> None:
    scene = faulty(stage, FaultPlan(delay_ms=(100, 100), abort=503))
    client = scene.client(GET)
    assert client.take_sent() == b""
    scene.wait_ms(110)
    assert client.take_sent().startswith(b"HTTP/1.1 503 ")
    assert scene.dials == 0


def test_a_connection_is_reset(stage: Stage) -> None:
    scene = faulty(stage, FaultPlan(abort=RESET))
    client = scene.client(GET)
    assert client.was_reset
    assert client.take_sent() == b""
    (line,) = lines(scene)
    assert (line["status"], line["reason"]) == (None, "fault_injected")
    assert scene.reasons() == {"fault_injected": 1}


def test_a_reset_after_a_delay(stage: Stage) -> None:
    scene = faulty(stage, FaultPlan(abort=RESET, delay_ms=(100, 100)))
    client = scene.client(GET)
    assert not client.is_closed
    scene.wait_ms(110)
    assert client.was_reset


# -- bandwidth --------------------------------------------------------------------------------------------


def body_of(sent: bytes) -> bytes:
    return sent.partition(b"\r\n\r\n")[2]


@pytest.mark.parametrize("rate", [1_000, 50_000])
@pytest.mark.parametrize("chunked", [False, True])
def test_a_response_comes_at_its_pace(stage: Stage, rate: int, chunked: bool) -> None:
    scene = faulty(stage, FaultPlan(bandwidth_bytes=rate))
    client = scene.client(GET)
    body = bytes(range(256)) * (rate * 2 // 256)
    if chunked:
        head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
        body = b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body)
    else:
        head = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body)
    scene.send(scene.endpoint(), head + body)
    got = body_of(client.take_sent())
    for tick in range(1, 400):
        scene.wait_ms(10)
        got += client.take_sent()
        # At most what the time is worth, and a step behind it at most.
        assert len(got) <= rate * tick // 100 + 1
        if len(got) == len(body):
            break
        assert len(got) >= rate * (tick - 5) // 100
    assert got == body
    assert len(body) * 100 // rate <= tick <= len(body) * 100 // rate + 5
    (line,) = lines(scene)
    assert (line["status"], line["reason"]) == (200, "fault_injected")
    scene.send(client, GET)
    assert scene.dials == 1, "both connections are as good as before"


def test_what_happens_meanwhile_does_not_cut_it_into_crumbs(stage: Stage) -> None:
    scene = faulty(stage, FaultPlan(bandwidth_bytes=10_000))
    client = scene.client(GET)
    scene.send(scene.endpoint(), b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n" + bytes(50_000))
    client.take_sent()
    pieces = []
    for _ in range(100):
        scene.clock.advance(2_000)
        scene.send(scene.endpoint(), bytes(10))
        pieces.append(len(client.take_sent()))
    assert min(piece for piece in pieces if piece) >= 200
    assert 1_600 <= sum(pieces) <= 2_001


def test_the_endpoint_is_held_back(stage: Stage) -> None:
    scene = faulty(stage, FaultPlan(bandwidth_bytes=1_000))
    scene.client(GET)
    scene.send(scene.endpoint(), b"HTTP/1.1 200 OK\r\nContent-Length: 10000000\r\n\r\n")
    for _ in range(20):
        scene.endpoint().feed(b"x" * 100_000)
        scene.wait_ms(10)
    assert scene.plane.ledger()["buffer_bytes"] < 600_000


def test_a_client_that_does_not_read_is_still_found(stage: Stage) -> None:
    scene = faulty(stage, FaultPlan(bandwidth_bytes=1_000), listener={"send_timeout_ms": 500})
    client = scene.client(GET)
    client.room = 200
    scene.send(scene.endpoint(), b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n" + bytes(1000))
    for _ in range(150):
        scene.wait_ms(10)
    assert client.was_reset
    assert scene.reasons() == {"client_stalled": 1}


def test_an_endpoint_that_breaks_off_is_still_told(stage: Stage) -> None:
    scene = faulty(stage, FaultPlan(bandwidth_bytes=1_000))
    client = scene.client(GET)
    scene.send(scene.endpoint(), b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n" + bytes(100))
    scene.reset(scene.endpoint())
    for _ in range(30):
        scene.wait_ms(10)
    assert client.is_closed
    assert len(body_of(client.take_sent())) == 100
    assert scene.reasons() == {"upstream_truncated": 1}


def test_a_client_that_leaves_a_paced_response_is_let_go(stage: Stage) -> None:
    scene = faulty(stage, FaultPlan(bandwidth_bytes=1_000))
    client = scene.client(GET)
    scene.send(scene.endpoint(), b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n" + bytes(1000))
    scene.wait_ms(50)
    scene.reset(client)
    assert scene.endpoint().is_closed
    assert scene.reasons() == {"client_closed": 1}


@settings(max_examples=150, deadline=None)
@given(
    framing=st.sampled_from(["length", "chunked", "close"]),
    pieces=st.lists(st.integers(1, 30_000), min_size=1, max_size=6),
    rate=st.sampled_from([700, 20_000, 1_000_000, 1 << 30]),
    rooms=st.lists(st.sampled_from([0, 1, 10, 5_000, -1]), max_size=8),
    together=st.booleans(),
    old=st.booleans(),
)
def test_a_pace_changes_no_byte(
    framing: str, pieces: list[int], rate: int, rooms: list[int], together: bool, old: bool
) -> None:
    """Whatever the framing, however it comes and however it is taken: what the client gets is what it would get."""
    head = b"HTTP/1.1 200 OK\r\n"
    head += b"Content-Length: %d\r\n\r\n" % sum(pieces) if framing == "length" else b""
    head += b"Transfer-Encoding: chunked\r\n\r\n" if framing == "chunked" else b""
    head += b"Connection: close\r\n\r\n" if framing == "close" else b""
    said = [head]
    for number, size in enumerate(pieces):
        body = bytes([65 + number]) * size
        said.append(b"%x\r\n%b\r\n" % (size, body) if framing == "chunked" else body)
    if framing == "chunked":
        said.append(b"0\r\n\r\n")
    got = []
    for faults in ((), (FaultPlan(bandwidth_bytes=rate),)):
        scene = Scene(listener={"faults": faults, "idle_timeout_ms": 1_000_000_000})
        client = scene.client(b"GET /a HTTP/1.0\r\n\r\n" if old else GET)
        taken = b""
        for piece in [b"".join(said)] if together else said:
            scene.send(scene.endpoint(), piece)
        for room in [*rooms, -1]:
            client.room = room
            scene.wait_ms(30)
            taken += client.take_sent()
        if framing == "close":
            scene.end(scene.endpoint())
        for _ in range(10 + sum(pieces) * 100 // rate):
            if scene.plane.ledger()["exchanges"] == 0:
                break
            scene.wait_ms(30)
        taken += client.take_sent()
        got.append((payload(taken) if framing == "close" and not old else taken, client.is_closed))
        assert scene.reasons() == ({"fault_injected": 1} if faults else {})
        scene.close()
    assert got[0] == got[1]


def payload(sent: bytes) -> bytes:
    """A response with its chunks taken out: where weir makes them itself they are as large as its reads."""
    head, _, rest = sent.partition(b"\r\n\r\n")
    body = b""
    while rest:
        size, _, rest = rest.partition(b"\r\n")
        body += rest[: int(size, 16)]
        rest = rest[int(size, 16) + 2 :]
    return head + body


def test_the_least_bandwidth_counts_and_delays_add_up(stage: Stage) -> None:
    plans = [FaultPlan(delay_ms=(100, 100), bandwidth_bytes=rate) for rate in (5_000, 1_000, 9_000)]
    scene = faulty(stage, *plans)
    client = scene.client(GET)
    scene.wait_ms(290)
    assert scene.dials == 0
    scene.wait_ms(20)
    scene.send(scene.endpoint(), b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n" + bytes(1000))
    client.take_sent()
    for _ in range(10):
        scene.wait_ms(50)
    assert 400 <= len(client.take_sent()) <= 501


def test_a_tunnel_has_no_pace(stage: Stage) -> None:
    scene = faulty(stage, FaultPlan(bandwidth_bytes=10))
    client = scene.client(b"GET /a HTTP/1.1\r\nHost: h\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n")
    scene.send(
        scene.endpoint(), b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n" + bytes(1000)
    )
    assert len(body_of(client.take_sent())) == 1000


def test_what_is_not_hit_is_as_without_faults(stage: Stage) -> None:
    scene = faulty(stage, FaultPlan(abort=503, abort_percent=0, delay_ms=(5, 5), delay_percent=0))
    client = scene.client(GET)
    scene.send(scene.endpoint(), OK)
    assert client.take_sent().endswith(b"ok")
    assert scene.reasons() == {}
