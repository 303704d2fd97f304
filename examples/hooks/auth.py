"""Who may come in: an API key in X-Api-Key, or a JWT in Authorization.

    export JWT_SECRET=$(openssl rand -hex 32) API_KEYS=keys.json
    weir run --listen :8080 --to 127.0.0.1:8081 --hooks auth.py

keys.json maps the SHA-256 of each key to a name, so that whoever can read it cannot use a key:
`printf %s "$KEY" | sha256sum`. The endpoint learns who it is from X-User, and gets no X-User that a client has written.
Needs PyJWT.
"""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path

import jwt

import weir

KEYS: dict[str, str] = json.loads(Path(os.environ["API_KEYS"]).read_text())
SECRET = os.environ["JWT_SECRET"]
if len(SECRET) < 32:
    # An empty one, because what should have made it has failed, would let in whoever signs with nothing.
    raise SystemExit("JWT_SECRET: 32 characters at least")

# Compared with the path as it came: what is written otherwise, such as //health, has to say who it is.
PUBLIC = {"/", "/health", "/favicon.ico"}


@weir.hook("request")
def authenticate(request: weir.Request) -> weir.Answer | None:
    for spelling in ("X-User", "X_User"):  # to WSGI and CGI the same
        request.headers.remove(spelling)
    user = user_of(request)
    if user:
        request.headers["X-User"] = user
        request.headers.remove("X-Api-Key")
    elif request.path not in PUBLIC:
        return weir.Answer(401, "An API key or a token is needed.\n", {"WWW-Authenticate": "Bearer"})
    return None


def user_of(request: weir.Request) -> str:
    """Who it is; "": nobody knows."""
    key = request.headers.get("X-Api-Key")
    if key is not None:
        return KEYS.get(hashlib.sha256(key.encode()).hexdigest(), "")
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() != "bearer":
        return ""
    try:
        claims = jwt.decode(token.strip(), SECRET, algorithms=["HS256"], options={"require": ["exp", "sub"]})
    except jwt.InvalidTokenError:
        return ""
    user = str(claims["sub"])
    # A field takes printable ASCII and no more.
    return user if user.isascii() and user.isprintable() else ""
