"""The applications that uvicorn and gunicorn serve in `bench.keepalive`: each notes what it has seen."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

seen: list[str] = []


def note(line: str) -> bytes:
    """Notes a request; GET /seen tells them all."""
    if line == "GET /seen":
        return json.dumps(seen).encode()
    seen.append(line)
    return b"ok"


async def asgi(
    scope: dict[str, Any],
    receive: Callable[[], Awaitable[dict[str, Any]]],
    send: Callable[[dict[str, Any]], Awaitable[None]],
) -> None:
    """Answers when the request was there in whole."""
    if scope["type"] != "http":
        return
    while True:
        event = await receive()
        if event["type"] == "http.disconnect":
            return
        if not event.get("more_body"):
            break
    body = note(f"{scope['method']} {scope['path']}")
    headers = [(b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def wsgi(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    """The same."""
    environ["wsgi.input"].read()
    body = note(f"{environ['REQUEST_METHOD']} {environ['PATH_INFO']}")
    start_response("200 OK", [("Content-Length", str(len(body)))])
    return [body]
