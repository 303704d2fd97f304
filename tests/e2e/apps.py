"""The applications that uvicorn and gunicorn serve in these tests. They import nothing of the tests."""

from __future__ import annotations

import asyncio
import hashlib
import json
import time
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

Scope = dict[str, Any]
Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]


async def asgi(scope: Scope, receive: Receive, send: Send) -> None:
    """`/echo` the body, `/describe` the request, `/events` of a stream, `/chunks`; a WebSocket echo anywhere."""
    if scope["type"] == "lifespan":
        await _lifespan(receive, send)
    elif scope["type"] == "websocket":
        await _websocket(receive, send)
    elif scope["path"] == "/events":
        await _events(send)
    elif scope["path"] == "/chunks":
        await _chunks(send)
    else:
        await _answer(scope, receive, send)


async def _lifespan(receive: Receive, send: Send) -> None:
    while (await receive())["type"] != "lifespan.shutdown":
        await send({"type": "lifespan.startup.complete"})
    await send({"type": "lifespan.shutdown.complete"})


async def _websocket(receive: Receive, send: Send) -> None:
    await receive()
    await send({"type": "websocket.accept"})
    while (event := await receive())["type"] == "websocket.receive":
        if event.get("text") == "bye":
            await send({"type": "websocket.close", "code": 4001, "reason": "as asked"})
            return
        await send({"type": "websocket.send", "text": event.get("text"), "bytes": event.get("bytes")})


async def _start(send: Send, *headers: tuple[bytes, bytes]) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": list(headers)})


async def _events(send: Send) -> None:
    """Ten server-sent events, each with the moment it was sent; CLOCK_MONOTONIC is the same in every process."""
    await _start(send, (b"content-type", b"text/event-stream"))
    for _ in range(10):
        await send({"type": "http.response.body", "body": b"data: %.6f\n\n" % time.monotonic(), "more_body": True})
        await asyncio.sleep(0.03)
    await send({"type": "http.response.body"})


async def _chunks(send: Send) -> None:
    await _start(send)
    for n in range(200):
        await send({"type": "http.response.body", "body": bytes([n]) * (n * 7), "more_body": True})
    await send({"type": "http.response.body"})


async def _answer(scope: Scope, receive: Receive, send: Send) -> None:
    body = bytearray()
    while True:
        event = await receive()
        body += event.get("body", b"")
        if not event.get("more_body"):
            break
    if scope["path"] == "/describe":
        fields = [[name.decode("latin-1"), value.decode("latin-1")] for name, value in scope["headers"]]
        body = bytearray(json.dumps({"method": scope["method"], "fields": fields, "length": len(body)}).encode())
    headers = [(b"content-length", b"%d" % len(body)), (b"x-method", scope["method"].encode())]
    await _start(send, *headers)
    await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else bytes(body)})


def wsgi(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    """Echoes the body with the method in a field; `/chunks` streams without a length; `/slow` takes 0.1 s."""
    method = environ["REQUEST_METHOD"]
    body = environ["wsgi.input"].read()
    if environ["PATH_INFO"] == "/chunks":
        start_response("200 OK", [("X-Method", method)])
        return (bytes([n]) * (n * 7) for n in range(200))
    if environ["PATH_INFO"] == "/slow":
        time.sleep(0.1)
    start_response("200 OK", [("Content-Length", str(len(body))), ("X-Method", method)])
    return [b"" if method == "HEAD" else body]


# What was seen since the list was last asked for (GET /seen): each request in the order of their ends.
_seen: list[list[str]] = []


def _note(method: str, target: str, host: str, body: bytes) -> bytes:
    """Notes a request, or tells and forgets those before it; returns the body of the answer."""
    if target == "/seen":
        told = json.dumps(_seen).encode()
        _seen.clear()
        return told
    _seen.append([method, target, host, f"{len(body)} {hashlib.sha256(body).hexdigest()}"])
    return b""


async def seen_asgi(scope: Scope, receive: Receive, send: Send) -> None:
    """Notes every request that is complete; `/seen` tells them."""
    if scope["type"] == "lifespan":
        await _lifespan(receive, send)
        return
    body = b""
    while True:
        event = await receive()
        if event["type"] == "http.disconnect":
            return
        body += event.get("body", b"")
        if not event.get("more_body"):
            break
    query = scope["query_string"].decode("latin-1")
    target = scope["raw_path"].decode("latin-1") + (f"?{query}" if query else "")
    host = dict(scope["headers"]).get(b"host", b"").decode("latin-1")
    told = _note(scope["method"], target, host, body)
    await _start(send, (b"content-length", b"%d" % len(told)))
    await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else told})


def seen_wsgi(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    """As `seen_asgi`."""
    body = environ["wsgi.input"].read()
    if len(body) < int(environ.get("CONTENT_LENGTH") or 0):
        # gunicorn hands on the part of a body that came before its connection was closed, as if it were all:
        # to compare is the application's business.
        start_response("400 Bad Request", [("Content-Length", "0")])
        return []
    told = _note(environ["REQUEST_METHOD"], environ["RAW_URI"], environ.get("HTTP_HOST", ""), body)
    start_response("200 OK", [("Content-Length", str(len(told)))])
    return [told]
