"""Error pages of a person's own: a directory with a file for each status, read when the configuration is."""

from __future__ import annotations

import re
from pathlib import Path

from weir.config.errors import quoted, refuse
from weir.config.plan import ErrorPagePlan

__all__ = ["MOST_BYTES", "read_pages"]

# Pages are held in memory and written in one piece.
MOST_BYTES = 65_536
# What is filled in has less than 256 bytes each, so that a page is never more than twice as long.
MOST_PLACES = 256

MEDIA = {"html": "text/html", "txt": "text/plain", "json": "application/json"}
_NAME = re.compile(r"([45](?:[0-9]{2}|xx))\.(html|txt|json)")


def read_pages(directory: str) -> tuple[ErrorPagePlan, ...]:
    """The pages of a directory: files named by a status or a class of statuses, `502.html`, `5xx.json`, `404.txt`.

    Raises ConfigError for a directory or a file that cannot be read or is no page, and for one that has no page at all.
    """
    try:
        entries = sorted(entry for entry in Path(directory).iterdir() if not entry.name.startswith("."))
        pages = tuple(_read_page(entry) for entry in entries)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        name = error.filename if isinstance(error, OSError) and error.filename else directory
        refuse(f"{quoted(str(name), 200)} cannot be read: {reason.lower()}", "a directory with files such as 502.html")
    if not pages:
        refuse(f"{quoted(directory)} has no error page in it", "files such as 502.html, 5xx.html or 5xx.json")
    return pages


def _read_page(path: Path) -> ErrorPagePlan:
    found = _NAME.fullmatch(path.name)
    if found is None:
        refuse(f"{quoted(path.name)} is not the name of an error page", "for example 502.html, 5xx.json or 4xx.txt")
    with path.open("rb") as file:
        body = file.read(MOST_BYTES + 1)
    if len(body) > MOST_BYTES:
        refuse(f"{quoted(path.name)} is larger than {MOST_BYTES >> 10} KiB", "put pictures and styles somewhere else")
    if body.count(b"{{") > MOST_PLACES:
        refuse(f"{quoted(path.name)} has more than {MOST_PLACES} places to be filled in", "some text of your own")
    try:
        body.decode()
    except UnicodeDecodeError as error:
        refuse(f"{quoted(path.name)} is not UTF-8: byte 0x{body[error.start]:02X} at {error.start}", "save it as UTF-8")
    return ErrorPagePlan(found[1], MEDIA[found[2]], body)
