"""Reading a configuration: from a file, from a text, or from the options of a command.

The order is: read, parse, check every value, check the whole. Syntax errors end it, because nothing after them can be
believed; of everything else all problems are reported at once, each with its place.
"""

from __future__ import annotations

import contextlib
import re
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import toml_rs
from pydantic import ValidationError

from weir.config.contradictions import contradictions
from weir.config.errors import ConfigError, Problem, quoted
from weir.config.findings import Finding, from_validation
from weir.config.model import Cluster, Config, kind_of_field, schema
from weir.config.positions import TOML_VERSION, Loc, Positions, line_column

__all__ = ["from_mapping", "from_options", "load_file", "load_text", "schema"]

# Ten thousand clusters fit. A file that is no configuration (a device, a log) is not read to its end.
MOST_BYTES = 16 << 20

# Options of a command, which go before what a file says: the key each stands for, its name and its value.
Settings = Mapping[tuple[str, ...], tuple[str, object]]

_SYNTAX_PLACE = re.compile(r"TOML parse error at line (\d+), column (\d+)")


def load_file(path: Path | str, settings: Settings | None = None) -> Config:
    """The configuration in a file; `settings` are options that go before what it says.

    Raises ConfigError with all that is wrong with it, or with why it cannot be read.
    """
    name = str(path)
    try:
        with open(path, "rb") as file:
            content = file.read(MOST_BYTES + 1)
    except IsADirectoryError:
        raise ConfigError([Problem("is a directory; a configuration is a file", file=name)]) from None
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise ConfigError([Problem(f"cannot be read: {reason.lower()}", file=name)]) from error
    if len(content) > MOST_BYTES:
        raise ConfigError([Problem(f"larger than {MOST_BYTES >> 20} MiB: not a configuration", file=name)])
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError as error:
        before = content[: error.start].decode("utf-8")
        line, column = line_column(before, len(before))
        message = f"not UTF-8: byte 0x{content[error.start]:02X}"
        raise ConfigError([Problem(message, "save the file as UTF-8", "", name, line, column)]) from error
    return load_text(text, name, settings)


def load_text(text: str, name: str, settings: Settings | None = None) -> Config:
    """The configuration in a text; `name` stands for the file in messages. `settings` as of load_file().

    Raises ConfigError with all that is wrong with it.
    """
    text = text.removeprefix("\ufeff")
    if not text.strip():
        hint = 'it needs at least a [[listener]] with address = ":8080" and to = "127.0.0.1:8081"'
        raise ConfigError([Problem("the file is empty", hint, "", name, 1, 1)])
    try:
        raw = toml_rs.loads(text, toml_version=TOML_VERSION)
    except toml_rs.TOMLDecodeError as error:
        raise ConfigError([_syntax_problem(error, text, name)]) from error
    _set(raw, settings or {})
    config, findings = _check(raw)
    if config is not None and not findings:
        return config
    positions, names = Positions(text), _cluster_names(raw)
    problems = [
        _option_problem(finding, settings)
        if settings and finding.loc in settings
        else _place(finding, names, name, positions)
        for finding in findings
    ]
    raise ConfigError(sorted(problems, key=lambda problem: (problem.line, problem.column)))


def from_mapping(tables: Mapping[str, Any], name: str = "") -> Config:
    """The configuration in nested tables, as a TOML file would have them; `name` stands for the file in messages.

    Raises ConfigError with all that is wrong with it, by keys.
    """
    raw = _plain(tables)
    config, findings = _check(raw)
    if config is not None and not findings:
        return config
    names = _cluster_names(raw)
    raise ConfigError(
        [Problem(finding.message, finding.hint, _key_path(finding.loc, names), name) for finding in findings]
    )


def _plain(value: Any) -> Any:
    """A copy of what TOML could have said: dictionaries and lists, where a program may have others of their kind."""
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, list | tuple) else value


