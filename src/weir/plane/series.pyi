from collections.abc import Iterable

class SeriesNames:
    exact: bool
    templates: int
    def __init__(self, exact: bool, templates: Iterable[str]) -> None: ...
    def name(self, path: bytes, repeat: int = 1) -> bytes: ...
