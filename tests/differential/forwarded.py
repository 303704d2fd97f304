"""What goes on of a message, and whether it still means what came in.

Weir's composer and chunk scanner make it; what it may differ in is written down here a second time, from the
manual (docs/http.md), not from the code.
"""

from __future__ import annotations

from dataclasses import replace

from weir.plane.parsers import forward_request, forward_response, rechunk

from .differences import explain
from .readings import REFERENCES, UNTIL_CLOSE, Fields, Reading, read_weir

__all__ = ["forwarded_request", "forwarded_response", "misread", "origin"]

# What ends at each hop, and what weir says itself.
ENDS_HERE = {b"connection", b"keep-alive", b"proxy-connection", b"te", b"transfer-encoding", b"upgrade"}
REQUEST_ONLY = {b"proxy-authorization", b"http2-settings", b"proxy", b"forwarded", b"x-real-ip"}
WRITTEN = {b"content-length", b"via", b"host", b"x-forwarded-for", b"x-forwarded-proto", b"x-forwarded-host"}
RESPONSE_ONLY = {b"proxy-authenticate", b"proxy-authentication-info", b"x-bytes"}
# Fields that may not come in trailers, as far as the generated messages have them.
NO_TRAILERS = {b"content-length", b"transfer-encoding", b"host"}


def forwarded_request(data: bytes, reading: Reading) -> bytes:
    """The bytes that reach an endpoint for a request that is complete."""
    return forward_request(data) + _canonical(data, reading)


def forwarded_response(data: bytes, reading: Reading) -> bytes:
    """The bytes that reach an HTTP/1.1 client for a response that is complete."""
    chunked = reading.framing in (("chunked", 0), ("close", 0))
    head = forward_response(data, chunked=chunked, interim=reading.start[0].startswith(b"1"))
    if reading.framing == ("close", 0):
        piece = b"%x\r\n%b\r\n" % (len(reading.body), reading.body) if reading.body else b""
        return head + piece + b"0\r\n\r\n"
    return head + _canonical(data, reading)


def _canonical(data: bytes, reading: Reading) -> bytes:
    assert reading.end is not None
    framed = data[reading.head_bytes : reading.end]
    return rechunk(framed)[0] if reading.framing == ("chunked", 0) else framed


def origin(target: bytes, method: bytes) -> bytes:
    """The target in origin form."""
    scheme, found, rest = target.partition(b"://")
    if target[:1] in (b"/", b"*") or not found or scheme.lower() not in (b"http", b"https"):
        return target
    at = min((at for at in (rest.find(b"/"), rest.find(b"?")) if at >= 0), default=len(rest))
    if at == len(rest) and method == b"OPTIONS":
        return b"*"
    return rest[at:] if rest[at:].startswith(b"/") else b"/" + rest[at:]


def _kept(fields: Fields, gone: set[bytes]) -> list[tuple[bytes, bytes]]:
    return [(name, value) for name, value in fields if name.lower() not in gone]


def _aliases(fields: Fields, gone: set[bytes]) -> set[bytes]:
    """Names that CGI and its heirs would take for those of `gone`: with an underscore where these have a hyphen."""
    names = {name.lower() for name, _ in fields}
    return {name for name in names if b"_" in name and name.replace(b"_", b"-") in gone}


def _nominated(fields: Fields) -> set[bytes]:
    lists = [value for name, value in fields if name.lower() == b"connection"]
    return {token.strip().lower() for value in lists for token in value.split(b",")}


def misread(data: bytes, asked: bytes, reading: Reading) -> str | None:
    """What is wrong with what weir passes on for a complete message; None if nothing is.

    Both references must take it, save for what no proxy can choose (the method), and read in it what weir
    read in the original.
    """
    sent = forwarded_response(data, reading) if asked else forwarded_request(data, reading)
    # Not judged: a Host that weir had to make up is empty (RFC 9112 section 3.2), and weir takes no such Host itself.
    passed = read_weir(sent, asked, judged=False)
    if not isinstance(passed, Reading):
        return f"weir itself reads {passed} in {sent!r}"
    for name, read in REFERENCES.items():
        trouble = explain(name, sent, passed, read(sent, asked), passed_on=True)
        if trouble:
            return f"{trouble} in {sent!r}"
    if passed.end not in (len(sent), UNTIL_CLOSE):
        return f"it ends at {passed.end} of {len(sent)} in {sent!r}"
    gone = ENDS_HERE | WRITTEN | (RESPONSE_ONLY if asked else REQUEST_ONLY)
    gone |= _nominated(reading.fields) | (set() if asked else _aliases(reading.fields, gone))
    start = reading.start if asked else (reading.start[0], origin(reading.start[1], reading.start[0]))
    framing = ("chunked", 0) if reading.framing == ("close", 0) else reading.framing
    expected = replace(
        reading,
        start=start,
        framing=framing,
        fields=tuple(_kept(reading.fields, gone)),
        trailers=tuple(_kept(reading.trailers, NO_TRAILERS)),
        head_bytes=passed.head_bytes,
        end=passed.end,
    )
    actual = replace(passed, fields=tuple(_kept(passed.fields, gone)))
    return None if actual == expected else f"{actual} instead of {expected}"
