"""Feeding a parser three ways: whole, in small pieces, and with other bytes behind the message."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from weir.plane.parsers import ParsedHead, Refused
from weir.reasons import Reason

__all__ = ["STEPS", "HeadParser", "as_dict", "head_of", "outcome", "refusal", "refused_head"]

HeadParser = Callable[..., ParsedHead | None]
STEPS = (1, 2, 3, 7, 64)
TRAILING = (b"\r\n", b"GET /next HTTP/1.1\r\nHost: b\r\n\r\n", b"\x00\xff\n")


def as_dict(head: ParsedHead) -> dict[str, Any]:
    """Everything that a head says, for comparing."""
    return {name: getattr(head, name) for name in ParsedHead.__slots__}  # type: ignore[attr-defined]


def outcome(parse: HeadParser, data: bytes, **options: Any) -> dict[str, Any] | Reason | None:
    """What comes of parsing: the head, why it was refused, or None when it is not complete."""
    try:
        head = parse(data, **options)
    except Refused as refused:
        return Reason(refused.reason)
    return None if head is None else as_dict(head)


def head_of(parse: HeadParser, data: bytes, **limits: Any) -> ParsedHead:
    """The head that `data` is, after feeding it three ways with one result, and no result before its end."""
    head = parse(data, **limits)
    assert head is not None
    expected = as_dict(head)
    for step in STEPS:
        assert outcome(parse, data, step=step, **limits) == expected, f"in pieces of {step}"
    for trailing in TRAILING:
        assert outcome(parse, data + trailing, **limits) == expected, f"before {trailing!r}"
        assert outcome(parse, data + trailing, step=1, **limits) == expected, f"byte by byte before {trailing!r}"
    for end in range(len(data) if len(data) < 1000 else 0):
        assert outcome(parse, data[:end], **limits) is None, f"of the first {end} bytes"
    return head


def refused_head(parse: HeadParser, data: bytes, **limits: Any) -> Reason:
    """Why `data` is refused, after feeding it three ways with one result."""
    expected = outcome(parse, data, **limits)
    assert isinstance(expected, Reason), f"{data!r} was not refused: {expected}"
    for step in STEPS:
        assert outcome(parse, data, step=step, **limits) == expected, f"in pieces of {step}"
    for trailing in TRAILING:
        assert outcome(parse, data + trailing, **limits) == expected, f"before {trailing!r}"
    return expected


def refusal(call: Callable[..., object], *args: Any, **options: Any) -> Reason:
    """The reason with which the call refuses."""
    with pytest.raises(Refused) as caught:
        call(*args, **options)
    return Reason(caught.value.reason)
