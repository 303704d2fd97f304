"""Request ids and trace contexts: what is taken over, what is made, and what is never repeated."""

from __future__ import annotations

import errno
import json
import re
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.plane.heads import request
from tests.plane.scene import GET, OK, Scene
from weir.config.plan import ErrorPagePlan
from weir.plane.ids import IdPolicy, TracePolicy
from weir.plane.parsers import identified

Stage = Callable[..., Scene]

TRACE = "0af7651916cd43dd8448eb211c80319c"
PARENT = "b7ad6b7169203331"
TRACEPARENT = f"traceparent: 00-{TRACE}-{PARENT}-01"
KEEP = {"request_id": "keep"}
REPLACE = {"request_id": "replace"}
JOIN = {"trace": "join"}
OWN_ID = re.compile(r"[0-9a-f]{16}")
OWN_TRACE = re.compile(r"00-([0-9a-f]{32})-([0-9a-f]{16})-0([0-3])")


def get(*lines: str) -> bytes:
    return GET[:-2] + "".join(f"{line}\r\n" for line in lines).encode("latin-1") + b"\r\n"


def values(message: bytes, name: str) -> list[str]:
    head = message.partition(b"\r\n\r\n")[0].decode("latin-1")
    return [line.partition(":")[2].strip() for line in head.split("\r\n")[1:] if line.lower().startswith(name + ":")]


def entry(scene: Scene) -> dict[str, Any]:
    """The one line of the log."""
    (line,) = scene.log.take().splitlines()
    found: dict[str, Any] = json.loads(line)
    return found


def through(stage: Stage, options: dict[str, Any], *lines: str, answer: bytes = OK) -> tuple[bytes, bytes, Any]:
    """What the endpoint got, what the client got, and the line of the log, of one exchange."""
    scene = stage(listener=options)
    client = scene.client(get(*lines))
    asked = scene.endpoint().take_sent()
    scene.send(scene.endpoint(), answer)
    return asked, client.take_sent(), entry(scene)


# -- request ids ----------------------------------------------------------------------------------------------


def test_by_default_everything_goes_on_as_it_came(stage: Stage) -> None:
    lines = ("X-Request-Id: <a b>", "x_request_id: 2", "traceparent: nonsense", "tracestate: a=b")
    answer = OK[:-6] + b"\r\nX-Request-Id: endpoint\r\n\r\nok"
    asked, answered, line = through(stage, {}, *lines, answer=answer)
    assert asked == get(*lines)
    assert answered == answer
    assert (line["request_id"], line["trace_id"], line["span_id"], line["parent_id"]) == (None,) * 4


@pytest.mark.parametrize(
    "client_id",
    [
        "0",
        "b5c1a7d0-9f3e-4f5a-8a53-7d7a4b1f0c11",
        "AZaz09-_.~+/=:@",
        "Root=1-67891233-abcdef012345678912345678",
        "x" * 128,
    ],
)
def test_a_well_formed_id_is_kept(stage: Stage, client_id: str) -> None:
    asked, answered, line = through(stage, KEEP, f"x-request-ID:  {client_id} ")
    assert values(asked, "x-request-id") == [client_id]
    assert values(answered, "x-request-id") == [client_id]
    assert line["request_id"] == client_id


@pytest.mark.parametrize(
    "lines",
    [
        (),
        ("X-Request-Id:",),
        ("X-Request-Id: " + "x" * 129,),
        ("X-Request-Id: a b",),
        ("X-Request-Id: <script>",),
        ('X-Request-Id: a"b',),
        ("X-Request-Id: a,b",),
        ("X-Request-Id: \xe9",),
        ("X-Request-Id: a", "X-Request-Id: a"),
        ("X-Request-Id: a", "x-request-id: b"),
    ],
)
def test_any_other_is_replaced(stage: Stage, lines: tuple[str, ...]) -> None:
    asked, answered, line = through(stage, KEEP, *lines)
    (made,) = values(asked, "x-request-id")
    assert OWN_ID.fullmatch(made)
    assert values(answered, "x-request-id") == [made]
    assert line["request_id"] == made


