"""Texts with variables: how they are written, and what there is to be filled in."""

from __future__ import annotations

import re
from collections.abc import Iterable

from weir.config.action_plan import Phrase
from weir.config.errors import quoted, refuse
from weir.config.kinds import TOKEN, closest

__all__ = ["KNOWN", "PARAMETER", "parameters", "parse", "plain", "resolved", "unknown", "write"]

# All that are not a parameter of the path, nor called `field:NAME` or `cookie:NAME`.
KNOWN = (
    *("client", "host", "path", "query", "target", "method", "scheme", "request_id"),
    *("route", "cluster", "endpoint", "listener"),
)
PARAMETER = re.compile("[A-Za-z_][A-Za-z0-9_]{0,31}")
MOST_VARIABLES = 16
MOST_BYTES = 4_096

_PIECE = re.compile(r"\{\{|\}\}|\{([^{}]*)\}|[{}]|[^{}]+")


def parse(text: str, known: Iterable[str] = KNOWN, *, named: bool = True) -> Phrase:
    """The pieces of a text; `{{` and `}}` are braces. Parameters of a path are ("parameter", name).

    `known` are the variables that it may have, and if `named` fields and cookies as well. Raises ConfigError.
    """
    pieces: list[tuple[str, str | int]] = []
    for found in _PIECE.finditer(text):
        part = found[0]
        if part in ("{", "}"):
            refuse(f"{quoted(text)}: a brace without its counterpart", f'for the character write "{part * 2}"')
        elif found[1] is not None:
            pieces.append(_variable(text, found[1], tuple(known), named))
        else:
            literal = part[0] if part in ("{{", "}}") else part
            if pieces and pieces[-1][0] == "text":
                literal = str(pieces.pop()[1]) + literal
            pieces.append(("text", literal))
    if sum(kind != "text" for kind, _ in pieces) > MOST_VARIABLES:
        refuse(f"{quoted(text)} has more than {MOST_VARIABLES} variables")
    return tuple(pieces)


def _variable(text: str, name: str, known: tuple[str, ...], named: bool) -> tuple[str, str]:
    kind, colon, what = name.partition(":")
    if colon and named and kind in ("field", "cookie"):
        if not TOKEN.fullmatch(what) or len(what) > 64:
            refuse(f"{quoted(text)}: {quoted(what)} is not the name of a {kind}", f'for example "{{{kind}:X-Id}}"')
        return kind, what
    if name in known:
        return name, ""
    if name in KNOWN or (colon and kind in ("field", "cookie")):
        refuse(f"{quoted(text)}: {{{name}}} cannot be said here", f"there is {_there_is(known, named)}")
    if not PARAMETER.fullmatch(name):
        refuse(f"{quoted(text)}: there is no variable {{{name}}}", f"there is {_there_is(known, named)}")
    return "parameter", name


def _there_is(known: Iterable[str], named: bool) -> str:
    names = [f"{{{name}}}" for name in known] + (["{field:NAME}", "{cookie:NAME}"] if named else [])
    return ", ".join(names) + " and the parameters of the path"


def plain(text: str) -> Phrase:
    """A text in which nothing is filled in."""
    return (("text", text),) if text else ()


def write(phrase: Phrase) -> str:
    """A phrase as it is written."""
    parts = []
    for kind, what in phrase:
        if kind == "text":
            parts.append(str(what).replace("{", "{{").replace("}", "}}"))
        else:
            parts.append(f"{{{what}}}" if kind == "parameter" else f"{{{kind}:{what}}}" if what else f"{{{kind}}}")
    return "".join(parts)


def parameters(phrase: Phrase) -> list[str]:
    """The names of parameters of the path that a phrase has."""
    return [str(what) for kind, what in phrase if kind == "parameter"]


def unknown(name: str, given: list[str]) -> tuple[str, str]:
    """Message and hint for a parameter that the path does not have."""
    near = closest(name, [*given, *KNOWN])
    there = ", ".join(f"{{{one}}}" for one in given) or "it has no parameter"
    return f"there is no variable {{{name}}}", f"did you mean {{{near}}}?" if near else f"of the path: {there}"


def resolved(phrase: Phrase, places: dict[str, int]) -> Phrase:
    """The phrase with numbers of segments in place of names of parameters."""
    return tuple(("segment", places[str(what)]) if kind == "parameter" else (kind, what) for kind, what in phrase)
