"""A log of what an API was asked and what it answered: JSON bodies, with secrets masked. One line for each exchange.

    BODY_LOG=bodies.log weir run --listen :8080 --to 127.0.0.1:8081 --hooks log_bodies.py

What is larger than LIMIT, or no JSON, passes as ever, and the log says only how large it was. A stream of events or of
lines of JSON is not waited for. Endpoints are asked not to compress what is to be read.
"""

from __future__ import annotations

import json
import logging
import os
import re
from logging.handlers import WatchedFileHandler
from typing import Any

import weir

LIMIT = 64 * 1024
SECRET = re.compile(r"passw|secret|token|api_?key|authorization|credential|card_?number|cvc|iban", re.IGNORECASE)

# Opened anew when logrotate has moved the file away.
handler = WatchedFileHandler(os.environ.get("BODY_LOG", "bodies.log"), delay=True)
handler.setFormatter(logging.Formatter("%(message)s"))
log = logging.Logger("bodies", logging.INFO)
log.addHandler(handler)


@weir.hook("request", path="/api/*", on_error="skip")
async def read_request(request: weir.Request) -> None:
    request.headers["Accept-Encoding"] = "identity"
    request.state["asked"] = await masked(request)


@weir.hook("response", path="/api/*", on_error="skip")
async def read_response(response: weir.Response) -> None:
    response.request.state["answered"] = await masked(response)


@weir.hook("log", path="/api/*")
def write(request: weir.Request) -> None:
    asked, answered = request.state.get("asked"), request.state.get("answered")
    line = {
        "id": request.id,
        "client": request.client,
        "method": request.method,
        "path": request.path,
        "status": request.status,
        "ms": round(request.duration * 1000, 1),
        "asked": request.bytes_received if asked is None else asked,
        "answered": request.bytes_sent if answered is None else answered,
    }
    log.info(json.dumps(line))


async def masked(message: weir.Request | weir.Response) -> Any:
    """The body with its secrets masked; None: it is none that is logged."""
    kind = message.headers.get("Content-Type", "").partition(";")[0].strip().lower()
    if kind != "application/json" and not kind.endswith("+json"):
        return None
    try:
        return mask(json.loads(await message.read(LIMIT)))
    except weir.BodyTooLarge:
        return None
    except ValueError:
        return "no JSON"


def mask(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: "***" if SECRET.search(key) else mask(each) for key, each in value.items()}
    if isinstance(value, list):
        return [mask(each) for each in value]
    return value
