"""Whole exchanges on fake streams: nothing is lost, doubled, mixed up, invented, or left hanging."""

from __future__ import annotations

import logging
from collections import Counter, deque

from fuzz.prompt import check_prompt
from fuzz.script import Party, Play, play, tag_in, tags_in
from fuzz.witness import Answers, Request, Response, carried_by, is_told, requests_told, responses_seen

__all__ = ["exchange"]

IDEMPOTENT = {b"GET", b"HEAD", b"PUT", b"DELETE", b"OPTIONS"}
# After the last word of a play, time goes on in steps that are longer than any timeout of the plane.
LONG_MS = 301_000
STEPS_LEAST = 12
# ... of the engine, after which even a large body has passed.
MANY_TURNS = 64
STEPS_PER_REQUEST = 4


class _Notes(logging.Handler):
    """Keeps what the plane logs of bugs, for the message of a crash; a play without memory logs much else."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.lines: deque[str] = deque(maxlen=4)

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(self.format(record))


def _end(it: Play) -> None:
    """Lets time pass until everybody has given up."""
    it.scene.plane.refuse_memory(0)
    said = b"".join(bytes(client.said) for client in it.clients.values())
    for _ in range(STEPS_LEAST + STEPS_PER_REQUEST * said.count(b" HTTP/1.")):
        it.scene.wait_ms(LONG_MS)
        it.listen()
        if all(client.stream.is_closed for client in it.clients.values()):
            break
    for number, client in it.clients.items():
        assert client.stream.is_closed, f"client {number} is still connected"
    assert it.scene.plane.ledger()["exchanges"] == 0


def _carried(it: Play) -> list[Answers]:
    return [carried_by(e.said, e.heard, e.ended, narrow=e.stream.room >= 0) for e in it.endpoints]


def _check_endpoints(carried: list[Answers], told: list[Request]) -> None:
    """Every request that an endpoint read is one that a client said, and the same."""
    times: Counter[int] = Counter()
    for answers in carried:
        for seen in answers.requests:
            if not seen.has_head:
                continue
            assert any(is_told(seen, request) for request in told), f"no client said {seen}"
            tag = tag_in(seen.target)
            if tag is not None:
                times[tag] += 1
                assert times[tag] == 1 or seen.method in IDEMPOTENT, f"sent twice: {seen}"


def _is_own(response: Response) -> bool:
    """Whether weir says this itself: an error, or the page."""
    return response.field(b"server") == b"weir" and (
        response.field(b"x-request-id") is not None or response.status == 200
    )


def _is_answer(response: Response, told: Response, cut: bool) -> bool:
    """Whether what a client read is, as far as it came, what an endpoint said."""
    if response.status != told.status:
        return False
    if response.status == 101:
        return told.rest.startswith(response.rest)
    if response.complete and not cut:
        return told.complete and response.body == told.body
    return told.body.startswith(response.body)


def _check_client(client: Party, told: list[Request], carried: list[Answers]) -> None:
    """Responses are those of this client's requests, in order; a whole one was whole, a cut one is seen as cut."""
    responses, fault = responses_seen(bytes(client.heard), told)
    assert not fault, f"a client was sent what is no response: {fault}"
    assert len(responses) <= len(told) + 1, "more responses than requests"
    for number, response in enumerate(responses):
        last = number == len(responses) - 1
        assert last or response.field(b"connection") != b"close", "more responses after the last"
        if _is_own(response):
            continue
        assert number < len(told), f"a response to no request: {response}"
        request = told[number]
        tag = tag_in(request.target)
        heard = tags_in(response.body + b" ".join(value for _, value in response.fields))
        assert heard <= ({tag} if tag is not None else set()), f"the answer to {heard} came to {tag}"
        answers = [pair for each in carried for pair in zip(each.requests, each.responses, strict=False)]
        candidates = [answer for seen, answer in answers if is_told(seen, request)]
        # An endpoint that answers before it has read what it is asked answers whatever that is.
        blind = any(not seen.has_head and answer.status == response.status for seen, answer in answers)
        cut = response.until_close and client.stream.was_reset
        assert blind or any(_is_answer(response, answer, cut) for answer in candidates), (
            f"to {request} a client was told {response}, but endpoints said {candidates}"
        )


def _check_tunnels(it: Play, carried: list[Answers], told: list[Request]) -> None:
    """What an endpoint read in a tunnel is the beginning of what a client said behind its request."""
    for answers in carried:
        if not answers.responses or answers.responses[-1].status != 101:
            continue
        request = answers.requests[len(answers.responses) - 1]
        assert any(is_told(request, said) and said.after.startswith(request.after) for said in told), (
            f"the tunnel behind {request} carries what no client said"
        )


def check(it: Play) -> None:
    """Everything that holds after a play, whatever was played."""
    told = {number: requests_told(bytes(client.said)) for number, client in it.clients.items()}
    everything = [request for requests in told.values() for request in requests]
    if it.is_quiet:
        it.scene.turn(MANY_TURNS)
        it.listen()
        carried = _carried(it)
        for number, client in it.clients.items():
            check_prompt(client, told[number], carried)
    _end(it)
    carried = _carried(it)
    _check_endpoints(carried, everything)
    _check_tunnels(it, carried, everything)
    for number, client in it.clients.items():
        _check_client(client, told[number], carried)


def exchange(data: bytes) -> None:
    """Endpoints get the requests that clients sent, clients the answers to theirs in order, and all comes to an end."""
    if not data:
        return
    notes = _Notes()
    log = logging.getLogger("weir")
    log.addHandler(notes)
    log.propagate = False
    try:
        it = play(data)
        try:
            check(it)
        finally:
            assert it.scene.engine.bugs == 0, "\n".join(notes.lines)
            it.scene.close()
    finally:
        log.removeHandler(notes)
        log.propagate = True
