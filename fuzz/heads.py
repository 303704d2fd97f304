"""Heads: one verdict however they come, and the one that the grammar gives."""

from __future__ import annotations

import re
from typing import Any

from fuzz.reading import LINE, TOKEN, VALUE, split_lines
from tests.plane.feed import TRAILING, HeadParser, outcome
from weir.plane.parsers import parse_request, parse_response
from weir.reasons import Reason

__all__ = ["head_request", "head_response", "one_verdict"]

LIMITS = {"head_bytes": 32768, "fields": 100}
TIGHT = {"head_bytes": 80, "fields": 3}
TARGET_BYTES = 8192
METHOD_BYTES = 64

_REQUEST = re.compile(rb"(?:\r\n)?(" + TOKEN + rb") ([!\"$-~]+) HTTP/1\.([0-9])\r\n((?:" + LINE + rb")*)\r\n")
_RESPONSE = re.compile(rb"HTTP/1\.([0-9]) ([1-5][0-9][0-9])( " + VALUE + rb")?\r\n((?:" + LINE + rb")*)\r\n")
_AUTHORITY_FORM = re.compile(rb"[^/?@]+:[0-9]+")
_ABSOLUTE_FORM = re.compile(rb"https?://[^/?@]+(?:[/?].*)?", re.IGNORECASE)


def one_verdict(parse: HeadParser, data: bytes, **limits: int) -> dict[str, Any] | Reason | None:
    """What comes of parsing `data`, the same whole, in pieces, cut at its end, and with other bytes behind it."""
    whole = outcome(parse, data, **limits)
    for step in (1, 3):
        pieces = outcome(parse, data, step=step, **limits)
        if pieces is None and isinstance(whole, Reason):
            # Pieces are judged line by line: the fault is told when its line ends.
            pieces = outcome(parse, data + b"\n\n", step=step, **limits)
        assert pieces == whole, f"in pieces of {step}: {pieces}, whole: {whole}"
    if whole is None:
        return None
    for trailing in TRAILING:
        assert outcome(parse, data + trailing, **limits) == whole, f"before {trailing!r}"
    if isinstance(whole, dict):
        end = whole["length"]
        assert outcome(parse, data[:end], **limits) == whole, "at its end"
        assert outcome(parse, data[: end - 1], **limits) is None, "one byte before its end"
    return whole


def _fields(lines: bytes) -> list[tuple[bytes, bytes]]:
    pairs = (line.partition(b":") for line in lines.split(b"\r\n")[:-1])
    return [(name, value.strip(b" \t")) for name, _, value in pairs]


def _is_target(method: bytes, target: bytes) -> bool:
    """Whether the target has one of the four forms of RFC 9112 section 3.2, the one that its method wants."""
    if method == b"CONNECT":
        return _AUTHORITY_FORM.fullmatch(target) is not None
    return (
        target.startswith(b"/")
        or (target == b"*" and method == b"OPTIONS")
        or _ABSOLUTE_FORM.fullmatch(target) is not None
    )


def head_request(data: bytes) -> None:
    """A request's head has one verdict, whole and in pieces, and it is taken exactly if the grammar takes it."""
    head = one_verdict(parse_request, data, target_bytes=TARGET_BYTES, **LIMITS)
    one_verdict(parse_request, data, target_bytes=16, **TIGHT)
    match = _REQUEST.match(data)
    good = (
        match is not None
        and len(match[1]) <= METHOD_BYTES
        and len(match[2]) <= TARGET_BYTES
        and match.end() <= LIMITS["head_bytes"]
        and match[4].count(b"\r\n") <= LIMITS["fields"]
        and _is_target(match[1], match[2])
    )
    assert isinstance(head, dict) == good, f"weir says {head}, the grammar {match}"
    if isinstance(head, dict) and match is not None:
        assert head["length"] == match.end()
        assert (head["method_name"], head["target"]) == (match[1], match[2])
        assert head["version_minor"] == min(int(match[3]), 1)
        assert head["fields"] == _fields(match[4])
        assert (head["path"] + head["query"]) in head["target"]
        assert split_lines(data[: head["length"]])[0].startswith(head["method_name"])


def head_response(data: bytes) -> None:
    """A response's head has one verdict, whole and in pieces, and it is taken exactly if the grammar takes it."""
    head = one_verdict(parse_response, data, **LIMITS)
    one_verdict(parse_response, data, **TIGHT)
    match = _RESPONSE.match(data)
    good = match is not None and match.end() <= LIMITS["head_bytes"] and match[4].count(b"\r\n") <= LIMITS["fields"]
    assert isinstance(head, dict) == good, f"weir says {head}, the grammar {match}"
    if isinstance(head, dict) and match is not None:
        assert head["length"] == match.end()
        assert head["status"] == int(match[2])
        assert head["version_minor"] == min(int(match[1]), 1)
        assert head["fields"] == _fields(match[4])
