"""Responses that somebody, somewhere, reads in two ways. By name, as an endpoint sends them before it closes."""

from __future__ import annotations

from .messages import CODINGS, ENDS, LENGTHS, LINES, SIZES, STATUSES, TRAILERS, VERSIONS

__all__ = ["NASTY_RESPONSES"]

HIDDEN = b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nhidden"  # what would be taken for the next answer
LAST = b"0\r\n\r\n"


def answer(*lines: bytes, body: bytes = b"", start: bytes = b"HTTP/1.1 200 OK") -> bytes:
    return b"\r\n".join([start, *lines, b"", b""]) + body


def _chunked(body: bytes) -> bytes:
    return answer(b"Transfer-Encoding: chunked", body=body)


def _catalogue() -> dict[str, bytes]:
    length, coding = b"Content-Length: 5", b"Transfer-Encoding: chunked"
    whole = b"5\r\nhello\r\n" + LAST
    out = {f"status {line!r}": answer(length, body=b"hello", start=b"HTTP/1.1 " + line) for line in STATUSES}
    out |= {
        f"version {text!r}": answer(length, body=b"hello", start=text + b" 200 OK") for text in dict.fromkeys(VERSIONS)
    }
    out |= {f"length {value!r}": answer(b"Content-Length: " + value, body=b"hello") for value in LENGTHS}
    out |= {f"coding {value!r}": answer(b"Transfer-Encoding: " + value, body=whole) for value in CODINGS}
    out |= {f"line {line!r}": answer(line, length, body=b"hello") for line in LINES}
    for form in SIZES:
        size = form.replace(b"%x", b"5").replace(b"%X", b"5")
        out[f"size {form!r}"] = _chunked(size + b"\r\nhello\r\n" + LAST)
    for trailer in sorted({*TRAILERS} - {b""}):
        out[f"trailer {trailer!r}"] = _chunked(b"5\r\nhello\r\n0\r\n" + trailer + b"\r\n")
    for end in sorted({*ENDS} - {b"\r\n"}):
        out[f"chunk ends {end!r}"] = _chunked(b"5\r\nhello" + end + LAST)
        out[f"head ends {end!r}"] = b"HTTP/1.1 200 OK\r\nContent-Length: 5" + end + b"\r\nhello"
    out |= {
        "length and coding": answer(length, coding, body=whole),
        "coding and length": answer(coding, b"Content-Length: 3", body=whole),
        "two lengths": answer(length, b"Content-Length: 6", body=b"hello!"),
        "the same length twice": answer(length, length, body=b"hello"),
        "coding twice": answer(coding, coding, body=whole),
        "coding in HTTP/1.0": answer(coding, body=whole, start=b"HTTP/1.0 200 OK"),
        "length nominated": answer(b"Connection: content-length", length, body=b"hello"),
        "coding nominated": answer(b"Connection: transfer-encoding", coding, body=whole),
        "until the end": answer(body=b"until the end"),
        "until the end, in HTTP/1.0": answer(body=b"until the end", start=b"HTTP/1.0 200 OK"),
        "nothing until the end": answer(),
        "more than the length": answer(length, body=b"hello" + HIDDEN),
        "more than the last chunk": _chunked(whole + HIDDEN),
        "less than the length": answer(b"Content-Length: 50", body=b"hello"),
        "less than a chunk": _chunked(b"50\r\nhello"),
        "no last chunk": _chunked(b"5\r\nhello\r\n"),
        "half a last chunk": _chunked(b"5\r\nhello\r\n0\r\n"),
        "half a head": b"HTTP/1.1 200 OK\r\nContent-Le",
        "no head": b"",
        "not HTTP": b"<html>hello</html>",
        "HTTP/0.9": b"hello\r\n\r\n",
        "a body with 204": answer(length, body=b"hello", start=b"HTTP/1.1 204 No Content"),
        "chunks with 204": answer(coding, body=whole, start=b"HTTP/1.1 204 No Content"),
        "a body with 304": answer(length, body=b"hello", start=b"HTTP/1.1 304 Not Modified"),
        "a response with 304": answer(length, body=HIDDEN, start=b"HTTP/1.1 304 Not Modified"),
        "100 first": answer(start=b"HTTP/1.1 100 Continue") + answer(length, body=b"hello"),
        "102 and 103 first": answer(start=b"HTTP/1.1 102 P")
        + answer(start=b"HTTP/1.1 103 E")
        + answer(length, body=b"hello"),
        "100 with a body first": answer(length, body=b"hello", start=b"HTTP/1.1 100 C") + answer(length, body=b"hello"),
        "only 100": answer(start=b"HTTP/1.1 100 Continue"),
        "101 unasked": answer(b"Upgrade: x", b"Connection: upgrade", start=b"HTTP/1.1 101 S") + HIDDEN,
        "empty line first": b"\r\n" + answer(length, body=b"hello"),
        "long value": answer(b"X: " + b"v" * 20_000, length, body=b"hello"),
        "long body": answer(b"Content-Length: 300000", body=b"b" * 300_000),
        "many chunks": _chunked(b"1\r\nc\r\n" * 5000 + LAST),
        "many cookies": answer(*(b"Set-Cookie: a=%d" % n for n in range(40)), length, body=b"hello"),
        "trailers announced": answer(coding, b"Trailer: X", body=b"5\r\nhello\r\n0\r\nX: y\r\n\r\n"),
    }
    return out


NASTY_RESPONSES = _catalogue()