def test_an_id_of_a_client_that_is_not_trusted_is_replaced(stage: Stage) -> None:
    asked, answered, line = through(stage, REPLACE, "X-Request-Id: good")
    (made,) = values(asked, "x-request-id")
    assert OWN_ID.fullmatch(made)
    assert values(answered, "x-request-id") == [line["request_id"]] == [made]
    assert b"good" not in asked


@pytest.mark.parametrize("alias", ["X_Request_Id", "x-request_id", "X_REQUEST-ID"])
def test_the_id_has_no_second_spelling(stage: Stage, alias: str) -> None:
    """CGI, WSGI and PHP make one variable of both."""
    asked, _, _ = through(stage, KEEP, f"{alias}: forged", "X-Request-Id: 7", "x_other: stays")
    assert b"forged" not in asked
    assert values(asked, "x-request-id") == ["7"]
    assert values(asked, "x_other") == ["stays"]


def test_the_endpoints_own_is_replaced(stage: Stage) -> None:
    answer = b"HTTP/1.1 200 OK\r\nx-request-id: 1\r\nA: b\r\nX-REQUEST-ID: 2\r\nContent-Length: 0\r\n\r\n"
    _, answered, _ = through(stage, KEEP, "X-Request-Id: mine", answer=answer)
    assert values(answered, "x-request-id") == ["mine"]
    assert values(answered, "a") == ["b"]


