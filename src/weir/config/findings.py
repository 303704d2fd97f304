"""What the checks of a configuration come back with, before it is known where in the file that is."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal

from pydantic_core import ErrorDetails

from weir.config.errors import quoted
from weir.config.kinds import REFUSED, closest
from weir.config.model import (
    Admin,
    Breaker,
    Cluster,
    Config,
    Ejection,
    Fault,
    Health,
    Hedge,
    History,
    Limit,
    Listener,
    Log,
    Otlp,
    Pool,
    Queue,
    RateLimit,
    RequestEdits,
    Respond,
    ResponseEdits,
    Retry,
    Route,
    Stats,
    Sticky,
    Table,
)
from weir.config.positions import Loc
from weir.config.units import kind_of

__all__ = ["TABLES", "Finding", "from_validation", "table_name"]

# Every table by its name in the file.
TABLES: dict[tuple[str, ...], type[Table]] = {
    (): Config,
    ("log",): Log,
    ("history",): History,
    ("otlp",): Otlp,
    ("stats",): Stats,
    ("admin",): Admin,
    ("listener",): Listener,
    ("listener", "rate_limit"): RateLimit,
    ("listener", "fault"): Fault,
    ("route",): Route,
    ("route", "rate_limit"): RateLimit,
    ("route", "respond"): Respond,
    ("route", "request"): RequestEdits,
    ("route", "response"): ResponseEdits,
    ("cluster",): Cluster,
    ("cluster", "pool"): Pool,
    ("cluster", "queue"): Queue,
    ("cluster", "limit"): Limit,
    ("cluster", "breaker"): Breaker,
    ("cluster", "retry"): Retry,
    ("cluster", "health"): Health,
    ("cluster", "ejection"): Ejection,
    ("cluster", "hedge"): Hedge,
    ("cluster", "sticky"): Sticky,
}
ARRAYS_OF_TABLES = (
    *(("listener",), ("listener", "rate_limit"), ("listener", "fault")),
    *(("route",), ("route", "rate_limit"), ("cluster",)),
)

# What other proxies call it, or a person guesses; no spelling comes close enough to find these.
SYNONYMS = {
    "access_log": ("access",),
    "backend": ("to", "cluster"),
    "balance": ("policy",),
    "lb_policy": ("policy",),
    "bind": ("address",),
    "body_size": ("max_body",),
    "client_max_body_size": ("max_body",),
    "cluster": ("to",),
    "fixed_delay": ("delay",),
    "frontend": ("listener",),
    "http_status": ("abort", "status"),
    "limit_req": ("rate_limit",),
    "grace": ("drain_timeout",),
    "keepalive": ("max_idle",),
    "keepalive_requests": ("max_requests",),
    "keepalive_timeout": ("idle_timeout",),
    "listen": ("address", "listener"),
    "log_format": ("format",),
    "path": ("page",),
    "proxy_pass": ("to",),
    "next_upstream": ("on",),
    "per_try_timeout": ("attempt_timeout",),
    "retries": ("attempts",),
    "retry_on": ("on",),
    "server": ("endpoints", "listener"),
    "servers": ("endpoints",),
    "shutdown_timeout": ("drain_timeout",),
    "stats_page": ("page",),
    "upstream": ("to", "cluster"),
    "worker_processes": ("workers",),
    "nbproc": ("workers",),
    "processes": ("workers",),
}


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong: at the key or at the value of `loc`. `also` is another place it has to do with."""

    loc: Loc
    at: Literal["key", "value"]
    message: str
    hint: str = ""
    also: Loc | None = None


def table_of(loc: Loc) -> tuple[str, ...]:
    """The way to a table without places in arrays."""
    return tuple(step for step in loc if isinstance(step, str))


def table_name(table: tuple[str, ...]) -> str:
    """A table as its header is written; the top of the file has none."""
    name = ".".join(table)
    return f"[[{name}]]" if table in ARRAYS_OF_TABLES else f"[{name}]"


def _in_table(table: tuple[str, ...]) -> str:
    return f"in {table_name(table)}" if table else "at the top of the file, before the first table"


