"""Kinds of values: how each is read from TOML, shown to a person, and told to an editor.

A kind is the annotation of a field of `weir.config.model`. It reads the value by itself, so that every refusal says
what was found, what is wanted and what to write, where pydantic would say "Input should be a valid integer".
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

from weir.config import units
from weir.config.address import is_literal, parse_endpoint, parse_listen, parse_member
from weir.config.errors import ConfigError, quoted, refuse
from weir.config.openapi import read_templates
from weir.config.pages import read_pages
from weir.config.plan import AddressPlan

__all__ = [
    "OFF",
    "REFUSED",
    "TOKEN",
    "Kind",
    "access_log",
    "address_text",
    "admin_address",
    "choice",
    "closest",
    "cluster_name",
    "count",
    "destination",
    "duration",
    "error_pages",
    "field_name",
    "file_mode",
    "flag",
    "host_field",
    "listen",
    "nameservers",
    "openapi",
    "page_path",
    "ratio",
    "size",
    "text_of",
    "whole_number",
]

OFF = "off"  # switches off whatever can be off
REFUSED = "weir"  # pydantic's name for the errors raised here

# Fields the proxy writes itself, or whose meaning belongs to the message (RFC 9110 sections 7.6.1 and 8.6, RFC 9112
# section 6).
MANAGED_FIELDS = (
    "Connection",
    "Content-Encoding",
    "Content-Length",
    "Content-Type",
    "Date",
    "Host",
    "Keep-Alive",
    "Location",
    "Proxy-Authenticate",
    "Proxy-Authentication-Info",
    "Proxy-Authorization",
    "Proxy-Connection",
    "Server",
    "Set-Cookie",
    "TE",
    "Trailer",
    "Transfer-Encoding",
    "Upgrade",
    "Via",
)

TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # RFC 9110 section 5.6.2
_CLUSTER_NAME = "[A-Za-z0-9][A-Za-z0-9_.-]{0,62}"
# RFC 3986 section 3.2: host and port as a Host field carries them, without user information.
_HOST_FIELD = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._~%!$&'()*+,;=-]+)(:[0-9]{1,5})?")
# RFC 3986 section 3.3, without "?" and "#", which never are part of a path.
_PATH = re.compile(r"/[A-Za-z0-9._~%!$&'()*+,;=:@/-]*")


@dataclass(frozen=True)
class Kind:
    """How values of one kind are read and described.

    `read` turns a TOML value into the model's and raises ConfigError; `show` turns the model's back into TOML;
    `text` says in a few words what may be written; `schema` is the JSON Schema of what may be written.
    """

    read: Callable[[object], object]
    text: str
    schema: dict[str, Any]
    show: Callable[[Any], object] = lambda value: value

    def __get_pydantic_core_schema__(self, source: object, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(self._validate)

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        return dict(self.schema)

    def _validate(self, value: object) -> object:
        try:
            return self.read(value)
        except ConfigError as error:
            problem = error.problems[0]
            # The message is in the context, because pydantic would take braces in it as places to fill in.
            context = {"message": problem.message, "hint": problem.hint, "key": problem.key_path}
            raise PydanticCustomError("weir", "{message}", context) from None


def closest(word: str, known: Sequence[str]) -> str | None:
    """The known word that was probably meant, if one is close."""
    from difflib import get_close_matches

    lower = {name.lower(): name for name in known}
    found = get_close_matches(word.lower().replace("-", "_"), [name.replace("-", "_") for name in lower], 1, 0.65)
    return next((name for key, name in lower.items() if found and key.replace("-", "_") == found[0]), None)


def text_of(value: object, wanted: str, example: str) -> str:
    if isinstance(value, str):
        return value
    refuse(f"wanted {wanted}, a string, found {units.kind_of(value)}", f'for example "{example}"')


def _between(value: int, low: int, high: int, show: Callable[[int], object]) -> int:
    if not low <= value <= high:
        side, bound = ("less than", low) if value < low else ("more than", high)
        refuse(
            f"{_toml(show(value))} is {side} {_toml(show(bound))}", f"from {_toml(show(low))} to {_toml(show(high))}"
        )
    return value


def _toml(value: object) -> str:
    return quoted(value) if isinstance(value, str) else str(value)


def _code(value: object) -> str:
    return f"`{_toml(value)}`"


def whole_number(value: object, low: int, high: int, words: Sequence[str]) -> int:
    instead = "".join(f' or "{word}"' for word in words)
    if isinstance(value, str):
        hint = (
            f"write {int(value)}, without quotes" if re.fullmatch("[0-9]{1,18}", value) else f"for example {low or 1}"
        )
        refuse(f"wanted a whole number{instead}, found {quoted(value)}", hint)
    if isinstance(value, bool) or not isinstance(value, int):
        refuse(f"wanted a whole number{instead}, found {units.kind_of(value)}", f"for example {low or 1}")
    if value == 0 < low and OFF in words:
        refuse("0 is not a limit", 'for no limit write "off"')
    return _between(value, low, high, lambda number: number)


def count(low: int, high: int, *, none: str = "") -> Kind:
    """A whole number of `low` to `high`; `none` is a word that may be written instead, and is read as 0."""
    words = [none] if none else []

    def read(value: object) -> int:
        return 0 if none and value == none else whole_number(value, low, high, words)

    schema: dict[str, Any] = {"type": "integer", "minimum": low, "maximum": high}
    if none:
        schema |= {"type": ["integer", "string"], "pattern": f"^{none}$"}
    text = f"{low} to {high}" + (f', or `"{none}"`' if none else "")
    return Kind(read, text, schema, lambda value: none if none and value == 0 else value)


def duration(low: str, high: str, *, none: bool | str = False) -> Kind:
    """A duration of `low` to `high`, read as milliseconds; `none` is a word for 0, True for ``"off"``."""
    least, most = units.parse_duration(low), units.parse_duration(high)
    word = OFF if none is True else none or ""

    def read(value: object) -> int:
        if word and value == word:
            return 0
        found = units.parse_duration(value)
        if word and found == 0:
            refuse(f"{_toml(value)} is no time at all", f'write "{word}"')
        return _between(found, least, most, units.format_duration)

    pattern = f"^({units.DURATION_PATTERN}{f'|{word}' if word else ''})$"
    schema = {"type": "string", "minLength": 2, "pattern": pattern}
    text = f'duration, `"{low}"` to `"{high}"`' + (f', or `"{word}"`' if word else "")
    return Kind(read, text, schema, lambda value: word if word and value == 0 else units.format_duration(value))


def size(low: str | int, high: str | int, *, none: bool = False) -> Kind:
    """A size of `low` to `high`, read as bytes; `none`: ``"off"`` may be written too, and is read as 0."""
    least, most = units.parse_size(low), units.parse_size(high)

    def read(value: object) -> int:
        if none and value == OFF:
            return 0
        if none and value == 0:
            refuse("0 is not a limit", 'for no limit write "off"')
        return _between(units.parse_size(value), least, most, units.format_size)

    pattern = f"^({units.SIZE_PATTERN}{'|off' if none else ''})$"
    schema = {"type": ["integer", "string"], "minimum": least, "maximum": most, "pattern": pattern}
    text = f"size, {_code(low)} to {_code(high)}" + (', or `"off"`' if none else "")
    return Kind(read, text, schema, lambda value: OFF if none and value == 0 else units.format_size(value))


def ratio(*, none: bool = False) -> Kind:
    """A part of a whole, ``"20%"`` or ``0.2``, read as whole percent; `none`: ``"off"`` is read as 0."""

    def read(value: object) -> int:
        if none and value == OFF:
            return 0
        found = units.parse_ratio(value)
        if none and found == 0:
            refuse(f"{_toml(value)} is always reached", 'write "off"')
        return found

    pattern = f"^({units.RATIO_PATTERN}{'|off' if none else ''})$"
    schema = {"type": ["number", "string"], "minimum": 0, "maximum": 1, "pattern": pattern}
    text = 'ratio, `"1%"` to `"100%"`, or `"off"`' if none else 'ratio, `"0%"` to `"100%"`, or 0.0 to 1.0'
    return Kind(read, text, schema, lambda value: OFF if none and value == 0 else f"{value}%")


def choice(*words: str) -> Kind:
    """One of a few words."""

    def read(value: object) -> str:
        if isinstance(value, str) and value in words:
            return value
        found = quoted(value) if isinstance(value, str) else units.kind_of(value)
        meant = closest(value, words) if isinstance(value, str) else None
        all_of_them = "one of " + ", ".join(quoted(word) for word in words)
        refuse(f"wanted {all_of_them}, found {found}", f"did you mean {quoted(meant)}?" if meant else "")

    return Kind(read, ", ".join(f'`"{word}"`' for word in words), {"type": "string", "enum": list(words)})


def listen() -> Kind:
    """Where to listen, read as AddressPlan."""

    def read(value: object) -> object:
        return parse_listen(address_text(value, "an address", ":", "8080"))

    return Kind(read, "address to listen on", {"type": "string", "minLength": 1}, lambda value: value.text)


def admin_address() -> Kind:
    """Where the admin process listens, read as AddressPlan; ``"off"`` for none, read as None."""

    def read(value: object) -> object:
        if value == OFF:
            return None
        address = parse_listen(address_text(value, "an address", "127.0.0.1:", "8079"))
        if address.passed is not None:
            # Whether everybody could reach it is not known by the name.
            refuse(
                f"{quoted(address.text)} is for listeners", "write the address: a socket that is passed for it is used"
            )
        return address

    schema = {"type": "string", "minLength": 1}
    return Kind(read, 'address to listen on, or `"off"`', schema, lambda value: OFF if value is None else value.text)


def nameservers() -> Kind:
    """Name servers by IP address, read as a tuple of AddressPlan; ``"system"`` for none of one's own."""

    def one(value: object) -> AddressPlan:
        text = text_of(value, "the IP address of a name server", "10.0.0.2")
        has_port = "]:" in text or text.count(":") == 1
        bare = f"[{text}]" if text.count(":") > 1 and "[" not in text else text
        address = parse_endpoint(text if has_port else f"{bare}:53")
        if address.path is not None or not is_literal(address):
            refuse(f"{quoted(text)}: a name server is an IP address", 'for example "10.0.0.2"')
        return AddressPlan(text, address.host, address.port)

    def read(value: object) -> object:
        if value == "system":
            return ()
        if not isinstance(value, list) or not value:
            refuse("wanted an array of IP addresses", 'for example ["10.0.0.2"], or "system"')
        return tuple(one(entry) for entry in value)

    schema = {"type": ["string", "array"], "minItems": 1, "maxItems": 8, "items": {"type": "string", "minLength": 1}}
    return Kind(read, 'array of IP addresses, or `"system"`', schema, lambda value: "system")


