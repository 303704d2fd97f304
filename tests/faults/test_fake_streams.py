"""Every exchange, broken at every byte in every way, on both sides, on fake streams.

Inside the bodies of the large ones not every byte is taken: `make faults` does that.
"""

from __future__ import annotations

import pytest

from tests.faults.exchanges import EXCHANGES, Exchange
from tests.faults.fakes import Stage, lengths
from tests.faults.pipes import Fault
from tests.faults.positions import faults_of

KINDS = ("cut", "reset", "half", "stall", "split")  # a delay is a split here: time passes only when it is told to
STRIDE = 1999


def test_there_are_exchanges_of_all_kinds() -> None:
    assert len(EXCHANGES) >= 50
    assert len({exchange.name for exchange in EXCHANGES}) == len(EXCHANGES)
    methods = {method for exchange in EXCHANGES for method in exchange.methods}
    assert methods == {"GET", "HEAD", "OPTIONS", "DELETE", "POST", "PUT", "PATCH"}


@pytest.mark.parametrize("exchange", EXCHANGES, ids=lambda exchange: exchange.name)
def test_every_byte_of(exchange: Exchange) -> None:
    total, wrong = lengths(exchange)
    assert wrong == [], "without any fault"
    stage = Stage(exchange)
    seen: list[tuple[Fault, list[str]]] = []
    for fault in faults_of(exchange, total, KINDS, STRIDE):
        if found := stage.run(fault):
            seen.append((fault, found))
    check(stage, seen)


@pytest.mark.parametrize("exchange", EXCHANGES, ids=lambda exchange: exchange.name)
def test_every_byte_of_what_is_tried_again(exchange: Exchange) -> None:
    """With another endpoint: an idempotent request is served whatever an endpoint does before its response."""
    total, _ = lengths(exchange)
    stage = Stage(exchange, retried=True)
    seen: list[tuple[Fault, list[str]]] = []
    for fault in faults_of(exchange, total, ("cut", "reset", "half", "stall"), STRIDE):
        if fault.side == "endpoint" and (found := stage.run(fault)):
            seen.append((fault, found))
    check(stage, seen)


def check(stage: Stage, seen: list[tuple[Fault, list[str]]]) -> None:
    text = "\n".join(f"{fault}: {found}" for fault, found in seen[:20])
    assert not seen, f"{len(seen)} of {stage.runs} runs are wrong:\n{text}"
    assert stage.close() == []
