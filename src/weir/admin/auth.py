"""Who may ask: a token, or whoever reaches an address of this machine with a name of it."""

from __future__ import annotations

import hmac
import ipaddress
from typing import Final
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

__all__ = ["Guard", "is_local_name"]

# Without a token: what tells nothing, and the page, which then asks for the token itself.
OPEN_PATHS: Final = ("/healthz", "/")
OPEN_PREFIXES: Final = ("/assets/",)
# What is asked by clients that read errors as Connect writes them.
RPC_PREFIXES: Final = ("/weir.v1.", "/grpc.")


class Guard:
    """ASGI middleware in front of everything.

    With a token each request has to carry it (`Authorization: Bearer TOKEN`), except for the page's own files and
    /healthz. Without one, requests must name this machine in Host and Origin: a page of somebody else's, which a
    browser loaded and whose name now resolves to 127.0.0.1 (DNS rebinding), names its own. `unix`: the address is a
    Unix socket, whose permissions say who may connect.
    """

    def __init__(self, app: ASGIApp, *, token: str = "", unix: bool = False) -> None:
        self.app = app
        self.unix = unix
        self._token = token.encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        refusal = self.refuse(scope) if scope["type"] == "http" else None
        await (self.app if refusal is None else refusal)(scope, receive, send)

    def refuse(self, scope: Scope) -> Response | None:
        """The answer to a request that is not let in; None if it is."""
        headers = Headers(scope=scope)
        path: str = scope["path"]
        if self._token:
            if path in OPEN_PATHS or path.startswith(OPEN_PREFIXES) or self._is_token(headers.get("authorization", "")):
                return None
            text = "this address needs a token: Authorization: Bearer TOKEN"
            return refusal(path, 401, text, {"WWW-Authenticate": 'Bearer realm="weir"'})
        if self.unix:
            return None
        for name, is_local in (("Host", is_local_name), ("Origin", is_local_origin)):
            value = headers.get(name)
            if value is not None and not is_local(value):
                text = f"{name} names another machine; ask as localhost or 127.0.0.1, or configure a token"
                return refusal(path, 403, text)
        return None

    def _is_token(self, authorization: str) -> bool:
        scheme, _, given = authorization.partition(" ")
        # In constant time: how long it takes says nothing about how much of it was right.
        return scheme.lower() == "bearer" and hmac.compare_digest(given.strip().encode(), self._token)


def refusal(path: str, status: int, text: str, headers: dict[str, str] | None = None) -> Response:
    """Text; for a call, an error as Connect writes it."""
    if path.startswith(RPC_PREFIXES):
        code = {401: "unauthenticated", 403: "permission_denied"}[status]
        return JSONResponse({"code": code, "message": text}, status, headers)
    return PlainTextResponse(text + "\n", status, headers)


def is_local_origin(origin: str) -> bool:
    """Whether an Origin (`scheme://name:port`) can only mean this machine."""
    try:
        return is_local_name(urlsplit(origin).netloc)
    except ValueError:
        return False


def is_local_name(authority: str) -> bool:
    """Whether a Host (`name`, `name:port`) can only mean this machine: localhost, or a loopback address."""
    try:
        host = urlsplit(f"//{authority}").hostname or ""
    except ValueError:
        return False
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
