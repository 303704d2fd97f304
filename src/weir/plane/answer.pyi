from collections.abc import AsyncIterable, Iterable, Mapping

class Answer:
    status: int  # as it was given
    body: bytes  # text as UTF-8
    headers: list[tuple[str, str]]  # as they were given
    def __init__(
        self,
        status: int = 200,
        body: str | bytes | bytearray | memoryview | AsyncIterable[bytes] = b"",
        headers: Mapping[str, str] | Iterable[tuple[str, str]] = (),
    ) -> None: ...