def from_options(
    listen: list[str],
    to: list[str],
    access_log: str | None = None,
    log_format: str | None = None,
    stats_page: str | None = None,
    settings: Settings | None = None,
) -> Config:
    """The configuration that a command's options stand for.

    Every address of `listen` is a listener; all addresses of `to` are the endpoints of one cluster. What is None has
    its default.

    Raises ConfigError with all that is wrong with them, under the names of the options.
    """
    raw: dict[str, Any] = {
        "listener": [{"address": address, "to": "app"} for address in listen],
        "cluster": [{"name": "app", "endpoints": list(to)}],
        "log": {key: value for key, value in (("access", access_log), ("format", log_format)) if value is not None},
        "stats": {"page": stats_page} if stats_page is not None else {},
    }
    settings = settings or {}
    _set(raw, settings)
    config, findings = _check(raw)
    if config is not None and not findings:
        return config
    raise ConfigError(
        [
            _option_problem(f, settings)
            if f.loc in settings
            else Problem(_option_text(f.message), _option_text(f.hint), _option_of(f.loc))
            for f in findings
        ]
    )


def _set(raw: dict[str, Any], settings: Settings) -> None:
    for (*tables, key), (_option, value) in settings.items():
        table: Any = raw
        for name in tables:
            table = table.setdefault(name, {})
            if not isinstance(table, dict):
                break  # which is found to be wrong by itself
        else:
            table[key] = value


def _option_problem(finding: Finding, settings: Settings) -> Problem:
    return Problem(finding.message, _option_text(finding.hint), settings[tuple(str(step) for step in finding.loc)][0])


def _option_of(loc: Loc) -> str:
    if loc[0] == "listener":
        return "--listen"
    return {"log.access": "--access-log", "log.format": "--log-format", "stats.page": "--stats-page"}.get(
        ".".join(str(step) for step in loc), "--to"
    )


def _option_text(text: str) -> str:
    """A message that speaks of the file's keys, for one who has only options."""
    return {
        'add access = "stdout"': "add --access-log stdout",
        "add a [[listener]]": "add --listen :8080",
        'for example ["127.0.0.1:8081"]': "add --to 127.0.0.1:8081",
    }.get(text, text)


def _check(raw: dict[str, Any]) -> tuple[Config | None, list[Finding]]:
    """The configuration, if every value can be read, and all that is wrong with values and whole."""
    config, findings = None, []
    try:
        config = Config.model_validate(raw)
    except ValidationError as error:
        findings = from_validation(error.errors(include_url=False))
    return config, findings + contradictions(raw)


def _syntax_problem(error: toml_rs.TOMLDecodeError, text: str, name: str) -> Problem:
    """The problem that toml_rs found.

    Its text shows the source line and a mark under it, and then says what is wrong. Columns in the text are characters,
    those of the exception's attributes are bytes. At the end of a line it may point behind the line's end.
    """
    lines = str(error).splitlines() or [""]
    place = _SYNTAX_PLACE.match(lines[0])
    line, column = (int(place[1]), int(place[2])) if place else (error.lineno, error.colno)
    column = min(column, len(text.split("\n")[line - 1]) + 1)
    marks = [number for number, shown in enumerate(lines) if re.fullmatch(r"\s*\|\s*\^+", shown)]
    said = " ".join(lines[marks[-1] + 1 :]) if marks else lines[-1]
    return Problem(f"not TOML: {said}", file=name, line=line, column=column)


def _place(finding: Finding, names: dict[int, str], name: str, positions: Positions) -> Problem:
    line, column = positions.find(finding.loc, finding.at)
    message = finding.message
    if finding.also is not None:
        message += f" (line {positions.find(finding.also, 'value')[0]})"
    return Problem(message, finding.hint, _key_path(finding.loc, names), name, line, column)


def _key_path(loc: Loc, names: dict[int, str]) -> str:
    """The dotted form of a place; clusters by name where they have one of their own."""
    path = ""
    for depth, step in enumerate(loc):
        if isinstance(step, str):
            path += ("." if path else "") + (step if re.fullmatch("[A-Za-z0-9_-]+", step) else quoted(step))
        elif loc[:depth] == ("cluster",) and step in names:
            path += f".{names[step]}"
        else:
            path += f"[{step}]"
    return path


def _cluster_names(raw: dict[str, Any]) -> dict[int, str]:
    """The names of clusters that have a good one of their own, by place."""
    kind = kind_of_field(Cluster.model_fields["name"])
    assert kind is not None
    clusters = raw.get("cluster")
    names: dict[int, str] = {}
    for place, cluster in enumerate(clusters if isinstance(clusters, list) else ()):
        if isinstance(cluster, dict):
            with contextlib.suppress(ConfigError):
                names[place] = str(kind.read(cluster.get("name")))
    often = Counter(names.values())
    return {place: name for place, name in names.items() if often[name] == 1}
