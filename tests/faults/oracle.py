"""Which outcomes of a faulty run are right: the three ledgers of it, each by itself and against the others.

The client sees, for each request, in their order: the whole right response; or a part of it with a visible end; or
an error answer of weir whose reason fits the fault; or nothing, and its connection ended. Never a clean end of
something else, with one exception that no proxy can do anything about: when the fault cuts a message that only the
end of its connection ends, cleanly, on the way to the one who reads it, the cut is that end.

The endpoint sees each request as the client sent it, whole or visibly cut, and once; a second time only if the
request is idempotent and the first was on a connection that had been used before; a POST never twice.

Where everything may be tried again at another endpoint (`retried`), an idempotent request may be seen a second time
after any fault of an endpoint; and it must be served then, unless a part of the response had come to the client: an
error answer is wrong.

Weir's log has one line for each request the endpoint has seen, and says `none` only if the client was served.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from tests.faults.exchanges import Exchange, Leg
from tests.faults.pipes import CALM, Fault
from tests.faults.players import CLEAN, OPEN, TUNNEL_DOWN, TUNNEL_UP, Sighting, target_of
from tests.faults.reader import Message, Nonsense, read_responses
from weir.reasons import REASONS

__all__ = ["Ledgers", "complaints"]

# Fields that belong to a connection, or that weir adds.
OF_THE_HOP = {"connection", "keep-alive", "transfer-encoding", "te", "trailer", "upgrade", "x-bytes"}

CLIENT_GONE = {"client_closed"}
CLIENT_SILENT = {"head_timeout", "body_timeout", "idle_timeout", "stream_timeout", "client_stalled", "response_timeout"}
ENDPOINT_GONE = {"upstream_closed", "upstream_reset", "upstream_truncated", "connect_failed"}
ENDPOINT_SILENT = {"response_timeout", "stream_timeout", "connect_timeout"}


@dataclass
class Ledgers:
    """What is known of a run when it is over."""

    exchange: Exchange
    run: int
    fault: Fault | None
    received: bytes  # by the client
    end: str  # of the client's connection, before the client itself closed it
    sightings: Sequence[Sighting]
    tunnelled: bytes  # what came to the endpoint through the tunnel
    lines: Sequence[dict[str, Any]]  # of the log, those of this run's targets and those without a target
    met: bool  # the fault has happened
    retried: bool = False  # weir tries everything again that may be done twice, and there is another endpoint
    left_early: bool = False  # the endpoint has closed before weir was done with what a vanished client wanted


def fitting_reasons(fault: Fault | None, exchange: Exchange) -> set[str]:
    """The words that the log and an error answer may have."""
    allowed = {"none"} | {leg.refused for leg in exchange.legs if leg.refused}
    if fault is None or fault.kind in CALM:
        return allowed
    if fault.side == "client":
        return allowed | (CLIENT_SILENT if fault.kind == "stall" else CLIENT_GONE)
    if fault.kind == "stall":
        # A client that waits for a 100 that never comes sends no body, and weir cannot know why.
        waits = any(len(leg.send) > 1 for leg in exchange.legs)
        return allowed | ENDPOINT_SILENT | ({"body_timeout"} if waits else set())
    if fault.kind == "half" and fault.way == "from":
        # The endpoint closes when it sees half a request; in a tunnel it only ends its own half.
        return allowed | ENDPOINT_GONE | {"response_timeout"}
    return allowed | ENDPOINT_GONE


def complaints(ledgers: Ledgers) -> list[str]:
    """All that is wrong with a run; nothing, if its outcome is one of the defined ones."""
    try:
        return [*_client(ledgers), *_endpoint(ledgers), *_log(ledgers)]
    except (Nonsense, ValueError, IndexError) as error:
        return [f"{error!r}: the client got {ledgers.received[-300:]!r}"]


def end_to_end(message: Message) -> list[tuple[str, str]]:
    fields = [(name.lower(), value) for name, value in message.fields if name.lower() not in OF_THE_HOP]
    return [field for field in fields if field != ("content-length", "0")]


def error_reason(message: Message) -> str:
    """The reason of an answer that weir made itself, or nothing. HEAD has none to read: its status has to do."""
    if message.get("server") != "weir":
        return ""
    line = message.body.decode("latin-1").partition("\n")[2]
    return line.partition(":")[0] or f"status {message.status}"


def _calm(ledgers: Ledgers) -> bool:
    return ledgers.fault is None or ledgers.fault.kind in CALM or not ledgers.met


def _client(ledgers: Ledgers) -> list[str]:
    exchange = ledgers.exchange
    found, rest = read_responses(ledgers.received, exchange.methods, ledgers.end == CLEAN)
    wrong = []
    for number, leg in enumerate(exchange.legs):
        seen = found[number] if number < len(found) else Message()
        wrong += [f"answer {number}: {text}" for text in _answer(ledgers, leg, seen)]
        if not seen.whole:
            break
    if found and found[-1].has_head and found[-1].status == 101:
        if not TUNNEL_DOWN.startswith(rest) or (_calm(ledgers) and rest != TUNNEL_DOWN):
            wrong.append(f"the tunnel gave {rest!r}")
    elif rest and not _unknown_method(ledgers, found):
        wrong.append(f"behind the last answer: {rest[:100]!r}")
    return wrong


def _unknown_method(ledgers: Ledgers, found: list[Message]) -> bool:
    """A head that stopped coming is answered before its method is known, and so with a text, even if it is HEAD."""
    fault = ledgers.fault
    return (
        fault is not None
        and (fault.side, fault.way, fault.kind) == ("client", "to", "stall")
        and found[-1].status == 408
        and (found[-1].get("connection") or "") == "close"
    )


def _answer(ledgers: Ledgers, leg: Leg, seen: Message) -> list[str]:
    fault = ledgers.fault
    if not seen.whole and _calm(ledgers):
        return [f"not whole although nothing was lost: {seen.raw[-200:]!r}, end: {ledgers.end}"]
    if not seen.whole and ledgers.end == OPEN and not (fault and fault.side == "client" and fault.kind == "stall"):
        return [f"neither an answer nor an end: {seen.raw[-200:]!r}"]
    if not seen.has_head:
        return []
    if seen.get("server") == "weir":
        return _error(ledgers, leg, seen)
    if leg.refused:
        return [f"served although it is {leg.refused}: {seen.raw[:200]!r}"]
    wanted = leg.response()
    if seen.status != wanted.status or end_to_end(seen) != end_to_end(wanted):
        return [f"another head: {seen.start} {seen.fields}"]
    hints = [status for status in wanted.interim if status != 100] if ledgers.retried else []
    again = [wanted.interim, *(hints[:count] + wanted.interim for count in range(1, len(hints) + 1))]
    if seen.interim not in again:  # each attempt may bring its hints
        return [f"interim responses {seen.interim}"]
    if not wanted.body.startswith(seen.body):
        return [f"not its body: {seen.body[-100:]!r}"]
    is_it = (seen.body, seen.trailers) == (wanted.body, wanted.trailers)
    if seen.whole and not is_it and not _cut_is_the_end(fault, leg, seen):
        return [f"whole, but only a part: {seen.body[-100:]!r} {seen.trailers}"]
    return []


def _cut_is_the_end(fault: Fault | None, leg: Leg, seen: Message) -> bool:
    """Whether the fault is a clean end, where a clean end is all that ends the message."""
    if fault is None or fault.kind not in ("cut", "half"):
        return False
    if fault.side == "client":
        return fault.way == "from" and seen.until_close
    return fault.way == "to" and leg.response().until_close


def _error(ledgers: Ledgers, leg: Leg, seen: Message) -> list[str]:
    reason = error_reason(seen)
    if ledgers.retried and leg.idempotent and not leg.refused and _lost(ledgers.fault, leg):
        return [f"not tried again: {seen.status} {reason}"]
    allowed = fitting_reasons(ledgers.fault, ledgers.exchange) - {"none"}
    statuses = {row.status for row in REASONS if row.word in allowed}
    if seen.status not in statuses:
        return [f"status {seen.status} does not fit: {reason}"]
    if leg.method != "HEAD" and seen.whole:
        if reason not in allowed:
            return [f"the reason does not fit: {reason}"]
        if seen.status != next(row.status for row in REASONS if row.word == reason):
            return [f"status {seen.status} for {reason}"]
    return []


def _lost(fault: Fault | None, leg: Leg) -> bool:
    """Whether the fault takes one connection of an endpoint, and leaves the next one alone."""
    if fault is None or fault.side != "endpoint":
        return False
    if fault.kind == "stall" and len(leg.send) > 1:
        return False  # the client waits for a 100, and nobody knows whom to blame
    return fault.kind in ("cut", "reset") or (fault.way == "to" and fault.kind in ("half", "stall"))


def _endpoint(ledgers: Ledgers) -> list[str]:
    wrong = []
    for number, leg in enumerate(ledgers.exchange.legs):
        seen = [sighting for sighting in ledgers.sightings if sighting.leg == number]
        wanted = leg.request(target_of(ledgers.run, number)) if seen or not leg.refused else Message()
        if wanted.start.endswith(" HTTP/1.0"):
            wanted.start = wanted.start.removesuffix("0") + "1"
        wanted.start = wanted.start.replace(" http://h/", " /")
        for sighting in seen:
            wrong += [f"request {number} at the endpoint: {text}" for text in _request(sighting.message, wanted)]
        if len(seen) > 1:
            wrong += _twice(ledgers, leg, seen)
        if not seen and _calm(ledgers) and leg.refused not in ("bad_framing", "expectation_failed"):
            wrong.append(f"request {number} never came to the endpoint")
        if leg.tunnel and not TUNNEL_UP.startswith(ledgers.tunnelled):
            wrong.append(f"through the tunnel came {ledgers.tunnelled!r}")
        if leg.tunnel and _calm(ledgers) and ledgers.tunnelled != TUNNEL_UP:
            wrong.append(f"through the tunnel came only {ledgers.tunnelled!r}")
    return wrong


def _request(seen: Message, wanted: Message) -> list[str]:
    if seen.start != wanted.start or end_to_end(seen) != end_to_end(wanted):
        return [f"another head: {seen.start} {seen.fields}, not {wanted.start} {wanted.fields}"]
    if seen.whole and (seen.body, seen.trailers) != (wanted.body, wanted.trailers):
        return [f"whole, but not it: {seen.body[-100:]!r}"]
    if not wanted.body.startswith(seen.body):
        return [f"a part, but not of it: {seen.body[-100:]!r}"]
    return []


def _twice(ledgers: Ledgers, leg: Leg, seen: list[Sighting]) -> list[str]:
    fault = ledgers.fault
    proof = fault is not None and fault.side == "endpoint" and fault.kind not in CALM
    if proof and leg.idempotent and len(seen) == 2 and (ledgers.retried or seen[0].number > 0):
        return []
    return [f"{leg.method} seen {len(seen)} times, on connections {[(s.connection, s.number) for s in seen]}"]


def _log(ledgers: Ledgers) -> list[str]:
    wrong = []
    allowed = fitting_reasons(ledgers.fault if ledgers.met else None, ledgers.exchange)
    if ledgers.left_early:
        allowed |= ENDPOINT_GONE
    found, _ = read_responses(ledgers.received, ledgers.exchange.methods, ledgers.end == CLEAN)
    for line in ledgers.lines:
        if line["reason"] not in allowed:
            wrong.append(f"the log says {line['reason']}")
    for number, leg in enumerate(ledgers.exchange.legs):
        target = target_of(ledgers.run, number).decode()
        lines = [line for line in ledgers.lines if str(line["target"]).endswith(target)]
        seen = [sighting for sighting in ledgers.sightings if sighting.leg == number]
        if len(lines) > 1 or (seen and not lines):
            wrong.append(f"request {number}: seen {len(seen)} times, lines of the log: {lines}")
        if not lines:
            continue
        if len(seen) > lines[0]["retries"] + 1:
            wrong.append(f"request {number}: seen {len(seen)} times, {lines[0]['retries']} retries")
        answer = found[number] if number < len(found) else Message()
        wrong += [f"request {number}: {text}" for text in _served(ledgers, leg, lines[0], answer)]
    return wrong


def _served(ledgers: Ledgers, leg: Leg, line: dict[str, Any], answer: Message) -> list[str]:
    """The line against what the client got. What is lost between weir and the client, weir cannot know of."""
    if not _calm(ledgers) and ledgers.fault is not None and ledgers.fault.side == "client":
        return []
    wrong = []
    if answer.has_head and line["status"] != answer.status:
        wrong.append(f"the log says status {line['status']}, the client got {answer.status}")
    served = answer.whole and answer.get("server") != "weir"
    if (line["reason"] == "none") != served and not (leg.tunnel and answer.whole):
        wrong.append(f"the log says {line['reason']}, the client got {answer.raw[-100:]!r}")
    body = len(answer.body)
    if answer.whole and not leg.tunnel and line["response_body_bytes"] != body:
        wrong.append(f"the log says {line['response_body_bytes']} bytes of body, the client got {body}")
    return wrong
