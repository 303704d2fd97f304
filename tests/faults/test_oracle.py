"""The oracle itself: what it must complain of, and what it must not."""

from __future__ import annotations

from typing import Any

import pytest

from tests.faults.exchanges import EXCHANGES, Exchange
from tests.faults.oracle import Ledgers, complaints
from tests.faults.pipes import Fault, Pipe
from tests.faults.players import CLEAN, OPEN, Sighting, target_of
from tests.faults.reader import read_requests

BY_NAME = {exchange.name: exchange for exchange in EXCHANGES}
CUT = Fault("endpoint", "to", "cut", 60)
TIMEOUT = b"HTTP/1.1 504 Gateway Timeout\r\nServer: weir\r\nContent-Length: %d\r\n\r\n%b"


def sighting(exchange: Exchange, leg: int = 0, number: int = 0, shorter: int = 0) -> Sighting:
    data = b"".join(exchange.legs[leg].send).replace(b"@", target_of(7, leg), 1)
    return Sighting(7, leg, 0, number, read_requests(data[: len(data) - shorter])[0])


def line(reason: str = "none", status: int = 200, body: int = 5, retries: int = 0) -> dict[str, Any]:
    return {
        "target": "/000007/0",
        "reason": reason,
        "status": status,
        "retries": retries,
        "response_body_bytes": body,
    }


def ledgers(name: str, fault: Fault | None = None, **options: Any) -> Ledgers:
    """A run in which all went well, except for `options`."""
    exchange = BY_NAME[name]
    answer = b"".join(leg.answer for leg in exchange.legs)
    given = {"received": answer, "end": OPEN, "sightings": [sighting(exchange)], "lines": [line()], **options}
    return Ledgers(exchange, 7, fault, tunnelled=b"", met=fault is not None, **given)


def error(word: str) -> bytes:
    text = f"504 Gateway Timeout\n{word}: x\n".encode()
    return TIMEOUT % (len(text), text)


OK = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n"
POST = BY_NAME["post"]
GET = BY_NAME["get"]
WRONG: dict[str, Ledgers] = {
    "another body": ledgers("get", received=OK + b"hallo"),
    "another body in spite of a cut": ledgers("get", CUT, received=OK + b"hallo"),
    "half, without a fault": ledgers("get", received=OK + b"he", end=CLEAN),
    "half, and then nothing": ledgers("get", CUT, received=OK + b"he", lines=[line("upstream_truncated", body=2)]),
    "a clean end of half": ledgers("get", CUT, received=b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhe", end=CLEAN),
    "more than the answer": ledgers("get", received=OK + b"hello" + OK),
    "another status": ledgers("get", received=OK.replace(b"200 OK", b"201 OK") + b"hello"),
    "an error without a fault": ledgers("get", received=error("response_timeout")),
    "an error that does not fit": ledgers("get", CUT, received=error("response_timeout")),
    "a line too few": ledgers("get", lines=[]),
    "a line too many": ledgers("get", lines=[line(), line()]),
    "a line that says none of an error": ledgers("get", CUT, received=OK + b"he", end=CLEAN),
    "a line with another count": ledgers("get", lines=[line(body=4)]),
    "never at the endpoint": ledgers("get", sightings=[]),
    "an error although there was another endpoint": ledgers(
        "get", CUT, received=error("upstream_closed"), retried=True
    ),
    "a POST twice, where all is tried again": ledgers(
        "post", CUT, sightings=[sighting(POST)] * 2, lines=[line(body=7, retries=1)], retried=True
    ),
    "at the endpoint twice": ledgers("get", sightings=[sighting(GET), sighting(GET)], lines=[line(retries=1)]),
    "twice on a fresh connection": ledgers("get", CUT, sightings=[sighting(GET)] * 2, lines=[line(retries=1)]),
    "a POST twice": ledgers("post", CUT, sightings=[sighting(POST, number=1)] * 2, lines=[line(body=7, retries=1)]),
}


@pytest.mark.parametrize("what", WRONG)
def test_it_complains_of(what: str) -> None:
    assert complaints(WRONG[what]) != []


RIGHT: dict[str, Ledgers] = {
    "all went well": ledgers("get"),
    "all went well in spite of a cut": ledgers("get", CUT),
    "a visible cut": ledgers("get", CUT, received=OK + b"he", end=CLEAN, lines=[line("upstream_truncated", body=2)]),
    "half a request": ledgers(
        "post",
        Fault("client", "to", "cut", 60),
        received=b"",
        end=CLEAN,
        sightings=[sighting(POST, shorter=2)],
        lines=[line("client_closed")],
    ),
    "a GET twice, where all is tried again": ledgers(
        "get", CUT, sightings=[sighting(GET)] * 2, lines=[line(retries=1)], retried=True
    ),
    "a GET twice": ledgers("get", CUT, sightings=[sighting(GET, number=1)] * 2, lines=[line(retries=1)]),
}


@pytest.mark.parametrize("what", RIGHT)
def test_it_does_not_complain_of(what: str) -> None:
    assert complaints(RIGHT[what]) == []


def test_a_pipe_lets_pass_what_is_before_its_fault() -> None:
    pipe = Pipe(Fault("client", "to", "split", 4))
    assert (pipe.push(b"abc"), pipe.met) == (b"abc", False)
    assert (pipe.push(b"def"), pipe.met, pipe.room) == (b"d", True, -1)
    assert (pipe.take_held(), pipe.push(b"ghi"), pipe.passed) == (b"ef", b"ghi", 9)
