"""Path templates from descriptions of APIs: OpenAPI 3 and Swagger 2, as JSON or YAML.

What is wanted of such a file is little: the keys of `paths`, and below which base path they are served. YAML is read as
the parser's events, of which plain dictionaries, lists and texts are made here. Nothing else is constructed: tags and
merge keys do nothing, aliases of aliases are what they are in the file, and every complaint has its line.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator, Sequence
from itertools import islice, product
from typing import Any
from urllib.parse import quote, urlsplit

from weir.config.errors import quoted, refuse

__all__ = ["MOST_BYTES", "MOST_TEMPLATES", "doubles", "read_templates"]

# The largest descriptions in public use have some 14 MB and 1200 paths.
MOST_BYTES = 32 << 20
MOST_TEMPLATES = 10_000
MOST_FILES = 100
MOST_BASES = 100
MOST_TEMPLATE_BYTES = 1_024
MOST_SEGMENTS = 64  # SERIES_SEGMENTS of weir.plane.series

METHODS = ("get", "put", "post", "delete", "options", "head", "patch", "trace", "query")
ROOT_KEYS = ("openapi", "swagger", "basePath", "servers", "paths")

Loc = tuple[str, ...]

_TEMPLATE = re.compile(r"(?:/(?:[^{}/]|\{[^{}/]+\})*)+")
_PARAMETER = re.compile(r"(\{[^{}/]+\})")
_VARIABLE = re.compile(r"\{([^{}]+)\}")
# RFC 3986 section 3.3: what stands in a path as it is, the percent sign of what is encoded already included.
_PATH_SAFE = "/%!$&'()*+,;=:@-._~"


class _Wrong(Exception):
    """Something is wrong at `loc` of a description."""

    def __init__(self, loc: Loc, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.loc, self.message, self.hint = loc, message, hint


def read_templates(files: Sequence[str]) -> tuple[str, ...]:
    """The path templates of some files, base paths included, such as ``/v1/users/{userId}``.

    Their literal parts are percent-encoded as in requests. Each is there once, in the order of the files. Raises
    ConfigError for the first file with which something is wrong.
    """
    if len(files) > MOST_FILES:
        refuse(f"{len(files)} files are more than {MOST_FILES}")
    found: dict[str, None] = {}
    for file in files:
        found |= dict.fromkeys(_read_file(file))
        if len(found) > MOST_TEMPLATES:
            message = f"with {quoted(file, 200)} there are more than {MOST_TEMPLATES} path templates"
            refuse(message, "files with fewer paths, or fewer servers")
    return tuple(found)


def doubles(templates: Sequence[str]) -> list[tuple[str, str]]:
    """Templates that differ from an earlier one in the names of parameters only, and that one, which gives the name.

    OpenAPI forbids them within a file, but they are found in files of good repute, and in different files anyway.
    """
    first: dict[str, str] = {}
    pairs = [(template, first.setdefault(_PARAMETER.sub("{}", template), template)) for template in templates]
    return [(template, other) for template, other in pairs if template != other]


def _read_file(file: str) -> list[str]:
    text = _text_of(file)
    places: dict[Loc, tuple[int, int]] = {}
    is_json = text.lstrip().startswith("{") and not file.endswith((".yaml", ".yml"))
    try:
        return _templates(_parse_json(text) if is_json else _parse_yaml(text, places))
    except _Wrong as wrong:
        near = next((wrong.loc[:n] for n in range(len(wrong.loc), -1, -1) if wrong.loc[:n] in places), None)
        place = ", line {}, column {}".format(*places[near]) if near is not None else ""
        where = "".join(f": {part if part.isidentifier() or part.isdigit() else quoted(part)}" for part in wrong.loc)
        refuse(f"{quoted(file, 200)}{place}{where}: {wrong.message}", wrong.hint)


def _text_of(file: str) -> str:
    try:
        # A named pipe would be waited for.
        if not stat.S_ISREG(os.stat(file).st_mode):
            refuse(f"{quoted(file, 200)} is not a file")
        with open(file, "rb") as opened:
            content = opened.read(MOST_BYTES + 1)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        refuse(f"{quoted(file, 200)} cannot be read: {reason.lower()}")
    if len(content) > MOST_BYTES:
        refuse(f"{quoted(file, 200)} is larger than {MOST_BYTES >> 20} MiB")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        message = f"is not UTF-8: byte 0x{content[error.start]:02X} at {error.start}"
        refuse(f"{quoted(file, 200)} {message}", "save the file as UTF-8")


# -- reading -----------------------------------------------------------------------------------------------------


def _parse_json(text: str) -> object:
    import json

    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise _Wrong((), f"not JSON: {error.msg} at line {error.lineno}, column {error.colno}") from error
    except (RecursionError, ValueError) as error:
        raise _Wrong((), "not a description of an API: nested too deeply, or with a number too long") from error


def _parse_yaml(text: str, places: dict[Loc, tuple[int, int]]) -> object:
    import yaml

    # With libyaml, where it is: ten times as fast.
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        return _Events(yaml.parse(text, Loader=loader), places).document()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = f" at line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        raise _Wrong((), f"not YAML: {error.problem or error.context}{place}") from error
    except yaml.YAMLError as error:
        raise _Wrong((), f"not YAML: {str(error).splitlines()[0]}") from error
    except RecursionError as error:
        raise _Wrong((), "not a description of an API: nested too deeply") from error


class _Events:
    """Makes plain values of YAML's events, and notes the places of keys that may be complained of."""

    def __init__(self, events: Iterator[Any], places: dict[Loc, tuple[int, int]]) -> None:
        self.events = events
        self.places = places
        self.anchors: dict[str, object] = {}

    def document(self) -> object:
        self._next()  # the stream's start
        if self._next() != "DocumentStartEvent":
            raise _Wrong((), "the file is empty")
        found = self._value((), self._take())
        self._next()
        if self._next() != "StreamEndEvent":
            raise _Wrong((), "more than one document in the file")
        return found

    def _take(self) -> Any:
        return next(self.events)

    def _next(self) -> str:
        return type(self._take()).__name__

    def _value(self, loc: Loc | None, event: Any) -> Any:
        """The value that begins with an event. `loc` is None where nobody looks: only its anchors may be wanted."""
        kind = type(event).__name__
        if kind == "AliasEvent":
            # What contains itself is no trouble: nobody follows it to its end.
            if event.anchor not in self.anchors:
                raise _Wrong(loc or (), f"nothing has the anchor {quoted(event.anchor)}")
            return self.anchors[event.anchor]
        made: Any = {} if kind == "MappingStartEvent" else []
        if kind == "ScalarEvent":
            made = None if event.implicit[0] and event.value in ("", "~", "null", "Null", "NULL") else event.value
        if event.anchor is not None:
            self.anchors[event.anchor] = made
        if kind == "SequenceStartEvent":
            while type(element := self._take()).__name__ != "SequenceEndEvent":
                made.append(self._value(_below(loc, str(len(made))), element))
        elif kind == "MappingStartEvent":
            while type(key := self._take()).__name__ != "MappingEndEvent":
                self._entry(loc, key, made)
        return made

    def _entry(self, loc: Loc | None, key: Any, made: dict[str, Any]) -> None:
        is_text = type(key).__name__ == "ScalarEvent"
        if loc is not None:
            here = (*loc, key.value) if is_text else loc
            self.places[here] = (key.start_mark.line + 1, key.start_mark.column + 1)
            if not is_text:
                raise _Wrong(loc, "a key that is no text")
            if key.value in made:
                raise _Wrong(here, "is there twice")
            if here == ("paths", "<<"):
                raise _Wrong(here, "merge keys are no part of OpenAPI", "write the paths out")
        name = self._value(None, key)
        made[name if isinstance(name, str) else ""] = self._value(_below(loc, name), self._take())


