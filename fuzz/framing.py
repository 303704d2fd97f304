"""How long a body is: one answer, by the steps of RFC 9112 section 6.3, or a refusal."""

from __future__ import annotations

import re
from collections.abc import Callable

from fuzz.reading import members
from weir.plane.framing import BodyKind
from weir.plane.head import Method
from weir.plane.parsers import ParsedHead, Refused, parse_request, parse_response, request_framing, response_framing
from weir.reasons import Reason

__all__ = ["framing"]

Framing = tuple[int, int, bool, bool]

LENGTH_MAX = 2**63 - 1
METHODS = (Method.M_GET, Method.M_HEAD, Method.M_POST, Method.M_OTHER)
BAD, UNSUPPORTED = "bad", "unsupported"

_CODING = re.compile(rb"[0-9A-Za-z._\-]+")


def _values(head: ParsedHead, name: bytes) -> list[bytes]:
    return [value for field, value in head.fields if field.lower() == name]


def _declared(head: ParsedHead) -> tuple[BodyKind, int] | str | None:
    """What the fields say of the body; None if they say nothing."""
    lengths, codings = _values(head, b"content-length"), _values(head, b"transfer-encoding")
    if codings:
        if lengths or len(codings) > 1 or head.version_minor == 0:
            return BAD
        names = [name.strip(b" \t").lower() for name in codings[0].split(b",")]
        if not all(_CODING.fullmatch(name) for name in names) or names.index(b"chunked") != len(names) - 1:
            return BAD
        return (BodyKind.B_CHUNKED, 0) if len(names) == 1 else UNSUPPORTED
    if lengths:
        if len(lengths) > 1 or not re.fullmatch(rb"[0-9]+", lengths[0]) or int(lengths[0]) > LENGTH_MAX:
            return BAD
        return BodyKind.B_LENGTH, int(lengths[0])
    return None


def _declaration(head: ParsedHead) -> tuple[BodyKind, int] | str | None:
    try:
        return _declared(head)
    except ValueError:  # chunked is not among the codings
        return BAD


def _allows_keep_alive(head: ParsedHead) -> bool | None:
    """Whether the sender lets its connection live; None where quoting or parameters make a plain look unsafe."""
    values = _values(head, b"connection")
    if any(byte in value for value in values for byte in (b'"', b";")):
        return None
    options = members(values)
    return b"close" not in options and (head.version_minor == 1 or b"keep-alive" in options)


def _weir_says(framing: Callable[..., Framing], *arguments: object) -> Framing | Reason:
    try:
        return framing(*arguments)
    except Refused as refused:
        return Reason(refused.reason)


def _parsed(parse: Callable[[bytes], ParsedHead | None], data: bytes) -> ParsedHead | None:
    try:
        return parse(data)
    except Refused:
        return None


def _check_request(data: bytes) -> None:
    head = _parsed(parse_request, data)
    if head is None:
        return
    said, answer = _declaration(head), _weir_says(request_framing, data)
    if isinstance(said, str):
        assert answer == (Reason.BAD_FRAMING if said == BAD else Reason.UNSUPPORTED_CODING)
        return
    assert not isinstance(answer, Reason), f"refused, though the fields say {said}"
    kind, length, has_length, keep_alive = answer
    assert (kind, length) == (said or (BodyKind.B_NONE, 0))
    assert has_length == (kind == BodyKind.B_LENGTH)
    assert _allows_keep_alive(head) in (None, keep_alive)


def _check_response(data: bytes, method: Method, upgrade: bool) -> None:
    head = _parsed(parse_response, data)
    if head is None:
        return
    said, answer = _declaration(head), _weir_says(response_framing, data, method, upgrade)
    if isinstance(said, str):
        assert answer == Reason.BAD_RESPONSE_FRAMING
        return
    if head.status == 101 and not (upgrade and _values(head, b"upgrade")):
        assert answer == Reason.BAD_RESPONSE
        return
    assert not isinstance(answer, Reason), f"refused, though the fields say {said}"
    kind, length, _, keep_alive = answer
    if head.status == 101:
        assert kind == BodyKind.B_TUNNEL
        assert not keep_alive
        return
    if head.status < 200 or head.status in (204, 304) or method == Method.M_HEAD:
        assert kind == BodyKind.B_NONE
    else:
        assert (kind, length) == (said or (BodyKind.B_CLOSE, 0))
    allowed = _allows_keep_alive(head)
    assert allowed is None or keep_alive == (allowed and kind != BodyKind.B_CLOSE)


def framing(data: bytes) -> None:
    """A head's body has the one length that RFC 9112 section 6.3 gives it; what has two or none is refused."""
    if not data:
        return
    choice, fields = data[0], data[1:]
    version = b"HTTP/1.0" if choice & 1 else b"HTTP/1.1"
    status = (200, 101, 103, 204, 304, 500, 205, 100)[choice >> 4 & 7]
    _check_request(b"POST / " + version + b"\r\n" + fields + b"\r\n\r\n")
    _check_response(
        version + b" %d\r\n" % status + fields + b"\r\n\r\n", METHODS[choice >> 1 & 3], upgrade=bool(choice & 8)
    )
