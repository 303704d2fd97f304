from collections.abc import Callable, Sequence
from mmap import mmap
from typing import Any

import weir.hooks

class Hook:
    name: str
    def __init__(self, hook: weir.hooks.Hook[..., Any], memory: mmap, worker: int) -> None: ...

class Hooks:
    on_met: Callable[[], object] | None
    def __init__(self, entries: Sequence[Hook], memory: Any, worker: int) -> None: ...
