from collections.abc import Iterable
from typing import Any

from weir import hooks

class Hook:
    name: str
    calls: int
    failures: int
    spent_ns: int
    def __init__(self, hook: hooks.Hook[..., Any]) -> None: ...

class Hooks:
    def __init__(self, entries: Iterable[Hook]) -> None: ...
