"""Kinds of values of the admin side: tokens and collectors."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

from weir.config import units
from weir.config.errors import quoted, refuse
from weir.config.kinds import OFF, TOKEN, Kind, text_of

__all__ = ["collector_url", "fields", "token", "token_file"]


def collector_url() -> Kind:
    """An http or https URL; ``""`` and ``"off"`` for none."""

    def read(value: object) -> str:
        text = text_of(value, 'a URL, or "off"', "http://127.0.0.1:4318")
        if text in ("", OFF):
            return ""
        try:
            url = urlsplit(text)
            good = url.scheme in ("http", "https") and bool(url.hostname) and url.port != 0 and text.isprintable()
        except ValueError:
            good = False
        if not good or url.username is not None or url.query or url.fragment:
            refuse(f"{quoted(text)} is not the URL of a collector", 'write "http://127.0.0.1:4318", say')
        return text

    schema = {"type": "string", "pattern": "^(off|https?://.*|)$"}
    return Kind(read, 'URL, or `"off"`', schema, lambda value: value or OFF)


def fields() -> Kind:
    """A table of field names and values, as pairs in their order."""

    def read(value: object) -> tuple[tuple[str, str], ...]:
        if not isinstance(value, dict):
            refuse("this is no table", 'write { "X-Key" = "value" }')
        for name, text in value.items():
            if not TOKEN.fullmatch(name):
                refuse(f"{quoted(name)} is not the name of a field", 'write { "X-Key" = "value" }')
            if not isinstance(text, str) or not text.isprintable() or not text.isascii():
                # The value may be a secret: it is not shown.
                refuse(f"the value of {quoted(name)} is not one line of ASCII text", 'write { "X-Key" = "value" }')
        return tuple(value.items())

    schema = {"type": "object", "additionalProperties": {"type": "string"}}
    return Kind(read, "table of texts", schema, lambda value: dict(value))


def token() -> Kind:
    """A bearer token (RFC 6750 section 2.1); ``"off"`` for none, read as ``""``. No message shows it."""

    def read(value: object) -> str:
        if not isinstance(value, str):
            refuse(f"wanted a token, a string, found {units.kind_of(value)}")
        return "" if value == OFF else _token("the token", value)

    return Kind(read, _TOKEN_TEXT, {"type": "string", "minLength": 1}, lambda value: value or OFF)


def token_file() -> Kind:
    """A file with a bearer token, read as the token; ``"off"`` for none, read as ``""``."""

    def read(value: object) -> str:
        path = text_of(value, "the path of a file", "/etc/weir/token")
        if path == OFF:
            return ""
        try:
            with open(path, "rb") as file:
                content = file.read(4096)
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
            refuse(f"{quoted(path)} cannot be read: {reason.lower()}")
        return _token(f"what {quoted(path)} holds", content.decode("latin-1").strip())

    return Kind(read, 'path of a file, or `"off"`', {"type": "string", "minLength": 1}, lambda value: value or OFF)


_TOKEN_TEXT = '16 to 256 letters, digits and `-._~+/=`, or `"off"`'


def _token(what: str, text: str) -> str:
    if not re.fullmatch("[A-Za-z0-9._~+/-]+=*", text):
        refuse(f"{what} is not a bearer token", "letters, digits and -._~+/=, on one line")
    if not 16 <= len(text) <= 256:
        refuse(f"{what} has {len(text)} characters", "16 to 256; one can be made by: openssl rand -hex 16")
    return text
