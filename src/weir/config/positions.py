"""Where in a file a key or a value stands.

toml_rs tells the line and column of every key and value, but in bytes, and says nothing of where a ``[table]``
begins. Both are made good here, and nothing else knows that library's metadata. It is asked only when there is a
problem to report.
"""

from __future__ import annotations

import re
from typing import Any, Literal

import toml_rs

__all__ = ["TOML_VERSION", "Loc", "Positions", "line_column"]

# Every editor, linter and library reads 1.0.
TOML_VERSION: Literal["1.0.0"] = "1.0.0"

# The way to a value: keys of tables and places in arrays.
Loc = tuple[str | int, ...]

_HEADER = re.compile(r"[ \t]*(\[\[?)([^\n]*?)\]\]?[ \t]*(?:#.*)?\r?")
_HEADER_PART = re.compile(r"""[ \t]*(?:"((?:[^"\\]|\\.)*)"|'([^']*)'|([A-Za-z0-9_-]+))[ \t]*""")


def line_column(text: str, offset: int) -> tuple[int, int]:
    """Line and column of a character of a text, both from 1."""
    start = text.rfind("\n", 0, offset) + 1
    return text.count("\n", 0, offset) + 1, offset - start + 1


class Positions:
    """Looks up places in one TOML text, which must be a valid one."""

    def __init__(self, text: str) -> None:
        document = toml_rs.load_with_metadata(text, toml_version=TOML_VERSION)
        self._lines = text.split("\n")
        self._nodes: dict[str, Any] = document.meta["nodes"]
        self._inside = set(_lines_inside(self._nodes))
        self._headers = self._find_headers()

    def find(self, loc: Loc, at: Literal["key", "value"]) -> tuple[int, int]:
        """Line and column of the key at `loc`, or of its value; of the nearest thing around it that has a place."""
        for length in range(len(loc), 0, -1):
            found = self._exactly(loc[:length], at if length == len(loc) else "key")
            if found is not None:
                return found
        return 1, 1

    def _exactly(self, loc: Loc, at: Literal["key", "value"]) -> tuple[int, int] | None:
        node = self._node(loc)
        if node is not None:
            wanted = at if f"{at}_line" in node else "value"
            return self._characters(_first(node[f"{wanted}_line"]), _first(node[f"{wanted}_col"]))
        return self._headers.get(loc) or self._dotted(loc)

    def _node(self, loc: Loc) -> dict[str, Any] | None:
        """What toml_rs knows of the key or element at `loc`; None if it has no place of its own."""
        children: Any = self._nodes
        node: dict[str, Any] | None = None
        for step in loc:
            if isinstance(step, int):
                if not isinstance(children, list) or step >= len(children):
                    return None
            elif not isinstance(children, dict) or step not in children:
                return None
            entry = children[step]
            # A key's or element's entry describes a value and has its source; that of a [table] is the table's entries,
            # where "value_raw", should the person have such a key, is an entry and no source.
            described = isinstance(entry, dict) and isinstance(entry.get("value_raw"), str)
            node = entry if described else None
            children = entry["value"] if described or _is_array(entry) else entry
        return node

    def _characters(self, line: int, byte_column: int) -> tuple[int, int]:
        before = self._lines[line - 1].encode()[: byte_column - 1]
        return line, len(before.decode(errors="replace")) + 1

    def _find_headers(self) -> dict[Loc, tuple[int, int]]:
        """The places of all [table] and [[table]] headers, by where they lead to."""
        found: dict[Loc, tuple[int, int]] = {}
        elements: dict[Loc, int] = {}
        for number, line in enumerate(self._lines, 1):
            match = _HEADER.fullmatch(line)
            keys = _header_keys(match[2]) if match and number not in self._inside else None
            if not match or not keys:
                continue
            loc: Loc = ()
            place = (number, match.start(1) + 1)
            for key in keys[:-1]:
                loc = (*loc, key)
                loc = (*loc, elements[loc]) if loc in elements else loc
                found.setdefault(loc, place)
            loc = (*loc, keys[-1])
            found.setdefault(loc, place)
            if match[1] == "[[":
                elements[loc] = elements.get(loc, -1) + 1
                found[(*loc, elements[loc])] = place
        return found

    def _dotted(self, loc: Loc) -> tuple[int, int] | None:
        """The place of a table that exists only as the first part of a dotted key: that of its name there."""
        key = loc[-1]
        below = self._table(loc)
        if not isinstance(key, str) or not below:
            return None
        line, column = self._exactly((*loc, next(iter(below))), "key") or (0, 0)
        if not line:
            return None
        start = self._lines[line - 1].rfind(key, 0, column - 1)
        return (line, start + 1) if start >= 0 else (line, column)

    def _table(self, loc: Loc) -> dict[str, Any] | None:
        entry: Any = self._nodes
        for step in loc:
            if isinstance(entry, dict) and (isinstance(entry.get("value_raw"), str) or _is_array(entry)):
                entry = entry["value"]
            try:
                entry = entry[step]
            except (KeyError, IndexError, TypeError):
                return None
        return entry if isinstance(entry, dict) else None


def _is_array(entry: Any) -> bool:
    """Is this the entry of an array of tables? It has the place of its key, but no source."""
    return isinstance(entry, dict) and isinstance(entry.get("key_raw"), str) and isinstance(entry.get("value"), list)


def _first(place: Any) -> int:
    return int(place[0] if isinstance(place, tuple) else place)


def _header_keys(inner: str) -> list[str] | None:
    """The parts of a header's dotted key; None if it is none."""
    keys: list[str] = []
    position = 0
    while True:
        match = _HEADER_PART.match(inner, position)
        if not match:
            return None
        keys.append(next(part for part in match.groups() if part is not None))
        position = match.end()
        if position == len(inner):
            return keys
        if inner[position] != ".":
            return None
        position += 1


def _lines_inside(entry: Any) -> list[int]:
    """The lines that continue a value of several lines: what looks like a header there is none."""
    if isinstance(entry, list):
        return [line for element in entry for line in _lines_inside(element)]
    if not isinstance(entry, dict):
        return []
    lines: list[int] = []
    if isinstance(entry.get("value_raw"), str) and isinstance(entry["value_line"], tuple):
        first, last = entry["value_line"]
        lines += range(first + 1, last + 1)
    below = entry["value"] if isinstance(entry.get("value_raw"), str) or _is_array(entry) else list(entry.values())
    return lines + _lines_inside(list(below.values()) if isinstance(below, dict) else below)
