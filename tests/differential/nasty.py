"""The smuggling catalogue: requests that somebody, somewhere, reads in two ways. By name, as they are sent."""

from __future__ import annotations

from .messages import BYTES, CODINGS, LENGTHS, LINES, METHODS, SIZES, TARGETS, TRAILERS, VERSIONS

__all__ = ["HIDDEN", "NASTY"]

HIDDEN = b"GET /hidden HTTP/1.1\r\nHost: hidden\r\n\r\n"  # what a smuggler would have served
LAST = b"0\r\n\r\n"


def post(*lines: bytes, body: bytes = b"", start: bytes = b"POST /nasty HTTP/1.1") -> bytes:
    return b"\r\n".join([start, b"Host: a", *lines, b"", b""]) + body


def _sized(form: bytes, data: bytes = b"hello") -> bytes:
    return form.replace(b"%x", b"%x" % len(data)).replace(b"%X", b"%X" % len(data))


def _both(*names: bytes) -> list[bytes]:
    """Names of Transfer-Encoding and its look-alikes, each said beside a length."""
    return [name + b" chunked" for name in names]


def _framings() -> dict[str, bytes]:
    chunked = b"Transfer-Encoding: chunked"
    hidden_length = b"Content-Length: %d" % (len(HIDDEN) + len(LAST))
    out = {f"length {value!r}": post(b"Content-Length: " + value, body=b"hello") for value in LENGTHS}
    out |= {
        f"coding {value!r}": post(b"Transfer-Encoding: " + value, body=b"5\r\nhello\r\n" + LAST) for value in CODINGS
    }
    for name in _both(
        *(b"Transfer-Encoding:", b"Transfer-Encoding :", b" Transfer-Encoding:", b"Transfer-Encoding\t:"),
        *(b"Transfer_Encoding:", b"transfer-encoding:", b"X: a\r\n Transfer-Encoding:", b"X: a\nTransfer-Encoding:"),
        *(b"X: a\rTransfer-Encoding:", b"Transfer-Encoding:\x0b", b"Transfer-Encoding\x00:", b"\x00Transfer-Encoding:"),
        *(b"Transfer-Encoding: x\r\nTransfer-Encoding:", b"Transfer Encoding:", b"Transfer-Encoding\r\n :"),
    ):
        out[f"CL.TE {name!r}"] = post(hidden_length, name, body=LAST + HIDDEN)
        out[f"TE.CL {name!r}"] = post(name, b"Content-Length: 4", body=b"%x\r\n%b\r\n" % (len(HIDDEN), HIDDEN) + LAST)
        out[f"TE alone {name!r}"] = post(name, body=LAST + HIDDEN)
    for first, second in (
        (b"Content-Length: 5", b"Content-Length: 5"),
        (b"Content-Length: 5", b"Content-Length: 0"),
        (b"Content-Length: 0", b"content-length: 5"),
        (chunked, chunked),
        (chunked, b"Transfer-Encoding: identity"),
        (b"Transfer-Encoding: identity", chunked),
        (b"Content_Length: 5", b"Content-Length: 0"),
        (b"Connection: Content-Length", b"Content-Length: 5"),
        (b"Connection: close, Transfer-Encoding", chunked),
        (b"Connection: upgrade\r\nUpgrade: websocket", hidden_length),
        (b"Connection: upgrade\r\nUpgrade: x", hidden_length),
        (
            b"Connection: upgrade, http2-settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQCAAAAAAIAAAAA",
            hidden_length,
        ),
        (b"Expect: 100-continue", b"Content-Length: 5"),
        (b"Expect: 100-continue", chunked),
    ):
        body = (
            HIDDEN + LAST if hidden_length in (first, second) else b"hello" if chunked not in (first, second) else LAST
        )
        out[f"{first!r}, {second!r}"] = post(first, second, body=body)
    out["GET with a length"] = post(hidden_length, body=HIDDEN + LAST, start=b"GET /nasty HTTP/1.1")
    out["GET with chunks"] = post(chunked, body=LAST, start=b"GET /nasty HTTP/1.1")
    out["HEAD with a length"] = post(b"Content-Length: 5", body=b"hello", start=b"HEAD /nasty HTTP/1.1")
    out["OPTIONS * with a length"] = post(b"Content-Length: 5", body=b"hello", start=b"OPTIONS * HTTP/1.1")
    out["chunked in HTTP/1.0"] = post(chunked, body=LAST, start=b"POST /nasty HTTP/1.0")
    out["length in HTTP/1.0"] = post(b"Content-Length: 5", body=b"hello", start=b"POST /nasty HTTP/1.0")
    out["HTTP/1.0 without Host"] = b"GET /nasty HTTP/1.0\r\n\r\n"
    out["HTTP/1.0 kept alive"] = b"GET /nasty HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"
    return out


