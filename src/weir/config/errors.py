"""What is wrong with a configuration: where, what, and what was probably meant."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NoReturn

__all__ = ["ConfigError", "Problem", "quoted", "refuse"]


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong.

    ``file`` is the file's name as the person gave it, or ``""`` for options of a command. ``line`` and
    ``column`` count from 1, columns in characters; both are 0 where there is no place in a file to name.
    ``key_path`` is the key in dotted form, such as ``cluster.app.pool.max_idle``, an option such as ``--listen``, or
    ``""``. ``hint`` says what to write instead, or is ``""``.
    """

    message: str
    hint: str = ""
    key_path: str = ""
    file: str = ""
    line: int = 0
    column: int = 0

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}:{self.column}" if self.line else self.file
        said = f"{self.message}; {self.hint}" if self.hint else self.message
        return ": ".join(part for part in (place, self.key_path, said) if part)


class ConfigError(Exception):
    """A configuration that is refused, with every problem that was found; ``str()`` has one on each line."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(str(problem) for problem in self.problems))


def refuse(message: str, hint: str = "", key_path: str = "") -> NoReturn:
    """Raise ConfigError with one problem that has no place yet: whoever knows the place adds it."""
    raise ConfigError([Problem(message, hint, key_path)])


def quoted(text: str, limit: int = 60) -> str:
    """A value of the person's as TOML would write it, on one line and at most about `limit` characters long."""
    shown = text if len(text) <= limit else text[: limit - 3] + "..."
    escaped = shown.replace("\\", "\\\\").replace('"', '\\"')
    return '"' + "".join(c if c.isprintable() else f"\\u{ord(c):04X}" for c in escaped) + '"'
