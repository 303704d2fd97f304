"""Kinds of values of what routes do: redirects, answers, paths, fields."""

from __future__ import annotations

import mimetypes
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from weir.config import phrases, units
from weir.config.action_plan import HOP_FIELDS, REQUEST_FIELDS, Phrase
from weir.config.errors import quoted, refuse
from weir.config.kinds import OFF, TOKEN, Kind, destination, text_of
from weir.config.route_kinds import path

__all__ = [
    "BODY_VARIABLES",
    "MOST_BODY_BYTES",
    "REQUEST_RESERVED",
    "REQUEST_VARIABLES",
    "RESPONSE_RESERVED",
    "RESPONSE_VARIABLES",
    "body",
    "body_file",
    "check_name",
    "content_type",
    "lines",
    "mirror",
    "names",
    "prefix",
    "redirect",
    "redirect_status",
    "rewrite",
    "status",
]

MOST_BODY_BYTES = 131_072  # BODY_MOST of weir.plane.action
MOST_LINES = 32
REDIRECTS = (301, 302, 303, 307, 308)
REQUEST_VARIABLES = tuple(name for name in phrases.KNOWN if name != "endpoint")
BODY_VARIABLES = tuple(name for name in phrases.KNOWN if name not in ("cluster", "endpoint"))
# What cannot be anything but a part of an address, whatever a client sends.
REDIRECT_VARIABLES = ("host", "path", "query", "target", "scheme")

