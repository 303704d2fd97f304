"""Nothing is held back: what was said, and what nobody is in the way of, is where it belongs.

At the end of a quiet play everybody reads, no one has broken off or ended, and no time-out is near: whatever weir
holds back then, it has forgotten. A time-out would end the exchange later, and nobody would see why.
"""

from __future__ import annotations

from fuzz.script import Party, tag_in
from fuzz.witness import Answers, Request, Response, is_told, responses_seen

__all__ = ["check_prompt"]


def _asked(request: Request, carried: list[Answers]) -> tuple[Request, Response | None] | None:
    """What the endpoint that was asked last has read of a request, and its answer, if it has begun one."""
    found = None
    for answers in carried:
        for number, seen in enumerate(answers.requests):
            if seen.has_head and is_told(seen, request):
                found = seen, answers.responses[number] if number < len(answers.responses) else None
    return found


def check_prompt(client: Party, told: list[Request], carried: list[Answers]) -> None:
    """A client's requests are answered one by one, and of the one in progress all is passed on that came."""
    if client.stream.is_closed or client.stream.write_closed:
        return
    responses, _ = responses_seen(bytes(client.heard), told)
    # One that lasts as long as its connection is not finished while that is open.
    finished = sum(response.complete and not response.until_close for response in responses)
    if finished >= len(told) or tag_in(told[finished].target) is None:
        return
    request = told[finished]
    asked = _asked(request, carried)
    assert asked is not None, f"held back: {request}"
    seen, answer = asked
    assert seen.body == request.body, f"of {request} only this went on: {seen}"
    if answer is None or not (answer.body or answer.status == 101):
        return  # (A head whose body has not begun waits for it a moment.)
    assert not answer.complete or answer.until_close, f"held back: {answer}"
    assert len(responses) > finished, f"held back: {answer}"
    assert responses[finished].body == answer.body, f"of {answer} only this went on: {responses[finished]}"
    if answer.status == 101:
        assert responses[finished].rest == answer.rest, "the tunnel has held back what an endpoint said"
        assert seen.after == request.after, "the tunnel has held back what a client said"