def _chunks() -> dict[str, bytes]:
    def body(data: bytes) -> bytes:
        return post(b"Transfer-Encoding: chunked", body=data)

    out = {f"size {form!r}": body(_sized(form) + b"\r\nhello\r\n" + LAST) for form in SIZES}
    out |= {f"last {form!r}": body(b"5\r\nhello\r\n" + _sized(form, b"") + b"\r\n\r\n") for form in SIZES}
    for trailer in sorted({*TRAILERS} - {b""}):
        out[f"trailer {trailer!r}"] = body(b"5\r\nhello\r\n0\r\n" + trailer + b"\r\n")
    for end in (b"\n", b"\r", b"\r\r\n", b"\n\r", b"", b" \r\n", b"\r\n\r\n", b"\x00\r\n"):
        out[f"size ends {end!r}"] = body(b"5" + end + b"hello\r\n" + LAST)
        out[f"data ends {end!r}"] = body(b"5\r\nhello" + end + LAST)
        out[f"last ends {end!r}"] = body(b"5\r\nhello\r\n0" + end + b"\r\n")
        out[f"body ends {end!r}"] = body(b"5\r\nhello\r\n0\r\n" + end)
    return out


def _heads() -> dict[str, bytes]:
    out = {f"line {line!r}": post(line, start=b"GET /nasty HTTP/1.1") for line in LINES}
    out |= {f"target {target!r}": post(start=b"GET " + target + b" HTTP/1.1") for target in TARGETS}
    out |= {f"method {method!r}": post(start=method + b" /nasty HTTP/1.1") for method in METHODS}
    out |= {f"version {version!r}": post(start=b"GET /nasty " + version) for version in dict.fromkeys(VERSIONS)}
    for byte in BYTES:
        out[f"byte {byte!r} in a name"] = post(b"X" + byte + b"Y: z")
        out[f"byte {byte!r} in Host"] = b"GET /nasty HTTP/1.1\r\nHost: a" + byte + b"b\r\n\r\n"
        out[f"byte {byte!r} before"] = byte + b"GET /nasty HTTP/1.1\r\nHost: a\r\n\r\n"
    return out | {
        "HTTP/0.9": b"GET /nasty\r\n",
        "no Host": b"GET /nasty HTTP/1.1\r\n\r\n",
        "bare LF": b"GET /nasty HTTP/1.1\nHost: a\n\n",
        "bare LF at the end": b"GET /nasty HTTP/1.1\r\nHost: a\r\n\n",
        "folded first line": b"GET /nasty HTTP/1.1\r\n X: y\r\nHost: a\r\n\r\n",
        "two spaces": b"GET  /nasty HTTP/1.1\r\nHost: a\r\n\r\n",
        "tabs": b"GET\t/nasty\tHTTP/1.1\r\nHost: a\r\n\r\n",
        "Host of another": b"GET http://a/nasty HTTP/1.1\r\nHost: b\r\n\r\n",
        "Host of another port": b"GET http://a:81/nasty HTTP/1.1\r\nHost: a\r\n\r\n",
        "absolute without path": b"GET http://a HTTP/1.1\r\nHost: a\r\n\r\n",
        "absolute in OPTIONS": b"OPTIONS http://a HTTP/1.1\r\nHost: a\r\n\r\n",
        "long target": post(start=b"GET /" + b"t" * 8000 + b" HTTP/1.1"),
        "too long target": post(start=b"GET /" + b"t" * 9000 + b" HTTP/1.1"),
        "long value": post(b"X: " + b"v" * 20_000),
        "long name": post(b"N" * 5000 + b": v"),
        "many fields": post(*(b"X-%d: y" % n for n in range(90))),
        "too many fields": post(*(b"X-%d: y" % n for n in range(200))),
        "long body": post(b"Content-Length: 300000", body=b"b" * 300_000),
        "many chunks": post(b"Transfer-Encoding: chunked", body=b"1\r\nc\r\n" * 5000 + LAST),
        "empty lines before": b"\r\n\r\nGET /nasty HTTP/1.1\r\nHost: a\r\n\r\n",
    }


NASTY = _framings() | _chunks() | _heads()
