"""What series are called: routes and paths, as text that can be shown anywhere."""

from __future__ import annotations

from typing import Any, NamedTuple

from weir.stats import layout
from weir.stats.page import printable
from weir.stats.reader import OTHER

__all__ = ["Name", "Names", "TableNames"]


class Name(NamedTuple):
    """One series.

    `path` is printable text: what is not UTF-8 or cannot be shown stands as ``\\xHH``, a backslash as ``\\\\``. It is
    ``(other)`` where `other`: the row of all paths of the route without one of their own. `truncated`: the path is
    longer than the 200 bytes that the table keeps.
    """

    route: str
    path: str
    other: bool = False
    truncated: bool = False


# By key: a row of the table, or what a history calls it.
Names = dict[int, Name]


class TableNames(Names):
    """The names of the rows of a table, each read when it is first asked for.

    A row that has counted was named before, and keeps its name; so does a route. KeyError for a row out of range.
    """

    def __init__(self, memory: Any) -> None:
        super().__init__()
        self._memory = memory
        header = layout.read_header(memory)
        self._rows, self._routes, self._at = header.rows, header.routes, header.places.directory_at
        self._route_names: list[str] = []

    def __missing__(self, row: int) -> Name:
        if not 0 <= row < self._rows:
            raise KeyError(row)
        at = self._at + row * layout.DIRECTORY_BYTES
        route = self._route(layout.read(self._memory, at, layout.DIRECTORY, "route"))
        if row < self._routes:
            name = Name(route, OTHER, other=True)
        else:
            length = layout.read(self._memory, at, layout.DIRECTORY, "path_length")
            kept: bytes = layout.read(self._memory, at, layout.DIRECTORY, "path")[:length]
            path = kept.decode(errors="surrogateescape")
            name = Name(route, printable(path), truncated=length > len(kept))
        self[row] = name
        return name

    def _route(self, number: int) -> str:
        if number >= len(self._route_names):
            self._route_names = [printable(name) for name in layout.route_names(self._memory)]
        return self._route_names[number]