def address_text(value: object, wanted: str, host: str, port: str) -> str:
    """The text of an address; a bare number is probably its port."""
    if isinstance(value, int) and not isinstance(value, bool) and 0 < value < 65_536:
        refuse(f"wanted {wanted}, a string, found a whole number", f'write "{host}{value}"')
    return text_of(value, wanted, host + port)


def cluster_name() -> Kind:
    """A cluster's name."""

    def read(value: object) -> str:
        text = text_of(value, "a name", "app")
        if not re.fullmatch(_CLUSTER_NAME, text):
            hint = "a letter or digit first, then letters, digits, _, - and ., 63 in all"
            refuse(f"{quoted(text)} is not a name", hint)
        return text

    return Kind(read, "name", {"type": "string", "pattern": f"^{_CLUSTER_NAME}$"})


def destination(*, none: bool = False) -> Kind:
    """A cluster's name, read as text, or an endpoint's address (it has a colon or a slash), read as AddressPlan.

    `none`: ``"off"`` may be written too, and is read as None.
    """

    def read(value: object) -> object:
        if none and value == OFF:
            return None
        text = address_text(value, "a cluster's name or an address", "127.0.0.1:", "8081")
        if ":" in text or "/" in text:
            return parse_member(text)
        if not text:
            refuse("wanted a cluster's name or an address, found nothing", 'for example "127.0.0.1:8081"')
        if text.isascii() and text.isdigit():
            refuse(f"{quoted(text)} is neither a cluster's name nor an address", f'write "127.0.0.1:{text}"')
        return text

    def show(value: object) -> object:
        return OFF if value is None else value.text if isinstance(value, AddressPlan) else value

    text = "a cluster's name, or the address of an endpoint"
    return Kind(read, text, {"type": "string", "minLength": 1}, show)


