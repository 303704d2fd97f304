"""The same bytes as real endpoints take them: weir refuses, or all of them saw one request and then the next one.

A marker follows each message on the same connection. What the recorder saw is what weir passed on; every other
endpoint must have seen the same requests, or have refused one of them for a reason that is written down.
"""

from __future__ import annotations

import contextlib
import json
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest
from hypothesis import HealthCheck, given, settings

from tests.e2e.rig import Rig
from tests.e2e.wire import Truncated

from .endpoints import NAMES, Request, start_endpoints
from .forwarded import origin
from .messages import REQUESTS
from .nasty import HIDDEN, NASTY
from .refusals import REFUSALS, Refuses, refuses

pytestmark = pytest.mark.timeout(60)

MARKER = b"GET /marker HTTP/1.1\r\nHost: marker\r\n\r\n"
SEEN = b"GET /seen HTTP/1.1\r\nHost: a\r\n\r\n"
OWN_ADDRESS = re.compile(r"127\.0\.0\.1:\d+")


@dataclass
class Told:
    """What came of some bytes: statuses for the client, requests at the endpoint."""

    statuses: list[int] = field(default_factory=list)
    seen: list[Request] = field(default_factory=list)


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    with start_endpoints(tmp_path_factory.mktemp("endpoints")) as rig:
        yield rig


def send(town: Rig, listener: int, *pieces: bytes) -> Told:
    """Sends the pieces, reads what comes to the end, and asks the endpoint what it saw."""
    told = Told()
    client = town.connect(listener=listener, timeout=4)
    with contextlib.suppress(ConnectionError):
        for n, piece in enumerate(pieces):
            time.sleep(0.03 if n else 0)
            client.send(piece)
        client.half_close()
    methods = ["HEAD" if pieces[0].lstrip().startswith(b"HEAD") else "GET"]
    with contextlib.suppress(Truncated, ConnectionError):
        while client.buffer or client.fill():
            told.statuses.append(client.response(methods.pop() if methods else "GET").status)
    client.close()
    town.clients.remove(client)
    told.seen = json.loads(town.ask(SEEN, listener=listener).body)
    for request in told.seen:
        if OWN_ADDRESS.fullmatch(request[2]):
            request[2] = ""  # what an endpoint is called by when the client names no host
    return told


def check(town: Rig, data: bytes) -> Told:
    """Sends a message and the marker to every endpoint, and compares; returns what the recorder saw."""
    measure = send(town, 0, data + MARKER)
    # The recorder answers 200, so all else is weir's own. A refusal is the last answer, and what follows is not read.
    answered = [status for status in measure.statuses if status < 400]
    assert measure.statuses[: len(answered)] == answered, measure
    assert len(measure.statuses) <= len(answered) + 1, measure
    assert len(measure.seen) == len(answered), measure
    for listener, name in enumerate(NAMES[1:], 1):
        told = send(town, listener, data + MARKER)
        refused = [refuses(name, request, data) for request in measure.seen]
        statuses = [400 if no else status for status, no in zip(measure.statuses, refused, strict=False)]
        statuses += measure.statuses[len(refused) :]
        seen = [request for request, no in zip(measure.seen, refused, strict=True) if not no]
        if True in refused and b"HTTP/1.0\r\n" in data and len(told.statuses) == refused.index(True) + 1:
            # A refusal without a length ends with its connection, and so does what an HTTP/1.0 client gets of it.
            seen, statuses = seen[: refused.index(True)], statuses[: len(told.statuses)]
        assert told.seen == seen, f"{name} saw {told}, the recorder {measure}"
        assert [min(status, 400) for status in told.statuses] == [min(status, 400) for status in statuses], (name, told)
    return measure


@pytest.mark.parametrize("name", NASTY)
def test_the_catalogue(town: Rig, name: str) -> None:
    check(town, NASTY[name])


def test_the_catalogue_is_not_refused_as_a_whole(town: Rig) -> None:
    """A good part of it passes; and each refusal that is in no doubt is one."""
    passed = {name for name, data in NASTY.items() if send(town, 0, data + MARKER).statuses[:1] == [200]}
    assert 100 < len(passed) < len(NASTY) - 150
    assert not [name for name in passed if name.startswith(("CL.TE b'Transfer-Encoding", "TE.CL b'Transfer-Encoding"))]


@settings(max_examples=100, derandomize=True, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=REQUESTS)
def test_generated_requests(town: Rig, data: bytes) -> None:
    check(town, data)


@pytest.mark.parametrize("row", REFUSALS, ids=lambda row: f"{row.endpoints[0]}-{row.example}")
def test_every_listed_refusal_is_still_one(town: Rig, row: Refuses) -> None:
    data = NASTY[row.example]
    (request, *_) = send(town, 0, data).seen
    assert row.when(request, data)
    for name in row.endpoints:
        told = send(town, NAMES.index(name), data)
        assert (told.seen, [status // 100 for status in told.statuses]) == ([], [4]), name


@pytest.mark.parametrize("coding", [False, True])
@pytest.mark.parametrize("name", NAMES)
def test_the_body_behind_an_upgrade_is_no_request(town: Rig, name: str, coding: bool) -> None:
    """A body that looks like a request, and comes later than its head."""
    framing = b"Transfer-Encoding: chunked" if coding else b"Content-Length: %d" % len(HIDDEN)
    head = b"POST /upgrade HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: x\r\n" + framing + b"\r\n\r\n"
    body = b"%x\r\n%b\r\n0\r\n\r\n" % (len(HIDDEN), HIDDEN) if coding else HIDDEN
    told = send(town, NAMES.index(name), head, body, MARKER)
    assert [(request[1], request[3].split()[0]) for request in told.seen] == [
        ("/upgrade", str(len(HIDDEN))),
        ("/marker", "0"),
    ]
    assert told.statuses == [200, 200]


def test_the_log_says_what_was_passed_on(town: Rig) -> None:
    seen = [request for data in NASTY.values() for request in send(town, 0, data + MARKER).seen]
    last = send(town, 0, b"GET /last HTTP/1.1\r\nHost: a\r\n\r\n").seen
    address = town.proxy.logged(target="/last", reason="none")[0]["endpoint"]
    records = [
        record
        for record in town.proxy.records()
        if record["endpoint"] == address and record["reason"] == "none" and record["target"] != "/seen"
    ]
    logged = [
        [
            record["method"],
            origin(record["target"].encode(), record["method"].encode()).decode(),
            record["host"] or "",
            str(record["request_body_bytes"]),
        ]
        for record in records[-len(seen) - 1 :]
    ]
    assert logged == [[method, target, host, body.split()[0]] for method, target, host, body in seen + last]