def _below(loc: Loc | None, key: object) -> Loc | None:
    """The place of a key or element in what is at `loc`; None where nobody looks."""
    if loc is None or not isinstance(key, str) or not (loc or key in ROOT_KEYS):
        return None
    # As deep as the servers of an operation: paths, path, method, servers, number.
    return (*loc, key) if len(loc) < 5 else None


# -- what it says ------------------------------------------------------------------------------------------------


def _templates(document: object) -> list[str]:
    if not isinstance(document, dict):
        raise _Wrong((), "not a description of an API", "OpenAPI 3 or Swagger 2, as JSON or YAML")
    if _text(document.get("openapi")).startswith("3."):
        default = _bases(("servers",), document.get("servers"))
    elif _text(document.get("swagger")) in ("2.0", "2"):
        default = [_base(("basePath",), _text(document.get("basePath")))]
    else:
        raise _Wrong((), "neither OpenAPI 3 nor Swagger 2", 'openapi: "3.1.0" or swagger: "2.0" says so')
    paths = document.get("paths")
    if not isinstance(paths, dict):
        raise _Wrong(("paths",) if "paths" in document else (), "has no paths")
    found: dict[str, None] = {}
    for path, item in paths.items():
        if path.startswith("x-"):
            continue
        template = _template(("paths", path), path)
        for base in _bases_of(("paths", path), item, default):
            found[_measured(("paths", path), base + template)] = None
            if len(found) > MOST_TEMPLATES:
                raise _Wrong(("paths",), f"more than {MOST_TEMPLATES} path templates")
    if not found:
        raise _Wrong(("paths",), "has no paths")
    return list(found)