def host_field() -> Kind:
    """The value of a Host field; empty for the client's own."""

    def read(value: object) -> str:
        text = text_of(value, "a host", "app.internal")
        if text and not (_HOST_FIELD.fullmatch(text) and len(text) <= 255):
            refuse(
                f"{quoted(text)} is not the value of a Host field", 'for example "app.internal" or "app.internal:8080"'
            )
        return text

    return Kind(read, 'host, with or without port, or `""`', {"type": "string", "maxLength": 255})


def field_name() -> Kind:
    """The name of a response field of our own; ``"off"`` or ``""`` for none, read as ``""``."""

    def read(value: object) -> str:
        text = text_of(value, "a field name", "X-Bytes")
        if text in ("", OFF):
            return ""
        if not TOKEN.fullmatch(text) or len(text) > 64:
            refuse(f"{quoted(text)} is not a field name", 'letters, digits and -, at most 64: for example "X-Bytes"')
        managed = next((name for name in MANAGED_FIELDS if name.lower() == text.lower()), None)
        if managed:
            refuse(f"{managed} is a field with a meaning of its own", 'choose another name, for example "X-Bytes"')
        return text

    return Kind(read, 'field name, or `"off"`', {"type": "string", "maxLength": 64}, lambda value: value or OFF)


def page_path() -> Kind:
    """The path of a page; ``"off"`` or ``""`` for none, read as ``""``."""

    def read(value: object) -> str:
        text = text_of(value, "a path", "/stats")
        if text in ("", OFF):
            return ""
        if not text.startswith("/"):
            refuse(f"{quoted(text)} is not a path: it does not start with /", f"write {quoted('/' + text)}")
        if not _PATH.fullmatch(text) or len(text) > 256:
            refuse(f"{quoted(text)} is not a path", 'no query, no spaces, at most 256 characters: for example "/stats"')
        return text

    return Kind(read, 'path, or `"off"`', {"type": "string", "pattern": "^(off|/.*|)$"}, lambda value: value or OFF)


