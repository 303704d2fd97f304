"""The chunked coding: what goes on is the same body, in canonical form."""

from __future__ import annotations

from typing import NamedTuple

from fuzz.reading import Chunks, dechunk
from weir.plane.parsers import Refused, rechunk
from weir.reasons import Reason

__all__ = ["chunks"]

# A recipient that merged trailers into the head would be told another length, route or user by these.
NEVER_TRAILERS = {
    *(b"content-length", b"transfer-encoding", b"host", b"connection", b"te", b"trailer", b"upgrade", b"expect"),
    *(b"authorization", b"cookie", b"set-cookie", b"content-type", b"content-encoding", b"x-forwarded-for"),
}


class Fed(NamedTuple):
    """What came of feeding a body: what was sent on, and how it stands."""

    sent: bytes
    consumed: int
    payload: int
    complete: bool
    refused: Reason | None


def _feed(data: bytes, *, decode: bool = False, step: int | None = None) -> Fed:
    try:
        return Fed(*rechunk(data, decode=decode, step=step), None)
    except Refused as refused:
        return Fed(refused.sent, 0, 0, False, Reason(refused.reason))


def chunks(data: bytes) -> None:
    """A chunked body goes on as the canonical form of what an independent decoder reads, or is refused."""
    whole = _feed(data)
    for step in (1, 3):
        pieces = _feed(data, step=step)
        if whole.refused and not pieces.refused:
            # A trailer section in pieces is judged line by line.
            pieces = _feed(data + b"\n\n", step=step)
        assert pieces == whole, f"in pieces of {step}: {pieces}, whole: {whole}"
    plain = _feed(data, decode=True)
    assert (plain.refused, plain.complete, plain.consumed) == (whole.refused, whole.complete, whole.consumed)
    said = dechunk(data)
    assert whole.complete == said.complete, f"weir says {whole}, the grammar {said}"
    assert plain.sent == said.payload, "the payload is another"
    assert dechunk(whole.sent).payload == said.payload, "what goes on has another payload"
    assert len(whole.sent) <= len(data)
    if whole.complete:
        _check_whole(data, whole, said)


def _check_whole(data: bytes, whole: Fed, said: Chunks) -> None:
    assert whole.consumed == said.length
    assert whole.payload == len(said.payload)
    assert _feed(data + b"GET / HTTP/1.1\r\n") == whole, "it depends on what comes behind it"
    assert _feed(whole.sent)._replace(consumed=0) == whole._replace(consumed=0), "it is not in canonical form"
    canonical = dechunk(whole.sent)
    assert canonical.length == len(whole.sent)
    assert canonical.complete
    came, went = said.trailers.split(b"\r\n"), canonical.trailers.split(b"\r\n")
    assert went == [line for line in came if line in set(went)], "trailers are not those that came, in their order"
    assert not NEVER_TRAILERS & {line.partition(b":")[0].lower() for line in went}