def _template(loc: Loc, path: str) -> str:
    """A key of `paths` as requests have it: literals percent-encoded, nothing that is no part of a path."""
    text = path if path.startswith("/") else ""
    text = re.split(r"[?#]", text)[0]
    if not text:
        hint = "put the file's parts into one file first" if path == "$ref" else f"write {quoted('/' + path)}"
        raise _Wrong(loc, "a path begins with /", hint)
    if not _TEMPLATE.fullmatch(text):
        raise _Wrong(loc, "not a path template", "parameters are written {name}, without slashes in them")
    if not text.isprintable():
        raise _Wrong(loc, "not a path template: it has characters that cannot be shown")
    return "".join(part if part[:1] == "{" else quote(part, safe=_PATH_SAFE) for part in _PARAMETER.split(text))


def _measured(loc: Loc, template: str) -> str:
    if template.count("/") > MOST_SEGMENTS or len(template.encode()) > MOST_TEMPLATE_BYTES:
        message = f"more than {MOST_SEGMENTS} segments or {MOST_TEMPLATE_BYTES} bytes, with its base path"
        raise _Wrong(loc, message)
    return template


def _bases_of(loc: Loc, item: object, default: list[str]) -> list[str]:
    """The base paths of one path: its operations' servers, or its own, or those of the whole file."""
    if not isinstance(item, dict):
        return default
    own = _bases((*loc, "servers"), item["servers"]) if item.get("servers") else default
    operations = [(method, item[method]) for method in METHODS if isinstance(item.get(method), dict)]
    bases: dict[str, None] = {}
    for method, operation in operations:
        servers = operation.get("servers")
        bases |= dict.fromkeys(_bases((*loc, method, "servers"), servers) if servers else own)
    return list(bases) or own


def _bases(loc: Loc, servers: object) -> list[str]:
    """The base paths of an array of servers; without any it is the root."""
    if servers is None or servers == []:
        return [""]
    if not isinstance(servers, list):
        raise _Wrong(loc, "wanted an array of servers")
    urls = [url for place, server in enumerate(servers) for url in _urls((*loc, str(place)), server)]
    bases = dict.fromkeys(_base(loc, url) for url in urls)
    if len(bases) > MOST_BASES:
        raise _Wrong(loc, f"more than {MOST_BASES} base paths")
    return list(bases)


def _urls(loc: Loc, server: object) -> Iterator[str]:
    """The addresses that a server's URL stands for: each of its variables has one of a few values."""
    url = server.get("url") if isinstance(server, dict) else None
    if not isinstance(server, dict) or not isinstance(url, str):
        raise _Wrong(loc, "a server has a url", 'for example url: "https://example.com/v1"')
    variables = server.get("variables")
    names = list(dict.fromkeys(_VARIABLE.findall(url)))
    values = [_values(variables.get(name) if isinstance(variables, dict) else None, name) for name in names]
    choices = list(islice(product(*values), MOST_BASES * MOST_BASES + 1))
    if len(choices) > MOST_BASES * MOST_BASES:
        raise _Wrong(loc, "its variables have too many values")
    for chosen in choices:
        given = dict(zip(names, chosen, strict=True))
        yield _VARIABLE.sub(lambda match, given=given: given[match[1]], url)  # type: ignore[misc]


def _values(variable: object, name: str) -> list[str]:
    """What may stand for a variable; one that nothing is said of stays a parameter."""
    if isinstance(variable, dict):
        listed = variable.get("enum")
        values = [text for text in map(_text, listed) if text] if isinstance(listed, list) else []
        default = _text(variable.get("default"))
        if values or default:
            return values or [default]
    return [f"{{{name}}}"]


def _base(loc: Loc, url: str) -> str:
    """The path of a server's URL, without a slash at its end."""
    try:
        path = urlsplit(url).path.strip("/")
    except ValueError as error:
        raise _Wrong(loc, f"{quoted(url)} is not a URL") from error
    return "" if path in ("", ".") else _template(loc, "/" + path)


def _text(value: object) -> str:
    """A text, or a number as one; of anything else nothing: a list of lists of aliases would have no end as text."""
    return str(value) if isinstance(value, (str, int, float)) else ""
