from collections.abc import Sequence
from mmap import mmap
from typing import Any

import weir.hooks

class Hook:
    name: str
    def __init__(self, hook: weir.hooks.Hook[..., Any], memory: mmap, worker: int) -> None: ...

class Hooks:
    def __init__(self, entries: Sequence[Hook], memory: Any, worker: int) -> None: ...