def from_validation(details: Iterable[ErrorDetails]) -> list[Finding]:
    """Findings from pydantic's list of errors."""
    findings: list[Finding] = []
    missing: list[Finding] = []
    meant: set[Loc] = set()
    for detail in details:
        loc, value = detail["loc"], detail["input"]
        if detail["type"] == REFUSED:
            context = detail["ctx"]
            if context.get("key"):  # of a table that is read as one value
                loc = (*loc, context["key"])
            findings.append(Finding(loc, "value", context["message"], context["hint"]))
        elif detail["type"] == "missing":
            missing.append(Finding(loc, "key", *_missing(table_of(loc))))
        elif detail["type"] == "extra_forbidden":
            probably, hint = _unknown(table_of(loc[:-1]), str(loc[-1]))
            findings.append(Finding(loc, "key", "unknown key", hint))
            if probably:
                meant.add((*loc[:-1], probably))
        else:
            findings.append(_wrong_container(loc, value))
    # A required key that was only misspelled is reported once, as misspelled.
    return findings + [finding for finding in missing if finding.loc not in meant]


def _missing(key: tuple[str, ...]) -> tuple[str, str]:
    if key == ("listener",):
        return "missing: without a listener nothing is served", 'add [[listener]] with address = ":8080" and to = "..."'
    example = TABLES[key[:-1]].model_fields[key[-1]].examples or [""]
    shown = f"[{quoted(example[0][0])}]" if isinstance(example[0], list) else quoted(example[0])
    return f"missing: every {table_name(key[:-1])} needs it", f"for example {key[-1]} = {shown}"


@lru_cache(1024)  # the same slip in thousands of tables is looked up once
def _unknown(table: tuple[str, ...], key: str) -> tuple[str | None, str]:
    """The key of the same table that was probably meant, if any, and the hint."""
    known = list(TABLES[table].model_fields)
    synonyms = SYNONYMS.get(key.lower().replace("-", "_"), ())
    for word in synonyms:
        if word in known:
            return word, f"did you mean {quoted(word)}?"
    for word in (key, *synonyms):
        homes = _homes(word, table)
        if homes:
            belongs = f"belongs {' or '.join(_in_table(home) for home in homes)}"
            return None, f"{quoted(word)} {belongs}" if word != key else f"it {belongs}"
    near = closest(key, known)
    if near:
        return near, f"did you mean {quoted(near)}?"
    for other, model in TABLES.items():
        elsewhere = closest(key, list(model.model_fields))
        if elsewhere and other != table:
            return None, f"did you mean {quoted(elsewhere)}, which belongs {_in_table(other)}?"
    return None, f"known here: {', '.join(known)}"


def _homes(key: str, away: tuple[str, ...]) -> list[tuple[str, ...]]:
    """The tables that know a key; of several, those inside the table it was found in, or beside it."""
    homes = [table for table, model in TABLES.items() if key in model.model_fields]
    near = [home for home in homes if away and home[:1] == away[:1]]
    return near or homes


def _wrong_container(loc: Loc, value: Any) -> Finding:
    """A table or an array was wanted and something else was found."""
    key = table_of(loc)
    found = kind_of(value)
    tables_inside = isinstance(value, list) and any(isinstance(element, dict) for element in value)
    if key[-1:] == ("endpoints",):
        hint = f"write [{quoted(value)}]" if isinstance(value, str) else 'for example ["127.0.0.1:8081"]'
        return Finding(loc, "value", f"wanted an array of addresses, found {found}", hint)
    name = table_name(key)
    if key in ARRAYS_OF_TABLES and not isinstance(loc[-1], int):
        hint = f"write {name}, with two brackets" if isinstance(value, dict) else f"write {name} and its keys below"
        return Finding(loc, "value", f"wanted an array of tables, found {found}", hint)
    hint = f"write {name}, with single brackets" if tables_inside else f"write {name} and its keys below"
    return Finding(loc, "value", f"wanted a table, found {found}", hint)
