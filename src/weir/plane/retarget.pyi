from collections.abc import Sequence

class Retarget:
    def __init__(
        self, strips: int, adds: str = "", pattern: Sequence[str | int] | None = None, rest: bool = True
    ) -> None: ...
    def path_of(self, path: bytes) -> bytes: ...