def test_interim_responses_have_none(stage: Stage) -> None:
    _, answered, _ = through(stage, KEEP, "X-Request-Id: 7", answer=b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" + OK)
    interim, _, final = answered.partition(b"\r\n\r\n")
    assert b"X-Request-Id" not in interim
    assert values(final, "x-request-id") == ["7"]


def test_a_tunnel_has_its_id(stage: Stage) -> None:
    scene = stage(listener=KEEP)
    client = scene.client(get("X-Request-Id: 7", "Connection: upgrade", "Upgrade: x"))
    scene.send(scene.endpoint(), b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n")
    assert values(client.take_sent(), "x-request-id") == ["7"]


def test_ids_differ_and_requests_of_a_connection_have_their_own(stage: Stage) -> None:
    scene = stage(listener=KEEP)
    client = scene.client()
    ids = []
    for number in range(4):
        scene.send(client, get("X-Request-Id: given") if number == 1 else GET)
        ids += values(scene.endpoint().take_sent(), "x-request-id")
        scene.send(scene.endpoint(), OK)
        assert values(client.take_sent(), "x-request-id") == ids[-1:]
    assert ids[1] == "given"
    assert len(set(ids)) == 4


def test_an_error_answer_says_the_id_everywhere(stage: Stage) -> None:
    page = ErrorPagePlan("502", "text/html", b"<i>{{request_id}}</i>")
    for options, expected in (({**KEEP, "error_pages": (page,)}, "<i>{}</i>"), (KEEP, "request id: {}\n")):
        scene = stage(listener=options)
        scene.dialer.mode = errno.ECONNREFUSED
        client_id = "b5c1a7d0-9f3e-4f5a-8a53-7d7a4b1f0c11"
        sent = scene.client(get(f"X-Request-Id: {client_id}")).take_sent()
        assert sent.startswith(b"HTTP/1.1 502 ")
        assert values(sent, "x-request-id") == [client_id]
        body = sent.partition(b"\r\n\r\n")[2].decode()
        assert body.endswith(expected.format(client_id))
        assert values(sent, "content-length") == [str(len(body))]
        assert entry(scene)["request_id"] == client_id


@pytest.mark.parametrize(("options", "kept"), [({}, False), (KEEP, True), (REPLACE, False)])
def test_a_refused_request_has_an_id(stage: Stage, options: dict[str, str], kept: bool) -> None:
    scene = stage(listener=options)
    sent = scene.client(b"GET /a HTTP/1.1\r\nX-Request-Id: mine\r\n\r\n").take_sent()
    assert sent.startswith(b"HTTP/1.1 400 ")
    (said,) = values(sent, "x-request-id")
    assert said == "mine" if kept else OWN_ID.fullmatch(said)
    assert entry(scene)["request_id"] == said


def test_what_was_no_request_has_an_id(stage: Stage) -> None:
    scene = stage(listener=KEEP)
    (said,) = values(scene.client(b"nonsense\r\n\r\n").take_sent(), "x-request-id")
    assert OWN_ID.fullmatch(said)


# -- traces ---------------------------------------------------------------------------------------------------


def test_a_trace_is_joined(stage: Stage) -> None:
    asked, answered, line = through(stage, JOIN, TRACEPARENT, "tracestate: a=1", "tracestate: b=2")
    (said,) = values(asked, "traceparent")
    match = OWN_TRACE.fullmatch(said)
    assert match is not None
    trace, span, flags = match.groups()
    assert (trace, flags) == (TRACE, "1")
    assert span != PARENT
    assert values(asked, "tracestate") == ["a=1", "b=2"]
    assert (line["trace_id"], line["span_id"], line["parent_id"]) == (TRACE, span, PARENT)
    assert answered == OK, "the response says nothing of it"


@pytest.mark.parametrize("lines", [(), ("traceparent: nonsense", "tracestate: a=1"), ("tracestate: a=1",)])
def test_without_a_trace_one_begins(stage: Stage, lines: tuple[str, ...]) -> None:
    asked, _, line = through(stage, JOIN, *lines)
    (said,) = values(asked, "traceparent")
    match = OWN_TRACE.fullmatch(said)
    assert match is not None
    assert match[3] == "3", "sampled, and of a random number"
    assert values(asked, "tracestate") == []
    assert (line["trace_id"], line["span_id"], line["parent_id"]) == (match[1], match[2], None)


def test_a_trace_begins_whatever_the_client_says(stage: Stage) -> None:
    asked, _, line = through(stage, {"trace": "restart", "trace_sample_percent": 0}, TRACEPARENT, "tracestate: a=1")
    (said,) = values(asked, "traceparent")
    match = OWN_TRACE.fullmatch(said)
    assert match is not None
    assert match[1] != TRACE
    assert match[3] == "2", "not sampled"
    assert values(asked, "tracestate") == []
    assert line["parent_id"] is None


def test_id_and_trace_together(stage: Stage) -> None:
    asked, answered, line = through(stage, KEEP | JOIN, "X-Request-Id: 7", TRACEPARENT)
    assert values(asked, "x-request-id") == ["7"]
    assert len(values(asked, "traceparent")) == 1
    assert values(answered, "x-request-id") == ["7"]
    assert (line["request_id"], line["trace_id"]) == ("7", TRACE)


def test_a_request_sent_again_is_the_same(stage: Stage) -> None:
    scene = stage(listener=KEEP | JOIN)
    client = scene.client(get())
    scene.send(scene.endpoint(), OK)
    scene.endpoint().take_sent()
    scene.send(client, get(TRACEPARENT))
    first = scene.endpoint(0).take_sent()
    scene.end(scene.endpoint(0))
    assert scene.dials == 2
    assert scene.endpoint(1).take_sent() == first
    assert values(first, "traceparent")[0].startswith(f"00-{TRACE}-")


def test_requests_that_waited_keep_who_they_are(stage: Stage) -> None:
    scene = stage(listener=KEEP | JOIN, pool={"max_connections": 1})
    scene.client(get("X-Request-Id: 1"))
    scene.client(get("X-Request-Id: 2", TRACEPARENT))
    scene.client(get("X-Request-Id: 3", TRACEPARENT.replace(TRACE, "1" * 32)))
    for number, trace in ((1, None), (2, TRACE), (3, "1" * 32)):
        asked = scene.endpoint().take_sent()
        assert values(asked, "x-request-id") == [str(number)]
        assert trace is None or values(asked, "traceparent")[0][3:35] == trace
        scene.send(scene.endpoint(), OK)


# -- what is well-formed ----------------------------------------------------------------------------------------


def trace_of(*lines: bytes, sample: int = 100, state: int = 1) -> tuple[bytes, bytes, bytes, int]:
    """Trace id, weir's id, the client's id and the flags of a request that joins."""
    return identified(request(*lines), trace=TracePolicy.TRACE_JOIN, sample=sample, state=state)[1:]


@pytest.mark.parametrize(
    ("value", "flags"),
    [
        (f"00-{TRACE}-{PARENT}-00", 0),
        (f"00-{TRACE}-{PARENT}-01", 1),
        (f"00-{TRACE}-{PARENT}-02", 2),
        (f"00-{TRACE}-{PARENT}-03", 3),
        (f"00-{TRACE}-{PARENT}-ff", 3),
        (f"00-{TRACE}-{PARENT}-f8", 0),
        (f" 00-{TRACE}-{PARENT}-01\t", 1),
        (f"01-{TRACE}-{PARENT}-01", 1),
        (f"fe-{TRACE}-{PARENT}-01-and more", 1),
        (f"cc-{TRACE}-{PARENT}-01-", 1),
    ],
)
def test_traceparents_that_are_taken_over(value: str, flags: int) -> None:
    found = trace_of(b"traceparent:" + value.encode())
    assert (found[0], found[2], found[3]) == (TRACE.encode(), PARENT.encode(), flags)
    assert re.fullmatch(rb"[0-9a-f]{16}", found[1])


@pytest.mark.parametrize(
    "value",
    [
        "",
        "00",
        f"00-{TRACE}-{PARENT}",
        f"00-{TRACE}-{PARENT}-1",
        f"00-{TRACE}-{PARENT}-01-",
        f"00-{TRACE}-{PARENT}-011",
        f"00-{TRACE}-{PARENT}-01, 00-{TRACE}-{PARENT}-01",
        f"01-{TRACE}-{PARENT}-01.",
        f"ff-{TRACE}-{PARENT}-01",
        f"0-{TRACE}-{PARENT}-001",
        f"0x-{TRACE}-{PARENT}-01",
        f"00-{TRACE.upper()}-{PARENT}-01",
        f"00-{TRACE}-{PARENT.upper()}-01",
        f"00-{TRACE}-{PARENT}-0A",
        f"00-{TRACE}-{PARENT}-0g",
        f"00-{'0' * 32}-{PARENT}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"00_{TRACE}-{PARENT}-01",
        f"00-{TRACE}_{PARENT}-01",
        f"00-{TRACE}-{PARENT}_01",
        f"00-{TRACE[:-1]} -{PARENT}-01",
    ],
)
def test_traceparents_that_are_none(value: str) -> None:
    assert trace_of(b"traceparent: " + value.encode())[2] == b""


def test_two_traceparents_are_none() -> None:
    line = TRACEPARENT.encode()
    assert trace_of(line)[2] == PARENT.encode()
    assert trace_of(line, line.title())[2] == b""


@given(st.binary(max_size=140).filter(lambda value: not set(value) & {*range(9), *range(10, 32), 127}))
def test_ids_are_taken_over_exactly_if_they_are_well_formed(value: bytes) -> None:
    found = identified(request(b"X-Request-Id: " + value), request_id=IdPolicy.ID_KEEP, state=7)[0]
    trimmed = value.strip(b" \t")
    if re.fullmatch(rb"[A-Za-z0-9._~+/=:@-]{1,128}", trimmed):
        assert found == trimmed
    else:
        assert found == identified(request(), request_id=IdPolicy.ID_REPLACE, state=7)[0]


@given(
    st.from_regex(r"\A[0-9a-fA-F]{2}[-_][0-9a-f]{30,34}-[0-9a-f]{16}-[0-9a-g]{2}(-[ -~]*)?\Z"),
    st.integers(0, 60),
)
def test_traceparents_agree_with_the_grammar(value: str, cut: int) -> None:
    for text in (value, value[:cut]):
        match = re.fullmatch(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?", text.strip(" "))
        taken = bool(
            match
            and match[1] != "ff"
            and (match[1] != "00" or match[5] is None)
            and set(match[2]) != {"0"}
            and set(match[3]) != {"0"}
        )
        assert (trace_of(b"traceparent: " + text.encode())[2] != b"") == taken


@pytest.mark.parametrize("percent", [0, 1, 25, 99, 100])
def test_the_share_of_sampled_traces(percent: int) -> None:
    sampled = sum(trace_of(sample=percent, state=number * 7919)[3] & 1 for number in range(4000))
    # Six standard deviations of a coin with that share.
    assert abs(sampled - 40 * percent) <= 6 * (4000 * percent * (100 - percent)) ** 0.5 / 100


def test_sampling_looks_at_the_end_of_the_trace_id() -> None:
    for number in range(200):
        trace, _, _, flags = trace_of(sample=30, state=number * 104_729)
        assert bool(flags & 1) == (int(trace[-14:], 16) >= 2**56 // 100 * 70)
