from collections.abc import Iterable, Mapping

class Answer:
    status: int
    body: bytes
    headers: list[tuple[str, str]]
    def __init__(
        self,
        status: int = 200,
        body: str | bytes | bytearray | memoryview = b"",
        headers: Mapping[str, str] | Iterable[tuple[str, str]] = (),
    ) -> None: ...
