"""Hooks: Python functions that requests meet on their way through weir.

A file of hooks is named in the configuration (`hooks = "app.py"`) or on the command line (`weir run --hooks app.py`).
Importing this package loads nothing of weir but itself, and else the standard library alone.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, Generic, Literal, ParamSpec, TypeVar

from weir.hooks.streams import Event, EventSplitter, LineSplitter, events, gunzip, lines, replace_stream

__all__ = [
    "PHASES",
    "Event",
    "EventSplitter",
    "Hook",
    "LineSplitter",
    "OnError",
    "OnExceed",
    "PhaseName",
    "events",
    "gunzip",
    "hook",
    "lines",
    "replace_stream",
]

PhaseName = Literal["request", "request_body", "upstream", "response", "response_body", "log"]
OnError = Literal["fail", "skip"]
OnExceed = Literal["log", "skip", "fail"]

PHASES: Final[tuple[PhaseName, ...]] = ("request", "request_body", "upstream", "response", "response_body", "log")
_METHOD: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_HOST: Final = re.compile(r"(\*\.)?[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\]")
MOST_TIMEOUT_S: Final = 3600
_BUDGET: Final = re.compile(r"(\d+(?:\.\d+)?)(us|ms|s)")
_UNITS_US: Final = {"us": 1, "ms": 1_000, "s": 1_000_000}

P = ParamSpec("P")
R = TypeVar("R")


@dataclass(frozen=True, eq=False)
class Hook(Generic[P, R]):
    """A function, and which requests meet it at which phase. It can be called as the function that it was."""

    function: Callable[P, R]
    phase: PhaseName
    name: str
    path: str = ""
    hosts: tuple[str, ...] = ()
    methods: tuple[str, ...] = ()
    field: str = ""
    on_error: OnError = "fail"
    timeout_ms: int = 30_000
    budget_us: int = 0  # 0: there is none
    on_exceed: OnExceed = "log"

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        return self.function(*args, **kwargs)


def hook(
    phase: PhaseName,
    *,
    path: str = "",
    host: str | Sequence[str] = (),
    methods: Sequence[str] = (),
    field: str = "",
    on_error: OnError = "fail",
    timeout: float = 30.0,
    budget: str = "",
    on_exceed: OnExceed = "log",
    name: str = "",
) -> Callable[[Callable[P, R]], Hook[P, R]]:
    """Makes a function a hook, called with a `weir.Request` (phase "response": with a `weir.Response`).

    Phases: "request" (the head is there, nothing was sent), "upstream" (an endpoint is chosen, the head is about to be
    sent; again for each attempt), "response" (the endpoint's head is there, nothing was sent to the client), "log" (it
    is over). In "request" and "response" the function may be `async def`, and may return a `weir.Answer`, which the
    client gets in place of all else.

    Phases "request_body" and "response_body": the function changes a body on its way. A plain function is called with
    each piece (bytes) and the message, at the end with b"", and returns what goes on in its place; an async generator
    function is called with the pieces (an async iterator) and the message, and yields what goes on.

    Which requests: `path` ("/login" exactly, "/api/*" all that begins with "/api/"; compared with what the path leads
    to), `host` ("*.example.com": any name below it), `methods`, `field` ("Name", or "Name: value"). Without any: all.

    `on_error`: "fail" answers 500 when it raises, or 504 when an `async def` takes longer than `timeout` seconds;
    "skip" goes on without it. `budget` ("500us", "2ms") is what a call may take, of an `async def` with all that it
    awaits; it is looked at after the call. `on_exceed`: "log" says so in the log, "skip" passes the hook over for 10
    seconds when its last calls took longer on average, "fail" has the call that took longer fail as if it had raised.
    `name` is what logs and figures call it (default: module and function).

    ValueError for what cannot be.
    """
    if phase not in PHASES:
        raise ValueError(f"phase {phase!r} is none of {', '.join(PHASES)}")
    hosts = (host,) if isinstance(host, str) else tuple(host)
    methods = (methods,) if isinstance(methods, str) else tuple(methods)
    if path and not path.startswith("/"):
        raise ValueError(f"path {path!r} does not begin with a slash")
    if "*" in path[:-1]:
        raise ValueError(f"path {path!r}: a * stands for the rest, at the end only")
    for given in hosts:
        if not _HOST.fullmatch(given):
            raise ValueError(f"host {given!r} is neither a name nor *. and a name")
    for method in methods:
        if not _METHOD.fullmatch(method):
            raise ValueError(f"method {method!r} is not a method")
    if on_error not in ("fail", "skip"):
        raise ValueError(f"on_error {on_error!r} is neither 'fail' nor 'skip'")
    if on_exceed not in ("log", "skip", "fail"):
        raise ValueError(f"on_exceed {on_exceed!r} is none of 'log', 'skip', 'fail'")
    if on_exceed != "log" and not budget:
        raise ValueError(f"on_exceed {on_exceed!r} without a budget")
    if budget and phase.endswith("_body"):
        raise ValueError("budget: what hooks of bodies take is not measured")
    budget_us = _microseconds(budget) if budget else 0
    if on_error == "skip" and phase.endswith("_body"):
        raise ValueError("on_error 'skip': half a changed body is none, a hook of a body cannot be passed over")
    if not 0.001 <= timeout <= MOST_TIMEOUT_S:
        raise ValueError(f"timeout {timeout!r}: 0.001 to {MOST_TIMEOUT_S} seconds")

    def decorate(function: Callable[P, R]) -> Hook[P, R]:
        called: Any = function
        known_as = name or f"{called.__module__}.{called.__qualname__}"
        return Hook(
            function=function,
            phase=phase,
            name=known_as,
            path=path,
            hosts=hosts,
            methods=methods,
            field=field,
            on_error=on_error,
            timeout_ms=round(timeout * 1000),
            budget_us=budget_us,
            on_exceed=on_exceed,
        )

    return decorate


def _microseconds(budget: str) -> int:
    parts = _BUDGET.fullmatch(budget)
    us = round(float(parts[1]) * _UNITS_US[parts[2]]) if parts else 0
    if not 1 <= us <= MOST_TIMEOUT_S * 1_000_000:
        raise ValueError(f"budget {budget!r} is no time: '500us', '2ms', '1s'; an hour at most")
    return us