def access_log() -> Kind:
    """``"off"``, ``"stdout"`` or the path of a file. A plain word is refused: it is a slip more often than a file."""
    words = (OFF, "stdout")

    def read(value: object) -> str:
        text = text_of(value, '"off", "stdout" or a path', "stdout")
        if text in words:
            return text
        if not text or not text.isprintable() or text.endswith("/"):
            refuse(f"{quoted(text)} is not the path of a file", 'write "off", "stdout", or a path')
        if "/" not in text and "." not in text:
            meant = closest(text, words)
            hint = f"did you mean {quoted(meant)}? " if meant else ""
            refuse(f'{quoted(text)} is not "off", "stdout" or a path', f"{hint}a file here is {quoted('./' + text)}")
        return text

    return Kind(read, '`"off"`, `"stdout"`, or the path of a file', {"type": "string", "minLength": 1})


def flag() -> Kind:
    """Yes or no."""

    def read(value: object) -> bool:
        if isinstance(value, bool):
            return value
        words = {"true": "true", "yes": "true", "on": "true", "false": "false", "no": "false", "off": "false"}
        meant = words.get(value.lower()) if isinstance(value, str) else None
        refuse(f"wanted true or false, found {units.kind_of(value)}", f"write {meant}, without quotes" if meant else "")

    return Kind(read, "true or false", {"type": "boolean"})


def error_pages() -> Kind:
    """A directory with error pages, read as a tuple of ErrorPagePlan; ``"off"`` for none."""

    def read(value: object) -> object:
        text = text_of(value, "a directory", "/etc/weir/errors")
        return () if text == OFF else read_pages(text)

    return Kind(read, 'directory, or `"off"`', {"type": "string", "minLength": 1}, lambda value: OFF)


def openapi(none: str = "") -> Kind:
    """A file that describes an API, or an array of them, read as a tuple of path templates; ``"off"`` for none.

    `none` is a word that may be written instead, and is read as None.
    """

    def read(value: object) -> object:
        if value == OFF:
            return ()
        if none and value == none:
            return None
        if value == []:
            refuse("no file", 'write "off"')
        listed = value if isinstance(value, list) else [value]
        return read_templates([text_of(file, "a file, or an array of them", "openapi.yaml") for file in listed])

    file = {"type": "string", "minLength": 1}
    schema = {"type": ["string", "array"], "minLength": 1, "minItems": 1, "items": file}
    text = 'file, array of files, or `"off"`' + (f', or `"{none}"`' if none else "")
    return Kind(read, text, schema, lambda value: none if value is None else OFF)


def file_mode() -> Kind:
    """Permission bits in octal, as chmod(1) has them, read as a number."""

    def read(value: object) -> int:
        if isinstance(value, int) and not isinstance(value, bool):
            hint = f'write "{value:04o}"' if 0 <= value <= 0o777 else 'for example "0666"'
            refuse("wanted permissions, octal digits in a string, found a whole number", hint)
        text = text_of(value, "permissions", "0666")
        if not re.fullmatch("0?[0-7]{3}", text):
            refuse(f"{quoted(text)} are not permissions", 'three octal digits, for example "0666"')
        return int(text, 8)

    schema = {"type": "string", "pattern": "^0?[0-7]{3}$"}
    return Kind(read, 'octal digits, `"0000"` to `"0777"`', schema, lambda value: f"{value:04o}")