_ADDRESS = re.compile(r"(https?|{scheme})://([A-Za-z0-9._:\[\]-]|{host})+(([/?#]|{path}|{target}).*)?", re.DOTALL)
_URL_TEXT = re.compile(r"[!#-;=?-\[\]_a-z~]*")  # RFC 3986 section 2: what needs no percent-encoding, and "%"
_NOT_IN_VALUES = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
_MEDIA = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+/[!#$%&'*+.^_`|~0-9A-Za-z-]+( *;.*)?")


def redirect() -> Kind:
    """Where clients are sent, with variables; ``"off"``: nowhere, read as ()."""

    def read(value: object) -> Phrase:
        text = text_of(value, "an address", "https://{host}{target}")
        if text == OFF:
            return ()
        if len(text) > phrases.MOST_BYTES:
            refuse(f"{quoted(text)} is longer than {phrases.MOST_BYTES} bytes")
        found = phrases.parse(text, REDIRECT_VARIABLES, named=False)
        for kind, what in found:
            if kind == "text" and not _URL_TEXT.fullmatch(str(what)):
                refuse(f"{quoted(text)} is not an address", "percent-encode what is no part of one")
        if text.startswith("/"):
            if text[1:2] in ("/", "\\"):
                refuse(f"{quoted(text)} leads to another host", f'write "https:{text}", or one slash')
        elif not _ADDRESS.fullmatch(text):
            hint = 'for example "https://{host}{target}", or a path: "/new{path}"'
            refuse(f"{quoted(text)} is not an address: a scheme, a host, and what follows it", hint)
        return found

    text = "address, or path, with variables"
    return Kind(read, text, {"type": "string", "minLength": 1}, lambda value: phrases.write(value) or OFF)


def redirect_status() -> Kind:
    """301, 302, 303, 307 or 308."""

    def read(value: object) -> int:
        if isinstance(value, bool) or value not in REDIRECTS:
            refuse(f"{value!r} is no status of a redirect", "301, 302, 303, 307 or 308")
        assert isinstance(value, int)
        return value

    return Kind(read, "301, 302, 303, 307 or 308", {"enum": list(REDIRECTS)})


def status() -> Kind:
    """The status of an answer that is no redirect of weir's."""

    def read(value: object) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or not 200 <= value <= 599:
            refuse(f"{value!r} is not the status of an answer", "a number of 200 to 599")
        return value

    return Kind(read, "200 to 599", {"type": "integer", "minimum": 200, "maximum": 599})


def content_type() -> Kind:
    """A media type; ``""``: by the body."""

    def read(value: object) -> str:
        text = text_of(value, "a media type", "text/html; charset=utf-8")
        if text and (not _MEDIA.fullmatch(text) or not text.isprintable() or not text.isascii() or len(text) > 128):
            refuse(f"{quoted(text)} is not a media type", 'for example "application/json"')
        return text

    return Kind(read, 'media type, or `""`', {"type": "string", "maxLength": 128})


def body() -> Kind:
    """The body of an answer, as it is written."""

    def read(value: object) -> str:
        text = text_of(value, "a text", "not here\\n")
        if len(text.encode()) > MOST_BODY_BYTES:
            refuse(f"a body of {len(text.encode())} bytes; an answer has {MOST_BODY_BYTES} at most", "serve a file")
        return text

    return Kind(read, "text", {"type": "string", "maxLength": MOST_BODY_BYTES})


def body_file() -> Kind:
    """The name of a file that is a body, read as name, media type and bytes; ``"off"``: None."""

    def read(value: object) -> tuple[str, str, str] | None:
        name = text_of(value, "the path of a file", "maintenance.html")
        if name == OFF:
            return None
        try:
            with Path(name).open("rb") as file:
                found = file.read(MOST_BODY_BYTES + 1)
            text = found.decode()
        except UnicodeDecodeError as error:
            refuse(f"{quoted(name)} is not UTF-8: byte 0x{found[error.start]:02X} at {error.start}", "save it as UTF-8")
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
            refuse(f"{quoted(name, 200)} cannot be read: {reason.lower()}", "the path of a file")
        if len(found) > MOST_BODY_BYTES:
            refuse(f"{quoted(name)} is larger than {MOST_BODY_BYTES >> 10} KiB", "let an endpoint serve it")
        media = mimetypes.guess_type(name, strict=True)[0] or "text/plain"
        return name, f"{media}; charset=utf-8" if media.startswith("text/") else media, text

    return Kind(read, "path of a file", {"type": "string", "minLength": 1}, lambda value: value[0] if value else OFF)


def prefix(example: str) -> Kind:
    """The beginning of a path, without a slash at its end; ``"off"``: none, read as ``""``."""
    whole = path(forwarded=True)

    def read(value: object) -> str:
        text = text_of(value, "the beginning of a path", example)
        if text == OFF:
            return ""
        found = str(whole.read(text))
        if "*" in found or "{" in found:
            refuse(f"{quoted(text)}: a prefix has no asterisk and no parameter", f'for example "{example}"')
        found = found.removesuffix("/")
        if not found:
            refuse(f"{quoted(text)} is before every path", "take it out")
        return found

    return Kind(read, 'beginning of a path, or `"off"`', {"type": "string", "minLength": 1}, lambda value: value or OFF)


def rewrite() -> Kind:
    """A path that requests are sent with, with parameters of the route's own; ``"off"``: read as ``""``."""
    whole = path(forwarded=True)

    def read(value: object) -> str:
        text = text_of(value, "a path", "/people/{id}")
        if text == OFF:
            return ""
        found = str(whole.read(text))
        if not found:
            refuse(f"{quoted(text)} is no path", 'for example "/people/{id}"')
        return found

    text = 'path: `"/people/{id}"`, `"/v2/*"`, or `"off"`'
    return Kind(read, text, {"type": "string", "minLength": 1}, lambda value: value or OFF)


def lines(variables: Iterable[str], reserved: tuple[str, ...], *, several: bool) -> Kind:
    """Fields with what they say, read as pairs of name and phrase; `several`: a name may have an array of them."""

    def read(value: object) -> tuple[tuple[str, Phrase], ...]:
        example = '{ "X-Client" = "{client}" }'
        if not isinstance(value, dict):
            refuse(f"wanted a table of fields, found {units.kind_of(value)}", f"for example {example}")
        found: list[tuple[str, Phrase]] = []
        for name, given in value.items():
            check_name(name, reserved)
            if name.lower() in (one.lower() for one, _ in found):
                refuse(f"{quoted(name)} is there twice", "take one out")
            listed = given if several and isinstance(given, list) and given else [given]
            found += [(name, _line(name, text, variables)) for text in listed]
        if len(found) > MOST_LINES:
            refuse(f"{len(found)} are more than {MOST_LINES} fields")
        return tuple(found)

    def show(value: tuple[tuple[str, Phrase], ...]) -> object:
        shown: dict[str, Any] = {}
        for name, phrase in value:
            shown.setdefault(name, []).append(phrases.write(phrase))
        return {name: texts[0] if len(texts) == 1 else texts for name, texts in shown.items()}

    wanted = {"type": ["string", "array"] if several else "string", "maxLength": phrases.MOST_BYTES}
    schema = {"type": "object", "maxProperties": MOST_LINES, "additionalProperties": wanted}
    return Kind(read, "table of fields, with variables", schema, show)


def _line(name: str, value: object, variables: Iterable[str]) -> Phrase:
    text = text_of(value, f"what {name} says, a text", "{client}")
    if _NOT_IN_VALUES.search(text) or text != text.strip() or not text:
        refuse(f"{quoted(text)} is not the value of a field", "one line, without spaces around it")
    if len(text.encode()) > phrases.MOST_BYTES:
        refuse(f"the value of {name} is longer than {phrases.MOST_BYTES} bytes")
    return phrases.parse(text, variables)


def names(reserved: tuple[str, ...]) -> Kind:
    """Names of fields, in their order."""

    def read(value: object) -> tuple[str, ...]:
        listed = value if isinstance(value, list) else [value]
        found = tuple(text_of(name, "the name of a field, or an array of them", "X-Debug") for name in listed)
        for name in found:
            check_name(name, reserved)
        if len(found) > MOST_LINES:
            refuse(f"{len(found)} are more than {MOST_LINES} fields")
        return found

    schema = {"type": ["string", "array"], "items": {"type": "string"}, "maxItems": MOST_LINES}
    return Kind(read, "name of a field, or array of them", schema, list)


def check_name(name: str, reserved: tuple[str, ...]) -> None:
    """Raises ConfigError for what is not the name of a field, or is one that only weir writes."""
    if not TOKEN.fullmatch(name) or len(name) > 64:
        refuse(f"{quoted(name)} is not the name of a field", 'letters, digits and -: for example "X-Client"')
    if name.lower() in reserved:
        hint = "write `host` beside it" if name.lower() == "host" else "take it out"
        if name.lower().startswith("x-forwarded-") or name.lower() == "forwarded":
            hint = "what is said there is chosen by the listener's `forwarded`"
        refuse(f"{name}: only weir writes this field", hint)


REQUEST_RESERVED = HOP_FIELDS + REQUEST_FIELDS
RESPONSE_RESERVED = HOP_FIELDS
RESPONSE_VARIABLES = phrases.KNOWN


def mirror() -> Kind:
    """The name of a cluster, or the address of an endpoint; ``"off"``: none, read as ``""``."""
    one = destination()

    def read(value: object) -> object:
        return "" if value == OFF else one.read(value)

    return Kind(read, f'{one.text}, or `"{OFF}"`', one.schema, lambda value: one.show(value) if value else OFF)
